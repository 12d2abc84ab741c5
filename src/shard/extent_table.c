#include "extent_table.h"

#include <assert.h>
#include <stdlib.h>

enum { BUCKETS_FIRST = 256 };

/* --- The table -------------------------------------------------------------------------------- */

/* The key's hash is as good as random. */
static size_t bucket_of(const struct extent_table *table, struct hash128 object, uint32_t number)
{
    uint64_t mixed = object.low + number * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(mixed ^ mixed >> 32) & (table->bucket_count - 1);
}

struct extent *extent_find(const struct extent_table *table, struct hash128 object, uint32_t number)
{
    struct extent *extent = table->buckets[bucket_of(table, object, number)];
    while (extent != NULL && (extent->number != number || !hash128_equal(extent->object, object)))
        extent = extent->chain;
    return extent;
}

static void table_add(struct extent_table *table, struct extent *extent)
{
    struct extent **link = &table->buckets[bucket_of(table, extent->object, extent->number)];
    extent->chain = *link;
    *link = extent;
}

/* Longer chains will do when memory is out. */
static void table_grow(struct extent_table *table)
{
    struct extent_table grown = {.bucket_count = table->bucket_count * 2};
    grown.buckets = calloc(grown.bucket_count, sizeof(struct extent *));
    if (grown.buckets == NULL)
        return;
    for (size_t i = 0; i < table->bucket_count; i++) {
        struct extent *extent = table->buckets[i];
        while (extent != NULL) {
            struct extent *next = extent->chain;
            table_add(&grown, extent);
            extent = next;
        }
    }
    free(table->buckets);
    table->buckets = grown.buckets;
    table->bucket_count = grown.bucket_count;
}

static void table_remove(struct extent_table *table, struct extent *extent)
{
    struct extent **link = &table->buckets[bucket_of(table, extent->object, extent->number)];
    while (*link != extent)
        link = &(*link)->chain;
    *link = extent->chain;
    table->count--;
}

/* --- In memory -------------------------------------------------------------------------------- */

static void list_add(struct extent_table *table, struct extent *extent)
{
    extent->newer = NULL;
    extent->older = table->newest;
    if (table->newest != NULL)
        table->newest->newer = extent;
    else
        table->oldest = extent;
    table->newest = extent;
}

static void list_remove(struct extent_table *table, struct extent *extent)
{
    if (extent->newer != NULL)
        extent->newer->older = extent->older;
    else
        table->newest = extent->older;
    if (extent->older != NULL)
        extent->older->newer = extent->newer;
    else
        table->oldest = extent->newer;
}

static void forget_bytes(struct extent_table *table, struct extent *extent)
{
    if (extent->bytes == NULL)
        return;
    list_remove(table, extent);
    table->memory_bytes -= extent->size_bytes;
    free(extent->bytes);
    extent->bytes = NULL;
}

static void leave_slot(struct extent_table *table, struct extent *extent)
{
    if (extent->slot == EXTENT_NO_SLOT)
        return;
    table->slots[extent->slot] = NULL;
    table->slot_bytes -= extent->size_bytes;
    extent->slot = EXTENT_NO_SLOT;
}

static void free_when_nowhere(struct extent_table *table, struct extent *extent)
{
    if (extent->pins > 0 || extent->bytes != NULL || extent->slot != EXTENT_NO_SLOT)
        return;
    table_remove(table, extent);
    free(extent);
}

static void evict_from_memory(struct extent_table *table)
{
    struct extent *extent = table->oldest;
    while (extent != NULL && table->memory_bytes > table->memory_bytes_max) {
        struct extent *newer = extent->newer;
        if (extent->pins == 0) {
            forget_bytes(table, extent);
            free_when_nowhere(table, extent);
        }
        extent = newer;
    }
}

/* --- Extents ---------------------------------------------------------------------------------- */

