/* What a backup names, as bytes and in a store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backup/backup_point.h"
#include "simulated_scheduler.h"
#include "simulated_store.h"

static struct backup_shard shards[] = {
    {.list = {0, 1, 90}}, {{1, 1, 7}, true, {1, 1, 5}}, {.list = {5, 2, 1234567}}};

static struct backup_point point_make(void)
{
    struct backup_point point = {
        .time_ms = 1795370364123,
        .incarnation = 2,
        .has_meta = true,
        .meta = {2, 17},
        .shards = shards,
        .shard_count = 3,
        .blocks = 12,
        .bytes = UINT64_MAX,
        .samples = 34,
    };
    for (uint8_t i = 0; i < BUCKET_OWNER_BYTES; i++)
        point.owner[i] = (uint8_t)(i * 17);
    return point;
}

static struct byte_buffer encoded(const struct backup_point *point)
{
    struct byte_buffer bytes = {0};
    backup_point_encode(point, &bytes);
    assert_false(bytes.failed);
    return bytes;
}

static void a_point_comes_back(void **state)
{
    (void)state;
    for (int has_meta = 0; has_meta < 2; has_meta++) {
        struct backup_point point = point_make(), found;
        struct error error;
        point.has_meta = has_meta == 1;
        struct byte_buffer bytes = encoded(&point);
        assert_int_equal(backup_point_decode(bytes.bytes, bytes.size, &found, &error), ERROR_NONE);
        assert_int_equal(found.time_ms, point.time_ms);
        assert_memory_equal(found.owner, point.owner, BUCKET_OWNER_BYTES);
        assert_int_equal(found.incarnation, 2);
        assert_int_equal(found.has_meta, point.has_meta);
        if (found.has_meta)
            assert_int_equal(found.meta.index, 17);
        assert_int_equal(found.shard_count, 3);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(found.shards[i].list.shard_id, shards[i].list.shard_id);
            assert_int_equal(found.shards[i].list.index, shards[i].list.index);
            assert_int_equal(found.shards[i].has_metadata, i == 1);
        }
        assert_int_equal(found.shards[1].metadata.index, 5);
        assert_true(found.bytes == UINT64_MAX && found.blocks == 12 && found.samples == 34);
        backup_point_clear(&found);
        byte_buffer_clear(&bytes);
    }
}

static void every_bit_that_changes_is_seen(void **state)
{
    (void)state;
    struct backup_point point = point_make(), found;
    struct byte_buffer bytes = encoded(&point);
    struct error error;
    for (size_t i = 0; i < bytes.size; i++) {
        assert_int_equal(backup_point_decode(bytes.bytes, i, &found, &error), ERROR_CORRUPT);
        for (int bit = 0; bit < 8; bit++) {
            bytes.bytes[i] ^= (uint8_t)(1 << bit);
            assert_int_equal(backup_point_decode(bytes.bytes, bytes.size, &found, &error),
                             ERROR_CORRUPT);
            bytes.bytes[i] ^= (uint8_t)(1 << bit);
        }
    }
    byte_buffer_clear(&bytes);
}

/* Also with a checksum that fits. */
static void lists_out_of_order_are_refused(void **state)
{
    (void)state;
    struct backup_shard wrong[2][2] = {{{.list = {1, 1, 7}}, {.list = {1, 1, 8}}},
                                       {{.list = {1, 1, 7}}, {{2, 1, 8}, true, {3, 1, 8}}}};
    for (int i = 0; i < 2; i++) {
        struct backup_point point = point_make(), found;
        struct error error;
        point.shards = wrong[i];
        point.shard_count = 2;
        struct byte_buffer bytes = encoded(&point);
        assert_int_equal(backup_point_decode(bytes.bytes, bytes.size, &found, &error),
                         ERROR_CORRUPT);
        byte_buffer_clear(&bytes);
    }
}

static void names_are_times(void **state)
{
    (void)state;
    static const char *const WRONG[] = {
        "points/",
        "points/000001a2059a5d1",
        "points/000001A2059A5D1B",
        "points/ffffffffffffffff",
        "points/000001a2059a5d1b0",
        "point/000001a2059a5d1b0",
    };
    char text[BUCKET_KEY_MAX];
    int64_t time_ms;
    struct text key = backup_point_key_format(1795370364123, text);
    assert_true(backup_point_key_parse(key, &time_ms));
    assert_int_equal(time_ms, 1795370364123);
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        assert_false(backup_point_key_parse(text_of(WRONG[i]), &time_ms));
}

static void points_of_a_store_are_listed_by_age(void **state)
{
    (void)state;
    struct simulated_clock clock;
    struct simulated_store store;
    struct error error;
    struct backup_point found;
    int64_t *times;
    size_t count;
    char text[BUCKET_KEY_MAX];
    simulated_clock_init(&clock);
    simulated_store_init(&store, &clock.base, 3);
    assert_int_equal(object_store_put(&store.base, NULL, TEXT("points/other"), "x", 1, &error),
                     ERROR_NONE);
    for (int i = 2; i >= 0; i--) {
        struct backup_point point = point_make();
        point.time_ms += i;
        struct byte_buffer bytes = encoded(&point);
        assert_int_equal(object_store_put(&store.base, NULL,
                                          backup_point_key_format(point.time_ms, text), bytes.bytes,
                                          bytes.size, &error),
                         ERROR_NONE);
        byte_buffer_clear(&bytes);
    }
    assert_int_equal(backup_points_list(&store.base, &times, &count, &error), ERROR_NONE);
    assert_int_equal(count, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(times[i], 1795370364123 + i);
    assert_int_equal(backup_point_read(&store.base, times[1], &found, &error), ERROR_NONE);
    assert_int_equal(found.shard_count, 3);
    backup_point_clear(&found);
    /* Under another's name it is none. */
    struct backup_point point = point_make();
    struct byte_buffer bytes = encoded(&point);
    assert_int_equal(object_store_put(&store.base, NULL, backup_point_key_format(times[2], text),
                                      bytes.bytes, bytes.size, &error),
                     ERROR_NONE);
    assert_int_equal(backup_point_read(&store.base, times[2], &found, &error), ERROR_CORRUPT);
    byte_buffer_clear(&bytes);
    free(times);
    simulated_store_clear(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_point_comes_back),
        cmocka_unit_test(every_bit_that_changes_is_seen),
        cmocka_unit_test(lists_out_of_order_are_refused),
        cmocka_unit_test(names_are_times),
        cmocka_unit_test(points_of_a_store_are_listed_by_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
