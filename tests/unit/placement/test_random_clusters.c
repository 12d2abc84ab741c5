/* Thousands of random clusters, each a seed: whatever happens to them, they come to rest where they
 * should, and never lose a majority by what was decided. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model.c" /* only one file of a unit test is compiled */

enum { SEEDS = 2000, DEAD_MAX = 2, SETTLE_TICKS_MAX = 20000 };

/* --- What happens -------------------------------------------------------------------------- */

static const struct cluster_node *random_node(struct model *model)
{
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(model->state, &count);
    return &nodes[model_below(model, (uint32_t)count)];
}

static size_t count_nodes(const struct model *model, enum cluster_node_state state, bool dead_only)
{
    size_t count, found = 0;
    const struct cluster_node *nodes = cluster_state_nodes(model->state, &count);
    for (size_t i = 0; i < count; i++)
        found += nodes[i].state == state && !(dead_only && model->nodes[nodes[i].node_id].alive);
    return found;
}

static void join(struct model *model, uint32_t zones)
{
    char zone[16];
    if (count_nodes(model, CLUSTER_NODE_ACTIVE, false) >= 12 ||
        cluster_state_facts(model->state)->next_node_id >= MODEL_NODES_MAX)
        return;
    snprintf(zone, sizeof zone, "zone-%u", model_below(model, zones + 1)); /* perhaps a new one */
    model_join(model, zone);
}

/* Something on its disk is lost with a node that is declared to have left: not a majority. */
static void leave(struct model *model, const struct cluster_node *node)
{
    if (model_can_spare(model, node->node_id) &&
        count_nodes(model, CLUSTER_NODE_ACTIVE, false) > 1) {
        model_kill(model, node->node_id);
        model_set_state(model, node->node_id, CLUSTER_NODE_LEFT);
    }
}

static void move_zone(struct model *model, const struct cluster_node *node, uint32_t zones)
{
    struct cluster_entry entry = {.kind = CLUSTER_UPDATE_NODE,
                                  .update_node = {node->node_id, node->traits}};
    snprintf(entry.update_node.traits.zone, sizeof entry.update_node.traits.zone, "zone-%u",
             model_below(model, zones + 1));
    model_apply(model, &entry);
}

static void split(struct model *model)
{
    struct arena *arena = arena_create(0);
    struct cluster_entry entry;
    struct error error;
    uint32_t shard_id = placement_shard_to_split(model->state);
    if (shard_id != CLUSTER_SHARD_NONE && model_group_count(model) < MODEL_SHARDS_MAX) {
        assert_int_equal(placement_split(model->state, shard_id, arena, &entry, &error),
                         ERROR_NONE);
        assert_int_equal(model_apply(model, &entry), CLUSTER_ACCEPTED);
        size_t made = model_group_count(model) - 1;
        model->groups[made] = model->groups[shard_id]; /* members split with the data */
        model->groups[made].view.transferring = false;
    }
    arena_destroy(arena);
}

static void remove_left(struct model *model)
{
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(model->state, &count);
    for (size_t i = 0; i < count; i++) {
        struct cluster_entry entry = {.kind = CLUSTER_REMOVE_NODE,
                                      .remove_node = {nodes[i].node_id}};
        if (nodes[i].state == CLUSTER_NODE_LEFT && model_apply(model, &entry) == CLUSTER_ACCEPTED)
            return;
    }
}

