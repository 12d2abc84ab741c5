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
    struct stream *input;
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

static int compare_series(const void *left_index, const void *right_index, void *context)
{
    const struct sort_key *key = context;
    struct series_identity left;
    struct series_identity right;
    struct step_vector left_vector;
    struct step_vector right_vector;
    stored_series_get(key->input, *(const size_t *)left_index, &left, &left_vector);
    stored_series_get(key->input, *(const size_t *)right_index, &right, &right_vector);
    int order;
    switch (key->function) {
    case FUNCTION_SORT_BY_LABEL:
        return compare_by_labels(key, left.labels, right.labels);
    case FUNCTION_SORT_BY_LABEL_DESC:
        return -compare_by_labels(key, left.labels, right.labels);
    default:
        order = compare_by_values(key->function == FUNCTION_SORT_DESC, left_vector.values[0],
                                  right_vector.values[0]);
        return order != 0 ? order : labels_compare(left.labels, right.labels);
    }
}

/* --- Building -------------------------------------------------------------------------------- */

/* sort and sort_desc leave histograms out. */
static size_t series_keep(struct stream *input, bool drops_histograms, size_t *order)
{
    size_t count = 0;
    for (size_t i = 0; i < input->count; i++) {
        struct series_identity identity;
        struct step_vector vector;
        stored_series_get(input, i, &identity, &vector);
        if (drops_histograms && step_histogram(&vector, 0) != NULL)
            continue;
        order[count++] = i;
    }
    return count;
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
    bool by_value = call->function == FUNCTION_SORT || call->function == FUNCTION_SORT_DESC;
    size_t count = series_keep(stored, by_value, order);
    struct sort_key key = {call->function, stored, call};
    qsort_r(order, count, sizeof *order, compare_series, &key);
    sorted->input = stored;
    sorted->order = order;
    code = vector_stream_init(&sorted->stream, evaluation, &SORTED_OPERATIONS, steps, count, error);
    if (code != ERROR_NONE)
        return code;
    sorted->stream.is_unique_without_name = stored->is_unique_without_name;
    *stream_out = &sorted->stream;
    return ERROR_NONE;
}
