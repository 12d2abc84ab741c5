#include "merge_batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCHES_BYTES = 16 * 1024 * 1024, /* of all orders together */
    BATCH_SERIES_MIN = 64,
    BATCH_SERIES_MAX = 64 * 1024,
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "merge");
}

/* --- Size ------------------------------------------------------------------------------------- */

static bool part_is_met(const struct merge_batch *batch, const struct merge_part *part)
{
    const struct file_summary *summary = &part->input.described.summary;
    int64_t from_ms = batch->start_ms > part->from_ms ? batch->start_ms : part->from_ms;
    return from_ms <= batch->end_ms && summary->max_time_ms >= from_ms &&
           summary->min_time_ms <= batch->end_ms;
}

/* So many series that, if they are as others are, all batches are of their size together. */
static size_t series_at_once(const struct merge_batch *batch)
{
    const struct merge *merge = batch->work->merge;
    uint64_t bytes = 1;
    for (size_t i = 0; i < merge->part_count; i++) {
        const struct file_summary *summary = &merge->parts[i].input.described.summary;
        if (part_is_met(batch, &merge->parts[i]) && summary->series_count > 0)
            bytes += (summary->size_bytes + summary->sample_count * sizeof(int64_t)) /
                         summary->series_count +
                     sizeof(struct merge_piece) + sizeof(struct encoded_chunk);
    }
    uint64_t series = BATCHES_BYTES / batch->work->order_count / bytes;
    series = series > BATCH_SERIES_MAX ? BATCH_SERIES_MAX : series;
    series = series < BATCH_SERIES_MIN ? BATCH_SERIES_MIN : series;
    size_t all = segment_order_count(batch->order);
    return series < all ? (size_t)series : all;
}

/* --- Reading ---------------------------------------------------------------------------------- */

struct batch_series {
    uint64_t id;
    size_t number; /* in the batch */
};

static int compare_series(const void *left, const void *right)
{
    const struct batch_series *a = left, *b = right;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* A copy in the arena; of timestamps those of the series before when they are the same. */
static bool keep_encoded(struct arena *arena, const struct encoded_series *encoded,
                         const struct encoded_series *before, struct encoded_series *kept)
{
    size_t times_bytes = encoded->sample_count * sizeof *encoded->timestamps_ms;
    struct encoded_chunk *chunks = arena_array(arena, encoded->chunk_count, sizeof *chunks);
    if (chunks == NULL)
        return false;
    *kept = *encoded;
    kept->chunks = chunks;
    if (before->sample_count == encoded->sample_count &&
        memcmp(before->timestamps_ms, encoded->timestamps_ms, times_bytes) == 0) {
        kept->timestamps_ms = before->timestamps_ms;
    } else {
        int64_t *timestamps_ms = arena_array(arena, encoded->sample_count, sizeof *timestamps_ms);
        if (timestamps_ms == NULL)
            return false;
        memcpy(timestamps_ms, encoded->timestamps_ms, times_bytes);
        kept->timestamps_ms = timestamps_ms;
    }
    for (size_t i = 0; i < encoded->chunk_count; i++) {
        const struct encoded_chunk *chunk = &encoded->chunks[i];
        uint8_t *bytes = arena_allocate(arena, chunk->size_bytes + chunk->start_timestamps_bytes);
        if (bytes == NULL)
            return false;
        memcpy(bytes, chunk->bytes, chunk->size_bytes);
        if (chunk->start_timestamps_bytes > 0)
            memcpy(bytes + chunk->size_bytes, chunk->start_timestamps,
                   chunk->start_timestamps_bytes);
        chunks[i] = *chunk;
        chunks[i].bytes = bytes;
        chunks[i].start_timestamps = bytes + chunk->size_bytes;
    }
    return true;
}

static bool keep_exemplars(struct arena *arena, const struct exemplar *exemplars, size_t count,
                           struct merge_piece *piece)
{
    struct exemplar *kept = arena_array(arena, count, sizeof *kept);
    if (kept == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        kept[i] = exemplars[i];
        kept[i].labels = labels_copy(arena, exemplars[i].labels);
        if (exemplars[i].labels.size > 0 && kept[i].labels.bytes == NULL)
            return false;
    }
    piece->exemplars = kept;
    piece->exemplar_count = count;
    return true;
}

static enum error_code read_piece(struct merge_batch *batch, size_t part, uint64_t id,
                                  const struct encoded_series *before, struct merge_piece *piece,
                                  struct error *error)
{
    struct part_reader *reader = batch->work->part_readers[part];
    int64_t from_ms = batch->work->merge->parts[part].from_ms;
    if (from_ms < batch->start_ms)
        from_ms = batch->start_ms;
    struct encoded_series encoded;
    const struct exemplar *exemplars;
    size_t exemplar_count;
    enum error_code code =
        part_reader_read_encoded(reader, id, from_ms, batch->end_ms, &encoded, error);
    if (code == ERROR_NONE && encoded.sample_count > 0 &&
        !keep_encoded(batch->arena, &encoded, before, &piece->encoded))
        return out_of_memory(error);
    if (code == ERROR_NONE)
        code = part_reader_read_exemplars(reader, id, from_ms, batch->end_ms, &exemplars,
                                          &exemplar_count, error);
    if (code == ERROR_NONE && exemplar_count > 0 &&
        !keep_exemplars(batch->arena, exemplars, exemplar_count, piece))
        return out_of_memory(error);
    return code;
}

static enum error_code read_part(struct merge_batch *batch, size_t part,
                                 const struct batch_series *series, struct error *error)
{
    size_t part_count = batch->work->merge->part_count;
    struct encoded_series before = {0};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < batch->count; i++) {
        struct merge_piece *piece = &batch->pieces[series[i].number * part_count + part];
        code = read_piece(batch, part, series[i].id, &before, piece, error);
        if (piece->encoded.sample_count > 0)
            before = piece->encoded;
    }
    return code;
}

