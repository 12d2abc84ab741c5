#include "model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

uint32_t model_below(struct model *model, uint32_t bound)
{
    return random_below(&model->random.base, bound);
}

static bool happens(struct model *model, uint32_t percent)
{
    return model_below(model, 100) < percent;
}

/* --- The log ------------------------------------------------------------------------------- */

size_t model_group_count(const struct model *model)
{
    size_t count;
    cluster_state_shards(model->state, &count);
    return count;
}

enum cluster_refusal model_apply(struct model *model, const struct cluster_entry *entry)
{
    struct byte_buffer buffer = {0};
    struct cluster_outcome outcome;
    struct error error;
    assert_int_equal(cluster_entry_encode(entry, &buffer, &error), ERROR_NONE);
    assert_int_equal(cluster_state_apply(model->state, ++model->log_index, buffer.bytes,
                                         buffer.size, &outcome, &error),
                     ERROR_NONE);
    byte_buffer_clear(&buffer);
    return outcome.refusal;
}

/* --- Groups -------------------------------------------------------------------------------- */

static struct placement_member *find_member(struct model_group *group, uint64_t node_id)
{
    for (size_t i = 0; i < group->view.member_count; i++)
        if (group->view.members[i].node_id == node_id)
            return &group->view.members[i];
    return NULL;
}

static uint32_t count_voters(const struct model *model, const struct model_group *group,
                             uint64_t without, uint32_t *healthy_out)
{
    uint32_t voters = 0;
    *healthy_out = 0;
    for (size_t i = 0; i < group->view.member_count; i++) {
        const struct placement_member *member = &group->view.members[i];
        if (member->role != PLACEMENT_VOTER)
            continue;
        voters++;
        *healthy_out += member->node_id != without && model->nodes[member->node_id].alive &&
                        member->bytes_behind <= model->limits.caught_up_bytes;
    }
    return voters;
}

static bool has_majority(const struct model *model, const struct model_group *group,
                         uint64_t without)
{
    uint32_t healthy;
    uint32_t voters = count_voters(model, group, without, &healthy);
    return healthy > voters / 2;
}

bool model_can_spare(const struct model *model, uint64_t node_id)
{
    for (size_t i = 0; i < model_group_count(model); i++)
        if (!has_majority(model, &model->groups[i], node_id))
            return false;
    return true;
}

static void begin_group(struct model *model, size_t shard_id)
{
    const struct cluster_shard *shard = cluster_state_find_shard(model->state, (uint32_t)shard_id);
    struct model_group *group = &model->groups[shard_id];
    memset(group, 0, sizeof *group);
    group->view.size_bytes = MODEL_SHARD_BYTES;
    for (uint32_t i = 0; i < shard->replicas.count; i++)
        group->view.members[group->view.member_count++] = (struct placement_member){
            .node_id = shard->replicas.node_ids[i], .role = PLACEMENT_VOTER};
}

static void elect(struct model *model, struct model_group *group)
{
    struct placement_member *leader = find_member(group, group->view.leader);
    if (leader != NULL && leader->role == PLACEMENT_VOTER && model->nodes[leader->node_id].alive)
        return;
    group->view.leader = 0;
    group->view.transferring = false;
    if (!has_majority(model, group, 0) || happens(model, 50))
        return;
    size_t first = model_below(model, (uint32_t)group->view.member_count);
    for (size_t i = 0; i < group->view.member_count; i++) {
        size_t place = (first + i) % group->view.member_count;
        const struct placement_member *member = &group->view.members[place];
        if (member->role == PLACEMENT_VOTER && model->nodes[member->node_id].alive &&
            member->bytes_behind <= model->limits.caught_up_bytes) {
            group->view.leader = member->node_id;
            group->view.leader_since_ms = model->now_ms;
            return;
        }
    }
}

