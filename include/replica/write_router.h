/*
 * write_router - the way of a write to whoever leads its shard; owned by this module, implemented
 * by who knows where leaders are.
 *
 * One attempt a call. UNAVAILABLE may mean that the write is stored: whoever asked builds it anew
 * and sends it again, where it is then a duplicate. (What a shard has looked at is not fit to be
 * sent again: it leaves out what it stored, or thought it would.)
 */
#ifndef REPLICA_WRITE_ROUTER_H
#define REPLICA_WRITE_ROUTER_H

#include <stdint.h>

struct replica_entry;
struct replica_write;
struct write_router;

struct write_router_operations {
    /* On the loop of `write->origin`, where `done` runs, not inside the call. */
    void (*write)(struct write_router *self, uint32_t shard_id, struct replica_write *write);
    /* Likewise an entry that the shard encoded. */
    void (*propose)(struct write_router *self, uint32_t shard_id, struct replica_entry *entry);
};

/* One a loop. */
struct write_router {
    const struct write_router_operations *operations;
};

static inline void write_router_write(struct write_router *router, uint32_t shard_id,
                                      struct replica_write *write)
{
    router->operations->write(router, shard_id, write);
}

static inline void write_router_propose(struct write_router *router, uint32_t shard_id,
                                        struct replica_entry *entry)
{
    router->operations->propose(router, shard_id, entry);
}

#endif
