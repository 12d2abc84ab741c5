/*
 * Names and values of labels among selected series.
 *
 * Few series: read their labels and collect what is in them. Many: walk the names (values) of the
 * index and keep those with a posting among the series.
 */
#include <assert.h>
#include <string.h>

#include "model/index_source.h"

enum {
    /* Up to so many series, their labels are read. */
    FEW_POSITIONS = 2048,
    LABEL_BATCH = 512,
};

/* --- A set of texts ------------------------------------------------------------------------- */

struct text_set {
    struct text *slots; /* [capacity], data NULL: free */
    size_t capacity;    /* a power of two */
    size_t count;
    uint64_t seed; /* unknown to who sends labels */
};

static struct text *text_set_slot(struct text *slots, size_t capacity, uint64_t seed,
                                  struct text text)
{
    size_t at = hash64(text.data, text.size, seed) & (capacity - 1);
    while (slots[at].data != NULL && !text_equal(slots[at], text))
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

static bool text_set_grow(struct text_set *set, struct arena *arena)
{
    size_t capacity = set->capacity == 0 ? 64 : set->capacity * 2;
    struct text *slots = arena_array(arena, capacity, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < set->capacity; i++)
        if (set->slots[i].data != NULL)
            *text_set_slot(slots, capacity, set->seed, set->slots[i]) = set->slots[i];
    set->slots = slots;
    set->capacity = capacity;
    return true;
}

/* Add a copy of `text` in the arena; *added_out tells whether it is new. False: no memory. */
static bool text_set_add(struct text_set *set, struct arena *arena, struct text text,
                         bool *added_out)
{
    if (2 * set->count >= set->capacity && !text_set_grow(set, arena))
        return false;
    struct text *slot = text_set_slot(set->slots, set->capacity, set->seed, text);
    *added_out = slot->data == NULL;
    if (!*added_out)
        return true;
    *slot = arena_copy_text(arena, text);
    set->count++;
    return slot->data != NULL;
}

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

static enum error_code report(struct wanted *wanted, struct text_set *set, struct arena *arena,
                              struct text text, struct error *error)
{
    bool added = false;
    if (!text_set_add(set, arena, text, &added))
        return out_of_memory(error);
    if (added && !wanted->visit(wanted->context, text))
        wanted->stopped = true;
    return ERROR_NONE;
}

static enum error_code report_labels(struct wanted *wanted, struct text_set *set,
                                     struct arena *arena, struct labels labels, struct error *error)
{
    if (wanted->name != NULL) {
        struct text value = labels_get(labels, *wanted->name);
        return value.size == 0 ? ERROR_NONE : report(wanted, set, arena, value, error);
    }
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    while (!wanted->stopped && labels_next(&cursor, &label)) {
        enum error_code code = report(wanted, set, arena, label.name, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static enum error_code visit_few(struct index_source *source, const struct index_query *query,
                                 struct positions positions, struct wanted *wanted,
                                 struct error *error)
{
    /* The system places memory at random. */
    struct text_set set = {.seed = (uintptr_t)query->arena};
    struct labels *labels = arena_array(query->arena, LABEL_BATCH, sizeof *labels);
    if (labels == NULL)
        return out_of_memory(error);
    for (size_t first = 0; first < positions.count && !wanted->stopped; first += LABEL_BATCH) {
        size_t count =
            positions.count - first < LABEL_BATCH ? positions.count - first : LABEL_BATCH;
        struct positions batch = {.items = positions.items + first, .count = count};
        enum error_code code = check_canceled(query, error);
        if (code == ERROR_NONE)
            code = source->operations->labels(source, batch, query->arena, labels, error);
        for (size_t i = 0; code == ERROR_NONE && i < count && !wanted->stopped; i++)
            code = report_labels(wanted, &set, query->arena, labels[i], error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
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

static bool position_bits_overlap(const struct position_bits *bits, struct positions list)
{
    for (size_t i = 0; i < list.count && list.items[i] <= bits->last; i++)
        if (bits->words[list.items[i] / 64] >> (list.items[i] % 64) & 1)
            return true;
    return false;
}

struct value_walk {
    struct index_source *source;
    const struct index_query *query;
    const struct position_bits *bits;
    struct arena *scratch; /* reset for each list */
    struct wanted *wanted;
    bool name_found; /* names: one value of the name has a selected series */
    enum error_code code;
    struct error *error;
};

static bool walk_value(void *context, struct text value, struct index_postings postings)
{
    struct value_walk *walk = context;
    struct positions list;
    arena_reset(walk->scratch);
    walk->code = check_canceled(walk->query, walk->error);
    if (walk->code == ERROR_NONE)
        walk->code = walk->source->operations->read(walk->source, walk->query->tenant, postings,
                                                    walk->scratch, &list, walk->error);
    if (walk->code != ERROR_NONE)
        return false;
    if (!position_bits_overlap(walk->bits, list))
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
                                  struct positions positions, struct wanted *wanted,
                                  struct error *error)
{
    struct position_bits bits;
    if (!position_bits_build(query->arena, positions, &bits))
        return out_of_memory(error);
    struct value_walk walk = {.source = source,
                              .query = query,
                              .bits = &bits,
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

/* --- Public ----------------------------------------------------------------------------------- */

static enum error_code visit_wanted(struct index_source *source, const struct index_query *query,
                                    struct positions positions, struct wanted *wanted,
                                    struct error *error)
{
    if (positions.count == 0)
        return ERROR_NONE;
    if (positions.count <= FEW_POSITIONS)
        return visit_few(source, query, positions, wanted, error);
    return visit_many(source, query, positions, wanted, error);
}

enum error_code index_names_of(struct index_source *source, const struct index_query *query,
                               struct positions positions, index_name_visit *visit, void *context,
                               struct error *error)
{
    struct wanted wanted = {.visit = visit, .context = context};
    return visit_wanted(source, query, positions, &wanted, error);
}

enum error_code index_values_of(struct index_source *source, const struct index_query *query,
                                struct positions positions, struct text name,
                                index_name_visit *visit, void *context, struct error *error)
{
    struct wanted wanted = {.name = &name, .visit = visit, .context = context};
    return visit_wanted(source, query, positions, &wanted, error);
}

enum error_code index_label_names(struct index_source *source, const struct index_query *query,
                                  index_name_visit *visit, void *context, struct error *error)
{
    if (query->matcher_count == 0)
        return source->operations->names(source, query->tenant, visit, context, error);
    struct positions positions;
    enum error_code code = index_select(source, query, &positions, error);
    if (code != ERROR_NONE)
        return code;
    return index_names_of(source, query, positions, visit, context, error);
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
    if (query->matcher_count == 0) {
        struct value_relay relay = {.visit = visit, .context = context};
        return source->operations->values(source, query->tenant, name, (struct text){0},
                                          relay_value, &relay, error);
    }
    struct positions positions;
    enum error_code code = index_select(source, query, &positions, error);
    if (code != ERROR_NONE)
        return code;
    return index_values_of(source, query, positions, name, visit, context, error);
}
