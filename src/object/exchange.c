#include "exchange.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    POLL_MS = 1000,
    NS_PER_MS = 1000 * 1000,
    RECEIVE_BUFFER_BYTES = 256 * 1024,
    SEND_BUFFER_BYTES = 512 * 1024,
    CONNECTION_IDLE_S = 50, /* servers close theirs after a minute or more */
};

struct exchanges {
    struct exchanges_options options;
    char *ca_file;
    CURLM *multi;
    pthread_t thread;
    pthread_mutex_t lock;
    struct exchange *first; /* new ones, in their order */
    struct exchange **last;
    bool is_over;
    atomic_bool has_stops;

    struct exchange *active; /* the thread's, as is the rest */
    size_t active_count;
    struct exchange *waiting; /* for a connection, in their order */
    struct exchange **waiting_last;
};

/* --- Waiting ------------------------------------------------------------------------------- */

void exchange_waiter_init(struct exchange_waiter *waiter)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&waiter->lock, NULL);
    pthread_cond_init(&waiter->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    waiter->done_count = 0;
}

void exchange_waiter_clear(struct exchange_waiter *waiter)
{
    pthread_mutex_destroy(&waiter->lock);
    pthread_cond_destroy(&waiter->changed);
}

void exchange_wait(struct exchange_waiter *waiter, uint64_t timeout_ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(timeout_ms / 1000);
    at.tv_nsec += (long)(timeout_ms % 1000) * NS_PER_MS;
    if (at.tv_nsec >= 1000 * NS_PER_MS) {
        at.tv_nsec -= 1000 * NS_PER_MS;
        at.tv_sec++;
    }
    pthread_mutex_lock(&waiter->lock);
    int status = 0;
    while (waiter->done_count == 0 && status == 0)
        status = pthread_cond_timedwait(&waiter->changed, &waiter->lock, &at);
    waiter->done_count = 0;
    pthread_mutex_unlock(&waiter->lock);
}

bool exchange_is_done(struct exchange *exchange)
{
    pthread_mutex_lock(&exchange->waiter->lock);
    bool is_done = exchange->is_done;
    pthread_mutex_unlock(&exchange->waiter->lock);
    return is_done;
}

/* --- One exchange, on the thread ----------------------------------------------------------- */

static void moved(struct exchange *exchange)
{
    atomic_store_explicit(&exchange->moved_ns,
                          clock_monotonic_ns(exchange->exchanges->options.clock),
                          memory_order_relaxed);
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    size_t taken = size * count;
    long status = 0;
    counter_add(exchange->exchanges->options.received_bytes, taken);
    curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
    if (exchange->target != NULL && (status == 200 || status == 206)) {
        exchange->is_too_large = taken > exchange->target_bytes - exchange->target_filled;
        if (exchange->is_too_large)
            return 0;
        memcpy(exchange->target + exchange->target_filled, bytes, taken);
        exchange->target_filled += taken;
        return taken;
    }
    exchange->is_too_large = taken > exchange->answer_bytes_max - exchange->answer.size;
    if (exchange->is_too_large)
        return 0;
    byte_buffer_append(&exchange->answer, bytes, taken);
    return exchange->answer.failed ? 0 : taken;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    s3_headers_take(&exchange->head, (struct text){bytes, size * count});
    return size * count;
}

static int look(void *context, curl_off_t download, curl_off_t downloaded, curl_off_t upload,
                curl_off_t uploaded)
{
    struct exchange *exchange = context;
    (void)download, (void)upload;
    if (downloaded + uploaded != exchange->moved_bytes) {
        exchange->moved_bytes = downloaded + uploaded;
        moved(exchange);
    }
    return 0;
}

/* curl sends a body again on a new connection when a kept one turns out to be closed. */
static bool set_request(CURL *curl, const struct exchange *exchange)
{
    if (strcmp(exchange->method, "HEAD") == 0)
        return curl_easy_setopt(curl, CURLOPT_NOBODY, 1L) == CURLE_OK;
    if (strcmp(exchange->method, "PUT") == 0 || strcmp(exchange->method, "POST") == 0)
        return curl_easy_setopt(curl, CURLOPT_POST, 1L) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, exchange->method) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_POSTFIELDS,
                                exchange->body.size == 0 ? "" : exchange->body.data) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                                (curl_off_t)exchange->body.size) == CURLE_OK;
    return curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, exchange->method) == CURLE_OK;
}

