#include "pattern.h"

#include <assert.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "regex_re2.h"

enum {
    ARENA_BYTES_MAX = 8 * 1024 * 1024, /* beyond, RE2 decides */
    LINEAR_LITERALS_MAX = 4,           /* compared one after another, without a table */
};

/* --- A set of literals ----------------------------------------------------------------------- */

static int compare_texts(const void *left, const void *right)
{
    return text_compare(*(const struct text *)left, *(const struct text *)right);
}

static size_t table_slot(const struct matcher_pattern *pattern, struct text value)
{
    return hash64(value.data, value.size, HASH_SEED_STORED) & pattern->table_mask;
}

static bool build_table(struct matcher_pattern *pattern)
{
    if (pattern->literal_count <= LINEAR_LITERALS_MAX)
        return true;
    size_t size = 8;
    while (size < 2 * pattern->literal_count)
        size *= 2;
    pattern->table = arena_array(pattern->arena, size, sizeof *pattern->table);
    if (pattern->table == NULL)
        return false;
    pattern->table_mask = size - 1;
    for (size_t i = 0; i < pattern->literal_count; i++) {
        size_t slot = table_slot(pattern, pattern->literals[i]);
        while (pattern->table[slot] != 0)
            slot = (slot + 1) & pattern->table_mask;
        pattern->table[slot] = (uint32_t)i + 1;
    }
    return true;
}

/* The bytes that the first and the last of sorted texts share at their start are in all. */
static struct text common_prefix(const struct text *sorted, size_t count)
{
    struct text first = sorted[0];
    struct text last = sorted[count - 1];
    size_t size = 0;
    while (size < first.size && size < last.size && first.data[size] == last.data[size])
        size++;
    return (struct text){first.data, size};
}

static bool try_literals(struct matcher_pattern *pattern, struct text expression)
{
    size_t count;
    if (!pattern_expand(expression, pattern->arena, &pattern->literals, &count))
        return false;
    qsort(pattern->literals, count, sizeof *pattern->literals, compare_texts);
    pattern->literal_size_min = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        struct text literal = pattern->literals[i];
        if (pattern->literal_count > 0 &&
            text_equal(pattern->literals[pattern->literal_count - 1], literal))
            continue;
        pattern->literals[pattern->literal_count++] = literal;
        if (literal.size < pattern->literal_size_min)
            pattern->literal_size_min = literal.size;
        if (literal.size > pattern->literal_size_max)
            pattern->literal_size_max = literal.size;
    }
    if (!build_table(pattern))
        return false;
    pattern->kind = PATTERN_LITERALS;
    pattern->prefix = common_prefix(pattern->literals, pattern->literal_count);
    return true;
}

static bool literals_match(const struct matcher_pattern *pattern, struct text value)
{
    if (value.size < pattern->literal_size_min || value.size > pattern->literal_size_max)
        return false;
    if (pattern->table == NULL) {
        for (size_t i = 0; i < pattern->literal_count; i++) {
            if (text_equal(pattern->literals[i], value))
                return true;
        }
        return false;
    }
    size_t slot = table_slot(pattern, value);
    while (pattern->table[slot] != 0) {
        if (text_equal(pattern->literals[pattern->table[slot] - 1], value))
            return true;
        slot = (slot + 1) & pattern->table_mask;
    }
    return false;
}

/* --- Literals with gaps ---------------------------------------------------------------------- */

/*
 * `.*` or `.+`, or several in a row, at the start of `*rest`; false when something else is, or when
 * they take two characters at least: those are no number of bytes.
 */
static bool take_gap(struct text *rest, size_t *gap_min_out)
{
    size_t gap_min = 0;
    bool taken = false;
    while (rest->size >= 2 && rest->data[0] == '.' &&
           (rest->data[1] == '*' || rest->data[1] == '+')) {
        gap_min += rest->data[1] == '+';
        *rest = (struct text){rest->data + 2, rest->size - 2};
        taken = true;
        if (rest->size > 0 && rest->data[0] == '?') /* lazy: the same strings match */
            *rest = (struct text){rest->data + 1, rest->size - 1};
    }
    *gap_min_out = gap_min;
    return taken && gap_min <= 1;
}

