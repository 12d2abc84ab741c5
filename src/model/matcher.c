#include "model/matcher.h"

#include <assert.h>
#include <stdlib.h>

#include "pattern.h"

static bool is_regex(enum matcher_type type)
{
    return type == MATCHER_REGEX || type == MATCHER_NOT_REGEX;
}

/* One allocation: the matcher, then the bytes of name and value. */
static struct matcher *allocate(enum matcher_type type, struct text name, struct text value)
{
    struct matcher *matcher = malloc(sizeof *matcher + name.size + value.size);
    if (matcher == NULL)
        return NULL;
    char *characters = (char *)(matcher + 1);
    if (name.size > 0)
        memcpy(characters, name.data, name.size);
    if (value.size > 0)
        memcpy(characters + name.size, value.data, value.size);
    *matcher = (struct matcher){
        .type = type,
        .name = {characters, name.size},
        .value = {characters + name.size, value.size},
    };
    return matcher;
}

enum error_code matcher_create(enum matcher_type type, struct text name, struct text value,
                               struct matcher **matcher_out, struct error *error)
{
    assert(matcher_out != NULL);

    struct matcher *matcher = allocate(type, name, value);
    if (matcher == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "matcher");
    if (is_regex(type)) {
        enum error_code code = pattern_create(matcher->value, &matcher->pattern, error);
        if (code != ERROR_NONE) {
            matcher_destroy(matcher);
            return code;
        }
    }
    *matcher_out = matcher;
    return ERROR_NONE;
}

void matcher_destroy(struct matcher *matcher)
{
    if (matcher == NULL)
        return;
    pattern_destroy(matcher->pattern);
    free(matcher);
}

bool matcher_matches(const struct matcher *matcher, struct text value)
{
    if (value.data == NULL)
        value = TEXT("");
    switch (matcher->type) {
    case MATCHER_EQUAL:
        return text_equal(matcher->value, value);
    case MATCHER_NOT_EQUAL:
        return !text_equal(matcher->value, value);
    case MATCHER_REGEX:
        return pattern_matches(matcher->pattern, value);
    case MATCHER_NOT_REGEX:
        return !pattern_matches(matcher->pattern, value);
    }
    return false;
}

bool matcher_literals(const struct matcher *matcher, const struct text **values_out,
                      size_t *count_out)
{
    if (matcher->type == MATCHER_EQUAL) {
        *values_out = &matcher->value;
        *count_out = 1;
        return true;
    }
    if (matcher->type == MATCHER_REGEX && matcher->pattern->kind == PATTERN_LITERALS) {
        *values_out = matcher->pattern->literals;
        *count_out = matcher->pattern->literal_count;
        return true;
    }
    return false;
}

struct text matcher_prefix(const struct matcher *matcher)
{
    if (matcher->type == MATCHER_EQUAL)
        return matcher->value;
    if (matcher->type == MATCHER_REGEX)
        return matcher->pattern->prefix;
    return (struct text){0};
}
