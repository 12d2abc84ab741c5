#include <assert.h>

#include "base/limits.h"
#include "function.h"
#include "model/replacement.h"

/* Values pass; labels are made once, when the stream is built. */
struct label_stream {
    struct stream stream;
    struct stream *input;
    struct arena *arena;
    struct series_identity *identities; /* [count] */
};

static struct series_identity label_identity(struct stream *self, struct lane *lane, size_t index,
                                             struct arena *arena)
{
    (void)lane;
    (void)arena;
    return ((struct label_stream *)self)->identities[index];
}

static enum error_code label_read(struct stream *self, struct lane *lane, size_t index,
                                  struct step_vector *vector_out, struct error *error)
{
    return vector_stream_read(((struct label_stream *)self)->input, lane, index, vector_out, error);
}

static void label_close(struct stream *self)
{
    struct label_stream *stream = (struct label_stream *)self;
    arena_destroy(stream->arena);
    vector_stream_close(stream->input);
}

static const struct stream_operations LABEL_OPERATIONS = {
    .identity = label_identity,
    .read = label_read,
    .close = label_close,
};

/* --- The new value of the label -------------------------------------------------------------- */

struct label_change {
    struct text target;
    /* label_replace */
    struct text source;
    struct replacement *replacement;
    /* label_join */
    struct text separator;
    const struct expression *const *sources; /* [source_count] string literals */
    size_t source_count;
    struct byte_buffer value;
};

/* False: the label stays as it is. */
static bool label_value_make(struct label_change *change, struct labels labels)
{
    byte_buffer_reset(&change->value);
    if (change->replacement != NULL)
        return replacement_apply(change->replacement, labels_get(labels, change->source),
                                 &change->value);
    for (size_t i = 0; i < change->source_count; i++) {
        struct text name = expression_unwrap(change->sources[i])->string.value;
        struct text value = labels_get(labels, name);
        if (i > 0)
            byte_buffer_append(&change->value, change->separator.data, change->separator.size);
        byte_buffer_append(&change->value, value.data, value.size);
    }
    return true;
}

static struct labels labels_with(struct arena *arena, struct labels labels, struct text name,
                                 struct text value)
{
    size_t count = labels_count(labels);
    struct label *array = arena_array(arena, count + 1, sizeof *array);
    if (array == NULL)
        return (struct labels){0};
    array[0] = (struct label){name, value};
    size_t used = 1;
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    while (labels_next(&cursor, &label))
        if (!text_equal(label.name, name))
            array[used++] = label;
    return labels_build(arena, array, used);
}

static enum error_code labels_change(struct label_stream *stream, struct label_change *change,
                                     struct error *error)
{
    struct evaluation *evaluation = stream->input->evaluation;
    bool is_name = text_equal(change->target, LABEL_METRIC_NAME);
    for (size_t i = 0; i < stream->input->count; i++) {
        struct series_identity identity =
            vector_stream_identity(stream->input, &evaluation->lanes[0], i, stream->arena);
        if (label_value_make(change, identity.labels)) {
            if (change->value.failed)
                return evaluation_out_of_memory(evaluation, error);
            struct text value = {(const char *)change->value.bytes, change->value.size};
            identity.labels = labels_with(stream->arena, identity.labels, change->target, value);
            if (identity.labels.size > LABEL_SET_BYTES_MAX)
                return error_set(error, ERROR_LIMIT, "labels of a result are too long");
            /* A name that was just given is not to be dropped. */
            identity.drops_name &= !is_name;
        }
        stream->identities[i] = identity;
        if (i % 1024 == 0) {
            enum error_code code = evaluation_check(evaluation, error);
            if (code != ERROR_NONE)
                return code;
        }
    }
    return ERROR_NONE;
}

/* --- Building -------------------------------------------------------------------------------- */

static bool label_name_is_valid(struct text name)
{
    return name.size > 0 && text_is_utf8(name);
}

static struct text string_argument(const struct call_node *call, size_t index)
{
    const struct expression *argument = expression_unwrap(call->arguments[index]);
    assert(argument->kind == EXPRESSION_STRING);
    return argument->string.value;
}

static enum error_code replace_arguments(const struct call_node *call, struct label_change *change,
                                         struct error *error)
{
    change->target = string_argument(call, 1);
    change->source = string_argument(call, 3);
    struct text expression = string_argument(call, 4);
    enum error_code code =
        replacement_create(expression, string_argument(call, 2), &change->replacement, error);
    if (code == ERROR_INVALID)
        return error_set(error, ERROR_INVALID,
                         "invalid regular expression in label_replace(): %.*s",
                         TEXT_ARGUMENTS(expression));
    if (code == ERROR_NONE && !label_name_is_valid(change->target))
        return error_set(error, ERROR_INVALID,
                         "invalid destination label name in label_replace(): %.*s",
                         TEXT_ARGUMENTS(change->target));
    return code;
}

static enum error_code join_arguments(const struct call_node *call, struct label_change *change,
                                      struct error *error)
{
    change->target = string_argument(call, 1);
    change->separator = string_argument(call, 2);
    change->sources = call->arguments + 3;
    change->source_count = call->argument_count - 3;
    for (size_t i = 3; i < call->argument_count; i++) {
        struct text name = string_argument(call, i);
        if (!label_name_is_valid(name))
            return error_set(error, ERROR_INVALID,
                             "invalid source label name in label_join(): %.*s",
                             TEXT_ARGUMENTS(name));
    }
    if (!label_name_is_valid(change->target))
        return error_set(error, ERROR_INVALID,
                         "invalid destination label name in label_join(): %.*s",
                         TEXT_ARGUMENTS(change->target));
    return ERROR_NONE;
}

enum error_code function_label_stream(struct evaluation *evaluation,
                                      const struct expression *expression,
                                      const struct step_range *steps, struct stream **stream_out,
                                      struct error *error)
{
    const struct call_node *call = &expression->call;
    struct label_stream *stream = arena_array(evaluation->arena, 1, sizeof *stream);
    if (stream == NULL)
        return evaluation_out_of_memory(evaluation, error);
    struct label_change change = {0};
    bool is_open = false;
    enum error_code code = call->function == FUNCTION_LABEL_REPLACE
                               ? replace_arguments(call, &change, error)
                               : join_arguments(call, &change, error);
    if (code != ERROR_NONE)
        goto out;
    code = evaluate_vector(evaluation, call->arguments[0], steps, &stream->input, error);
    if (code != ERROR_NONE)
        goto out;
    stream->arena = evaluation_arena_create(evaluation);
    if (stream->arena != NULL)
        stream->identities =
            arena_array(stream->arena, stream->input->count, sizeof *stream->identities);
    if (stream->identities == NULL)
        code = evaluation_out_of_memory(evaluation, error);
    if (code == ERROR_NONE)
        code = vector_stream_init(&stream->stream, evaluation, &LABEL_OPERATIONS, steps,
                                  stream->input->count, error);
    is_open = code == ERROR_NONE;
    if (code == ERROR_NONE)
        code = labels_change(stream, &change, error);
    if (code == ERROR_NONE)
        code = vector_stream_merge_equal_labels(&stream->stream, stream_out, error);
out:
    if (!is_open)
        arena_destroy(stream->arena);
    replacement_destroy(change.replacement);
    byte_buffer_clear(&change.value);
    return code;
}
