#include "series_samples.h"

#include <assert.h>
#include <stdlib.h>

#include "histogram_pack.h"

/* --- Snapshots -------------------------------------------------------------------------------- */

bool series_snapshot_take(const struct head *head, uint64_t series_id, enum snapshot_depth depth,
                          struct series_snapshot *snapshot_out)
{
    const struct series *series = paged_table_find(&head->series, series_id);
    if (series == NULL)
        return false;
    struct series_state *state = &snapshot_out->state;
    for (;;) {
        series_read_begin(series, state);
        if ((state->flags & SERIES_IN_USE) == 0)
            return false;
        if (depth == SNAPSHOT_ALL || (state->flags & SERIES_HISTOGRAMS) != 0)
            run_copy_bytes(state, snapshot_out->bytes);
        struct series_extra *extra = state->extra;
        static const struct pair_cursor NOTHING;
        snapshot_out->late_floats = extra == NULL ? NOTHING : pair_list_end(&extra->late_floats);
        snapshot_out->late_histograms =
            extra == NULL ? NOTHING : pair_list_end(&extra->late_histograms);
        snapshot_out->starts = extra == NULL ? NOTHING : pair_list_end(&extra->starts);
        snapshot_out->late_starts = extra == NULL ? NOTHING : pair_list_end(&extra->late_starts);
        if (series_read_end(series, state))
            return true;
    }
}

/* --- Lists ------------------------------------------------------------------------------------ */

static bool array_grow(void **array, size_t element_bytes, size_t capacity)
{
    void *grown = realloc(*array, capacity * element_bytes);
    if (grown == NULL)
        return false;
    *array = grown;
    return true;
}

static bool list_reserve(struct sample_list *list, size_t capacity)
{
    if (capacity <= list->capacity)
        return true;
    if (capacity < 2 * list->capacity)
        capacity = 2 * list->capacity;
    if (!array_grow((void **)&list->timestamps_ms, sizeof *list->timestamps_ms, capacity) ||
        !array_grow((void **)&list->values, sizeof *list->values, capacity) ||
        !array_grow((void **)&list->packed, sizeof *list->packed, capacity) ||
        !array_grow((void **)&list->starts_ms, sizeof *list->starts_ms, capacity))
        return false;
    list->capacity = capacity;
    return true;
}

static void list_clear(struct sample_list *list)
{
    free(list->timestamps_ms);
    free(list->values);
    free(list->packed);
    free(list->starts_ms);
}

/* From floats only to floats and histograms. */
static void list_mark_histograms(struct sample_list *list)
{
    if (!list->has_histograms)
        memset(list->packed, 0, list->count * sizeof *list->packed);
    list->has_histograms = true;
}

static struct stored_sample list_sample(const struct sample_list *list, size_t position)
{
    return (struct stored_sample){
        .bits = double_to_bits(list->values[position]),
        .packed = list->has_histograms ? list->packed[position] : NULL,
    };
}

static void list_add_late(struct sample_list *list, const struct late_sample *late)
{
    assert(list->count < list->capacity && list->has_histograms && list->has_starts);
    list->timestamps_ms[list->count] = late->timestamp_ms;
    list->values[list->count] = double_from_bits(late->sample.bits);
    list->packed[list->count] = late->sample.packed;
    list->starts_ms[list->count] = late->start_ms;
    list->count++;
}

/* The part [first, end) of a list as columns, its histograms unpacked. */
static enum error_code list_columns(const struct sample_list *list, size_t first, size_t end,
                                    struct arena *arena, struct sample_columns *columns_out,
                                    struct error *error)
{
    size_t count = end - first;
    const struct histogram **histograms = NULL;
    for (size_t i = first; list->has_histograms && i < end; i++) {
        if (list->packed[i] == NULL)
            continue;
        if (histograms == NULL)
            histograms = arena_array(arena, count, sizeof *histograms);
        const struct histogram *histogram =
            histograms == NULL ? NULL : histogram_unpack(list->packed[i], arena);
        if (histogram == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "head: histograms");
        histograms[i - first] = histogram;
    }
    bool has_starts = false;
    for (size_t i = first; list->has_starts && i < end; i++)
        has_starts |= list->starts_ms[i] != 0;
    *columns_out = (struct sample_columns){
        .count = count,
        .timestamps_ms = list->timestamps_ms + first,
        .values = list->values + first,
        .histograms = histograms,
        .start_timestamps_ms = has_starts ? list->starts_ms + first : NULL,
    };
    return ERROR_NONE;
}