static void happen(struct model *model, uint32_t zones)
{
    const struct cluster_node *node = random_node(model);
    bool left = node->state == CLUSTER_NODE_LEFT;
    switch (model_below(model, 40)) {
    case 0:
    case 1:
        if (count_nodes(model, CLUSTER_NODE_ACTIVE, true) +
                count_nodes(model, CLUSTER_NODE_DRAINING, true) <
            DEAD_MAX)
            model_kill(model, node->node_id);
        break;
    case 2:
        if (!left)
            model_start(model, node->node_id);
        break;
    case 3:
        join(model, zones);
        break;
    case 4:
        model_set_state(model, node->node_id, CLUSTER_NODE_DRAINING);
        break;
    case 5:
        model_set_state(model, node->node_id, CLUSTER_NODE_ACTIVE);
        break;
    case 6:
        if (model_below(model, 3) == 0)
            leave(model, node);
        break;
    case 7:
        model->nodes[node->node_id].slow_disk = !model->nodes[node->node_id].slow_disk;
        break;
    case 8:
        if (model_below(model, 3) == 0)
            move_zone(model, node, zones);
        break;
    case 9:
        if (model_below(model, 3) == 0)
            split(model);
        break;
    case 10:
        remove_left(model);
        break;
    }
}

/* What died comes back, but for those that left. */
static void calm_down(struct model *model)
{
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(model->state, &count);
    for (size_t i = 0; i < count; i++)
        if (nodes[i].state != CLUSTER_NODE_LEFT && model_below(model, 10) != 0)
            model_start(model, nodes[i].node_id);
    if (!model_can_spare(model, 0)) /* a majority is not all dead for ever */
        for (size_t i = 0; i < count; i++)
            if (nodes[i].state != CLUSTER_NODE_LEFT)
                model_start(model, nodes[i].node_id);
}

/* --- Where it comes to rest ----------------------------------------------------------------- */

static bool takes(const struct model *model, const struct cluster_node *node)
{
    return cluster_node_takes_replicas(node) && model->nodes[node->node_id].alive;
}

static uint32_t in_zone(const struct model *model, const struct cluster_shard *shard,
                        const char *zone)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < shard->replicas.count; i++)
        count +=
            strcmp(cluster_state_find_node(model->state, shard->replicas.node_ids[i])->traits.zone,
                   zone) == 0;
    return count;
}

static void check_shard(const struct model *model, const struct cluster_shard *shard)
{
    size_t count, takers = 0, kept = 0;
    const struct cluster_node *nodes = cluster_state_nodes(model->state, &count);
    uint32_t replication = cluster_state_facts(model->state)->replication;
    for (size_t i = 0; i < count; i++) {
        bool has = cluster_replicas_has(&shard->replicas, nodes[i].node_id);
        takers += takes(model, &nodes[i]);
        kept += has && takes(model, &nodes[i]);
    }
    assert_true(shard->replicas.count <= replication);
    assert_int_equal(kept, takers < replication ? takers : replication);
    if (takers >= replication)
        assert_true(placement_is_settled(model->state, &model->sight.observation, shard->shard_id));
}

static void check_zones(const struct model *model, const struct cluster_shard *shard)
{
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(model->state, &count);
    for (uint32_t i = 0; i < shard->replicas.count; i++) {
        const struct cluster_node *has =
            cluster_state_find_node(model->state, shard->replicas.node_ids[i]);
        uint32_t crowd = in_zone(model, shard, has->traits.zone);
        for (size_t k = 0; k < count; k++)
            if (takes(model, &nodes[k]) &&
                !cluster_replicas_has(&shard->replicas, nodes[k].node_id))
                assert_true(crowd <= in_zone(model, shard, nodes[k].traits.zone) + 1);
    }
}

static uint32_t zone_size(const struct model *model, const char *zone)
{
    size_t count;
    uint32_t takers = 0;
    const struct cluster_node *nodes = cluster_state_nodes(model->state, &count);
    for (size_t i = 0; i < count; i++)
        takers += takes(model, &nodes[i]) && strcmp(nodes[i].traits.zone, zone) == 0;
    return takers;
}

static bool zones_are_equal(const struct model *model)
{
    size_t count;
    uint32_t size = 0;
    const struct cluster_node *nodes = cluster_state_nodes(model->state, &count);
    for (size_t i = 0; i < count; i++) {
        if (!takes(model, &nodes[i]))
            continue;
        uint32_t other = zone_size(model, nodes[i].traits.zone);
        if (size != 0 && other != size)
            return false;
        size = other;
    }
    return true;
}

