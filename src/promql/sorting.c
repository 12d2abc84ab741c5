#include "evaluation.h"
#include "platform/parallel_sort.h"

static bool query_is_over(void *context)
{
    struct error error;
    return evaluation_check(context, &error) != ERROR_NONE;
}

enum error_code evaluation_sort(struct evaluation *evaluation, void *items, size_t count,
                                size_t item_bytes, item_compare *compare, void *context,
                                struct error *error)
{
    struct parallel_sort sort = {
        .pool = evaluation->options.pool,
        .compare = compare,
        .compare_context = context,
        .is_over = query_is_over,
        .is_over_context = evaluation,
    };
    struct arena *arena = NULL;
    void *spare = NULL;
    if (count > PARALLEL_SORT_RUN) {
        arena = evaluation_arena_create(evaluation);
        spare = arena == NULL ? NULL : arena_array(arena, count, item_bytes);
        if (spare == NULL) {
            arena_destroy(arena);
            return evaluation_out_of_memory(evaluation, error);
        }
    }
    bool sorted = parallel_sort(&sort, items, spare, count, item_bytes);
    arena_destroy(arena);
    return sorted ? ERROR_NONE : evaluation_check(evaluation, error);
}
