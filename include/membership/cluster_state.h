/*
 * cluster_state - what a cluster knows of itself: nodes, shards, slots, settings of tenants.
 *
 * The state of the meta group, of which every node is a member: a pure function of its log, the
 * same bytes on each node. It says what is *desired*; that the groups of the shards come to it is
 * the work of their leaders (docs/decisions/0024). Bytes: docs/formats/cluster-state.md.
 *
 * No thread of its own: one writer, and readers only between its calls. What the functions below
 * point at stays in place until the next entry is applied.
 */
#ifndef MEMBERSHIP_CLUSTER_STATE_H
#define MEMBERSHIP_CLUSTER_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/state_version.h"
#include "base/text.h"
#include "membership/cluster_entry.h"
#include "membership/cluster_node.h"

/* The state-machine versions that this source knows; what each is, base/state_version.h says. */
enum { CLUSTER_VERSION_MIN = STATE_VERSION_FIRST, CLUSTER_VERSION_MAX = STATE_VERSION_MAX };

enum {
    CLUSTER_SHARD_NONE = UINT16_MAX,
    CLUSTER_SETTINGS_MAX = 16384,
    CLUSTER_SETTINGS_BYTES_MAX = 8 * 1024 * 1024, /* of all texts together: a state is a snapshot,
                                                   * which is one record of the journal */
};

/* What there is once. */
struct cluster_facts {
    bool founded; /* false: everything else is empty */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    char name[CLUSTER_NAME_BYTES_MAX + 1];
    uint32_t version;          /* state-machine version in force */
    uint32_t replication;      /* replicas that a shard shall have */
    uint32_t spread;           /* over how many slots one target is spread */
    uint64_t index;            /* of the entry that changed the state last: its version number */
    uint64_t slot_map_version; /* rises with every split, from 1 */
    uint64_t next_node_id;
    uint64_t next_group_id; /* of shards: behind the highest that was ever used */
};

struct cluster_shard {
    uint32_t shard_id; /* its place in cluster_state_shards: shards are split, never removed */
    uint32_t parent;   /* the shard that it was split from; CLUSTER_SHARD_NONE: a founding one */
    uint64_t group_id;
    uint64_t generation; /* rises with every change of the shard, from 1 */
    uint32_t slot_count;
    struct cluster_replicas replicas; /* desired */
};

struct cluster_setting {
    struct text tenant;
    struct text key;
    struct text value;
};

struct cluster_state;

/* --- Life ---------------------------------------------------------------------------------- */

/* Empty. `version_max`: the highest state-machine version that the program supports
 * (CLUSTER_VERSION_MAX, but for tests). Errors: OUT_OF_MEMORY. */
enum error_code cluster_state_create(uint32_t version_max, struct cluster_state **state_out,
                                     struct error *error);
void cluster_state_destroy(struct cluster_state *state);

/* --- Change -------------------------------------------------------------------------------- */

enum cluster_refusal {
    CLUSTER_ACCEPTED = 0,
    CLUSTER_REFUSED_NOT_FOUNDED, /* there is no cluster yet */
    CLUSTER_REFUSED_FOUNDED,     /* there is one */
    CLUSTER_REFUSED_NODE,        /* unknown */
    CLUSTER_REFUSED_SHARD,       /* unknown */
    CLUSTER_REFUSED_STALE,       /* the proposer saw an older state */
    CLUSTER_REFUSED_NODE_STATE,  /* not in this state of the node */
    CLUSTER_REFUSED_REPLACED,    /* its directory was replaced by a newer one */
    CLUSTER_REFUSED_IN_USE,      /* a shard desires the node */
    CLUSTER_REFUSED_REPLICAS,    /* a node that takes no replicas */
    CLUSTER_REFUSED_SLOTS,       /* not the shard's, or all that it has */
    CLUSTER_REFUSED_VERSION,     /* a node does not support it */
    CLUSTER_REFUSED_LIMIT,       /* nodes, shards or settings */
};

/* Why, for people. */
const char *cluster_refusal_text(enum cluster_refusal refusal);

/* The same on every replica. */
struct cluster_outcome {
    enum cluster_refusal refusal; /* unless ACCEPTED the state is as before */
    bool changed;                 /* false when accepted: it was so already */
    uint64_t node_id;             /* of an accepted CLUSTER_ADD_NODE */
};

/*
 * Apply the entry that the log has at `index`, which rises from call to call.
 *
 * Errors stop the group, the state is as before: UNSUPPORTED (a kind or version that this program
 * does not know), CORRUPT, OUT_OF_MEMORY.
 */
enum error_code cluster_state_apply(struct cluster_state *state, uint64_t index,
                                    const uint8_t *bytes, size_t size_bytes,
                                    struct cluster_outcome *outcome_out, struct error *error);

/* --- Bytes --------------------------------------------------------------------------------- */

/* Append the whole state; equal states have equal bytes. Memory: test `buffer->failed`. */
void cluster_state_encode(const struct cluster_state *state, struct byte_buffer *buffer);

/* Errors: CORRUPT, UNSUPPORTED (of the format, or a state-machine version above `version_max`),
 * OUT_OF_MEMORY. */
enum error_code cluster_state_decode(const uint8_t *bytes, size_t size_bytes, uint32_t version_max,
                                     struct cluster_state **state_out, struct error *error);

/* --- Look ---------------------------------------------------------------------------------- */

const struct cluster_facts *cluster_state_facts(const struct cluster_state *state);

/* [*count_out], by node id. */
const struct cluster_node *cluster_state_nodes(const struct cluster_state *state,
                                               size_t *count_out);

/* NULL: there is none. By name: the one that is not replaced. */
const struct cluster_node *cluster_state_find_node(const struct cluster_state *state,
                                                   uint64_t node_id);
const struct cluster_node *cluster_state_find_name(const struct cluster_state *state,
                                                   struct text name);

/* [*count_out], by shard id. */
const struct cluster_shard *cluster_state_shards(const struct cluster_state *state,
                                                 size_t *count_out);

/* NULL: there is none. */
const struct cluster_shard *cluster_state_find_shard(const struct cluster_state *state,
                                                     uint32_t shard_id);

/* How many shards were split from it. */
uint32_t cluster_state_count_children(const struct cluster_state *state, uint32_t shard_id);

/* The first shard that desires the node (previous NULL), then the one behind `previous`; NULL: no
 * more. */
const struct cluster_shard *cluster_state_next_shard_of(const struct cluster_state *state,
                                                        uint64_t node_id,
                                                        const struct cluster_shard *previous);

/* How many shards desire the node. */
size_t cluster_state_replica_count(const struct cluster_state *state, uint64_t node_id);

/* The shard of a slot < SLOT_COUNT; CLUSTER_SHARD_NONE before there is a cluster. */
uint16_t cluster_state_shard_of(const struct cluster_state *state, uint16_t slot);

/* The shard of every slot, [SLOT_COUNT]. */
const uint16_t *cluster_state_slots(const struct cluster_state *state);

/* The first range of slots of a shard at or behind slot `from` (0..SLOT_COUNT). False: none. */
bool cluster_state_next_range(const struct cluster_state *state, uint32_t shard_id, uint32_t from,
                              struct slot_range *range_out);

/* [*count_out], by tenant and key. */
const struct cluster_setting *cluster_state_settings(const struct cluster_state *state,
                                                     size_t *count_out);

/* The value; no text (NULL data) when there is none. */
struct text cluster_state_setting(const struct cluster_state *state, struct text tenant,
                                  struct text key);

#endif
