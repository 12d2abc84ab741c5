#include <assert.h>
#include <stdlib.h>

#include "binary_match.h"
#include "step_output.h"
#include "store.h"

/*
 * Arithmetic and comparison of two vectors. Series with equal match labels form a group; of one
 * side, the "one" side, a group may have one value at each step. An output is a pair of series,
 * one of each side, or a series and a fill value. Which pairs there are follows from the labels
 * alone; groups in which more than one series of a side could collide are checked beforehand.
 */

struct match_lane {
    struct step_output output;
    uint64_t *others;  /* presence of a group, for fills */
    double *fill;      /* [steps]: a fill value at each */
    uint32_t one_read; /* the one side's series that was read last, + 1 */
    struct step_vector one;
};

/* --- Labels ---------------------------------------------------------------------------------- */

/* What a missing series is taken to have: the match labels of the other one. */
static struct labels side_labels(struct match_stream *match, const struct match_side *side,
                                 uint32_t series, const struct match_side *other,
                                 uint32_t other_series, struct arena *arena)
{
    if (series != NO_SERIES)
        return vector_stream_identity(side->stream, NULL, series, arena).labels;
    struct labels labels = vector_stream_identity(other->stream, NULL, other_series, arena).labels;
    return matching_key_of(&match->key, labels, arena);
}

static struct labels include_labels(struct match_stream *match, struct labels labels,
                                    struct labels one, struct arena *arena)
{
    const struct vector_matching *matching = match->matching;
    size_t count = labels_count(labels);
    struct label *array = arena_array(arena, count + matching->included_label_count, sizeof *array);
    if (array == NULL)
        return (struct labels){0};
    /* Of equal names the first wins; one without a value takes the many side's away. */
    for (size_t i = 0; i < matching->included_label_count; i++)
        array[i] = (struct label){matching->included_labels[i],
                                  labels_get(one, matching->included_labels[i])};
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    size_t used = matching->included_label_count;
    while (labels_next(&cursor, &label)) {
        bool is_included = false;
        for (size_t i = 0; i < matching->included_label_count; i++)
            is_included |= text_equal(matching->included_labels[i], label.name);
        if (!is_included)
            array[used++] = label;
    }
    return labels_build(arena, array, used);
}

struct labels match_pair_labels(struct match_stream *match, struct match_pair pair,
                                struct arena *arena)
{
    const struct binary_node *node = &match->expression->binary;
    struct labels many = side_labels(match, &match->many, pair.many, &match->one, pair.one, arena);
    struct labels labels = many;
    if (binary_changes_meaning(node->operation) ||
        (node->returns_bool && !match->stream.evaluation->delayed_names))
        labels = labels_without_name(arena, labels);
    if (match->matching->cardinality == MATCH_ONE_TO_ONE)
        labels = labels_project(arena, labels,
                                match->matching->labels_mode == MATCH_ON ? LABELS_KEEP_NAMED
                                                                         : LABELS_DROP_NAMED,
                                match->named.names, match->named.count);
    else if (match->matching->included_label_count > 0)
        labels = include_labels(
            match, labels,
            side_labels(match, &match->one, pair.one, &match->many, pair.many, arena), arena);
    return labels;
}

static struct series_identity match_identity(struct stream *self, struct lane *lane, size_t index,
                                             struct arena *arena)
{
    (void)lane;
    struct match_stream *match = (struct match_stream *)self;
    return (struct series_identity){
        .labels = match_pair_labels(match, match->pairs[index], arena),
        .drops_name = match->expression->binary.returns_bool && self->evaluation->delayed_names,
    };
}

/* --- Reading --------------------------------------------------------------------------------- */

static struct match_lane *match_lane_open(struct stream *self, struct lane *lane)
{
    struct match_lane *state = vector_stream_lane_state(self, lane, sizeof *state);
    if (state == NULL || state->fill != NULL)
        return state;
    size_t count = self->steps.count;
    state->others = arena_array(lane->memory, step_words(count), sizeof *state->others);
    double *fill = arena_array(lane->memory, count, sizeof *fill);
    if (state->others == NULL || fill == NULL)
        return NULL;
    state->fill = fill;
    return state;
}

