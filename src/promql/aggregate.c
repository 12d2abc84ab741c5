#include "aggregate.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "store.h"

/* --- Groups ---------------------------------------------------------------------------------- */

bool aggregation_groups_init(struct aggregation_groups *groups, struct evaluation *evaluation)
{
    *groups = (struct aggregation_groups){.arena = evaluation_arena_create(evaluation)};
    if (groups->arena == NULL)
        return false;
    label_table_init(&groups->table, groups->arena);
    return true;
}

void aggregation_groups_clear(struct aggregation_groups *groups)
{
    arena_destroy(groups->arena);
    *groups = (struct aggregation_groups){0};
}

struct aggregation_group *aggregation_group_of(const struct aggregation_plan *plan,
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
        struct aggregation_group *grown =
            arena_grow(groups->arena, groups->groups, groups->capacity, capacity, sizeof *grown);
        if (grown == NULL)
            return NULL;
        groups->groups = grown;
        groups->capacity = capacity;
    }
    struct aggregation_group *group = &groups->groups[number];
    *group = (struct aggregation_group){
        .present =
            arena_array(groups->arena, step_words(plan->steps.count), sizeof *group->present),
    };
    const struct aggregation_operations *operations =
        aggregation_operations_of(plan->node->operation);
    if (group->present == NULL || !operations->init(plan, group, groups->arena))
        return NULL;
    return group;
}

/* Of several names the least, in whichever order series come. */
static void group_name(struct aggregation_group *group, struct text name, struct arena *arena)
{
    if (name.size > 0 &&
        (group->metric_name.size == 0 || text_compare(name, group->metric_name) < 0))
        group->metric_name = arena_copy_text(arena, name);
}

enum error_code aggregation_merge_group(const struct aggregation_plan *plan,
                                        struct aggregation_groups *groups, struct labels labels,
                                        const struct aggregation_group *other, struct error *error)
{
    struct aggregation_group *group = aggregation_group_of(plan, groups, labels);
    if (group == NULL)
        return evaluation_out_of_memory(plan->evaluation, error);
    group->drops_name |= other->drops_name;
    group_name(group, other->metric_name, groups->arena);
    return aggregation_operations_of(plan->node->operation)
        ->merge(plan, group, other, groups->arena, error);
}

enum error_code aggregation_merge(const struct aggregation_plan *plan,
                                  struct aggregation_groups *groups,
                                  const struct aggregation_groups *other, struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < other->table.count; i++)
        code =
            aggregation_merge_group(plan, groups, other->table.labels[i], &other->groups[i], error);
    return code;
}

struct labels aggregation_project(const struct aggregation_plan *plan, struct labels labels,
                                  struct arena *arena)
{
    if (plan->node->grouping == GROUP_BY && plan->labels.count == 0)
        return (struct labels){0};
    enum labels_keep keep =
        plan->node->grouping == GROUP_BY ? LABELS_KEEP_NAMED : LABELS_DROP_NAMED;
    return labels_project(arena, labels, keep, plan->labels.names, plan->labels.count);
}

void aggregation_note_histogram(const struct aggregation_plan *plan, struct text_range position)
{
    evaluation_annotate(plan->evaluation, PROMQL_INFO, position,
                        "ignored histogram in %s aggregation",
                        aggregation_name(plan->node->operation));
}

/* --- Reading the input ----------------------------------------------------------------------- */

struct aggregate_run {
    const struct aggregation_plan *plan;
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
    const struct aggregation_plan *plan = part->run->plan;
    if (!steps_any(vector->present, plan->steps.count))
        return ERROR_NONE;
    struct series_identity identity = {0};
    if (plan->needs_labels || vector->histograms != NULL)
        identity = vector_stream_identity(part->run->input, lane, index, lane->scratch);
    if (plan->node->operation == AGGREGATE_COUNT_VALUES)
        return count_value_add(part, lane, identity.labels, vector, error);
    struct labels labels = aggregation_project(plan, identity.labels, lane->scratch);
    struct aggregation_group *group = aggregation_group_of(plan, part->groups, labels);
    if (group == NULL)
        return evaluation_out_of_memory(plan->evaluation, error);
    group->drops_name |= identity.drops_name;
    if (vector->histograms != NULL)
        group_name(group, labels_get(identity.labels, LABEL_METRIC_NAME), part->groups->arena);
    return aggregation_operations_of(plan->node->operation)
        ->add(plan, group, vector, part->groups->arena, error);
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
        code = aggregation_merge(run->plan, &run->total, next, error);
        aggregation_groups_clear(next);
    }
    pthread_mutex_unlock(&run->lock);
    return code;
}