/* Members that are alive catch up; those that are not fall behind. */
static void copy_bytes(struct model *model, struct model_group *group)
{
    if (group->view.leader == 0 || !has_majority(model, group, 0))
        return;
    for (size_t i = 0; i < group->view.member_count; i++) {
        struct placement_member *member = &group->view.members[i];
        uint64_t copied = (1 + model_below(model, 4)) * (MODEL_SHARD_BYTES / 8);
        if (!model->nodes[member->node_id].alive)
            member->bytes_behind += model->limits.caught_up_bytes / 2;
        else if (member->role != PLACEMENT_SPARE)
            member->bytes_behind -= copied < member->bytes_behind ? copied : member->bytes_behind;
    }
}

static void finish_transfer(struct model *model, struct model_group *group)
{
    struct placement_member *member = find_member(group, group->transfer_to);
    if (!group->view.transferring || group->view.leader == 0)
        return;
    group->view.transferring = false;
    bool fits = member != NULL && member->role == PLACEMENT_VOTER &&
                model->nodes[member->node_id].alive &&
                member->bytes_behind <= model->limits.caught_up_bytes;
    if (!fits || (!model->reliable && happens(model, 20)))
        return;
    group->view.leader = group->transfer_to;
    group->view.leader_since_ms = model->now_ms;
}

/* --- Steps --------------------------------------------------------------------------------- */

static void demote(struct model *model, struct model_group *group, struct placement_member *member,
                   const struct cluster_shard *shard)
{
    uint32_t healthy;
    assert_non_null(member);
    assert_int_equal(member->role, PLACEMENT_VOTER);
    assert_int_not_equal(member->node_id, group->view.leader);
    assert_false(cluster_replicas_has(&shard->replicas, member->node_id));
    bool was_healthy = model->nodes[member->node_id].alive &&
                       member->bytes_behind <= model->limits.caught_up_bytes;
    member->role = PLACEMENT_STANDBY;
    uint32_t voters = count_voters(model, group, 0, &healthy);
    assert_true(voters >= shard->replicas.count);
    if (was_healthy)
        assert_true(healthy >= shard->replicas.count);
}

static void take_step(struct model *model, struct model_group *group,
                      const struct cluster_shard *shard, struct placement_step step)
{
    struct placement_member *member = find_member(group, step.node_id);
    struct placement_shard_view *view = &group->view;
    assert_true(has_majority(model, group, 0));
    switch (step.kind) {
    case PLACEMENT_STEP_NONE:
        break;
    case PLACEMENT_STEP_ADD:
        assert_null(member);
        assert_true(view->member_count < PLACEMENT_MEMBERS_MAX);
        view->members[view->member_count++] = (struct placement_member){
            .node_id = step.node_id, .role = PLACEMENT_SPARE, .bytes_behind = MODEL_SHARD_BYTES};
        break;
    case PLACEMENT_STEP_CATCH_UP:
        assert_int_equal(member->role, PLACEMENT_SPARE);
        member->role = PLACEMENT_STANDBY;
        break;
    case PLACEMENT_STEP_PROMOTE:
        assert_int_equal(member->role, PLACEMENT_STANDBY);
        assert_true(member->bytes_behind <= model->limits.caught_up_bytes);
        member->role = PLACEMENT_VOTER;
        break;
    case PLACEMENT_STEP_TRANSFER:
        assert_false(view->transferring);
        view->transferring = true;
        group->transfer_to = step.node_id;
        break;
    case PLACEMENT_STEP_DEMOTE:
        demote(model, group, member, shard);
        break;
    case PLACEMENT_STEP_REMOVE:
        assert_int_not_equal(member->role, PLACEMENT_VOTER);
        *member = view->members[--view->member_count];
        break;
    }
    assert_true(has_majority(model, group, 0));
}

static bool step_group(struct model *model, uint32_t shard_id)
{
    struct model_group *group = &model->groups[shard_id];
    if (group->view.leader == 0 || !has_majority(model, group, 0) ||
        (!model->reliable && happens(model, 30)))
        return false;
    struct placement_step step =
        placement_next_step(model->state, &model->sight.observation, &model->limits, shard_id);
    take_step(model, group, cluster_state_find_shard(model->state, shard_id), step);
    model->steps += step.kind != PLACEMENT_STEP_NONE;
    return step.kind != PLACEMENT_STEP_NONE;
}

