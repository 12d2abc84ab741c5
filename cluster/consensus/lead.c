/*
 * lead - a leader's entries on their way to its peers, and what a majority has.
 */
#include <assert.h>
#include <stdlib.h>

#include "consensus_private.h"

enum {
    MESSAGE_ENTRIES_MAX = 4096,
    /* In elections: without an answer for so long, what is on its way is taken for lost, */
    STALLED_ELECTIONS = 2,
    /* and a snapshot, which takes the peer long, for forgotten. */
    SNAPSHOT_ELECTIONS = 4,
};

/* --- Sending ------------------------------------------------------------------------------- */

struct progress *progress_find(const struct consensus *consensus, uint64_t node_id)
{
    for (size_t i = 0; i < consensus->progress_count; i++)
        if (consensus->progress[i].node_id == node_id)
            return (struct progress *)&consensus->progress[i];
    return NULL;
}

static bool send_append(struct consensus *consensus, struct progress *progress,
                        uint64_t previous_index, const struct consensus_entry *entries,
                        size_t count)
{
    uint64_t last_index = previous_index + count;
    struct consensus_message message = {
        .type = CONSENSUS_APPEND,
        .term = consensus->term,
        .append =
            {
                .previous_index = previous_index,
                .previous_term = consensus_log_term(&consensus->log, previous_index),
                .commit_index = consensus->commit_index,
                .round = consensus->round,
                .entries = entries,
                .entry_count = count,
            },
    };
    if (!send_message(consensus, progress->node_id, &message))
        return false;
    uint64_t usable = consensus->commit_index < last_index ? consensus->commit_index : last_index;
    if (usable > progress->commit_sent)
        progress->commit_sent = usable;
    return true;
}

/* Whether an append may begin behind the entry: its term is known, and what follows is somewhere.
 */
static bool is_known(const struct consensus *consensus, uint64_t index)
{
    const struct consensus_log *log = &consensus->log;
    if (index == 0 && log->base_index > 0)
        return log->term_count > 0 && log->terms[0].first_index <= 1;
    return index == log->base_index || consensus_log_term(log, index) != 0;
}

/* An append without entries, behind an entry that the peer has: it can't be in the way of others,
 * nor be refused. */
static void send_heartbeat(struct consensus *consensus, struct progress *progress)
{
    uint64_t index = is_known(consensus, progress->matched_index) ? progress->matched_index : 0;
    (void)send_append(consensus, progress, index, NULL, 0);
}

static void begin_snapshot(struct consensus *consensus, struct progress *progress)
{
    struct consensus_world *world = consensus->options.world;
    progress->state = PROGRESS_SNAPSHOT;
    progress->snapshot_index = 0;
    progress->advanced_ms = consensus->now_ms;
    send_heartbeat(consensus, progress);
    world->operations->snapshot_needed(world, progress->node_id);
}

static void probe(struct consensus *consensus, struct progress *progress)
{
    if (!is_known(consensus, progress->next_index - 1)) {
        begin_snapshot(consensus, progress);
        return;
    }
    progress->probe_sent = true;
    (void)send_append(consensus, progress, progress->next_index - 1, NULL, 0);
}

static void begin_probing(struct consensus *consensus, struct progress *progress,
                          uint64_t next_index)
{
    progress->state = PROGRESS_PROBE;
    progress->next_index = next_index;
    progress->is_reading = false;
    probe(consensus, progress);
}

