/*
 * Files for shards here. A fetch asks one node after the other for the next range, writes it, asks
 * for the one behind.
 *
 *   queued -> looking -> pausing -> asking -> writing -> ... -> finishing -> done
 *              (job)      ^  (budget, or nobody could help)  (job)      (job)
 *                         '------------------------'
 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "transfer_private.h"

enum {
    ROUNDS_MAX = 4, /* through all nodes without a byte, until it is given up */
    ROUND_PAUSE_MS = 500,
};

enum fetch_phase {
    FETCH_QUEUED,
    FETCH_LOOKING,
    FETCH_PAUSING,
    FETCH_ASKING,
    FETCH_WRITING,
    FETCH_FINISHING,
};

struct fetch {
    struct fetch *next;
    struct transfer *transfer;
    struct file_fetch *wanted;
    enum fetch_phase phase;
    bool runs; /* counted; else it waits for its turn */
    bool cancelled;
    struct fetch_file file;
    struct job job;
    struct timer pause;
    struct task task; /* ends one that is cancelled while nothing is under way */
    struct error error;

    size_t node;            /* that is asked, or is next */
    size_t asked;           /* nodes of this round */
    unsigned rounds;        /* without a byte */
    size_t missing, others; /* nodes of this round without the file, and with another one */
    struct transport_request request;
    uint8_t *answer; /* [RANGE_HEAD_BYTES + range_bytes] */
    size_t answer_size;
    bool answer_is_too_long;
};

static void ask(struct fetch *fetch);

static struct scheduler *loop_of(const struct fetch *fetch)
{
    return fetch->transfer->options.environment->scheduler;
}

/* --- Its end ---------------------------------------------------------------------------------- */

static void start_next(struct transfer *transfer);

static void unlink_fetch(struct fetch *fetch)
{
    struct transfer *transfer = fetch->transfer;
    struct fetch **link = &transfer->fetches;
    while (*link != fetch)
        link = &(*link)->next;
    *link = fetch->next;
    if (fetch->next == NULL)
        transfer->fetches_end = link;
    transfer->fetches_running -= fetch->runs;
    transfer->statistics.fetches_active = transfer->fetches_running;
    transfer->statistics.fetches_waiting -= !fetch->runs;
}

/* No job uses the file. */
static void fetch_end(struct fetch *fetch)
{
    struct transfer *transfer = fetch->transfer;
    struct file_fetch *wanted = fetch->wanted;
    struct error error = fetch->error;
    if (fetch->cancelled && error.code != ERROR_NONE)
        error_set(&error, ERROR_CANCELED, "not wanted any more");
    if (error.code == ERROR_NONE) {
        transfer->statistics.files_fetched++;
        memcpy(wanted->path, fetch->file.path, sizeof wanted->path);
    }
    unlink_fetch(fetch);
    fetch_file_close(&fetch->file);
    free(fetch->answer);
    free(fetch);
    wanted->done(wanted, &error);
    start_next(transfer);
}

static void end_task(struct task *task)
{
    fetch_end((struct fetch *)((char *)task - offsetof(struct fetch, task)));
}

/* True when it ends by that. */
static bool is_over(struct fetch *fetch)
{
    if (!fetch->cancelled && fetch->error.code == ERROR_NONE)
        return false;
    if (fetch->error.code == ERROR_NONE)
        error_set(&fetch->error, ERROR_CANCELED, "not wanted any more");
    fetch_end(fetch);
    return true;
}

/* --- Jobs ------------------------------------------------------------------------------------- */

static struct fetch *fetch_of_job(struct job *job)
{
    return (struct fetch *)((char *)job - offsetof(struct fetch, job));
}

static void submit(struct fetch *fetch, enum fetch_phase phase, void (*run)(struct job *job),
                   void (*done)(struct job *job))
{
    fetch->phase = phase;
    error_clear(&fetch->error);
    fetch->job = (struct job){.run = run, .done = done, .class = JOB_BACKGROUND};
    scheduler_submit(loop_of(fetch), &fetch->job);
}

static void finish_run(struct job *job)
{
    struct fetch *fetch = fetch_of_job(job);
    (void)fetch_file_finish(&fetch->file, &fetch->error); /* how it went is in the error */
}