/* Where any series of the group has a value. */
static enum error_code group_presence(struct match_stream *match, const struct match_side *side,
                                      size_t group, struct lane *lane, uint64_t *presence,
                                      struct error *error)
{
    size_t count = match->stream.steps.count;
    steps_clear(presence, count);
    for (uint32_t series = side->first[group]; series != NO_SERIES; series = side->next[series]) {
        struct step_vector vector;
        enum error_code code = vector_stream_read(side->stream, lane, series, &vector, error);
        if (code != ERROR_NONE)
            return code;
        for (size_t word = 0; word < step_words(count); word++)
            presence[word] |= vector.present[word];
    }
    return ERROR_NONE;
}

/* The vectors of a pair; a fill value stands where the group of its side has nothing. */
static enum error_code pair_read(struct match_stream *match, struct match_lane *state,
                                 struct lane *lane, struct match_pair pair,
                                 struct step_vector *many, struct step_vector *one,
                                 struct error *error)
{
    size_t count = match->stream.steps.count;
    if (pair.many == NO_SERIES || pair.one == NO_SERIES) {
        bool fills_many = pair.many == NO_SERIES;
        const struct match_side *filled = fills_many ? &match->many : &match->one;
        size_t group = fills_many ? match->one.group_of[pair.one] : match->many.group_of[pair.many];
        enum error_code code = group_presence(match, filled, group, lane, state->others, error);
        if (code != ERROR_NONE)
            return code;
        for (size_t word = 0; word < step_words(count); word++)
            state->others[word] = ~state->others[word];
        for (size_t step = 0; step < count; step++)
            state->fill[step] = fills_many ? match->many_fill : match->one_fill;
        struct step_vector fill = {.values = state->fill, .present = state->others};
        state->one_read = 0;
        if (fills_many) {
            *many = fill;
            return vector_stream_read(match->one.stream, lane, pair.one, one, error);
        }
        *one = fill;
        return vector_stream_read(match->many.stream, lane, pair.many, many, error);
    }
    enum error_code code = vector_stream_read(match->many.stream, lane, pair.many, many, error);
    if (code != ERROR_NONE)
        return code;
    /* Neighbours often share their one side; histograms are gone with the scratch, though. */
    if (state->one_read != pair.one + 1 || state->one.histograms != NULL) {
        state->one_read = 0;
        code = vector_stream_read(match->one.stream, lane, pair.one, &state->one, error);
        if (code != ERROR_NONE)
            return code;
        state->one_read = pair.one + 1;
    }
    *one = state->one;
    return ERROR_NONE;
}

static enum error_code match_step(struct match_stream *match, struct match_lane *state,
                                  struct lane *lane, const struct step_vector *many,
                                  const struct step_vector *one, size_t step, struct error *error)
{
    struct binary_value left = {many->values[step], step_histogram(many, step)};
    struct binary_value right = {one->values[step], step_histogram(one, step)};
    if (match->is_swapped) {
        struct binary_value other = left;
        left = right;
        right = other;
    }
    struct binary_value result = {0};
    bool keep = false;
    enum error_code code = binary_values(match->stream.evaluation, match->expression, lane, left,
                                         right, &result, &keep, error);
    if (code != ERROR_NONE)
        return code;
    if (match->expression->binary.returns_bool) {
        bool is_comparable = (left.histogram == NULL) == (right.histogram == NULL);
        enum binary_operator operation = match->expression->binary.operation;
        bool is_equality = operation == BINARY_EQUAL || operation == BINARY_NOT_EQUAL;
        if (!is_comparable || (left.histogram != NULL && !is_equality))
            return ERROR_NONE; /* types that don't fit were annotated */
        result = (struct binary_value){.value = keep};
        keep = true;
    }
    if (!keep)
        return ERROR_NONE;
    step_output_value(&state->output, step, result.value);
    if (result.histogram != NULL)
        step_output_histogram(&state->output, match->stream.steps.count, step, result.histogram);
    return ERROR_NONE;
}

