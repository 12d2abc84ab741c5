#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

#include "aggregate.h"
#include "store.h"

/*
 * topk, bottomk, limitk: the best k series of each group at each step. Parts keep a heap of k
 * entries per group and step, whose worst is on top; heaps of parts are merged like any group.
 * What is best does not depend on the order of the series: ties are broken by labels.
 */

struct entry {
    double value; /* limitk: not used */
    uint64_t hash;
    uint32_t series;
};

struct heap {
    struct entry *entries; /* [capacity] */
    uint32_t count;
    uint32_t capacity;
};

struct select_groups {
    struct arena *arena;
    struct label_table table;
    struct heap **heaps; /* [table.count][steps] */
    size_t capacity;
};

struct select_run {
    const struct aggregation_plan *plan;
    const struct expression *expression;
    struct stream *input;
    struct partition partition;
    struct select_groups *parts;
};

/* --- Which entry is better ------------------------------------------------------------------- */

/* A fixed number for each label set, spread evenly: which series limitk and limit_ratio take is
 * chance, but always the same. XXH64 of names and values with their lengths, as Prometheus'. */
static uint64_t series_hash(struct labels labels)
{
    return XXH64(labels.bytes, labels.size, 0);
}

/* >0: left is the better one. `scratch` is for labels of ties. */
static int compare_entries(const struct select_run *run, const struct entry *left,
                           const struct entry *right, struct arena *scratch)
{
    enum aggregation operation = run->plan->node->operation;
    if (operation == AGGREGATE_LIMITK) {
        if (left->hash != right->hash)
            return left->hash < right->hash ? 1 : -1;
    } else if (isnan(left->value) || isnan(right->value)) {
        if (!isnan(left->value) || !isnan(right->value))
            return isnan(left->value) ? -1 : 1;
    } else if (left->value != right->value) {
        bool is_better =
            operation == AGGREGATE_TOPK ? left->value > right->value : left->value < right->value;
        return is_better ? 1 : -1;
    }
    if (left->series == right->series)
        return 0;
    /* In any order: the labels were loaded. */
    struct series_identity of_left =
        vector_stream_identity(run->input, NULL, left->series, scratch);
    struct series_identity of_right =
        vector_stream_identity(run->input, NULL, right->series, scratch);
    return -labels_compare(of_left.labels, of_right.labels);
}

/* --- Heaps ----------------------------------------------------------------------------------- */

static void heap_down(const struct select_run *run, struct heap *heap, struct arena *scratch)
{
    size_t parent = 0;
    for (;;) {
        size_t worst = parent;
        for (size_t child = 2 * parent + 1; child <= 2 * parent + 2 && child < heap->count; child++)
            if (compare_entries(run, &heap->entries[child], &heap->entries[worst], scratch) < 0)
                worst = child;
        if (worst == parent)
            return;
        struct entry entry = heap->entries[parent];
        heap->entries[parent] = heap->entries[worst];
        heap->entries[worst] = entry;
        parent = worst;
    }
}

static void heap_up(const struct select_run *run, struct heap *heap, struct arena *scratch)
{
    size_t child = heap->count - 1;
    while (child > 0) {
        size_t parent = (child - 1) / 2;
        if (compare_entries(run, &heap->entries[child], &heap->entries[parent], scratch) >= 0)
            return;
        struct entry entry = heap->entries[parent];
        heap->entries[parent] = heap->entries[child];
        heap->entries[child] = entry;
        child = parent;
    }
}

/* Keep `entry` when it is among the best `limit`. False when memory is out. */
static bool heap_offer(const struct select_run *run, struct heap *heap, size_t limit,
                       struct entry entry, struct arena *arena, struct arena *scratch)
{
    if (heap->count >= limit) {
        if (limit > 0 && compare_entries(run, &entry, &heap->entries[0], scratch) > 0) {
            heap->entries[0] = entry;
            heap_down(run, heap, scratch);
        }
        return true;
    }
    if (heap->count == heap->capacity) {
        uint32_t capacity = heap->capacity == 0 ? 4 : heap->capacity * 2;
        struct entry *entries =
            arena_grow(arena, heap->entries, heap->capacity, capacity, sizeof *entries);
        if (entries == NULL)
            return false;
        heap->entries = entries;
        heap->capacity = capacity;
    }
    heap->entries[heap->count++] = entry;
    heap_up(run, heap, scratch);
    return true;
}