static void finish_done(struct job *job)
{
    fetch_end(fetch_of_job(job));
}

/* More is to come, or all is here. */
static void go_on(struct fetch *fetch)
{
    if (fetch->file.is_known && fetch->file.offset_bytes == fetch->file.identity.size_bytes)
        submit(fetch, FETCH_FINISHING, finish_run, finish_done);
    else
        ask(fetch);
}

static void look_run(struct job *job)
{
    struct fetch *fetch = fetch_of_job(job);
    (void)fetch_file_find(&fetch->file, &fetch->error);
}

static void tell_progress(struct fetch *fetch, uint64_t size_bytes)
{
    if (fetch->wanted->progress != NULL && size_bytes > 0)
        fetch->wanted->progress(fetch->wanted, size_bytes);
}

static void look_done(struct job *job)
{
    struct fetch *fetch = fetch_of_job(job);
    if (is_over(fetch))
        return;
    fetch->transfer->statistics.files_resumed += fetch->file.offset_bytes > 0;
    tell_progress(fetch, fetch->file.offset_bytes);
    go_on(fetch);
}

static void drop_run(struct job *job)
{
    fetch_file_drop(&fetch_of_job(job)->file);
}

static void drop_done(struct job *job)
{
    struct fetch *fetch = fetch_of_job(job);
    if (!is_over(fetch))
        go_on(fetch);
}

static size_t range_size(const struct fetch *fetch)
{
    return fetch->answer_size - RANGE_HEAD_BYTES;
}

static void write_run(struct job *job)
{
    struct fetch *fetch = fetch_of_job(job);
    (void)fetch_file_append(&fetch->file, fetch->answer + RANGE_HEAD_BYTES, range_size(fetch),
                            &fetch->error);
}

static void write_done(struct job *job)
{
    struct fetch *fetch = fetch_of_job(job);
    if (fetch->error.code == ERROR_NONE) {
        fetch->transfer->statistics.bytes_fetched += range_size(fetch);
        tell_progress(fetch, range_size(fetch));
    }
    if (!is_over(fetch))
        go_on(fetch);
}

/* --- Asking ----------------------------------------------------------------------------------- */

static void pause_for(struct fetch *fetch, uint64_t delay_ms)
{
    fetch->phase = FETCH_PAUSING;
    scheduler_timer_start(loop_of(fetch), &fetch->pause, delay_ms);
}

/* All nodes were asked, and none had the range. */
static void end_round(struct fetch *fetch, const struct error *last)
{
    size_t count = fetch->wanted->node_count;
    bool all_missing = fetch->missing == count;
    bool all_differ = fetch->others > 0 && fetch->missing + fetch->others == count;
    fetch->asked = fetch->missing = fetch->others = 0;
    fetch->rounds++;
    if (all_differ) {
        /* Nobody has the rest of what is here: begin with a file that somebody has. */
        submit(fetch, FETCH_WRITING, drop_run, drop_done);
        return;
    }
    if (all_missing || fetch->rounds >= ROUNDS_MAX) {
        fetch->error = *last;
        fetch->error.code = all_missing ? ERROR_NOT_FOUND : ERROR_UNAVAILABLE;
        fetch_end(fetch);
        return;
    }
    pause_for(fetch, ROUND_PAUSE_MS * fetch->rounds);
}

static void try_next_node(struct fetch *fetch, const struct error *why)
{
    fetch->transfer->statistics.ranges_failed++;
    fetch->missing += why->code == ERROR_NOT_FOUND;
    fetch->others += why->code == ERROR_CONFLICT;
    fetch->node = (fetch->node + 1) % fetch->wanted->node_count;
    if (++fetch->asked >= fetch->wanted->node_count)
        end_round(fetch, why);
    else
        pause_for(fetch, 0);
}

