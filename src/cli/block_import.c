/* `gnomon block import`: series by series out of blocks, into a node by remote write 2.0. */
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/block_command.h"
#include "platform/clock.h"
#include "tsdb/tsdb_block.h"
#include "wire/compression.h"
#include "wire/write_encoder.h"

#include "block_options.h"
#include "block_sources.h"
#include "node_stream.h"

static const char USAGE[] =
    "gnomon block import FOLDER...|--store=FILE --to=URL [--tenant=TENANT] [--match=SELECTOR ...]\n"
    "                    [--start=TIME] [--end=TIME] [--done=FILE] [--dry-run] [--retry-for=5m]\n"
    "                    [--user=NAME:PASSWORD] [--token-file=FILE] [--ca=FILE]\n"
    "\n"
    "Writes the samples of Prometheus' blocks into a running node by remote write. FOLDER is a\n"
    "block, a data directory of Prometheus, what `promtool tsdb create-blocks-from` made, a copy\n"
    "of a bucket of Thanos (the labels in meta.json are given to the series), or one of Mimir\n"
    "(a folder for each tenant, who is written to unless --tenant names another).\n"
    "\n"
    "  --store=FILE       blocks of a bucket where it lies: FILE has settings, of which\n"
    "                     object_store.* names it\n"
    "  --match=SELECTOR   only series that one of the selectors selects: 'up', '{job=\"node\"}'\n"
    "  --start, --end     only samples in between, both included: 2026-11-22T14:00:00Z, or\n"
    "                     seconds since 1970\n"
    "  --done=FILE        note blocks that are done, and leave out those that are noted there: "
    "for\n"
    "                     going on where an import of the same samples to the same node ended\n"
    "  --dry-run          read and check everything, write nothing\n"
    "  --retry-for        how long to go on while the node does not take a request\n"
    "\n"
    "The same samples again are stored once, so what was interrupted is simply run again. Exits\n"
    "with 1 when it could not end, or when samples were refused, which are counted and named.\n";

enum {
    REQUEST_SAMPLES_MAX = 50000,
    REQUEST_SERIES_MAX = 5000,
    REQUEST_BYTES_MAX = 4 * 1024 * 1024,
    REFUSALS_SHOWN = 20,
    PROGRESS_MS = 5000,
};

struct import {
    struct block_options *options;
    block_open_store *open_store;
    struct block_sources sources;
    struct node_stream *stream; /* NULL: a dry run */
    struct node_patience patience;
    struct write_encoder encoder;
    struct byte_buffer body;
    struct arena *arena; /* of the compressed body */
    const char *tenant;  /* of the block */
    FILE *done;          /* blocks that are done; NULL: they are not noted */
    char *done_before;   /* what it held at the start; owned */
    size_t block_number; /* from 1 */
    size_t block_count;  /* that are read */
    uint64_t series_count;
    uint64_t sample_count;
    uint64_t refused_count;
    uint64_t refusal_count;
    uint64_t read_bytes; /* of chunks of the blocks before */
    uint64_t all_bytes;
    int64_t started_ms;
    int64_t shown_ms;
};

/* --- Progress --------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    return (int64_t)clock_monotonic_ms(clock_system());
}

static void show_progress(struct import *import, const struct tsdb_block *block)
{
    char done[BLOCK_NUMBER_CHARACTERS], all[BLOCK_NUMBER_CHARACTERS];
    int64_t at_ms = now_ms(), passed_ms = at_ms - import->started_ms;
    if (at_ms - import->shown_ms < PROGRESS_MS)
        return;
    import->shown_ms = at_ms;
    uint64_t read = import->read_bytes + tsdb_block_read_bytes(block);
    uint64_t left = import->all_bytes > read ? import->all_bytes - read : 0;
    double left_seconds = read == 0 ? 0 : (double)passed_ms / 1000 * (double)left / (double)read;
    fprintf(stderr,
            "block %zu of %zu: %" PRIu64 " series, %" PRIu64 " samples, %s of %s, "
            "%.0f samples/s, %.0f s left\n",
            import->block_number, import->block_count, import->series_count, import->sample_count,
            block_size_format(read, done), block_size_format(import->all_bytes, all),
            (double)import->sample_count * 1000 / (double)(passed_ms + 1), left_seconds);
}

/* --- Requests --------------------------------------------------------------------------------- */

