/*
 * A call is a question to the leader until it is answered:
 *
 *     waiting -> asking (another node) -> waiting ... -> over
 *             -> asked here (this node leads)
 *
 * Who does not lead passes it on. What may be answered better later (no leader, a lost connection)
 * is asked again until the deadline; what was asked twice does no harm, see cluster_entry.h.
 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "meta_private.h"

enum { RETRY_MS_MIN = 50, RETRY_MS_SPREAD = 100, TRY_MS_MIN = 1000, ANSWER_BYTES_MAX = 64 << 20 };

struct call {
    struct meta *meta;
    struct call *next, **link;
    struct question question; /* its body is in `body` */
    struct byte_buffer body;
    struct byte_buffer answer;
    uint64_t deadline_ms;
    bool is_forward; /* to one peer, once */
    bool is_asking;  /* `request` is out */
    struct ask *ask; /* of this node, which answers it */
    bool is_over;
    unsigned tries;
    struct timer timer;
    struct transport_request request;
    struct task finish;
    struct error error;
    call_done *done;
    void *owner;
};

struct meta *call_meta(const struct call *call)
{
    return call->meta;
}

/* --- Ends ---------------------------------------------------------------------------------- */

static void finish_run(struct task *task)
{
    struct call *call = (struct call *)((char *)task - offsetof(struct call, finish));
    struct meta *meta = call->meta;
    struct bytes answer = {call->answer.bytes, call->answer.size};
    if (call->error.code != ERROR_NONE)
        answer = (struct bytes){0};
    call->done(meta, call->owner, answer, &call->error);
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
    byte_buffer_clear(&call->body);
    byte_buffer_clear(&call->answer);
    free(call);
    meta_released(meta);
}

/* With call->error. */
static void end(struct call *call)
{
    assert(!call->is_over && !call->is_asking && call->ask == NULL);
    call->is_over = true;
    scheduler_timer_stop(call->meta->scheduler, &call->timer);
    scheduler_defer(call->meta->scheduler, &call->finish);
}

static bool may_be_asked_again(enum error_code code)
{
    return code == ERROR_UNAVAILABLE || code == ERROR_CLOSED || code == ERROR_TIMEOUT ||
           code == ERROR_CANCELED || code == ERROR_UNSUPPORTED;
}

/* With call->error. */
static void end_or_wait(struct call *call)
{
    struct meta *meta = call->meta;
    uint64_t now_ms = meta_now_ms(meta);
    if (meta_is_closing(meta)) {
        error_set(&call->error, ERROR_CLOSED, "this node is stopping");
        end(call);
    } else if (call->is_forward || !may_be_asked_again(call->error.code)) {
        end(call);
    } else if (now_ms >= call->deadline_ms) {
        call->error.code = ERROR_TIMEOUT;
        end(call);
    } else {
        uint64_t delay_ms =
            RETRY_MS_MIN + random_below(meta->options.environment->random, RETRY_MS_SPREAD);
        uint64_t left_ms = call->deadline_ms - now_ms;
        scheduler_timer_start(meta->scheduler, &call->timer,
                              delay_ms < left_ms ? delay_ms : left_ms);
    }
}

/* --- Asking -------------------------------------------------------------------------------- */

static struct call *call_of(struct transport_request *request)
{
    return (struct call *)((char *)request - offsetof(struct call, request));
}

static void on_piece(struct transport_request *request, const uint8_t *bytes, size_t size)
{
    struct call *call = call_of(request);
    if (call->answer.size + size > ANSWER_BYTES_MAX)
        call->answer.failed = true;
    byte_buffer_append(&call->answer, bytes, size);
    transport_consume(request, size);
}

static void on_done(struct transport_request *request, const struct error *error)
{
    struct call *call = call_of(request);
    call->is_asking = false;
    call->error = *error;
    if (error->code == ERROR_NONE && call->answer.failed)
        error_set(&call->error, ERROR_OUT_OF_MEMORY, "answer of the leader");
    if (call->error.code == ERROR_NONE)
        end(call);
    else
        end_or_wait(call);
}

static void ask_peer(struct call *call, struct transport_peer *peer)
{
    struct meta *meta = call->meta;
    struct byte_buffer bytes = {0};
    struct question question = call->question;
    question.body = (struct bytes){call->body.bytes, call->body.size};
    meta_question_encode(&question, &bytes);
    struct shared_bytes *body = bytes.failed ? NULL : shared_bytes_copy(bytes.bytes, bytes.size);
    byte_buffer_clear(&bytes);
    if (body == NULL) {
        error_set(&call->error, ERROR_OUT_OF_MEMORY, "question to the leader");
        end_or_wait(call);
        return;
    }
    uint64_t now_ms = meta_now_ms(meta);
    uint64_t left_ms = call->deadline_ms > now_ms ? call->deadline_ms - now_ms : 1;
    uint64_t try_ms = 2 * meta->options.tick_ms;
    if (try_ms < TRY_MS_MIN)
        try_ms = TRY_MS_MIN;
    byte_buffer_reset(&call->answer);
    call->answer.failed = false;
    call->is_asking = true;
    call->request = (struct transport_request){
        .kind = META_KIND_ASK_LEADER,
        .class = TRANSPORT_REQUEST,
        .body = body,
        .timeout_ms = left_ms < try_ms ? left_ms : try_ms,
        .piece = on_piece,
        .done = on_done,
    };
    transport_ask(peer, &call->request);
    shared_bytes_unref(body);
}

/* --- Whom to ask --------------------------------------------------------------------------- */

struct choice {
    size_t wanted; /* counts down */
    size_t count;
    const struct transport_peer *peer;
};

