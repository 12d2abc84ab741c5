#include "head_internal.h"

#include <assert.h>

#include "base/limits.h"
#include "histogram_pack.h"
#include "series_finder.h"

/* Codes of so many bytes a value on average hold nothing that the codec would find. */
enum { NOISE_BYTES = 7 };

/* One sample on its way in. */
struct incoming {
    int64_t timestamp_ms;
    int64_t start_ms;
    uint64_t bits;               /* of the sum for a histogram */
    struct stored_sample sample; /* a histogram: packed in head->packing, not yet in the pool */
};

/* One sample of one series: all changes are made to `state` and published at the end. */
struct change {
    struct head *head;
    struct series *series;
    struct series_state state;
    struct run_changes runs;
    enum head_verdict verdict;
    bool is_first; /* of its series */
    bool is_late;  /* went to the late samples */
    struct error *error;
};

/* Not by an initialiser: the arrays are large and need none. */
static void change_begin(struct change *change, struct head *head, struct series *series,
                         struct error *error)
{
    change->head = head;
    change->series = series;
    change->error = error;
    change->verdict = HEAD_APPENDED;
    change->is_first = false;
    change->is_late = false;
    change->runs.retired_count = 0;
    change->runs.taken_count = 0;
}

static enum error_code out_of_memory(struct change *change)
{
    return error_set(change->error, ERROR_OUT_OF_MEMORY, "head: append");
}

/* --- Runs ------------------------------------------------------------------------------------- */

/* Make the open run a chunk. */
static enum error_code run_close(struct change *change)
{
    struct series_state *state = &change->state;
    struct head *head = change->head;
    if (state->count == 0)
        return ERROR_NONE;
    struct chunk header = {.previous = state->chunks,
                           .column = state->column,
                           .first = (uint16_t)state->first,
                           .count = state->count};
    uint8_t bytes[RUN_BYTES_MAX];
    run_copy_bytes(state, bytes);
    const struct chunk *chunk;
    if ((state->flags & SERIES_HISTOGRAMS) != 0) {
        chunk = chunk_create_histograms(&head->pool, header, bytes);
    } else {
        double values[CHUNK_SAMPLES_MAX];
        if (!value_run_decode(state, bytes, values))
            return error_set(change->error, ERROR_CORRUPT, "head: open run");
        bool is_noise = state->used >= state->count * NOISE_BYTES;
        chunk = chunk_create_floats(&head->pool, header, values, is_noise ? NULL : head->scratch);
    }
    if (chunk == NULL)
        return out_of_memory(change);
    state->chunks = chunk;
    state->first += state->count;
    run_reset(state, &change->runs);
    return ERROR_NONE;
}

static enum run_outcome histogram_run_append(struct change *change, const uint8_t *packed,
                                             uint64_t sum_bits)
{
    struct series_state *state = &change->state;
    uint8_t word[sizeof packed];
    memcpy(word, &packed, sizeof packed);
    enum run_outcome outcome =
        run_append_bytes(state, &change->runs, &change->head->pool, word, sizeof word);
    if (outcome != RUN_DONE)
        return outcome;
    state->newest_bits = sum_bits;
    state->count++;
    return RUN_DONE;
}

/* The newest histogram leaves: in new pieces, since readers may be in the old ones. */
static enum run_outcome histogram_run_pop(struct change *change)
{
    struct series_state *state = &change->state;
    uint8_t bytes[RUN_BYTES_MAX];
    run_copy_bytes(state, bytes);
    uint16_t count = state->count - 1;
    size_t size = state->used - sizeof(uint8_t *);
    run_reset(state, &change->runs);
    enum run_outcome outcome = RUN_DONE;
    for (size_t i = 0; i < size && outcome == RUN_DONE; i += sizeof(uint8_t *))
        outcome = run_append_bytes(state, &change->runs, &change->head->pool, bytes + i,
                                   sizeof(uint8_t *));
    state->count = count;
    return outcome;
}

/* The histogram of head->packing, moved to the pool. NULL: out of memory. */
static const uint8_t *packing_keep(struct head *head)
{
    uint8_t *packed = pool_allocate(&head->pool, head->packing.size, 1);
    if (packed != NULL)
        memcpy(packed, head->packing.bytes, head->packing.size);
    return packed;
}

