/*
 * router_match - what a server asks a router.
 */
#ifndef HTTP_ROUTER_MATCH_H
#define HTTP_ROUTER_MATCH_H

#include <stddef.h>

#include "base/arena.h"
#include "http/router.h"

enum { ROUTE_VARIABLES_MAX = 4 };

/* A segment that a pattern names. */
struct route_variable {
    struct text name;
    struct text value; /* decoded */
};

struct route_match {
    const struct http_route *route; /* NULL: the path is unknown, or known for other methods */
    const char *pattern;            /* of the path; NULL: unknown */
    unsigned methods;               /* all that are taken for this path */
    struct route_variable variables[ROUTE_VARIABLES_MAX];
    size_t variable_count;
};

/*
 * `path` starts with '/', not decoded. Decoded texts are in `arena`.
 * Errors: INVALID (bad escape), OUT_OF_MEMORY.
 */
enum error_code http_router_match(const struct http_router *router, unsigned method,
                                  struct text path, struct arena *arena,
                                  struct route_match *match_out, struct error *error);

#endif
