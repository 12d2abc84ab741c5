#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash_stream.h"
#include "bucket_list_write.h"
#include "platform/random.h"
#include "shard/bucket_claim.h"
#include "shard/bucket_list.h"

/* --- Fixture --------------------------------------------------------------------------------- */

static struct bucket_object object_of(uint32_t shard_id, uint64_t index,
                                      enum bucket_object_state state)
{
    return (struct bucket_object){
        .shard_id = shard_id,
        .described = {.index = index,
                      .number = 2,
                      .window_start_ms = 1699999200000,
                      .window_end_ms = 1700006400000,
                      .stamp_ms = 1700007000000,
                      .summary = {.size_bytes = 900,
                                  .series_count = 3,
                                  .sample_count = 30 + index,
                                  .min_time_ms = 1699999200001,
                                  .max_time_ms = 1700006399999,
                                  .content_checksum = {7, 8}}},
        .size_bytes = 1000 + index,
        .hash = {index, ~index},
        .state = state,
        .stands_for = {index, 2},
        .condemned_index = state == OBJECT_LISTED ? 0 : 50,
        .released_ms = state == OBJECT_RELEASED ? 1700008000000 : 0,
    };
}

static struct bucket bucket_make(void)
{
    struct bucket bucket = {
        .changed_index = 60,
        .published = {3, 55},
        .published_ms = 1700009000000,
        .heirs = malloc(2 * sizeof *bucket.heirs),
        .heir_count = 2,
        .objects = malloc(4 * sizeof *bucket.objects),
        .object_count = 4,
    };
    assert_true(bucket.heirs != NULL && bucket.objects != NULL);
    bucket.heirs[0] = 9;
    bucket.heirs[1] = UINT32_MAX;
    bucket.objects[0] = object_of(7, 10, OBJECT_LISTED);
    bucket.objects[1] = object_of(7, 20, OBJECT_CONDEMNED);
    bucket.objects[2] = object_of(4, 30, OBJECT_LISTED);
    bucket.objects[3] = object_of(7, 40, OBJECT_RELEASED);
    return bucket;
}

static struct tombstones *tombstones_make(void)
{
    struct matcher *matcher;
    struct byte_buffer bytes = {0};
    struct tombstone tombstone;
    struct tombstones *tombstones;
    struct error error;
    assert_int_equal(matcher_create(MATCHER_REGEX, TEXT("job"), TEXT("a|b.*"), &matcher, &error),
                     ERROR_NONE);
    struct tombstone source = {.tenant = TEXT("anonymous"),
                               .start_ms = 5,
                               .end_ms = 1700000000000,
                               .matchers = &matcher,
                               .matcher_count = 1};
    tombstone_encode(&bytes, &source);
    matcher_destroy(matcher);
    struct byte_reader reader = byte_reader_over(bytes.bytes, bytes.size);
    assert_int_equal(tombstone_decode(&reader, &tombstone, &error), ERROR_NONE);
    byte_buffer_clear(&bytes);
    tombstone.index = 33;
    assert_int_equal(tombstones_add(NULL, &tombstone, &tombstones, &error), ERROR_NONE);
    return tombstones;
}

/* Of tenant "other" for 100 ms, of all others for ever, counted from 1000. */
static struct retention_cut cut_make(void)
{
    struct retention_rule *rules = calloc(1, sizeof *rules);
    struct retention_cut cut = {.at_ms = 1000};
    struct error error;
    assert_non_null(rules);
    rules[0].tenant = text_of(strdup("other"));
    rules[0].keep_ms = 100;
    assert_int_equal(retention_policy_create(RETENTION_FOR_EVER, rules, 1, &cut.policy, &error),
                     ERROR_NONE);
    return cut;
}

static struct byte_buffer list_make(void)
{
    struct bucket bucket = bucket_make();
    struct tombstones *tombstones = tombstones_make();
    struct slot_set slots = {0};
    struct byte_buffer bytes = {0};
    slot_set_add(&slots, 100, 50);
    struct retention_cut cut = cut_make();
    struct bucket_list_source source = {
        .key = {7, 3, 61},
        .retention_cutoff_ms = -5,
        .retention = &cut,
        .slots = &slots,
        .tombstones = tombstones,
        .bucket = &bucket,
    };
    bucket_list_encode(&source, &bytes);
    assert_false(bytes.failed);
    retention_cut_clear(&cut);
    tombstones_unref(tombstones);
    bucket_clear(&bucket);
    return bytes;
}

