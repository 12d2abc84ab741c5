/* Blocks whose files are not here, but in the bucket: each sample is read once, whatever fails. */
#include "bucket_fixture.h"
#include "shard/entry.h"
#include "shard/shard_install.h"

static const int64_t T0 = HARNESS_START_MS;
enum { CHILD = 9, WINDOWS = 3, SERIES = 5 };
/* So far that they are never merged. */
static const int64_t APART_MS = INT64_C(48) * HOUR_MS;
static const int64_t LATER_MS = INT64_C(240) * HOUR_MS;

/* --- What is there -----------------------------------------------------------------------------
 */

static bool count_file(void *context, const char *name, bool is_directory)
{
    size_t *count = context;
    (void)name;
    *count += !is_directory;
    return true;
}

static size_t files_in(const struct harness *harness, const char *folder)
{
    size_t count = 0;
    struct error error;
    char path[200];
    snprintf(path, sizeof path, "%s/%s", harness->options.directory, folder);
    assert_int_equal(disk_list(harness->environment->base.disk, path, count_file, &count, &error),
                     ERROR_NONE);
    return count;
}

static const char *block_path(const struct harness *harness, size_t block, char path[200])
{
    const struct manifest_block *described = &harness->shard->blocks[block].described;
    snprintf(path, 200, "%s/blocks/%016llx-%u.block", harness->options.directory,
             (unsigned long long)described->index, described->number);
    return path;
}

/* Three windows of samples, uploaded and listed; days later by the clock. */
static void fill(struct fixture *fixture)
{
    struct harness *harness = fixture->harness;
    for (int i = 0; i < WINDOWS; i++)
        harness_fill(harness, SERIES, T0 + i * APART_MS, 30);
    harness_flush(harness);
    harness_set_time(harness, T0 + LATER_MS);
}

static void drop_all(struct fixture *fixture)
{
    fixture->bucket.local_retention_ms = 1000;
    wait_ms(fixture->harness, 60 * 1000, 6);
    assert_int_equal(files_in(fixture->harness, "blocks"), 0);
}

static void expect_all(struct harness *harness)
{
    for (int i = 0; i < WINDOWS; i++)
        harness_expect_fill(harness, SERIES, T0 + i * APART_MS, 30);
    assert_int_equal(harness_count(harness, 0), WINDOWS * 30);
}

static enum error_code read_code(struct harness *harness, int64_t start_ms, int64_t end_ms)
{
    struct harness_answer *answer = malloc(sizeof *answer);
    assert_non_null(answer);
    harness_read(harness, 1, start_ms, end_ms, SERIES_NEED_ALL, answer);
    enum error_code code = answer->code;
    free(answer);
    return code;
}

/* --- Dropping -------------------------------------------------------------------------------- */

static void files_that_are_uploaded_and_old_go_and_every_sample_is_read(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(1);
    struct harness *harness = fixture->harness;
    fill(fixture);
    assert_int_equal(files_in(harness, "blocks"), WINDOWS);
    fixture->bucket.local_retention_ms = LATER_MS - WINDOW_MS;
    wait_ms(harness, 60 * 1000, 6);
    assert_int_equal(files_in(harness, "blocks"), WINDOWS - 1);
    expect_all(harness);
    drop_all(fixture);
    expect_all(harness);
    struct shard_statistics statistics = harness_statistics(harness);
    assert_int_equal(statistics.block_bytes, 0);
    assert_int_equal(statistics.absent_block_count, WINDOWS);
    assert_true(statistics.absent_block_bytes > 0);
    fixture_destroy(fixture);
}

