#include "frame.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "platform/network.h"

/* --- Frames -------------------------------------------------------------------------------- */

enum { CHECKED_HEADER_BYTES = 24 }; /* the checksum follows */

void frame_encode(const struct frame *frame, const struct frame_part *parts, size_t part_count,
                  uint8_t header[FRAME_HEADER_BYTES])
{
    assert(frame->payload_bytes <= FRAME_PAYLOAD_BYTES_MAX);
    store_u32(header, frame->payload_bytes);
    header[4] = (uint8_t)frame->type;
    header[5] = (uint8_t)frame->class;
    store_u16(header + 6, frame->flags);
    store_u64(header + 8, frame->id);
    store_u16(header + 16, frame->kind);
    store_u16(header + 18, 0);
    store_u32(header + 20, frame->message_bytes);
    uint32_t checksum = crc32c(0, header, CHECKED_HEADER_BYTES);
    size_t size = 0;
    for (size_t i = 0; i < part_count; i++) {
        checksum = crc32c(checksum, parts[i].bytes, parts[i].size);
        size += parts[i].size;
    }
    assert(size == frame->payload_bytes);
    store_u32(header + CHECKED_HEADER_BYTES, checksum);
}

static bool has_parts(enum frame_type type)
{
    return type == FRAME_MESSAGE || type == FRAME_REQUEST;
}

static enum error_code check_header(const uint8_t *bytes, struct error *error)
{
    uint32_t payload_bytes = load_u32(bytes);
    uint16_t flags = load_u16(bytes + 6);
    uint32_t message_bytes = load_u32(bytes + 20);
    if (payload_bytes > FRAME_PAYLOAD_BYTES_MAX)
        return error_set(error, ERROR_LIMIT, "frame: %u bytes", payload_bytes);
    if (bytes[4] == 0 || bytes[4] >= FRAME_TYPES)
        return error_set(error, ERROR_UNSUPPORTED, "frame: type %u", bytes[4]);
    if (bytes[5] >= TRANSPORT_CLASSES)
        return error_set(error, ERROR_UNSUPPORTED, "frame: class %u", bytes[5]);
    uint16_t known = has_parts(bytes[4]) ? FRAME_FIRST | FRAME_LAST : 0;
    if ((flags & ~known) != 0 || load_u16(bytes + 18) != 0)
        return error_set(error, ERROR_UNSUPPORTED, "frame: flags %u", flags);
    if ((message_bytes != 0) && (flags & FRAME_FIRST) == 0)
        return error_set(error, ERROR_CORRUPT, "frame: a size of the message within it");
    return ERROR_NONE;
}

enum error_code frame_decode(const uint8_t *bytes, size_t size, struct frame *frame_out,
                             size_t *size_out, struct error *error)
{
    if (size < FRAME_HEADER_BYTES) {
        *size_out = 0;
        return ERROR_NONE;
    }
    enum error_code code = check_header(bytes, error);
    if (code != ERROR_NONE)
        return code;
    uint32_t payload_bytes = load_u32(bytes);
    if (size - FRAME_HEADER_BYTES < payload_bytes) {
        *size_out = 0;
        return ERROR_NONE;
    }
    uint32_t checksum = crc32c(0, bytes, CHECKED_HEADER_BYTES);
    checksum = crc32c(checksum, bytes + FRAME_HEADER_BYTES, payload_bytes);
    if (checksum != load_u32(bytes + CHECKED_HEADER_BYTES))
        return error_set(error, ERROR_CORRUPT, "frame: wrong checksum");
    *frame_out = (struct frame){
        .type = bytes[4],
        .class = bytes[5],
        .flags = load_u16(bytes + 6),
        .id = load_u64(bytes + 8),
        .kind = load_u16(bytes + 16),
        .message_bytes = load_u32(bytes + 20),
        .payload = bytes + FRAME_HEADER_BYTES,
        .payload_bytes = payload_bytes,
    };
    *size_out = FRAME_HEADER_BYTES + payload_bytes;
    return ERROR_NONE;
}

/* --- Hello --------------------------------------------------------------------------------- */

static const uint8_t MAGIC[8] = "GNOMONT1";

enum { HELLO_FIXED_BYTES = 72 };

bool transport_name_is_valid(struct text name)
{
    if (name.size == 0 || name.size > TRANSPORT_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] <= ' ' || name.data[i] > '~')
            return false;
    return true;
}

static uint8_t *store_text(uint8_t *target, struct text text)
{
    assert(text.size <= UINT8_MAX);
    *target++ = (uint8_t)text.size;
    if (text.size > 0)
        memcpy(target, text.data, text.size);
    return target + text.size;
}

size_t hello_encode(const struct hello *hello, uint8_t target[HELLO_BYTES_MAX])
{
    memset(target, 0, HELLO_FIXED_BYTES);
    memcpy(target, MAGIC, sizeof MAGIC);
    store_u16(target + 8, hello->version_min);
    store_u16(target + 10, hello->version_max);
    store_u16(target + 12, hello->lane);
    store_u16(target + 14, hello->lane_count);
    store_u64(target + 16, hello->features);
    memcpy(target + 24, hello->identity.cluster_id, TRANSPORT_CLUSTER_ID_BYTES);
    store_u64(target + 40, hello->identity.node_id);
    store_u64(target + 48, hello->incarnation);
    target[56] = (uint8_t)hello->kind;
    uint8_t *end = store_text(target + HELLO_FIXED_BYTES, hello->name);
    end = store_text(end, hello->expected_name);
    end = store_text(end, hello->address);
    return (size_t)(end - target);
}

