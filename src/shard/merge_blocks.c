/*
 * The outputs of a merge: every series of the inputs, window by window.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "block/block_writer.h"

#include "local_files.h"
#include "merge_read.h"

/* Pages of the inputs, each of which is read once or few times. */
enum { INPUT_CACHE_BYTES = 16 * 1024 * 1024 };

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "merge");
}

/* --- One window ------------------------------------------------------------------------------- */

struct time_range {
    int64_t start_ms;
    int64_t end_ms;
};

/* An output on its way. */
struct window_writer {
    struct block_writer *block;
    uint64_t added;              /* series */
    struct time_range exemplars; /* start above end: none */
};

static enum error_code add_series(struct window_writer *writer, const struct block_series *series,
                                  const struct merge_content *content, struct error *error)
{
    size_t exemplar_count = content->exemplar_count;
    if (content->encoded.sample_count + content->columns.count + exemplar_count == 0)
        return ERROR_NONE;
    if (exemplar_count > 0) {
        struct time_range *range = &writer->exemplars;
        int64_t first_ms = content->exemplars[0].timestamp_ms;
        int64_t last_ms = content->exemplars[exemplar_count - 1].timestamp_ms;
        range->start_ms = first_ms < range->start_ms ? first_ms : range->start_ms;
        range->end_ms = last_ms > range->end_ms ? last_ms : range->end_ms;
    }
    writer->added++;
    if (content->encoded.sample_count > 0)
        return block_writer_add_encoded(writer->block, series, &content->encoded,
                                        content->exemplars, exemplar_count, error);
    return block_writer_add(writer->block, series, &content->columns, content->exemplars,
                            exemplar_count, error);
}

enum { MEASURED_EVERY_SERIES = 1024 };

/* For the metric. */
static void measure(const struct merge_work *work, const struct merge_walk *walk,
                    const struct window_writer *writer)
{
    uint64_t bytes = page_cache_statistics(work->cache).size_bytes + merge_walk_size_bytes(walk) +
                     block_writer_size_bytes(writer->block);
    for (size_t i = 0; i < work->order_count; i++)
        bytes += segment_order_size_bytes(work->orders[i]);
    work->merge->shard->counters.merge_bytes = bytes;
}

static enum error_code write_series(struct merge_work *work, struct window_writer *writer,
                                    int64_t start_ms, int64_t end_ms, struct error *error)
{
    struct merge_walk walk;
    struct merge_reader reader = {.work = work};
    struct merge_content content;
    enum error_code code = merge_walk_begin(&walk, work, start_ms, end_ms, error);
    while (code == ERROR_NONE) {
        code = merge_walk_next(&walk, error);
        if (code != ERROR_NONE || walk.item_count == 0)
            break;
        code = merge_read(&reader, &walk, start_ms, end_ms, &content, error);
        if (writer->added % MEASURED_EVERY_SERIES == 0)
            measure(work, &walk, writer);
        if (code == ERROR_NONE)
            code = add_series(writer, &walk.series, &content, error);
    }
    merge_reader_clear(&reader);
    merge_walk_clear(&walk);
    return code;
}

static enum error_code add_output(struct merge *merge, const struct manifest_block *described,
                                  struct error *error)
{
    struct shard_block *grown = realloc(merge->outputs, (merge->output_count + 1) * sizeof *grown);
    if (grown == NULL)
        return out_of_memory(error);
    merge->outputs = grown;
    struct shard_block *output = &grown[merge->output_count];
    *output = (struct shard_block){.described = *described};
    enum error_code code = shard_open_block(merge->shard, described, &output->block, error);
    if (code == ERROR_NONE)
        merge->output_count++;
    return code;
}

static enum error_code write_window(struct merge_work *work, const struct merge_window *window,
                                    struct error *error)
{
    struct merge *merge = work->merge;
    struct shard *shard = merge->shard;
    struct window_writer writer = {.exemplars = {INT64_MAX, INT64_MIN}};
    char path[SHARD_PATH_MAX], unfinished[SHARD_PATH_MAX + sizeof SHARD_UNFINISHED];
    struct manifest_block described = {
        .index = merge->index,
        .number = (uint32_t)merge->output_count,
        .window_start_ms = window->start_ms,
        .window_end_ms = window->end_ms,
        .stamp_ms = merge->decided_ms,
    };
    struct block_properties properties = {
        .start_ms = described.window_start_ms,
        .end_ms = described.window_end_ms,
        .shard = shard->options.shard_id,
        .block_id = merge->index,
        .tombstone_mark = merge->index,
    };
    shard_path(shard, path, "blocks", described.index, described.number, "block");
    snprintf(unfinished, sizeof unfinished, "%s" SHARD_UNFINISHED, path);
    enum error_code code = block_writer_create(shard->options.environment->disk, unfinished,
                                               &properties, &writer.block, error);
    if (code == ERROR_NONE)
        code = write_series(work, &writer, described.window_start_ms, described.window_end_ms - 1,
                            error);
    if (code == ERROR_NONE && writer.added > 0)
        code = block_writer_finish(writer.block, &described.summary, error);
    /* As those of a part, the times of a block are those of its samples and its exemplars. */
    if (writer.exemplars.start_ms < described.summary.min_time_ms)
        described.summary.min_time_ms = writer.exemplars.start_ms;
    if (writer.exemplars.end_ms > described.summary.max_time_ms)
        described.summary.max_time_ms = writer.exemplars.end_ms;
    block_writer_destroy(writer.block);
    if (code == ERROR_NONE && writer.added > 0)
        code = disk_rename(shard->options.environment->disk, unfinished, path, error);
    if (code == ERROR_NONE && writer.added > 0)
        code = add_output(merge, &described, error);
    return code;
}

