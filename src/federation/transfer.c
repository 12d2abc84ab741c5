#include "transfer.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probes.h"

enum {
    ANSWER_BYTES_MAX = 1 << 30,
    CONNECTIONS_KEPT = 64,
    POLL_MS = 1000,
    POLL_BUSY_MS = 200,
    LOOK_MS = 20, /* how soon a cancellation is seen */
    NS_PER_MS = 1000 * 1000,
};

/* --- Types ----------------------------------------------------------------------------------- */

struct transfer {
    struct transfers *transfers;
    struct transfer *next; /* in the queue of new ones; then among those under way */
    struct transfer **link;
    struct target *target;
    uint64_t begun_ms;
    CURL *curl;
    struct curl_slist *headers;
    struct byte_buffer body;   /* of the request */
    struct byte_buffer answer; /* the thread's until it is done */
    struct arena_account *memory;
    uint64_t charged_bytes;
    _Atomic uint64_t *bytes_total;
    bool is_over_memory;
    atomic_bool is_canceled;
    char reason[CURL_ERROR_SIZE];

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_done;
    bool is_ended; /* by its asker */
    CURLcode outcome;
    long status;
};

struct transfers {
    struct clock *clock;
    CURLM *multi;
    pthread_t thread;
    pthread_mutex_t lock;
    struct transfer *queue;
    bool is_over;
    _Atomic size_t count; /* that exist */

    struct transfer *active; /* the thread's, as is the rest */
    struct probes probes;
};

/* --- One transfer ---------------------------------------------------------------------------- */

static void transfer_free(struct transfer *transfer)
{
    if (transfer->memory != NULL && transfer->charged_bytes > 0)
        transfer->memory->release(transfer->memory, transfer->charged_bytes);
    curl_easy_cleanup(transfer->curl);
    curl_slist_free_all(transfer->headers);
    byte_buffer_clear(&transfer->body);
    byte_buffer_clear(&transfer->answer);
    pthread_mutex_destroy(&transfer->lock);
    pthread_cond_destroy(&transfer->changed);
    atomic_fetch_sub(&transfer->transfers->count, 1);
    free(transfer);
}

/* On the thread. */
static size_t take(char *bytes, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    size_t taken = size * count;
    struct byte_buffer *answer = &transfer->answer;
    atomic_fetch_add_explicit(transfer->bytes_total, taken, memory_order_relaxed);
    target_heard(transfer->target, clock_monotonic_ms(transfer->transfers->clock));
    if (taken > ANSWER_BYTES_MAX - answer->size) {
        transfer->is_over_memory = true;
        return 0;
    }
    if (transfer->memory != NULL) {
        if (!transfer->memory->charge(transfer->memory, taken)) {
            transfer->is_over_memory = true;
            return 0;
        }
        transfer->charged_bytes += taken;
    }
    byte_buffer_append(answer, bytes, taken);
    transfer->is_over_memory |= answer->failed;
    return answer->failed ? 0 : taken;
}

static int look(void *context, curl_off_t download, curl_off_t downloaded, curl_off_t upload,
                curl_off_t uploaded)
{
    const struct transfer *transfer = context;
    (void)download, (void)downloaded, (void)upload, (void)uploaded;
    return atomic_load_explicit(&transfer->is_canceled, memory_order_relaxed) ? 1 : 0;
}

static bool add_header(struct transfer *transfer, const char *line)
{
    struct curl_slist *list = curl_slist_append(transfer->headers, line);
    if (list != NULL)
        transfer->headers = list;
    return list != NULL;
}

