/*
 * A group whose majority is gone for good: all nodes are asked what they have of it, the most
 * complete replica goes on alone (docs/decisions/0060).
 *
 *     all nodes: LOOK --> judged --only looks--> told
 *                            \--does it--> one node: FORCE --> LOOK until it leads --> told
 */
#include <stdlib.h>

#include "base/log.h"

#include "rescue_private.h"

enum { LOOK_MS = 4000, FORCE_MS = 8000, LEAD_MS = 10 * 1000, LOOK_AGAIN_MS = 200 };

struct recovery;

struct candidate {
    struct rescue_call call; /* first */
    struct recovery *recovery;
    struct rescue_sight sight;
    bool has_answered;
};

struct recovery {
    struct rescue *rescue;
    uint32_t shard_id;
    enum rescue_consent consent;
    rescue_done *done;
    void *context;
    struct cluster_view *view;
    size_t outstanding;
    const struct candidate *chosen; /* NULL: none */
    struct error refusal;           /* why nobody can be forced */
    uint64_t seen_term;
    uint64_t told_index; /* committed, as the replicas that answer heard */
    uint64_t due_ms;
    struct timer timer;
    size_t count;
    struct candidate candidates[]; /* [count], the nodes of the cluster */
};

/* --- Telling --------------------------------------------------------------------------------- */

static const struct cluster_state *state_of(const struct recovery *recovery)
{
    return cluster_view_state(recovery->view);
}

static void time_field(struct byte_buffer *json, const char *name, int64_t time_ms)
{
    if (time_ms != INT64_MIN)
        rescue_json_number(json, name, (uint64_t)(time_ms / 1000));
}

static void encode_replica(struct byte_buffer *json, const struct recovery *recovery,
                           const struct candidate *candidate)
{
    static const char *const LEADERS[] = {"none", "another", "this"};
    const struct rescue_sight *sight = &candidate->sight;
    if (json->bytes != NULL && json->bytes[json->size - 1] == '}')
        byte_buffer_u8(json, ',');
    byte_buffer_u8(json, '{');
    rescue_json_name(json, "node");
    rescue_json_node(json, state_of(recovery), candidate->call.node_id);
    rescue_json_number(json, "term", sight->term);
    rescue_json_number(json, "lastIndex", sight->last_index);
    rescue_json_number(json, "lastTerm", sight->last_term);
    rescue_json_number(json, "commitIndex", sight->commit_index);
    rescue_json_number(json, "appliedIndex", sight->applied_index);
    rescue_json_text(json, "leader", LEADERS[sight->leader]);
    time_field(json, "newestEntryTime", sight->last_stamp_ms);
    time_field(json, "newestSampleTime", sight->newest_ms);
    byte_buffer_u8(json, '}');
}

/* Voters of the chosen replica's log that did not answer, or have no replica. */
static void encode_silent(struct byte_buffer *json, const struct recovery *recovery)
{
    const struct rescue_sight *sight = &recovery->chosen->sight;
    byte_buffer_u8(json, '[');
    for (size_t i = 0; i < sight->member_count; i++) {
        bool is_there = sight->members[i].role != CONSENSUS_ROLE_VOTER;
        for (size_t k = 0; k < recovery->count; k++)
            is_there |= recovery->candidates[k].call.node_id == sight->members[i].node_id &&
                        recovery->candidates[k].has_answered &&
                        recovery->candidates[k].sight.is_present;
        if (is_there)
            continue;
        if (json->bytes != NULL && json->bytes[json->size - 1] != '[')
            byte_buffer_u8(json, ',');
        rescue_json_node(json, state_of(recovery), sight->members[i].node_id);
    }
    byte_buffer_u8(json, ']');
}

static void encode_chosen(struct byte_buffer *json, const struct recovery *recovery)
{
    const struct rescue_sight *sight = &recovery->chosen->sight;
    rescue_json_name(json, "chosen");
    rescue_json_node(json, state_of(recovery), recovery->chosen->call.node_id);
    rescue_json_name(json, "silent");
    encode_silent(json, recovery);
    /* What others acknowledged behind its last entry can't be known; what they told of it can. */
    rescue_json_number(
        json, "entriesKnownLost",
        recovery->told_index > sight->last_index ? recovery->told_index - sight->last_index : 0);
    time_field(json, "lostFromTime",
               sight->last_stamp_ms != INT64_MIN ? sight->last_stamp_ms : sight->newest_ms);
}

static void encode(struct byte_buffer *json, const struct recovery *recovery, const char *outcome)
{
    byte_buffer_u8(json, '{');
    rescue_json_name(json, "shard");
    if (recovery->shard_id == RESCUE_META)
        byte_buffer_append(json, "\"meta\"", 6);
    else
        rescue_json_number(json, NULL, recovery->shard_id);
    rescue_json_text(json, "outcome", outcome);
    rescue_json_text(json, "reason",
                     recovery->refusal.code == ERROR_NONE ? "" : recovery->refusal.message);
    if (recovery->chosen != NULL)
        encode_chosen(json, recovery);
    rescue_json_name(json, "replicas");
    byte_buffer_u8(json, '[');
    for (size_t i = 0; i < recovery->count; i++)
        if (recovery->candidates[i].has_answered && recovery->candidates[i].sight.is_present)
            encode_replica(json, recovery, &recovery->candidates[i]);
    byte_buffer_append(json, "]}", 2);
}

