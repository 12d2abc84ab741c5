#include "alias_table.h"

#include <stdlib.h>
#include <sys/mman.h>

_Static_assert(sizeof(struct alias) == 32, "two in a line of the cache");

enum {
    COUNT_MAX_LEAST = 4096,
    INDEX_CAPACITY_FIRST = 8192,
    /* Places that the hand looks at for one that is quiet, before the table grows; and when it is
     * full. */
    HAND_STEPS = 16,
    HAND_STEPS_MAX = 64,
    /* Its series is gone, or sent so seldom that decoding it costs little. */
    QUIET_S = 30 * 60,
    /* Those that are sent all the time were used since. */
    LATELY_S = 2 * 60,
};

/* --- Index: open addressing with linear probing ----------------------------------------------- */

static size_t home_of(const struct alias_table *table, struct hash128 hash)
{
    return hash.low & (table->index_capacity - 1);
}

/* The index entry of `hash`, or the empty one where it would go. */
static size_t index_find(const struct alias_table *table, struct hash128 hash)
{
    size_t at = home_of(table, hash);
    while (table->index[at] != 0 && !hash128_equal(table->aliases[table->index[at] - 1].hash, hash))
        at = (at + 1) & (table->index_capacity - 1);
    return at;
}

/* Empty the entry and close the gap, so that later ones of its run are still found. */
static void index_remove(struct alias_table *table, size_t gap)
{
    size_t mask = table->index_capacity - 1;
    size_t at = gap;
    while (true) {
        at = (at + 1) & mask;
        if (table->index[at] == 0)
            break;
        size_t home = home_of(table, table->aliases[table->index[at] - 1].hash);
        /* It may move into the gap unless its home lies between the gap and itself. */
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            table->index[gap] = table->index[at];
            gap = at;
        }
    }
    table->index[gap] = 0;
}

static bool is_removed(const struct alias *alias)
{
    return alias->hash.low == 0 && alias->hash.high == 0;
}

static bool index_grow(struct alias_table *table)
{
    size_t capacity = table->index_capacity * 2;
    uint32_t *index = calloc(capacity, sizeof *index);
    if (index == NULL)
        return false;
    free(table->index);
    table->index = index;
    table->index_capacity = capacity;
    for (size_t i = 0; i < table->count; i++) {
        if (i + ALIAS_PREFETCH < table->count)
            alias_table_prefetch(table, table->aliases[i + ALIAS_PREFETCH].hash);
        if (!is_removed(&table->aliases[i]))
            index[index_find(table, table->aliases[i].hash)] = (uint32_t)i + 1;
    }
    return true;
}

/* --- Life ------------------------------------------------------------------------------------- */

bool alias_table_init(struct alias_table *table, size_t size_bytes_max)
{
    /* An alias and its share of an index that is at most half full. */
    size_t alias_bytes = sizeof(struct alias) + 4 * sizeof(uint32_t);
    *table = (struct alias_table){.count_max = size_bytes_max / alias_bytes,
                                  .index_capacity = INDEX_CAPACITY_FIRST};
    if (table->count_max < COUNT_MAX_LEAST)
        table->count_max = COUNT_MAX_LEAST;
    if (table->count_max > UINT32_MAX / 2)
        table->count_max = UINT32_MAX / 2;
    /* Address space only: pages come as they are written, and nothing is ever moved. */
    table->aliases = mmap(NULL, table->count_max * sizeof *table->aliases, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table->aliases == MAP_FAILED)
        table->aliases = NULL;
    table->index = calloc(table->index_capacity, sizeof *table->index);
    if (table->aliases != NULL && table->index != NULL)
        return true;
    alias_table_clear(table);
    return false;
}

void alias_table_clear(struct alias_table *table)
{
    if (table->aliases != NULL)
        munmap(table->aliases, table->count_max * sizeof *table->aliases);
    free(table->index);
    *table = (struct alias_table){0};
}

/* --- Aliases ---------------------------------------------------------------------------------- */

struct alias *alias_table_find(struct alias_table *table, struct hash128 hash)
{
    uint32_t entry = table->index[index_find(table, hash)];
    if (entry == 0)
        return NULL;
    table->aliases[entry - 1].used_s = table->clock_s;
    return &table->aliases[entry - 1];
}

/* Move the hand to a place that is free or was not used for so long; false when there is none
 * within so many steps. */
static bool find_quiet_place(struct alias_table *table, int32_t quiet_s, size_t steps)
{
    for (size_t step = 0; step < steps && table->count > 0; step++) {
        const struct alias *alias = &table->aliases[table->hand];
        if (is_removed(alias) || (int32_t)(table->clock_s - alias->used_s) > quiet_s)
            return true;
        table->hand = (table->hand + 1) % table->count;
    }
    return false;
}

/* A place for one more: of one that is quiet, behind the last, or of one not used lately. */
static size_t take_place(struct alias_table *table)
{
    bool found = find_quiet_place(table, QUIET_S, HAND_STEPS);
    if (!found && table->count < table->count_max) {
        if ((table->count + 1) * 2 <= table->index_capacity || index_grow(table))
            return table->count++;
        if (table->count + 1 < table->index_capacity)
            return table->count++; /* fuller than it should be, but right */
    }
    if (!found)
        (void)find_quiet_place(table, LATELY_S, HAND_STEPS_MAX); /* else any */
    size_t place = table->hand;
    table->hand = (table->hand + 1) % table->count;
    if (!is_removed(&table->aliases[place])) {
        index_remove(table, index_find(table, table->aliases[place].hash));
        table->evictions++;
    }
    return place;
}

void alias_table_put(struct alias_table *table, struct hash128 hash, struct alias_target target)
{
    const struct alias alias = {hash, target.series_id, target.shard, target.slot, table->clock_s};
    struct alias *known = alias_table_find(table, hash);
    if (known != NULL) {
        *known = alias;
        return;
    }
    size_t place = take_place(table);
    table->aliases[place] = alias;
    table->index[index_find(table, hash)] = (uint32_t)place + 1;
}

void alias_table_remove(struct alias_table *table, struct hash128 hash)
{
    size_t at = index_find(table, hash);
    if (table->index[at] == 0)
        return;
    struct alias *alias = &table->aliases[table->index[at] - 1];
    index_remove(table, at);
    *alias = (struct alias){0};
}

size_t alias_table_size_bytes(const struct alias_table *table)
{
    return table->count * sizeof *table->aliases + table->index_capacity * sizeof *table->index;
}