/* A part was refused, the rest is stored. */
static void note_refusal(struct import *import, const struct node_outcome *outcome)
{
    uint64_t sent = import->encoder.sample_count + import->encoder.histogram_count;
    uint64_t written = outcome->samples_written + outcome->histograms_written;
    uint64_t refused = sent > written ? sent - written : 0;
    import->refused_count += refused;
    if (import->refusal_count++ < REFUSALS_SHOWN)
        fprintf(stderr, "gnomon block import: %" PRIu64 " samples were refused: %s\n", refused,
                outcome->message);
    if (import->refusal_count == REFUSALS_SHOWN)
        fprintf(stderr, "gnomon block import: further refusals are counted only\n");
}

static enum error_code judge(struct import *import, const struct node_outcome *outcome,
                             struct error *error)
{
    if (outcome->status >= 200 && outcome->status < 300)
        return ERROR_NONE;
    if (outcome->status == 400 && outcome->has_written) {
        note_refusal(import, outcome);
        return ERROR_NONE;
    }
    if (outcome->status == 401 || outcome->status == 403)
        return error_set(error, ERROR_INVALID,
                         "the node wants to know who writes, for whom: --user, --token-file, "
                         "--tenant (%ld: %s)",
                         outcome->status, outcome->message);
    return error_set(error, ERROR_INVALID, "%s answers %ld: %s", import->options->client.url,
                     outcome->status, outcome->message);
}

