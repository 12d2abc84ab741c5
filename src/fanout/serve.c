/*
 * Questions of other nodes, on the loop that they came to.
 *
 *   question ─▶ job: decode ─▶ confirm (strong reads) ─▶ job: pieces ─▶ written ─▶ writable
 *                                                          ▲ one ahead of what is written │
 *                                                          └──────────────────────────────┘
 *
 * For series a job makes one piece and goes: while the asker is slow nothing runs. A sub-query is
 * evaluated by one job, whose pieces wait here. While there is nothing to write, the asker is told
 * now and then that it is being worked on.
 */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "frame.h"
#include "serve_work.h"

enum { NS_PER_MS = 1000 * 1000, TIMEOUT_MS_MAX = 24 * 3600 * 1000, ALIVE_MS = 20 };

struct piece {
    struct piece *next;
    struct shared_bytes *bytes;
};

struct serving {
    struct serve_outlet outlet; /* first */
    struct fanout *fanout;
    struct fanout_loop *loop;
    struct transport_answer *answer;
    enum question_kind kind;
    uint64_t deadline_ns;
    struct shared_bytes *body;
    atomic_bool is_canceled;

    /* The loop's. */
    bool is_running;      /* a job, or confirmations */
    bool is_writing;      /* the transport has a piece that was not taken */
    size_t writing_bytes; /* charged for it */
    struct timer alive;

    /* Under the mutex. */
    pthread_mutex_t mutex;
    struct piece *first;
    struct piece **last;
    bool is_poked; /* the task is on its way */
    struct task poke_task;

    /* Whose turn it is. */
    struct job job;
    struct serve_work *work; /* NULL: not begun, or over */
    bool has_begun;
    bool is_finished; /* all pieces were made, or there is an error */
    struct error error;
    struct serve_confirm *confirms; /* [confirm_count] to be started; NULL: none are */
    size_t confirm_count;
    _Atomic size_t confirms_open;
    struct task confirmed_task;
};

/* --- Pieces ---------------------------------------------------------------------------------- */

/* What a piece takes while it waits here, and until the transport has it. */
static size_t charge_of(const struct shared_bytes *bytes)
{
    return sizeof(struct piece) + sizeof *bytes + bytes->size;
}

static void release_charge(struct serving *serving, size_t size_bytes)
{
    struct arena_account *memory = serving->fanout->memory;
    if (memory != NULL && size_bytes > 0)
        memory->release(memory, size_bytes);
}

/* Charged to the memory of all queries; NULL: there is none. */
static struct piece *make_piece(struct serving *serving, struct shared_bytes *bytes)
{
    struct arena_account *memory = serving->fanout->memory;
    if (memory != NULL && !memory->charge(memory, charge_of(bytes)))
        return NULL;
    struct piece *piece = malloc(sizeof *piece);
    if (piece != NULL)
        *piece = (struct piece){.bytes = bytes};
    else
        release_charge(serving, charge_of(bytes));
    return piece;
}

static enum error_code put(struct serving *serving, struct shared_bytes *bytes, struct error *error)
{
    struct piece *piece = make_piece(serving, bytes);
    if (piece == NULL) {
        shared_bytes_unref(bytes);
        return error_set(error, ERROR_UNAVAILABLE,
                         "answers to other nodes that wait to be sent need too much memory");
    }
    pthread_mutex_lock(&serving->mutex);
    *serving->last = piece;
    serving->last = &piece->next;
    bool pokes = !serving->is_poked && serving->kind == QUESTION_PARTIAL;
    serving->is_poked |= pokes;
    pthread_mutex_unlock(&serving->mutex);
    if (pokes)
        scheduler_post(serving->loop->scheduler, &serving->poke_task);
    return ERROR_NONE;
}

static enum error_code outlet_put(struct serve_outlet *self, struct shared_bytes *bytes,
                                  struct error *error)
{
    return put((struct serving *)self, bytes, error);
}

/* NULL: none waits. It stays charged. */
static struct shared_bytes *take(struct serving *serving)
{
    pthread_mutex_lock(&serving->mutex);
    struct piece *piece = serving->first;
    if (piece != NULL)
        serving->first = piece->next;
    if (serving->first == NULL)
        serving->last = &serving->first;
    pthread_mutex_unlock(&serving->mutex);
    struct shared_bytes *bytes = piece == NULL ? NULL : piece->bytes;
    free(piece);
    return bytes;
}