/* Append to the open run, which becomes a chunk if it is full or of the other kind. */
static enum error_code run_append(struct change *change, const struct incoming *incoming)
{
    struct series_state *state = &change->state;
    struct head *head = change->head;
    bool is_histogram = incoming->sample.packed != NULL;
    const uint8_t *packed = is_histogram ? packing_keep(head) : NULL;
    if (is_histogram && packed == NULL)
        return out_of_memory(change);

    enum run_outcome outcome = RUN_FULL;
    bool same_kind = is_histogram == ((state->flags & SERIES_HISTOGRAMS) != 0);
    for (int attempt = 0; attempt < 2 && outcome == RUN_FULL; attempt++) {
        if (attempt > 0 || !same_kind) {
            enum error_code code = run_close(change);
            if (code != ERROR_NONE)
                return code;
        }
        state->flags = (uint8_t)(is_histogram ? state->flags | SERIES_HISTOGRAMS
                                              : state->flags & ~SERIES_HISTOGRAMS);
        outcome = is_histogram
                      ? histogram_run_append(change, packed, incoming->bits)
                      : value_run_append(state, &change->runs, &head->pool, incoming->bits);
        same_kind = true;
    }
    assert(outcome != RUN_FULL); /* an empty run takes a sample */
    return outcome == RUN_DONE ? ERROR_NONE : out_of_memory(change);
}

/* --- Rare things ------------------------------------------------------------------------------ */

static bool extra_make(struct change *change)
{
    if (change->state.extra == NULL)
        change->state.extra = pool_allocate(&change->head->pool, sizeof(struct series_extra), 8);
    return change->state.extra != NULL;
}

static int64_t known_start_ms(const struct series_state *state)
{
    return state->extra == NULL ? 0 : state->extra->start_ms;
}

/* Room to note a start timestamp other than that of the sample before. */
static enum error_code start_reserve(struct change *change, const struct incoming *incoming,
                                     bool *changes_out)
{
    *changes_out = incoming->start_ms != known_start_ms(&change->state);
    if (*changes_out && (!extra_make(change) ||
                         !pair_list_reserve(&change->state.extra->starts, &change->head->pool)))
        return out_of_memory(change);
    return ERROR_NONE;
}

static void start_note(struct change *change, const struct incoming *incoming)
{
    pair_list_append(&change->state.extra->starts,
                     (struct pair){incoming->timestamp_ms, (uint64_t)incoming->start_ms});
    change->state.extra->start_ms = incoming->start_ms;
}

/* --- One sample ------------------------------------------------------------------------------- */

/* Newer than all of its series. */
static enum error_code append_newer(struct change *change, const struct incoming *incoming,
                                    const struct column_place *place)
{
    bool start_changes;
    enum error_code code = start_reserve(change, incoming, &start_changes);
    if (code == ERROR_NONE && !place->follows)
        code = run_close(change);
    if (code != ERROR_NONE)
        return code;
    struct series_state *state = &change->state;
    if (state->count == 0)
        state->first = place->position;
    state->column = place->column;
    state->flags = place->flags;
    code = run_append(change, incoming);
    if (code != ERROR_NONE)
        return code;
    state->newest_ms = incoming->timestamp_ms;
    if (start_changes)
        start_note(change, incoming);
    return ERROR_NONE;
}

static enum error_code compare(struct change *change, struct stored_sample left,
                               struct stored_sample right, int *order_out)
{
    arena_reset(change->head->comparing);
    return stored_sample_order(change->head->comparing, left, right, order_out, change->error);
}

/* At the timestamp of the newest sample. */
static enum error_code append_again(struct change *change, const struct incoming *incoming)
{
    struct series_state *state = &change->state;
    struct stored_sample newest = {.bits = state->newest_bits};
    if ((state->flags & SERIES_HISTOGRAMS) != 0) {
        uint8_t bytes[RUN_BYTES_MAX];
        run_copy_bytes(state, bytes);
        memcpy(&newest.packed, bytes + state->used - sizeof newest.packed, sizeof newest.packed);
    }
    int order;
    enum error_code code = compare(change, incoming->sample, newest, &order);
    if (code != ERROR_NONE)
        return code;
    change->verdict = order == 0 ? HEAD_DUPLICATE : order < 0 ? HEAD_KEPT : HEAD_REPLACED;
    if (order <= 0)
        return ERROR_NONE;

