/* Slots that become another shard: what either shows, what is taken meanwhile, and from where a
 * restart goes on. */
#include "shard_harness.h"

#include "base/state_version.h"

static const int64_t T0 = HARNESS_START_MS;
enum { SERIES = 40, MINUTES = 30, CHILD = 9 };

/* --- Fixture --------------------------------------------------------------------------------- */

static uint16_t slot_of(unsigned series)
{
    struct arena *arena = arena_create(0);
    uint16_t slot = series_slot(TEXT("anonymous"), harness_labels(arena, series), 4);
    arena_destroy(arena);
    return slot;
}

/* The upper half of all slots. */
static struct shard_child upper_half(void)
{
    struct shard_child child = {.shard_id = CHILD, .founders = {1, 2, 3}, .founder_count = 3};
    slot_set_add(&child.slots, SLOT_COUNT / 2, SLOT_COUNT / 2);
    return child;
}

static bool is_childs(unsigned series)
{
    return slot_of(series) >= SLOT_COUNT / 2;
}

static unsigned count_of(bool childs)
{
    unsigned count = 0;
    for (unsigned series = 0; series < SERIES; series++)
        count += is_childs(series) == childs;
    return count;
}

/* Frozen, and then more, so that series are in blocks, parts, segments and memory. */
static struct harness *filled(uint64_t seed)
{
    struct harness *harness = harness_create(seed);
    harness_raise(harness, STATE_VERSION_SPLITS);
    assert_true(count_of(true) > 4 && count_of(false) > 4);
    harness_fill(harness, SERIES, T0, MINUTES);
    harness_flush(harness);
    harness_fill(harness, SERIES, T0 + WINDOW_MS, MINUTES);
    harness_freeze(harness);
    harness_fill(harness, SERIES, T0 + 2 * WINDOW_MS, MINUTES);
    return harness;
}

static size_t samples_of(struct harness *harness, unsigned series)
{
    struct harness_answer *answer = malloc(sizeof *answer);
    harness_read(harness, series, INT64_MIN, INT64_MAX, SERIES_NEED_ALL, answer);
    assert_int_equal(answer->code, ERROR_NONE);
    size_t count = answer->count;
    free(answer);
    return count;
}

/* All samples of series on the one side, none of the others. */
static void expect_half(struct harness *harness, bool childs, size_t samples)
{
    for (unsigned series = 0; series < SERIES; series++)
        assert_int_equal(samples_of(harness, series), is_childs(series) == childs ? samples : 0);
}

static void a_shard_of_the_first_version_is_not_split(void **state)
{
    (void)state;
    struct harness *harness = harness_create(5);
    struct shard_child child = upper_half();
    for (int i = 0; i < 3; i++) {
        assert_false(shard_split(harness->shard, &child));
        harness_run(harness);
    }
    harness_raise(harness, STATE_VERSION_SPLITS);
    assert_true(shard_split(harness->shard, &child));
    harness_run(harness);
    assert_int_equal(shard_split_count(harness->shard), 1);
    harness_destroy(harness);
}

static void split(struct harness *harness)
{
    struct shard_child child = upper_half();
    for (int i = 0; i < 3 && !shard_split(harness->shard, &child); i++)
        harness_run(harness); /* what is in memory is frozen first */
    assert_true(shard_split_is_proposed(harness->shard));
    harness_run(harness);
    assert_false(shard_split_is_proposed(harness->shard));
    assert_int_equal(shard_split_count(harness->shard), 1);
}

struct copying {
    struct shard_copy copy; /* first */
    bool done;
};

static void on_copied(struct shard_copy *copy)
{
    ((struct copying *)copy)->done = true;
}

/* The files of the child, and its manifest, in a folder of the same disk. */
static struct byte_buffer copy_child(struct harness *harness)
{
    struct copying copying = {.copy = {.done = on_copied, .directory = "shards/0009"}};
    shard_copy_child(harness->shard, &copying.copy);
    harness_run(harness);
    assert_true(copying.done);
    assert_int_equal(copying.copy.error.code, ERROR_NONE);
    return copying.copy.manifest;
}

