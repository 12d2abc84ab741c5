/*
 * Three nodes for tests: real loops, workers and sockets; replicas are doubles whose series are in
 * memory, the same for all replicas of a shard.
 */
#ifndef TESTS_UNIT_FANOUT_FANOUT_NODES_H
#define TESTS_UNIT_FANOUT_FANOUT_NODES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "fanout/fanout.h"
#include "fanout/replicas.h"
#include "platform/loop.h"
#include "platform/network_system.h"
#include "platform/worker_pool.h"
#include "series_memory.h"

enum { NODES = 3, SHARDS = 6 };

/* --- Replicas -------------------------------------------------------------------------------- */

struct double_source {
    struct series_source base; /* first */
    struct double_replica *replica;
};

struct double_replica {
    struct double_source source;
    _Atomic(struct series_memory *) memory; /* the shard's */
    atomic_bool is_present;
    atomic_bool is_ready;
    atomic_bool is_readable;
    atomic_bool refuses_confirm;
    atomic_bool fails;      /* reads end with CORRUPT */
    _Atomic int refusals;   /* so many reads end with UNSUPPORTED */
    atomic_bool is_stalled; /* reads wait for the end of it, or their cancellation */
    _Atomic uint64_t leader;
    _Atomic uint64_t applied;
    _Atomic uint64_t changed; /* version of the window 0, others have 1; 0: as all others */
    _Atomic uint32_t splits;
    _Atomic int held;
    _Atomic int reads;
    _Atomic int canceled; /* reads that saw it while they were stalled */
    _Atomic int confirms;
};

struct double_replicas {
    struct fanout_replicas base; /* first */
    struct double_replica replicas[SHARDS];
};

static inline struct double_replica *double_of(const struct fanout_replica *replica)
{
    return replica->handle;
}

static inline uint32_t double_end(struct fanout_replicas *self)
{
    (void)self;
    return SHARDS;
}

static inline bool double_hold(struct fanout_replicas *self, uint32_t shard_id,
                               struct fanout_replica *replica_out)
{
    struct double_replica *replica = &((struct double_replicas *)self)->replicas[shard_id];
    if (shard_id >= SHARDS || !replica->is_present)
        return false;
    replica->held++;
    *replica_out = (struct fanout_replica){.shard_id = shard_id, .handle = replica};
    return true;
}

static inline void double_release(struct fanout_replicas *self, struct fanout_replica *replica)
{
    (void)self;
    assert_true(double_of(replica)->held-- > 0);
    replica->handle = NULL;
}

static inline bool double_is_ready(struct fanout_replicas *self,
                                   const struct fanout_replica *replica)
{
    (void)self;
    return double_of(replica)->is_ready;
}

static inline bool double_is_readable(struct fanout_replicas *self,
                                      const struct fanout_replica *replica, uint64_t least_index)
{
    (void)self;
    return double_of(replica)->is_ready ||
           (double_of(replica)->is_readable && double_of(replica)->applied >= least_index);
}

static inline uint64_t double_leader(struct fanout_replicas *self,
                                     const struct fanout_replica *replica)
{
    (void)self;
    return double_of(replica)->leader;
}

static inline uint64_t double_applied(struct fanout_replicas *self,
                                      const struct fanout_replica *replica)
{
    (void)self;
    return double_of(replica)->applied;
}

static inline void double_window_versions(struct fanout_replicas *self,
                                          const struct fanout_replica *replica, int64_t first,
                                          size_t count, uint64_t *versions_out)
{
    uint64_t changed = double_of(replica)->changed;
    (void)self;
    for (size_t i = 0; i < count; i++)
        versions_out[i] = first + (int64_t)i == 0 && changed > 0 ? changed : 1;
}

static inline uint32_t double_splits(struct fanout_replicas *self,
                                     const struct fanout_replica *replica)
{
    (void)self;
    return double_of(replica)->splits;
}

static inline void double_confirm(struct fanout_replicas *self,
                                  const struct fanout_replica *replica,
                                  struct fanout_confirm *confirm)
{
    struct error error;
    (void)self;
    error_clear(&error);
    double_of(replica)->confirms++;
    if (!double_of(replica)->is_ready || double_of(replica)->refuses_confirm)
        error_set(&error, ERROR_UNAVAILABLE, "it does not lead");
    confirm->done(confirm, &error);
}

