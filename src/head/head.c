#include "head_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "series_finder.h"

/* --- Lifecycle -------------------------------------------------------------------------------- */

static void head_destroy(struct head *head)
{
    pool_clear(&head->pool);
    head_spares_unref(head->options.spares);
    arena_destroy(head->comparing);
    byte_buffer_clear(&head->packing);
    free(head->scratch);
    free(head);
}

enum error_code head_create(const struct head_options *options, struct head **head_out,
                            struct error *error)
{
    assert(options->target_of != NULL);
    struct head *head = calloc(1, sizeof *head);
    if (head == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "head");
    head->options = *options;
    head_spares_ref(options->spares);
    atomic_init(&head->references, 1);
    atomic_init(&head->start_ms, INT64_MAX);
    atomic_init(&head->end_ms, INT64_MIN);
    pool_init(&head->pool, options->memory_limit_bytes, options->spares);
    paged_table_init(&head->series, sizeof(struct series), sizeof(struct series));
    paged_table_init(&head->columns, sizeof(struct time_column), 8);
    exemplar_ring_init(&head->exemplars, options->exemplars_max);
    head->scratch = malloc(sizeof *head->scratch);
    head->comparing = arena_create(0);
    if (head->scratch == NULL || head->comparing == NULL) {
        head_destroy(head);
        return error_set(error, ERROR_OUT_OF_MEMORY, "head");
    }
    *head_out = head;
    return ERROR_NONE;
}

struct head *head_ref(struct head *head)
{
    atomic_fetch_add_explicit(&head->references, 1, memory_order_relaxed);
    return head;
}

void head_unref(struct head *head)
{
    if (head != NULL && atomic_fetch_sub_explicit(&head->references, 1, memory_order_acq_rel) == 1)
        head_destroy(head);
}

/* --- Looking ---------------------------------------------------------------------------------- */

bool head_has_series(const struct head *head, uint64_t series_id)
{
    const struct series *series = paged_table_find(&head->series, series_id);
    if (series == NULL)
        return false;
    struct series_state state;
    series_read_begin(series, &state);
    return (state.flags & SERIES_IN_USE) != 0;
}

bool head_newest_sample(const struct head *head, uint64_t series_id, struct head_newest *newest_out)
{
    const struct series *series = paged_table_find(&head->series, series_id);
    if (series == NULL)
        return false;
    struct series_state state;
    series_load(series, &state);
    if ((state.flags & SERIES_IN_USE) == 0)
        return false;
    *newest_out = (struct head_newest){.timestamp_ms = state.newest_ms,
                                       .bits = state.newest_bits,
                                       .is_histogram = (state.flags & SERIES_HISTOGRAMS) != 0};
    return true;
}

void head_newest_times(const struct head *head, const uint64_t *series_ids, size_t count,
                       int64_t *times_out)
{
    const struct series *ahead[PREFETCH_RING];
    struct series_finder finder = {.table = &head->series};
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        for (; found < count && found < i + PREFETCH_RECORDS; found++) {
            ahead[found % PREFETCH_RING] = series_finder_find(&finder, series_ids[found]);
            __builtin_prefetch(ahead[found % PREFETCH_RING]);
        }
        const struct series *series = ahead[i % PREFETCH_RING];
        times_out[i] = series == NULL ? INT64_MIN : series_newest_ms(series);
    }
}

void head_read_statistics(const struct head *head, struct head_statistics *statistics_out)
{
    *statistics_out = (struct head_statistics){
        .series_count = atomic_load_explicit(&head->series_count, memory_order_relaxed),
        .sample_count = atomic_load_explicit(&head->sample_count, memory_order_relaxed),
        .late_count = atomic_load_explicit(&head->late_count, memory_order_relaxed),
        .histogram_count = atomic_load_explicit(&head->histogram_count, memory_order_relaxed),
        .start_ms = atomic_load_explicit(&head->start_ms, memory_order_relaxed),
        .end_ms = atomic_load_explicit(&head->end_ms, memory_order_relaxed),
        .size_bytes = pool_size_bytes(&head->pool) + sizeof *head + sizeof *head->scratch,
        .used_bytes = pool_used_bytes(&head->pool),
    };
}

/* --- Exemplars -------------------------------------------------------------------------------- */

static bool exemplar_equal(const struct exemplar *left, const struct exemplar *right)
{
    return left->timestamp_ms == right->timestamp_ms &&
           double_to_bits(left->value) == double_to_bits(right->value) &&
           labels_equal(left->labels, right->labels);
}