static enum error_code match_read(struct stream *self, struct lane *lane, size_t index,
                                  struct step_vector *vector_out, struct error *error)
{
    struct match_stream *match = (struct match_stream *)self;
    struct match_lane *state = match_lane_open(self, lane);
    size_t count = self->steps.count;
    if (state == NULL || !step_output_begin(&state->output, lane->memory, count))
        return evaluation_out_of_memory(self->evaluation, error);
    struct step_vector many;
    struct step_vector one;
    enum error_code code = pair_read(match, state, lane, match->pairs[index], &many, &one, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t word = 0; word < step_words(count); word++) {
        uint64_t bits = many.present[word] & one.present[word];
        for (; bits != 0; bits &= bits - 1) {
            size_t step = word * 64 + (size_t)__builtin_ctzll(bits);
            code = match_step(match, state, lane, &many, &one, step, error);
            if (code != ERROR_NONE)
                return code;
        }
    }
    *vector_out = state->output.vector;
    return ERROR_NONE;
}

static void match_close(struct stream *self)
{
    struct match_stream *match = (struct match_stream *)self;
    arena_destroy(match->arena);
    vector_stream_close(match->many.stream);
    vector_stream_close(match->one.stream);
}

static const struct stream_operations MATCH_OPERATIONS = {
    .identity = match_identity,
    .read = match_read,
    .close = match_close,
};

/* --- Groups ---------------------------------------------------------------------------------- */

static enum error_code side_number(struct match_stream *match, struct match_side *side,
                                   struct arena *scratch, struct error *error)
{
    struct evaluation *evaluation = side->stream->evaluation;
    size_t count = side->stream->count;
    if (count >= NO_SERIES)
        return error_set(error, ERROR_LIMIT, "too many series in a binary operation");
    side->group_of = arena_array(match->arena, count, sizeof *side->group_of);
    side->next = arena_array(match->arena, count, sizeof *side->next);
    if (side->group_of == NULL || side->next == NULL)
        return evaluation_out_of_memory(evaluation, error);
    for (size_t i = 0; i < count; i++) {
        arena_reset(scratch);
        struct labels labels = vector_stream_identity(side->stream, NULL, i, scratch).labels;
        if (!label_table_add(&match->groups, matching_key_of(&match->key, labels, scratch),
                             &side->group_of[i]))
            return evaluation_out_of_memory(evaluation, error);
        if (i % 1024 == 0) {
            enum error_code code = evaluation_check(evaluation, error);
            if (code != ERROR_NONE)
                return code;
        }
    }
    return ERROR_NONE;
}

static bool side_chain(struct match_stream *match, struct match_side *side)
{
    size_t groups = match->groups.count;
    side->first = arena_array(match->arena, groups, sizeof *side->first);
    side->last = arena_array(match->arena, groups, sizeof *side->last);
    if (side->first == NULL || side->last == NULL)
        return false;
    for (size_t group = 0; group < groups; group++)
        side->first[group] = NO_SERIES;
    for (uint32_t i = 0; i < side->stream->count; i++) {
        size_t group = side->group_of[i];
        side->next[i] = NO_SERIES;
        if (side->first[group] == NO_SERIES)
            side->first[group] = i;
        else
            side->next[side->last[group]] = i;
        side->last[group] = i;
    }
    return true;
}

static bool pair_add(struct match_stream *match, size_t *count, uint32_t many, uint32_t one)
{
    if (*count == match->pair_capacity) {
        size_t capacity = match->pair_capacity == 0 ? 64 : match->pair_capacity * 2;
        struct match_pair *pairs =
            arena_grow(match->arena, match->pairs, match->pair_capacity, capacity, sizeof *pairs);
        if (pairs == NULL)
            return false;
        match->pairs = pairs;
        match->pair_capacity = capacity;
    }
    match->pairs[(*count)++] = (struct match_pair){many, one};
    return true;
}