/* --- In-order samples ------------------------------------------------------------------------- */

/* Chunks that may have samples in the range, newest first, into samples->chunks. */
static enum error_code chunks_collect(struct series_samples *samples, const struct chunk *newest,
                                      int64_t start_ms, int64_t end_ms, size_t *count_out,
                                      struct error *error)
{
    size_t count = 0;
    for (const struct chunk *chunk = newest; chunk != NULL && chunk_end_ms(chunk) >= start_ms;
         chunk = chunk->previous) {
        if (chunk_start_ms(chunk) > end_ms)
            continue;
        if (count == samples->chunk_capacity) {
            size_t capacity = count == 0 ? 16 : 2 * count;
            if (!array_grow((void **)&samples->chunks, sizeof *samples->chunks, capacity))
                return error_set(error, ERROR_OUT_OF_MEMORY, "head: read");
            samples->chunk_capacity = capacity;
        }
        samples->chunks[count++] = chunk;
    }
    *count_out = count;
    return ERROR_NONE;
}

/* A stretch of one column whose samples follow each other in `current`. */
struct stretch {
    const struct time_column *column; /* NULL: there is no single one */
    uint32_t first;
    uint32_t count;
};

static void stretch_extend(struct stretch *stretch, const struct time_column *column,
                           uint32_t first, uint32_t count, bool is_first)
{
    if (is_first)
        *stretch = (struct stretch){column, first, count};
    else if (stretch->column == column && stretch->first + stretch->count == first)
        stretch->count += count;
    else
        stretch->column = NULL;
}

static enum error_code chunk_append(struct series_samples *samples, const struct chunk *chunk,
                                    struct error *error)
{
    struct sample_list *list = &samples->current;
    if (chunk->kind != CHUNK_HISTOGRAMS) {
        enum error_code code =
            chunk_decode_floats(chunk, samples->scratch, list->values + list->count, error);
        if (code != ERROR_NONE)
            return code;
        if (list->has_histograms)
            memset(list->packed + list->count, 0, chunk->count * sizeof *list->packed);
    } else {
        list_mark_histograms(list);
        for (uint32_t i = 0; i < chunk->count; i++) {
            list->packed[list->count + i] = chunk_histogram(chunk, i);
            list->values[list->count + i] = 0;
        }
    }
    list->count += chunk->count;
    return ERROR_NONE;
}

static enum error_code run_append(struct series_samples *samples,
                                  const struct series_snapshot *snapshot, struct error *error)
{
    struct sample_list *list = &samples->current;
    const struct series_state *state = &snapshot->state;
    if ((state->flags & SERIES_HISTOGRAMS) != 0) {
        list_mark_histograms(list);
        memcpy(list->packed + list->count, snapshot->bytes, state->used);
        memset(list->values + list->count, 0, state->count * sizeof *list->values);
    } else {
        if (!value_run_decode(state, snapshot->bytes, list->values + list->count))
            return error_set(error, ERROR_CORRUPT, "head: open run");
        if (list->has_histograms)
            memset(list->packed + list->count, 0, state->count * sizeof *list->packed);
    }
    list->count += state->count;
    return ERROR_NONE;
}

/* The first position whose timestamp is >= `timestamp_ms`. */
static size_t lower_bound(const int64_t *timestamps_ms, size_t count, int64_t timestamp_ms)
{
    size_t low = 0;
    while (count > 0) {
        size_t half = count / 2;
        bool right = timestamps_ms[low + half] < timestamp_ms;
        low = right ? low + half + 1 : low;
        count = right ? count - half - 1 : half;
    }
    return low;
}

