/* query and query_range: evaluate on a worker, stream the answer. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/histogram_buckets.h"
#include "promql/engine.h"

#include "api_private.h"

enum { POINTS_MAX = 11000 };

/* --- Types ------------------------------------------------------------------------------------ */

enum answer_part { PART_HEAD, PART_SERIES, PART_TAIL, PART_END };

struct query_call;

typedef enum error_code read_query(struct query_call *call,
                                   const struct http_parameters *parameters,
                                   struct promql_execution_options *options, struct error *error);

struct query_call {
    struct frontend_job job; /* first */
    read_query *read;        /* what the request is about, to begin anew */
    struct http_producer producer;
    struct http_request *request;
    struct promql_execution *execution;
    struct api_reading reading;
    uint64_t limit; /* series of the answer */
    bool with_statistics;
    int64_t time_ms;                /* of an instant query */
    struct byte_buffer first_piece; /* of the answer, made where the query ran */
    size_t piece_bytes;             /* about so many in a piece */

    /* Where the producer is. */
    enum answer_part part;
    size_t series;
    size_t point;
    bool begun; /* the series */
    bool in_histograms;
    bool any; /* points of this kind are written */
};

static void call_destroy(struct query_call *call)
{
    promql_execution_destroy(call->execution);
    api_reading_close(&call->reading);
    byte_buffer_clear(&call->first_piece);
    free(call);
}

/* --- JSON of the result ----------------------------------------------------------------------- */

static void append_histogram(struct byte_buffer *buffer, const struct histogram *histogram)
{
    struct histogram_bucket_cursor cursor = histogram_buckets_begin(histogram);
    struct histogram_bucket bucket;
    bool first = true;
    json_raw(buffer, TEXT("{\"count\":"));
    json_sample_value(buffer, histogram_number_value(histogram, histogram->count));
    json_raw(buffer, TEXT(",\"sum\":"));
    json_sample_value(buffer, histogram->sum);
    while (histogram_buckets_next(&cursor, &bucket)) {
        if (bucket.count == 0)
            continue;
        int rule = bucket.lower_inclusive ? (bucket.upper_inclusive ? 3 : 1)
                                          : (bucket.upper_inclusive ? 0 : 2);
        json_raw(buffer, first ? TEXT(",\"buckets\":[[") : TEXT(",["));
        first = false;
        json_integer(buffer, rule);
        json_raw(buffer, TEXT(","));
        json_sample_value(buffer, bucket.lower);
        json_raw(buffer, TEXT(","));
        json_sample_value(buffer, bucket.upper);
        json_raw(buffer, TEXT(","));
        json_sample_value(buffer, bucket.count);
        json_raw(buffer, TEXT("]"));
    }
    json_raw(buffer, first ? TEXT("}") : TEXT("]}"));
}

static bool point_is_histogram(const struct promql_series *series, size_t i)
{
    return series->histograms != NULL && series->histograms[i] != NULL;
}

static void append_point(struct byte_buffer *buffer, const struct promql_series *series, size_t i)
{
    if (!point_is_histogram(series, i)) {
        json_sample(buffer, series->timestamps_ms[i], series->values[i]);
        return;
    }
    json_raw(buffer, TEXT("["));
    json_timestamp(buffer, series->timestamps_ms[i]);
    json_raw(buffer, TEXT(","));
    append_histogram(buffer, series->histograms[i]);
    json_raw(buffer, TEXT("]"));
}

static void append_vector_series(struct byte_buffer *buffer, const struct promql_series *series)
{
    json_raw(buffer, TEXT("{\"metric\":"));
    json_labels(buffer, series->labels);
    json_raw(buffer, point_is_histogram(series, 0) ? TEXT(",\"histogram\":") : TEXT(",\"value\":"));
    append_point(buffer, series, 0);
    json_raw(buffer, TEXT("}"));
}

/* Points of a series without histograms, some at a time; true when the series is complete. */
static bool append_matrix_samples(struct query_call *call, struct byte_buffer *buffer,
                                  const struct promql_series *series)
{
    if (buffer->size >= call->piece_bytes)
        return false;
    json_raw(buffer, call->point == 0 ? TEXT(",\"values\":[") : TEXT(","));
    call->point +=
        json_samples(buffer, series->timestamps_ms + call->point, series->values + call->point,
                     series->point_count - call->point, call->piece_bytes);
    if (call->point < series->point_count)
        return false;
    json_raw(buffer, TEXT("]"));
    return true;
}

