/* The founding entry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "placement/formation.h"
#include "placement/placement.h"

enum { PEERS = 5 };

static const struct formation_options OPTIONS = {.name = "east",
                                                 .shard_count = 32,
                                                 .replication = 3,
                                                 .spread = 4,
                                                 .version = 1,
                                                 .first_group = 1};

/* Names "n0".. in zones "z0", "z1", "z2". */
static void make_peers(struct cluster_founder *peers)
{
    memset(peers, 0, PEERS * sizeof *peers);
    for (size_t i = 0; i < PEERS; i++) {
        snprintf(peers[i].identity.name, sizeof peers[i].identity.name, "n%zu", i);
        memset(peers[i].identity.directory_id, (int)(i + 1), CLUSTER_DIRECTORY_ID_BYTES);
        snprintf(peers[i].traits.address, sizeof peers[i].traits.address, "n%zu:9010", i);
        snprintf(peers[i].traits.zone, sizeof peers[i].traits.zone, "z%zu", i % 3);
        peers[i].traits.roles = CLUSTER_ROLES_ALL;
        peers[i].traits.version_min = peers[i].traits.version_max = 1;
    }
}

static void encode_found(const struct cluster_founder *peers, size_t count,
                         struct byte_buffer *buffer)
{
    struct arena *arena = arena_create(0);
    struct cluster_entry entry;
    struct error error;
    assert_int_equal(formation_found(peers, count, &OPTIONS, arena, &entry, &error), ERROR_NONE);
    assert_int_equal(cluster_entry_encode(&entry, buffer, &error), ERROR_NONE);
    arena_destroy(arena);
}

static void every_founder_makes_the_same_entry(void **state)
{
    (void)state;
    struct cluster_founder peers[PEERS], swapped;
    struct byte_buffer once = {0}, again = {0};
    make_peers(peers);
    encode_found(peers, PEERS, &once);
    swapped = peers[0];
    peers[0] = peers[4];
    peers[4] = swapped;
    encode_found(peers, PEERS, &again);
    assert_int_equal(once.size, again.size);
    assert_memory_equal(once.bytes, again.bytes, once.size);
    byte_buffer_clear(&once);
    byte_buffer_clear(&again);
}

static void another_directory_is_another_cluster(void **state)
{
    (void)state;
    struct cluster_founder peers[PEERS];
    struct byte_buffer once = {0}, again = {0};
    make_peers(peers);
    encode_found(peers, PEERS, &once);
    peers[2].identity.directory_id[5]++;
    encode_found(peers, PEERS, &again);
    assert_memory_not_equal(once.bytes + 2, again.bytes + 2, CLUSTER_ID_BYTES);
    byte_buffer_clear(&once);
    byte_buffer_clear(&again);
}

static void replicas_are_spread_over_zones_and_nodes(void **state)
{
    (void)state;
    struct cluster_founder peers[PEERS];
    struct arena *arena = arena_create(0);
    struct cluster_entry entry;
    struct error error;
    uint32_t counts[PEERS + 1] = {0};
    make_peers(peers);
    assert_int_equal(formation_found(peers, PEERS, &OPTIONS, arena, &entry, &error), ERROR_NONE);
    const struct cluster_found *found = &entry.found;
    assert_int_equal(found->shard_count, 32);
    for (size_t i = 0; i < found->shard_count; i++) {
        bool zones[3] = {0};
        assert_int_equal(found->shards[i].group_id, i + 1);
        assert_int_equal(found->shards[i].replicas.count, 3);
        for (uint32_t k = 0; k < 3; k++) {
            uint64_t node_id = found->shards[i].replicas.node_ids[k];
            counts[node_id]++;
            assert_false(zones[(node_id - 1) % 3]);
            zones[(node_id - 1) % 3] = true;
        }
    }
    /* The zones of nodes 1 and 4, and of 2 and 5, share; node 3 is alone in its zone. */
    assert_int_equal(counts[3], 32);
    assert_int_equal(counts[1] + counts[4], 32);
    assert_int_equal(counts[1], 16);
    assert_int_equal(counts[2], 16);
    for (size_t i = 0; i < SLOT_COUNT; i++)
        assert_int_equal(found->slots[i], i / 128);
    arena_destroy(arena);
}

