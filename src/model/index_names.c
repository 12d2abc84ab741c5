/*
 * Names and values of labels among selected series.
 *
 * Few series: read their labels and collect what is in them. Many: walk the names (values) of the
 * index and keep those with a posting among the series; the first that counts is enough, and what
 * has been found before is not looked for.
 */
#include <assert.h>

#include "model/index_source.h"

enum {
    /* Up to so many series, their labels are read. */
    FEW_POSITIONS = 2048,
    LABEL_BATCH = 512,
    FIRST_POSITIONS = 4,
};

/* What is looked for: every name, or the values of one. */
struct wanted {
    const struct text *name; /* NULL: names */
    struct text_set *found;
};

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

static enum error_code add_found(const struct wanted *wanted, struct text text, struct error *error)
{
    return text_set_add(wanted->found, text) == TEXT_SET_OUT_OF_MEMORY ? out_of_memory(error)
                                                                       : ERROR_NONE;
}

/* --- Few series ------------------------------------------------------------------------------- */

static enum error_code add_labels(const struct wanted *wanted, struct labels labels,
                                  struct error *error)
{
    if (wanted->name != NULL) {
        struct text value = labels_get(labels, *wanted->name);
        return value.size == 0 ? ERROR_NONE : add_found(wanted, value, error);
    }
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && labels_next(&cursor, &label))
        code = add_found(wanted, label.name, error);
    return code;
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
                                 struct positions positions, const struct wanted *wanted,
                                 struct error *error)
{
    struct labels *labels = arena_array(query->arena, LABEL_BATCH, sizeof *labels);
    if (labels == NULL)
        return out_of_memory(error);
    enum error_code code = filter_positions(query, &positions, error);
    for (size_t first = 0; code == ERROR_NONE && first < positions.count; first += LABEL_BATCH) {
        size_t count =
            positions.count - first < LABEL_BATCH ? positions.count - first : LABEL_BATCH;
        struct positions batch = {.items = positions.items + first, .count = count};
        code = check_canceled(query, error);
        if (code == ERROR_NONE)
            code = source->operations->labels(source, batch, query->arena, labels, error);
        for (size_t i = 0; code == ERROR_NONE && i < count; i++)
            code = add_labels(wanted, labels[i], error);
    }
    return code;
}

/* --- Sets of positions ------------------------------------------------------------------------ */

/* One bit per position; grows as positions are added. Zero is the empty set. */
struct position_bits {
    uint64_t *words; /* [word_count], in the query's arena */
    size_t word_count;
};

static bool position_bits_contain(const struct position_bits *bits, uint32_t position)
{
    return position / 64 < bits->word_count &&
           (bits->words[position / 64] >> (position % 64) & 1) != 0;
}

static bool position_bits_add(struct position_bits *bits, struct arena *arena, uint32_t position)
{
    size_t word = position / 64;
    if (word >= bits->word_count) {
        size_t count = (word + 1) * 2;
        uint64_t *words = arena_grow(arena, bits->words, bits->word_count, count, sizeof *words);
        if (words == NULL)
            return false;
        *bits = (struct position_bits){words, count};
    }
    bits->words[word] |= UINT64_C(1) << (position % 64);
    return true;
}

/* From the last on, so that the memory is taken at once. */
static bool position_bits_build(struct position_bits *bits, struct arena *arena,
                                struct positions positions)
{
    for (size_t i = positions.count; i > 0; i--)
        if (!position_bits_add(bits, arena, positions.items[i - 1]))
            return false;
    return true;
}

/* --- Many series ------------------------------------------------------------------------------ */

struct value_walk {
    struct index_source *source;
    const struct index_query *query;
    const struct position_bits *selected; /* NULL: every series */
    struct position_bits refused;         /* by the filter: not to be asked again */
    struct arena *scratch;                /* reset for each list */
    const struct wanted *wanted;
    bool name_found; /* names: one value of the name has a series that counts */
    enum error_code code;
    struct error *error;
};

static enum error_code ask_filter(struct value_walk *walk, uint32_t position, bool *keeps_out)
{
    struct index_filter *filter = walk->query->filter;
    *keeps_out = filter == NULL;
    if (filter == NULL || position_bits_contain(&walk->refused, position))
        return ERROR_NONE;
    enum error_code code = filter->keeps(filter, position, keeps_out, walk->error);
    if (code == ERROR_NONE && !*keeps_out &&
        !position_bits_add(&walk->refused, walk->query->arena, position))
        return out_of_memory(walk->error);
    return code;
}