/* --- Plans --------------------------------------------------------------------------------- */

static void look(struct model *model)
{
    struct model_sight *sight = &model->sight;
    size_t count = 0;
    for (uint64_t id = 1; id < MODEL_NODES_MAX; id++)
        if (model->nodes[id].known)
            sight->nodes[count++] = (struct placement_node_view){
                .node_id = id,
                .alive = model->nodes[id].alive,
                .slow_disk = model->nodes[id].slow_disk,
                .dead_since_ms = model->nodes[id].dead_since_ms,
            };
    for (size_t i = 0; i < model_group_count(model); i++)
        sight->shards[i] = model->groups[i].view;
    sight->observation = (struct placement_observation){
        .now_ms = model->now_ms,
        .nodes = sight->nodes,
        .node_count = count,
        .shards = sight->shards,
        .shard_count = model_group_count(model),
    };
}

static void remember_sight(struct model *model)
{
    model->old_sight = model->sight;
    model->old_sight.observation.nodes = model->old_sight.nodes;
    model->old_sight.observation.shards = model->old_sight.shards;
}

/* Left, or dead for too long: it need not wait. */
static bool goes_anyway(const struct model *model, const struct model_sight *sight,
                        uint64_t node_id)
{
    const struct cluster_node *node = cluster_state_find_node(model->state, node_id);
    if (node->state == CLUSTER_NODE_LEFT)
        return true;
    for (size_t i = 0; i < sight->observation.node_count; i++) {
        const struct placement_node_view *view = &sight->nodes[i];
        if (view->node_id == node_id && !view->alive)
            return sight->observation.now_ms - view->dead_since_ms >=
                   model->limits.replace_after_ms;
    }
    return false;
}

/* As the planner saw it. */
static bool was_healthy(const struct model *model, const struct model_sight *sight,
                        uint32_t shard_id, uint64_t node_id)
{
    const struct placement_shard_view *view = &sight->shards[shard_id];
    bool alive = false;
    for (size_t i = 0; i < sight->observation.node_count; i++)
        alive = alive || (sight->nodes[i].node_id == node_id && sight->nodes[i].alive);
    for (size_t i = 0; i < view->member_count; i++)
        if (view->members[i].node_id == node_id)
            return alive && view->members[i].role == PLACEMENT_VOTER &&
                   view->members[i].bytes_behind <= model->limits.caught_up_bytes;
    return false;
}

/* Replicas that somebody is making, as far as the planner saw. */
static uint32_t count_made(const struct model *model, const struct model_sight *sight,
                           const struct cluster_shard *shard)
{
    uint32_t made = 0;
    const struct placement_shard_view *view = &sight->shards[shard->shard_id];
    for (uint32_t i = 0; i < shard->replicas.count; i++) {
        uint64_t node_id = shard->replicas.node_ids[i];
        bool votes = false, alive = false;
        for (size_t k = 0; k < view->member_count; k++)
            votes = votes || (view->members[k].node_id == node_id &&
                              view->members[k].role == PLACEMENT_VOTER);
        for (size_t k = 0; k < sight->observation.node_count; k++)
            alive = alive || (sight->nodes[k].node_id == node_id && sight->nodes[k].alive);
        made += alive && !votes && !goes_anyway(model, sight, node_id);
    }
    return made;
}

/* One replica of a shard changes at a time, and one that could stay only when all others are
 * healthy. */