    bool start_changes;
    code = start_reserve(change, incoming, &start_changes);
    if (code != ERROR_NONE)
        return code;
    enum run_outcome outcome = newest.packed != NULL
                                   ? histogram_run_pop(change)
                                   : value_run_pop(state, &change->runs, &change->head->pool);
    if (outcome != RUN_DONE)
        return out_of_memory(change);
    code = run_append(change, incoming);
    if (code == ERROR_NONE && start_changes)
        start_note(change, incoming);
    return code;
}

/* Room for the start timestamp of a late sample, NULL when it has none; false: out of memory. */
static bool late_start_reserve(struct change *change, const struct incoming *incoming,
                               struct late_start **start_out)
{
    struct pool *pool = &change->head->pool;
    *start_out = NULL;
    if (incoming->start_ms == 0)
        return true;
    *start_out = pool_allocate(pool, sizeof **start_out, 8);
    return *start_out != NULL && pair_list_reserve(&change->state.extra->late_starts, pool);
}

/* Older than the newest. */
static enum error_code append_late(struct change *change, const struct incoming *incoming)
{
    struct head *head = change->head;
    struct stored_sample stored;
    bool found;
    enum error_code code = head_find_stored(head, &change->state, incoming->timestamp_ms, &found,
                                            &stored, change->error);
    int order = 1;
    if (code == ERROR_NONE && found)
        code = compare(change, incoming->sample, stored, &order);
    if (code != ERROR_NONE)
        return code;
    change->verdict = order == 0 ? HEAD_DUPLICATE : HEAD_KEPT;
    if (order <= 0)
        return ERROR_NONE;
    change->verdict = HEAD_DUPLICATE;
    if (head_late_has(change->state.extra, incoming->timestamp_ms, incoming->sample))
        return ERROR_NONE;
    change->verdict = found ? HEAD_REPLACED : HEAD_LATE;
    change->is_late = true;

    if (!extra_make(change))
        return out_of_memory(change);
    struct series_extra *extra = change->state.extra;
    bool is_histogram = incoming->sample.packed != NULL;
    struct pair_list *list = is_histogram ? &extra->late_histograms : &extra->late_floats;
    struct late_start *start = NULL;
    if (!pair_list_reserve(list, &head->pool) || !late_start_reserve(change, incoming, &start))
        return out_of_memory(change);
    uint64_t payload = incoming->bits;
    if (is_histogram) {
        const uint8_t *packed = packing_keep(head);
        if (packed == NULL)
            return out_of_memory(change);
        payload = (uintptr_t)packed;
    }
    if (start != NULL) {
        *start = (struct late_start){payload, is_histogram, incoming->start_ms};
        pair_list_append(&extra->late_starts,
                         (struct pair){incoming->timestamp_ms, (uintptr_t)start});
    }
    pair_list_append(list, (struct pair){incoming->timestamp_ms, payload});
    return ERROR_NONE;
}

/* Spread over neighbours and over targets; the same on every replica. */
static uint8_t series_phase(uint64_t series_id)
{
    return (series_id * UINT64_C(0x9e3779b97f4a7c15)) >> 60;
}

/* The first sample of a series in this head. */
static enum error_code append_first(struct change *change, uint64_t series_id,
                                    const struct incoming *incoming)
{
    struct head *head = change->head;
    uint64_t target_id;
    if (series_id >= HEAD_SERIES_ID_LIMIT ||
        !head->options.target_of(head->options.context, series_id, &target_id)) {
        change->verdict = HEAD_UNKNOWN_SERIES;
        return ERROR_NONE;
    }
    if (change->series == NULL) {
        change->series = paged_table_add(&head->series, &head->pool, series_id);
        if (change->series == NULL)
            return out_of_memory(change);
    }
    struct column_place place;
    if (!head_place_first(head, target_id, incoming->timestamp_ms, &place))
        return out_of_memory(change);
    change->verdict = HEAD_APPENDED;
    change->state.phase = series_phase(series_id);
    return append_newer(change, incoming, &place);
}