static struct text read_text(struct byte_reader *reader)
{
    size_t size = byte_reader_u8(reader);
    return (struct text){.data = (const char *)byte_reader_take(reader, size), .size = size};
}

enum error_code hello_decode(const uint8_t *bytes, size_t size, struct hello *hello_out,
                             struct error *error)
{
    if (size < sizeof MAGIC || memcmp(bytes, MAGIC, sizeof MAGIC) != 0)
        return error_set(error, ERROR_INVALID, "hello: not a node of Gnomon");
    if (size < HELLO_FIXED_BYTES)
        return error_set(error, ERROR_CORRUPT, "hello: %zu bytes", size);
    struct hello hello = {
        .version_min = load_u16(bytes + 8),
        .version_max = load_u16(bytes + 10),
        .lane = load_u16(bytes + 12),
        .lane_count = load_u16(bytes + 14),
        .features = load_u64(bytes + 16),
        .identity.node_id = load_u64(bytes + 40),
        .incarnation = load_u64(bytes + 48),
        .kind = bytes[56],
    };
    memcpy(hello.identity.cluster_id, bytes + 24, TRANSPORT_CLUSTER_ID_BYTES);
    struct byte_reader reader =
        byte_reader_over(bytes + HELLO_FIXED_BYTES, size - HELLO_FIXED_BYTES);
    hello.name = read_text(&reader);
    hello.expected_name = read_text(&reader);
    hello.address = read_text(&reader);
    if (reader.failed || !transport_name_is_valid(hello.name) ||
        (hello.expected_name.size > 0 && !transport_name_is_valid(hello.expected_name)) ||
        (hello.address.size > 0 && memchr(hello.address.data, 0, hello.address.size) != NULL))
        return error_set(error, ERROR_CORRUPT, "hello: malformed names");
    if (hello.version_min > hello.version_max || hello.lane_count == 0 ||
        hello.lane_count > NETWORK_LANES_MAX || hello.lane >= NETWORK_LANES_MAX ||
        bytes[56] > CONNECTION_BULK)
        return error_set(error, ERROR_CORRUPT, "hello: version, lane or kind");
    *hello_out = hello;
    return ERROR_NONE;
}

/* --- Refusals ------------------------------------------------------------------------------ */

size_t refusal_encode(enum refusal reason, struct text text, uint8_t target[REFUSAL_BYTES_MAX])
{
    if (text.size > REFUSAL_TEXT_BYTES_MAX)
        text.size = REFUSAL_TEXT_BYTES_MAX;
    store_u16(target, (uint16_t)reason);
    memcpy(target + 2, text.data, text.size);
    return 2 + text.size;
}

enum error_code refusal_decode(const uint8_t *bytes, size_t size, enum refusal *reason_out,
                               struct text *text_out, struct error *error)
{
    if (size < 2 || size > REFUSAL_BYTES_MAX)
        return error_set(error, ERROR_CORRUPT, "refusal: %zu bytes", size);
    uint16_t reason = load_u16(bytes);
    *reason_out = reason >= 1 && reason <= REFUSED_PROTOCOL ? reason : REFUSED_PROTOCOL;
    *text_out = (struct text){.data = (const char *)bytes + 2, .size = size - 2};
    return ERROR_NONE;
}

/* --- Requests ------------------------------------------------------------------------------ */

void request_head_encode(const struct request_head *head, uint8_t target[REQUEST_HEAD_BYTES])
{
    store_u64(target, head->timeout_ms);
    store_u32(target + 8, head->window_bytes);
    store_u32(target + 12, 0);
}

enum error_code request_head_decode(const uint8_t *bytes, size_t size,
                                    struct request_head *head_out, struct error *error)
{
    if (size < REQUEST_HEAD_BYTES)
        return error_set(error, ERROR_CORRUPT, "request: %zu bytes", size);
    *head_out = (struct request_head){
        .timeout_ms = load_u64(bytes),
        .window_bytes = load_u32(bytes + 8),
    };
    return ERROR_NONE;
}

size_t end_encode(const struct error *end, uint8_t target[END_BYTES_MAX])
{
    size_t size = end->code == ERROR_NONE ? 0 : strnlen(end->message, ERROR_MESSAGE_MAX - 1);
    store_u16(target, (uint16_t)end->code);
    memcpy(target + 2, end->message, size);
    return 2 + size;
}

enum error_code end_decode(const uint8_t *bytes, size_t size, struct error *end_out,
                           struct error *error)
{
    if (size < 2 || size - 2 >= ERROR_MESSAGE_MAX)
        return error_set(error, ERROR_CORRUPT, "end: %zu bytes", size);
    uint16_t code = load_u16(bytes);
    end_out->code = code < ERROR_CODES ? code : ERROR_UNAVAILABLE;
    memcpy(end_out->message, bytes + 2, size - 2);
    end_out->message[size - 2] = '\0';
    return ERROR_NONE;
}
