#include "head/head.h"

#include <stdlib.h>

#include "series_samples.h"

enum {
    /* Of a target's id, for each pass of the sort: its counts stay in the first level cache. */
    DIGIT_BITS = 11,
    DIGIT_VALUES = 1 << DIGIT_BITS,
};

struct head_iterator {
    struct head *head;
    struct series_samples samples;
    struct arena *exemplars;
    struct series_place {
        uint64_t target_id;
        uint64_t series_id;
    } * places; /* [count], sorted by target, then by series */
    size_t count;
    size_t next;
};

/* --- The order of the series ------------------------------------------------------------------ */

/* Leaves come by series id. */
static void places_add(void *context, uint64_t first_key, void *elements)
{
    struct head_iterator *iterator = context;
    const struct series *series = elements;
    for (uint64_t i = 0; i < PAGED_LEAF_ELEMENTS; i++) {
        struct series_state state;
        series_load(&series[i], &state);
        if ((state.flags & SERIES_IN_USE) != 0)
            iterator->places[iterator->count++] =
                (struct series_place){state.column->target_id, first_key + i};
    }
}

static bool places_are_sorted(const struct head_iterator *iterator)
{
    for (size_t i = 1; i < iterator->count; i++)
        if (iterator->places[i - 1].target_id > iterator->places[i].target_id)
            return false;
    return true;
}

/* One pass of a radix sort: stable, so that passes from the lowest digit on sort by the whole id.
 */
static void sort_by_digit(const struct series_place *from, struct series_place *to, size_t count,
                          uint64_t first_target, unsigned shift)
{
    size_t starts[DIGIT_VALUES] = {0};
    for (size_t i = 0; i < count; i++)
        starts[((from[i].target_id - first_target) >> shift) % DIGIT_VALUES]++;
    size_t next = 0;
    for (size_t digit = 0; digit < DIGIT_VALUES; digit++) {
        size_t here = starts[digit];
        starts[digit] = next;
        next += here;
    }
    for (size_t i = 0; i < count; i++)
        to[starts[((from[i].target_id - first_target) >> shift) % DIGIT_VALUES]++] = from[i];
}

/* By target: within one the ids ascend already, and passes keep that. */
static enum error_code places_sort(struct head_iterator *iterator, struct error *error)
{
    if (places_are_sorted(iterator))
        return ERROR_NONE;
    struct series_place *spare = malloc(iterator->count * sizeof *spare);
    if (spare == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "head: iterator");
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;
    for (size_t i = 0; i < iterator->count; i++) {
        uint64_t target = iterator->places[i].target_id;
        first = target < first ? target : first;
        last = target > last ? target : last;
    }
    for (unsigned shift = 0; shift < 64 && (last - first) >> shift != 0; shift += DIGIT_BITS) {
        sort_by_digit(iterator->places, spare, iterator->count, first, shift);
        struct series_place *sorted = spare;
        spare = iterator->places;
        iterator->places = sorted;
    }
    free(spare);
    return ERROR_NONE;
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code head_iterator_create(struct head *head, struct head_iterator **iterator_out,
                                     struct error *error)
{
    struct head_iterator *iterator = calloc(1, sizeof *iterator);
    if (iterator == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "head: iterator");
    iterator->head = head_ref(head);
    enum error_code code = series_samples_init(&iterator->samples, error);
    size_t count = atomic_load_explicit(&head->series_count, memory_order_relaxed);
    iterator->exemplars = arena_create(0);
    iterator->places = malloc((count == 0 ? 1 : count) * sizeof *iterator->places);
    if (code == ERROR_NONE && (iterator->exemplars == NULL || iterator->places == NULL))
        code = error_set(error, ERROR_OUT_OF_MEMORY, "head: iterator");
    if (code != ERROR_NONE) {
        head_iterator_destroy(iterator);
        return code;
    }
    paged_table_visit(&head->series, places_add, iterator);
    code = places_sort(iterator, error);
    if (code != ERROR_NONE) {
        head_iterator_destroy(iterator);
        return code;
    }
    *iterator_out = iterator;
    return ERROR_NONE;
}

void head_iterator_destroy(struct head_iterator *iterator)
{
    if (iterator == NULL)
        return;
    series_samples_clear(&iterator->samples);
    arena_destroy(iterator->exemplars);
    free(iterator->places);
    head_unref(iterator->head);
    free(iterator);
}

enum error_code head_iterator_next(struct head_iterator *iterator,
                                   struct head_series_content *content_out, bool *more_out,
                                   struct error *error)
{
    if (iterator->next == iterator->count) {
        *more_out = false;
        return ERROR_NONE;
    }
    const struct series_place *place = &iterator->places[iterator->next];
    struct head_series_content content = {.series_id = place->series_id,
                                          .target_id = place->target_id};
    struct series_snapshot snapshot;
    if (!series_snapshot_take(iterator->head, place->series_id, SNAPSHOT_ALL, &snapshot))
        return error_set(error, ERROR_CORRUPT, "head: series %llu",
                         (unsigned long long)place->series_id);
    enum error_code code =
        series_samples_read(&iterator->samples, &snapshot, INT64_MIN, INT64_MAX, error);
    if (code == ERROR_NONE)
        code = series_samples_apart(&iterator->samples, &content.current, &content.late, error);
    struct exemplar *exemplars = NULL;
    if (code == ERROR_NONE) {
        arena_reset(iterator->exemplars);
        code = head_read_exemplars(iterator->head, place->series_id, INT64_MIN, INT64_MAX, 0,
                                   iterator->exemplars, &exemplars, &content.exemplar_count, error);
    }
    if (code != ERROR_NONE)
        return code;
    content.exemplars = exemplars;
    iterator->next++;
    *content_out = content;
    *more_out = true;
    return ERROR_NONE;
}