/* --- Lists ----------------------------------------------------------------------------------- */

static void a_list_has_what_is_listed_and_nothing_else(void **state)
{
    (void)state;
    struct byte_buffer bytes = list_make();
    struct bucket_list list;
    struct error error;
    assert_int_equal(bucket_list_decode(bytes.bytes, bytes.size, &list, &error), ERROR_NONE);
    assert_int_equal(list.key.shard_id, 7);
    assert_int_equal(list.key.incarnation, 3);
    assert_int_equal(list.key.index, 61);
    assert_int_equal(list.retention_cutoff_ms, -5);
    assert_int_equal(bucket_list_kept_from(&list, TEXT("other"), (struct labels){0}), 900);
    assert_int_equal(bucket_list_kept_from(&list, TEXT("anonymous"), (struct labels){0}), -5);
    assert_true(bucket_list_retains_by_series(&list, 899));
    assert_false(bucket_list_retains_by_series(&list, 900));
    assert_int_equal(slot_set_count(&list.slots), 50);
    assert_int_equal(list.heir_count, 2);
    assert_int_equal(list.heirs[1], UINT32_MAX);
    assert_int_equal(list.deletion_count, 1);
    assert_int_equal(list.deletions[0].index, 33);
    assert_int_equal(list.deletions[0].start_ms, 5);
    assert_true(text_equal(list.deletions[0].tenant, TEXT("anonymous")));
    assert_int_equal(list.deletions[0].matcher_count, 1);
    assert_int_equal(list.block_count, 2);
    assert_int_equal(list.blocks[0].key.shard_id, 7);
    assert_int_equal(list.blocks[0].key.index, 10);
    assert_int_equal(list.blocks[1].key.shard_id, 4);
    assert_int_equal(list.blocks[1].key.index, 30);
    assert_int_equal(list.blocks[1].key.number, 2);
    assert_true(hash128_equal(list.blocks[1].key.hash, (struct hash128){30, ~UINT64_C(30)}));
    assert_int_equal(list.blocks[1].size_bytes, 1030);
    assert_int_equal(list.blocks[1].summary.sample_count, 60);
    assert_int_equal(list.blocks[1].window_end_ms, 1700006400000);
    bucket_list_clear(&list);
    byte_buffer_clear(&bytes);
}

static void no_damage_of_a_list_goes_unseen(void **state)
{
    (void)state;
    struct byte_buffer bytes = list_make();
    struct bucket_list list;
    struct error error;
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(bucket_list_decode(bytes.bytes, size, &list, &error), ERROR_CORRUPT);
    for (size_t i = 0; i < bytes.size; i++) {
        bytes.bytes[i] ^= 0x11;
        assert_int_not_equal(bucket_list_decode(bytes.bytes, bytes.size, &list, &error),
                             ERROR_NONE);
        bytes.bytes[i] ^= 0x11;
    }
    bytes.bytes[4] = 9;
    assert_int_equal(bucket_list_decode(bytes.bytes, bytes.size, &list, &error), ERROR_UNSUPPORTED);
    byte_buffer_clear(&bytes);
}

/* A good checksum does not prove a sane writer. */
static void other_bytes_with_a_good_checksum_are_an_error_or_another_list(void **state)
{
    (void)state;
    enum { HEADER_BYTES = 21 };
    struct random_generator random;
    struct byte_buffer bytes = list_make();
    uint8_t *other = malloc(bytes.size);
    assert_non_null(other);
    random_generator_init(&random, 5);
    for (int round = 0; round < 20000; round++) {
        struct bucket_list list;
        struct error error;
        memcpy(other, bytes.bytes, bytes.size);
        for (uint32_t i = 0; i < 1 + random_below(&random.base, 3); i++)
            other[HEADER_BYTES + random_below(&random.base, (uint32_t)bytes.size - HEADER_BYTES)] =
                (uint8_t)random_next(&random.base);
        struct hash128 hash =
            hash128(other + HEADER_BYTES, bytes.size - HEADER_BYTES, HASH_SEED_STORED);
        store_u64(other + 5, hash.low);
        store_u64(other + 13, hash.high);
        if (bucket_list_decode(other, bytes.size, &list, &error) == ERROR_NONE)
            bucket_list_clear(&list);
    }
    free(other);
    byte_buffer_clear(&bytes);
}

