/* How long a shard keeps what: rules, what is announced, tenants that are deleted. */
#include "shard_harness.h"

#include "base/state_version.h"
#include "retention.h"
#include "shard_private.h"

static const int64_t T0 = HARNESS_START_MS;
static const int64_t DAY_MS = 24 * HOUR_MS;
#define TENANT "other"

/* --- Fixture --------------------------------------------------------------------------------- */

static struct harness *create(uint64_t seed)
{
    struct harness *harness = harness_create(seed);
    harness_raise(harness, STATE_VERSION_BUCKET);
    harness->options.retention_ms = RETENTION_IS_TOLD; /* from the next start on */
    return harness;
}

static void wait_ms(struct harness *harness, int64_t duration_ms)
{
    harness->environment->clock.now_ns += (uint64_t)duration_ms * 1000000;
    harness_maintain(harness);
}

/* The clock goes there at its pace. */
static void go_to(struct harness *harness, int64_t now_ms)
{
    int64_t passed_ms = now_ms - clock_now_ms(harness->environment->base.clock);
    assert_true(passed_ms >= 0);
    harness->environment->clock.now_ns += (uint64_t)passed_ms * 1000000;
}

struct rule {
    const char *tenant;
    const char *metric; /* NULL: all */
    int64_t keep_ms;
};

static struct retention_policy *policy_of(int64_t keep_ms, const struct rule *rules, size_t count)
{
    struct retention_policy *policy;
    struct error error;
    struct retention_rule *made = calloc(count + 1, sizeof *made);
    assert_non_null(made);
    for (size_t i = 0; i < count; i++) {
        made[i].tenant = text_of(strdup(rules[i].tenant));
        made[i].matchers = calloc(1, sizeof *made[i].matchers);
        made[i].keep_ms = rules[i].keep_ms;
        if (rules[i].metric == NULL)
            continue;
        made[i].matcher_count = 1;
        assert_int_equal(matcher_create(MATCHER_EQUAL, TEXT("__name__"), text_of(rules[i].metric),
                                        &made[i].matchers[0], &error),
                         ERROR_NONE);
    }
    assert_int_equal(retention_policy_create(keep_ms, made, count, &policy, &error), ERROR_NONE);
    return policy;
}

static void want(struct harness *harness, int64_t keep_ms, const struct rule *rules, size_t count,
                 int64_t grace_ms)
{
    struct retention_policy *policy = policy_of(keep_ms, rules, count);
    shard_want_retention(harness->shard, policy, grace_ms);
    retention_policy_unref(policy);
    harness_maintain(harness);
}

/* Samples of all series of a tenant. */
static size_t count_of(struct harness *harness, const char *tenant)
{
    struct arena *arena = arena_create(0);
    struct series_set *set;
    struct series_reader *reader;
    struct error error;
    size_t samples = 0;
    struct series_request request = {
        .tenant = text_of(tenant), .start_ms = INT64_MIN, .end_ms = INT64_MAX, .arena = arena};
    assert_int_equal(series_source_select(shard_source(harness->shard), &request, &set, &error),
                     ERROR_NONE);
    assert_int_equal(series_reader_open(set, &reader, &error), ERROR_NONE);
    for (size_t i = 0; i < set->count; i++) {
        struct sample_columns columns = {0};
        assert_int_equal(series_reader_read(reader, i, &columns, &error), ERROR_NONE);
        samples += columns.count;
    }
    series_reader_close(reader);
    series_set_close(set);
    arena_destroy(arena);
    return samples;
}

/* Values of __name__ that are answered. */
static size_t count_names(struct harness *harness, const char *tenant)
{
    struct arena *arena = arena_create(0);
    struct text_set names = {.arena = arena};
    struct error error;
    struct series_request request = {.tenant = text_of(tenant),
                                     .start_ms = INT64_MIN,
                                     .end_ms = INT64_MAX,
                                     .need = SERIES_NEED_LABELS,
                                     .arena = arena};
    assert_int_equal(series_source_label_values(shard_source(harness->shard), &request,
                                                TEXT("__name__"), &names, &error),
                     ERROR_NONE);
    size_t count = names.count;
    arena_destroy(arena);
    return count;
}

