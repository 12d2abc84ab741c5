/*
 * alias_table - labels as a sender writes them, hashed, to shard and series id. Private to ingest.
 *
 * Bounded: it doubles up to its maximum, then the least recently used of eight neighbours leaves.
 * Losing an alias costs one look-up by labels, nothing else. Belongs to one loop.
 */
#ifndef INGEST_ALIAS_TABLE_H
#define INGEST_ALIAS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"

enum { ALIAS_WINDOW = 8 };

struct alias {
    struct hash128 hash; /* zero: empty */
    uint64_t series_id;
    uint32_t shard;
    uint32_t used; /* clock of the table when it was last found */
};

struct alias_table {
    struct alias *aliases; /* [capacity + ALIAS_WINDOW] */
    size_t capacity;       /* a power of two */
    size_t capacity_max;
    size_t count;
    uint32_t clock;
    uint64_t evictions;
};

/* About `size_bytes_max` at the most. False when memory is out. */
bool alias_table_init(struct alias_table *table, size_t size_bytes_max);
void alias_table_clear(struct alias_table *table);

static inline void alias_table_prefetch(const struct alias_table *table, struct hash128 hash)
{
    __builtin_prefetch(&table->aliases[hash.low & (table->capacity - 1)]);
}

/* NULL when it is not there. */
struct alias *alias_table_find(struct alias_table *table, struct hash128 hash);

/* Once a request: what is found from now on is younger. */
static inline void alias_table_tick(struct alias_table *table)
{
    table->clock++;
}

void alias_table_put(struct alias_table *table, struct hash128 hash, uint32_t shard,
                     uint64_t series_id);

void alias_table_remove(struct alias_table *table, struct hash128 hash);

#endif
