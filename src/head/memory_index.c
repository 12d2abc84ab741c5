#include "memory_index_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"

/* --- Lifecycle -------------------------------------------------------------------------------- */

enum error_code memory_index_create(const struct memory_index_options *options,
                                    struct memory_index **index_out, struct error *error)
{
    struct memory_index *index = calloc(1, sizeof *index);
    if (index == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "memory index");
    index->source.operations = &MEMORY_INDEX_OPERATIONS;
    atomic_init(&index->references, 1);
    index->options = *options;
    pool_init(&index->pool, options->memory_limit_bytes, NULL);
    paged_table_init(&index->series, sizeof(struct index_series), 8);
    paged_table_init(&index->tenants, sizeof(struct index_tenant), 8);
    paged_table_init(&index->names, sizeof(struct index_name), 8);
    paged_table_init(&index->pairs, sizeof(struct index_pair), 8);
    *index_out = index;
    return ERROR_NONE;
}

struct memory_index *memory_index_ref(struct memory_index *index)
{
    atomic_fetch_add_explicit(&index->references, 1, memory_order_relaxed);
    return index;
}

void memory_index_unref(struct memory_index *index)
{
    if (index == NULL ||
        atomic_fetch_sub_explicit(&index->references, 1, memory_order_acq_rel) != 1)
        return;
    pool_clear(&index->pool);
    free(index);
}

/* --- Finding ---------------------------------------------------------------------------------- */

static uint64_t text_hash(const struct memory_index *index, struct text text)
{
    return hash64(text.data, text.size, index->options.hash_seed);
}

static uint64_t name_hash(const struct memory_index *index, uint32_t tenant, struct text name)
{
    return hash64(name.data, name.size, index->options.hash_seed + tenant);
}

uint64_t memory_index_pair_hash(const struct memory_index *index, uint32_t tenant, struct text name,
                                struct text value)
{
    return hash64(value.data, value.size, name_hash(index, tenant, name));
}

static uint64_t labels_identity(const struct memory_index *index, uint32_t tenant,
                                struct labels labels)
{
    return hash64(labels.bytes, labels.size, index->options.hash_seed + tenant);
}

struct index_tenant *memory_index_find_tenant(const struct memory_index *index, struct text tenant,
                                              uint32_t *number_out)
{
    struct hash_probe probe = hash_probe_begin(&index->tenants_by_text, text_hash(index, tenant));
    while (hash_probe_next(&probe, number_out)) {
        struct index_tenant *found = paged_table_find(&index->tenants, *number_out);
        if (text_equal(found->text, tenant))
            return found;
    }
    return NULL;
}

struct index_name *memory_index_find_name(const struct memory_index *index, uint32_t tenant,
                                          struct text name)
{
    struct hash_probe probe =
        hash_probe_begin(&index->names_by_text, name_hash(index, tenant, name));
    uint32_t number;
    while (hash_probe_next(&probe, &number)) {
        struct index_name *found = paged_table_find(&index->names, number);
        if (found->tenant == tenant && text_equal(found->text, name))
            return found;
    }
    return NULL;
}

bool memory_index_find_pair(const struct memory_index *index, uint64_t hash, uint32_t tenant,
                            struct text name, struct text value, uint32_t *number_out)
{
    struct hash_probe probe = hash_probe_begin(&index->pairs_by_text, hash);
    while (hash_probe_next(&probe, number_out)) {
        const struct index_pair *pair = memory_index_pair(index, *number_out);
        if (pair->name->tenant == tenant && text_equal(index_pair_value(pair), value) &&
            text_equal(pair->name->text, name))
            return true;
    }
    return false;
}

static const struct index_series *series_at(const struct memory_index *index, uint32_t position)
{
    return paged_table_find(&index->series, position);
}

/* Canonical bytes of labels are those of the pairs one after another. */
static bool series_has_labels(const struct memory_index *index, const struct index_series *series,
                              struct labels labels)
{
    struct byte_reader numbers =
        byte_reader_over(series->pairs, (size_t)series->label_count * VARINT_MAX_BYTES);
    size_t offset = 0;
    for (uint16_t i = 0; i < series->label_count; i++) {
        const struct index_pair *pair =
            memory_index_pair(index, (uint32_t)byte_reader_varint(&numbers));
        if (pair->size_bytes > labels.size - offset ||
            memcmp(labels.bytes + offset, pair->bytes, pair->size_bytes) != 0)
            return false;
        offset += pair->size_bytes;
    }
    return offset == labels.size;
}

