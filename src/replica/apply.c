/* Committed entries, applied to the shard in slices. */
#include <stddef.h>
#include <stdlib.h>

#include "replica_private.h"

enum { APPLY_SLICE_NS = 2 * 1000 * 1000, APPLY_RETRY_MS = 5 };

static void replay_count(struct replica *replica, uint64_t applied)
{
    if (applied > replica->replay_entries)
        applied = replica->replay_entries;
    if (atomic_load(&replica->replayed_entries) >= applied)
        return;
    atomic_store(&replica->replayed_entries, applied);
    if (applied == replica->replay_entries)
        shard_replay_end(replica->shard);
}

void replica_replay_check(struct replica *replica, const struct group_status *status)
{
    if (!status->replaying && replica->entries == NULL && status->state != GROUP_STATE_UNAVAILABLE)
        replay_count(replica, replica->replay_entries); /* what else was there waits for a leader */
}

void replica_end_replay(struct replica *replica)
{
    replay_count(replica, replica->replay_entries);
}

void replica_lead_when_applied(struct replica *replica)
{
    if (!replica->elected || atomic_load(&replica->ready) || replica->entries != NULL ||
        replica->stopped)
        return;
    replica_end_replay(replica); /* the last ones may not be for the shard */
    atomic_store(&replica->ready, true);
    shard_lead(replica->shard);
}

static void entry_release(struct replica *replica)
{
    struct pending_entry *entry = replica->entries;
    replica->applied_index = entry->index;
    replica->entries = entry->next;
    if (replica->entries == NULL)
        replica->entries_last = &replica->entries;
    entry->next = replica->spare_entries;
    replica->spare_entries = entry;
}

void replica_drop_entries(struct replica *replica)
{
    while (replica->entries != NULL) {
        struct pending_entry *entry = replica->entries;
        replica->entries = entry->next;
        entry->next = replica->spare_entries;
        replica->spare_entries = entry;
    }
    replica->entries_last = &replica->entries;
}

static void schedule_apply(struct replica *replica)
{
    if (replica->apply_scheduled)
        return;
    replica->apply_scheduled = true;
    scheduler_defer(loop_of(replica), &replica->apply_task);
}

/* This replica can't go on: nothing is applied nor acknowledged any more. */
void replica_stop(struct replica *replica, const struct error *error)
{
    replica->stopped = true;
    atomic_store(&replica->ready, false);
    replica_confirm_answer(replica, "this replica stopped");
    replica->options.fatal(replica->options.fatal_context, error);
}

static void apply_slice(struct replica *replica)
{
    struct clock *clock = replica->options.environment->clock;
    uint64_t end_ns = clock_monotonic_ns(clock) + APPLY_SLICE_NS;
    while (replica->entries != NULL) {
        struct pending_entry *entry = replica->entries;
        struct error error;
        enum error_code code =
            shard_apply(replica->shard, entry->index, entry->payload, entry->size_bytes, &error);
        if (code == ERROR_UNAVAILABLE) {
            /* A job must end first. */
            scheduler_timer_start(loop_of(replica), &replica->apply_retry, APPLY_RETRY_MS);
            break;
        }
        if (code == ERROR_CONFLICT) {
            replica->refused[replica->refused_count++ % REFUSED_KEPT] = entry->index;
        } else if (code != ERROR_NONE) {
            replica_stop(replica, &error);
            return;
        }
        entry_release(replica);
        if (clock_monotonic_ns(clock) >= end_ns)
            break;
    }
    replay_count(replica, replica->applied_index + 1 - replica->replay_first_index);
    group_applied(replica->group);
    replica_show(replica);
    replica_acknowledge(replica);
    replica_confirm_answer(replica, NULL);
    replica_count_unfrozen(replica);
    replica_lead_when_applied(replica);
}

void replica_apply_run(struct task *task)
{
    struct replica *replica =
        (struct replica *)((char *)task - offsetof(struct replica, apply_task));
    replica->apply_scheduled = false;
    if (replica->closing || replica->stopped)
        return;
    apply_slice(replica);
    if (replica->stopped)
        return;
    if (replica->entries != NULL && replica->apply_retry.heap_index == TIMER_IDLE)
        schedule_apply(replica);
}

void replica_apply_again(struct timer *timer)
{
    struct replica *replica =
        (struct replica *)((char *)timer - offsetof(struct replica, apply_retry));
    schedule_apply(replica);
}

void replica_machine_apply(struct state_machine *self, const struct group_entry *entry)
{
    struct replica *replica = replica_of(self);
    struct pending_entry *pending = replica->spare_entries;
    if (pending != NULL) {
        replica->spare_entries = pending->next;
    } else {
        pending = malloc(sizeof *pending);
        if (pending == NULL) {
            struct error error;
            error_set(&error, ERROR_OUT_OF_MEMORY, "queue of committed entries");
            replica_stop(replica, &error);
            return;
        }
    }
    *pending = (struct pending_entry){
        .index = entry->index, .payload = entry->payload, .size_bytes = entry->size_bytes};
    *replica->entries_last = pending;
    replica->entries_last = &pending->next;
    if (replica->apply_retry.heap_index == TIMER_IDLE)
        schedule_apply(replica);
}
