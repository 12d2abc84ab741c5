/*
 * distribute_plan - which expressions can be evaluated where their series are.
 *
 * An expression distributes when its value over all series is that of its values over disjoint sets
 * of them put together. It may make series equal that were not (a dropped name, a replaced label):
 * as long as nothing more is done to them, that shows when they come together. A pure function of
 * the tree; any thread.
 */
#ifndef PROMQL_DISTRIBUTE_PLAN_H
#define PROMQL_DISTRIBUTE_PLAN_H

#include "promql/ast.h"
#include "promql/parser.h"

enum distribution_kind {
    DISTRIBUTE_NOT,
    DISTRIBUTE_SERIES,   /* its series are those of all places */
    DISTRIBUTE_GROUPS,   /* an aggregation whose groups are merged */
    DISTRIBUTE_SELECTED, /* topk, bottomk, limitk: the best of the best of each place */
    DISTRIBUTE_ABSENT,   /* absent is what is absent in all places */
};

struct distribution_plan {
    enum distribution_kind kind;
    /* It holds only as long as no series has labels that go with the metric's name, and with which
     * series of one name may be equal once it is dropped. */
    bool needs_plain_names;
};

struct distribution_plan distribution_plan_of(const struct expression *expression,
                                              enum promql_features features);

#endif
