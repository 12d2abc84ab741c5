/* A question to a node: over the transport, or to this node itself. */
#include "rescue_private.h"

enum { ANSWER_BYTES_MAX = 64 * 1024 * 1024 };

static void end(struct rescue_call *call)
{
    struct rescue *rescue = call->rescue;
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
    if (call->error.code == ERROR_NONE && call->answer.failed)
        error_set(&call->error, ERROR_OUT_OF_MEMORY, "answer");
    call->done(call);
    rescue_check_closed(rescue);
}

/* --- This node itself ------------------------------------------------------------------------ */

static void served(void *context, const struct byte_buffer *answer, const struct error *error)
{
    struct rescue_call *call = context;
    call->service = NULL;
    call->error = *error;
    byte_buffer_append(&call->answer, answer->bytes, answer->size);
    end(call);
}

static void refused(struct task *task)
{
    end((struct rescue_call *)((char *)task - offsetof(struct rescue_call, task)));
}

static void refuse_later(struct rescue_call *call)
{
    call->task.run = refused;
    scheduler_defer(rescue_scheduler(call->rescue), &call->task);
}

/* --- Another one ----------------------------------------------------------------------------- */

static void answer_piece(struct transport_request *request, const uint8_t *bytes, size_t size)
{
    struct rescue_call *call =
        (struct rescue_call *)((char *)request - offsetof(struct rescue_call, request));
    if (call->answer.size + size <= ANSWER_BYTES_MAX)
        byte_buffer_append(&call->answer, bytes, size);
    else
        call->answer.failed = true;
    transport_consume(request, size);
}

static void answer_done(struct transport_request *request, const struct error *error)
{
    struct rescue_call *call =
        (struct rescue_call *)((char *)request - offsetof(struct rescue_call, request));
    call->request.done = NULL;
    call->error = *error;
    end(call);
}

static void send(struct rescue_call *call)
{
    struct byte_buffer question = {0};
    struct transport_peer *peer =
        transport_find_node(call->rescue->options.transport, call->node_id);
    rescue_question_encode(&call->question, &question);
    struct shared_bytes *body =
        question.failed ? NULL : shared_bytes_copy(question.bytes, question.size);
    byte_buffer_clear(&question);
    if (body == NULL || peer == NULL || !transport_peer_is_connected(peer)) {
        error_set(&call->error, ERROR_UNAVAILABLE,
                  body == NULL ? "not enough memory" : "the node is not reached");
        shared_bytes_unref(body);
        refuse_later(call);
        return;
    }
    call->request = (struct transport_request){
        .kind = RESCUE_REQUEST_KIND,
        .class = TRANSPORT_REQUEST,
        .body = body,
        .timeout_ms = call->timeout_ms,
        .piece = answer_piece,
        .done = answer_done,
    };
    transport_ask(peer, &call->request);
    shared_bytes_unref(body);
}

/* --- Both ------------------------------------------------------------------------------------ */

void rescue_ask(struct rescue *rescue, struct rescue_call *call)
{
    call->rescue = rescue;
    call->answer = (struct byte_buffer){0};
    call->service = NULL;
    call->request.done = NULL;
    call->is_cancelled = false;
    error_clear(&call->error);
    call->next = rescue->calls;
    call->link = &rescue->calls;
    if (call->next != NULL)
        call->next->link = &call->next;
    rescue->calls = call;
    if (rescue->node_id == 0 || rescue->closing) {
        error_set(&call->error, ERROR_UNAVAILABLE, "the node is not in its cluster");
        refuse_later(call);
    } else if (call->node_id != rescue->node_id) {
        send(call);
    } else {
        call->service = rescue_serve(rescue, &call->question, served, call);
        if (call->service == NULL) {
            error_set(&call->error, ERROR_OUT_OF_MEMORY, "question");
            refuse_later(call);
        }
    }
}

void rescue_call_cancel(struct rescue_call *call)
{
    if (call->is_cancelled)
        return;
    call->is_cancelled = true;
    if (call->service != NULL)
        rescue_service_cancel(call->service);
    else if (call->request.done != NULL)
        transport_cancel(&call->request);
}
