/* What belongs to series that were forgotten: names, values, exemplars, tenants, metadata. */
#include "shard_harness.h"

static const int64_t T0 = HARNESS_START_MS;
enum { SERIES = 10, GONE = 4 }; /* series [0, GONE) go quiet */

static const int64_t ALL[2] = {INT64_MIN, INT64_MAX};

/* Series [from, to) in one request of a tenant; with an exemplar each, bearing the minute. */
static void write_minute(struct harness *harness, struct text tenant, unsigned from, unsigned to,
                         int64_t minute)
{
    struct harness_sample samples[SERIES];
    struct entry_exemplar exemplars[SERIES];
    struct arena *arena = arena_create(0);
    size_t count = to - from;
    for (size_t i = 0; i < count; i++)
        samples[i] = (struct harness_sample){from + (unsigned)i, T0 + minute * 60000, 1};
    struct shard_write write = harness_request(arena, samples, count);
    for (size_t i = 0; i < count; i++) {
        struct label label = {TEXT("trace_id"), arena_format(arena, "%u", (unsigned)minute)};
        exemplars[i] = (struct entry_exemplar){
            .id = SHARD_SERIES_NEW | i,
            .exemplar = {labels_build(arena, &label, 1), (double)i, T0 + minute * 60000}};
    }
    write.tenant = tenant;
    write.exemplars = exemplars;
    write.exemplar_count = count;
    harness_propose_write(harness, &write);
    harness_run(harness);
    arena_destroy(arena);
}

/* Series [GONE, SERIES) of the tenant are written every ten minutes, all are frozen every half
 * hour. */
static void live_on(struct harness *harness, struct text tenant, int64_t minute, int64_t end)
{
    for (; minute < end; minute += 10) {
        harness_set_time(harness, T0 + minute * 60000);
        write_minute(harness, tenant, GONE, SERIES, minute);
        if (minute % 30 == 0)
            harness_freeze(harness);
        harness_maintain(harness);
    }
}

static size_t values_of(struct harness *harness, struct text name, const int64_t range[2])
{
    struct arena *arena = arena_create(0);
    struct text_set found = {.arena = arena};
    struct error error;
    struct series_request request = {
        .tenant = TEXT("anonymous"), .start_ms = range[0], .end_ms = range[1], .arena = arena};
    assert_int_equal(
        series_source_label_values(shard_source(harness->shard), &request, name, &found, &error),
        ERROR_NONE);
    size_t count = found.count;
    arena_destroy(arena);
    return count;
}

static size_t series_of(struct harness *harness, struct text tenant, const int64_t range[2])
{
    struct arena *arena = arena_create(0);
    struct matcher *matcher;
    struct series_set *set;
    struct error error;
    assert_int_equal(matcher_create(MATCHER_EQUAL, TEXT("job"), TEXT("test"), &matcher, &error),
                     ERROR_NONE);
    const struct matcher *const matchers[] = {matcher};
    struct series_request request = {.tenant = tenant,
                                     .matchers = matchers,
                                     .matcher_count = 1,
                                     .start_ms = range[0],
                                     .end_ms = range[1],
                                     .need = SERIES_NEED_LABELS,
                                     .arena = arena};
    assert_int_equal(series_source_select(shard_source(harness->shard), &request, &set, &error),
                     ERROR_NONE);
    size_t count = set->count;
    series_set_close(set);
    matcher_destroy(matcher);
    arena_destroy(arena);
    return count;
}