static void check_assign(const struct model *model, const struct model_sight *sight,
                         const struct cluster_assign *assign)
{
    const struct cluster_shard *shard = cluster_state_find_shard(model->state, assign->shard_id);
    uint32_t gone = 0, come = 0, ill = 0;
    bool anyway = true;
    for (uint32_t i = 0; i < shard->replicas.count; i++) {
        uint64_t node_id = shard->replicas.node_ids[i];
        if (cluster_replicas_has(&assign->replicas, node_id)) {
            ill += !was_healthy(model, sight, assign->shard_id, node_id);
            continue;
        }
        gone++;
        anyway = goes_anyway(model, sight, node_id);
    }
    for (uint32_t i = 0; i < assign->replicas.count; i++)
        come += !cluster_replicas_has(&shard->replicas, assign->replicas.node_ids[i]);
    assert_true(gone <= 1 && come <= 1 && gone + come > 0);
    assert_true(anyway || ill == 0);
    assert_int_equal(count_made(model, sight, shard), 0);
}

static void propose(struct model *model, const struct cluster_assign *assign)
{
    struct cluster_entry entry = {.kind = CLUSTER_ASSIGN, .assign = *assign};
    model->assigns += model_apply(model, &entry) == CLUSTER_ACCEPTED;
}

static bool carry_out(struct model *model, const struct model_sight *sight,
                      const struct placement_plan *plan)
{
    for (size_t i = 0; i < plan->assign_count; i++) {
        check_assign(model, sight, &plan->assigns[i]);
        if (!model->reliable && happens(model, 10))
            continue; /* lost */
        if (!model->reliable && happens(model, 20))
            model->late = plan->assigns[i];
        else
            propose(model, &plan->assigns[i]);
    }
    for (size_t i = 0; i < plan->transfer_count; i++) {
        struct model_group *group = &model->groups[plan->transfers[i].shard_id];
        if (group->view.leader != plan->transfers[i].from ||
            (!model->reliable && happens(model, 10)))
            continue;
        group->view.transferring = true;
        group->transfer_to = plan->transfers[i].to;
        model->transfers++;
    }
    return plan->assign_count + plan->transfer_count > 0;
}

static bool plan(struct model *model)
{
    struct arena *arena = arena_create(0);
    struct placement_plan plan = {0};
    struct error error;
    bool old =
        !model->reliable && model->old_sight.observation.shard_count > 0 && happens(model, 10);
    const struct model_sight *sight = old ? &model->old_sight : &model->sight;
    assert_int_equal(
        placement_plan(model->state, &sight->observation, &model->limits, arena, &plan, &error),
        ERROR_NONE);
    bool planned = carry_out(model, sight, &plan);
    arena_destroy(arena);
    return planned;
}

static bool finish_late(struct model *model)
{
    bool late = model->late.shard_id != CLUSTER_SHARD_NONE;
    if (late)
        propose(model, &model->late);
    model->late.shard_id = CLUSTER_SHARD_NONE;
    return late;
}

bool model_tick(struct model *model)
{
    bool busy = false;
    model->now_ms += MODEL_TICK_MS;
    model->ticks++;
    for (size_t i = 0; i < model_group_count(model); i++) {
        elect(model, &model->groups[i]);
        copy_bytes(model, &model->groups[i]);
        finish_transfer(model, &model->groups[i]);
    }
    if (happens(model, 10))
        remember_sight(model);
    look(model);
    if (model->reliable || happens(model, 70))
        busy = plan(model);
    if (model->reliable || happens(model, 50))
        busy |= finish_late(model);
    look(model); /* each leader knows its own group */
    for (size_t i = 0; i < model_group_count(model); i++)
        busy |= step_group(model, (uint32_t)i);
    return busy;
}

bool model_settle(struct model *model, size_t ticks_max)
{
    size_t quiet = 0;
    size_t enough = (size_t)(2 * model->limits.transfer_pause_ms / MODEL_TICK_MS) + 20;
    for (size_t i = 0; i < ticks_max && quiet < enough; i++)
        quiet = model_tick(model) ? 0 : quiet + 1;
    return quiet == enough;
}

/* --- Nodes --------------------------------------------------------------------------------- */

