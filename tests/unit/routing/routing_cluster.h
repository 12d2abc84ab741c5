/*
 * routing_cluster - three nodes with everything from transport to routing, on a simulated world:
 * journals on simulated disks, groups over transports over the simulated network.
 *
 * Shards 0 and 1 are on all nodes, shard 2 on nodes 2 and 3 only.
 */
#ifndef TESTS_UNIT_ROUTING_ROUTING_CLUSTER_H
#define TESTS_UNIT_ROUTING_ROUTING_CLUSTER_H

#include "../transport/simulated_nodes.h"

#include "block/page_cache.h"
#include "group/link.h"
#include "journal/journal.h"
#include "membership/cluster_board.h"
#include "membership/cluster_entry.h"
#include "replica/replica.h"
#include "replica/replica_table.h"
#include "routing/routing.h"
#include "simulated_disk.h"

enum { MEMBERS = 3, CLUSTER_SHARDS = 3, CLUSTER_STEPS_MAX = 3000000 };

struct member {
    struct node *node;
    uint64_t node_id;
    struct simulated_disk disk;
    struct page_cache *cache;
    struct journal_recovery *recovery;
    struct journal *journal;
    struct group_host *host;
    struct group_link *link;
    struct replica_node limits;
    char directories[CLUSTER_SHARDS][32];
    struct replica *replicas[CLUSTER_SHARDS]; /* NULL: none */
    struct replica_table *table;
    struct cluster_board *board;
    struct routing *routing;
    struct routing_options options; /* what a test wants otherwise, before cluster_open */
    unsigned flushed;
    size_t closing;
    bool drained;
};

static struct member members[MEMBERS];

static inline bool has_replica(size_t member, uint32_t shard)
{
    return shard < 2 || member > 0;
}

/* --- Opening ---------------------------------------------------------------------------------- */

static inline void member_disconnected(void *context, struct transport_peer *peer)
{
    group_link_disconnected(((struct member *)context)->link, peer);
}

static inline void member_drained(void *context, struct transport_peer *peer,
                                  enum transport_class class)
{
    if (class == TRANSPORT_APPEND || class == TRANSPORT_CONTROL)
        group_link_drained(((struct member *)context)->link, peer);
}

static inline void member_fatal(void *context, const struct error *error)
{
    (void)context;
    fail_msg("%s", error->message);
}

static inline void member_group_fatal(void *context, uint64_t group_id, const struct error *error)
{
    (void)group_id;
    member_fatal(context, error);
}

static inline void member_flushed(void *context, uint32_t shard_id, struct replica *replica)
{
    struct member *member = context;
    assert_ptr_equal(replica, member->replicas[shard_id]);
    member->flushed++;
}

static inline void open_member_storage(struct member *member)
{
    struct error error;
    struct environment *environment = &member->node->environments[0];
    struct journal_recovery_options recovery = {.directory = "journal"};
    struct journal_options journal = {.directory = "journal",
                                      .segment_bytes_min = 256 * 1024,
                                      .segment_bytes_max = 256 * 1024,
                                      .free_bytes_min = 1};
    struct journal_events events = {.context = member, .fatal = member_fatal};
    simulated_disk_init(&member->disk, &world, member->node_id);
    environment->disk = &member->disk.base;
    assert_int_equal(page_cache_create(1 << 20, &member->cache, &error), ERROR_NONE);
    assert_int_equal(journal_recover(environment->disk, &recovery, &member->recovery, &error),
                     ERROR_NONE);
    assert_int_equal(journal_open(environment, &journal, &events, member->recovery, NULL, 0,
                                  &member->journal, &error),
                     ERROR_NONE);
    struct group_host_options host = {.environment = environment,
                                      .journal = member->journal,
                                      .transport = group_link_transport(member->link),
                                      .node_id = member->node_id,
                                      .fatal = member_group_fatal};
    assert_int_equal(group_host_create(&host, &member->host, &error), ERROR_NONE);
    group_link_deliver_to(member->link, member->host);
    member->limits = (struct replica_node){.unfrozen_bytes_max = 1 << 20,
                                           .unfrozen_age_max_ms = INT64_MAX,
                                           .queued_bytes_max = 16 << 20};
}

