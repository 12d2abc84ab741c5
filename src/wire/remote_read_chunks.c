/* The answer as chunks: ChunkedReadResponse of prompb/remote.proto, in frames. */
#include "base/checksum.h"
#include "protobuf_writer.h"
#include "remote_read_private.h"
#include "wire/prometheus_chunk.h"
#include "wire/remote_read.h"

enum { SERIES_CHUNKS = 2 };
enum { CHUNK_START = 1, CHUNK_END = 2, CHUNK_TYPE = 3, CHUNK_DATA = 4 };

/* Size, checksum, message. */
static void append_frame(size_t query_index, struct read_scratch *scratch,
                         struct byte_buffer *stream)
{
    enum { RESPONSE_SERIES = 1, RESPONSE_QUERY_INDEX = 2 };
    struct byte_buffer *message = &scratch->part;
    byte_buffer_reset(message);
    protobuf_put_tag(message, RESPONSE_SERIES, PROTOBUF_BYTES);
    byte_buffer_varint(message, scratch->labels.size + scratch->chunks.size);
    byte_buffer_append(message, scratch->labels.bytes, scratch->labels.size);
    byte_buffer_append(message, scratch->chunks.bytes, scratch->chunks.size);
    if (query_index > 0)
        protobuf_put_varint(message, RESPONSE_QUERY_INDEX, query_index);
    uint32_t checksum = crc32c(0, message->bytes, message->size);
    byte_buffer_varint(stream, message->size);
    for (int shift = 24; shift >= 0; shift -= 8)
        byte_buffer_u8(stream, (uint8_t)(checksum >> shift));
    byte_buffer_append(stream, message->bytes, message->size);
    stream->failed |= message->failed || scratch->labels.failed || scratch->chunks.failed;
    byte_buffer_reset(&scratch->chunks);
}

static void append_chunk(const struct sample_columns *columns, size_t first, size_t end,
                         struct read_scratch *scratch)
{
    byte_buffer_reset(&scratch->chunk);
    chunk_append(columns, first, end, &scratch->windows, &scratch->chunk);
    byte_buffer_reset(&scratch->part);
    protobuf_put_varint(&scratch->part, CHUNK_START, (uint64_t)columns->timestamps_ms[first]);
    protobuf_put_varint(&scratch->part, CHUNK_END, (uint64_t)columns->timestamps_ms[end - 1]);
    protobuf_put_varint(&scratch->part, CHUNK_TYPE, chunk_encoding_of(columns, first));
    protobuf_put_message(&scratch->part, CHUNK_DATA, &scratch->chunk);
    protobuf_put_message(&scratch->chunks, SERIES_CHUNKS, &scratch->part);
}

void read_append_frames(size_t query_index, struct labels labels,
                        const struct sample_columns *columns, struct read_scratch *scratch,
                        struct byte_buffer *stream)
{
    byte_buffer_reset(&scratch->labels);
    byte_buffer_reset(&scratch->chunks);
    read_append_labels(labels, &scratch->part, &scratch->labels);
    for (size_t first = 0; first < columns->count;) {
        size_t end = chunk_end(columns, first);
        append_chunk(columns, first, end, scratch);
        first = end;
        if (first == columns->count ||
            scratch->labels.size + scratch->chunks.size >= READ_FRAME_BYTES)
            append_frame(query_index, scratch, stream);
    }
}

void read_scratch_clear(struct read_scratch *scratch)
{
    byte_buffer_clear(&scratch->labels);
    byte_buffer_clear(&scratch->chunks);
    byte_buffer_clear(&scratch->chunk);
    byte_buffer_clear(&scratch->part);
    byte_buffer_clear(&scratch->windows);
}
