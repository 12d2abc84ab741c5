/*
 * cluster_entry - the entries of the meta group's log: how the state of a cluster changes.
 *
 * Byte layout: docs/formats/cluster-entry.md. What each does, and when it is refused, stands at
 * its struct; applying is in cluster_state.h. An entry that was applied may be sent again: it then
 * changes nothing and is accepted.
 */
#ifndef MEMBERSHIP_CLUSTER_ENTRY_H
#define MEMBERSHIP_CLUSTER_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/text.h"
#include "membership/cluster_node.h"

enum {
    CLUSTER_ID_BYTES = 16,
    CLUSTER_SHARDS_MAX = SLOT_COUNT, /* each has at least one slot */
    CLUSTER_SETTING_KEY_BYTES_MAX = 128,
    CLUSTER_SETTING_VALUE_BYTES_MAX = 64 * 1024,
};

enum cluster_entry_kind {
    CLUSTER_FOUND = 1,
    CLUSTER_ADD_NODE = 2,
    CLUSTER_UPDATE_NODE = 3,
    CLUSTER_SET_NODE_STATE = 4,
    CLUSTER_REMOVE_NODE = 5,
    CLUSTER_ASSIGN = 6,
    CLUSTER_SPLIT = 7,
    CLUSTER_SET_REPLICATION = 8,
    CLUSTER_SET_TENANT = 9,
    CLUSTER_RAISE_VERSION = 10,
};

struct cluster_founder {
    struct cluster_node_identity identity;
    struct cluster_node_traits traits;
};

struct cluster_founding_shard {
    uint64_t group_id; /* > 0 */
    struct cluster_replicas replicas;
};

/* The first entry. Founders become nodes 1, 2, ... in their order, and are active at once. Refused
 * when there is another cluster already. */
struct cluster_found {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    char name[CLUSTER_NAME_BYTES_MAX + 1];
    uint32_t version;     /* of the state machine; all founders support it */
    uint32_t replication; /* 1..CLUSTER_REPLICAS_MAX */
    uint32_t spread;      /* over how many slots one target is spread, 1..SLOT_COUNT */
    const struct cluster_founder *founders; /* [founder_count], names rising */
    size_t founder_count;
    const struct cluster_founding_shard *shards; /* [shard_count], by shard id, groups rising */
    size_t shard_count;
    const uint16_t *slots; /* [SLOT_COUNT], the shard of each slot; every shard has one */
};

/* A node joins. A known name with the same directory is that node (joining again when it had
 * left, with these traits); with another directory it is a new node that replaces the known one,
 * which has thereby left. Refused: a directory that was replaced, versions, too many nodes. Whoever
 * proposes makes sure that a node to be replaced is not alive. */
struct cluster_add_node {
    struct cluster_node_identity identity;
    struct cluster_node_traits traits;
};

/* Refused: unknown node; versions without the one in force. */
struct cluster_update_node {
    uint64_t node_id;
    struct cluster_node_traits traits;
};

/* Refused: unknown node; a change that cluster_node_state does not draw. */
struct cluster_set_node_state {
    uint64_t node_id;
    enum cluster_node_state state;
};

/* Refused: a shard desires it; it is joining or active. */
struct cluster_remove_node {
    uint64_t node_id;
};

/* The replicas that a shard shall have. Refused: another generation than the one that the proposer
 * saw (but for the same replicas); a new one that takes no replicas. */
struct cluster_assign {
    uint32_t shard_id;
    uint64_t generation;
    struct cluster_replicas replicas;
};

struct slot_range {
    uint16_t first;
    uint16_t count;
};

/* Some slots of a shard, not all, go to a new one. Refused: another generation; another next shard
 * or group than the named; slots that are not the shard's. */
struct cluster_split {
    uint32_t shard_id;
    uint64_t generation;
    uint32_t new_shard_id;
    uint64_t new_group_id;
    const struct slot_range *ranges; /* [range_count], rising, apart */
    size_t range_count;
    struct cluster_replicas replicas;
};

struct cluster_set_replication {
    uint32_t replication; /* 1..CLUSTER_REPLICAS_MAX */
};

/* An opaque text; an empty one removes the setting. Refused: too much in all. */
struct cluster_set_tenant {
    struct text tenant; /* 1..TENANT_ID_BYTES_MAX */
    struct text key;    /* 1..CLUSTER_SETTING_KEY_BYTES_MAX */
    struct text value;  /* 0..CLUSTER_SETTING_VALUE_BYTES_MAX */
};

/* Refused: lower than what is in force; a node that has not left does not support it. */
struct cluster_raise_version {
    uint32_t version;
};

struct cluster_entry {
    enum cluster_entry_kind kind;
    union {
        struct cluster_found found;
        struct cluster_add_node add_node;
        struct cluster_update_node update_node;
        struct cluster_set_node_state set_node_state;
        struct cluster_remove_node remove_node;
        struct cluster_assign assign;
        struct cluster_split split;
        struct cluster_set_replication set_replication;
        struct cluster_set_tenant set_tenant;
        struct cluster_raise_version raise_version;
    };
};

/* Append the bytes of an entry, which is checked first: what is encoded can be decoded by all.
 * Errors: INVALID, OUT_OF_MEMORY; the buffer is then as long as before. */
enum error_code cluster_entry_encode(const struct cluster_entry *entry, struct byte_buffer *buffer,
                                     struct error *error);

/*
 * Texts are views of `bytes`; arrays are allocated from `arena`.
 *
 * Errors: UNSUPPORTED (kind, version), CORRUPT, OUT_OF_MEMORY.
 */
enum error_code cluster_entry_decode(const uint8_t *bytes, size_t size_bytes, struct arena *arena,
                                     struct cluster_entry *entry_out, struct error *error);

#endif
