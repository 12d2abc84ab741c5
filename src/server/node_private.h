/*
 * node_private - the parts of a node, shared by the files of this module.
 */
#ifndef SERVER_NODE_PRIVATE_H
#define SERVER_NODE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "access/gate.h"
#include "api/api.h"
#include "block/page_cache.h"
#include "fanout/fanout.h"
#include "fanout/replicas.h"
#include "frontend/frontend.h"
#include "group/group.h"
#include "group/link.h"
#include "head/head_spares.h"
#include "hosting/hosting.h"
#include "http/server.h"
#include "ingest/ingest.h"
#include "journal/journal.h"
#include "platform/data_directory.h"
#include "platform/disk_uring.h"
#include "platform/loop.h"
#include "platform/signals.h"
#include "platform/tls.h"
#include "platform/worker_pool.h"
#include "replica/replica.h"
#include "routing/routing.h"
#include "telemetry/metrics.h"
#include "transfer/transfer.h"
#include "transport/transport.h"

#include "loop_figures.h"
#include "node.h"
#include "scrub_schedule.h"
#include "topology.h"

#define GNOMON_VERSION "0.1.0"

enum {
    DATA_FORMAT_VERSION = 1,
    NODE_ID = 1,
    DRAIN_GRACE_MS = 15 * 1000,
    /* The leaders are elsewhere by then: writes that lost theirs find the next one. */
    DRAIN_RETRY_MS = 5 * 1000,
    /* From SIGTERM; what is left of it goes to the last freezes. The process must be gone after 30
       s. */
    SETTLED_BY_MS = 26 * 1000,
    END_MS = 29 * 1000, /* after SIGTERM the process has ended */
    SETTLE_GRACE_LEAST_MS = 2 * 1000,
};

struct node_loop {
    struct node *node;
    size_t number;
    struct loop *loop;
    struct disk *disk;
    struct environment environment;
    struct journal *journal;
    struct group_host *host;
    struct transport *transport; /* NULL: alone, or closed */
    struct group_link *link;
    struct transfer *transfer; /* NULL: alone */
    struct cluster_view *view; /* of node_peers.c */
    struct task identified_task;
    struct task follow_task;
    _Atomic bool follow_queued;
    void (*network_closed)(void *context);
    void *network_closed_context;
    struct routing *routing;
    struct ingest *ingest;
    struct http_server *server;
    struct loop_figures figures;
    struct scrub_schedule scrub;
    size_t settling; /* replicas that still write their last freeze */
    bool settled;
    struct timer settle_timer;
    struct task task; /* to the loop: a step of the shutdown */
    struct task retain_task;
    _Atomic bool retain_queued;
    struct task retention_task;
    _Atomic bool retention_queued;
    struct task step_task; /* to loop 0: the step is done */
};

struct node_bucket;
struct cluster_view;
struct node_cluster;

struct node {
    const struct settings *settings;
    struct node_cluster *cluster; /* NULL: alone */
    struct data_directory *directory;
    struct topology topology;
    struct metrics *metrics;
    struct ingest_metrics ingest_metrics;
    struct worker_pool *pool;
    struct node_bucket *bucket; /* NULL: blocks are here only */
    struct page_cache *cache;
    struct head_spares *head_spares;
    struct tls_context *tls;
    char *tls_paths[3]; /* of the web config: certificate, key, client CA; NULL: none */
    struct gate *gate;
    pthread_mutex_t reload_mutex;
    struct disk *blocking_disk;
    struct journal_recovery *recovery;         /* NULL once all shards are ready */
    struct journal_recovery *closing_recovery; /* a worker's, then NULL */
    struct job close_recovery;
    struct replica_node replica_node;
    struct node_loop *loops; /* [loop_count] */
    size_t loop_count;
    struct replica_table *replicas;
    struct hosting *hosting;
    struct fanout_replicas *fanout_replicas;
    struct fanout *fanout;
    _Atomic uint64_t series; /* of all shards, alive */
    struct frontend *frontend;
    struct federation *federation; /* NULL: there are no other clusters */
    struct worker_pool *internal_workers;
    struct api *api;
    struct http_router *router;
    struct http_budget http_budget;
    struct signals *signals;
    struct byte_buffer config_yaml;
    char retention_text[64];
    uint64_t hash_seed;

    struct timer upkeep; /* on loop 0 */
    uint64_t opened_ms;
    uint64_t replay_told_ms;
    struct self_write *self_write;
    _Atomic uint64_t self_writes;
    _Atomic uint64_t self_write_failures;

    _Atomic bool draining;
    uint64_t draining_since_ms;
    struct timer end_timer; /* since then, of loop 0 */
    size_t loops_draining;  /* loop 0 counts */
    void (*next_step)(struct node *node);

    struct job scrub_job;     /* writes down how far the schedules are */
    bool scrub_is_written;    /* the job runs */
    int64_t scrub_written_ms; /* what was written last */
    int64_t scrub_to_write_ms;

    uint64_t upkeep_count;
    bool is_too_large;              /* for retention_size, when last looked at */
    _Atomic int64_t size_cutoff_ms; /* what retention_size asks of the shards */
    _Atomic bool disk_alarm;        /* storage.disk_alarm is reached, when last looked at */
    struct api_setting *shown_settings;

    pthread_mutex_t retention_mutex;
    struct retention_policy *retention; /* a reference */
    int64_t retention_grace_ms;
};

/* node.c: what is durable is kept, the process ends. */
void node_fatal_error(void *context, const struct error *error);

/* node_storage.c: from the bottom up. */
enum error_code node_open_directory(struct node *node, struct error *error);
enum error_code node_open_shared(struct node *node, struct error *error);
enum error_code node_open_storage(struct node *node, struct error *error);
/* The groups of a loop; with its link when it has one. */
enum error_code node_open_host(struct node_loop *loop, uint64_t node_id, struct error *error);

