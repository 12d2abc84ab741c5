#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "function.h"
#include "store.h"

/* The series of a stored stream in another order. */
struct sorted_stream {
    struct stream stream;
    struct stream *input;
    size_t *order; /* [count]: the input's index */
};

static struct series_identity sorted_identity(struct stream *self, struct lane *lane, size_t index,
                                              struct arena *arena)
{
    struct sorted_stream *sorted = (struct sorted_stream *)self;
    return vector_stream_identity(sorted->input, lane, sorted->order[index], arena);
}

static enum error_code sorted_read(struct stream *self, struct lane *lane, size_t index,
                                   struct step_vector *vector_out, struct error *error)
{
    struct sorted_stream *sorted = (struct sorted_stream *)self;
    return vector_stream_read(sorted->input, lane, sorted->order[index], vector_out, error);
}

static void sorted_close(struct stream *self)
{
    vector_stream_close(((struct sorted_stream *)self)->input);
}

static const struct stream_operations SORTED_OPERATIONS = {
    .identity = sorted_identity,
    .read = sorted_read,
    .close = sorted_close,
};

/* --- Orders ---------------------------------------------------------------------------------- */

struct sort_key {
    enum function_id function;
    const struct call_node *call;
};

/* Digits count as numbers: "a2" before "a10". */
static int compare_natural(struct text left, struct text right)
{
    size_t i = 0;
    size_t j = 0;
    while (i < left.size && j < right.size) {
        bool left_digit = left.data[i] >= '0' && left.data[i] <= '9';
        bool right_digit = right.data[j] >= '0' && right.data[j] <= '9';
        if (!left_digit || !right_digit) {
            if (left.data[i] != right.data[j])
                return (unsigned char)left.data[i] < (unsigned char)right.data[j] ? -1 : 1;
            i++;
            j++;
            continue;
        }
        while (i < left.size && left.data[i] == '0')
            i++;
        while (j < right.size && right.data[j] == '0')
            j++;
        size_t left_start = i;
        size_t right_start = j;
        while (i < left.size && left.data[i] >= '0' && left.data[i] <= '9')
            i++;
        while (j < right.size && right.data[j] >= '0' && right.data[j] <= '9')
            j++;
        if (i - left_start != j - right_start)
            return i - left_start < j - right_start ? -1 : 1;
        int order = memcmp(left.data + left_start, right.data + right_start, i - left_start);
        if (order != 0)
            return order;
    }
    if (left.size - i != right.size - j)
        return left.size - i < right.size - j ? -1 : 1;
    return text_compare(left, right);
}

static int compare_by_labels(const struct sort_key *key, struct labels left, struct labels right)
{
    for (size_t i = 1; i < key->call->argument_count; i++) {
        struct text name = expression_unwrap(key->call->arguments[i])->string.value;
        struct text left_value = labels_get(left, name);
        struct text right_value = labels_get(right, name);
        if (!text_equal(left_value, right_value))
            return compare_natural(left_value, right_value);
    }
    return labels_compare(left, right);
}

/* NaN stands at the end whichever the direction. */
static int compare_by_values(bool is_descending, double left, double right)
{
    if (isnan(left) || isnan(right))
        return (int)isnan(left) - (int)isnan(right);
    int order = left < right ? -1 : left > right;
    return is_descending ? -order : order;
}

/* A series that is put in order. */
struct sorted_item {
    size_t index;
    struct labels labels;
    double value;
};

static int compare_items(const void *left_item, const void *right_item, void *context)
{
    const struct sort_key *key = context;
    const struct sorted_item *left = left_item;
    const struct sorted_item *right = right_item;
    bool by_labels =
        key->function == FUNCTION_SORT_BY_LABEL || key->function == FUNCTION_SORT_BY_LABEL_DESC;
    int order = by_labels ? 0
                          : compare_by_values(key->function == FUNCTION_SORT_DESC, left->value,
                                              right->value);
    if (order != 0)
        return order;
    if (!by_labels)
        return labels_compare(left->labels, right->labels);
    order = compare_by_labels(key, left->labels, right->labels);
    return key->function == FUNCTION_SORT_BY_LABEL_DESC ? -order : order;
}

/* --- Building -------------------------------------------------------------------------------- */

/* sort and sort_desc leave histograms out. */
static size_t series_keep(struct stream *input, bool drops_histograms, struct sorted_item *items)
{
    size_t count = 0;
    for (size_t i = 0; i < input->count; i++) {
        struct series_identity identity;
        struct step_vector vector;
        stored_series_get(input, i, &identity, &vector);
        if (drops_histograms && step_histogram(&vector, 0) != NULL)
            continue;
        items[count++] = (struct sorted_item){i, identity.labels, vector.values[0]};
    }
    return count;
}

/* The series of `stored` in order: order_out[*count_out]. */
static enum error_code series_order(struct evaluation *evaluation, struct stream *stored,
                                    const struct call_node *call, size_t *order_out,
                                    size_t *count_out, struct error *error)
{
    struct arena *arena = evaluation_arena_create(evaluation);
    struct sorted_item *items =
        arena == NULL ? NULL : arena_array(arena, stored->count, sizeof *items);
    if (items == NULL) {
        arena_destroy(arena);
        return evaluation_out_of_memory(evaluation, error);
    }
    bool by_value = call->function == FUNCTION_SORT || call->function == FUNCTION_SORT_DESC;
    size_t count = series_keep(stored, by_value, items);
    struct sort_key key = {call->function, call};
    enum error_code code =
        evaluation_sort(evaluation, items, count, sizeof *items, compare_items, &key, error);
    for (size_t i = 0; i < count; i++)
        order_out[i] = items[i].index;
    arena_destroy(arena);
    *count_out = count;
    return code;
}

enum error_code function_sort_stream(struct evaluation *evaluation,
                                     const struct expression *expression,
                                     const struct step_range *steps, struct stream **stream_out,
                                     struct error *error)
{
    const struct call_node *call = &expression->call;
    struct stream *input;
    enum error_code code = evaluate_vector(evaluation, call->arguments[0], steps, &input, error);
    if (code != ERROR_NONE)
        return code;
    if (steps->count != 1) {
        /* The series of a range are sorted by their labels in any case. */
        evaluation_annotate(evaluation, PROMQL_WARNING, expression->position,
                            "sort is ineffective for range queries since results are always "
                            "ordered by labels");
        *stream_out = input;
        return ERROR_NONE;
    }
    struct stream *stored;
    code = vector_stream_store(input, &stored, error);
    if (code != ERROR_NONE)
        return code;
    struct sorted_stream *sorted = arena_array(evaluation->arena, 1, sizeof *sorted);
    size_t *order = arena_array(evaluation->arena, stored->count, sizeof *order);
    if (sorted == NULL || order == NULL)
        return evaluation_out_of_memory(evaluation, error);
    size_t count = 0;
    code = series_order(evaluation, stored, call, order, &count, error);
    if (code != ERROR_NONE)
        return code;
    sorted->input = stored;
    sorted->order = order;
    code = vector_stream_init(&sorted->stream, evaluation, &SORTED_OPERATIONS, steps, count, error);
    if (code != ERROR_NONE)
        return code;
    sorted->stream.is_unique_without_name = stored->is_unique_without_name;
    *stream_out = &sorted->stream;
    return ERROR_NONE;
}
