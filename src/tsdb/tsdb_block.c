#include "tsdb/tsdb_block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "chunk_files.h"
#include "index_reader.h"
#include "tombstones.h"
#include "wire/prometheus_chunk.h"

enum { TOMBSTONES_BYTES_MAX = 256 * 1024 * 1024, PIECE_SAMPLES_MIN = 4096 };

struct tsdb_block {
    struct tsdb_folder *folder;
    char path[TSDB_PATH_MAX + 1]; /* with a slash at its end, or "" */
    struct tsdb_meta meta;
    struct arena *arena;         /* of the block */
    struct arena *series_arena;  /* of a series */
    struct arena *samples_arena; /* of a piece */
    struct tombstones tombstones;
    struct index_reader *index;
    struct chunk_files chunks;
    struct index_series series;
    size_t next_chunk;
    const struct tombstone *stones; /* [stone_count] of the series */
    size_t stone_count;
};

/* --- Opening ----------------------------------------------------------------------------------
 */

static void file_path(const char *block, const char *name, char path[TSDB_PATH_MAX + 1])
{
    size_t size = strlen(block);
    const char *between = size > 0 && block[size - 1] != '/' ? "/" : "";
    snprintf(path, TSDB_PATH_MAX + 1, "%s%s%s", block, between, name);
}

enum error_code tsdb_block_load_meta(struct tsdb_folder *folder, const char *path,
                                     struct arena *arena, struct tsdb_meta *meta_out,
                                     struct error *error)
{
    char file[TSDB_PATH_MAX + 1];
    uint8_t *bytes;
    size_t size;
    file_path(path, "meta.json", file);
    enum error_code code =
        tsdb_folder_load(folder, file, TSDB_META_BYTES_MAX, &bytes, &size, error);
    if (code != ERROR_NONE)
        return code;
    code = tsdb_meta_decode(bytes, size, arena, meta_out, error);
    free(bytes);
    return code == ERROR_NONE ? code : error_wrap(error, "%s", file);
}

/* A block without the file has none. */
static enum error_code load_tombstones(struct tsdb_block *block, struct error *error)
{
    char file[TSDB_PATH_MAX + 1];
    uint8_t *bytes;
    size_t size;
    file_path(block->path, "tombstones", file);
    enum error_code code =
        tsdb_folder_load(block->folder, file, TOMBSTONES_BYTES_MAX, &bytes, &size, error);
    if (code != ERROR_NONE)
        return code == ERROR_NOT_FOUND ? ERROR_NONE : code;
    code = tombstones_decode(bytes, size, block->arena, &block->tombstones, error);
    free(bytes);
    return code == ERROR_NONE ? code : error_wrap(error, "%s", file);
}

static enum error_code open_files(struct tsdb_block *block, struct error *error)
{
    char file[TSDB_PATH_MAX + 1];
    file_path(block->path, "index", file);
    enum error_code code =
        tsdb_block_load_meta(block->folder, block->path, block->arena, &block->meta, error);
    if (code == ERROR_NONE && block->meta.resolution_ms > 0)
        code = error_set(error, ERROR_UNSUPPORTED,
                         "block %s is downsampled by Thanos to %lld ms: it holds no samples",
                         block->meta.ulid, (long long)block->meta.resolution_ms);
    if (code == ERROR_NONE)
        code = load_tombstones(block, error);
    if (code == ERROR_NONE)
        code = index_reader_open(block->folder, file, &block->index, error);
    return code;
}

enum error_code tsdb_block_open(struct tsdb_folder *folder, const char *path,
                                struct tsdb_block **block_out, struct error *error)
{
    enum { NAME_BYTES_MAX = 32 /* of files in it */ };
    if (strlen(path) + NAME_BYTES_MAX > TSDB_PATH_MAX)
        return error_set(error, ERROR_INVALID, "the path '%s' is too long", path);
    struct tsdb_block *block = calloc(1, sizeof *block);
    if (block == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "block '%s'", path);
    block->folder = folder;
    file_path(path, "", block->path);
    block->chunks = (struct chunk_files){.folder = folder, .block = block->path};
    block->arena = arena_create(0);
    block->series_arena = arena_create(0);
    block->samples_arena = arena_create(0);
    bool has_memory =
        block->arena != NULL && block->series_arena != NULL && block->samples_arena != NULL;
    enum error_code code = has_memory ? open_files(block, error)
                                      : error_set(error, ERROR_OUT_OF_MEMORY, "block '%s'", path);
    if (code != ERROR_NONE) {
        tsdb_block_close(block);
        return code;
    }
    *block_out = block;
    return ERROR_NONE;
}