static enum error_code append_known(struct change *change, const struct incoming *incoming)
{
    if (incoming->timestamp_ms == change->state.newest_ms)
        return append_again(change, incoming);
    if (incoming->timestamp_ms < change->state.newest_ms)
        return append_late(change, incoming);
    struct column_place place;
    if (!head_place(change->head, &change->state, incoming->timestamp_ms, &place))
        return out_of_memory(change);
    change->verdict = HEAD_APPENDED;
    return append_newer(change, incoming, &place);
}

static bool verdict_changes_state(enum head_verdict verdict)
{
    return verdict == HEAD_APPENDED || verdict == HEAD_REPLACED || verdict == HEAD_LATE;
}

static enum error_code append_one(struct change *change, uint64_t series_id,
                                  const struct incoming *incoming)
{
    if (change->series != NULL)
        series_load(change->series, &change->state);
    else
        change->state = (struct series_state){0};
    change->is_first = (change->state.flags & SERIES_IN_USE) == 0;
    enum error_code code = change->is_first ? append_first(change, series_id, incoming)
                                            : append_known(change, incoming);
    if (code != ERROR_NONE) {
        run_changes_abort(&change->runs, &change->head->pool);
        return code;
    }
    if (verdict_changes_state(change->verdict)) {
        series_store(change->series, &change->state);
        run_changes_commit(&change->runs, &change->head->pool);
    }
    return ERROR_NONE;
}

/*
 * What most samples are: a float at the next timestamp of the column, with the series' start
 * timestamp, in few digits. False: nothing changed, it takes the long way.
 */
static bool append_usual(struct series *series, int64_t timestamp_ms, uint64_t bits,
                         int64_t start_ms)
{
    struct series_state state;
    series_load(series, &state);
    if ((state.flags & (SERIES_IN_USE | SERIES_HISTOGRAMS)) != SERIES_IN_USE ||
        timestamp_ms <= state.newest_ms || start_ms != known_start_ms(&state))
        return false;
    uint32_t next = state.first + state.count;
    if (next >= state.column->count || time_column_get(state.column, next) != timestamp_ms ||
        !value_run_extend(&state, bits))
        return false;
    state.newest_ms = timestamp_ms;
    series_store_newest(series, &state);
    return true;
}

/* --- A batch ---------------------------------------------------------------------------------- */

static const struct histogram *batch_histogram(const struct head_batch *batch, size_t i)
{
    return batch->histograms == NULL ? NULL : batch->histograms[i];
}

static int64_t batch_start_ms(const struct head_batch *batch, size_t i)
{
    return batch->start_timestamps_ms == NULL ? 0 : batch->start_timestamps_ms[i];
}

/* Only the writer changes the counters. */
static void counter_add(_Atomic uint64_t *counter, uint64_t count)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + count,
                          memory_order_relaxed);
}

struct batch_statistics {
    uint64_t series_count;
    uint64_t late_count;
    uint64_t histogram_count;
    int64_t start_ms;
    int64_t end_ms;
};

static void statistics_span(struct batch_statistics *statistics, int64_t timestamp_ms)
{
    if (timestamp_ms < statistics->start_ms)
        statistics->start_ms = timestamp_ms;
    if (timestamp_ms > statistics->end_ms)
        statistics->end_ms = timestamp_ms;
}

static void statistics_publish(struct head *head, const struct head_append_result *result,
                               const struct batch_statistics *statistics)
{
    counter_add(&head->series_count, statistics->series_count);
    counter_add(&head->sample_count, result->verdict_counts[HEAD_APPENDED]);
    counter_add(&head->late_count, statistics->late_count);
    counter_add(&head->histogram_count, statistics->histogram_count);
    if (statistics->start_ms < atomic_load_explicit(&head->start_ms, memory_order_relaxed))
        atomic_store_explicit(&head->start_ms, statistics->start_ms, memory_order_relaxed);
    if (statistics->end_ms > atomic_load_explicit(&head->end_ms, memory_order_relaxed))
        atomic_store_explicit(&head->end_ms, statistics->end_ms, memory_order_relaxed);
}

