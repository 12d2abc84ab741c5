/* The calls of an exchange: what is asked of nodes, and what they answer. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "exchange_private.h"

/* A node that was not reached is asked last for so long. */
enum { UNREACHED_MS = 500 };

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
}

bool exchange_is_final(enum error_code code)
{
    return code == ERROR_CANCELED || code == ERROR_LIMIT || code == ERROR_INVALID ||
           code == ERROR_TIMEOUT || code == ERROR_WOULD_WAIT;
}

void exchange_note_reason(struct exchange *exchange, struct exchange_shard *shard,
                          enum error_code code, const char *reason)
{
    shard->reason_code = code;
    struct text copy = arena_copy_text(exchange->options.arena, text_of(reason));
    if (copy.data != NULL)
        shard->reason = copy;
}

/* --- Ends ------------------------------------------------------------------------------------ */

static void call_end(struct exchange_call *call)
{
    call_drop(call->call);
    call->call = NULL;
    for (size_t i = 0; i < call->answer_count; i++) {
        struct call_answer *answer = &call->answers[i];
        if (!answer->is_over)
            answer->shard->open_calls--;
        answer->is_over = true;
    }
}

/* One answer for several shards is of no use when one of them is answered already. */
static bool is_wanted(const struct exchange *exchange, const struct exchange_call *call)
{
    size_t open = 0, done = 0;
    for (size_t i = 0; i < call->answer_count; i++) {
        open += !call->answers[i].is_over;
        done += !call->answers[i].is_over && call->answers[i].shard->is_done;
    }
    return exchange->options.mode == EXCHANGE_GROUPS ? open > 0 && done == 0 : open > done;
}

void exchange_finish_shard(struct exchange *exchange, struct exchange_shard *shard)
{
    assert(!shard->is_done);
    shard->is_done = true;
    shard->runs_here = false;
    shard->retry_at_ns = 0;
    exchange->done_count++;
}

/* Calls of which nothing is wanted any more, since others were faster. */
static void drop_unwanted(struct exchange *exchange)
{
    for (struct exchange_call *call = exchange->calls; call != NULL; call = call->next)
        if (call->call != NULL && !is_wanted(exchange, call))
            call_end(call);
}

/* It did not answer for all: others will be asked. */
static void call_failed(struct exchange *exchange, struct exchange_call *call,
                        const struct error *why)
{
    bool was_not_reached = why->code == ERROR_UNAVAILABLE || why->code == ERROR_CLOSED;
    if (was_not_reached)
        fanout_avoid(exchange->fanout, call->node_id, UNREACHED_MS);
    for (size_t i = 0; i < call->answer_count; i++) {
        struct exchange_shard *shard = call->answers[i].shard;
        if (!call->answers[i].is_over && !shard->is_done)
            exchange_note_reason(exchange, shard, was_not_reached ? ERROR_UNAVAILABLE : why->code,
                                 why->message);
    }
    call_end(call);
}

/* --- Asking ---------------------------------------------------------------------------------- */

static enum error_code encode(struct exchange *exchange, const struct exchange_call *call,
                              struct shared_bytes **body_out, struct error *error)
{
    struct question question = *exchange->options.question;
    struct question_shard *shards =
        arena_array(exchange->options.arena, call->answer_count, sizeof *shards);
    if (shards == NULL)
        return out_of_memory(error);
    for (size_t i = 0; i < call->answer_count; i++)
        shards[i] = (struct question_shard){
            .shard_id = call->answers[i].shard->answer.shard_id,
            .least_index = call->answers[i].shard->least_index,
            .splits = call->answers[i].shard->splits,
        };
    question.shards = shards;
    question.shard_count = call->answer_count;
    struct byte_buffer buffer = {0};
    fanout_question_encode(&question, &buffer);
    *body_out = buffer.failed ? NULL : shared_bytes_copy(buffer.bytes, buffer.size);
    byte_buffer_clear(&buffer);
    return *body_out == NULL ? out_of_memory(error) : ERROR_NONE;
}

