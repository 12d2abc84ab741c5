/* Clusters for tests: what is founded, and entries applied one by one. */
#ifndef TESTS_UNIT_MEMBERSHIP_CLUSTERS_H
#define TESTS_UNIT_MEMBERSHIP_CLUSTERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "membership/cluster_state.h"

enum { FOUNDERS = 3, SHARDS = 4, KNOWN_VERSION_MAX = 2 };

static inline struct cluster_node_identity identity_of(const char *name, uint8_t directory)
{
    struct cluster_node_identity identity = {0};
    snprintf(identity.name, sizeof identity.name, "%s", name);
    memset(identity.directory_id, directory, sizeof identity.directory_id);
    return identity;
}

static inline struct cluster_node_traits traits_of(const char *address, const char *zone)
{
    struct cluster_node_traits traits = {
        .roles = CLUSTER_ROLES_ALL, .version_min = 1, .version_max = 1};
    snprintf(traits.address, sizeof traits.address, "%s", address);
    snprintf(traits.zone, sizeof traits.zone, "%s", zone);
    return traits;
}

/* What a founding entry points at. */
struct founding {
    struct cluster_founder founders[FOUNDERS];
    struct cluster_founding_shard shards[SHARDS];
    uint16_t slots[SLOT_COUNT];
    struct cluster_entry entry;
};

/* Three nodes "a", "b", "c" in zones "x", "y", "z"; four shards of 1024 slots, each on all. */
static inline void founding_init(struct founding *founding)
{
    static const char *const NAMES[] = {"a", "b", "c"}, *const ZONES[] = {"x", "y", "z"};
    memset(founding, 0, sizeof *founding);
    for (size_t i = 0; i < FOUNDERS; i++) {
        char address[16];
        snprintf(address, sizeof address, "%s:9010", NAMES[i]);
        founding->founders[i].identity = identity_of(NAMES[i], (uint8_t)(i + 1));
        founding->founders[i].traits = traits_of(address, ZONES[i]);
    }
    for (size_t i = 0; i < SHARDS; i++)
        founding->shards[i] = (struct cluster_founding_shard){i + 1, {3, {1, 2, 3}}};
    for (size_t i = 0; i < SLOT_COUNT; i++)
        founding->slots[i] = (uint16_t)(i * SHARDS / SLOT_COUNT);
    founding->entry.kind = CLUSTER_FOUND;
    struct cluster_found *found = &founding->entry.found;
    memset(found->cluster_id, 7, sizeof found->cluster_id);
    snprintf(found->name, sizeof found->name, "east");
    found->version = 1;
    found->replication = 3;
    found->spread = 4;
    found->founders = founding->founders;
    found->founder_count = FOUNDERS;
    found->shards = founding->shards;
    found->shard_count = SHARDS;
    found->slots = founding->slots;
}

/* The next entry of the log of a test. */
static inline struct cluster_outcome apply_entry_at(struct cluster_state *state, uint64_t index,
                                                    const struct cluster_entry *entry)
{
    struct byte_buffer buffer = {0};
    struct cluster_outcome outcome = {0};
    struct error error;
    assert_int_equal(cluster_entry_encode(entry, &buffer, &error), ERROR_NONE);
    assert_int_equal(cluster_state_apply(state, index, buffer.bytes, buffer.size, &outcome, &error),
                     ERROR_NONE);
    byte_buffer_clear(&buffer);
    return outcome;
}

static inline struct cluster_state *founded_state(void)
{
    struct cluster_state *state;
    struct founding founding;
    struct error error;
    founding_init(&founding);
    assert_int_equal(cluster_state_create(KNOWN_VERSION_MAX, &state, &error), ERROR_NONE);
    struct cluster_outcome outcome = apply_entry_at(state, 1, &founding.entry);
    assert_int_equal(outcome.refusal, CLUSTER_ACCEPTED);
    assert_true(outcome.changed);
    return state;
}

#endif
