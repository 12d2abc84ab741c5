#include "http/router.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "router_match.h"

/*
 * A handful of dozen routes: a scan that compares the last segment first, where API paths differ,
 * costs less than hashing the path.
 */

/* --- Types ------------------------------------------------------------------------------- */

enum { SEGMENTS_MAX = 16 };

enum segment_kind { SEGMENT_LITERAL, SEGMENT_VARIABLE, SEGMENT_REST };

enum segment_place { SEGMENT_INNER, SEGMENT_LAST };

struct segment {
    enum segment_kind kind;
    struct text text; /* literal, or the variable's name */
};

struct compiled_route {
    struct http_route route;
    struct segment segments[SEGMENTS_MAX];
    size_t segment_count; /* the rest not counted */
    bool has_rest;
    size_t literal_count; /* the more, the better the match */
};

struct http_router {
    struct compiled_route *routes; /* [count], owned */
    size_t count;
    size_t capacity;
};

/* A path cut at its slashes, decoded. */
struct path {
    struct text segments[SEGMENTS_MAX];
    size_t count;
    struct text after[SEGMENTS_MAX + 1]; /* what follows the first n segments, not decoded */
};

/* --- Compiling --------------------------------------------------------------------------- */

static enum error_code compile_segment(struct compiled_route *compiled, struct text text,
                                       enum segment_place place, struct error *error)
{
    const char *pattern = compiled->route.pattern;
    if (text_equal(text, TEXT("*"))) {
        if (place != SEGMENT_LAST)
            return error_set(error, ERROR_INVALID, "route '%s': * must be last", pattern);
        compiled->has_rest = true;
        return ERROR_NONE;
    }
    if (compiled->segment_count == SEGMENTS_MAX)
        return error_set(error, ERROR_LIMIT, "route '%s': more than %d segments", pattern,
                         SEGMENTS_MAX);
    struct segment *segment = &compiled->segments[compiled->segment_count++];
    if (text.size > 2 && text.data[0] == '{' && text.data[text.size - 1] == '}') {
        *segment = (struct segment){
            .kind = SEGMENT_VARIABLE,
            .text = {.data = text.data + 1, .size = text.size - 2},
        };
        return ERROR_NONE;
    }
    if (text.size > 0 && memchr(text.data, '{', text.size) != NULL)
        return error_set(error, ERROR_INVALID, "route '%s': {name} must be a whole segment",
                         pattern);
    *segment = (struct segment){.kind = SEGMENT_LITERAL, .text = text};
    compiled->literal_count++;
    return ERROR_NONE;
}

static enum error_code compile(const struct http_route *route, struct compiled_route *compiled_out,
                               struct error *error)
{
    if (route->pattern == NULL || route->pattern[0] != '/')
        return error_set(error, ERROR_INVALID, "route '%s': must start with /",
                         route->pattern == NULL ? "" : route->pattern);
    if (route->handler == NULL || route->methods == 0 || (route->methods & HTTP_OTHER) != 0)
        return error_set(error, ERROR_INVALID, "route '%s': needs methods and a handler",
                         route->pattern);
    struct compiled_route compiled = {.route = *route};
    struct text left = text_of(route->pattern + 1);
    bool more = true;
    while (more) {
        struct text segment;
        more = text_split(left, '/', &segment, &left);
        enum error_code code =
            compile_segment(&compiled, segment, more ? SEGMENT_INNER : SEGMENT_LAST, error);
        if (code != ERROR_NONE)
            return code;
    }
    size_t variables = compiled.segment_count - compiled.literal_count + compiled.has_rest;
    if (variables > ROUTE_VARIABLES_MAX)
        return error_set(error, ERROR_LIMIT, "route '%s': more than %d variables", route->pattern,
                         ROUTE_VARIABLES_MAX);
    *compiled_out = compiled;
    return ERROR_NONE;
}

struct http_router *http_router_create(void)
{
    return calloc(1, sizeof(struct http_router));
}

void http_router_destroy(struct http_router *router)
{
    if (router == NULL)
        return;
    free(router->routes);
    free(router);
}

