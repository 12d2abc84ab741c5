#include "label_table.h"

#include <string.h>

enum { SLOTS_FIRST = 16, NUMBERS_MAX = INT32_MAX };

/* Tables live as long as a query and order nothing, so the seed need not be secret. */
enum { TABLE_SEED = 1 };

void label_table_init(struct label_table *table, struct arena *arena)
{
    *table = (struct label_table){.arena = arena};
}

static uint64_t labels_key(struct labels labels)
{
    return hash64(labels.bytes, labels.size, TABLE_SEED);
}

/* The slot that holds `labels`, or the free one where they belong. */
static size_t slot_of(const struct label_table *table, struct labels labels, uint64_t hash)
{
    size_t slot = hash & (table->slot_count - 1);
    while (table->slots[slot] != 0) {
        size_t number = table->slots[slot] - 1;
        if (table->hashes[number] == hash && labels_equal(table->labels[number], labels))
            break;
        slot = (slot + 1) & (table->slot_count - 1);
    }
    return slot;
}

static bool table_grow(struct label_table *table)
{
    size_t capacity = table->capacity == 0 ? SLOTS_FIRST / 2 : table->capacity * 2;
    struct labels *labels =
        arena_grow(table->arena, table->labels, table->capacity, capacity, sizeof *labels);
    if (labels == NULL)
        return false;
    table->labels = labels;
    uint64_t *hashes =
        arena_grow(table->arena, table->hashes, table->capacity, capacity, sizeof *hashes);
    if (hashes == NULL)
        return false;
    table->hashes = hashes;
    uint32_t *slots = arena_array(table->arena, capacity * 2, sizeof *slots);
    if (slots == NULL)
        return false;
    table->capacity = capacity;
    table->slots = slots;
    table->slot_count = capacity * 2;
    for (size_t number = 0; number < table->count; number++) {
        size_t slot = hashes[number] & (table->slot_count - 1);
        while (slots[slot] != 0)
            slot = (slot + 1) & (table->slot_count - 1);
        slots[slot] = (uint32_t)number + 1;
    }
    return true;
}

size_t label_table_find(const struct label_table *table, struct labels labels)
{
    if (table->count == 0)
        return LABEL_TABLE_NONE;
    uint32_t entry = table->slots[slot_of(table, labels, labels_key(labels))];
    return entry == 0 ? LABEL_TABLE_NONE : entry - 1;
}

bool label_table_add(struct label_table *table, struct labels labels, size_t *number_out)
{
    if (table->count > 0 && labels_equal(table->labels[table->latest], labels)) {
        *number_out = table->latest;
        return true;
    }
    uint64_t hash = labels_key(labels);
    if (table->count > 0) {
        uint32_t entry = table->slots[slot_of(table, labels, hash)];
        if (entry != 0) {
            *number_out = table->latest = entry - 1;
            return true;
        }
    }
    if (table->count == NUMBERS_MAX || (table->count == table->capacity && !table_grow(table)))
        return false;
    struct labels copy = labels.size == 0 ? (struct labels){0} : labels_copy(table->arena, labels);
    if (copy.bytes == NULL && labels.size > 0)
        return false;
    table->slots[slot_of(table, labels, hash)] = (uint32_t)table->count + 1;
    table->labels[table->count] = copy;
    table->hashes[table->count] = hash;
    *number_out = table->latest = table->count++;
    return true;
}