static bool set_headers(struct transfer *transfer, struct text tenant)
{
    char line[256];
    snprintf(line, sizeof line, "X-Scope-OrgID: %.*s", TEXT_ARGUMENTS(tenant));
    return add_header(transfer, "Content-Type: application/octet-stream") &&
           add_header(transfer, "Expect:") && (tenant.size == 0 || add_header(transfer, line)) &&
           curl_easy_setopt(transfer->curl, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK;
}

static bool set_up(struct transfer *transfer, const struct transfer_options *options)
{
    CURL *curl = transfer->curl;
    return target_prepare(options->target, curl, options->path, options->timeout_ms) &&
           curl_easy_setopt(curl, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POSTFIELDS, (char *)transfer->body.bytes) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)transfer->body.size) ==
               CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->reason) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PRIVATE, transfer) == CURLE_OK &&
           set_headers(transfer, options->tenant);
}

/* --- The thread ------------------------------------------------------------------------------ */

/* The asker hears of it, or is gone. */
static void transfer_done(struct transfer *transfer, CURLcode outcome)
{
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &transfer->status);
    pthread_mutex_lock(&transfer->lock);
    transfer->outcome = outcome;
    transfer->is_done = true;
    bool is_ended = transfer->is_ended;
    pthread_cond_signal(&transfer->changed);
    pthread_mutex_unlock(&transfer->lock);
    if (is_ended)
        transfer_free(transfer);
}

static void leave(struct transfer *transfer)
{
    *transfer->link = transfer->next;
    if (transfer->next != NULL)
        transfer->next->link = transfer->link;
}

static void begin(struct transfers *transfers, struct transfer *transfer, uint64_t now_ms)
{
    uint64_t silent_ms = target_silent_ms(transfer->target, now_ms);
    if (silent_ms > 0) {
        snprintf(transfer->reason, sizeof transfer->reason,
                 "nothing came from it for %.1f s, it is asked again every second",
                 (double)silent_ms / 1000);
        transfer_done(transfer, CURLE_OPERATION_TIMEDOUT);
        return;
    }
    if (curl_multi_add_handle(transfers->multi, transfer->curl) != CURLM_OK) {
        transfer_done(transfer, CURLE_OUT_OF_MEMORY);
        return;
    }
    transfer->begun_ms = now_ms;
    transfer->next = transfers->active;
    transfer->link = &transfers->active;
    if (transfer->next != NULL)
        transfer->next->link = &transfer->next;
    transfers->active = transfer;
}

static void take_queue(struct transfers *transfers, uint64_t now_ms)
{
    pthread_mutex_lock(&transfers->lock);
    struct transfer *transfer = transfers->queue;
    transfers->queue = NULL;
    pthread_mutex_unlock(&transfers->lock);
    while (transfer != NULL) {
        struct transfer *next = transfer->next;
        begin(transfers, transfer, now_ms);
        transfer = next;
    }
}

/* Nobody waits for a cluster that does not even say that it is well. */
static void give_up(struct transfers *transfers, const struct target *target)
{
    struct transfer *next;
    for (struct transfer *transfer = transfers->active; transfer != NULL; transfer = next) {
        next = transfer->next;
        if (transfer->target != target)
            continue;
        curl_multi_remove_handle(transfers->multi, transfer->curl);
        leave(transfer);
        snprintf(transfer->reason, sizeof transfer->reason, "nothing comes from it");
        transfer_done(transfer, CURLE_OPERATION_TIMEDOUT);
    }
}

static void take_outcomes(struct transfers *transfers, uint64_t now_ms)
{
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(transfers->multi, &left)) != NULL) {
        struct transfer *transfer;
        struct target *silent;
        CURL *curl = message->easy_handle;
        CURLcode outcome = message->data.result;
        if (probes_take(&transfers->probes, curl, outcome, now_ms, &silent)) {
            if (silent != NULL)
                give_up(transfers, silent);
            continue;
        }
        curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&transfer);
        curl_multi_remove_handle(transfers->multi, curl);
        leave(transfer);
        if (outcome == CURLE_OK)
            target_heard(transfer->target, now_ms);
        else if (outcome == CURLE_OPERATION_TIMEDOUT)
            probes_suspect(&transfers->probes, transfer->target, now_ms);
        transfer_done(transfer, outcome);
    }
}