static struct heap *group_heaps(const struct select_run *run, struct select_groups *groups,
                                struct labels labels)
{
    size_t known = groups->table.count;
    size_t number;
    if (!label_table_add(&groups->table, labels, &number))
        return NULL;
    if (number < known)
        return groups->heaps[number];
    if (number == groups->capacity) {
        size_t capacity = groups->capacity == 0 ? 4 : groups->capacity * 2;
        struct heap **heaps =
            arena_grow(groups->arena, groups->heaps, groups->capacity, capacity, sizeof *heaps);
        if (heaps == NULL)
            return NULL;
        groups->heaps = heaps;
        groups->capacity = capacity;
    }
    groups->heaps[number] =
        arena_array(groups->arena, run->plan->steps.count, sizeof **groups->heaps);
    return groups->heaps[number];
}

/* How many to keep at a step. */
static size_t step_limit(const struct select_run *run, size_t step)
{
    double parameter = run->plan->parameters[step];
    if (parameter < 1)
        return 0;
    return parameter < (double)run->input->count ? (size_t)parameter : run->input->count;
}

/* --- Reading --------------------------------------------------------------------------------- */

struct select_part {
    struct select_run *run;
    struct select_groups *groups;
};

static enum error_code select_visit(void *context, struct lane *lane, size_t index,
                                    const struct step_vector *vector, struct error *error)
{
    struct select_part *part = context;
    struct select_run *run = part->run;
    const struct aggregation_plan *plan = run->plan;
    size_t count = plan->steps.count;
    if (!steps_any(vector->present, count))
        return ERROR_NONE;
    bool is_limit = plan->node->operation == AGGREGATE_LIMITK;
    struct labels labels = vector_stream_identity(run->input, lane, index, lane->scratch).labels;
    struct heap *heaps =
        group_heaps(run, part->groups, aggregation_project(plan, labels, lane->scratch));
    if (heaps == NULL)
        return evaluation_out_of_memory(plan->evaluation, error);
    struct entry entry = {.series = (uint32_t)index, .hash = is_limit ? series_hash(labels) : 0};
    for (size_t step = step_next(vector->present, count, 0); step < count;
         step = step_next(vector->present, count, step + 1)) {
        if (step_histogram(vector, step) != NULL && !is_limit) {
            aggregation_note_histogram(plan, run->expression->position);
            continue;
        }
        entry.value = vector->values[step];
        if (!heap_offer(run, &heaps[step], step_limit(run, step), entry, part->groups->arena,
                        lane->scratch))
            return evaluation_out_of_memory(plan->evaluation, error);
    }
    return ERROR_NONE;
}

static enum error_code select_part_run(void *context, struct lane *lane, size_t part,
                                       struct error *error)
{
    struct select_run *run = context;
    struct select_part state = {run, &run->parts[part]};
    state.groups->arena = evaluation_arena_create(run->plan->evaluation);
    if (state.groups->arena == NULL)
        return evaluation_out_of_memory(run->plan->evaluation, error);
    label_table_init(&state.groups->table, state.groups->arena);
    return vector_stream_visit_part(run->input, lane, run->partition, part, select_visit, &state,
                                    error);
}

static enum error_code select_merge(const struct select_run *run, struct select_groups *total,
                                    struct select_groups *part, struct error *error)
{
    struct arena *scratch = run->plan->evaluation->lanes[0].scratch;
    for (size_t group = 0; group < part->table.count; group++) {
        struct heap *heaps = group_heaps(run, total, part->table.labels[group]);
        if (heaps == NULL)
            return evaluation_out_of_memory(run->plan->evaluation, error);
        for (size_t step = 0; step < run->plan->steps.count; step++) {
            const struct heap *heap = &part->heaps[group][step];
            arena_reset(scratch);
            for (size_t i = 0; i < heap->count; i++)
                if (!heap_offer(run, &heaps[step], step_limit(run, step), heap->entries[i],
                                total->arena, scratch))
                    return evaluation_out_of_memory(run->plan->evaluation, error);
        }
    }
    return ERROR_NONE;
}

/* --- The result ------------------------------------------------------------------------------ */

/* One selected value. */
struct selected {
    uint32_t series;
    size_t step;
    double value;
};

static int compare_selected(const void *left_pointer, const void *right_pointer)
{
    const struct selected *left = left_pointer;
    const struct selected *right = right_pointer;
    if (left->series != right->series)
        return left->series < right->series ? -1 : 1;
    return left->step < right->step ? -1 : left->step > right->step;
}

static int compare_best_first(const void *left, const void *right, void *context)
{
    const struct select_run *run = context;
    return -compare_entries(run, left, right, run->plan->evaluation->lanes[0].scratch);
}

static size_t selected_count(const struct select_run *run, const struct select_groups *groups)
{
    size_t total = 0;
    for (size_t group = 0; group < groups->table.count; group++)
        for (size_t step = 0; step < run->plan->steps.count; step++)
            total += groups->heaps[group][step].count;
    return total;
}

