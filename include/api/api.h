/*
 * api - the HTTP endpoints of a node, as Prometheus' clients know them.
 *
 * Handlers run on the loop of their connection; what reads storage runs as a job. Every path under
 * /api/v1/ is there again under /prometheus/api/v1/.
 */
#ifndef API_API_H
#define API_API_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "fanout/fanout.h"
#include "federation/federation.h"
#include "frontend/frontend.h"
#include "http/router.h"
#include "http/server.h"
#include "ingest/ingest.h"
#include "replica/replica.h"
#include "replica/replica_table.h"
#include "telemetry/metrics.h"

struct api;

/* What a loop has for its requests. */
struct api_loop {
    struct scheduler *scheduler;
    struct ingest *ingest;
};

/* A setting as status/flags and status/config show it; texts outlive the api. */
struct api_setting {
    const char *name;
    const char *value;
};

/* Whether a snapshot has what is in memory only. */
enum api_snapshot_head { API_SNAPSHOT_WITH_HEAD, API_SNAPSHOT_SKIPS_HEAD };

/* What an operator asks of a cluster. */
enum api_cluster_action {
    API_CLUSTER_DRAIN,   /* `node` */
    API_CLUSTER_UNDRAIN, /* `node` */
    API_CLUSTER_REMOVE,  /* `node`, `force` */
    API_CLUSTER_REBALANCE,
    API_CLUSTER_REPLICATION, /* `number` */
    API_CLUSTER_HOLD_VERSION,
    API_CLUSTER_RAISE_VERSION,
    API_CLUSTER_SPLIT, /* `number`: the shard; UINT64_MAX: the largest */
    API_CLUSTER_ACTIONS
};

/* Lives during the call. */
struct api_cluster_command {
    enum api_cluster_action action;
    struct text node;
    uint64_t number;
    bool force; /* the node is gone for good, whatever it looks like */
};

/* What an operator asks of replicas. */
enum api_rescue_action {
    API_RESCUE_VERIFY,      /* begin; the answer is the first look */
    API_RESCUE_VERIFY_LOOK, /* `first` */
    API_RESCUE_LOOK,        /* `shard`: what recovering its quorum would do */
    API_RESCUE_RECOVER,     /* `shard` */
};

/* Lives during the call. */
struct api_rescue {
    enum api_rescue_action action;
    uint32_t shard; /* UINT32_MAX: the meta group */
    uint32_t first; /* shard whose outcome is told first */
};

/* What the program itself does when asked. */
struct api_program {
    void *context;
    /* Read settings and certificates again. */
    enum error_code (*reload)(void *context, struct error *error);
    /* Freeze, merge (and upload) all shards; `done` runs on `origin` with the outcome, an error
     * that lives during the call. */
    void (*flush)(void *context, enum flush_reach reach, struct scheduler *origin,
                  void (*done)(void *argument, const struct error *error), void *argument);
    /* Make a directory below the storage directory that a node can be started on. `done` runs on
     * `origin` with its name below snapshots/, or an error that lives during the call. */
    void (*snapshot)(void *context, enum api_snapshot_head head, struct scheduler *origin,
                     void (*done)(void *argument, const char *name, const struct error *error),
                     void *argument);
    /* Delete samples of the matching series in all shards; `done` runs on `origin` with the
     * outcome, an error that lives during the call. The matchers are not kept. */
    void (*delete_series)(void *context, struct scheduler *origin, struct text tenant,
                          const struct matcher *const *matchers, size_t matcher_count,
                          int64_t start_ms, int64_t end_ms,
                          void (*done)(void *argument, const struct error *error), void *argument);
    /* Delete everything that a tenant has so far, in all shards; the outcome says that it is
     * decided. How far it is, ask_tenant tells: the sum of all shards, NULL with an error. `done`
     * runs on `origin`. */
    void (*delete_tenant)(void *context, struct scheduler *origin, struct text tenant,
                          void (*done)(void *argument, const struct error *error), void *argument);
    void (*ask_tenant)(void *context, struct scheduler *origin, struct text tenant,
                       void (*done)(void *argument, const struct shard_tenant_state *state,
                                    const struct error *error),
                       void *argument);
    /* The nodes and shards as JSON, the value of `data`; `done` runs on `origin` with it, whose
     * memory it clears, or an error that lives during the call. */
    void (*describe_cluster)(void *context, struct scheduler *origin,
                             void (*done)(void *argument, struct byte_buffer *json,
                                          const struct error *error),
                             void *argument);
    /* `done` runs on `origin` with the outcome, an error that lives during the call. */
    void (*command_cluster)(void *context, const struct api_cluster_command *command,
                            struct scheduler *origin,
                            void (*done)(void *argument, const struct error *error),
                            void *argument);
    /* As describe_cluster. */
    void (*rescue)(void *context, const struct api_rescue *asked, struct scheduler *origin,
                   void (*done)(void *argument, struct byte_buffer *json,
                                const struct error *error),
                   void *argument);
    /* NONE, or UNAVAILABLE with the reason, for people. Any thread. */
    enum error_code (*check_ready)(void *context, struct error *error);
};

/* What a node may not be there for: it refuses that. */
enum api_service { API_SERVICE_WRITES = 1, API_SERVICE_QUERIES = 2 };

struct api_options {
    const struct api_loop *loops; /* [loop_count], copied */
    size_t loop_count;
    struct replica_table *replicas; /* of this node; outlives the api */
    struct frontend *frontend;
    /* Where queries reach all shards of a cluster, and its metadata; outlives the api. NULL: what
     * the frontend's source and the replicas of this node have. */
    struct fanout *fanout;
    /* Where queries reach other clusters; outlives the api. NULL: there are none. */
    struct federation *federation;
    enum federation_partial federation_partial; /* unless a request says otherwise */
    /* What answers other clusters, outlives the api; NULL: they are not answered. */
    struct worker_pool *internal_workers;
    struct metrics *metrics;
    struct clock *clock;
    struct api_program program;
    unsigned refused; /* of enum api_service; 0: none */
    bool tenants_enabled;
    bool admin_enabled;
    const char *version;
    int64_t started_ms;
    const struct api_setting *settings; /* [setting_count] */
    size_t setting_count;
    const char *config_yaml;    /* the effective settings, secrets left out */
    const char *retention_text; /* as runtimeinfo shows it */
    size_t decoded_bytes_max;
    uint64_t write_memory_bytes_max; /* of all remote-write requests; 0: no limit */
};

/* Errors: OUT_OF_MEMORY. */
enum error_code api_create(const struct api_options *options, struct api **api_out,
                           struct error *error);
void api_destroy(struct api *api); /* NULL is fine */

/* Add all routes. Errors: OUT_OF_MEMORY. */
enum error_code api_add_routes(struct api *api, struct http_router *router, struct error *error);

/* Memory of remote-write requests that are decoded, stored, or waiting to be. Any thread. */
uint64_t api_write_memory_bytes(const struct api *api);

/* For the servers: error bodies, CORS headers, request metrics. */
struct http_hooks api_hooks(struct api *api);

#endif