/* How many entries from next_index on go into one message, gathered in `scratch`. */
static size_t gather(struct consensus *consensus, const struct progress *progress)
{
    uint64_t last_index = consensus_log_last_index(&consensus->log);
    uint64_t bytes = 0;
    size_t count = 0;
    while (count < MESSAGE_ENTRIES_MAX && progress->next_index + count <= last_index) {
        const struct consensus_entry *entry =
            consensus_log_entry(&consensus->log, progress->next_index + count);
        bytes += entry->size_bytes + LOG_ENTRY_OVERHEAD_BYTES;
        if (count > 0 && bytes > consensus->options.message_bytes)
            break;
        if (count == consensus->scratch_capacity) {
            size_t capacity = consensus->scratch_capacity * 2 + 16;
            struct consensus_entry *scratch =
                realloc(consensus->scratch, capacity * sizeof *scratch);
            if (scratch == NULL)
                break;
            consensus->scratch = scratch;
            consensus->scratch_capacity = capacity;
        }
        consensus->scratch[count++] = *entry;
    }
    return count;
}

/* From the disk, one message after the other: what is not in memory was not sent for long. */
static void read_next(struct consensus *consensus, struct progress *progress)
{
    struct consensus_world *world = consensus->options.world;
    if (progress->is_reading || progress->next_index - 1 > progress->matched_index)
        return;
    progress->is_reading = true;
    world->operations->entries_needed(world, progress->node_id, progress->next_index,
                                      consensus->log.base_index + 1);
}

static void replicate(struct consensus *consensus, struct progress *progress)
{
    if (progress->state == PROGRESS_PROBE && !progress->probe_sent)
        probe(consensus, progress);
    while (progress->state == PROGRESS_PIPELINE && !progress->is_blocked &&
           progress->next_index <= consensus_log_last_index(&consensus->log)) {
        if (progress->next_index <= consensus->log.base_index) {
            read_next(consensus, progress);
            return;
        }
        uint64_t sent_index = progress->next_index - 1;
        if (consensus_log_bytes(&consensus->log, progress->matched_index, sent_index) >=
            consensus->options.window_bytes)
            return;
        size_t count = gather(consensus, progress);
        if (count == 0 ||
            !send_append(consensus, progress, sent_index, consensus->scratch, count)) {
            progress->is_blocked = true;
            return;
        }
        if (sent_index == progress->matched_index)
            progress->advanced_ms = consensus->now_ms;
        progress->next_index += count;
    }
}

void replicate_all(struct consensus *consensus)
{
    for (size_t i = 0; i < consensus->progress_count; i++)
        replicate(consensus, &consensus->progress[i]);
}

static void heartbeat(struct consensus *consensus, struct progress *progress)
{
    uint64_t election_ms = consensus->options.election_ms;
    uint64_t silent_ms = consensus->now_ms - progress->advanced_ms;
    switch (progress->state) {
    case PROGRESS_PROBE:
        probe(consensus, progress);
        break;
    case PROGRESS_PIPELINE:
        send_heartbeat(consensus, progress);
        if (progress->next_index - 1 > progress->matched_index &&
            silent_ms > STALLED_ELECTIONS * election_ms)
            begin_probing(consensus, progress, progress->matched_index + 1);
        progress->is_blocked = false;
        replicate(consensus, progress);
        break;
    case PROGRESS_SNAPSHOT:
        send_heartbeat(consensus, progress);
        /* Making a snapshot is work: not for who is not there. */
        if (consensus->now_ms - progress->answered_ms > election_ms)
            break;
        if (progress->snapshot_index == 0 || silent_ms > SNAPSHOT_ELECTIONS * election_ms)
            begin_probing(consensus, progress, progress->matched_index + 1);
        break;
    }
}

void heartbeat_all(struct consensus *consensus)
{
    for (size_t i = 0; i < consensus->progress_count; i++)
        heartbeat(consensus, &consensus->progress[i]);
}

void leader_flush(struct consensus *consensus)
{
    for (size_t i = 0; i < consensus->progress_count; i++) {
        struct progress *progress = &consensus->progress[i];
        uint64_t index = consensus->commit_index < progress->matched_index
                             ? consensus->commit_index
                             : progress->matched_index;
        if (progress->state == PROGRESS_PIPELINE && progress->commit_sent < index)
            send_heartbeat(consensus, progress);
    }
}