static enum error_code aggregate_part_run(void *context, struct lane *lane, size_t part,
                                          struct error *error)
{
    struct aggregate_run *run = context;
    struct aggregate_part state = {run, &run->parts[part]};
    if (!aggregation_groups_init(state.groups, run->plan->evaluation))
        return evaluation_out_of_memory(run->plan->evaluation, error);
    enum error_code code = vector_stream_visit_part(run->input, lane, run->partition, part,
                                                    aggregate_visit, &state, error);
    return code == ERROR_NONE ? aggregate_merge_done(run, part, error) : code;
}

static enum error_code aggregate_read(struct aggregate_run *run, struct error *error)
{
    struct evaluation *evaluation = run->plan->evaluation;
    run->partition = vector_stream_partition(run->input);
    run->parts = arena_array(evaluation->arena, run->partition.count, sizeof *run->parts);
    run->is_done = arena_array(evaluation->arena, run->partition.count, sizeof *run->is_done);
    if (run->parts == NULL || run->is_done == NULL)
        return evaluation_out_of_memory(evaluation, error);
    pthread_mutex_init(&run->lock, NULL);
    enum error_code code =
        evaluation_run_parts(evaluation, run->partition, aggregate_part_run, run, error);
    pthread_mutex_destroy(&run->lock);
    for (size_t i = 0; i < run->partition.count; i++)
        aggregation_groups_clear(&run->parts[i]);
    return code;
}

/* --- count_values ---------------------------------------------------------------------------- */