/* Pairs in the order of the many side, so that it is read in its own order. */
static bool pairs_make(struct match_stream *match, size_t *count_out)
{
    size_t count = 0;
    for (uint32_t many = 0; many < match->many.stream->count; many++) {
        uint32_t one = match->one.first[match->many.group_of[many]];
        for (; one != NO_SERIES; one = match->one.next[one])
            if (!pair_add(match, &count, many, one))
                return false;
        if (match->has_one_fill && !pair_add(match, &count, many, NO_SERIES))
            return false;
    }
    for (uint32_t one = 0; match->has_many_fill && one < match->one.stream->count; one++)
        if (!pair_add(match, &count, NO_SERIES, one))
            return false;
    *count_out = count;
    return true;
}

/* --- Building -------------------------------------------------------------------------------- */

static enum error_code match_configure(struct match_stream *match, struct evaluation *evaluation,
                                       struct stream *left, struct stream *right,
                                       struct error *error)
{
    const struct vector_matching *matching = match->matching;
    match->is_swapped = matching->cardinality == MATCH_ONE_TO_MANY;
    match->many.stream = match->is_swapped ? right : left;
    match->one.stream = match->is_swapped ? left : right;
    /* As in the reference, group_right swaps the sides but not the fills: "left" means the many
     * side and "right" the one side. */
    match->has_many_fill = matching->has_fill_left;
    match->has_one_fill = matching->has_fill_right;
    match->many_fill = matching->fill_left;
    match->one_fill = matching->fill_right;
    if (!label_list_make(evaluation->arena, matching->labels, matching->label_count, false,
                         &match->named))
        return evaluation_out_of_memory(evaluation, error);
    enum error_code code = matching_key_make(evaluation, matching, &match->key, error);
    /* The one side is read again and again when many share it. */
    if (code == ERROR_NONE && matching->cardinality != MATCH_ONE_TO_ONE)
        code = vector_stream_store(match->one.stream, &match->one.stream, error);
    return code;
}

enum error_code binary_match_stream(struct evaluation *evaluation,
                                    const struct expression *expression, struct stream *left,
                                    struct stream *right, struct stream **stream_out,
                                    struct error *error)
{
    struct match_stream *match = arena_array(evaluation->arena, 1, sizeof *match);
    struct arena *scratch = evaluation_arena_create(evaluation);
    if (match == NULL || scratch == NULL) {
        arena_destroy(scratch);
        return evaluation_out_of_memory(evaluation, error);
    }
    match->expression = expression;
    match->matching = expression->binary.matching;
    struct step_range steps = left->steps;
    enum error_code code = match_configure(match, evaluation, left, right, error);
    match->arena = evaluation_arena_create(evaluation);
    if (code == ERROR_NONE && match->arena == NULL)
        code = evaluation_out_of_memory(evaluation, error);
    label_table_init(&match->groups, match->arena);
    if (code == ERROR_NONE)
        code = evaluation_load_labels(evaluation, error);
    if (code == ERROR_NONE)
        code = side_number(match, &match->many, scratch, error);
    if (code == ERROR_NONE)
        code = side_number(match, &match->one, scratch, error);
    arena_destroy(scratch);
    size_t pair_count = 0;
    if (code == ERROR_NONE && (!side_chain(match, &match->many) ||
                               !side_chain(match, &match->one) || !pairs_make(match, &pair_count)))
        code = evaluation_out_of_memory(evaluation, error);
    if (code == ERROR_NONE)
        code = vector_stream_init(&match->stream, evaluation, &MATCH_OPERATIONS, &steps, pair_count,
                                  error);
    if (code != ERROR_NONE) {
        arena_destroy(match->arena);
        return code;
    }
    code = match_check_collisions(match, error);
    if (code == ERROR_NONE)
        code = match_read_unmatched(match, error);
    if (code != ERROR_NONE)
        return code;
    return vector_stream_merge_equal_labels(&match->stream, stream_out, error);
}
