/* What entries do to the state of a cluster, and when they are refused. */
#include "clusters.h"

static uint64_t next_index = 2;

static struct cluster_outcome apply(struct cluster_state *state, const struct cluster_entry *entry)
{
    return apply_entry_at(state, next_index++, entry);
}

static void assert_changed(struct cluster_state *state, struct cluster_entry entry)
{
    struct cluster_outcome outcome = apply(state, &entry);
    assert_int_equal(outcome.refusal, CLUSTER_ACCEPTED);
    assert_true(outcome.changed);
    assert_int_equal(cluster_state_facts(state)->index, next_index - 1);
}

/* Accepted or refused, the state is as before. */
static void assert_unchanged(struct cluster_state *state, struct cluster_entry entry,
                             enum cluster_refusal refusal)
{
    uint64_t index = cluster_state_facts(state)->index;
    struct cluster_outcome outcome = apply(state, &entry);
    assert_int_equal(outcome.refusal, refusal);
    assert_false(outcome.changed);
    assert_int_equal(cluster_state_facts(state)->index, index);
}

static struct cluster_entry add_node(const char *name, uint8_t directory)
{
    return (struct cluster_entry){
        .kind = CLUSTER_ADD_NODE,
        .add_node = {identity_of(name, directory), traits_of("new:9010", "x")}};
}

static struct cluster_entry node_state(uint64_t node_id, enum cluster_node_state wanted)
{
    return (struct cluster_entry){.kind = CLUSTER_SET_NODE_STATE,
                                  .set_node_state = {node_id, wanted}};
}

static struct cluster_entry remove_node(uint64_t node_id)
{
    return (struct cluster_entry){.kind = CLUSTER_REMOVE_NODE, .remove_node = {node_id}};
}

static struct cluster_entry assign(uint32_t shard_id, uint64_t generation,
                                   struct cluster_replicas replicas)
{
    return (struct cluster_entry){.kind = CLUSTER_ASSIGN,
                                  .assign = {shard_id, generation, replicas}};
}

static void before_the_founding_nothing_else_is_accepted(void **unused)
{
    (void)unused;
    struct cluster_state *state;
    struct error error;
    assert_int_equal(cluster_state_create(1, &state, &error), ERROR_NONE);
    assert_int_equal(cluster_state_shard_of(state, 0), CLUSTER_SHARD_NONE);
    assert_unchanged(state, add_node("d", 4), CLUSTER_REFUSED_NOT_FOUNDED);
    cluster_state_destroy(state);
}

static void founders_are_active_and_have_all_slots(void **unused)
{
    (void)unused;
    struct cluster_state *state = founded_state();
    size_t node_count, shard_count;
    struct slot_range range;
    const struct cluster_node *nodes = cluster_state_nodes(state, &node_count);
    const struct cluster_shard *shards = cluster_state_shards(state, &shard_count);
    assert_int_equal(node_count, FOUNDERS);
    for (size_t i = 0; i < node_count; i++) {
        assert_int_equal(nodes[i].node_id, i + 1);
        assert_int_equal(nodes[i].state, CLUSTER_NODE_ACTIVE);
    }
    assert_int_equal(shard_count, SHARDS);
    for (uint32_t i = 0; i < shard_count; i++) {
        assert_int_equal(shards[i].slot_count, SLOT_COUNT / SHARDS);
        assert_true(cluster_state_next_range(state, i, 0, &range));
        assert_int_equal(range.first, i * 1024);
        assert_int_equal(range.count, 1024);
        assert_false(cluster_state_next_range(state, i, range.first + range.count, &range));
    }
    assert_int_equal(cluster_state_shard_of(state, 1023), 0);
    assert_int_equal(cluster_state_shard_of(state, 1024), 1);
    assert_ptr_equal(cluster_state_find_name(state, TEXT("b")), &nodes[1]);
    assert_null(cluster_state_find_node(state, 4));
    cluster_state_destroy(state);
}

