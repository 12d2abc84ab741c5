/* Files and state of a shard: what is written is what was listed, or nothing is. */
#include "bucket_maker.h"

static const char DIRECTORY[] = "shards/0000";

static struct disk *disk_of(struct fixture *fixture)
{
    return &fixture->environment->disk.base;
}

static void path_of(uint64_t index, char path[DISK_PATH_MAX])
{
    snprintf(path, DISK_PATH_MAX, "%s/blocks/%016llx-0.block", DIRECTORY,
             (unsigned long long)index);
}

static bool is_there(struct fixture *fixture, uint64_t index)
{
    struct file *file = NULL;
    struct error error;
    char path[DISK_PATH_MAX];
    path_of(index, path);
    enum error_code code = disk_open(disk_of(fixture), path, DISK_OPEN_READ, &file, &error);
    disk_close(disk_of(fixture), file);
    return code == ERROR_NONE;
}

static void expect_block(struct fixture *fixture, uint64_t index)
{
    struct byte_buffer expected = block_bytes(index, BLOCK_BYTES);
    struct file *file;
    struct error error;
    uint8_t found[BLOCK_BYTES];
    char path[DISK_PATH_MAX];
    path_of(index, path);
    assert_int_equal(disk_open(disk_of(fixture), path, DISK_OPEN_READ, &file, &error), ERROR_NONE);
    assert_int_equal(disk_read_at(disk_of(fixture), file, 0, found, sizeof found, &error),
                     ERROR_NONE);
    assert_memory_equal(found, expected.bytes, sizeof found);
    disk_close(disk_of(fixture), file);
    byte_buffer_clear(&expected);
}

/* One shard with a list that names one block. */
static struct fixture *prepare(size_t size)
{
    struct fixture *fixture = fixture_create();
    put_meta(fixture, 5, 2, BUCKET_META_NO_PARENT);
    put_list(fixture, &(struct listing){{0, 1, 90}, 0, SLOT_COUNT, 0, 80});
    put_block(fixture, 0, 80, size);
    look(fixture);
    assert_int_equal(divide(fixture, 1), ERROR_NONE);
    return fixture;
}

static enum error_code make(struct fixture *fixture, uint32_t shard_id, enum revival_blocks blocks,
                            uint64_t *index, size_t *state_bytes)
{
    struct byte_buffer manifest = {0};
    struct error error;
    enum error_code code = revival_make_shard(&fixture->survey, shard_id, blocks, disk_of(fixture),
                                              DIRECTORY, &manifest, index, &error);
    *state_bytes = manifest.size;
    byte_buffer_clear(&manifest);
    return code;
}

static void blocks_are_written_as_they_are_in_the_bucket(void **state)
{
    (void)state;
    struct fixture *fixture = prepare(BLOCK_BYTES);
    uint64_t index;
    size_t size;
    assert_int_equal(make(fixture, 0, REVIVAL_DOWNLOADS, &index, &size), ERROR_NONE);
    assert_int_equal(index, 90);
    assert_true(size > 0);
    expect_block(fixture, 80);
    fixture_destroy(fixture);
}

static void blocks_that_stay_in_the_bucket_are_not_written(void **state)
{
    (void)state;
    struct fixture *fixture = prepare(BLOCK_BYTES);
    uint64_t index;
    size_t size;
    assert_int_equal(make(fixture, 0, REVIVAL_LEAVES, &index, &size), ERROR_NONE);
    assert_int_equal(index, 90);
    assert_true(size > 0);
    assert_false(is_there(fixture, 80));
    fixture_destroy(fixture);
}

static void a_shard_without_a_list_begins_with_nothing(void **state)
{
    (void)state;
    struct fixture *fixture = prepare(BLOCK_BYTES);
    uint64_t index;
    size_t size;
    assert_int_equal(make(fixture, 1, REVIVAL_DOWNLOADS, &index, &size), ERROR_NONE);
    assert_int_equal(index, 0);
    assert_int_equal(size, 0);
    fixture_destroy(fixture);
}

static void an_object_with_other_bytes_is_refused_and_leaves_no_file(void **state)
{
    (void)state;
    struct fixture *fixture = prepare(BLOCK_BYTES);
    char key[BUCKET_KEY_MAX];
    uint64_t index;
    size_t size;
    struct bucket_block_key block = block_key(0, 80);
    bucket_block_key_format(&block, key);
    damage(fixture, key);
    assert_int_equal(make(fixture, 0, REVIVAL_DOWNLOADS, &index, &size), ERROR_CORRUPT);
    assert_false(is_there(fixture, 80));
    fixture_destroy(fixture);
}

static void a_block_that_is_missing_is_left_out(void **state)
{
    (void)state;
    struct fixture *fixture = prepare(BLOCK_BYTES - 1);
    uint64_t index;
    size_t size;
    assert_int_equal(fixture->survey.shards[0].missing_count, 1);
    assert_int_equal(make(fixture, 0, REVIVAL_DOWNLOADS, &index, &size), ERROR_NONE);
    assert_false(is_there(fixture, 80));
    fixture_destroy(fixture);
}

/* It is stated again by who writes: the samples come back without it. */
static void metadata_that_is_damaged_holds_nothing_up(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create();
    struct byte_buffer bytes = {0};
    uint64_t index;
    size_t size;
    byte_buffer_append(&bytes, "GBMD\1 and more than its head", 29);
    put_list(fixture, &(struct listing){{0, 1, 90}, 0, SLOT_COUNT, 0, 80});
    put_block(fixture, 0, 80, BLOCK_BYTES);
    put(fixture, "shards/00000000/metadata/0000000000000001-000000000000005a", &bytes);
    byte_buffer_clear(&bytes);
    look(fixture);
    assert_true(fixture->survey.shards[0].has_metadata);
    assert_int_equal(divide(fixture, 1), ERROR_NONE);
    assert_int_equal(make(fixture, 0, REVIVAL_DOWNLOADS, &index, &size), ERROR_NONE);
    expect_block(fixture, 80);
    fixture_destroy(fixture);
}

static void a_store_that_goes_away_is_an_error_and_the_next_try_succeeds(void **state)
{
    (void)state;
    struct fixture *fixture = prepare(BLOCK_BYTES);
    uint64_t index;
    size_t size;
    fixture->store.is_down = true;
    assert_int_equal(make(fixture, 0, REVIVAL_DOWNLOADS, &index, &size), ERROR_UNAVAILABLE);
    assert_false(is_there(fixture, 80));
    fixture->store.is_down = false;
    assert_int_equal(make(fixture, 0, REVIVAL_DOWNLOADS, &index, &size), ERROR_NONE);
    expect_block(fixture, 80);
    fixture_destroy(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_written_as_they_are_in_the_bucket),
        cmocka_unit_test(blocks_that_stay_in_the_bucket_are_not_written),
        cmocka_unit_test(a_shard_without_a_list_begins_with_nothing),
        cmocka_unit_test(an_object_with_other_bytes_is_refused_and_leaves_no_file),
        cmocka_unit_test(a_block_that_is_missing_is_left_out),
        cmocka_unit_test(metadata_that_is_damaged_holds_nothing_up),
        cmocka_unit_test(a_store_that_goes_away_is_an_error_and_the_next_try_succeeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
