/*
 * node_bucket_meta - the meta object of the bucket: how slots are divided and settings of tenants,
 * which who claims the bucket puts there, so that a cluster can be recovered from it
 * (docs/decisions/0071).
 *
 * It is put when it has changed, and every two minutes again, the same bytes under the same key: by
 * its age `gnomon cluster recover` sees whether somebody is alive.
 */
#ifndef SERVER_NODE_BUCKET_META_H
#define SERVER_NODE_BUCKET_META_H

#include "base/bytes.h"
#include "node_private.h"
#include "object/object_store.h"
#include "shard/bucket_meta.h"

/* A cluster whose newest meta object is younger may be alive. */
enum { BUCKET_ALIVE_MS = 3 * 60 * 1000 };

/* What is to be put, and when. Loop 0's, but for what a job does with it. */
struct node_bucket_meta {
    struct bucket_meta_key key;
    struct byte_buffer bytes; /* empty: nothing is to be put */
    uint64_t put_index;       /* that was put last */
    uint64_t put_ms;          /* when, monotonic */
    uint64_t retry_ms;        /* not before, after a failure */
    bool was_put;
    struct error error; /* of the job that put it */
};

/* Whether it changed or is to be put again. */
bool node_bucket_meta_is_due(const struct node *node, const struct node_bucket_meta *meta);

/* Fill in key and bytes. */
void node_bucket_meta_prepare(const struct node *node, uint64_t incarnation,
                              struct node_bucket_meta *meta);

/* On a worker: put what was prepared, and delete those that have had a successor for the grace. */
void node_bucket_meta_put(struct node_bucket_meta *meta, struct object_store *store,
                          const struct object_call *call, uint64_t delete_grace_ms);

/* The job has ended. */
void node_bucket_meta_done(struct node_bucket_meta *meta);

#endif
