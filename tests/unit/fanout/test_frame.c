/* Frames, however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "frame.h"

static void frames_come_back_however_they_are_cut(void **state)
{
    (void)state;
    struct byte_buffer buffer = {0};
    struct frame_shard shard = {.shard_id = 4095, .status = FRAME_STATUS_UNREADABLE, .leader = 9};
    struct frame_shard_end end = {.shard_id = 1, .truncated = true, .version = UINT64_MAX};
    frame_shard_encode(&buffer, &shard);
    frame_end(&buffer, frame_begin(&buffer, FRAME_ALIVE));
    size_t begun = frame_begin(&buffer, FRAME_DATA);
    byte_buffer_append(&buffer, "payload", 7);
    frame_end(&buffer, begun);
    frame_shard_end_encode(&buffer, &end);
    for (size_t cut = 1; cut <= buffer.size; cut++) {
        struct arena *arena = arena_create(0);
        struct frame_reader reader = {0};
        struct frame frames[4];
        size_t count = 0;
        for (size_t at = 0; at < buffer.size;) {
            size_t left = buffer.size - at, taken;
            struct error error;
            bool is_complete;
            assert_true(count < 4);
            assert_int_equal(frame_reader_feed(&reader, arena, buffer.bytes + at,
                                               left < cut ? left : cut, &taken, &frames[count],
                                               &is_complete, &error),
                             ERROR_NONE);
            at += taken;
            count += is_complete;
        }
        struct frame_shard shard_read;
        struct frame_shard_end end_read;
        struct error error;
        assert_int_equal(count, 4);
        assert_true(frame_reader_is_between(&reader));
        assert_int_equal(frame_shard_decode(frames[0].payload, frames[0].size, &shard_read, &error),
                         ERROR_NONE);
        assert_int_equal(shard_read.shard_id, 4095);
        assert_int_equal(shard_read.status, FRAME_STATUS_UNREADABLE);
        assert_int_equal(shard_read.leader, 9);
        assert_int_equal(frames[1].type, FRAME_ALIVE);
        assert_int_equal(frames[1].size, 0);
        assert_int_equal(frames[2].size, 7);
        assert_memory_equal(frames[2].payload, "payload", 7);
        assert_int_equal(
            frame_shard_end_decode(frames[3].payload, frames[3].size, &end_read, &error),
            ERROR_NONE);
        assert_true(end_read.truncated && !end_read.damaged);
        assert_true(end_read.version == UINT64_MAX);
        arena_destroy(arena);
    }
    byte_buffer_clear(&buffer);
}

static enum error_code feed(const uint8_t *bytes, size_t size, struct arena *arena)
{
    struct frame_reader reader = {0};
    struct frame frame;
    struct error error;
    size_t taken;
    bool is_complete;
    return frame_reader_feed(&reader, arena, bytes, size, &taken, &frame, &is_complete, &error);
}

static void heads_that_no_writer_makes_are_refused(void **state)
{
    (void)state;
    static const uint8_t UNKNOWN[] = {0, 0, 0, 0, 6}, NONE[] = {0, 0, 0, 0, 0};
    static const uint8_t LARGE[] = {1, 0, 0, 0x10, FRAME_DATA};
    static const uint8_t LARGEST[] = {0, 0, 0, 0x10, FRAME_DATA};
    struct arena *arena = arena_create(1024 * 1024);
    assert_int_equal(feed(UNKNOWN, 5, arena), ERROR_UNSUPPORTED);
    assert_int_equal(feed(NONE, 5, arena), ERROR_UNSUPPORTED);
    assert_int_equal(feed(LARGE, 5, arena), ERROR_CORRUPT);
    assert_int_equal(feed(LARGEST, 5, arena), ERROR_OUT_OF_MEMORY); /* more than may be had */
    arena_destroy(arena);
}

static void payloads_about_shards_are_checked(void **state)
{
    (void)state;
    struct frame_shard shard;
    struct frame_shard_end end;
    struct error error;
#define SHARD(literal)                                                                             \
    frame_shard_decode((const uint8_t *)literal, sizeof literal - 1, &shard, &error)
#define END(literal)                                                                               \
    frame_shard_end_decode((const uint8_t *)literal, sizeof literal - 1, &end, &error)
    assert_int_equal(SHARD("\1\0\2"), ERROR_NONE);
    assert_int_equal(SHARD("\1\0"), ERROR_CORRUPT);
    assert_int_equal(SHARD("\1\0\2\0"), ERROR_CORRUPT);
    assert_int_equal(SHARD("\x80\x20\0\2"), ERROR_CORRUPT);
    assert_int_equal(SHARD("\1\3\2"), ERROR_NONE);
    assert_int_equal(shard.status, FRAME_STATUS_SPLIT);
    assert_int_equal(SHARD("\1\3\0"), ERROR_CORRUPT);
    assert_int_equal(SHARD("\1\3\x80\x20"), ERROR_CORRUPT);
    assert_int_equal(SHARD("\1\4\2"), ERROR_UNSUPPORTED);
    assert_int_equal(END("\1\3\2"), ERROR_NONE);
    assert_int_equal(END("\1\3"), ERROR_CORRUPT);
    assert_int_equal(END("\1\3\2\2"), ERROR_CORRUPT);
    assert_int_equal(END("\1\4\2"), ERROR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_back_however_they_are_cut),
        cmocka_unit_test(heads_that_no_writer_makes_are_refused),
        cmocka_unit_test(payloads_about_shards_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