void consensus_send_stored(struct consensus *consensus, uint64_t node_id, uint64_t first_index,
                           const struct consensus_entry *entries, size_t entry_count)
{
    struct progress *progress =
        consensus->state == CONSENSUS_LEADER ? progress_find(consensus, node_id) : NULL;
    if (progress == NULL || !progress->is_reading)
        return;
    progress->is_reading = false;
    if (progress->state != PROGRESS_PIPELINE || progress->next_index != first_index)
        return;
    if (entry_count == 0 || !is_known(consensus, first_index - 1)) {
        begin_snapshot(consensus, progress);
        return;
    }
    progress->advanced_ms = consensus->now_ms;
    if (send_append(consensus, progress, first_index - 1, entries, entry_count))
        progress->next_index += entry_count;
    else
        progress->is_blocked = true;
}

void consensus_send_snapshot(struct consensus *consensus, uint64_t node_id,
                             const struct consensus_install *install)
{
    struct progress *progress =
        consensus->state == CONSENSUS_LEADER ? progress_find(consensus, node_id) : NULL;
    if (progress == NULL || progress->state != PROGRESS_SNAPSHOT)
        return;
    struct consensus_message message = {
        .type = CONSENSUS_INSTALL,
        .term = consensus->term,
        .install = *install,
    };
    if (!send_message(consensus, node_id, &message))
        return; /* snapshot_index stays 0: asked for again */
    progress->snapshot_index = install->index;
    progress->advanced_ms = consensus->now_ms;
}

void consensus_peer_lost(struct consensus *consensus, uint64_t node_id)
{
    if (consensus->state == CONSENSUS_FOLLOWER && consensus->leader_id == node_id) {
        election_hasten(consensus);
        return;
    }
    struct progress *progress =
        consensus->state == CONSENSUS_LEADER ? progress_find(consensus, node_id) : NULL;
    if (progress == NULL || progress->state != PROGRESS_PIPELINE)
        return;
    progress->state = PROGRESS_PROBE;
    progress->next_index = progress->matched_index + 1;
    progress->is_blocked = progress->is_reading = false;
    progress->probe_sent = true;
}

void consensus_peer_drained(struct consensus *consensus, uint64_t node_id)
{
    struct progress *progress =
        consensus->state == CONSENSUS_LEADER ? progress_find(consensus, node_id) : NULL;
    if (progress == NULL)
        return;
    progress->is_blocked = false;
    replicate(consensus, progress);
}

/* --- Leading ------------------------------------------------------------------------------- */

void leader_follow_membership(struct consensus *consensus)
{
    const struct membership *membership = consensus_membership(consensus);
    size_t kept = 0;
    for (size_t i = 0; i < consensus->progress_count; i++) {
        const struct consensus_member *member =
            membership_find(membership, consensus->progress[i].node_id);
        if (member != NULL && member->role != CONSENSUS_ROLE_SPARE)
            consensus->progress[kept++] = consensus->progress[i];
    }
    consensus->progress_count = kept;
    for (size_t i = 0; i < membership->count; i++) {
        const struct consensus_member *member = &membership->members[i];
        if (member->node_id == consensus->options.node_id || member->role == CONSENSUS_ROLE_SPARE ||
            progress_find(consensus, member->node_id) != NULL)
            continue;
        consensus->progress[consensus->progress_count++] = (struct progress){
            .node_id = member->node_id,
            .state = PROGRESS_PROBE,
            .next_index = consensus_log_last_index(&consensus->log) + 1,
            .answered_ms = consensus->now_ms,
            .advanced_ms = consensus->now_ms,
        };
    }
}

static uint64_t append_own(struct consensus *consensus, const struct consensus_entry *entry)
{
    struct error error;
    uint64_t write = consensus->writes_begun + 1;
    if (log_take(consensus, entry, write, &error) != ERROR_NONE)
        return 0;
    struct consensus_world *world = consensus->options.world;
    uint64_t index = consensus_log_last_index(&consensus->log);
    consensus->writes_begun = write;
    if (entry->kind == CONSENSUS_MEMBERSHIP)
        leader_follow_membership(consensus);
    world->operations->append(world, index, 1);
    replicate_all(consensus);
    return index;
}

