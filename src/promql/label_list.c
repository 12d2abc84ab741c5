#include "label_list.h"

#include <stdlib.h>
#include <string.h>

static int compare_texts(const void *left, const void *right)
{
    return text_compare(*(const struct text *)left, *(const struct text *)right);
}

bool label_list_make(struct arena *arena, const struct text *names, size_t count,
                     bool with_metric_name, struct label_list *list_out)
{
    struct text *sorted = arena_array(arena, count + 1, sizeof *sorted);
    if (sorted == NULL)
        return false;
    if (count > 0)
        memcpy(sorted, names, count * sizeof *sorted);
    if (with_metric_name)
        sorted[count++] = LABEL_METRIC_NAME;
    qsort(sorted, count, sizeof *sorted, compare_texts);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !text_equal(sorted[kept - 1], sorted[i]))
            sorted[kept++] = sorted[i];
    *list_out = (struct label_list){sorted, kept};
    return true;
}