static bool find_position(const struct memory_index *index, uint64_t hash, uint32_t tenant,
                          struct labels labels, uint32_t *position_out)
{
    struct hash_probe probe = hash_probe_begin(&index->series_by_labels, hash);
    while (hash_probe_next(&probe, position_out)) {
        const struct index_series *series = series_at(index, *position_out);
        if (series->tenant == tenant && series_has_labels(index, series, labels))
            return true;
    }
    return false;
}

bool memory_index_find(const struct memory_index *index, struct text tenant, struct labels labels,
                       uint64_t *id_out)
{
    uint32_t number;
    uint32_t position;
    if (memory_index_find_tenant(index, tenant, &number) == NULL ||
        !find_position(index, labels_identity(index, number, labels), number, labels, &position))
        return false;
    *id_out = index->options.first_id + position;
    return true;
}

void memory_index_prefetch(const struct memory_index *index, struct labels labels)
{
    hash_table_prefetch(&index->series_by_labels,
                        labels_identity(index, index->last_tenant, labels));
}

/* --- Adding ----------------------------------------------------------------------------------- */

static const char *characters_copy(struct memory_index *index, struct text text)
{
    char *copy = pool_allocate(&index->pool, text.size == 0 ? 1 : text.size, 1);
    if (copy != NULL && text.size > 0)
        memcpy(copy, text.data, text.size);
    return copy;
}

static struct index_tenant *tenant_make(struct memory_index *index, struct text text,
                                        uint32_t *number_out)
{
    struct index_tenant *tenant = memory_index_find_tenant(index, text, number_out);
    if (tenant != NULL)
        return tenant;
    uint64_t hash = text_hash(index, text);
    uint32_t number = atomic_load_explicit(&index->tenant_count, memory_order_relaxed);
    const char *data = characters_copy(index, text);
    tenant = paged_table_add(&index->tenants, &index->pool, number);
    if (data == NULL || tenant == NULL ||
        !hash_table_reserve(&index->tenants_by_text, &index->pool, hash))
        return NULL;
    tenant->text = (struct text){.data = data, .size = text.size};
    hash_table_insert(&index->tenants_by_text, hash, number);
    atomic_store_explicit(&index->tenant_count, number + 1, memory_order_release);
    *number_out = number;
    return tenant;
}

static struct index_name *name_make(struct memory_index *index, struct index_tenant *tenant,
                                    uint32_t tenant_number, struct text text)
{
    struct index_name *name = memory_index_find_name(index, tenant_number, text);
    if (name != NULL)
        return name;
    uint64_t hash = name_hash(index, tenant_number, text);
    const char *data = characters_copy(index, text);
    name = paged_table_add(&index->names, &index->pool, index->name_count);
    if (data == NULL || name == NULL ||
        !hash_table_reserve(&index->names_by_text, &index->pool, hash))
        return NULL;
    name->text = (struct text){.data = data, .size = text.size};
    name->tenant = tenant_number;
    name->next = atomic_load_explicit(&tenant->names, memory_order_relaxed);
    hash_table_insert(&index->names_by_text, hash, index->name_count++);
    atomic_store_explicit(&tenant->names, name, memory_order_release);
    return name;
}

/* One label of the series being added. */
struct adding {
    const uint8_t *bytes;
    uint32_t size_bytes;
    struct text name;
    struct text value;
    uint64_t hash;
    uint32_t number;
    struct index_pair *pair; /* NULL: not found yet */
};

static bool pair_is(const struct index_pair *pair, const struct adding *adding)
{
    return pair->size_bytes == adding->size_bytes &&
           memcmp(pair->bytes, adding->bytes, adding->size_bytes) == 0;
}

