/*
 * The outputs of a merge: every series of the inputs, window by window.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "merge_walk.h"

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "merge");
}

/* --- One series in one window ----------------------------------------------------------------- */

/* Deletions that are older than the merge and newer than the file. */
static enum error_code cut_deleted(struct merge_work *work, const struct block_series *series,
                                   uint64_t file_index, size_t piece, struct error *error)
{
    const struct tombstones *tombstones = work->merge->view->tombstones;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < tombstones_count(tombstones); i++) {
        const struct tombstone *tombstone = tombstones_at(tombstones, i);
        if (tombstone->index > file_index && tombstone->index < work->merge->index &&
            tombstone_matches(tombstone, series->tenant, series->labels))
            code = column_cut(&work->cuts[piece], tombstone->start_ms, tombstone->end_ms,
                              &work->pieces[piece], error);
    }
    return code;
}

static enum error_code read_parts(struct merge_work *work, const struct block_series *series,
                                  uint64_t id, int64_t start_ms, int64_t end_ms, size_t *count,
                                  struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < work->merge->part_count; i++) {
        const struct merge_part *part = &work->merge->parts[i];
        int64_t from_ms = start_ms > part->from_ms ? start_ms : part->from_ms;
        const struct file_summary *summary = &part->input.described.summary;
        if (from_ms > end_ms || summary->max_time_ms < from_ms || summary->min_time_ms > end_ms)
            continue;
        code = part_reader_read(work->part_readers[i], id, from_ms, end_ms, &work->pieces[*count],
                                error);
        if (code != ERROR_NONE || work->pieces[*count].count == 0)
            continue;
        code = cut_deleted(work, series, part->input.described.index, *count, error);
        (*count)++;
    }
    return code;
}

static enum error_code read_samples(struct merge_work *work, const struct merge_walk *walk,
                                    int64_t start_ms, int64_t end_ms,
                                    struct sample_columns *columns_out, struct error *error)
{
    size_t count = 0;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < walk->item_count; i++) {
        const struct merge_item *item = &walk->items[i];
        if (item->id != SERIES_ID_OF_BLOCK) {
            code = read_parts(work, &walk->series, item->id, start_ms, end_ms, &count, error);
            continue;
        }
        code = block_reader_read(work->block_readers[item->block], item->position, start_ms, end_ms,
                                 &work->pieces[count], error);
        if (code != ERROR_NONE || work->pieces[count].count == 0)
            continue;
        code = cut_deleted(work, &walk->series, work->merge->blocks[item->block].described.index,
                           count, error);
        count++;
    }
    if (code != ERROR_NONE)
        return code;
    return column_merge(&work->merged, work->pieces, count, columns_out, error);
}

