/*
 * The memory index as the evaluation of matchers sees it (model/index_source.h).
 */
#include "memory_index_internal.h"

static const struct memory_index *index_of(const struct index_source *source)
{
    return (const struct memory_index *)source;
}

/* Positions of series whose adding is over: later ones have no labels yet. */
static enum error_code list_read(const struct memory_index *index, const struct posting_list *list,
                                 size_t count, struct arena *arena, struct positions *positions_out,
                                 struct error *error)
{
    uint32_t limit = (uint32_t)memory_index_count(index);
    uint32_t *items = arena_allocate(arena, count * sizeof *items);
    if (items == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "memory index: positions");
    struct posting_cursor cursor = posting_list_begin(list, count, limit);
    *positions_out =
        (struct positions){.items = items, .count = posting_cursor_read(&cursor, items, count)};
    return ERROR_NONE;
}

static enum error_code source_all(struct index_source *self, struct text tenant,
                                  struct arena *arena, struct positions *positions_out,
                                  struct error *error)
{
    const struct memory_index *index = index_of(self);
    uint32_t number;
    const struct index_tenant *found = memory_index_find_tenant(index, tenant, &number);
    if (found == NULL) {
        *positions_out = (struct positions){0};
        return ERROR_NONE;
    }
    return list_read(index, &found->series, posting_list_count(&found->series), arena,
                     positions_out, error);
}

static enum error_code source_names(struct index_source *self, struct text tenant,
                                    index_name_visit *visit, void *context, struct error *error)
{
    (void)error;
    uint32_t number;
    const struct index_tenant *found = memory_index_find_tenant(index_of(self), tenant, &number);
    if (found == NULL)
        return ERROR_NONE;
    for (const struct index_name *name = atomic_load_explicit(&found->names, memory_order_acquire);
         name != NULL; name = name->next) {
        if (atomic_load_explicit(&name->in_use, memory_order_relaxed) &&
            !visit(context, name->text))
            break;
    }
    return ERROR_NONE;
}

static struct index_postings postings_of(const struct index_pair *pair)
{
    return (struct index_postings){.count = posting_list_count(&pair->series),
                                   .first = (uintptr_t)pair};
}

static enum error_code source_values(struct index_source *self, struct text tenant,
                                     struct text name, struct text prefix, index_value_visit *visit,
                                     void *context, struct error *error)
{
    (void)error;
    const struct memory_index *index = index_of(self);
    uint32_t number;
    if (memory_index_find_tenant(index, tenant, &number) == NULL)
        return ERROR_NONE;
    const struct index_name *found = memory_index_find_name(index, number, name);
    if (found == NULL)
        return ERROR_NONE;
    for (const struct index_pair *pair = atomic_load_explicit(&found->pairs, memory_order_acquire);
         pair != NULL; pair = pair->next) {
        struct text value = index_pair_value(pair);
        struct index_postings postings = postings_of(pair);
        if (postings.count > 0 && text_starts_with(value, prefix) &&
            !visit(context, value, postings))
            break;
    }
    return ERROR_NONE;
}

static enum error_code source_find(struct index_source *self, struct text tenant, struct text name,
                                   struct text value, struct index_postings *postings_out,
                                   struct error *error)
{
    (void)error;
    const struct memory_index *index = index_of(self);
    uint32_t tenant_number;
    uint32_t pair_number;
    *postings_out = (struct index_postings){0};
    if (memory_index_find_tenant(index, tenant, &tenant_number) == NULL)
        return ERROR_NONE;
    uint64_t hash = memory_index_pair_hash(index, tenant_number, name, value);
    if (memory_index_find_pair(index, hash, tenant_number, name, value, &pair_number))
        *postings_out = postings_of(memory_index_pair(index, pair_number));
    return ERROR_NONE;
}

static enum error_code source_read(struct index_source *self, struct text tenant,
                                   struct index_postings postings, struct arena *arena,
                                   struct positions *positions_out, struct error *error)
{
    (void)tenant;
    if (postings.count == 0) {
        *positions_out = (struct positions){0};
        return ERROR_NONE;
    }
    const struct index_pair *pair = (const struct index_pair *)(uintptr_t)postings.first;
    return list_read(index_of(self), &pair->series, postings.count, arena, positions_out, error);
}

static enum error_code source_walk(struct index_source *self, struct text tenant,
                                   struct index_postings postings, index_positions_visit *visit,
                                   void *context, struct error *error)
{
    (void)tenant;
    (void)error;
    enum { BATCH_POSITIONS = 256 };
    uint32_t batch[BATCH_POSITIONS];
    if (postings.count == 0)
        return ERROR_NONE;
    const struct index_pair *pair = (const struct index_pair *)(uintptr_t)postings.first;
    uint32_t limit = (uint32_t)memory_index_count(index_of(self));
    struct posting_cursor cursor = posting_list_begin(&pair->series, postings.count, limit);
    for (size_t count; (count = posting_cursor_read(&cursor, batch, BATCH_POSITIONS)) > 0;)
        visit(context, (struct positions){batch, count});
    return ERROR_NONE;
}

static uint32_t source_position_end(struct index_source *self)
{
    return (uint32_t)memory_index_count(index_of(self));
}

static enum error_code source_labels(struct index_source *self, struct positions positions,
                                     struct arena *arena, struct labels *labels_out,
                                     struct error *error)
{
    const struct memory_index *index = index_of(self);
    size_t count = memory_index_count(index);
    for (size_t i = 0; i < positions.count; i++) {
        if (positions.items[i] >= count)
            return error_set(error, ERROR_NOT_FOUND, "memory index: position %u",
                             positions.items[i]);
        labels_out[i] =
            memory_index_labels(index, paged_table_find(&index->series, positions.items[i]), arena);
        if (labels_out[i].bytes == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "memory index: labels");
    }
    return ERROR_NONE;
}

static enum error_code source_slots(struct index_source *self, struct positions positions,
                                    uint16_t *slots_out, struct error *error)
{
    const struct memory_index *index = index_of(self);
    uint64_t first_id = memory_index_first_id(index), target_id;
    for (size_t i = 0; i < positions.count; i++)
        if (!memory_index_target(index, first_id + positions.items[i], &target_id, &slots_out[i]))
            return error_set(error, ERROR_NOT_FOUND, "memory index: position %u",
                             positions.items[i]);
    return ERROR_NONE;
}

const struct index_source_operations MEMORY_INDEX_OPERATIONS = {
    .all = source_all,
    .names = source_names,
    .values = source_values,
    .find = source_find,
    .read = source_read,
    .walk = source_walk,
    .position_end = source_position_end,
    .labels = source_labels,
    .slots = source_slots,
};