static void a_cluster_is_founded_once(void **unused)
{
    (void)unused;
    struct cluster_state *state = founded_state();
    struct founding founding;
    founding_init(&founding);
    assert_unchanged(state, founding.entry, CLUSTER_ACCEPTED);
    founding.entry.found.cluster_id[0]++;
    assert_unchanged(state, founding.entry, CLUSTER_REFUSED_FOUNDED);
    cluster_state_destroy(state);
}

static void a_node_is_its_name_and_directory(void **unused)
{
    (void)unused;
    struct cluster_state *state = founded_state();
    struct cluster_entry entry = add_node("d", 4);
    struct cluster_outcome outcome = apply(state, &entry);
    assert_int_equal(outcome.node_id, 4);
    assert_int_equal(cluster_state_find_node(state, 4)->state, CLUSTER_NODE_JOINING);
    outcome = apply(state, &entry);
    assert_int_equal(outcome.node_id, 4);
    assert_false(outcome.changed);

    /* An empty disk under a known name. */
    entry = add_node("a", 9);
    outcome = apply(state, &entry);
    assert_int_equal(outcome.node_id, 5);
    assert_int_equal(cluster_state_find_node(state, 1)->state, CLUSTER_NODE_LEFT);
    assert_int_equal(cluster_state_find_node(state, 1)->replaced_by, 5);
    assert_int_equal(cluster_state_find_name(state, TEXT("a"))->node_id, 5);
    /* The old disk is put in again. */
    assert_unchanged(state, add_node("a", 1), CLUSTER_REFUSED_REPLACED);
    assert_int_equal(cluster_state_facts(state)->next_node_id, 6);
    cluster_state_destroy(state);
}

static void a_node_that_left_can_come_back(void **unused)
{
    (void)unused;
    struct cluster_state *state = founded_state();
    assert_changed(state, node_state(3, CLUSTER_NODE_LEFT));
    assert_unchanged(state, node_state(3, CLUSTER_NODE_ACTIVE), CLUSTER_REFUSED_NODE_STATE);
    assert_changed(state, add_node("c", 3));
    assert_int_equal(cluster_state_find_node(state, 3)->state, CLUSTER_NODE_JOINING);
    assert_string_equal(cluster_state_find_node(state, 3)->traits.address, "new:9010");
    assert_changed(state, node_state(3, CLUSTER_NODE_ACTIVE));
    cluster_state_destroy(state);
}

static void states_change_as_drawn(void **unused)
{
    (void)unused;
    struct cluster_state *state = founded_state();
    assert_changed(state, add_node("d", 4));
    assert_unchanged(state, node_state(4, CLUSTER_NODE_DRAINING), CLUSTER_REFUSED_NODE_STATE);
    assert_changed(state, node_state(4, CLUSTER_NODE_ACTIVE));
    assert_unchanged(state, node_state(4, CLUSTER_NODE_ACTIVE), CLUSTER_ACCEPTED);
    assert_unchanged(state, node_state(4, CLUSTER_NODE_JOINING), CLUSTER_REFUSED_NODE_STATE);
    assert_changed(state, node_state(1, CLUSTER_NODE_DRAINING));
    assert_int_equal(cluster_state_find_node(state, 1)->draining_from, SHARDS);
    assert_changed(state, node_state(1, CLUSTER_NODE_ACTIVE));
    assert_int_equal(cluster_state_find_node(state, 1)->draining_from, 0);
    assert_unchanged(state, node_state(77, CLUSTER_NODE_ACTIVE), CLUSTER_REFUSED_NODE);
    cluster_state_destroy(state);
}

static void a_node_is_removed_when_no_shard_desires_it(void **unused)
{
    (void)unused;
    struct cluster_state *state = founded_state();
    assert_unchanged(state, remove_node(3), CLUSTER_REFUSED_NODE_STATE);
    assert_changed(state, node_state(3, CLUSTER_NODE_LEFT));
    assert_unchanged(state, remove_node(3), CLUSTER_REFUSED_IN_USE);
    for (uint32_t i = 0; i < SHARDS; i++)
        assert_changed(state, assign(i, 1, (struct cluster_replicas){2, {1, 2}}));
    assert_int_equal(cluster_state_replica_count(state, 3), 0);
    assert_changed(state, remove_node(3));
    assert_unchanged(state, remove_node(3), CLUSTER_ACCEPTED);
    assert_unchanged(state, remove_node(4), CLUSTER_REFUSED_NODE);
    /* Its id is dead. */
    struct cluster_entry entry = add_node("c", 3);
    assert_int_equal(apply(state, &entry).node_id, 4);
    cluster_state_destroy(state);
}