static void suspect_silent(struct transfers *transfers, uint64_t now_ms)
{
    for (const struct transfer *transfer = transfers->active; transfer != NULL;
         transfer = transfer->next) {
        uint64_t since_ms = atomic_load_explicit(&transfer->target->heard_ms, memory_order_relaxed);
        if (since_ms < transfer->begun_ms)
            since_ms = transfer->begun_ms;
        if (now_ms >= since_ms + PROBES_PATIENCE_MS)
            probes_suspect(&transfers->probes, transfer->target, now_ms);
    }
    probes_look(&transfers->probes, now_ms);
}

static bool is_over(struct transfers *transfers)
{
    pthread_mutex_lock(&transfers->lock);
    bool over = transfers->is_over && transfers->queue == NULL && transfers->active == NULL;
    pthread_mutex_unlock(&transfers->lock);
    return over;
}

static void *thread_main(void *context)
{
    struct transfers *transfers = context;
    pthread_setname_np(pthread_self(), "federation");
    while (!is_over(transfers)) {
        int running;
        uint64_t now_ms = clock_monotonic_ms(transfers->clock);
        take_queue(transfers, now_ms);
        curl_multi_perform(transfers->multi, &running);
        take_outcomes(transfers, now_ms);
        suspect_silent(transfers, now_ms);
        bool is_busy = transfers->active != NULL || probes_are_needed(&transfers->probes);
        curl_multi_poll(transfers->multi, NULL, 0, is_busy ? POLL_BUSY_MS : POLL_MS, NULL);
    }
    probes_clear(&transfers->probes);
    return NULL;
}

/* --- Life ------------------------------------------------------------------------------------ */

