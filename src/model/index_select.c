/*
 * The evaluation of matchers over an index.
 *
 * A matcher that the empty value does not satisfy selects the union of the postings of its
 * matching values. One that the empty value satisfies also selects series that lack the label,
 * which no postings list; so it takes away the union of the postings of the values that do not
 * match. Selecting matchers run from the fewest positions to the most, then those that take away.
 * Where literals leave few series, the other matchers look at the labels of those instead.
 */
#include <assert.h>
#include <stdlib.h>

#include "model/index_source.h"
#include "model/label_identity.h"

enum {
    /* Values looked at between two looks at the flag. */
    CANCEL_INTERVAL = 256,
    /* When literals leave so few, their labels are matched instead of all values of an index. */
    FILTER_POSITIONS_MAX = 1024,
    FILTER_BATCH = 256,
};

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

static enum step_kind step_kind_of(const struct matcher *matcher)
{
    return matcher_matches_empty(matcher) ? STEP_TAKE_AWAY : STEP_SELECT;
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
    *step = (struct step){.kind = step_kind_of(matcher)};
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

/* Many short lists against one: found in it, not walked over with it. */
static enum error_code step_take_away(struct index_source *source, const struct index_query *query,
                                      const struct step *step, struct positions *positions,
                                      struct error *error)
{
    bool *gone = arena_array(query->arena, positions->count, sizeof *gone);
    uint32_t *kept = arena_array(query->arena, positions->count, sizeof *kept);
    if (gone == NULL || kept == NULL)
        return out_of_memory(error);
    for (size_t i = 0; i < step->list_count; i++) {
        struct positions list;
        enum error_code code = read_list(source, query, step->lists[i], &list, error);
        if (code != ERROR_NONE)
            return code;
        positions_mark(*positions, list, gone);
    }
    size_t count = 0;
    for (size_t i = 0; i < positions->count; i++)
        if (!gone[i])
            kept[count++] = positions->items[i];
    *positions = (struct positions){.items = kept, .count = count};
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

/* --- Few series: matching their labels ------------------------------------------------------- */

static bool labels_match(const struct matcher *const *matchers, size_t count, struct labels labels)
{
    for (size_t i = 0; i < count; i++)
        if (!matcher_matches(matchers[i], labels_get(labels, matchers[i]->name)))
            return false;
    return true;
}

static enum error_code filter_batch(struct index_source *source, struct positions batch,
                                    const struct matcher *const *matchers, size_t matcher_count,
                                    struct arena *scratch, uint32_t *kept, size_t *kept_count,
                                    struct error *error)
{
    struct labels *labels = arena_array(scratch, batch.count, sizeof *labels);
    if (labels == NULL)
        return out_of_memory(error);
    enum error_code code = source->operations->labels(source, batch, scratch, labels, error);
    for (size_t i = 0; code == ERROR_NONE && i < batch.count; i++)
        if (labels_match(matchers, matcher_count, labels[i]))
            kept[(*kept_count)++] = batch.items[i];
    return code;
}

/* Keep the positions whose labels satisfy the matchers that need values to be tried. */
static enum error_code filter_by_labels(struct index_source *source,
                                        const struct index_query *query,
                                        const struct matcher *const *matchers, size_t matcher_count,
                                        struct positions *positions, struct error *error)
{
    uint32_t *kept = arena_array(query->arena, positions->count, sizeof *kept);
    struct arena *scratch = arena_create(0);
    enum error_code code = ERROR_NONE;
    size_t kept_count = 0;
    if (kept == NULL || scratch == NULL)
        code = out_of_memory(error);
    for (size_t at = 0; code == ERROR_NONE && at < positions->count; at += FILTER_BATCH) {
        size_t left = positions->count - at;
        struct positions batch = {positions->items + at, left < FILTER_BATCH ? left : FILTER_BATCH};
        arena_reset(scratch);
        code = is_canceled(query) ? canceled(error)
                                  : filter_batch(source, batch, matchers, matcher_count, scratch,
                                                 kept, &kept_count, error);
    }
    arena_destroy(scratch);
    if (code == ERROR_NONE)
        *positions = (struct positions){.items = kept, .count = kept_count};
    return code;
}

/* --- Public ----------------------------------------------------------------------------------- */

/* Whether all values of the matcher's label must be tried to find its lists. */
static bool needs_values(const struct matcher *matcher)
{
    const struct text *values;
    size_t count;
    return !step_literals(matcher, step_kind_of(matcher), &values, &count);
}

/* The steps of the matchers that need values to be tried, or of the others; *none_out: nothing
 * can match. */
static enum error_code collect_steps(struct index_source *source, const struct index_query *query,
                                     bool with_values, struct step *steps, size_t *count,
                                     bool *none_out, struct error *error)
{
    for (size_t i = 0; i < query->matcher_count; i++) {
        const struct matcher *matcher = query->matchers[i];
        if (needs_values(matcher) != with_values)
            continue;
        struct step *step = &steps[*count];
        enum error_code code = collect(source, query, matcher, step, error);
        if (code != ERROR_NONE)
            return code;
        ++*count;
        *none_out = step->kind == STEP_SELECT && step->list_count == 0;
        if (*none_out)
            return ERROR_NONE;
    }
    return ERROR_NONE;
}

/* The most that the steps can leave. */
static uint64_t positions_max(const struct step *steps, size_t count)
{
    uint64_t fewest = UINT64_MAX;
    for (size_t i = 0; i < count; i++)
        if (steps[i].kind == STEP_SELECT && steps[i].position_count < fewest)
            fewest = steps[i].position_count;
    return fewest;
}

/* The one list that is the answer; NULL: it must be put together. */
static const struct index_postings *only_list(const struct step *steps, size_t step_count,
                                              size_t filter_count)
{
    return step_count == 1 && filter_count == 0 && steps[0].kind == STEP_SELECT &&
                   steps[0].list_count == 1
               ? &steps[0].lists[0]
               : NULL;
}

/* What was found out before any positions are read. */
struct outline {
    struct step *steps; /* [count] */
    size_t count;
    const struct matcher **filters; /* [filter_count], to be tried on labels */
    size_t filter_count;
    bool none; /* nothing can match */
};

static enum error_code outline_make(struct index_source *source, const struct index_query *query,
                                    struct outline *outline, struct error *error)
{
    assert(source != NULL && query->arena != NULL);
    *outline = (struct outline){
        .steps = arena_array(query->arena, query->matcher_count, sizeof *outline->steps),
        .filters = arena_array(query->arena, query->matcher_count, sizeof *outline->filters)};
    if (outline->steps == NULL || outline->filters == NULL)
        return out_of_memory(error);

