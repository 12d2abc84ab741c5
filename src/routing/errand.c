/*
 * An errand: a call that goes to other nodes, encoded, until one of them did it, or may have.
 *
 * Each node is asked at most once. It goes on to the next only while nothing can have happened:
 * the node is not connected, or says that it does not lead.
 */
#include <stdlib.h>

#include "routing_private.h"

enum { NODES_MAX = CLUSTER_REPLICAS_MAX + 2 };

struct errand {
    struct transport_request request; /* first */
    struct routing *routing;
    struct call call;
    struct shared_bytes *body;
    struct byte_buffer answer;
    size_t answer_bytes_max;
    uint64_t suggested_id; /* by who was asked last; 0: nobody */
    uint64_t tried[NODES_MAX];
    size_t tried_count;
    size_t asked_count;
};

/* --- Ends ------------------------------------------------------------------------------------ */

/* The call goes on without it. */
static void destroy(struct errand *errand)
{
    if (errand->body != NULL)
        counter_move(&errand->routing->counters.sent_bytes_under_way,
                     0 - (uint64_t)errand->body->size);
    shared_bytes_unref(errand->body);
    byte_buffer_clear(&errand->answer);
    free(errand);
}

static void give_up(struct errand *errand, enum error_code code, const char *why)
{
    call_end_later(errand->routing, &errand->call, code, why);
    destroy(errand);
}

/* --- Who may lead ---------------------------------------------------------------------------- */

static bool was_tried(const struct errand *errand, uint64_t node_id)
{
    for (size_t i = 0; i < errand->tried_count; i++)
        if (errand->tried[i] == node_id)
            return true;
    return node_id == 0;
}

/* One that was not asked yet; 0: there is none. */
static uint64_t next_replica(struct errand *errand)
{
    struct routing *routing = errand->routing;
    cluster_board_refresh(routing->options.board, &routing->view);
    if (routing->view == NULL)
        return 0;
    const struct cluster_shard *shard =
        cluster_state_find_shard(cluster_view_state(routing->view), errand->call.shard_id);
    uint32_t count = shard == NULL ? 0 : shard->replicas.count;
    if (count > 0 && errand->tried_count == 0)
        routing->turn++;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t node_id = shard->replicas.node_ids[(routing->turn + i) % count];
        if (!was_tried(errand, node_id))
            return node_id;
    }
    return 0;
}

static uint64_t next_node(struct errand *errand)
{
    uint32_t shard_id = errand->call.shard_id;
    if (errand->tried_count == NODES_MAX)
        return 0;
    if (!was_tried(errand, errand->suggested_id))
        return errand->suggested_id;
    uint64_t noted = cluster_board_leader(errand->routing->options.board, shard_id);
    if (!was_tried(errand, noted))
        return noted;
    uint64_t followed = local_leader(errand->routing, shard_id);
    return was_tried(errand, followed) ? next_replica(errand) : followed;
}

/* --- Asking ---------------------------------------------------------------------------------- */

static void on_piece(struct transport_request *request, const uint8_t *bytes, size_t size)
{
    struct errand *errand = (struct errand *)request;
    if (size > errand->answer_bytes_max - errand->answer.size) {
        errand->answer.failed = true;
        transport_cancel(request);
        return;
    }
    byte_buffer_append(&errand->answer, bytes, size);
    transport_consume(request, size);
}

static void on_done(struct transport_request *request, const struct error *error);

static void ask(struct errand *errand, struct transport_peer *peer)
{
    struct routing_counters *counters = &errand->routing->counters;
    counter_move(&counters->sent, 1);
    counter_move(&counters->sent_bytes, errand->body->size);
    counter_move(&counters->retried, errand->asked_count++ > 0);
    byte_buffer_reset(&errand->answer);
    errand->request = (struct transport_request){
        .kind = (uint16_t)errand->call.kind,
        .class = TRANSPORT_REQUEST,
        .body = errand->body,
        .timeout_ms = errand->call.kind == QUESTION_FLUSH ? errand->call.flush->timeout_ms
                                                          : errand->routing->options.timeout_ms,
        .piece = on_piece,
        .done = on_done,
    };
    transport_ask(peer, &errand->request);
}

/* It turned out that this node leads. */
static bool run_here(struct errand *errand)
{
    struct routing *routing = errand->routing;
    const struct call call = errand->call;
    struct replica *replica = local_hold_leader(routing, call.shard_id);
    if (replica == NULL)
        return false;
    destroy(errand);
    local_run(routing, &call, replica);
    return true;
}

static void go_on(struct errand *errand)
{
    struct routing *routing = errand->routing;
    const char *why = "no leader is known";
    if (routing->draining) {
        give_up(errand, ERROR_UNAVAILABLE, "shutting down");
        return;
    }
    for (uint64_t node_id; (node_id = next_node(errand)) != 0;) {
        errand->tried[errand->tried_count++] = node_id;
        if (node_id == routing->options.node_id && run_here(errand))
            return;
        struct transport_peer *peer = transport_find_node(routing->options.transport, node_id);
        if (peer != NULL && transport_peer_is_connected(peer)) {
            ask(errand, peer);
            return;
        }
        if (node_id != routing->options.node_id)
            why = "no leader can be reached";
        cluster_board_forget_leader(routing->options.board, errand->call.shard_id, node_id);
    }
    give_up(errand, ERROR_UNAVAILABLE, why);
}

