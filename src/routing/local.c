/* What the replica of this node does itself: nothing is encoded, and it is held meanwhile. */
#include "routing_private.h"

struct replica *local_hold_leader(struct routing *routing, uint32_t shard_id)
{
    struct replica *replica = replica_table_hold(routing->options.table, shard_id);
    if (replica == NULL || replica_is_ready(replica))
        return replica;
    replica_table_release(routing->options.table, shard_id);
    return NULL;
}

uint64_t local_leader(struct routing *routing, uint32_t shard_id)
{
    struct replica *replica = replica_table_hold(routing->options.table, shard_id);
    if (replica == NULL)
        return 0;
    uint64_t leader_id = replica_leader(replica);
    replica_table_release(routing->options.table, shard_id);
    return leader_id == routing->options.node_id ? 0 : leader_id;
}

/* --- Ends ------------------------------------------------------------------------------------ */

static void end(struct routing *routing, const struct call *call, const struct error *error,
                uint64_t index)
{
    replica_table_release(routing->options.table, call->shard_id);
    if (error->code == ERROR_NONE)
        call_note(routing, call, routing->options.node_id, index);
    call_end(routing, call, error);
}

static void write_done(struct replica_write *write)
{
    const struct call call = {QUESTION_WRITE, write->way.shard_id, {.write = write}};
    write->done = write->way.done;
    call_note_splits((struct routing *)write->way.router, call.shard_id,
                     write->write.moved_by_splits);
    end((struct routing *)write->way.router, &call, &write->error, write->index);
}

static void entry_done(struct replica_entry *entry)
{
    const struct call call = {QUESTION_PROPOSE, entry->way.shard_id, {.entry = entry}};
    entry->done = entry->way.done;
    call_note_splits((struct routing *)entry->way.router, call.shard_id, entry->moved_by_splits);
    end((struct routing *)entry->way.router, &call, &entry->error, entry->index);
}

/* --- Flushes, which run on the loop of the replica ------------------------------------------- */

static void flush_ended(struct task *task)
{
    struct routing_flush *flush =
        (struct routing_flush *)((char *)task - offsetof(struct routing_flush, task));
    const struct call call = {QUESTION_FLUSH, flush->shard_id, {.flush = flush}};
    end(flush->routing, &call, &flush->error, 0);
}

static void flush_done(struct shard_flush *done, const struct error *error)
{
    struct routing_flush *flush =
        (struct routing_flush *)((char *)done - offsetof(struct routing_flush, flush));
    const struct routing_options *options = &flush->routing->options;
    flush->error = *error;
    if (error->code == ERROR_NONE && options->flushed != NULL)
        options->flushed(options->context, flush->shard_id, flush->replica);
    flush->task.run = flush_ended;
    scheduler_post(options->scheduler, &flush->task);
}

static void flush_begin(struct task *task)
{
    struct routing_flush *flush =
        (struct routing_flush *)((char *)task - offsetof(struct routing_flush, task));
    flush->flush = (struct shard_flush){.done = flush_done, .reach = flush->reach};
    if (!replica_is_ready(flush->replica)) { /* any more */
        struct error error;
        error_set(&error, ERROR_UNAVAILABLE, "this shard has no leader here");
        flush_done(&flush->flush, &error);
        return;
    }
    replica_flush(flush->replica, &flush->flush);
}

/* --- Tenants, looked at there too ------------------------------------------------------------ */

static void tenant_ended(struct task *task)
{
    struct routing_tenant *asked =
        (struct routing_tenant *)((char *)task - offsetof(struct routing_tenant, task));
    const struct call call = {QUESTION_TENANT, asked->shard_id, {.tenant = asked}};
    end(asked->routing, &call, &asked->error, 0);
}

static void tenant_look(struct task *task)
{
    struct routing_tenant *asked =
        (struct routing_tenant *)((char *)task - offsetof(struct routing_tenant, task));
    if (replica_is_ready(asked->replica))
        shard_read_tenant_state(replica_shard(asked->replica), asked->tenant, &asked->state);
    else
        error_set(&asked->error, ERROR_UNAVAILABLE, "this shard has no leader here");
    asked->task.run = tenant_ended;
    scheduler_post(asked->routing->options.scheduler, &asked->task);
}

/* --- Running --------------------------------------------------------------------------------- */

void local_run(struct routing *routing, const struct call *call, struct replica *replica)
{
    if (call->kind == QUESTION_WRITE) {
        struct replica_write *write = call->write;
        write->way.done = write->done;
        write->done = write_done;
        write->origin = routing->options.scheduler;
        replica_write(replica, write);
    } else if (call->kind == QUESTION_PROPOSE) {
        struct replica_entry *entry = call->entry;
        entry->way.done = entry->done;
        entry->done = entry_done;
        entry->origin = routing->options.scheduler;
        replica_propose(replica, entry);
    } else if (call->kind == QUESTION_TENANT) {
        call->tenant->replica = replica;
        call->tenant->task.run = tenant_look;
        scheduler_post(replica_scheduler(replica), &call->tenant->task);
    } else {
        call->flush->replica = replica;
        call->flush->task.run = flush_begin;
        scheduler_post(replica_scheduler(replica), &call->flush->task);
    }
}
