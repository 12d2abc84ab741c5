/*
 * replicas - what fanout reads of the replicas of its node: a seam, so that tests need none.
 *
 * Every replica is held while it is used. Any thread.
 */
#ifndef FANOUT_REPLICAS_H
#define FANOUT_REPLICAS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "promql/metadata_source.h"
#include "promql/series_source.h"
#include "replica/replica_table.h"

struct fanout_replicas;

/* Whether a replica still leads; the caller's until `done`. */
struct fanout_confirm {
    /* NONE: all that was committed before the call can be read. UNAVAILABLE. Any thread. */
    void (*done)(struct fanout_confirm *confirm, const struct error *error);
};

/* Of a replica that is held. */
struct fanout_replica {
    uint32_t shard_id;
    void *handle; /* the operations' own */
};

struct fanout_replicas_operations {
    /* Behind the last shard that ever had a replica here. */
    uint32_t (*end)(struct fanout_replicas *self);
    /* False: none here. Otherwise to be released. */
    bool (*hold)(struct fanout_replicas *self, uint32_t shard_id,
                 struct fanout_replica *replica_out);
    void (*release)(struct fanout_replicas *self, struct fanout_replica *replica);
    /* As replica_is_ready, replica_is_readable, replica_leader, replica_applied_index. */
    bool (*is_ready)(struct fanout_replicas *self, const struct fanout_replica *replica);
    bool (*is_readable)(struct fanout_replicas *self, const struct fanout_replica *replica,
                        uint64_t least_index);
    uint64_t (*leader)(struct fanout_replicas *self, const struct fanout_replica *replica);
    uint64_t (*applied_index)(struct fanout_replicas *self, const struct fanout_replica *replica);
    /* As shard_read_window_versions. */
    void (*window_versions)(struct fanout_replicas *self, const struct fanout_replica *replica,
                            int64_t first, size_t count, uint64_t *versions_out);
    /* How often the shard was split, in what is read now. */
    uint32_t (*splits)(struct fanout_replicas *self, const struct fanout_replica *replica);
    void (*confirm)(struct fanout_replicas *self, const struct fanout_replica *replica,
                    struct fanout_confirm *confirm);
    struct series_source *(*source)(struct fanout_replicas *self,
                                    const struct fanout_replica *replica);
    /* Visits on the calling thread. */
    enum error_code (*visit_metadata)(struct fanout_replicas *self,
                                      const struct fanout_replica *replica,
                                      const struct metadata_request *request, bool *damaged_out,
                                      struct error *error);
};

struct fanout_replicas {
    const struct fanout_replicas_operations *operations;
};

/* Those of a table, which outlives it. Errors: OUT_OF_MEMORY. */
enum error_code fanout_replicas_create(struct replica_table *table,
                                       struct fanout_replicas **replicas_out, struct error *error);
void fanout_replicas_destroy(struct fanout_replicas *replicas); /* NULL is fine */

#endif
