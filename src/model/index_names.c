/*
 * Names and values of labels among selected series.
 *
 * Few series: read their labels and collect what is in them. Many: walk the names (values) of the
 * index and keep those with a posting among the series; the first that counts is enough.
 */
#include <assert.h>

#include "base/text_set.h"
#include "model/index_source.h"

enum {
    /* Up to so many series, their labels are read. */
    FEW_POSITIONS = 2048,
    LABEL_BATCH = 512,
};

/* --- Few series ------------------------------------------------------------------------------- */

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "label names and values");
}

static enum error_code check_canceled(const struct index_query *query, struct error *error)
{
    if (query->canceled != NULL && atomic_load_explicit(query->canceled, memory_order_relaxed))
        return error_set(error, ERROR_CANCELED, "query canceled");
    return ERROR_NONE;
}

/* What is asked of each label set: every name, or the value of one. */
struct wanted {
    const struct text *name; /* NULL: names */
    index_name_visit *visit;
    void *context;
    bool stopped;
};

static enum error_code report(struct wanted *wanted, struct text_set *set, struct text text,
                              struct error *error)
{
    enum text_set_outcome outcome = text_set_add(set, text);
    if (outcome == TEXT_SET_OUT_OF_MEMORY)
        return out_of_memory(error);
    if (outcome == TEXT_SET_NEW && !wanted->visit(wanted->context, text))
        wanted->stopped = true;
    return ERROR_NONE;
}

