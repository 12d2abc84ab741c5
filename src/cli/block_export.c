/* `gnomon block export`: window by window out of a node by remote read, into Prometheus' blocks. */
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/block_command.h"
#include "platform/clock.h"
#include "platform/disk_uring.h"
#include "tsdb/tsdb_block.h"

#include "block_options.h"
#include "export_window.h"

static const char USAGE[] =
    "gnomon block export --from=URL --out=FOLDER [--tenant=TENANT] [--match=SELECTOR ...]\n"
    "                    [--start=TIME] [--end=TIME] [--window=2h] [--retry-for=5m]\n"
    "                    [--user=NAME:PASSWORD] [--token-file=FILE] [--ca=FILE]\n"
    "\n"
    "Writes samples of a running node as blocks of Prometheus, which promtool reads and\n"
    "Prometheus opens when they are in its data directory.\n"
    "\n"
    "  --match=SELECTOR   only series that one of the selectors selects: 'up', '{job=\"node\"}'\n"
    "  --start, --end     only samples in between, both included: 2026-11-22T14:00:00Z, or\n"
    "                     seconds since 1970. Without them: from the oldest to now\n"
    "  --window           how long a block is, a multiple of 2h\n"
    "  --retry-for        how long to go on while the node does not answer\n"
    "\n"
    "Every block is written as a whole; a window that has one in FOLDER already is left out, so\n"
    "what was interrupted is simply run again.\n";

/* --- Windows that are there already ----------------------------------------------------------- */

struct window {
    int64_t start_ms;
    int64_t end_ms; /* excluded */
};

struct export_run {
    struct block_options *options;
    struct disk *disk; /* of the folder */
    struct tsdb_disk_folder folder;
    struct arena *arena;
    struct window *written; /* [written_count] of blocks that were there */
    size_t written_count;
    size_t written_capacity;
    struct export_totals totals;
    int64_t started_ms;
    bool failed; /* memory */
};

static bool note_block(void *context, const char *name, bool is_folder)
{
    struct export_run *run = context;
    struct tsdb_meta meta;
    struct error error;
    /* What is no whole block is not one of ours. */
    if (!is_folder || !tsdb_ulid_is(name) ||
        tsdb_block_load_meta(&run->folder.base, name, run->arena, &meta, &error) != ERROR_NONE)
        return true;
    if (run->written_count == run->written_capacity) {
        size_t capacity = run->written_capacity == 0 ? 64 : 2 * run->written_capacity;
        struct window *written =
            arena_grow(run->arena, run->written, run->written_capacity, capacity, sizeof *written);
        run->failed |= written == NULL;
        if (written == NULL)
            return false;
        run->written = written;
        run->written_capacity = capacity;
    }
    run->written[run->written_count++] = (struct window){meta.start_ms, meta.end_ms};
    return true;
}

static bool is_written(const struct export_run *run, struct window window)
{
    for (size_t i = 0; i < run->written_count; i++)
        if (run->written[i].start_ms == window.start_ms && run->written[i].end_ms == window.end_ms)
            return true;
    return false;
}

/* --- Windows ---------------------------------------------------------------------------------- */

static int64_t floor_to(int64_t time_ms, int64_t width_ms)
{
    int64_t over = time_ms % width_ms;
    return time_ms - (over < 0 ? over + width_ms : over);
}

static void announce(struct window window, const char *what)
{
    char start[BLOCK_TIME_CHARACTERS], end[BLOCK_TIME_CHARACTERS];
    printf("%s to %s  %s\n", block_time_format(window.start_ms, start),
           block_time_format(window.end_ms, end), what);
    fflush(stdout);
}

static void announce_block(const struct export_run *run, struct window window,
                           const struct tsdb_meta *meta)
{
    char text[256];
    const struct block_options *options = run->options;
    int64_t passed_ms = (int64_t)clock_monotonic_ms(clock_system()) - run->started_ms;
    double done = (double)(window.end_ms - options->start_ms);
    double left = (double)(options->end_ms - window.end_ms + 1);
    snprintf(text, sizeof text,
             "%s: %" PRIu64 " series, %" PRIu64 " samples, %" PRIu64 " chunks, %.0f s left",
             meta->ulid, meta->series_count, meta->sample_count, meta->chunk_count,
             done > 0 && left > 0 ? (double)passed_ms / 1000 * left / done : 0.0);
    announce(window, text);
}

