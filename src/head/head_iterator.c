#include "head/head.h"

#include <stdlib.h>

#include "series_samples.h"

struct head_iterator {
    struct head *head;
    struct series_samples samples;
    struct arena *exemplars;
    struct series_place {
        uint64_t target_id;
        uint64_t series_id;
    } * places; /* [count], sorted */
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

static int place_compare(const void *left, const void *right)
{
    const struct series_place *a = left;
    const struct series_place *b = right;
    if (a->target_id != b->target_id)
        return a->target_id < b->target_id ? -1 : 1;
    return (a->series_id > b->series_id) - (a->series_id < b->series_id);
}

static bool places_are_sorted(const struct head_iterator *iterator)
{
    for (size_t i = 1; i < iterator->count; i++)
        if (place_compare(&iterator->places[i - 1], &iterator->places[i]) > 0)
            return false;
    return true;
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
    if (!places_are_sorted(iterator))
        qsort(iterator->places, iterator->count, sizeof *iterator->places, place_compare);
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