/* --- State ----------------------------------------------------------------------------------- */

static void the_state_comes_back_as_it_was_encoded(void **state)
{
    (void)state;
    struct bucket bucket = bucket_make(), decoded;
    struct byte_buffer bytes = {0}, again = {0};
    struct error error;
    bucket_encode(&bucket, &bytes);
    struct byte_reader reader = byte_reader_over(bytes.bytes, bytes.size);
    assert_int_equal(bucket_decode(&reader, 60, &decoded, &error), ERROR_NONE);
    assert_int_equal(byte_reader_left(&reader), 0);
    bucket_encode(&decoded, &again);
    assert_int_equal(bytes.size, again.size);
    assert_memory_equal(bytes.bytes, again.bytes, bytes.size);
    assert_int_equal(decoded.objects[1].condemned_index, 50);
    assert_int_equal(decoded.objects[3].released_ms, 1700008000000);
    bucket_clear(&decoded);
    for (size_t size = 0; size < bytes.size; size++) {
        reader = byte_reader_over(bytes.bytes, size);
        assert_int_equal(bucket_decode(&reader, 60, &decoded, &error), ERROR_CORRUPT);
    }
    reader = byte_reader_over(bytes.bytes, bytes.size);
    assert_int_equal(bucket_decode(&reader, 59, &decoded, &error), ERROR_CORRUPT);
    byte_buffer_clear(&bytes);
    byte_buffer_clear(&again);
    bucket_clear(&bucket);
}

static const struct manifest_block *block_at(struct manifest_block *block, uint64_t index)
{
    *block = object_of(7, index, OBJECT_LISTED).described;
    return block;
}

static void the_first_object_of_a_block_counts_and_others_are_released(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    struct manifest_block block;
    struct error error;
    struct bucket_news news = {7, 100, 1000};
    struct bucket_upload upload = {{10, 2}, 50, {1, 1}};
    assert_int_equal(bucket_add(&bucket, &news, &upload, block_at(&block, 10), &error), ERROR_NONE);
    news.index = 110;
    assert_int_equal(bucket_add(&bucket, &news, &upload, block_at(&block, 10), &error), ERROR_NONE);
    assert_int_equal(bucket.object_count, 1); /* said twice */
    assert_int_equal(bucket.changed_index, 100);
    upload.hash.low = 2; /* another build of zstd */
    assert_int_equal(bucket_add(&bucket, &news, &upload, block_at(&block, 10), &error), ERROR_NONE);
    upload.block.index = 9; /* merged away meanwhile */
    assert_int_equal(bucket_add(&bucket, &news, &upload, NULL, &error), ERROR_NONE);
    assert_int_equal(bucket.object_count, 3);
    assert_int_equal(bucket.objects[0].state, OBJECT_LISTED);
    assert_int_equal(bucket.objects[1].state, OBJECT_RELEASED);
    assert_int_equal(bucket.objects[2].state, OBJECT_RELEASED);
    assert_int_equal(bucket.changed_index, 100);
    bucket_remove(&bucket, &upload);
    assert_int_equal(bucket.object_count, 2);
    upload.block.index = 10;
    upload.hash.low = 1;
    bucket_remove(&bucket, &upload); /* what is listed stays */
    assert_int_equal(bucket.object_count, 2);
    bucket_clear(&bucket);
}