static bool set_headers(struct exchange *exchange)
{
    struct byte_buffer line = {0};
    bool is_set = true, has_type = false;
    for (size_t i = 0; i <= exchange->header_count + 1 && is_set; i++) {
        byte_buffer_reset(&line);
        if (i < exchange->header_count) {
            const struct s3_header *header = &exchange->headers[i];
            has_type |= strcmp(header->name, "content-type") == 0;
            byte_buffer_append(&line, header->name, strlen(header->name));
            byte_buffer_append(&line, ": ", 2);
            byte_buffer_append(&line, header->value, strlen(header->value) + 1);
        } else if (i == exchange->header_count) {
            byte_buffer_append(&line, "Expect:", sizeof "Expect:");
        } else { /* curl's own would say that it is a form */
            byte_buffer_append(&line, has_type ? "Accept:" : "Content-Type:",
                               has_type ? sizeof "Accept:" : sizeof "Content-Type:");
        }
        struct curl_slist *lines =
            line.failed ? NULL : curl_slist_append(exchange->lines, (const char *)line.bytes);
        is_set = lines != NULL;
        if (is_set)
            exchange->lines = lines;
    }
    byte_buffer_clear(&line);
    return is_set &&
           curl_easy_setopt(exchange->curl, CURLOPT_HTTPHEADER, exchange->lines) == CURLE_OK;
}

static bool set_up(struct exchange *exchange)
{
    const struct exchanges *exchanges = exchange->exchanges;
    CURL *curl = exchange->curl;
    return curl_easy_setopt(curl, CURLOPT_URL, exchange->url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_MAXAGE_CONN, (long)CONNECTION_IDLE_S) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                            (long)exchanges->options.connect_timeout_ms) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER_BYTES) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER_BYTES) == CURLE_OK &&
           (exchanges->ca_file == NULL ||
            curl_easy_setopt(curl, CURLOPT_CAINFO, exchanges->ca_file) == CURLE_OK) &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, exchange->reason) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PRIVATE, exchange) == CURLE_OK &&
           set_request(curl, exchange) && set_headers(exchange);
}

/* From here on it is its asker's. */
static void exchange_end(struct exchange *exchange, CURLcode outcome)
{
    struct exchange_waiter *waiter = exchange->waiter;
    if (exchange->curl != NULL) {
        curl_off_t sent = 0;
        curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &exchange->status);
        curl_easy_getinfo(exchange->curl, CURLINFO_SIZE_UPLOAD_T, &sent);
        counter_add(exchange->exchanges->options.sent_bytes, (uint64_t)sent);
        curl_easy_cleanup(exchange->curl);
        exchange->curl = NULL;
    }
    curl_slist_free_all(exchange->lines);
    exchange->lines = NULL;
    exchange->outcome = outcome;
    pthread_mutex_lock(&waiter->lock);
    exchange->is_done = true;
    waiter->done_count++;
    pthread_cond_signal(&waiter->changed);
    pthread_mutex_unlock(&waiter->lock);
}

/* --- The thread ---------------------------------------------------------------------------- */

static void leave(struct exchanges *exchanges, struct exchange *exchange)
{
    *exchange->link = exchange->next;
    if (exchange->next != NULL)
        exchange->next->link = exchange->link;
    exchanges->active_count--;
    gauge_add(exchanges->options.in_flight, -1);
}

static void start(struct exchanges *exchanges, struct exchange *exchange)
{
    exchange->curl = curl_easy_init();
    if (exchange->curl == NULL || !set_up(exchange) ||
        curl_multi_add_handle(exchanges->multi, exchange->curl) != CURLM_OK) {
        exchange_end(exchange, CURLE_OUT_OF_MEMORY);
        return;
    }
    moved(exchange);
    exchange->next = exchanges->active;
    exchange->link = &exchanges->active;
    if (exchange->next != NULL)
        exchange->next->link = &exchange->next;
    exchanges->active = exchange;
    exchanges->active_count++;
    gauge_add(exchanges->options.in_flight, 1);
}

/* What was begun since the last time waits for a connection. */
static void take_new(struct exchanges *exchanges)
{
    pthread_mutex_lock(&exchanges->lock);
    if (exchanges->first != NULL) {
        *exchanges->waiting_last = exchanges->first;
        exchanges->waiting_last = exchanges->last;
        exchanges->first = NULL;
        exchanges->last = &exchanges->first;
    }
    pthread_mutex_unlock(&exchanges->lock);
}

static void start_waiting(struct exchanges *exchanges)
{
    take_new(exchanges);
    while (exchanges->waiting != NULL && exchanges->active_count < exchanges->options.connections) {
        struct exchange *exchange = exchanges->waiting;
        exchanges->waiting = exchange->next;
        if (exchanges->waiting == NULL)
            exchanges->waiting_last = &exchanges->waiting;
        start(exchanges, exchange);
    }
}

static void take_outcomes(struct exchanges *exchanges)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(exchanges->multi, &left)) != NULL) {
        struct exchange *exchange = NULL;
        CURL *curl = message->easy_handle;
        CURLcode outcome = message->data.result;
        curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&exchange);
        curl_multi_remove_handle(exchanges->multi, curl);
        leave(exchanges, exchange);
        exchange_end(exchange, outcome);
    }
}

