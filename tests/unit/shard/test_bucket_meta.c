/* The meta object: what is encoded comes back, and nothing else is taken for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "platform/random.h"
#include "shard/bucket_meta.h"

enum { HEADER_BYTES = 21, FORMAT_AT = 4 };

static struct byte_buffer meta_make(void)
{
    struct bucket_meta_setting settings[] = {
        {TEXT("red"), TEXT("limit"), TEXT("100")},
        {TEXT("red"), TEXT("rules"), TEXT("groups: []")},
    };
    struct bucket_meta meta = {
        .key = {3, 77},
        .replication = 3,
        .spread = 4,
        .settings = settings,
        .setting_count = 2,
    };
    struct byte_buffer bytes = {0};
    slot_map_init(&meta.slots, 3);
    for (size_t slot = 100; slot < 200; slot++)
        meta.slots.shards[slot] = 3;
    meta.slots.shard_count = 4;
    for (size_t i = 0; i < 3; i++)
        meta.parents[i] = BUCKET_META_NO_PARENT;
    bucket_meta_encode(&meta, &bytes);
    assert_false(bytes.failed);
    return bytes;
}

static void seal(uint8_t *bytes, size_t size)
{
    struct hash128 hash = hash128(bytes + HEADER_BYTES, size - HEADER_BYTES, HASH_SEED_STORED);
    store_u64(bytes + 5, hash.low);
    store_u64(bytes + 13, hash.high);
}

static void slots_parents_and_settings_come_back(void **state)
{
    (void)state;
    struct byte_buffer bytes = meta_make(), again = {0};
    struct bucket_meta meta;
    struct error error;
    assert_int_equal(bucket_meta_decode(bytes.bytes, bytes.size, &meta, &error), ERROR_NONE);
    assert_int_equal(meta.key.incarnation, 3);
    assert_int_equal(meta.key.index, 77);
    assert_int_equal(meta.replication, 3);
    assert_int_equal(meta.spread, 4);
    assert_int_equal(meta.slots.shard_count, 4);
    assert_int_equal(meta.slots.shards[99], 0);
    assert_int_equal(meta.slots.shards[100], 3);
    assert_int_equal(meta.slots.shards[SLOT_COUNT - 1], 2);
    assert_int_equal(meta.parents[2], BUCKET_META_NO_PARENT);
    assert_int_equal(meta.parents[3], 0);
    assert_int_equal(meta.setting_count, 2);
    assert_true(text_equal(meta.settings[1].tenant, TEXT("red")));
    assert_true(text_equal(meta.settings[1].key, TEXT("rules")));
    assert_true(text_equal(meta.settings[1].value, TEXT("groups: []")));
    bucket_meta_encode(&meta, &again);
    assert_int_equal(again.size, bytes.size);
    assert_memory_equal(again.bytes, bytes.bytes, bytes.size);
    bucket_meta_clear(&meta);
    byte_buffer_clear(&again);
    byte_buffer_clear(&bytes);
}

static void no_damage_goes_unseen(void **state)
{
    (void)state;
    struct byte_buffer bytes = meta_make();
    struct bucket_meta meta;
    struct error error;
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(bucket_meta_decode(bytes.bytes, size, &meta, &error), ERROR_CORRUPT);
    for (size_t i = 0; i < bytes.size; i++) {
        bytes.bytes[i] ^= 0x11;
        assert_int_equal(bucket_meta_decode(bytes.bytes, bytes.size, &meta, &error),
                         i == FORMAT_AT ? ERROR_UNSUPPORTED : ERROR_CORRUPT);
        bytes.bytes[i] ^= 0x11;
    }
    byte_buffer_clear(&bytes);
}

/* A good checksum does not prove a sane writer. */
static void every_shard_has_a_slot_and_a_lower_parent_whatever_is_read(void **state)
{
    (void)state;
    struct random_generator random;
    struct byte_buffer bytes = meta_make();
    uint8_t *other = malloc(bytes.size);
    size_t taken = 0;
    assert_non_null(other);
    random_generator_init(&random, 11);
    for (int round = 0; round < 20000; round++) {
        struct bucket_meta meta;
        struct error error;
        memcpy(other, bytes.bytes, bytes.size);
        for (uint32_t i = 0; i < 1 + random_below(&random.base, 3); i++)
            other[HEADER_BYTES + random_below(&random.base, (uint32_t)bytes.size - HEADER_BYTES)] =
                (uint8_t)random_below(&random.base, 8);
        seal(other, bytes.size);
        if (bucket_meta_decode(other, bytes.size, &meta, &error) != ERROR_NONE)
            continue;
        taken++;
        for (uint32_t shard = 0; shard < meta.slots.shard_count; shard++) {
            size_t slots = 0;
            for (size_t slot = 0; slot < SLOT_COUNT; slot++)
                slots += meta.slots.shards[slot] == shard;
            assert_true(slots > 0);
            assert_true(meta.parents[shard] == BUCKET_META_NO_PARENT ||
                        meta.parents[shard] < shard);
        }
        bucket_meta_clear(&meta);
    }
    assert_true(taken > 0);
    free(other);
    byte_buffer_clear(&bytes);
}

static void keys_are_in_the_order_of_their_age(void **state)
{
    (void)state;
    char text[BUCKET_KEY_MAX], later[BUCKET_KEY_MAX];
    const struct bucket_meta_key key = {2, 0xabc}, next = {0x10, 1};
    struct bucket_meta_key back;
    struct text formatted = bucket_meta_key_format(&key, text);
    assert_string_equal(text, "meta/0000000000000002-0000000000000abc");
    assert_true(bucket_meta_key_parse(formatted, &back));
    assert_int_equal(back.incarnation, 2);
    assert_int_equal(back.index, 0xabc);
    assert_true(text_compare(formatted, bucket_meta_key_format(&next, later)) < 0);
    for (size_t size = 0; size < formatted.size; size++)
        assert_false(bucket_meta_key_parse((struct text){text, size}, &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_parents_and_settings_come_back),
        cmocka_unit_test(no_damage_goes_unseen),
        cmocka_unit_test(every_shard_has_a_slot_and_a_lower_parent_whatever_is_read),
        cmocka_unit_test(keys_are_in_the_order_of_their_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