static inline struct series_source *double_series(struct fanout_replicas *self,
                                                  const struct fanout_replica *replica)
{
    (void)self;
    return &double_of(replica)->source.base;
}

static inline enum error_code double_visit_metadata(struct fanout_replicas *self,
                                                    const struct fanout_replica *replica,
                                                    const struct metadata_request *request,
                                                    bool *damaged_out, struct error *error)
{
    char name[32];
    (void)self;
    (void)error;
    snprintf(name, sizeof name, "metric_%u", replica->shard_id);
    struct metric_metadata metadata = {METRIC_COUNTER, TEXT("What it is."), TEXT("seconds")};
    if (request->metric.size == 0 || text_equal(request->metric, text_of(name)))
        request->visit(request->context, text_of(name), &metadata);
    *damaged_out = replica->shard_id == 0;
    return ERROR_NONE;
}

static const struct fanout_replicas_operations DOUBLE_OPERATIONS = {
    .end = double_end,
    .hold = double_hold,
    .release = double_release,
    .is_ready = double_is_ready,
    .is_readable = double_is_readable,
    .leader = double_leader,
    .applied_index = double_applied,
    .window_versions = double_window_versions,
    .splits = double_splits,
    .confirm = double_confirm,
    .source = double_series,
    .visit_metadata = double_visit_metadata,
};

/* --- Their sources --------------------------------------------------------------------------- */

static inline enum error_code
double_begin(struct series_source *self, const struct series_request *request, struct error *error)
{
    struct double_replica *replica = ((struct double_source *)self)->replica;
    replica->reads++;
    while (replica->is_stalled) {
        if (request->canceled != NULL && *request->canceled) {
            replica->canceled++;
            return error_set(error, ERROR_CANCELED, "the query was canceled");
        }
        usleep(1000);
    }
    if (replica->refusals > 0 && replica->refusals-- > 0)
        return error_set(error, ERROR_UNSUPPORTED, "not of this version");
    return replica->fails ? error_set(error, ERROR_CORRUPT, "a page is damaged") : ERROR_NONE;
}

static inline enum error_code double_select(struct series_source *self,
                                            const struct series_request *request,
                                            struct series_set **set_out, struct error *error)
{
    struct series_memory *memory = ((struct double_source *)self)->replica->memory;
    enum error_code code = double_begin(self, request, error);
    if (code == ERROR_NONE)
        code = series_source_select(series_memory_source(memory), request, set_out, error);
    if (code == ERROR_NONE && request->series_limit > 0 &&
        (*set_out)->count > request->series_limit) {
        (*set_out)->count = request->series_limit;
        (*set_out)->truncated = true;
    }
    return code;
}

/* Of every series, whatever the matchers. */
static inline enum error_code double_texts(struct series_source *self,
                                           const struct series_request *request,
                                           const struct text *name, struct text_set *texts,
                                           struct error *error)
{
    struct series_memory *memory = ((struct double_source *)self)->replica->memory;
    enum error_code code = double_begin(self, request, error);
    for (size_t i = 0; code == ERROR_NONE && i < series_memory_count(memory); i++) {
        struct labels_cursor cursor = labels_begin(series_memory_labels(memory, i));
        struct label label;
        while (labels_next(&cursor, &label))
            if (name == NULL)
                text_set_add(texts, label.name);
            else if (text_equal(label.name, *name))
                text_set_add(texts, label.value);
    }
    return code;
}

static inline enum error_code double_names(struct series_source *self,
                                           const struct series_request *request,
                                           struct text_set *names, struct error *error)
{
    return double_texts(self, request, NULL, names, error);
}

static inline enum error_code double_values(struct series_source *self,
                                            const struct series_request *request, struct text name,
                                            struct text_set *values, struct error *error)
{
    return double_texts(self, request, &name, values, error);
}