static struct index_pair *pair_make(struct memory_index *index, struct index_tenant *tenant,
                                    uint32_t tenant_number, struct adding *adding)
{
    struct hash_probe probe = hash_probe_begin(&index->pairs_by_text, adding->hash);
    while (hash_probe_next(&probe, &adding->number)) {
        struct index_pair *found = memory_index_pair(index, adding->number);
        if (pair_is(found, adding) && found->name->tenant == tenant_number)
            return found;
    }
    struct index_name *name = name_make(index, tenant, tenant_number, adding->name);
    if (name == NULL)
        return NULL;
    struct text canonical = {.data = (const char *)adding->bytes, .size = adding->size_bytes};
    const char *bytes = characters_copy(index, canonical);
    struct index_pair *pair = paged_table_add(&index->pairs, &index->pool, index->pair_count);
    if (bytes == NULL || pair == NULL ||
        !hash_table_reserve(&index->pairs_by_text, &index->pool, adding->hash))
        return NULL;
    pair->name = name;
    pair->bytes = (const uint8_t *)bytes;
    pair->size_bytes = adding->size_bytes;
    pair->value_offset = (uint32_t)((const uint8_t *)adding->value.data - adding->bytes);
    pair->next = atomic_load_explicit(&name->pairs, memory_order_relaxed);
    adding->number = index->pair_count++;
    hash_table_insert(&index->pairs_by_text, adding->hash, adding->number);
    atomic_store_explicit(&name->pairs, pair, memory_order_release);
    return pair;
}

/* The labels apart, their places in the table on the way to the cache. */
static size_t labels_split(const struct memory_index *index, uint32_t tenant, struct labels labels,
                           struct adding *addings)
{
    struct byte_reader reader = byte_reader_over(labels.bytes, labels.size);
    size_t count = 0;
    while (byte_reader_left(&reader) > 0) {
        assert(count < LABELS_PER_SERIES_MAX);
        struct adding *adding = &addings[count++];
        adding->bytes = reader.position;
        adding->name = byte_reader_text(&reader);
        adding->value = byte_reader_text(&reader);
        assert(!reader.failed);
        adding->size_bytes = (uint32_t)(reader.position - adding->bytes);
        const struct index_known_pair *last = &index->last_pairs[count - 1];
        if (tenant == index->last_tenant && count <= index->last_count &&
            pair_is(last->pair, adding)) {
            adding->pair = last->pair;
            adding->number = last->number;
            continue;
        }
        adding->pair = NULL;
        adding->hash = memory_index_pair_hash(index, tenant, adding->name, adding->value);
        hash_table_prefetch(&index->pairs_by_text, adding->hash);
    }
    return count;
}

static const uint8_t *pair_numbers_copy(struct memory_index *index, const struct adding *addings,
                                        size_t count)
{
    uint8_t numbers[LABELS_PER_SERIES_MAX * VARINT_MAX_BYTES];
    uint8_t *end = numbers;
    for (size_t i = 0; i < count; i++)
        end = varint_store(end, addings[i].number);
    size_t size = (size_t)(end - numbers);
    uint8_t *copy = pool_allocate(&index->pool, size, 1);
    if (copy != NULL)
        memcpy(copy, numbers, size);
    return copy;
}

/* Everything that can fail, before anything is seen. */
static struct index_series *series_prepare(struct memory_index *index, struct index_tenant *tenant,
                                           uint32_t tenant_number, uint32_t position, uint64_t hash,
                                           struct adding *addings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (addings[i].pair == NULL)
            addings[i].pair = pair_make(index, tenant, tenant_number, &addings[i]);
        if (addings[i].pair == NULL ||
            !posting_list_reserve(&addings[i].pair->series, &index->pool))
            return NULL;
    }
    if (!posting_list_reserve(&tenant->series, &index->pool) ||
        !hash_table_reserve(&index->series_by_labels, &index->pool, hash))
        return NULL;
    struct index_series *series = paged_table_add(&index->series, &index->pool, position);
    if (series == NULL)
        return NULL;
    series->pairs = pair_numbers_copy(index, addings, count);
    return series->pairs == NULL ? NULL : series;
}

