#include "aggregate.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "store.h"

/* --- Groups ---------------------------------------------------------------------------------- */

static bool groups_init(struct aggregation_groups *groups, struct evaluation *evaluation)
{
    *groups = (struct aggregation_groups){.arena = evaluation_arena_create(evaluation)};
    if (groups->arena == NULL)
        return false;
    label_table_init(&groups->table, groups->arena);
    return true;
}

static void groups_clear(struct aggregation_groups *groups)
{
    arena_destroy(groups->arena);
    *groups = (struct aggregation_groups){0};
}

struct aggregation_group *aggregation_group_of(const struct aggregation *aggregation,
                                               struct aggregation_groups *groups,
                                               struct labels labels)
{
    size_t known = groups->table.count;
    size_t number;
    if (!label_table_add(&groups->table, labels, &number))
        return NULL;
    if (number < known)
        return &groups->groups[number];
    if (number == groups->capacity) {
        size_t capacity = groups->capacity == 0 ? 4 : groups->capacity * 2;
        struct aggregation_group *grown = arena_grow(groups->arena, groups->groups,
                                                     groups->capacity, capacity, sizeof *grown);
        if (grown == NULL)
            return NULL;
        groups->groups = grown;
        groups->capacity = capacity;
    }
    struct aggregation_group *group = &groups->groups[number];
    *group = (struct aggregation_group){
        .present = arena_array(groups->arena, step_words(aggregation->steps.count),
                               sizeof *group->present),
    };
    const struct aggregation_operations *operations =
        aggregation_operations_of(aggregation->node->operation);
    if (group->present == NULL || !operations->init(aggregation, group, groups->arena))
        return NULL;
    return group;
}