static inline void open_member_replica(struct member *member, uint32_t shard)
{
    struct error error;
    struct consensus_member founders[MEMBERS] = {0};
    size_t founder_count = 0;
    for (size_t i = 0; i < MEMBERS; i++)
        if (has_replica(i, shard)) {
            founders[founder_count].node_id = i + 1;
            founders[founder_count].role = CONSENSUS_ROLE_VOTER;
            snprintf(founders[founder_count].address, sizeof founders[0].address, "node-%zu",
                     i + 1);
            founder_count++;
        }
    snprintf(member->directories[shard], sizeof member->directories[shard], "shards/%04u", shard);
    struct replica_options options = {
        .environment = &member->node->environments[0],
        .host = member->host,
        .node = &member->limits,
        .shard = {.cache = member->cache,
                  .shard_id = shard,
                  .directory = member->directories[shard],
                  .hash_seed = member->node_id,
                  .future_window_ms = 600000,
                  .exemplars_max = 100,
                  .metadata_max = 100},
        .group_id = shard + 10,
        .recovery = member->recovery,
        .founders = founders,
        .founder_count = founder_count,
        .fatal = member_fatal,
    };
    if (replica_create(&options, &member->replicas[shard], &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    assert_int_equal(replica_start(member->replicas[shard], &error), ERROR_NONE);
    replica_table_put(member->table, shard, member->replicas[shard]);
}

static inline struct cluster_state *cluster_found_state(void)
{
    struct cluster_founder founders[MEMBERS] = {0};
    struct cluster_founding_shard shards[CLUSTER_SHARDS] = {
        {10, {3, {1, 2, 3}}}, {11, {3, {1, 2, 3}}}, {12, {2, {2, 3}}}};
    static uint16_t slots[SLOT_COUNT];
    struct cluster_state *state;
    struct byte_buffer bytes = {0};
    struct cluster_outcome outcome;
    struct error error;
    for (size_t i = 0; i < MEMBERS; i++) {
        snprintf(founders[i].identity.name, sizeof founders[i].identity.name, "%c",
                 (char)('a' + i));
        founders[i].identity.directory_id[0] = (uint8_t)(i + 1);
        founders[i].traits = (struct cluster_node_traits){
            .roles = CLUSTER_ROLES_ALL, .version_min = 1, .version_max = 1};
        snprintf(founders[i].traits.address, sizeof founders[i].traits.address, "%c:1",
                 (char)('a' + i));
    }
    for (size_t i = 0; i < SLOT_COUNT; i++)
        slots[i] = (uint16_t)(i * CLUSTER_SHARDS / SLOT_COUNT);
    struct cluster_entry entry = {.kind = CLUSTER_FOUND};
    entry.found = (struct cluster_found){.cluster_id = {7},
                                         .name = "east",
                                         .version = 1,
                                         .replication = 3,
                                         .founders = founders,
                                         .founder_count = MEMBERS,
                                         .shards = shards,
                                         .shard_count = CLUSTER_SHARDS,
                                         .spread = 4,
                                         .slots = slots};
    assert_int_equal(cluster_state_create(CLUSTER_VERSION_MAX, &state, &error), ERROR_NONE);
    assert_int_equal(cluster_entry_encode(&entry, &bytes, &error), ERROR_NONE);
    assert_int_equal(cluster_state_apply(state, 1, bytes.bytes, bytes.size, &outcome, &error),
                     ERROR_NONE);
    assert_int_equal(outcome.refusal, CLUSTER_ACCEPTED);
    byte_buffer_clear(&bytes);
    return state;
}

static const struct transport_events MEMBER_EVENTS = {.disconnected = member_disconnected,
                                                      .drained = member_drained};

/* Transport, link and routing: before anything is connected. */
static inline void open_member_network(struct member *member, const struct cluster_state *state)
{
    struct error error;
    struct transport_options *options = &member->node->options;
    options->events = &MEMBER_EVENTS;
    options->context = member;
    node_open(member->node);
    struct transport *transport = member->node->transports[0];
    member->node_id = options->identity.node_id;
    assert_int_equal(group_link_create(transport, &member->link, &error), ERROR_NONE);
    assert_int_equal(replica_table_create(16, &member->table, &error), ERROR_NONE);
    assert_int_equal(cluster_board_create(&member->board, &error), ERROR_NONE);
    assert_int_equal(cluster_board_post(member->board, state, &error), ERROR_NONE);
    struct routing_options *routing = &member->options;
    routing->scheduler = &world.base;
    routing->table = member->table;
    routing->board = member->board;
    routing->transport = transport;
    routing->flushed = member_flushed;
    routing->context = member;
    assert_int_equal(routing_create(routing, &member->routing, &error), ERROR_NONE);
    routing_set_node(member->routing, member->node_id);
}

/* The member that leads a shard and may write; NULL: none. */
static inline struct member *leader_of(uint32_t shard)
{
    for (size_t i = 0; i < MEMBERS; i++)
        if (members[i].replicas[shard] != NULL && replica_is_ready(members[i].replicas[shard]))
            return &members[i];
    return NULL;
}

/* One that has a replica and does not lead. */
static inline struct member *follower_of(uint32_t shard)
{
    for (size_t i = 0; i < MEMBERS; i++)
        if (members[i].replicas[shard] != NULL && &members[i] != leader_of(shard))
            return &members[i];
    return NULL;
}

static inline void cluster_await_leaders(void)
{
    for (uint32_t shard = 0; shard < CLUSTER_SHARDS; shard++)
        for (size_t step = 0; leader_of(shard) == NULL; step++) {
            assert_true(step < CLUSTER_STEPS_MAX);
            assert_true(simulated_scheduler_step(&world));
        }
    run_ms(1000); /* followers hear of them */
}

static inline void cluster_open(uint64_t seed)
{
    static const char *const NAMES[] = {"a", "b", "c"};
    struct cluster_state *state = cluster_found_state();
    world_start(seed);
    for (size_t i = 0; i < MEMBERS; i++) {
        struct routing_options wanted = members[i].options;
        members[i] = (struct member){.node = node_add(NAMES[i], 1), .options = wanted};
        open_member_network(&members[i], state);
    }
    cluster_state_destroy(state);
    for (size_t i = 0; i < MEMBERS; i++)
        for (size_t j = 0; j < MEMBERS; j++)
            if (i != j)
                node_knows(members[i].node, members[j].node);
    for (size_t i = 0; i < MEMBERS; i++) {
        open_member_storage(&members[i]);
        for (uint32_t shard = 0; shard < CLUSTER_SHARDS; shard++)
            if (has_replica(i, shard))
                open_member_replica(&members[i], shard);
    }
    cluster_await_leaders();
}

/* --- Closing ---------------------------------------------------------------------------------- */

static inline void member_part_closed(void *context)
{
    ((struct member *)context)->closing--;
}

static inline void member_routing_drained(void *context)
{
    ((struct member *)context)->drained = true;
}

static inline void await_member(struct member *member)
{
    for (size_t step = 0; member->closing > 0; step++) {
        assert_true(step < CLUSTER_STEPS_MAX);
        assert_true(simulated_scheduler_step(&world));
    }
}

static inline void close_member_storage(struct member *member)
{
    group_link_deliver_to(member->link, NULL);
    for (uint32_t shard = 0; shard < CLUSTER_SHARDS; shard++)
        if (member->replicas[shard] != NULL) {
            (void)replica_table_take(member->table, shard);
            member->closing++;
            replica_close(member->replicas[shard], member_part_closed, member);
        }
    await_member(member);
    for (uint32_t shard = 0; shard < CLUSTER_SHARDS; shard++)
        assert_false(replica_table_is_held(member->table, shard));
    group_host_destroy(member->host);
    member->closing++;
    journal_close(member->journal, member_part_closed, member);
    await_member(member);
    journal_recovery_close(member->recovery);
    page_cache_destroy(member->cache);
}

static inline void cluster_close(void)
{
    for (size_t i = 0; i < MEMBERS; i++)
        if (!members[i].drained)
            routing_drain(members[i].routing, member_routing_drained, &members[i]);
    for (size_t i = 0; i < MEMBERS; i++)
        close_member_storage(&members[i]);
    world_end();
    for (size_t i = 0; i < MEMBERS; i++) {
        struct routing_statistics statistics;
        assert_true(members[i].drained);
        routing_read_statistics(members[i].routing, &statistics);
        assert_int_equal(statistics.under_way, 0);
        assert_int_equal(statistics.sent_bytes_under_way, 0);
        assert_int_equal(statistics.received_bytes_under_way, 0);
        routing_destroy(members[i].routing);
        group_link_destroy(members[i].link);
        replica_table_destroy(members[i].table);
        cluster_board_destroy(members[i].board);
        simulated_disk_clear(&members[i].disk);
    }
    memset(members, 0, sizeof members);
}

/* --- Faults ----------------------------------------------------------------------------------- */

static inline void isolate(const struct member *member, bool is_apart)
{
    for (size_t i = 0; i < MEMBERS; i++)
        if (&members[i] != member)
            simulated_network_partition(&wires, member->node->host, members[i].node->host,
                                        is_apart);
}

/* --- Writes ----------------------------------------------------------------------------------- */

enum { WRITE_SERIES = 20 };

/* A sample of each of so many series. */
struct written {
    struct replica_write write; /* first */
    struct arena *arena;
    unsigned done;
};

static inline void on_written(struct replica_write *write)
{
    ((struct written *)write)->done++;
}

/* `ids` NULL: by their labels. Other sets are other series. */
static inline struct written *written_build_of(unsigned set, const uint64_t *ids, int64_t time_ms)
{
    struct written *written = calloc(1, sizeof *written);
    struct arena *arena = written->arena = arena_create(0);
    struct shard_write *write = &written->write.write;
    write->tenant = TEXT("anonymous");
    write->new_series = arena_array(arena, WRITE_SERIES, sizeof *write->new_series);
    write->ids = arena_array(arena, WRITE_SERIES, sizeof *write->ids);
    write->timestamps_ms = arena_array(arena, WRITE_SERIES, sizeof *write->timestamps_ms);
    write->values = arena_array(arena, WRITE_SERIES, sizeof *write->values);
    write->origins = arena_array(arena, WRITE_SERIES, sizeof *write->origins);
    write->stale_origins = arena_array(arena, WRITE_SERIES, sizeof *write->stale_origins);
    for (size_t i = 0; i < WRITE_SERIES; i++) {
        struct label label = {LABEL_METRIC_NAME, arena_format(arena, "metric_%u_%zu", set, i)};
        write->ids[i] = ids == NULL ? SHARD_SERIES_NEW | i : ids[i];
        write->timestamps_ms[i] = time_ms;
        write->values[i] = (double)i;
        write->origins[i] = (uint32_t)(1000 + 3 * i);
        if (ids == NULL)
            write->new_series[write->new_series_count++] = (struct shard_new_series){
                .labels = labels_build(arena, &label, 1), .slot = 1, .id = SHARD_ID_UNKNOWN};
    }
    write->float_count = WRITE_SERIES;
    written->write.origin = &world.base;
    written->write.done = on_written;
    return written;
}

static inline struct written *written_build(const uint64_t *ids, int64_t time_ms)
{
    return written_build_of(0, ids, time_ms);
}

static inline void written_send(struct member *member, uint32_t shard, struct written *written)
{
    write_router_write(routing_router(member->routing), shard, &written->write);
    assert_int_equal(written->done, 0); /* never inside the call */
}

static inline enum error_code written_await(struct written *written)
{
    for (size_t step = 0; written->done == 0; step++) {
        assert_true(step < CLUSTER_STEPS_MAX);
        assert_true(simulated_scheduler_step(&world));
    }
    assert_int_equal(written->done, 1);
    return written->write.error.code;
}

static inline void written_free(struct written *written)
{
    arena_destroy(written->arena);
    free(written);
}

static inline int64_t wall_ms(void)
{
    return clock_now_ms(&world_clock.base);
}

/* From labels to answer; the ids are kept. */
static inline enum error_code write_new(struct member *member, uint32_t shard, int64_t time_ms,
                                        uint64_t *ids_out)
{
    struct written *written = written_build(NULL, time_ms);
    written_send(member, shard, written);
    enum error_code code = written_await(written);
    for (size_t i = 0; code == ERROR_NONE && ids_out != NULL && i < WRITE_SERIES; i++)
        ids_out[i] = written->write.write.new_series[i].id;
    written_free(written);
    return code;
}

static inline uint64_t samples_of(const struct member *member, uint32_t shard)
{
    struct shard_statistics statistics;
    shard_read_statistics(replica_shard(member->replicas[shard]), &statistics);
    return statistics.samples_appended;
}

static inline struct routing_statistics statistics_of_member(const struct member *member)
{
    struct routing_statistics statistics;
    routing_read_statistics(member->routing, &statistics);
    return statistics;
}

#endif
