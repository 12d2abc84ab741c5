/* Questions to the leader, where they arrive: answered when this node leads, passed on when another
 * does. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "meta_private.h"

struct ask {
    struct meta *meta;
    struct transport_answer *answer; /* NULL: of this node, or nobody waits any more */
    struct call *call;               /* of this node */
};

struct meta *ask_meta(const struct ask *ask)
{
    return ask->meta;
}

/* --- Ends ---------------------------------------------------------------------------------- */

static void answer_remote(struct ask *ask, struct bytes answer, const struct error *error)
{
    struct error failure = *error;
    if (error->code == ERROR_NONE && answer.size > 0) {
        struct shared_bytes *bytes = shared_bytes_copy(answer.data, answer.size);
        if (bytes == NULL)
            error_set(&failure, ERROR_OUT_OF_MEMORY, "answer of the leader");
        else
            transport_answer_write(ask->answer, bytes);
        shared_bytes_unref(bytes);
    }
    transport_answer_end(ask->answer, &failure);
}

static void end(struct ask *ask, struct bytes answer, const struct error *error)
{
    struct meta *meta = ask->meta;
    if (ask->answer != NULL)
        answer_remote(ask, answer, error);
    if (ask->call != NULL)
        call_answered(ask->call, answer, error);
    free(ask);
    meta_released(meta);
}

void ask_end(struct ask *ask, struct bytes answer)
{
    static const struct error NONE;
    end(ask, answer, &NONE);
}

void ask_fail(struct ask *ask, const struct error *error)
{
    end(ask, (struct bytes){0}, error);
}

void ask_refuse(struct ask *ask, enum error_code code, const char *format, ...)
{
    struct error error = {.code = code};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error.message, sizeof error.message, format, arguments);
    va_end(arguments);
    ask_fail(ask, &error);
}

/* --- Beginnings ---------------------------------------------------------------------------- */

static ask_serve *const SERVES[OPERATIONS] = {
    [OPERATION_JOIN] = serve_join,       [OPERATION_PROPOSE] = serve_propose,
    [OPERATION_REPORT] = serve_report,   [OPERATION_COMMAND] = serve_command,
    [OPERATION_OBSERVE] = serve_observe, [OPERATION_STATE] = serve_state,
};

static struct ask *create(struct meta *meta)
{
    struct ask *ask = calloc(1, sizeof *ask);
    if (ask == NULL)
        return NULL;
    ask->meta = meta;
    meta->outstanding++;
    return ask;
}

struct ask *ask_create(struct call *call)
{
    struct ask *ask = create(call_meta(call));
    if (ask != NULL)
        ask->call = call;
    return ask;
}

void ask_detach(struct ask *ask)
{
    ask->call = NULL;
}

void ask_dispatch(struct ask *ask, enum operation operation, struct bytes body)
{
    SERVES[operation](ask, body);
}

static void forwarded(struct meta *meta, void *owner, struct bytes answer,
                      const struct error *error)
{
    (void)meta;
    end(owner, answer, error);
}

/* Whoever asked is not asked back: where two take each other for the leader the hops end it. */
static void forward(struct ask *ask, const struct question *question, uint64_t timeout_ms)
{
    struct meta *meta = ask->meta;
    uint64_t leader = meta_leader(meta);
    struct transport_peer *peer = transport_find_node(meta->options.transport, leader);
    struct question onward = *question;
    onward.hops++;
    if (leader == 0 && question->operation == OPERATION_JOIN &&
        join_answer_known(ask, question->body))
        return;
    if (onward.hops > QUESTION_HOPS_MAX || peer == NULL || !transport_peer_is_connected(peer))
        ask_refuse(ask, ERROR_UNAVAILABLE, "node %s knows no leader of the meta group",
                   meta->options.identity.name);
    else if (!call_forward(meta, peer, &onward, timeout_ms, forwarded, ask))
        ask_refuse(ask, ERROR_OUT_OF_MEMORY, "question to the leader");
}

static void cancelled(void *context, struct transport_answer *answer)
{
    struct ask *ask = context;
    ask->answer = NULL;
    transport_answer_end(answer, NULL);
}

static const struct transport_answer_events ANSWER_EVENTS = {.cancelled = cancelled};

void serve_leader_question(void *context, struct transport_answer *answer,
                           const struct transport_question *asked)
{
    struct meta *meta = context;
    struct question question;
    struct error error;
    if (meta_question_decode(asked->body, asked->size, &question, &error) != ERROR_NONE) {
        transport_answer_end(answer, &error);
        return;
    }
    struct ask *ask = meta_is_closing(meta) ? NULL : create(meta);
    if (ask == NULL) {
        error_set(&error, ERROR_UNAVAILABLE, "node %s is stopping", meta->options.identity.name);
        transport_answer_end(answer, &error);
        return;
    }
    ask->answer = answer;
    transport_answer_begin(answer, &ANSWER_EVENTS, ask);
    if (meta_leads(meta))
        SERVES[question.operation](ask, question.body);
    else
        forward(ask, &question, asked->timeout_ms > 0 ? asked->timeout_ms : 1);
}