/* --- Windows ---------------------------------------------------------------------------------- */

/* Where the inputs begin and end, within what the merge takes. */
static void time_range(const struct merge *merge, int64_t *start_ms, int64_t *end_ms)
{
    *start_ms = INT64_MAX;
    *end_ms = INT64_MIN;
    for (size_t i = 0; i < merge->part_count; i++) {
        const struct file_summary *summary = &merge->parts[i].input.described.summary;
        int64_t from_ms = summary->min_time_ms > merge->parts[i].from_ms ? summary->min_time_ms
                                                                         : merge->parts[i].from_ms;
        *start_ms = from_ms < *start_ms ? from_ms : *start_ms;
        *end_ms = summary->max_time_ms > *end_ms ? summary->max_time_ms : *end_ms;
    }
    for (size_t i = 0; i < merge->block_count; i++) {
        const struct manifest_block *block = &merge->blocks[i].described;
        *start_ms = block->window_start_ms < *start_ms ? block->window_start_ms : *start_ms;
        *end_ms = block->window_end_ms - 1 > *end_ms ? block->window_end_ms - 1 : *end_ms;
    }
}

/* Whether some input can have samples in the window, so that gaps of years cost nothing. */
static bool window_has_input(const struct merge *merge, const struct merge_window *window)
{
    int64_t end_ms = window->end_ms - 1;
    for (size_t i = 0; i < merge->part_count; i++) {
        const struct file_summary *summary = &merge->parts[i].input.described.summary;
        if (summary->min_time_ms <= end_ms && summary->max_time_ms >= window->start_ms)
            return true;
    }
    for (size_t i = 0; i < merge->block_count; i++) {
        const struct manifest_block *block = &merge->blocks[i].described;
        if (block->window_start_ms <= end_ms && block->window_end_ms > window->start_ms)
            return true;
    }
    return false;
}

/*
 * Which windows hold anything, when the inputs span so many that looking into each takes longer
 * than reading all samples once more: a bit per window.
 */
struct window_map {
    uint8_t *bits; /* NULL: every window may hold something */
    int64_t start_ms;
    int64_t end_ms; /* of the last window, exclusive */
};

enum { WINDOWS_WITHOUT_MAP_MAX = 1000, WINDOWS_OF_MAP_MAX = 1 << 26 };

static void map_set(void *context, int64_t timestamp_ms)
{
    struct window_map *map = context;
    uint64_t number = (uint64_t)(timestamp_ms - map->start_ms) / BLOCK_CHUNK_WINDOW_MS;
    map->bits[number / 8] |= (uint8_t)(1u << number % 8);
}

static bool map_get(const struct window_map *map, const struct merge_window *window)
{
    if (map->bits == NULL)
        return true;
    for (int64_t part = window->start_ms; part < window->end_ms; part += BLOCK_CHUNK_WINDOW_MS) {
        uint64_t number = (uint64_t)(part - map->start_ms) / BLOCK_CHUNK_WINDOW_MS;
        if (part >= map->start_ms && part < map->end_ms &&
            (map->bits[number / 8] >> number % 8 & 1) != 0)
            return true;
    }
    return false;
}

/* The window that an output covers at this time: one of two hours, unless a longer one was decided.
 * `*wide` is the first that may hold it; times ascend. */
static struct merge_window window_at(const struct merge *merge, int64_t time_ms, size_t *wide)
{
    while (*wide < merge->wide_count && merge->wide[*wide].end_ms <= time_ms)
        (*wide)++;
    if (*wide < merge->wide_count && merge->wide[*wide].start_ms <= time_ms)
        return merge->wide[*wide];
    return (struct merge_window){time_ms, time_ms + BLOCK_CHUNK_WINDOW_MS};
}

