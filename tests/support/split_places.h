/*
 * split_places - a promql_distributor over places in memory, for tests of what distributes.
 *
 * The series of a series_memory are dealt to the places by their labels; requests and answers go
 * through their bytes, answers in odd pieces; those of more than two places as they come.
 */
#ifndef SUPPORT_SPLIT_PLACES_H
#define SUPPORT_SPLIT_PLACES_H

#include "promql/distribution.h"
#include "promql/partial.h"
#include "series_memory.h"

struct split_places;

/* What becomes of answers on the way. */
struct split_faults {
    uint64_t samples_max;   /* of the places; 0: none */
    uint64_t memory_bytes;  /* likewise */
    size_t cut_after_bytes; /* answers end there; 0: never */
    size_t left_out_place; /* answers of this place (from 1) are left out with a warning; 0: none */
    size_t refused_place;  /* reading this place (from 1) fails: UNAVAILABLE; 0: none */
    bool declines;         /* everything */
    bool reads_in_order;   /* one place after the other */
};

/* `memory` is copied. */
struct split_places *split_places_create(const struct series_memory *memory, size_t place_count,
                                         struct worker_pool *pool);
void split_places_destroy(struct split_places *places);

struct promql_distributor *split_places_distributor(struct split_places *places);
/* Texts of requests are not looked at from now on; they are until then. */
void split_places_set_faults(struct split_places *places, struct split_faults faults);

/* How places write their answers from now on; FAST at first. */
void split_places_set_packing(struct split_places *places, enum promql_partial_packing packing);

/* Since the places were made. */
size_t split_places_request_count(const struct split_places *places);
/* Begun and not yet closed: now, and at most. */
size_t split_places_under_way(const struct split_places *places);
size_t split_places_under_way_max(const struct split_places *places);
uint64_t split_places_answer_bytes(const struct split_places *places);
/* The text of the latest request. */
struct text split_places_latest(const struct split_places *places);

#endif