/* No replica could go from one node to another that has two less without crowding a zone. */
static void check_no_better_move(const struct model *model, const struct cluster_node *from,
                                 const struct cluster_node *to)
{
    const struct cluster_shard *shard = NULL;
    while ((shard = cluster_state_next_shard_of(model->state, from->node_id, shard)) != NULL) {
        bool crowds =
            strcmp(from->traits.zone, to->traits.zone) != 0 &&
            in_zone(model, shard, to->traits.zone) >= in_zone(model, shard, from->traits.zone);
        assert_true(crowds || cluster_replicas_has(&shard->replicas, to->node_id));
    }
}

/* Within a zone, and where zones are alike, nothing stands in the way. */
static void check_balance(const struct model *model)
{
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(model->state, &count);
    bool equal = zones_are_equal(model);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++) {
            size_t more = cluster_state_replica_count(model->state, nodes[i].node_id);
            size_t less = cluster_state_replica_count(model->state, nodes[k].node_id);
            if (!takes(model, &nodes[i]) || !takes(model, &nodes[k]) || more <= less + 1)
                continue;
            assert_false(equal || strcmp(nodes[i].traits.zone, nodes[k].traits.zone) == 0);
            check_no_better_move(model, &nodes[i], &nodes[k]);
        }
}

/* --- Leaders, against another algorithm ----------------------------------------------------- */

struct matching {
    const struct model *model;
    uint64_t leaders[MODEL_SHARDS_MAX]; /* 0: none yet */
    uint32_t loads[MODEL_NODES_MAX];
    bool tried[MODEL_NODES_MAX];
    uint32_t capacity;
};

static bool can_lead(const struct model *model, uint64_t node_id)
{
    const struct cluster_node *node = cluster_state_find_node(model->state, node_id);
    return takes(model, node) && !model->nodes[node_id].slow_disk;
}

/* Find the shard a node, if need be by finding another node for another shard (Kuhn). */
static bool match(struct matching *matching, uint32_t shard_id)
{
    const struct cluster_shard *shard = cluster_state_find_shard(matching->model->state, shard_id);
    for (uint32_t i = 0; i < shard->replicas.count; i++) {
        uint64_t node_id = shard->replicas.node_ids[i];
        if (matching->tried[node_id] || !can_lead(matching->model, node_id))
            continue;
        matching->tried[node_id] = true;
        bool room = matching->loads[node_id] < matching->capacity;
        for (uint32_t k = 0; k < model_group_count(matching->model) && !room; k++)
            if (matching->leaders[k] == node_id && match(matching, k)) {
                matching->loads[node_id]--;
                room = true;
            }
        if (room) {
            matching->leaders[shard_id] = node_id;
            matching->loads[node_id]++;
            return true;
        }
    }
    return false;
}

/* The smallest highest number of leaders a node that is possible. */
static uint32_t best_possible(const struct model *model)
{
    for (uint32_t capacity = 1;; capacity++) {
        struct matching matching = {.model = model, .capacity = capacity};
        bool matched = true;
        for (uint32_t i = 0; i < model_group_count(model) && matched; i++) {
            memset(matching.tried, 0, sizeof matching.tried);
            const struct cluster_shard *shard = cluster_state_find_shard(model->state, i);
            bool any = false;
            for (uint32_t k = 0; k < shard->replicas.count; k++)
                any = any || can_lead(model, shard->replicas.node_ids[k]);
            matched = !any || match(&matching, i);
        }
        if (matched)
            return capacity;
    }
}

static void check_leaders(const struct model *model)
{
    uint32_t leads[MODEL_NODES_MAX] = {0}, highest = 0;
    for (size_t i = 0; i < model_group_count(model); i++) {
        uint64_t leader = model->groups[i].view.leader;
        bool alternative = false;
        const struct cluster_shard *shard = cluster_state_find_shard(model->state, (uint32_t)i);
        assert_int_not_equal(leader, 0);
        for (uint32_t k = 0; k < shard->replicas.count; k++)
            alternative = alternative || can_lead(model, shard->replicas.node_ids[k]);
        assert_true(can_lead(model, leader) || !alternative);
        if (can_lead(model, leader) && ++leads[leader] > highest)
            highest = leads[leader];
    }
    if (highest > 0)
        assert_int_equal(highest, best_possible(model));
}

