#include "block/series_segment_reader.h"

#include <assert.h>
#include <stdlib.h>

#include "segment_format.h"
#include "series_segment.h"

/* --- The open file ---------------------------------------------------------------------------- */

static enum error_code read_properties(struct series_segment *segment, struct error *error)
{
    struct byte_reader reader = page_file_section(&segment->file, TOC_PROPERTIES);
    segment->first_id = byte_reader_u64(&reader);
    segment->span = byte_reader_u64(&reader);
    segment->bucket_count = byte_reader_u32(&reader);
    uint64_t last_id;
    if (reader.failed || segment->bucket_count != segment->buckets.entry_count ||
        (segment->bucket_count == 0) != (segment->index.series_count == 0) ||
        segment->span < segment->index.series_count ||
        __builtin_add_overflow(segment->first_id, segment->span, &last_id))
        return page_file_corrupt(&segment->file, "properties", error);
    return ERROR_NONE;
}

enum error_code series_segment_open(struct page_cache *cache, struct page_source *source,
                                    struct series_segment **segment_out, struct error *error)
{
    struct series_segment *segment = calloc(1, sizeof *segment);
    if (segment == NULL) {
        page_source_close(source);
        return error_set(error, ERROR_OUT_OF_MEMORY, "series segment");
    }
    atomic_init(&segment->references, 1);
    enum error_code code = page_file_open(&segment->file, cache, source, FILE_KIND_SEGMENT, error);
    if (code == ERROR_NONE)
        code = tenant_list_read(&segment->tenants, &segment->file, error);
    if (code == ERROR_NONE)
        code = label_index_open(&segment->index, &segment->file, &segment->tenants,
                                LABEL_COLUMNS_SEGMENT, error);
    if (code == ERROR_NONE)
        code = tree_open(&segment->buckets, &segment->file, TOC_HASH, error);
    if (code == ERROR_NONE)
        code = read_properties(segment, error);
    if (code != ERROR_NONE) {
        series_segment_unref(segment);
        return code;
    }
    *segment_out = segment;
    return ERROR_NONE;
}

struct series_segment *series_segment_ref(struct series_segment *segment)
{
    atomic_fetch_add_explicit(&segment->references, 1, memory_order_relaxed);
    return segment;
}

void series_segment_unref(struct series_segment *segment)
{
    if (segment == NULL)
        return;
    if (atomic_fetch_sub_explicit(&segment->references, 1, memory_order_acq_rel) > 1)
        return;
    tenant_list_clear(&segment->tenants);
    page_file_close(&segment->file);
    free(segment);
}

const char *series_segment_path(const struct series_segment *segment)
{
    return segment->file.source->name;
}

struct file_summary series_segment_summary(const struct series_segment *segment)
{
    return segment->file.footer.summary;
}

uint64_t series_segment_first_id(const struct series_segment *segment)
{
    return segment->first_id;
}

uint64_t series_segment_span(const struct series_segment *segment)
{
    return segment->span;
}

struct index_source *series_segment_index(struct series_segment *segment)
{
    return &segment->index.source;
}

/* --- By position and id ----------------------------------------------------------------------- */

/* Rows and texts of one call. */
struct segment_walk {
    const struct series_segment *segment;
    struct label_rows rows;
    struct pair_texts texts;
};

static struct segment_walk walk_begin(const struct series_segment *segment)
{
    return (struct segment_walk){.segment = segment,
                                 .rows = {.index = &segment->index},
                                 .texts = {.index = &segment->index}};
}

static void walk_end(struct segment_walk *walk)
{
    label_rows_clear(&walk->rows);
    pair_texts_clear(&walk->texts);
}

/* The series of the row that the walk is on, without its labels. */
static struct segment_series walk_brief(const struct segment_walk *walk)
{
    const struct label_row *row = &walk->rows.row;
    return (struct segment_series){
        .id = row->id,
        .target = row->target,
        .tenant = walk->segment->tenants.tenants[row->tenant],
        .slot = row->slot,
    };
}

/* The same with them. */
static enum error_code walk_series(struct segment_walk *walk, struct arena *arena,
                                   struct segment_series *series_out, struct error *error)
{
    struct segment_series series = walk_brief(walk);
    enum error_code code =
        pair_texts_labels(&walk->texts, &walk->rows.row, arena, &series.labels, error);
    if (code == ERROR_NONE)
        *series_out = series;
    return code;
}

enum error_code series_segment_ids(struct series_segment *segment, struct positions positions,
                                   uint64_t *ids_out, struct error *error)
{
    if (segment->span == segment->index.series_count) { /* no gaps */
        for (size_t i = 0; i < positions.count; i++)
            ids_out[i] = segment->first_id + positions.items[i];
        return ERROR_NONE;
    }
    struct segment_walk walk = walk_begin(segment);
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < positions.count; i++) {
        code = label_rows_seek(&walk.rows, positions.items[i], error);
        ids_out[i] = walk.rows.row.id;
    }
    walk_end(&walk);
    return code;
}