static enum error_code report_labels(struct wanted *wanted, struct text_set *set,
                                     struct labels labels, struct error *error)
{
    if (wanted->name != NULL) {
        struct text value = labels_get(labels, *wanted->name);
        return value.size == 0 ? ERROR_NONE : report(wanted, set, value, error);
    }
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    while (!wanted->stopped && labels_next(&cursor, &label)) {
        enum error_code code = report(wanted, set, label.name, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* Leave out what the filter does not keep. */
static enum error_code filter_positions(const struct index_query *query,
                                        struct positions *positions, struct error *error)
{
    if (query->filter == NULL)
        return ERROR_NONE;
    uint32_t *items = arena_array(query->arena, positions->count, sizeof *items);
    if (items == NULL)
        return out_of_memory(error);
    size_t count = 0;
    for (size_t i = 0; i < positions->count; i++) {
        bool keeps = false;
        enum error_code code =
            query->filter->keeps(query->filter, positions->items[i], &keeps, error);
        if (code != ERROR_NONE)
            return code;
        if (keeps)
            items[count++] = positions->items[i];
    }
    *positions = (struct positions){.items = items, .count = count};
    return ERROR_NONE;
}

static enum error_code visit_few(struct index_source *source, const struct index_query *query,
                                 struct positions positions, struct wanted *wanted,
                                 struct error *error)
{
    struct text_set set = {.arena = query->arena};
    struct labels *labels = arena_array(query->arena, LABEL_BATCH, sizeof *labels);
    if (labels == NULL)
        return out_of_memory(error);
    enum error_code code = filter_positions(query, &positions, error);
    for (size_t first = 0; code == ERROR_NONE && first < positions.count && !wanted->stopped;
         first += LABEL_BATCH) {
        size_t count =
            positions.count - first < LABEL_BATCH ? positions.count - first : LABEL_BATCH;
        struct positions batch = {.items = positions.items + first, .count = count};
        code = check_canceled(query, error);
        if (code == ERROR_NONE)
            code = source->operations->labels(source, batch, query->arena, labels, error);
        for (size_t i = 0; code == ERROR_NONE && i < count && !wanted->stopped; i++)
            code = report_labels(wanted, &set, labels[i], error);
    }
    return code;
}

/* --- Many series ------------------------------------------------------------------------------ */

/* One bit per position, for quick tests of lists against a large selection. */
struct position_bits {
    uint64_t *words;
    uint32_t last; /* the highest position */
};

static bool position_bits_build(struct arena *arena, struct positions positions,
                                struct position_bits *bits_out)
{
    assert(positions.count > 0);
    uint32_t last = positions.items[positions.count - 1];
    uint64_t *words = arena_array(arena, (size_t)last / 64 + 1, sizeof *words);
    if (words == NULL)
        return false;
    for (size_t i = 0; i < positions.count; i++)
        words[positions.items[i] / 64] |= UINT64_C(1) << (positions.items[i] % 64);
    *bits_out = (struct position_bits){.words = words, .last = last};
    return true;
}

static bool position_bits_contain(const struct position_bits *bits, uint32_t position)
{
    return position <= bits->last && (bits->words[position / 64] >> (position % 64) & 1) != 0;
}

static void position_bits_remove(struct position_bits *bits, uint32_t position)
{
    bits->words[position / 64] &= ~(UINT64_C(1) << (position % 64));
}

struct value_walk {
    struct index_source *source;
    const struct index_query *query;
    struct position_bits *bits; /* NULL: every series was selected */
    struct arena *scratch;      /* reset for each list */
    struct wanted *wanted;
    bool name_found; /* names: one value of the name has a selected series */
    enum error_code code;
    struct error *error;
};

/* Whether one of the list is selected and kept; what the filter refuses is not asked again. */
static enum error_code walk_list(struct value_walk *walk, struct positions list, bool *found_out)
{
    struct index_filter *filter = walk->query->filter;
    bool found = false;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && !found && i < list.count; i++) {
        uint32_t position = list.items[i];
        if (walk->bits != NULL && !position_bits_contain(walk->bits, position))
            continue;
        found = filter == NULL;
        if (filter != NULL)
            code = filter->keeps(filter, position, &found, walk->error);
        if (!found && walk->bits != NULL)
            position_bits_remove(walk->bits, position);
    }
    *found_out = found;
    return code;
}

static bool walk_value(void *context, struct text value, struct index_postings postings)
{
    struct value_walk *walk = context;
    struct positions list;
    arena_reset(walk->scratch);
    walk->code = check_canceled(walk->query, walk->error);
    if (walk->code == ERROR_NONE)
        walk->code = walk->source->operations->read(walk->source, walk->query->tenant, postings,
                                                    walk->scratch, &list, walk->error);
    bool found = false;
    if (walk->code == ERROR_NONE)
        walk->code = walk_list(walk, list, &found);
    if (walk->code != ERROR_NONE)
        return false;
    if (!found)
        return true;
    if (walk->wanted->name == NULL) {
        walk->name_found = true;
        return false;
    }
    walk->wanted->stopped = !walk->wanted->visit(walk->wanted->context, value);
    return !walk->wanted->stopped;
}

static bool walk_name(void *context, struct text name)
{
    struct value_walk *walk = context;
    walk->name_found = false;
    enum error_code code = walk->source->operations->values(
        walk->source, walk->query->tenant, name, (struct text){0}, walk_value, walk, walk->error);
    if (walk->code == ERROR_NONE)
        walk->code = code;
    if (walk->code != ERROR_NONE)
        return false;
    if (walk->name_found)
        walk->wanted->stopped = !walk->wanted->visit(walk->wanted->context, name);
    return !walk->wanted->stopped;
}

static enum error_code visit_many(struct index_source *source, const struct index_query *query,
                                  struct position_bits *bits, struct wanted *wanted,
                                  struct error *error)
{
    struct value_walk walk = {.source = source,
                              .query = query,
                              .bits = bits,
                              .scratch = arena_create(0),
                              .wanted = wanted,
                              .error = error};
    if (walk.scratch == NULL)
        return out_of_memory(error);
    enum error_code code;
    if (wanted->name == NULL)
        code = source->operations->names(source, query->tenant, walk_name, &walk, error);
    else
        code = source->operations->values(source, query->tenant, *wanted->name, (struct text){0},
                                          walk_value, &walk, error);
    arena_destroy(walk.scratch);
    return walk.code != ERROR_NONE ? walk.code : code;
}

static enum error_code visit_selected(struct index_source *source, const struct index_query *query,
                                      struct wanted *wanted, struct error *error)
{
    struct positions positions;
    struct position_bits bits;
    enum error_code code = index_select(source, query, &positions, error);
    if (code != ERROR_NONE || positions.count == 0)
        return code;
    if (positions.count <= FEW_POSITIONS)
        return visit_few(source, query, positions, wanted, error);
    if (!position_bits_build(query->arena, positions, &bits))
        return out_of_memory(error);
    return visit_many(source, query, &bits, wanted, error);
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code index_label_names(struct index_source *source, const struct index_query *query,
                                  index_name_visit *visit, void *context, struct error *error)
{
    if (query->matcher_count == 0 && query->filter == NULL)
        return source->operations->names(source, query->tenant, visit, context, error);
    struct wanted wanted = {.visit = visit, .context = context};
    return visit_selected(source, query, &wanted, error);
}

/* Hands a value on without its postings. */
struct value_relay {
    index_name_visit *visit;
    void *context;
};

static bool relay_value(void *context, struct text value, struct index_postings postings)
{
    (void)postings;
    struct value_relay *relay = context;
    return relay->visit(relay->context, value);
}

enum error_code index_label_values(struct index_source *source, const struct index_query *query,
                                   struct text name, index_name_visit *visit, void *context,
                                   struct error *error)
{
    if (query->matcher_count == 0 && query->filter == NULL) {
        struct value_relay relay = {.visit = visit, .context = context};
        return source->operations->values(source, query->tenant, name, (struct text){0},
                                          relay_value, &relay, error);
    }
    struct wanted wanted = {.name = &name, .visit = visit, .context = context};
    if (query->matcher_count == 0) /* a series has one value, so none is asked twice */
        return visit_many(source, query, NULL, &wanted, error);
    return visit_selected(source, query, &wanted, error);
}