/* Of series 0 to `series`, a minute apart. */
static void fill_tenant(struct harness *harness, const char *tenant, unsigned series,
                        int64_t start_ms, size_t count)
{
    struct arena *arena = arena_create(0);
    for (size_t i = 0; i < count; i++) {
        struct harness_sample samples[HARNESS_NEW_SERIES_MAX];
        for (unsigned k = 0; k < series; k++)
            samples[k] = (struct harness_sample){k, start_ms + (int64_t)i * 60000, (double)k};
        arena_reset(arena);
        struct shard_write write = harness_request(arena, samples, series);
        write.tenant = text_of(tenant);
        for (size_t k = 0; k < write.new_series_count; k++)
            write.new_series[k].slot = series_slot(write.tenant, write.new_series[k].labels, 4);
        harness_propose_write(harness, &write);
        harness_run(harness);
    }
    arena_destroy(arena);
}

static uint64_t samples_in_blocks(struct harness *harness)
{
    uint64_t samples = 0;
    for (size_t i = 0; i < harness->shard->block_count; i++)
        samples += harness->shard->blocks[i].described.summary.sample_count;
    return samples;
}

/* --- Rules ----------------------------------------------------------------------------------- */

static void a_rule_hides_at_once_and_takes_out_of_the_files_later(void **state)
{
    (void)state;
    struct harness *harness = create(1);
    const struct rule rules[] = {{"", "metric_0", 6 * HOUR_MS}};
    want(harness, RETENTION_FOR_EVER, rules, 1, DAY_MS);
    harness_fill(harness, 4, T0, 600);
    harness_flush(harness);
    assert_int_equal(samples_in_blocks(harness), 4 * 600);
    /* Ages are counted from the newest sample. */
    go_to(harness, T0 + 600 * 60000);
    harness_maintain(harness);
    assert_int_equal(harness_count(harness, 0), 360 + 1);
    assert_int_equal(harness_count(harness, 1), 600);
    /* One window has passed as a whole, and a fourth of its series with it. */
    harness_maintain(harness);
    assert_int_equal(samples_in_blocks(harness), 4 * 600 - 120);
    harness_restart(harness);
    assert_int_equal(harness_count(harness, 0), 360 + 1);
    assert_int_equal(harness_count(harness, 1), 600);
    harness_destroy(harness);
}

static void what_is_hidden_has_no_names_and_no_values(void **state)
{
    (void)state;
    struct harness *harness = create(2);
    const struct rule rules[] = {{"", "metric_0", HOUR_MS}};
    want(harness, RETENTION_FOR_EVER, rules, 1, DAY_MS);
    harness_fill(harness, 1, T0, 10);
    harness_fill(harness, 2, T0 - 30 * 60000, 20);
    struct arena *arena = arena_create(0);
    const struct harness_sample later = {1, T0 + 3 * HOUR_MS, 1};
    harness_write(harness, arena, &later, 1);
    arena_destroy(arena);
    assert_int_equal(count_names(harness, "anonymous"), 2);
    go_to(harness, T0 + 3 * HOUR_MS);
    harness_freeze(harness);
    harness_maintain(harness);
    assert_int_equal(harness_count(harness, 0), 0);
    assert_int_equal(count_names(harness, "anonymous"), 1);
    harness_flush(harness);
    assert_int_equal(count_names(harness, "anonymous"), 1);
    harness_destroy(harness);
}

static void tenants_are_kept_as_their_rules_say_and_rules_may_keep_longer(void **state)
{
    (void)state;
    struct harness *harness = create(3);
    const struct rule rules[] = {{TENANT, NULL, 12 * HOUR_MS}, {TENANT, "metric_1", 2 * HOUR_MS}};
    want(harness, 4 * HOUR_MS, rules, 2, DAY_MS);
    fill_tenant(harness, "anonymous", 2, T0, 360);
    fill_tenant(harness, TENANT, 2, T0, 360);
    go_to(harness, T0 + 360 * 60000);
    harness_flush(harness);
    harness_maintain(harness);
    assert_int_equal(count_of(harness, "anonymous"), 2 * (240 + 1));
    assert_int_equal(count_of(harness, TENANT), 360 + 120 + 1);
    harness_maintain(harness);
    harness_restart(harness);
    assert_int_equal(count_of(harness, "anonymous"), 2 * (240 + 1));
    assert_int_equal(count_of(harness, TENANT), 360 + 120 + 1);
    harness_destroy(harness);
}