/* Series of one target come one after another: their timestamps are copied once. */
static void timestamps_copy_stretch(struct series_samples *samples, const struct stretch *stretch)
{
    if (stretch->column != samples->copied_column || stretch->first != samples->copied_first ||
        stretch->count != samples->copied_count)
        time_column_copy(stretch->column, stretch->first, stretch->count,
                         samples->current.timestamps_ms);
    samples->copied_column = stretch->column;
    samples->copied_first = stretch->first;
    samples->copied_count = stretch->count;
}

static void timestamps_copy_pieces(struct series_samples *samples, size_t chunk_count,
                                   const struct series_state *run)
{
    int64_t *target = samples->current.timestamps_ms;
    for (size_t i = chunk_count; i-- > 0; target += samples->chunks[i]->count)
        time_column_copy(samples->chunks[i]->column, samples->chunks[i]->first,
                         samples->chunks[i]->count, target);
    if (run != NULL)
        time_column_copy(run->column, run->first, run->count, target);
    samples->copied_column = NULL;
}

/* Start timestamps are noted where they change. */
static void starts_fill(struct sample_list *list, struct pair_cursor cursor)
{
    struct pair pair;
    if (!pair_list_back(&cursor, &pair))
        return;
    list->has_starts = true;
    bool more = true;
    for (size_t i = list->count; i-- > 0;) {
        while (more && pair.timestamp_ms > list->timestamps_ms[i])
            more = pair_list_back(&cursor, &pair);
        list->starts_ms[i] = more ? (int64_t)pair.payload : 0;
    }
}

static enum error_code read_current(struct series_samples *samples,
                                    const struct series_snapshot *snapshot, int64_t start_ms,
                                    int64_t end_ms, struct error *error)
{
    const struct series_state *state = &snapshot->state;
    struct sample_list *list = &samples->current;
    list->count = 0;
    list->has_histograms = false;
    list->has_starts = false;
    samples->first = samples->end = 0;
    samples->timestamps_id = 0;

    size_t chunk_count = 0;
    enum error_code code =
        chunks_collect(samples, state->chunks, start_ms, end_ms, &chunk_count, error);
    if (code != ERROR_NONE)
        return code;
    bool has_run =
        state->newest_ms >= start_ms && time_column_get(state->column, state->first) <= end_ms;
    size_t total = has_run ? state->count : 0;
    for (size_t i = 0; i < chunk_count; i++)
        total += samples->chunks[i]->count;
    if (total > list->capacity) {
        samples->copied_column = NULL;
        if (!list_reserve(list, total))
            return error_set(error, ERROR_OUT_OF_MEMORY, "head: read");
    }
    if (total == 0)
        return ERROR_NONE;

    struct stretch stretch = {0};
    for (size_t i = chunk_count; i-- > 0 && code == ERROR_NONE;) {
        const struct chunk *chunk = samples->chunks[i];
        stretch_extend(&stretch, chunk->column, chunk->first, chunk->count, list->count == 0);
        code = chunk_append(samples, chunk, error);
    }
    if (has_run && code == ERROR_NONE) {
        stretch_extend(&stretch, state->column, state->first, state->count, list->count == 0);
        code = run_append(samples, snapshot, error);
    }
    if (code != ERROR_NONE)
        return code;
    if (stretch.column != NULL)
        timestamps_copy_stretch(samples, &stretch);
    else
        timestamps_copy_pieces(samples, chunk_count, has_run ? state : NULL);
    starts_fill(list, snapshot->starts);

    samples->first = lower_bound(list->timestamps_ms, list->count, start_ms);
    samples->end = list->count;
    if (end_ms < INT64_MAX)
        samples->end = lower_bound(list->timestamps_ms, list->count, end_ms + 1);
    if (stretch.column != NULL && samples->first < samples->end)
        samples->timestamps_id = (uint64_t)stretch.column->number << 32 |
                                 (uint64_t)(stretch.first + samples->first) << 16 |
                                 (samples->end - samples->first);
    return ERROR_NONE;
}

/* --- Late samples ----------------------------------------------------------------------------- */