void tsdb_block_close(struct tsdb_block *block)
{
    if (block == NULL)
        return;
    index_reader_close(block->index);
    chunk_files_clear(&block->chunks);
    arena_destroy(block->arena);
    arena_destroy(block->series_arena);
    arena_destroy(block->samples_arena);
    free(block);
}

const struct tsdb_meta *tsdb_block_meta(const struct tsdb_block *block)
{
    return &block->meta;
}

uint64_t tsdb_block_read_bytes(const struct tsdb_block *block)
{
    return block->chunks.read_bytes;
}

/* --- Series -----------------------------------------------------------------------------------
 */

static int compare_chunks(const void *left_item, const void *right_item)
{
    const struct index_chunk *left = left_item, *right = right_item;
    if (left->start_ms != right->start_ms)
        return left->start_ms < right->start_ms ? -1 : 1;
    return (left->reference > right->reference) - (left->reference < right->reference);
}

/* External labels first: of equal names the first wins. */
static struct labels with_external(struct tsdb_block *block, struct labels labels)
{
    struct labels external = block->meta.external_labels;
    if (external.size == 0)
        return labels;
    size_t count = labels_count(external) + labels_count(labels), at = 0;
    struct label *array = arena_array(block->series_arena, count, sizeof *array);
    if (array == NULL)
        return (struct labels){0};
    struct labels_cursor cursor = labels_begin(external);
    while (labels_next(&cursor, &array[at]))
        at++;
    cursor = labels_begin(labels);
    while (at < count && labels_next(&cursor, &array[at]))
        at++;
    return labels_build(block->series_arena, array, at);
}

enum error_code tsdb_block_next(struct tsdb_block *block, struct labels *labels_out,
                                bool *found_out, struct error *error)
{
    arena_reset(block->series_arena);
    block->series = (struct index_series){0};
    block->next_chunk = 0;
    enum error_code code =
        index_reader_next(block->index, block->series_arena, &block->series, found_out, error);
    if (code != ERROR_NONE || !*found_out)
        return code;
    struct labels labels = with_external(block, block->series.labels);
    if (labels.bytes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "labels of a series");
    qsort(block->series.chunks, block->series.chunk_count, sizeof *block->series.chunks,
          compare_chunks);
    block->stones = tombstones_of(&block->tombstones, block->series.reference, &block->stone_count);
    *labels_out = labels;
    return ERROR_NONE;
}

/* --- Samples ----------------------------------------------------------------------------------
 */

static enum error_code decode_chunk(struct tsdb_block *block, const struct index_chunk *chunk,
                                    struct chunk_samples *samples, struct error *error)
{
    struct stored_chunk stored;
    enum error_code code = chunk_files_read(&block->chunks, chunk->reference, &stored, error);
    if (code != ERROR_NONE)
        return code;
    code = chunk_decode(stored.encoding, stored.bytes, stored.size, samples, error);
    return code == ERROR_NONE ? code
                              : error_wrap(error, "%s at %llu", block->chunks.path,
                                           (unsigned long long)(chunk->reference & UINT32_MAX));
}

/* Chunks until there are samples enough and the next one begins behind them. */
static enum error_code gather(struct tsdb_block *block, int64_t start_ms, int64_t end_ms,
                              struct chunk_samples *samples, struct error *error)
{
    int64_t last_ms = INT64_MIN;
    enum error_code code = ERROR_NONE;
    for (; code == ERROR_NONE && block->next_chunk < block->series.chunk_count;
         block->next_chunk++) {
        const struct index_chunk *chunk = &block->series.chunks[block->next_chunk];
        if (chunk->end_ms < start_ms || chunk->start_ms > end_ms)
            continue;
        if (samples->count >= PIECE_SAMPLES_MIN && chunk->start_ms > last_ms)
            break;
        code = decode_chunk(block, chunk, samples, error);
        if (chunk->end_ms > last_ms)
            last_ms = chunk->end_ms;
    }
    return code;
}

