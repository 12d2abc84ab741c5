#include <assert.h>

#include "binary.h"
#include "label_table.h"
#include "store.h"

/*
 * and, unless: series of the left side where their match group has, or has not, a value on the
 * right. or: all of the left, and series of the right where their group has none on the left.
 * One side is read first, into a bitmap per match group; the other streams through it.
 */
struct set_stream {
    struct stream stream;
    enum binary_operator operation;
    struct matching_key key;
    struct stream *masked; /* left; or: right */
    struct stream *whole;  /* or: left, stored; else NULL */
    struct arena *arena;
    struct label_table groups;
    uint64_t *presence; /* [groups.count][words]: of the side that was read first */
    size_t words;
};

struct set_lane {
    struct step_vector vector;
    bool is_open;
};

/* --- Presence of one side -------------------------------------------------------------------- */

struct presence_run {
    struct set_stream *set;
    struct stream *input;
    struct partition partition;
    const size_t *group_of; /* [input count] */
};

static enum error_code presence_visit(void *context, struct lane *lane, size_t index,
                                      const struct step_vector *vector, struct error *error)
{
    (void)lane;
    (void)error;
    struct presence_run *run = context;
    uint64_t *presence = run->set->presence + run->group_of[index] * run->set->words;
    for (size_t word = 0; word < run->set->words; word++)
        if (vector->present[word] != 0)
            __atomic_fetch_or(&presence[word], vector->present[word], __ATOMIC_RELAXED);
    return ERROR_NONE;
}

static enum error_code presence_part(void *context, struct lane *lane, size_t part,
                                     struct error *error)
{
    struct presence_run *run = context;
    return vector_stream_visit_part(run->input, lane, run->partition, part, presence_visit, run,
                                    error);
}

/* Number the match groups of `input` and find at which steps each has a value. */
static enum error_code presence_find(struct set_stream *set, struct stream *input,
                                     struct error *error)
{
    struct evaluation *evaluation = input->evaluation;
    struct arena *scratch = evaluation_arena_create(evaluation);
    size_t *group_of = arena_array(set->arena, input->count, sizeof *group_of);
    enum error_code code = ERROR_NONE;
    if (scratch == NULL || group_of == NULL)
        code = evaluation_out_of_memory(evaluation, error);
    for (size_t i = 0; code == ERROR_NONE && i < input->count; i++) {
        arena_reset(scratch);
        struct labels labels =
            vector_stream_identity(input, &evaluation->lanes[0], i, scratch).labels;
        if (!label_table_add(&set->groups, matching_key_of(&set->key, labels, scratch),
                             &group_of[i]))
            code = evaluation_out_of_memory(evaluation, error);
    }
    arena_destroy(scratch);
    if (code != ERROR_NONE)
        return code;
    set->presence =
        arena_array(set->arena, set->groups.count * set->words + 1, sizeof *set->presence);
    if (set->presence == NULL)
        return evaluation_out_of_memory(evaluation, error);
    struct presence_run run = {set, input, vector_stream_partition(input), group_of};
    return evaluation_run_parts(evaluation, run.partition, presence_part, &run, error);
}

/* --- The stream ------------------------------------------------------------------------------ */

static struct series_identity set_identity(struct stream *self, struct lane *lane, size_t index,
                                           struct arena *arena)
{
    struct set_stream *set = (struct set_stream *)self;
    size_t whole_count = set->whole == NULL ? 0 : set->whole->count;
    if (index < whole_count)
        return vector_stream_identity(set->whole, lane, index, arena);
    return vector_stream_identity(set->masked, lane, index - whole_count, arena);
}

static enum error_code set_read(struct stream *self, struct lane *lane, size_t index,
                                struct step_vector *vector_out, struct error *error)
{
    struct set_stream *set = (struct set_stream *)self;
    size_t whole_count = set->whole == NULL ? 0 : set->whole->count;
    if (index < whole_count)
        return vector_stream_read(set->whole, lane, index, vector_out, error);
    index -= whole_count;
    struct set_lane *state = vector_stream_lane_state(self, lane, sizeof *state);
    if (state == NULL ||
        (!state->is_open && !step_vector_init(&state->vector, lane->memory, self->steps.count)))
        return evaluation_out_of_memory(self->evaluation, error);
    state->is_open = true;
    struct labels labels = vector_stream_identity(set->masked, lane, index, lane->scratch).labels;
    size_t group =
        label_table_find(&set->groups, matching_key_of(&set->key, labels, lane->scratch));
    struct step_vector vector;
    enum error_code code = vector_stream_read(set->masked, lane, index, &vector, error);
    if (code != ERROR_NONE)
        return code;
    const uint64_t *presence =
        group == LABEL_TABLE_NONE ? NULL : set->presence + group * set->words;
    for (size_t word = 0; word < set->words; word++) {
        uint64_t other = presence == NULL ? 0 : presence[word];
        state->vector.present[word] =
            vector.present[word] & (set->operation == BINARY_AND ? other : ~other);
    }
    *vector_out = vector;
    vector_out->present = state->vector.present;
    return ERROR_NONE;
}

static void set_close(struct stream *self)
{
    struct set_stream *set = (struct set_stream *)self;
    arena_destroy(set->arena);
    vector_stream_close(set->masked);
    vector_stream_close(set->whole);
}

static const struct stream_operations SET_OPERATIONS = {
    .identity = set_identity,
    .read = set_read,
    .close = set_close,
};

enum error_code binary_set_stream(struct evaluation *evaluation,
                                  const struct expression *expression, struct stream *left,
                                  struct stream *right, struct stream **stream_out,
                                  struct error *error)
{
    struct set_stream *set = arena_array(evaluation->arena, 1, sizeof *set);
    if (set == NULL)
        return evaluation_out_of_memory(evaluation, error);
    set->operation = expression->binary.operation;
    set->words = step_words(left->steps.count);
    bool is_or = set->operation == BINARY_OR;
    set->masked = is_or ? right : left;
    enum error_code code =
        matching_key_make(evaluation, expression->binary.matching, &set->key, error);
    if (code == ERROR_NONE && is_or)
        code = vector_stream_store(left, &set->whole, error);
    if (code != ERROR_NONE)
        return code;
    struct stream *first = is_or ? set->whole : right;
    set->arena = evaluation_arena_create(evaluation);
    if (set->arena == NULL)
        return evaluation_out_of_memory(evaluation, error);
    label_table_init(&set->groups, set->arena);
    code = presence_find(set, first, error);
    if (!is_or)
        vector_stream_close(right);
    size_t count = set->masked->count + (is_or ? set->whole->count : 0);
    if (code == ERROR_NONE)
        code = vector_stream_init(&set->stream, evaluation, &SET_OPERATIONS, &set->masked->steps,
                                  count, error);
    if (code != ERROR_NONE) {
        arena_destroy(set->arena);
        return code;
    }
    if (is_or)
        return vector_stream_merge_equal_labels(&set->stream, stream_out, error);
    set->stream.is_unique_without_name = left->is_unique_without_name;
    *stream_out = &set->stream;
    return ERROR_NONE;
}