static void one_node_keeps_all_alone(void **state)
{
    (void)state;
    struct cluster_founder peers[PEERS];
    struct arena *arena = arena_create(0);
    struct cluster_entry entry;
    struct error error;
    make_peers(peers);
    peers[1].traits.roles = CLUSTER_ROLE_QUERY;
    assert_int_equal(formation_found(peers, 2, &OPTIONS, arena, &entry, &error), ERROR_NONE);
    assert_int_equal(entry.found.replication, 3);
    for (size_t i = 0; i < entry.found.shard_count; i++) {
        assert_int_equal(entry.found.shards[i].replicas.count, 1);
        assert_int_equal(entry.found.shards[i].replicas.node_ids[0], 1);
    }
    arena_destroy(arena);
}

/* What was founded without a cluster, and split in another. */
static void slots_that_are_given_are_kept(void **state)
{
    (void)state;
    static uint16_t slots[SLOT_COUNT];
    struct cluster_founder peers[PEERS];
    struct arena *arena = arena_create(0);
    struct cluster_entry entry;
    struct error error;
    struct byte_buffer bytes = {0};
    struct formation_options options = OPTIONS;
    options.shard_count = 3;
    options.slots = slots;
    slots[17] = 2;
    make_peers(peers);
    assert_int_equal(formation_found(peers, PEERS, &options, arena, &entry, &error), ERROR_NONE);
    assert_memory_equal(entry.found.slots, slots, sizeof slots);
    assert_int_equal(cluster_entry_encode(&entry, &bytes, &error), ERROR_INVALID); /* 1 has none */
    slots[4000] = 1;
    assert_int_equal(formation_found(peers, PEERS, &options, arena, &entry, &error), ERROR_NONE);
    assert_int_equal(cluster_entry_encode(&entry, &bytes, &error), ERROR_NONE);
    byte_buffer_clear(&bytes);
    arena_destroy(arena);
}

static void what_cannot_be_founded_is_refused(void **state)
{
    (void)state;
    struct cluster_founder peers[PEERS];
    struct arena *arena = arena_create(0);
    struct cluster_entry entry;
    struct error error;
    make_peers(peers);
    assert_int_equal(formation_found(peers, 0, &OPTIONS, arena, &entry, &error), ERROR_INVALID);
    struct formation_options options = OPTIONS;
    options.shard_count = CLUSTER_SHARDS_MAX + 1;
    assert_int_equal(formation_found(peers, PEERS, &options, arena, &entry, &error), ERROR_INVALID);
    options = OPTIONS;
    options.replication = 0;
    assert_int_equal(formation_found(peers, PEERS, &options, arena, &entry, &error), ERROR_INVALID);
    options = OPTIONS;
    options.spread = 0;
    assert_int_equal(formation_found(peers, PEERS, &options, arena, &entry, &error), ERROR_INVALID);
    peers[3].identity = peers[1].identity;
    assert_int_equal(formation_found(peers, PEERS, &OPTIONS, arena, &entry, &error), ERROR_INVALID);
    make_peers(peers);
    for (size_t i = 0; i < PEERS; i++)
        peers[i].traits.roles = CLUSTER_ROLE_QUERY;
    assert_int_equal(formation_found(peers, PEERS, &OPTIONS, arena, &entry, &error), ERROR_INVALID);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_founder_makes_the_same_entry),
        cmocka_unit_test(another_directory_is_another_cluster),
        cmocka_unit_test(replicas_are_spread_over_zones_and_nodes),
        cmocka_unit_test(one_node_keeps_all_alone),
        cmocka_unit_test(slots_that_are_given_are_kept),
        cmocka_unit_test(what_cannot_be_founded_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
