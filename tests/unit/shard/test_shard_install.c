/* A shard takes over the state of another one, and its files where its own are damaged. */
#include "base/state_version.h"
#include "damage.h"
#include "merge.h"
#include "shard/shard_install.h"
#include "shard/shard_windows.h"
#include "shard_harness.h"

static const int64_t T0 = HARNESS_START_MS;
enum { SERIES = 6, MINUTES = 30, GROUP = 9, STEPS_MAX = 1000000 };

/* --- Two replicas ------------------------------------------------------------------------------
 */

struct pair {
    struct harness *leader;
    struct harness *lagging;
    uint64_t applied_index; /* of the lagging one */
    struct shard_peers peers;
    struct file_fetcher fetcher;
    size_t fetched;
    bool rotten_at_first; /* what node 2 sends is damaged; node 3 has the same, sound */
    bool unreachable;
    bool is_ready;
    struct error error;
};

static struct pair *pair_of(struct file_fetcher *fetcher)
{
    return (struct pair *)((char *)fetcher - offsetof(struct pair, fetcher));
}

static size_t other_nodes(void *context, uint64_t nodes_out[FILE_FETCH_NODES_MAX])
{
    (void)context;
    nodes_out[0] = 2;
    nodes_out[1] = 3;
    return 2;
}

/* Where the fetcher puts what has come. */
static void put_file(struct pair *pair, struct file_fetch *fetch, const uint8_t *bytes, size_t size)
{
    struct disk *to = pair->lagging->environment->base.disk;
    struct file *file = NULL;
    struct error error;
    snprintf(fetch->path, sizeof fetch->path, "%s/arrived-%zu", fetch->directory, pair->fetched++);
    assert_int_equal(disk_open(to, fetch->path, DISK_OPEN_REPLACE, &file, &error), ERROR_NONE);
    assert_int_equal(disk_write_at(to, file, 0, bytes, size, &error), ERROR_NONE);
    assert_int_equal(disk_sync(to, file, &error), ERROR_NONE);
    disk_close(to, file);
    if (fetch->progress != NULL)
        fetch->progress(fetch, size);
}

static void copy_state(struct pair *pair, struct file_fetch *fetch, struct error *error)
{
    struct byte_buffer manifest = {0};
    if (shard_offer_state(pair->leader->shard, fetch->file.index, &manifest, error) == ERROR_NONE)
        put_file(pair, fetch, manifest.bytes, manifest.size);
    byte_buffer_clear(&manifest);
}

static void copy_file(struct pair *pair, struct file_fetch *fetch, struct error *error)
{
    struct disk *from = pair->leader->environment->base.disk;
    char path[DISK_PATH_MAX + 1];
    struct file *file = NULL;
    uint64_t size = 0;
    uint8_t *bytes = NULL;
    shard_file_path(pair->leader->shard, &fetch->file, path);
    if (disk_open(from, path, DISK_OPEN_READ, &file, error) != ERROR_NONE)
        return;
    assert_int_equal(disk_size(from, file, &size, error), ERROR_NONE);
    bytes = simulated_allocate(size + 1);
    assert_int_equal(disk_read_at(from, file, 0, bytes, size, error), ERROR_NONE);
    disk_close(from, file);
    if (pair->rotten_at_first && fetch->nodes[0] == 2)
        bytes[size / 3] ^= 1;
    put_file(pair, fetch, bytes, size);
    free(bytes);
}

static void fetch_run(struct task *task)
{
    struct file_fetch *fetch =
        (struct file_fetch *)((char *)task - offsetof(struct file_fetch, task));
    struct pair *pair = fetch->implementation;
    struct error error;
    error_clear(&error);
    assert_int_equal(fetch->group_id, GROUP);
    if (pair == NULL)
        error_set(&error, ERROR_CANCELED, "not wanted any more");
    else if (pair->unreachable)
        error_set(&error, ERROR_UNAVAILABLE, "nobody there");
    else if (fetch->file.kind == SHARD_FILE_STATE)
        copy_state(pair, fetch, &error);
    else
        copy_file(pair, fetch, &error);
    fetch->done(fetch, &error);
}

static void pair_fetch(struct file_fetcher *self, struct file_fetch *fetch)
{
    struct pair *pair = pair_of(self);
    fetch->implementation = pair;
    fetch->task.run = fetch_run;
    scheduler_defer(pair->lagging->environment->base.scheduler, &fetch->task);
}

static void pair_cancel(struct file_fetcher *self, struct file_fetch *fetch)
{
    (void)self;
    fetch->implementation = NULL;
}

static const struct file_fetcher_operations FETCHER = {.fetch = pair_fetch, .cancel = pair_cancel};

static struct pair *pair_create(uint64_t seed)
{
    struct pair *pair = calloc(1, sizeof *pair);
    struct error error;
    assert_non_null(pair);
    pair->leader = harness_create(seed);
    pair->lagging = harness_create(seed + 1000);
    pair->fetcher.operations = &FETCHER;
    pair->peers =
        (struct shard_peers){.fetcher = &pair->fetcher, .group_id = GROUP, .nodes = other_nodes};
    pair->lagging->options.peers = &pair->peers;
    pair->lagging->refuse_proposals = true;
    harness_close(pair->lagging);
    assert_int_equal(harness_open(pair->lagging, &error), ERROR_NONE);
    return pair;
}

static void pair_destroy(struct pair *pair)
{
    harness_destroy(pair->leader);
    harness_destroy(pair->lagging);
    free(pair);
}

static void step(struct harness *harness)
{
    (void)simulated_scheduler_step(&harness->environment->scheduler);
}

static void expect_same_version(struct pair *pair, int64_t at_ms)
{
    uint64_t versions[2];
    shard_read_window_versions(pair->leader->shard, shard_window_of(at_ms), 1, &versions[0]);
    shard_read_window_versions(pair->lagging->shard, shard_window_of(at_ms), 1, &versions[1]);
    assert_int_equal(versions[0], versions[1]);
    assert_true(versions[0] != SHARD_WINDOW_UNVERSIONED);
}