/* Values in the order of groups, the best of each first. */
static struct selected *selected_list(struct select_run *run, struct select_groups *groups,
                                      size_t count)
{
    struct selected *list = arena_array(groups->arena, count, sizeof *list);
    if (list == NULL)
        return NULL;
    size_t position = 0;
    for (size_t group = 0; group < groups->table.count; group++) {
        for (size_t step = 0; step < run->plan->steps.count; step++) {
            struct heap *heap = &groups->heaps[group][step];
            if (run->plan->steps.count == 1 && heap->count > 1)
                qsort_r(heap->entries, heap->count, sizeof *heap->entries, compare_best_first, run);
            for (size_t i = 0; i < heap->count; i++)
                list[position++] =
                    (struct selected){heap->entries[i].series, step, heap->entries[i].value};
        }
    }
    if (run->plan->steps.count > 1)
        qsort(list, count, sizeof *list, compare_selected);
    return list;
}

/* limitk also takes histograms, which the heaps don't hold: the series is read again. */
static enum error_code selected_histogram(struct select_run *run, struct store *store,
                                          struct step_vector *vector,
                                          const struct selected *selected, struct error *error)
{
    if (run->plan->node->operation != AGGREGATE_LIMITK)
        return ERROR_NONE;
    struct lane *lane = &run->plan->evaluation->lanes[0];
    arena_reset(lane->scratch);
    struct step_vector source;
    enum error_code code = vector_stream_read(run->input, lane, selected->series, &source, error);
    if (code != ERROR_NONE)
        return code;
    const struct histogram *histogram = step_histogram(&source, selected->step);
    if (histogram == NULL)
        return ERROR_NONE;
    return store_set_histogram(store, vector, selected->step, histogram, error);
}

static enum error_code select_store(struct select_run *run, struct select_groups *groups,
                                    struct stream **stream_out, struct error *error)
{
    struct evaluation *evaluation = run->plan->evaluation;
    struct arena *scratch = evaluation->lanes[0].scratch;
    size_t count = selected_count(run, groups);
    struct selected *list = selected_list(run, groups, count);
    if (list == NULL)
        return evaluation_out_of_memory(evaluation, error);
    struct store store;
    enum error_code code = store_init(&store, evaluation, &run->plan->steps, error);
    struct step_vector *vector = NULL;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        if (vector == NULL || list[i].series != list[i - 1].series) {
            arena_reset(scratch);
            struct series_identity identity =
                vector_stream_identity(run->input, NULL, list[i].series, scratch);
            code = store_add(&store, identity, &vector, error);
            if (code != ERROR_NONE)
                break;
        }
        vector->values[list[i].step] = list[i].value;
        step_set_present(vector->present, list[i].step);
        code = selected_histogram(run, &store, vector, &list[i], error);
    }
    if (code != ERROR_NONE) {
        store_clear(&store);
        return code;
    }
    return store_stream(&store, stream_out, error);
}

/* --- limit_ratio ----------------------------------------------------------------------------- */

struct ratio_stream {
    struct stream stream;
    struct stream *input;
    const double *ratios; /* [steps] */
};

struct ratio_lane {
    uint64_t *present;
};

static struct series_identity ratio_identity(struct stream *self, struct lane *lane, size_t index,
                                             struct arena *arena)
{
    return vector_stream_identity(((struct ratio_stream *)self)->input, lane, index, arena);
}

static bool ratio_takes(double ratio, double offset)
{
    if (ratio >= 0)
        return offset < (ratio > 1 ? 1 : ratio) || ratio >= 1;
    return offset >= 1 + (ratio < -1 ? -1 : ratio);
}

static enum error_code ratio_read(struct stream *self, struct lane *lane, size_t index,
                                  struct step_vector *vector_out, struct error *error)
{
    struct ratio_stream *stream = (struct ratio_stream *)self;
    size_t count = self->steps.count;
    struct ratio_lane *state = vector_stream_lane_state(self, lane, sizeof *state);
    if (state != NULL && state->present == NULL)
        state->present = arena_array(lane->memory, step_words(count), sizeof *state->present);
    if (state == NULL || state->present == NULL)
        return evaluation_out_of_memory(self->evaluation, error);
    struct labels labels = vector_stream_identity(stream->input, lane, index, lane->scratch).labels;
    double offset = (double)series_hash(labels) / 18446744073709551615.0;
    enum error_code code = vector_stream_read(stream->input, lane, index, vector_out, error);
    if (code != ERROR_NONE)
        return code;
    memcpy(state->present, vector_out->present, step_words(count) * sizeof *state->present);
    for (size_t step = step_next(state->present, count, 0); step < count;
         step = step_next(state->present, count, step + 1))
        if (!ratio_takes(stream->ratios[step], offset))
            step_clear_present(state->present, step);
    vector_out->present = state->present;
    return ERROR_NONE;
}

static void ratio_close(struct stream *self)
{
    vector_stream_close(((struct ratio_stream *)self)->input);
}

