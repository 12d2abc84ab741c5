/*
 * replica_table - the replicas that this node has, by shard, while they come and go.
 *
 * Whoever uses a replica holds it meanwhile; one that was taken out is closed only when nobody
 * holds it. Holding costs two atomic operations and never waits. Thread-safe.
 */
#ifndef REPLICA_REPLICA_TABLE_H
#define REPLICA_REPLICA_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct replica;
struct replica_table;

/* Shards 0..shard_max-1. Errors: OUT_OF_MEMORY. */
enum error_code replica_table_create(uint32_t shard_max, struct replica_table **table_out,
                                     struct error *error);

/* Of replicas nobody holds; they are not the table's. NULL is fine. */
void replica_table_destroy(struct replica_table *table);

/* Behind the last shard that ever had a replica here. */
uint32_t replica_table_end(const struct replica_table *table);

/* The shard has none. */
void replica_table_put(struct replica_table *table, uint32_t shard_id, struct replica *replica);

/* Nobody gets it any more. NULL: there was none. */
struct replica *replica_table_take(struct replica_table *table, uint32_t shard_id);

/* Whether somebody holds what was taken. */
bool replica_table_is_held(const struct replica_table *table, uint32_t shard_id);

/* NULL: none here, or a shard beyond the table. Otherwise to be released. */
struct replica *replica_table_hold(struct replica_table *table, uint32_t shard_id);
void replica_table_release(struct replica_table *table, uint32_t shard_id);

/* Each replica that is there, by shard; held while it is visited. */
typedef void replica_visit(void *context, uint32_t shard_id, struct replica *replica);
void replica_table_visit(struct replica_table *table, replica_visit *visit, void *context);

#endif
