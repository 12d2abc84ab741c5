#include "alias_table.h"

#include <sys/mman.h>

enum { CAPACITY_FIRST = 4096 };

/*
 * Look-ups are random, so with small pages most of their time is the page walk. Zeroed, from the
 * system, in large pages where it has them.
 */
static size_t table_bytes(size_t capacity)
{
    return (capacity + ALIAS_WINDOW) * sizeof(struct alias);
}

static struct alias *table_create(size_t capacity)
{
    void *memory = mmap(NULL, table_bytes(capacity), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, table_bytes(capacity), MADV_HUGEPAGE); /* only a wish */
    return memory;
}

static void table_destroy(struct alias *aliases, size_t capacity)
{
    if (aliases != NULL)
        munmap(aliases, table_bytes(capacity));
}

bool alias_table_init(struct alias_table *table, size_t size_bytes_max)
{
    *table = (struct alias_table){.capacity = CAPACITY_FIRST, .capacity_max = CAPACITY_FIRST};
    while (table->capacity_max * 2 * sizeof(struct alias) <= size_bytes_max)
        table->capacity_max *= 2;
    table->aliases = table_create(table->capacity);
    return table->aliases != NULL;
}

void alias_table_clear(struct alias_table *table)
{
    table_destroy(table->aliases, table->capacity);
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
    struct alias *aliases = table_create(capacity);
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
    table_destroy(table->aliases, table->capacity);
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
