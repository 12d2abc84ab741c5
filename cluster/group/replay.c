/*
 * replay - at the start of a process, entries (frozen index, index of the snapshot] go to the state
 * machine once more, piece by piece out of the journal, while consensus runs already. What it
 * commits meanwhile stays in its log and follows behind them.
 *
 * Up to the index of its snapshot everything is committed, however many voters there are; what lies
 * above is committed when consensus says so.
 */
#include <assert.h>

#include "group_private.h"
#include "journal/replay.h"

/* --- The host's ---------------------------------------------------------------------------- */

static enum error_code host_replay_provide(struct group_host *host,
                                           const struct journal_recovery *recovery,
                                           struct error *error)
{
    if (host->replay != NULL)
        return ERROR_NONE;
    struct journal_replay_options options = {
        .journal = host->options.journal,
        .recovery = recovery,
    };
    return journal_replay_create(&options, &host->replay, error);
}

void group_host_replay_drop(struct group_host *host)
{
    if (host->replay == NULL || !journal_replay_is_idle(host->replay))
        return;
    journal_replay_destroy(host->replay);
    host->replay = NULL;
}

/* --- Letting go ---------------------------------------------------------------------------- */

static void part_removed(void *context)
{
    struct group *group = context;
    group->replay_part = NULL;
    group_wake(group); /* it may wait for this to end */
}

bool group_replay_leave(struct group *group)
{
    group->replaying = false;
    if (group->replay_part == NULL)
        return true;
    if (!group->replay_leaving)
        journal_replay_remove(group->replay_part, part_removed);
    group->replay_leaving = true;
    return false;
}

void group_replay_release(struct group *group)
{
    if (group->replay_part == NULL || group->replay_leaving)
        return;
    /* The last ones may not be for the machine. */
    uint64_t applied_index = group->machine->operations->applied_index(group->machine);
    uint64_t index =
        applied_index >= group->delivered_index ? group->replayed_index : applied_index;
    journal_replay_release(group->replay_part, index);
    if (!group->replaying && index >= group->replayed_index)
        (void)group_replay_leave(group); /* part_removed tells when */
}

/* --- Handing over -------------------------------------------------------------------------- */

static void replay_entry(void *context, const struct journal_entry *record)
{
    struct group *group = context;
    struct error error;
    if (group->phase != GROUP_PHASE_RUNNING)
        return;
    group->replayed_index = record->index;
    group_past_note(group, record);
    if (record->kind < CONSENSUS_COMMAND || record->kind > CONSENSUS_MEMBERSHIP) {
        error_set(&error, ERROR_UNSUPPORTED, "entry %llu is of kind %u, version %u",
                  (unsigned long long)record->index, record->kind, record->version);
        group_stop(group, &error);
        return;
    }
    if (record->kind != CONSENSUS_COMMAND) {
        group_replay_release(group);
        return;
    }
    group->host->statistics.entries_replayed++;
    if (group_machine_deliver(group, record->index, record->term, record->payload,
                              record->payload_bytes, &error) != ERROR_NONE)
        group_stop(group, &error);
}

static void replay_ended(void *context, const struct error *error)
{
    struct group *group = context;
    if (group->phase != GROUP_PHASE_RUNNING)
        return;
    if (error->code != ERROR_NONE) {
        group_stop(group, error);
        return;
    }
    group->replaying = false;
    group_past_recall(group);
    group_after_step(group); /* what was committed meanwhile follows */
    group_replay_release(group);
    group_wake(group); /* it may lead from now on */
}

enum error_code group_replay_begin(struct group *group, const struct snapshot_header *header,
                                   struct error *error)
{
    uint64_t from_index = group->delivered_index + 1;
    if (from_index > header->index)
        return ERROR_NONE;
    const struct journal_group *recovered =
        group->recovery == NULL ? NULL : journal_recovery_find(group->recovery, group->id);
    /* An installed snapshot is frozen at its index, so this is the start of a process. */
    if (recovered == NULL)
        return error_set(error, ERROR_CORRUPT, "entries to replay are missing");
    struct journal_replay_events events = {
        .context = group, .entry = replay_entry, .ended = replay_ended};
    enum error_code code = host_replay_provide(group->host, group->recovery, error);
    if (code == ERROR_NONE)
        code = journal_replay_add(group->host->replay, recovered, from_index, header->index + 1,
                                  &events, &group->replay_part, error);
    if (code != ERROR_NONE)
        return code;
    group->replaying = true;
    group->replayed_index = from_index - 1;
    return ERROR_NONE;
}
