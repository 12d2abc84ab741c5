/*
 * Questions of other nodes, on the loop that they came to.
 *
 *   question ─▶ job: decode ─▶ confirm (strong reads) ─▶ job: a piece ─▶ written ─▶ writable
 *                                                          ▲ one ahead of what is written │
 *                                                          └──────────────────────────────┘
 *
 * A worker makes one piece and goes; while the asker is slow nothing runs.
 */
#include <assert.h>
#include <stdlib.h>

#include "serve_work.h"

enum { NS_PER_MS = 1000 * 1000, TIMEOUT_MS_MAX = 24 * 3600 * 1000 };

struct serving {
    struct fanout *fanout;
    struct fanout_loop *loop;
    struct transport_answer *answer;
    enum question_kind kind;
    uint64_t deadline_ns;
    struct shared_bytes *body;
    atomic_bool is_canceled;

    /* The loop's. */
    bool is_running; /* a job, or confirmations */
    bool is_writing; /* the transport has a piece that was not taken */
    struct shared_bytes *ready;

    /* Whose turn it is. */
    struct job job;
    struct serve_work *work; /* NULL: not begun, or over */
    bool has_begun;
    bool is_finished; /* the last piece was made, or there is an error */
    struct shared_bytes *made;
    struct error error;
    struct serve_confirm *confirms; /* [confirm_count] to be started; NULL: none are */
    size_t confirm_count;
    _Atomic size_t confirms_open;
    struct task confirmed_task;
};

/* --- Ends ------------------------------------------------------------------------------------ */

static void end(struct serving *serving)
{
    struct fanout *fanout = serving->fanout;
    assert(serving->work == NULL && !serving->is_running);
    transport_answer_end(serving->answer, &serving->error);
    shared_bytes_unref(serving->ready);
    shared_bytes_unref(serving->body);
    free(serving);
    atomic_fetch_sub(&fanout->serving, 1);
}

static void finish_work(struct serving *serving)
{
    serve_work_destroy(serving->work);
    serving->work = NULL;
    serving->is_finished = true;
}

/* --- On a worker ----------------------------------------------------------------------------- */

static void run(struct job *job)
{
    struct serving *serving = (struct serving *)((char *)job - offsetof(struct serving, job));
    enum error_code code = ERROR_NONE;
    bool is_last = false;
    if (atomic_load(&serving->is_canceled)) {
        error_set(&serving->error, ERROR_CANCELED, "canceled");
        finish_work(serving);
        return;
    }
    if (!serving->has_begun) {
        struct serve_work_options options = {
            .fanout = serving->fanout,
            .kind = serving->kind,
            .bytes = serving->body->bytes,
            .size = serving->body->size,
            .canceled = &serving->is_canceled,
            .deadline_ns = serving->deadline_ns,
        };
        serving->has_begun = true;
        code = serve_work_create(&options, &serving->work, &serving->error);
        if (code == ERROR_NONE)
            serving->confirms = serve_work_confirms(serving->work, &serving->confirm_count);
        if (serving->confirms != NULL)
            return; /* the loop goes on with them */
    }
    if (code == ERROR_NONE)
        code = serve_work_next(serving->work, &serving->made, &is_last, &serving->error);
    if (code != ERROR_NONE || is_last)
        finish_work(serving);
}

/* --- On the loop ----------------------------------------------------------------------------- */

static void submit(struct serving *serving)
{
    assert(!serving->is_running);
    serving->is_running = true;
    scheduler_submit(serving->loop->scheduler, &serving->job);
}

static void write_piece(struct serving *serving, struct shared_bytes *piece)
{
    serving->is_writing = true;
    atomic_fetch_add_explicit(&serving->fanout->counters.sent_bytes, piece->size,
                              memory_order_relaxed);
    transport_answer_write(serving->answer, piece);
    shared_bytes_unref(piece);
}

/* Go on with whatever can be done. */
static void advance(struct serving *serving)
{
    bool is_canceled = atomic_load(&serving->is_canceled);
    if (serving->is_running)
        return;
    if (is_canceled && serving->work != NULL) {
        submit(serving); /* to let go of it */
        return;
    }
    if (serving->is_finished && (is_canceled || serving->ready == NULL)) {
        end(serving); /* after what is being written */
        return;
    }
    if (serving->ready != NULL && !serving->is_writing) {
        struct shared_bytes *piece = serving->ready;
        serving->ready = NULL;
        write_piece(serving, piece);
        if (serving->is_finished) {
            end(serving);
            return;
        }
    }
    if (!serving->is_finished && serving->ready == NULL)
        submit(serving);
}