/* What the leader has in its log, up to `index`. */
static void follow(struct pair *pair, uint64_t index)
{
    for (size_t i = 0; i < pair->leader->log_count; i++) {
        const struct harness_entry *entry = &pair->leader->log[i];
        enum error_code code = ERROR_UNAVAILABLE;
        struct error error;
        if (entry->index <= pair->applied_index || entry->index > index)
            continue;
        for (size_t k = 0; code == ERROR_UNAVAILABLE && k < STEPS_MAX; k++) {
            code = shard_apply(pair->lagging->shard, entry->index, entry->bytes, entry->size_bytes,
                               &error);
            if (code == ERROR_UNAVAILABLE)
                step(pair->lagging);
        }
        assert_true(code == ERROR_NONE || code == ERROR_CONFLICT);
        pair->applied_index = entry->index;
    }
}

static void settle_jobs(struct harness *harness)
{
    for (size_t i = 0; i < 20000; i++)
        step(harness);
}

/* --- Installing --------------------------------------------------------------------------------
 */

static void on_ready(void *context, const struct error *error)
{
    struct pair *pair = context;
    assert_false(pair->is_ready);
    pair->is_ready = true;
    pair->error = *error;
}

static struct shard_install *begin(struct pair *pair)
{
    struct byte_buffer manifest = {0};
    struct shard_install *install;
    struct error error;
    uint64_t index;
    assert_int_equal(shard_snapshot(pair->leader->shard, &manifest, &index, &error), ERROR_NONE);
    pair->is_ready = false;
    assert_int_equal(shard_install_begin(pair->lagging->shard, manifest.bytes, manifest.size,
                                         on_ready, pair, &install, &error),
                     ERROR_NONE);
    assert_false(pair->is_ready);
    byte_buffer_clear(&manifest);
    return install;
}

static void await_ready(struct pair *pair)
{
    for (size_t i = 0; !pair->is_ready; i++) {
        assert_true(i < STEPS_MAX);
        step(pair->lagging);
    }
}