enum error_code http_router_add(struct http_router *router, const struct http_route *route,
                                struct error *error)
{
    struct compiled_route compiled;
    enum error_code code = compile(route, &compiled, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; i < router->count; i++) {
        const struct http_route *other = &router->routes[i].route;
        if (strcmp(other->pattern, route->pattern) == 0 && (other->methods & route->methods) != 0)
            return error_set(error, ERROR_EXISTS, "route '%s': added twice", route->pattern);
    }
    if (router->count == router->capacity) {
        size_t capacity = router->capacity == 0 ? 32 : router->capacity * 2;
        struct compiled_route *routes =
            reallocarray(router->routes, capacity, sizeof *router->routes);
        if (routes == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "router: out of memory");
        router->routes = routes;
        router->capacity = capacity;
    }
    router->routes[router->count++] = compiled;
    return ERROR_NONE;
}

/* --- Matching ---------------------------------------------------------------------------- */

/* Segments beyond SEGMENTS_MAX can be matched by a rest only and stay together in `after`. */
static enum error_code cut_path(struct text text, struct arena *arena, struct path *path_out,
                                struct error *error)
{
    assert(text.size > 0 && text.data[0] == '/');
    struct text left = {.data = text.data + 1, .size = text.size - 1};
    bool more = true;
    path_out->count = 0;
    while (more && path_out->count < SEGMENTS_MAX) {
        struct text segment;
        path_out->after[path_out->count] = left;
        more = text_split(left, '/', &segment, &left);
        enum error_code code =
            http_percent_decode(segment, arena, &path_out->segments[path_out->count++], error);
        if (code != ERROR_NONE)
            return code;
    }
    path_out->after[path_out->count] = left;
    if (more)
        path_out->count++; /* matches no pattern without a rest */
    return ERROR_NONE;
}

static bool matches(const struct compiled_route *compiled, const struct path *path)
{
    if (compiled->has_rest ? path->count < compiled->segment_count + 1
                           : path->count != compiled->segment_count)
        return false;
    for (size_t i = compiled->segment_count; i-- > 0;) {
        const struct segment *segment = &compiled->segments[i];
        if (segment->kind == SEGMENT_LITERAL ? !text_equal(segment->text, path->segments[i])
                                             : path->segments[i].size == 0)
            return false;
    }
    return true;
}

/* Literal beats variable beats rest; with equal merit the first added. */
static bool is_better(const struct compiled_route *left, const struct compiled_route *right)
{
    if (right == NULL || left->has_rest != right->has_rest)
        return right == NULL || right->has_rest;
    return left->literal_count > right->literal_count;
}

static enum error_code fill_variables(const struct compiled_route *compiled,
                                      const struct path *path, struct arena *arena,
                                      struct route_match *match, struct error *error)
{
    match->variable_count = 0;
    for (size_t i = 0; i < compiled->segment_count; i++)
        if (compiled->segments[i].kind == SEGMENT_VARIABLE)
            match->variables[match->variable_count++] = (struct route_variable){
                .name = compiled->segments[i].text,
                .value = path->segments[i],
            };
    if (!compiled->has_rest)
        return ERROR_NONE;
    struct route_variable *rest = &match->variables[match->variable_count++];
    rest->name = TEXT("*");
    return http_percent_decode(path->after[compiled->segment_count], arena, &rest->value, error);
}

enum error_code http_router_match(const struct http_router *router, unsigned method,
                                  struct text path_text, struct arena *arena,
                                  struct route_match *match_out, struct error *error)
{
    struct path path;
    enum error_code code = cut_path(path_text, arena, &path, error);
    if (code != ERROR_NONE)
        return code;
    *match_out = (struct route_match){0};
    const struct compiled_route *known = NULL;
    const struct compiled_route *taken = NULL;
    for (size_t i = 0; i < router->count; i++) {
        const struct compiled_route *compiled = &router->routes[i];
        if (!matches(compiled, &path))
            continue;
        if (is_better(compiled, known))
            known = compiled;
        if ((compiled->route.methods & method) != 0 && is_better(compiled, taken))
            taken = compiled;
        match_out->methods |= compiled->route.methods;
    }
    if (known == NULL)
        return ERROR_NONE;
    match_out->pattern = taken == NULL ? known->route.pattern : taken->route.pattern;
    if (taken == NULL)
        return ERROR_NONE;
    match_out->route = &taken->route;
    return fill_variables(taken, &path, arena, match_out, error);
}