/* Until the node has taken it, or patience is used up. */
static enum error_code post(struct import *import, const uint8_t *bytes, size_t size,
                            struct error *error)
{
    static const char *const HEADERS[] = {
        "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "Content-Encoding: snappy", "X-Prometheus-Remote-Write-Version: 2.0.0"};
    struct node_post request = {
        .path = "/api/v1/write",
        .headers = HEADERS,
        .header_count = sizeof HEADERS / sizeof HEADERS[0],
        .body = bytes,
        .body_size = size,
    };
    struct node_outcome outcome;
    for (;;) {
        enum error_code code = node_stream_post(import->stream, &request, &outcome, error);
        bool is_answered = code == ERROR_NONE;
        if (!is_answered && code != ERROR_UNAVAILABLE)
            return code;
        if (is_answered && !node_status_is_temporary(outcome.status))
            break;
        if (is_answered)
            error_set(error, ERROR_UNAVAILABLE, "%s answers %ld: %s", import->options->client.url,
                      outcome.status, outcome.message);
        if (!node_patience_wait(&import->patience, is_answered ? &outcome : NULL))
            return ERROR_UNAVAILABLE;
    }
    node_patience_renew(&import->patience);
    return judge(import, &outcome, error);
}

static enum error_code send_request(struct import *import, struct error *error)
{
    struct write_encoder *encoder = &import->encoder;
    uint8_t *compressed;
    size_t size;
    if (encoder->series_count == 0)
        return ERROR_NONE;
    byte_buffer_reset(&import->body);
    arena_reset(import->arena);
    write_encoder_finish(encoder, &import->body);
    if (import->body.failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "a request");
    enum error_code code = snappy_encode(import->body.bytes, import->body.size, import->arena,
                                         &compressed, &size, error);
    if (code == ERROR_NONE)
        code = post(import, compressed, size, error);
    write_encoder_reset(encoder);
    return code;
}

static bool is_full(const struct write_encoder *encoder)
{
    return encoder->series_count >= REQUEST_SERIES_MAX ||
           encoder->sample_count + encoder->histogram_count >= REQUEST_SAMPLES_MAX ||
           write_encoder_size_bytes(encoder) >= REQUEST_BYTES_MAX;
}

/* --- Series ----------------------------------------------------------------------------------- */

static bool is_selected(const struct block_options *options, struct labels labels)
{
    for (size_t m = 0; m < options->match_count; m++) {
        const struct selector_node *selector = &options->matches[m].root->selector;
        bool selects = true;
        for (size_t i = 0; selects && i < selector->matcher_count; i++)
            selects = matcher_matches(selector->matchers[i],
                                      labels_get(labels, selector->matchers[i]->name));
        if (selects)
            return true;
    }
    return options->match_count == 0;
}

/* A request has a series once: a later piece of it begins another. */
static enum error_code take_samples(struct import *import, struct tsdb_block *block,
                                    struct labels labels, struct error *error)
{
    const struct block_options *options = import->options;
    struct sample_columns columns;
    bool is_first = true;
    for (;;) {
        enum error_code code =
            tsdb_block_read(block, options->start_ms, options->end_ms, &columns, error);
        if (code != ERROR_NONE || columns.count == 0)
            return code;
        import->series_count += is_first;
        import->sample_count += columns.count;
        if (import->stream != NULL) {
            if (!is_first || is_full(&import->encoder))
                code = send_request(import, error);
            if (code != ERROR_NONE)
                return code;
            write_encoder_add(&import->encoder, labels, &columns, 0, columns.count);
        }
        is_first = false;
        show_progress(import, block);
    }
}

static enum error_code take_series(struct import *import, struct tsdb_block *block,
                                   struct error *error)
{
    for (;;) {
        struct labels labels;
        bool found;
        enum error_code code = tsdb_block_next(block, &labels, &found, error);
        if (code == ERROR_NONE && !found)
            return import->stream == NULL ? ERROR_NONE : send_request(import, error);
        if (code == ERROR_NONE && is_selected(import->options, labels))
            code = take_samples(import, block, labels, error);
        if (code != ERROR_NONE)
            return code;
    }
}

/* --- Blocks that are done --------------------------------------------------------------------- */

enum { DONE_LINE_BYTES_MAX = 256 };

static void done_line(const struct import *import, const struct block_source *source,
                      char line[DONE_LINE_BYTES_MAX])
{
    snprintf(line, DONE_LINE_BYTES_MAX, "%s %s\n", source->meta.ulid,
             import->tenant == NULL ? "-" : import->tenant);
}

static bool is_done(const struct import *import, const struct block_source *source)
{
    char line[DONE_LINE_BYTES_MAX];
    done_line(import, source, line);
    return import->done_before != NULL && strstr(import->done_before, line) != NULL;
}

static enum error_code open_done(struct import *import, struct error *error)
{
    const char *path = import->options->done;
    struct byte_buffer content = {0};
    char piece[4096];
    size_t size;
    if (path == NULL || import->options->is_dry_run)
        return ERROR_NONE;
    import->done = fopen(path, "a+e");
    if (import->done == NULL)
        return error_set_errno(error, errno, "open '%s'", path);
    rewind(import->done);
    while ((size = fread(piece, 1, sizeof piece, import->done)) > 0)
        byte_buffer_append(&content, piece, size);
    byte_buffer_u8(&content, '\0');
    if (ferror(import->done) || content.failed) {
        byte_buffer_clear(&content);
        return error_set(error, ERROR_IO, "read '%s'", path);
    }
    import->done_before = (char *)content.bytes;
    return ERROR_NONE;
}

/* Not when something of it was refused: it may be taken when limits are others. */
static enum error_code note_done(struct import *import, const struct block_source *source,
                                 uint64_t refused_before, struct error *error)
{
    char line[DONE_LINE_BYTES_MAX];
    if (import->done == NULL || import->refused_count > refused_before)
        return ERROR_NONE;
    done_line(import, source, line);
    return fputs(line, import->done) >= 0 && fflush(import->done) == 0
               ? ERROR_NONE
               : error_set_errno(error, errno, "write '%s'", import->options->done);
}

/* --- Blocks ----------------------------------------------------------------------------------- */

static void announce(const struct import *import, const struct block_source *source)
{
    char start[BLOCK_TIME_CHARACTERS], end[BLOCK_TIME_CHARACTERS], size[BLOCK_NUMBER_CHARACTERS];
    printf("%s  %s to %s  %" PRIu64 " series, %" PRIu64 " samples, %s", source->meta.ulid,
           block_time_format(source->meta.start_ms, start),
           block_time_format(source->meta.end_ms, end), source->meta.series_count,
           source->meta.sample_count, block_size_format(source->chunk_bytes, size));
    if (import->tenant != NULL)
        printf(", tenant %s", import->tenant);
    printf(source->skipped == NULL ? "\n" : ": left out, %s\n", source->skipped);
    fflush(stdout);
}

/* Whether it may have samples that are asked for. */
static bool is_in_time(const struct import *import, const struct block_source *source)
{
    return source->meta.start_ms <= import->options->end_ms &&
           source->meta.end_ms > import->options->start_ms;
}

/* The tenant is that of the client for the time of the block. */
static enum error_code open_stream(struct import *import, struct error *error)
{
    node_stream_close(import->stream);
    import->stream = NULL;
    if (import->options->is_dry_run)
        return ERROR_NONE;
    import->options->client.tenant = import->tenant;
    return node_stream_open(&import->options->client, &import->stream, error);
}

static enum error_code import_block(struct import *import, const struct block_source *source,
                                    struct error *error)
{
    struct tsdb_block *block = NULL;
    uint64_t refused_before = import->refused_count;
    import->block_number++;
    enum error_code code = open_stream(import, error);
    if (code == ERROR_NONE)
        code = tsdb_block_open(source->folder, source->path, &block, error);
    if (code == ERROR_NONE)
        code = take_series(import, block, error);
    if (code == ERROR_NONE)
        code = note_done(import, source, refused_before, error);
    if (block != NULL)
        import->read_bytes += tsdb_block_read_bytes(block);
    tsdb_block_close(block);
    return code == ERROR_NONE ? code : error_wrap(error, "block %s", source->meta.ulid);
}

static enum error_code import_blocks(struct import *import, struct error *error)
{
    const char *tenant = import->options->client.tenant;
    struct block_sources *sources = &import->sources;
    enum error_code code = block_sources_find(import->options, import->open_store, sources, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; i < sources->count; i++) {
        struct block_source *source = &sources->sources[i];
        import->tenant = tenant != NULL ? tenant : source->tenant;
        if (source->skipped == NULL && !is_in_time(import, source))
            source->skipped = "it has other times";
        if (source->skipped == NULL && is_done(import, source))
            source->skipped = "it was done before";
        import->block_count += source->skipped == NULL;
        import->all_bytes += source->skipped == NULL ? source->chunk_bytes : 0;
    }
    import->started_ms = import->shown_ms = now_ms();
    for (size_t i = 0; code == ERROR_NONE && i < sources->count; i++) {
        const struct block_source *source = &sources->sources[i];
        import->tenant = tenant != NULL ? tenant : source->tenant;
        announce(import, source);
        if (source->skipped == NULL)
            code = import_block(import, source, error);
    }
    return code;
}

static void sum_up(const struct import *import)
{
    char size[BLOCK_NUMBER_CHARACTERS];
    printf("%s %" PRIu64 " series in %zu blocks, %" PRIu64 " samples, %s of chunks, %.1f s",
           import->options->is_dry_run ? "checked" : "imported", import->series_count,
           import->block_number, import->sample_count - import->refused_count,
           block_size_format(import->read_bytes, size),
           (double)(now_ms() - import->started_ms) / 1000);
    if (import->refused_count > 0)
        printf("; %" PRIu64 " samples refused", import->refused_count);
    printf("\n");
}

static enum error_code run(struct import *import, struct error *error)
{
    import->patience = (struct node_patience){.granted_ms = import->options->patience_ms};
    import->arena = arena_create(0);
    if (import->arena == NULL || !write_encoder_init(&import->encoder))
        return error_set(error, ERROR_OUT_OF_MEMORY, "an import");
    enum error_code code = open_done(import, error);
    if (code == ERROR_NONE)
        code = import_blocks(import, error);
    if (code == ERROR_NONE)
        sum_up(import);
    return code;
}

int block_import_command(int count, char **arguments, block_open_store *open_store)
{
    struct block_options options;
    struct import import = {.options = &options, .open_store = open_store};
    struct error error;
    bool wants_help;
    enum error_code code =
        block_options_read(BLOCK_IMPORT, count, arguments, &options, &wants_help, &error);
    bool is_read = code == ERROR_NONE;
    if (is_read && wants_help)
        fputs(USAGE, stdout);
    if (is_read && !wants_help) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        code = run(&import, &error);
    }
    if (code != ERROR_NONE)
        fprintf(stderr, "gnomon block import: %s\n", error.message);
    if (!is_read)
        fprintf(stderr, "`gnomon block import --help` tells how it is used\n");
    node_stream_close(import.stream);
    write_encoder_clear(&import.encoder);
    byte_buffer_clear(&import.body);
    arena_destroy(import.arena);
    block_sources_clear(&import.sources);
    free(import.done_before);
    if (import.done != NULL)
        fclose(import.done); /* each line was flushed */
    block_options_clear(&options);
    if (code != ERROR_NONE)
        return is_read ? 1 : 2;
    return import.refused_count > 0 ? 1 : 0;
}
