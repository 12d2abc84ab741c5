/*
 * The evaluation of matchers over an index.
 *
 * A matcher that the empty value does not satisfy selects the union of the postings of its
 * matching values. One that the empty value satisfies also selects series that lack the label,
 * which no postings list; so it takes away the union of the postings of the values that do not
 * match. Selecting matchers run from the fewest positions to the most, then those that take away.
 */
#include <assert.h>
#include <stdlib.h>

#include "model/index_source.h"

/* Values looked at between two looks at the flag. */
enum { CANCEL_INTERVAL = 256 };

/* --- Collecting the postings of one matcher ------------------------------------------------ */

enum step_kind { STEP_SELECT, STEP_TAKE_AWAY };

/* A matcher and the lists it needs. */
struct step {
    enum step_kind kind;
    struct index_postings *lists; /* [list_count], in the query's arena */
    size_t list_count;
    size_t capacity;
    uint64_t position_count; /* of all lists together */
};

static bool is_canceled(const struct index_query *query)
{
    return query->canceled != NULL && atomic_load_explicit(query->canceled, memory_order_relaxed);
}

static enum error_code canceled(struct error *error)
{
    return error_set(error, ERROR_CANCELED, "query canceled");
}

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "index select");
}

static bool step_add(struct arena *arena, struct step *step, struct index_postings postings)
{
    if (postings.count == 0)
        return true;
    if (step->list_count == step->capacity) {
        size_t capacity = step->capacity == 0 ? 8 : step->capacity * 2;
        struct index_postings *lists =
            arena_grow(arena, step->lists, step->capacity, capacity, sizeof *lists);
        if (lists == NULL)
            return false;
        step->lists = lists;
        step->capacity = capacity;
    }
    step->lists[step->list_count++] = postings;
    step->position_count += postings.count;
    return true;
}

struct collector {
    const struct index_query *query;
    const struct matcher *matcher;
    struct step *step;
    size_t seen;
    enum error_code code;
};

static bool collect_value(void *context, struct text value, struct index_postings postings)
{
    struct collector *collector = context;
    if (++collector->seen % CANCEL_INTERVAL == 0 && is_canceled(collector->query)) {
        collector->code = ERROR_CANCELED;
        return false;
    }
    bool wanted = collector->step->kind == STEP_SELECT;
    if (matcher_matches(collector->matcher, value) != wanted)
        return true;
    if (!step_add(collector->query->arena, collector->step, postings)) {
        collector->code = ERROR_OUT_OF_MEMORY;
        return false;
    }
    return true;
}

static enum error_code collect_by_visit(struct index_source *source,
                                        const struct index_query *query,
                                        const struct matcher *matcher, struct step *step,
                                        struct error *error)
{
    struct collector collector = {.query = query, .matcher = matcher, .step = step};
    struct text prefix = {0};
    if (step->kind == STEP_SELECT)
        prefix = matcher_prefix(matcher);
    enum error_code code = source->operations->values(source, query->tenant, matcher->name, prefix,
                                                      collect_value, &collector, error);
    if (code != ERROR_NONE)
        return code;
    if (collector.code == ERROR_CANCELED)
        return canceled(error);
    if (collector.code != ERROR_NONE)
        return out_of_memory(error);
    return ERROR_NONE;
}

static enum error_code collect_literals(struct index_source *source,
                                        const struct index_query *query, struct text name,
                                        const struct text *values, size_t count, struct step *step,
                                        struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct index_postings postings = {0};
        enum error_code code =
            source->operations->find(source, query->tenant, name, values[i], &postings, error);
        if (code != ERROR_NONE)
            return code;
        if (!step_add(query->arena, step, postings))
            return out_of_memory(error);
    }
    return ERROR_NONE;
}

/* The literal values whose lists the step needs; false when values must be visited. */
static bool step_literals(const struct matcher *matcher, enum step_kind kind,
                          const struct text **values_out, size_t *count_out)
{
    if (kind == STEP_SELECT)
        return matcher_literals(matcher, values_out, count_out);
    if (matcher->type != MATCHER_NOT_EQUAL)
        return false;
    *values_out = &matcher->value;
    *count_out = 1;
    return true;
}