static void install(struct pair *pair)
{
    struct shard_install *prepared = begin(pair);
    struct error error;
    await_ready(pair);
    assert_int_equal(pair->error.code, ERROR_NONE);
    if (shard_install_finish(prepared, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    pair->applied_index = pair->leader->snapshot_index;
    harness_snapshot(pair->lagging);
}

static void expect_same(struct pair *pair, int64_t start_ms)
{
    struct harness_answer *here = malloc(sizeof *here), *there = malloc(sizeof *there);
    for (unsigned series = 0; series < SERIES; series++) {
        harness_read(pair->leader, series, start_ms, start_ms + WINDOW_MS - 1, SERIES_NEED_ALL,
                     there);
        harness_read(pair->lagging, series, start_ms, start_ms + WINDOW_MS - 1, SERIES_NEED_ALL,
                     here);
        assert_int_equal(there->code, ERROR_NONE);
        assert_int_equal(here->code, ERROR_NONE);
        assert_true(there->count > 0);
        assert_int_equal(here->count, there->count);
        assert_memory_equal(here->timestamps_ms, there->timestamps_ms, there->count * 8);
        assert_memory_equal(here->values, there->values, there->count * 8);
    }
    free(here);
    free(there);
}

static void expect_same_manifests(struct pair *pair)
{
    struct byte_buffer here = {0}, there = {0};
    struct error error;
    uint64_t index;
    assert_int_equal(shard_snapshot(pair->leader->shard, &there, &index, &error), ERROR_NONE);
    assert_int_equal(shard_snapshot(pair->lagging->shard, &here, &index, &error), ERROR_NONE);
    assert_int_equal(here.size, there.size);
    assert_memory_equal(here.bytes, there.bytes, there.size);
    byte_buffer_clear(&here);
    byte_buffer_clear(&there);
}

static struct shard_install_progress progress_of(struct pair *pair)
{
    struct shard_install_progress progress;
    shard_read_install_progress(pair->lagging->shard, &progress);
    return progress;
}

/* Blocks of one window, a part of the next, and entries behind the freeze. */
static void fill_leader(struct pair *pair)
{
    shard_want_version(pair->leader->shard, STATE_VERSION_WINDOWS);
    harness_maintain(pair->leader);
    harness_fill(pair->leader, SERIES, T0, MINUTES);
    harness_flush(pair->leader);
    harness_fill(pair->leader, SERIES, T0 + WINDOW_MS, MINUTES);
    harness_freeze(pair->leader);
    harness_fill(pair->leader, SERIES, T0 + 2 * WINDOW_MS, MINUTES);
}

static void an_empty_shard_becomes_as_the_other(void **state)
{
    (void)state;
    struct pair *pair = pair_create(1);
    fill_leader(pair);
    install(pair);
    struct shard_install_progress progress = progress_of(pair);
    assert_false(progress.is_installing);
    assert_int_equal(progress.files_fetched_total, progress.files_total);
    assert_int_equal(progress.bytes_done, progress.bytes_total);
    expect_same_manifests(pair);
    expect_same(pair, T0);
    expect_same(pair, T0 + WINDOW_MS);
    expect_same_version(pair, T0);
    expect_same_version(pair, T0 + WINDOW_MS);
    follow(pair, UINT64_MAX); /* what is behind the freeze comes as entries */
    expect_same(pair, T0 + 2 * WINDOW_MS);
    expect_same_version(pair, T0 + 2 * WINDOW_MS);
    pair_destroy(pair);
}

static void what_was_taken_over_is_there_after_a_power_failure(void **state)
{
    (void)state;
    struct pair *pair = pair_create(2);
    struct error error;
    fill_leader(pair);
    install(pair);
    simulated_environment_crash(pair->lagging->environment, SIMULATED_POWER_FAILURE);
    harness_close(pair->lagging);
    simulated_environment_restart(pair->lagging->environment);
    assert_int_equal(harness_open(pair->lagging, &error), ERROR_NONE);
    expect_same(pair, T0);
    expect_same(pair, T0 + WINDOW_MS);
    assert_int_equal(harness_statistics(pair->lagging).damaged_files, 0);
    pair_destroy(pair);
}

static void a_lagging_shard_keeps_the_files_that_it_has(void **state)
{
    (void)state;
    struct pair *pair = pair_create(3);
    harness_fill(pair->leader, SERIES, T0, MINUTES);
    harness_flush(pair->leader);
    follow(pair, UINT64_MAX); /* with its own freezes and merges */
    settle_jobs(pair->lagging);
    harness_fill(pair->leader, SERIES, T0 + WINDOW_MS, MINUTES);
    follow(pair, pair->leader->last_index - 20); /* a head that is void then */
    harness_freeze(pair->leader);
    install(pair);
    struct shard_install_progress progress = progress_of(pair);
    assert_true(progress.files_fetched_total < progress.files_total);
    assert_int_equal(progress.files_done, progress.files_total);
    expect_same_manifests(pair);
    expect_same(pair, T0);
    expect_same(pair, T0 + WINDOW_MS);
    harness_fill(pair->leader, SERIES + 2, T0 + 2 * WINDOW_MS, MINUTES);
    harness_flush(pair->leader);
    follow(pair, UINT64_MAX);
    settle_jobs(pair->lagging);
    expect_same(pair, T0 + 2 * WINDOW_MS);
    expect_same_manifests(pair);
    pair_destroy(pair);
}

/* A freeze and a merge of the state before are under way when it is replaced. */
static void jobs_of_the_state_before_end_without_effect(void **state)
{
    (void)state;
    for (uint64_t seed = 10; seed < 40; seed++) {
        struct pair *pair = pair_create(seed);
        fill_leader(pair);
        struct shard_install *prepared = begin(pair);
        await_ready(pair);
        follow(pair, pair->leader->snapshot_index - 1 - seed % 30);
        for (uint64_t i = 0; i < seed % 7; i++)
            step(pair->lagging);
        struct error error;
        assert_int_equal(shard_install_finish(prepared, &error), ERROR_NONE);
        pair->applied_index = pair->leader->snapshot_index;
        harness_snapshot(pair->lagging);
        follow(pair, UINT64_MAX);
        settle_jobs(pair->lagging);
        expect_same(pair, T0);
        expect_same(pair, T0 + WINDOW_MS);
        expect_same(pair, T0 + 2 * WINDOW_MS);
        pair_destroy(pair);
    }
}

static void a_query_keeps_what_it_began_with(void **state)
{
    (void)state;
    struct pair *pair = pair_create(4);
    struct arena *arena = arena_create(0);
    struct series_set *set;
    struct series_reader *reader;
    struct sample_columns columns;
    struct error error;
    fill_leader(pair);
    follow(pair, pair->leader->log[MINUTES / 2 + 1].index); /* half of the first window */
    struct series_request request = {
        .tenant = TEXT("anonymous"), .start_ms = INT64_MIN, .end_ms = INT64_MAX, .arena = arena};
    assert_int_equal(
        series_source_select(shard_source(pair->lagging->shard), &request, &set, &error),
        ERROR_NONE);
    install(pair);
    settle_jobs(pair->lagging); /* what is swept is swept */
    assert_int_equal(set->count, SERIES);
    assert_int_equal(series_reader_open(set, &reader, &error), ERROR_NONE);
    assert_int_equal(series_reader_read(reader, 0, &columns, &error), ERROR_NONE);
    assert_int_equal(columns.count, MINUTES / 2 + 1);
    series_reader_close(reader);
    series_set_close(set);
    arena_destroy(arena);
    expect_same(pair, T0);
    pair_destroy(pair);
}

static void a_damaged_file_is_asked_of_another_node(void **state)
{
    (void)state;
    struct pair *pair = pair_create(5);
    fill_leader(pair);
    pair->rotten_at_first = true;
    install(pair);
    struct shard_install_progress progress = progress_of(pair);
    assert_int_equal(progress.files_rejected_total, progress.files_total);
    expect_same(pair, T0);
    pair_destroy(pair);
}

static void what_cannot_be_had_leaves_the_shard_as_it_is(void **state)
{
    (void)state;
    struct pair *pair = pair_create(6);
    fill_leader(pair);
    follow(pair, pair->leader->log[MINUTES].index);
    pair->unreachable = true;
    struct shard_install *prepared = begin(pair);
    await_ready(pair);
    assert_int_equal(pair->error.code, ERROR_UNAVAILABLE);
    shard_install_abandon(prepared);
    assert_false(progress_of(pair).is_installing);
    expect_same(pair, T0);
    pair->unreachable = false;
    install(pair);
    expect_same(pair, T0 + WINDOW_MS);
    pair_destroy(pair);
}

/* At any moment; the next one finds what came. */
static void an_abandoned_install_may_be_followed_by_another(void **state)
{
    (void)state;
    for (size_t steps = 0; steps < 60; steps += 3) {
        struct pair *pair = pair_create(100 + steps);
        fill_leader(pair);
        struct shard_install *prepared = begin(pair);
        for (size_t i = 0; i < steps && !pair->is_ready; i++)
            step(pair->lagging);
        shard_install_abandon(prepared);
        install(pair);
        expect_same(pair, T0);
        expect_same(pair, T0 + WINDOW_MS);
        prepared = begin(pair);
        step(pair->lagging);
        (void)prepared; /* the shard closes over it */
        pair_destroy(pair);
    }
}

static bool count_visit(void *context, const char *name, bool is_directory)
{
    (void)name;
    *(size_t *)context += !is_directory;
    return true;
}

static size_t count_files(struct harness *harness)
{
    static const char *const FOLDERS[] = {"parts", "blocks", "series", "metadata", "incoming"};
    struct error error;
    size_t count = 0;
    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, "shards/0007/%s", FOLDERS[i]);
        assert_int_equal(
            disk_list(harness->environment->base.disk, path, count_visit, &count, &error),
            ERROR_NONE);
    }
    return count;
}