static enum error_code incoming_from(struct head *head, const struct head_batch *batch, size_t i,
                                     struct incoming *incoming_out, struct error *error)
{
    *incoming_out = (struct incoming){.timestamp_ms = batch->timestamps_ms[i],
                                      .start_ms = batch_start_ms(batch, i)};
    const struct histogram *histogram = batch_histogram(batch, i);
    if (histogram == NULL) {
        incoming_out->bits = double_to_bits(batch->values[i]);
        incoming_out->sample.bits = incoming_out->bits;
        return ERROR_NONE;
    }
    byte_buffer_reset(&head->packing);
    histogram_pack(histogram, &head->packing);
    if (head->packing.failed) {
        byte_buffer_clear(&head->packing);
        return error_set(error, ERROR_OUT_OF_MEMORY, "head: histogram");
    }
    incoming_out->bits = double_to_bits(histogram->sum);
    incoming_out->sample.packed = head->packing.bytes;
    return ERROR_NONE;
}

/* Sample i, the long way. */
static enum error_code append_unusual(struct head *head, struct series *series,
                                      const struct head_batch *batch, size_t i,
                                      struct batch_statistics *statistics,
                                      enum head_verdict *verdict_out, struct error *error)
{
    struct incoming incoming;
    struct change change;
    change_begin(&change, head, series, error);
    enum error_code code = incoming_from(head, batch, i, &incoming, error);
    if (code == ERROR_NONE)
        code = append_one(&change, batch->series_ids[i], &incoming);
    if (code != ERROR_NONE)
        return code;
    *verdict_out = change.verdict;
    if (verdict_changes_state(change.verdict)) {
        statistics->series_count += change.is_first;
        statistics->late_count += change.is_late;
        statistics->histogram_count += incoming.sample.packed != NULL;
        statistics_span(statistics, incoming.timestamp_ms);
    }
    return ERROR_NONE;
}

enum error_code head_append(struct head *head, const struct head_batch *batch, uint8_t *verdicts,
                            struct head_append_result *result, struct error *error)
{
    struct series *ahead[PREFETCH_RING] = {NULL};
    struct batch_statistics statistics = {.start_ms = INT64_MAX, .end_ms = INT64_MIN};
    enum error_code code = ERROR_NONE;
    *result = (struct head_append_result){0};
    size_t found = 0;
    struct series_finder finder = {.table = &head->series};
    for (size_t i = 0; i < batch->count; i++) {
        for (; found < batch->count && found < i + PREFETCH_RECORDS; found++) {
            struct series *series = series_finder_find(&finder, batch->series_ids[found]);
            ahead[found % PREFETCH_RING] = series;
            __builtin_prefetch(series, 1);
        }
        /* Its record was asked for some samples ago; now what it points to. */
        const struct series *next = ahead[(i + PREFETCH_BUFFERS) % PREFETCH_RING];
        if (i + PREFETCH_BUFFERS < found && next != NULL) {
            __builtin_prefetch(series_buffer(next), 1);
            __builtin_prefetch(series_column(next));
        }

        struct series *series = ahead[i % PREFETCH_RING];
        if (series == NULL) /* its leaf may have come with a sample before */
            series = paged_table_find(&head->series, batch->series_ids[i]);
        enum head_verdict verdict = HEAD_APPENDED;
        if (series != NULL && batch_histogram(batch, i) == NULL &&
            append_usual(series, batch->timestamps_ms[i], double_to_bits(batch->values[i]),
                         batch_start_ms(batch, i)))
            statistics_span(&statistics, batch->timestamps_ms[i]);
        else
            code = append_unusual(head, series, batch, i, &statistics, &verdict, error);
        if (code != ERROR_NONE)
            break;
        result->done++;
        result->verdict_counts[verdict]++;
        if (verdicts != NULL)
            verdicts[i] = (uint8_t)verdict;
    }
    statistics_publish(head, result, &statistics);
    return code;
}
