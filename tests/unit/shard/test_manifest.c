#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../../src/shard/manifest.h"
#include "base/state_version.h"
#include "platform/random.h"

static struct file_summary summary_of(uint64_t seed)
{
    return (struct file_summary){
        .size_bytes = seed * 1000,
        .series_count = seed,
        .sample_count = seed * 10,
        .min_time_ms = 1700000000000 + (int64_t)seed,
        .max_time_ms = 1700000100000 + (int64_t)seed,
        .content_checksum = {seed * 0x9e3779b97f4a7c15, ~seed},
    };
}

static struct manifest manifest_make(void)
{
    struct manifest manifest = {.state_version = STATE_VERSION_FIRST,
                                .frozen_index = 900,
                                .next_id = 4321,
                                .retention_cutoff_ms = INT64_MIN,
                                .metadata_index = 700,
                                .merge_index = 850};
    struct error error;
    slot_set_fill(&manifest.owned);
    for (uint64_t i = 1; i < 4; i++) {
        struct manifest_part part = {
            .index = i * 10,
            .number = (uint32_t)i % 2,
            .merged_until_ms = i == 1 ? INT64_MIN : 1700000050000,
            .stamp_ms = 1700000060000 + (int64_t)i,
            .summary = summary_of(i),
        };
        struct manifest_block block = {
            .index = i * 7,
            .number = (uint32_t)i,
            .window_start_ms = 1699999200000,
            .window_end_ms = 1700006400000,
            .stamp_ms = 1700006500000 + (int64_t)i,
            .summary = summary_of(i + 5),
        };
        assert_int_equal(manifest_add_segment(&manifest, i * 100, &error), ERROR_NONE);
        assert_int_equal(manifest_add_part(&manifest, &part, &error), ERROR_NONE);
        assert_int_equal(manifest_add_block(&manifest, &block, &error), ERROR_NONE);
    }
    const uint64_t forgotten[] = {1, 2, 3, 70, 4095, 4096, 4320};
    assert_int_equal(id_set_add(NULL, forgotten, 7, &manifest.forgotten, &error), ERROR_NONE);
    struct byte_buffer bytes = {0};
    struct matcher *matcher;
    assert_int_equal(matcher_create(MATCHER_REGEX, TEXT("job"), TEXT("a|b.*"), &matcher, &error),
                     ERROR_NONE);
    struct tombstone source = {.tenant = TEXT("anonymous"),
                               .start_ms = INT64_MIN,
                               .end_ms = 1700000000000,
                               .matchers = &matcher,
                               .matcher_count = 1};
    tombstone_encode(&bytes, &source);
    matcher_destroy(matcher);
    struct byte_reader reader = byte_reader_over(bytes.bytes, bytes.size);
    struct tombstone tombstone;
    assert_int_equal(tombstone_decode(&reader, &tombstone, &error), ERROR_NONE);
    tombstone.index = 333;
    assert_int_equal(tombstones_add(NULL, &tombstone, &manifest.tombstones, &error), ERROR_NONE);
    byte_buffer_clear(&bytes);
    byte_buffer_append(&manifest.merge_body, "\x02\x00\x00", 3);
    return manifest;
}

static void expect_equal_summaries(const struct file_summary *left,
                                   const struct file_summary *right)
{
    assert_int_equal(left->size_bytes, right->size_bytes);
    assert_int_equal(left->series_count, right->series_count);
    assert_int_equal(left->sample_count, right->sample_count);
    assert_int_equal(left->min_time_ms, right->min_time_ms);
    assert_int_equal(left->max_time_ms, right->max_time_ms);
    assert_true(hash128_equal(left->content_checksum, right->content_checksum));
}