static void nothing_of_the_state_before_is_left(void **state)
{
    (void)state;
    struct pair *pair = pair_create(7);
    harness_fill(pair->leader, SERIES, T0, MINUTES);
    harness_freeze(pair->leader);
    harness_fill(pair->leader, SERIES, T0 + 5 * 60000, MINUTES);
    harness_freeze(pair->leader);
    follow(pair, UINT64_MAX);
    settle_jobs(pair->lagging); /* two parts, which a merge takes away */
    harness_flush(pair->leader);
    harness_snapshot(pair->leader);
    harness_run(pair->leader);
    install(pair);
    settle_jobs(pair->lagging);
    assert_int_equal(count_files(pair->lagging), count_files(pair->leader));
    pair_destroy(pair);
}

/* --- Replicas agree ----------------------------------------------------------------------------
 */

static const char *only_file(struct harness *harness, const char *prefix)
{
    uint64_t size;
    const char *found = simulated_disk_choose(&harness->environment->disk, prefix, &size);
    assert_non_null(found);
    return found;
}

static void tend(struct pair *pair)
{
    for (size_t i = 0; i < 20; i++) {
        shard_tend(pair->lagging->shard);
        settle_jobs(pair->lagging);
        pair->lagging->environment->clock.now_ns += UINT64_C(3000000000);
    }
}

struct scrubbed {
    struct shard_scrub base;
    bool done;
};

static void on_scrubbed(struct shard_scrub *base, const struct error *error)
{
    assert_int_equal(error->code, ERROR_NONE);
    ((struct scrubbed *)base)->done = true;
}

static void rot_is_found_and_replaced_from_a_peer(void **state)
{
    static const char *const PREFIXES[] = {"shards/0007/blocks/", "shards/0007/parts/",
                                           "shards/0007/series/"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct pair *pair = pair_create(20 + i);
        fill_leader(pair);
        follow(pair, UINT64_MAX);
        settle_jobs(pair->lagging);
        simulated_disk_flip(&pair->lagging->environment->disk,
                            only_file(pair->lagging, PREFIXES[i]), 30 * 8);
        struct scrubbed scrubbed = {.base = {.done = on_scrubbed}};
        shard_scrub(pair->lagging->shard, &scrubbed.base);
        assert_false(scrubbed.done);
        settle_jobs(pair->lagging);
        assert_true(scrubbed.done);
        assert_int_equal(scrubbed.base.damaged, 1);
        assert_int_equal(harness_statistics(pair->lagging).damaged_files, 1);
        tend(pair);
        assert_int_equal(harness_statistics(pair->lagging).damaged_files, 0);
        assert_int_equal(progress_of(pair).files_repaired_total, 1);
        expect_same(pair, T0);
        expect_same(pair, T0 + WINDOW_MS);
        pair_destroy(pair);
    }
}

/* Whoever could not read a file gives the hint; other errors say nothing about files. */
static void a_suspicion_has_all_files_read_once_a_minute(void **state)
{
    struct error full = {.code = ERROR_NO_SPACE}, rotten = {.code = ERROR_CORRUPT};
    (void)state;
    struct pair *pair = pair_create(25);
    fill_leader(pair);
    follow(pair, UINT64_MAX);
    settle_jobs(pair->lagging);
    struct shard *shard = pair->lagging->shard;
    simulated_disk_flip(&pair->lagging->environment->disk,
                        only_file(pair->lagging, "shards/0007/series/"), 30 * 8);
    shard_suspect_files(shard, &full);
    assert_false(shard_is_scrubbed(shard));
    shard_suspect_files(shard, &rotten);
    assert_true(shard_is_scrubbed(shard));
    settle_jobs(pair->lagging);
    assert_int_equal(harness_statistics(pair->lagging).damaged_files, 1);
    shard_suspect_files(shard, &rotten);
    assert_false(shard_is_scrubbed(shard));
    tend(pair);
    assert_int_equal(harness_statistics(pair->lagging).damaged_files, 0);
    assert_int_equal(progress_of(pair).files_repaired_total, 1);
    shard_suspect_files(pair->leader->shard, &rotten); /* has nobody to get files from */
    assert_false(shard_is_scrubbed(pair->leader->shard));
    expect_same(pair, T0);
    pair_destroy(pair);
}

struct told {
    struct shard_scrub base;
    size_t files, damaged;
    enum error_code outcome;
    bool done;
};

static void on_file(struct shard_scrub *base, const struct shard_scrub_file *file)
{
    struct told *told = (struct told *)base;
    told->files++;
    told->damaged += file->error->code != ERROR_NONE;
    assert_true(file->error->code != ERROR_NONE ||
                (file->content_checksum.low | file->content_checksum.high) != 0);
    assert_true((file->size_bytes > 0) == (file->error->code == ERROR_NONE));
}

static void on_told(struct shard_scrub *base, const struct error *error)
{
    ((struct told *)base)->outcome = error->code;
    ((struct told *)base)->done = true;
}

static void a_scrub_tells_of_every_file_and_of_what_was_known_before(void **state)
{
    (void)state;
    struct pair *pair = pair_create(26);
    fill_leader(pair);
    struct shard *shard = pair->leader->shard; /* has nobody to get files from */
    settle_jobs(pair->leader);
    simulated_disk_flip(&pair->leader->environment->disk,
                        only_file(pair->leader, "shards/0007/blocks/"), 30 * 8);
    for (size_t i = 0; i < 2; i++) {
        struct told told = {.base = {.done = on_told, .file = on_file}};
        shard_scrub(shard, &told.base);
        assert_true(shard_is_scrubbed(shard));
        settle_jobs(pair->leader);
        assert_true(told.done);
        assert_false(shard_is_scrubbed(shard));
        assert_int_equal(told.outcome, ERROR_NONE);
        assert_int_equal(told.files, told.base.files);
        assert_true(told.files >= 3);
        assert_int_equal(told.damaged, 1);
        assert_int_equal(told.base.damaged, 1);
    }
    pair_destroy(pair);
}