/* Points of one kind, some at a time; true when the series is complete. */
static bool append_matrix_points(struct query_call *call, struct byte_buffer *buffer,
                                 const struct promql_series *series)
{
    while (true) {
        for (; call->point < series->point_count; call->point++) {
            if (point_is_histogram(series, call->point) != call->in_histograms)
                continue;
            if (buffer->size >= call->piece_bytes)
                return false;
            if (call->any)
                json_raw(buffer, TEXT(","));
            else
                json_raw(buffer,
                         call->in_histograms ? TEXT(",\"histograms\":[") : TEXT(",\"values\":["));
            call->any = true;
            append_point(buffer, series, call->point);
        }
        if (call->any)
            json_raw(buffer, TEXT("]"));
        call->any = false;
        if (call->in_histograms)
            return true;
        call->in_histograms = true;
        call->point = 0;
    }
}

static void append_list(struct query_call *call, struct byte_buffer *buffer,
                        const struct promql_result *result, enum promql_annotation_kind kind,
                        bool truncated)
{
    bool first = true;
    for (size_t i = 0; i < result->annotation_count; i++) {
        if (result->annotations[i].kind != kind)
            continue;
        if (first)
            json_raw(buffer,
                     kind == PROMQL_WARNING ? TEXT(",\"warnings\":[") : TEXT(",\"infos\":["));
        else
            json_raw(buffer, TEXT(","));
        first = false;
        json_string(buffer, result->annotations[i].message);
    }
    if (kind == PROMQL_WARNING)
        first = api_reading_warnings(&call->reading, first, buffer);
    if (kind == PROMQL_WARNING && truncated) {
        json_raw(buffer, first ? TEXT(",\"warnings\":[") : TEXT(","));
        first = false;
        json_raw(buffer, TEXT("\"results truncated due to limit\""));
    }
    if (!first)
        json_raw(buffer, TEXT("]"));
}

/* [[seconds, samples], ...]; `offset` is that of the count in struct promql_step_count. */
static void append_step_counts(struct byte_buffer *buffer, const struct query_call *call,
                               const struct promql_statistics *statistics, size_t offset)
{
    const struct frontend_subject *subject = &call->job.subject;
    for (size_t i = 0; i < statistics->step_count; i++) {
        uint64_t count;
        memcpy(&count, (const char *)&statistics->step_counts[i] + offset, sizeof count);
        json_raw(buffer, i == 0 ? TEXT("[[") : TEXT(",["));
        json_timestamp(buffer, subject->start_ms + (int64_t)i * subject->step_ms);
        json_raw(buffer, TEXT(","));
        json_integer(buffer, (int64_t)count);
        json_raw(buffer, TEXT("]"));
    }
    json_raw(buffer, TEXT("]"));
}

static void append_statistics(struct byte_buffer *buffer, const struct query_call *call,
                              const struct promql_statistics *statistics)
{
    bool with_steps = statistics->step_count > 0;
    double prepare = (double)statistics->prepare_ns / 1e9;
    double select = (double)statistics->select_ns / 1e9;
    double evaluate = (double)statistics->evaluate_ns / 1e9;
    json_raw(buffer, TEXT(",\"stats\":{\"timings\":{\"evalTotalTime\":"));
    json_double(buffer, prepare + select + evaluate);
    json_raw(buffer, TEXT(",\"resultSortTime\":0,\"queryPreparationTime\":"));
    json_double(buffer, prepare + select);
    json_raw(buffer, TEXT(",\"innerEvalTime\":"));
    json_double(buffer, evaluate);
    json_raw(buffer, TEXT(",\"execQueueTime\":0,\"execTotalTime\":"));
    json_double(buffer, prepare + select + evaluate);
    json_raw(buffer, TEXT("},\"samples\":{"));
    if (with_steps) {
        json_raw(buffer, TEXT("\"totalQueryableSamplesPerStep\":"));
        append_step_counts(buffer, call, statistics,
                           offsetof(struct promql_step_count, samples_queried));
        json_raw(buffer, TEXT(","));
    }
    json_raw(buffer, TEXT("\"totalQueryableSamples\":"));
    json_integer(buffer, (int64_t)statistics->samples_queried);
    json_raw(buffer, TEXT(",\"peakSamples\":"));
    json_integer(buffer, (int64_t)statistics->samples_held_max);
    if (with_steps) {
        json_raw(buffer, TEXT(",\"samplesReadPerStep\":"));
        append_step_counts(buffer, call, statistics,
                           offsetof(struct promql_step_count, samples_read));
    }
    json_raw(buffer, TEXT(",\"samplesRead\":"));
    json_integer(buffer, (int64_t)statistics->samples_read);
    json_raw(buffer, TEXT("}}"));
}