enum error_code memory_index_add(struct memory_index *index, const struct memory_series *series,
                                 uint64_t *id_out, struct error *error)
{
    struct adding addings[LABELS_PER_SERIES_MAX];
    assert(series->labels.size > 0);
    uint32_t tenant_number;
    struct index_tenant *tenant = tenant_make(index, series->tenant, &tenant_number);
    if (tenant == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "memory index");
    uint64_t hash = labels_identity(index, tenant_number, series->labels);
    hash_table_prefetch(&index->series_by_labels, hash);
    size_t count = labels_split(index, tenant_number, series->labels, addings);
    uint32_t position;
    if (find_position(index, hash, tenant_number, series->labels, &position)) {
        *id_out = index->options.first_id + position;
        return error_set(error, ERROR_EXISTS, "memory index: series");
    }
    position = atomic_load_explicit(&index->count, memory_order_relaxed);
    if (position >= MEMORY_INDEX_SERIES_MAX)
        return error_set(error, ERROR_LIMIT, "memory index: %u series", position);
    struct index_series *added =
        series_prepare(index, tenant, tenant_number, position, hash, addings, count);
    if (added == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "memory index");

    added->target_id = series->target_id;
    added->tenant = tenant_number;
    added->slot = series->slot;
    added->label_count = (uint16_t)count;
    index->last_tenant = tenant_number;
    index->last_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        index->last_pairs[i] = (struct index_known_pair){addings[i].pair, addings[i].number};
        posting_list_append(&addings[i].pair->series, position);
        atomic_store_explicit(&addings[i].pair->name->in_use, true, memory_order_relaxed);
    }
    posting_list_append(&tenant->series, position);
    hash_table_insert(&index->series_by_labels, hash, position);
    atomic_store_explicit(&index->count, position + 1, memory_order_release);
    *id_out = index->options.first_id + position;
    return ERROR_NONE;
}

/* --- Looking ---------------------------------------------------------------------------------- */

uint64_t memory_index_first_id(const struct memory_index *index)
{
    return index->options.first_id;
}

size_t memory_index_count(const struct memory_index *index)
{
    return atomic_load_explicit(&index->count, memory_order_acquire);
}

size_t memory_index_tenant_count(const struct memory_index *index)
{
    return atomic_load_explicit(&index->tenant_count, memory_order_acquire);
}

size_t memory_index_size_bytes(const struct memory_index *index)
{
    return pool_size_bytes(&index->pool) + sizeof *index;
}

/* NULL beyond the last id. */
static const struct index_series *series_by_id(const struct memory_index *index, uint64_t id)
{
    uint64_t position = id - index->options.first_id;
    if (id < index->options.first_id || position >= memory_index_count(index))
        return NULL;
    return series_at(index, (uint32_t)position);
}

bool memory_index_target(const struct memory_index *index, uint64_t id, uint64_t *target_id_out,
                         uint16_t *slot_out)
{
    const struct index_series *series = series_by_id(index, id);
    if (series == NULL)
        return false;
    *target_id_out = series->target_id;
    *slot_out = series->slot;
    return true;
}

struct labels memory_index_labels(const struct memory_index *index,
                                  const struct index_series *series, struct arena *arena)
{
    const struct index_pair *pairs[LABELS_PER_SERIES_MAX];
    struct byte_reader numbers =
        byte_reader_over(series->pairs, (size_t)series->label_count * VARINT_MAX_BYTES);
    size_t size = 0;
    for (uint16_t i = 0; i < series->label_count; i++) {
        pairs[i] = memory_index_pair(index, (uint32_t)byte_reader_varint(&numbers));
        size += pairs[i]->size_bytes;
    }
    uint8_t *bytes = arena_allocate(arena, size);
    if (bytes == NULL)
        return (struct labels){0};
    struct labels labels = {.bytes = bytes, .size = (uint32_t)size};
    for (uint16_t i = 0; i < series->label_count; i++) {
        memcpy(bytes, pairs[i]->bytes, pairs[i]->size_bytes);
        bytes += pairs[i]->size_bytes;
    }
    return labels;
}

enum error_code memory_index_get(const struct memory_index *index, uint64_t id, struct arena *arena,
                                 struct memory_series *series_out, struct error *error)
{
    const struct index_series *series = series_by_id(index, id);
    if (series == NULL)
        return error_set(error, ERROR_NOT_FOUND, "memory index: series %llu",
                         (unsigned long long)id);
    struct labels labels = memory_index_labels(index, series, arena);
    if (labels.bytes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "memory index: labels");
    const struct index_tenant *tenant = paged_table_find(&index->tenants, series->tenant);
    *series_out = (struct memory_series){.tenant = tenant->text,
                                         .labels = labels,
                                         .target_id = series->target_id,
                                         .slot = series->slot};
    return ERROR_NONE;
}

struct index_source *memory_index_source(struct memory_index *index)
{
    return &index->source;
}
