/* A shard that begins with a list and what it names has all that was uploaded, and goes on behind
 * it. */
#include "bucket_fixture.h"
#include "bucket_metadata.h"
#include "platform/file_writer.h"
#include "shard/bucket_list.h"
#include "shard/entry.h"
#include "shard/shard_revival.h"

static const int64_t T0 = HARNESS_START_MS;

/* --- What is there -----------------------------------------------------------------------------
 */

/* The newest object below a prefix. */
static const struct simulated_object *newest(const struct fixture *fixture, const char *prefix)
{
    const struct simulated_object *found = NULL;
    for (size_t i = 0; i < fixture->store.count; i++) {
        const struct simulated_object *object = &fixture->store.objects[i];
        if (object->gone_ns == UINT64_MAX && strncmp(object->key, prefix, strlen(prefix)) == 0 &&
            (found == NULL || strcmp(object->key, found->key) > 0))
            found = object;
    }
    assert_non_null(found);
    return found;
}

static struct bucket_list newest_list(const struct fixture *fixture)
{
    const struct simulated_object *object = newest(fixture, "shards/00000007/manifests/");
    struct bucket_list list;
    struct error error;
    assert_int_equal(bucket_list_decode(object->bytes, object->size_bytes, &list, &error),
                     ERROR_NONE);
    return list;
}

static void state_metadata(struct harness *harness, const char *name, const char *help)
{
    struct entry_metadata stated = {
        .metric_name = text_of(name),
        .metadata = {.type = METRIC_COUNTER, .help = text_of(help), .unit = TEXT("")},
    };
    struct shard_write write = {
        .tenant = TEXT("anonymous"), .metadata = &stated, .metadata_count = 1};
    harness_propose_write(harness, &write);
    harness_run(harness);
}

/* Three windows of five series, of which one is deleted. */
static void fill(struct harness *harness)
{
    state_metadata(harness, "metric_1", "How often.");
    for (int window = 0; window < 3; window++)
        harness_fill(harness, 5, T0 + window * (int64_t)WINDOW_MS, 30);
    harness_flush(harness);
    harness_delete(harness, 2, T0 + WINDOW_MS, T0 + WINDOW_MS + HOUR_MS);
    harness_flush(harness);
}

/* --- Revival --------------------------------------------------------------------------------- */

static void write_file(struct disk *disk, const char *path, const struct simulated_object *object)
{
    struct file_writer *writer;
    struct error error;
    assert_int_equal(file_writer_open(disk, path, FILE_WRITER_PLAIN, &writer, &error), ERROR_NONE);
    assert_int_equal(file_writer_append(writer, object->bytes, object->size_bytes, &error),
                     ERROR_NONE);
    assert_int_equal(file_writer_finish(writer, &error), ERROR_NONE);
}

static void write_files(struct fixture *fixture, const struct bucket_list *list,
                        const bool *left_out, struct shard_revival *revival)
{
    static const char *const FOLDERS[] = {"parts", "blocks", "series", "metadata"};
    struct harness *harness = fixture->harness;
    struct disk *disk = &harness->environment->disk.base;
    struct error error;
    char path[DISK_PATH_MAX], key[BUCKET_KEY_MAX];
    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", harness->options.directory, FOLDERS[i]);
        assert_int_equal(disk_make_directory(disk, path, &error), ERROR_NONE);
    }
    for (size_t i = 0; i < list->block_count; i++) {
        if (left_out != NULL && left_out[i])
            continue;
        bucket_block_key_format(&list->blocks[i].key, key);
        shard_revival_block_path(harness->options.directory, &list->blocks[i], path);
        write_file(disk, path, simulated_store_find(&fixture->store, key));
    }
    const struct simulated_object *metadata = newest(fixture, "shards/00000007/metadata/");
    assert_int_equal(shard_revival_write_metadata(disk, harness->options.directory, list->key.index,
                                                  metadata->bytes, metadata->size_bytes,
                                                  &revival->has_metadata, &error),
                     ERROR_NONE);
}