enum error_code series_segment_read(struct series_segment *segment, const uint64_t *ids,
                                    size_t count, struct arena *arena,
                                    struct segment_series *series_out, struct error *error)
{
    struct segment_walk walk = walk_begin(segment);
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        series_out[i] = (struct segment_series){.id = ids[i]};
        if (ids[i] < segment->first_id || ids[i] - segment->first_id >= segment->span)
            continue;
        code = label_rows_seek_id(&walk.rows, ids[i], error);
        if (code == ERROR_NONE && walk.rows.valid)
            code = walk_series(&walk, arena, &series_out[i], error);
    }
    walk_end(&walk);
    return code;
}

enum error_code series_segment_read_at(struct series_segment *segment, struct positions positions,
                                       struct arena *arena, struct segment_series *series_out,
                                       struct error *error)
{
    struct segment_walk walk = walk_begin(segment);
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < positions.count; i++) {
        code = label_rows_seek(&walk.rows, positions.items[i], error);
        if (code == ERROR_NONE)
            code = walk_series(&walk, arena, &series_out[i], error);
    }
    walk_end(&walk);
    return code;
}

enum error_code series_segment_read_briefly(struct series_segment *segment, uint32_t first,
                                            size_t count, struct segment_series *series_out,
                                            struct error *error)
{
    struct segment_walk walk = walk_begin(segment);
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        code = label_rows_seek(&walk.rows, first + (uint32_t)i, error);
        if (code == ERROR_NONE)
            series_out[i] = walk_brief(&walk);
    }
    walk_end(&walk);
    return code;
}

/* --- By labels -------------------------------------------------------------------------------- */

/* A position whose series may be the one searched. */
struct candidate {
    uint32_t position;
    size_t lookup;
};

struct candidate_list {
    struct candidate *items;
    size_t count;
    size_t capacity;
};

static bool candidate_add(struct candidate_list *list, uint32_t position, size_t lookup)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        struct candidate *grown = realloc(list->items, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = (struct candidate){position, lookup};
    return true;
}

static int candidate_order(const void *left, const void *right)
{
    const struct candidate *a = left;
    const struct candidate *b = right;
    return a->position < b->position ? -1 : a->position > b->position;
}

/* The first of `count` ascending fingerprints that is >= wanted. */
static size_t bucket_search(const uint8_t *fingerprints, size_t count, uint32_t wanted)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (load_u32(fingerprints + 4 * middle) < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static enum error_code search_bucket(struct series_segment *segment, struct hash128 hash,
                                     size_t lookup, struct candidate_list *list,
                                     struct error *error)
{
    struct tree_leaf leaf;
    enum error_code code = tree_find_ordinal(
        &segment->buckets, segment_bucket(hash, segment->bucket_count), &leaf, error);
    struct page_pin pin = {0};
    if (code == ERROR_NONE)
        code = page_file_pin(&segment->file, leaf.page, PAGE_HASH_BUCKET, &pin, error);
    if (code != ERROR_NONE)
        return code;
    size_t count = pin.size / SEGMENT_ENTRY_BYTES;
    uint32_t fingerprint = segment_fingerprint(hash, segment->bucket_count);
    for (size_t i = bucket_search(pin.bytes, count, fingerprint);
         code == ERROR_NONE && i < count && load_u32(pin.bytes + 4 * i) == fingerprint; i++) {
        uint32_t position = load_u32(pin.bytes + 4 * (count + i));
        if (position >= segment->index.series_count)
            code = page_file_corrupt(&segment->file, "hash bucket", error);
        else if (!candidate_add(list, position, lookup))
            code = error_set(error, ERROR_OUT_OF_MEMORY, "search of series");
    }
    page_unpin(&pin);
    return code;
}

/* Compare the labels of the candidates, by position so that each page of labels is read once. */
static enum error_code verify(struct series_segment *segment, struct candidate_list *list,
                              struct segment_lookup *lookups, struct error *error)
{
    if (list->count == 0)
        return ERROR_NONE;
    struct arena *arena = arena_create(0);
    if (arena == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "search of series");
    qsort(list->items, list->count, sizeof *list->items, candidate_order);
    struct segment_walk walk = walk_begin(segment);
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < list->count; i++) {
        struct segment_lookup *lookup = &lookups[list->items[i].lookup];
        struct segment_series series;
        arena_reset(arena);
        code = label_rows_seek(&walk.rows, list->items[i].position, error);
        if (code == ERROR_NONE)
            code = walk_series(&walk, arena, &series, error);
        if (code != ERROR_NONE || !text_equal(series.tenant, lookup->tenant) ||
            !labels_equal(series.labels, lookup->labels))
            continue;
        lookup->found = true;
        lookup->id = series.id;
        lookup->target = series.target;
    }
    walk_end(&walk);
    arena_destroy(arena);
    return code;
}

enum error_code series_segment_find(struct series_segment *segment, struct segment_lookup *lookups,
                                    size_t count, struct error *error)
{
    if (segment->index.series_count == 0)
        return ERROR_NONE;
    struct candidate_list list = {0};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++)
        if (!lookups[i].found)
            code = search_bucket(segment, lookups[i].hash, i, &list, error);
    if (code == ERROR_NONE)
        code = verify(segment, &list, lookups, error);
    free(list.items);
    return code;
}