static void objects_stand_for_the_outputs_of_merges_until_these_are_uploaded(void **state)
{
    (void)state;
    struct bucket bucket = {0};
    struct manifest_block block;
    struct error error;
    struct bucket_news news = {7, 100, 1000};
    for (uint64_t index = 10; index < 13; index++) {
        struct bucket_upload upload = {{index, 2}, 50, {index, 1}};
        assert_int_equal(bucket_add(&bucket, &news, &upload, block_at(&block, index), &error),
                         ERROR_NONE);
    }
    bucket.objects[2].shard_id = 4; /* came with a split */
    news.index = 110;
    for (uint64_t index = 10; index < 13; index++)
        bucket_leave(&bucket, &news, (struct block_name){index, 2}, block_at(&block, 20));
    bucket_leave(&bucket, &news, (struct block_name){20, 2}, block_at(&block, 30));
    assert_int_equal(bucket.changed_index, 100); /* the same objects are listed */
    assert_null(bucket_find_block(&bucket, (struct block_name){30, 2}));
    struct bucket_upload late = {{20, 2}, 50, {20, 1}}; /* of the merge before */
    news.index = 120;
    assert_int_equal(bucket_add(&bucket, &news, &late, NULL, &error), ERROR_NONE);
    assert_int_equal(bucket.objects[0].state, OBJECT_LISTED);
    news.index = 130;
    struct bucket_upload output = {{30, 2}, 50, {30, 1}};
    assert_int_equal(bucket_add(&bucket, &news, &output, block_at(&block, 30), &error), ERROR_NONE);
    assert_non_null(bucket_find_block(&bucket, (struct block_name){30, 2}));
    assert_int_equal(bucket.object_count, 4); /* two of ours, the late one, the output */
    assert_int_equal(bucket.objects[0].state, OBJECT_CONDEMNED);
    assert_int_equal(bucket.objects[0].condemned_index, 130);
    news.index = 140;
    news.stamp_ms = 2000;
    bucket_publish(&bucket, &news, (struct bucket_list_name){1, 125}); /* has the inputs */
    assert_int_equal(bucket.objects[0].state, OBJECT_CONDEMNED);
    bucket_publish(&bucket, &news, (struct bucket_list_name){1, 130});
    assert_int_equal(bucket.objects[0].state, OBJECT_RELEASED);
    assert_int_equal(bucket.objects[0].released_ms, 2000);
    assert_int_equal(bucket.objects[1].state, OBJECT_RELEASED);
    news.index = 150;
    bucket_publish(&bucket, &news, (struct bucket_list_name){1, 128}); /* of a deposed leader */
    assert_int_equal(bucket.published.index, 130);
    bucket_leave(&bucket, &news, (struct block_name){30, 2}, NULL);
    assert_int_equal(bucket.changed_index, 150);
    assert_null(bucket_find_block(&bucket, (struct block_name){30, 2}));
    bucket_clear(&bucket);
}

static void a_child_inherits_what_is_listed(void **state)
{
    (void)state;
    struct bucket bucket = bucket_make(), child;
    struct error error;
    assert_int_equal(bucket_split(&bucket, 70, 11, &error), ERROR_NONE);
    assert_int_equal(bucket.heir_count, 3);
    assert_int_equal(bucket.changed_index, 70);
    assert_int_equal(bucket_inherit(&bucket, &child, &error), ERROR_NONE);
    assert_int_equal(child.heir_count, 0);
    assert_int_equal(child.object_count, 2);
    assert_int_equal(child.objects[0].shard_id, 7);
    assert_int_equal(child.published.index, 0);
    assert_int_equal(child.changed_index, 70);
    bucket_clear(&child);
    bucket_clear(&bucket);
}

/* --- Names ----------------------------------------------------------------------------------- */

static void keys_come_back_and_others_are_none(void **state)
{
    (void)state;
    char text[BUCKET_KEY_MAX];
    const struct bucket_block_key block = {0x12, 0xabc, 3, {0x11, 0xfedc}};
    const struct bucket_list_key list = {0xffffffff, 2, UINT64_MAX};
    struct bucket_block_key block_back;
    struct bucket_list_key list_back;
    struct text key = bucket_block_key_format(&block, text);
    assert_string_equal(text, "shards/00000012/blocks/0000000000000abc-00000003-"
                              "000000000000fedc0000000000000011");
    assert_true(bucket_block_key_parse(key, &block_back));
    assert_int_equal(block_back.index, block.index);
    assert_int_equal(block_back.number, block.number);
    assert_true(hash128_equal(block_back.hash, block.hash));
    assert_false(bucket_list_key_parse(key, &list_back));
    for (size_t size = 0; size < key.size; size++)
        assert_false(bucket_block_key_parse((struct text){key.data, size}, &block_back));
    text[9] = 'A';
    assert_false(bucket_block_key_parse(key, &block_back));
    key = bucket_list_key_format(&list, text);
    assert_string_equal(text, "shards/ffffffff/manifests/0000000000000002-ffffffffffffffff");
    assert_true(bucket_list_key_parse(key, &list_back));
    assert_int_equal(list_back.shard_id, list.shard_id);
    assert_true(list_back.index == list.index);
    assert_true(text_starts_with(key, bucket_lists_prefix(0xffffffff, (char[BUCKET_KEY_MAX]){0})));
}