static const struct stream_operations RATIO_OPERATIONS = {
    .identity = ratio_identity,
    .read = ratio_read,
    .close = ratio_close,
};

static enum error_code ratio_stream_make(const struct aggregation_plan *plan, struct stream *input,
                                         struct stream **stream_out, struct error *error)
{
    struct evaluation *evaluation = plan->evaluation;
    struct ratio_stream *stream = arena_array(evaluation->arena, 1, sizeof *stream);
    if (stream == NULL)
        return evaluation_out_of_memory(evaluation, error);
    stream->input = input;
    stream->ratios = plan->parameters;
    enum error_code code = vector_stream_init(&stream->stream, evaluation, &RATIO_OPERATIONS,
                                              &plan->steps, input->count, error);
    if (code != ERROR_NONE)
        return code;
    stream->stream.is_unique_without_name = input->is_unique_without_name;
    *stream_out = &stream->stream;
    return ERROR_NONE;
}

/* --- Building -------------------------------------------------------------------------------- */

struct parameter_bounds {
    double lowest;
    double highest;
    bool has_nan;
};

static struct parameter_bounds parameters_bound(const struct aggregation_plan *plan)
{
    struct parameter_bounds bounds = {INFINITY, -INFINITY, false};
    for (size_t step = 0; step < plan->steps.count; step++) {
        double parameter = plan->parameters[step];
        bounds.has_nan |= isnan(parameter);
        bounds.lowest = fmin(bounds.lowest, parameter);
        bounds.highest = fmax(bounds.highest, parameter);
    }
    return bounds;
}

static enum error_code parameters_check(const struct aggregation_plan *plan, struct error *error)
{
    struct parameter_bounds bounds = parameters_bound(plan);
    struct text_range position = plan->node->parameter->position;
    char text[NUMBER_TEXT_BYTES];
    if (plan->node->operation != AGGREGATE_LIMIT_RATIO) {
        if (bounds.has_nan)
            return error_set(error, ERROR_INVALID, "Parameter value is NaN");
        if (bounds.highest < 1)
            return ERROR_NONE;
        if (bounds.lowest <= -9223372036854775808.0)
            return error_set(error, ERROR_INVALID, "Scalar value %s underflows int64",
                             number_text(text, bounds.lowest));
        if (bounds.highest >= 9223372036854775808.0)
            return error_set(error, ERROR_INVALID, "Scalar value %s overflows int64",
                             number_text(text, bounds.highest));
        return ERROR_NONE;
    }
    if (bounds.has_nan)
        return error_set(error, ERROR_INVALID, "Ratio value is NaN");
    if (bounds.highest > 1)
        evaluation_annotate(plan->evaluation, PROMQL_WARNING, position,
                            "ratio value should be between -1 and 1, got %s, capping to 1",
                            number_text(text, bounds.highest));
    if (bounds.lowest < -1)
        evaluation_annotate(plan->evaluation, PROMQL_WARNING, position,
                            "ratio value should be between -1 and 1, got %s, capping to -1",
                            number_text(text, bounds.lowest));
    return ERROR_NONE;
}

enum error_code aggregate_select(const struct aggregation_plan *plan,
                                 const struct expression *expression, struct stream *input,
                                 struct stream **stream_out, struct error *error)
{
    struct evaluation *evaluation = plan->evaluation;
    enum error_code code = parameters_check(plan, error);
    if (code != ERROR_NONE)
        return code;
    if (plan->node->operation == AGGREGATE_LIMIT_RATIO)
        return ratio_stream_make(plan, input, stream_out, error);
    if (input->count >= UINT32_MAX)
        return error_set(error, ERROR_LIMIT, "too many series");
    struct select_run run = {
        .plan = plan,
        .expression = expression,
        .input = input,
        .partition = vector_stream_partition(input),
    };
    run.parts = arena_array(evaluation->arena, run.partition.count, sizeof *run.parts);
    struct select_groups total = {.arena = evaluation_arena_create(evaluation)};
    label_table_init(&total.table, total.arena);
    if (run.parts == NULL || total.arena == NULL)
        code = evaluation_out_of_memory(evaluation, error);
    if (code == ERROR_NONE)
        code = evaluation_load_labels(evaluation, error);
    if (code == ERROR_NONE)
        code = evaluation_run_parts(evaluation, run.partition, select_part_run, &run, error);
    for (size_t i = 0; run.parts != NULL && i < run.partition.count; i++) {
        if (code == ERROR_NONE)
            code = select_merge(&run, &total, &run.parts[i], error);
        arena_destroy(run.parts[i].arena);
    }
    if (code == ERROR_NONE)
        code = select_store(&run, &total, stream_out, error);
    arena_destroy(total.arena);
    vector_stream_close(input);
    return code;
}
