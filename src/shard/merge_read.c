#include "merge_read.h"

#include <stdlib.h>
#include <string.h>

/* What one part or block holds of the series. */
struct merge_source {
    struct encoded_series encoded;
    int64_t from_ms;     /* samples before are not taken */
    uint64_t file_index; /* deletions behind it cover it */
    bool of_block;
    struct series_decoder *decoder; /* kept from series to series */
    struct column_merge cut;        /* the same */
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "merge");
}

/* --- Gathering -------------------------------------------------------------------------------- */

static bool reserve_sources(struct merge_reader *reader, size_t count)
{
    if (count <= reader->source_capacity)
        return true;
    struct merge_source *sources = realloc(reader->sources, count * sizeof *sources);
    if (sources == NULL)
        return false;
    reader->sources = sources;
    struct sample_columns *pieces = realloc(reader->pieces, count * sizeof *pieces);
    if (pieces == NULL)
        return false;
    reader->pieces = pieces;
    const struct merge_source **sorted =
        realloc(reader->sorted, count * sizeof(const struct merge_source *));
    if (sorted == NULL)
        return false;
    reader->sorted = sorted;
    memset(sources + reader->source_capacity, 0,
           (count - reader->source_capacity) * sizeof *sources);
    reader->source_capacity = count;
    return true;
}

static void add_source(struct merge_reader *reader, size_t *count,
                       const struct encoded_series *encoded, int64_t from_ms, uint64_t file_index,
                       bool of_block)
{
    if (encoded->sample_count == 0)
        return;
    struct merge_source *source = &reader->sources[(*count)++];
    source->encoded = *encoded;
    source->from_ms = from_ms;
    source->file_index = file_index;
    source->of_block = of_block;
}

static enum error_code gather_sources(struct merge_reader *reader, const struct merge_walk *walk,
                                      int64_t start_ms, size_t *count_out, struct error *error)
{
    const struct merge *merge = reader->work->merge;
    size_t count = 0;
    if (!reserve_sources(reader, walk->item_count * (merge->part_count + 1)))
        return out_of_memory(error);
    for (size_t i = 0; i < walk->item_count; i++) {
        const struct merge_item *item = &walk->items[i];
        if (item->pieces == NULL) {
            struct encoded_series encoded;
            enum error_code code = block_reader_read_encoded(
                reader->work->block_readers[item->block], item->position, &encoded, error);
            if (code != ERROR_NONE)
                return code;
            add_source(reader, &count, &encoded, start_ms,
                       merge->blocks[item->block].described.index, true);
            continue;
        }
        for (size_t part = 0; part < merge->part_count; part++) {
            int64_t from_ms = merge->parts[part].from_ms;
            add_source(reader, &count, &item->pieces[part].encoded,
                       from_ms > start_ms ? from_ms : start_ms,
                       merge->parts[part].input.described.index, false);
        }
    }
    *count_out = count;
    return ERROR_NONE;
}

/* --- Copying ---------------------------------------------------------------------------------- */

static int64_t first_ms(const struct merge_source *source)
{
    return source->encoded.timestamps_ms[0];
}

static int64_t last_ms(const struct merge_source *source)
{
    return source->encoded.timestamps_ms[source->encoded.sample_count - 1];
}