static void expect_as_made(const struct manifest *found)
{
    struct manifest made = manifest_make();
    assert_int_equal(found->frozen_index, made.frozen_index);
    assert_int_equal(found->next_id, made.next_id);
    assert_int_equal(found->retention_cutoff_ms, made.retention_cutoff_ms);
    assert_int_equal(found->metadata_index, made.metadata_index);
    assert_int_equal(found->segment_count, made.segment_count);
    assert_int_equal(found->part_count, made.part_count);
    assert_int_equal(found->block_count, made.block_count);
    for (size_t i = 0; i < made.part_count; i++) {
        assert_int_equal(found->segments[i], made.segments[i]);
        assert_int_equal(found->parts[i].index, made.parts[i].index);
        assert_int_equal(found->parts[i].number, made.parts[i].number);
        assert_int_equal(found->parts[i].merged_until_ms, made.parts[i].merged_until_ms);
        assert_int_equal(found->parts[i].stamp_ms, made.parts[i].stamp_ms);
        expect_equal_summaries(&found->parts[i].summary, &made.parts[i].summary);
        assert_int_equal(found->blocks[i].index, made.blocks[i].index);
        assert_int_equal(found->blocks[i].number, made.blocks[i].number);
        assert_int_equal(found->blocks[i].window_start_ms, made.blocks[i].window_start_ms);
        assert_int_equal(found->blocks[i].window_end_ms, made.blocks[i].window_end_ms);
        assert_int_equal(found->blocks[i].stamp_ms, made.blocks[i].stamp_ms);
        expect_equal_summaries(&found->blocks[i].summary, &made.blocks[i].summary);
    }
    assert_int_equal(id_set_count(found->forgotten), 7);
    for (uint64_t id = 0; id < made.next_id; id++)
        assert_int_equal(id_set_has(found->forgotten, id), id_set_has(made.forgotten, id));
    assert_int_equal(tombstones_count(found->tombstones), 1);
    assert_int_equal(tombstones_at(found->tombstones, 0)->index, 333);
    assert_int_equal(tombstones_at(found->tombstones, 0)->end_ms, 1700000000000);
    assert_int_equal(found->merge_index, made.merge_index);
    assert_int_equal(found->merge_body.size, 3);
    manifest_clear(&made);
}

static void a_manifest_comes_back_as_it_was_encoded(void **state)
{
    (void)state;
    struct manifest manifest = manifest_make(), decoded;
    struct byte_buffer bytes = {0};
    struct error error;
    manifest_encode(&manifest, &bytes);
    assert_int_equal(manifest_decode(bytes.bytes, bytes.size, &decoded, &error), ERROR_NONE);
    expect_as_made(&decoded);
    manifest_clear(&decoded);
    manifest_clear(&manifest);
    byte_buffer_clear(&bytes);
}

/* One that was announced, too, and another one for the merge. */
static void add_retention(struct manifest *manifest)
{
    struct retention_rule *rules = calloc(1, sizeof *rules);
    struct error error;
    assert_non_null(rules);
    rules[0].tenant = text_of(strdup("other"));
    rules[0].keep_ms = 3600000;
    rules[0].matchers = calloc(1, sizeof *rules[0].matchers);
    assert_non_null(rules[0].matchers);
    rules[0].matcher_count = 1;
    assert_int_equal(matcher_create(MATCHER_NOT_REGEX, TEXT("job"), TEXT("a|b.*"),
                                    &rules[0].matchers[0], &error),
                     ERROR_NONE);
    struct retention_cut *cut = &manifest->retention;
    cut->at_ms = 1700000000000;
    cut->announced_ms = 1700000000001;
    assert_int_equal(retention_policy_create(RETENTION_FOR_EVER, rules, 1, &cut->policy, &error),
                     ERROR_NONE);
    assert_int_equal(retention_policy_create(86400000, NULL, 0, &cut->announced, &error),
                     ERROR_NONE);
    manifest->merge_retention = *cut;
    manifest->merge_retention.announced = NULL;
    manifest->merge_retention.at_ms = 1690000000000;
    retention_policy_ref(cut->policy);
}

static void add_windows(struct manifest *manifest)
{
    add_retention(manifest);
    const struct window_version versions[] = {{-3, 12}, {0, 900}, {1, 5}, {400000, 77}};
    manifest->state_version = STATE_VERSION_REHEARSAL;
    manifest->windows_base = 5;
    manifest->windows = malloc(sizeof versions);
    assert_non_null(manifest->windows);
    memcpy(manifest->windows, versions, sizeof versions);
    manifest->window_count = 4;
    manifest->rehearsed_count = 300;
}

static void versions_of_windows_come_back(void **state)
{
    (void)state;
    struct manifest manifest = manifest_make(), decoded;
    struct byte_buffer bytes = {0};
    struct error error;
    add_windows(&manifest);
    manifest_encode(&manifest, &bytes);
    assert_int_equal(manifest_decode(bytes.bytes, bytes.size, &decoded, &error), ERROR_NONE);
    expect_as_made(&decoded);
    assert_int_equal(decoded.state_version, STATE_VERSION_REHEARSAL);
    assert_int_equal(decoded.windows_base, 5);
    assert_int_equal(decoded.window_count, 4);
    assert_memory_equal(decoded.windows, manifest.windows, 4 * sizeof *manifest.windows);
    assert_int_equal(decoded.rehearsed_count, 300);
    assert_true(retention_cut_equal(&decoded.retention, &manifest.retention));
    assert_int_equal(decoded.retention.announced_ms, 1700000000001);
    assert_true(retention_cut_equal(&decoded.merge_retention, &manifest.merge_retention));
    assert_false(retention_cut_equal(&decoded.merge_retention, &manifest.retention));
    manifest_clear(&decoded);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(manifest_decode(bytes.bytes, size, &decoded, &error), ERROR_CORRUPT);
    bytes.bytes[5] = STATE_VERSION_REHEARSAL + 1;
    assert_int_equal(manifest_decode(bytes.bytes, bytes.size, &decoded, &error), ERROR_UNSUPPORTED);
    bytes.bytes[5] = STATE_VERSION_FIRST; /* which has another format */
    assert_int_equal(manifest_decode(bytes.bytes, bytes.size, &decoded, &error), ERROR_CORRUPT);
    manifest_clear(&manifest);
    byte_buffer_clear(&bytes);
}