/* Exemplars of one series; their times ascend. */
static size_t exemplars_of(struct harness *harness, unsigned series, const int64_t range[2])
{
    struct arena *arena = arena_create(0);
    struct matcher *matcher;
    struct series_exemplars *found;
    struct error error;
    size_t series_count, count = 0;
    assert_int_equal(matcher_create(MATCHER_EQUAL, TEXT("__name__"),
                                    arena_format(arena, "metric_%u", series), &matcher, &error),
                     ERROR_NONE);
    const struct matcher *const matchers[] = {matcher};
    struct series_request request = {.tenant = TEXT("anonymous"),
                                     .matchers = matchers,
                                     .matcher_count = 1,
                                     .start_ms = range[0],
                                     .end_ms = range[1],
                                     .arena = arena};
    assert_int_equal(series_source_exemplars(shard_source(harness->shard), &request, &found,
                                             &series_count, &error),
                     ERROR_NONE);
    assert_true(series_count <= 1);
    if (series_count == 1)
        count = found->count;
    for (size_t i = 1; i < count; i++)
        assert_true(found->exemplars[i - 1].timestamp_ms < found->exemplars[i].timestamp_ms);
    matcher_destroy(matcher);
    arena_destroy(arena);
    return count;
}

/* All series have ten minutes, then the first ones are quiet for ten hours. */
static struct harness *quiet_shard(uint64_t seed)
{
    struct harness *harness = harness_create(seed);
    for (int64_t minute = 0; minute < 10; minute++)
        write_minute(harness, TEXT("anonymous"), 0, SERIES, minute);
    live_on(harness, TEXT("anonymous"), 10, 600);
    assert_int_equal(harness_statistics(harness).series_forgotten, GONE);
    return harness;
}

static void names_and_series_of_forgotten_series_are_found_where_their_samples_are(void **state)
{
    (void)state;
    struct harness *harness = quiet_shard(1);
    const int64_t first[2] = {T0, T0 + 9 * 60000};
    const int64_t later[2] = {T0 + INT64_C(3) * HOUR_MS, T0 + INT64_C(10) * HOUR_MS};
    for (int round = 0; round < 3; round++) {
        assert_int_equal(values_of(harness, TEXT("__name__"), first), SERIES);
        assert_int_equal(values_of(harness, TEXT("__name__"), later), SERIES - GONE);
        assert_int_equal(values_of(harness, TEXT("__name__"), ALL), SERIES);
        assert_int_equal(series_of(harness, TEXT("anonymous"), first), SERIES);
        assert_int_equal(series_of(harness, TEXT("anonymous"), later), SERIES - GONE);
        assert_int_equal(series_of(harness, TEXT("anonymous"), ALL), SERIES);
        if (round == 0)
            harness_restart(harness);
        else
            harness_flush(harness);
    }
    harness_destroy(harness);
}

static void exemplars_of_forgotten_series_stay_and_join_those_of_their_return(void **state)
{
    (void)state;
    struct harness *harness = quiet_shard(2);
    for (unsigned k = 0; k < GONE; k++)
        assert_int_equal(exemplars_of(harness, k, ALL), 10);
    write_minute(harness, TEXT("anonymous"), 0, GONE, 601);
    for (unsigned k = 0; k < GONE; k++)
        assert_int_equal(exemplars_of(harness, k, ALL), 11);
    assert_int_equal(series_of(harness, TEXT("anonymous"), ALL), SERIES);
    harness_restart(harness);
    harness_flush(harness);
    for (unsigned k = 0; k < GONE; k++)
        assert_int_equal(exemplars_of(harness, k, ALL), 11);
    harness_destroy(harness);
}

/* Its number in the registry is the next tenant's; what both wrote stays apart. */
static void a_tenant_that_went_quiet_is_forgotten_and_returns(void **state)
{
    (void)state;
    struct harness *harness = harness_create(3);
    write_minute(harness, TEXT("guest"), 0, GONE, 0);
    live_on(harness, TEXT("anonymous"), 0, 600);
    assert_int_equal(harness_statistics(harness).series_forgotten, GONE);
    assert_int_equal(series_of(harness, TEXT("guest"), ALL), GONE);
    write_minute(harness, TEXT("other"), 0, 1, 601);
    write_minute(harness, TEXT("guest"), 0, 2, 601);
    harness_freeze(harness);
    for (int round = 0; round < 2; round++) {
        const int64_t latest[2] = {T0 + 601 * 60000, T0 + 601 * 60000};
        assert_int_equal(series_of(harness, TEXT("guest"), ALL), GONE);
        assert_int_equal(series_of(harness, TEXT("guest"), latest), 2);
        assert_int_equal(series_of(harness, TEXT("other"), ALL), 1);
        assert_int_equal(series_of(harness, TEXT("anonymous"), ALL), SERIES - GONE);
        assert_int_equal(harness_statistics(harness).series_count, SERIES - GONE + 3);
        harness_flush(harness);
        harness_restart(harness);
    }
    harness_destroy(harness);
}

