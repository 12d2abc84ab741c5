/*
 * state - the state in memory, and the changes that cannot fail for want of memory once there is
 * room: so an entry is applied as a whole or not at all.
 */
#ifndef MEMBERSHIP_STATE_H
#define MEMBERSHIP_STATE_H

#include "membership/cluster_state.h"

struct cluster_state {
    uint32_t version_max; /* that the program supports */
    struct cluster_facts facts;
    struct cluster_node *nodes; /* [node_count], by id */
    size_t node_count;
    struct cluster_shard *shards; /* [shard_count], by id */
    size_t shard_count;
    uint16_t slots[SLOT_COUNT];       /* the shard of each */
    struct cluster_setting *settings; /* [setting_count], by tenant and key; each owns one block of
                                       * memory that begins at its tenant */
    size_t setting_count;
    size_t setting_bytes; /* of all texts */
};

/* A version that is beyond version_max. Returns UNSUPPORTED. */
enum error_code state_refuse_version(const struct cluster_state *state, uint32_t version,
                                     struct error *error);

/* Room for `extra` more at the end. Errors: OUT_OF_MEMORY. */
enum error_code state_reserve_nodes(struct cluster_state *state, size_t extra, struct error *error);
enum error_code state_reserve_shards(struct cluster_state *state, size_t extra,
                                     struct error *error);

/* The caller may change these. */
struct cluster_node *state_node(struct cluster_state *state, uint64_t node_id);
struct cluster_shard *state_shard(struct cluster_state *state, uint32_t shard_id);

/* Where a setting is, or belongs; whether it is there. */
size_t state_setting_place(const struct cluster_state *state, struct text tenant, struct text key,
                           bool *there_out);

/* A copy of the texts is put at `place`. Errors: OUT_OF_MEMORY. */
enum error_code state_insert_setting(struct cluster_state *state, size_t place,
                                     const struct cluster_setting *setting, struct error *error);
void state_remove_setting(struct cluster_state *state, size_t place);

size_t setting_size_bytes(const struct cluster_setting *setting);

#endif