static void add_split(struct manifest *manifest)
{
    manifest->split_count = 2;
    manifest->split = (struct manifest_split){
        .child_id = 9, .index = 899, .founders = {1, 4, 70}, .founder_count = 3};
    slot_set_add(&manifest->split.slots, 100, 50);
    slot_set_add(&manifest->split.slots, 4000, 96);
    slot_set_remove(&manifest->owned, &manifest->split.slots);
}

static void slots_that_were_split_off_come_back(void **state)
{
    (void)state;
    struct manifest manifest = manifest_make(), decoded;
    struct byte_buffer bytes = {0};
    struct error error;
    add_windows(&manifest);
    add_split(&manifest);
    manifest_encode(&manifest, &bytes);
    assert_int_equal(manifest_decode(bytes.bytes, bytes.size, &decoded, &error), ERROR_NONE);
    expect_as_made(&decoded);
    assert_memory_equal(&decoded.owned, &manifest.owned, sizeof decoded.owned);
    assert_int_equal(decoded.split_count, 2);
    assert_memory_equal(&decoded.split, &manifest.split, sizeof decoded.split);
    assert_int_equal(decoded.rehearsed_count, 300);
    manifest_clear(&decoded);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(manifest_decode(bytes.bytes, size, &decoded, &error), ERROR_CORRUPT);
    manifest_clear(&manifest);
    byte_buffer_clear(&bytes);
}

static void no_prefix_of_a_manifest_is_a_manifest(void **state)
{
    (void)state;
    struct manifest manifest = manifest_make(), decoded;
    struct byte_buffer bytes = {0};
    struct error error;
    manifest_encode(&manifest, &bytes);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(manifest_decode(bytes.bytes, size, &decoded, &error), ERROR_CORRUPT);
    byte_buffer_u8(&bytes, 0);
    assert_int_equal(manifest_decode(bytes.bytes, bytes.size, &decoded, &error), ERROR_CORRUPT);
    bytes.bytes[4] = 9;
    assert_int_equal(manifest_decode(bytes.bytes, bytes.size, &decoded, &error), ERROR_UNSUPPORTED);
    manifest_clear(&manifest);
    byte_buffer_clear(&bytes);
}

static void damage_is_an_error_or_another_manifest_but_never_a_crash(void **state)
{
    (void)state;
    struct random_generator random;
    random_generator_init(&random, 3);
    struct manifest manifest = manifest_make();
    struct byte_buffer bytes = {0};
    add_windows(&manifest);
    add_split(&manifest);
    manifest_encode(&manifest, &bytes);
    uint8_t *damaged = malloc(bytes.size);
    assert_non_null(damaged);
    for (int round = 0; round < 20000; round++) {
        struct manifest decoded;
        struct error error;
        memcpy(damaged, bytes.bytes, bytes.size);
        for (uint32_t i = 0; i < 1 + random_below(&random.base, 3); i++)
            damaged[5 + random_below(&random.base, (uint32_t)bytes.size - 5)] =
                (uint8_t)random_next(&random.base);
        if (manifest_decode(damaged, bytes.size, &decoded, &error) == ERROR_NONE)
            manifest_clear(&decoded);
    }
    free(damaged);
    manifest_clear(&manifest);
    byte_buffer_clear(&bytes);
}

static void the_stored_sample_is_still_understood(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    FILE *file = fopen("samples/shard.manifest", "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    struct manifest decoded;
    struct error error;
    assert_int_equal(manifest_decode(bytes, size, &decoded, &error), ERROR_NONE);
    expect_as_made(&decoded);
    struct byte_buffer again = {0};
    manifest_encode(&decoded, &again);
    assert_int_equal(again.size, size);
    assert_memory_equal(again.bytes, bytes, size);
    byte_buffer_clear(&again);
    manifest_clear(&decoded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_comes_back_as_it_was_encoded),
        cmocka_unit_test(versions_of_windows_come_back),
        cmocka_unit_test(slots_that_were_split_off_come_back),
        cmocka_unit_test(no_prefix_of_a_manifest_is_a_manifest),
        cmocka_unit_test(damage_is_an_error_or_another_manifest_but_never_a_crash),
        cmocka_unit_test(the_stored_sample_is_still_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