static void nothing_goes_that_the_store_does_not_show(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(2);
    struct harness *harness = fixture->harness;
    fill(fixture);
    fixture->bucket.local_retention_ms = 1000;
    fixture->store.is_down = true;
    wait_ms(harness, 10 * 60 * 1000, 20);
    assert_int_equal(files_in(harness, "blocks"), WINDOWS);
    /* Another, empty one in its place. */
    fixture->store.is_down = false;
    struct simulated_store other;
    simulated_store_init(&other, harness->environment->base.clock, 3);
    fixture->bucket.store = &other.base;
    wait_ms(harness, 10 * 60 * 1000, 20);
    assert_int_equal(files_in(harness, "blocks"), WINDOWS);
    fixture->bucket.store = &fixture->store.base;
    wait_ms(harness, 5 * 60 * 1000, 10);
    assert_int_equal(files_in(harness, "blocks"), 0);
    simulated_store_clear(&other);
    expect_all(harness);
    fixture_destroy(fixture);
}

static void what_is_not_uploaded_or_not_listed_stays(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(3);
    struct harness *harness = fixture->harness;
    fixture->bucket.local_retention_ms = 1000;
    fixture->bucket.incarnation = 0; /* nothing is written */
    harness_fill(harness, SERIES, T0, 30);
    harness_set_time(harness, T0 + LATER_MS);
    harness_freeze(harness);
    wait_ms(harness, 60 * 60 * 1000, 30);
    harness_freeze(harness);
    assert_int_equal(files_in(harness, "blocks"), 1);
    fixture->bucket.local_retention_ms = 0;
    fixture->bucket.incarnation = 1;
    wait_ms(harness, 60 * 1000, 6);
    assert_int_equal(harness->shard->bucket.object_count, 1);
    struct bucket_list_name published = harness->shard->bucket.published;
    assert_true(published.index >= harness->shard->bucket.objects[0].listed_index);
    harness->shard->bucket.published = (struct bucket_list_name){0};
    fixture->bucket.local_retention_ms = 1000;
    fixture->bucket.incarnation = 0;
    wait_ms(harness, 60 * 60 * 1000, 30);
    assert_int_equal(files_in(harness, "blocks"), 1);
    harness->shard->bucket.published = published;
    wait_ms(harness, 60 * 1000, 6);
    assert_int_equal(files_in(harness, "blocks"), 0);
    harness_expect_fill(harness, SERIES, T0, 30);
    fixture_destroy(fixture);
}

static void the_cutoff_of_the_size_drops_files_too(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(4);
    struct harness *harness = fixture->harness;
    fill(fixture);
    fixture->bucket.local_cutoff_ms = T0 + 2 * APART_MS;
    wait_ms(harness, 60 * 1000, 6);
    assert_int_equal(files_in(harness, "blocks"), 1);
    expect_all(harness);
    fixture_destroy(fixture);
}

/* --- Restarts and outages -------------------------------------------------------------------- */

static void a_restart_asks_the_store_for_nothing(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(10);
    struct harness *harness = fixture->harness;
    fill(fixture);
    drop_all(fixture);
    harness_close(harness);
    fixture->store.is_down = true;
    uint64_t calls = fixture->store.calls;
    struct error error;
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    harness_run(harness);
    assert_int_equal(fixture->store.calls, calls);
    assert_int_equal(harness_statistics(harness).damaged_files, 0);
    /* What needs no such block goes on; what needs one says so, and is never silently partial. */
    shard_lead(harness->shard);
    harness_fill(harness, SERIES, T0 + LATER_MS, 30);
    harness_expect_fill(harness, SERIES, T0 + LATER_MS, 30);
    assert_int_equal(read_code(harness, T0, T0 + WINDOW_MS), ERROR_UNAVAILABLE);
    assert_int_equal(read_code(harness, T0, T0 + LATER_MS + WINDOW_MS), ERROR_UNAVAILABLE);
    fixture->store.is_down = false;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < WINDOWS; i++)
            harness_expect_fill(harness, SERIES, T0 + i * APART_MS, 30);
        fixture->store.is_down = true; /* open by now, and cached */
    }
    fixture_destroy(fixture);
}