/* A replay begins the merge again behind a freeze and a later cut: the block is the same. */
static void a_merge_cuts_what_was_past_its_retention_when_it_was_decided(void **state)
{
    (void)state;
    struct harness *harness = create(4);
    struct error error;
    const struct rule rules[] = {{"", "metric_0", 6 * HOUR_MS}};
    want(harness, RETENTION_FOR_EVER, rules, 1, DAY_MS);
    harness_fill(harness, 3, T0, 420);
    go_to(harness, T0 + 420 * 60000);
    harness_freeze(harness); /* and the first windows are merged */
    harness_maintain(harness);
    harness_flush(harness);
    uint64_t merged = samples_in_blocks(harness);
    assert_in_range(merged, 3 * 420 - 60, 3 * 420 - 1);
    /* Again from the start, with a replica whose jobs are slow: not before the end of the log. */
    harness_close(harness);
    byte_buffer_clear(&harness->snapshot);
    harness->snapshot_index = 0;
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    harness_run(harness);
    assert_int_equal(samples_in_blocks(harness), merged);
    harness_destroy(harness);
}

/* --- Shorter --------------------------------------------------------------------------------- */

static void what_is_shorter_waits_for_the_grace_over_restarts(void **state)
{
    (void)state;
    struct harness *harness = create(5);
    harness_fill(harness, 2, T0, 600);
    harness_flush(harness);
    go_to(harness, T0 + 600 * 60000);
    want(harness, 4 * HOUR_MS, NULL, 0, 5 * HOUR_MS);
    assert_int_equal(harness_count(harness, 0), 600);
    assert_true(harness_statistics(harness).retention_announced_ms > 0);
    assert_int_equal(harness_statistics(harness).retention_pending_files, 3);
    assert_true(harness_statistics(harness).retention_pending_bytes > 0);
    for (int hour = 1; hour < 5; hour++) {
        wait_ms(harness, HOUR_MS);
        harness_freeze(harness);
        harness_restart(harness);
        want(harness, 4 * HOUR_MS, NULL, 0, 5 * HOUR_MS);
        assert_int_equal(harness_count(harness, 0), 600);
    }
    wait_ms(harness, HOUR_MS);
    assert_int_equal(harness_count(harness, 0), 600 - 120); /* a file as a whole */
    assert_int_equal(harness_statistics(harness).retention_announced_ms, 0);
    harness_destroy(harness);
}

static void what_is_longer_again_deletes_nothing(void **state)
{
    (void)state;
    struct harness *harness = create(6);
    const struct rule before[] = {{"", "metric_0", 12 * HOUR_MS}};
    const struct rule after[] = {{"", "metric_0", 2 * HOUR_MS}, {"", "metric_1", DAY_MS}};
    want(harness, DAY_MS, before, 1, 5 * HOUR_MS);
    harness_fill(harness, 2, T0, 600);
    harness_flush(harness);
    go_to(harness, T0 + 600 * 60000);
    want(harness, 2 * HOUR_MS, after, 2, 5 * HOUR_MS);
    wait_ms(harness, 3 * HOUR_MS);
    assert_true(harness_statistics(harness).retention_announced_ms > 0);
    want(harness, DAY_MS, before, 1, 5 * HOUR_MS);
    assert_int_equal(harness_statistics(harness).retention_announced_ms, 0);
    wait_ms(harness, 9 * HOUR_MS);
    assert_int_equal(harness_count(harness, 0), 600);
    assert_int_equal(harness_count(harness, 1), 600);
    /* And what lengthens comes at once, without a word. */
    want(harness, 2 * DAY_MS, before, 1, 5 * HOUR_MS);
    assert_int_equal(retention_policy_default_ms(harness->shard->retention.policy), 2 * DAY_MS);
    harness_destroy(harness);
}

