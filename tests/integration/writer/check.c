#include <curl/curl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "writer.h"

/* --- Types ---------------------------------------------------------------------------------- */

enum {
    WINDOW_SAMPLES = 5000, /* of a series in one answer; at most 11,000 for query_range */
    DIFFERENCES_SHOWN = 20,
};

/* How samples are read back. */
enum way { WAY_SELECTOR, WAY_STEPS, WAYS };

static const char *const WAY_NAMES[WAYS] = {"range selector", "query_range"};

struct checker {
    const struct workload *workload;
    const char *url;
    CURL *connection;
    struct check_outcome *outcome;
    uint64_t shown;

    enum way way;
    uint64_t thread;
    uint64_t number_count; /* samples of a series of this thread that may have been sent */
    uint8_t *seen;         /* [series_count * number_count] */
};

/* --- Asking --------------------------------------------------------------------------------- */

static size_t append_answer(char *bytes, size_t size, size_t count, void *context)
{
    byte_buffer_append(context, bytes, size * count);
    return size * count;
}

/* The `result` array of the answer; the caller releases *root_out. */
static enum error_code ask(struct checker *checker, const char *path, const char *form,
                           json_t **root_out, json_t **result_out, struct error *error)
{
    struct byte_buffer answer = {0};
    char url[256];
    long status = 0;
    json_error_t problem;
    enum error_code code = ERROR_NONE;
    snprintf(url, sizeof url, "%s%s", checker->url, path);
    curl_easy_setopt(checker->connection, CURLOPT_URL, url);
    curl_easy_setopt(checker->connection, CURLOPT_POSTFIELDS, form);
    curl_easy_setopt(checker->connection, CURLOPT_WRITEFUNCTION, append_answer);
    curl_easy_setopt(checker->connection, CURLOPT_WRITEDATA, &answer);
    CURLcode outcome = curl_easy_perform(checker->connection);
    curl_easy_getinfo(checker->connection, CURLINFO_RESPONSE_CODE, &status);
    json_t *root = NULL;
    if (outcome != CURLE_OK || answer.failed) {
        code = error_set(error, ERROR_IO, "%s: %s", path, curl_easy_strerror(outcome));
        goto out;
    }
    root = json_loadb((const char *)answer.bytes, answer.size, 0, &problem);
    *result_out = json_object_get(json_object_get(root, "data"), "result");
    if (status != 200 || !json_is_array(*result_out)) {
        code = error_set(error, ERROR_INVALID, "%s was answered %ld: %.*s", path, status,
                         (int)(answer.size < 200 ? answer.size : 200), (char *)answer.bytes);
        goto out;
    }
    *root_out = root;
    root = NULL;
out:
    json_decref(root);
    byte_buffer_clear(&answer);
    return code;
}

/* --- Comparing ------------------------------------------------------------------------------ */

static bool same_value(double left, double right)
{
    return (isnan(left) && isnan(right)) || double_to_bits(left) == double_to_bits(right);
}

static void differ(struct checker *checker, uint64_t *counter, const char *what, uint64_t series,
                   int64_t timestamp_ms, const char *value)
{
    (*counter)++;
    if (checker->shown++ < DIFFERENCES_SHOWN)
        printf("%s (%s): thread %" PRIu64 " series %" PRIu64 " at %" PRId64 " ms: %s\n", what,
               WAY_NAMES[checker->way], checker->thread, series, timestamp_ms, value);
}

static void compare_point(struct checker *checker, uint64_t series, json_t *point)
{
    const struct workload *workload = checker->workload;
    const char *text = json_string_value(json_array_get(point, 1));
    int64_t timestamp_ms = llround(json_number_value(json_array_get(point, 0)) * 1000);
    int64_t distance = timestamp_ms - workload->start_ms;
    uint64_t number = (uint64_t)(distance / workload->interval_ms);
    checker->outcome->checked++;
    if (text == NULL || distance < 0 || distance % workload->interval_ms != 0 ||
        number >= checker->number_count) {
        differ(checker, &checker->outcome->invented, "never sent", series, timestamp_ms,
               text == NULL ? "no value" : text);
        return;
    }
    uint8_t *seen = &checker->seen[series * checker->number_count + number];
    if (*seen != 0)
        differ(checker, &checker->outcome->doubled, "doubled", series, timestamp_ms, text);
    *seen = 1;
    if (!same_value(strtod(text, NULL), workload_value(workload, checker->thread, series, number)))
        differ(checker, &checker->outcome->altered, "altered", series, timestamp_ms, text);
}

static bool series_of(const struct checker *checker, json_t *metric, uint64_t *series_out)
{
    const char *text = json_string_value(json_object_get(metric, "series"));
    char *end;
    if (text == NULL)
        return false;
    *series_out = strtoull(text, &end, 10);
    if (*end != '\0' || *series_out >= checker->workload->series_count)
        return false;
    struct workload_labels labels;
    workload_label(&labels, checker->thread, *series_out);
    for (size_t i = 0; i < WORKLOAD_LABELS; i++) {
        text = json_string_value(json_object_get(metric, labels.labels[i].name.data));
        if (text == NULL || !text_equal(text_of(text), labels.labels[i].value))
            return false;
    }
    return json_object_size(metric) == WORKLOAD_LABELS;
}