/* What the newest exemplar of the series says about `exemplar`. */
static enum error_code exemplar_judge(struct head *head, uint64_t newest,
                                      const struct exemplar *exemplar,
                                      enum head_exemplar_verdict *verdict_out, struct error *error)
{
    struct exemplar before;
    uint64_t number_before;
    arena_reset(head->comparing);
    *verdict_out = HEAD_EXEMPLAR_ADDED;
    switch (
        exemplar_ring_read(&head->exemplars, newest, head->comparing, &before, &number_before)) {
    case EXEMPLAR_OUT_OF_MEMORY:
        return error_set(error, ERROR_OUT_OF_MEMORY, "head: exemplar");
    case EXEMPLAR_GONE:
        break;
    case EXEMPLAR_READ:
        if (exemplar_equal(&before, exemplar))
            *verdict_out = HEAD_EXEMPLAR_DUPLICATE;
        else if (exemplar->timestamp_ms < before.timestamp_ms)
            *verdict_out = HEAD_EXEMPLAR_OUT_OF_ORDER;
        break;
    }
    return ERROR_NONE;
}

enum error_code head_exemplar_append(struct head *head, uint64_t series_id,
                                     const struct exemplar *exemplar,
                                     enum head_exemplar_verdict *verdict_out, struct error *error)
{
    if (head->exemplars.capacity == 0) {
        *verdict_out = HEAD_EXEMPLAR_DISABLED;
        return ERROR_NONE;
    }
    struct series *series = paged_table_find(&head->series, series_id);
    struct series_state state = {0};
    if (series != NULL)
        series_load(series, &state);
    if ((state.flags & SERIES_IN_USE) == 0) {
        *verdict_out = HEAD_EXEMPLAR_UNKNOWN_SERIES;
        return ERROR_NONE;
    }
    if (state.extra == NULL) {
        state.extra = pool_allocate(&head->pool, sizeof *state.extra, 8);
        if (state.extra == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "head: exemplar");
        series_store(series, &state);
    }
    uint64_t newest = atomic_load_explicit(&state.extra->newest_exemplar, memory_order_relaxed);
    enum head_exemplar_verdict verdict;
    enum error_code code = exemplar_judge(head, newest, exemplar, &verdict, error);
    if (code != ERROR_NONE)
        return code;
    if (verdict == HEAD_EXEMPLAR_ADDED) {
        uint64_t number = exemplar_ring_add(&head->exemplars, &head->pool, exemplar, newest);
        if (number == 0)
            return error_set(error, ERROR_OUT_OF_MEMORY, "head: exemplar");
        atomic_store_explicit(&state.extra->newest_exemplar, number, memory_order_release);
    }
    *verdict_out = verdict;
    return ERROR_NONE;
}

/* Walk back through the series' exemplars, keep those in the range, then turn them round. */
enum error_code head_read_exemplars(const struct head *head, uint64_t series_id, int64_t start_ms,
                                    int64_t end_ms, size_t exemplars_max, struct arena *arena,
                                    struct exemplar **exemplars_out, size_t *count_out,
                                    struct error *error)
{
    struct series_state state = {0};
    const struct series *series = paged_table_find(&head->series, series_id);
    if (series != NULL)
        series_read_begin(series, &state);
    uint64_t number = 0;
    if (state.extra != NULL)
        number = atomic_load_explicit(&state.extra->newest_exemplar, memory_order_acquire);
    struct exemplar *exemplars = NULL;
    size_t count = 0;
    size_t capacity = 0;
    while (number != 0 && (exemplars_max == 0 || count < exemplars_max)) {
        struct exemplar exemplar;
        enum exemplar_read outcome =
            exemplar_ring_read(&head->exemplars, number, arena, &exemplar, &number);
        if (outcome == EXEMPLAR_GONE ||
            (outcome == EXEMPLAR_READ && exemplar.timestamp_ms < start_ms))
            break;
        if (outcome == EXEMPLAR_READ && count == capacity) {
            size_t grown = capacity == 0 ? 4 : 2 * capacity;
            exemplars = arena_grow(arena, exemplars, capacity, grown, sizeof *exemplars);
            capacity = grown;
        }
        if (outcome == EXEMPLAR_OUT_OF_MEMORY || exemplars == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "head: exemplars");
        if (exemplar.timestamp_ms <= end_ms)
            exemplars[count++] = exemplar;
    }
    for (size_t i = 0; i < count / 2; i++) {
        struct exemplar other = exemplars[i];
        exemplars[i] = exemplars[count - 1 - i];
        exemplars[count - 1 - i] = other;
    }
    *exemplars_out = exemplars;
    *count_out = count;
    return ERROR_NONE;
}
