/*
 * The same log gives the same files: with restarts in between or without, on every path of the
 * codecs, whatever the order in which jobs end.
 */
#include "shard_harness.h"

#include "base/checksum.h"
#include "base/state_version.h"
#include "codec/codec_path.h"
#include "shard_private.h"

enum { FILES_MAX = 256 };
static const int64_t T0 = HARNESS_START_MS;

/* --- The log -----------------------------------------------------------------------------------
 */

enum { SPECIALS = 6, FIRST_SPECIAL = 400 };

static const uint64_t SPECIAL_BITS[SPECIALS] = {
    STALE_MARKER_BITS,
    NORMAL_NAN_BITS,
    UINT64_C(0xfff8000012345678), /* a NaN with a payload */
    UINT64_C(0x8000000000000000), /* minus zero */
    UINT64_C(0x7ff0000000000000),
    1, /* subnormal */
};

static struct histogram make_histogram(struct arena *arena, unsigned kind, unsigned step)
{
    struct histogram_span *span = arena_array(arena, 1, sizeof *span);
    union histogram_number *buckets = arena_array(arena, 3, sizeof *buckets);
    double *bounds = arena_array(arena, 2, sizeof *bounds);
    struct histogram histogram = {.kind = kind % 2 == 0 ? HISTOGRAM_INTEGER : HISTOGRAM_FLOAT};
    *span = (struct histogram_span){0, 3};
    for (unsigned i = 0; i < 3; i++) {
        if (histogram.kind == HISTOGRAM_INTEGER) {
            buckets[i].integer = step + i;
            histogram.count.integer += buckets[i].integer;
        } else {
            buckets[i].real = step + 0.5 * i;
            histogram.count.real += buckets[i].real;
        }
    }
    if (kind >= 2) {
        bounds[0] = 0.25, bounds[1] = 1;
        histogram.schema = HISTOGRAM_SCHEMA_CUSTOM;
        histogram.custom_bounds = bounds;
        histogram.custom_bound_count = 2;
    }
    histogram.positive_spans = span;
    histogram.positive_span_count = 1;
    histogram.positive_buckets = buckets;
    histogram.positive_bucket_count = 3;
    histogram.sum = step * 1.5;
    return histogram;
}

/* Histograms of a write, of the series that its floats have, a second later. */
static void add_histograms(struct arena *arena, struct shard_write *write, unsigned step)
{
    write->histograms = arena_array(arena, SPECIALS, sizeof *write->histograms);
    write->histogram_origins = arena_array(arena, SPECIALS, sizeof *write->histogram_origins);
    write->stale_origins = arena_array(arena, 2 * (size_t)SPECIALS, sizeof *write->stale_origins);
    for (unsigned i = 0; i < SPECIALS; i++) {
        write->histogram_origins[i] = SPECIALS + i;
        write->histograms[write->histogram_count++] = (struct entry_histogram){
            .id = write->ids[i],
            .timestamp_ms = write->timestamps_ms[i] + 1000,
            .start_timestamp_ms = T0 - 1,
            .histogram = make_histogram(arena, i % 4, step),
        };
    }
}

/* What harness_fill does not write: special floats, histograms of all kinds, start timestamps,
 * exemplars and metadata. */
static void record_kinds(struct harness *harness, int64_t start_ms)
{
    struct arena *arena = arena_create(0);
    for (unsigned step = 0; step < 20; step++) {
        struct harness_sample samples[SPECIALS];
        for (unsigned i = 0; i < SPECIALS; i++)
            samples[i] =
                (struct harness_sample){FIRST_SPECIAL + i, start_ms + step * 15000,
                                        double_from_bits(SPECIAL_BITS[(i + step) % SPECIALS])};
        struct shard_write write = harness_request(arena, samples, SPECIALS);
        add_histograms(arena, &write, step);
        struct entry_exemplar exemplar = {
            write.ids[0], {harness_labels(arena, step), step, start_ms + step * 15000}};
        struct entry_metadata metadata = {
            TEXT("metric_400"),
            {METRIC_GAUGE, arena_format(arena, "help %u", step / 8), TEXT("seconds")}};
        write.exemplars = &exemplar;
        write.exemplar_count = 1;
        write.metadata = &metadata;
        write.metadata_count = 1;
        harness_propose_write(harness, &write);
        harness_run(harness);
        assert_int_equal(write.histograms_written, SPECIALS);
        arena_reset(arena);
    }
    arena_destroy(arena);
}

/* A few series every four hours, until the blocks of the first two days are one. */
static void record_two_days(struct harness *harness, int64_t start_ms)
{
    for (int hour = 0; hour < 52; hour += 4) {
        int64_t hour_start_ms = start_ms + hour * (int64_t)HOUR_MS;
        harness_set_time(harness, hour_start_ms + HOUR_MS);
        harness_fill(harness, 6, hour_start_ms, 50);
        harness_freeze(harness);
        harness_set_time(harness, hour_start_ms + 3 * HOUR_MS);
        harness_maintain(harness);
    }
    for (int hour = 56; hour < 60; hour++) {
        harness_set_time(harness, start_ms + hour * (int64_t)HOUR_MS);
        harness_maintain(harness);
    }
}