static enum error_code compare_window(struct checker *checker, uint64_t first, uint64_t count,
                                      struct error *error)
{
    const struct workload *workload = checker->workload;
    int64_t start_ms = workload_timestamp_ms(workload, first);
    int64_t end_ms = workload_timestamp_ms(workload, first + count - 1);
    char form[512];
    /* Ranges and look-back are open at their left end. */
    if (checker->way == WAY_SELECTOR)
        snprintf(form, sizeof form,
                 "query={job=\"writer\",thread=\"%" PRIu64 "\"}[%" PRId64 "ms]&time=%" PRId64
                 ".%03d",
                 checker->thread, end_ms - start_ms + 1, end_ms / 1000, (int)(end_ms % 1000));
    else
        snprintf(form, sizeof form,
                 "query={job=\"writer\",thread=\"%" PRIu64 "\"}&start=%" PRId64 ".%03d&end=%" PRId64
                 ".%03d&step=%" PRId64 ".%03d&lookback_delta=1ms",
                 checker->thread, start_ms / 1000, (int)(start_ms % 1000), end_ms / 1000,
                 (int)(end_ms % 1000), workload->interval_ms / 1000,
                 (int)(workload->interval_ms % 1000));
    json_t *root = NULL, *result = NULL, *one, *point;
    size_t i, j;
    enum error_code code =
        ask(checker, checker->way == WAY_SELECTOR ? "/api/v1/query" : "/api/v1/query_range", form,
            &root, &result, error);
    if (code != ERROR_NONE)
        return code;
    json_array_foreach(result, i, one)
    {
        uint64_t series;
        if (!series_of(checker, json_object_get(one, "metric"), &series)) {
            char *metric = json_dumps(json_object_get(one, "metric"), JSON_COMPACT);
            differ(checker, &checker->outcome->invented, "series", 0, 0,
                   metric == NULL ? "" : metric);
            free(metric);
            continue;
        }
        json_array_foreach(json_object_get(one, "values"), j, point)
            compare_point(checker, series, point);
    }
    json_decref(root);
    return ERROR_NONE;
}

/* Acknowledged and not seen is lost; seen and never sent is invented. */
static void settle(struct checker *checker, const struct progress *progress)
{
    const struct workload *workload = checker->workload;
    for (uint64_t number = 0; number < checker->number_count; number++) {
        uint64_t position = workload_request_at(workload, number / workload->samples_per_request);
        int64_t timestamp_ms = workload_timestamp_ms(workload, number);
        for (uint64_t series = 0; series < workload->series_count; series++) {
            bool seen = checker->seen[series * checker->number_count + number] != 0;
            if (!seen && position < progress->acknowledged)
                differ(checker, &checker->outcome->lost, "lost", series, timestamp_ms, "");
            if (seen && position >= progress->sent)
                differ(checker, &checker->outcome->invented, "never sent", series, timestamp_ms,
                       "");
        }
    }
}

static enum error_code check_thread(struct checker *checker, const struct progress *progress,
                                    struct error *error)
{
    const struct workload *workload = checker->workload;
    /* A run that was begun may hold any of its requests. */
    uint64_t requests = (progress->sent + WORKLOAD_RUN - 1) / WORKLOAD_RUN * WORKLOAD_RUN;
    enum error_code code = ERROR_NONE;
    checker->number_count = requests * workload->samples_per_request;
    if (checker->number_count == 0)
        return ERROR_NONE;
    checker->seen = calloc(workload->series_count, checker->number_count);
    if (checker->seen == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "seen samples");
    for (uint64_t first = 0; code == ERROR_NONE && first < checker->number_count;
         first += WINDOW_SAMPLES) {
        uint64_t left = checker->number_count - first;
        code = compare_window(checker, first, left < WINDOW_SAMPLES ? left : WINDOW_SAMPLES, error);
    }
    if (code == ERROR_NONE)
        settle(checker, progress);
    free(checker->seen);
    return code;
}

enum error_code writer_check(const struct workload *workload, const char *url,
                             const struct progress *progress, struct check_outcome *outcome,
                             struct error *error)
{
    enum error_code code = ERROR_NONE;
    curl_global_init(CURL_GLOBAL_ALL);
    struct checker checker = {
        .workload = workload, .url = url, .connection = curl_easy_init(), .outcome = outcome};
    if (checker.connection == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "connection");
    for (checker.way = 0; code == ERROR_NONE && checker.way < WAYS; checker.way++)
        for (uint64_t i = 0; code == ERROR_NONE && i < workload->thread_count; i++) {
            checker.thread = workload->first_thread + i;
            code = check_thread(&checker, &progress[i], error);
        }
    curl_easy_cleanup(checker.connection);
    curl_global_cleanup();
    return code;
}