static bool has_pieces(struct serving *serving, bool *is_poked_out)
{
    pthread_mutex_lock(&serving->mutex);
    bool has = serving->first != NULL;
    *is_poked_out = serving->is_poked;
    pthread_mutex_unlock(&serving->mutex);
    return has;
}

/* --- On a worker ----------------------------------------------------------------------------- */

static void finish_work(struct serving *serving)
{
    serve_work_destroy(serving->work);
    serving->work = NULL;
    serving->is_finished = true;
}

static enum error_code begin_work(struct serving *serving)
{
    struct serve_work_options options = {
        .fanout = serving->fanout,
        .kind = serving->kind,
        .bytes = serving->body->bytes,
        .size = serving->body->size,
        .canceled = &serving->is_canceled,
        .deadline_ns = serving->deadline_ns,
    };
    serving->has_begun = true;
    enum error_code code = serve_work_create(&options, &serving->work, &serving->error);
    if (code == ERROR_NONE)
        serving->confirms = serve_work_confirms(serving->work, &serving->confirm_count);
    return code;
}

static enum error_code make_pieces(struct serving *serving, bool *is_last_out)
{
    struct shared_bytes *piece;
    *is_last_out = true;
    if (serving->kind == QUESTION_PARTIAL)
        return serve_work_partial(serving->work, &serving->outlet, &serving->error);
    enum error_code code = serve_work_next(serving->work, &piece, is_last_out, &serving->error);
    return code == ERROR_NONE ? put(serving, piece, &serving->error) : code;
}

static void run(struct job *job)
{
    struct serving *serving = (struct serving *)((char *)job - offsetof(struct serving, job));
    enum error_code code = ERROR_NONE;
    bool is_last = false;
    if (atomic_load(&serving->is_canceled))
        code = error_set(&serving->error, ERROR_CANCELED, "canceled");
    else if (!serving->has_begun)
        code = begin_work(serving);
    if (code == ERROR_NONE && serving->confirms != NULL)
        return; /* the loop goes on with them */
    if (code == ERROR_NONE)
        code = make_pieces(serving, &is_last);
    if (code == ERROR_NONE)
        error_clear(&serving->error);
    if (code != ERROR_NONE || is_last)
        finish_work(serving);
}

/* --- On the loop ----------------------------------------------------------------------------- */

static void end(struct serving *serving)
{
    struct fanout *fanout = serving->fanout;
    struct shared_bytes *bytes;
    assert(serving->work == NULL && !serving->is_running);
    scheduler_timer_stop(serving->loop->scheduler, &serving->alive);
    while ((bytes = take(serving)) != NULL) {
        release_charge(serving, charge_of(bytes));
        shared_bytes_unref(bytes);
    }
    release_charge(serving, serving->writing_bytes);
    transport_answer_end(serving->answer, &serving->error);
    pthread_mutex_destroy(&serving->mutex);
    shared_bytes_unref(serving->body);
    free(serving);
    atomic_fetch_sub(&fanout->serving, 1);
}

static void submit(struct serving *serving)
{
    assert(!serving->is_running);
    serving->is_running = true;
    scheduler_submit(serving->loop->scheduler, &serving->job);
}

static void write_next(struct serving *serving)
{
    struct shared_bytes *piece = serving->is_writing ? NULL : take(serving);
    if (piece == NULL)
        return;
    serving->is_writing = true;
    serving->writing_bytes = charge_of(piece);
    atomic_fetch_add_explicit(&serving->fanout->counters.sent_bytes, piece->size,
                              memory_order_relaxed);
    transport_answer_write(serving->answer, piece);
    shared_bytes_unref(piece);
}

/* Go on with whatever can be done. */
static void advance(struct serving *serving)
{
    bool is_canceled = atomic_load(&serving->is_canceled), is_poked;
    if (!is_canceled)
        write_next(serving);
    bool is_empty = !has_pieces(serving, &is_poked);
    if (serving->is_running || is_poked)
        return;
    if (serving->is_finished && (is_canceled || is_empty))
        end(serving); /* after what is being written */
    else if (!serving->is_finished && (is_canceled || is_empty))
        submit(serving); /* when it is canceled, to let go of the work */
}