bool become_leader_with(struct consensus *consensus, struct consensus_entry *first)
{
    consensus->state = CONSENSUS_LEADER;
    consensus->leader_id = consensus->options.node_id;
    consensus->leader_heard_ms = consensus->now_ms;
    consensus->led_since_ms = consensus->now_ms;
    consensus->transfer = (struct transfer){0};
    consensus->round = 0;
    consensus->progress_count = 0;
    leader_follow_membership(consensus);

    first->term = consensus->term;
    consensus->own_index = append_own(consensus, first);
    if (consensus->own_index == 0)
        become_follower(consensus, consensus->term, 0); /* no memory: another one, or later */
    return consensus->own_index != 0;
}

void become_leader(struct consensus *consensus)
{
    /* Entries of former terms are committed by one of this term (dissertation, 3.6.2). */
    struct consensus_entry barrier = {.kind = CONSENSUS_BARRIER};
    (void)become_leader_with(consensus, &barrier); /* if not, it follows */
}

uint64_t consensus_propose(struct consensus *consensus, enum consensus_kind kind,
                           struct consensus_batch *batch, const uint8_t *bytes, size_t size_bytes)
{
    if (consensus->state != CONSENSUS_LEADER || consensus->transfer.node_id != 0 ||
        consensus->failure.code != ERROR_NONE)
        return 0;
    struct consensus_entry entry = {
        .term = consensus->term,
        .kind = kind,
        .size_bytes = (uint32_t)size_bytes,
        .bytes = bytes,
        .batch = batch,
    };
    return append_own(consensus, &entry);
}

/* --- What a majority has ------------------------------------------------------------------- */

/* The value that a majority of the voters has or exceeds, where each has one; 0 without voters. */
static uint64_t of_majority(const struct consensus *consensus,
                            uint64_t (*value)(const struct progress *progress), uint64_t own)
{
    const struct membership *membership = consensus_membership(consensus);
    uint64_t values[CONSENSUS_MEMBERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < membership->count; i++) {
        const struct consensus_member *member = &membership->members[i];
        if (member->role != CONSENSUS_ROLE_VOTER)
            continue;
        uint64_t of_member = own;
        if (member->node_id != consensus->options.node_id) {
            const struct progress *progress = progress_find(consensus, member->node_id);
            of_member = progress == NULL ? 0 : value(progress);
        }
        size_t position = count++;
        for (; position > 0 && values[position - 1] > of_member; position--)
            values[position] = values[position - 1];
        values[position] = of_member;
    }
    return count == 0 ? 0 : values[(count - 1) / 2];
}

static uint64_t matched_of(const struct progress *progress)
{
    return progress->matched_index;
}

static uint64_t answered_of(const struct progress *progress)
{
    return progress->answered_ms;
}

static uint64_t round_of(const struct progress *progress)
{
    return progress->round;
}

void leader_commit(struct consensus *consensus)
{
    uint64_t index = of_majority(consensus, matched_of, consensus->stored_index);
    if (index <= consensus->commit_index)
        return;
    /* Counting is no proof for what another leader might still replace (dissertation, fig. 3.7). */
    if (index < consensus->own_index && rule_on(consensus, RULE_OWN_TERM_COMMITS))
        return;
    commit_to(consensus, index);
    if (!membership_is_uncommitted(consensus) &&
        !membership_has_voter(consensus_membership(consensus), consensus->options.node_id))
        become_follower(consensus, consensus->term, 0);
}

uint64_t consensus_read_round(const struct consensus *consensus)
{
    if (consensus->state != CONSENSUS_LEADER)
        return 0;
    return of_majority(consensus, round_of, consensus->round);
}

void leader_written(struct consensus *consensus)
{
    leader_commit(consensus);
}