/* Whether one of the list is selected and counts. */
static enum error_code walk_some(struct value_walk *walk, struct index_postings postings,
                                 bool *found_out)
{
    struct positions list;
    arena_reset(walk->scratch);
    enum error_code code = check_canceled(walk->query, walk->error);
    if (code == ERROR_NONE)
        code = walk->source->operations->read(walk->source, walk->query->tenant, postings,
                                              walk->scratch, &list, walk->error);
    for (size_t i = 0; code == ERROR_NONE && !*found_out && i < list.count; i++)
        if (walk->selected == NULL || position_bits_contain(walk->selected, list.items[i]))
            code = ask_filter(walk, list.items[i], found_out);
    return code;
}

/* Mostly the first series counts: do not read all for it. */
static enum error_code walk_list(struct value_walk *walk, struct index_postings postings,
                                 bool *found_out)
{
    struct index_postings first = postings;
    enum error_code code = ERROR_NONE;
    if (walk->selected == NULL && postings.count > FIRST_POSITIONS) {
        first.count = FIRST_POSITIONS;
        code = walk_some(walk, first, found_out);
    }
    return code != ERROR_NONE || *found_out ? code : walk_some(walk, postings, found_out);
}

static bool walk_value(void *context, struct text value, struct index_postings postings)
{
    struct value_walk *walk = context;
    bool is_value_wanted = walk->wanted->name != NULL;
    if (is_value_wanted && text_set_contains(walk->wanted->found, value))
        return true;
    bool found = false;
    walk->code = walk_list(walk, postings, &found);
    if (walk->code == ERROR_NONE && found && is_value_wanted)
        walk->code = add_found(walk->wanted, value, walk->error);
    walk->name_found = found;
    return walk->code == ERROR_NONE && (is_value_wanted || !found);
}

static bool walk_name(void *context, struct text name)
{
    struct value_walk *walk = context;
    if (text_set_contains(walk->wanted->found, name))
        return true;
    walk->name_found = false;
    enum error_code code = walk->source->operations->values(
        walk->source, walk->query->tenant, name, (struct text){0}, walk_value, walk, walk->error);
    if (walk->code == ERROR_NONE)
        walk->code = code;
    if (walk->code == ERROR_NONE && walk->name_found)
        walk->code = add_found(walk->wanted, name, walk->error);
    return walk->code == ERROR_NONE;
}

static enum error_code visit_many(struct index_source *source, const struct index_query *query,
                                  const struct position_bits *selected, const struct wanted *wanted,
                                  struct error *error)
{
    struct value_walk walk = {.source = source,
                              .query = query,
                              .selected = selected,
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

/* --- All that the index has ------------------------------------------------------------------- */

struct add_all {
    const struct wanted *wanted;
    enum error_code code;
    struct error *error;
};

static bool add_name(void *context, struct text name)
{
    struct add_all *all = context;
    all->code = add_found(all->wanted, name, all->error);
    return all->code == ERROR_NONE;
}

static bool add_value(void *context, struct text value, struct index_postings postings)
{
    (void)postings;
    return add_name(context, value);
}

static enum error_code visit_all(struct index_source *source, const struct index_query *query,
                                 const struct wanted *wanted, struct error *error)
{
    struct add_all all = {.wanted = wanted, .error = error};
    enum error_code code;
    if (wanted->name == NULL)
        code = source->operations->names(source, query->tenant, add_name, &all, error);
    else
        code = source->operations->values(source, query->tenant, *wanted->name, (struct text){0},
                                          add_value, &all, error);
    return all.code != ERROR_NONE ? all.code : code;
}

/* --- Public ----------------------------------------------------------------------------------- */

static enum error_code visit_wanted(struct index_source *source, const struct index_query *query,
                                    const struct wanted *wanted, struct error *error)
{
    assert(query->arena != NULL);
    if (query->matcher_count == 0)
        return query->filter == NULL ? visit_all(source, query, wanted, error)
                                     : visit_many(source, query, NULL, wanted, error);
    struct positions positions;
    struct position_bits selected = {0};
    enum error_code code = index_select(source, query, &positions, error);
    if (code != ERROR_NONE || positions.count == 0)
        return code;
    if (positions.count <= FEW_POSITIONS)
        return visit_few(source, query, positions, wanted, error);
    if (!position_bits_build(&selected, query->arena, positions))
        return out_of_memory(error);
    return visit_many(source, query, &selected, wanted, error);
}

enum error_code index_label_names(struct index_source *source, const struct index_query *query,
                                  struct text_set *names, struct error *error)
{
    return visit_wanted(source, query, &(struct wanted){.found = names}, error);
}

enum error_code index_label_values(struct index_source *source, const struct index_query *query,
                                   struct text name, struct text_set *values, struct error *error)
{
    return visit_wanted(source, query, &(struct wanted){.name = &name, .found = values}, error);
}