/* By time, to `sorted`; the sources keep their order. */
static void sort_sources(struct merge_reader *reader, size_t count)
{
    const struct merge_source **sorted = reader->sorted;
    for (size_t i = 0; i < count; i++) {
        const struct merge_source *source = &reader->sources[i];
        size_t at = i;
        for (; at > 0 && first_ms(sorted[at - 1]) > first_ms(source); at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = source;
    }
}

/*
 * Whether the chunks of the sources, one behind the other, are what encoding their samples anew
 * gives: none is cut, and where a source ends a chunk ends anyhow. Chunks of parts know no windows.
 */
static bool sources_fit(const struct merge_source *const *sorted, size_t count, int64_t end_ms)
{
    for (size_t i = 0; i < count; i++) {
        const struct merge_source *source = sorted[i];
        int64_t begins = merge_window_start(first_ms(source));
        if (first_ms(source) < source->from_ms || last_ms(source) > end_ms)
            return false;
        if (!source->of_block && begins != merge_window_start(last_ms(source)))
            return false;
        if (i > 0 && merge_window_start(last_ms(sorted[i - 1])) >= begins)
            return false;
    }
    return true;
}

static bool is_deleted(const struct tombstone *tombstone, const struct merge *merge,
                       const struct merge_source *source)
{
    return tombstone->index > source->file_index && tombstone->index < merge->index;
}

/* Whether a deletion may cut samples of the series. */
static bool is_touched(const struct merge_reader *reader, const struct block_series *series,
                       size_t count)
{
    const struct merge *merge = reader->work->merge;
    const struct tombstones *tombstones = merge->view->tombstones;
    for (size_t i = 0; i < tombstones_count(tombstones); i++) {
        const struct tombstone *tombstone = tombstones_at(tombstones, i);
        bool covers = false;
        for (size_t k = 0; k < count; k++)
            covers |= is_deleted(tombstone, merge, &reader->sources[k]);
        if (covers && tombstone_matches(tombstone, series->tenant, series->labels))
            return true;
    }
    return false;
}

static enum error_code join_chunks(struct merge_reader *reader, size_t count,
                                   struct encoded_series *joined_out, struct error *error)
{
    if (count == 1) {
        *joined_out = reader->sorted[0]->encoded;
        return ERROR_NONE;
    }
    size_t samples = 0, chunks = 0;
    for (size_t i = 0; i < count; i++) {
        samples += reader->sources[i].encoded.sample_count;
        chunks += reader->sources[i].encoded.chunk_count;
    }
    int64_t *all_times = arena_array(reader->arena, samples, sizeof *all_times);
    struct encoded_chunk *all_chunks = arena_array(reader->arena, chunks, sizeof *all_chunks);
    if (all_times == NULL || all_chunks == NULL)
        return out_of_memory(error);
    struct encoded_series joined = {.timestamps_ms = all_times, .chunks = all_chunks};
    for (size_t i = 0; i < count; i++) {
        const struct encoded_series *encoded = &reader->sorted[i]->encoded;
        memcpy(all_times + joined.sample_count, encoded->timestamps_ms,
               encoded->sample_count * sizeof *all_times);
        memcpy(all_chunks + joined.chunk_count, encoded->chunks,
               encoded->chunk_count * sizeof *all_chunks);
        joined.sample_count += encoded->sample_count;
        joined.chunk_count += encoded->chunk_count;
    }
    *joined_out = joined;
    return ERROR_NONE;
}

/* --- Decoding --------------------------------------------------------------------------------- */

/* Deletions that are older than the merge and newer than the file. */
static enum error_code cut_deleted(struct merge_reader *reader, const struct block_series *series,
                                   struct merge_source *source, struct sample_columns *columns,
                                   struct error *error)
{
    const struct merge *merge = reader->work->merge;
    const struct tombstones *tombstones = merge->view->tombstones;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < tombstones_count(tombstones); i++) {
        const struct tombstone *tombstone = tombstones_at(tombstones, i);
        if (is_deleted(tombstone, merge, source) &&
            tombstone_matches(tombstone, series->tenant, series->labels))
            code = column_cut(&source->cut, tombstone->start_ms, tombstone->end_ms, columns, error);
    }
    return code;
}

static enum error_code decode_sources(struct merge_reader *reader,
                                      const struct block_series *series, size_t count,
                                      int64_t end_ms, struct sample_columns *columns_out,
                                      struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        struct merge_source *source = &reader->sources[i];
        if (source->decoder == NULL)
            code = series_decoder_create(&source->decoder, error);
        if (code == ERROR_NONE)
            code = series_decoder_read(source->decoder, &source->encoded, source->from_ms, end_ms,
                                       &reader->pieces[i], error);
        if (code == ERROR_NONE && reader->pieces[i].count > 0)
            code = cut_deleted(reader, series, source, &reader->pieces[i], error);
    }
    if (code != ERROR_NONE)
        return code;
    return column_merge(&reader->merged, reader->pieces, count, columns_out, error);
}

/* --- Exemplars -------------------------------------------------------------------------------- */

static enum error_code add_exemplars(struct merge_reader *reader, const struct exemplar *exemplars,
                                     size_t count, struct merge_content *content,
                                     struct error *error)
{
    if (count == 0)
        return ERROR_NONE;
    size_t total = content->exemplar_count;
    struct exemplar *all =
        arena_grow(reader->arena, content->exemplars, total, total + count, sizeof *all);
    if (all == NULL)
        return out_of_memory(error);
    content->exemplars = all;
    for (size_t i = 0; i < count; i++) {
        all[total] = exemplars[i];
        all[total].labels = labels_copy(reader->arena, exemplars[i].labels);
        if (all[total].labels.bytes == NULL && exemplars[i].labels.size > 0)
            return out_of_memory(error);
        total++;
    }
    content->exemplar_count = total;
    return ERROR_NONE;
}

/* Exemplars go with their tenant; other deletions leave them. */
static bool tenant_left(const struct merge_reader *reader, const struct merge_walk *walk,
                        uint64_t file_index)
{
    const struct merge *merge = reader->work->merge;
    return tombstones_cover_tenant(merge->view->tombstones, walk->series.tenant, file_index,
                                   merge->index - 1);
}

