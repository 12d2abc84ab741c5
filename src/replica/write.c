/* From waiting writes to proposed entries: what a leading replica does. */
#include <stddef.h>
#include <stdlib.h>

#include "replica_private.h"

enum { ENTRY_BYTES_TARGET = 256 * 1024, ENTRIES_IN_FLIGHT_MAX = 2 };

/* --- Resolving ------------------------------------------------------------------------------ */

static void resolve_run(struct job *job)
{
    struct replica_write *write =
        (struct replica_write *)((char *)job - offsetof(struct replica_write, job));
    error_clear(&write->error);
    (void)shard_resolve(write->resolver, &write->write, &write->error); /* its code is kept */
}

static void resolve_done(struct job *job)
{
    struct replica_write *write =
        (struct replica_write *)((char *)job - offsetof(struct replica_write, job));
    struct replica *replica = write->replica;
    replica->resolving--;
    shard_resolver_destroy(write->resolver);
    write->resolver = NULL;
    if (write->error.code != ERROR_NONE || replica->closing) {
        shard_suspect_files(replica->shard, &write->error);
        if (write->error.code == ERROR_NONE)
            error_set(&write->error, ERROR_UNAVAILABLE, "shutting down");
        replica_answer(write);
        replica_close_shard_when_idle(replica);
        return;
    }
    replica_queue_push(&replica->waiting, write);
    replica_schedule_pump(replica);
}

static void start_resolving(struct replica *replica, struct replica_write *write)
{
    if (shard_resolver_create(replica->shard, &write->resolver, &write->error) != ERROR_NONE) {
        replica_answer(write);
        return;
    }
    write->job = (struct job){.run = resolve_run, .done = resolve_done, .class = JOB_STORAGE};
    replica->resolving++;
    scheduler_submit(loop_of(replica), &write->job);
}

/* --- Proposing ------------------------------------------------------------------------------ */

void replica_schedule_pump(struct replica *replica)
{
    if (replica->pump_scheduled || replica->closing)
        return;
    replica->pump_scheduled = true;
    scheduler_defer(loop_of(replica), &replica->pump_task);
}

void replica_batch_done(struct group_request *request, enum group_outcome outcome)
{
    struct batch *batch = (struct batch *)request;
    struct replica *replica = batch->replica;
    replica->in_flight--;
    if (replica->closing) {
        replica_batch_finish(batch, "shutting down");
        return;
    }
    if (outcome == GROUP_OUTCOME_COMMITTED) {
        batch->index = request->index;
        batch->next = NULL;
        *replica->committed_last = batch;
        replica->committed_last = &batch->next;
        replica_acknowledge(replica);
    } else {
        replica_batch_finish(batch, "leadership was lost before the write was acknowledged");
    }
    replica_schedule_pump(replica);
}

/* Move waiting writes into the entry until it is large enough; returns those in it. */
static struct replica_write *fill_entry(struct replica *replica, bool *has_content)
{
    struct replica_write *writes = NULL;
    struct replica_write **last = &writes;
    *has_content = false;
    shard_prepare_begin(replica->shard, &replica->entry);
    while (replica->waiting.first != NULL && replica->entry.size < ENTRY_BYTES_TARGET) {
        struct replica_write *write = replica_queue_pop(&replica->waiting);
        bool added = false;
        if (shard_needs_resolving(replica->shard, &write->write)) {
            start_resolving(replica, write);
            continue;
        }
        error_clear(&write->error);
        if (shard_prepare_write(replica->shard, &write->write, &replica->entry, &added,
                                &write->error) != ERROR_NONE) {
            replica_answer(write);
            continue;
        }
        if (!added) {
            replica_answer(write); /* everything is stored already, or was refused */
            continue;
        }
        *has_content = true;
        write->next = NULL;
        *last = write;
        last = &write->next;
    }
    return writes;
}

void replica_pump(struct task *task)
{
    struct replica *replica =
        (struct replica *)((char *)task - offsetof(struct replica, pump_task));
    replica->pump_scheduled = false;
    while (atomic_load(&replica->ready) && !replica->closing &&
           replica->in_flight < ENTRIES_IN_FLIGHT_MAX && replica->waiting.first != NULL) {
        bool has_content;
        struct replica_write *writes = fill_entry(replica, &has_content);
        if (!has_content)
            continue;
        struct error error;
        struct batch *batch = calloc(1, sizeof *batch);
        enum error_code code = ERROR_NONE;
        if (batch == NULL) {
            code = error_set(&error, ERROR_OUT_OF_MEMORY, "batch");
        } else {
            *batch = (struct batch){
                .request.done = replica_batch_done, .replica = replica, .writes = writes};
            code = replica_propose_bytes(replica, replica->entry.bytes, replica->entry.size,
                                         &batch->request, &error);
        }
        if (code != ERROR_NONE) {
            shard_prepare_cancel(replica->shard);
            struct batch failed = {.writes = writes};
            while (failed.writes != NULL) {
                struct replica_write *next = failed.writes->next;
                replica_answer_unavailable(failed.writes, error.message);
                failed.writes = next;
            }
            free(batch);
            return;
        }
        replica->in_flight++;
    }
    if (!atomic_load(&replica->ready))
        replica_refuse_waiting(replica, "this shard has no leader here");
}

/* --- Receiving ------------------------------------------------------------------------------ */

static void receive(struct task *task)
{
    struct replica_write *write =
        (struct replica_write *)((char *)task - offsetof(struct replica_write, task));
    struct replica *replica = write->replica;
    if (!atomic_load(&replica->ready) || replica->closing) {
        replica_answer_unavailable(write, replica->closing ? "shutting down"
                                                           : "this shard has no leader here");
        return;
    }
    replica_queue_push(&replica->waiting, write);
    replica_schedule_pump(replica);
}

static size_t write_size(const struct shard_write *write)
{
    return write->float_count * 32 + write->new_series_count * 256 + write->histogram_count * 512 +
           write->exemplar_count * 128 + write->metadata_count * 128 + sizeof *write;
}

void replica_write(struct replica *replica, struct replica_write *write)
{
    struct replica_node *node = replica->options.node;
    write->replica = replica;
    write->resolver = NULL;
    write->size_bytes = write_size(&write->write);
    error_clear(&write->error);
    uint64_t queued =
        atomic_fetch_add_explicit(&node->queued_bytes, write->size_bytes, memory_order_relaxed);
    if (queued + write->size_bytes > node->queued_bytes_max) {
        replica_answer_unavailable(write, "too many writes wait for the log");
        return;
    }
    write->task.run = receive;
    scheduler_post(loop_of(replica), &write->task);
}