static void move_sample(struct chunk_samples *samples, size_t from, size_t to)
{
    samples->timestamps_ms[to] = samples->timestamps_ms[from];
    samples->values[to] = samples->values[from];
    samples->histograms[to] = samples->histograms[from];
}

/* Only what is asked for and not deleted. */
static void leave_out(struct tsdb_block *block, int64_t start_ms, int64_t end_ms,
                      struct chunk_samples *samples)
{
    size_t kept = 0;
    for (size_t i = 0; i < samples->count; i++) {
        int64_t at = samples->timestamps_ms[i];
        if (at < start_ms || at > end_ms || tombstones_cover(block->stones, block->stone_count, at))
            continue;
        move_sample(samples, i, kept++);
    }
    samples->count = kept;
}

static bool ascends(const struct chunk_samples *samples)
{
    for (size_t i = 1; i < samples->count; i++)
        if (samples->timestamps_ms[i] <= samples->timestamps_ms[i - 1])
            return false;
    return true;
}

struct placed {
    int64_t timestamp_ms;
    size_t index;
};

static int compare_placed(const void *left_item, const void *right_item)
{
    const struct placed *left = left_item, *right = right_item;
    if (left->timestamp_ms != right->timestamp_ms)
        return left->timestamp_ms < right->timestamp_ms ? -1 : 1;
    return (left->index > right->index) - (left->index < right->index);
}

/* Whether a sample takes the place of another at its timestamp; a histogram that of a float. */
static bool prevails(const struct chunk_samples *samples, size_t one, size_t other)
{
    const struct histogram *left = samples->histograms[one], *right = samples->histograms[other];
    if (left != NULL && right != NULL)
        return histogram_order(left, right) > 0;
    if (left != NULL || right != NULL)
        return left != NULL;
    return value_order_key(double_to_bits(samples->values[one])) >
           value_order_key(double_to_bits(samples->values[other]));
}

/* Overlapping chunks become one sequence. False when memory is out. */
static bool put_in_order(struct arena *arena, struct chunk_samples *samples)
{
    size_t count = samples->count, kept = 0;
    struct placed *placed = arena_array(arena, count, sizeof *placed);
    struct chunk_samples ordered = {
        .timestamps_ms = arena_array(arena, count, sizeof *ordered.timestamps_ms),
        .values = arena_array(arena, count, sizeof *ordered.values),
        .histograms = arena_array(arena, count, sizeof(const struct histogram *)),
        .has_histograms = samples->has_histograms,
    };
    if (placed == NULL || ordered.timestamps_ms == NULL || ordered.values == NULL ||
        ordered.histograms == NULL)
        return false;
    for (size_t i = 0; i < count; i++)
        placed[i] = (struct placed){samples->timestamps_ms[i], i};
    qsort(placed, count, sizeof *placed, compare_placed);
    for (size_t i = 0; i < count; i++) {
        bool is_same = kept > 0 && placed[kept - 1].timestamp_ms == placed[i].timestamp_ms;
        if (!is_same)
            placed[kept++] = placed[i];
        else if (prevails(samples, placed[i].index, placed[kept - 1].index))
            placed[kept - 1] = placed[i];
    }
    for (size_t i = 0; i < kept; i++) {
        ordered.timestamps_ms[i] = placed[i].timestamp_ms;
        ordered.values[i] = samples->values[placed[i].index];
        ordered.histograms[i] = samples->histograms[placed[i].index];
    }
    ordered.count = kept;
    *samples = ordered;
    return true;
}

enum error_code tsdb_block_read(struct tsdb_block *block, int64_t start_ms, int64_t end_ms,
                                struct sample_columns *columns_out, struct error *error)
{
    struct chunk_samples samples;
    do {
        arena_reset(block->samples_arena);
        samples = (struct chunk_samples){.arena = block->samples_arena};
        enum error_code code = gather(block, start_ms, end_ms, &samples, error);
        if (code != ERROR_NONE)
            return code;
        leave_out(block, start_ms, end_ms, &samples);
        if (!ascends(&samples) && !put_in_order(block->samples_arena, &samples))
            return error_set(error, ERROR_OUT_OF_MEMORY, "overlapping chunks of a series");
    } while (samples.count == 0 && block->next_chunk < block->series.chunk_count);
    *columns_out = chunk_samples_columns(&samples);
    return ERROR_NONE;
}
