/*
 * extent_table - which extents of objects are near, and in what place. Private to shard: the
 * cache's, under its lock.
 *
 *   (absent) -- claimed --> FILLING -- its bytes came --> READY: in memory, in the file, or both
 *                              |                            |
 *                              +-- they did not come        +-- neither any more --> (absent)
 *
 * What is pinned stays where it is. Nothing here reads, writes or waits.
 */
#ifndef SHARD_EXTENT_TABLE_H
#define SHARD_EXTENT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"

#define EXTENT_NO_SLOT UINT32_MAX

enum extent_state { EXTENT_FILLING, EXTENT_READY };

struct extent {
    struct hash128 object; /* of its key */
    uint32_t number;       /* in the object */
    uint32_t size_bytes;
    enum extent_state state;
    bool referenced; /* since the hand of the slots was here */
    uint32_t pins;
    uint8_t *bytes; /* [size_bytes], owned; NULL: not in memory */
    uint32_t slot;  /* of the file; EXTENT_NO_SLOT: none */
    uint64_t hash;  /* of the bytes in the slot */
    struct extent *chain;
    struct extent *newer; /* in memory, by last use */
    struct extent *older;
};

struct extent_table {
    struct extent **buckets; /* [bucket_count], a power of two */
    size_t bucket_count;
    size_t count;

    struct extent *newest; /* in memory */
    struct extent *oldest;
    uint64_t memory_bytes;
    uint64_t memory_bytes_max;

    struct extent **slots; /* [slot_count], NULL: free */
    uint32_t slot_count;
    uint32_t slot_used; /* no slot from here on was ever taken */
    uint32_t slot_hand;
    uint64_t slot_bytes;
    uint64_t slot_evictions;
};

/* `slot_count` may be 0. False: out of memory. */
bool extent_table_init(struct extent_table *table, uint64_t memory_bytes_max, uint32_t slot_count);
void extent_table_clear(struct extent_table *table); /* nothing is pinned */

struct extent *extent_find(const struct extent_table *table, struct hash128 object,
                           uint32_t number);

/* A new one, FILLING and pinned once. NULL: out of memory. */
struct extent *extent_claim(struct extent_table *table, struct hash128 object, uint32_t number,
                            uint32_t size_bytes);

/* Its bytes are there, from malloc and the table's from now on. */
void extent_keep(struct extent_table *table, struct extent *extent, uint8_t *bytes);

/* It was used. */
void extent_touch(struct extent_table *table, struct extent *extent);

/* It was claimed in vain, or what its slot holds is not it: away with it when nobody else has it
 * pinned, out of its slot in any case. Takes one pin. */
void extent_drop(struct extent_table *table, struct extent *extent);

/* Takes one pin. */
void extent_unpin(struct extent_table *table, struct extent *extent);

/* A slot for an extent that is pinned until it is placed or the slot is given back: a free one, or
 * that of one not used for long. EXTENT_NO_SLOT: all are pinned. */
uint32_t extent_take_slot(struct extent_table *table, struct extent *extent);
void extent_place(struct extent_table *table, struct extent *extent, uint32_t slot, uint64_t hash);
void extent_give_back_slot(struct extent_table *table, uint32_t slot);

#endif
