/* A shard that is split off: its parent on one loop, itself on another, each stepped by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "hosting_private.h"
#include "membership/cluster_entry.h"
#include "simulated_environment.h"

enum { STEPS_MAX = 1000000, TICK_NS = 300 * 1000 * 1000 };

struct node {
    struct simulated_environment *environment; /* of the parent's loop, and of all else */
    struct simulated_scheduler other;          /* the child's loop */
    struct environment other_environment;
    struct page_cache *cache;
    struct journal_recovery *recovery;
    struct journal *journal;
    struct group_host *host;
    struct replica_table *table;
    struct cluster_board *board;
    struct replica_node limits;
    struct hosting *hosting;
    bool journal_closing, journal_closed, closed[2];
};

static void on_fatal(void *context, const struct error *error)
{
    (void)context;
    fail_msg("%s", error->message);
}

static void on_group_fatal(void *context, uint64_t group_id, const struct error *error)
{
    (void)group_id;
    on_fatal(context, error);
}

static void on_closed(void *context)
{
    *(bool *)context = true;
}

/* --- What is desired ------------------------------------------------------------------------- */

static void apply(struct cluster_state *state, uint64_t index, const struct cluster_entry *entry)
{
    struct byte_buffer bytes = {0};
    struct cluster_outcome outcome;
    struct error error;
    assert_int_equal(cluster_entry_encode(entry, &bytes, &error), ERROR_NONE);
    assert_int_equal(cluster_state_apply(state, index, bytes.bytes, bytes.size, &outcome, &error),
                     ERROR_NONE);
    assert_int_equal(outcome.refusal, CLUSTER_ACCEPTED);
    byte_buffer_clear(&bytes);
}

static void post(struct node *node, struct cluster_state *state)
{
    struct error error;
    assert_int_equal(cluster_board_post(node->board, state, CLUSTER_VIEW_CURRENT, &error),
                     ERROR_NONE);
}

/* One node, one shard. */
static struct cluster_state *found_cluster(void)
{
    static const uint16_t SLOTS[SLOT_COUNT];
    struct cluster_founder founder = {
        .identity = {.name = "a", .directory_id = {1}},
        .traits = {.roles = CLUSTER_ROLES_ALL,
                   .address = "a:1",
                   .zone = "z",
                   .version_min = 1,
                   .version_max = CLUSTER_VERSION_MAX},
    };
    const struct cluster_founding_shard shard = {.group_id = hosting_group_of(0),
                                                 .replicas = {1, {1}}};
    struct cluster_entry founding = {
        .kind = CLUSTER_FOUND,
        .found = {.cluster_id = {1},
                  .name = "east",
                  .version = CLUSTER_VERSION_MAX,
                  .replication = 1,
                  .spread = 1,
                  .founders = &founder,
                  .founder_count = 1,
                  .shards = &shard,
                  .shard_count = 1,
                  .slots = SLOTS},
    };
    struct cluster_state *state;
    struct error error;
    assert_int_equal(cluster_state_create(CLUSTER_VERSION_MAX, &state, &error), ERROR_NONE);
    apply(state, 1, &founding);
    return state;
}

/* Half of it becomes another. */
static void split_cluster(struct cluster_state *state)
{
    const struct slot_range half = {0, SLOT_COUNT / 2};
    const struct cluster_entry split = {
        .kind = CLUSTER_SPLIT,
        .split = {0, 1, 1, hosting_group_of(1), &half, 1, {1, {1}}},
    };
    apply(state, 2, &split);
}

/* --- A node ---------------------------------------------------------------------------------- */

static void open_journal(struct node *node)
{
    struct error error;
    struct journal_recovery_options recovery = {.directory = "journal"};
    struct journal_options options = {
        .directory = "journal", .segment_bytes_min = 64 * 1024, .segment_bytes_max = 64 * 1024};
    struct journal_events events = {.context = node, .fatal = on_fatal};
    struct group_host_options host = {
        .environment = &node->environment->base, .node_id = 1, .fatal = on_group_fatal};
    assert_int_equal(
        journal_recover(node->environment->base.disk, &recovery, &node->recovery, &error),
        ERROR_NONE);
    assert_int_equal(journal_open(&node->environment->base, &options, &events, node->recovery, NULL,
                                  0, &node->journal, &error),
                     ERROR_NONE);
    host.journal = node->journal;
    assert_int_equal(group_host_create(&host, &node->host, &error), ERROR_NONE);
}