static void replicas_are_assigned_by_whom_saw_the_shard(void **unused)
{
    (void)unused;
    struct cluster_state *state = founded_state();
    assert_changed(state, add_node("d", 4));
    struct cluster_entry entry = assign(2, 1, (struct cluster_replicas){3, {1, 2, 4}});
    assert_unchanged(state, entry, CLUSTER_REFUSED_REPLICAS); /* still joining */
    assert_changed(state, node_state(4, CLUSTER_NODE_ACTIVE));
    assert_changed(state, entry);
    assert_unchanged(state, entry, CLUSTER_ACCEPTED); /* sent twice */
    assert_int_equal(cluster_state_find_shard(state, 2)->generation, 2);
    assert_unchanged(state, assign(2, 1, (struct cluster_replicas){3, {1, 3, 4}}),
                     CLUSTER_REFUSED_STALE);
    assert_unchanged(state, assign(2, 2, (struct cluster_replicas){2, {1, 99}}),
                     CLUSTER_REFUSED_REPLICAS);
    assert_unchanged(state, assign(SHARDS, 1, (struct cluster_replicas){1, {1}}),
                     CLUSTER_REFUSED_SHARD);
    const struct cluster_shard *shard = cluster_state_next_shard_of(state, 4, NULL);
    assert_int_equal(shard->shard_id, 2);
    assert_null(cluster_state_next_shard_of(state, 4, shard));
    /* A draining node may stay where it is, but gets nothing new. */
    assert_changed(state, node_state(4, CLUSTER_NODE_DRAINING));
    assert_changed(state, assign(2, 2, (struct cluster_replicas){2, {1, 4}}));
    assert_unchanged(state, assign(1, 1, (struct cluster_replicas){2, {1, 4}}),
                     CLUSTER_REFUSED_REPLICAS);
    cluster_state_destroy(state);
}

static void a_node_without_the_ingest_role_takes_no_replicas(void **unused)
{
    (void)unused;
    struct cluster_state *state = founded_state();
    struct cluster_entry entry = add_node("d", 4);
    entry.add_node.traits.roles = CLUSTER_ROLE_QUERY;
    assert_changed(state, entry);
    assert_changed(state, node_state(4, CLUSTER_NODE_ACTIVE));
    assert_unchanged(state, assign(2, 1, (struct cluster_replicas){3, {1, 2, 4}}),
                     CLUSTER_REFUSED_REPLICAS);
    cluster_state_destroy(state);
}