static void end(struct recovery *recovery, const char *outcome, const struct error *error)
{
    struct byte_buffer json = {0};
    struct error problem = *error;
    if (error->code == ERROR_NONE)
        encode(&json, recovery, outcome);
    if (json.failed)
        error_set(&problem, ERROR_OUT_OF_MEMORY, "answer");
    struct rescue *rescue = recovery->rescue;
    recovery->done(recovery->context, &json, &problem);
    byte_buffer_clear(&json);
    cluster_view_unref(recovery->view);
    free(recovery);
    rescue->recoveries--;
    rescue_check_closed(rescue);
}

/* --- Judging --------------------------------------------------------------------------------- */

static bool is_more_complete(const struct rescue_sight *sight, const struct rescue_sight *than)
{
    return sight->last_term > than->last_term ||
           (sight->last_term == than->last_term && sight->last_index > than->last_index);
}

static bool is_member(const struct candidate *candidate)
{
    for (size_t i = 0; i < candidate->sight.member_count; i++)
        if (candidate->sight.members[i].node_id == candidate->call.node_id)
            return true;
    return false;
}

static bool is_present(const struct recovery *recovery, uint64_t node_id)
{
    for (size_t i = 0; i < recovery->count; i++)
        if (recovery->candidates[i].call.node_id == node_id)
            return recovery->candidates[i].has_answered && recovery->candidates[i].sight.is_present;
    return false;
}

/* Voters by the most complete log, and those of them that answer. */
static enum error_code check_majority(const struct recovery *recovery, struct error *error)
{
    const struct rescue_sight *sight = &recovery->chosen->sight;
    size_t voters = 0, present = 0;
    for (size_t i = 0; i < sight->member_count; i++) {
        if (sight->members[i].role != CONSENSUS_ROLE_VOTER)
            continue;
        voters++;
        present += is_present(recovery, sight->members[i].node_id);
    }
    if (2 * present <= voters)
        return ERROR_NONE;
    return error_set(error, ERROR_CONFLICT,
                     "%zu of its %zu voters answer, which is a majority: it comes back by itself",
                     present, voters);
}

static void judge(struct recovery *recovery)
{
    struct error *refusal = &recovery->refusal;
    const struct candidate *leader = NULL;
    for (size_t i = 0; i < recovery->count; i++) {
        const struct candidate *candidate = &recovery->candidates[i];
        const struct rescue_sight *sight = &candidate->sight;
        if (!candidate->has_answered || !sight->is_present)
            continue;
        if (sight->term > recovery->seen_term)
            recovery->seen_term = sight->term;
        if (sight->told_index > recovery->told_index)
            recovery->told_index = sight->told_index;
        if (sight->leader != RESCUE_LEADER_NONE)
            leader = candidate;
        if (is_member(candidate) &&
            (recovery->chosen == NULL || is_more_complete(sight, &recovery->chosen->sight)))
            recovery->chosen = candidate;
    }
    if (recovery->chosen == NULL)
        error_set(refusal, ERROR_NOT_FOUND, "no node that answers has a replica");
    else if (leader != NULL)
        error_set(refusal, ERROR_CONFLICT, "it has a leader, and needs no recovery");
    else if (!recovery->chosen->sight.is_forcible)
        error_set(refusal, ERROR_UNAVAILABLE,
                  "the most complete replica still replays or installs: later");
    else
        (void)check_majority(recovery, refusal); /* its code is kept */
}

/* --- Doing it -------------------------------------------------------------------------------- */

static void ask_chosen(struct recovery *recovery, enum rescue_question_kind kind,
                       uint64_t timeout_ms, void (*done)(struct rescue_call *call))
{
    struct candidate *chosen = (struct candidate *)recovery->chosen;
    chosen->call.question = (struct rescue_question){
        .kind = kind,
        .shard_id = recovery->shard_id,
        .force =
            {
                .seen_term = recovery->seen_term,
                .last_index = chosen->sight.last_index,
                .last_term = chosen->sight.last_term,
            },
    };
    chosen->call.timeout_ms = timeout_ms;
    chosen->call.done = done;
    rescue_ask(recovery->rescue, &chosen->call);
}

static void looked_again(struct rescue_call *call);

static void look_again(struct timer *timer)
{
    struct recovery *recovery =
        (struct recovery *)((char *)timer - offsetof(struct recovery, timer));
    ask_chosen(recovery, RESCUE_LOOK, LOOK_MS, looked_again);
}

