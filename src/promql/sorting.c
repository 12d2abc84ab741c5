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
        .account = &evaluation->memory.account,
    };
    switch (parallel_sort(&sort, items, count, item_bytes)) {
    case SORT_DONE:
        return ERROR_NONE;
    case SORT_OUT_OF_MEMORY:
        return evaluation_out_of_memory(evaluation, error);
    default:
        return evaluation_check(evaluation, error);
    }
}
