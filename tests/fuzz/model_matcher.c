/*
 * An expression and a value, split at the first newline: the fast paths must agree with RE2, which
 * is reached by a group that changes nothing but hides the expression from them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "model/matcher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct matcher *make(struct text expression)
{
    struct matcher *matcher = NULL;
    struct error error;
    if (matcher_create(MATCHER_REGEX, TEXT("n"), expression, &matcher, &error) != ERROR_NONE)
        return NULL;
    return matcher;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text expression;
    struct text value;
    if (size > 4096 ||
        !text_split((struct text){(const char *)data, size}, '\n', &expression, &value))
        return 0;
    struct arena *arena = arena_create(0);
    struct matcher *matcher = make(expression);
    struct text hidden = arena_format(arena, "(?s:%.*s)", TEXT_ARGUMENTS(expression));
    bool whole = memchr(expression.data, '\0', expression.size) == NULL;
    if (whole && text_is_utf8(value)) {
        struct matcher *slow = make(hidden);
        /* Sizes may pass a limit in one form only; validity may not differ otherwise. */
        if (matcher != NULL && slow != NULL &&
            matcher_matches(matcher, value) != matcher_matches(slow, value))
            abort();
        matcher_destroy(slow);
    }
    if (matcher != NULL && matcher_matches(matcher, value) &&
        !text_starts_with(value, matcher_prefix(matcher)))
        abort();
    const struct text *values;
    size_t count;
    if (matcher != NULL && matcher_literals(matcher, &values, &count)) {
        for (size_t i = 0; i < count; i++) {
            if (!matcher_matches(matcher, values[i]))
                abort();
        }
    }
    matcher_destroy(matcher);
    arena_destroy(arena);
    return 0;
}
