#include "view_reader.h"

#include <stdlib.h>

/* --- Types ---------------------------------------------------------------------------------- */

enum read_mode { READ_ALL, READ_LATEST };

struct view_reader {
    struct view *view;
    struct head_reader **heads;    /* [head_count], NULL until needed */
    struct part_reader **parts;    /* [part_count] */
    struct block_reader **blocks;  /* [block_count] */
    struct sample_columns *pieces; /* [piece_max] */
    struct column_merge *cuts;     /* [piece_max], memory of pieces with deletions */
    size_t piece_max;
    size_t piece_count;
    struct column_merge merge;
};

/* --- Life ----------------------------------------------------------------------------------- */

enum error_code view_reader_create(struct view *view, struct view_reader **reader_out,
                                   struct error *error)
{
    struct view_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "view reader");
    reader->view = view_ref(view);
    reader->piece_max = view->head_count + view->part_count + view->block_count;
    reader->heads = calloc(view->head_count + 1, sizeof *reader->heads);
    reader->parts = calloc(view->part_count + 1, sizeof *reader->parts);
    reader->blocks = calloc(view->block_count + 1, sizeof *reader->blocks);
    reader->pieces = calloc(reader->piece_max + 1, sizeof *reader->pieces);
    reader->cuts = calloc(reader->piece_max + 1, sizeof *reader->cuts);
    if (reader->heads == NULL || reader->parts == NULL || reader->blocks == NULL ||
        reader->pieces == NULL || reader->cuts == NULL) {
        view_reader_destroy(reader);
        return error_set(error, ERROR_OUT_OF_MEMORY, "view reader: %zu pieces",
                         view->head_count + view->part_count + view->block_count);
    }
    *reader_out = reader;
    return ERROR_NONE;
}

void view_reader_destroy(struct view_reader *reader)
{
    if (reader == NULL)
        return;
    for (size_t i = 0; reader->heads != NULL && i < reader->view->head_count; i++)
        head_reader_close(reader->heads[i]);
    for (size_t i = 0; reader->parts != NULL && i < reader->view->part_count; i++)
        part_reader_destroy(reader->parts[i]);
    for (size_t i = 0; reader->blocks != NULL && i < reader->view->block_count; i++)
        block_reader_destroy(reader->blocks[i]);
    for (size_t i = 0; reader->cuts != NULL && i < reader->piece_max; i++)
        column_merge_clear(&reader->cuts[i]);
    column_merge_clear(&reader->merge);
    free(reader->heads);
    free(reader->parts);
    free(reader->blocks);
    free(reader->pieces);
    free(reader->cuts);
    view_unref(reader->view);
    free(reader);
}

/* --- Readers of the pieces ------------------------------------------------------------------ */

static enum error_code head_reader_at(struct view_reader *reader, size_t i,
                                      struct head_reader **out, struct error *error)
{
    enum error_code code = ERROR_NONE;
    if (reader->heads[i] == NULL)
        code = head_reader_open(reader->view->heads[i].head, &reader->heads[i], error);
    *out = reader->heads[i];
    return code;
}

static enum error_code part_reader_at(struct view_reader *reader, size_t i,
                                      struct part_reader **out, struct error *error)
{
    enum error_code code = ERROR_NONE;
    if (reader->parts[i] == NULL)
        code = part_reader_create(reader->view->parts[i].part, &reader->parts[i], error);
    *out = reader->parts[i];
    return code;
}

static enum error_code block_reader_at(struct view_reader *reader, size_t i,
                                       struct block_reader **out, struct error *error)
{
    enum error_code code = ERROR_NONE;
    if (reader->blocks[i] == NULL)
        code = block_reader_create(reader->view->blocks[i].block, &reader->blocks[i], error);
    *out = reader->blocks[i];
    return code;
}

/* --- Deletions ------------------------------------------------------------------------------ */

/* The first time in the range whose samples of the series are kept still. */
static int64_t kept_from(const struct view_reader *reader, const struct view_series *series,
                         int64_t start_ms)
{
    const struct retention_cut *cut = &reader->view->retention;
    if (!retention_cut_reaches(cut, start_ms))
        return start_ms;
    int64_t kept_ms = retention_cut_of(cut, series->tenant, series->labels);
    return kept_ms > start_ms ? kept_ms : start_ms;
}