static void on_poke(struct task *task)
{
    struct serving *serving =
        (struct serving *)((char *)task - offsetof(struct serving, poke_task));
    pthread_mutex_lock(&serving->mutex);
    serving->is_poked = false;
    pthread_mutex_unlock(&serving->mutex);
    advance(serving);
}

static void on_alive(struct timer *timer)
{
    struct serving *serving = (struct serving *)((char *)timer - offsetof(struct serving, alive));
    static const uint8_t SIGN[FRAME_HEAD_BYTES] = {0, 0, 0, 0, FRAME_ALIVE};
    scheduler_timer_start(serving->loop->scheduler, timer, ALIVE_MS);
    if (serving->is_writing || atomic_load(&serving->is_canceled))
        return;
    struct shared_bytes *sign = shared_bytes_copy(SIGN, sizeof SIGN);
    if (sign == NULL)
        return;
    serving->is_writing = true;
    transport_answer_write(serving->answer, sign);
    shared_bytes_unref(sign);
}

/* --- Confirmations --------------------------------------------------------------------------- */

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
    if (serving->confirms != NULL)
        start_confirms(serving);
    else
        advance(serving);
}

/* --- Questions ------------------------------------------------------------------------------- */

static void on_writable(void *context, struct transport_answer *answer)
{
    struct serving *serving = context;
    (void)answer;
    serving->is_writing = false;
    release_charge(serving, serving->writing_bytes);
    serving->writing_bytes = 0;
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

static void refuse(struct fanout *fanout, struct transport_answer *answer, const char *reason)
{
    struct error error;
    atomic_fetch_sub(&fanout->serving, 1);
    atomic_fetch_add_explicit(&fanout->counters.refused, 1, memory_order_relaxed);
    error_set(&error, ERROR_UNAVAILABLE, "%s", reason);
    transport_answer_end(answer, &error);
}

static struct serving *serving_create(struct fanout_loop *loop, struct transport_answer *answer,
                                      const struct transport_question *question)
{
    struct serving *serving = calloc(1, sizeof *serving);
    struct shared_bytes *body = shared_bytes_copy(question->body, question->size);
    if (serving == NULL || body == NULL) {
        free(serving);
        shared_bytes_unref(body);
        return NULL;
    }
    uint64_t timeout_ms =
        question->timeout_ms < TIMEOUT_MS_MAX ? question->timeout_ms : TIMEOUT_MS_MAX;
    *serving = (struct serving){
        .outlet.put = outlet_put,
        .fanout = loop->fanout,
        .loop = loop,
        .answer = answer,
        .kind = (enum question_kind)question->kind,
        .deadline_ns = fanout_now_ns(loop->fanout) + timeout_ms * NS_PER_MS,
        .body = body,
        .alive = {.fire = on_alive, .heap_index = TIMER_IDLE},
        .poke_task.run = on_poke,
        .job = {.run = run, .done = on_job_done, .class = JOB_SUBQUERY},
        .confirmed_task.run = on_confirms_over,
    };
    serving->last = &serving->first;
    pthread_mutex_init(&serving->mutex, NULL);
    return serving;
}

static void serve(void *context, struct transport_answer *answer,
                  const struct transport_question *question)
{
    struct fanout_loop *loop = context;
    struct fanout *fanout = loop->fanout;
    if (atomic_fetch_add(&fanout->serving, 1) >= fanout->options.serving_max) {
        refuse(fanout, answer, "too many questions at once");
        return;
    }
    struct serving *serving = serving_create(loop, answer, question);
    if (serving == NULL) {
        refuse(fanout, answer, "out of memory");
        return;
    }
    atomic_fetch_add_explicit(&fanout->counters.served, 1, memory_order_relaxed);
    transport_answer_begin(answer, &ANSWER_EVENTS, serving);
    scheduler_timer_start(loop->scheduler, &serving->alive, ALIVE_MS);
    submit(serving);
}

void fanout_serve_attach(struct fanout_loop *loop)
{
    for (uint16_t kind = QUESTION_KIND_FIRST; kind <= QUESTION_KIND_LAST; kind++)
        transport_on_request(loop->transport, kind, serve, loop);
}
