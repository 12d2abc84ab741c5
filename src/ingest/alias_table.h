/*
 * alias_table - labels as a sender writes them, hashed, to shard, slot and series id. Private to
 * ingest. An alias whose slot has left its shard is the user's to pass over.
 *
 * Aliases lie in the order in which they were first seen. A sender sends its series in the same
 * order again and again, so after one alias the next one asked for is mostly its neighbour:
 * alias_table_find_next looks there first, and then needs neither the index nor a cache miss.
 *
 * Bounded: a clock hand looks for aliases that were not used for half an hour, and a new one takes
 * their place before the table grows; so that it stays as large as what is sent, however many
 * series come and go. When it is full, any other than those used lately has to go. Losing an alias
 * costs one look-up by labels, nothing else. Belongs to one loop.
 */
#ifndef INGEST_ALIAS_TABLE_H
#define INGEST_ALIAS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"

/* What labels lead to. */
struct alias_target {
    uint64_t series_id;
    uint16_t shard; /* that gave the id */
    uint16_t slot;
};

struct alias {
    struct hash128 hash; /* zero: removed */
    uint64_t series_id;
    uint16_t shard, slot;
    uint32_t used_s; /* clock of the table when it was last found */
};

struct alias_table {
    struct alias *aliases; /* [count], room for count_max is reserved */
    size_t count;          /* places used, removed ones included */
    size_t count_max;
    uint32_t *index; /* [index_capacity], places + 1 by hash, 0: empty; a power of two */
    size_t index_capacity;
    size_t hand;      /* where the next eviction looks */
    uint32_t clock_s; /* as the caller last said it */
    uint64_t evictions;
};

/* Before the first alias of a request. */
#define ALIAS_NONE SIZE_MAX

/* About `size_bytes_max` at the most, though never less than some thousand aliases. False when
 * memory is out. */
bool alias_table_init(struct alias_table *table, size_t size_bytes_max);
void alias_table_clear(struct alias_table *table);

/* NULL when it is not there. */
struct alias *alias_table_find(struct alias_table *table, struct hash128 hash);

/* The same; *place is that of the alias found before, and becomes that of this one. */
static inline struct alias *alias_table_find_next(struct alias_table *table, struct hash128 hash,
                                                  size_t *place)
{
    size_t next = *place + 1; /* 0 after ALIAS_NONE */
    if (next < table->count && hash128_equal(table->aliases[next].hash, hash)) {
        table->aliases[next].used_s = table->clock_s;
        *place = next;
        return &table->aliases[next];
    }
    struct alias *found = alias_table_find(table, hash);
    if (found != NULL)
        *place = (size_t)(found - table->aliases);
    return found;
}

/* How many aliases ahead of its look-up one is prefetched. */
enum { ALIAS_PREFETCH = 16 };

/* It is looked for or put soon, and not where alias_table_find_next looks first. */
static inline void alias_table_prefetch(const struct alias_table *table, struct hash128 hash)
{
    __builtin_prefetch(&table->index[hash.low & (table->index_capacity - 1)]);
}

/* The time at which the following ones are used; it may jump. */
static inline void alias_table_set_time(struct alias_table *table, int64_t now_ms)
{
    table->clock_s = (uint32_t)(now_ms / 1000);
}

/* A new alias, or new content of one that is there. */
void alias_table_put(struct alias_table *table, struct hash128 hash, struct alias_target target);

void alias_table_remove(struct alias_table *table, struct hash128 hash);

/* Memory in use. */
size_t alias_table_size_bytes(const struct alias_table *table);

#endif
