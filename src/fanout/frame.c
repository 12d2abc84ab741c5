#include "frame.h"

#include <assert.h>
#include <string.h>

#include "membership/cluster_entry.h"

enum { END_TRUNCATED = 1, END_DAMAGED = 2 };

/* --- Writing --------------------------------------------------------------------------------- */

size_t frame_begin(struct byte_buffer *buffer, enum frame_type type)
{
    size_t begun = buffer->size;
    byte_buffer_u32(buffer, 0); /* until the end */
    byte_buffer_u8(buffer, (uint8_t)type);
    return begun;
}

void frame_end(struct byte_buffer *buffer, size_t begun)
{
    if (buffer->failed)
        return;
    size_t size = buffer->size - begun - FRAME_HEAD_BYTES;
    if (size > FRAME_PAYLOAD_BYTES_MAX) {
        buffer->failed = true;
        return;
    }
    store_u32(buffer->bytes + begun, (uint32_t)size);
}

void frame_shard_encode(struct byte_buffer *buffer, const struct frame_shard *shard)
{
    size_t begun = frame_begin(buffer, FRAME_SHARD);
    byte_buffer_varint(buffer, shard->shard_id);
    byte_buffer_u8(buffer, (uint8_t)shard->status);
    byte_buffer_varint(buffer, shard->leader);
    frame_end(buffer, begun);
}

void frame_windows_encode(struct byte_buffer *buffer, uint32_t shard_id,
                          const struct told_windows *told)
{
    size_t begun = frame_begin(buffer, FRAME_WINDOWS);
    told_windows_encode(buffer, shard_id, told);
    frame_end(buffer, begun);
}

void frame_shard_end_encode(struct byte_buffer *buffer, const struct frame_shard_end *end)
{
    size_t begun = frame_begin(buffer, FRAME_SHARD_END);
    byte_buffer_varint(buffer, end->shard_id);
    byte_buffer_u8(
        buffer, (uint8_t)((end->truncated ? END_TRUNCATED : 0) | (end->damaged ? END_DAMAGED : 0)));
    byte_buffer_varint(buffer, end->version);
    frame_end(buffer, begun);
}

/* --- Reading --------------------------------------------------------------------------------- */

static enum error_code read_head(struct frame_reader *reader, struct arena *arena,
                                 struct error *error)
{
    reader->size = load_u32(reader->head);
    unsigned type = reader->head[4];
    if (type < FRAME_SHARD || type > FRAME_WINDOWS)
        return error_set(error, ERROR_UNSUPPORTED, "answer: a frame of type %u", type);
    if (reader->size > FRAME_PAYLOAD_BYTES_MAX)
        return error_set(error, ERROR_CORRUPT, "answer: a frame of %zu bytes", reader->size);
    reader->payload = arena_allocate(arena, reader->size);
    reader->payload_bytes = 0;
    if (reader->payload == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
    return ERROR_NONE;
}

enum error_code frame_reader_feed(struct frame_reader *reader, struct arena *arena,
                                  const uint8_t *bytes, size_t size, size_t *taken_out,
                                  struct frame *frame_out, bool *complete_out, struct error *error)
{
    const uint8_t *at = bytes, *end = size == 0 ? bytes : bytes + size;
    *complete_out = false;
    while (reader->head_bytes < FRAME_HEAD_BYTES && at < end) {
        reader->head[reader->head_bytes++] = *at++;
        if (reader->head_bytes == FRAME_HEAD_BYTES) {
            enum error_code code = read_head(reader, arena, error);
            if (code != ERROR_NONE)
                return code;
        }
    }
    if (reader->head_bytes == FRAME_HEAD_BYTES) {
        size_t wanted = reader->size - reader->payload_bytes;
        size_t taken = (size_t)(end - at) < wanted ? (size_t)(end - at) : wanted;
        if (taken > 0)
            memcpy(reader->payload + reader->payload_bytes, at, taken);
        at += taken;
        reader->payload_bytes += taken;
        if (reader->payload_bytes == reader->size) {
            *frame_out = (struct frame){.type = (enum frame_type)reader->head[4],
                                        .payload = reader->payload,
                                        .size = reader->size};
            *reader = (struct frame_reader){0};
            *complete_out = true;
        }
    }
    *taken_out = (size_t)(at - bytes);
    return ERROR_NONE;
}

enum error_code frame_shard_decode(const uint8_t *bytes, size_t size, struct frame_shard *shard_out,
                                   struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    uint64_t shard_id = byte_reader_varint(&reader);
    unsigned status = byte_reader_u8(&reader);
    uint64_t leader = byte_reader_varint(&reader);
    if (reader.failed || byte_reader_left(&reader) > 0 || shard_id >= CLUSTER_SHARDS_MAX)
        return error_set(error, ERROR_CORRUPT, "answer: a frame about no shard");
    if (status > FRAME_STATUS_SPLIT)
        return error_set(error, ERROR_UNSUPPORTED, "answer: a shard of status %u", status);
    if (status == FRAME_STATUS_SPLIT && (leader == 0 || leader >= CLUSTER_SHARDS_MAX))
        return error_set(error, ERROR_CORRUPT, "answer: a shard that was split %llu times",
                         (unsigned long long)leader);
    *shard_out = (struct frame_shard){
        .shard_id = (uint32_t)shard_id, .status = (enum frame_status)status, .leader = leader};
    return ERROR_NONE;
}

enum error_code frame_shard_end_decode(const uint8_t *bytes, size_t size,
                                       struct frame_shard_end *end_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    uint64_t shard_id = byte_reader_varint(&reader);
    unsigned flags = byte_reader_u8(&reader);
    uint64_t version = byte_reader_varint(&reader);
    if (reader.failed || byte_reader_left(&reader) > 0 || shard_id >= CLUSTER_SHARDS_MAX)
        return error_set(error, ERROR_CORRUPT, "answer: the end of no shard");
    if ((flags & ~(unsigned)(END_TRUNCATED | END_DAMAGED)) != 0)
        return error_set(error, ERROR_UNSUPPORTED, "answer: an end with flags %u", flags);
    *end_out = (struct frame_shard_end){
        .shard_id = (uint32_t)shard_id,
        .truncated = (flags & END_TRUNCATED) != 0,
        .damaged = (flags & END_DAMAGED) != 0,
        .version = version,
    };
    return ERROR_NONE;
}