struct paced {
    struct shard_scrub base;
    struct harness *harness;
    uint64_t first_ms; /* when the first file was told; 0: not yet */
    uint64_t first_bytes;
    bool done;
};

static uint64_t monotonic_ms(struct harness *harness)
{
    return clock_monotonic_ms(harness->environment->base.clock);
}

static void on_paced_file(struct shard_scrub *base, const struct shard_scrub_file *file)
{
    struct paced *paced = (struct paced *)base;
    if (paced->first_ms != 0)
        return;
    paced->first_ms = monotonic_ms(paced->harness);
    paced->first_bytes = file->size_bytes;
}

static void on_paced(struct shard_scrub *base, const struct error *error)
{
    assert_int_equal(error->code, ERROR_NONE);
    ((struct paced *)base)->done = true;
}

/* Else a large file would take the disk for as long as it is read. */
static void a_scrub_keeps_its_pace_within_a_file(void **state)
{
    (void)state;
    enum { RATE = 500 };
    struct pair *pair = pair_create(29);
    fill_leader(pair);
    settle_jobs(pair->leader);
    struct paced paced = {
        .base = {.done = on_paced, .file = on_paced_file, .bytes_per_second = RATE},
        .harness = pair->leader,
    };
    uint64_t began_ms = monotonic_ms(pair->leader);
    shard_scrub(pair->leader->shard, &paced.base);
    for (size_t i = 0; !paced.done; i++) {
        assert_true(i < STEPS_MAX);
        step(pair->leader);
    }
    assert_true(paced.first_bytes > RATE / 2);
    assert_true(paced.first_ms - began_ms >= paced.first_bytes * 1000 / RATE * 5 / 8);
    assert_true(monotonic_ms(pair->leader) - began_ms >=
                (paced.base.bytes - paced.first_bytes) * 1000 / RATE / 2);
    pair_destroy(pair);
}

enum { FILES_MAX = 64 };

struct windowed {
    struct shard_scrub base;
    size_t done;
    struct seen_file {
        enum file_kind kind;
        uint64_t index;
        uint32_t number;
        size_t times;
    } files[FILES_MAX];
    size_t count;
};

static void on_windowed_file(struct shard_scrub *base, const struct shard_scrub_file *file)
{
    struct windowed *windowed = (struct windowed *)base;
    size_t i = 0;
    while (i < windowed->count &&
           (windowed->files[i].kind != file->kind || windowed->files[i].index != file->index ||
            windowed->files[i].number != file->number))
        i++;
    assert_true(i < FILES_MAX);
    if (i == windowed->count)
        windowed->files[windowed->count++] =
            (struct seen_file){file->kind, file->index, file->number, 0};
    windowed->files[i].times++;
}

static void on_windowed(struct shard_scrub *base, const struct error *error)
{
    assert_int_equal(error->code, ERROR_NONE);
    ((struct windowed *)base)->done++;
}

/* Whatever the windows, and from whenever on; and not all in one of them. */
static void windows_of_one_interval_have_each_file_once(void **state)
{
    (void)state;
    enum { INTERVAL_MS = 100 * 3600 * 1000, WINDOWS = 25 };
    struct pair *pair = pair_create(23);
    for (int i = 0; i < 4; i++) {
        harness_fill(pair->leader, 5, T0 + i * WINDOW_MS, 10);
        if (i < 2)
            harness_flush(pair->leader);
        else
            harness_freeze(pair->leader);
    }
    struct shard *shard = pair->leader->shard;
    struct shard_statistics statistics;
    shard_read_statistics(shard, &statistics);
    size_t files = statistics.part_count + statistics.block_count + statistics.segment_count;
    assert_true(files > 4);
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct windowed windowed = {.base = {.done = on_windowed, .file = on_windowed_file}};
        int64_t from_ms = T0 + (int64_t)seed * 12345678;
        size_t most = 0;
        for (size_t i = 0; i < WINDOWS; i++) {
            windowed.base.window = (struct shard_scrub_window){
                .interval_ms = INTERVAL_MS,
                .from_ms = from_ms + (int64_t)i * INTERVAL_MS / WINDOWS,
                .until_ms = from_ms + (int64_t)(i + 1) * INTERVAL_MS / WINDOWS,
                .seed = seed,
            };
            shard_scrub(shard, &windowed.base);
            assert_false(shard_is_scrubbed(shard)); /* whoever wants all files may have them */
            settle_jobs(pair->leader);
            assert_int_equal(windowed.done, i + 1);
            if (windowed.base.files > most)
                most = windowed.base.files;
        }
        assert_int_equal(windowed.count, files);
        for (size_t i = 0; i < files; i++)
            assert_int_equal(windowed.files[i].times, 1);
        assert_true(most < files);
    }
    pair_destroy(pair);
}

static void a_scrub_that_nobody_waits_for_ends_before_the_next_file(void **state)
{
    (void)state;
    struct pair *pair = pair_create(27);
    fill_leader(pair);
    settle_jobs(pair->leader);
    struct told told = {.base = {.done = on_told, .file = on_file}};
    shard_scrub(pair->leader->shard, &told.base);
    atomic_store(&told.base.is_cancelled, true);
    settle_jobs(pair->leader);
    assert_true(told.done);
    assert_int_equal(told.outcome, ERROR_CANCELED);
    assert_true(told.files <= 1);
    pair_destroy(pair);
}