static void a_split_moves_slots_to_a_new_shard(void **unused)
{
    (void)unused;
    static const struct slot_range RANGES[] = {{10, 5}, {512, 512}}, ALIEN[] = {{1000, 100}},
                                   WHOLE[] = {{0, 1024}};
    struct cluster_state *state = founded_state();
    const struct cluster_replicas replicas = {3, {1, 2, 3}};
    struct cluster_entry entry = {.kind = CLUSTER_SPLIT, .split = {0, 1, 4, 5, ALIEN, 1, replicas}};
    assert_unchanged(state, entry, CLUSTER_REFUSED_SLOTS);
    entry.split.ranges = WHOLE;
    assert_unchanged(state, entry, CLUSTER_REFUSED_SLOTS);
    entry.split.ranges = RANGES;
    entry.split.range_count = 2;
    entry.split.new_shard_id = 5;
    assert_unchanged(state, entry, CLUSTER_REFUSED_STALE);
    entry.split.new_shard_id = 4;
    entry.split.new_group_id = 6;
    assert_unchanged(state, entry, CLUSTER_REFUSED_STALE);
    entry.split.new_group_id = 5;
    assert_changed(state, entry);
    assert_unchanged(state, entry, CLUSTER_ACCEPTED); /* sent twice */
    assert_int_equal(cluster_state_facts(state)->slot_map_version, 2);
    assert_int_equal(cluster_state_find_shard(state, 0)->slot_count, 507);
    assert_int_equal(cluster_state_find_shard(state, 0)->generation, 2);
    assert_int_equal(cluster_state_find_shard(state, 4)->slot_count, 517);
    assert_int_equal(cluster_state_find_shard(state, 4)->parent, 0);
    assert_int_equal(cluster_state_count_children(state, 0), 1);
    assert_int_equal(cluster_state_count_children(state, 4), 0);
    assert_int_equal(cluster_state_shard_of(state, 9), 0);
    assert_int_equal(cluster_state_shard_of(state, 10), 4);
    assert_int_equal(cluster_state_shard_of(state, 15), 0);
    assert_int_equal(cluster_state_shard_of(state, 1023), 4);
    /* Another split of the same shard by who has not seen this one. */
    entry.split.ranges = WHOLE;
    entry.split.range_count = 1;
    assert_unchanged(state, entry, CLUSTER_REFUSED_STALE);
    cluster_state_destroy(state);
}

static struct cluster_entry set_tenant(const char *tenant, const char *key, struct text value)
{
    return (struct cluster_entry){.kind = CLUSTER_SET_TENANT,
                                  .set_tenant = {text_of(tenant), text_of(key), value}};
}

static void settings_are_kept_by_tenant_and_key(void **unused)
{
    (void)unused;
    struct cluster_state *state = founded_state();
    size_t count;
    assert_changed(state, set_tenant("b", "limits", TEXT("1")));
    assert_changed(state, set_tenant("a", "rules", TEXT("2")));
    assert_changed(state, set_tenant("a", "limits", TEXT("3")));
    assert_changed(state, set_tenant("a", "limits", TEXT("4")));
    assert_unchanged(state, set_tenant("a", "limits", TEXT("4")), CLUSTER_ACCEPTED);
    assert_unchanged(state, set_tenant("c", "limits", TEXT("")), CLUSTER_ACCEPTED);
    const struct cluster_setting *settings = cluster_state_settings(state, &count);
    assert_int_equal(count, 3);
    assert_true(text_equal(settings[0].value, TEXT("4")));
    assert_true(text_equal(settings[1].key, TEXT("rules")));
    assert_true(text_equal(settings[2].tenant, TEXT("b")));
    assert_changed(state, set_tenant("a", "rules", TEXT("")));
    assert_null(cluster_state_setting(state, TEXT("a"), TEXT("rules")).data);
    assert_true(text_equal(cluster_state_setting(state, TEXT("b"), TEXT("limits")), TEXT("1")));
    cluster_state_destroy(state);
}

static void settings_are_bounded(void **unused)
{
    (void)unused;
    static char value[CLUSTER_SETTING_VALUE_BYTES_MAX];
    struct cluster_state *state = founded_state();
    struct text whole = {value, sizeof value};
    char key[16];
    memset(value, 'v', sizeof value);
    for (int i = 0; i < 127; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_changed(state, set_tenant("a", key, whole));
    }
    assert_unchanged(state, set_tenant("a", "127", whole), CLUSTER_REFUSED_LIMIT);
    value[0] = 'w';
    assert_changed(state, set_tenant("a", "7", whole)); /* in the place of another */
    assert_changed(state, set_tenant("a", "8", TEXT("")));
    assert_changed(state, set_tenant("a", "127", whole));
    cluster_state_destroy(state);
}

