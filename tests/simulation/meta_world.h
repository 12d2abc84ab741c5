/*
 * meta_world - nodes with meta groups: real groups, journals and transports, on simulated disks,
 * network and time; and shards that only count members, so that plans have something to act on.
 *
 * The world ends the run at the first contradiction: a second cluster, two states of one version,
 * a node id given twice.
 */
#ifndef META_WORLD_H
#define META_WORLD_H

#include <setjmp.h>

#include "base/bytes.h"
#include "group/group.h"
#include "group/link.h"
#include "journal/journal.h"
#include "meta/meta.h"
#include "simulated_environment.h"
#include "simulated_network.h"
#include "transport/transport.h"

enum {
    WORLD_NODES_MAX = 8,
    WORLD_SHARDS_MAX = 64,
    WORLD_PEERS_MAX = 8,
    WORLD_VERSIONS_MAX = 65536
};

struct world;

struct node_clock {
    struct clock base;
    struct clock *world;
    int64_t ahead_ms;
};

struct node {
    struct world *world;
    size_t host; /* its number in the network */
    char name[16];
    char host_name[16]; /* as its name, but for a second process of that name */
    char zone[16];
    uint32_t version_max;
    uint32_t roles;
    const char *cluster_name;
    uint32_t shard_count, replication;
    enum meta_directory directory;
    char peer_names[WORLD_PEERS_MAX][16];
    char peer_addresses[WORLD_PEERS_MAX][24];
    size_t peer_count;
    bool slow_disk, stopping;

    /* What survives. */
    uint8_t directory_id[CLUSTER_DIRECTORY_ID_BYTES];
    struct simulated_disk disk;
    struct byte_buffer identity;

    /* A life. */
    bool is_alive;
    uint64_t life; /* rises with every start */
    size_t closing;
    struct environment environment;
    struct node_clock clock;
    struct random_generator random;
    struct journal_recovery *recovery;
    struct journal *journal;
    struct transport *transport;
    struct group_link *link;
    struct group_host *host_of_groups;
    struct meta *meta;
    bool is_identified;
    bool is_dismissed;
    uint64_t node_id;
    uint64_t observed_count;
    int64_t agreed_ms;
    uint64_t meta_leader;
    bool has_vote;                            /* in the latest picture */
    size_t alive_count;                       /* of the latest view */
    uint64_t shard_leaders[WORLD_SHARDS_MAX]; /* of the latest view */
    size_t shard_leader_count;
    struct meta_shard_report reports[WORLD_SHARDS_MAX];
};

/* The members of a shard's group, as if there were one. */
struct world_shard {
    bool exists;
    struct placement_member members[PLACEMENT_MEMBERS_MAX];
    size_t member_count;
    uint64_t leader; /* node id */
    uint64_t leader_since_ms;
};

struct version_seen {
    uint64_t index;
    uint32_t checksum;
};

struct world_counts {
    uint64_t clusters, joins, dismissals, crashes, stops, partitions, cuts, transfers, assigns,
        acknowledged, timeouts, store_failures, takeovers, observations, commands, leaders, drains;
};

struct world {
    uint64_t seed;
    struct simulated_environment *base;
    struct simulated_network network;
    struct random_generator random;
    struct node nodes[WORLD_NODES_MAX];
    size_t node_count;
    struct world_shard shards[WORLD_SHARDS_MAX];
    bool has_cluster;
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    struct version_seen *versions; /* [WORLD_VERSIONS_MAX], by index modulo */
    uint64_t directory_of_id[64];  /* node id -> first bytes of the directory */
    uint64_t acknowledged[1024];   /* numbers of settings */
    size_t acknowledged_count;
    uint64_t next_setting;
    uint64_t requests_out;
    uint64_t store_delay_ms_max;
    uint32_t store_failures_per_hundred;
    uint64_t replace_after_ms;
    size_t wipes;
    size_t members_max; /* of the meta group; 0: the most */
    struct world_counts *counts;
    bool is_ending;
    jmp_buf *on_failure;
};

struct world *world_create(uint64_t seed, struct world_counts *counts);
void world_destroy(struct world *world);

void world_fail(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

uint32_t world_below(struct world *world, uint32_t bound);
void world_run_ms(struct world *world, uint64_t duration_ms);
uint64_t world_now_ms(const struct world *world);

/* A node with an empty directory, not started, of the zone "z"; its options may be changed. */
struct node *world_add(struct world *world, const char *name, const char *host_name);
void node_knows(struct node *node, const struct node *other);

/* A number of founders a, b, ... that know each other. */
void world_add_founders(struct world *world, size_t count);

void node_start(struct node *node);
void node_crash(struct node *node);
void node_stop(struct node *node);
void node_wipe(struct node *node); /* while it is down: an empty directory */

/* Both ways. */
void world_partition(struct world *world, const struct node *one, const struct node *other,
                     bool is_apart);
void world_isolate(struct world *world, const struct node *node, bool is_apart);
void world_heal(struct world *world);

typedef bool world_condition(struct world *world);

/* False after so long a time. */
bool world_await(struct world *world, world_condition *condition, uint64_t milliseconds);
void world_require(struct world *world, world_condition *condition, uint64_t milliseconds,
                   const char *what);

/* Every node that is alive is an active member, knows the same state and hears of all. */
bool all_are_members(struct world *world);
/* And all shards are as desired, with all replicas that there can be. */
bool all_is_settled(struct world *world);

/* NULL: none. */
struct node *world_leader(struct world *world);
struct node *world_any(struct world *world); /* alive, by the seed */

/* Propose a setting at a node; what was acknowledged must be there at the end. */
void node_propose(struct node *node);
void world_check_settings(struct world *world);

/* Ask; whatever comes of it. */
void node_command_later(struct node *node, const struct meta_command *command);

/* Ask and wait; the error's code. */
enum error_code node_command(struct node *node, const struct meta_command *command,
                             struct error *error_out);
/* The whole picture is asked for and compared with what there is. */
void node_observe(struct node *node);

/* meta_shards.c */
void shards_step(struct world *world);
void shards_report(struct node *node, struct meta_report *report_out);
void shards_transfer(struct node *node, uint32_t shard_id, uint64_t to_node);
bool shards_are_settled(struct world *world);
struct node *world_find(struct world *world, uint64_t node_id); /* alive */

/* meta_scenarios.c */
struct scenario {
    const char *name;
    void (*run)(struct world *world);
};
extern const struct scenario SCENARIOS[];
extern const size_t SCENARIO_COUNT;

#endif