static void replicas_have_the_same_state_at_the_same_freeze(void **state)
{
    (void)state;
    struct pair *pair = pair_create(28);
    fill_leader(pair);
    follow(pair, UINT64_MAX);
    settle_jobs(pair->leader);
    settle_jobs(pair->lagging);
    uint64_t index, checksum, other_index, other_checksum;
    struct error error;
    assert_int_equal(shard_frozen_state(pair->leader->shard, &index, &checksum, &error),
                     ERROR_NONE);
    assert_int_equal(
        shard_frozen_state(pair->lagging->shard, &other_index, &other_checksum, &error),
        ERROR_NONE);
    assert_true(index > 0);
    assert_int_equal(index, other_index);
    assert_int_equal(checksum, other_checksum);
    pair_destroy(pair);
}

static void a_block_that_is_missing_at_a_start_comes_from_a_peer(void **state)
{
    (void)state;
    struct pair *pair = pair_create(30);
    struct error error;
    fill_leader(pair);
    install(pair);
    harness_close(pair->lagging);
    assert_int_equal(disk_remove(pair->lagging->environment->base.disk,
                                 only_file(pair->lagging, "shards/0007/blocks/"), &error),
                     ERROR_NONE);
    assert_int_equal(harness_open(pair->lagging, &error), ERROR_NONE);
    assert_int_equal(harness_statistics(pair->lagging).damaged_files, 1);
    tend(pair);
    assert_int_equal(harness_statistics(pair->lagging).damaged_files, 0);
    expect_same(pair, T0);
    pair_destroy(pair);
}

/* Its result here is not what the log has. */
static void a_merge_that_differs_is_told_and_does_not_stop_the_replica(void **state)
{
    (void)state;
    struct pair *pair = pair_create(32);
    harness_fill(pair->leader, SERIES, T0, MINUTES);
    harness_flush(pair->leader);
    size_t changed = 0;
    for (size_t i = 0; i < pair->leader->log_count; i++) {
        struct harness_entry *entry = &pair->leader->log[i];
        if (entry->bytes[0] != 4) /* merge done: a checksum stands at its end */
            continue;
        entry->bytes[entry->size_bytes - 1] ^= 1;
        changed++;
    }
    assert_int_equal(changed, 1);
    follow(pair, UINT64_MAX);
    settle_jobs(pair->lagging);
    struct shard_statistics statistics = harness_statistics(pair->lagging);
    assert_int_equal(statistics.differing_files_total, 1);
    assert_int_equal(statistics.merges_total, 1);
    assert_int_equal(statistics.damaged_files, 1);
    tend(pair); /* nobody has that content either */
    assert_int_equal(progress_of(pair).files_repaired_total, 0);
    assert_true(progress_of(pair).files_rejected_total > 0);
    pair_destroy(pair);
}

/* The lagging replica went wrong: a bit of a value changed before it came to the disk. */
static void a_part_that_differs_is_replaced_with_what_is_made_of_it(void **state)
{
    (void)state;
    struct pair *pair = pair_create(31);
    harness_fill(pair->leader, SERIES, T0, MINUTES);
    /* 1005 of series 1, a zigzag integer in two bytes, becomes 1004. */
    struct harness_entry *entry = &pair->leader->log[5];
    size_t at = 0;
    while (at + 2 < entry->size_bytes && load_u16(entry->bytes + at) != 2010)
        at++;
    assert_int_equal(load_u16(entry->bytes + at), 2010);
    store_u16(entry->bytes + at, 2008);
    pair->unreachable = true;
    follow(pair, UINT64_MAX);
    harness_flush(pair->leader);
    follow(pair, UINT64_MAX);
    settle_jobs(pair->lagging);
    struct shard_statistics statistics = harness_statistics(pair->lagging);
    assert_int_equal(statistics.differing_files_total, 1);
    assert_int_equal(statistics.merges_total, 1);
    assert_int_equal(statistics.damaged_files, 1);
    pair->unreachable = false;
    tend(pair);
    assert_int_equal(harness_statistics(pair->lagging).damaged_files, 0);
    assert_int_equal(progress_of(pair).files_repaired_total, 1);
    expect_same(pair, T0);
    expect_same_manifests(pair);
    pair_destroy(pair);
}

/* --- A freeze that can't be written ------------------------------------------------------------
 */

struct fetching {
    struct shard_state_fetch base;
    enum error_code outcome;
    bool done;
};

static void on_state(struct shard_state_fetch *base, const struct error *error)
{
    ((struct fetching *)base)->outcome = error->code;
    ((struct fetching *)base)->done = true;
}

static enum error_code fetch_state(struct pair *pair, struct fetching *fetching)
{
    *fetching = (struct fetching){.base = {.done = on_state}};
    shard_fetch_state(pair->lagging->shard, &fetching->base, 2, pair->applied_index);
    assert_false(fetching->done);
    settle_jobs(pair->lagging);
    assert_true(fetching->done);
    return fetching->outcome;
}

/* The lagging one's segment is rotten when a freeze writes it anew with the series that came. */
static struct pair *pair_with_rotten_segment(uint64_t seed)
{
    struct pair *pair = pair_create(seed);
    struct error error;
    harness_fill(pair->leader, SERIES, T0, 5);
    harness_freeze(pair->leader);
    follow(pair, UINT64_MAX);
    settle_jobs(pair->lagging);
    harness_close(pair->lagging); /* nothing of it is in memory */
    simulated_disk_flip(&pair->lagging->environment->disk,
                        only_file(pair->lagging, "shards/0007/series/"), 30 * 8);
    assert_int_equal(harness_open(pair->lagging, &error), ERROR_NONE);
    harness_fill(pair->leader, 2 * SERIES, T0 + 5 * 60000, 5);
    harness_freeze(pair->leader);
    harness_run(pair->leader);
    follow(pair, UINT64_MAX);
    return pair;
}