void leader_tick(struct consensus *consensus)
{
    uint64_t election_ms = consensus->options.election_ms;
    uint64_t heard_ms = of_majority(consensus, answered_of, consensus->now_ms);
    consensus->leader_heard_ms = heard_ms;
    /* Without a majority it can do nothing, and only keeps others from looking elsewhere. */
    if (consensus->now_ms - heard_ms > election_ms &&
        consensus->now_ms - consensus->led_since_ms > election_ms) {
        become_follower(consensus, consensus->term, 0);
        return;
    }
    handover_advance(consensus);
    heartbeat_all(consensus);
}

/* --- Answers ------------------------------------------------------------------------------- */

static void take_rejection(struct consensus *consensus, struct progress *progress,
                           const struct consensus_append_result *result)
{
    bool is_stale = progress->state == PROGRESS_PROBE
                        ? result->rejected_index != progress->next_index - 1
                        : result->rejected_index <= progress->matched_index ||
                              result->rejected_index >= progress->next_index;
    if (is_stale || progress->state == PROGRESS_SNAPSHOT)
        return;
    uint64_t next_index = result->hint_index + 1;
    if (next_index > result->rejected_index)
        next_index = result->rejected_index;
    if (next_index <= progress->matched_index)
        next_index = progress->matched_index + 1;
    if (progress->state == PROGRESS_PROBE && next_index == progress->next_index)
        return; /* no further back: not before the next heartbeat */
    begin_probing(consensus, progress, next_index);
}

static void take_match(struct consensus *consensus, struct progress *progress, uint64_t index)
{
    if (index > progress->matched_index) {
        progress->matched_index = index;
        progress->advanced_ms = consensus->now_ms;
    }
    bool reaches_log = is_known(consensus, progress->matched_index);
    if (progress->next_index <= progress->matched_index)
        progress->next_index = progress->matched_index + 1;
    if (progress->state == PROGRESS_SNAPSHOT && reaches_log) {
        progress->state = PROGRESS_PIPELINE;
        progress->next_index = progress->matched_index + 1;
    } else if (progress->state == PROGRESS_SNAPSHOT && progress->snapshot_index != 0 &&
               progress->matched_index >= progress->snapshot_index) {
        begin_snapshot(consensus, progress); /* the log went on meanwhile, and lacks what follows */
    } else if (progress->state == PROGRESS_PROBE &&
               progress->matched_index + 1 >= progress->next_index) {
        progress->state = PROGRESS_PIPELINE;
    }
}

void receive_append_result(struct consensus *consensus, uint64_t from_node,
                           const struct consensus_message *message)
{
    const struct consensus_append_result *result = &message->append_result;
    if (consensus->state != CONSENSUS_LEADER || message->term != consensus->term)
        return;
    struct progress *progress = progress_find(consensus, from_node);
    if (progress == NULL || result->matched_index > consensus_log_last_index(&consensus->log))
        return;
    progress->answered_ms = consensus->now_ms;
    if (result->round > progress->round)
        progress->round = result->round;
    if (result->rejected_index > 0) {
        take_rejection(consensus, progress, result);
        return;
    }
    take_match(consensus, progress, result->matched_index);
    leader_commit(consensus);
    if (consensus->state != CONSENSUS_LEADER)
        return;
    replicate(consensus, progress);
    handover_advance(consensus);
}

bool consensus_peer(const struct consensus *consensus, uint64_t node_id,
                    struct consensus_peer *peer_out)
{
    const struct progress *progress =
        consensus->state == CONSENSUS_LEADER ? progress_find(consensus, node_id) : NULL;
    if (progress == NULL)
        return false;
    *peer_out = (struct consensus_peer){
        .node_id = node_id,
        .matched_index = progress->matched_index,
        .next_index = progress->next_index,
        .answered_ms = progress->answered_ms,
        .is_installing = progress->state == PROGRESS_SNAPSHOT,
    };
    return true;
}
