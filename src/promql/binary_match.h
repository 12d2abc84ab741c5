/*
 * binary_match - one arithmetic operator or comparison of two vectors, as it is evaluated. Private
 * to the engine: binary_match.c makes and reads it, binary_collisions.c judges it.
 */
#ifndef PROMQL_BINARY_MATCH_H
#define PROMQL_BINARY_MATCH_H

#include "binary.h"
#include "label_table.h"

#define NO_SERIES UINT32_MAX

struct match_pair {
    uint32_t many; /* NO_SERIES: the fill value */
    uint32_t one;
};

/* The series of one side by group. */
struct match_side {
    struct stream *stream;
    size_t *group_of; /* [stream->count] */
    uint32_t *first;  /* [group count]: the group's first series; NO_SERIES: none */
    uint32_t *last;
    uint32_t *next; /* [stream->count]: the next of the same group; NO_SERIES: none */
};

struct match_stream {
    struct stream stream;
    const struct expression *expression;
    const struct vector_matching *matching;
    struct matching_key key;
    bool is_swapped; /* group_right: the many side stands on the right */
    bool has_many_fill;
    bool has_one_fill;
    double many_fill;
    double one_fill;
    struct arena *arena;
    struct label_table groups;
    struct match_side many;
    struct match_side one;
    struct match_pair *pairs; /* [stream.count] */
    size_t pair_capacity;
    struct label_list named; /* by `on` or `ignoring` */
};

/* The labels of the result of a pair, in `arena`. */
struct labels match_pair_labels(struct match_stream *match, struct match_pair pair,
                                struct arena *arena);

/* Read the series that meet nobody, for their annotations and errors. The stream is complete. */
enum error_code match_read_unmatched(struct match_stream *match, struct error *error);

/*
 * Whether some result would be there twice, in Prometheus' words. The stream is complete and its
 * pairs stand in the order of the many side. Errors: INVALID, and those of reading.
 */
enum error_code match_check_collisions(struct match_stream *match, struct error *error);

#endif