enum error_code aggregation_merge(const struct aggregation *aggregation,
                                  struct aggregation_groups *groups,
                                  const struct aggregation_groups *other, struct error *error)
{
    const struct aggregation_operations *operations =
        aggregation_operations_of(aggregation->node->operation);
    for (size_t i = 0; i < other->table.count; i++) {
        struct aggregation_group *group =
            aggregation_group_of(aggregation, groups, other->table.labels[i]);
        if (group == NULL)
            return evaluation_out_of_memory(aggregation->evaluation, error);
        group->drops_name |= other->groups[i].drops_name;
        enum error_code code =
            operations->merge(aggregation, group, &other->groups[i], groups->arena, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

struct labels aggregation_project(const struct aggregation *aggregation, struct labels labels,
                                  struct arena *arena)
{
    if (aggregation->node->grouping == GROUP_BY && aggregation->label_count == 0)
        return (struct labels){0};
    enum labels_keep keep =
        aggregation->node->grouping == GROUP_BY ? LABELS_KEEP_NAMED : LABELS_DROP_NAMED;
    return labels_project(arena, labels, keep, aggregation->labels, aggregation->label_count);
}

void aggregation_note_histogram(const struct aggregation *aggregation, struct text_range position)
{
    evaluation_annotate(aggregation->evaluation, PROMQL_INFO, position,
                        "ignored histogram in %s aggregation",
                        aggregation_name(aggregation->node->operation));
}

/* --- Reading the input ----------------------------------------------------------------------- */

struct aggregate_run {
    const struct aggregation *aggregation;
    struct stream *input;
    struct partition partition;
    struct aggregation_groups *parts; /* [partition.count] */
    bool *is_done;                    /* [partition.count] */
    size_t merged_count;              /* parts merged into `total`, in order */
    struct aggregation_groups total;
    pthread_mutex_t lock; /* of the three above */
};

struct aggregate_part {
    struct aggregate_run *run;
    struct aggregation_groups *groups;
};

/* count_values: each value is a group of its own. */
static enum error_code count_value_add(const struct aggregate_part *part, struct lane *lane,
                                       struct labels labels, const struct step_vector *vector,
                                       struct error *error);

static enum error_code aggregate_visit(void *context, struct lane *lane, size_t index,
                                       const struct step_vector *vector, struct error *error)
{
    struct aggregate_part *part = context;
    const struct aggregation *aggregation = part->run->aggregation;
    if (!steps_any(vector->present, aggregation->steps.count))
        return ERROR_NONE;
    struct series_identity identity = stream_identity(part->run->input, index, lane->scratch);
    if (aggregation->node->operation == AGGREGATE_COUNT_VALUES)
        return count_value_add(part, lane, identity.labels, vector, error);
    struct labels labels = aggregation_project(aggregation, identity.labels, lane->scratch);
    struct aggregation_group *group = aggregation_group_of(aggregation, part->groups, labels);
    if (group == NULL)
        return evaluation_out_of_memory(aggregation->evaluation, error);
    group->drops_name |= identity.drops_name;
    return aggregation_operations_of(aggregation->node->operation)
        ->add(aggregation, group, vector, part->groups->arena, error);
}

/* Parts are merged as soon as all before them are, by whoever finishes the missing one. */
static enum error_code aggregate_merge_done(struct aggregate_run *run, size_t part,
                                            struct error *error)
{
    enum error_code code = ERROR_NONE;
    pthread_mutex_lock(&run->lock);
    run->is_done[part] = true;
    while (code == ERROR_NONE && run->merged_count < run->partition.count &&
           run->is_done[run->merged_count]) {
        struct aggregation_groups *next = &run->parts[run->merged_count++];
        if (run->total.arena == NULL) {
            run->total = *next; /* the first */
            *next = (struct aggregation_groups){0};
            continue;
        }
        code = aggregation_merge(run->aggregation, &run->total, next, error);
        groups_clear(next);
    }
    pthread_mutex_unlock(&run->lock);
    return code;
}

static enum error_code aggregate_part_run(void *context, struct lane *lane, size_t part,
                                          struct error *error)
{
    struct aggregate_run *run = context;
    struct aggregate_part state = {run, &run->parts[part]};
    if (!groups_init(state.groups, run->aggregation->evaluation))
        return evaluation_out_of_memory(run->aggregation->evaluation, error);
    enum error_code code = stream_visit_part(run->input, lane, run->partition, part,
                                             aggregate_visit, &state, error);
    return code == ERROR_NONE ? aggregate_merge_done(run, part, error) : code;
}

static enum error_code aggregate_read(struct aggregate_run *run, struct error *error)
{
    struct evaluation *evaluation = run->aggregation->evaluation;
    run->partition = stream_partition(run->input);
    run->parts = arena_array(evaluation->arena, run->partition.count, sizeof *run->parts);
    run->is_done = arena_array(evaluation->arena, run->partition.count, sizeof *run->is_done);
    if (run->parts == NULL || run->is_done == NULL)
        return evaluation_out_of_memory(evaluation, error);
    pthread_mutex_init(&run->lock, NULL);
    enum error_code code =
        evaluation_run_parts(evaluation, run->partition.count, aggregate_part_run, run, error);
    pthread_mutex_destroy(&run->lock);
    for (size_t i = 0; i < run->partition.count; i++)
        groups_clear(&run->parts[i]);
    return code;
}

/* --- count_values ---------------------------------------------------------------------------- */

/* `labels` with the value as a label, projected to the group's. */
static struct labels count_value_labels(const struct aggregation *aggregation,
                                        struct labels labels, struct text value,
                                        struct arena *arena)
{
    struct labels grouped = aggregation_project(aggregation, labels, arena);
    size_t count = labels_count(grouped) + 1;
    struct label *array = arena_array(arena, count, sizeof *array);
    if (array == NULL)
        return (struct labels){0};
    /* Of equal names the first wins. */
    array[0] = (struct label){aggregation->value_label, value};
    struct labels_cursor cursor = labels_begin(grouped);
    for (size_t i = 1; i < count && labels_next(&cursor, &array[i]); i++)
        continue;
    return labels_build(arena, array, count);
}

static struct text sample_text(const struct step_vector *vector, size_t step, struct arena *arena)
{
    const struct histogram *histogram = step_histogram(vector, step);
    if (histogram != NULL)
        return histogram_text(histogram, arena);
    char text[DECIMAL_TEXT_BYTES];
    return arena_copy_text(arena, text_of(decimal_text(text, vector->values[step])));
}

static enum error_code count_value_add(const struct aggregate_part *part, struct lane *lane,
                                       struct labels labels, const struct step_vector *vector,
                                       struct error *error)
{
    const struct aggregation *aggregation = part->run->aggregation;
    size_t count = aggregation->steps.count;
    struct aggregation_group *group = NULL;
    uint64_t group_bits = 0;
    for (size_t step = step_next(vector->present, count, 0); step < count;
         step = step_next(vector->present, count, step + 1)) {
        bool is_histogram = step_histogram(vector, step) != NULL;
        uint64_t bits = is_histogram ? 0 : double_to_bits(vector->values[step]);
        if (group == NULL || is_histogram || bits != group_bits) {
            struct text value = sample_text(vector, step, lane->scratch);
            group = aggregation_group_of(
                aggregation, part->groups,
                count_value_labels(aggregation, labels, value, lane->scratch));
            if (group == NULL)
                return evaluation_out_of_memory(aggregation->evaluation, error);
            group_bits = bits;
        }
        group->values[step]++;
        step_set_present(group->present, step);
        if (is_histogram)
            group = NULL;
    }
    return ERROR_NONE;
}

/* --- The result ------------------------------------------------------------------------------ */

static enum error_code group_store(const struct aggregation *aggregation,
                                   struct aggregation_groups *groups, size_t number,
                                   struct store *store, struct error *error)
{
    struct aggregation_group *group = &groups->groups[number];
    enum error_code code = aggregation_operations_of(aggregation->node->operation)
                               ->finish(aggregation, group, groups->arena, error);
    if (code != ERROR_NONE)
        return code;
    struct step_vector vector = {
        .values = group->values,
        .present = group->present,
        .histograms = group->histograms == NULL ? NULL : group->histograms->sums,
    };
    struct series_identity identity = {groups->table.labels[number], group->drops_name};
    return store_add_copy(store, identity, &vector, error);
}

static enum error_code aggregate_reduce(const struct aggregation *aggregation,
                                        struct stream *input, struct stream **stream_out,
                                        struct error *error)
{
    struct aggregate_run run = {.aggregation = aggregation, .input = input};
    enum error_code code = aggregate_read(&run, error);
    stream_close(input);
    struct store store = {0};
    if (code == ERROR_NONE)
        code = store_init(&store, aggregation->evaluation, &aggregation->steps, error);
    for (size_t i = 0; code == ERROR_NONE && i < run.total.table.count; i++)
        code = group_store(aggregation, &run.total, i, &store, error);
    groups_clear(&run.total);
    if (code == ERROR_NONE)
        return store_stream(&store, stream_out, error);
    if (store.evaluation != NULL)
        store_clear(&store);
    return code;
}

/* --- Building -------------------------------------------------------------------------------- */

static int compare_texts(const void *left, const void *right)
{
    return text_compare(*(const struct text *)left, *(const struct text *)right);
}

/* Grouping labels sorted, each once; `without` also drops the metric's name. */
static enum error_code aggregation_sort_labels(struct aggregation *aggregation,
                                               struct error *error)
{
    const struct aggregation_node *node = aggregation->node;
    struct text *labels =
        arena_array(aggregation->evaluation->arena, node->label_count + 1, sizeof *labels);
    if (labels == NULL)
        return evaluation_out_of_memory(aggregation->evaluation, error);
    size_t count = node->label_count;
    if (count > 0)
        memcpy(labels, node->labels, count * sizeof *labels);
    if (node->grouping == GROUP_WITHOUT)
        labels[count++] = LABEL_METRIC_NAME;
    qsort(labels, count, sizeof *labels, compare_texts);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !text_equal(labels[kept - 1], labels[i]))
            labels[kept++] = labels[i];
    aggregation->labels = labels;
    aggregation->label_count = kept;
    return ERROR_NONE;
}

static void aggregation_check_quantile(const struct aggregation *aggregation)
{
    double lowest = INFINITY;
    double highest = -INFINITY;
    bool has_nan = false;
    for (size_t step = 0; step < aggregation->steps.count; step++) {
        double parameter = aggregation->parameters[step];
        has_nan |= isnan(parameter);
        lowest = fmin(lowest, parameter);
        highest = fmax(highest, parameter);
    }
    struct text_range position = aggregation->node->parameter->position;
    if (has_nan)
        evaluation_annotate_quantile(aggregation->evaluation, NAN, position);
    if (highest > 1)
        evaluation_annotate_quantile(aggregation->evaluation, highest, position);
    if (lowest < 0)
        evaluation_annotate_quantile(aggregation->evaluation, lowest, position);
}

static enum error_code aggregation_parameter(struct aggregation *aggregation, struct error *error)
{
    const struct aggregation_node *node = aggregation->node;
    if (node->parameter == NULL)
        return ERROR_NONE;
    if (node->operation == AGGREGATE_COUNT_VALUES) {
        const struct expression *parameter = expression_unwrap(node->parameter);
        assert(parameter->kind == EXPRESSION_STRING);
        aggregation->value_label = parameter->string.value;
        if (parameter->string.value.size > 0 && text_is_utf8(parameter->string.value))
            return ERROR_NONE;
        return error_set(error, ERROR_INVALID, "invalid label name %.*s",
                         TEXT_ARGUMENTS(text_quote(aggregation->evaluation->arena,
                                                   parameter->string.value)));
    }
    return evaluate_scalar(aggregation->evaluation, node->parameter, &aggregation->steps,
                           &aggregation->parameters, error);
}

enum error_code aggregate_stream(struct evaluation *evaluation,
                                 const struct expression *expression,
                                 const struct step_range *steps, struct stream **stream_out,
                                 struct error *error)
{
    const struct aggregation_node *node = &expression->aggregation;
    struct aggregation *aggregation = arena_array(evaluation->arena, 1, sizeof *aggregation);
    if (aggregation == NULL)
        return evaluation_out_of_memory(evaluation, error);
    *aggregation = (struct aggregation){
        .evaluation = evaluation,
        .node = node,
        .operand_position = node->operand->position,
        .steps = *steps,
    };
    enum error_code code = aggregation_sort_labels(aggregation, error);
    if (code == ERROR_NONE)
        code = aggregation_parameter(aggregation, error);
    struct stream *input = NULL;
    if (code == ERROR_NONE)
        code = evaluate_vector(evaluation, node->operand, steps, &input, error);
    if (code != ERROR_NONE)
        return code;
    switch (node->operation) {
    case AGGREGATE_TOPK:
    case AGGREGATE_BOTTOMK:
    case AGGREGATE_LIMITK:
    case AGGREGATE_LIMIT_RATIO:
        return aggregate_select(aggregation, expression, input, stream_out, error);
    case AGGREGATE_QUANTILE:
        aggregation_check_quantile(aggregation);
        return aggregate_reduce(aggregation, input, stream_out, error);
    default:
        return aggregate_reduce(aggregation, input, stream_out, error);
    }
}