static void a_freeze_whose_input_nobody_has_any_more_is_left_behind(void **state)
{
    (void)state;
    struct pair *pair = pair_with_rotten_segment(60);
    struct fetching fetching;
    tend(pair);
    assert_true(shard_needs_state(pair->lagging->shard));
    assert_false(shard_needs_state(pair->leader->shard));
    assert_int_equal(progress_of(pair).files_repaired_total, 0);
    /* What the leader has frozen is not behind what is applied here: it freezes anew. */
    harness_fill(pair->leader, 2 * SERIES, T0 + 10 * 60000, 5);
    follow(pair, UINT64_MAX);
    assert_int_equal(fetch_state(pair, &fetching), ERROR_UNAVAILABLE);
    harness_run(pair->leader);
    assert_int_equal(fetch_state(pair, &fetching), ERROR_NONE);
    assert_true(fetching.base.frozen_index > pair->applied_index);

    struct shard_install *prepared;
    struct error error;
    pair->is_ready = false;
    assert_int_equal(shard_install_begin(pair->lagging->shard, fetching.base.manifest.bytes,
                                         fetching.base.manifest.size, on_ready, pair, &prepared,
                                         &error),
                     ERROR_NONE);
    byte_buffer_clear(&fetching.base.manifest);
    await_ready(pair);
    assert_int_equal(pair->error.code, ERROR_NONE);
    assert_int_equal(shard_install_finish(prepared, &error), ERROR_NONE);
    pair->applied_index = fetching.base.frozen_index;
    harness_snapshot(pair->lagging);
    settle_jobs(pair->lagging);
    assert_false(shard_needs_state(pair->lagging->shard));
    harness_fill(pair->leader, 3 * SERIES, T0 + WINDOW_MS, MINUTES);
    harness_flush(pair->leader);
    follow(pair, UINT64_MAX);
    settle_jobs(pair->lagging);
    expect_same(pair, T0);
    expect_same(pair, T0 + WINDOW_MS);
    expect_same_manifests(pair);
    pair_destroy(pair);
}

/* As a repair does: who has the rotten file open still reads that. */
static void put_sound_copy(struct pair *pair, const struct shard_file *shard_file)
{
    struct disk *disk = pair->lagging->environment->base.disk;
    struct file_fetch fetch = {.file = *shard_file};
    char path[DISK_PATH_MAX + 1];
    struct error error;
    error_clear(&error);
    snprintf(fetch.directory, sizeof fetch.directory, "shards/0007/series");
    copy_file(pair, &fetch, &error);
    assert_int_equal(error.code, ERROR_NONE);
    shard_file_path(pair->lagging->shard, shard_file, path);
    assert_int_equal(disk_rename(disk, fetch.path, path, &error), ERROR_NONE);
}

static void a_merge_goes_on_with_a_file_that_was_replaced(void **state)
{
    (void)state;
    struct pair *pair = pair_create(65);
    struct error error;
    harness_fill(pair->leader, SERIES, T0, MINUTES);
    harness_freeze(pair->leader);
    harness_run(pair->leader);
    follow(pair, UINT64_MAX);
    settle_jobs(pair->lagging);
    harness_close(pair->lagging);
    simulated_disk_flip(&pair->lagging->environment->disk,
                        only_file(pair->lagging, "shards/0007/series/"), 30 * 8);
    assert_int_equal(harness_open(pair->lagging, &error), ERROR_NONE);
    struct shard *shard = pair->lagging->shard;
    const struct shard_file segment = {.kind = SHARD_FILE_SEGMENT,
                                       .index = shard->segments[0].name};
    harness_flush(pair->leader);
    /* The merge has begun with what was open; its end, and a freeze, are still to come. */
    follow(pair, pair->leader->log[pair->leader->log_count - 3].index);
    assert_non_null(shard->merge);
    put_sound_copy(pair, &segment);
    settle_jobs(pair->lagging);
    assert_true(shard->merge->running && shard->merge->error.code == ERROR_CORRUPT);
    assert_false(shard->merge->given_up); /* all that it is made of is sound by its name */

    shard->segments[0].damaged = shard->segments[0].is_replaced = true;
    damage_count(shard);
    damage_reopen_soon(shard);
    settle_jobs(pair->lagging);
    follow(pair, UINT64_MAX);
    settle_jobs(pair->lagging);
    expect_same(pair, T0);
    expect_same_manifests(pair);
    pair_destroy(pair);
}

/* Without others it is told, and tried again: a copy may be put in its place. */
static void a_shard_without_peers_needs_no_state(void **state)
{
    (void)state;
    struct pair *pair = pair_create(61);
    struct harness *alone = pair->leader;
    struct error error;
    harness_fill(alone, SERIES, T0, 5);
    harness_freeze(alone);
    harness_close(alone);
    simulated_disk_flip(&alone->environment->disk, only_file(alone, "shards/0007/series/"), 30 * 8);
    assert_int_equal(harness_open(alone, &error), ERROR_NONE);
    shard_lead(alone->shard);
    shard_freeze(alone->shard);
    for (size_t i = 0; i < 20; i++) {
        shard_tend(alone->shard);
        settle_jobs(alone);
        alone->environment->clock.now_ns += UINT64_C(3000000000);
    }
    assert_false(shard_needs_state(alone->shard));
    pair_destroy(pair);
}

/* The stored state, with what others send. */
static struct shard_install *begin_stored(struct pair *pair)
{
    struct harness *lagging = pair->lagging;
    struct shard_install *install;
    struct error error;
    pair->is_ready = false;
    assert_int_equal(shard_install_begin_stored(lagging->shard, lagging->snapshot.bytes,
                                                lagging->snapshot.size, on_ready, pair, &install,
                                                &error),
                     ERROR_NONE);
    await_ready(pair);
    return install;
}

