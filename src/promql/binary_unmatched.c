/*
 * Series that meet nobody are not part of the answer, but what is to be said of them is: where an
 * operand is more than a selector they are read all the same, as Prometheus reads them.
 */
#include "binary_match.h"

enum { PART_SERIES = 64 };

struct unmatched {
    struct stream *stream;
    uint32_t *series; /* [count] */
    size_t count;
};

/* Series of `side` whose group is empty on the other. */
static bool unmatched_find(const struct match_side *side, const struct match_side *other,
                           struct arena *arena, struct unmatched *out)
{
    *out = (struct unmatched){.stream = side->stream};
    for (size_t i = 0; i < side->stream->count; i++)
        out->count += other->first[side->group_of[i]] == NO_SERIES;
    out->series = arena_array(arena, out->count, sizeof *out->series);
    size_t count = 0;
    for (uint32_t i = 0; out->series != NULL && i < side->stream->count; i++)
        if (other->first[side->group_of[i]] == NO_SERIES)
            out->series[count++] = i;
    return out->series != NULL;
}

static enum error_code unmatched_part(void *context, struct lane *lane, size_t part,
                                      struct error *error)
{
    const struct unmatched *unmatched = context;
    size_t end = (part + 1) * PART_SERIES;
    if (end > unmatched->count)
        end = unmatched->count;
    enum error_code code = evaluation_check(unmatched->stream->evaluation, error);
    for (size_t i = part * PART_SERIES; code == ERROR_NONE && i < end; i++) {
        struct step_vector vector;
        arena_reset(lane->scratch);
        code = vector_stream_read(unmatched->stream, lane, unmatched->series[i], &vector, error);
    }
    return code;
}

static enum error_code side_read(struct match_stream *match, const struct expression *operand,
                                 const struct match_side *side, const struct match_side *other,
                                 bool has_fill, struct error *error)
{
    struct evaluation *evaluation = match->stream.evaluation;
    if (has_fill || side->stream->is_stored ||
        expression_unwrap(operand)->kind == EXPRESSION_SELECTOR)
        return ERROR_NONE; /* read before, or later, or with nothing to say */
    struct unmatched unmatched;
    if (!unmatched_find(side, other, match->arena, &unmatched))
        return evaluation_out_of_memory(evaluation, error);
    struct partition partition = {
        .size = PART_SERIES,
        .count = (unmatched.count + PART_SERIES - 1) / PART_SERIES,
        .lanes = vector_stream_partition(side->stream).lanes,
    };
    return evaluation_run_parts(evaluation, partition, unmatched_part, &unmatched, error);
}

enum error_code match_read_unmatched(struct match_stream *match, struct error *error)
{
    const struct binary_node *node = &match->expression->binary;
    const struct expression *many = match->is_swapped ? node->right : node->left;
    const struct expression *one = match->is_swapped ? node->left : node->right;
    enum error_code code =
        side_read(match, many, &match->many, &match->one, match->has_one_fill, error);
    return code == ERROR_NONE
               ? side_read(match, one, &match->one, &match->many, match->has_many_fill, error)
               : code;
}