static void a_claim_comes_back_and_anything_else_is_refused(void **state)
{
    (void)state;
    struct bucket_claim claim = {.owner = {0x01, 0xab}, .incarnation = 12}, back;
    struct byte_buffer bytes = {0};
    struct error error;
    bucket_claim_encode(&claim, &bytes);
    assert_memory_equal(bytes.bytes, "gnomon 1\ncluster 01ab", 21);
    assert_int_equal(bucket_claim_decode(bytes.bytes, bytes.size, &back, &error), ERROR_NONE);
    assert_memory_equal(back.owner, claim.owner, sizeof claim.owner);
    assert_int_equal(back.incarnation, 12);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(bucket_claim_decode(bytes.bytes, size, &back, &error), ERROR_CORRUPT);
    byte_buffer_u8(&bytes, '\n');
    assert_int_equal(bucket_claim_decode(bytes.bytes, bytes.size, &back, &error), ERROR_CORRUPT);
    bytes.bytes[20] = 'B';
    assert_int_equal(bucket_claim_decode(bytes.bytes, bytes.size - 1, &back, &error),
                     ERROR_CORRUPT);
    byte_buffer_clear(&bytes);
}

static void a_claim_of_a_recovered_cluster_names_the_one_before(void **state)
{
    (void)state;
    struct bucket_claim claim = {
        .owner = {1}, .incarnation = 2, .was_recovered = true, .former = {0xfe, 0xdc}};
    struct bucket_claim back;
    struct byte_buffer bytes = {0}, first = {0};
    struct error error;
    bucket_claim_encode(&claim, &bytes);
    claim.was_recovered = false;
    bucket_claim_encode(&claim, &first);
    assert_memory_equal(bytes.bytes, first.bytes, first.size);
    assert_int_equal(bucket_claim_decode(bytes.bytes, bytes.size, &back, &error), ERROR_NONE);
    assert_true(back.was_recovered);
    assert_memory_equal(back.former, claim.former, sizeof claim.former);
    assert_int_equal(bucket_claim_decode(first.bytes, first.size, &back, &error), ERROR_NONE);
    assert_false(back.was_recovered);
    for (size_t size = first.size + 1; size < bytes.size; size++)
        assert_int_equal(bucket_claim_decode(bytes.bytes, size, &back, &error), ERROR_CORRUPT);
    byte_buffer_append(&bytes, "more\n", 5);
    assert_int_equal(bucket_claim_decode(bytes.bytes, bytes.size, &back, &error), ERROR_CORRUPT);
    byte_buffer_clear(&bytes);
    byte_buffer_clear(&first);
}

static void a_hash_of_pieces_is_that_of_the_whole(void **state)
{
    (void)state;
    uint8_t bytes[1000];
    struct hash_stream *stream = hash_stream_create();
    assert_non_null(stream);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof bytes; i += 125)
        hash_stream_add(stream, bytes + i, 125);
    assert_true(
        hash128_equal(hash_stream_result(stream), hash128(bytes, sizeof bytes, HASH_SEED_STORED)));
    hash_stream_destroy(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_has_what_is_listed_and_nothing_else),
        cmocka_unit_test(no_damage_of_a_list_goes_unseen),
        cmocka_unit_test(other_bytes_with_a_good_checksum_are_an_error_or_another_list),
        cmocka_unit_test(the_state_comes_back_as_it_was_encoded),
        cmocka_unit_test(the_first_object_of_a_block_counts_and_others_are_released),
        cmocka_unit_test(objects_stand_for_the_outputs_of_merges_until_these_are_uploaded),
        cmocka_unit_test(a_child_inherits_what_is_listed),
        cmocka_unit_test(keys_come_back_and_others_are_none),
        cmocka_unit_test(a_claim_comes_back_and_anything_else_is_refused),
        cmocka_unit_test(a_claim_of_a_recovered_cluster_names_the_one_before),
        cmocka_unit_test(a_hash_of_pieces_is_that_of_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
