/*
 * Who is a member of the meta group: every node that has not left, as long as there is room; up to
 * five with a vote. One step at a time, each computed anew from what is: a node becomes a spare,
 * a standby, perhaps a voter; whoever is to have no vote loses it when all that shall have one do.
 */
#include <stddef.h>
#include <stdio.h>

#include "meta_private.h"

/* --- How many, at the founding --------------------------------------------------------------- */

/* Of two both, so that each has all; then odd numbers: a fourth vote would make a majority larger
 * and save no node more. */
size_t members_voters_wanted(size_t count)
{
    if (count >= META_VOTERS_MAX)
        return META_VOTERS_MAX;
    return count >= 3 ? 3 : count;
}

/* A node's address may be another's later; its id is never. */
static void address_of(uint64_t node_id, char *address, size_t size)
{
    snprintf(address, size, "node-%llu", (unsigned long long)node_id);
}

size_t members_of_founders(const struct meta *meta, size_t founder_count,
                           struct consensus_member *members_out)
{
    size_t voters = members_voters_wanted(founder_count);
    size_t most = meta->options.members_max;
    size_t count = founder_count < most ? founder_count : most;
    for (size_t i = 0; i < count; i++) {
        members_out[i] = (struct consensus_member){
            .node_id = i + 1,
            .role = i < voters ? CONSENSUS_ROLE_VOTER : CONSENSUS_ROLE_STANDBY,
        };
        address_of(i + 1, members_out[i].address, sizeof members_out[i].address);
    }
    return count;
}

/* --- Who shall have a vote ------------------------------------------------------------------- */

struct member_plan {
    struct meta *meta;
    struct consensus_member members[CONSENSUS_MEMBERS_MAX]; /* as they are */
    size_t member_count;
    uint64_t chosen[META_VOTERS_MAX]; /* shall have a vote */
    size_t chosen_count;
};

static const struct consensus_member *find_member(const struct member_plan *plan, uint64_t node_id)
{
    for (size_t i = 0; i < plan->member_count; i++)
        if (plan->members[i].node_id == node_id)
            return &plan->members[i];
    return NULL;
}

static bool is_chosen(const struct member_plan *plan, uint64_t node_id)
{
    for (size_t i = 0; i < plan->chosen_count; i++)
        if (plan->chosen[i] == node_id)
            return true;
    return false;
}

/* Chosen before others where less; what stands first counts most. */
struct rank {
    unsigned is_last_resort; /* it drains, or is dead for long: only to fill up */
    unsigned zone_count;     /* chosen ones in its zone */
    unsigned has_no_vote;
    uint64_t node_id;
};

static bool ranks_before(const struct rank *left, const struct rank *right)
{
    if (left->is_last_resort != right->is_last_resort)
        return left->is_last_resort < right->is_last_resort;
    if (left->zone_count != right->zone_count)
        return left->zone_count < right->zone_count;
    if (left->has_no_vote != right->has_no_vote)
        return left->has_no_vote < right->has_no_vote;
    return left->node_id < right->node_id;
}

static unsigned chosen_in_zone(const struct member_plan *plan, const char *zone)
{
    unsigned count = 0;
    for (size_t i = 0; i < plan->chosen_count; i++) {
        const struct cluster_node *node =
            cluster_state_find_node(plan->meta->state, plan->chosen[i]);
        count += strcmp(node->traits.zone, zone) == 0;
    }
    return count;
}