static struct node *node_create(uint64_t seed)
{
    struct error error;
    struct node *node = calloc(1, sizeof *node);
    assert_non_null(node);
    node->environment = simulated_environment_create(seed);
    simulated_scheduler_init(&node->other, &node->environment->clock, seed + 1);
    node->other_environment = node->environment->base;
    node->other_environment.scheduler = &node->other.base;
    assert_int_equal(page_cache_create(1 << 20, &node->cache, &error), ERROR_NONE);
    assert_int_equal(replica_table_create(4, &node->table, &error), ERROR_NONE);
    assert_int_equal(cluster_board_create(&node->board, &error), ERROR_NONE);
    open_journal(node);
    node->limits = (struct replica_node){.unfrozen_bytes_max = 1 << 20,
                                         .unfrozen_age_max_ms = INT64_MAX,
                                         .queued_bytes_max = 1 << 20};
    const struct hosting_loop_options loops[] = {
        {.environment = &node->environment->base, .journal = node->journal},
        {.environment = &node->other_environment, .journal = node->journal},
    };
    const struct hosting_options options = {
        .loops = loops,
        .loop_count = 2,
        .table = node->table,
        .node = &node->limits,
        .board = node->board,
        .shard = {.cache = node->cache,
                  .hash_seed = 3,
                  .future_window_ms = 600000,
                  .exemplars_max = 10,
                  .metadata_max = 10},
        .fatal = on_fatal,
        .context = node,
    };
    assert_int_equal(hosting_create(&options, &node->hosting, &error), ERROR_NONE);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(hosting_open(node->hosting, i, node->host, 1, NULL, &error), ERROR_NONE);
    return node;
}

static void step_parent(struct node *node)
{
    assert_true(simulated_scheduler_step(&node->environment->scheduler));
}

static void step_child(struct node *node)
{
    assert_true(simulated_scheduler_step(&node->other));
}

static void close_journal(struct node *node)
{
    node->journal_closing = true;
    journal_close(node->journal, on_closed, &node->journal_closed);
}

static void node_destroy(struct node *node)
{
    for (size_t i = 0; i < 2; i++)
        hosting_close(node->hosting, i, on_closed, &node->closed[i]);
    for (size_t i = 0; !node->closed[0] || !node->closed[1]; i++) {
        assert_true(i < STEPS_MAX);
        (void)simulated_scheduler_step(&node->environment->scheduler);
        (void)simulated_scheduler_step(&node->other);
    }
    hosting_destroy(node->hosting);
    group_host_destroy(node->host);
    if (!node->journal_closing)
        close_journal(node);
    assert_true(simulated_scheduler_run_until(&node->environment->scheduler, &node->journal_closed,
                                              STEPS_MAX));
    journal_recovery_close(node->recovery);
    cluster_board_destroy(node->board);
    replica_table_destroy(node->table);
    page_cache_destroy(node->cache);
    simulated_scheduler_clear(&node->other);
    simulated_environment_destroy(node->environment);
    free(node);
}

/* --- Moments --------------------------------------------------------------------------------- */

static struct resident *resident_of(struct node *node, uint32_t shard_id)
{
    return resident_find(&node->hosting->loops[shard_id], shard_id);
}

/* Split, durable, and asked of the child's loop whether the child is there. */
static struct shard *await_founding(struct node *node, struct shard_child *child_out)
{
    struct cluster_state *state = found_cluster();
    post(node, state);
    while (resident_of(node, 0) == NULL)
        step_parent(node);
    split_cluster(state);
    post(node, state);
    cluster_state_destroy(state);
    struct resident *parent = resident_of(node, 0);
    for (size_t i = 0; parent->founding == NULL; i++) {
        assert_true(i < STEPS_MAX);
        step_parent(node);
    }
    struct shard *shard = replica_shard(parent->replica);
    assert_true(shard_unfounded_child(shard, child_out));
    assert_int_equal(child_out->shard_id, 1);
    return shard;
}

