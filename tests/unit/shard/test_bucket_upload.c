/* What a shard uploads, lists and deletes: each sample is listed once, whatever fails. */
#include "bucket_entry.h"
#include "bucket_fixture.h"
#include "shard/bucket_list.h"
#include "shard/entry.h"

static const int64_t T0 = HARNESS_START_MS;
enum { CHILD = 9 };

/* --- What is there -----------------------------------------------------------------------------
 */

/* The newest list of a shard, as a reader finds it. */
static struct bucket_list newest_list(const struct fixture *fixture, uint32_t shard_id)
{
    const struct simulated_store *store = &fixture->store;
    const struct simulated_object *newest = NULL;
    struct bucket_list_key key;
    struct bucket_list list;
    struct error error;
    for (size_t i = 0; i < store->count; i++) {
        const struct simulated_object *object = &store->objects[i];
        if (object->gone_ns != UINT64_MAX || !bucket_list_key_parse(text_of(object->key), &key) ||
            key.shard_id != shard_id)
            continue;
        if (newest == NULL || strcmp(object->key, newest->key) > 0)
            newest = object;
    }
    assert_non_null(newest);
    if (bucket_list_decode(newest->bytes, newest->size_bytes, &list, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    return list;
}

/* All that is listed is there as it was said; how many samples that is. */
static uint64_t listed_samples(const struct fixture *fixture, uint32_t shard_id)
{
    struct bucket_list list = newest_list(fixture, shard_id);
    uint64_t samples = 0;
    for (size_t i = 0; i < list.block_count; i++) {
        char key[BUCKET_KEY_MAX];
        bucket_block_key_format(&list.blocks[i].key, key);
        const struct simulated_object *object = simulated_store_find(&fixture->store, key);
        assert_non_null(object);
        assert_int_equal(object->size_bytes, list.blocks[i].size_bytes);
        assert_true(hash128_equal(hash128(object->bytes, object->size_bytes, HASH_SEED_STORED),
                                  list.blocks[i].key.hash));
        samples += list.blocks[i].summary.sample_count;
    }
    bucket_list_clear(&list);
    return samples;
}

static size_t block_objects(const struct fixture *fixture)
{
    return simulated_store_count(&fixture->store, "shards/00000007/blocks/");
}

static size_t lists(const struct fixture *fixture)
{
    return simulated_store_count(&fixture->store, "shards/00000007/manifests/");
}

/* --- Uploading ------------------------------------------------------------------------------- */

static void a_flush_uploads_and_lists_each_block_once(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(1);
    struct harness *harness = fixture->harness;
    harness_fill(harness, 5, T0, 30);
    harness_fill(harness, 5, T0 + WINDOW_MS, 30);
    harness_flush(harness);
    assert_int_equal(listed_samples(fixture, 7), 5 * 60);
    assert_int_equal(block_objects(fixture), 2);
    uint64_t puts = fixture->store.puts, entries = harness->log_count;
    for (int i = 0; i < 3; i++)
        harness_flush(harness);
    assert_int_equal(fixture->store.puts, puts);
    assert_int_equal(harness->log_count, entries);
    assert_int_equal(fixture->bucket.uploads, 2);
    fixture_destroy(fixture);
}

static void before_the_version_and_without_the_claim_nothing_is_written(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(2);
    struct harness *harness = harness_create(3);
    struct error error;
    harness->options.shard_id = 8; /* beside the fixture's own */
    harness->options.bucket = &fixture->bucket;
    harness_close(harness);
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    shard_lead(harness->shard);
    uint64_t puts = fixture->store.puts;
    harness_raise(harness, STATE_VERSION_SPLITS);
    harness_fill(harness, 5, T0, 30);
    harness_freeze(harness);
    harness_set_time(harness, T0 + 24 * HOUR_MS);
    harness_maintain(harness);
    assert_true(harness_statistics(harness).block_count > 0);
    assert_int_equal(fixture->store.puts, puts);
    fixture->bucket.incarnation = 0;
    harness_raise(harness, STATE_VERSION_BUCKET);
    assert_int_equal(fixture->store.puts, puts);
    fixture->bucket.incarnation = 1;
    harness_maintain(harness);
    assert_true(fixture->store.puts > puts);
    harness_destroy(harness);
    fixture_destroy(fixture);
}

/* A block that new samples of its window follow is uploaded once, until they are a tenth of it. */
static void small_news_of_an_uploaded_window_lie_beside_it(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(4);
    struct harness *harness = fixture->harness;
    harness_fill(harness, 5, T0, 60);
    harness_flush(harness);
    assert_int_equal(fixture->bucket.uploads, 1);
    struct bucket_object first = fixture->harness->shard->bucket.objects[0];
    harness_fill(harness, 5, T0 + HOUR_MS, 2);
    harness_flush(harness);
    assert_int_equal(listed_samples(fixture, 7), 5 * 62);
    assert_int_equal(fixture->bucket.uploads, 2);
    assert_int_equal(harness_statistics(harness).block_count, 2);
    assert_true(hash128_equal(harness->shard->bucket.objects[0].hash, first.hash));
    harness_fill(harness, 5, T0 + HOUR_MS + 2 * 60000, 40);
    harness_flush(harness);
    assert_int_equal(listed_samples(fixture, 7), 5 * 102);
    assert_int_equal(harness_statistics(harness).block_count, 1);
    fixture_destroy(fixture);
}

/* --- Merges ---------------------------------------------------------------------------------- */

static void merged_blocks_are_listed_until_the_output_is_and_then_deleted(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(5);
    struct harness *harness = fixture->harness;
    for (int hour = 0; hour < 12; hour += 2) {
        harness_fill(harness, 3, T0 + hour * (int64_t)HOUR_MS, 20);
        harness_flush(harness);
    }
    assert_int_equal(block_objects(fixture), 6);
    fixture->store.is_down = true;
    harness_set_time(harness, T0 + 20 * (int64_t)HOUR_MS);
    wait_ms(harness, 5000, 5);
    size_t blocks = harness_statistics(harness).block_count;
    assert_true(blocks < 6);
    assert_int_equal(listed_samples(fixture, 7), 3 * 120);
    struct shard_backlog backlog;
    shard_read_backlog(harness->shard, &backlog);
    assert_true(backlog.blocks > 0 && backlog.bytes > 0);

    fixture->store.is_down = false;
    wait_ms(harness, 3 * 60 * 1000, 10);
    shard_read_backlog(harness->shard, &backlog);
    assert_int_equal(backlog.blocks, 0);
    assert_int_equal(listed_samples(fixture, 7), 3 * 120);
    assert_true(block_objects(fixture) > blocks); /* whoever reads the list before still can */
    wait_ms(harness, GRACE_MS, 10);
    assert_int_equal(block_objects(fixture), blocks);
    assert_int_equal(lists(fixture), 1);
    assert_int_equal(listed_samples(fixture, 7), 3 * 120);
    assert_int_equal(harness->shard->bucket.object_count, blocks);
    fixture_destroy(fixture);
}

static void what_the_retention_takes_leaves_the_bucket(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(6);
    struct harness *harness = fixture->harness;
    harness_fill(harness, 3, T0, 20);
    harness_fill(harness, 3, T0 + WINDOW_MS, 20);
    harness_flush(harness);
    shard_retain_from(harness->shard, T0 + WINDOW_MS);
    harness_run(harness);
    wait_ms(harness, 1000, 2);
    assert_int_equal(listed_samples(fixture, 7), 3 * 20);
    assert_int_equal(block_objects(fixture), 2);
    wait_ms(harness, GRACE_MS, 10);
    assert_int_equal(block_objects(fixture), 1);
    fixture_destroy(fixture);
}

/* All that is left of a window goes: nothing will stand in the place of its object. */
static void a_window_without_samples_left_leaves_the_list(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(7);
    struct harness *harness = fixture->harness;
    harness_fill(harness, 1, T0, 20);
    harness_fill(harness, 1, T0 + WINDOW_MS, 20);
    harness_flush(harness);
    harness_delete(harness, 0, T0, T0 + HOUR_MS);
    wait_ms(harness, 1000, 2);
    struct bucket_list list = newest_list(fixture, 7);
    assert_int_equal(list.block_count, 2);
    assert_int_equal(list.deletion_count, 1);
    assert_int_equal(list.deletions[0].start_ms, T0);
    assert_int_equal(list.deletions[0].matcher_count, 1);
    bucket_list_clear(&list);
    struct {
        struct shard_flush flush;
        bool done;
    } request = {.flush = {.done = harness_on_flushed, .reach = FLUSH_DELETED}};
    shard_flush(harness->shard, &request.flush);
    harness_run(harness);
    assert_true(request.done);
    assert_int_equal(listed_samples(fixture, 7), 20);
    wait_ms(harness, GRACE_MS, 10);
    assert_int_equal(block_objects(fixture), 1);
    assert_int_equal(harness_statistics(harness).tombstone_count, 0);
    fixture_destroy(fixture);
}

/* --- Replicas -------------------------------------------------------------------------------- */

static void replicas_and_restarts_have_the_same_state(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(8);
    struct harness *harness = fixture->harness, *other = harness_create(9);
    struct byte_buffer one = {0}, two = {0};
    struct error error;
    for (int hour = 0; hour < 12; hour += 2) {
        harness_fill(harness, 3, T0 + hour * (int64_t)HOUR_MS, 20);
        harness_flush(harness);
    }
    harness_set_time(harness, T0 + 20 * (int64_t)HOUR_MS);
    wait_ms(harness, 60 * 1000, 5);
    harness_freeze(harness);
    other->refuse_proposals = true;
    for (size_t i = 0; i < harness->log_count; i++) {
        harness_append(other, harness->log[i].bytes, harness->log[i].size_bytes);
        other->log[i].index = harness->log[i].index;
    }
    uint64_t puts = fixture->store.puts;
    assert_int_equal(harness_settle(other, &error), ERROR_NONE);
    assert_int_equal(fixture->store.puts, puts); /* it does not lead */
    for (int round = 0; round < 2; round++) {
        uint64_t index[2], checksum[2];
        bucket_encode(&harness->shard->bucket, &one);
        bucket_encode(&other->shard->bucket, &two);
        assert_true(one.size > 100);
        assert_int_equal(one.size, two.size);
        assert_memory_equal(one.bytes, two.bytes, one.size);
        shard_frozen_state(harness->shard, &index[0], &checksum[0], &error);
        shard_frozen_state(other->shard, &index[1], &checksum[1], &error);
        assert_int_equal(index[0], index[1]);
        assert_true(checksum[0] == checksum[1]);
        byte_buffer_clear(&one);
        byte_buffer_clear(&two);
        if (round == 0)
            harness_restart(harness);
    }
    assert_int_equal(fixture->store.puts, puts);
    harness_destroy(other);
    fixture_destroy(fixture);
}

static void a_leader_that_is_deposed_stops_and_its_successor_goes_on(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(10);
    struct harness *harness = fixture->harness;
    harness_fill(harness, 3, T0, 20);
    harness_freeze(harness);
    harness_set_time(harness, T0 + 4 * (int64_t)HOUR_MS);
    uint64_t puts = fixture->store.puts;
    while (harness->shard->keeper.job == NULL) { /* it is asked to upload */
        shard_maintain(harness->shard);
        struct error error;
        if (harness->applied_count < harness->log_count) {
            struct harness_entry *entry = &harness->log[harness->applied_count];
            if (shard_apply(harness->shard, entry->index, entry->bytes, entry->size_bytes,
                            &error) != ERROR_UNAVAILABLE)
                harness->applied_count++;
        }
        simulated_scheduler_step(&harness->environment->scheduler);
    }
    shard_follow(harness->shard);
    harness_run(harness);
    wait_ms(harness, 10000, 5);
    assert_int_equal(fixture->store.puts, puts);
    shard_lead(harness->shard);
    harness_run(harness);
    wait_ms(harness, 10000, 5);
    assert_int_equal(listed_samples(fixture, 7), 3 * 20);
    fixture_destroy(fixture);
}

/* --- Faults ---------------------------------------------------------------------------------- */

static void whatever_fails_nothing_is_missing_doubled_or_left_behind(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 32; seed++) {
        struct fixture *fixture = fixture_create(seed);
        struct harness *harness = fixture->harness;
        uint64_t samples = 0;
        fixture->store.fail_before_permille = 200;
        fixture->store.fail_after_permille = 200;
        fixture->store.listing_lag_ns = UINT64_C(3600) * 1000000000;
        for (int hour = 0; hour < 24; hour += 2) {
            harness_set_time(harness, T0 + hour * (int64_t)HOUR_MS + WINDOW_MS);
            harness_fill(harness, 3, T0 + hour * (int64_t)HOUR_MS, 20);
            samples += 60;
            harness_freeze(harness);
            wait_ms(harness, HOUR_MS, 20);
            if (hour % 6 == 4) {
                harness_restart(harness);
            } else if (hour % 6 == 2) {
                shard_follow(harness->shard);
                harness_run(harness);
                shard_lead(harness->shard);
                harness_run(harness);
            }
            if (hour > 6)
                assert_true(listed_samples(fixture, 7) <= samples);
        }
        assert_true(fixture->bucket.failures > 0);
        fixture->store.fail_before_permille = fixture->store.fail_after_permille = 0;
        fixture->store.listing_lag_ns = 0;
        wait_ms(harness, 3 * (uint64_t)AGE_MS, 40);
        harness_flush(harness);
        wait_ms(harness, 3 * (uint64_t)AGE_MS, 40);
        assert_int_equal(listed_samples(fixture, 7), samples);
        assert_int_equal(block_objects(fixture), harness_statistics(harness).block_count);
        assert_int_equal(lists(fixture), 1);
        fixture_destroy(fixture);
    }
}

static void on_failed_flush(struct shard_flush *flush, const struct error *error)
{
    struct error *outcome = *(struct error **)(flush + 1);
    *outcome = *error;
}

static void a_flush_without_the_bucket_fails_and_says_why(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(40);
    struct harness *harness = fixture->harness;
    struct error outcome = {0};
    struct {
        struct shard_flush flush;
        struct error *outcome;
    } request = {.flush = {.done = on_failed_flush}, .outcome = &outcome};
    struct {
        struct shard_flush flush;
        bool done;
    } local = {.flush = {.done = harness_on_flushed, .place = FLUSH_HERE}};
    fixture->store.is_down = true;
    harness_fill(harness, 3, T0, 20);
    shard_flush(harness->shard, &request.flush);
    shard_flush(harness->shard, &local.flush);
    harness_run(harness);
    assert_true(local.done); /* it does not wait for the bucket */
    wait_ms(harness, 40 * 1000, 10);
    assert_int_equal(outcome.code, ERROR_NONE);
    harness_fill(harness, 3, T0 + HOUR_MS, 20); /* writes go on */
    wait_ms(harness, 20 * 1000, 10);
    assert_int_equal(outcome.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(outcome.message, "simulated store: failed"));
    fixture->store.is_down = false;
    wait_ms(harness, 2 * 60 * 1000, 10);
    harness_flush(harness);
    assert_int_equal(listed_samples(fixture, 7), 3 * 40);
    fixture_destroy(fixture);
}

/* What the log says is in the bucket is not in another one: nothing is done there. */
static void another_store_than_before_is_not_written_to(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(42);
    struct harness *harness = fixture->harness;
    struct simulated_store other;
    simulated_store_init(&other, harness->environment->base.clock, 1);
    harness_fill(harness, 3, T0, 20);
    harness_flush(harness);
    fixture->bucket.store = &other.base;
    harness_restart(harness);
    harness_fill(harness, 3, T0 + WINDOW_MS, 20);
    harness_freeze(harness);
    harness_set_time(harness, T0 + 8 * (int64_t)HOUR_MS);
    wait_ms(harness, 2 * (uint64_t)AGE_MS, 20);
    assert_int_equal(other.puts, 0);
    assert_int_equal(harness->shard->keeper.error.code, ERROR_CONFLICT);
    fixture->bucket.store = &fixture->store.base;
    wait_ms(harness, 2 * (uint64_t)AGE_MS, 20);
    assert_int_equal(listed_samples(fixture, 7), 3 * 40);
    simulated_store_clear(&other);
    fixture_destroy(fixture);
}

/* A data directory of yesterday does not put other lists under the names of today's. */
static void a_log_that_went_back_writes_nothing(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(43);
    struct harness *harness = fixture->harness;
    harness_fill(harness, 3, T0, 20);
    harness_flush(harness);
    size_t kept = harness->log_count;
    uint64_t last_index = harness->last_index;
    struct byte_buffer snapshot = {0};
    byte_buffer_append(&snapshot, harness->snapshot.bytes, harness->snapshot.size);
    uint64_t snapshot_index = harness->snapshot_index;
    harness->keep_snapshots_away = true; /* files of before stay */
    harness_fill(harness, 3, T0 + WINDOW_MS, 20);
    harness_freeze(harness);
    harness_set_time(harness, T0 + 8 * (int64_t)HOUR_MS);
    wait_ms(harness, 10000, 10);
    assert_true(harness->shard->bucket.published.index > last_index);

    for (size_t i = kept; i < harness->log_count; i++)
        free(harness->log[i].bytes);
    harness->log_count = kept;
    harness->last_index = last_index;
    byte_buffer_clear(&harness->snapshot);
    harness->snapshot = snapshot;
    harness->snapshot_index = snapshot_index;
    uint64_t puts = fixture->store.puts;
    harness_restart(harness);
    harness_fill(harness, 2, T0 + 2 * WINDOW_MS, 20);
    harness_freeze(harness);
    wait_ms(harness, 2 * (uint64_t)AGE_MS, 20);
    assert_int_equal(fixture->store.puts, puts);
    assert_int_equal(harness->shard->keeper.error.code, ERROR_CONFLICT);
    assert_non_null(strstr(harness->shard->keeper.error.message, "an older copy"));
    fixture_destroy(fixture);
}

static void strays_are_swept_when_they_are_old(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(41);
    struct harness *harness = fixture->harness;
    struct object_call call = {0};
    struct error error;
    char key[BUCKET_KEY_MAX];
    harness_fill(harness, 3, T0, 20);
    harness_flush(harness);
    struct bucket_block_key stray = {.shard_id = 7, .index = 1, .number = 3, .hash = {1, 2}};
    struct text text = bucket_block_key_format(&stray, key);
    assert_int_equal(object_store_put(&fixture->store.base, &call, text, "x", 1, &error),
                     ERROR_NONE);
    assert_int_equal(object_store_put(&fixture->store.base, &call, TEXT("shards/00000007/notes"),
                                      "x", 1, &error),
                     ERROR_NONE);
    wait_ms(harness, AGE_MS / 2, 10);
    assert_non_null(simulated_store_find(&fixture->store, key));
    wait_ms(harness, AGE_MS, 10);
    assert_null(simulated_store_find(&fixture->store, key));
    assert_non_null(simulated_store_find(&fixture->store, "shards/00000007/notes"));
    assert_int_equal(listed_samples(fixture, 7), 3 * 20);
    fixture_destroy(fixture);
}

/* --- Splits ---------------------------------------------------------------------------------- */

struct copying {
    struct shard_copy copy; /* first */
    bool done;
};

static void on_copied(struct shard_copy *copy)
{
    ((struct copying *)copy)->done = true;
}

/* The half above goes to another shard, on a harness that shares the disk. */
static struct harness *split(struct fixture *fixture)
{
    struct harness *parent = fixture->harness;
    struct shard_child child = {.shard_id = CHILD, .founders = {1}, .founder_count = 1};
    slot_set_add(&child.slots, SLOT_COUNT / 2, SLOT_COUNT / 2);
    for (int i = 0; i < 3 && !shard_split(parent->shard, &child); i++)
        harness_run(parent);
    harness_run(parent);
    struct copying copying = {.copy = {.done = on_copied, .directory = "shards/0009"}};
    shard_copy_child(parent->shard, &copying.copy);
    harness_run(parent);
    assert_true(copying.done);
    assert_int_equal(copying.copy.error.code, ERROR_NONE);
    shard_child_is_founded(parent->shard, copying.copy.frozen_index);