static void take_stops(struct exchanges *exchanges)
{
    if (!atomic_exchange(&exchanges->has_stops, false))
        return;
    take_new(exchanges); /* what is stopped may be among them */
    struct exchange *next;
    for (struct exchange *exchange = exchanges->active; exchange != NULL; exchange = next) {
        next = exchange->next;
        if (!atomic_load(&exchange->is_stopped))
            continue;
        curl_multi_remove_handle(exchanges->multi, exchange->curl);
        leave(exchanges, exchange);
        exchange_end(exchange, CURLE_ABORTED_BY_CALLBACK);
    }
    struct exchange **link = &exchanges->waiting;
    while (*link != NULL) {
        struct exchange *exchange = *link;
        if (!atomic_load(&exchange->is_stopped)) {
            link = &exchange->next;
            continue;
        }
        *link = exchange->next;
        exchange_end(exchange, CURLE_ABORTED_BY_CALLBACK);
    }
    exchanges->waiting_last = link;
}

static bool is_over(struct exchanges *exchanges)
{
    pthread_mutex_lock(&exchanges->lock);
    bool over = exchanges->is_over && exchanges->first == NULL;
    pthread_mutex_unlock(&exchanges->lock);
    return over && exchanges->active == NULL && exchanges->waiting == NULL;
}

static void *thread_main(void *context)
{
    struct exchanges *exchanges = context;
    sigset_t pipes;
    pthread_setname_np(pthread_self(), "object-store");
    /* A connection that broke is an error of its exchange, not the end of the program. */
    sigemptyset(&pipes);
    sigaddset(&pipes, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipes, NULL);
    while (!is_over(exchanges)) {
        int running;
        start_waiting(exchanges);
        curl_multi_perform(exchanges->multi, &running);
        take_outcomes(exchanges);
        take_stops(exchanges);
        if (exchanges->waiting != NULL && exchanges->active_count < exchanges->options.connections)
            continue;
        curl_multi_poll(exchanges->multi, NULL, 0, POLL_MS, NULL);
    }
    return NULL;
}

/* --- Asking -------------------------------------------------------------------------------- */

void exchange_send(struct exchanges *exchanges, struct exchange *exchange)
{
    exchange->exchanges = exchanges;
    exchange->next = NULL;
    exchange->curl = NULL;
    exchange->lines = NULL;
    exchange->status = 0;
    exchange->head = (struct s3_headers){0};
    exchange->is_too_large = false;
    exchange->target_filled = 0;
    exchange->reason[0] = '\0';
    exchange->is_done = false;
    exchange->moved_bytes = 0;
    atomic_store(&exchange->is_stopped, false);
    atomic_store(&exchange->moved_ns, 0);
    byte_buffer_reset(&exchange->answer);
    pthread_mutex_lock(&exchanges->lock);
    *exchanges->last = exchange;
    exchanges->last = &exchange->next;
    pthread_mutex_unlock(&exchanges->lock);
    curl_multi_wakeup(exchanges->multi);
}

void exchange_stop(struct exchange *exchange)
{
    struct exchanges *exchanges = exchange->exchanges;
    atomic_store(&exchange->is_stopped, true);
    atomic_store(&exchanges->has_stops, true);
    curl_multi_wakeup(exchanges->multi);
}

/* --- Life ---------------------------------------------------------------------------------- */

static void exchanges_free(struct exchanges *exchanges)
{
    if (exchanges->multi != NULL)
        curl_multi_cleanup(exchanges->multi);
    pthread_mutex_destroy(&exchanges->lock);
    free(exchanges->ca_file);
    free(exchanges);
}

enum error_code exchanges_create(const struct exchanges_options *options,
                                 struct exchanges **exchanges_out, struct error *error)
{
    struct exchanges *exchanges = calloc(1, sizeof *exchanges);
    if (exchanges == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "object store");
    pthread_mutex_init(&exchanges->lock, NULL);
    exchanges->options = *options;
    exchanges->last = &exchanges->first;
    exchanges->waiting_last = &exchanges->waiting;
    bool has_ca = options->ca_file != NULL && options->ca_file[0] != '\0';
    if (has_ca)
        exchanges->ca_file = strdup(options->ca_file);
    exchanges->multi = curl_multi_init();
    if (exchanges->multi == NULL || (has_ca && exchanges->ca_file == NULL)) {
        exchanges_free(exchanges);
        return error_set(error, ERROR_OUT_OF_MEMORY, "object store");
    }
    curl_multi_setopt(exchanges->multi, CURLMOPT_MAXCONNECTS, (long)options->connections);
    int status = pthread_create(&exchanges->thread, NULL, thread_main, exchanges);
    if (status != 0) {
        exchanges_free(exchanges);
        return error_set_errno(error, status, "object store: thread");
    }
    *exchanges_out = exchanges;
    return ERROR_NONE;
}

void exchanges_destroy(struct exchanges *exchanges)
{
    if (exchanges == NULL)
        return;
    pthread_mutex_lock(&exchanges->lock);
    exchanges->is_over = true;
    pthread_mutex_unlock(&exchanges->lock);
    curl_multi_wakeup(exchanges->multi);
    pthread_join(exchanges->thread, NULL);
    exchanges_free(exchanges);
}
