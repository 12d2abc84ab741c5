/*
 * pattern - a regular expression in the cheapest form that answers for it.
 *
 * Most expressions in queries are an alternation of literals or literals with `.*` and `.+`
 * between them; those are compared directly. Only the rest goes to RE2.
 */
#ifndef MODEL_PATTERN_H
#define MODEL_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"

struct regex_re2;

enum pattern_kind {
    PATTERN_LITERALS, /* any of a set of strings */
    PATTERN_SEGMENTS, /* literals with gaps between */
    PATTERN_REGEX,
};

/* A literal and the least number of bytes between it and the one before. */
struct pattern_segment {
    struct text literal;
    size_t gap_min;
};

/* `first` gap literal gap literal ... gap `last`: at least one gap. */
struct pattern_segments {
    struct text first; /* at the start of the value; may be empty */
    struct text last;  /* at its end, after `last_gap_min` bytes */
    size_t last_gap_min;
    struct pattern_segment *middle; /* [middle_count] */
    size_t middle_count;
};

struct matcher_pattern {
    enum pattern_kind kind;
    struct arena *arena; /* owns what follows, RE2 aside */

    struct text *literals; /* [literal_count], sorted, unique */
    size_t literal_count;
    size_t literal_size_min;
    size_t literal_size_max;
    /* Open addressing: index + 1, 0 is free; NULL for a few literals. */
    uint32_t *table; /* [table_mask + 1] */
    size_t table_mask;

    struct pattern_segments segments;

    struct regex_re2 *regex;
    struct text prefix; /* that every match has */
};

/* `expression` must live as long as the pattern. Errors: as matcher_create. */
enum error_code pattern_create(struct text expression, struct matcher_pattern **pattern_out,
                               struct error *error);
void pattern_destroy(struct matcher_pattern *pattern);
bool pattern_matches(const struct matcher_pattern *pattern, struct text value);

/*
 * All strings that `expression` matches, when it is made of literals, groups, alternations, `?`
 * and small character classes only; in
 * the arena or the expression, unsorted, not unique. False when it is not, or
 * when there are too many, or memory is out: another form must be tried.
 */
bool pattern_expand(struct text expression, struct arena *arena, struct text **literals_out,
                    size_t *count_out);

/* The literal at the start of `expression`, unescaped, as far as nothing after it changes it; in
 * the arena or in the expression. *rest_out is what follows. */
struct text pattern_take_literal(struct text expression, struct arena *arena,
                                 struct text *rest_out);

#endif