static void on_confirms_over(struct task *task)
{
    struct serving *serving =
        (struct serving *)((char *)task - offsetof(struct serving, confirmed_task));
    serving->is_running = false;
    advance(serving);
}

static void on_confirmed(struct fanout_confirm *confirm, const struct error *error)
{
    struct serve_confirm *asked = (struct serve_confirm *)confirm;
    struct serving *serving = asked->context;
    asked->is_confirmed = error->code == ERROR_NONE;
    if (atomic_fetch_sub(&serving->confirms_open, 1) == 1)
        scheduler_post(serving->loop->scheduler, &serving->confirmed_task);
}

/* `is_running` until the last one is over: they are the work's. */
static void start_confirms(struct serving *serving)
{
    struct fanout_replicas *replicas = serving->fanout->options.replicas;
    struct serve_confirm *confirms = serving->confirms;
    size_t count = serving->confirm_count;
    struct error absent;
    error_set(&absent, ERROR_UNAVAILABLE, "no replica here");
    serving->confirms = NULL;
    serving->is_running = true;
    atomic_store(&serving->confirms_open, count);
    for (size_t i = 0; i < count; i++) {
        confirms[i].confirm.done = on_confirmed;
        confirms[i].context = serving;
        if (confirms[i].is_held)
            replicas->operations->confirm(replicas, &confirms[i].replica, &confirms[i].confirm);
        else
            on_confirmed(&confirms[i].confirm, &absent);
    }
}

static void on_job_done(struct job *job)
{
    struct serving *serving = (struct serving *)((char *)job - offsetof(struct serving, job));
    serving->is_running = false;
    if (serving->confirms != NULL) {
        start_confirms(serving);
        return;
    }
    serving->ready = serving->made;
    serving->made = NULL;
    advance(serving);
}

static void on_writable(void *context, struct transport_answer *answer)
{
    struct serving *serving = context;
    (void)answer;
    serving->is_writing = false;
    advance(serving);
}

static void on_canceled(void *context, struct transport_answer *answer)
{
    struct serving *serving = context;
    (void)answer;
    atomic_store(&serving->is_canceled, true);
    advance(serving);
}

static const struct transport_answer_events ANSWER_EVENTS = {
    .writable = on_writable,
    .cancelled = on_canceled,
};

/* --- Questions ------------------------------------------------------------------------------- */

static void refuse(struct fanout *fanout, struct transport_answer *answer, enum error_code code,
                   const char *reason)
{
    struct error error;
    atomic_fetch_add_explicit(&fanout->counters.refused, 1, memory_order_relaxed);
    error_set(&error, code, "%s", reason);
    transport_answer_end(answer, &error);
}

static void serve(void *context, struct transport_answer *answer,
                  const struct transport_question *question)
{
    struct fanout_loop *loop = context;
    struct fanout *fanout = loop->fanout;
    if (atomic_fetch_add(&fanout->serving, 1) >= fanout->options.serving_max) {
        atomic_fetch_sub(&fanout->serving, 1);
        refuse(fanout, answer, ERROR_UNAVAILABLE, "too many questions at once");
        return;
    }
    struct serving *serving = calloc(1, sizeof *serving);
    struct shared_bytes *body = shared_bytes_copy(question->body, question->size);
    if (serving == NULL || body == NULL) {
        free(serving);
        shared_bytes_unref(body);
        atomic_fetch_sub(&fanout->serving, 1);
        refuse(fanout, answer, ERROR_UNAVAILABLE, "out of memory");
        return;
    }
    uint64_t timeout_ms =
        question->timeout_ms < TIMEOUT_MS_MAX ? question->timeout_ms : TIMEOUT_MS_MAX;
    *serving = (struct serving){
        .fanout = fanout,
        .loop = loop,
        .answer = answer,
        .kind = (enum question_kind)question->kind,
        .deadline_ns = fanout_now_ns(fanout) + timeout_ms * NS_PER_MS,
        .body = body,
        .job = {.run = run, .done = on_job_done, .class = JOB_SUBQUERY},
        .confirmed_task.run = on_confirms_over,
    };
    atomic_fetch_add_explicit(&fanout->counters.served, 1, memory_order_relaxed);
    transport_answer_begin(answer, &ANSWER_EVENTS, serving);
    submit(serving);
}

void fanout_serve_attach(struct fanout_loop *loop)
{
    for (uint16_t kind = QUESTION_KIND_FIRST; kind <= QUESTION_KIND_LAST; kind++)
        transport_on_request(loop->transport, kind, serve, loop);
}