uint64_t model_join(struct model *model, const char *zone)
{
    uint64_t node_id = cluster_state_facts(model->state)->next_node_id;
    struct cluster_entry entry = {.kind = CLUSTER_ADD_NODE};
    struct cluster_add_node *add = &entry.add_node;
    assert_true(node_id < MODEL_NODES_MAX);
    snprintf(add->identity.name, sizeof add->identity.name, "node-%03u", (unsigned)node_id);
    snprintf(add->traits.address, sizeof add->traits.address, "host-%u:9010", (unsigned)node_id);
    snprintf(add->traits.zone, sizeof add->traits.zone, "%s", zone);
    add->traits.roles = CLUSTER_ROLES_ALL;
    add->traits.version_min = add->traits.version_max = 1;
    assert_int_equal(model_apply(model, &entry), CLUSTER_ACCEPTED);
    assert_int_equal(model_set_state(model, node_id, CLUSTER_NODE_ACTIVE), CLUSTER_ACCEPTED);
    model->nodes[node_id] = (struct model_node){.known = true, .alive = true};
    return node_id;
}

void model_kill(struct model *model, uint64_t node_id)
{
    if (model->nodes[node_id].alive)
        model->nodes[node_id].dead_since_ms = model->now_ms;
    model->nodes[node_id].alive = false;
}

void model_start(struct model *model, uint64_t node_id)
{
    model->nodes[node_id].alive = true;
}

enum cluster_refusal model_set_state(struct model *model, uint64_t node_id,
                                     enum cluster_node_state state)
{
    struct cluster_entry entry = {.kind = CLUSTER_SET_NODE_STATE,
                                  .set_node_state = {node_id, state}};
    return model_apply(model, &entry);
}

/* --- Life ---------------------------------------------------------------------------------- */

static void found_cluster(struct model *model, const struct model_options *options)
{
    struct cluster_founder peers[MODEL_NODES_MAX];
    struct arena *arena = arena_create(0);
    struct cluster_entry entry;
    struct error error;
    memset(peers, 0, sizeof peers);
    for (uint32_t i = 0; i < options->node_count; i++) {
        snprintf(peers[i].identity.name, sizeof peers[i].identity.name, "node-%03u", i + 1);
        snprintf(peers[i].traits.address, sizeof peers[i].traits.address, "host-%u:9010", i + 1);
        snprintf(peers[i].traits.zone, sizeof peers[i].traits.zone, "zone-%u",
                 i % options->zone_count);
        peers[i].traits.roles = CLUSTER_ROLES_ALL;
        peers[i].traits.version_min = peers[i].traits.version_max = 1;
        model->nodes[i + 1] = (struct model_node){.known = true, .alive = true};
    }
    struct formation_options formation = {.name = "model",
                                          .shard_count = options->shard_count,
                                          .replication = options->replication,
                                          .spread = 4,
                                          .version = 1,
                                          .first_group = 1};
    assert_int_equal(formation_found(peers, options->node_count, &formation, arena, &entry, &error),
                     ERROR_NONE);
    assert_int_equal(model_apply(model, &entry), CLUSTER_ACCEPTED);
    arena_destroy(arena);
}

struct model *model_create(uint64_t seed, const struct model_options *options)
{
    struct model *model = calloc(1, sizeof *model);
    struct error error;
    assert_non_null(model);
    random_generator_init(&model->random, seed);
    model->late.shard_id = CLUSTER_SHARD_NONE;
    model->limits = (struct placement_limits){
        .replace_after_ms = 30 * MODEL_TICK_MS,
        .caught_up_bytes = MODEL_SHARD_BYTES / 64,
        .moves_total = 8,
        .moves_per_node = 2,
        .transfers_total = 4,
        .transfer_pause_ms = 10 * MODEL_TICK_MS,
    };
    assert_int_equal(cluster_state_create(1, &model->state, &error), ERROR_NONE);
    found_cluster(model, options);
    for (size_t i = 0; i < model_group_count(model); i++)
        begin_group(model, i);
    return model;
}

void model_destroy(struct model *model)
{
    cluster_state_destroy(model->state);
    free(model);
}
