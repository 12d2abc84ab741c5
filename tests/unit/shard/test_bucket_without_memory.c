/* Every allocation of an upload, of a list and of what applies their entries fails once. */
#include "base/state_version.h"
#include "shard/bucket_list.h"
#include "shard/shard_bucket.h"
#include "shard_harness.h"
#include "simulated_store.h"

#include "allocation_faults.h"

enum { SERIES = 6, MINUTES = 15, NUMBERS_MAX = 20000 };

struct fixture {
    struct harness *harness;
    struct simulated_store store;
    struct shard_bucket bucket;
};

/* Samples in memory; what is flushed is uploaded. */
static void fixture_init(struct fixture *fixture)
{
    struct error error;
    *fixture = (struct fixture){.harness = harness_create(5)};
    struct harness *harness = fixture->harness;
    simulated_store_init(&fixture->store, harness->environment->base.clock, 5);
    fixture->bucket.store = &fixture->store.base;
    fixture->bucket.sweep_age_ms = 24 * (uint64_t)HOUR_MS;
    fixture->bucket.incarnation = 1;
    harness->options.bucket = &fixture->bucket;
    harness_close(harness);
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    shard_lead(harness->shard);
    harness_raise(harness, STATE_VERSION_BUCKET);
    harness->keep_snapshots_away = true; /* flush_in_time tries */
    harness_fill(harness, SERIES, HARNESS_START_MS, MINUTES);
}

static void fixture_clear(struct fixture *fixture)
{
    assert_int_equal(fixture->store.overwritten, 0);
    harness_destroy(fixture->harness);
    simulated_store_clear(&fixture->store);
}

static uint64_t listed_samples(const struct fixture *fixture)
{
    const struct simulated_object *newest = NULL;
    struct bucket_list_key key;
    struct bucket_list list;
    struct error error;
    uint64_t samples = 0;
    for (size_t i = 0; i < fixture->store.count; i++) {
        const struct simulated_object *object = &fixture->store.objects[i];
        if (object->gone_ns == UINT64_MAX && bucket_list_key_parse(text_of(object->key), &key) &&
            (newest == NULL || strcmp(object->key, newest->key) > 0))
            newest = object;
    }
    assert_non_null(newest);
    assert_int_equal(bucket_list_decode(newest->bytes, newest->size_bytes, &list, &error),
                     ERROR_NONE);
    for (size_t i = 0; i < list.block_count; i++)
        samples += list.blocks[i].summary.sample_count;
    bucket_list_clear(&list);
    return samples;
}

struct flag_flush {
    struct shard_flush flush; /* first */
    enum error_code code;
    bool done;
};

static void on_flushed(struct shard_flush *flush, const struct error *error)
{
    ((struct flag_flush *)flush)->code = error->code;
    ((struct flag_flush *)flush)->done = true;
}

/* What failed is tried again after seconds. */
static enum error_code flush_in_time(struct harness *harness, struct error *error)
{
    enum { TRIES = 20 };
    struct flag_flush flush = {.flush = {.done = on_flushed}};
    enum error_code code = ERROR_NONE;
    uint64_t durable_count = 0;
    shard_flush(harness->shard, &flush.flush);
    for (size_t i = 0; i < TRIES && code == ERROR_NONE && !flush.done; i++) {
        code = harness_settle(harness, error);
        if (code == ERROR_NONE && !flush.done)
            simulated_scheduler_run_for(&harness->environment->scheduler, UINT64_C(3000000000));
        shard_maintain(harness->shard);
        if (code == ERROR_NONE && harness->durable_count > durable_count &&
            harness_try_snapshot(harness, error) == ERROR_NONE)
            durable_count = harness->durable_count;
    }
    if (code == ERROR_NONE)
        assert_true(flush.done && flush.code == ERROR_NONE);
    else
        shard_cancel_flushes(harness->shard);
    return code;
}

static void uploading_without_memory_is_tried_again(void **state)
{
    (void)state;
    size_t stopped = 0, failures = 0;
    for (size_t number = 1; number < NUMBERS_MAX; number++) {
        struct fixture fixture;
        struct error error;
        fixture_init(&fixture);
        harness_freeze(fixture.harness);
        allocation_faults_arm(number);
        enum error_code code = flush_in_time(fixture.harness, &error);
        bool injected = allocation_faults_disarm();
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        failures += fixture.bucket.failures;
        if (code != ERROR_NONE) { /* the replica ends, and comes again */
            stopped++;
            harness_restart(fixture.harness);
            assert_int_equal(flush_in_time(fixture.harness, &error), ERROR_NONE);
        }
        assert_int_equal(listed_samples(&fixture), SERIES * MINUTES);
        fixture_clear(&fixture);
        if (!injected)
            break;
    }
    assert_true(stopped > 0);
    assert_true(failures > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uploading_without_memory_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