static uint64_t milliseconds_left(const struct exchange *exchange, uint64_t now_ns)
{
    return now_ns >= exchange->deadline_ns ? 1 : (exchange->deadline_ns - now_ns) / 1000000 + 1;
}

/* The shards whose `asks_node` is `node_id`, from `first` on, in one call. */
static enum error_code ask_node(struct exchange *exchange, size_t first, uint64_t node_id,
                                struct error *error)
{
    struct arena *arena = exchange->options.arena;
    struct exchange_call *call = arena_array(arena, 1, sizeof *call);
    if (call == NULL)
        return out_of_memory(error);
    for (size_t i = first; i < exchange->shard_count; i++)
        call->answer_count += exchange->shards[i].asks_node == node_id;
    call->answers = arena_array(arena, call->answer_count, sizeof *call->answers);
    if (call->answers == NULL)
        return out_of_memory(error);
    size_t count = 0;
    for (size_t i = first; i < exchange->shard_count; i++) {
        struct exchange_shard *shard = &exchange->shards[i];
        if (shard->asks_node != node_id)
            continue;
        shard->asks_node = 0;
        struct call_answer *answer = &call->answers[count++];
        answer->shard = shard;
        answer->last = &answer->first;
        shard->open_calls++;
    }
    call->node_id = node_id;
    call->last = &call->first;
    call->began_ns = call->progress_ns = fanout_now_ns(exchange->fanout);
    struct shared_bytes *body;
    enum error_code code = encode(exchange, call, &body, error);
    if (code != ERROR_NONE)
        return code;
    call->next = exchange->calls;
    exchange->calls = call;
    code = call_start(exchange->fanout, exchange->inbox, node_id,
                      (uint16_t)exchange->options.question->kind, body,
                      milliseconds_left(exchange, call->progress_ns), &call->call, error);
    shared_bytes_unref(body);
    if (code != ERROR_UNAVAILABLE)
        return code;
    call_failed(exchange, call, error);
    return ERROR_NONE;
}

enum error_code exchange_ask(struct exchange *exchange, struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < exchange->shard_count; i++) {
        if (exchange->shards[i].asks_node == 0)
            continue;
        if (exchange->inbox == NULL)
            exchange->inbox = inbox_create();
        code = exchange->inbox == NULL
                   ? out_of_memory(error)
                   : ask_node(exchange, i, exchange->shards[i].asks_node, error);
    }
    return code;
}

/* --- Answers --------------------------------------------------------------------------------- */

static enum error_code corrupt(struct error *error, const char *what)
{
    return error_set(error, ERROR_CORRUPT, "answer: %s", what);
}

static struct call_answer *answer_of(struct exchange_call *call, uint32_t shard_id)
{
    for (size_t i = 0; i < call->answer_count; i++)
        if (call->answers[i].shard->answer.shard_id == shard_id)
            return &call->answers[i];
    return NULL;
}

static enum error_code on_shard(struct exchange *exchange, struct exchange_call *call,
                                const struct frame *frame, struct error *error)
{
    struct frame_shard status;
    enum error_code code = frame_shard_decode(frame->payload, frame->size, &status, error);
    if (code != ERROR_NONE)
        return code;
    struct call_answer *answer = answer_of(call, status.shard_id);
    if (answer == NULL || answer->is_begun || call->current != NULL)
        return corrupt(error, "a shard that was not asked for");
    answer->is_begun = true;
    if (status.status == FRAME_STATUS_OK) {
        struct cluster_board *board = exchange->fanout->options.board;
        if (status.leader == call->node_id && board != NULL)
            cluster_board_note_leader(board, status.shard_id, call->node_id);
        if (exchange->options.mode == EXCHANGE_SHARDS)
            call->current = answer;
        return ERROR_NONE;
    }
    if (status.status == FRAME_STATUS_SPLIT)
        exchange_note_splits(exchange, answer->shard, (uint32_t)status.leader);
    else
        exchange_redirected(exchange, call, &status);
    char reason[80];
    snprintf(reason, sizeof reason, "node %llu %s", (unsigned long long)call->node_id,
             status.status == FRAME_STATUS_ABSENT ? "has no replica" : "cannot be read now");
    exchange_note_reason(exchange, answer->shard, ERROR_UNAVAILABLE, reason);
    answer->is_over = true;
    answer->shard->open_calls--;
    return ERROR_NONE;
}

