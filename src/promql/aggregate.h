/*
 * aggregate - series into groups, step by step.
 *
 * An input is read in parts; each part fills groups of its own, which are merged in the order of
 * the parts, so that the result does not depend on threads. A set of groups is also what a shard
 * would send to the node that merges: see aggregation_merge.
 */
#ifndef PROMQL_AGGREGATE_H
#define PROMQL_AGGREGATE_H

#include "evaluation.h"
#include "label_list.h"
#include "label_table.h"

/* What one group holds: a column per quantity, filled in by its operation. */
struct aggregation_group {
    uint64_t *present;        /* steps with a value */
    double *values;           /* sum, minimum, maximum, count, mean of squares' differences ... */
    double *compensation;     /* of compensated sums */
    double *counts;           /* of values, for means */
    double *means;            /* stddev, stdvar */
    uint64_t *incremental;    /* avg: steps whose sum would overflow, `values` is the mean */
    struct value_list *lists; /* quantile: [steps] */
    struct histogram_sums *histograms; /* sum, avg: NULL without native histograms */
    struct text metric_name;           /* the least of series with histograms, for annotations */
    bool drops_name;
};

struct value_list {
    double *values; /* [capacity] */
    size_t count;
    size_t capacity;
};

struct aggregation_plan {
    struct evaluation *evaluation;
    const struct aggregation_node *node;
    struct text_range operand_position;
    struct step_range steps;
    struct label_list labels;
    const double *parameters; /* [steps]; NULL: none */
    struct text value_label;  /* count_values */
    bool needs_labels;        /* of series without histograms, that is */
};

/* Groups of a part, or of all; the arena is theirs. */
struct aggregation_groups {
    struct arena *arena;
    struct label_table table;
    struct aggregation_group *groups; /* [table.count] */
    size_t capacity;
};

/* How an operation fills, merges and finishes a group. */
struct aggregation_operations {
    bool (*init)(const struct aggregation_plan *plan, struct aggregation_group *group,
                 struct arena *arena);
    enum error_code (*add)(const struct aggregation_plan *plan, struct aggregation_group *group,
                           const struct step_vector *vector, struct arena *arena,
                           struct error *error);
    enum error_code (*merge)(const struct aggregation_plan *plan, struct aggregation_group *group,
                             const struct aggregation_group *other, struct arena *arena,
                             struct error *error);
    /* The values of each step in place; clears steps that have no result. */
    enum error_code (*finish)(const struct aggregation_plan *plan, struct aggregation_group *group,
                              struct arena *arena, struct error *error);
};

/* Of the operations that reduce each group to one series. */
const struct aggregation_operations *aggregation_operations_of(enum aggregation operation);

/* The group of `labels` (already projected), made when new; NULL when memory is out. */
struct aggregation_group *aggregation_group_of(const struct aggregation_plan *plan,
                                               struct aggregation_groups *groups,
                                               struct labels labels);

/* Groups without any; false when memory is out. */
bool aggregation_groups_init(struct aggregation_groups *groups, struct evaluation *evaluation);
void aggregation_groups_clear(struct aggregation_groups *groups);

/* Add `other`, whose labels are `labels`, to its group. Errors: LIMIT, OUT_OF_MEMORY. */
enum error_code aggregation_merge_group(const struct aggregation_plan *plan,
                                        struct aggregation_groups *groups, struct labels labels,
                                        const struct aggregation_group *other, struct error *error);

/* Add all of `other` to `groups`. Errors: LIMIT, OUT_OF_MEMORY. */
enum error_code aggregation_merge(const struct aggregation_plan *plan,
                                  struct aggregation_groups *groups,
                                  const struct aggregation_groups *other, struct error *error);

/* The labels of a series' group, in the arena. */
struct labels aggregation_project(const struct aggregation_plan *plan, struct labels labels,
                                  struct arena *arena);

/* "ignored histogram in max aggregation". */
void aggregation_note_histogram(const struct aggregation_plan *plan, struct text_range position);

/* An aggregation without its input: the parameter is evaluated. */
enum error_code aggregation_plan_make(struct evaluation *evaluation,
                                      const struct expression *expression,
                                      const struct step_range *steps,
                                      struct aggregation_plan **plan_out, struct error *error);

/* Read all of `input`, which is closed, into groups; of operations that reduce. */
enum error_code aggregation_collect(const struct aggregation_plan *plan, struct stream *input,
                                    struct aggregation_groups *groups_out, struct error *error);

/* The result of groups, which are cleared, as a stream. */
enum error_code aggregation_finish(const struct aggregation_plan *plan,
                                   struct aggregation_groups *groups, struct stream **stream_out,
                                   struct error *error);

/* An aggregation as a stream. */
enum error_code aggregate_stream(struct evaluation *evaluation, const struct expression *expression,
                                 const struct step_range *steps, struct stream **stream_out,
                                 struct error *error);

/* topk, bottomk, limitk, limit_ratio: series themselves, some of them. Takes `input` over. */
enum error_code aggregate_select(const struct aggregation_plan *plan,
                                 const struct expression *expression, struct stream *input,
                                 struct stream **stream_out, struct error *error);

/* --- Native histograms (sum, avg) ------------------------------------------------------------ */

struct histogram_sums {
    const struct histogram **sums; /* [steps], own, NULL: none yet */
    double *counts;                /* of histograms added up, for avg */
    uint64_t *has_float;           /* steps with floats: a mix has no result */
    uint64_t *incompatible;        /* steps with exponential and custom buckets */
    uint64_t *seen_reset;          /* counter reset hints that contradict each other */
    uint64_t *seen_no_reset;
};

/* Nothing added up yet; NULL when memory is out. */
struct histogram_sums *aggregation_sums_create(struct arena *arena, size_t step_count);

enum error_code aggregation_histograms_add(const struct aggregation_plan *plan,
                                           struct aggregation_group *group,
                                           const struct step_vector *vector, struct arena *arena,
                                           struct error *error);
enum error_code aggregation_histograms_merge(const struct aggregation_plan *plan,
                                             struct aggregation_group *group,
                                             const struct aggregation_group *other,
                                             struct arena *arena, struct error *error);
/* Clears steps without a result. */
enum error_code aggregation_histograms_finish(const struct aggregation_plan *plan,
                                              struct aggregation_group *group, struct arena *arena,
                                              struct error *error);

#endif