static enum error_code map_windows(struct merge_work *work, struct window_map *map,
                                   struct error *error)
{
    uint64_t windows = (uint64_t)(map->end_ms - map->start_ms) / BLOCK_CHUNK_WINDOW_MS;
    if (windows <= WINDOWS_WITHOUT_MAP_MAX || windows > WINDOWS_OF_MAP_MAX)
        return ERROR_NONE;
    struct merge_walk walk;
    struct merge_reader reader = {.work = work};
    map->bits = calloc(windows / 8 + 1, 1);
    enum error_code code = merge_walk_begin(&walk, work, map->start_ms, map->end_ms - 1, error);
    if (code == ERROR_NONE && map->bits == NULL)
        code = out_of_memory(error);
    while (code == ERROR_NONE) {
        code = merge_walk_next(&walk, error);
        if (code != ERROR_NONE || walk.item_count == 0)
            break;
        code =
            merge_read_times(&reader, &walk, map->start_ms, map->end_ms - 1, map_set, map, error);
    }
    merge_reader_clear(&reader);
    merge_walk_clear(&walk);
    return code;
}

static enum error_code write_windows(struct merge_work *work, struct error *error)
{
    int64_t start_ms, end_ms;
    time_range(work->merge, &start_ms, &end_ms);
    if (start_ms > end_ms)
        return ERROR_NONE;
    struct window_map map = {.start_ms = merge_window_start(start_ms),
                             .end_ms = merge_window_start(end_ms) + BLOCK_CHUNK_WINDOW_MS};
    enum error_code code = map_windows(work, &map, error);
    size_t wide = 0;
    for (int64_t time_ms = map.start_ms; code == ERROR_NONE && time_ms < map.end_ms;) {
        struct merge_window window = window_at(work->merge, time_ms, &wide);
        if (window.end_ms > work->merge->cutoff_ms)
            break;
        if (window_has_input(work->merge, &window) && map_get(&map, &window))
            code = write_window(work, &window, error);
        time_ms = window.end_ms;
    }
    free(map.bits);
    return code;
}

/* --- Public ----------------------------------------------------------------------------------- */

static enum error_code open_part(struct merge_work *work, size_t number, struct error *error)
{
    const struct shard_part *input = &work->merge->parts[number].input;
    struct part *part = NULL;
    enum error_code code =
        shard_open_part_through(work->merge->shard, work->cache, &input->described, &part, error);
    if (code == ERROR_NONE)
        code = part_reader_create(part, &work->part_readers[number], error);
    part_unref(part); /* the reader has it */
    return code;
}

static enum error_code open_block(struct merge_work *work, size_t number, struct error *error)
{
    const struct shard_block *input = &work->merge->blocks[number];
    struct block *block = NULL;
    enum error_code code =
        local_open_through(work->merge->shard, work->cache, input, &block, error);
    if (code == ERROR_NONE)
        code = block_reader_create(block, &work->block_readers[number], error);
    block_unref(block);
    return code;
}

static enum error_code open_readers(struct merge_work *work, struct error *error)
{
    const struct merge *merge = work->merge;
    work->part_readers = calloc(merge->part_count + 1, sizeof(struct part_reader *));
    work->block_readers = calloc(merge->block_count + 1, sizeof(struct block_reader *));
    if (work->part_readers == NULL || work->block_readers == NULL)
        return out_of_memory(error);
    enum error_code code = page_cache_create(INPUT_CACHE_BYTES, &work->cache, error);
    for (size_t i = 0; code == ERROR_NONE && i < merge->part_count; i++)
        code = open_part(work, i, error);
    for (size_t i = 0; code == ERROR_NONE && i < merge->block_count; i++)
        code = open_block(work, i, error);
    return code;
}

static void close_readers(struct merge_work *work)
{
    const struct merge *merge = work->merge;
    for (size_t i = 0; work->part_readers != NULL && i < merge->part_count; i++)
        part_reader_destroy(work->part_readers[i]);
    for (size_t i = 0; work->block_readers != NULL && i < merge->block_count; i++)
        block_reader_destroy(work->block_readers[i]);
    for (size_t i = 0; i < work->order_count; i++)
        segment_order_destroy(work->orders[i]);
    free(work->part_readers);
    free(work->block_readers);
    free(work->orders);
    page_cache_destroy(work->cache);
}

void merge_discard_outputs(struct merge *merge)
{
    for (size_t i = 0; i < merge->output_count; i++)
        block_unref(merge->outputs[i].block);
    free(merge->outputs);
    merge->outputs = NULL;
    merge->output_count = 0;
}

enum error_code merge_write_blocks(struct merge *merge, struct error *error)
{
    struct merge_work work = {.merge = merge};
    char path[SHARD_PATH_MAX];
    enum error_code code = open_readers(&work, error);
    if (code == ERROR_NONE)
        code = merge_sort_parts(&work, error);
    if (code == ERROR_NONE)
        code = write_windows(&work, error);
    close_readers(&work);
    merge->shard->counters.merge_bytes = 0;
    if (code == ERROR_NONE) {
        snprintf(path, sizeof path, "%s/blocks", merge->shard->options.directory);
        code = disk_sync_directory(merge->shard->options.environment->disk, path, error);
    }
    return code;
}
