/*
 * node_bucket - the object store of a node, whose it is, and what is counted of it.
 *
 * Nothing is written to a bucket but by its owner: a cluster, or a node alone. Who leads the meta
 * group, or is alone, puts the claim where there is none, looks again a moment later whether it is
 * still its own (stores know no conditions: of two who claim at once the last one has it), and all
 * nodes look from then on now and then.
 */
#ifndef SERVER_NODE_BUCKET_H
#define SERVER_NODE_BUCKET_H

#include "node_private.h"
#include "object/object_store_options.h"
#include "shard/bucket_claim.h"
#include "shard/shard_bucket.h"

/* What the settings say of it, without metrics; texts are the settings'. */
struct object_store_options node_bucket_options(const struct settings *settings);

/* NULL stays where object_store.type is none. Errors: INVALID, NOT_FOUND, IO, OUT_OF_MEMORY. */
enum error_code node_open_bucket(struct node *node, struct error *error);
/* No shard uses it any more, and no job runs. */
void node_close_bucket(struct node *node);

/* What the shards upload to; NULL: nothing. */
struct shard_bucket *node_bucket_shared(const struct node *node);

/* On loop 0, often: see whose it is, when that is due. */
void node_bucket_look(struct node *node);

/* On loop 0, when the node ends: a look that is under way ends soon. */
void node_bucket_stop(struct node *node);

/* False when memory is out. */
bool node_add_bucket_metrics(struct node *node);

#endif
