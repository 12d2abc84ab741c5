#include <assert.h>
#include <math.h>

#include "columns_source.h"
#include "function.h"
#include "histogram_math.h"
#include "step_output.h"

enum { MAP_PARAMETERS_MAX = 2 };

struct map_stream {
    struct stream stream;
    struct stream *input;
    enum function_id function; /* FUNCTIONS: negation */
    const double *parameters[MAP_PARAMETERS_MAX];
};

/* --- Dates ----------------------------------------------------------------------------------- */

struct date {
    int64_t year;
    int month; /* 1.. */
    int day;   /* 1.. */
    int day_of_year;
};

static bool is_leap_year(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in_month(int64_t year, int month)
{
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap_year(year) ? 29 : DAYS[month - 1];
}

/* Days since 1970-01-01 to a date of the proleptic Gregorian calendar: H. Hinnant, "chrono-
 * compatible low-level date algorithms"; eras of 400 years that begin in March. */
static struct date date_of_days(int64_t days)
{
    days += 719468; /* from 0000-03-01 */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_index = (5 * day + 2) / 153;
    struct date date = {
        .year = year_of_era + era * 400 + (month_index >= 10),
        .month = (int)(month_index < 10 ? month_index + 3 : month_index - 9),
        .day = (int)(day - (153 * month_index + 2) / 5 + 1),
    };
    date.day_of_year = date.day;
    for (int month = 1; month < date.month; month++)
        date.day_of_year += days_in_month(date.year, month);
    return date;
}

double date_field(enum function_id function, double seconds)
{
    /* Go converts what does not fit into the lowest integer. */
    enum { SECONDS_PER_DAY = 86400 };
    int64_t whole = INT64_MIN;
    if (seconds >= -9223372036854775808.0 && seconds < 9223372036854775808.0)
        whole = (int64_t)seconds;
    int64_t days = whole / SECONDS_PER_DAY;
    int64_t second = whole % SECONDS_PER_DAY;
    if (second < 0) {
        second += SECONDS_PER_DAY;
        days--;
    }
    switch (function) {
    case FUNCTION_MINUTE:
        return (double)(second / 60 % 60);
    case FUNCTION_HOUR:
        return (double)(second / 3600);
    case FUNCTION_DAY_OF_WEEK:
        return (double)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
    default:
        break;
    }
    struct date date = date_of_days(days);
    switch (function) {
    case FUNCTION_DAY_OF_MONTH:
        return date.day;
    case FUNCTION_DAY_OF_YEAR:
        return date.day_of_year;
    case FUNCTION_DAYS_IN_MONTH:
        return days_in_month(date.year, date.month);
    case FUNCTION_MONTH:
        return date.month;
    default:
        assert(function == FUNCTION_YEAR);
        return (double)date.year;
    }
}

/* --- Floats ---------------------------------------------------------------------------------- */

static double absolute(double value)
{
    return fabs(value);
}

static double degrees(double value)
{
    return value * 180 / M_PI;
}

static double radians(double value)
{
    return value * M_PI / 180;
}

static double sign(double value)
{
    return value < 0 ? -1 : value > 0 ? 1 : value;
}

static double negative(double value)
{
    return -value;
}

typedef double float_function(double value);

static float_function *float_function_of(enum function_id function)
{
    switch (function) {
    case FUNCTION_ABS:
        return absolute;
    case FUNCTION_ACOS:
        return acos;
    case FUNCTION_ACOSH:
        return acosh;
    case FUNCTION_ASIN:
        return asin;
    case FUNCTION_ASINH:
        return asinh;
    case FUNCTION_ATAN:
        return atan;
    case FUNCTION_ATANH:
        return atanh;
    case FUNCTION_CEIL:
        return ceil;
    case FUNCTION_COS:
        return cos;
    case FUNCTION_COSH:
        return cosh;
    case FUNCTION_DEG:
        return degrees;
    case FUNCTION_EXP:
        return exp;
    case FUNCTION_FLOOR:
        return floor;
    case FUNCTION_LN:
        return log;
    case FUNCTION_LOG10:
        return log10;
    case FUNCTION_LOG2:
        return log2;
    case FUNCTION_RAD:
        return radians;
    case FUNCTION_SGN:
        return sign;
    case FUNCTION_SIN:
        return sin;
    case FUNCTION_SINH:
        return sinh;
    case FUNCTION_SQRT:
        return sqrt;
    case FUNCTION_TAN:
        return tan;
    case FUNCTION_TANH:
        return tanh;
    case FUNCTIONS:
        return negative;
    default:
        return NULL;
    }
}

static bool is_date_function(enum function_id function)
{
    switch (function) {
    case FUNCTION_DAY_OF_MONTH:
    case FUNCTION_DAY_OF_WEEK:
    case FUNCTION_DAY_OF_YEAR:
    case FUNCTION_DAYS_IN_MONTH:
    case FUNCTION_HOUR:
    case FUNCTION_MINUTE:
    case FUNCTION_MONTH:
    case FUNCTION_YEAR:
        return true;
    default:
        return false;
    }
}

static bool is_histogram_function(enum function_id function)
{
    switch (function) {
    case FUNCTION_HISTOGRAM_AVG:
    case FUNCTION_HISTOGRAM_COUNT:
    case FUNCTION_HISTOGRAM_STDDEV:
    case FUNCTION_HISTOGRAM_STDVAR:
    case FUNCTION_HISTOGRAM_SUM:
        return true;
    default:
        return false;
    }
}

bool function_is_map(enum function_id function)
{
    if (function < FUNCTIONS && float_function_of(function) != NULL)
        return true;
    switch (function) {
    case FUNCTION_CLAMP:
    case FUNCTION_CLAMP_MAX:
    case FUNCTION_CLAMP_MIN:
    case FUNCTION_ROUND:
    case FUNCTION_TIMESTAMP:
        return true;
    default:
        return is_date_function(function) || is_histogram_function(function);
    }
}

double go_maximum(double left, double right)
{
    if (isinf(left) && left > 0)
        return left;
    if (isinf(right) && right > 0)
        return right;
    if (isnan(left) || isnan(right))
        return NAN;
    if (left == 0 && right == 0)
        return signbit(left) ? right : left;
    return left > right ? left : right;
}

double go_minimum(double left, double right)
{
    return -go_maximum(-left, -right);
}

static double clamped(double value, double lowest, double highest)
{
    return go_maximum(lowest, go_minimum(highest, value));
}

/* False: the sample goes (a clamp with limits that exclude each other). */
static bool map_value(const struct map_stream *map, size_t step, double value, double *result_out)
{
    switch (map->function) {
    case FUNCTION_CLAMP:
        if (map->parameters[1][step] < map->parameters[0][step])
            return false;
        *result_out = clamped(value, map->parameters[0][step], map->parameters[1][step]);
        return true;
    case FUNCTION_CLAMP_MIN:
        *result_out = clamped(value, map->parameters[0][step], INFINITY);
        return true;
    case FUNCTION_CLAMP_MAX:
        *result_out = clamped(value, -INFINITY, map->parameters[0][step]);
        return true;
    case FUNCTION_ROUND: {
        /* The inverse loses fewer digits: 0.1 has none that are exact. */
        double inverse = 1 / (map->parameters[0] == NULL ? 1 : map->parameters[0][step]);
        *result_out = floor(value * inverse + 0.5) / inverse;
        return true;
    }
    case FUNCTION_TIMESTAMP:
        *result_out = (double)step_time(&map->stream.steps, step) / 1000;
        return true;
    default:
        *result_out = date_field(map->function, value);
        return true;
    }
}

/* --- The stream ------------------------------------------------------------------------------ */

static struct series_identity map_identity(struct stream *self, struct lane *lane, size_t index,
                                           struct arena *arena)
{
    struct map_stream *map = (struct map_stream *)self;
    return identity_drop_name(self->evaluation,
                              vector_stream_identity(map->input, lane, index, arena), arena);
}

static enum error_code negate_histogram(struct map_stream *map, struct step_output *output,
                                        struct lane *lane, size_t step,
                                        const struct histogram *histogram, struct error *error)
{
    struct histogram *negated = histogram_scaled(lane->scratch, histogram, -1);
    if (negated == NULL)
        return evaluation_out_of_memory(map->stream.evaluation, error);
    step_output_histogram(output, map->stream.steps.count, step, negated);
    return ERROR_NONE;
}

static enum error_code map_with_histograms(struct map_stream *map, struct step_output *output,
                                           struct lane *lane, const struct step_vector *input,
                                           struct error *error)
{
    size_t count = map->stream.steps.count;
    float_function *function = float_function_of(map->function);
    for (size_t step = step_next(input->present, count, 0); step < count;
         step = step_next(input->present, count, step + 1)) {
        const struct histogram *histogram = step_histogram(input, step);
        double value = input->values[step];
        bool keep = true;
        if (histogram != NULL && map->function == FUNCTIONS) {
            enum error_code code = negate_histogram(map, output, lane, step, histogram, error);
            if (code != ERROR_NONE)
                return code;
            continue;
        }
        if (is_histogram_function(map->function)) {
            keep = histogram != NULL;
            if (keep)
                value = histogram_statistic(map->function, histogram, lane->scratch);
        } else if (histogram != NULL && map->function != FUNCTION_TIMESTAMP) {
            keep = false; /* functions of floats pass over histograms */
        } else if (function != NULL) {
            value = function(value);
        } else {
            keep = map_value(map, step, value, &value);
        }
        if (!keep)
            continue;
        step_output_value(output, step, value);
    }
    return ERROR_NONE;
}

static void map_floats(const struct map_stream *map, struct step_output *output,
                       const struct step_vector *input)
{
    size_t count = map->stream.steps.count;
    float_function *function = float_function_of(map->function);
    for (size_t step = step_next(input->present, count, 0); step < count;
         step = step_next(input->present, count, step + 1)) {
        double value;
        if (function != NULL)
            value = function(input->values[step]);
        else if (!map_value(map, step, input->values[step], &value))
            continue;
        step_output_value(output, step, value);
    }
}

static enum error_code map_read(struct stream *self, struct lane *lane, size_t index,
                                struct step_vector *vector_out, struct error *error)
{
    struct map_stream *map = (struct map_stream *)self;
    size_t count = self->steps.count;
    struct step_output *output = vector_stream_lane_state(self, lane, sizeof *output);
    if (output == NULL || !step_output_begin(output, lane->memory, count))
        return evaluation_out_of_memory(self->evaluation, error);
    struct step_vector input;
    enum error_code code = vector_stream_read(map->input, lane, index, &input, error);
    if (code != ERROR_NONE)
        return code;
    if (input.histograms != NULL)
        code = map_with_histograms(map, output, lane, &input, error);
    else if (!is_histogram_function(map->function))
        map_floats(map, output, &input);
    *vector_out = output->vector;
    return code;
}

static void map_close(struct stream *self)
{
    vector_stream_close(((struct map_stream *)self)->input);
}

static const struct stream_operations MAP_OPERATIONS = {
    .identity = map_identity,
    .read = map_read,
    .close = map_close,
};

/* --- Building -------------------------------------------------------------------------------- */

static enum error_code map_finish(struct map_stream *map, struct evaluation *evaluation,
                                  const struct step_range *steps, struct stream **stream_out,
                                  struct error *error)
{
    enum error_code code = vector_stream_init(&map->stream, evaluation, &MAP_OPERATIONS, steps,
                                              map->input->count, error);
    if (code != ERROR_NONE)
        return code;
    map->stream.is_unique_without_name = map->input->is_unique_without_name;
    if (!evaluation->delayed_names)
        return vector_stream_merge_equal_labels(&map->stream, stream_out, error);
    *stream_out = &map->stream;
    return ERROR_NONE;
}

enum error_code function_map_stream(struct evaluation *evaluation,
                                    const struct expression *expression,
                                    const struct step_range *steps, struct stream **stream_out,
                                    struct error *error)
{
    const struct call_node *call = &expression->call;
    struct map_stream *map = arena_array(evaluation->arena, 1, sizeof *map);
    if (map == NULL)
        return evaluation_out_of_memory(evaluation, error);
    assert(call->argument_count >= 1 && call->argument_count <= 1 + MAP_PARAMETERS_MAX);
    map->function = call->function;
    enum error_code code = ERROR_NONE;
    for (size_t i = 1; i < call->argument_count && code == ERROR_NONE; i++)
        code =
            evaluate_scalar(evaluation, call->arguments[i], steps, &map->parameters[i - 1], error);
    if (code == ERROR_NONE)
        code = evaluate_vector(evaluation, call->arguments[0], steps, &map->input, error);
    return code == ERROR_NONE ? map_finish(map, evaluation, steps, stream_out, error) : code;
}

enum error_code function_negate_stream(struct evaluation *evaluation,
                                       const struct expression *expression,
                                       const struct step_range *steps, struct stream **stream_out,
                                       struct error *error)
{
    struct map_stream *map = arena_array(evaluation->arena, 1, sizeof *map);
    if (map == NULL)
        return evaluation_out_of_memory(evaluation, error);
    map->function = FUNCTIONS;
    enum error_code code =
        evaluate_vector(evaluation, expression->unary.operand, steps, &map->input, error);
    return code == ERROR_NONE ? map_finish(map, evaluation, steps, stream_out, error) : code;
}