/* False: it may not be chosen. */
static bool rank_node(const struct member_plan *plan, const struct cluster_node *node,
                      struct rank *rank_out)
{
    const struct meta *meta = plan->meta;
    const struct leadership *leadership = meta->leadership;
    const struct consensus_member *member = find_member(plan, node->node_id);
    const struct heard_node *heard = leadership_find(leadership, node->node_id);
    bool has_vote = member != NULL && member->role == CONSENSUS_ROLE_VOTER;
    bool is_alive = leadership_is_alive(meta, node->node_id);
    bool is_active = node->state == CLUSTER_NODE_ACTIVE;
    uint64_t silent_ms = meta_now_ms(meta) - leadership_heard_ms(leadership, node->node_id);
    bool is_lost = !is_alive && silent_ms >= (uint64_t)meta->options.limits.replace_after_ms;
    if (node->state == CLUSTER_NODE_LEFT || member == NULL || is_chosen(plan, node->node_id))
        return false;
    if (!has_vote && (!is_active || !is_alive || (heard != NULL && heard->stopping)))
        return false;
    *rank_out = (struct rank){
        .is_last_resort = is_lost || !is_active,
        .zone_count = chosen_in_zone(plan, node->traits.zone),
        .has_no_vote = !has_vote,
        .node_id = node->node_id,
    };
    return true;
}

static void choose_voters(struct member_plan *plan)
{
    size_t count, present = 0;
    const struct cluster_node *nodes = cluster_state_nodes(plan->meta->state, &count);
    /* Who drains is still there: its vote goes to another, but not away. */
    for (size_t i = 0; i < count; i++)
        present += nodes[i].state == CLUSTER_NODE_ACTIVE || nodes[i].state == CLUSTER_NODE_DRAINING;
    size_t wanted = members_voters_wanted(present);
    while (plan->chosen_count < wanted) {
        struct rank best = {.node_id = 0}, rank;
        for (size_t i = 0; i < count; i++)
            if (rank_node(plan, &nodes[i], &rank) &&
                (best.node_id == 0 || ranks_before(&rank, &best)))
                best = rank;
        if (best.node_id == 0)
            return;
        plan->chosen[plan->chosen_count++] = best.node_id;
    }
}

/* --- Steps --------------------------------------------------------------------------------- */

static void on_changed(struct group_request *request, enum group_outcome outcome)
{
    struct meta *meta = (struct meta *)((char *)request - offsetof(struct meta, change));
    meta->is_changing = false;
    if (outcome == GROUP_OUTCOME_COMMITTED)
        meta_wake(meta); /* the next one */
    meta_released(meta);
}

/* True: it is under way. */
static bool change(struct meta *meta, const struct group_change *change)
{
    struct error error;
    meta->change = (struct group_request){.done = on_changed, .space = GROUP_USES_RESERVE};
    if (group_change_members(meta->group, &meta->change, change, &error) != ERROR_NONE)
        return false; /* not caught up yet, or it leads no longer */
    log_event(LOG_INFO, "meta", "members change", "node=%llu to=%s",
              (unsigned long long)change->node_id,
              change->kind == GROUP_CHANGE_REMOVE    ? "removed"
              : change->kind == GROUP_CHANGE_ADD     ? "spare"
              : change->role == CONSENSUS_ROLE_VOTER ? "voter"
                                                     : "standby");
    meta->is_changing = true;
    meta->outstanding++;
    return true;
}

static bool assign(struct meta *meta, uint64_t node_id, enum consensus_role role)
{
    return change(meta, &(struct group_change){
                            .kind = GROUP_CHANGE_ASSIGN, .node_id = node_id, .role = role});
}

static void on_transferred(struct group_request *request, enum group_outcome outcome)
{
    struct meta *meta = (struct meta *)((char *)request - offsetof(struct meta, transfer));
    (void)outcome; /* planned again, if need be */
    meta->is_transferring = false;
    meta_handed_over(meta);
    meta_released(meta);
}

/* To a voter that is alive and shall be one; the node that leads is to have no vote, or ends. */
static bool hand_over(struct member_plan *plan)
{
    struct meta *meta = plan->meta;
    struct error error;
    if (meta->is_transferring)
        return true;
    for (size_t i = 0; i < plan->member_count; i++) {
        const struct consensus_member *member = &plan->members[i];
        const struct heard_node *heard = leadership_find(meta->leadership, member->node_id);
        if (member->role != CONSENSUS_ROLE_VOTER || member->node_id == meta->node_id ||
            !is_chosen(plan, member->node_id) || heard == NULL || heard->stopping ||
            !leadership_is_alive(meta, member->node_id))
            continue;
        meta->transfer = (struct group_request){.done = on_transferred};
        if (group_transfer(meta->group, &meta->transfer, member->node_id, &error) != ERROR_NONE)
            continue;
        meta->is_transferring = true;
        meta->outstanding++;
        return true;
    }
    return false;
}