static void a_crash_before_a_state_that_knows_the_object_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 30; seed++) {
        struct fixture *fixture = fixture_create(seed);
        struct harness *harness = fixture->harness;
        fixture->bucket.local_retention_ms = 1000;
        harness_fill(harness, SERIES, T0, 30);
        harness_freeze(harness);
        harness->keep_snapshots_away = true;
        harness_set_time(harness, T0 + LATER_MS);
        wait_ms(harness, (seed - 19) * 20 * 1000, 10);
        harness_restart(harness);
        assert_int_equal(harness_statistics(harness).damaged_files, 0);
        harness_expect_fill(harness, SERIES, T0, 30);
        harness->keep_snapshots_away = false;
        harness_fill(harness, SERIES, T0 + LATER_MS, 5);
        harness_flush(harness);
        wait_ms(harness, 60 * 1000, 6);
        harness_restart(harness);
        harness_expect_fill(harness, SERIES, T0, 30);
        fixture_destroy(fixture);
    }
}

/* --- Damage ---------------------------------------------------------------------------------- */

static void a_damaged_file_is_read_from_the_bucket_and_comes_back(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(40);
    struct harness *harness = fixture->harness;
    char path[200];
    struct error error;
    fill(fixture);
    block_path(harness, 0, path);
    harness_close(harness);
    struct disk *disk = harness->environment->base.disk;
    struct file *file;
    uint64_t size;
    assert_int_equal(disk_open(disk, path, DISK_OPEN_READ_WRITE, &file, &error), ERROR_NONE);
    assert_int_equal(disk_size(disk, file, &size, &error), ERROR_NONE);
    assert_int_equal(disk_write_at(disk, file, size - 8, (const uint8_t *)"damaged!", 8, &error),
                     ERROR_NONE);
    disk_close(disk, file);
    fixture->store.is_down = true;
    harness_start(harness);
    assert_int_equal(harness_statistics(harness).absent_block_count, 1);
    assert_int_equal(read_code(harness, T0, T0 + WINDOW_MS - 1), ERROR_UNAVAILABLE);
    fixture->store.is_down = false;
    expect_all(harness);
    wait_ms(harness, 10 * 60 * 1000, 20);
    assert_int_equal(harness_statistics(harness).absent_block_count, 0);
    fixture->store.is_down = true;
    harness_restart(harness);
    expect_all(harness);
    fixture_destroy(fixture);
}

static void on_scrubbed(struct shard_scrub *scrub, const struct error *error)
{
    (void)scrub;
    assert_int_equal(error->code, ERROR_NONE);
}

static void rot_that_a_scrub_finds_is_mended_by_the_bucket(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(41);
    struct harness *harness = fixture->harness;
    char path[200];
    fill(fixture);
    simulated_disk_flip(&harness->environment->disk, block_path(harness, 1, path), 8 * 100);
    struct shard_scrub scrub = {.done = on_scrubbed};
    shard_scrub(harness->shard, &scrub);
    harness_run(harness);
    assert_int_equal(scrub.damaged, 1);
    assert_int_equal(harness_statistics(harness).damaged_files, 0);
    expect_all(harness);
    wait_ms(harness, 10 * 60 * 1000, 20);
    assert_int_equal(harness_statistics(harness).absent_block_count, 0);
    shard_scrub(harness->shard, &scrub);
    harness_run(harness);
    assert_int_equal(scrub.damaged, 0);
    assert_int_equal(scrub.files, 1 + WINDOWS); /* a segment, and the blocks */
    fixture_destroy(fixture);
}

static void on_flushed_here(struct shard_flush *flush, const struct error *error)
{
    (void)flush;
    assert_int_equal(error->code, ERROR_NONE);
}

/* --- Merges ---------------------------------------------------------------------------------- */

static void late_samples_enter_blocks_that_are_in_the_bucket_only(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(50);
    struct harness *harness = fixture->harness;
    fill(fixture);
    drop_all(fixture);
    fixture->bucket.local_retention_ms = 0;
    harness_fill(harness, SERIES, T0 + 60 * 60000, 30);
    harness_flush(harness);
    wait_ms(harness, 60 * 1000, 6);
    assert_int_equal(harness_count(harness, 0), WINDOWS * 30 + 30);
    assert_int_equal(harness->shard->block_count, WINDOWS);
    assert_int_equal(harness_statistics(harness).absent_block_count, WINDOWS - 1);
    harness_restart(harness);
    assert_int_equal(harness_count(harness, 0), WINDOWS * 30 + 30);
    harness_expect_fill(harness, SERIES, T0, 30);
    fixture_destroy(fixture);
}