static enum error_code on_data(struct exchange *exchange, struct exchange_call *call,
                               const struct frame *frame, struct error *error)
{
    struct call_answer *answer = call->current;
    bool is_group = exchange->options.mode == EXCHANGE_GROUPS;
    if (answer == NULL && !is_group)
        return corrupt(error, "data of no shard");
    struct answer_frame *kept = arena_allocate(exchange->options.arena, sizeof *kept);
    if (kept == NULL)
        return out_of_memory(error);
    *kept = (struct answer_frame){.bytes = frame->payload, .size = frame->size};
    struct answer_frame ***last = is_group ? &call->last : &answer->last;
    **last = kept;
    *last = &kept->next;
    return ERROR_NONE;
}

static void adopt(struct exchange *exchange, struct call_answer *answer, size_t group)
{
    struct exchange_shard *shard = answer->shard;
    shard->answer.truncated = answer->end.truncated;
    shard->answer.damaged = answer->end.damaged;
    shard->answer.version = answer->end.version;
    shard->answer.windows = answer->windows;
    shard->answer.group = group;
    exchange_finish_shard(exchange, shard);
}

/* The answer of a group counts when that of every shard in it does. */
static void finish_group(struct exchange *exchange, struct exchange_call *call)
{
    struct exchange_shard *lowest = NULL;
    for (size_t i = 0; i < call->answer_count; i++) {
        const struct call_answer *answer = &call->answers[i];
        if (!answer->is_over && (!answer->is_whole || answer->shard->is_done))
            return;
        if (!answer->is_over && lowest == NULL)
            lowest = answer->shard;
    }
    if (lowest == NULL)
        return;
    lowest->answer.first = call->first;
    for (size_t i = 0; i < call->answer_count; i++) {
        struct call_answer *answer = &call->answers[i];
        if (answer->is_over)
            continue;
        answer->is_over = true;
        answer->shard->open_calls--;
        adopt(exchange, answer, (size_t)(lowest - exchange->shards));
    }
}

static enum error_code on_group_end(struct exchange *exchange, struct exchange_call *call,
                                    const struct frame_shard_end *end, struct error *error)
{
    struct call_answer *answer = answer_of(call, end->shard_id);
    if (answer == NULL || !answer->is_begun || answer->is_over || answer->is_whole)
        return corrupt(error, "the end of another shard");
    answer->is_whole = true;
    answer->end = *end;
    finish_group(exchange, call);
    return ERROR_NONE;
}

static enum error_code on_shard_end(struct exchange *exchange, struct exchange_call *call,
                                    const struct frame *frame, struct error *error)
{
    struct frame_shard_end end;
    struct call_answer *answer = call->current;
    enum error_code code = frame_shard_end_decode(frame->payload, frame->size, &end, error);
    if (code != ERROR_NONE)
        return code;
    if (exchange->options.mode == EXCHANGE_GROUPS)
        return on_group_end(exchange, call, &end, error);
    if (answer == NULL || answer->shard->answer.shard_id != end.shard_id)
        return corrupt(error, "the end of another shard");
    call->current = NULL;
    answer->is_over = true;
    struct exchange_shard *shard = answer->shard;
    shard->open_calls--;
    if (shard->is_done)
        return ERROR_NONE;
    shard->answer.first = answer->first;
    answer->end = end;
    adopt(exchange, answer, (size_t)(shard - exchange->shards));
    return ERROR_NONE;
}