/* Whether some tombstone may cover samples of the series in this range. */
static bool series_has_deletions(const struct view_reader *reader, const struct view_series *series,
                                 int64_t start_ms, int64_t end_ms)
{
    const struct tombstones *tombstones = reader->view->tombstones;
    for (size_t i = 0; i < tombstones_count(tombstones); i++) {
        const struct tombstone *tombstone = tombstones_at(tombstones, i);
        if (tombstone->start_ms <= end_ms && tombstone->end_ms >= start_ms &&
            tombstone_matches(tombstone, series->tenant, series->labels))
            return true;
    }
    return false;
}

/* Cut the deleted samples out of the piece added last, of a file decided at log `index`. */
static enum error_code cut_deleted(struct view_reader *reader, const struct view_series *series,
                                   uint64_t index, struct error *error)
{
    const struct tombstones *tombstones = reader->view->tombstones;
    size_t piece = reader->piece_count - 1;
    for (size_t i = 0; i < tombstones_count(tombstones); i++) {
        const struct tombstone *tombstone = tombstones_at(tombstones, i);
        if (tombstone->index <= index ||
            !tombstone_matches(tombstone, series->tenant, series->labels))
            continue;
        enum error_code code = column_cut(&reader->cuts[piece], tombstone->start_ms,
                                          tombstone->end_ms, &reader->pieces[piece], error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- Collecting pieces ---------------------------------------------------------------------- */

/* Ids of timestamps are unique within a piece; make them unique within the view. */
static void add_piece(struct view_reader *reader, struct sample_columns columns, size_t piece)
{
    if (columns.timestamps_id != 0)
        columns.timestamps_id = columns.timestamps_id * (reader->piece_max + 1) + piece + 1;
    reader->pieces[reader->piece_count++] = columns;
}

/* Of pieces that hold one sample. */
static int64_t newest_piece_ms(const struct view_reader *reader)
{
    int64_t newest_ms = INT64_MIN;
    for (size_t i = 0; i < reader->piece_count; i++)
        if (reader->pieces[i].timestamps_ms[0] > newest_ms)
            newest_ms = reader->pieces[i].timestamps_ms[0];
    return newest_ms;
}

/* Whether a piece that ends there has nothing newer than what was found. */
static bool is_older(const struct view_reader *reader, enum read_mode mode, int64_t end_ms)
{
    return mode == READ_LATEST && end_ms < newest_piece_ms(reader);
}

/* In the order of the view, which is mostly that of time: the latest is among the last. */
static size_t in_order(enum read_mode mode, size_t i, size_t count)
{
    return mode == READ_LATEST ? count - 1 - i : i;
}

static enum error_code read_block(struct view_reader *reader, struct block_position at,
                                  int64_t start_ms, int64_t end_ms, enum read_mode mode,
                                  struct sample_columns *columns_out, struct error *error)
{
    struct block_reader *block;
    enum error_code code = block_reader_at(reader, at.block, &block, error);
    if (code != ERROR_NONE)
        return code;
    return mode == READ_LATEST
               ? block_reader_read_latest(block, at.position, start_ms, end_ms, columns_out, error)
               : block_reader_read(block, at.position, start_ms, end_ms, columns_out, error);
}

static enum error_code collect_blocks(struct view_reader *reader, const struct view_series *series,
                                      int64_t start_ms, int64_t end_ms, enum read_mode mode,
                                      bool cut, struct error *error)
{
    for (size_t i = 0; i < series->block_count; i++) {
        struct block_position at = series->blocks[in_order(mode, i, series->block_count)];
        const struct view_block *block = &reader->view->blocks[at.block];
        if (block->start_ms > end_ms || block->end_ms < start_ms ||
            is_older(reader, mode, block->end_ms))
            continue;
        struct sample_columns columns;
        enum error_code code = read_block(reader, at, start_ms, end_ms, mode, &columns, error);
        if (code != ERROR_NONE)
            return code;
        if (columns.count == 0)
            continue;
        add_piece(reader, columns, at.block);
        if (cut)
            code = cut_deleted(reader, series, block->index, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static enum error_code collect_parts(struct view_reader *reader, const struct view_series *series,
                                     int64_t start_ms, int64_t end_ms, enum read_mode mode,
                                     bool cut, struct error *error)
{
    size_t count = reader->view->part_count;
    for (size_t nth = 0; nth < count; nth++) {
        size_t i = in_order(mode, nth, count);
        const struct view_part *part = &reader->view->parts[i];
        if (part->start_ms > end_ms || part->end_ms < start_ms ||
            is_older(reader, mode, part->end_ms))
            continue;
        struct part_reader *opened;
        struct sample_columns columns;
        enum error_code code = part_reader_at(reader, i, &opened, error);
        if (code == ERROR_NONE)
            code =
                mode == READ_LATEST
                    ? part_reader_read_latest(opened, series->id, start_ms, end_ms, &columns, error)
                    : part_reader_read(opened, series->id, start_ms, end_ms, &columns, error);
        if (code != ERROR_NONE)
            return code;
        if (columns.count == 0)
            continue;
        add_piece(reader, columns, reader->view->block_count + i);
        if (cut)
            code = cut_deleted(reader, series, part->index, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static enum error_code collect_heads(struct view_reader *reader, const struct view_series *series,
                                     int64_t start_ms, int64_t end_ms, enum read_mode mode,
                                     bool cut, struct error *error)
{
    const struct view *view = reader->view;
    for (size_t i = 0; i < view->head_count; i++) {
        struct head_reader *opened;
        struct sample_columns columns;
        if (!head_has_series(view->heads[i].head, series->id))
            continue;
        enum error_code code = head_reader_at(reader, i, &opened, error);
        if (code == ERROR_NONE)
            code =
                mode == READ_LATEST
                    ? head_reader_read_latest(opened, series->id, start_ms, end_ms, &columns, error)
                    : head_reader_read(opened, series->id, start_ms, end_ms, &columns, error);
        if (code != ERROR_NONE)
            return code;
        if (columns.count == 0)
            continue;
        add_piece(reader, columns, view->block_count + view->part_count + i);
        /* What was frozen before a deletion and is not a part yet is deleted all the same. */
        if (cut)
            code = cut_deleted(reader, series, view->heads[i].index, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- Public --------------------------------------------------------------------------------- */

enum error_code view_reader_read(struct view_reader *reader, const struct view_series *series,
                                 int64_t start_ms, int64_t end_ms,
                                 struct sample_columns *columns_out, struct error *error)
{
    start_ms = kept_from(reader, series, start_ms);
    bool cut = series_has_deletions(reader, series, start_ms, end_ms);
    reader->piece_count = 0;
    if (start_ms > end_ms) {
        *columns_out = (struct sample_columns){0};
        return ERROR_NONE;
    }
    enum error_code code = collect_blocks(reader, series, start_ms, end_ms, READ_ALL, cut, error);
    if (code == ERROR_NONE && series->id != SERIES_ID_NONE)
        code = collect_parts(reader, series, start_ms, end_ms, READ_ALL, cut, error);
    if (code == ERROR_NONE && series->id != SERIES_ID_NONE)
        code = collect_heads(reader, series, start_ms, end_ms, READ_ALL, cut, error);
    if (code != ERROR_NONE)
        return code;
    return column_merge(&reader->merge, reader->pieces, reader->piece_count, columns_out, error);
}

/* The newest time of any file; what heads have beyond it needs no file. */
static int64_t files_end_ms(const struct view *view)
{
    int64_t end_ms = INT64_MIN;
    for (size_t i = 0; i < view->part_count; i++)
        if (view->parts[i].end_ms > end_ms)
            end_ms = view->parts[i].end_ms;
    for (size_t i = 0; i < view->block_count; i++)
        if (view->blocks[i].end_ms > end_ms)
            end_ms = view->blocks[i].end_ms;
    return end_ms;
}

static struct sample_columns last_sample(const struct sample_columns *columns)
{
    struct sample_columns last = *columns;
    if (columns->count < 2)
        return last;
    size_t skip = columns->count - 1;
    last.count = 1;
    last.timestamps_ms += skip;
    last.values += skip;
    last.timestamps_id = 0;
    if (last.histograms != NULL)
        last.histograms += skip;
    if (last.start_timestamps_ms != NULL)
        last.start_timestamps_ms += skip;
    return last;
}

enum error_code view_reader_read_latest(struct view_reader *reader,
                                        const struct view_series *series, int64_t start_ms,
                                        int64_t end_ms, struct sample_columns *columns_out,
                                        struct error *error)
{
    struct sample_columns columns;
    enum error_code code = ERROR_NONE;
    start_ms = kept_from(reader, series, start_ms);
    if (start_ms > end_ms || series_has_deletions(reader, series, start_ms, end_ms)) {
        /* The latest sample of a piece may be a deleted one. */
        code = view_reader_read(reader, series, start_ms, end_ms, &columns, error);
    } else {
        reader->piece_count = 0;
        if (series->id != SERIES_ID_NONE)
            code = collect_heads(reader, series, start_ms, end_ms, READ_LATEST, false, error);
        if (code == ERROR_NONE && newest_piece_ms(reader) <= files_end_ms(reader->view)) {
            if (series->id != SERIES_ID_NONE)
                code = collect_parts(reader, series, start_ms, end_ms, READ_LATEST, false, error);
            if (code == ERROR_NONE)
                code = collect_blocks(reader, series, start_ms, end_ms, READ_LATEST, false, error);
        }
        if (code == ERROR_NONE)
            code =
                column_merge(&reader->merge, reader->pieces, reader->piece_count, &columns, error);
    }
    if (code == ERROR_NONE)
        *columns_out = last_sample(&columns);
    return code;
}

/*
 * Whether a piece that lies in the range as a whole has the series: then it has a sample of it in
 * the range, and none needs to be read.
 */
static bool has_in_whole_piece(struct view_reader *reader, const struct view_series *series,
                               int64_t start_ms, int64_t end_ms)
{
    const struct view *view = reader->view;
    for (size_t i = 0; i < series->block_count; i++) {
        const struct view_block *block = &view->blocks[series->blocks[i].block];
        if (block->start_ms >= start_ms && block->end_ms <= end_ms)
            return true;
    }
    if (series->id == SERIES_ID_NONE)
        return false;
    for (size_t i = 0; i < view->head_count; i++) {
        struct head_statistics head;
        if (!head_has_series(view->heads[i].head, series->id))
            continue;
        head_read_statistics(view->heads[i].head, &head);
        if (head.start_ms >= start_ms && head.end_ms <= end_ms)
            return true;
    }
    return false;
}

static enum error_code head_has_samples(struct view_reader *reader, size_t head,
                                        const struct view_series *series, int64_t start_ms,
                                        int64_t end_ms, bool *has_out, struct error *error)
{
    struct head_reader *opened;
    if (!head_has_series(reader->view->heads[head].head, series->id))
        return ERROR_NONE;
    enum error_code code = head_reader_at(reader, head, &opened, error);
    return code == ERROR_NONE
               ? head_reader_has_samples(opened, series->id, start_ms, end_ms, has_out, error)
               : code;
}

static enum error_code part_has_samples(struct view_reader *reader, size_t part,
                                        const struct view_series *series, int64_t start_ms,
                                        int64_t end_ms, bool *has_out, struct error *error)
{
    struct part_reader *opened;
    const struct view_part *at = &reader->view->parts[part];
    if (at->start_ms > end_ms || at->end_ms < start_ms)
        return ERROR_NONE;
    enum error_code code = part_reader_at(reader, part, &opened, error);
    return code == ERROR_NONE
               ? part_reader_has_samples(opened, series->id, start_ms, end_ms, has_out, error)
               : code;
}

static enum error_code block_has_samples(struct view_reader *reader, struct block_position at,
                                         int64_t start_ms, int64_t end_ms, bool *has_out,
                                         struct error *error)
{
    struct block_reader *opened;
    const struct view_block *block = &reader->view->blocks[at.block];
    if (block->start_ms > end_ms || block->end_ms < start_ms)
        return ERROR_NONE;
    enum error_code code = block_reader_at(reader, at.block, &opened, error);
    return code == ERROR_NONE
               ? block_reader_has_samples(opened, at.position, start_ms, end_ms, has_out, error)
               : code;
}

enum error_code view_reader_has_samples(struct view_reader *reader,
                                        const struct view_series *series, int64_t start_ms,
                                        int64_t end_ms, bool *has_out, struct error *error)
{
    const struct view *view = reader->view;
    enum error_code code = ERROR_NONE;
    start_ms = kept_from(reader, series, start_ms);
    if (start_ms > end_ms) {
        *has_out = false;
        return ERROR_NONE;
    }
    if (series_has_deletions(reader, series, start_ms, end_ms)) {
        struct sample_columns columns;
        code = view_reader_read_latest(reader, series, start_ms, end_ms, &columns, error);
        *has_out = code == ERROR_NONE && columns.count > 0;
        return code;
    }
    *has_out = has_in_whole_piece(reader, series, start_ms, end_ms);
    bool is_registered = series->id != SERIES_ID_NONE;
    for (size_t i = 0; code == ERROR_NONE && !*has_out && is_registered && i < view->head_count;
         i++)
        code = head_has_samples(reader, i, series, start_ms, end_ms, has_out, error);
    for (size_t i = series->block_count; code == ERROR_NONE && !*has_out && i > 0; i--)
        code = block_has_samples(reader, series->blocks[i - 1], start_ms, end_ms, has_out, error);
    for (size_t i = 0; code == ERROR_NONE && !*has_out && is_registered && i < view->part_count;
         i++)
        code = part_has_samples(reader, i, series, start_ms, end_ms, has_out, error);
    return code;
}

/* --- Exemplars ------------------------------------------------------------------------------ */

struct exemplar_list {
    struct arena *arena;
    struct exemplar *items;
    size_t count;
    size_t capacity;
};

static enum error_code append_exemplars(struct exemplar_list *list,
                                        const struct exemplar *exemplars, size_t count,
                                        struct error *error)
{
    if (list->count + count > list->capacity) {
        size_t capacity = (list->count + count) * 2;
        struct exemplar *grown =
            arena_grow(list->arena, list->items, list->count, capacity, sizeof *grown);
        if (grown == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "exemplars");
        list->items = grown;
        list->capacity = capacity;
    }
    for (size_t i = 0; i < count; i++) {
        struct exemplar *copy = &list->items[list->count];
        *copy = exemplars[i];
        copy->labels = labels_copy(list->arena, exemplars[i].labels);
        if (copy->labels.bytes == NULL && exemplars[i].labels.size > 0)
            return error_set(error, ERROR_OUT_OF_MEMORY, "exemplars");
        list->count++;
    }
    return ERROR_NONE;
}

static int compare_exemplars(const void *left, const void *right)
{
    const struct exemplar *a = left, *b = right;
    if (a->timestamp_ms != b->timestamp_ms)
        return a->timestamp_ms < b->timestamp_ms ? -1 : 1;
    return labels_compare(a->labels, b->labels);
}

/* A series read from head and part at the same time would show an exemplar twice. */
static size_t drop_equal(struct exemplar *items, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || compare_exemplars(&items[kept - 1], &items[i]) != 0 ||
            double_to_bits(items[kept - 1].value) != double_to_bits(items[i].value))
            items[kept++] = items[i];
    return kept;
}

/* Exemplars go with their tenant. */
static bool tenant_left(const struct view_reader *reader, const struct view_series *series,
                        uint64_t index)
{
    return tombstones_cover_tenant(reader->view->tombstones, series->tenant, index, UINT64_MAX);
}

static enum error_code collect_exemplars(struct view_reader *reader,
                                         const struct view_series *series, int64_t start_ms,
                                         int64_t end_ms, struct exemplar_list *list,
                                         struct error *error)
{
    const struct exemplar *found;
    size_t count;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < series->block_count; i++) {
        struct block_reader *block;
        if (tenant_left(reader, series, reader->view->blocks[series->blocks[i].block].index))
            continue;
        code = block_reader_at(reader, series->blocks[i].block, &block, error);
        if (code == ERROR_NONE)
            code = block_reader_read_exemplars(block, series->blocks[i].position, start_ms, end_ms,
                                               &found, &count, error);
        if (code == ERROR_NONE)
            code = append_exemplars(list, found, count, error);
    }
    if (series->id == SERIES_ID_NONE)
        return code;
    for (size_t i = 0; code == ERROR_NONE && i < reader->view->part_count; i++) {
        struct part_reader *part;
        if (tenant_left(reader, series, reader->view->parts[i].index))
            continue;
        code = part_reader_at(reader, i, &part, error);
        if (code == ERROR_NONE)
            code = part_reader_read_exemplars(part, series->id, start_ms, end_ms, &found, &count,
                                              error);
        if (code == ERROR_NONE)
            code = append_exemplars(list, found, count, error);
    }
    for (size_t i = 0; code == ERROR_NONE && i < reader->view->head_count; i++) {
        struct exemplar *of_head;
        if (tenant_left(reader, series, reader->view->heads[i].index))
            continue;
        code = head_read_exemplars(reader->view->heads[i].head, series->id, start_ms, end_ms, 0,
                                   list->arena, &of_head, &count, error);
        if (code == ERROR_NONE)
            code = append_exemplars(list, of_head, count, error);
    }
    return code;
}

enum error_code view_reader_exemplars(struct view_reader *reader, const struct view_series *series,
                                      int64_t start_ms, int64_t end_ms, struct arena *arena,
                                      struct exemplar **exemplars_out, size_t *count_out,
                                      struct error *error)
{
    struct exemplar_list list = {.arena = arena};
    start_ms = kept_from(reader, series, start_ms);
    enum error_code code = start_ms > end_ms
                               ? ERROR_NONE
                               : collect_exemplars(reader, series, start_ms, end_ms, &list, error);
    if (code != ERROR_NONE)
        return code;
    if (list.count > 0)
        qsort(list.items, list.count, sizeof *list.items, compare_exemplars);
    *exemplars_out = list.items;
    *count_out = drop_equal(list.items, list.count);
    return ERROR_NONE;
}