    struct harness *harness = calloc(1, sizeof *harness);
    struct error error;
    harness->environment = parent->environment;
    harness->cache = parent->cache;
    harness->options = parent->options;
    harness->options.shard_id = CHILD;
    harness->options.directory = "shards/0009";
    harness->options.proposer.context = harness;
    harness->snapshot = copying.copy.manifest;
    harness->snapshot_index = harness->last_index = copying.copy.frozen_index;
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    return harness;
}

static void child_destroy(struct harness *child)
{
    harness_close(child);
    for (size_t i = 0; i < child->log_count; i++)
        free(child->log[i].bytes);
    free(child->log);
    byte_buffer_clear(&child->snapshot);
    free(child);
}

static void a_child_lists_what_its_parent_uploaded_until_it_has_its_own(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(50);
    struct harness *parent = fixture->harness;
    harness_fill(parent, 40, T0, 20);
    harness_flush(parent);
    size_t before = lists(fixture);
    struct harness *child = split(fixture);
    assert_int_equal(parent->shard->bucket.heir_count, 1);

    /* Nobody leads the child yet: what lists all slots stays the newest. */
    wait_ms(parent, 60 * 1000, 10);
    assert_int_equal(lists(fixture), before);
    struct bucket_list list = newest_list(fixture, 7);
    assert_int_equal(slot_set_count(&list.slots), SLOT_COUNT);
    bucket_list_clear(&list);

    uint64_t uploads = fixture->bucket.uploads;
    child->refuse_kind = ENTRY_MERGE_START; /* it writes nothing anew yet */
    shard_lead(child->shard);
    harness_run(child);
    wait_ms(child, 3000, 3);
    list = newest_list(fixture, CHILD);
    assert_int_equal(slot_set_count(&list.slots), SLOT_COUNT / 2);
    assert_int_equal(list.block_count, 1);
    assert_int_equal(list.blocks[0].key.shard_id, 7);
    bucket_list_clear(&list);
    assert_int_equal(fixture->bucket.uploads, uploads);
    assert_int_equal(listed_samples(fixture, CHILD), 40 * 20);

    /* The parent writes its half anew, but keeps what the child names. */
    wait_ms(parent, 60 * 1000, 10);
    wait_ms(parent, 3 * (uint64_t)GRACE_MS, 30);
    list = newest_list(fixture, 7);
    assert_int_equal(slot_set_count(&list.slots), SLOT_COUNT / 2);
    bucket_list_clear(&list);
    uint64_t half = listed_samples(fixture, 7);
    assert_true(half > 0 && half < 40 * 20);
    assert_int_equal(listed_samples(fixture, CHILD), 40 * 20);
    assert_int_equal(block_objects(fixture), 2);

    /* The child does the same: nobody names the parent's object any more. */
    child->refuse_kind = 0;
    wait_ms(child, 60 * 1000, 10);
    wait_ms(child, 3 * (uint64_t)GRACE_MS, 30);
    assert_int_equal(listed_samples(fixture, CHILD), 40 * 20 - half);
    wait_ms(parent, 3 * (uint64_t)GRACE_MS, 30);
    assert_int_equal(block_objects(fixture), 1);
    assert_int_equal(listed_samples(fixture, 7), half);
    child_destroy(child);
    fixture_destroy(fixture);
}

/* --- Entries --------------------------------------------------------------------------------- */

static void bad_entries_stop_the_shard(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create(60);
    const struct bucket_upload upload = {{5, 1}, 100, {1, 2}};
    struct shard *shard = fixture->harness->shard;
    uint64_t index = fixture->harness->last_index + 1;
    for (int kind = 0; kind < 3; kind++) {
        struct byte_buffer entry = {0};
        struct error error;
        if (kind == 0)
            bucket_encode_uploaded(&entry, T0, &upload, 1);
        else if (kind == 1)
            bucket_encode_published(&entry, T0, (struct bucket_list_name){1, index - 1});
        else
            bucket_encode_removed(&entry, T0, &upload, 1);
        byte_buffer_u8(&entry, 0);
        for (size_t size = 8; size <= entry.size; size++)
            if (size != entry.size - 1)
                assert_int_equal(shard_apply(shard, index, entry.bytes, size, &error),
                                 ERROR_CORRUPT);
        byte_buffer_clear(&entry);
    }
    struct byte_buffer entry = {0};
    struct error error;
    bucket_encode_published(&entry, T0, (struct bucket_list_name){1, index});
    assert_int_equal(shard_apply(shard, index, entry.bytes, entry.size, &error), ERROR_CORRUPT);
    byte_buffer_clear(&entry);
    fixture_destroy(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flush_uploads_and_lists_each_block_once),
        cmocka_unit_test(before_the_version_and_without_the_claim_nothing_is_written),
        cmocka_unit_test(small_news_of_an_uploaded_window_lie_beside_it),
        cmocka_unit_test(merged_blocks_are_listed_until_the_output_is_and_then_deleted),
        cmocka_unit_test(what_the_retention_takes_leaves_the_bucket),
        cmocka_unit_test(a_window_without_samples_left_leaves_the_list),
        cmocka_unit_test(replicas_and_restarts_have_the_same_state),
        cmocka_unit_test(a_leader_that_is_deposed_stops_and_its_successor_goes_on),
        cmocka_unit_test(whatever_fails_nothing_is_missing_doubled_or_left_behind),
        cmocka_unit_test(a_flush_without_the_bucket_fails_and_says_why),
        cmocka_unit_test(another_store_than_before_is_not_written_to),
        cmocka_unit_test(a_log_that_went_back_writes_nothing),
        cmocka_unit_test(strays_are_swept_when_they_are_old),
        cmocka_unit_test(a_child_lists_what_its_parent_uploaded_until_it_has_its_own),
        cmocka_unit_test(bad_entries_stop_the_shard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