static enum error_code export_windows(struct export_run *run, struct export_source *source,
                                      struct error *error)
{
    struct block_options *options = run->options;
    int64_t width_ms = options->window_ms, at_ms, found_ms;
    enum error_code code =
        export_source_oldest(source, options->start_ms, options->end_ms, &found_ms, error);
    if (code != ERROR_NONE || found_ms > options->end_ms)
        return code;
    at_ms = floor_to(found_ms, width_ms);
    if (at_ms < options->start_ms)
        at_ms = options->start_ms;
    options->start_ms = at_ms; /* nothing is before; for the time that is left */
    while (code == ERROR_NONE && at_ms <= options->end_ms) {
        struct window window = {at_ms, floor_to(at_ms, width_ms) + width_ms};
        if (window.end_ms > options->end_ms)
            window.end_ms = options->end_ms + 1;
        struct tsdb_meta meta = {0};
        if (is_written(run, window)) {
            announce(window, "has a block already");
            at_ms = window.end_ms;
            continue;
        }
        code = export_window(source, run->disk, window.start_ms, window.end_ms, &meta, error);
        at_ms = window.end_ms;
        if (code != ERROR_NONE)
            break;
        if (meta.series_count > 0) {
            run->totals.block_count++;
            run->totals.sample_count += meta.sample_count;
            announce_block(run, window, &meta);
            continue;
        }
        code = export_source_oldest(source, at_ms, options->end_ms, &found_ms, error);
        if (found_ms > options->end_ms)
            break;
        if (floor_to(found_ms, width_ms) > at_ms)
            at_ms = floor_to(found_ms, width_ms);
    }
    return code;
}

/* --- The command ------------------------------------------------------------------------------ */

static enum error_code open_folder(struct export_run *run, struct error *error)
{
    const char *out = run->options->out;
    if (mkdir(out, 0777) != 0 && errno != EEXIST)
        return error_set_errno(error, errno, "make the folder '%s'", out);
    enum error_code code = disk_uring_create(out, NULL, DISK_ENGINE_BEST, &run->disk, error);
    if (code != ERROR_NONE)
        return code;
    tsdb_disk_folder_init(&run->folder, run->disk, out);
    code = tsdb_folder_list(&run->folder.base, "", note_block, run, error);
    if (code == ERROR_NONE && run->failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "blocks of '%s'", out);
    return code;
}

static enum error_code export_all(struct export_run *run, struct error *error)
{
    struct block_options *options = run->options;
    struct export_source *source = NULL;
    run->arena = arena_create(0);
    if (run->arena == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "an export");
    if (!options->has_start)
        options->start_ms = 0;
    if (!options->has_end)
        options->end_ms = clock_now_ms(clock_system());
    run->started_ms = (int64_t)clock_monotonic_ms(clock_system());
    enum error_code code = open_folder(run, error);
    if (code == ERROR_NONE)
        code = export_source_open(options, &source, error);
    if (code == ERROR_NONE)
        code = export_windows(run, source, error);
    export_source_close(source);
    if (code == ERROR_NONE)
        printf("exported %" PRIu64 " samples in %" PRIu64 " blocks\n", run->totals.sample_count,
               run->totals.block_count);
    return code;
}

int block_export_command(int count, char **arguments)
{
    struct block_options options;
    struct export_run run = {.options = &options};
    struct error error;
    bool wants_help;
    enum error_code code =
        block_options_read(BLOCK_EXPORT, count, arguments, &options, &wants_help, &error);
    bool is_read = code == ERROR_NONE;
    if (is_read && wants_help)
        fputs(USAGE, stdout);
    if (is_read && !wants_help) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        code = export_all(&run, &error);
    }
    if (code != ERROR_NONE)
        fprintf(stderr, "gnomon block export: %s\n", error.message);
    if (!is_read)
        fprintf(stderr, "`gnomon block export --help` tells how it is used\n");
    disk_uring_destroy(run.disk);
    arena_destroy(run.arena);
    block_options_clear(&options);
    return code == ERROR_NONE ? 0 : is_read ? 1 : 2;
}