static bool try_segments(struct matcher_pattern *pattern, struct text expression)
{
    struct pattern_segments *segments = &pattern->segments;
    struct text rest = expression;
    if (!text_is_utf8(expression))
        return false;
    segments->first = pattern_take_literal(rest, pattern->arena, &rest);
    size_t gap_min;
    if (!take_gap(&rest, &gap_min))
        return false;
    size_t capacity = 0;
    for (;;) {
        struct text literal = pattern_take_literal(rest, pattern->arena, &rest);
        size_t next_gap_min;
        if (rest.size == 0) {
            segments->last = literal;
            segments->last_gap_min = gap_min;
            break;
        }
        if (literal.size == 0 || !take_gap(&rest, &next_gap_min))
            return false;
        if (segments->middle_count == capacity) {
            size_t grown = capacity == 0 ? 4 : capacity * 2;
            segments->middle = arena_grow(pattern->arena, segments->middle, capacity, grown,
                                          sizeof *segments->middle);
            if (segments->middle == NULL)
                return false;
            capacity = grown;
        }
        segments->middle[segments->middle_count++] =
            (struct pattern_segment){.literal = literal, .gap_min = gap_min};
        gap_min = next_gap_min;
    }
    pattern->kind = PATTERN_SEGMENTS;
    pattern->prefix = segments->first;
    return true;
}

/* The first fit of each literal from left to right leaves the most room for the rest. */
static bool segments_match(const struct pattern_segments *segments, struct text value)
{
    size_t ends = segments->first.size + segments->last.size + segments->last_gap_min;
    if (value.size < ends || !text_starts_with(value, segments->first) ||
        !text_ends_with(value, segments->last))
        return false;
    size_t start = segments->first.size;
    size_t end = value.size - segments->last.size;
    for (size_t i = 0; i < segments->middle_count; i++) {
        struct pattern_segment segment = segments->middle[i];
        if (end - start < segment.gap_min)
            return false;
        start += segment.gap_min;
        const char *found =
            memmem(value.data + start, end - start, segment.literal.data, segment.literal.size);
        if (found == NULL)
            return false;
        start = (size_t)(found - value.data) + segment.literal.size;
    }
    return end - start >= segments->last_gap_min;
}

/* --- The rest -------------------------------------------------------------------------------- */

/* Anchors at the ends change nothing: the whole value must match anyway. */
static struct text strip_anchors(struct text expression)
{
    if (memchr(expression.data, '|', expression.size) != NULL)
        return expression; /* they may belong to one alternative alone */
    if (expression.size > 0 && expression.data[0] == '^')
        expression = (struct text){expression.data + 1, expression.size - 1};
    size_t size = expression.size;
    if (size > 0 && expression.data[size - 1] == '$' &&
        (size == 1 || expression.data[size - 2] != '\\'))
        expression.size--;
    return expression;
}

/* A literal at the start that no alternative avoids. */
static struct text required_prefix(struct matcher_pattern *pattern, struct text expression)
{
    if (memchr(expression.data, '|', expression.size) != NULL)
        return (struct text){0};
    struct text rest;
    return pattern_take_literal(expression, pattern->arena, &rest);
}

/* Each attempt has an arena of its own, so that a failed one leaves nothing behind. */
static bool attempt(struct matcher_pattern *pattern, struct text expression,
                    bool (*form)(struct matcher_pattern *, struct text))
{
    pattern->arena = arena_create(ARENA_BYTES_MAX);
    if (pattern->arena != NULL && form(pattern, expression))
        return true;
    arena_destroy(pattern->arena);
    *pattern = (struct matcher_pattern){0};
    return false;
}

enum error_code pattern_create(struct text expression, struct matcher_pattern **pattern_out,
                               struct error *error)
{
    struct matcher_pattern *pattern = calloc(1, sizeof *pattern);
    if (pattern == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "matcher");

    struct text stripped = strip_anchors(expression);
    enum error_code code = ERROR_NONE;
    if (!attempt(pattern, stripped, try_literals) && !attempt(pattern, stripped, try_segments)) {
        pattern->kind = PATTERN_REGEX;
        pattern->arena = arena_create(ARENA_BYTES_MAX);
        if (pattern->arena == NULL)
            code = error_set(error, ERROR_OUT_OF_MEMORY, "matcher");
        else
            code = regex_re2_create(expression.data, expression.size, &pattern->regex, error);
        if (code == ERROR_NONE)
            pattern->prefix = required_prefix(pattern, stripped);
    }
    if (code != ERROR_NONE) {
        pattern_destroy(pattern);
        return code;
    }
    *pattern_out = pattern;
    return ERROR_NONE;
}

void pattern_destroy(struct matcher_pattern *pattern)
{
    if (pattern == NULL)
        return;
    regex_re2_destroy(pattern->regex);
    arena_destroy(pattern->arena);
    free(pattern);
}

bool pattern_matches(const struct matcher_pattern *pattern, struct text value)
{
    switch (pattern->kind) {
    case PATTERN_LITERALS:
        return literals_match(pattern, value);
    case PATTERN_SEGMENTS:
        return segments_match(&pattern->segments, value);
    case PATTERN_REGEX:
        return text_starts_with(value, pattern->prefix) &&
               regex_re2_matches(pattern->regex, value.data, value.size);
    }
    return false;
}
