/*
 * A way to search, terms and a value: scores lie between 0 and 1, the value itself scores 1, and so
 * does what begins with the term.
 */
#include <stdlib.h>

#include "search_score.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The filter with one term more, and what it says of a value. */
static void check(uint8_t choice, struct text terms, struct text value, struct text extra)
{
    struct arena *arena = arena_create(16 * 1024 * 1024);
    struct search_filter filter = {
        .algorithm = choice & 1 ? SEARCH_SUBSEQUENCE : SEARCH_SUBSTRING,
        .folding = choice & 2 ? SEARCH_CASE_COUNTS : SEARCH_CASE_FOLDED,
        .threshold = (choice >> 2) / 63.0,
        .arena = arena,
    };
    struct text term;
    while (filter.term_count + 1 < SEARCH_TERMS_MAX && text_split(terms, '\n', &term, &terms))
        search_filter_add(&filter, term);
    search_filter_add(&filter, extra);
    double score;
    bool accepted = search_filter_accepts(&filter, value, &score);
    if (filter.out_of_memory || !(score >= 0 && score <= 1) || (!accepted && score != 0))
        abort();
    /* Of characters, not of parts of them. */
    bool begins = extra.size > 0 && text_starts_with(value, extra) && text_is_utf8(extra) &&
                  text_is_utf8(value);
    if (begins && (!accepted || score < 1))
        abort();
    arena_destroy(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text terms, value;
    if (size == 0 || size > 2000)
        return 0;
    struct text rest = {(const char *)data + 1, size - 1};
    text_split(rest, '\0', &terms, &value);
    check(data[0], terms, value, value);
    check(data[0], terms, value, (struct text){value.data, value.size / 2});
    check(data[0], terms, value, (struct text){0});
    return 0;
}
