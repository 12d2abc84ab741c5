#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../../../cluster/transport/assembly.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "platform/network.h"

static uint8_t wire[FRAME_BYTES_MAX];

static size_t encode(const struct frame *frame)
{
    struct frame_part part = {frame->payload, frame->payload_bytes};
    frame_encode(frame, &part, 1, wire);
    if (frame->payload_bytes > 0)
        memcpy(wire + FRAME_HEADER_BYTES, frame->payload, frame->payload_bytes);
    return FRAME_HEADER_BYTES + frame->payload_bytes;
}

static const uint8_t BYTES[] = "some bytes";

static const struct frame MESSAGE = {
    .type = FRAME_MESSAGE,
    .class = TRANSPORT_APPEND,
    .flags = FRAME_FIRST | FRAME_LAST,
    .kind = 7,
    .id = 0x123456789abcdef,
    .message_bytes = sizeof BYTES,
    .payload = BYTES,
    .payload_bytes = sizeof BYTES,
};

static enum error_code decode(size_t size, struct frame *frame, size_t *frame_bytes)
{
    struct error error;
    return frame_decode(wire, size, frame, frame_bytes, &error);
}

/* --- Frames -------------------------------------------------------------------------------- */

static void a_frame_comes_back_as_it_was(void **state)
{
    (void)state;
    struct frame frame;
    size_t frame_bytes;
    size_t size = encode(&MESSAGE);
    assert_int_equal(decode(size, &frame, &frame_bytes), ERROR_NONE);
    assert_int_equal(frame_bytes, size);
    assert_int_equal(frame.type, FRAME_MESSAGE);
    assert_int_equal(frame.class, TRANSPORT_APPEND);
    assert_int_equal(frame.kind, 7);
    assert_true(frame.id == MESSAGE.id);
    assert_int_equal(frame.message_bytes, sizeof BYTES);
    assert_memory_equal(frame.payload, BYTES, sizeof BYTES);
}

static void a_frame_that_is_not_all_there_waits(void **state)
{
    (void)state;
    struct frame frame;
    size_t frame_bytes;
    size_t size = encode(&MESSAGE);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(decode(cut, &frame, &frame_bytes), ERROR_NONE);
        assert_int_equal(frame_bytes, 0);
    }
}

static void every_changed_bit_is_noticed(void **state)
{
    (void)state;
    struct frame frame;
    size_t frame_bytes;
    size_t size = encode(&MESSAGE);
    for (size_t bit = 0; bit < size * 8; bit++) {
        wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
        /* A length that grew waits for bytes that would not fit either. */
        enum error_code code = decode(size, &frame, &frame_bytes);
        assert_true(code != ERROR_NONE || frame_bytes == 0);
        wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void what_this_build_does_not_know_is_refused_before_its_payload(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
        enum error_code code;
    } WRONG[] = {
        {2, 2, ERROR_LIMIT},                 /* 128 KiB */
        {4, 0, ERROR_UNSUPPORTED},           /* types */
        {4, FRAME_TYPES, ERROR_UNSUPPORTED}, /* of the future */
        {5, TRANSPORT_CLASSES, ERROR_UNSUPPORTED},
        {6, 0x80, ERROR_UNSUPPORTED}, /* flags */
        {18, 1, ERROR_UNSUPPORTED},
    };
    struct frame frame;
    size_t frame_bytes;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        encode(&MESSAGE);
        wire[WRONG[i].at] = WRONG[i].value;
        assert_int_equal(decode(FRAME_HEADER_BYTES, &frame, &frame_bytes), WRONG[i].code);
    }
}

/* --- Hello --------------------------------------------------------------------------------- */

static struct hello hello_make(void)
{
    return (struct hello){
        .version_min = 1,
        .version_max = 3,
        .features = 5,
        .identity = {.cluster_id = {1, 2, 3}, .node_id = 9},
        .incarnation = 77,
        .lane = 2,
        .lane_count = 4,
        .kind = CONNECTION_BULK,
        .name = TEXT("node-1"),
        .expected_name = TEXT("node-2"),
        .address = TEXT("node-1.example:9300"),
    };
}

static void a_hello_comes_back_as_it_was(void **state)
{
    (void)state;
    uint8_t bytes[HELLO_BYTES_MAX + 10];
    struct hello hello = hello_make(), again;
    struct error error;
    size_t size = hello_encode(&hello, bytes);
    /* Fields that a newer version appends are left alone. */
    for (size_t extra = 0; extra < 10; extra++) {
        assert_int_equal(hello_decode(bytes, size + extra, &again, &error), ERROR_NONE);
        assert_int_equal(again.version_max, 3);
        assert_int_equal(again.features, 5);
        assert_memory_equal(&again.identity, &hello.identity, sizeof hello.identity);
        assert_int_equal(again.incarnation, 77);
        assert_int_equal(again.lane, 2);
        assert_int_equal(again.lane_count, 4);
        assert_int_equal(again.kind, CONNECTION_BULK);
        assert_true(text_equal(again.name, hello.name));
        assert_true(text_equal(again.expected_name, hello.expected_name));
        assert_true(text_equal(again.address, hello.address));
    }
    for (size_t cut = 0; cut < size; cut++)
        assert_int_not_equal(hello_decode(bytes, cut, &again, &error), ERROR_NONE);
}

