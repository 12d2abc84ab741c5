#include "wire/remote_read.h"

#include <string.h>

#include "protobuf.h"

enum { REQUEST_QUERIES = 1, REQUEST_ACCEPTED = 2 };
enum { QUERY_START = 1, QUERY_END = 2, QUERY_MATCHERS = 3 };
enum { MATCHER_FIELD_TYPE = 1, MATCHER_FIELD_NAME = 2, MATCHER_FIELD_VALUE = 3 };
enum { ACCEPTS_SAMPLES = 0, ACCEPTS_CHUNKS = 1 };

static enum error_code malformed(struct error *error)
{
    return error_set(error, ERROR_INVALID, "the body is not a remote read request");
}

/* How many fields of that number and type a message has; -1: it is malformed. */
static int64_t count_fields(struct byte_reader message, uint32_t number)
{
    struct protobuf_field field;
    int64_t count = 0;
    while (protobuf_next(&message, &field))
        count += protobuf_is(&field, number, PROTOBUF_BYTES);
    return message.failed ? -1 : count;
}

static enum error_code decode_matcher(struct byte_reader message, struct read_matcher *matcher,
                                      struct error *error)
{
    static const enum matcher_type TYPES[] = {MATCHER_EQUAL, MATCHER_NOT_EQUAL, MATCHER_REGEX,
                                              MATCHER_NOT_REGEX};
    struct protobuf_field field;
    uint64_t type = 0;
    while (protobuf_next(&message, &field)) {
        if (protobuf_is(&field, MATCHER_FIELD_TYPE, PROTOBUF_VARINT))
            type = field.value;
        else if (protobuf_is(&field, MATCHER_FIELD_NAME, PROTOBUF_BYTES))
            matcher->name = protobuf_text(&field);
        else if (protobuf_is(&field, MATCHER_FIELD_VALUE, PROTOBUF_BYTES))
            matcher->value = protobuf_text(&field);
    }
    if (message.failed)
        return malformed(error);
    if (type >= sizeof TYPES / sizeof TYPES[0])
        return error_set(error, ERROR_INVALID, "invalid matcher type");
    matcher->type = TYPES[type];
    return ERROR_NONE;
}

static enum error_code decode_query(struct byte_reader message, struct arena *arena,
                                    struct read_query *query, struct error *error)
{
    int64_t count = count_fields(message, QUERY_MATCHERS);
    if (count < 0)
        return malformed(error);
    struct read_matcher *matchers = arena_array(arena, (size_t)count + 1, sizeof *matchers);
    if (matchers == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "matchers of a remote read");
    memset(matchers, 0, ((size_t)count + 1) * sizeof *matchers);
    *query = (struct read_query){.matchers = matchers};
    enum error_code code = ERROR_NONE;
    struct protobuf_field field;
    while (code == ERROR_NONE && protobuf_next(&message, &field)) {
        if (protobuf_is(&field, QUERY_START, PROTOBUF_VARINT))
            query->start_ms = (int64_t)field.value;
        else if (protobuf_is(&field, QUERY_END, PROTOBUF_VARINT))
            query->end_ms = (int64_t)field.value;
        else if (protobuf_is(&field, QUERY_MATCHERS, PROTOBUF_BYTES))
            code = decode_matcher(field.bytes, &matchers[query->matcher_count++], error);
    }
    return code;
}

/* One number, or several packed ones: the first that there is wins. */
static void read_accepted(struct protobuf_field *field, bool *is_found, bool *any,
                          enum read_answer *answer)
{
    bool packed = field->type == PROTOBUF_BYTES;
    while (!packed || byte_reader_left(&field->bytes) > 0) {
        uint64_t wanted = packed ? byte_reader_varint(&field->bytes) : field->value;
        if (packed && field->bytes.failed)
            return;
        *any = true;
        if (!*is_found && (wanted == ACCEPTS_SAMPLES || wanted == ACCEPTS_CHUNKS)) {
            *answer = wanted == ACCEPTS_CHUNKS ? READ_CHUNKS : READ_SAMPLES;
            *is_found = true;
        }
        if (!packed)
            return;
    }
}

enum error_code read_request_decode(const uint8_t *bytes, size_t size, struct arena *arena,
                                    struct read_request *request_out, struct error *error)
{
    struct byte_reader message = byte_reader_over(bytes, size);
    int64_t count = count_fields(message, REQUEST_QUERIES);
    if (count < 0)
        return malformed(error);
    struct read_query *queries = arena_array(arena, (size_t)count + 1, sizeof *queries);
    if (queries == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "queries of a remote read");
    struct read_request request = {.queries = queries, .answer = READ_SAMPLES};
    bool is_found = false, any = false;
    enum error_code code = ERROR_NONE;
    struct protobuf_field field;
    while (code == ERROR_NONE && protobuf_next(&message, &field)) {
        if (protobuf_is(&field, REQUEST_QUERIES, PROTOBUF_BYTES))
            code = decode_query(field.bytes, arena, &queries[request.query_count++], error);
        else if (field.number == REQUEST_ACCEPTED)
            read_accepted(&field, &is_found, &any, &request.answer);
    }
    if (code == ERROR_NONE && any && !is_found)
        code = error_set(error, ERROR_INVALID,
                         "server does not support any of the requested response types; "
                         "supported: SAMPLES, STREAMED_XOR_CHUNKS");
    *request_out = request;
    return code;
}
