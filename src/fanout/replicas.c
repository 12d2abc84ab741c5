#include "fanout/replicas.h"

#include <stdlib.h>

#include "replica/replica.h"
#include "shard/shard.h"
#include "shard/shard_windows.h"

struct table_replicas {
    struct fanout_replicas base; /* first */
    struct replica_table *table;
};

static struct replica_table *table_of(struct fanout_replicas *self)
{
    return ((struct table_replicas *)self)->table;
}

/* --- Holding and state ----------------------------------------------------------------------- */

static uint32_t table_end(struct fanout_replicas *self)
{
    return replica_table_end(table_of(self));
}

static bool table_hold(struct fanout_replicas *self, uint32_t shard_id,
                       struct fanout_replica *replica_out)
{
    struct replica *replica = replica_table_hold(table_of(self), shard_id);
    if (replica != NULL)
        *replica_out = (struct fanout_replica){.shard_id = shard_id, .handle = replica};
    return replica != NULL;
}

static void table_release(struct fanout_replicas *self, struct fanout_replica *replica)
{
    replica_table_release(table_of(self), replica->shard_id);
    replica->handle = NULL;
}

static bool table_is_ready(struct fanout_replicas *self, const struct fanout_replica *replica)
{
    (void)self;
    return replica_is_ready(replica->handle);
}

static bool table_is_readable(struct fanout_replicas *self, const struct fanout_replica *replica,
                              uint64_t least_index)
{
    (void)self;
    return replica_is_readable(replica->handle, least_index);
}

static uint64_t table_leader(struct fanout_replicas *self, const struct fanout_replica *replica)
{
    (void)self;
    return replica_leader(replica->handle);
}

static uint64_t table_applied_index(struct fanout_replicas *self,
                                    const struct fanout_replica *replica)
{
    (void)self;
    return replica_applied_index(replica->handle);
}

static void table_window_versions(struct fanout_replicas *self,
                                  const struct fanout_replica *replica, int64_t first, size_t count,
                                  uint64_t *versions_out)
{
    (void)self;
    shard_read_window_versions(replica_shard(replica->handle), first, count, versions_out);
}

static uint32_t table_splits(struct fanout_replicas *self, const struct fanout_replica *replica)
{
    (void)self;
    return shard_split_count(replica_shard(replica->handle));
}

/* --- Confirming ------------------------------------------------------------------------------ */

struct confirming {
    struct replica_confirm confirm; /* first */
    struct fanout_confirm *asker;
};

static void on_confirmed(struct replica_confirm *confirm, const struct error *error)
{
    struct fanout_confirm *asker = ((struct confirming *)confirm)->asker;
    free(confirm);
    asker->done(asker, error);
}

static void table_confirm(struct fanout_replicas *self, const struct fanout_replica *replica,
                          struct fanout_confirm *confirm)
{
    (void)self;
    struct confirming *confirming = calloc(1, sizeof *confirming);
    if (confirming == NULL) {
        struct error error;
        error_set(&error, ERROR_UNAVAILABLE, "out of memory");
        confirm->done(confirm, &error);
        return;
    }
    confirming->confirm.done = on_confirmed;
    confirming->asker = confirm;
    replica_confirm(replica->handle, &confirming->confirm);
}

/* --- Reading --------------------------------------------------------------------------------- */

static struct series_source *table_source(struct fanout_replicas *self,
                                          const struct fanout_replica *replica)
{
    (void)self;
    return shard_source(replica_shard(replica->handle));
}

static bool visit_wanted(void *context, struct text metric_name,
                         const struct metric_metadata *metadata)
{
    const struct metadata_request *request = context;
    if (request->metric.size > 0 && !text_equal(request->metric, metric_name))
        return true;
    return request->visit(request->context, metric_name, metadata);
}

static enum error_code table_visit_metadata(struct fanout_replicas *self,
                                            const struct fanout_replica *replica,
                                            const struct metadata_request *request,
                                            bool *damaged_out, struct error *error)
{
    (void)self;
    (void)error; /* it cannot fail */
    struct shard *shard = replica_shard(replica->handle);
    shard_visit_metadata(shard, request->tenant, visit_wanted, (void *)request);
    *damaged_out = shard_metadata_is_damaged(shard);
    return ERROR_NONE;
}

static const struct fanout_replicas_operations TABLE_OPERATIONS = {
    .end = table_end,
    .hold = table_hold,
    .release = table_release,
    .is_ready = table_is_ready,
    .is_readable = table_is_readable,
    .leader = table_leader,
    .applied_index = table_applied_index,
    .window_versions = table_window_versions,
    .splits = table_splits,
    .confirm = table_confirm,
    .source = table_source,
    .visit_metadata = table_visit_metadata,
};

/* --- Life ------------------------------------------------------------------------------------ */

enum error_code fanout_replicas_create(struct replica_table *table,
                                       struct fanout_replicas **replicas_out, struct error *error)
{
    struct table_replicas *replicas = malloc(sizeof *replicas);
    if (replicas == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "replicas to query");
    *replicas = (struct table_replicas){.base.operations = &TABLE_OPERATIONS, .table = table};
    *replicas_out = &replicas->base;
    return ERROR_NONE;
}

void fanout_replicas_destroy(struct fanout_replicas *replicas)
{
    free(replicas);
}
