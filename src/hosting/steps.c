/* What a leader does about the members of its group: one step after the other towards those that
 * the cluster desires. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hosting_private.h"

void hosting_member_address(uint64_t node_id, char *target, size_t size)
{
    snprintf(target, size, "node-%llu", (unsigned long long)node_id);
}

/* --- What is observed ------------------------------------------------------------------------ */

_Static_assert((int)PLACEMENT_STANDBY == (int)CONSENSUS_ROLE_STANDBY &&
                   (int)PLACEMENT_VOTER == (int)CONSENSUS_ROLE_VOTER &&
                   (int)PLACEMENT_SPARE == (int)CONSENSUS_ROLE_SPARE,
               "roles are the same");

/* A vote without the state is no copy, however small the shard is. */
static uint64_t bytes_behind(const struct group_peer *peer, uint64_t size_bytes)
{
    uint64_t bytes = peer->bytes_behind;
    if (!peer->lacks_state)
        return bytes;
    bytes += size_bytes;
    return bytes > PLACEMENT_BYTES_LACKING ? bytes : PLACEMENT_BYTES_LACKING;
}

void resident_observe(const struct resident *resident, struct placement_shard_view *view_out)
{
    struct group_peer *peers = resident->loop->peers;
    struct group_status status;
    struct shard_statistics statistics;
    size_t count = replica_peers(resident->replica, peers);
    replica_group_status(resident->replica, &status);
    shard_read_statistics(replica_shard(resident->replica), &statistics);
    *view_out = (struct placement_shard_view){
        .leader = resident->loop->node_id,
        .leader_since_ms = (int64_t)resident->led_since_ms,
        .transferring = status.transferring,
        .size_bytes = statistics.part_bytes + statistics.block_bytes + status.log_bytes,
    };
    for (size_t i = 0; i < count && i < PLACEMENT_MEMBERS_MAX; i++)
        view_out->members[view_out->member_count++] = (struct placement_member){
            .node_id = peers[i].node_id,
            .role = (enum placement_role)peers[i].role,
            .bytes_behind = bytes_behind(&peers[i], view_out->size_bytes),
        };
}

/* All nodes and, as far as is known, who leads which shard; false when nothing was heard yet. */
static bool observe_cluster(struct hosting_loop *loop, const struct cluster_state *state,
                            struct placement_observation *observation_out)
{
    struct hosting *hosting = loop->hosting;
    size_t node_count, shard_count;
    const struct cluster_node *nodes = cluster_state_nodes(state, &node_count);
    (void)cluster_state_shards(state, &shard_count);
    struct placement_node_view *node_views = calloc(node_count + 1, sizeof *node_views);
    struct placement_shard_view *shard_views = calloc(shard_count + 1, sizeof *shard_views);
    pthread_mutex_lock(&hosting->mutex);
    bool known = hosting->has_observed && node_views != NULL && shard_views != NULL;
    for (size_t i = 0, a = 0; known && i < node_count; i++) {
        while (a < hosting->alive_count && hosting->alive[a] < nodes[i].node_id)
            a++;
        node_views[i] = (struct placement_node_view){
            .node_id = nodes[i].node_id,
            .alive = nodes[i].node_id == loop->node_id ||
                     (a < hosting->alive_count && hosting->alive[a] == nodes[i].node_id),
        };
    }
    for (size_t s = 0; known && s < shard_count && s < hosting->leader_count; s++)
        shard_views[s].leader = hosting->leaders[s];
    pthread_mutex_unlock(&hosting->mutex);
    if (!known) {
        free(node_views);
        free(shard_views);
        return false;
    }
    *observation_out = (struct placement_observation){
        .now_ms = (int64_t)loop_now_ms(loop),
        .nodes = node_views,
        .node_count = node_count,
        .shards = shard_views,
        .shard_count = shard_count,
    };
    return true;
}

static void observation_clear(struct placement_observation *observation)
{
    free((void *)observation->nodes);
    free((void *)observation->shards);
}

/* --- Steps ----------------------------------------------------------------------------------- */

static void step_done(struct group_request *request, enum group_outcome outcome)
{
    struct resident *resident =
        (struct resident *)((char *)request - offsetof(struct resident, request));
    (void)outcome; /* what is then the case is looked at anew */
    resident->is_asking = false;
}

