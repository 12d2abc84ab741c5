#include <assert.h>

#include "promql/functions.h"

/* --- The table ------------------------------------------------------------------------------- */

#define V         VALUE_VECTOR
#define M         VALUE_MATRIX
#define S         VALUE_SCALAR
#define T         VALUE_STRING
#define ANY_COUNT UINT8_MAX

/* clang-format off */
static const struct function FUNCTIONS_TABLE[FUNCTIONS] = {
    [FUNCTION_ABS] = {TEXT("abs"), V, {V}, 1, 1, 1},
    [FUNCTION_ABSENT] = {TEXT("absent"), V, {V}, 1, 1, 1},
    [FUNCTION_ABSENT_OVER_TIME] = {TEXT("absent_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_ACOS] = {TEXT("acos"), V, {V}, 1, 1, 1},
    [FUNCTION_ACOSH] = {TEXT("acosh"), V, {V}, 1, 1, 1},
    [FUNCTION_ASIN] = {TEXT("asin"), V, {V}, 1, 1, 1},
    [FUNCTION_ASINH] = {TEXT("asinh"), V, {V}, 1, 1, 1},
    [FUNCTION_ATAN] = {TEXT("atan"), V, {V}, 1, 1, 1},
    [FUNCTION_ATANH] = {TEXT("atanh"), V, {V}, 1, 1, 1},
    [FUNCTION_AVG_OVER_TIME] = {TEXT("avg_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_CEIL] = {TEXT("ceil"), V, {V}, 1, 1, 1},
    [FUNCTION_CHANGES] = {TEXT("changes"), V, {M}, 1, 1, 1},
    [FUNCTION_CLAMP] = {TEXT("clamp"), V, {V, S, S}, 3, 3, 3},
    [FUNCTION_CLAMP_MAX] = {TEXT("clamp_max"), V, {V, S}, 2, 2, 2},
    [FUNCTION_CLAMP_MIN] = {TEXT("clamp_min"), V, {V, S}, 2, 2, 2},
    [FUNCTION_COS] = {TEXT("cos"), V, {V}, 1, 1, 1},
    [FUNCTION_COSH] = {TEXT("cosh"), V, {V}, 1, 1, 1},
    [FUNCTION_COUNT_OVER_TIME] = {TEXT("count_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_DAY_OF_MONTH] = {TEXT("day_of_month"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_DAY_OF_WEEK] = {TEXT("day_of_week"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_DAY_OF_YEAR] = {TEXT("day_of_year"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_DAYS_IN_MONTH] = {TEXT("days_in_month"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_DEG] = {TEXT("deg"), V, {V}, 1, 1, 1},
    [FUNCTION_DELTA] = {TEXT("delta"), V, {M}, 1, 1, 1},
    [FUNCTION_DERIV] = {TEXT("deriv"), V, {M}, 1, 1, 1},
    [FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING] =
        {TEXT("double_exponential_smoothing"), V, {M, S, S}, 3, 3, 3, .experimental = true},
    [FUNCTION_END] = {TEXT("end"), S, {VALUE_NONE}, 0, 0, 0, .experimental = true},
    [FUNCTION_EXP] = {TEXT("exp"), V, {V}, 1, 1, 1},
    [FUNCTION_FIRST_OVER_TIME] = {TEXT("first_over_time"), V, {M}, 1, 1, 1, .experimental = true},
    [FUNCTION_FLOOR] = {TEXT("floor"), V, {V}, 1, 1, 1},
    [FUNCTION_HISTOGRAM_AVG] = {TEXT("histogram_avg"), V, {V}, 1, 1, 1},
    [FUNCTION_HISTOGRAM_COUNT] = {TEXT("histogram_count"), V, {V}, 1, 1, 1},
    [FUNCTION_HISTOGRAM_FRACTION] = {TEXT("histogram_fraction"), V, {S, S, V}, 3, 3, 3},
    [FUNCTION_HISTOGRAM_QUANTILE] = {TEXT("histogram_quantile"), V, {S, V}, 2, 2, 2},
    [FUNCTION_HISTOGRAM_QUANTILES] =
        {TEXT("histogram_quantiles"), V, {V, T, S, S}, 4, 3, 12, .experimental = true},
    [FUNCTION_HISTOGRAM_STDDEV] = {TEXT("histogram_stddev"), V, {V}, 1, 1, 1},
    [FUNCTION_HISTOGRAM_STDVAR] = {TEXT("histogram_stdvar"), V, {V}, 1, 1, 1},
    [FUNCTION_HISTOGRAM_SUM] = {TEXT("histogram_sum"), V, {V}, 1, 1, 1},
    [FUNCTION_HOUR] = {TEXT("hour"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_IDELTA] = {TEXT("idelta"), V, {M}, 1, 1, 1},
    [FUNCTION_INCREASE] = {TEXT("increase"), V, {M}, 1, 1, 1},
    [FUNCTION_INFO] =
        {TEXT("info"), V, {V, V}, 2, 1, 2, .experimental = true, .step_dependent = true},
    [FUNCTION_IRATE] = {TEXT("irate"), V, {M}, 1, 1, 1},
    [FUNCTION_LABEL_JOIN] = {TEXT("label_join"), V, {V, T, T, T}, 4, 3, ANY_COUNT},
    [FUNCTION_LABEL_REPLACE] = {TEXT("label_replace"), V, {V, T, T, T, T}, 5, 5, 5},
    [FUNCTION_LAST_OVER_TIME] = {TEXT("last_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_LN] = {TEXT("ln"), V, {V}, 1, 1, 1},
    [FUNCTION_LOG10] = {TEXT("log10"), V, {V}, 1, 1, 1},
    [FUNCTION_LOG2] = {TEXT("log2"), V, {V}, 1, 1, 1},
    [FUNCTION_MAD_OVER_TIME] = {TEXT("mad_over_time"), V, {M}, 1, 1, 1, .experimental = true},
    [FUNCTION_MAX_OF] = {TEXT("max_of"), S, {S, S}, 2, 2, 2, .experimental = true},
    [FUNCTION_MAX_OVER_TIME] = {TEXT("max_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_MIN_OF] = {TEXT("min_of"), S, {S, S}, 2, 2, 2, .experimental = true},
    [FUNCTION_MIN_OVER_TIME] = {TEXT("min_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_MINUTE] = {TEXT("minute"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_MONTH] = {TEXT("month"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_PI] = {TEXT("pi"), S, {VALUE_NONE}, 0, 0, 0},
    [FUNCTION_PREDICT_LINEAR] =
        {TEXT("predict_linear"), V, {M, S}, 2, 2, 2, .step_dependent = true},
    [FUNCTION_PRESENT_OVER_TIME] = {TEXT("present_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_QUANTILE_OVER_TIME] = {TEXT("quantile_over_time"), V, {S, M}, 2, 2, 2},
    [FUNCTION_RAD] = {TEXT("rad"), V, {V}, 1, 1, 1},
    [FUNCTION_RANGE] = {TEXT("range"), S, {VALUE_NONE}, 0, 0, 0, .experimental = true},
    [FUNCTION_RATE] = {TEXT("rate"), V, {M}, 1, 1, 1},
    [FUNCTION_RESETS] = {TEXT("resets"), V, {M}, 1, 1, 1},
    [FUNCTION_ROUND] = {TEXT("round"), V, {V, S}, 2, 1, 2},
    [FUNCTION_SCALAR] = {TEXT("scalar"), S, {V}, 1, 1, 1},
    [FUNCTION_SGN] = {TEXT("sgn"), V, {V}, 1, 1, 1},
    [FUNCTION_SIN] = {TEXT("sin"), V, {V}, 1, 1, 1},
    [FUNCTION_SINH] = {TEXT("sinh"), V, {V}, 1, 1, 1},
    [FUNCTION_SORT] = {TEXT("sort"), V, {V}, 1, 1, 1},
    [FUNCTION_SORT_BY_LABEL] =
        {TEXT("sort_by_label"), V, {V, T}, 2, 1, ANY_COUNT, .experimental = true},
    [FUNCTION_SORT_BY_LABEL_DESC] =
        {TEXT("sort_by_label_desc"), V, {V, T}, 2, 1, ANY_COUNT, .experimental = true},
    [FUNCTION_SORT_DESC] = {TEXT("sort_desc"), V, {V}, 1, 1, 1},
    [FUNCTION_SQRT] = {TEXT("sqrt"), V, {V}, 1, 1, 1},
    [FUNCTION_START] = {TEXT("start"), S, {VALUE_NONE}, 0, 0, 0, .experimental = true},
    [FUNCTION_START_TIMESTAMP] = {TEXT("start_timestamp"), V, {V}, 1, 1, 1, .experimental = true},
    [FUNCTION_STDDEV_OVER_TIME] = {TEXT("stddev_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_STDVAR_OVER_TIME] = {TEXT("stdvar_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_STEP] = {TEXT("step"), S, {VALUE_NONE}, 0, 0, 0, .experimental = true},
    [FUNCTION_SUM_OVER_TIME] = {TEXT("sum_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_TAN] = {TEXT("tan"), V, {V}, 1, 1, 1},
    [FUNCTION_TANH] = {TEXT("tanh"), V, {V}, 1, 1, 1},
    [FUNCTION_TIME] = {TEXT("time"), S, {VALUE_NONE}, 0, 0, 0, .step_dependent = true},
    [FUNCTION_TIMESTAMP] = {TEXT("timestamp"), V, {V}, 1, 1, 1, .step_dependent = true},
    [FUNCTION_TS_OF_FIRST_OVER_TIME] =
        {TEXT("ts_of_first_over_time"), V, {M}, 1, 1, 1, .experimental = true},
    [FUNCTION_TS_OF_LAST_OVER_TIME] =
        {TEXT("ts_of_last_over_time"), V, {M}, 1, 1, 1, .experimental = true},
    [FUNCTION_TS_OF_MAX_OVER_TIME] =
        {TEXT("ts_of_max_over_time"), V, {M}, 1, 1, 1, .experimental = true},
    [FUNCTION_TS_OF_MIN_OVER_TIME] =
        {TEXT("ts_of_min_over_time"), V, {M}, 1, 1, 1, .experimental = true},
    [FUNCTION_VECTOR] = {TEXT("vector"), V, {S}, 1, 1, 1},
    [FUNCTION_YEAR] = {TEXT("year"), V, {V}, 1, 0, 1, .step_dependent = true},
};
/* clang-format on */

#undef V
#undef M
#undef S
#undef T

/* --- Access ---------------------------------------------------------------------------------- */

const struct function *function_describe(enum function_id id)
{
    assert(id < FUNCTIONS);
    return &FUNCTIONS_TABLE[id];
}

/* The ids are in the order of the names. */
bool function_find(struct text name, enum function_id *id_out)
{
    size_t low = 0;
    size_t high = FUNCTIONS;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = text_compare(FUNCTIONS_TABLE[middle].name, name);
        if (order == 0) {
            *id_out = (enum function_id)middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}