/* One each. */
static inline enum error_code double_exemplars(struct series_source *self,
                                               const struct series_request *request,
                                               struct series_exemplars **series_out,
                                               size_t *count_out, struct error *error)
{
    struct series_memory *memory = ((struct double_source *)self)->replica->memory;
    enum error_code code = double_begin(self, request, error);
    if (code != ERROR_NONE)
        return code;
    size_t count = series_memory_count(memory);
    struct series_exemplars *series = arena_array(request->arena, count, sizeof *series);
    for (size_t i = 0; i < count; i++) {
        struct exemplar *exemplar = arena_array(request->arena, 1, sizeof *exemplar);
        struct label label = {TEXT("trace_id"), arena_format(request->arena, "%zu", i)};
        *exemplar = (struct exemplar){.labels = labels_build(request->arena, &label, 1),
                                      .value = (double)i,
                                      .timestamp_ms = request->start_ms};
        series[i] = (struct series_exemplars){
            .labels = series_memory_labels(memory, i), .exemplars = exemplar, .count = 1};
    }
    *series_out = series;
    *count_out = count;
    return ERROR_NONE;
}

static const struct series_source_operations DOUBLE_SOURCE_OPERATIONS = {
    .select = double_select,
    .label_names = double_names,
    .label_values = double_values,
    .exemplars = double_exemplars,
};

/* --- The cluster ----------------------------------------------------------------------------- */

struct node {
    uint64_t id;
    char name[16];
    char address[64];
    struct worker_pool *pool;
    struct loop *loop;
    struct environment environment;
    struct network_lanes *lanes;
    struct transport *transport;
    struct cluster_board *board;
    struct fanout *fanout;
    struct double_replicas replicas;
    sem_t blocked; /* a blocked loop waits for it */
    struct task block_task;
};

static struct node nodes[NODES];
static struct series_memory *shard_series[SHARDS];
static struct fanout_options fanout_settings; /* what is not a node's own */
static sem_t network_closed;
/* The last shard is split off the first one, by what the cluster desires. */
static bool last_is_split_off;

static inline struct node *node_of(uint64_t id)
{
    return &nodes[id - 1];
}

static inline struct double_replica *replica_of(uint64_t node_id, uint32_t shard_id)
{
    return &node_of(node_id)->replicas.replicas[shard_id];
}

/* Shard s is led by node 1 + s % 3; all have all, and know it. */
static inline void lead_by_turns(void)
{
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        for (uint64_t id = 1; id <= NODES; id++) {
            struct double_replica *replica = replica_of(id, shard);
            replica->is_present = true;
            replica->leader = 1 + shard % NODES;
            replica->is_ready = replica->leader == id;
            replica->is_readable = true;
            replica->applied = 1000;
        }
}

static uint32_t cluster_version = 1; /* in force */
static inline void split_first(struct cluster_state *state)
{
    static const struct slot_range RANGE = {.first = 0, .count = 1};
    struct cluster_entry entry = {
        .kind = CLUSTER_SPLIT,
        .split = {0, 1, SHARDS - 1, SHARDS, &RANGE, 1, {3, {1, 2, 3}}},
    };
    struct byte_buffer buffer = {0};
    struct cluster_outcome outcome;
    struct error error;
    assert_int_equal(cluster_entry_encode(&entry, &buffer, &error), ERROR_NONE);
    assert_int_equal(cluster_state_apply(state, 2, buffer.bytes, buffer.size, &outcome, &error),
                     ERROR_NONE);
    assert_int_equal(outcome.refusal, CLUSTER_ACCEPTED);
    byte_buffer_clear(&buffer);
}

