#include "serve_work.h"

#include <assert.h>
#include <stdlib.h>

#include "serve_records.h"
#include "serve_work_private.h"

/* The first piece is small, so that the asker soon hears. */
enum { PIECE_BYTES_MIN = 16 * 1024, PIECE_BYTES_MAX = 256 * 1024, FRAME_BYTES = 64 * 1024 };

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "answers to other nodes need too much memory");
}

struct arena *serve_arena(struct fanout *fanout)
{
    struct arena_account *account = fanout->memory;
    return account == NULL ? arena_create(0) : arena_create_charged(account);
}

/* --- Life ------------------------------------------------------------------------------------ */

enum error_code serve_work_create(const struct serve_work_options *options,
                                  struct serve_work **work_out, struct error *error)
{
    struct serve_work *work = calloc(1, sizeof *work);
    if (work == NULL)
        return out_of_memory(error);
    work->options = *options;
    work->piece_bytes = PIECE_BYTES_MIN;
    work->arena = serve_arena(options->fanout);
    enum error_code code =
        work->arena == NULL ? out_of_memory(error)
                            : fanout_question_decode(options->bytes, options->size, options->kind,
                                                     work->arena, &work->question, error);
    if (code != ERROR_NONE) {
        serve_work_destroy(work);
        return code;
    }
    *work_out = work;
    return ERROR_NONE;
}

static void close_shard(struct serve_work *work)
{
    struct fanout_replicas *replicas = work->options.fanout->options.replicas;
    serve_records_close(work->records);
    work->records = NULL;
    arena_destroy(work->shard_arena);
    work->shard_arena = NULL;
    if (work->is_held)
        replicas->operations->release(replicas, &work->replica);
    work->is_held = false;
}

void serve_work_destroy(struct serve_work *work)
{
    if (work == NULL)
        return;
    struct fanout_replicas *replicas = work->options.fanout->options.replicas;
    close_shard(work);
    for (size_t i = 0; work->confirms != NULL && i < work->question.shard_count; i++)
        if (work->confirms[i].is_held)
            replicas->operations->release(replicas, &work->confirms[i].replica);
    fanout_question_clear(&work->question);
    byte_buffer_clear(&work->buffer);
    arena_destroy(work->arena);
    free(work);
}

struct serve_confirm *serve_work_confirms(struct serve_work *work, size_t *count_out)
{
    struct fanout_replicas *replicas = work->options.fanout->options.replicas;
    *count_out = 0;
    if (work->question.read != FANOUT_READ_STRONG)
        return NULL;
    work->confirms = arena_array(work->arena, work->question.shard_count, sizeof *work->confirms);
    if (work->confirms == NULL)
        return NULL; /* then none is confirmed */
    *count_out = work->question.shard_count;
    for (size_t i = 0; i < work->question.shard_count; i++)
        work->confirms[i].is_held = replicas->operations->hold(
            replicas, work->question.shards[i].shard_id, &work->confirms[i].replica);
    return work->confirms;
}

/* --- Shards ---------------------------------------------------------------------------------- */

static bool may_be_read(const struct serve_work *work, size_t index,
                        const struct fanout_replica *replica)
{
    struct fanout_replicas *replicas = work->options.fanout->options.replicas;
    if (work->question.read == FANOUT_READ_STRONG)
        return work->confirms != NULL && work->confirms[index].is_confirmed;
    return replicas->operations->is_ready(replicas, replica) ||
           replicas->operations->is_readable(replicas, replica,
                                             work->question.shards[index].least_index);
}

/* Who leads: this node itself, or whom its replica follows. */
static uint64_t leader_of(const struct serve_work *work, const struct fanout_replica *replica)
{
    struct fanout_replicas *replicas = work->options.fanout->options.replicas;
    return replicas->operations->is_ready(replicas, replica)
               ? atomic_load(&work->options.fanout->node_id)
               : replicas->operations->leader(replicas, replica);
}

bool serve_hold(struct serve_work *work, size_t index, struct byte_buffer *buffer,
                struct fanout_replica *replica_out)
{
    struct fanout_replicas *replicas = work->options.fanout->options.replicas;
    struct frame_shard status = {.shard_id = work->question.shards[index].shard_id,
                                 .status = FRAME_STATUS_ABSENT};
    struct fanout_replica replica;
    if (replicas->operations->hold(replicas, status.shard_id, &replica)) {
        uint32_t asked = work->question.shards[index].splits;
        uint32_t splits = replicas->operations->splits(replicas, &replica);
        status.leader = splits > asked ? splits : leader_of(work, &replica);
        status.status = may_be_read(work, index, &replica) && splits == asked
                            ? FRAME_STATUS_OK
                            : FRAME_STATUS_UNREADABLE;
        if (splits > asked)
            status.status = FRAME_STATUS_SPLIT;
        if (status.status == FRAME_STATUS_OK)
            *replica_out = replica;
        else
            replicas->operations->release(replicas, &replica);
    }
    frame_shard_encode(buffer, &status);
    return status.status == FRAME_STATUS_OK;
}