/* --- Producing the answer --------------------------------------------------------------------- */

static size_t series_shown(const struct query_call *call, const struct promql_result *result)
{
    return call->limit < result->series_count ? (size_t)call->limit : result->series_count;
}

static void produce_head(struct query_call *call, const struct promql_result *result,
                         struct byte_buffer *piece)
{
    static const char *const NAMES[] = {[VALUE_SCALAR] = "scalar",
                                        [VALUE_VECTOR] = "vector",
                                        [VALUE_MATRIX] = "matrix",
                                        [VALUE_STRING] = "string"};
    json_raw(piece, TEXT("{\"status\":\"success\",\"data\":{\"resultType\":\""));
    json_raw(piece, text_of(NAMES[result->type]));
    json_raw(piece, TEXT("\",\"result\":"));
    call->part = PART_TAIL;
    if (result->type == VALUE_SCALAR) {
        json_scalar(piece, result->series[0].timestamps_ms[0], result->series[0].values[0]);
    } else if (result->type == VALUE_STRING) {
        json_raw(piece, TEXT("["));
        json_timestamp(piece, call->time_ms);
        json_raw(piece, TEXT(","));
        json_string(piece, result->string);
        json_raw(piece, TEXT("]"));
    } else {
        json_raw(piece, TEXT("["));
        call->part = PART_SERIES;
    }
}

static void produce_series(struct query_call *call, const struct promql_result *result,
                           struct byte_buffer *piece)
{
    size_t shown = series_shown(call, result);
    while (call->series < shown && piece->size < call->piece_bytes) {
        const struct promql_series *series = &result->series[call->series];
        if (!call->begun && call->series > 0)
            json_raw(piece, TEXT(","));
        if (result->type == VALUE_VECTOR) {
            append_vector_series(piece, series);
        } else {
            if (!call->begun) {
                json_raw(piece, TEXT("{\"metric\":"));
                json_labels(piece, series->labels);
                call->begun = true;
            }
            bool complete = series->histograms == NULL ? append_matrix_samples(call, piece, series)
                                                       : append_matrix_points(call, piece, series);
            if (!complete)
                return;
            json_raw(piece, TEXT("}"));
        }
        call->series++;
        call->point = 0;
        call->begun = call->in_histograms = false;
    }
    if (call->series == shown) {
        json_raw(piece, TEXT("]"));
        call->part = PART_TAIL;
    }
}

static void produce_piece(struct query_call *call, struct byte_buffer *piece)
{
    const struct promql_result *result = promql_execution_result(call->execution);
    if (call->part == PART_HEAD)
        produce_head(call, result, piece);
    if (call->part == PART_SERIES)
        produce_series(call, result, piece);
    if (call->part == PART_TAIL && piece->size < call->piece_bytes) {
        if (call->with_statistics)
            append_statistics(piece, call, &result->statistics);
        json_raw(piece, TEXT("}"));
        append_list(call, piece, result, PROMQL_WARNING,
                    series_shown(call, result) < result->series_count);
        append_list(call, piece, result, PROMQL_INFO, false);
        json_raw(piece, TEXT("}"));
        call->part = PART_END;
    }
}

static enum http_production produce(struct http_producer *producer, struct byte_buffer *piece)
{
    struct query_call *call =
        (struct query_call *)((char *)producer - offsetof(struct query_call, producer));
    if (call->first_piece.size > 0) {
        byte_buffer_append(piece, call->first_piece.bytes, call->first_piece.size);
        byte_buffer_clear(&call->first_piece);
    } else {
        produce_piece(call, piece);
    }
    if (piece->failed)
        return HTTP_PRODUCTION_BROKEN;
    return call->part == PART_END ? HTTP_PRODUCTION_END : HTTP_PRODUCTION_MORE;
}

