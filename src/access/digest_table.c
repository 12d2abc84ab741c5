#include "digest_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool digest_table_init(struct digest_table *table, size_t set_count)
{
    assert(set_count > 0 && (set_count & (set_count - 1)) == 0);
    *table = (struct digest_table){.set_count = set_count};
    table->slots = calloc(set_count * DIGEST_TABLE_WAYS, sizeof *table->slots);
    return table->slots != NULL;
}

void digest_table_clear(struct digest_table *table)
{
    free(table->slots);
    *table = (struct digest_table){0};
}

static struct digest_slot *set_of(struct digest_table *table, const struct digest *digest)
{
    uint64_t bits;
    memcpy(&bits, digest->bytes, sizeof bits);
    return &table->slots[(bits & (table->set_count - 1)) * DIGEST_TABLE_WAYS];
}

static struct digest_slot *find(struct digest_table *table, const struct digest *digest)
{
    struct digest_slot *set = set_of(table, digest);
    struct digest_slot *found = NULL;
    for (size_t i = 0; i < DIGEST_TABLE_WAYS; i++)
        if (digest_equal(&set[i].digest, digest) && set[i].used != 0)
            found = &set[i];
    return found;
}

bool digest_table_has(struct digest_table *table, const struct digest *digest)
{
    struct digest_slot *slot = find(table, digest);
    if (slot != NULL)
        slot->used = ++table->stamp;
    return slot != NULL;
}

void digest_table_add(struct digest_table *table, const struct digest *digest)
{
    struct digest_slot *set = set_of(table, digest);
    struct digest_slot *target = find(table, digest);
    if (target == NULL) {
        target = set;
        for (size_t i = 1; i < DIGEST_TABLE_WAYS; i++)
            if (set[i].used < target->used)
                target = &set[i];
    }
    *target = (struct digest_slot){.digest = *digest, .used = ++table->stamp};
}
