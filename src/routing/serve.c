/* What other nodes ask of this one: decoded, checked, done by the replica here if it leads. Whoever
 * asked may go away meanwhile: what has begun is finished. */
#include <stdlib.h>
#include <string.h>

#include "routing_private.h"

struct received {
    struct routing *routing;
    enum question_kind kind;
    struct transport_answer *answer; /* NULL: nobody waits */
    struct arena *arena;
    struct shared_bytes *whole; /* what texts and labels lie in */
    size_t charged_bytes;       /* for it */
    uint32_t shard_id;
    union {
        struct replica_write write;
        struct replica_entry entry;
        struct routing_flush flush;
        struct routing_tenant tenant;
    };
};

/* --- Ends ------------------------------------------------------------------------------------ */

static void destroy(struct received *received)
{
    struct arena_account *account = &received->routing->received_account;
    if (received->kind == QUESTION_PROPOSE)
        byte_buffer_clear(&received->entry.bytes);
    if (received->charged_bytes > 0)
        account->release(account, received->charged_bytes);
    arena_destroy(received->arena);
    shared_bytes_unref(received->whole);
    free(received);
}

static void refuse(struct transport_answer *answer, enum error_code code, const char *why)
{
    struct error error;
    error_set(&error, code, "%s", why);
    transport_answer_end(answer, &error);
}

/* Takes over the bytes; NULL: memory is out. */
static void respond(struct transport_answer *answer, struct shared_bytes *bytes)
{
    if (bytes == NULL) {
        refuse(answer, ERROR_UNAVAILABLE, "not enough memory to answer");
        return;
    }
    transport_answer_write(answer, bytes);
    shared_bytes_unref(bytes);
    transport_answer_end(answer, NULL);
}

static void finish(struct received *received, const struct error *error, struct shared_bytes *bytes)
{
    if (received->answer == NULL)
        shared_bytes_unref(bytes);
    else if (error->code != ERROR_NONE)
        transport_answer_end(received->answer, error);
    else
        respond(received->answer, bytes);
    destroy(received);
}

/* Nothing of it happened, and who asks learns why. */
static void finish_moved(struct received *received, struct error *error, uint32_t splits)
{
    const struct answer_head head = {.kind = ANSWER_MOVED, .splits = splits};
    error_clear(error);
    finish(received, error, answer_encode(&head));
}

static void write_done(struct replica_write *write)
{
    struct received *received =
        (struct received *)((char *)write - offsetof(struct received, write));
    if (write->write.moved_by_splits > 0) {
        finish_moved(received, &write->error, write->write.moved_by_splits);
        return;
    }
    finish(received, &write->error,
           write->error.code == ERROR_NONE ? write_answer_encode(write->index, &write->write)
                                           : NULL);
}

static struct shared_bytes *encode_done(uint64_t index, const struct error *error)
{
    return error->code == ERROR_NONE
               ? answer_encode(&(struct answer_head){.kind = ANSWER_DONE, .index = index})
               : NULL;
}

static void entry_done(struct replica_entry *entry)
{
    struct received *received =
        (struct received *)((char *)entry - offsetof(struct received, entry));
    if (entry->moved_by_splits > 0) {
        finish_moved(received, &entry->error, entry->moved_by_splits);
        return;
    }
    finish(received, &entry->error, encode_done(entry->index, &entry->error));
}

static void flush_done(struct routing_flush *flush)
{
    struct received *received =
        (struct received *)((char *)flush - offsetof(struct received, flush));
    finish(received, &flush->error, encode_done(0, &flush->error));
}

static void tenant_done(struct routing_tenant *tenant)
{
    struct received *received =
        (struct received *)((char *)tenant - offsetof(struct received, tenant));
    finish(received, &tenant->error,
           tenant->error.code == ERROR_NONE ? tenant_answer_encode(&tenant->state) : NULL);
}

static void on_cancelled(void *context, struct transport_answer *answer)
{
    struct received *received = context;
    received->answer = NULL;
    transport_answer_end(answer, NULL);
}

/* --- Beginnings ------------------------------------------------------------------------------ */

/* It is kept until the end. */
static bool keep_body(struct received *received, const struct transport_question *question)
{
    struct arena_account *account = &received->routing->received_account;
    if (!account->charge(account, question->size))
        return false;
    received->charged_bytes = question->size;
    received->whole = question->whole == NULL ? shared_bytes_copy(question->body, question->size)
                                              : shared_bytes_ref(question->whole);
    return received->whole != NULL;
}

static struct received *receive(struct routing *routing, struct transport_answer *answer,
                                const struct transport_question *question)
{
    counter_move(&routing->counters.received, 1);
    counter_move(&routing->counters.received_bytes, question->size);
    if (routing->draining) {
        refuse(answer, ERROR_UNAVAILABLE, "shutting down");
        return NULL;
    }
    struct received *received = calloc(1, sizeof *received);
    if (received != NULL) {
        received->routing = routing;
        received->kind = (enum question_kind)question->kind;
        received->answer = answer;
        received->arena = arena_create_charged(&routing->received_account);
        if (received->arena != NULL && keep_body(received, question))
            return received;
        destroy(received);
    }
    refuse(answer, ERROR_UNAVAILABLE, "too much was received that is not written yet");
    return NULL;
}