/* --- Metadata -------------------------------------------------------------------------------- */

/* A request that states it; whether that made an entry, which is not applied yet. */
static bool state_metric(struct harness *harness, const char *metric, const char *help)
{
    struct entry_metadata metadata = {
        .metric_name = text_of(metric),
        .metadata = {.type = METRIC_COUNTER, .help = text_of(help), .unit = TEXT("bytes")}};
    struct shard_write write = {
        .tenant = TEXT("anonymous"), .metadata = &metadata, .metadata_count = 1};
    size_t before = harness->log_count;
    harness_propose_write(harness, &write);
    return harness->log_count > before;
}

static bool note_help(void *context, struct text metric_name,
                      const struct metric_metadata *metadata)
{
    char *known = context;
    size_t used = strlen(known);
    assert_int_equal(metadata->type, METRIC_COUNTER);
    snprintf(known + used, 64 - used, "%.*s=%.*s ", (int)metric_name.size, metric_name.data,
             (int)metadata->help.size, metadata->help.data);
    return true;
}

static void expect_known(struct harness *harness, const char *expected)
{
    char known[64] = "";
    shard_visit_metadata(harness->shard, TEXT("anonymous"), note_help, known);
    assert_string_equal(known, expected);
}

/* Ten hours of samples, `stated` with each of them. */
static void live_on_stating(struct harness *harness, const char *stated)
{
    for (int64_t minute = 10; minute < 600; minute += 10) {
        state_metric(harness, stated, "help");
        live_on(harness, TEXT("anonymous"), minute, minute + 10);
    }
}

static void metadata_that_nobody_states_any_more_is_forgotten(void **state)
{
    (void)state;
    struct harness *harness = harness_create(4);
    assert_true(state_metric(harness, "quiet", "help"));
    assert_true(state_metric(harness, "loud", "help"));
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).metadata_count, 2);
    live_on_stating(harness, "loud");
    for (int round = 0; round < 3; round++) {
        expect_known(harness, "loud=help ");
        if (round == 0)
            harness_freeze(harness);
        harness_restart(harness); /* from the log, then from the file */
    }
    harness_destroy(harness);
}

/* It takes three periods to forget it, and no life of the process has more than two and a half. */
static void restarts_do_not_keep_metadata(void **state)
{
    (void)state;
    enum { LIFE_MINUTES = 300, LIVES = 3 };
    struct harness *harness = harness_create(8);
    state_metric(harness, "quiet", "help");
    for (int64_t life = 0; life < LIVES; life++) {
        for (int64_t minute = life * LIFE_MINUTES; minute < (life + 1) * LIFE_MINUTES;
             minute += 10) {
            state_metric(harness, "loud", "help");
            live_on(harness, TEXT("anonymous"), minute, minute + 10);
        }
        harness_freeze(harness);
        harness_restart(harness);
    }
    expect_known(harness, "loud=help ");
    harness_destroy(harness);
}

static void metadata_that_returns_is_known_again(void **state)
{
    (void)state;
    struct harness *harness = harness_create(5);
    state_metric(harness, "quiet", "help");
    live_on_stating(harness, "loud");
    expect_known(harness, "loud=help ");
    assert_true(state_metric(harness, "quiet", "new"));
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).metadata_count, 2);
    harness_restart(harness);
    assert_int_equal(harness_statistics(harness).metadata_count, 2);
    harness_destroy(harness);
}