/* node_floors.c: on top of it. */
enum error_code node_open_frontend(struct node *node, struct error *error);
enum error_code node_open_ingest(struct node *node, struct error *error);
enum error_code node_open_api(struct node *node, struct error *error);
enum error_code node_open_servers(struct node *node, struct error *error);

/* node_access.c: who may ask. */
enum error_code node_open_access(struct node *node, struct error *error);
void node_close_access(struct node *node);
/* Read http.web_config and certificates again; on error the former stay. Any thread. */
enum error_code node_reload(struct node *node, struct error *error);

/* node_cluster.c: how replicas are kept where the cluster wants them. */
struct placement_limits node_placement_limits(const struct node *node);

/* node_retention.c: how long samples are kept. The shards of all loops are told what is wanted; it
 * is read anew at a reload. Errors of that: as settings_load. */
void node_open_retention(struct node *node);
void node_close_retention(struct node *node);
void node_tell_retention(struct node *node);
enum error_code node_reload_retention(struct node *node, struct error *error);

/* node_upkeep.c: before the loops run; node_drain stops it. */
void node_start_upkeep(struct node *node);
bool node_shards_are_ready(const struct node *node);
/* Of all shards. */
struct replica_replay node_replay(const struct node *node);

/* node_metrics.c: collectors for what the parts count themselves. False when memory is out. */
bool node_add_metrics(struct node *node);

/* node_loop_metrics.c: of what belongs to loops. */
bool node_add_loop_metrics(struct node *node);

/* node_fanout_metrics.c: of what nodes ask each other for queries. */
bool node_add_fanout_metrics(struct node *node);

/* node_scrub.c: files that are read again, in turn. Before the loops run; from upkeep, now and
 * then; on each loop, before its replicas close. */
void node_start_scrub(struct node *node);
void node_note_scrub(struct node *node);
bool node_add_scrub_metrics(struct node *node);

/* node_federation.c: other clusters. */
enum error_code node_open_federation(struct node *node, struct error *error);
void node_close_federation(struct node *node);
bool node_add_federation_metrics(struct node *node);

/* node_limit_metrics.c: of the settings, and of what the node writes into itself. */
bool node_add_limit_metrics(struct node *node);

/* node_network_metrics.c: of the ways between nodes, on one that has any. */
bool node_add_network_metrics(struct node *node);

/* self_write.c: the node's own metrics into itself, from loop 0. */
enum error_code self_write_start(struct node *node, struct self_write **self_write_out,
                                 struct error *error);
/* No write under way afterwards; `stopped` runs on loop 0. NULL self_write is fine. */
void self_write_stop(struct self_write *self_write, void (*stopped)(void *context), void *context);

/* node_drain.c: from SIGTERM to the end of the loops. On loop 0. */
void node_drain(struct node *node);

/* node_storage.c: the only member of this node's groups. */
extern const struct consensus_member NODE_FOUNDER;

/* node_snapshot.c: a copy of the data directory; as api_program has it. */
void node_snapshot(struct node *node, enum api_snapshot_head head, struct scheduler *origin,
                   void (*done)(void *argument, const char *name, const struct error *error),
                   void *argument);

/* Remove what a crash has left of snapshots that were not whole. Before any is made. */
void node_sweep_snapshots(const char *storage_directory);

/* node_cluster_status.c: as api_program has them. */
void node_describe_cluster(struct node *node, struct scheduler *origin,
                           void (*done)(void *argument, struct byte_buffer *json,
                                        const struct error *error),
                           void *argument);
void node_command_cluster(struct node *node, const struct api_cluster_command *command,
                          struct scheduler *origin,
                          void (*done)(void *argument, const struct error *error), void *argument);

/* node_rescue.c: as api_program has it. */
void node_rescue(struct node *node, const struct api_rescue *asked, struct scheduler *origin,
                 void (*done)(void *argument, struct byte_buffer *json, const struct error *error),
                 void *argument);

/* node_program.c: of the cluster, as the view says that it is desired (NULL: no shards are known
 * yet), or of this node when it is alone. */
void node_topology(const struct node *node, const struct cluster_view *view,
                   struct topology *topology_out);

/* node_program.c: the shards that have slots, and how often each was split, as far as is known
 * here. There are none while it was heard that one was split, and not yet into what: its child
 * would be left out. */
struct shard_list {
    size_t count;
    struct listed_shard {
        uint32_t shard_id;
        uint32_t splits; /* UINT32_MAX: no matter */
    } shards[];
};

/* To be freed; NULL when memory is out. */
struct shard_list *node_list_shards(const struct node *node);
struct routing *node_routing_of(const struct node *node, const struct scheduler *origin);

/* Propose a deletion in all of them; `done` runs on `origin` with the outcome, an error that lives
 * during the call. The entry is copied. */
void node_delete_everywhere(struct node *node, struct scheduler *origin,
                            const struct byte_buffer *entry,
                            void (*done)(void *argument, const struct error *error),
                            void *argument);

/* node_tenants.c: what all shards have of a tenant, and its deletion. As in struct api_program. */
void node_ask_tenant(struct node *node, struct scheduler *origin, struct text tenant,
                     void (*done)(void *argument, const struct shard_tenant_state *state,
                                  const struct error *error),
                     void *argument);
void node_delete_tenant(struct node *node, struct scheduler *origin, struct text tenant,
                        void (*done)(void *argument, const struct error *error), void *argument);

/* node_program.c: what the API asks of the program. */
struct api_program node_program(struct node *node);

#endif