static const char *step_name(enum placement_step_kind kind)
{
    static const char *const NAMES[] = {
        [PLACEMENT_STEP_NONE] = "none",         [PLACEMENT_STEP_ADD] = "add",
        [PLACEMENT_STEP_CATCH_UP] = "catch up", [PLACEMENT_STEP_PROMOTE] = "promote",
        [PLACEMENT_STEP_TRANSFER] = "transfer", [PLACEMENT_STEP_DEMOTE] = "demote",
        [PLACEMENT_STEP_REMOVE] = "remove",
    };
    return NAMES[kind];
}

static enum error_code change(struct resident *resident, const struct placement_step *step,
                              struct error *error)
{
    struct group_change change = {.node_id = step->node_id};
    char address[CONSENSUS_ADDRESS_BYTES_MAX + 1];
    hosting_member_address(step->node_id, address, sizeof address);
    switch (step->kind) {
    case PLACEMENT_STEP_ADD:
        change.kind = GROUP_CHANGE_ADD;
        change.address = address;
        break;
    case PLACEMENT_STEP_REMOVE:
        change.kind = GROUP_CHANGE_REMOVE;
        break;
    default:
        change.kind = GROUP_CHANGE_ASSIGN;
        change.role =
            step->kind == PLACEMENT_STEP_PROMOTE ? CONSENSUS_ROLE_VOTER : CONSENSUS_ROLE_STANDBY;
    }
    return replica_change_members(resident->replica, &resident->request, &change, error);
}

static void transfer(struct resident *resident, uint64_t node_id)
{
    struct error error;
    resident->request = (struct group_request){.done = step_done};
    resident->is_asking =
        replica_transfer(resident->replica, &resident->request, node_id, &error) == ERROR_NONE;
    if (resident->is_asking)
        atomic_fetch_add(&resident->loop->hosting->transfers_total, 1);
}

static void take_step(struct resident *resident, const struct cluster_state *state,
                      const struct placement_observation *observation)
{
    struct hosting *hosting = resident->loop->hosting;
    struct group_status status;
    replica_group_status(resident->replica, &status);
    if (resident->is_asking || status.is_changing || status.transferring)
        return;
    struct placement_step step =
        placement_next_step(state, observation, &hosting->options.limits, resident->shard_id);
    if (step.kind == PLACEMENT_STEP_NONE)
        return;
    if (step.kind == PLACEMENT_STEP_TRANSFER) {
        transfer(resident, step.node_id);
        return;
    }
    struct error error;
    resident->request = (struct group_request){.done = step_done};
    resident->is_asking = change(resident, &step, &error) == ERROR_NONE;
    if (!resident->is_asking)
        return; /* not yet: it comes again */
    atomic_fetch_add(&hosting->steps_total, 1);
    log_event(LOG_INFO, "hosting", "members of a shard change", "shard=%u step=\"%s\" node=%llu",
              resident->shard_id, step_name(step.kind), (unsigned long long)step.node_id);
}

/* Leaders, and since when. */
static uint64_t note_leaders(struct hosting_loop *loop)
{
    uint64_t leading = 0;
    for (struct resident *resident = loop->residents; resident != NULL; resident = resident->next) {
        bool leads = resident->state == RESIDENT_RUNNING && replica_is_ready(resident->replica);
        if (!leads)
            resident->led_since_ms = 0;
        else if (resident->led_since_ms == 0)
            resident->led_since_ms = loop_now_ms(loop);
        leading += leads;
        if (leads && loop->hosting->options.board != NULL)
            cluster_board_note_leader(loop->hosting->options.board, resident->shard_id,
                                      loop->node_id);
    }
    atomic_store(&loop->leading, leading);
    return leading;
}

void residents_lead(struct hosting_loop *loop)
{
    const struct cluster_state *state = state_of(loop);
    struct placement_observation observation;
    if (note_leaders(loop) == 0 || state == NULL || !observe_cluster(loop, state, &observation))
        return;
    for (struct resident *resident = loop->residents; resident != NULL; resident = resident->next)
        if (resident->led_since_ms != 0 && resident->shard_id < observation.shard_count)
            resident_observe(
                resident, (struct placement_shard_view *)&observation.shards[resident->shard_id]);
    for (struct resident *resident = loop->residents; resident != NULL; resident = resident->next)
        if (resident->led_since_ms != 0)
            take_step(resident, state, &observation);
    observation_clear(&observation);
}

/* --- Transfers that others ask for ----------------------------------------------------------- */

struct transfer_wish {
    struct task task;
    struct hosting_loop *loop;
    uint32_t shard_id;
    uint64_t node_id;
};