static void produced(struct http_producer *producer)
{
    call_destroy((struct query_call *)((char *)producer - offsetof(struct query_call, producer)));
}

/* --- Running ---------------------------------------------------------------------------------- */

static void query_run(struct frontend_job *job)
{
    struct query_call *call = (struct query_call *)job;
    if (promql_execution_run(call->execution, &job->error) != ERROR_NONE)
        return;
    call->piece_bytes = API_FIRST_PIECE_BYTES;
    produce_piece(call, &call->first_piece);
    call->piece_bytes = HTTP_PIECE_BYTES;
    if (call->first_piece.failed)
        error_set(&job->error, ERROR_OUT_OF_MEMORY, "the answer needs too much memory");
}

static void start(struct http_request *request, read_query *read, bool is_repeatable);

static void query_done(struct frontend_job *job)
{
    struct query_call *call = (struct query_call *)job;
    struct http_request *request = call->request;
    http_request_on_gone(request, NULL, NULL);
    if (job->error.code == ERROR_WOULD_WAIT) {
        read_query *read = call->read;
        call_destroy(call);
        start(request, read, false);
        return;
    }
    if (job->error.code != ERROR_NONE) {
        struct error error = job->error;
        call_destroy(call);
        api_respond_code(request, &error, API_EXECUTION);
        return;
    }
    struct http_response response = {.status = 200, .content_type = TEXT("application/json")};
    if (call->part == PART_END) {
        /* Most answers are one piece: no second turn on a worker. */
        response.body =
            (struct text){(const char *)call->first_piece.bytes, call->first_piece.size};
        response.body_life = HTTP_BODY_OWNED;
        call->first_piece = (struct byte_buffer){0};
        call_destroy(call);
        http_respond(request, &response);
        return;
    }
    call->producer =
        (struct http_producer){.produce = produce, .finished = produced, .class = JOB_QUERY};
    http_respond_produced(request, &response, &call->producer);
}

static void query_gone(void *context)
{
    struct query_call *call = context;
    frontend_withdraw(&call->job);
}

/* What both endpoints take. */
static enum error_code read_common(struct query_call *call,
                                   const struct http_parameters *parameters,
                                   struct promql_execution_options *options, struct error *error)
{
    const struct frontend_options *frontend =
        frontend_options(api_of(call->request)->options.frontend);
    int64_t timeout_max_ns = frontend->timeout_ms * NANOSECONDS_PER_MILLISECOND;
    int64_t timeout_ns, lookback_ns;
    struct text statistics;
    enum error_code code =
        api_duration(parameters, TEXT("timeout"), timeout_max_ns, &timeout_ns, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "invalid parameter \"timeout\"");
    code = api_duration(parameters, TEXT("lookback_delta"), 0, &lookback_ns, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "error parsing lookback delta duration");
    code = api_limit(parameters, TEXT("limit"), &call->limit, error);
    if (code != ERROR_NONE)
        return code;
    options->lookback_ms = lookback_ns / NANOSECONDS_PER_MILLISECOND;
    if (options->lookback_ms <= 0)
        options->lookback_ms = frontend->lookback_ms;
    if (timeout_ns > timeout_max_ns)
        timeout_ns = timeout_max_ns;
    call->job.deadline_ns = clock_monotonic_ns(frontend->clock);
    if (timeout_ns > 0) /* otherwise it is over before it begins */
        call->job.deadline_ns += (uint64_t)timeout_ns;
    call->with_statistics =
        http_parameters_find(parameters, TEXT("stats"), &statistics) && statistics.size > 0;
    options->counts_steps = call->with_statistics && text_equal(statistics, TEXT("all")) &&
                            frontend->features == PROMQL_EXPERIMENTAL;
    options->subquery_step_default_ms = frontend->subquery_step_ms;
    options->features = frontend->features;
    code = api_reading_open(call->request, parameters, options->tenant, &call->job.canceled,
                            &call->reading, error);
    if (code != ERROR_NONE)
        return code;
    options->source = call->reading.source;
    options->distributor = call->reading.distributor;
    options->pool = frontend->pool;
    options->clock = frontend->clock;
    options->samples_max = frontend->samples_max;
    options->deadline_ns = call->job.deadline_ns;
    options->memory_max_bytes = frontend->memory_max_bytes;
    options->canceled = &call->job.canceled;
    options->memory = frontend_memory(api_of(call->request)->options.frontend);
    http_parameters_find(parameters, TEXT("query"), &options->query);
    return ERROR_NONE;
}