/* The harness goes on with files of another folder, without a log yet. */
static void move_to(struct harness *harness, const char *directory, struct byte_buffer *manifest,
                    uint64_t index)
{
    struct error error;
    harness_close(harness);
    for (size_t i = 0; i < harness->log_count; i++)
        free(harness->log[i].bytes);
    harness->log_count = 0;
    harness->last_index = index;
    harness->options.directory = directory;
    byte_buffer_clear(&harness->snapshot);
    harness->snapshot = *manifest;
    harness->snapshot_index = index;
    if (harness_open(harness, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    shard_lead(harness->shard);
}

/* With the child in place of the parent. */
static void become_child(struct harness *harness, struct byte_buffer *manifest)
{
    struct shard_child child;
    assert_true(shard_unfounded_child(harness->shard, &child));
    harness->options.shard_id = CHILD;
    move_to(harness, "shards/0009", manifest, child.index);
}

/* --- What is seen ---------------------------------------------------------------------------- */

static void each_half_shows_its_own_series_whole(void **state)
{
    (void)state;
    struct harness *harness = filled(1);
    split(harness);
    expect_half(harness, false, 3 * MINUTES);
    struct byte_buffer manifest = copy_child(harness);
    become_child(harness, &manifest);
    expect_half(harness, true, 3 * MINUTES);
    harness_destroy(harness);
}

static void each_half_goes_on_by_itself(void **state)
{
    (void)state;
    for (int childs = 0; childs < 2; childs++) {
        struct harness *harness = filled(2);
        struct arena *arena = arena_create(0);
        split(harness);
        struct byte_buffer manifest = copy_child(harness);
        struct shard_child child;
        assert_true(shard_unfounded_child(harness->shard, &child));
        if (childs)
            become_child(harness, &manifest);
        else
            byte_buffer_clear(&manifest);
        shard_child_is_founded(harness->shard, child.index);
        for (unsigned series = 0; series < SERIES; series++)
            if (is_childs(series) == childs) {
                const struct harness_sample sample = {series, T0 + 3 * WINDOW_MS, 1};
                harness_write(harness, arena, &sample, 1);
            }
        expect_half(harness, childs, 3 * MINUTES + 1);
        harness_flush(harness);
        expect_half(harness, childs, 3 * MINUTES + 1);
        harness_restart(harness);
        expect_half(harness, childs, 3 * MINUTES + 1);
        arena_destroy(arena);
        harness_destroy(harness);
    }
}

static void add_samples(void *context, const struct shard_block_status *block)
{
    *(uint64_t *)context += block->sample_count;
}

static struct copying copy_as(struct harness *harness, const char *directory)
{
    struct copying copying = {.copy = {.done = on_copied, .directory = directory}};
    shard_copy(harness->shard, &copying.copy);
    harness_run(harness);
    assert_true(copying.done);
    assert_int_equal(copying.copy.error.code, ERROR_NONE);
    return copying;
}

/* Who takes the copy away must know whether the other half is anywhere. */
static void a_copy_says_which_slots_it_has_and_was_never_split(void **state)
{
    (void)state;
    struct harness *harness = filled(6);
    struct copying before = copy_as(harness, "before");
    assert_int_equal(slot_set_count(&before.copy.owned), SLOT_COUNT);
    assert_false(before.copy.lacks_child);
    split(harness);
    struct copying meanwhile = copy_as(harness, "meanwhile");
    assert_true(meanwhile.copy.lacks_child);
    struct byte_buffer manifest = copy_child(harness);
    struct shard_child child;
    assert_true(shard_unfounded_child(harness->shard, &child));
    shard_child_is_founded(harness->shard, child.index);
    struct copying after = copy_as(harness, "after");
    assert_false(after.copy.lacks_child);
    assert_int_equal(slot_set_count(&after.copy.owned), SLOT_COUNT / 2);
    assert_false(slot_set_has(&after.copy.owned, SLOT_COUNT - 1));
    move_to(harness, "after", &after.copy.manifest, after.copy.frozen_index);
    assert_int_equal(shard_split_count(harness->shard), 0);
    assert_false(shard_unfounded_child(harness->shard, &child));
    expect_half(harness, false, 3 * MINUTES);
    harness_flush(harness);
    expect_half(harness, false, 3 * MINUTES);
    harness_restart(harness);
    expect_half(harness, false, 3 * MINUTES);
    byte_buffer_clear(&manifest);
    byte_buffer_clear(&before.copy.manifest);
    byte_buffer_clear(&meanwhile.copy.manifest);
    harness_destroy(harness);
}

/* Room comes back: files that are written anew have one half only. */
static void merges_leave_out_what_is_the_others(void **state)
{
    (void)state;
    for (int childs = 0; childs < 2; childs++) {
        struct harness *harness = filled(3);
        split(harness);
        struct byte_buffer manifest = copy_child(harness);
        struct shard_child child;
        assert_true(shard_unfounded_child(harness->shard, &child));
        if (childs)
            become_child(harness, &manifest);
        else
            byte_buffer_clear(&manifest);
        shard_child_is_founded(harness->shard, child.index);
        struct shard_statistics before;
        shard_read_statistics(harness->shard, &before);
        assert_true(before.lacks_slots);
        assert_true(before.unsplit_count > 0 && before.unsplit_bytes > 0);
        if (childs) /* just restored: nothing was merged yet */
            assert_int_equal(before.unsplit_count, before.part_count + before.block_count);
        harness_set_time(harness, T0 + 40 * WINDOW_MS);
        harness_flush(harness);
        harness_maintain(harness);
        harness_freeze(harness);
        harness_maintain(harness);
        expect_half(harness, childs, 3 * MINUTES);
        struct shard_statistics statistics;
        shard_read_statistics(harness->shard, &statistics);
        assert_int_equal(statistics.part_count, 0);
        assert_true(statistics.block_count > 0);
        uint64_t samples = 0;
        shard_visit_blocks(harness->shard, add_samples, &samples);
        assert_int_equal(samples, count_of(childs) * 3 * MINUTES);
        assert_int_equal(statistics.unsplit_count, 0);
        assert_int_equal(statistics.unsplit_bytes, 0);
        harness_destroy(harness);
    }
}

static bool count_metadata(void *context, struct text metric_name,
                           const struct metric_metadata *metadata)
{
    (void)metric_name, (void)metadata;
    ++*(size_t *)context;
    return true;
}

static size_t metadata_of(struct harness *harness)
{
    size_t count = 0;
    shard_visit_metadata(harness->shard, TEXT("anonymous"), count_metadata, &count);
    return count;
}

static void metadata_is_of_one_half_too(void **state)
{
    (void)state;
    enum { METRICS = 50 };
    struct harness *harness = filled(4);
    struct arena *arena = arena_create(0);
    struct entry_metadata metadata[METRICS];
    for (unsigned i = 0; i < METRICS; i++)
        metadata[i] = (struct entry_metadata){
            .metric_name = arena_format(arena, "metric_%u", i),
            .metadata = {METRIC_COUNTER, TEXT("What it is."), TEXT("")},
        };
    struct shard_write write = harness_request(arena, NULL, 0);
    write.metadata = metadata;
    write.metadata_count = METRICS;
    harness_propose_write(harness, &write);
    harness_run(harness);
    assert_int_equal(metadata_of(harness), METRICS);
    split(harness);
    size_t parents = metadata_of(harness);
    struct byte_buffer manifest = copy_child(harness);
    become_child(harness, &manifest);
    assert_true(parents > 0 && parents < METRICS);
    assert_int_equal(parents + metadata_of(harness), METRICS);
    arena_destroy(arena);
    harness_destroy(harness);
}

/* --- Writes ---------------------------------------------------------------------------------- */

static enum error_code try_to_write(struct harness *harness, struct arena *arena, unsigned series,
                                    struct shard_write *write_out)
{
    const struct harness_sample sample = {series, T0 + 3 * WINDOW_MS, 1};
    struct byte_buffer entry = {0};
    struct error error;
    bool added;
    *write_out = harness_request(arena, &sample, 1);
    harness_resolve(harness, write_out);
    shard_prepare_begin(harness->shard, &entry);
    enum error_code code = shard_prepare_write(harness->shard, write_out, &entry, &added, &error);
    byte_buffer_clear(&entry);
    shard_prepare_cancel(harness->shard);
    return code;
}

static unsigned some_series(bool childs)
{
    unsigned series = 0;
    while (is_childs(series) != childs)
        series++;
    return series;
}

static void slots_on_their_way_are_not_written_and_others_are(void **state)
{
    (void)state;
    struct harness *harness = filled(5);
    struct arena *arena = arena_create(0);
    struct shard_write write;
    struct shard_child child = upper_half();
    harness_freeze(harness);
    assert_true(shard_split(harness->shard, &child));
    assert_int_equal(try_to_write(harness, arena, some_series(false), &write), ERROR_NONE);
    assert_int_equal(try_to_write(harness, arena, some_series(true), &write), ERROR_UNAVAILABLE);
    assert_int_equal(write.moved_by_splits, 0); /* not yet */
    harness_run(harness);
    assert_int_equal(try_to_write(harness, arena, some_series(false), &write), ERROR_NONE);
    assert_int_equal(try_to_write(harness, arena, some_series(true), &write), ERROR_UNAVAILABLE);
    assert_int_equal(write.moved_by_splits, 1);
    assert_int_equal(write.floats_written, 0);
    arena_destroy(arena);
    harness_destroy(harness);
}

/* The id that a sender knows from before names a series that is not the shard's any more. */
static void ids_of_moved_series_are_refused(void **state)
{
    (void)state;
    struct harness *harness = harness_create(6);
    harness_raise(harness, STATE_VERSION_SPLITS);
    struct arena *arena = arena_create(0);
    const struct harness_sample sample = {some_series(true), T0, 1};
    struct shard_write write = harness_write(harness, arena, &sample, 1);
    uint64_t id = write.new_series[0].id;
    split(harness);
    struct byte_buffer entry = {0};
    struct error error;
    bool added;
    write = harness_request(arena, &sample, 1);
    write.new_series_count = 0;
    write.ids[0] = id;
    shard_prepare_begin(harness->shard, &entry);
    assert_int_equal(shard_prepare_write(harness->shard, &write, &entry, &added, &error),
                     ERROR_UNAVAILABLE);
    assert_int_equal(write.moved_by_splits, 1);
    byte_buffer_clear(&entry);
    arena_destroy(arena);
    harness_destroy(harness);
}

static void who_leads_anew_takes_all_that_is_not_split_off(void **state)
{
    (void)state;
    struct harness *harness = filled(7);
    struct arena *arena = arena_create(0);
    struct shard_write write;
    struct shard_child child = upper_half();
    harness_freeze(harness);
    assert_true(shard_split(harness->shard, &child));
    /* The entry is lost with the leader that proposed it. */
    harness->log_count--;
    free(harness->log[harness->log_count].bytes);
    shard_lead(harness->shard);
    assert_int_equal(try_to_write(harness, arena, some_series(true), &write), ERROR_NONE);
    split(harness);
    arena_destroy(arena);
    harness_destroy(harness);
}

/* --- When ------------------------------------------------------------------------------------ */

static void a_merge_under_way_ends_first(void **state)
{
    (void)state;
    struct harness *harness = filled(8);
    struct shard_child child = upper_half();
    harness_freeze(harness);
    harness->refuse_kind = ENTRY_MERGE_DONE;
    struct {
        struct shard_flush flush;
        bool done;
    } request = {.flush = {.done = harness_on_flushed}};
    shard_flush(harness->shard, &request.flush);
    harness_run(harness);
    assert_false(shard_split(harness->shard, &child));
    /* As a leader might have proposed it that did not know of the merge. */
    struct byte_buffer entry = {0};
    entry_encode_header(&entry, ENTRY_SPLIT, T0);
    byte_buffer_varint(&entry, CHILD);
    slot_set_encode(&child.slots, &entry);
    byte_buffer_varint(&entry, 1);
    byte_buffer_varint(&entry, 1);
    harness_append(harness, entry.bytes, entry.size);
    byte_buffer_clear(&entry);
    harness_run(harness); /* refused */
    assert_int_equal(shard_split_count(harness->shard), 0);
    harness->refuse_kind = 0;
    harness_maintain(harness);
    assert_true(request.done);
    split(harness);
    expect_half(harness, false, 3 * MINUTES);
    harness_destroy(harness);
}

static void slots_that_are_not_its_own_are_no_child(void **state)
{
    (void)state;
    struct harness *harness = filled(9);
    struct shard_child child = upper_half();
    split(harness);
    struct shard_child pending;
    assert_true(shard_unfounded_child(harness->shard, &pending));
    shard_child_is_founded(harness->shard, pending.index);
    harness_freeze(harness);
    assert_false(shard_split(harness->shard, &child));
    assert_int_equal(shard_split_count(harness->shard), 1);
    harness_destroy(harness);
}

/* --- Restarts -------------------------------------------------------------------------------- */

/* Before the files of the split are durable, the log has it; the child waits for them. */
static void a_crash_before_the_freeze_is_durable_splits_again(void **state)
{
    (void)state;
    struct harness *harness = filled(10);
    struct shard_child child;
    harness->keep_snapshots_away = true; /* the log is replayed from before the split */
    split(harness);
    assert_true(shard_unfounded_child(harness->shard, &child));
    harness->keep_snapshots_away = false;
    harness_restart(harness);
    assert_int_equal(shard_split_count(harness->shard), 1);
    assert_true(shard_unfounded_child(harness->shard, &child));
    assert_int_equal(child.shard_id, CHILD);
    assert_int_equal(child.founder_count, 3);
    expect_half(harness, false, 3 * MINUTES);
    struct byte_buffer manifest = copy_child(harness);
    become_child(harness, &manifest);
    expect_half(harness, true, 3 * MINUTES);
    harness_destroy(harness);
}

/* Until the child is founded, the durable state is that of the split, whatever else is frozen. */
static void a_crash_before_the_child_is_founded_finds_its_files_again(void **state)
{
    (void)state;
    struct harness *harness = filled(11);
    struct arena *arena = arena_create(0);
    struct shard_child child;
    split(harness);
    assert_true(shard_unfounded_child(harness->shard, &child));
    uint64_t index = child.index;
    const struct harness_sample sample = {some_series(false), T0 + 3 * WINDOW_MS, 1};
    harness_write(harness, arena, &sample, 1);
    harness_freeze(harness); /* waits */
    harness_maintain(harness);
    assert_true(shard_unfounded_child(harness->shard, &child));
    harness_restart(harness);
    assert_true(shard_unfounded_child(harness->shard, &child));
    assert_true(shard_holds_child(harness->shard, CHILD));
    assert_int_equal(child.index, index);
    struct byte_buffer manifest = copy_child(harness);
    byte_buffer_clear(&manifest);
    shard_child_is_founded(harness->shard, index);
    assert_false(shard_holds_child(harness->shard, CHILD));
    harness_run(harness);
    assert_true(shard_freeze_index(harness->shard) > index);
    harness_restart(harness);
    assert_false(shard_unfounded_child(harness->shard, &child));
    assert_false(shard_holds_child(harness->shard, CHILD));
    assert_int_equal(samples_of(harness, sample.series), 3 * MINUTES + 1);
    arena_destroy(arena);
    harness_destroy(harness);
}

static void the_child_can_be_split_in_turn(void **state)
{
    (void)state;
    struct harness *harness = filled(12);
    split(harness);
    struct byte_buffer manifest = copy_child(harness);
    become_child(harness, &manifest);
    struct shard_child quarter = {.shard_id = CHILD + 1, .founders = {1}, .founder_count = 1};
    slot_set_add(&quarter.slots, SLOT_COUNT / 4 * 3, SLOT_COUNT / 4);
    for (int i = 0; i < 10 && !shard_split(harness->shard, &quarter); i++)
        harness_maintain(harness); /* merges leave out what is the parent's */
    assert_true(shard_split_is_proposed(harness->shard));
    harness_run(harness);
    for (unsigned series = 0; series < SERIES; series++) {
        uint16_t slot = slot_of(series);
        bool is_seen = slot >= SLOT_COUNT / 2 && slot < SLOT_COUNT / 4 * 3;
        assert_int_equal(samples_of(harness, series), is_seen ? 3 * MINUTES : 0);
    }
    assert_int_equal(shard_split_count(harness->shard), 1);
    harness_destroy(harness);
}

/* --- Slots ----------------------------------------------------------------------------------- */

static void sets_of_slots_come_back(void **state)
{
    (void)state;
    struct slot_set sets[4] = {0};
    slot_set_fill(&sets[1]);
    slot_set_add(&sets[2], 0, 1);
    slot_set_add(&sets[2], SLOT_COUNT - 1, 1);
    slot_set_add(&sets[3], 5, 100);
    slot_set_add(&sets[3], 200, 3);
    const uint32_t counts[4] = {0, SLOT_COUNT, 2, 103};
    for (size_t i = 0; i < 4; i++) {
        struct byte_buffer buffer = {0};
        struct slot_set set;
        struct error error;
        slot_set_encode(&sets[i], &buffer);
        struct byte_reader reader = byte_reader_over(buffer.bytes, buffer.size);
        assert_int_equal(slot_set_decode(&reader, &set, &error), ERROR_NONE);
        assert_int_equal(byte_reader_left(&reader), 0);
        assert_memory_equal(&set, &sets[i], sizeof set);
        assert_int_equal(slot_set_count(&set), counts[i]);
        for (size_t size = 0; size < buffer.size; size++) {
            reader = byte_reader_over(buffer.bytes, size);
            assert_int_equal(slot_set_decode(&reader, &set, &error), ERROR_CORRUPT);
        }
        byte_buffer_clear(&buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_of_the_first_version_is_not_split),
        cmocka_unit_test(each_half_shows_its_own_series_whole),
        cmocka_unit_test(each_half_goes_on_by_itself),
        cmocka_unit_test(a_copy_says_which_slots_it_has_and_was_never_split),
        cmocka_unit_test(merges_leave_out_what_is_the_others),
        cmocka_unit_test(metadata_is_of_one_half_too),
        cmocka_unit_test(slots_on_their_way_are_not_written_and_others_are),
        cmocka_unit_test(ids_of_moved_series_are_refused),
        cmocka_unit_test(who_leads_anew_takes_all_that_is_not_split_off),
        cmocka_unit_test(a_merge_under_way_ends_first),
        cmocka_unit_test(slots_that_are_not_its_own_are_no_child),
        cmocka_unit_test(a_crash_before_the_freeze_is_durable_splits_again),
        cmocka_unit_test(a_crash_before_the_child_is_founded_finds_its_files_again),
        cmocka_unit_test(the_child_can_be_split_in_turn),
        cmocka_unit_test(sets_of_slots_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