static void a_merge_that_cannot_read_the_bucket_blocks_no_other(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(51);
    struct harness *harness = fixture->harness;
    fill(fixture);
    drop_all(fixture);
    fixture->store.is_down = true;
    harness_fill(harness, SERIES, T0 + 60 * 60000, 30);
    harness_freeze(harness);
    harness_set_time(harness, T0 + 2 * LATER_MS);
    wait_ms(harness, 3 * 60 * 60 * 1000, 60);
    assert_null(harness->shard->merge);
    uint64_t merges = harness_statistics(harness).merges_total;
    harness_fill(harness, SERIES, T0 + 2 * LATER_MS, 30);
    harness_freeze(harness);
    harness_set_time(harness, T0 + 3 * LATER_MS);
    wait_ms(harness, 60 * 60 * 1000, 60);
    assert_true(harness_statistics(harness).merges_total > merges);
    harness_expect_fill(harness, SERIES, T0 + 2 * LATER_MS, 30);
    fixture->store.is_down = false;
    wait_ms(harness, 3 * 60 * 60 * 1000, 60);
    assert_int_equal(harness_count(harness, 0), WINDOWS * 30 + 60);
    harness_expect_fill(harness, SERIES, T0, 30);
    fixture_destroy(fixture);
}

static struct harness *neighbour(struct harness *of, uint32_t shard_id, const char *directory)
{
    struct harness *harness = calloc(1, sizeof *harness);
    assert_non_null(harness);
    harness->environment = of->environment;
    harness->cache = of->cache;
    harness->options = of->options;
    harness->options.shard_id = shard_id;
    harness->options.directory = directory;
    harness->options.proposer.context = harness;
    return harness;
}

static void neighbour_destroy(struct harness *harness)
{
    harness_close(harness);
    for (size_t i = 0; i < harness->log_count; i++)
        free(harness->log[i].bytes);
    free(harness->log);
    byte_buffer_clear(&harness->snapshot);
    free(harness);
}

/* What the leader's log has, a while after. */
static void follow(struct harness *replica, const struct harness *leader)
{
    while (replica->log_count < leader->log_count) {
        const struct harness_entry *entry = &leader->log[replica->log_count];
        harness_append(replica, entry->bytes, entry->size_bytes);
        assert_int_equal(replica->last_index, entry->index);
    }
    for (int i = 0; i < 6; i++) {
        harness_run(replica);
        replica->environment->clock.now_ns += UINT64_C(15000000000);
        shard_tend(replica->shard);
    }
    harness_run(replica);
}

static void who_follows_without_the_bucket_goes_on_with_what_the_leader_merged(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(54);
    struct harness *leader = fixture->harness;
    struct error error;
    struct simulated_store away;
    struct shard_bucket bucket = {.store = &fixture->store.base, .local_retention_ms = 1000};
    simulated_store_init(&away, leader->environment->base.clock, 54);
    away.is_down = true;
    struct harness *replica = neighbour(leader, 7, "shards/replica");
    replica->options.bucket = &bucket;
    replica->refuse_proposals = true;
    assert_int_equal(harness_open(replica, &error), ERROR_NONE);
    fill(fixture);
    drop_all(fixture);
    fixture->bucket.local_retention_ms = 0;
    follow(replica, leader);
    assert_int_equal(files_in(replica, "blocks"), 0);

    bucket.store = &away.base;
    harness_fill(leader, SERIES, T0 + 60 * 60000, 30);
    leader->refuse_kind = ENTRY_UPLOADED;
    fixture->bucket.incarnation = 0; /* the output is not uploaded yet */
    harness_freeze(leader);
    struct shard_flush flush = {.done = on_flushed_here, .place = FLUSH_HERE};
    shard_flush(leader->shard, &flush);
    harness_run(leader);
    assert_int_equal(harness_count(leader, 0), WINDOWS * 30 + 30);
    follow(replica, leader);
    assert_int_equal(replica->applied_count, replica->log_count);
    assert_int_equal(replica->shard->block_count, WINDOWS);
    assert_int_equal(harness_statistics(replica).damaged_files, 1);

    leader->refuse_kind = 0;
    fixture->bucket.incarnation = 1;
    wait_ms(leader, 60 * 1000, 6);
    follow(replica, leader);
    assert_int_equal(harness_statistics(replica).damaged_files, 0);
    assert_int_equal(read_code(replica, T0, T0 + WINDOW_MS), ERROR_UNAVAILABLE);
    neighbour_destroy(replica);
    simulated_store_clear(&away);
    fixture_destroy(fixture);
}