enum error_code transfers_create(struct clock *clock, struct transfers **transfers_out,
                                 struct error *error)
{
    struct transfers *transfers = calloc(1, sizeof *transfers);
    if (transfers == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "federation");
    transfers->clock = clock;
    transfers->multi = curl_multi_init();
    if (transfers->multi == NULL) {
        free(transfers);
        return error_set(error, ERROR_OUT_OF_MEMORY, "federation");
    }
    transfers->probes.multi = transfers->multi;
    curl_multi_setopt(transfers->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    pthread_mutex_init(&transfers->lock, NULL);
    int status = pthread_create(&transfers->thread, NULL, thread_main, transfers);
    if (status != 0) {
        curl_multi_cleanup(transfers->multi);
        pthread_mutex_destroy(&transfers->lock);
        free(transfers);
        return error_set_errno(error, status, "federation: thread");
    }
    *transfers_out = transfers;
    return ERROR_NONE;
}

void transfers_destroy(struct transfers *transfers)
{
    if (transfers == NULL)
        return;
    pthread_mutex_lock(&transfers->lock);
    transfers->is_over = true;
    pthread_mutex_unlock(&transfers->lock);
    curl_multi_wakeup(transfers->multi);
    pthread_join(transfers->thread, NULL);
    assert(atomic_load(&transfers->count) == 0);
    curl_multi_cleanup(transfers->multi);
    pthread_mutex_destroy(&transfers->lock);
    free(transfers);
}

/* --- Asking ---------------------------------------------------------------------------------- */

/* What a header takes: visible, and short. */
static bool tenant_is_plain(struct text tenant)
{
    for (size_t i = 0; i < tenant.size; i++)
        if ((unsigned char)tenant.data[i] < 0x20 || tenant.data[i] == 0x7f)
            return false;
    return tenant.size <= 200;
}

enum error_code transfer_begin(struct transfers *transfers, const struct transfer_options *options,
                               struct byte_buffer *body, struct transfer **transfer_out,
                               struct error *error)
{
    struct byte_buffer taken = *body;
    *body = (struct byte_buffer){0};
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL || taken.failed || !tenant_is_plain(options->tenant)) {
        bool is_plain = tenant_is_plain(options->tenant);
        byte_buffer_clear(&taken);
        free(transfer);
        return is_plain ? error_set(error, ERROR_OUT_OF_MEMORY, "a request to another cluster")
                        : error_set(error, ERROR_INVALID, "the tenant's name fits no header");
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&transfer->lock, NULL);
    pthread_cond_init(&transfer->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    atomic_fetch_add(&transfers->count, 1);
    transfer->transfers = transfers;
    transfer->body = taken;
    transfer->memory = options->memory;
    transfer->bytes_total = options->bytes_total;
    transfer->target = options->target;
    transfer->curl = curl_easy_init();
    if (transfer->curl == NULL || !set_up(transfer, options)) {
        transfer_free(transfer);
        return error_set(error, ERROR_OUT_OF_MEMORY, "a request to another cluster");
    }
    pthread_mutex_lock(&transfers->lock);
    transfer->next = transfers->queue;
    transfers->queue = transfer;
    pthread_mutex_unlock(&transfers->lock);
    curl_multi_wakeup(transfers->multi);
    *transfer_out = transfer;
    return ERROR_NONE;
}

static enum error_code judge(const struct transfer *transfer, struct text *body_out,
                             struct error *error)
{
    const struct byte_buffer *answer = &transfer->answer;
    if (transfer->is_over_memory)
        return error_set(error, ERROR_LIMIT, "its answer needs too much memory");
    if (transfer->outcome != CURLE_OK)
        return error_set(error, ERROR_UNAVAILABLE, "%s",
                         transfer->reason[0] != '\0' ? transfer->reason
                                                     : curl_easy_strerror(transfer->outcome));
    if (transfer->status != 200)
        return error_set(error, ERROR_UNAVAILABLE, "it answers %ld: %.*s", transfer->status,
                         (int)(answer->size < 200 ? answer->size : 200),
                         answer->size == 0 ? "" : (const char *)answer->bytes);
    *body_out = (struct text){(const char *)answer->bytes, answer->size};
    return ERROR_NONE;
}

static struct timespec soon(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += LOOK_MS * NS_PER_MS;
    if (at.tv_nsec >= 1000 * NS_PER_MS) {
        at.tv_nsec -= 1000 * NS_PER_MS;
        at.tv_sec++;
    }
    return at;
}

enum error_code transfer_wait(struct transfer *transfer, const atomic_bool *canceled,
                              uint64_t deadline_ns, struct text *body_out, struct error *error)
{
    enum error_code code = ERROR_NONE;
    pthread_mutex_lock(&transfer->lock);
    while (!transfer->is_done && code == ERROR_NONE) {
        struct timespec at = soon();
        pthread_cond_timedwait(&transfer->changed, &transfer->lock, &at);
        if (transfer->is_done)
            break;
        if (canceled != NULL && atomic_load_explicit(canceled, memory_order_relaxed))
            code = error_set(error, ERROR_CANCELED, "query was canceled");
        else if (deadline_ns != 0 && clock_monotonic_ns(transfer->transfers->clock) >= deadline_ns)
            code = error_set(error, ERROR_TIMEOUT, "query timed out");
    }
    pthread_mutex_unlock(&transfer->lock);
    return code == ERROR_NONE ? judge(transfer, body_out, error) : code;
}

void transfer_end(struct transfer *transfer)
{
    if (transfer == NULL)
        return;
    struct transfers *transfers = transfer->transfers;
    pthread_mutex_lock(&transfer->lock);
    transfer->is_ended = true;
    bool is_done = transfer->is_done;
    atomic_store(&transfer->is_canceled, true);
    pthread_mutex_unlock(&transfer->lock);
    /* If it was not done, it is the thread's from here on. */
    if (is_done)
        transfer_free(transfer);
    else
        curl_multi_wakeup(transfers->multi);
}
