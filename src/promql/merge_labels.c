#include <assert.h>

#include "evaluation.h"
#include "label_table.h"
#include "step_output.h"

/*
 * Dropping the metric's name (or label_replace) can give several series the same labels. They
 * become one, as long as no two have a value at the same step.
 */
struct merge_stream {
    struct stream stream;
    struct stream *input;
    struct arena *arena;
    size_t *first; /* [count]: the first input series of each */
    size_t *next;  /* [input count]: the next with the same labels; SIZE_MAX: none */
};

static struct series_identity merge_identity(struct stream *self, struct lane *lane, size_t index,
                                             struct arena *arena)
{
    struct merge_stream *merge = (struct merge_stream *)self;
    return vector_stream_identity(merge->input, lane, merge->first[index], arena);
}

static enum error_code merge_one(struct merge_stream *merge, struct step_output *output,
                                 struct lane *lane, const struct step_vector *vector,
                                 struct error *error)
{
    size_t count = merge->stream.steps.count;
    for (size_t step = step_next(vector->present, count, 0); step < count;
         step = step_next(vector->present, count, step + 1)) {
        if (step_is_present(output->vector.present, step))
            return error_set(error, ERROR_INVALID,
                             "vector cannot contain metrics with the same labelset");
        step_output_value(output, step, vector->values[step]);
        const struct histogram *histogram = step_histogram(vector, step);
        if (histogram == NULL)
            continue;
        /* The next series of the input overwrites what this one points to. */
        struct histogram *copy = arena_allocate(lane->scratch, sizeof *copy);
        if (copy == NULL || !histogram_copy(lane->scratch, histogram, copy))
            return evaluation_out_of_memory(merge->stream.evaluation, error);
        step_output_histogram(output, count, step, copy);
    }
    return ERROR_NONE;
}

static enum error_code merge_read(struct stream *self, struct lane *lane, size_t index,
                                  struct step_vector *vector_out, struct error *error)
{
    struct merge_stream *merge = (struct merge_stream *)self;
    size_t input = merge->first[index];
    if (merge->next[input] == SIZE_MAX)
        return vector_stream_read(merge->input, lane, input, vector_out, error);
    struct step_output *output = vector_stream_lane_state(self, lane, sizeof *output);
    if (output == NULL || !step_output_begin(output, lane->memory, self->steps.count))
        return evaluation_out_of_memory(self->evaluation, error);
    for (; input != SIZE_MAX; input = merge->next[input]) {
        struct step_vector vector;
        enum error_code code = vector_stream_read(merge->input, lane, input, &vector, error);
        if (code == ERROR_NONE)
            code = merge_one(merge, output, lane, &vector, error);
        if (code != ERROR_NONE)
            return code;
    }
    *vector_out = output->vector;
    return ERROR_NONE;
}

static void merge_close(struct stream *self)
{
    struct merge_stream *merge = (struct merge_stream *)self;
    arena_destroy(merge->arena);
    vector_stream_close(merge->input);
}

static const struct stream_operations MERGE_OPERATIONS = {
    .identity = merge_identity,
    .read = merge_read,
    .close = merge_close,
};

/* Number the labels of the input and chain series with equal ones. */
static enum error_code merge_chain(struct merge_stream *merge, size_t *count_out,
                                   struct error *error)
{
    struct evaluation *evaluation = merge->input->evaluation;
    struct lane *lane = &evaluation->lanes[0];
    size_t input_count = merge->input->count;
    struct arena *work = evaluation_arena_create(evaluation);
    struct arena *scratch = evaluation_arena_create(evaluation);
    merge->first = arena_array(merge->arena, input_count, sizeof *merge->first);
    merge->next = arena_array(merge->arena, input_count, sizeof *merge->next);
    size_t *last = work == NULL ? NULL : arena_array(work, input_count, sizeof *last);
    enum error_code code = ERROR_NONE;
    if (scratch == NULL || merge->first == NULL || merge->next == NULL || last == NULL) {
        code = evaluation_out_of_memory(evaluation, error);
        goto out;
    }
    struct label_table table;
    label_table_init(&table, work);
    for (size_t i = 0; i < input_count; i++) {
        arena_reset(scratch);
        struct series_identity identity = vector_stream_identity(merge->input, lane, i, scratch);
        size_t known = table.count;
        size_t number;
        if (!label_table_add(&table, identity.labels, &number)) {
            code = evaluation_out_of_memory(evaluation, error);
            goto out;
        }
        merge->next[i] = SIZE_MAX;
        if (number == known)
            merge->first[number] = i;
        else
            merge->next[last[number]] = i;
        last[number] = i;
    }
    *count_out = table.count;
out:
    arena_destroy(scratch);
    arena_destroy(work);
    return code;
}

/* Series that meet are an error even when nobody reads them later, as those without a match in a
 * binary operation. */
static enum error_code merge_check(struct merge_stream *merge, struct error *error)
{
    struct evaluation *evaluation = merge->stream.evaluation;
    struct lane *lane = &evaluation->lanes[0];
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < merge->stream.count; i++) {
        struct step_vector vector;
        if (merge->next[merge->first[i]] == SIZE_MAX)
            continue;
        arena_reset(lane->scratch);
        code = evaluation_check(evaluation, error);
        if (code == ERROR_NONE)
            code = vector_stream_read(&merge->stream, lane, i, &vector, error);
    }
    return code;
}

enum error_code vector_stream_merge_equal_labels(struct stream *input, struct stream **stream_out,
                                                 struct error *error)
{
    struct evaluation *evaluation = input->evaluation;
    if (input->count <= 1 || input->is_unique_without_name) {
        *stream_out = input;
        return ERROR_NONE;
    }
    struct merge_stream *merge = arena_array(evaluation->arena, 1, sizeof *merge);
    if (merge == NULL)
        return evaluation_out_of_memory(evaluation, error);
    merge->input = input;
    merge->arena = evaluation_arena_create(evaluation);
    if (merge->arena == NULL)
        return evaluation_out_of_memory(evaluation, error);
    size_t count = 0;
    enum error_code code = merge_chain(merge, &count, error);
    if (code == ERROR_NONE && count == input->count) {
        arena_destroy(merge->arena);
        *stream_out = input;
        return ERROR_NONE;
    }
    if (code == ERROR_NONE)
        code = vector_stream_init(&merge->stream, evaluation, &MERGE_OPERATIONS, &input->steps,
                                  count, error);
    if (code != ERROR_NONE) {
        arena_destroy(merge->arena);
        return code;
    }
    code = merge_check(merge, error); /* the stream is closed with the evaluation */
    if (code == ERROR_NONE)
        *stream_out = &merge->stream;
    return code;
}