static enum error_code read_exemplars(struct merge_reader *reader, const struct merge_walk *walk,
                                      int64_t start_ms, int64_t end_ms,
                                      struct merge_content *content, struct error *error)
{
    const struct merge *merge = reader->work->merge;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < walk->item_count; i++) {
        const struct merge_item *item = &walk->items[i];
        const struct exemplar *found;
        size_t count;
        if (item->pieces == NULL) {
            if (tenant_left(reader, walk, merge->blocks[item->block].described.index))
                continue;
            code = block_reader_read_exemplars(reader->work->block_readers[item->block],
                                               item->position, start_ms, end_ms, &found, &count,
                                               error);
            if (code == ERROR_NONE)
                code = add_exemplars(reader, found, count, content, error);
            continue;
        }
        for (size_t k = 0; code == ERROR_NONE && k < merge->part_count; k++)
            if (!tenant_left(reader, walk, merge->parts[k].input.described.index))
                code = add_exemplars(reader, item->pieces[k].exemplars,
                                     item->pieces[k].exemplar_count, content, error);
    }
    /* Few; later ones of equal time stay behind earlier ones. */
    struct exemplar *all = content->exemplars;
    for (size_t i = 1; i < content->exemplar_count; i++)
        for (size_t j = i; j > 0 && all[j - 1].timestamp_ms > all[j].timestamp_ms; j--) {
            struct exemplar swapped = all[j];
            all[j] = all[j - 1];
            all[j - 1] = swapped;
        }
    return code;
}

/* --- Public ----------------------------------------------------------------------------------- */

/* Chunks to the sources, exemplars to the content. */
static enum error_code gather(struct merge_reader *reader, const struct merge_walk *walk,
                              int64_t start_ms, int64_t end_ms, size_t *count_out,
                              struct merge_content *content, struct error *error)
{
    if (reader->arena == NULL)
        reader->arena = arena_create(0);
    if (reader->arena == NULL)
        return out_of_memory(error);
    arena_reset(reader->arena);
    enum error_code code = gather_sources(reader, walk, start_ms, count_out, error);
    if (code == ERROR_NONE)
        code = read_exemplars(reader, walk, start_ms, end_ms, content, error);
    return code;
}

enum error_code merge_read(struct merge_reader *reader, const struct merge_walk *walk,
                           int64_t start_ms, int64_t end_ms, struct merge_content *content_out,
                           struct error *error)
{
    struct merge_content content = {0};
    size_t count;
    int64_t kept_from_ms =
        retention_cut_of(&reader->work->merge->retention, walk->series.tenant, walk->series.labels);
    if (kept_from_ms > end_ms) { /* nothing of the series needs to be read */
        *content_out = content;
        return ERROR_NONE;
    }
    if (kept_from_ms > start_ms)
        start_ms = kept_from_ms;
    enum error_code code = gather(reader, walk, start_ms, end_ms, &count, &content, error);
    if (code == ERROR_NONE && count > 0) {
        sort_sources(reader, count);
        if (sources_fit(reader->sorted, count, end_ms) && !is_touched(reader, &walk->series, count))
            code = join_chunks(reader, count, &content.encoded, error);
        else
            code = decode_sources(reader, &walk->series, count, end_ms, &content.columns, error);
    }
    if (code == ERROR_NONE)
        *content_out = content;
    return code;
}

enum error_code merge_read_times(struct merge_reader *reader, const struct merge_walk *walk,
                                 int64_t start_ms, int64_t end_ms,
                                 void (*visit)(void *context, int64_t timestamp_ms), void *context,
                                 struct error *error)
{
    struct merge_content content = {0};
    size_t count;
    enum error_code code = gather(reader, walk, start_ms, end_ms, &count, &content, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; i < count; i++) {
        const struct merge_source *source = &reader->sources[i];
        for (size_t k = 0; k < source->encoded.sample_count; k++) {
            int64_t timestamp_ms = source->encoded.timestamps_ms[k];
            if (timestamp_ms >= source->from_ms && timestamp_ms <= end_ms)
                visit(context, timestamp_ms);
        }
    }
    for (size_t i = 0; i < content.exemplar_count; i++)
        visit(context, content.exemplars[i].timestamp_ms);
    return ERROR_NONE;
}

void merge_reader_clear(struct merge_reader *reader)
{
    for (size_t i = 0; i < reader->source_capacity; i++) {
        series_decoder_destroy(reader->sources[i].decoder);
        column_merge_clear(&reader->sources[i].cut);
    }
    free(reader->sources);
    free(reader->pieces);
    free(reader->sorted);
    column_merge_clear(&reader->merged);
    arena_destroy(reader->arena);
    *reader = (struct merge_reader){0};
}
