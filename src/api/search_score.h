/*
 * search_score - how well a name or value fits what somebody typed: the scores of Prometheus'
 * search endpoints.
 *
 * A term accepts a value with a score in [0, 1]; of several terms the best counts. A prefix scores
 * 1 with either algorithm.
 */
#ifndef API_SEARCH_SCORE_H
#define API_SEARCH_SCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/text.h"

enum search_algorithm {
    SEARCH_SUBSEQUENCE, /* the characters in their order, runs of them best */
    SEARCH_SUBSTRING,   /* and, with a threshold, what is similar (Jaro-Winkler) */
};

enum search_case { SEARCH_CASE_COUNTS, SEARCH_CASE_FOLDED };

/* Characters of a text as Unicode. */
struct characters {
    uint32_t *values; /* [count] */
    size_t count;
    size_t capacity;
};

enum { SEARCH_TERMS_MAX = 32 };

struct search_filter {
    enum search_algorithm algorithm;
    enum search_case folding;
    double threshold; /* [0, 1] */
    struct characters terms[SEARCH_TERMS_MAX];
    size_t term_count; /* 0: everything is accepted */
    /* Of the value that is looked at. */
    struct arena *arena;
    struct characters value;
    bool *marks; /* [2 * value.capacity + of a term] */
    size_t mark_capacity;
    bool out_of_memory;
};

/* An empty term is left out. False when memory is out. */
bool search_filter_add(struct search_filter *filter, struct text term);

/* Whether a term accepts the value; out_of_memory tells why nothing is accepted any more. */
bool search_filter_accepts(struct search_filter *filter, struct text value, double *score_out);

#endif
