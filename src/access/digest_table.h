/*
 * digest_table - a bounded set of digests; who was not asked for longest in his place leaves first.
 *
 * Not thread-safe. A digest's place is given by its own bits, which are as good as random, so a
 * flood of others pushes out a given one only after about as many as there are places.
 */
#ifndef ACCESS_DIGEST_TABLE_H
#define ACCESS_DIGEST_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "digest.h"

enum { DIGEST_TABLE_WAYS = 4 };

struct digest_slot {
    struct digest digest;
    uint64_t used; /* stamp; 0: empty */
};

struct digest_table {
    struct digest_slot *slots; /* [set_count * DIGEST_TABLE_WAYS] */
    size_t set_count;          /* a power of two */
    uint64_t stamp;
};

/* False: out of memory. */
bool digest_table_init(struct digest_table *table, size_t set_count);
void digest_table_clear(struct digest_table *table); /* releases the memory */

bool digest_table_has(struct digest_table *table, const struct digest *digest);
void digest_table_add(struct digest_table *table, const struct digest *digest);

#endif