static inline struct cluster_state *cluster_of_three(void)
{
    struct cluster_founder founders[NODES] = {0};
    struct cluster_founding_shard shards[SHARDS];
    static uint16_t slots[SLOT_COUNT];
    struct cluster_entry entry = {.kind = CLUSTER_FOUND};
    struct cluster_found *found = &entry.found;
    size_t shard_count = last_is_split_off ? SHARDS - 1 : SHARDS;
    for (size_t i = 0; i < NODES; i++) {
        struct cluster_founder *founder = &founders[i];
        snprintf(founder->identity.name, sizeof founder->identity.name, "node-%zu", i + 1);
        memset(founder->identity.directory_id, (int)i + 1, CLUSTER_DIRECTORY_ID_BYTES);
        snprintf(founder->traits.address, sizeof founder->traits.address, "localhost:1");
        founder->traits.roles = CLUSTER_ROLES_ALL;
        founder->traits.version_min = 1;
        founder->traits.version_max = CLUSTER_VERSION_MAX;
    }
    for (size_t i = 0; i < shard_count; i++)
        shards[i] = (struct cluster_founding_shard){i + 1, {3, {1, 2, 3}}};
    for (size_t i = 0; i < SLOT_COUNT; i++)
        slots[i] = (uint16_t)(i % shard_count);
    memset(found->cluster_id, 7, sizeof found->cluster_id);
    snprintf(found->name, sizeof found->name, "test");
    found->version = cluster_version;
    found->replication = 3;
    found->spread = 4;
    found->founders = founders;
    found->founder_count = NODES;
    found->shards = shards;
    found->shard_count = shard_count;
    found->slots = slots;
    struct byte_buffer buffer = {0};
    struct cluster_outcome outcome;
    struct cluster_state *state;
    struct error error;
    assert_int_equal(cluster_entry_encode(&entry, &buffer, &error), ERROR_NONE);
    assert_int_equal(cluster_state_create(CLUSTER_VERSION_MAX, &state, &error), ERROR_NONE);
    assert_int_equal(cluster_state_apply(state, 1, buffer.bytes, buffer.size, &outcome, &error),
                     ERROR_NONE);
    assert_int_equal(outcome.refusal, CLUSTER_ACCEPTED);
    byte_buffer_clear(&buffer);
    if (last_is_split_off)
        split_first(state);
    return state;
}

static inline void on_network_closed(void *context)
{
    (void)context;
    sem_post(&network_closed);
}

static inline void node_open_on_loop(void *argument)
{
    struct node *node = argument;
    struct error error;
    struct network_system_options network = {.lanes = node->lanes, .closed = on_network_closed};
    node->environment = (struct environment){
        .scheduler = loop_scheduler(node->loop),
        .clock = clock_system(),
        .random = random_system(),
    };
    assert_int_equal(network_system_open(node->loop, &network, &node->environment.network, &error),
                     ERROR_NONE);
    struct transport_options options = {
        .environment = &node->environment,
        .name = node->name,
        .listen_address = "127.0.0.1:0",
        .lane_count = 1,
        .incarnation = 1,
        .identity.node_id = node->id,
    };
    memset(options.identity.cluster_id, 7, sizeof options.identity.cluster_id);
    assert_int_equal(transport_open(&options, &node->transport, &error), ERROR_NONE);
    snprintf(node->address, sizeof node->address, "127.0.0.1:%u", transport_port(node->transport));
    fanout_attach(node->fanout, 0, loop_scheduler(node->loop), node->transport);
}

static inline void node_open(struct node *node, uint64_t id, const struct cluster_state *state)
{
    struct error error;
    memset(node, 0, sizeof *node);
    node->id = id;
    snprintf(node->name, sizeof node->name, "node-%llu", (unsigned long long)id);
    sem_init(&node->blocked, 0, 0);
    node->replicas.base.operations = &DOUBLE_OPERATIONS;
    for (size_t i = 0; i < SHARDS; i++) {
        struct double_replica *replica = &node->replicas.replicas[i];
        replica->source = (struct double_source){{&DOUBLE_SOURCE_OPERATIONS}, replica};
        replica->memory = shard_series[i];
    }
    assert_int_equal(cluster_board_create(&node->board, &error), ERROR_NONE);
    assert_int_equal(cluster_board_post(node->board, state, CLUSTER_VIEW_CURRENT, &error),
                     ERROR_NONE);
    assert_int_equal(
        worker_pool_create(&(struct worker_pool_options){.worker_count = 4}, &node->pool, &error),
        ERROR_NONE);
    assert_int_equal(
        loop_create(&(struct loop_options){.workers = node->pool}, &node->loop, &error),
        ERROR_NONE);
    node->lanes = network_lanes_create(1);
    struct fanout_options options = fanout_settings;
    options.board = node->board;
    options.replicas = &node->replicas.base;
    options.clock = clock_system();
    options.loop_count = 1;
    options.pool = node->pool;
    assert_int_equal(fanout_create(&options, &node->fanout, &error), ERROR_NONE);
    fanout_set_node(node->fanout, id);
    assert_int_equal(loop_start(node->loop, &error), ERROR_NONE);
    loop_call(node->loop, node_open_on_loop, node);
}