static enum error_code collect(struct index_source *source, const struct index_query *query,
                               const struct matcher *matcher, struct step *step,
                               struct error *error)
{
    *step = (struct step){.kind = matcher_matches_empty(matcher) ? STEP_TAKE_AWAY : STEP_SELECT};
    const struct text *values;
    size_t count;
    if (step_literals(matcher, step->kind, &values, &count))
        return collect_literals(source, query, matcher->name, values, count, step, error);
    return collect_by_visit(source, query, matcher, step, error);
}

/* --- Combining ------------------------------------------------------------------------------ */

static enum error_code read_list(struct index_source *source, const struct index_query *query,
                                 struct index_postings postings, struct positions *list_out,
                                 struct error *error)
{
    if (is_canceled(query))
        return canceled(error);
    return source->operations->read(source, query->tenant, postings, query->arena, list_out, error);
}

/* The union of the step's lists, each cut down to `within` first unless that is NULL. */
static enum error_code step_union(struct index_source *source, const struct index_query *query,
                                  const struct step *step, const struct positions *within,
                                  struct positions *out, struct error *error)
{
    struct positions *lists = arena_array(query->arena, step->list_count, sizeof *lists);
    if (lists == NULL)
        return out_of_memory(error);
    size_t count = 0;
    for (size_t i = 0; i < step->list_count; i++) {
        struct positions list;
        enum error_code code = read_list(source, query, step->lists[i], &list, error);
        if (code != ERROR_NONE)
            return code;
        if (within != NULL && !positions_intersect(query->arena, list, *within, &list))
            return out_of_memory(error);
        if (list.count > 0)
            lists[count++] = list;
    }
    return positions_union(query->arena, lists, count, out) ? ERROR_NONE : out_of_memory(error);
}

static enum error_code step_take_away(struct index_source *source, const struct index_query *query,
                                      const struct step *step, struct positions *positions,
                                      struct error *error)
{
    for (size_t i = 0; i < step->list_count && positions->count > 0; i++) {
        struct positions list;
        enum error_code code = read_list(source, query, step->lists[i], &list, error);
        if (code != ERROR_NONE)
            return code;
        if (!positions_subtract(query->arena, *positions, list, positions))
            return out_of_memory(error);
    }
    return ERROR_NONE;
}

/* Selecting steps first, of them the fewest positions first. */
static int step_order(const void *left, const void *right)
{
    const struct step *a = left;
    const struct step *b = right;
    if (a->kind != b->kind)
        return a->kind == STEP_SELECT ? -1 : 1;
    return a->position_count < b->position_count ? -1 : a->position_count > b->position_count;
}

static enum error_code combine(struct index_source *source, const struct index_query *query,
                               struct step *steps, size_t step_count,
                               struct positions *positions_out, struct error *error)
{
    struct positions positions = {0};
    enum error_code code = ERROR_NONE;
    size_t i = 0;
    if (step_count > 0 && steps[0].kind == STEP_SELECT)
        code = step_union(source, query, &steps[i++], NULL, &positions, error);
    else
        code = source->operations->all(source, query->tenant, query->arena, &positions, error);

    for (; code == ERROR_NONE && i < step_count && positions.count > 0; i++) {
        if (steps[i].kind == STEP_SELECT)
            code = step_union(source, query, &steps[i], &positions, &positions, error);
        else
            code = step_take_away(source, query, &steps[i], &positions, error);
    }
    if (code == ERROR_NONE)
        *positions_out = positions;
    return code;
}

enum error_code index_select(struct index_source *source, const struct index_query *query,
                             struct positions *positions_out, struct error *error)
{
    assert(source != NULL && query->arena != NULL);
    struct step *steps = arena_array(query->arena, query->matcher_count, sizeof *steps);
    if (steps == NULL)
        return out_of_memory(error);

    /* Literals first: they are cheap to look up and often prove that nothing matches. */
    size_t count = 0;
    for (int literals = 1; literals >= 0; literals--) {
        for (size_t i = 0; i < query->matcher_count; i++) {
            const struct matcher *matcher = query->matchers[i];
            if ((matcher->type == MATCHER_EQUAL) != (literals == 1))
                continue;
            enum error_code code = collect(source, query, matcher, &steps[count], error);
            if (code != ERROR_NONE)
                return code;
            if (steps[count].kind == STEP_SELECT && steps[count].list_count == 0) {
                *positions_out = (struct positions){0};
                return ERROR_NONE;
            }
            count++;
        }
    }
    if (is_canceled(query))
        return canceled(error);
    qsort(steps, count, sizeof *steps, step_order);
    return combine(source, query, steps, count, positions_out, error);
}