/* The range that was asked for, of the file that is known, if it is. */
static enum error_code check_answer(struct fetch *fetch, struct error *error)
{
    struct file_identity identity;
    struct fetch_file *file = &fetch->file;
    if (fetch->answer_is_too_long || fetch->answer_size <= RANGE_HEAD_BYTES)
        return error_set(error, ERROR_CORRUPT, "answer with a file: %zu bytes", fetch->answer_size);
    enum error_code code = range_head_decode(fetch->answer, &identity, error);
    if (code != ERROR_NONE)
        return code;
    if (file->is_known && (identity.size_bytes != file->identity.size_bytes ||
                           !hash128_equal(identity.hash, file->identity.hash)))
        return error_set(error, ERROR_CONFLICT, "answer with another file");
    uint64_t left = identity.size_bytes - file->offset_bytes;
    uint64_t range_bytes = fetch->transfer->options.range_bytes;
    if (range_size(fetch) != (left < range_bytes ? left : range_bytes))
        return error_set(error, ERROR_CORRUPT, "answer with a file: another range");
    file->is_known = true;
    file->identity = identity;
    return ERROR_NONE;
}

static void request_done(struct transport_request *request, const struct error *error)
{
    struct fetch *fetch = (struct fetch *)((char *)request - offsetof(struct fetch, request));
    struct error outcome = *error;
    if (fetch->cancelled) {
        (void)is_over(fetch);
        return;
    }
    if (outcome.code == ERROR_NONE)
        (void)check_answer(fetch, &outcome); /* its code is in there */
    if (outcome.code != ERROR_NONE) {
        try_next_node(fetch, &outcome);
        return;
    }
    fetch->rounds = 0;
    fetch->asked = fetch->missing = fetch->others = 0;
    submit(fetch, FETCH_WRITING, write_run, write_done);
}

static void request_piece(struct transport_request *request, const uint8_t *bytes, size_t size)
{
    struct fetch *fetch = (struct fetch *)((char *)request - offsetof(struct fetch, request));
    size_t room = RANGE_HEAD_BYTES + fetch->transfer->options.range_bytes - fetch->answer_size;
    if (size > room)
        fetch->answer_is_too_long = true;
    else
        memcpy(fetch->answer + fetch->answer_size, bytes, size);
    fetch->answer_size += size > room ? 0 : size;
    transport_consume(request, size);
}

static struct shared_bytes *make_body(const struct fetch *fetch)
{
    uint32_t range_bytes = fetch->transfer->options.range_bytes;
    uint64_t left = fetch->file.is_known
                        ? fetch->file.identity.size_bytes - fetch->file.offset_bytes
                        : range_bytes;
    struct range_request range = {
        .group_id = fetch->wanted->group_id,
        .file = fetch->wanted->file,
        .is_known = fetch->file.is_known,
        .known = fetch->file.identity,
        .offset_bytes = fetch->file.offset_bytes,
        .size_bytes = left < range_bytes ? (uint32_t)left : range_bytes,
    };
    struct shared_bytes *body = shared_bytes_create(RANGE_REQUEST_BYTES);
    if (body != NULL)
        range_request_encode(&range, body->bytes);
    return body;
}

/* The node whose turn it is. */
static void ask_node(struct fetch *fetch)
{
    struct transfer *transfer = fetch->transfer;
    uint64_t node_id = fetch->wanted->nodes[fetch->node];
    struct transport_peer *peer = transport_find_node(transfer->options.transport, node_id);
    struct shared_bytes *body = peer == NULL ? NULL : make_body(fetch);
    struct error error;
    if (body == NULL) {
        error_set(&error, ERROR_UNAVAILABLE, "node %llu cannot be asked",
                  (unsigned long long)node_id);
        try_next_node(fetch, &error);
        return;
    }
    fetch->phase = FETCH_ASKING;
    fetch->answer_size = 0;
    fetch->answer_is_too_long = false;
    fetch->request = (struct transport_request){
        .kind = TRANSFER_REQUEST_KIND,
        .class = TRANSPORT_FILE,
        .body = body,
        .timeout_ms = transfer->options.timeout_ms,
        .piece = request_piece,
        .done = request_done,
    };
    transport_ask(peer, &fetch->request);
    shared_bytes_unref(body); /* the request has a reference of its own */
}

static void pause_fired(struct timer *timer)
{
    struct fetch *fetch = (struct fetch *)((char *)timer - offsetof(struct fetch, pause));
    if (!is_over(fetch))
        ask_node(fetch);
}