static void the_version_rises_when_all_nodes_support_it(void **unused)
{
    (void)unused;
    struct cluster_state *state = founded_state();
    struct cluster_entry raise = {.kind = CLUSTER_RAISE_VERSION, .raise_version = {2}};
    struct cluster_entry update = {.kind = CLUSTER_UPDATE_NODE};
    update.update_node.traits = traits_of("n:1", "x");
    update.update_node.traits.version_max = 2;
    assert_changed(state, node_state(3, CLUSTER_NODE_LEFT)); /* does not count */
    update.update_node.node_id = 1;
    assert_changed(state, update);
    assert_unchanged(state, update, CLUSTER_ACCEPTED);
    assert_unchanged(state, raise, CLUSTER_REFUSED_VERSION);
    update.update_node.node_id = 2;
    assert_changed(state, update);
    assert_changed(state, raise);
    assert_unchanged(state, raise, CLUSTER_ACCEPTED);
    raise.raise_version.version = 1;
    assert_unchanged(state, raise, CLUSTER_REFUSED_STALE);
    /* An older program can neither join nor take the place of a newer one. */
    assert_unchanged(state, add_node("d", 4), CLUSTER_REFUSED_VERSION);
    update.update_node.traits.version_max = 1;
    assert_unchanged(state, update, CLUSTER_REFUSED_VERSION);
    cluster_state_destroy(state);
}

static void a_version_beyond_this_program_stops_it(void **unused)
{
    (void)unused;
    struct cluster_state *state = founded_state();
    struct cluster_entry raise = {.kind = CLUSTER_RAISE_VERSION, .raise_version = {3}};
    struct cluster_entry update = {.kind = CLUSTER_UPDATE_NODE};
    struct cluster_outcome outcome;
    struct byte_buffer buffer = {0};
    struct error error;
    update.update_node.traits = traits_of("n:1", "x");
    update.update_node.traits.version_max = 3;
    for (uint64_t i = 1; i <= FOUNDERS; i++) {
        update.update_node.node_id = i;
        assert_changed(state, update);
    }
    assert_int_equal(cluster_entry_encode(&raise, &buffer, &error), ERROR_NONE);
    assert_int_equal(
        cluster_state_apply(state, next_index++, buffer.bytes, buffer.size, &outcome, &error),
        ERROR_UNSUPPORTED);
    assert_int_equal(cluster_state_facts(state)->version, 1);
    byte_buffer_clear(&buffer);
    cluster_state_destroy(state);
}

static void nodes_are_bounded(void **unused)
{
    (void)unused;
    struct cluster_state *state = founded_state();
    char name[16];
    for (int i = FOUNDERS; i < CLUSTER_NODES_MAX; i++) {
        snprintf(name, sizeof name, "node-%d", i);
        assert_changed(state, add_node(name, 9));
    }
    assert_unchanged(state, add_node("one more", 9), CLUSTER_REFUSED_LIMIT);
    cluster_state_destroy(state);
}

static void replication_can_be_changed(void **unused)
{
    (void)unused;
    struct cluster_state *state = founded_state();
    struct cluster_entry entry = {.kind = CLUSTER_SET_REPLICATION, .set_replication = {5}};
    assert_changed(state, entry);
    assert_unchanged(state, entry, CLUSTER_ACCEPTED);
    assert_int_equal(cluster_state_facts(state)->replication, 5);
    cluster_state_destroy(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_the_founding_nothing_else_is_accepted),
        cmocka_unit_test(founders_are_active_and_have_all_slots),
        cmocka_unit_test(a_cluster_is_founded_once),
        cmocka_unit_test(a_node_is_its_name_and_directory),
        cmocka_unit_test(a_node_that_left_can_come_back),
        cmocka_unit_test(states_change_as_drawn),
        cmocka_unit_test(a_node_is_removed_when_no_shard_desires_it),
        cmocka_unit_test(replicas_are_assigned_by_whom_saw_the_shard),
        cmocka_unit_test(a_node_without_the_ingest_role_takes_no_replicas),
        cmocka_unit_test(a_split_moves_slots_to_a_new_shard),
        cmocka_unit_test(settings_are_kept_by_tenant_and_key),
        cmocka_unit_test(settings_are_bounded),
        cmocka_unit_test(the_version_rises_when_all_nodes_support_it),
        cmocka_unit_test(a_version_beyond_this_program_stops_it),
        cmocka_unit_test(nodes_are_bounded),
        cmocka_unit_test(replication_can_be_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