static void fulfil(struct task *task)
{
    struct transfer_wish *wish =
        (struct transfer_wish *)((char *)task - offsetof(struct transfer_wish, task));
    struct resident *resident = resident_find(wish->loop, wish->shard_id);
    if (resident != NULL && resident->state == RESIDENT_RUNNING && !resident->is_asking &&
        replica_is_ready(resident->replica))
        transfer(resident, wish->node_id);
    free(wish);
}

void hosting_transfer(struct hosting *hosting, uint32_t shard_id, uint64_t to_node)
{
    struct transfer_wish *wish = malloc(sizeof *wish);
    if (wish == NULL)
        return; /* it is asked again */
    *wish = (struct transfer_wish){
        .task.run = fulfil,
        .loop = &hosting->loops[hosting_loop_of(hosting, shard_id)],
        .shard_id = shard_id,
        .node_id = to_node,
    };
    scheduler_post(scheduler_of(wish->loop), &wish->task);
}

/* --- Giving leadership away ------------------------------------------------------------------ */

/* Who is not desired would give the lead to one that is, and that may be who gives it now. */
static bool may_keep(const struct resident *resident, const struct group_peer *peer)
{
    const struct cluster_state *state = state_of(resident->loop);
    const struct cluster_shard *shard =
        state == NULL ? NULL : cluster_state_find_shard(state, resident->shard_id);
    return shard != NULL && cluster_replicas_has(&shard->replicas, peer->node_id) &&
           peer->bytes_behind <= resident->loop->hosting->options.limits.caught_up_bytes;
}

/* The voter that is there and lacks least, rather one that may keep the lead; 0: there is none. */
static uint64_t find_successor(const struct resident *resident)
{
    struct group_peer *peers = resident->loop->peers;
    const struct group_peer *best = NULL;
    size_t count = replica_peers(resident->replica, peers);
    for (size_t i = 0; i < count; i++) {
        const struct group_peer *peer = &peers[i];
        if (peer->node_id == resident->loop->node_id || !peer->is_heard ||
            peer->role != CONSENSUS_ROLE_VOTER || peer->is_installing)
            continue;
        bool keeps = may_keep(resident, peer);
        bool best_keeps = best != NULL && may_keep(resident, best);
        if (best == NULL || keeps > best_keeps ||
            (keeps == best_keeps && peer->bytes_behind < best->bytes_behind))
            best = peer;
    }
    return best == NULL ? 0 : best->node_id;
}

/* Who can't write what is frozen takes over the state of a leader (replica), and so may not be it:
 * it would take no writes in the end, and never come to lead after an election. */
void residents_give_way(struct hosting_loop *loop)
{
    for (struct resident *resident = loop->residents; resident != NULL; resident = resident->next) {
        struct group_status status;
        if (resident->state != RESIDENT_RUNNING || resident->is_asking ||
            !shard_needs_state(replica_shard(resident->replica)))
            continue;
        replica_group_status(resident->replica, &status);
        uint64_t successor = status.state == GROUP_STATE_LEADER ? find_successor(resident) : 0;
        if (successor != 0)
            transfer(resident, successor);
        if (successor != 0 && !resident->is_asking && !status.transferring)
            replica_step_down(resident->replica); /* it replays, and would for ever */
    }
}

void residents_hand_over(struct hosting_loop *loop)
{
    size_t left = 0;
    for (struct resident *resident = loop->residents; resident != NULL; resident = resident->next) {
        struct group_status status;
        if (resident->state != RESIDENT_RUNNING)
            continue;
        replica_group_status(resident->replica, &status);
        uint64_t successor = status.state == GROUP_STATE_LEADER ? find_successor(resident) : 0;
        if (successor == 0)
            continue; /* it does not lead, or nobody could */
        left++;
        if (!resident->is_asking)
            transfer(resident, successor);
    }
    if ((left > 0 && loop_now_ms(loop) < loop->hand_over_until_ms) || loop->handed_over == NULL)
        return;
    if (left > 0)
        log_event(LOG_WARNING, "hosting", "some shards are still led here", "shards=%zu", left);
    void (*done)(void *) = loop->handed_over;
    loop->handed_over = NULL;
    done(loop->handed_over_context);
}

void hosting_hand_over(struct hosting *hosting, size_t number, uint64_t patience_ms,
                       void (*done)(void *context), void *context)
{
    struct hosting_loop *loop = &hosting->loops[number];
    loop->handing_over = true;
    loop->handed_over = done;
    loop->handed_over_context = context;
    loop->hand_over_until_ms = loop_now_ms(loop) + patience_ms;
    scheduler_timer_start(scheduler_of(loop), &loop->tick, 0);
}