static void visit_peer(void *context, const struct transport_peer *peer,
                       const struct transport_peer_statistics *statistics)
{
    struct choice *choice = context;
    (void)statistics;
    if (!transport_peer_is_connected(peer))
        return;
    if (choice->count++ == choice->wanted)
        choice->peer = peer;
}

/* One after the other of those that are connected. */
static struct transport_peer *next_peer(struct meta *meta)
{
    struct transport *transport = meta->options.transport;
    struct choice all = {.wanted = SIZE_MAX};
    transport_visit_peers(transport, visit_peer, &all);
    if (all.count == 0)
        return NULL;
    struct choice one = {.wanted = meta->next_peer++ % all.count};
    transport_visit_peers(transport, visit_peer, &one);
    return transport_find_name(transport, transport_peer_name(one.peer));
}

static struct transport_peer *choose_peer(struct call *call)
{
    struct meta *meta = call->meta;
    struct transport *transport = meta->options.transport;
    if (transport == NULL)
        return NULL;
    uint64_t leader = meta_leader(meta);
    struct transport_peer *peer = transport_find_node(transport, leader);
    bool is_connected = peer != NULL && transport_peer_is_connected(peer);
    /* Whom we take for the leader may be one no more. */
    return is_connected && call->tries % 2 == 0 ? peer : next_peer(meta);
}

/* A leader that has lost its majority does not know for how long: the deadline holds here too. */
static void ask_here(struct call *call)
{
    struct meta *meta = call->meta;
    call->ask = ask_create(call);
    if (call->ask == NULL) {
        error_set(&call->error, ERROR_OUT_OF_MEMORY, "question to the leader");
        end_or_wait(call);
        return;
    }
    scheduler_timer_start(meta->scheduler, &call->timer, call->deadline_ms - meta_now_ms(meta));
    ask_dispatch(call->ask, call->question.operation,
                 (struct bytes){call->body.bytes, call->body.size});
}

static void give_up_ask(struct call *call)
{
    ask_detach(call->ask);
    call->ask = NULL;
    error_set(&call->error, ERROR_TIMEOUT, "the meta group did not take it in time");
    end_or_wait(call);
}

static void try_once(struct call *call)
{
    struct meta *meta = call->meta;
    if (meta_is_closing(meta) || meta_now_ms(meta) >= call->deadline_ms) {
        if (call->error.code == ERROR_NONE)
            error_set(&call->error, ERROR_TIMEOUT, "no leader was found");
        end_or_wait(call);
        return;
    }
    if (meta_leads(meta)) {
        ask_here(call);
        return;
    }
    struct transport_peer *peer = choose_peer(call);
    call->tries++;
    if (peer != NULL) {
        meta->forwarded++;
        ask_peer(call, peer);
        return;
    }
    error_set(&call->error, ERROR_UNAVAILABLE, "no leader of the meta group is known");
    end_or_wait(call);
}

void call_answered(struct call *call, struct bytes answer, const struct error *error)
{
    call->ask = NULL;
    scheduler_timer_stop(call->meta->scheduler, &call->timer);
    byte_buffer_reset(&call->answer);
    call->answer.failed = false;
    call->error = *error;
    if (error->code == ERROR_NONE)
        byte_buffer_append(&call->answer, answer.data, answer.size);
    if (call->answer.failed)
        error_set(&call->error, ERROR_OUT_OF_MEMORY, "answer of the leader");
    if (call->error.code == ERROR_NONE)
        end(call);
    else
        end_or_wait(call);
}

/* --- Beginnings ---------------------------------------------------------------------------- */

static void on_timer(struct timer *timer)
{
    struct call *call = (struct call *)((char *)timer - offsetof(struct call, timer));
    if (call->ask != NULL)
        give_up_ask(call);
    else
        try_once(call);
}

static struct call *create(struct meta *meta, const struct question *question, uint64_t timeout_ms,
                           call_done *done, void *owner)
{
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    byte_buffer_append(&call->body, question->body.data, question->body.size);
    if (call->body.failed) {
        byte_buffer_clear(&call->body);
        free(call);
        return NULL;
    }
    call->meta = meta;
    call->question = *question;
    call->deadline_ms = meta_now_ms(meta) + timeout_ms;
    call->timer = (struct timer){.fire = on_timer, .heap_index = TIMER_IDLE};
    call->finish.run = finish_run;
    call->done = done;
    call->owner = owner;
    call->next = meta->calls;
    call->link = &meta->calls;
    if (call->next != NULL)
        call->next->link = &call->next;
    meta->calls = call;
    meta->outstanding++;
    return call;
}

bool call_leader(struct meta *meta, enum operation operation, struct bytes body,
                 uint64_t timeout_ms, call_done *done, void *owner)
{
    struct question question = {.operation = operation, .body = body};
    struct call *call = create(meta, &question, timeout_ms, done, owner);
    if (call == NULL)
        return false;
    if (meta_is_closing(meta))
        end_or_wait(call);
    else
        scheduler_timer_start(meta->scheduler, &call->timer, 0);
    return true;
}

bool call_forward(struct meta *meta, struct transport_peer *peer, const struct question *question,
                  uint64_t timeout_ms, call_done *done, void *owner)
{
    struct call *call = create(meta, question, timeout_ms, done, owner);
    if (call == NULL)
        return false;
    call->is_forward = true;
    ask_peer(call, peer);
    return true;
}

void calls_cancel(struct meta *meta)
{
    for (struct call *call = meta->calls; call != NULL; call = call->next) {
        if (call->is_over)
            continue;
        if (call->ask != NULL)
            give_up_ask(call);
        else if (call->is_asking)
            transport_cancel(&call->request);
        else
            end_or_wait(call);
    }
}