static void a_hello_of_something_else_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[HELLO_BYTES_MAX];
    struct hello hello, again;
    struct error error;
    hello = hello_make();
    size_t size = hello_encode(&hello, bytes);
    bytes[0] ^= 1;
    assert_int_equal(hello_decode(bytes, size, &again, &error), ERROR_INVALID);
    for (int i = 0; i < 5; i++) {
        hello = hello_make();
        if (i == 0)
            hello.name = TEXT("");
        else if (i == 1)
            hello.name = TEXT("with space");
        else if (i == 2)
            hello.lane_count = 0;
        else if (i == 3)
            hello.version_min = 4;
        else
            hello.lane = NETWORK_LANES_MAX;
        size = hello_encode(&hello, bytes);
        assert_int_equal(hello_decode(bytes, size, &again, &error), ERROR_CORRUPT);
    }
}

/* --- Messages put together ----------------------------------------------------------------- */

static struct assembly assembly;
static struct assembled assembled;

static enum error_code take(uint16_t flags, uint64_t id, uint32_t message_bytes,
                            uint32_t payload_bytes)
{
    static const uint8_t PAYLOAD[100];
    struct error error;
    struct frame frame = {
        .type = FRAME_MESSAGE,
        .class = TRANSPORT_APPEND,
        .flags = flags,
        .id = id,
        .message_bytes = message_bytes,
        .payload = PAYLOAD,
        .payload_bytes = payload_bytes,
    };
    return assembly_take(&assembly, &frame, 1000, &assembled, &error);
}

static void frames_that_do_not_follow_are_refused(void **state)
{
    (void)state;
    assert_int_equal(take(0, 1, 0, 10), ERROR_CORRUPT); /* no beginning */
    assert_int_equal(take(FRAME_FIRST, 1, 1001, 10), ERROR_LIMIT);
    assert_int_equal(take(FRAME_FIRST | FRAME_LAST, 1, 20, 10), ERROR_CORRUPT);
    assert_int_equal(take(FRAME_FIRST, 1, 10, 10), ERROR_CORRUPT); /* it is whole */
    assert_int_equal(take(FRAME_FIRST, 1, 10, 20), ERROR_CORRUPT);

    assert_int_equal(take(FRAME_FIRST, 1, 100, 40), ERROR_NONE);
    assert_false(assembled.is_complete);
    assert_int_equal(take(FRAME_FIRST, 2, 100, 40), ERROR_CORRUPT); /* within another */
    assert_int_equal(take(0, 2, 0, 10), ERROR_CORRUPT);
    assert_int_equal(take(0, 1, 0, 0), ERROR_CORRUPT);
    assert_int_equal(take(0, 1, 0, 61), ERROR_CORRUPT);
    assert_int_equal(take(FRAME_LAST, 1, 0, 59), ERROR_CORRUPT);
    assert_int_equal(take(0, 1, 0, 60), ERROR_CORRUPT);
    assert_int_equal(take(0, 1, 0, 20), ERROR_NONE);
    assert_int_equal(take(FRAME_LAST, 1, 0, 40), ERROR_NONE);
    assert_true(assembled.is_complete);
    assert_int_equal(assembled.size, 100);
    shared_bytes_unref(assembled.whole);

    assert_int_equal(take(FRAME_FIRST, 1, 100, 40), ERROR_NONE);
    assembly_clear(&assembly);
}

static void refusals_and_ends_come_back(void **state)
{
    (void)state;
    uint8_t bytes[END_BYTES_MAX];
    struct error end, again, error;
    enum refusal reason;
    struct text text;
    size_t size = refusal_encode(REFUSED_CLUSTER, TEXT("another cluster"), bytes);
    assert_int_equal(refusal_decode(bytes, size, &reason, &text, &error), ERROR_NONE);
    assert_int_equal(reason, REFUSED_CLUSTER);
    assert_true(text_equal(text, TEXT("another cluster")));
    store_u16(bytes, 999); /* of a newer build */
    assert_int_equal(refusal_decode(bytes, size, &reason, &text, &error), ERROR_NONE);
    assert_int_equal(reason, REFUSED_PROTOCOL);
    assert_int_equal(refusal_decode(bytes, 1, &reason, &text, &error), ERROR_CORRUPT);

    error_set(&end, ERROR_CONFLICT, "no");
    size = end_encode(&end, bytes);
    assert_int_equal(end_decode(bytes, size, &again, &error), ERROR_NONE);
    assert_int_equal(again.code, ERROR_CONFLICT);
    assert_string_equal(again.message, "no");
    store_u16(bytes, 999);
    assert_int_equal(end_decode(bytes, size, &again, &error), ERROR_NONE);
    assert_int_equal(again.code, ERROR_UNAVAILABLE);
    assert_int_equal(end_decode(bytes, 0, &again, &error), ERROR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_comes_back_as_it_was),
        cmocka_unit_test(a_frame_that_is_not_all_there_waits),
        cmocka_unit_test(every_changed_bit_is_noticed),
        cmocka_unit_test(what_this_build_does_not_know_is_refused_before_its_payload),
        cmocka_unit_test(a_hello_comes_back_as_it_was),
        cmocka_unit_test(a_hello_of_something_else_is_refused),
        cmocka_unit_test(frames_that_do_not_follow_are_refused),
        cmocka_unit_test(refusals_and_ends_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
