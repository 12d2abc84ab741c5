/*
 * memory_index_internal - the memory index as its source files share it.
 *
 * Tenants hold names, names hold pairs (a name with one of its values), pairs hold postings. What
 * was made for a series that could not be added stays, with no series: readers skip it.
 */
#ifndef HEAD_MEMORY_INDEX_INTERNAL_H
#define HEAD_MEMORY_INDEX_INTERNAL_H

#include "base/limits.h"
#include "hash_table.h"
#include "head/memory_index.h"
#include "paged_table.h"
#include "pool.h"
#include "posting_list.h"

struct index_pair {
    struct index_name *name;
    const uint8_t *bytes;    /* canonical: varint, name, varint, value */
    struct index_pair *next; /* of the same name */
    uint32_t size_bytes;
    uint32_t value_offset; /* of the value's characters in `bytes` */
    struct posting_list series;
};

struct index_name {
    struct text text;
    uint32_t tenant;
    atomic_bool in_use;      /* a series has it */
    struct index_name *next; /* of the same tenant */
    _Atomic(struct index_pair *) pairs;
};

struct index_tenant {
    struct text text;
    _Atomic(struct index_name *) names;
    struct posting_list series;
};

struct index_series {
    const uint8_t *pairs; /* [label_count] numbers as varints, in the order of the labels */
    uint64_t target_id;
    uint32_t tenant;
    uint16_t slot;
    uint16_t label_count;
};

struct memory_index {
    struct index_source source; /* first */
    _Atomic uint32_t references;
    struct memory_index_options options;
    struct pool pool;
    _Atomic uint32_t count; /* stored last */
    _Atomic uint32_t tenant_count;
    uint32_t name_count;
    uint32_t pair_count;
    struct paged_table series; /* by position */
    struct paged_table tenants;
    struct paged_table names;
    struct paged_table pairs;
    struct hash_table series_by_labels;
    struct hash_table tenants_by_text;
    struct hash_table names_by_text;
    struct hash_table pairs_by_text;

    /* The pairs of the series added last: neighbours share most of them. Writer only. */
    uint32_t last_tenant;
    uint32_t last_count;
    struct index_known_pair {
        struct index_pair *pair;
        uint32_t number;
    } last_pairs[LABELS_PER_SERIES_MAX];
};

extern const struct index_source_operations MEMORY_INDEX_OPERATIONS;

static inline struct text index_pair_value(const struct index_pair *pair)
{
    return (struct text){.data = (const char *)pair->bytes + pair->value_offset,
                         .size = pair->size_bytes - pair->value_offset};
}

static inline struct index_pair *memory_index_pair(const struct memory_index *index,
                                                   uint32_t number)
{
    return paged_table_find(&index->pairs, number);
}

/* All of them: NULL when there is none; any thread. */
struct index_tenant *memory_index_find_tenant(const struct memory_index *index, struct text tenant,
                                              uint32_t *number_out);
struct index_name *memory_index_find_name(const struct memory_index *index, uint32_t tenant,
                                          struct text name);

/* The number of a pair; false when there is none. `hash` is memory_index_pair_hash. */
bool memory_index_find_pair(const struct memory_index *index, uint64_t hash, uint32_t tenant,
                            struct text name, struct text value, uint32_t *number_out);
uint64_t memory_index_pair_hash(const struct memory_index *index, uint32_t tenant, struct text name,
                                struct text value);

/* The labels of a series below the count, in `arena`; bytes is NULL when memory is out. */
struct labels memory_index_labels(const struct memory_index *index,
                                  const struct index_series *series, struct arena *arena);

#endif