static enum error_code batch_read(struct merge_batch *batch, size_t first, struct error *error)
{
    const struct merge *merge = batch->work->merge;
    size_t left = segment_order_count(batch->order) - first;
    arena_reset(batch->arena);
    batch->first = first;
    batch->count = 0;
    size_t count = left < batch->capacity ? left : batch->capacity;
    struct batch_series *series = malloc(count * sizeof *series);
    if (series == NULL)
        return out_of_memory(error);
    memset(batch->pieces, 0, count * merge->part_count * sizeof *batch->pieces);
    for (size_t i = 0; i < count; i++)
        series[i] = (struct batch_series){segment_order_id(batch->order, first + i), i};
    qsort(series, count, sizeof *series, compare_series);
    batch->count = count;
    enum error_code code = ERROR_NONE;
    for (size_t part = 0; code == ERROR_NONE && part < merge->part_count; part++)
        if (part_is_met(batch, &merge->parts[part]))
            code = read_part(batch, part, series, error);
    free(series);
    return code;
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code merge_batch_begin(struct merge_batch *batch, struct merge_work *work,
                                  const struct segment_order *order, int64_t start_ms,
                                  int64_t end_ms, struct error *error)
{
    *batch =
        (struct merge_batch){.work = work, .order = order, .start_ms = start_ms, .end_ms = end_ms};
    batch->capacity = series_at_once(batch);
    batch->arena = arena_create(0);
    batch->pieces = calloc(batch->capacity * work->merge->part_count + 1, sizeof *batch->pieces);
    return batch->arena == NULL || batch->pieces == NULL ? out_of_memory(error) : ERROR_NONE;
}

enum error_code merge_batch_find(struct merge_batch *batch, size_t place,
                                 const struct merge_piece **pieces_out, struct error *error)
{
    assert(place < segment_order_count(batch->order));
    if (place < batch->first || place - batch->first >= batch->count) {
        enum error_code code = batch_read(batch, place, error);
        if (code != ERROR_NONE)
            return code;
    }
    *pieces_out = batch->pieces + (place - batch->first) * batch->work->merge->part_count;
    return ERROR_NONE;
}

void merge_batch_clear(struct merge_batch *batch)
{
    arena_destroy(batch->arena);
    free(batch->pieces);
    *batch = (struct merge_batch){0};
}