/* `labels` with the value as a label, projected to the group's. */
static struct labels count_value_labels(const struct aggregation_plan *plan, struct labels labels,
                                        struct text value, struct arena *arena)
{
    struct labels grouped = aggregation_project(plan, labels, arena);
    size_t count = labels_count(grouped) + 1;
    struct label *array = arena_array(arena, count, sizeof *array);
    if (array == NULL)
        return (struct labels){0};
    /* Of equal names the first wins. */
    array[0] = (struct label){plan->value_label, value};
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
    const struct aggregation_plan *plan = part->run->plan;
    size_t count = plan->steps.count;
    struct aggregation_group *group = NULL;
    uint64_t group_bits = 0;
    for (size_t step = step_next(vector->present, count, 0); step < count;
         step = step_next(vector->present, count, step + 1)) {
        bool is_histogram = step_histogram(vector, step) != NULL;
        uint64_t bits = is_histogram ? 0 : double_to_bits(vector->values[step]);
        if (group == NULL || is_histogram || bits != group_bits) {
            struct text value = sample_text(vector, step, lane->scratch);
            group = aggregation_group_of(plan, part->groups,
                                         count_value_labels(plan, labels, value, lane->scratch));
            if (group == NULL)
                return evaluation_out_of_memory(plan->evaluation, error);
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

static enum error_code group_store(const struct aggregation_plan *plan,
                                   struct aggregation_groups *groups, size_t number,
                                   struct store *store, struct error *error)
{
    struct aggregation_group *group = &groups->groups[number];
    enum error_code code =
        aggregation_operations_of(plan->node->operation)->finish(plan, group, groups->arena, error);
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

enum error_code aggregation_collect(const struct aggregation_plan *plan, struct stream *input,
                                    struct aggregation_groups *groups_out, struct error *error)
{
    struct aggregate_run run = {.plan = plan, .input = input};
    enum error_code code = aggregate_read(&run, error);
    vector_stream_close(input);
    if (code == ERROR_NONE)
        *groups_out = run.total;
    else
        aggregation_groups_clear(&run.total);
    return code;
}

enum error_code aggregation_finish(const struct aggregation_plan *plan,
                                   struct aggregation_groups *groups, struct stream **stream_out,
                                   struct error *error)
{
    struct store store = {0};
    enum error_code code = store_init(&store, plan->evaluation, &plan->steps, error);
    for (size_t i = 0; code == ERROR_NONE && i < groups->table.count; i++)
        code = group_store(plan, groups, i, &store, error);
    aggregation_groups_clear(groups);
    if (code == ERROR_NONE)
        return store_stream(&store, stream_out, error);
    if (store.evaluation != NULL)
        store_clear(&store);
    return code;
}

static enum error_code aggregate_reduce(const struct aggregation_plan *plan, struct stream *input,
                                        struct stream **stream_out, struct error *error)
{
    struct aggregation_groups groups;
    enum error_code code = aggregation_collect(plan, input, &groups, error);
    return code == ERROR_NONE ? aggregation_finish(plan, &groups, stream_out, error) : code;
}

/* --- Building -------------------------------------------------------------------------------- */

static void aggregation_check_quantile(const struct aggregation_plan *plan)
{
    double lowest = INFINITY;
    double highest = -INFINITY;
    bool has_nan = false;
    for (size_t step = 0; step < plan->steps.count; step++) {
        double parameter = plan->parameters[step];
        has_nan |= isnan(parameter);
        lowest = fmin(lowest, parameter);
        highest = fmax(highest, parameter);
    }
    struct text_range position = plan->node->parameter->position;
    if (has_nan)
        evaluation_annotate_quantile(plan->evaluation, NAN, position);
    if (highest > 1)
        evaluation_annotate_quantile(plan->evaluation, highest, position);
    if (lowest < 0)
        evaluation_annotate_quantile(plan->evaluation, lowest, position);
}

static enum error_code aggregation_parameter(struct aggregation_plan *plan, struct error *error)
{
    const struct aggregation_node *node = plan->node;
    if (node->parameter == NULL)
        return ERROR_NONE;
    if (node->operation == AGGREGATE_COUNT_VALUES) {
        const struct expression *parameter = expression_unwrap(node->parameter);
        assert(parameter->kind == EXPRESSION_STRING);
        plan->value_label = parameter->string.value;
        if (parameter->string.value.size > 0 && text_is_utf8(parameter->string.value))
            return ERROR_NONE;
        return error_set(
            error, ERROR_INVALID, "invalid label name %.*s",
            TEXT_ARGUMENTS(text_quote(plan->evaluation->arena, parameter->string.value)));
    }
    return evaluate_scalar(plan->evaluation, node->parameter, &plan->steps, &plan->parameters,
                           error);
}

enum error_code aggregation_plan_make(struct evaluation *evaluation,
                                      const struct expression *expression,
                                      const struct step_range *steps,
                                      struct aggregation_plan **plan_out, struct error *error)
{
    const struct aggregation_node *node = &expression->aggregation;
    struct aggregation_plan *plan = arena_array(evaluation->arena, 1, sizeof *plan);
    if (plan == NULL)
        return evaluation_out_of_memory(evaluation, error);
    *plan = (struct aggregation_plan){
        .evaluation = evaluation,
        .node = node,
        .operand_position = node->operand->position,
        .steps = *steps,
    };
    /* `without` drops the metric's name as well. */
    if (!label_list_make(evaluation->arena, node->labels, node->label_count,
                         node->grouping == GROUP_WITHOUT, &plan->labels))
        return evaluation_out_of_memory(evaluation, error);
    plan->needs_labels = node->grouping != GROUP_BY || plan->labels.count > 0 ||
                         node->operation == AGGREGATE_COUNT_VALUES || evaluation->delayed_names;
    *plan_out = plan;
    return aggregation_parameter(plan, error);
}

enum error_code aggregate_stream(struct evaluation *evaluation, const struct expression *expression,
                                 const struct step_range *steps, struct stream **stream_out,
                                 struct error *error)
{
    const struct aggregation_node *node = &expression->aggregation;
    struct aggregation_plan *plan = NULL;
    enum error_code code = aggregation_plan_make(evaluation, expression, steps, &plan, error);
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
        return aggregate_select(plan, expression, input, stream_out, error);
    case AGGREGATE_QUANTILE:
        aggregation_check_quantile(plan);
        return aggregate_reduce(plan, input, stream_out, error);
    default:
        return aggregate_reduce(plan, input, stream_out, error);
    }
}