static enum error_code read_instant(struct query_call *call,
                                    const struct http_parameters *parameters,
                                    struct promql_execution_options *options, struct error *error)
{
    enum error_code code =
        api_time(parameters, TEXT("time"), clock_now_ms(api_of(call->request)->options.clock),
                 &options->start_ms, error);
    options->end_ms = options->start_ms;
    call->time_ms = options->start_ms;
    return code == ERROR_NONE ? read_common(call, parameters, options, error) : code;
}

/* As Prometheus counts, in nanoseconds, which a step of milliseconds may be short of. */
static enum error_code check_steps(const struct promql_execution_options *options, int64_t step_ns,
                                   struct error *error)
{
    int64_t range_ns;
    if (__builtin_mul_overflow(options->end_ms - options->start_ms, NANOSECONDS_PER_MILLISECOND,
                               &range_ns))
        range_ns = INT64_MAX;
    if (step_ns > 0 && range_ns / step_ns > POINTS_MAX)
        return error_set(error, ERROR_INVALID,
                         "exceeded maximum resolution of 11,000 points per timeseries. Try "
                         "decreasing the query resolution (?step=XX)");
    if (options->step_ms <= 0)
        return error_set(error, ERROR_INVALID,
                         "invalid parameter \"step\": zero or negative query resolution step "
                         "widths are not accepted. Try a positive integer");
    return ERROR_NONE;
}

static enum error_code read_range(struct query_call *call, const struct http_parameters *parameters,
                                  struct promql_execution_options *options, struct error *error)
{
    int64_t step_ns;
    enum error_code code = api_required_time(parameters, TEXT("start"), &options->start_ms, error);
    if (code == ERROR_NONE)
        code = api_required_time(parameters, TEXT("end"), &options->end_ms, error);
    if (code == ERROR_NONE && options->end_ms < options->start_ms)
        code = error_set(error, ERROR_INVALID,
                         "invalid parameter \"end\": end timestamp must not be before start time");
    if (code == ERROR_NONE)
        code = api_required_duration(parameters, TEXT("step"), &step_ns, error);
    if (code != ERROR_NONE)
        return code;
    options->step_ms = step_ns / NANOSECONDS_PER_MILLISECOND;
    code = check_steps(options, step_ns, error);
    return code == ERROR_NONE ? read_common(call, parameters, options, error) : code;
}

static void start(struct http_request *request, read_query *read, bool is_repeatable)
{
    struct promql_execution_options options = {0};
    const struct http_parameters *parameters;
    struct error error;
    if (!api_tenant(request, &options.tenant) || !api_parameters(request, &parameters))
        return;
    struct query_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        api_respond_error(request, API_UNAVAILABLE, "out of memory");
        return;
    }
    call->request = request;
    call->read = read;
    call->job = (struct frontend_job){
        .run = query_run,
        .done = query_done,
        .is_repeatable = is_repeatable,
    };
    enum error_code code = read(call, parameters, &options, &error);
    if (code == ERROR_NONE) {
        code = promql_execution_create(&options, &call->execution, &error);
        if (code == ERROR_INVALID)
            error_wrap(&error, "invalid parameter \"query\"");
    }
    if (code == ERROR_NONE) {
        call->job.memory = promql_execution_memory(call->execution);
        call->job.subject = (struct frontend_subject){
            .tenant = options.tenant, /* the texts are in the request, which outlives the job */
            .kind = options.step_ms > 0 ? "query_range" : "query",
            .text = options.query,
            .start_ms = options.start_ms,
            .end_ms = options.end_ms,
            .step_ms = options.step_ms,
        };
        code = frontend_submit(api_of(request)->options.frontend, http_request_scheduler(request),
                               &call->job, &error);
    }
    if (code == ERROR_NONE) {
        http_request_on_gone(request, query_gone, call);
    } else {
        call_destroy(call);
        api_respond_code(request, &error, API_BAD_DATA);
    }
}

void api_query(struct http_request *request)
{
    start(request, read_instant, true);
}

void api_query_range(struct http_request *request)
{
    start(request, read_range, true);
}
