#include "replica/replica_table.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

struct slot {
    _Atomic(struct replica *) replica;
    _Atomic uint64_t holders;
};

struct replica_table {
    uint32_t shard_max;
    _Atomic uint32_t end;
    struct slot slots[]; /* [shard_max] */
};

enum error_code replica_table_create(uint32_t shard_max, struct replica_table **table_out,
                                     struct error *error)
{
    struct replica_table *table = calloc(1, sizeof *table + shard_max * sizeof table->slots[0]);
    if (table == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "table of replicas");
    table->shard_max = shard_max;
    *table_out = table;
    return ERROR_NONE;
}

void replica_table_destroy(struct replica_table *table)
{
    free(table);
}

uint32_t replica_table_end(const struct replica_table *table)
{
    return atomic_load(&table->end);
}

void replica_table_put(struct replica_table *table, uint32_t shard_id, struct replica *replica)
{
    assert(shard_id < table->shard_max);
    assert(atomic_load(&table->slots[shard_id].replica) == NULL);
    atomic_store(&table->slots[shard_id].replica, replica);
    uint32_t end = atomic_load(&table->end);
    while (end <= shard_id && !atomic_compare_exchange_weak(&table->end, &end, shard_id + 1))
        ;
}

struct replica *replica_table_take(struct replica_table *table, uint32_t shard_id)
{
    assert(shard_id < table->shard_max);
    return atomic_exchange(&table->slots[shard_id].replica, NULL);
}

bool replica_table_is_held(const struct replica_table *table, uint32_t shard_id)
{
    assert(shard_id < table->shard_max);
    return atomic_load(&table->slots[shard_id].holders) > 0;
}

struct replica *replica_table_hold(struct replica_table *table, uint32_t shard_id)
{
    if (shard_id >= table->shard_max)
        return NULL;
    struct slot *slot = &table->slots[shard_id];
    if (atomic_load_explicit(&slot->replica, memory_order_relaxed) == NULL)
        return NULL;
    /* Counted before it is looked up: who takes it out sees the count, or we see that it is gone.
     */
    atomic_fetch_add(&slot->holders, 1);
    struct replica *replica = atomic_load(&slot->replica);
    if (replica == NULL)
        atomic_fetch_sub(&slot->holders, 1);
    return replica;
}

void replica_table_release(struct replica_table *table, uint32_t shard_id)
{
    assert(shard_id < table->shard_max);
    atomic_fetch_sub(&table->slots[shard_id].holders, 1);
}

void replica_table_visit(struct replica_table *table, replica_visit *visit, void *context)
{
    uint32_t end = replica_table_end(table);
    for (uint32_t shard = 0; shard < end; shard++) {
        struct replica *replica = replica_table_hold(table, shard);
        if (replica == NULL)
            continue;
        visit(context, shard, replica);
        replica_table_release(table, shard);
    }
}