static bool has_block_of_hours(const struct harness *harness, int64_t hours)
{
    const struct shard *shard = harness->shard;
    bool found = false;
    for (size_t i = 0; i < shard->block_count; i++) {
        const struct manifest_block *block = &shard->blocks[i].described;
        found |= block->window_end_ms - block->window_start_ms == hours * HOUR_MS;
    }
    return found;
}

/* What a leader made of six hours of writes with all that happens to them, and two quiet days. One
 * late sample has this value. */
static struct harness *record(double late_value)
{
    struct harness *harness = harness_create(1);
    struct arena *arena = arena_create(0);
    for (int hour = 0; hour < 6; hour++) {
        int64_t start_ms = T0 + hour * (int64_t)HOUR_MS;
        harness_set_time(harness, start_ms + HOUR_MS);
        if (hour == 2)
            shard_want_version(harness->shard, STATE_VERSION_WINDOWS);
        if (hour == 4)
            shard_want_version(harness->shard, STATE_VERSION_REHEARSAL);
        harness_fill(harness, (unsigned)(20 + hour * 5), start_ms, 60);
        record_kinds(harness, start_ms);
        if (hour > 1) {
            /* Late, some of it over two windows, some of it conflicting. */
            struct harness_sample late[3] = {{3, start_ms - 2 * HOUR_MS + 500, late_value},
                                             {4, start_ms - 30 * 60000 + 1, 0.1},
                                             {5, start_ms - 60000, 1e9}};
            harness_write(harness, arena, late, 3);
        }
        if (hour == 3)
            harness_delete(harness, 2, T0, T0 + HOUR_MS);
        harness_freeze(harness);
        harness_set_time(harness, start_ms + HOUR_MS + 30 * 60000);
        harness_maintain(harness);
    }
    harness_flush(harness);
    record_two_days(harness, T0 + 6 * HOUR_MS);
    assert_true(has_block_of_hours(harness, 48));
    arena_destroy(arena);
    return harness;
}

/* --- Playing it --------------------------------------------------------------------------------
 */

struct listing {
    struct {
        char path[DISK_PATH_MAX];
        struct hash128 hash;
    } files[FILES_MAX];
    size_t count;
    struct hash128 manifest; /* of the last snapshot: what is alive, and all that is known of it */
};

struct visit {
    struct harness *harness;
    struct listing *listing;
    const char *kind;
};

/* Every file as it lies on the disk when the log was applied, none deleted. */
static bool list_file(void *context, const char *name, bool is_directory)
{
    struct visit *visit = context;
    struct disk *disk = visit->harness->environment->base.disk;
    struct listing *listing = visit->listing;
    struct file *file;
    struct error error;
    uint64_t size;
    assert_false(is_directory);
    assert_true(listing->count < FILES_MAX);
    char *path = listing->files[listing->count].path;
    snprintf(path, DISK_PATH_MAX, "shards/0007/%s/%s", visit->kind, name);
    assert_int_equal(disk_open(disk, path, DISK_OPEN_READ, &file, &error), ERROR_NONE);
    assert_int_equal(disk_size(disk, file, &size, &error), ERROR_NONE);
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    assert_int_equal(disk_read_at(disk, file, 0, bytes, size, &error), ERROR_NONE);
    listing->files[listing->count++].hash = hash128(bytes, size, 0);
    free(bytes);
    disk_close(disk, file);
    return true;
}

static void list_files(struct harness *harness, struct listing *listing)
{
    static const char *const KINDS[] = {"parts", "series", "blocks", "metadata"};
    listing->count = 0;
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        struct visit visit = {harness, listing, KINDS[i]};
        struct error error;
        char path[64];
        snprintf(path, sizeof path, "shards/0007/%s", KINDS[i]);
        assert_int_equal(
            disk_list(harness->environment->base.disk, path, list_file, &visit, &error),
            ERROR_NONE);
    }
    struct byte_buffer manifest = {0};
    struct error error;
    uint64_t frozen_index;
    assert_int_equal(shard_snapshot(harness->shard, &manifest, &frozen_index, &error), ERROR_NONE);
    listing->manifest = hash128(manifest.bytes, manifest.size, 0);
    byte_buffer_clear(&manifest);
}

/* Apply the recorded log on another replica, with a restart after every `restart_every` entries
 * (0: none), and list what it then has. Files that nobody names any more are left alone, so that
 * all of them are compared. */