static void what_would_delete_nothing_comes_at_once(void **state)
{
    (void)state;
    struct harness *harness = create(7);
    harness_fill(harness, 2, T0, 60);
    want(harness, 4 * HOUR_MS, NULL, 0, DAY_MS);
    assert_int_equal(harness_statistics(harness).retention_announced_ms, 0);
    assert_int_equal(retention_policy_default_ms(harness->shard->retention.policy), 4 * HOUR_MS);
    harness_destroy(harness);
}

/* --- Policies -------------------------------------------------------------------------------- */

static int64_t shortened(int64_t keep_ms, const struct rule *rules, size_t count, int64_t than_ms,
                         const struct rule *than, size_t than_count)
{
    struct retention_policy *policy = policy_of(keep_ms, rules, count);
    struct retention_policy *before = policy_of(than_ms, than, than_count);
    int64_t shortened_ms = retention_policy_shortened_ms(policy, before);
    retention_policy_unref(policy);
    retention_policy_unref(before);
    return shortened_ms;
}

static void a_policy_is_shorter_when_a_series_may_be_kept_shorter(void **state)
{
    (void)state;
    const struct rule a[] = {{"a", NULL, 5}};
    const struct rule a_longer[] = {{"a", NULL, 7}};
    const struct rule ab[] = {{"a", NULL, 5}, {"b", NULL, 9}};
    assert_int_equal(shortened(5, NULL, 0, 5, NULL, 0), RETENTION_FOR_EVER);
    assert_int_equal(shortened(6, NULL, 0, 5, NULL, 0), RETENTION_FOR_EVER);
    assert_int_equal(shortened(4, NULL, 0, 5, NULL, 0), 4);
    assert_int_equal(shortened(8, a, 1, 8, NULL, 0), 5);
    assert_int_equal(shortened(8, NULL, 0, 8, a, 1), RETENTION_FOR_EVER);
    assert_int_equal(shortened(4, NULL, 0, 4, a, 1), 4);
    assert_int_equal(shortened(8, a_longer, 1, 8, a, 1), RETENTION_FOR_EVER);
    assert_int_equal(shortened(8, a, 1, 8, a_longer, 1), 5);
    assert_int_equal(shortened(4, a, 1, 4, NULL, 0), RETENTION_FOR_EVER);
    assert_int_equal(shortened(8, ab, 2, 8, a, 1), RETENTION_FOR_EVER);
    assert_int_equal(shortened(8, a, 1, 8, ab, 2), 8);
}

static void a_policy_is_read_as_it_was_written(void **state)
{
    (void)state;
    const struct rule rules[] = {
        {"a", NULL, 5}, {"", "metric_1", RETENTION_FOR_EVER}, {"a", "metric_2", 1}};
    struct retention_cut cut = {.policy = policy_of(DAY_MS, rules, 3),
                                .announced = policy_of(HOUR_MS, rules, 2),
                                .announced_ms = T0,
                                .at_ms = -7};
    struct retention_cut found;
    struct byte_buffer bytes = {0};
    struct error error;
    retention_cut_encode(&cut, &bytes);
    struct byte_reader reader = byte_reader_over(bytes.bytes, bytes.size);
    assert_int_equal(retention_cut_decode(&reader, &found, &error), ERROR_NONE);
    assert_int_equal(byte_reader_left(&reader), 0);
    assert_true(retention_cut_equal(&cut, &found));
    assert_int_equal(found.announced_ms, T0);
    retention_cut_clear(&found);
    for (size_t size = 0; size < bytes.size; size++) {
        reader = byte_reader_over(bytes.bytes, size);
        assert_int_equal(retention_cut_decode(&reader, &found, &error), ERROR_CORRUPT);
    }
    retention_cut_clear(&cut);
    byte_buffer_clear(&bytes);
}

/* --- Tenants --------------------------------------------------------------------------------- */

