#include "alias_table.h"

#include <stdlib.h>

enum { CAPACITY_FIRST = 4096 };

bool alias_table_init(struct alias_table *table, size_t size_bytes_max)
{
    *table = (struct alias_table){.capacity = CAPACITY_FIRST, .capacity_max = CAPACITY_FIRST};
    while (table->capacity_max * 2 * sizeof(struct alias) <= size_bytes_max)
        table->capacity_max *= 2;
    table->aliases = calloc(table->capacity + ALIAS_WINDOW, sizeof *table->aliases);
    return table->aliases != NULL;
}

void alias_table_clear(struct alias_table *table)
{
    free(table->aliases);
    *table = (struct alias_table){0};
}

static bool is_empty(const struct alias *alias)
{
    return alias->hash.low == 0 && alias->hash.high == 0;
}

struct alias *alias_table_find(struct alias_table *table, struct hash128 hash)
{
    struct alias *home = &table->aliases[hash.low & (table->capacity - 1)];
    for (size_t i = 0; i < ALIAS_WINDOW; i++) {
        if (hash128_equal(home[i].hash, hash)) {
            home[i].used = table->clock;
            return &home[i];
        }
    }
    return NULL;
}

/* An empty place in the window of `hash`, or NULL. */
static struct alias *empty_place(struct alias *aliases, size_t capacity, struct hash128 hash)
{
    struct alias *home = &aliases[hash.low & (capacity - 1)];
    for (size_t i = 0; i < ALIAS_WINDOW; i++)
        if (is_empty(&home[i]))
            return &home[i];
    return NULL;
}

static bool grow(struct alias_table *table)
{
    size_t capacity = table->capacity * 2;
    if (capacity > table->capacity_max)
        return false;
    struct alias *aliases = calloc(capacity + ALIAS_WINDOW, sizeof *aliases);
    if (aliases == NULL)
        return false;
    size_t count = 0;
    for (size_t i = 0; i < table->capacity + ALIAS_WINDOW; i++) {
        const struct alias *alias = &table->aliases[i];
        if (is_empty(alias))
            continue;
        struct alias *place = empty_place(aliases, capacity, alias->hash);
        if (place == NULL)
            continue; /* lost: looked up by labels when it is needed */
        *place = *alias;
        count++;
    }
    free(table->aliases);
    table->aliases = aliases;
    table->capacity = capacity;
    table->count = count;
    return true;
}

static struct alias *oldest_place(struct alias_table *table, struct hash128 hash)
{
    struct alias *home = &table->aliases[hash.low & (table->capacity - 1)];
    struct alias *oldest = home;
    for (size_t i = 1; i < ALIAS_WINDOW; i++)
        if (table->clock - home[i].used > table->clock - oldest->used)
            oldest = &home[i];
    return oldest;
}

void alias_table_put(struct alias_table *table, struct hash128 hash, uint32_t shard,
                     uint64_t series_id)
{
    struct alias *place = alias_table_find(table, hash);
    if (place == NULL) {
        place = empty_place(table->aliases, table->capacity, hash);
        if (place == NULL && grow(table))
            place = empty_place(table->aliases, table->capacity, hash);
        if (place == NULL) {
            place = oldest_place(table, hash);
            table->evictions++;
        } else {
            table->count++;
        }
    }
    *place = (struct alias){hash, series_id, shard, table->clock};
}

void alias_table_remove(struct alias_table *table, struct hash128 hash)
{
    struct alias *place = alias_table_find(table, hash);
    if (place == NULL)
        return;
    *place = (struct alias){0};
    table->count--;
}