/* The shard is lost with its disk and its log; another begins in a harness of its own. */
static void revive(struct fixture *fixture, struct bucket_list *list, const bool *left_out)
{
    struct slot_set all;
    struct error error;
    slot_set_fill(&all);
    *list = newest_list(fixture);
    struct shard_revival revival = {
        .shard_id = 7,
        .list = list,
        .left_out = left_out,
        .owned = &all,
        .stamp_ms = T0 + 7 * (int64_t)HOUR_MS,
    };
    harness_destroy(fixture->harness);
    fixture->harness = harness_create(2);
    fixture->store.clock = fixture->harness->environment->base.clock;
    struct harness *harness = fixture->harness;
    write_files(fixture, list, left_out, &revival);
    if (shard_revival_encode(&revival, &harness->snapshot, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    harness->snapshot_index = harness->last_index = list->key.index;
    fixture->bucket.incarnation = 2;
    harness_set_time(harness, T0 + 7 * (int64_t)HOUR_MS);
    fixture_open(fixture, fixture->harness);
}

static bool expect_help(void *context, struct text metric_name,
                        const struct metric_metadata *metadata)
{
    bool *seen = context;
    assert_true(text_equal(metric_name, TEXT("metric_1")));
    assert_true(text_equal(metadata->help, TEXT("How often.")));
    *seen = true;
    return true;
}

static void a_shard_out_of_its_list_has_samples_deletions_and_metadata(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(1);
    struct bucket_list list;
    bool seen = false;
    fill(fixture->harness);
    revive(fixture, &list, NULL);
    struct harness *harness = fixture->harness;
    for (unsigned series = 0; series < 5; series++)
        assert_int_equal(harness_count(harness, series), series == 2 ? 60 : 90);
    metadata_store_visit(harness->shard->metadata, TEXT("anonymous"), expect_help, &seen);
    assert_true(seen);
    bucket_list_clear(&list);
    fixture_destroy(fixture);
}

static void it_goes_on_behind_the_list_and_lists_under_its_own_incarnation(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(1);
    struct bucket_list before, after;
    fill(fixture->harness);
    revive(fixture, &before, NULL);
    struct harness *harness = fixture->harness;
    size_t uploads = fixture->bucket.uploads;
    harness_fill(harness, 5, T0 + 6 * (int64_t)HOUR_MS, 10);
    harness_flush(harness);
    harness_restart(harness);
    assert_int_equal(harness_count(harness, 0), 100);
    assert_int_equal(harness_count(harness, 2), 70);
    assert_int_equal(fixture->bucket.uploads, uploads + 1); /* what was there is not put again */
    after = newest_list(fixture);
    assert_int_equal(after.key.incarnation, 2);
    assert_true(after.key.index > before.key.index);
    assert_int_equal(after.block_count, before.block_count + 1);
    assert_int_equal(after.deletion_count, before.deletion_count);
    for (size_t i = 0; i < after.block_count; i++)
        assert_true(i < before.block_count ||
                    after.blocks[i].key.index > before.blocks[before.block_count - 1].key.index);
    bucket_list_clear(&before);
    bucket_list_clear(&after);
    fixture_destroy(fixture);
}

/* Merges take in what came from the bucket, and their inputs leave it. */
static void its_blocks_are_merged_like_any_others(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(1);
    struct bucket_list list;
    fill(fixture->harness);
    revive(fixture, &list, NULL);
    struct harness *harness = fixture->harness;
    bucket_list_clear(&list);
    harness_set_time(harness, T0 + 40 * (int64_t)HOUR_MS);
    for (int i = 0; i < 40; i++) {
        harness->environment->clock.now_ns += UINT64_C(5) * 60 * 1000 * 1000000;
        harness_maintain(harness);
    }
    size_t blocks = harness_statistics(harness).block_count;
    assert_true(blocks < 3);
    list = newest_list(fixture);
    assert_int_equal(list.block_count, blocks);
    uint64_t samples = 0;
    for (size_t i = 0; i < blocks; i++)
        samples += list.blocks[i].summary.sample_count;
    assert_int_equal(samples, 4 * 90 + 60);
    assert_int_equal(simulated_store_count(&fixture->store, "shards/00000007/blocks/"), blocks);
    assert_int_equal(simulated_store_count(&fixture->store, "shards/00000007/metadata/"), 1);
    bucket_list_clear(&list);
    fixture_destroy(fixture);
}

static void a_block_that_is_left_out_is_not_listed_again(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(1);
    struct bucket_list list;
    const bool left_out[] = {true, false, false, false, false, false};
    fill(fixture->harness);
    revive(fixture, &list, left_out);
    size_t listed = list.block_count;
    bucket_list_clear(&list);
    harness_flush(fixture->harness);
    list = newest_list(fixture);
    assert_int_equal(list.key.incarnation, 2);
    assert_int_equal(list.block_count, listed - 1);
    bucket_list_clear(&list);
    fixture_destroy(fixture);
}

static void a_list_that_no_shard_would_write_is_refused(void **state)
{
    (void)state;
    struct bucket_listed block = {.key = {.shard_id = 7, .index = 11}, .window_end_ms = WINDOW_MS};
    struct bucket_list list = {.key = {7, 1, 10}, .blocks = &block, .block_count = 1};
    struct slot_set all;
    struct byte_buffer bytes = {0};
    struct error error;
    slot_set_fill(&all);
    struct shard_revival revival = {.shard_id = 7, .list = &list, .owned = &all};
    assert_int_equal(shard_revival_encode(&revival, &bytes, &error), ERROR_CORRUPT);
    block.key.index = 10;
    assert_int_equal(shard_revival_encode(&revival, &bytes, &error), ERROR_NONE);
    list.key.index = 0;
    byte_buffer_reset(&bytes);
    assert_int_equal(shard_revival_encode(&revival, &bytes, &error), ERROR_CORRUPT);
    byte_buffer_clear(&bytes);
}

static void metadata_that_is_damaged_is_refused(void **state)
{
    (void)state;
    struct error error;
    struct byte_buffer bytes = {0};
    struct metadata_store *store = metadata_store_create(10);
    const struct metric_metadata stated = {METRIC_GAUGE, TEXT("How much."), TEXT("units")};
    assert_int_equal(metadata_store_set(store, TEXT("red"), TEXT("load"), &stated, &error),
                     ERROR_NONE);
    bucket_metadata_encode(store, &bytes);
    for (size_t i = 0; i < bytes.size; i++) {
        assert_int_not_equal(bucket_metadata_decode(bytes.bytes, i, store, &error), ERROR_NONE);
        bytes.bytes[i] ^= 0x11;
        assert_int_not_equal(bucket_metadata_decode(bytes.bytes, bytes.size, store, &error),
                             ERROR_NONE);
        bytes.bytes[i] ^= 0x11;
    }
    assert_int_equal(bucket_metadata_decode(bytes.bytes, bytes.size, store, &error), ERROR_NONE);
    assert_int_equal(metadata_store_count(store), 1);
    metadata_store_destroy(store);
    byte_buffer_clear(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_out_of_its_list_has_samples_deletions_and_metadata),
        cmocka_unit_test(it_goes_on_behind_the_list_and_lists_under_its_own_incarnation),
        cmocka_unit_test(its_blocks_are_merged_like_any_others),
        cmocka_unit_test(a_block_that_is_left_out_is_not_listed_again),
        cmocka_unit_test(a_list_that_no_shard_would_write_is_refused),
        cmocka_unit_test(metadata_that_is_damaged_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
