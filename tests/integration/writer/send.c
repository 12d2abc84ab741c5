#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <snappy-c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "write_builder.h"
#include "writer.h"

/* --- Types ---------------------------------------------------------------------------------- */

enum { DUPLICATE_EVERY = 7, ANSWER_SHOWN = 512, RETRY_MS = 20 };

static const char *const HEADERS_1[] = {"Content-Type: application/x-protobuf",
                                        "Content-Encoding: snappy",
                                        "X-Prometheus-Remote-Write-Version: 0.1.0"};
static const char *const HEADERS_2[] = {
    "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "Content-Encoding: snappy", "X-Prometheus-Remote-Write-Version: 2.0.0"};

struct sender {
    pthread_t thread;
    const struct workload *workload;
    const struct send_options *options;
    uint64_t number;
    time_t end;
    struct progress progress;
    struct error error;

    CURL *connection;
    struct curl_slist *headers[2];  /* by version - 1 */
    struct workload_labels *labels; /* [series_count] */
    struct built_series *series;    /* [series_count] */
    int64_t *timestamps_ms;         /* [samples_per_request] */
    double *values;                 /* [series_count * samples_per_request] */
    struct byte_buffer body;
    char *compressed;
    size_t compressed_capacity;
    char answer[ANSWER_SHOWN + 1];
    size_t answer_size;
};

/* Set by SIGTERM, or when a sender fails. */
static atomic_bool stopping;

static void stop(int signal_number)
{
    (void)signal_number;
    atomic_store(&stopping, true);
}

static bool goes_on(const struct sender *sender)
{
    return !atomic_load(&stopping) && time(NULL) < sender->end;
}

/* --- Requests ------------------------------------------------------------------------------- */

static unsigned protocol_of(const struct sender *sender, uint64_t request)
{
    switch (sender->workload->protocol) {
    case PROTOCOL_1:
        return 1;
    case PROTOCOL_2:
        return 2;
    default:
        return 1 + request % 2;
    }
}

static enum error_code build(struct sender *sender, uint64_t request, size_t *size_out)
{
    const struct workload *workload = sender->workload;
    uint64_t per_request = workload->samples_per_request;
    for (uint64_t i = 0; i < per_request; i++)
        sender->timestamps_ms[i] = workload_timestamp_ms(workload, request * per_request + i);
    byte_buffer_reset(&sender->body);
    for (uint64_t s = 0; s < workload->series_count; s++) {
        double *values = sender->values + s * per_request;
        for (uint64_t i = 0; i < per_request; i++)
            values[i] = workload_value(workload, sender->number, s, request * per_request + i);
        sender->series[s] = (struct built_series){
            .labels = sender->labels[s].labels,
            .label_count = WORKLOAD_LABELS,
            .timestamps_ms = sender->timestamps_ms,
            .values = values,
            .sample_count = per_request,
        };
        if (protocol_of(sender, request) == 1)
            build_series_1(&sender->body, &sender->series[s]);
    }
    if (protocol_of(sender, request) == 2)
        build_request_2(&sender->body, sender->series, workload->series_count);
    if (sender->body.failed)
        return error_set(&sender->error, ERROR_OUT_OF_MEMORY, "body of a request");

    size_t needed = snappy_max_compressed_length(sender->body.size);
    if (needed > sender->compressed_capacity) {
        free(sender->compressed);
        sender->compressed = malloc(needed);
        sender->compressed_capacity = sender->compressed == NULL ? 0 : needed;
        if (sender->compressed == NULL)
            return error_set(&sender->error, ERROR_OUT_OF_MEMORY, "body of a request");
    }
    *size_out = needed;
    if (snappy_compress((const char *)sender->body.bytes, sender->body.size, sender->compressed,
                        size_out) != SNAPPY_OK)
        return error_set(&sender->error, ERROR_INVALID, "snappy");
    return ERROR_NONE;
}

static size_t keep_answer(char *bytes, size_t size, size_t count, void *context)
{
    struct sender *sender = context;
    size_t room = ANSWER_SHOWN - sender->answer_size;
    size_t kept = size * count < room ? size * count : room;
    memcpy(sender->answer + sender->answer_size, bytes, kept);
    sender->answer_size += kept;
    sender->answer[sender->answer_size] = '\0';
    return size * count;
}

/* The status; 0 when there was no answer. */
static long post(struct sender *sender, unsigned protocol, size_t size)
{
    long status = 0;
    sender->answer_size = 0;
    sender->answer[0] = '\0';
    curl_easy_setopt(sender->connection, CURLOPT_HTTPHEADER, sender->headers[protocol - 1]);
    curl_easy_setopt(sender->connection, CURLOPT_POSTFIELDS, sender->compressed);
    curl_easy_setopt(sender->connection, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    if (curl_easy_perform(sender->connection) != CURLE_OK)
        return 0;
    curl_easy_getinfo(sender->connection, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* Until it is acknowledged; CANCELED when the sender is to stop before. */
static enum error_code deliver(struct sender *sender, uint64_t request)
{
    size_t size;
    enum error_code code = build(sender, request, &size);
    while (code == ERROR_NONE) {
        long status = post(sender, protocol_of(sender, request), size);
        if (status >= 200 && status < 300)
            return ERROR_NONE;
        if (status != 0 && status != 429 && status < 500)
            return error_set(&sender->error, ERROR_INVALID, "request %llu was answered %ld: %s",
                             (unsigned long long)request, status, sender->answer);
        if (!goes_on(sender))
            return ERROR_CANCELED;
        usleep(RETRY_MS * 1000); /* the back-off of a sender */
    }
    return code;
}

/* --- Senders -------------------------------------------------------------------------------- */

static bool sender_prepare(struct sender *sender)
{
    const struct workload *workload = sender->workload;
    char url[256];
    sender->labels = calloc(workload->series_count, sizeof *sender->labels);
    sender->series = calloc(workload->series_count, sizeof *sender->series);
    sender->timestamps_ms = calloc(workload->samples_per_request, sizeof *sender->timestamps_ms);
    sender->values =
        calloc(workload->series_count * workload->samples_per_request, sizeof *sender->values);
    sender->connection = curl_easy_init();
    for (size_t i = 0; i < 3; i++) {
        sender->headers[0] = curl_slist_append(sender->headers[0], HEADERS_1[i]);
        sender->headers[1] = curl_slist_append(sender->headers[1], HEADERS_2[i]);
    }
    if (sender->labels == NULL || sender->series == NULL || sender->timestamps_ms == NULL ||
        sender->values == NULL || sender->connection == NULL)
        return false;
    for (uint64_t s = 0; s < workload->series_count; s++)
        workload_label(&sender->labels[s], sender->number, s);
    snprintf(url, sizeof url, "%s/api/v1/write", sender->options->url);
    curl_easy_setopt(sender->connection, CURLOPT_URL, url);
    curl_easy_setopt(sender->connection, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(sender->connection, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(sender->connection, CURLOPT_WRITEFUNCTION, keep_answer);
    curl_easy_setopt(sender->connection, CURLOPT_WRITEDATA, sender);
    return true;
}

static void sender_clear(struct sender *sender)
{
    curl_easy_cleanup(sender->connection);
    curl_slist_free_all(sender->headers[0]);
    curl_slist_free_all(sender->headers[1]);
    byte_buffer_clear(&sender->body);
    free(sender->compressed);
    free(sender->labels);
    free(sender->series);
    free(sender->timestamps_ms);
    free(sender->values);
}

static void *sender_run(void *context)
{
    struct sender *sender = context;
    enum error_code code = ERROR_NONE;
    uint64_t requests_max = sender->options->requests_max;
    while (code == ERROR_NONE && goes_on(sender) &&
           (requests_max == 0 || sender->progress.sent < requests_max)) {
        uint64_t position = sender->progress.sent++;
        uint64_t request = workload_request_at(sender->workload, position);
        code = deliver(sender, request);
        if (code == ERROR_NONE)
            sender->progress.acknowledged++;
        if (code == ERROR_NONE && position % DUPLICATE_EVERY == 0)
            code = deliver(sender, request);
        usleep((useconds_t)sender->options->pause_ms * 1000);
    }
    if (code != ERROR_NONE && code != ERROR_CANCELED)
        atomic_store(&stopping, true);
    return NULL;
}

enum error_code writer_send(const struct workload *workload, const struct send_options *options,
                            struct progress *progress_out, struct error *error)
{
    enum error_code code = ERROR_NONE;
    uint64_t started = 0;
    struct sender *senders = calloc(workload->thread_count, sizeof *senders);
    if (senders == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "senders");
    curl_global_init(CURL_GLOBAL_ALL);
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);

    for (uint64_t i = 0; code == ERROR_NONE && i < workload->thread_count; i++) {
        struct sender *sender = &senders[i];
        error_clear(&sender->error);
        sender->workload = workload;
        sender->options = options;
        sender->number = workload->first_thread + i;
        sender->end = time(NULL) + (time_t)options->seconds_max;
        if (!sender_prepare(sender) ||
            pthread_create(&sender->thread, NULL, sender_run, sender) != 0)
            code = error_set(error, ERROR_OUT_OF_MEMORY, "sender");
        else
            started++;
    }
    if (code != ERROR_NONE)
        atomic_store(&stopping, true);
    for (uint64_t i = 0; i < workload->thread_count; i++) {
        if (i < started)
            pthread_join(senders[i].thread, NULL);
        progress_out[i] = senders[i].progress;
        if (code == ERROR_NONE && senders[i].error.code != ERROR_NONE) {
            *error = senders[i].error;
            code = error->code;
        }
        sender_clear(&senders[i]);
    }
    free(senders);
    curl_global_cleanup();
    return code;
}