/* Exemplars of the series in the window, by timestamp: of parts, then of blocks. */
static enum error_code read_exemplars(struct merge_work *work, const struct merge_walk *walk,
                                      int64_t start_ms, int64_t end_ms, struct arena *arena,
                                      struct exemplar **exemplars_out, size_t *count_out,
                                      struct error *error)
{
    struct exemplar *all = NULL;
    size_t total = 0;
    for (size_t i = 0; i < walk->item_count; i++) {
        const struct merge_item *item = &walk->items[i];
        size_t readers = item->id == SERIES_ID_OF_BLOCK ? 1 : work->merge->part_count;
        for (size_t k = 0; k < readers; k++) {
            const struct exemplar *found;
            size_t count;
            bool of_block = item->id == SERIES_ID_OF_BLOCK;
            /* What a merge took before is in a block already. */
            int64_t from_ms = of_block ? start_ms : work->merge->parts[k].from_ms;
            if (from_ms < start_ms)
                from_ms = start_ms;
            if (from_ms > end_ms)
                continue;
            enum error_code code =
                of_block
                    ? block_reader_read_exemplars(work->block_readers[item->block], item->position,
                                                  from_ms, end_ms, &found, &count, error)
                    : part_reader_read_exemplars(work->part_readers[k], item->id, from_ms, end_ms,
                                                 &found, &count, error);
            if (code != ERROR_NONE)
                return code;
            if (count == 0)
                continue;
            struct exemplar *grown = arena_grow(arena, all, total, total + count, sizeof *grown);
            if (grown == NULL)
                return out_of_memory(error);
            all = grown;
            for (size_t j = 0; j < count; j++) {
                all[total] = found[j];
                all[total].labels = labels_copy(arena, found[j].labels);
                if (all[total].labels.bytes == NULL && found[j].labels.size > 0)
                    return out_of_memory(error);
                total++;
            }
        }
    }
    /* Few; later ones of equal time stay behind earlier ones. */
    for (size_t i = 1; i < total; i++)
        for (size_t j = i; j > 0 && all[j - 1].timestamp_ms > all[j].timestamp_ms; j--) {
            struct exemplar swapped = all[j];
            all[j] = all[j - 1];
            all[j - 1] = swapped;
        }
    if (total > 0 && all[0].timestamp_ms < work->exemplars.start_ms)
        work->exemplars.start_ms = all[0].timestamp_ms;
    if (total > 0 && all[total - 1].timestamp_ms > work->exemplars.end_ms)
        work->exemplars.end_ms = all[total - 1].timestamp_ms;
    *exemplars_out = all;
    *count_out = total;
    return ERROR_NONE;
}

/* --- One window ------------------------------------------------------------------------------- */

