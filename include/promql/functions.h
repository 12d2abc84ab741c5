/*
 * functions - the functions of PromQL (Prometheus 3.14): names, argument types, results.
 *
 * One table, indexed by function id; the engine keeps its implementations in a table of the same
 * order. Constant data, any thread.
 */
#ifndef PROMQL_FUNCTIONS_H
#define PROMQL_FUNCTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "promql/value_type.h"

enum function_id {
    FUNCTION_ABS,
    FUNCTION_ABSENT,
    FUNCTION_ABSENT_OVER_TIME,
    FUNCTION_ACOS,
    FUNCTION_ACOSH,
    FUNCTION_ASIN,
    FUNCTION_ASINH,
    FUNCTION_ATAN,
    FUNCTION_ATANH,
    FUNCTION_AVG_OVER_TIME,
    FUNCTION_CEIL,
    FUNCTION_CHANGES,
    FUNCTION_CLAMP,
    FUNCTION_CLAMP_MAX,
    FUNCTION_CLAMP_MIN,
    FUNCTION_COS,
    FUNCTION_COSH,
    FUNCTION_COUNT_OVER_TIME,
    FUNCTION_DAY_OF_MONTH,
    FUNCTION_DAY_OF_WEEK,
    FUNCTION_DAY_OF_YEAR,
    FUNCTION_DAYS_IN_MONTH,
    FUNCTION_DEG,
    FUNCTION_DELTA,
    FUNCTION_DERIV,
    FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING,
    FUNCTION_END,
    FUNCTION_EXP,
    FUNCTION_FIRST_OVER_TIME,
    FUNCTION_FLOOR,
    FUNCTION_HISTOGRAM_AVG,
    FUNCTION_HISTOGRAM_COUNT,
    FUNCTION_HISTOGRAM_FRACTION,
    FUNCTION_HISTOGRAM_QUANTILE,
    FUNCTION_HISTOGRAM_QUANTILES,
    FUNCTION_HISTOGRAM_STDDEV,
    FUNCTION_HISTOGRAM_STDVAR,
    FUNCTION_HISTOGRAM_SUM,
    FUNCTION_HOUR,
    FUNCTION_IDELTA,
    FUNCTION_INCREASE,
    FUNCTION_INFO,
    FUNCTION_IRATE,
    FUNCTION_LABEL_JOIN,
    FUNCTION_LABEL_REPLACE,
    FUNCTION_LAST_OVER_TIME,
    FUNCTION_LN,
    FUNCTION_LOG10,
    FUNCTION_LOG2,
    FUNCTION_MAD_OVER_TIME,
    FUNCTION_MAX_OF,
    FUNCTION_MAX_OVER_TIME,
    FUNCTION_MIN_OF,
    FUNCTION_MIN_OVER_TIME,
    FUNCTION_MINUTE,
    FUNCTION_MONTH,
    FUNCTION_PI,
    FUNCTION_PREDICT_LINEAR,
    FUNCTION_PRESENT_OVER_TIME,
    FUNCTION_QUANTILE_OVER_TIME,
    FUNCTION_RAD,
    FUNCTION_RANGE,
    FUNCTION_RATE,
    FUNCTION_RESETS,
    FUNCTION_ROUND,
    FUNCTION_SCALAR,
    FUNCTION_SGN,
    FUNCTION_SIN,
    FUNCTION_SINH,
    FUNCTION_SORT,
    FUNCTION_SORT_BY_LABEL,
    FUNCTION_SORT_BY_LABEL_DESC,
    FUNCTION_SORT_DESC,
    FUNCTION_SQRT,
    FUNCTION_START,
    FUNCTION_START_TIMESTAMP,
    FUNCTION_STDDEV_OVER_TIME,
    FUNCTION_STDVAR_OVER_TIME,
    FUNCTION_STEP,
    FUNCTION_SUM_OVER_TIME,
    FUNCTION_TAN,
    FUNCTION_TANH,
    FUNCTION_TIME,
    FUNCTION_TIMESTAMP,
    FUNCTION_TS_OF_FIRST_OVER_TIME,
    FUNCTION_TS_OF_LAST_OVER_TIME,
    FUNCTION_TS_OF_MAX_OVER_TIME,
    FUNCTION_TS_OF_MIN_OVER_TIME,
    FUNCTION_VECTOR,
    FUNCTION_YEAR,
    FUNCTIONS
};

enum { FUNCTION_ARGUMENT_TYPES_MAX = 5 };

struct function {
    struct text name;
    enum value_type result;
    /* Arguments beyond `argument_type_count` have the last type. */
    enum value_type argument_types[FUNCTION_ARGUMENT_TYPES_MAX];
    uint8_t argument_type_count;
    uint8_t argument_count_min;
    uint8_t argument_count_max; /* UINT8_MAX: any number */
    bool experimental;
    /* The value depends on the step even when all arguments do not (time(), timestamp(), rate of
     * a sub-query without arguments ...): never step-invariant. */
    bool step_dependent;
};

/* `id` < FUNCTIONS. */
const struct function *function_describe(enum function_id id);

/* False when there is no function of that name (case-sensitive). */
bool function_find(struct text name, enum function_id *id_out);

#endif