/* When the budget has room for the next range. */
static void ask(struct fetch *fetch)
{
    struct transfer *transfer = fetch->transfer;
    uint64_t size_bytes = transfer->options.range_bytes;
    if (fetch->wanted->node_count == 0) {
        error_set(&fetch->error, ERROR_UNAVAILABLE, "there is no other replica");
        fetch_end(fetch);
        return;
    }
    if (fetch->file.is_known)
        size_bytes = fetch->file.identity.size_bytes - fetch->file.offset_bytes;
    else if (fetch->wanted->file.size_bytes > 0)
        size_bytes = fetch->wanted->file.size_bytes;
    if (size_bytes > transfer->options.range_bytes)
        size_bytes = transfer->options.range_bytes;
    uint64_t delay_ms =
        transfer_budget_take(transfer->options.budget, size_bytes,
                             clock_monotonic_ns(transfer->options.environment->clock));
    transfer->statistics.throttled_ms += delay_ms;
    pause_for(fetch, delay_ms);
}

/* --- Beginning -------------------------------------------------------------------------------- */

static void start_one(struct fetch *fetch)
{
    struct transfer *transfer = fetch->transfer;
    fetch->runs = true;
    transfer->fetches_running++;
    transfer->statistics.fetches_waiting--;
    fetch->answer = malloc(RANGE_HEAD_BYTES + transfer->options.range_bytes);
    if (fetch->answer != NULL) {
        submit(fetch, FETCH_LOOKING, look_run, look_done);
        return;
    }
    error_set(&fetch->error, ERROR_OUT_OF_MEMORY, "range of a file");
    fetch->phase = FETCH_FINISHING;
    scheduler_defer(loop_of(fetch), &fetch->task);
}

static void start_next(struct transfer *transfer)
{
    for (struct fetch *fetch = transfer->fetches;
         fetch != NULL && transfer->fetches_running < transfer->options.fetches_max;
         fetch = fetch->next) {
        if (!fetch->runs && !fetch->cancelled)
            start_one(fetch);
    }
    transfer->statistics.fetches_active = transfer->fetches_running;
}

static void no_memory(struct task *task)
{
    struct file_fetch *wanted =
        (struct file_fetch *)((char *)task - offsetof(struct file_fetch, task));
    struct error error;
    error_set(&error, ERROR_OUT_OF_MEMORY, "fetch of a file");
    wanted->done(wanted, &error);
}

static void transfer_fetch(struct file_fetcher *self, struct file_fetch *wanted)
{
    struct transfer *transfer = (struct transfer *)self;
    struct fetch *fetch = calloc(1, sizeof *fetch);
    wanted->implementation = fetch;
    if (fetch == NULL) {
        wanted->task.run = no_memory;
        scheduler_defer(transfer->options.environment->scheduler, &wanted->task);
        return;
    }
    *fetch = (struct fetch){
        .transfer = transfer,
        .wanted = wanted,
        .phase = FETCH_QUEUED,
        .file =
            {
                .disk = transfer->options.environment->disk,
                .directory = wanted->directory,
                .wanted = &wanted->file,
            },
        .pause = {.fire = pause_fired, .heap_index = TIMER_IDLE},
        .task = {.run = end_task},
    };
    *transfer->fetches_end = fetch;
    transfer->fetches_end = &fetch->next;
    transfer->statistics.fetches_waiting++;
    start_next(transfer);
}

static void transfer_cancel(struct file_fetcher *self, struct file_fetch *wanted)
{
    struct fetch *fetch = wanted->implementation;
    (void)self;
    if (fetch == NULL)
        return; /* it ends anyway */
    assert(!fetch->cancelled);
    fetch->cancelled = true;
    switch (fetch->phase) {
    case FETCH_PAUSING:
        scheduler_timer_stop(loop_of(fetch), &fetch->pause);
        /* fall through */
    case FETCH_QUEUED:
        error_set(&fetch->error, ERROR_CANCELED, "not wanted any more");
        scheduler_defer(loop_of(fetch), &fetch->task);
        return;
    case FETCH_ASKING:
        transport_cancel(&fetch->request);
        return;
    case FETCH_LOOKING:
    case FETCH_WRITING:
    case FETCH_FINISHING:
        return; /* its job ends soon */
    }
}

const struct file_fetcher_operations TRANSFER_FETCHER = {
    .fetch = transfer_fetch,
    .cancel = transfer_cancel,
};