static void expect_a_start_with_files_of_others(uint64_t seed,
                                                void (*damage)(struct disk *disk, const char *path))
{
    struct pair *pair = pair_create(seed);
    struct error error;
    harness_fill(pair->leader, SERIES, T0, 5);
    harness_freeze(pair->leader);
    follow(pair, UINT64_MAX);
    settle_jobs(pair->lagging);
    harness_close(pair->lagging);
    damage(pair->lagging->environment->base.disk, only_file(pair->lagging, "shards/0007/series/"));
    assert_int_not_equal(harness_open(pair->lagging, &error), ERROR_NONE);

    pair->unreachable = true;
    struct shard_install *install = begin_stored(pair);
    assert_int_equal(pair->error.code, ERROR_UNAVAILABLE);
    shard_install_abandon(install);
    pair->unreachable = false;
    pair->rotten_at_first = true;
    install = begin_stored(pair);
    assert_int_equal(pair->error.code, ERROR_NONE);
    assert_int_equal(progress_of(pair).files_rejected_total, 1);
    assert_int_equal(progress_of(pair).files_repaired_total, 1);
    assert_int_equal(progress_of(pair).files_total, 1); /* the part is not asked for */
    assert_int_equal(shard_install_finish(install, &error), ERROR_NONE);

    harness_fill(pair->leader, SERIES + 1, T0 + 5 * 60000, MINUTES);
    harness_flush(pair->leader);
    follow(pair, UINT64_MAX);
    settle_jobs(pair->lagging);
    expect_same(pair, T0);
    expect_same_manifests(pair);
    pair_destroy(pair);
}

static void remove_it(struct disk *disk, const char *path)
{
    struct error error;
    char copy[DISK_PATH_MAX + 1];
    snprintf(copy, sizeof copy, "%s", path);
    assert_int_equal(disk_remove(disk, copy, &error), ERROR_NONE);
}

/* What an install that was given up has left may have rotted since. */
static void a_rotten_segment_is_not_taken_for_being_here(void **state)
{
    (void)state;
    struct pair *pair = pair_create(66);
    fill_leader(pair);
    struct shard_install *left = begin(pair);
    await_ready(pair);
    assert_int_equal(pair->error.code, ERROR_NONE);
    shard_install_abandon(left);
    settle_jobs(pair->lagging);
    simulated_disk_flip(&pair->lagging->environment->disk,
                        only_file(pair->lagging, "shards/0007/series/"), 30 * 8);
    install(pair);
    struct scrubbed scrubbed = {.base = {.done = on_scrubbed}};
    shard_scrub(pair->lagging->shard, &scrubbed.base);
    settle_jobs(pair->lagging);
    assert_true(scrubbed.done);
    assert_int_equal(scrubbed.base.damaged, 0);
    expect_same(pair, T0);
    pair_destroy(pair);
}

/* Its last byte belongs to what is read when it is opened. */
static void flip_its_end(struct disk *disk, const char *path)
{
    struct file *file = NULL;
    struct error error;
    uint64_t size = 0;
    uint8_t byte;
    assert_int_equal(disk_open(disk, path, DISK_OPEN_READ_WRITE, &file, &error), ERROR_NONE);
    assert_int_equal(disk_size(disk, file, &size, &error), ERROR_NONE);
    assert_int_equal(disk_read_at(disk, file, size - 1, &byte, 1, &error), ERROR_NONE);
    byte ^= 1;
    assert_int_equal(disk_write_at(disk, file, size - 1, &byte, 1, &error), ERROR_NONE);
    disk_close(disk, file);
}

static void a_start_gets_the_segment_that_it_lacks(void **state)
{
    (void)state;
    expect_a_start_with_files_of_others(63, remove_it);
    expect_a_start_with_files_of_others(64, flip_its_end);
}

static void a_state_that_is_on_its_way_is_not_waited_for_by_the_end(void **state)
{
    (void)state;
    struct pair *pair = pair_with_rotten_segment(62);
    struct fetching fetching = {.base = {.done = on_state}};
    shard_fetch_state(pair->lagging->shard, &fetching.base, 2, pair->applied_index);
    shard_cancel_state_fetch(&fetching.base);
    harness_close(pair->lagging);
    assert_true(fetching.done);
    assert_int_equal(fetching.outcome, ERROR_CANCELED);
    pair_destroy(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_shard_becomes_as_the_other),
        cmocka_unit_test(what_was_taken_over_is_there_after_a_power_failure),
        cmocka_unit_test(a_lagging_shard_keeps_the_files_that_it_has),
        cmocka_unit_test(jobs_of_the_state_before_end_without_effect),
        cmocka_unit_test(a_query_keeps_what_it_began_with),
        cmocka_unit_test(a_damaged_file_is_asked_of_another_node),
        cmocka_unit_test(what_cannot_be_had_leaves_the_shard_as_it_is),
        cmocka_unit_test(an_abandoned_install_may_be_followed_by_another),
        cmocka_unit_test(nothing_of_the_state_before_is_left),
        cmocka_unit_test(rot_is_found_and_replaced_from_a_peer),
        cmocka_unit_test(a_suspicion_has_all_files_read_once_a_minute),
        cmocka_unit_test(a_scrub_tells_of_every_file_and_of_what_was_known_before),
        cmocka_unit_test(a_scrub_keeps_its_pace_within_a_file),
        cmocka_unit_test(windows_of_one_interval_have_each_file_once),
        cmocka_unit_test(a_scrub_that_nobody_waits_for_ends_before_the_next_file),
        cmocka_unit_test(replicas_have_the_same_state_at_the_same_freeze),
        cmocka_unit_test(a_block_that_is_missing_at_a_start_comes_from_a_peer),
        cmocka_unit_test(a_merge_that_differs_is_told_and_does_not_stop_the_replica),
        cmocka_unit_test(a_part_that_differs_is_replaced_with_what_is_made_of_it),
        cmocka_unit_test(a_freeze_whose_input_nobody_has_any_more_is_left_behind),
        cmocka_unit_test(a_merge_goes_on_with_a_file_that_was_replaced),
        cmocka_unit_test(a_shard_without_peers_needs_no_state),
        cmocka_unit_test(a_start_gets_the_segment_that_it_lacks),
        cmocka_unit_test(a_rotten_segment_is_not_taken_for_being_here),
        cmocka_unit_test(a_state_that_is_on_its_way_is_not_waited_for_by_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