    /* Literals first: they are cheap to look up and often leave little or nothing. */
    enum error_code code =
        collect_steps(source, query, false, outline->steps, &outline->count, &outline->none, error);
    if (code == ERROR_NONE && !outline->none &&
        positions_max(outline->steps, outline->count) <= FILTER_POSITIONS_MAX) {
        for (size_t i = 0; i < query->matcher_count; i++)
            if (needs_values(query->matchers[i]))
                outline->filters[outline->filter_count++] = query->matchers[i];
    } else if (code == ERROR_NONE && !outline->none) {
        code = collect_steps(source, query, true, outline->steps, &outline->count, &outline->none,
                             error);
    }
    if (code == ERROR_NONE && is_canceled(query))
        code = canceled(error);
    return code;
}

static enum error_code outline_follow(struct index_source *source, const struct index_query *query,
                                      struct outline *outline, struct positions *positions_out,
                                      struct error *error)
{
    *positions_out = (struct positions){0};
    if (outline->none)
        return ERROR_NONE;
    qsort(outline->steps, outline->count, sizeof *outline->steps, step_order);
    enum error_code code =
        combine(source, query, outline->steps, outline->count, positions_out, error);
    if (code == ERROR_NONE && outline->filter_count > 0 && positions_out->count > 0)
        code = filter_by_labels(source, query, outline->filters, outline->filter_count,
                                positions_out, error);
    return code;
}

enum error_code index_select(struct index_source *source, const struct index_query *query,
                             struct positions *positions_out, struct error *error)
{
    struct outline outline;
    struct positions positions;
    enum error_code code = outline_make(source, query, &outline, error);
    if (code == ERROR_NONE)
        code = outline_follow(source, query, &outline, &positions, error);
    if (code == ERROR_NONE)
        *positions_out = positions;
    return code;
}

static void add_to_set(void *context, struct positions some)
{
    position_set_add(context, some);
}

enum error_code index_select_set(struct index_source *source, const struct index_query *query,
                                 uint32_t limit, struct position_set *set_out, struct error *error)
{
    struct outline outline;
    struct positions positions = {0};
    enum error_code code = outline_make(source, query, &outline, error);
    const struct index_postings *only =
        code == ERROR_NONE && !outline.none
            ? only_list(outline.steps, outline.count, outline.filter_count)
            : NULL;
    if (code == ERROR_NONE && only == NULL)
        code = outline_follow(source, query, &outline, &positions, error);
    if (code != ERROR_NONE)
        return code;
    uint32_t end = source->operations->position_end(source);
    struct position_set_builder builder;
    if (!position_set_begin(&builder, query->arena, only != NULL ? only->count : positions.count,
                            limit < end ? limit : end))
        return out_of_memory(error);
    if (only != NULL)
        code = source->operations->walk(source, query->tenant, *only, add_to_set, &builder, error);
    else
        position_set_add(&builder, positions);
    if (code == ERROR_NONE)
        *set_out = position_set_finish(&builder);
    return code;
}

enum error_code index_identities(struct index_source *source, struct positions positions,
                                 struct arena *scratch, struct hash128 *identities_out,
                                 struct error *error)
{
    if (source->operations->identities != NULL)
        return source->operations->identities(source, positions, identities_out, error);
    struct labels *labels = arena_array(scratch, positions.count, sizeof *labels);
    if (labels == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "identities of series");
    enum error_code code = source->operations->labels(source, positions, scratch, labels, error);
    for (size_t i = 0; code == ERROR_NONE && i < positions.count; i++)
        identities_out[i] = labels_identity(labels[i]);
    return code;
}
