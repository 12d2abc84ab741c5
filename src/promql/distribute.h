/*
 * distribute - sub-expressions of a query that are evaluated elsewhere: begun all at once, read in
 * the order of the places when the engine comes to them.
 */
#ifndef PROMQL_DISTRIBUTE_H
#define PROMQL_DISTRIBUTE_H

#include "aggregate.h"
#include "distribute_plan.h"
#include "evaluation.h"
#include "partial_answer.h"

/* One sub-expression and its answers. */
struct distributed {
    const struct expression *expression;
    struct step_range steps;
    struct distribution_plan plan;
    struct promql_partial_request request;
    struct promql_distribution *distribution; /* NULL: declined */
    struct answer_reader *readers;            /* [place_count] */
    uint8_t *flags;                           /* [place_count], enum answer_flags */
    bool is_taken;
    struct distributed *next;
};

/*
 * Begin what of an expression distributes, without waiting; what is inside of sub-queries follows
 * when the engine comes to it. Errors: those of the distributor, WOULD_WAIT.
 */
enum error_code distribution_begin_all(struct evaluation *evaluation,
                                       const struct expression *expression,
                                       const struct step_range *steps, struct error *error);

/* The stream of an expression that is evaluated elsewhere; NULL in *stream_out: it is to be
 * evaluated here. */
enum error_code distribution_stream(struct evaluation *evaluation,
                                    const struct expression *expression,
                                    const struct step_range *steps, struct stream **stream_out,
                                    struct error *error);

/*
 * The groups of an aggregation, of all places and not finished; *are_merged_out false: they are to
 * be made here. The plan is that of the aggregation.
 */
enum error_code distribution_groups(struct evaluation *evaluation,
                                    const struct expression *expression,
                                    const struct step_range *steps, struct aggregation_plan *plan,
                                    struct aggregation_groups *groups_out, bool *are_merged_out,
                                    struct error *error);

/* Answers that nobody has read are canceled. */
void distribution_close_all(struct evaluation *evaluation);

/* --- Merging --------------------------------------------------------------------------------- */

/* Make a stream of the answers, whose headers were read. */
enum error_code distribution_merge(struct evaluation *evaluation, struct distributed *distributed,
                                   struct stream **stream_out, struct error *error);

/* Likewise the groups of an aggregation; to be cleared. */
enum error_code distribution_merge_groups(struct evaluation *evaluation,
                                          struct distributed *distributed,
                                          struct aggregation_plan *plan,
                                          struct aggregation_groups *groups_out,
                                          struct error *error);

#endif
