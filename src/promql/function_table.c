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
    [FUNCTION_ABS] = {.name = TEXT("abs"), V, {V}, 1, 1, 1},
    [FUNCTION_ABSENT] = {.name = TEXT("absent"), V, {V}, 1, 1, 1},
    [FUNCTION_ABSENT_OVER_TIME] = {.name = TEXT("absent_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_ACOS] = {.name = TEXT("acos"), V, {V}, 1, 1, 1},
    [FUNCTION_ACOSH] = {.name = TEXT("acosh"), V, {V}, 1, 1, 1},
    [FUNCTION_ASIN] = {.name = TEXT("asin"), V, {V}, 1, 1, 1},
    [FUNCTION_ASINH] = {.name = TEXT("asinh"), V, {V}, 1, 1, 1},
    [FUNCTION_ATAN] = {.name = TEXT("atan"), V, {V}, 1, 1, 1},
    [FUNCTION_ATANH] = {.name = TEXT("atanh"), V, {V}, 1, 1, 1},
    [FUNCTION_AVG_OVER_TIME] = {.name = TEXT("avg_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_CEIL] = {.name = TEXT("ceil"), V, {V}, 1, 1, 1},
    [FUNCTION_CHANGES] = {.name = TEXT("changes"), V, {M}, 1, 1, 1},
    [FUNCTION_CLAMP] = {.name = TEXT("clamp"), V, {V, S, S}, 3, 3, 3},
    [FUNCTION_CLAMP_MAX] = {.name = TEXT("clamp_max"), V, {V, S}, 2, 2, 2},
    [FUNCTION_CLAMP_MIN] = {.name = TEXT("clamp_min"), V, {V, S}, 2, 2, 2},
    [FUNCTION_COS] = {.name = TEXT("cos"), V, {V}, 1, 1, 1},
    [FUNCTION_COSH] = {.name = TEXT("cosh"), V, {V}, 1, 1, 1},
    [FUNCTION_COUNT_OVER_TIME] = {.name = TEXT("count_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_DAY_OF_MONTH] =
        {.name = TEXT("day_of_month"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_DAY_OF_WEEK] = {.name = TEXT("day_of_week"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_DAY_OF_YEAR] = {.name = TEXT("day_of_year"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_DAYS_IN_MONTH] =
        {.name = TEXT("days_in_month"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_DEG] = {.name = TEXT("deg"), V, {V}, 1, 1, 1},
    [FUNCTION_DELTA] = {.name = TEXT("delta"), V, {M}, 1, 1, 1},
    [FUNCTION_DERIV] = {.name = TEXT("deriv"), V, {M}, 1, 1, 1},
    [FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING] =
        {.name = TEXT("double_exponential_smoothing"), V, {M, S, S}, 3, 3, 3, .experimental = true},
    [FUNCTION_END] = {.name = TEXT("end"), S, {VALUE_NONE}, 0, 0, 0, .experimental = true},
    [FUNCTION_EXP] = {.name = TEXT("exp"), V, {V}, 1, 1, 1},
    [FUNCTION_FIRST_OVER_TIME] =
        {.name = TEXT("first_over_time"), V, {M}, 1, 1, 1, .experimental = true},
    [FUNCTION_FLOOR] = {.name = TEXT("floor"), V, {V}, 1, 1, 1},
    [FUNCTION_HISTOGRAM_AVG] = {.name = TEXT("histogram_avg"), V, {V}, 1, 1, 1},
    [FUNCTION_HISTOGRAM_COUNT] = {.name = TEXT("histogram_count"), V, {V}, 1, 1, 1},
    [FUNCTION_HISTOGRAM_FRACTION] = {.name = TEXT("histogram_fraction"), V, {S, S, V}, 3, 3, 3},
    [FUNCTION_HISTOGRAM_QUANTILE] = {.name = TEXT("histogram_quantile"), V, {S, V}, 2, 2, 2},
    [FUNCTION_HISTOGRAM_QUANTILES] =
        {.name = TEXT("histogram_quantiles"), V, {V, T, S, S}, 4, 3, 12, .experimental = true},
    [FUNCTION_HISTOGRAM_STDDEV] = {.name = TEXT("histogram_stddev"), V, {V}, 1, 1, 1},
    [FUNCTION_HISTOGRAM_STDVAR] = {.name = TEXT("histogram_stdvar"), V, {V}, 1, 1, 1},
    [FUNCTION_HISTOGRAM_SUM] = {.name = TEXT("histogram_sum"), V, {V}, 1, 1, 1},
    [FUNCTION_HOUR] = {.name = TEXT("hour"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_IDELTA] = {.name = TEXT("idelta"), V, {M}, 1, 1, 1},
    [FUNCTION_INCREASE] = {.name = TEXT("increase"), V, {M}, 1, 1, 1},
    [FUNCTION_INFO] =
        {.name = TEXT("info"), V, {V, V}, 2, 1, 2, .experimental = true, .step_dependent = true},
    [FUNCTION_IRATE] = {.name = TEXT("irate"), V, {M}, 1, 1, 1},
    [FUNCTION_LABEL_JOIN] = {.name = TEXT("label_join"), V, {V, T, T, T}, 4, 3, ANY_COUNT},
    [FUNCTION_LABEL_REPLACE] = {.name = TEXT("label_replace"), V, {V, T, T, T, T}, 5, 5, 5},
    [FUNCTION_LAST_OVER_TIME] = {.name = TEXT("last_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_LN] = {.name = TEXT("ln"), V, {V}, 1, 1, 1},
    [FUNCTION_LOG10] = {.name = TEXT("log10"), V, {V}, 1, 1, 1},
    [FUNCTION_LOG2] = {.name = TEXT("log2"), V, {V}, 1, 1, 1},
    [FUNCTION_MAD_OVER_TIME] =
        {.name = TEXT("mad_over_time"), V, {M}, 1, 1, 1, .experimental = true},
    [FUNCTION_MAX_OF] = {.name = TEXT("max_of"), S, {S, S}, 2, 2, 2, .experimental = true},
    [FUNCTION_MAX_OVER_TIME] = {.name = TEXT("max_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_MIN_OF] = {.name = TEXT("min_of"), S, {S, S}, 2, 2, 2, .experimental = true},
    [FUNCTION_MIN_OVER_TIME] = {.name = TEXT("min_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_MINUTE] = {.name = TEXT("minute"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_MONTH] = {.name = TEXT("month"), V, {V}, 1, 0, 1, .step_dependent = true},
    [FUNCTION_PI] = {.name = TEXT("pi"), S, {VALUE_NONE}, 0, 0, 0},
    [FUNCTION_PREDICT_LINEAR] =
        {.name = TEXT("predict_linear"), V, {M, S}, 2, 2, 2, .step_dependent = true},
    [FUNCTION_PRESENT_OVER_TIME] = {.name = TEXT("present_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_QUANTILE_OVER_TIME] = {.name = TEXT("quantile_over_time"), V, {S, M}, 2, 2, 2},
    [FUNCTION_RAD] = {.name = TEXT("rad"), V, {V}, 1, 1, 1},
    [FUNCTION_RANGE] = {.name = TEXT("range"), S, {VALUE_NONE}, 0, 0, 0, .experimental = true},
    [FUNCTION_RATE] = {.name = TEXT("rate"), V, {M}, 1, 1, 1},
    [FUNCTION_RESETS] = {.name = TEXT("resets"), V, {M}, 1, 1, 1},
    [FUNCTION_ROUND] = {.name = TEXT("round"), V, {V, S}, 2, 1, 2},
    [FUNCTION_SCALAR] = {.name = TEXT("scalar"), S, {V}, 1, 1, 1},
    [FUNCTION_SGN] = {.name = TEXT("sgn"), V, {V}, 1, 1, 1},
    [FUNCTION_SIN] = {.name = TEXT("sin"), V, {V}, 1, 1, 1},
    [FUNCTION_SINH] = {.name = TEXT("sinh"), V, {V}, 1, 1, 1},
    [FUNCTION_SORT] = {.name = TEXT("sort"), V, {V}, 1, 1, 1},
    [FUNCTION_SORT_BY_LABEL] =
        {.name = TEXT("sort_by_label"), V, {V, T}, 2, 1, ANY_COUNT, .experimental = true},
    [FUNCTION_SORT_BY_LABEL_DESC] =
        {.name = TEXT("sort_by_label_desc"), V, {V, T}, 2, 1, ANY_COUNT, .experimental = true},
    [FUNCTION_SORT_DESC] = {.name = TEXT("sort_desc"), V, {V}, 1, 1, 1},
    [FUNCTION_SQRT] = {.name = TEXT("sqrt"), V, {V}, 1, 1, 1},
    [FUNCTION_START] = {.name = TEXT("start"), S, {VALUE_NONE}, 0, 0, 0, .experimental = true},
    [FUNCTION_START_TIMESTAMP] =
        {.name = TEXT("start_timestamp"), V, {V}, 1, 1, 1, .experimental = true},
    [FUNCTION_STDDEV_OVER_TIME] = {.name = TEXT("stddev_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_STDVAR_OVER_TIME] = {.name = TEXT("stdvar_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_STEP] = {.name = TEXT("step"), S, {VALUE_NONE}, 0, 0, 0, .experimental = true},
    [FUNCTION_SUM_OVER_TIME] = {.name = TEXT("sum_over_time"), V, {M}, 1, 1, 1},
    [FUNCTION_TAN] = {.name = TEXT("tan"), V, {V}, 1, 1, 1},
    [FUNCTION_TANH] = {.name = TEXT("tanh"), V, {V}, 1, 1, 1},
    [FUNCTION_TIME] = {.name = TEXT("time"), S, {VALUE_NONE}, 0, 0, 0, .step_dependent = true},
    [FUNCTION_TIMESTAMP] = {.name = TEXT("timestamp"), V, {V}, 1, 1, 1, .step_dependent = true},
    [FUNCTION_TS_OF_FIRST_OVER_TIME] =
        {.name = TEXT("ts_of_first_over_time"), V, {M}, 1, 1, 1, .experimental = true},
    [FUNCTION_TS_OF_LAST_OVER_TIME] =
        {.name = TEXT("ts_of_last_over_time"), V, {M}, 1, 1, 1, .experimental = true},
    [FUNCTION_TS_OF_MAX_OVER_TIME] =
        {.name = TEXT("ts_of_max_over_time"), V, {M}, 1, 1, 1, .experimental = true},
    [FUNCTION_TS_OF_MIN_OVER_TIME] =
        {.name = TEXT("ts_of_min_over_time"), V, {M}, 1, 1, 1, .experimental = true},
    [FUNCTION_VECTOR] = {.name = TEXT("vector"), V, {S}, 1, 1, 1},
    [FUNCTION_YEAR] = {.name = TEXT("year"), V, {V}, 1, 0, 1, .step_dependent = true},
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