static enum error_code write_series(struct merge_work *work, struct block_writer *writer,
                                    int64_t start_ms, int64_t end_ms, uint64_t *added,
                                    struct error *error)
{
    struct merge_walk walk;
    struct arena *arena = arena_create(0);
    enum error_code code = merge_walk_begin(&walk, work, start_ms, end_ms + 1, error);
    if (code == ERROR_NONE && arena == NULL)
        code = out_of_memory(error);
    while (code == ERROR_NONE) {
        struct sample_columns columns = {0};
        struct exemplar *exemplars = NULL;
        size_t exemplar_count = 0;
        code = merge_walk_next(&walk, error);
        if (code != ERROR_NONE || walk.item_count == 0)
            break;
        arena_reset(arena);
        /* Exemplars first: a reader's columns live until it reads anything else. */
        code = read_exemplars(work, &walk, start_ms, end_ms, arena, &exemplars, &exemplar_count,
                              error);
        if (code == ERROR_NONE)
            code = read_samples(work, &walk, start_ms, end_ms, &columns, error);
        if (code == ERROR_NONE && columns.count + exemplar_count > 0) {
            (*added)++;
            code =
                block_writer_add(writer, &walk.series, &columns, exemplars, exemplar_count, error);
        }
    }
    merge_walk_clear(&walk);
    arena_destroy(arena);
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
    output->described = *described;
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
    struct block_writer *writer = NULL;
    uint64_t added = 0;
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
    work->exemplars = (struct time_range){INT64_MAX, INT64_MIN};
    shard_path(shard, path, "blocks", described.index, described.number, "block");
    snprintf(unfinished, sizeof unfinished, "%s" SHARD_UNFINISHED, path);
    enum error_code code = block_writer_create(shard->options.environment->disk, unfinished,
                                               &properties, &writer, error);
    if (code == ERROR_NONE)
        code = write_series(work, writer, described.window_start_ms, described.window_end_ms - 1,
                            &added, error);
    if (code == ERROR_NONE && added > 0)
        code = block_writer_finish(writer, &described.summary, error);
    /* As those of a part, the times of a block are those of its samples and its exemplars. */
    if (work->exemplars.start_ms < described.summary.min_time_ms)
        described.summary.min_time_ms = work->exemplars.start_ms;
    if (work->exemplars.end_ms > described.summary.max_time_ms)
        described.summary.max_time_ms = work->exemplars.end_ms;
    block_writer_destroy(writer);
    if (code == ERROR_NONE && added > 0)
        code = disk_rename(shard->options.environment->disk, unfinished, path, error);
    if (code == ERROR_NONE && added > 0)
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

static void map_set(struct window_map *map, int64_t timestamp_ms)
{
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

static enum error_code map_series(struct merge_work *work, struct window_map *map,
                                  const struct merge_walk *walk, struct arena *arena,
                                  struct error *error)
{
    struct exemplar *exemplars = NULL;
    struct sample_columns columns = {0};
    size_t exemplar_count = 0;
    enum error_code code = read_exemplars(work, walk, map->start_ms, map->end_ms - 1, arena,
                                          &exemplars, &exemplar_count, error);
    if (code == ERROR_NONE)
        code = read_samples(work, walk, map->start_ms, map->end_ms - 1, &columns, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; i < columns.count; i++)
        map_set(map, columns.timestamps_ms[i]);
    for (size_t i = 0; i < exemplar_count; i++)
        map_set(map, exemplars[i].timestamp_ms);
    return ERROR_NONE;
}

static enum error_code map_windows(struct merge_work *work, struct window_map *map,
                                   struct error *error)
{
    uint64_t windows = (uint64_t)(map->end_ms - map->start_ms) / BLOCK_CHUNK_WINDOW_MS;
    if (windows <= WINDOWS_WITHOUT_MAP_MAX || windows > WINDOWS_OF_MAP_MAX)
        return ERROR_NONE;
    struct merge_walk walk;
    struct arena *arena = arena_create(0);
    map->bits = calloc(windows / 8 + 1, 1);
    enum error_code code = merge_walk_begin(&walk, work, map->start_ms, map->end_ms, error);
    if (code == ERROR_NONE && (arena == NULL || map->bits == NULL))
        code = out_of_memory(error);
    while (code == ERROR_NONE) {
        code = merge_walk_next(&walk, error);
        if (code != ERROR_NONE || walk.item_count == 0)
            break;
        arena_reset(arena);
        code = map_series(work, map, &walk, arena, error);
    }
    merge_walk_clear(&walk);
    arena_destroy(arena);
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

static enum error_code open_readers(struct merge_work *work, struct error *error)
{
    struct merge *merge = work->merge;
    size_t pieces = merge->part_count + merge->block_count + 1;
    work->part_readers = calloc(merge->part_count + 1, sizeof *work->part_readers);
    work->block_readers = calloc(merge->block_count + 1, sizeof *work->block_readers);
    work->pieces = calloc(pieces, sizeof *work->pieces);
    work->cuts = calloc(pieces, sizeof *work->cuts);
    if (work->part_readers == NULL || work->block_readers == NULL || work->pieces == NULL ||
        work->cuts == NULL)
        return out_of_memory(error);
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < merge->part_count; i++)
        code = part_reader_create(merge->parts[i].input.part, &work->part_readers[i], error);
    for (size_t i = 0; code == ERROR_NONE && i < merge->block_count; i++)
        code = block_reader_create(merge->blocks[i].block, &work->block_readers[i], error);
    return code;
}

static void close_readers(struct merge_work *work)
{
    struct merge *merge = work->merge;
    for (size_t i = 0; work->part_readers != NULL && i < merge->part_count; i++)
        part_reader_destroy(work->part_readers[i]);
    for (size_t i = 0; work->block_readers != NULL && i < merge->block_count; i++)
        block_reader_destroy(work->block_readers[i]);
    for (size_t i = 0; work->cuts != NULL && i < merge->part_count + merge->block_count; i++)
        column_merge_clear(&work->cuts[i]);
    column_merge_clear(&work->merged);
    free(work->part_readers);
    free(work->block_readers);
    free(work->pieces);
    free(work->cuts);
    for (size_t i = 0; i < work->order_count; i++)
        segment_order_destroy(work->orders[i]);
    free(work->orders);
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
    if (code == ERROR_NONE) {
        snprintf(path, sizeof path, "%s/blocks", merge->shard->options.directory);
        code = disk_sync_directory(merge->shard->options.environment->disk, path, error);
    }
    return code;
}