static void delete_tenant(struct harness *harness, const char *tenant)
{
    struct byte_buffer entry = {0};
    struct error error;
    assert_int_equal(shard_encode_delete_tenant(&entry,
                                                clock_now_ms(harness->environment->base.clock),
                                                text_of(tenant), &error),
                     ERROR_NONE);
    assert_int_equal(shard_check_delete(entry.bytes, entry.size, &error), ERROR_NONE);
    harness_append(harness, entry.bytes, entry.size);
    byte_buffer_clear(&entry);
    harness_run(harness);
}

static struct shard_tenant_state tenant_state(struct harness *harness, const char *tenant)
{
    struct shard_tenant_state state;
    shard_read_tenant_state(harness->shard, text_of(tenant), &state);
    return state;
}

static void a_deleted_tenant_leaves_files_without_being_asked(void **state)
{
    (void)state;
    struct harness *harness = create(8);
    fill_tenant(harness, "anonymous", 2, T0, 300);
    harness_flush(harness);
    uint64_t kept_index = harness->shard->blocks[0].described.index;
    fill_tenant(harness, TENANT, 2, T0 + 2 * WINDOW_MS, 60);
    harness_flush(harness);
    fill_tenant(harness, TENANT, 2, T0 + 2 * WINDOW_MS + HOUR_MS, 30);
    assert_int_equal(tenant_state(harness, TENANT).blocks, 1);
    harness->refuse_kind = ENTRY_MERGE_START;
    delete_tenant(harness, TENANT);
    assert_int_equal(count_of(harness, TENANT), 0);
    assert_int_equal(count_names(harness, TENANT), 0);
    assert_true(tenant_state(harness, TENANT).is_being_deleted);
    assert_true(tenant_state(harness, TENANT).files_left > 0);
    assert_true(tenant_state(harness, TENANT).bytes_left > 0);
    /* What is written behind it is there. */
    fill_tenant(harness, TENANT, 1, T0 + 2 * WINDOW_MS, 5);
    assert_int_equal(count_of(harness, TENANT), 5);
    harness->refuse_kind = 0;
    for (int i = 0; i < 6; i++)
        harness_maintain(harness);
    assert_false(tenant_state(harness, TENANT).is_being_deleted);
    assert_int_equal(harness_statistics(harness).tombstone_count, 0);
    assert_int_equal(harness_statistics(harness).doomed_files, 0);
    assert_int_equal(samples_in_blocks(harness), 2 * 300);
    assert_int_equal(count_of(harness, TENANT), 5);
    assert_int_equal(count_of(harness, "anonymous"), 2 * 300);
    /* Blocks without anything of it are left alone. */
    assert_int_equal(harness->shard->blocks[0].described.index, kept_index);
    harness_restart(harness);
    assert_int_equal(count_of(harness, TENANT), 5);
    harness_destroy(harness);
}

static void deleting_a_tenant_again_or_one_that_never_was_does_no_harm(void **state)
{
    (void)state;
    struct harness *harness = create(9);
    fill_tenant(harness, "anonymous", 2, T0, 60);
    harness_flush(harness);
    delete_tenant(harness, TENANT);
    delete_tenant(harness, TENANT);
    harness_maintain(harness);
    assert_false(tenant_state(harness, TENANT).is_being_deleted);
    assert_int_equal(count_of(harness, "anonymous"), 2 * 60);
    assert_int_equal(harness_statistics(harness).tombstone_count, 0);
    harness_destroy(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rule_hides_at_once_and_takes_out_of_the_files_later),
        cmocka_unit_test(what_is_hidden_has_no_names_and_no_values),
        cmocka_unit_test(tenants_are_kept_as_their_rules_say_and_rules_may_keep_longer),
        cmocka_unit_test(a_merge_cuts_what_was_past_its_retention_when_it_was_decided),
        cmocka_unit_test(what_is_shorter_waits_for_the_grace_over_restarts),
        cmocka_unit_test(what_is_longer_again_deletes_nothing),
        cmocka_unit_test(what_would_delete_nothing_comes_at_once),
        cmocka_unit_test(a_policy_is_shorter_when_a_series_may_be_kept_shorter),
        cmocka_unit_test(a_policy_is_read_as_it_was_written),
        cmocka_unit_test(a_deleted_tenant_leaves_files_without_being_asked),
        cmocka_unit_test(deleting_a_tenant_again_or_one_that_never_was_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