struct extent *extent_claim(struct extent_table *table, struct hash128 object, uint32_t number,
                            uint32_t size_bytes)
{
    if (table->count >= table->bucket_count)
        table_grow(table);
    struct extent *extent = calloc(1, sizeof *extent);
    if (extent == NULL)
        return NULL;
    *extent = (struct extent){.object = object,
                              .number = number,
                              .size_bytes = size_bytes,
                              .state = EXTENT_FILLING,
                              .pins = 1,
                              .slot = EXTENT_NO_SLOT};
    table_add(table, extent);
    table->count++;
    return extent;
}

void extent_keep(struct extent_table *table, struct extent *extent, uint8_t *bytes)
{
    assert(extent->pins > 0 && extent->bytes == NULL);
    extent->bytes = bytes;
    extent->state = EXTENT_READY;
    table->memory_bytes += extent->size_bytes;
    list_add(table, extent);
    evict_from_memory(table);
}

void extent_touch(struct extent_table *table, struct extent *extent)
{
    extent->referenced = true;
    if (extent->bytes == NULL || extent == table->newest)
        return;
    list_remove(table, extent);
    list_add(table, extent);
}

void extent_unpin(struct extent_table *table, struct extent *extent)
{
    assert(extent->pins > 0);
    extent->pins--;
    free_when_nowhere(table, extent);
    evict_from_memory(table);
}

void extent_drop(struct extent_table *table, struct extent *extent)
{
    leave_slot(table, extent);
    extent_unpin(table, extent);
}

/* --- Slots of the file ------------------------------------------------------------------------ */

/* Empty the slot at the hand, if it may be. */
static bool slot_clear(struct extent_table *table, uint32_t slot)
{
    struct extent *extent = table->slots[slot];
    if (extent == NULL)
        return true;
    if (extent->pins > 0)
        return false;
    if (extent->referenced) {
        extent->referenced = false;
        return false;
    }
    leave_slot(table, extent);
    free_when_nowhere(table, extent);
    table->slot_evictions++;
    return true;
}

uint32_t extent_take_slot(struct extent_table *table, struct extent *extent)
{
    assert(extent->pins > 0 && extent->slot == EXTENT_NO_SLOT);
    if (table->slot_used < table->slot_count) {
        table->slots[table->slot_used] = extent;
        return table->slot_used++;
    }
    /* Twice around at most: once to take the marks away. */
    for (uint64_t step = 0; step < 2 * (uint64_t)table->slot_count; step++) {
        uint32_t slot = table->slot_hand;
        table->slot_hand = slot + 1 == table->slot_count ? 0 : slot + 1;
        if (slot_clear(table, slot)) {
            table->slots[slot] = extent;
            return slot;
        }
    }
    return EXTENT_NO_SLOT;
}

void extent_place(struct extent_table *table, struct extent *extent, uint32_t slot, uint64_t hash)
{
    assert(table->slots[slot] == extent && extent->pins > 0);
    extent->slot = slot;
    extent->hash = hash;
    table->slot_bytes += extent->size_bytes;
}

void extent_give_back_slot(struct extent_table *table, uint32_t slot)
{
    table->slots[slot] = NULL;
}

/* --- Lifecycle -------------------------------------------------------------------------------- */

bool extent_table_init(struct extent_table *table, uint64_t memory_bytes_max, uint32_t slot_count)
{
    *table = (struct extent_table){.memory_bytes_max = memory_bytes_max,
                                   .bucket_count = BUCKETS_FIRST,
                                   .slot_count = slot_count};
    table->buckets = calloc(table->bucket_count, sizeof(struct extent *));
    /* A large array comes as untouched pages: slots that are not used cost nothing. */
    table->slots = calloc((size_t)slot_count + 1, sizeof(struct extent *));
    return table->buckets != NULL && table->slots != NULL;
}

void extent_table_clear(struct extent_table *table)
{
    for (size_t i = 0; table->buckets != NULL && i < table->bucket_count; i++) {
        struct extent *extent = table->buckets[i];
        while (extent != NULL) {
            struct extent *next = extent->chain;
            assert(extent->pins == 0);
            free(extent->bytes);
            free(extent);
            extent = next;
        }
    }
    free(table->buckets);
    free(table->slots);
    *table = (struct extent_table){0};
}
