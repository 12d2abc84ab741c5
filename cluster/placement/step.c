/* One group: from the members that it has to those that it shall have. */
#include <assert.h>

#include "view.h"

/* --- What is known of the group ------------------------------------------------------------- */

struct group {
    const struct cluster_state *state;
    const struct placement_observation *observation;
    const struct placement_limits *limits;
    const struct cluster_shard *shard;
    const struct placement_shard_view *view;
    uint32_t voters;
    uint32_t healthy;         /* voters */
    uint32_t desired_healthy; /* of the desired */
};

static bool is_desired(const struct group *group, uint64_t node_id)
{
    return cluster_replicas_has(&group->shard->replicas, node_id);
}

static bool is_healthy(const struct group *group, uint64_t node_id)
{
    return member_is_healthy(group->observation, group->limits, group->view, node_id);
}

static bool is_majority(uint32_t healthy, uint32_t voters)
{
    return healthy > voters / 2;
}

static void count_voters(struct group *group)
{
    for (size_t i = 0; i < group->view->member_count; i++) {
        const struct placement_member *member = &group->view->members[i];
        bool healthy = is_healthy(group, member->node_id);
        group->voters += member->role == PLACEMENT_VOTER;
        group->healthy += healthy;
        group->desired_healthy += healthy && is_desired(group, member->node_id);
    }
}

static struct placement_step step_of(enum placement_step_kind kind, uint64_t node_id)
{
    return (struct placement_step){.kind = kind, .node_id = node_id};
}

static const struct placement_step NO_STEP = {.kind = PLACEMENT_STEP_NONE};

/* --- Steps, in the order in which they are tried -------------------------------------------- */

/* A copy that is as good as any, beside desired ones that are not: what was to go when a node died.
 */
static bool is_needed(const struct group *group, const struct placement_member *member)
{
    return member->role == PLACEMENT_STANDBY &&
           member->bytes_behind <= group->limits->caught_up_bytes &&
           node_is_alive(group->observation, member->node_id) &&
           group->desired_healthy < group->shard->replicas.count;
}

static struct placement_step remove_step(const struct group *group)
{
    for (size_t i = 0; i < group->view->member_count; i++) {
        const struct placement_member *member = &group->view->members[i];
        if (member->role != PLACEMENT_VOTER && !is_desired(group, member->node_id) &&
            !is_needed(group, member))
            return step_of(PLACEMENT_STEP_REMOVE, member->node_id);
    }
    return NO_STEP;
}

/* A node that is dead is not begun with; it may never come. */
static struct placement_step come_step(const struct group *group)
{
    for (uint32_t i = 0; i < group->shard->replicas.count; i++) {
        uint64_t node_id = group->shard->replicas.node_ids[i];
        const struct placement_member *member = view_of_member(group->view, node_id);
        if (member == NULL && group->view->member_count == PLACEMENT_MEMBERS_MAX)
            continue;
        if (!node_is_alive(group->observation, node_id))
            continue;
        if (member == NULL)
            return step_of(PLACEMENT_STEP_ADD, node_id);
        if (member->role == PLACEMENT_SPARE)
            return step_of(PLACEMENT_STEP_CATCH_UP, node_id);
        if (member->role == PLACEMENT_STANDBY &&
            member->bytes_behind <= group->limits->caught_up_bytes)
            return step_of(PLACEMENT_STEP_PROMOTE, node_id);
    }
    return NO_STEP;
}

static uint32_t count_leads(const struct group *group, uint64_t node_id)
{
    uint32_t count = 0;
    for (size_t i = 0; i < group->observation->shard_count; i++)
        count += group->observation->shards[i].leader == node_id;
    return count;
}

/* Rather a node that may keep the lead; then one that leads little, as far as is known here. */
static uint64_t leader_rank(const struct group *group, uint64_t node_id)
{
    const struct cluster_node *node = cluster_state_find_node(group->state, node_id);
    const struct placement_node_view *view = view_of_node(group->observation, node_id);
    bool unfit = node == NULL || !cluster_node_takes_replicas(node) || view->slow_disk;
    return ((uint64_t)unfit << 32) + count_leads(group, node_id);
}

static struct placement_step transfer_step(const struct group *group)
{
    uint64_t best = 0;
    if (is_desired(group, group->view->leader) || group->view->transferring)
        return NO_STEP;
    for (uint32_t i = 0; i < group->shard->replicas.count; i++) {
        uint64_t node_id = group->shard->replicas.node_ids[i];
        if (is_healthy(group, node_id) &&
            (best == 0 || leader_rank(group, node_id) < leader_rank(group, best)))
            best = node_id;
    }
    return best == 0 ? NO_STEP : step_of(PLACEMENT_STEP_TRANSFER, best);
}

/*
 * A voter that is not desired: a dead one before a healthy one. Afterwards there are at least as
 * many voters as desired, and a majority of them is healthy; a healthy one stays until all that
 * are desired are healthy, so that copies never become fewer than they need to be.
 */
static const struct placement_member *find_leaver(const struct group *group)
{
    const struct placement_member *found = NULL;
    if (group->voters <= group->shard->replicas.count)
        return NULL;
    for (size_t i = 0; i < group->view->member_count; i++) {
        const struct placement_member *member = &group->view->members[i];
        if (member->role != PLACEMENT_VOTER || is_desired(group, member->node_id))
            continue;
        bool healthy = is_healthy(group, member->node_id);
        if (healthy && group->desired_healthy < group->shard->replicas.count)
            continue;
        if (found == NULL || (!healthy && is_healthy(group, found->node_id)))
            found = member;
    }
    return found;
}

static struct placement_step leave_step(const struct group *group)
{
    const struct placement_member *leaver = find_leaver(group);
    if (leaver == NULL)
        return NO_STEP;
    if (leaver->node_id == group->view->leader)
        return transfer_step(group);
    /* Without a dead voter the majority gets clearer; and when a healthy one goes, all are healthy:
     * those desired, and the others, of which a dead one would go first. */
    uint32_t healthy = group->healthy - is_healthy(group, leaver->node_id);
    assert(is_majority(healthy, group->voters - 1));
    return step_of(PLACEMENT_STEP_DEMOTE, leaver->node_id);
}

struct placement_step placement_next_step(const struct cluster_state *state,
                                          const struct placement_observation *observation,
                                          const struct placement_limits *limits, uint32_t shard_id)
{
    struct group group = {
        .state = state,
        .observation = observation,
        .limits = limits,
        .shard = cluster_state_find_shard(state, shard_id),
        .view = view_of_shard(observation, shard_id),
    };
    if (group.shard == NULL || group.view == NULL)
        return NO_STEP;
    count_voters(&group);
    if (!is_majority(group.healthy, group.voters))
        return NO_STEP;
    struct placement_step step = remove_step(&group);
    if (step.kind == PLACEMENT_STEP_NONE)
        step = come_step(&group);
    if (step.kind == PLACEMENT_STEP_NONE)
        step = leave_step(&group);
    return step;
}