static bool is_gone(const struct meta *meta, uint64_t node_id)
{
    const struct cluster_node *node = cluster_state_find_node(meta->state, node_id);
    return node == NULL || node->state == CLUSTER_NODE_LEFT;
}

static bool remove_one(struct member_plan *plan)
{
    struct meta *meta = plan->meta;
    for (size_t i = 0; i < plan->member_count; i++) {
        const struct consensus_member *member = &plan->members[i];
        if (member->role != CONSENSUS_ROLE_VOTER && is_gone(meta, member->node_id) &&
            change(meta,
                   &(struct group_change){.kind = GROUP_CHANGE_REMOVE, .node_id = member->node_id}))
            return true;
    }
    return false;
}

static bool add_one(struct member_plan *plan)
{
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(plan->meta->state, &count);
    if (plan->member_count >= plan->meta->options.members_max)
        return false;
    for (size_t i = 0; i < count; i++) {
        char address[CONSENSUS_ADDRESS_BYTES_MAX + 1];
        if (nodes[i].state == CLUSTER_NODE_LEFT || find_member(plan, nodes[i].node_id) != NULL)
            continue;
        address_of(nodes[i].node_id, address, sizeof address);
        if (change(plan->meta, &(struct group_change){.kind = GROUP_CHANGE_ADD,
                                                      .node_id = nodes[i].node_id,
                                                      .address = address}))
            return true;
    }
    return false;
}

/* A standby that may lag behind costs nobody anything, so it need not be alive. */
static bool raise_one(struct member_plan *plan)
{
    struct meta *meta = plan->meta;
    for (size_t i = 0; i < plan->member_count; i++) {
        const struct consensus_member *member = &plan->members[i];
        bool is_spare = member->role == CONSENSUS_ROLE_SPARE;
        bool shall_vote =
            member->role == CONSENSUS_ROLE_STANDBY && is_chosen(plan, member->node_id);
        if (is_spare && assign(meta, member->node_id, CONSENSUS_ROLE_STANDBY))
            return true;
        if (shall_vote && assign(meta, member->node_id, CONSENSUS_ROLE_VOTER))
            return true;
    }
    return false;
}

static bool all_chosen_vote(const struct member_plan *plan)
{
    for (size_t i = 0; i < plan->chosen_count; i++)
        if (find_member(plan, plan->chosen[i])->role != CONSENSUS_ROLE_VOTER)
            return false;
    return plan->chosen_count > 0;
}

static void lower_one(struct member_plan *plan)
{
    struct meta *meta = plan->meta;
    if (!all_chosen_vote(plan))
        return;
    for (size_t i = 0; i < plan->member_count; i++) {
        const struct consensus_member *member = &plan->members[i];
        if (member->role != CONSENSUS_ROLE_VOTER || is_chosen(plan, member->node_id))
            continue;
        if (member->node_id == meta->node_id
                ? hand_over(plan)
                : assign(meta, member->node_id, CONSENSUS_ROLE_STANDBY))
            return;
    }
}

void members_step(struct meta *meta)
{
    struct member_plan plan = {.meta = meta};
    if (!meta_leads(meta) || meta->is_changing || meta->is_transferring ||
        !cluster_state_facts(meta->state)->founded)
        return;
    plan.member_count = group_members(meta->group, plan.members);
    choose_voters(&plan);
    if (!remove_one(&plan) && !add_one(&plan) && !raise_one(&plan))
        lower_one(&plan);
}

bool members_hand_over(struct meta *meta)
{
    struct member_plan plan = {.meta = meta};
    plan.member_count = group_members(meta->group, plan.members);
    choose_voters(&plan);
    return hand_over(&plan);
}
