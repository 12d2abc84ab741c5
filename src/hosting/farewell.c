/*
 * Whether a group still has this node. Who is removed does not hear of it by its group's log, so a
 * replica that the cluster does not desire any more asks its leader, and goes when that says so.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hosting_private.h"

enum {
    UNWANTED_MS = 2000,
    ASK_TIMEOUT_MS = 2000,
    QUESTION_BYTES = 12, /* shard (4), node (8) */
    ANSWER_BYTES = FAREWELL_ANSWER_BYTES,
};

enum answer {
    ANSWER_MEMBER = 1,
    ANSWER_REMOVED = 2,
    ANSWER_UNKNOWN = 3, /* it does not lead the group, or has no entry of its term yet */
};

/* --- Asking ---------------------------------------------------------------------------------- */

void farewell_forget(struct resident *resident)
{
    if (resident->farewell != NULL)
        resident->farewell->resident = NULL;
    resident->farewell = NULL;
}

static void farewell_piece(struct transport_request *base, const uint8_t *bytes, size_t size)
{
    struct farewell_request *request = (struct farewell_request *)base;
    for (size_t i = 0; i < size; i++, request->size++)
        if (request->size < ANSWER_BYTES)
            request->answer[request->size] = bytes[i];
    transport_consume(base, size);
}

/* An answer may be late, or of a leader that is none any more: the group may have added this
 * replica again, and count on what it has. It knows by its log, which then has what that leader
 * had not. */
static bool is_let_go(const struct farewell_request *request)
{
    struct byte_reader reader = byte_reader_over(request->answer, ANSWER_BYTES);
    struct group_status own;
    uint8_t answer = byte_reader_u8(&reader);
    uint64_t term = byte_reader_u64(&reader), last_index = byte_reader_u64(&reader);
    replica_group_status(request->resident->replica, &own);
    return request->size == ANSWER_BYTES && answer == ANSWER_REMOVED &&
           (own.last_term < term || (own.last_term == term && own.last_index <= last_index));
}

static void farewell_done(struct transport_request *base, const struct error *error)
{
    struct farewell_request *request = (struct farewell_request *)base;
    struct hosting_loop *loop = request->loop;
    struct resident *resident = request->resident;
    loop->farewells--;
    if (resident != NULL) {
        resident->farewell = NULL;
        if (error->code == ERROR_NONE && resident->state == RESIDENT_RUNNING &&
            resident->unwanted_since_ms != 0 && !loop->closing && is_let_go(request))
            resident_remove(resident);
    }
    free(request);
    hosting_loop_check_closed(loop);
}

static void ask(struct resident *resident, struct transport_peer *peer)
{
    struct hosting_loop *loop = resident->loop;
    struct byte_buffer question = {0};
    byte_buffer_u32(&question, resident->shard_id);
    byte_buffer_u64(&question, loop->node_id);
    struct farewell_request *request = calloc(1, sizeof *request);
    struct shared_bytes *body =
        question.failed ? NULL : shared_bytes_copy(question.bytes, question.size);
    byte_buffer_clear(&question);
    if (request == NULL || body == NULL) {
        free(request);
        shared_bytes_unref(body);
        return; /* it asks again */
    }
    request->base = (struct transport_request){
        .kind = HOSTING_REQUEST_KIND,
        .class = TRANSPORT_REQUEST,
        .body = body,
        .timeout_ms = ASK_TIMEOUT_MS,
        .piece = farewell_piece,
        .done = farewell_done,
    };
    request->loop = loop;
    request->resident = resident;
    resident->farewell = request;
    loop->farewells++;
    transport_ask(peer, &request->base);
    shared_bytes_unref(body);
}

/* The nodes that shall have the shard, in turns; one of them leads it, or knows who was led. */
static void ask_next(struct resident *resident, const struct cluster_shard *shard)
{
    struct hosting_loop *loop = resident->loop;
    if (resident->farewell != NULL || loop->options.transport == NULL || shard->replicas.count == 0)
        return;
    uint64_t leader = cluster_board_leader(loop->hosting->options.board, shard->shard_id);
    uint64_t node_id =
        resident->farewell_turn % 2 == 0 && leader != 0
            ? leader
            : shard->replicas.node_ids[resident->farewell_turn % shard->replicas.count];
    resident->farewell_turn++;
    struct transport_peer *peer =
        node_id == loop->node_id ? NULL : transport_find_node(loop->options.transport, node_id);
    if (peer != NULL && transport_peer_is_connected(peer))
        ask(resident, peer);
}