void serve_windows(struct serve_work *work, const struct fanout_replica *replica,
                   uint64_t applied_index, const struct read_span *span, struct byte_buffer *buffer)
{
    if (!work->question.wants_windows)
        return;
    struct told_windows told = told_windows_of(work->options.fanout->options.replicas, replica,
                                               applied_index, span, work->arena);
    frame_windows_encode(buffer, replica->shard_id, &told);
}

enum error_code serve_check_splits(const struct serve_work *work,
                                   const struct fanout_replica *replica, struct error *error)
{
    struct fanout_replicas *replicas = work->options.fanout->options.replicas;
    for (size_t i = 0; i < work->question.shard_count; i++)
        if (work->question.shards[i].shard_id == replica->shard_id &&
            work->question.shards[i].splits != replicas->operations->splits(replicas, replica))
            return error_set(error, ERROR_UNAVAILABLE, "shard %u was split meanwhile",
                             replica->shard_id);
    return ERROR_NONE;
}

static enum error_code open_shard(struct serve_work *work, struct error *error)
{
    struct fanout_replicas *replicas = work->options.fanout->options.replicas;
    work->is_held = serve_hold(work, work->next, &work->buffer, &work->replica);
    if (!work->is_held) {
        work->next++;
        return ERROR_NONE;
    }
    work->version = replicas->operations->applied_index(replicas, &work->replica);
    work->shard_arena = serve_arena(work->options.fanout);
    if (work->shard_arena == NULL)
        return out_of_memory(error);
    struct serve_records_options options = {
        .fanout = work->options.fanout,
        .question = &work->question,
        .replica = &work->replica,
        .canceled = work->options.canceled,
        .deadline_ns = work->options.deadline_ns,
        .arena = work->shard_arena,
    };
    enum error_code code = serve_records_open(&options, &work->records, error);
    return code == ERROR_NONE ? serve_check_splits(work, &work->replica, error) : code;
}

static enum error_code fill_shard(struct serve_work *work, struct error *error)
{
    bool is_finished;
    size_t begun = frame_begin(&work->buffer, FRAME_DATA);
    enum error_code code =
        serve_records_fill(work->records, &work->buffer, begun + FRAME_BYTES, &is_finished, error);
    if (code != ERROR_NONE)
        return code;
    frame_end(&work->buffer, begun);
    if (!is_finished)
        return ERROR_NONE;
    struct frame_shard_end end = {
        .shard_id = work->replica.shard_id,
        .truncated = serve_records_are_truncated(work->records),
        .damaged = serve_records_are_damaged(work->records),
        .version = work->version,
    };
    struct read_span span;
    read_span_init(&span);
    read_span_note(&span, work->question.start_ms, work->question.end_ms);
    if (work->question.kind == QUESTION_SELECT)
        serve_windows(work, &work->replica, work->version, &span, &work->buffer);
    frame_shard_end_encode(&work->buffer, &end);
    close_shard(work);
    work->next++;
    return ERROR_NONE;
}

enum error_code serve_work_next(struct serve_work *work, struct shared_bytes **piece_out,
                                bool *finished_out, struct error *error)
{
    enum error_code code = ERROR_NONE;
    byte_buffer_reset(&work->buffer);
    while (code == ERROR_NONE && work->next < work->question.shard_count &&
           work->buffer.size < work->piece_bytes)
        code = work->records == NULL ? open_shard(work, error) : fill_shard(work, error);
    if (code == ERROR_NONE && work->buffer.failed)
        code = out_of_memory(error);
    if (code != ERROR_NONE)
        return code;
    struct shared_bytes *piece = shared_bytes_copy(work->buffer.bytes, work->buffer.size);
    if (piece == NULL)
        return out_of_memory(error);
    if (work->piece_bytes < PIECE_BYTES_MAX)
        work->piece_bytes *= 4;
    *piece_out = piece;
    *finished_out = work->next == work->question.shard_count;
    return ERROR_NONE;
}
