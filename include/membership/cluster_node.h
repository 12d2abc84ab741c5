/*
 * cluster_node - what a cluster knows of one of its nodes.
 *
 * A node is its name and the random id that was made with its data directory. Node ids are the
 * cluster's own, rise, and are never used again: a known name with another directory is another
 * node.
 */
#ifndef MEMBERSHIP_CLUSTER_NODE_H
#define MEMBERSHIP_CLUSTER_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum {
    CLUSTER_NODES_MAX = 1024,
    CLUSTER_REPLICAS_MAX = 7, /* of a shard */
    CLUSTER_NAME_BYTES_MAX = 63,
    CLUSTER_ADDRESS_BYTES_MAX = 255,
    CLUSTER_DIRECTORY_ID_BYTES = 16,
};

/* Bits of `roles`; the setting of the same name. Shards are kept by nodes that take samples in. */
enum cluster_role {
    CLUSTER_ROLE_INGEST = 1,
    CLUSTER_ROLE_QUERY = 2,
    CLUSTER_ROLE_STORE = 4,
    CLUSTER_ROLE_RULES = 8,
    CLUSTER_ROLES_ALL = 15,
};

/*
 *              draining
 *              |      ^
 *              v      |
 *   joining -> active-+
 *      |          |          from each: left, which is for good unless the node itself comes back
 *      v          v          (it is then joining again)
 *             left
 */
enum cluster_node_state {
    CLUSTER_NODE_JOINING = 1, /* known, gets no replicas yet */
    CLUSTER_NODE_ACTIVE,
    CLUSTER_NODE_DRAINING, /* its replicas and leaders move away */
    CLUSTER_NODE_LEFT,     /* will not be back: its replicas are made anew elsewhere */
};

struct cluster_node_identity {
    char name[CLUSTER_NAME_BYTES_MAX + 1]; /* NUL-terminated, not empty */
    uint8_t directory_id[CLUSTER_DIRECTORY_ID_BYTES];
};

/* What may change in the life of a node. */
struct cluster_node_traits {
    char address[CLUSTER_ADDRESS_BYTES_MAX + 1]; /* host:port, NUL-terminated, not empty */
    char zone[CLUSTER_NAME_BYTES_MAX + 1];       /* may be empty, which is a zone like others */
    uint32_t roles;                              /* bits of cluster_role, at least one */
    uint32_t version_min;                        /* state-machine versions that its program */
    uint32_t version_max;                        /* supports; 0 < min <= max */
};

struct cluster_node {
    uint64_t node_id; /* > 0 */
    struct cluster_node_identity identity;
    struct cluster_node_traits traits;
    enum cluster_node_state state;
    uint32_t draining_from; /* replicas that it had when its draining began */
    uint64_t replaced_by;   /* the node that came with the same name; 0: none */
};

/* Whether texts are UTF-8 without control characters and of a fitting length, and numbers in
 * range. For what comes from other nodes, before it is proposed. Errors: INVALID. */
enum error_code cluster_node_check(const struct cluster_node_identity *identity,
                                   const struct cluster_node_traits *traits, struct error *error);

static inline bool cluster_node_supports(const struct cluster_node_traits *traits, uint32_t version)
{
    return traits->version_min <= version && version <= traits->version_max;
}

/* Whether it may be given replicas. */
static inline bool cluster_node_takes_replicas(const struct cluster_node *node)
{
    return node->state == CLUSTER_NODE_ACTIVE && (node->traits.roles & CLUSTER_ROLE_INGEST) != 0;
}

/* "ingest", ..., of one role; and back, 0: no role has that name. */
const char *cluster_role_name(uint32_t role);
uint32_t cluster_role_of(struct text name);

/* "joining", "active", ...: for answers and logs. */
const char *cluster_node_state_name(enum cluster_node_state state);

/* The nodes that keep a shard, or shall: a set, by rising id. */
struct cluster_replicas {
    uint32_t count;
    uint64_t node_ids[CLUSTER_REPLICAS_MAX]; /* [count], rising */
};

bool cluster_replicas_has(const struct cluster_replicas *replicas, uint64_t node_id);
bool cluster_replicas_equal(const struct cluster_replicas *left,
                            const struct cluster_replicas *right);

/* False when it is there already, or there is no room. */
bool cluster_replicas_add(struct cluster_replicas *replicas, uint64_t node_id);

/* False when it is not there. */
bool cluster_replicas_remove(struct cluster_replicas *replicas, uint64_t node_id);

#endif