void resident_consider_leaving(struct resident *resident)
{
    struct hosting_loop *loop = resident->loop;
    const struct cluster_state *state = state_of(loop);
    const struct cluster_shard *shard = cluster_state_find_shard(state, resident->shard_id);
    if (shard == NULL || cluster_replicas_has(&shard->replicas, loop->node_id)) {
        resident->unwanted_since_ms = 0;
        return;
    }
    uint64_t now_ms = loop_now_ms(loop);
    if (resident->unwanted_since_ms == 0)
        resident->unwanted_since_ms = now_ms;
    if (now_ms - resident->unwanted_since_ms >= UNWANTED_MS && resident->led_since_ms == 0)
        ask_next(resident, shard);
}

/* --- Answering ------------------------------------------------------------------------------- */

/* What this replica can say, and the end of the log that it says it by. */
static enum answer answer_of(struct hosting_loop *loop, uint32_t shard_id, uint64_t node_id,
                             struct group_status *status_out)
{
    const struct resident *resident = resident_find(loop, shard_id);
    *status_out = (struct group_status){0};
    if (resident == NULL || resident->state != RESIDENT_RUNNING)
        return ANSWER_UNKNOWN;
    replica_group_status(resident->replica, status_out);
    if (!status_out->ready || status_out->is_changing)
        return ANSWER_UNKNOWN;
    size_t count = replica_peers(resident->replica, loop->peers);
    for (size_t i = 0; i < count; i++)
        if (loop->peers[i].node_id == node_id)
            return ANSWER_MEMBER;
    return count > 0 ? ANSWER_REMOVED : ANSWER_UNKNOWN;
}

/* A question that came to one loop and is answered by that of the shard. */
struct farewell_question {
    struct task task;
    struct hosting_loop *loop;
    struct scheduler *origin;
    struct transport_answer *answer;
    uint32_t shard_id;
    uint64_t node_id;
    enum answer outcome;
    struct group_status status;
};

static void send_outcome(struct task *task)
{
    struct farewell_question *question =
        (struct farewell_question *)((char *)task - offsetof(struct farewell_question, task));
    struct byte_buffer buffer = {0};
    byte_buffer_u8(&buffer, (uint8_t)question->outcome);
    byte_buffer_u64(&buffer, question->status.term);
    byte_buffer_u64(&buffer, question->status.last_index);
    struct shared_bytes *bytes =
        buffer.failed ? NULL : shared_bytes_copy(buffer.bytes, buffer.size);
    struct error error;
    byte_buffer_clear(&buffer);
    error_clear(&error);
    if (bytes == NULL)
        error_set(&error, ERROR_OUT_OF_MEMORY, "answer");
    else
        transport_answer_write(question->answer, bytes);
    shared_bytes_unref(bytes);
    transport_answer_end(question->answer, &error);
    free(question);
}

static void find_outcome(struct task *task)
{
    struct farewell_question *question =
        (struct farewell_question *)((char *)task - offsetof(struct farewell_question, task));
    question->outcome =
        answer_of(question->loop, question->shard_id, question->node_id, &question->status);
    question->task.run = send_outcome;
    scheduler_post(question->origin, &question->task);
}

void farewell_serve(void *context, struct transport_answer *answer,
                    const struct transport_question *asked)
{
    struct hosting_loop *here = context;
    struct hosting *hosting = here->hosting;
    struct error error;
    struct byte_reader reader = byte_reader_over(asked->body, asked->size);
    uint32_t shard_id = byte_reader_u32(&reader);
    uint64_t node_id = byte_reader_u64(&reader);
    struct farewell_question *question = NULL;
    if (asked->size != QUESTION_BYTES || reader.failed || shard_id >= CLUSTER_SHARDS_MAX)
        error_set(&error, ERROR_INVALID, "question for a member of a shard: malformed");
    else if ((question = calloc(1, sizeof *question)) == NULL)
        error_set(&error, ERROR_OUT_OF_MEMORY, "question");
    if (question == NULL) {
        transport_answer_end(answer, &error);
        return;
    }
    transport_answer_begin(answer, NULL, NULL);
    *question = (struct farewell_question){
        .task.run = find_outcome,
        .loop = &hosting->loops[hosting_loop_of(hosting, shard_id)],
        .origin = scheduler_of(here),
        .answer = answer,
        .shard_id = shard_id,
        .node_id = node_id,
    };
    scheduler_post(scheduler_of(question->loop), &question->task);
}
