#include "evaluation.h"

struct names_stream {
    struct stream stream;
    struct stream *input;
    enum names_drop which;
};

static struct series_identity names_identity(struct stream *self, struct lane *lane, size_t index,
                                             struct arena *arena)
{
    struct names_stream *names = (struct names_stream *)self;
    struct series_identity identity = vector_stream_identity(names->input, lane, index, arena);
    if (names->which == NAMES_DROP_ALL)
        return identity_drop_name(self->evaluation, identity, arena);
    if (!identity.drops_name)
        return identity;
    return (struct series_identity){.labels = labels_without_name(arena, identity.labels)};
}

static enum error_code names_read(struct stream *self, struct lane *lane, size_t index,
                                  struct step_vector *vector_out, struct error *error)
{
    return vector_stream_read(((struct names_stream *)self)->input, lane, index, vector_out, error);
}

static void names_close(struct stream *self)
{
    vector_stream_close(((struct names_stream *)self)->input);
}

static const struct stream_operations NAMES_OPERATIONS = {
    .identity = names_identity,
    .read = names_read,
    .close = names_close,
};

enum error_code vector_stream_drop_names(struct stream *input, enum names_drop which,
                                         struct stream **stream_out, struct error *error)
{
    struct evaluation *evaluation = input->evaluation;
    struct names_stream *names = arena_array(evaluation->arena, 1, sizeof *names);
    if (names == NULL)
        return evaluation_out_of_memory(evaluation, error);
    names->input = input;
    names->which = which;
    enum error_code code = vector_stream_init(&names->stream, evaluation, &NAMES_OPERATIONS,
                                              &input->steps, input->count, error);
    if (code != ERROR_NONE)
        return code;
    names->stream.is_unique_without_name = input->is_unique_without_name;
    if (which == NAMES_DROP_MARKED || !evaluation->delayed_names)
        return vector_stream_merge_equal_labels(&names->stream, stream_out, error);
    *stream_out = &names->stream;
    return ERROR_NONE;
}