static void deleted_samples_stay_deleted_in_blocks_of_the_bucket(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(52);
    struct harness *harness = fixture->harness;
    fill(fixture);
    drop_all(fixture);
    harness_delete(harness, 0, T0, T0 + WINDOW_MS - 1);
    assert_int_equal(harness_count(harness, 0), (WINDOWS - 1) * 30);
    harness_freeze(harness);
    wait_ms(harness, 60 * 60 * 1000, 20);
    harness_restart(harness);
    assert_int_equal(harness_count(harness, 0), (WINDOWS - 1) * 30);
    harness_expect_fill(harness, SERIES, T0 + APART_MS, 30);
    fixture_destroy(fixture);
}

static void the_retention_takes_blocks_of_the_bucket(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(53);
    struct harness *harness = fixture->harness;
    fill(fixture);
    drop_all(fixture);
    shard_retain_from(harness->shard, T0 + WINDOW_MS);
    harness_run(harness);
    harness_freeze(harness);
    assert_int_equal(harness_statistics(harness).absent_block_count, WINDOWS - 1);
    wait_ms(harness, 3 * (uint64_t)GRACE_MS, 30);
    assert_int_equal(simulated_store_count(&fixture->store, "shards/00000007/blocks/"),
                     WINDOWS - 1);
    harness_restart(harness);
    assert_int_equal(harness_count(harness, 0), (WINDOWS - 1) * 30);
    fixture_destroy(fixture);
}

/* --- Copies and other replicas --------------------------------------------------------------- */

struct copying {
    struct shard_copy copy; /* first */
    bool done;
};

static void on_copied(struct shard_copy *copy)
{
    ((struct copying *)copy)->done = true;
}

static void a_copy_has_the_files_that_are_in_the_bucket_only(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(60);
    struct harness *harness = fixture->harness;
    struct error error;
    fill(fixture);
    drop_all(fixture);
    struct copying copying = {.copy = {.done = on_copied, .directory = "copy"}};
    fixture->store.is_down = true;
    shard_copy(harness->shard, &copying.copy);
    harness_run(harness);
    assert_int_equal(copying.copy.error.code, ERROR_UNAVAILABLE);
    byte_buffer_clear(&copying.copy.manifest);
    fixture->store.is_down = false;
    copying.copy.directory = "another";
    shard_copy(harness->shard, &copying.copy);
    harness_run(harness);
    assert_int_equal(copying.copy.error.code, ERROR_NONE);
    struct harness *copied = neighbour(harness, 7, "another");
    copied->options.bucket = NULL;
    copied->snapshot = copying.copy.manifest;
    copied->snapshot_index = copied->last_index = copying.copy.frozen_index;
    assert_int_equal(files_in(copied, "blocks"), WINDOWS);
    assert_int_equal(harness_open(copied, &error), ERROR_NONE);
    expect_all(copied);
    neighbour_destroy(copied);
    fixture_destroy(fixture);
}

static void on_ready(void *context, const struct error *error)
{
    *(struct error *)context = *error;
}