static enum error_code late_collect(struct series_samples *samples, struct pair_cursor cursor,
                                    bool are_histograms, int64_t start_ms, int64_t end_ms,
                                    struct error *error)
{
    struct pair pair;
    while (pair_list_back(&cursor, &pair)) {
        if (pair.timestamp_ms < start_ms || pair.timestamp_ms > end_ms)
            continue;
        if (samples->late_count == samples->late_capacity) {
            size_t capacity = samples->late_capacity == 0 ? 64 : 2 * samples->late_capacity;
            if (!array_grow((void **)&samples->late, sizeof *samples->late, capacity))
                return error_set(error, ERROR_OUT_OF_MEMORY, "head: late samples");
            samples->late_capacity = capacity;
        }
        struct late_sample *late = &samples->late[samples->late_count++];
        *late = (struct late_sample){.timestamp_ms = pair.timestamp_ms};
        if (are_histograms)
            late->sample.packed = (const uint8_t *)(uintptr_t)pair.payload;
        else
            late->sample.bits = pair.payload;
    }
    return ERROR_NONE;
}

static int late_compare(const void *left, const void *right)
{
    int64_t left_ms = ((const struct late_sample *)left)->timestamp_ms;
    int64_t right_ms = ((const struct late_sample *)right)->timestamp_ms;
    return (left_ms > right_ms) - (left_ms < right_ms);
}

/* Of each timestamp the winner stays. */
static enum error_code late_unify(struct series_samples *samples, struct error *error)
{
    size_t kept = 0;
    for (size_t i = 0; i < samples->late_count; i++) {
        struct late_sample *candidate = &samples->late[i];
        struct late_sample *last = kept == 0 ? NULL : &samples->late[kept - 1];
        if (last == NULL || last->timestamp_ms != candidate->timestamp_ms) {
            samples->late[kept++] = *candidate;
            continue;
        }
        int order;
        enum error_code code =
            stored_sample_order(samples->arena, candidate->sample, last->sample, &order, error);
        if (code != ERROR_NONE)
            return code;
        if (order > 0)
            *last = *candidate;
    }
    samples->late_count = kept;
    return ERROR_NONE;
}

/* The start timestamps of the samples that won. */
static void late_starts_fill(struct series_samples *samples, struct pair_cursor cursor)
{
    struct pair pair;
    while (pair_list_back(&cursor, &pair)) {
        const struct late_start *start = (const struct late_start *)(uintptr_t)pair.payload;
        struct late_sample wanted = {.timestamp_ms = pair.timestamp_ms};
        struct late_sample *found =
            bsearch(&wanted, samples->late, samples->late_count, sizeof wanted, late_compare);
        if (found == NULL || start->is_histogram != (found->sample.packed != NULL))
            continue;
        uint64_t payload =
            start->is_histogram ? (uintptr_t)found->sample.packed : found->sample.bits;
        if (start->payload == payload)
            found->start_ms = start->start_ms;
    }
}

static enum error_code read_late(struct series_samples *samples,
                                 const struct series_snapshot *snapshot, int64_t start_ms,
                                 int64_t end_ms, struct error *error)
{
    samples->late_count = 0;
    enum error_code code =
        late_collect(samples, snapshot->late_floats, false, start_ms, end_ms, error);
    if (code == ERROR_NONE)
        code = late_collect(samples, snapshot->late_histograms, true, start_ms, end_ms, error);
    if (code != ERROR_NONE || samples->late_count == 0)
        return code;
    qsort(samples->late, samples->late_count, sizeof *samples->late, late_compare);
    code = late_unify(samples, error);
    if (code == ERROR_NONE)
        late_starts_fill(samples, snapshot->late_starts);
    return code;
}

/* --- Together --------------------------------------------------------------------------------- */

enum error_code series_samples_init(struct series_samples *samples, struct error *error)
{
    *samples = (struct series_samples){.scratch = malloc(sizeof *samples->scratch),
                                       .arena = arena_create(0)};
    if (samples->scratch == NULL || samples->arena == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "head: reader");
    return ERROR_NONE;
}