static enum error_code on_windows(struct exchange *exchange, struct exchange_call *call,
                                  const struct frame *frame, struct error *error)
{
    uint32_t shard_id;
    struct told_windows told;
    enum error_code code = told_windows_decode(frame->payload, frame->size, exchange->options.arena,
                                               &shard_id, &told, error);
    if (code != ERROR_NONE)
        return code;
    struct call_answer *answer = answer_of(call, shard_id);
    if (answer == NULL || !answer->is_begun || answer->is_over || answer->is_whole)
        return corrupt(error, "versions of another shard's windows");
    answer->windows = told;
    return ERROR_NONE;
}

static enum error_code on_frame(struct exchange *exchange, struct exchange_call *call,
                                const struct frame *frame, struct error *error)
{
    if (frame->type == FRAME_ALIVE)
        return frame->size == 0 ? ERROR_NONE : corrupt(error, "a sign of life with a payload");
    uint64_t now_ns = fanout_now_ns(exchange->fanout);
    if (!call->has_answered)
        latency_add(&exchange->fanout->first_bytes, now_ns - call->began_ns);
    call->has_answered = true;
    call->is_hedged = false;
    call->checked_ns = 0;
    call->progress_ns = now_ns;
    switch (frame->type) {
    case FRAME_ALIVE:
        break;
    case FRAME_SHARD:
        return on_shard(exchange, call, frame, error);
    case FRAME_DATA:
        return on_data(exchange, call, frame, error);
    case FRAME_SHARD_END:
        return on_shard_end(exchange, call, frame, error);
    case FRAME_WINDOWS:
        return on_windows(exchange, call, frame, error);
    }
    return corrupt(error, "an unknown frame");
}

static enum error_code take_bytes(struct exchange *exchange, struct exchange_call *call,
                                  const uint8_t *bytes, size_t size, struct error *error)
{
    while (size > 0) {
        struct frame frame;
        size_t taken;
        bool is_complete;
        enum error_code code = frame_reader_feed(&call->reader, exchange->options.arena, bytes,
                                                 size, &taken, &frame, &is_complete, error);
        if (code == ERROR_NONE && is_complete)
            code = on_frame(exchange, call, &frame, error);
        if (code != ERROR_NONE)
            return code;
        bytes += taken;
        size -= taken;
    }
    return ERROR_NONE;
}

/* The outcome of what another node could not do is not that of the query. */
static enum error_code outcome_of(const struct exchange *exchange, const struct exchange_call *call,
                                  const struct call_news *news, struct error *error)
{
    if (news->error.code == ERROR_NONE)
        return is_wanted(exchange, call) ? corrupt(error, "it ended too early") : ERROR_NONE;
    *error = news->error;
    if (error->code == ERROR_OUT_OF_MEMORY)
        error->code = ERROR_UNAVAILABLE;
    return error->code;
}

static enum error_code collect(struct exchange *exchange, struct exchange_call *call,
                               struct error *error)
{
    struct call_news news;
    call_take(call->call, &news);
    enum error_code code = ERROR_NONE;
    while (news.chunks != NULL) {
        struct call_chunk *chunk = news.chunks;
        news.chunks = chunk->next;
        if (code == ERROR_NONE)
            code = take_bytes(exchange, call, chunk->bytes, chunk->size, error);
        free(chunk);
    }
    if (code == ERROR_OUT_OF_MEMORY)
        return code; /* of this query */
    if (code == ERROR_NONE && !news.is_over)
        return ERROR_NONE;
    if (code == ERROR_NONE)
        code = outcome_of(exchange, call, &news, error);
    if (code == ERROR_NONE) {
        fanout_allow_hedge(exchange->fanout);
        call_end(call);
        return ERROR_NONE;
    }
    error_wrap(error, "node %llu", (unsigned long long)call->node_id);
    if (exchange_is_final(code) && is_wanted(exchange, call))
        return code;
    call_failed(exchange, call, error);
    return ERROR_NONE;
}

enum error_code exchange_collect(struct exchange *exchange, struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (struct exchange_call *call = exchange->calls; code == ERROR_NONE && call != NULL;
         call = call->next)
        if (call->call != NULL)
            code = collect(exchange, call, error);
    drop_unwanted(exchange);
    return code;
}