static void an_install_needs_no_files_of_the_bucket(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(61);
    struct harness *harness = fixture->harness;
    struct byte_buffer manifest = {0};
    uint64_t index;
    struct error error, outcome = {.code = ERROR_TIMEOUT};
    fill(fixture);
    drop_all(fixture);
    assert_int_equal(shard_snapshot(harness->shard, &manifest, &index, &error), ERROR_NONE);
    /* Nobody has the segment but the shard itself: so it installs what it has. */
    uint64_t calls = fixture->store.calls;
    struct shard_install *install;
    assert_int_equal(shard_install_begin(harness->shard, manifest.bytes, manifest.size, on_ready,
                                         &outcome, &install, &error),
                     ERROR_NONE);
    harness_run(harness);
    if (outcome.code != ERROR_NONE)
        fail_msg("%s", outcome.message);
    assert_int_equal(shard_install_finish(install, &error), ERROR_NONE);
    assert_int_equal(fixture->store.calls, calls);
    expect_all(harness);
    byte_buffer_clear(&manifest);
    fixture_destroy(fixture);
}

static void a_split_shares_blocks_of_the_bucket(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(62);
    struct harness *parent = fixture->harness;
    struct error error;
    harness_fill(parent, 40, T0, 20);
    harness_flush(parent);
    harness_set_time(parent, T0 + LATER_MS);
    drop_all(fixture);
    struct shard_child half = {.shard_id = CHILD, .founders = {1}, .founder_count = 1};
    slot_set_add(&half.slots, SLOT_COUNT / 2, SLOT_COUNT / 2);
    for (int i = 0; i < 3 && !shard_split(parent->shard, &half); i++)
        harness_run(parent);
    harness_run(parent);
    struct copying copying = {.copy = {.done = on_copied, .directory = "shards/0009"}};
    shard_copy_child(parent->shard, &copying.copy);
    harness_run(parent);
    assert_int_equal(copying.copy.error.code, ERROR_NONE);
    shard_child_is_founded(parent->shard, copying.copy.frozen_index);
    struct harness *child = neighbour(parent, CHILD, "shards/0009");
    child->snapshot = copying.copy.manifest;
    child->snapshot_index = child->last_index = copying.copy.frozen_index;
    assert_int_equal(files_in(child, "blocks"), 0);
    assert_int_equal(harness_open(child, &error), ERROR_NONE);
    shard_lead(child->shard);
    harness_run(child);
    for (int round = 0; round < 3; round++) {
        for (unsigned series = 0; series < 40; series++)
            assert_int_equal(harness_count(parent, series) + harness_count(child, series), 20);
        wait_ms(parent, 60 * 60 * 1000, 20);
        wait_ms(child, 60 * 60 * 1000, 20);
    }
    neighbour_destroy(child);
    fixture_destroy(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_are_uploaded_and_old_go_and_every_sample_is_read),
        cmocka_unit_test(nothing_goes_that_the_store_does_not_show),
        cmocka_unit_test(what_is_not_uploaded_or_not_listed_stays),
        cmocka_unit_test(the_cutoff_of_the_size_drops_files_too),
        cmocka_unit_test(a_restart_asks_the_store_for_nothing),
        cmocka_unit_test(a_crash_before_a_state_that_knows_the_object_loses_nothing),
        cmocka_unit_test(a_damaged_file_is_read_from_the_bucket_and_comes_back),
        cmocka_unit_test(rot_that_a_scrub_finds_is_mended_by_the_bucket),
        cmocka_unit_test(late_samples_enter_blocks_that_are_in_the_bucket_only),
        cmocka_unit_test(a_merge_that_cannot_read_the_bucket_blocks_no_other),
        cmocka_unit_test(who_follows_without_the_bucket_goes_on_with_what_the_leader_merged),
        cmocka_unit_test(deleted_samples_stay_deleted_in_blocks_of_the_bucket),
        cmocka_unit_test(the_retention_takes_blocks_of_the_bucket),
        cmocka_unit_test(a_copy_has_the_files_that_are_in_the_bucket_only),
        cmocka_unit_test(an_install_needs_no_files_of_the_bucket),
        cmocka_unit_test(a_split_shares_blocks_of_the_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