static void play(const struct harness *recorded, uint64_t seed, size_t restart_every,
                 struct listing *listing)
{
    struct harness *harness = harness_create(seed);
    struct error error;
    harness->refuse_proposals = true;
    for (size_t i = 0; i < recorded->log_count; i++) {
        const struct harness_entry *entry = &recorded->log[i];
        harness_append(harness, entry->bytes, entry->size_bytes);
        harness->log[harness->log_count - 1].index = entry->index;
        if (restart_every > 0 && i % restart_every == restart_every - 1) {
            /* In the middle of whatever goes on. */
            harness_close(harness);
            assert_int_equal(harness_open(harness, &error), ERROR_NONE);
        }
        while (harness->applied_count < harness->log_count) {
            const struct harness_entry *next = &harness->log[harness->applied_count];
            enum error_code code =
                shard_apply(harness->shard, next->index, next->bytes, next->size_bytes, &error);
            if (code == ERROR_UNAVAILABLE)
                simulated_scheduler_step(&harness->environment->scheduler);
            else if (code == ERROR_NONE || code == ERROR_CONFLICT)
                harness->applied_count++;
            else
                fail_msg("%s", error.message);
        }
    }
    harness_run(harness);
    list_files(harness, listing);
    harness_destroy(harness);
}

/* The first file that both sides have and that differs; NULL when there is none. */
static const char *first_difference(const struct listing *left, const struct listing *right,
                                    size_t *common_out)
{
    *common_out = 0;
    for (size_t i = 0; i < left->count; i++)
        for (size_t k = 0; k < right->count; k++)
            if (strcmp(left->files[i].path, right->files[k].path) == 0) {
                if (!hash128_equal(left->files[i].hash, right->files[k].hash))
                    return left->files[i].path;
                ++*common_out;
            }
    return NULL;
}

/* The manifests are the same, and every file that both sides have. What one side deleted already
 * and the other did not yet is no difference: it is in no manifest. */
static size_t expect_equal_files(const struct listing *left, const struct listing *right)
{
    size_t common;
    const char *path = first_difference(left, right, &common);
    if (path != NULL)
        fail_msg("'%s' differs", path);
    assert_true(hash128_equal(left->manifest, right->manifest));
    return common;
}

/* What the last manifest names is on both sides. */
static void expect_all_blocks(const struct harness *recorded, const struct listing *listing)
{
    size_t blocks = 0;
    for (size_t i = 0; i < listing->count; i++)
        blocks += strstr(listing->files[i].path, "/blocks/") != NULL;
    struct shard_statistics statistics;
    shard_read_statistics(recorded->shard, &statistics);
    assert_true(blocks >= statistics.block_count);
}

static void restarts_change_no_file(void **state)
{
    const struct harness *recorded = *state;
    struct listing *straight = calloc(2, sizeof *straight);
    assert_non_null(straight);
    play(recorded, 100, 0, &straight[0]);
    expect_all_blocks(recorded, &straight[0]);
    for (size_t every = 7; every < 200; every = every * 2 + 3) {
        play(recorded, 100 + every, every, &straight[1]);
        expect_all_blocks(recorded, &straight[1]);
        assert_true(expect_equal_files(&straight[0], &straight[1]) >= 4);
    }
    free(straight);
}

static void the_order_in_which_jobs_end_changes_no_file(void **state)
{
    const struct harness *recorded = *state;
    struct listing *listings = calloc(2, sizeof *listings);
    assert_non_null(listings);
    play(recorded, 1000, 0, &listings[0]);
    for (uint64_t seed = 1001; seed < 1006; seed++) {
        play(recorded, seed, 0, &listings[1]);
        assert_true(expect_equal_files(&listings[0], &listings[1]) >= 4);
    }
    free(listings);
}

static void every_path_of_the_codecs_writes_the_same_files(void **state)
{
    const struct harness *recorded = *state;
    struct listing *listings = calloc(2, sizeof *listings);
    enum codec_path before = codec_path_selected();
    assert_non_null(listings);
    codec_path_select(CODEC_PATH_PORTABLE);
    play(recorded, 2000, 0, &listings[0]);
    for (enum codec_path path = CODEC_PATH_PORTABLE + 1; path < CODEC_PATHS; path++) {
        if (!codec_path_is_available(path))
            continue;
        codec_path_select(path);
        play(recorded, 2001, 50, &listings[1]);
        assert_true(expect_equal_files(&listings[0], &listings[1]) >= 4);
    }
    codec_path_select(before);
    free(listings);
}

/* The comparison above would see it: one sample of the log has another value. */
static void another_sample_changes_a_file(void **state)
{
    struct harness *other = record(7.0000000000000009);
    struct listing *listings = calloc(2, sizeof *listings);
    size_t common;
    assert_non_null(listings);
    play(*state, 3000, 0, &listings[0]);
    play(other, 3000, 0, &listings[1]);
    assert_non_null(first_difference(&listings[0], &listings[1], &common));
    free(listings);
    harness_destroy(other);
}

static int record_once(void **state)
{
    harness_version_max = STATE_VERSION_REHEARSAL;
    *state = record(7);
    return 0;
}

static int forget(void **state)
{
    harness_destroy(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restarts_change_no_file),
        cmocka_unit_test(the_order_in_which_jobs_end_changes_no_file),
        cmocka_unit_test(every_path_of_the_codecs_writes_the_same_files),
        cmocka_unit_test(another_sample_changes_a_file),
    };
    return cmocka_run_group_tests(tests, record_once, forget);
}