void series_samples_clear(struct series_samples *samples)
{
    free(samples->scratch);
    arena_destroy(samples->arena);
    free(samples->chunks);
    free(samples->late);
    list_clear(&samples->current);
    list_clear(&samples->other);
}

enum error_code series_samples_read(struct series_samples *samples,
                                    const struct series_snapshot *snapshot, int64_t start_ms,
                                    int64_t end_ms, struct error *error)
{
    arena_reset(samples->arena);
    enum error_code code = read_current(samples, snapshot, start_ms, end_ms, error);
    if (code == ERROR_NONE)
        code = read_late(samples, snapshot, start_ms, end_ms, error);
    return code;
}

/* Give `other` room for `count` samples of any kind. */
static enum error_code other_begin(struct series_samples *samples, size_t count,
                                   struct error *error)
{
    samples->other.count = 0;
    samples->other.has_histograms = true;
    samples->other.has_starts = true;
    if (!list_reserve(&samples->other, count))
        return error_set(error, ERROR_OUT_OF_MEMORY, "head: read");
    return ERROR_NONE;
}

static struct late_sample current_sample(const struct series_samples *samples, size_t position)
{
    const struct sample_list *list = &samples->current;
    return (struct late_sample){
        .timestamp_ms = list->timestamps_ms[position],
        .start_ms = list->has_starts ? list->starts_ms[position] : 0,
        .sample = list_sample(list, position),
    };
}

enum error_code series_samples_merged(struct series_samples *samples,
                                      struct sample_columns *columns_out, struct error *error)
{
    if (samples->late_count == 0) {
        enum error_code code = list_columns(&samples->current, samples->first, samples->end,
                                            samples->arena, columns_out, error);
        if (code == ERROR_NONE)
            columns_out->timestamps_id = samples->timestamps_id;
        return code;
    }
    struct sample_list *merged = &samples->other;
    enum error_code code =
        other_begin(samples, samples->end - samples->first + samples->late_count, error);
    size_t i = samples->first;
    size_t j = 0;
    while (code == ERROR_NONE && (i < samples->end || j < samples->late_count)) {
        const int64_t *timestamps_ms = samples->current.timestamps_ms;
        if (j == samples->late_count ||
            (i < samples->end && timestamps_ms[i] < samples->late[j].timestamp_ms)) {
            struct late_sample sample = current_sample(samples, i++);
            list_add_late(merged, &sample);
        } else if (i == samples->end || timestamps_ms[i] > samples->late[j].timestamp_ms) {
            list_add_late(merged, &samples->late[j++]);
        } else {
            int order = 0;
            struct late_sample sample = current_sample(samples, i++);
            code = stored_sample_order(samples->arena, samples->late[j].sample, sample.sample,
                                       &order, error);
            list_add_late(merged, order > 0 ? &samples->late[j] : &sample);
            j++;
        }
    }
    if (code != ERROR_NONE)
        return code;
    return list_columns(merged, 0, merged->count, samples->arena, columns_out, error);
}

enum error_code series_samples_apart(struct series_samples *samples,
                                     struct sample_columns *current_out,
                                     struct sample_columns *late_out, struct error *error)
{
    enum error_code code = list_columns(&samples->current, samples->first, samples->end,
                                        samples->arena, current_out, error);
    if (code == ERROR_NONE)
        code = other_begin(samples, samples->late_count, error);
    if (code != ERROR_NONE)
        return code;
    current_out->timestamps_id = samples->timestamps_id;
    size_t i = samples->first;
    for (size_t j = 0; j < samples->late_count; j++) {
        const struct late_sample *late = &samples->late[j];
        while (i < samples->end && samples->current.timestamps_ms[i] < late->timestamp_ms)
            i++;
        int order = 1;
        if (i < samples->end && samples->current.timestamps_ms[i] == late->timestamp_ms) {
            struct late_sample sample = current_sample(samples, i);
            code = stored_sample_order(samples->arena, late->sample, sample.sample, &order, error);
            if (code != ERROR_NONE)
                return code;
        }
        if (order > 0)
            list_add_late(&samples->other, late);
    }
    return list_columns(&samples->other, 0, samples->other.count, samples->arena, late_out, error);
}