static void await_child(struct node *node)
{
    for (size_t i = 0; resident_of(node, 1) == NULL || resident_of(node, 1)->born != NULL ||
                       resident_of(node, 0)->founding != NULL;
         i++) {
        assert_true(i < STEPS_MAX);
        step_parent(node);
        (void)simulated_scheduler_step(&node->other);
    }
}

static uint64_t last_index_of(struct node *node, uint32_t shard_id)
{
    struct group_status status;
    replica_group_status(resident_of(node, shard_id)->replica, &status);
    return status.last_index;
}

/* --- Tests ----------------------------------------------------------------------------------- */

static void a_child_is_founded_from_what_its_parent_has(void **state)
{
    (void)state;
    struct node *node = node_create(1);
    struct shard_child child;
    struct shard *parent = await_founding(node, &child);
    await_child(node);
    assert_true(last_index_of(node, 1) >= child.index);
    assert_false(shard_unfounded_child(parent, &child));
    node_destroy(node);
}

/* An installed state may lie behind the split while the child's files are copied: no second
 * replica of the child is made in their place. */
static void nothing_is_made_in_the_place_of_a_child_that_is_being_founded(void **state)
{
    (void)state;
    struct node *node = node_create(2);
    struct shard_child child;
    struct shard *parent = await_founding(node, &child);
    while (node->other.first_task != NULL)
        step_child(node);
    uint64_t jobs = node->environment->scheduler.jobs_running;
    while (node->environment->scheduler.jobs_running == jobs) /* until the copy begins */
        step_parent(node);
    shard_child_is_founded(parent, child.index); /* as if that were past */
    assert_false(shard_holds_child(parent, child.shard_id));
    simulated_scheduler_run_for(&node->other, TICK_NS);
    assert_null(resident_of(node, 1));
    await_child(node);
    assert_true(last_index_of(node, 1) >= child.index);
    node_destroy(node);
}

/* The same before the copy has begun: there is nothing any more to copy from. */
static void a_parent_that_is_past_the_split_founds_nothing(void **state)
{
    (void)state;
    struct node *node = node_create(3);
    struct shard_child child;
    struct shard *parent = await_founding(node, &child);
    shard_child_is_founded(parent, child.index);
    simulated_scheduler_run_for(&node->other, TICK_NS);
    assert_null(resident_of(node, 1));
    for (size_t i = 0; resident_of(node, 0)->founding != NULL; i++) {
        assert_true(i < STEPS_MAX);
        step_parent(node);
    }
    simulated_scheduler_run_for(&node->other, TICK_NS);
    assert_non_null(resident_of(node, 1)); /* empty: others have what it needs */
    assert_int_equal(last_index_of(node, 1), 0);
    node_destroy(node);
}

static void a_journal_that_is_lost_gets_no_child(void **state)
{
    (void)state;
    struct node *node = node_create(4);
    struct shard_child child;
    (void)await_founding(node, &child);
    while (resident_of(node, 1) == NULL) {
        step_parent(node);
        while (node->other.first_task != NULL && resident_of(node, 1) == NULL)
            step_child(node);
    }
    assert_int_equal(resident_of(node, 1)->state, RESIDENT_OPENING);
    group_host_journal_lost(node->host);
    for (size_t i = 0; i < 2; i++)
        hosting_journal_lost(node->hosting, i);
    close_journal(node);
    for (size_t i = 0; resident_of(node, 1) != NULL; i++) {
        assert_true(i < STEPS_MAX);
        (void)simulated_scheduler_step(&node->other);
        (void)simulated_scheduler_step(&node->environment->scheduler);
    }
    node_destroy(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_is_founded_from_what_its_parent_has),
        cmocka_unit_test(nothing_is_made_in_the_place_of_a_child_that_is_being_founded),
        cmocka_unit_test(a_parent_that_is_past_the_split_founds_nothing),
        cmocka_unit_test(a_journal_that_is_lost_gets_no_child),
    };
    log_set_level(LOG_NOTHING);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
