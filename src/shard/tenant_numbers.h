/*
 * tenant_numbers - the tenants of a shard's live series as small numbers. Private to shard.
 *
 * A tenant has a number while it has a series; with its last series it leaves, and its number is
 * given to another one. Not thread-safe: owned by the registry.
 */
#ifndef SHARD_TENANT_NUMBERS_H
#define SHARD_TENANT_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

struct tenant_item {
    char *name;            /* owned, NUL-terminated, never moved; NULL: the number is free */
    uint64_t series_count; /* of a free one: the next free number + 1, 0: none */
};

struct tenant_numbers {
    struct tenant_item *items; /* [count], room for half of the table */
    uint32_t count;
    uint32_t free_first; /* number + 1, 0: none */
    uint32_t used_count;
    uint32_t latest; /* the number looked up last */
    uint32_t *table; /* [capacity], numbers + 1, open addressing, at most half full */
    size_t capacity; /* a power of two */
};

/* Zeroed memory is an empty one. */
void tenant_numbers_clear(struct tenant_numbers *numbers);

/* The tenant has one series more. Errors: OUT_OF_MEMORY. */
enum error_code tenant_numbers_take(struct tenant_numbers *numbers, struct text tenant,
                                    uint32_t *number_out, struct error *error);

/* It has one less. */
void tenant_numbers_release(struct tenant_numbers *numbers, uint32_t number);

#endif