/* --- Answers --------------------------------------------------------------------------------- */

static uint64_t asked_id(const struct errand *errand)
{
    return errand->tried[errand->tried_count - 1];
}

static void redirect(struct errand *errand, uint64_t leader_id)
{
    struct cluster_board *board = errand->routing->options.board;
    uint32_t shard_id = errand->call.shard_id;
    counter_move(&errand->routing->counters.redirected, 1);
    cluster_board_forget_leader(board, shard_id, asked_id(errand));
    /* What is noted meanwhile by others is as good. */
    if (!was_tried(errand, leader_id) && cluster_board_leader(board, shard_id) == 0)
        cluster_board_note_leader(board, shard_id, leader_id);
    errand->suggested_id = leader_id;
    go_on(errand);
}

static enum error_code take_answer(struct errand *errand, struct answer_head *head,
                                   struct error *error)
{
    const struct byte_buffer *answer = &errand->answer;
    enum error_code code = answer->failed
                               ? error_set(error, ERROR_CORRUPT, "answer: too large, or no memory")
                               : answer_head_decode(answer->bytes, answer->size, head, error);
    if (code == ERROR_NONE && head->kind == ANSWER_DONE && errand->call.kind == QUESTION_WRITE)
        code = write_answer_decode(answer->bytes, answer->size, &errand->call.write->write, error);
    if (code == ERROR_NONE && head->kind == ANSWER_DONE && errand->call.kind == QUESTION_TENANT)
        code =
            tenant_answer_decode(answer->bytes, answer->size, &errand->call.tenant->state, error);
    return code;
}

static void end(struct errand *errand, const struct error *error)
{
    struct routing *routing = errand->routing;
    const struct call call = errand->call;
    destroy(errand);
    call_end(routing, &call, error);
}

/* It may have happened, or not. */
static void fail(struct errand *errand, const struct error *error)
{
    struct error unavailable;
    cluster_board_forget_leader(errand->routing->options.board, errand->call.shard_id,
                                asked_id(errand));
    error_set(&unavailable, ERROR_UNAVAILABLE, "%s", error->message);
    end(errand, &unavailable);
}

static void on_done(struct transport_request *request, const struct error *error)
{
    struct errand *errand = (struct errand *)request;
    struct answer_head head;
    struct error wrong;
    if (error->code != ERROR_NONE && !errand->answer.failed) {
        fail(errand, error);
    } else if (take_answer(errand, &head, &wrong) != ERROR_NONE) {
        counter_move(&errand->routing->counters.malformed, 1);
        fail(errand, &wrong);
    } else if (head.kind == ANSWER_MOVED) {
        call_note_splits(errand->routing, errand->call.shard_id, (uint32_t)head.splits);
        error_set(&wrong, ERROR_UNAVAILABLE, "slots of this shard were moved to another");
        end(errand, &wrong);
    } else if (head.kind == ANSWER_NOT_LEADER) {
        redirect(errand, head.leader_id);
    } else {
        call_note(errand->routing, &errand->call, asked_id(errand), head.index);
        end(errand, NULL);
    }
}

/* --- Starting -------------------------------------------------------------------------------- */

static struct shared_bytes *encode(const struct call *call)
{
    switch (call->kind) {
    case QUESTION_WRITE:
        return write_question_encode(call->shard_id, &call->write->write);
    case QUESTION_PROPOSE:
        return propose_question_encode(call->shard_id, call->entry->splits, &call->entry->bytes);
    case QUESTION_TENANT:
        return tenant_question_encode(call->shard_id, call->tenant->tenant);
    case QUESTION_FLUSH:
        break;
    }
    return flush_question_encode(call->shard_id, call->flush->reach);
}

void errand_start(struct routing *routing, const struct call *call)
{
    if (call->shard_id >= CLUSTER_SHARDS_MAX) {
        call_end_later(routing, call, ERROR_UNAVAILABLE, "there is no such shard");
        return;
    }
    struct shared_bytes *body = encode(call);
    struct errand *errand = calloc(1, sizeof *errand);
    if (body == NULL || errand == NULL) {
        shared_bytes_unref(body);
        free(errand);
        call_end_later(routing, call, ERROR_OUT_OF_MEMORY, "not enough memory to ask its leader");
        return;
    }
    errand->routing = routing;
    errand->call = *call;
    errand->body = body;
    errand->answer_bytes_max = call->kind == QUESTION_WRITE
                                   ? write_answer_bytes_max(&call->write->write)
                               : call->kind == QUESTION_TENANT ? (size_t)TENANT_ANSWER_BYTES
                                                               : (size_t)ANSWER_HEAD_BYTES;
    counter_move(&routing->counters.sent_bytes_under_way, body->size);
    if (counter_now(&routing->counters.sent_bytes_under_way) > routing->options.sent_bytes_max)
        give_up(errand, ERROR_UNAVAILABLE, "too much is on its way to other nodes");
    else
        go_on(errand);
}
