#include "wire/read_stream.h"

#include "base/checksum.h"
#include "base/limits.h"
#include "protobuf_writer.h"

/* --- The request ------------------------------------------------------------------------------
 */

static void put_query(const struct read_query *query, struct byte_buffer *body)
{
    enum { REQUEST_QUERIES = 1 };
    enum { QUERY_START = 1, QUERY_END = 2, QUERY_MATCHERS = 3 };
    enum { MATCHER_TYPE = 1, MATCHER_NAME = 2, MATCHER_VALUE = 3 };
    struct byte_buffer message = {0}, part = {0};
    protobuf_put_varint(&message, QUERY_START, (uint64_t)query->start_ms);
    protobuf_put_varint(&message, QUERY_END, (uint64_t)query->end_ms);
    for (size_t i = 0; i < query->matcher_count; i++) {
        byte_buffer_reset(&part);
        protobuf_put_varint(&part, MATCHER_TYPE, query->matchers[i].type);
        protobuf_put_text(&part, MATCHER_NAME, query->matchers[i].name);
        protobuf_put_text(&part, MATCHER_VALUE, query->matchers[i].value);
        protobuf_put_message(&message, QUERY_MATCHERS, &part);
    }
    protobuf_put_message(body, REQUEST_QUERIES, &message);
    byte_buffer_clear(&message);
    byte_buffer_clear(&part);
}

void read_request_encode(const struct read_request *request, struct byte_buffer *body)
{
    enum { REQUEST_ACCEPTED = 2, STREAMED_CHUNKS = 1 };
    for (size_t i = 0; i < request->query_count; i++)
        put_query(&request->queries[i], body);
    if (request->answer == READ_CHUNKS)
        protobuf_put_varint(body, REQUEST_ACCEPTED, STREAMED_CHUNKS);
}

/* --- Frames -----------------------------------------------------------------------------------
 */

enum error_code read_frame_decode(const uint8_t *bytes, size_t size, struct read_frame *frame_out,
                                  struct error *error)
{
    enum { CHECKSUM_BYTES = 4, HEAD_BYTES_MAX = VARINT_MAX_BYTES + CHECKSUM_BYTES };
    struct byte_reader reader = byte_reader_over(bytes, size);
    uint64_t message_size = byte_reader_varint(&reader);
    const uint8_t *checksum = byte_reader_take(&reader, CHECKSUM_BYTES);
    *frame_out = (struct read_frame){0};
    if (reader.failed)
        return size < HEAD_BYTES_MAX
                   ? ERROR_NONE
                   : error_set(error, ERROR_CORRUPT, "remote read: that is no frame");
    if (message_size > READ_STREAM_FRAME_BYTES_MAX)
        return error_set(error, ERROR_LIMIT, "remote read: a frame of %llu bytes",
                         (unsigned long long)message_size);
    if (message_size > byte_reader_left(&reader))
        return ERROR_NONE;
    uint32_t expected = __builtin_bswap32(load_u32(checksum));
    if (crc32c(0, reader.position, (size_t)message_size) != expected)
        return error_set(error, ERROR_CORRUPT, "remote read: a frame with a wrong checksum");
    *frame_out = (struct read_frame){
        .message = reader.position,
        .message_size = (size_t)message_size,
        .frame_size = (size_t)(reader.position - bytes) + (size_t)message_size,
    };
    return ERROR_NONE;
}

/* --- Series -----------------------------------------------------------------------------------
 */

static enum error_code malformed(struct error *error)
{
    return error_set(error, ERROR_CORRUPT, "remote read: a frame that holds no series");
}

static enum error_code take_label(struct byte_reader message, struct label *label,
                                  struct error *error)
{
    enum { LABEL_NAME = 1, LABEL_VALUE = 2 };
    struct protobuf_field field;
    *label = (struct label){0};
    while (protobuf_next(&message, &field)) {
        if (protobuf_is(&field, LABEL_NAME, PROTOBUF_BYTES))
            label->name = protobuf_text(&field);
        else if (protobuf_is(&field, LABEL_VALUE, PROTOBUF_BYTES))
            label->value = protobuf_text(&field);
    }
    return message.failed || label->name.size == 0 ? malformed(error) : ERROR_NONE;
}

static enum error_code take_chunk(struct byte_reader message, struct chunk_samples *samples,
                                  struct error *error)
{
    enum { CHUNK_TYPE = 3, CHUNK_DATA = 4 };
    struct protobuf_field field;
    struct byte_reader data = {0};
    unsigned encoding = 0;
    while (protobuf_next(&message, &field)) {
        if (protobuf_is(&field, CHUNK_TYPE, PROTOBUF_VARINT))
            encoding = field.value > ENCODING_FLOAT_HISTOGRAM ? UINT8_MAX : (unsigned)field.value;
        else if (protobuf_is(&field, CHUNK_DATA, PROTOBUF_BYTES))
            data = field.bytes;
    }
    if (message.failed)
        return malformed(error);
    return chunk_decode(encoding, data.position, byte_reader_left(&data), samples, error);
}

static enum error_code take_series(struct byte_reader message, struct arena *arena,
                                   struct read_stream_series *series, struct error *error)
{
    enum { SERIES_LABELS = 1, SERIES_CHUNKS = 2 };
    struct label labels[LABELS_PER_SERIES_MAX];
    size_t label_count = 0;
    struct protobuf_field field;
    enum error_code code = ERROR_NONE;
    *series = (struct read_stream_series){.samples = {.arena = arena}};
    while (code == ERROR_NONE && protobuf_next(&message, &field)) {
        if (protobuf_is(&field, SERIES_LABELS, PROTOBUF_BYTES)) {
            if (label_count == LABELS_PER_SERIES_MAX)
                return error_set(error, ERROR_LIMIT,
                                 "remote read: a series with more than %d labels",
                                 LABELS_PER_SERIES_MAX);
            code = take_label(field.bytes, &labels[label_count++], error);
        } else if (protobuf_is(&field, SERIES_CHUNKS, PROTOBUF_BYTES)) {
            code = take_chunk(field.bytes, &series->samples, error);
        }
    }
    if (code != ERROR_NONE)
        return code;
    if (message.failed || label_count == 0)
        return malformed(error);
    series->labels = labels_build(arena, labels, label_count);
    return series->labels.bytes == NULL
               ? error_set(error, ERROR_OUT_OF_MEMORY, "labels of a remote read")
               : ERROR_NONE;
}

enum error_code read_frame_visit(const struct read_frame *frame, struct arena *arena,
                                 read_stream_visit *visit, void *context, struct error *error)
{
    enum { RESPONSE_SERIES = 1 };
    struct byte_reader message = byte_reader_over(frame->message, frame->message_size);
    struct protobuf_field field;
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && protobuf_next(&message, &field)) {
        struct read_stream_series series;
        if (!protobuf_is(&field, RESPONSE_SERIES, PROTOBUF_BYTES))
            continue;
        code = take_series(field.bytes, arena, &series, error);
        if (code == ERROR_NONE)
            code = visit(context, &series, error);
    }
    return code == ERROR_NONE && message.failed ? malformed(error) : code;
}
