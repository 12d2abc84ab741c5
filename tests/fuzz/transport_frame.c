/*
 * Bytes from another node: frames, what they are put together to, and what is inside of those of
 * the transport itself. What decodes must encode to the same. The first byte chooses whether the
 * checksums are made right first, so that the parser behind them is reached.
 */
#include <stdlib.h>
#include <string.h>

#include "../../cluster/transport/assembly.h"
#include "base/bytes.h"
#include "base/checksum.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { MESSAGE_BYTES_MAX = 1024 * 1024 };

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Put the checksum that fits into each frame that is there. */
static void mend(uint8_t *bytes, size_t size)
{
    for (size_t at = 0; size - at >= FRAME_HEADER_BYTES;) {
        size_t payload_bytes = load_u32(bytes + at);
        if (payload_bytes > size - at - FRAME_HEADER_BYTES)
            return;
        uint32_t checksum = crc32c(0, bytes + at, 24);
        checksum = crc32c(checksum, bytes + at + FRAME_HEADER_BYTES, payload_bytes);
        store_u32(bytes + at + 24, checksum);
        at += FRAME_HEADER_BYTES + payload_bytes;
    }
}

static void take_hello(const struct frame *frame)
{
    struct hello hello, again;
    struct error error;
    uint8_t encoded[HELLO_BYTES_MAX];
    if (hello_decode(frame->payload, frame->payload_bytes, &hello, &error) != ERROR_NONE)
        return;
    size_t size = hello_encode(&hello, encoded);
    require(size <= HELLO_BYTES_MAX);
    require(hello_decode(encoded, size, &again, &error) == ERROR_NONE);
    require(text_equal(hello.name, again.name) && text_equal(hello.address, again.address));
    require(text_equal(hello.expected_name, again.expected_name));
    require(hello.lane == again.lane && hello.kind == again.kind);
    require(memcmp(&hello.identity, &again.identity, sizeof hello.identity) == 0);
}

static void take_refusal(const struct frame *frame)
{
    enum refusal reason;
    struct text text;
    struct error error;
    uint8_t encoded[REFUSAL_BYTES_MAX];
    if (refusal_decode(frame->payload, frame->payload_bytes, &reason, &text, &error) == ERROR_NONE)
        require(refusal_encode(reason, text, encoded) == frame->payload_bytes);
}

static void take_end(const struct frame *frame)
{
    struct error end, error;
    if (end_decode(frame->payload, frame->payload_bytes, &end, &error) == ERROR_NONE)
        require(end.code < ERROR_CODES && strlen(end.message) < sizeof end.message);
}

static bool take_part(struct assembly *assemblies, const struct frame *frame)
{
    struct assembled assembled;
    struct error error;
    if (assembly_take(&assemblies[frame->class], frame, MESSAGE_BYTES_MAX, &assembled, &error) !=
        ERROR_NONE)
        return false;
    if (!assembled.is_complete)
        return true;
    require(assembled.size <= MESSAGE_BYTES_MAX);
    struct request_head head;
    if (frame->type == FRAME_REQUEST &&
        request_head_decode(assembled.bytes, assembled.size, &head, &error) == ERROR_NONE)
        require(assembled.size >= REQUEST_HEAD_BYTES);
    volatile uint32_t sum = crc32c(0, assembled.bytes, assembled.size); /* all of it is there */
    (void)sum;
    shared_bytes_unref(assembled.whole);
    return true;
}

static void check_encoding(const struct frame *frame, const uint8_t *bytes)
{
    uint8_t header[FRAME_HEADER_BYTES];
    struct frame_part part = {frame->payload, frame->payload_bytes};
    frame_encode(frame, &part, 1, header);
    require(memcmp(header, bytes, sizeof header) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_bytes)
{
    if (input_bytes < 1)
        return 0;
    size_t size = input_bytes - 1;
    uint8_t *bytes = malloc(size + 1);
    memcpy(bytes, input + 1, size);
    if (input[0] % 2 == 0)
        mend(bytes, size);
    struct assembly assemblies[TRANSPORT_CLASSES] = {0};
    for (size_t position = 0;;) {
        struct frame frame;
        struct error error;
        size_t frame_bytes;
        if (frame_decode(bytes + position, size - position, &frame, &frame_bytes, &error) !=
                ERROR_NONE ||
            frame_bytes == 0)
            break;
        check_encoding(&frame, bytes + position);
        position += frame_bytes;
        bool goes_on = true;
        if (frame.type == FRAME_HELLO)
            take_hello(&frame);
        else if (frame.type == FRAME_REFUSED)
            take_refusal(&frame);
        else if (frame.type == FRAME_END)
            take_end(&frame);
        else if (frame.type == FRAME_MESSAGE || frame.type == FRAME_REQUEST)
            goes_on = take_part(assemblies, &frame);
        if (!goes_on)
            break;
    }
    for (size_t i = 0; i < TRANSPORT_CLASSES; i++)
        assembly_clear(&assemblies[i]);
    free(bytes);
    return 0;
}