static inline void node_know_on_loop(void *argument)
{
    struct node *node = argument;
    for (size_t i = 0; i < NODES; i++) {
        struct transport_peer *peer;
        struct error error;
        if (&nodes[i] != node)
            assert_int_equal(
                transport_add_peer(node->transport, nodes[i].name, nodes[i].address, &peer, &error),
                ERROR_NONE);
    }
}

struct connectedness {
    struct node *node;
    size_t count;
};

static inline void node_count_on_loop(void *argument)
{
    struct connectedness *connectedness = argument;
    connectedness->count = 0;
    for (uint64_t id = 1; id <= NODES; id++) {
        struct transport_peer *peer = transport_find_node(connectedness->node->transport, id);
        connectedness->count += peer != NULL && transport_peer_is_connected(peer);
    }
}

static inline void nodes_open(void)
{
    struct cluster_state *state = cluster_of_three();
    sem_init(&network_closed, 0, 0);
    for (uint64_t id = 1; id <= NODES; id++)
        node_open(node_of(id), id, state);
    cluster_state_destroy(state);
    lead_by_turns();
    for (size_t i = 0; i < NODES; i++)
        loop_call(nodes[i].loop, node_know_on_loop, &nodes[i]);
    for (size_t i = 0; i < NODES; i++) {
        struct connectedness connectedness = {&nodes[i], 0};
        for (int waited_ms = 0; connectedness.count < NODES - 1; waited_ms += 5) {
            assert_true(waited_ms < 20000);
            usleep(5000);
            loop_call(nodes[i].loop, node_count_on_loop, &connectedness);
        }
    }
}

static inline void on_transport_closed(void *context)
{
    network_system_close(((struct node *)context)->environment.network);
}

static inline void node_close_on_loop(void *argument)
{
    struct node *node = argument;
    fanout_detach(node->fanout, 0);
    transport_close(node->transport, 1000, on_transport_closed, node);
}

static inline void nodes_close(void)
{
    for (size_t i = 0; i < NODES; i++)
        loop_call(nodes[i].loop, node_close_on_loop, &nodes[i]);
    for (size_t i = 0; i < NODES; i++)
        sem_wait(&network_closed);
    for (size_t i = 0; i < NODES; i++) {
        struct node *node = &nodes[i];
        worker_pool_destroy(node->pool);
        loop_stop(node->loop);
        loop_join(node->loop);
        loop_destroy(node->loop);
        network_lanes_destroy(node->lanes);
        fanout_destroy(node->fanout); /* nothing is under way */
        cluster_board_destroy(node->board);
        sem_destroy(&node->blocked);
        for (size_t s = 0; s < SHARDS; s++)
            assert_int_equal(node->replicas.replicas[s].held, 0);
    }
}

/* --- A loop that stands still ---------------------------------------------------------------- */

static inline void block_run(struct task *task)
{
    struct node *node = (struct node *)((char *)task - offsetof(struct node, block_task));
    while (sem_wait(&node->blocked) != 0)
        continue;
}

/* As a stopped process: its connections stand, nothing is answered. */
static inline void node_block(struct node *node)
{
    node->block_task.run = block_run;
    scheduler_post(loop_scheduler(node->loop), &node->block_task);
}

static inline void node_unblock(struct node *node)
{
    sem_post(&node->blocked);
}

/* --- Series ---------------------------------------------------------------------------------- */

static inline struct labels series_labels(struct arena *arena, const char *name, unsigned number)
{
    struct label labels[] = {
        {LABEL_METRIC_NAME, text_of(name)},
        {TEXT("instance"), arena_format(arena, "host-%u", number % 5)},
        {TEXT("job"), arena_format(arena, "job-%u", number % 3)},
        {TEXT("number"), arena_format(arena, "%u", number)},
    };
    return labels_build(arena, labels, sizeof labels / sizeof labels[0]);
}

static inline struct matcher *matcher_of(enum matcher_type type, const char *name,
                                         const char *value)
{
    struct matcher *matcher;
    struct error error;
    assert_int_equal(matcher_create(type, text_of(name), text_of(value), &matcher, &error),
                     ERROR_NONE);
    return matcher;
}

static inline uint64_t elapsed_ms_since(uint64_t began_ns)
{
    return (clock_monotonic_ns(clock_system()) - began_ns) / 1000000;
}

#endif