/* Until the entry that forgets metadata is the next one to be applied. */
static void until_proposed(struct harness *harness)
{
    struct error error;
    harness->refuse_kind = 0;
    shard_maintain(harness->shard);
    for (;;) {
        assert_true(harness->applied_count < harness->log_count);
        const struct harness_entry *entry = &harness->log[harness->applied_count];
        if (entry->bytes[0] == ENTRY_FORGET_METADATA)
            return;
        assert_int_equal(
            shard_apply(harness->shard, entry->index, entry->bytes, entry->size_bytes, &error),
            ERROR_NONE);
        harness->applied_count++;
    }
}

static void metadata_stated_while_it_leaves_is_stored_again(void **state)
{
    (void)state;
    struct harness *harness = harness_create(6);
    state_metric(harness, "quiet", "help");
    harness->refuse_kind = ENTRY_FORGET_METADATA;
    live_on(harness, TEXT("anonymous"), 0, 600);
    assert_int_equal(harness_statistics(harness).metadata_count, 1);
    until_proposed(harness);
    assert_true(state_metric(harness, "quiet", "help")); /* though it is what is stored */
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).metadata_forgotten, 1);
    expect_known(harness, "quiet=help ");
    harness_restart(harness);
    expect_known(harness, "quiet=help ");
    harness_destroy(harness);
}

static void metadata_of_a_lost_proposal_stays(void **state)
{
    (void)state;
    struct harness *harness = harness_create(7);
    state_metric(harness, "quiet", "help");
    harness->refuse_kind = ENTRY_FORGET_METADATA;
    live_on(harness, TEXT("anonymous"), 0, 600);
    until_proposed(harness);
    while (harness->log_count > harness->applied_count) /* another leader's log */
        free(harness->log[--harness->log_count].bytes);
    harness->refuse_kind = ENTRY_FORGET_METADATA; /* or it would be proposed at once */
    shard_lead(harness->shard);
    assert_false(state_metric(harness, "quiet", "help"));
    harness->refuse_kind = 0;
    harness_run(harness);
    harness_maintain(harness); /* it was heard now */
    expect_known(harness, "quiet=help ");
    harness_destroy(harness);
}

static void broken_entries_about_metadata_stop_the_shard(void **state)
{
    (void)state;
    static const uint8_t BODIES[][6] = {
        {0}, {1}, {1, 1, 'a'}, {1, 1, 'a', 9}, {1, 1, 'a', 1, 'b', 0}};
    static const size_t SIZES[] = {1, 1, 3, 4, 6};
    struct harness *harness = harness_create(8);
    struct error error;
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        struct byte_buffer entry = {0};
        entry_encode_header(&entry, ENTRY_FORGET_METADATA, T0);
        byte_buffer_append(&entry, BODIES[i], SIZES[i]);
        assert_int_equal(
            shard_apply(harness->shard, harness->last_index + 1, entry.bytes, entry.size, &error),
            ERROR_CORRUPT);
        byte_buffer_clear(&entry);
    }
    harness_destroy(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_series_of_forgotten_series_are_found_where_their_samples_are),
        cmocka_unit_test(exemplars_of_forgotten_series_stay_and_join_those_of_their_return),
        cmocka_unit_test(a_tenant_that_went_quiet_is_forgotten_and_returns),
        cmocka_unit_test(metadata_that_nobody_states_any_more_is_forgotten),
        cmocka_unit_test(restarts_do_not_keep_metadata),
        cmocka_unit_test(metadata_that_returns_is_known_again),
        cmocka_unit_test(metadata_stated_while_it_leaves_is_stored_again),
        cmocka_unit_test(metadata_of_a_lost_proposal_stays),
        cmocka_unit_test(broken_entries_about_metadata_stop_the_shard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
