#include "replica/replica.h"

#include <assert.h>
#include <stdlib.h>

#include "replica_private.h"

/* --- Life ----------------------------------------------------------------------------------- */

static void replica_free(struct replica *replica)
{
    while (replica->entries != NULL) {
        struct pending_entry *next = replica->entries->next;
        free(replica->entries);
        replica->entries = next;
    }
    while (replica->spare_entries != NULL) {
        struct pending_entry *next = replica->spare_entries->next;
        free(replica->spare_entries);
        replica->spare_entries = next;
    }
    byte_buffer_clear(&replica->entry);
    byte_buffer_clear(&replica->adoption.manifest);
    byte_buffer_clear(&replica->stored_state);
    free(replica);
}

enum error_code replica_create(const struct replica_options *options, struct replica **replica_out,
                               struct error *error)
{
    struct replica *replica = calloc(1, sizeof *replica);
    if (replica == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "replica");
    replica->state_machine.operations = &REPLICA_MACHINE_OPERATIONS;
    replica->options = *options;
    replica->entries_last = &replica->entries;
    replica->waiting.last = &replica->waiting.first;
    replica->committed_last = &replica->committed;
    replica->apply_task.run = replica_apply_run;
    replica->pump_task.run = replica_pump;
    replica->apply_retry = (struct timer){.fire = replica_apply_again, .heap_index = TIMER_IDLE};
    replica->upkeep = (struct timer){.fire = replica_upkeep, .heap_index = TIMER_IDLE};
    replica->install_task.run = replica_install_failed;
    const struct shard_peers peers = {
        .fetcher = options->fetcher,
        .group_id = options->group_id,
        .context = replica,
        .nodes = replica_nodes,
    };
    struct shard_options shard_options = options->shard;
    shard_options.environment = options->environment;
    shard_options.peers = &peers;
    shard_options.proposer = (struct shard_proposer){
        .context = replica, .propose = replica_shard_asks, .durable = replica_shard_durable};
    struct group_options group_options = {
        .group_id = options->group_id,
        .recovery = options->recovery,
        .founders = options->founders,
        .founder_count = options->founder_count,
        .promise = options->promise,
        .origin_index = options->origin_index,
        .origin_state = options->origin_state,
        .origin_bytes = options->origin_bytes,
    };
    enum error_code code = shard_create(&shard_options, &replica->shard, error);
    if (code == ERROR_NONE)
        code = group_create(options->host, &group_options, &replica->state_machine, &replica->group,
                            error);
    if (code != ERROR_NONE) {
        shard_destroy(replica->shard);
        replica_free(replica);
        return code;
    }
    *replica_out = replica;
    return ERROR_NONE;
}

enum error_code replica_start(struct replica *replica, struct error *error)
{
    enum error_code code = group_start(replica->group, error);
    if (code != ERROR_NONE)
        return code;
    byte_buffer_clear(&replica->stored_state);
    struct group_status status;
    group_status(replica->group, &status);
    replica->replay_first_index = replica->applied_index + 1;
    if (status.last_index > replica->applied_index)
        replica->replay_entries = status.last_index - replica->applied_index;
    if (replica->replay_entries > 0)
        shard_replay_begin(replica->shard);
    scheduler_timer_start(loop_of(replica), &replica->upkeep, SHOW_MS);
    return ERROR_NONE;
}

static void shard_closed(void *context)
{
    struct replica *replica = context;
    void (*closed)(void *) = replica->closed;
    void *closed_context = replica->closed_context;
    replica_free(replica);
    closed(closed_context);
}

/* Look-ups in files hold pieces of the shard. */
void replica_close_shard_when_idle(struct replica *replica)
{
    if (replica->group_gone && replica->resolving == 0)
        shard_close(replica->shard, shard_closed, replica);
}

static void group_closed(void *context)
{
    struct replica *replica = context;
    replica->group_gone = true;
    replica_close_shard_when_idle(replica);
}

static void end_waiting(struct replica *replica)
{
    replica_refuse_waiting(replica, "shutting down");
    while (replica->committed != NULL) {
        struct batch *batch = replica->committed;
        replica->committed = batch->next;
        replica_batch_finish(batch, "shutting down");
    }
    replica->committed_last = &replica->committed;
    replica_confirm_answer(replica, "shutting down");
}

void replica_step_down(struct replica *replica)
{
    if (replica->closing)
        return;
    group_step_down(replica->group);
    end_waiting(replica);
}

struct consensus_promise replica_promise(const struct replica *replica)
{
    return group_promise(replica->group);
}

void replica_close(struct replica *replica, void (*closed)(void *context), void *context)
{
    assert(!replica->closing);
    replica->closing = true;
    atomic_store(&replica->ready, false);
    replica->closed = closed;
    replica->closed_context = context;
    scheduler_timer_stop(loop_of(replica), &replica->upkeep);
    scheduler_timer_stop(loop_of(replica), &replica->apply_retry);
    end_waiting(replica);
    replica_adoption_cancel(replica);
    replica_stop_fetching(replica);
    group_close(replica->group, group_closed, replica);
}

/* --- State ---------------------------------------------------------------------------------- */

struct scheduler *replica_scheduler(const struct replica *replica)
{
    return loop_of(replica);
}

struct shard *replica_shard(struct replica *replica)
{
    return replica->shard;
}

bool replica_is_ready(const struct replica *replica)
{
    return atomic_load(&replica->ready);
}

bool replica_is_stored(const struct replica *replica)
{
    return replica->is_stored;
}

void replica_flush(struct replica *replica, struct shard_flush *flush)
{
    shard_flush(replica->shard, flush);
}

struct replica_replay replica_replay(const struct replica *replica)
{
    return (struct replica_replay){.entries = replica->replay_entries,
                                   .applied = atomic_load(&replica->replayed_entries)};
}

struct group *replica_group(struct replica *replica)
{
    return replica->group;
}

void replica_group_status(const struct replica *replica, struct group_status *status_out)
{
    group_status(replica->group, status_out);
}