/* It leads, and has committed what it had. */
static void looked_again(struct rescue_call *call)
{
    struct recovery *recovery = ((struct candidate *)call)->recovery;
    struct rescue_sight sight;
    struct error error = call->error;
    if (error.code == ERROR_NONE)
        (void)rescue_sight_decode(call->answer.bytes, call->answer.size, &sight, &error);
    byte_buffer_clear(&call->answer);
    if (error.code == ERROR_NONE && sight.leader == RESCUE_LEADER_SELF &&
        sight.commit_index > recovery->chosen->sight.last_index) {
        end(recovery, "recovered", &error);
        return;
    }
    if (recovery->rescue->closing || rescue_now_ms(recovery->rescue) > recovery->due_ms) {
        error_set(&error, ERROR_TIMEOUT, "the replica was forced, and is not seen to lead yet");
        end(recovery, NULL, &error);
        return;
    }
    recovery->timer = (struct timer){.fire = look_again, .heap_index = TIMER_IDLE};
    scheduler_timer_start(rescue_scheduler(recovery->rescue), &recovery->timer, LOOK_AGAIN_MS);
}

static void forced(struct rescue_call *call)
{
    struct recovery *recovery = ((struct candidate *)call)->recovery;
    byte_buffer_clear(&call->answer);
    if (call->error.code != ERROR_NONE) {
        end(recovery, NULL, &call->error);
        return;
    }
    recovery->due_ms = rescue_now_ms(recovery->rescue) + LEAD_MS;
    ask_chosen(recovery, RESCUE_LOOK, LOOK_MS, looked_again);
}

/* --- Looking --------------------------------------------------------------------------------- */

static void all_looked(struct recovery *recovery)
{
    struct error error;
    error_clear(&error);
    judge(recovery);
    bool refused = recovery->refusal.code != ERROR_NONE;
    if (refused && recovery->consent == RESCUE_DOES_IT) {
        end(recovery, NULL, &recovery->refusal);
    } else if (recovery->consent == RESCUE_ONLY_LOOKS) {
        end(recovery, refused ? "refused" : "possible", &error);
    } else {
        log_event(LOG_WARNING, "rescue", "a replica is forced to go on alone",
                  "shard=%lld node=%llu last_index=%llu",
                  recovery->shard_id == RESCUE_META ? -1LL : (long long)recovery->shard_id,
                  (unsigned long long)recovery->chosen->call.node_id,
                  (unsigned long long)recovery->chosen->sight.last_index);
        ask_chosen(recovery, RESCUE_FORCE, FORCE_MS, forced);
    }
}

static void looked(struct rescue_call *call)
{
    struct candidate *candidate = (struct candidate *)call;
    struct recovery *recovery = candidate->recovery;
    struct error error;
    candidate->has_answered = call->error.code == ERROR_NONE &&
                              rescue_sight_decode(call->answer.bytes, call->answer.size,
                                                  &candidate->sight, &error) == ERROR_NONE;
    byte_buffer_clear(&call->answer);
    if (--recovery->outstanding == 0)
        all_looked(recovery);
}

static enum error_code check_asked(const struct rescue *rescue, const struct cluster_view *view,
                                   uint32_t shard_id, struct error *error)
{
    if (rescue->closing || rescue->node_id == 0 || view == NULL)
        return error_set(error, ERROR_UNAVAILABLE, "this node does not know its cluster");
    if (shard_id != RESCUE_META &&
        cluster_state_find_shard(cluster_view_state(view), shard_id) == NULL)
        return error_set(error, ERROR_NOT_FOUND, "there is no shard %u", shard_id);
    return ERROR_NONE;
}

void rescue_recover(struct rescue *rescue, uint32_t shard_id, enum rescue_consent consent,
                    rescue_done *done, void *context)
{
    struct cluster_view *view = cluster_board_view(rescue->options.board);
    struct byte_buffer nothing = {0};
    struct recovery *recovery = NULL;
    size_t count = 0;
    struct error error;
    enum error_code code = check_asked(rescue, view, shard_id, &error);
    const struct cluster_node *nodes =
        code == ERROR_NONE ? cluster_state_nodes(cluster_view_state(view), &count) : NULL;
    if (code == ERROR_NONE) {
        recovery = calloc(1, sizeof *recovery + (count + 1) * sizeof recovery->candidates[0]);
        if (recovery == NULL)
            code = error_set(&error, ERROR_OUT_OF_MEMORY, "recovery");
    }
    if (code != ERROR_NONE) {
        cluster_view_unref(view);
        done(context, &nothing, &error);
        return;
    }
    *recovery = (struct recovery){
        .rescue = rescue,
        .shard_id = shard_id,
        .consent = consent,
        .done = done,
        .context = context,
        .view = view,
    };
    rescue->recoveries++;
    error_clear(&recovery->refusal);
    for (size_t i = 0; i < count; i++) {
        if (nodes[i].state == CLUSTER_NODE_LEFT && nodes[i].node_id != rescue->node_id)
            continue;
        struct candidate *candidate = &recovery->candidates[recovery->count++];
        candidate->recovery = recovery;
        candidate->call.node_id = nodes[i].node_id;
        candidate->call.question =
            (struct rescue_question){.kind = RESCUE_LOOK, .shard_id = shard_id};
        candidate->call.timeout_ms = LOOK_MS;
        candidate->call.done = looked;
    }
    recovery->outstanding = recovery->count;
    for (size_t i = 0; i < recovery->count; i++) /* this node is one of them */
        rescue_ask(rescue, &recovery->candidates[i].call);
}
