#include "segment_rewrite.h"

#include <assert.h>
#include <stdlib.h>

#include "block/series_segment_writer.h"

enum {
    /* Dead by more than this part, a segment is written anew. */
    DEAD_SHARE = 4,
    BATCH = 1024,
};

/* --- Deciding ------------------------------------------------------------------------------- */

static uint64_t live_count(const struct shard_segment *segment)
{
    assert(segment->forgotten_count <= segment->series_count);
    return segment->series_count - segment->forgotten_count;
}

size_t segment_rewrite_from(const struct shard_segment *segments, size_t count,
                            uint64_t new_series_count)
{
    uint64_t following = new_series_count;
    size_t from = count;
    for (size_t i = count; i > 0; i--) {
        const struct shard_segment *segment = &segments[i - 1];
        if (segment->forgotten_count * DEAD_SHARE > segment->series_count ||
            live_count(segment) <= following)
            from = i - 1;
        following += live_count(segment);
    }
    return from;
}

uint64_t segment_rewrite_live_count(const struct shard_segment *segments, size_t from, size_t count)
{
    uint64_t live = 0;
    for (size_t i = from; i < count; i++)
        live += live_count(&segments[i]);
    return live;
}

/* --- Writing -------------------------------------------------------------------------------- */

void segment_rewrite_clear(struct segment_rewrite *rewrite)
{
    for (size_t i = 0; i < rewrite->segment_count; i++)
        series_segment_unref(rewrite->segments[i]);
    free(rewrite->segments);
    id_set_unref(rewrite->forgotten);
    memory_index_unref(rewrite->index);
    *rewrite = (struct segment_rewrite){0};
}

/* The output under way. */
struct rewriting {
    const struct segment_rewrite *rewrite;
    struct series_segment_writer *writer;
    struct arena *arena;           /* labels of a batch */
    struct segment_series *series; /* [BATCH] */
    uint64_t written_count;
};

static enum error_code copy_batch(struct rewriting *work, struct series_segment *segment,
                                  uint64_t from, size_t count, struct error *error)
{
    const struct id_set *forgotten = work->rewrite->forgotten;
    struct positions positions;
    arena_reset(work->arena);
    if (!positions_range(work->arena, (uint32_t)from, count, &positions))
        return error_set(error, ERROR_OUT_OF_MEMORY, "series segment");
    enum error_code code =
        series_segment_read_at(segment, positions, work->arena, work->series, error);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        if (id_set_has(forgotten, work->series[i].id))
            continue;
        code = series_segment_writer_add(work->writer, &work->series[i], error);
        work->written_count++;
    }
    return code;
}

static enum error_code copy_segment(struct rewriting *work, struct series_segment *segment,
                                    struct error *error)
{
    uint64_t total = series_segment_summary(segment).series_count;
    enum error_code code = ERROR_NONE;
    for (uint64_t from = 0; code == ERROR_NONE && from < total; from += BATCH)
        code = copy_batch(work, segment, from,
                          total - from < BATCH ? (size_t)(total - from) : BATCH, error);
    return code;
}

static enum error_code copy_index(struct rewriting *work, struct error *error)
{
    struct memory_index *index = work->rewrite->index;
    enum error_code code = ERROR_NONE;
    for (uint64_t i = 0; code == ERROR_NONE && i < work->rewrite->index_count; i++) {
        uint64_t id = memory_index_first_id(index) + i;
        struct memory_series series;
        if (i % BATCH == 0)
            arena_reset(work->arena);
        code = memory_index_get(index, id, work->arena, &series, error);
        if (code != ERROR_NONE)
            break;
        struct segment_series added = {
            .id = id,
            .target = series.target_id,
            .tenant = series.tenant,
            .slot = series.slot,
            .labels = series.labels,
        };
        code = series_segment_writer_add(work->writer, &added, error);
        work->written_count++;
    }
    return code;
}

enum error_code segment_rewrite_run(const struct segment_rewrite *rewrite, struct disk *disk,
                                    const char *path, uint64_t *series_count_out,
                                    struct error *error)
{
    struct rewriting work = {
        .rewrite = rewrite,
        .arena = arena_create(0),
        .series = malloc(BATCH * sizeof *work.series),
    };
    struct file_summary summary;
    enum error_code code = ERROR_NONE;
    if (work.arena == NULL || work.series == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "series segment");
    if (code == ERROR_NONE)
        code = series_segment_writer_create(disk, path, &work.writer, error);
    for (size_t i = 0; code == ERROR_NONE && i < rewrite->segment_count; i++)
        code = copy_segment(&work, rewrite->segments[i], error);
    if (code == ERROR_NONE)
        code = copy_index(&work, error);
    if (code == ERROR_NONE && work.written_count > 0)
        code = series_segment_writer_finish(work.writer, &summary, error);
    series_segment_writer_destroy(work.writer); /* removes the file unless it was finished */
    arena_destroy(work.arena);
    free(work.series);
    if (code == ERROR_NONE)
        *series_count_out = work.written_count;
    return code;
}
