/* The answer to a sub-query: one for all shards that can be read here. */
#include "group_source.h"
#include "partial_run.h"
#include "serve_work_private.h"

struct serve_sink {
    struct promql_partial_sink base; /* first */
    struct serve_outlet *outlet;
    struct byte_buffer buffer;
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_UNAVAILABLE, "answers to other nodes need too much memory");
}

/* What is in the buffer, as a piece. */
static enum error_code put(struct serve_outlet *outlet, struct byte_buffer *buffer,
                           struct error *error)
{
    struct shared_bytes *piece =
        buffer->failed ? NULL : shared_bytes_copy(buffer->bytes, buffer->size);
    byte_buffer_reset(buffer);
    if (piece == NULL)
        return out_of_memory(error);
    return outlet->put(outlet, piece, error);
}

static enum error_code sink_write(struct promql_partial_sink *self, const uint8_t *bytes,
                                  size_t size, struct error *error)
{
    struct serve_sink *sink = (struct serve_sink *)self;
    size_t begun = frame_begin(&sink->buffer, FRAME_DATA);
    byte_buffer_append(&sink->buffer, bytes, size);
    frame_end(&sink->buffer, begun);
    return put(sink->outlet, &sink->buffer, error);
}

static enum error_code evaluate(struct serve_work *work, const struct fanout_replica *replicas,
                                const uint64_t *versions, size_t count, struct serve_sink *sink,
                                struct error *error)
{
    struct promql_partial_request request;
    enum error_code code = promql_partial_request_decode(
        (const uint8_t *)work->question.partial.data, work->question.partial.size, &request, error);
    if (code != ERROR_NONE)
        return code;
    struct group_source source;
    group_source_init(&source, work->options.fanout, replicas, count);
    struct partial_run run = {
        .fanout = work->options.fanout,
        .request = &request,
        .source = &source.base,
        .deadline_ns = work->options.deadline_ns,
        .canceled = work->options.canceled,
        .memory = work->options.fanout->memory,
    };
    code = partial_run(&run, &sink->base, error);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++)
        code = serve_check_splits(work, &replicas[i], error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; i < count; i++) {
        serve_windows(work, &replicas[i], versions[i], &source.span, &sink->buffer);
        frame_shard_end_encode(
            &sink->buffer,
            &(struct frame_shard_end){.shard_id = replicas[i].shard_id, .version = versions[i]});
    }
    return put(sink->outlet, &sink->buffer, error);
}

enum error_code serve_work_partial(struct serve_work *work, struct serve_outlet *outlet,
                                   struct error *error)
{
    struct fanout_replicas *operations = work->options.fanout->options.replicas;
    size_t shard_count = work->question.shard_count, count = 0;
    struct fanout_replica *replicas = arena_array(work->arena, shard_count, sizeof *replicas);
    uint64_t *versions = arena_array(work->arena, shard_count, sizeof *versions);
    struct serve_sink sink = {.base.write = sink_write, .outlet = outlet};
    if (replicas == NULL || versions == NULL)
        return out_of_memory(error);
    for (size_t i = 0; i < shard_count; i++)
        if (serve_hold(work, i, &sink.buffer, &replicas[count])) {
            versions[count] = operations->operations->applied_index(operations, &replicas[count]);
            count++;
        }
    /* At once, so that what cannot be answered here is asked elsewhere meanwhile. */
    enum error_code code = put(outlet, &sink.buffer, error);
    if (code == ERROR_NONE && count > 0)
        code = evaluate(work, replicas, versions, count, &sink, error);
    for (size_t i = 0; i < count; i++)
        operations->operations->release(operations, &replicas[i]);
    byte_buffer_clear(&sink.buffer);
    return code;
}