/* Where the bytes of the question lie as long as it lasts. */
static const uint8_t *body_of(const struct received *received,
                              const struct transport_question *question)
{
    return received->whole == question->whole ? question->body : received->whole->bytes;
}

static void refuse_malformed(struct received *received, const struct error *error)
{
    if (error->code == ERROR_OUT_OF_MEMORY) {
        refuse(received->answer, ERROR_UNAVAILABLE,
               "too much was received that is not written yet");
    } else {
        counter_move(&received->routing->counters.malformed, 1);
        transport_answer_end(received->answer, error);
    }
    destroy(received);
}

/* Who leads according to this node, which does not. */
static void tell_leader(struct received *received)
{
    struct routing *routing = received->routing;
    struct answer_head head = {.kind = ANSWER_NOT_LEADER,
                               .leader_id = local_leader(routing, received->shard_id)};
    if (head.leader_id == 0 && received->shard_id < CLUSTER_SHARDS_MAX)
        head.leader_id = cluster_board_leader(routing->options.board, received->shard_id);
    if (head.leader_id == routing->options.node_id)
        head.leader_id = 0;
    respond(received->answer, answer_encode(&head));
    destroy(received);
}

static void run(struct received *received, const struct call *call)
{
    static const struct transport_answer_events EVENTS = {.cancelled = on_cancelled};
    struct routing *routing = received->routing;
    struct replica *replica = local_hold_leader(routing, call->shard_id);
    if (replica == NULL) {
        tell_leader(received);
        return;
    }
    transport_answer_begin(received->answer, &EVENTS, received);
    call_begin(routing, call);
    local_run(routing, call, replica);
}

/* --- Questions ------------------------------------------------------------------------------- */

static void serve_write(void *context, struct transport_answer *answer,
                        const struct transport_question *question)
{
    struct error error;
    struct received *received = receive(context, answer, question);
    if (received == NULL)
        return;
    if (write_question_decode(body_of(received, question), question->size, received->arena,
                              &received->shard_id, &received->write.write, &error) != ERROR_NONE) {
        refuse_malformed(received, &error);
        return;
    }
    received->write.done = write_done;
    run(received, &(struct call){QUESTION_WRITE, received->shard_id, {.write = &received->write}});
}

static void serve_propose(void *context, struct transport_answer *answer,
                          const struct transport_question *question)
{
    struct error error;
    struct text entry;
    struct received *received = receive(context, answer, question);
    if (received == NULL)
        return;
    enum error_code code =
        propose_question_decode(question->body, question->size, &received->shard_id,
                                &received->entry.splits, &entry, &error);
    if (code == ERROR_NONE)
        code = shard_check_delete((const uint8_t *)entry.data, entry.size, &error);
    if (code != ERROR_NONE) {
        refuse_malformed(received, &error);
        return;
    }
    byte_buffer_append(&received->entry.bytes, entry.data, entry.size);
    if (received->entry.bytes.failed) {
        error_set(&error, ERROR_OUT_OF_MEMORY, "deletion");
        refuse_malformed(received, &error);
        return;
    }
    received->entry.done = entry_done;
    run(received,
        &(struct call){QUESTION_PROPOSE, received->shard_id, {.entry = &received->entry}});
}

static void serve_flush(void *context, struct transport_answer *answer,
                        const struct transport_question *question)
{
    struct error error;
    struct received *received = receive(context, answer, question);
    if (received == NULL)
        return;
    if (flush_question_decode(question->body, question->size, &received->shard_id,
                              &received->flush.reach, &error) != ERROR_NONE) {
        refuse_malformed(received, &error);
        return;
    }
    received->flush.done = flush_done;
    run(received, &(struct call){QUESTION_FLUSH, received->shard_id, {.flush = &received->flush}});
}

static void serve_tenant(void *context, struct transport_answer *answer,
                         const struct transport_question *question)
{
    struct error error;
    struct received *received = receive(context, answer, question);
    if (received == NULL)
        return;
    if (tenant_question_decode(body_of(received, question), question->size, &received->shard_id,
                               &received->tenant.tenant, &error) != ERROR_NONE) {
        refuse_malformed(received, &error);
        return;
    }
    received->tenant.done = tenant_done;
    run(received,
        &(struct call){QUESTION_TENANT, received->shard_id, {.tenant = &received->tenant}});
}

void serve_register(struct routing *routing)
{
    struct transport *transport = routing->options.transport;
    transport_on_request(transport, QUESTION_WRITE, serve_write, routing);
    transport_on_request(transport, QUESTION_PROPOSE, serve_propose, routing);
    transport_on_request(transport, QUESTION_FLUSH, serve_flush, routing);
    transport_on_request(transport, QUESTION_TENANT, serve_tenant, routing);
}