static void check_rest(const struct model *model, bool all_alive)
{
    size_t count;
    const struct cluster_shard *shards = cluster_state_shards(model->state, &count);
    uint32_t slots = 0;
    for (size_t i = 0; i < count; i++) {
        slots += shards[i].slot_count;
        check_shard(model, &shards[i]);
        if (all_alive)
            check_zones(model, &shards[i]);
    }
    assert_int_equal(slots, SLOT_COUNT);
    size_t takers = count_nodes(model, CLUSTER_NODE_ACTIVE, false) -
                    count_nodes(model, CLUSTER_NODE_ACTIVE, true);
    if (all_alive && takers >= cluster_state_facts(model->state)->replication) {
        check_balance(model);
        check_leaders(model);
    }
}

/* --- Runs ---------------------------------------------------------------------------------- */

struct totals {
    size_t assigns, transfers, steps, ticks, ticks_max, assigns_max;
};

static void run_seed(uint64_t seed, struct totals *totals)
{
    struct random_generator random;
    random_generator_init(&random, seed);
    struct model_options options = {
        .node_count = 1 + random_below(&random.base, 12),
        .zone_count = 1 + random_below(&random.base, 5),
        .shard_count = 1 + random_below(&random.base, 64),
        .replication = 1 + random_below(&random.base, 5),
    };
    struct model *model = model_create(seed, &options);
    uint32_t chaos_ticks = model_below(model, 200);
    for (uint32_t i = 0; i < chaos_ticks; i++) {
        happen(model, options.zone_count);
        model_tick(model);
    }
    calm_down(model);
    size_t assigns = model->assigns, ticks = model->ticks;
    bool settled = model_settle(model, SETTLE_TICKS_MAX);
    assert_true(settled);
    /* Each replica moves hardly more than once. */
    uint32_t replication = cluster_state_facts(model->state)->replication;
    assert_true(model->assigns - assigns <= 2 * replication * model_group_count(model) + 10);
    totals->assigns += model->assigns - assigns;
    totals->ticks += model->ticks - ticks;
    if (model->assigns - assigns > totals->assigns_max)
        totals->assigns_max = model->assigns - assigns;
    if (model->ticks - ticks > totals->ticks_max)
        totals->ticks_max = model->ticks - ticks;
    totals->transfers += model->transfers;
    totals->steps += model->steps;
    bool all_alive = count_nodes(model, CLUSTER_NODE_ACTIVE, true) == 0 &&
                     count_nodes(model, CLUSTER_NODE_DRAINING, true) == 0;
    check_rest(model, all_alive);
    model_destroy(model);
}

static void random_clusters_come_to_rest_where_they_should(void **state)
{
    (void)state;
    struct totals totals = {0};
    const char *only = getenv("PLACEMENT_SEED"), *seed_count = getenv("PLACEMENT_SEEDS");
    uint64_t first = only == NULL ? 1 : strtoull(only, NULL, 10);
    uint64_t last = only != NULL         ? first
                    : seed_count == NULL ? SEEDS
                                         : strtoull(seed_count, NULL, 10);
    for (uint64_t seed = first; seed <= last; seed++) {
        print_message("\rseed %llu", (unsigned long long)seed);
        run_seed(seed, &totals);
    }
    size_t seeds = (size_t)(last - first + 1);
    print_message(
        "\r%zu seeds; to come to rest: %zu assigns each, at most %zu; %zu s, at most %zu; "
        "in all %zu steps, %zu transfers\n",
        seeds, totals.assigns / seeds, totals.assigns_max, totals.ticks / seeds, totals.ticks_max,
        totals.steps, totals.transfers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_clusters_come_to_rest_where_they_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
