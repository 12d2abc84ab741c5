/*
 * shard_check - the parts of one comparison of a shard with its model.
 */
#ifndef TESTS_SHARD_CHECK_H
#define TESTS_SHARD_CHECK_H

#include "promql/series_source.h"
#include "shard_model.h"

struct checker {
    struct shard_model *model;
    enum model_check check;
    unsigned tenant;
    bool queried; /* read by a query, not from the shard */
};

/* Note what is wrong; false. */
bool checker_wrong(struct checker *checker, const char *what, unsigned series, int64_t time_ms);

/* Whether it is right that nothing is found of a sample or exemplar. */
bool checker_may_be_gone(const struct checker *checker, unsigned series,
                         const struct model_sample *sample);

/* --- shard_check_beside.c: what belongs to series and metrics, but is no sample -------------- */

bool checker_check_exemplars(struct checker *checker, struct shard *shard,
                             const struct series_request *request, struct error *error);
bool checker_check_metadata(struct checker *checker, struct shard *shard);

#endif
