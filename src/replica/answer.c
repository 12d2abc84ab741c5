/* Answers: each write and each entry gets exactly one, on the loop it came from. */
#include <stddef.h>
#include <stdlib.h>

#include "replica_private.h"

/* --- Writes --------------------------------------------------------------------------------- */

static void answer_task(struct task *task)
{
    struct replica_write *write =
        (struct replica_write *)((char *)task - offsetof(struct replica_write, task));
    write->done(write);
}

void replica_answer(struct replica_write *write)
{
    atomic_fetch_sub_explicit(&write->replica->options.node->queued_bytes, write->size_bytes,
                              memory_order_relaxed);
    shard_resolver_destroy(write->resolver);
    write->resolver = NULL;
    write->index = write->replica->applied_index;
    /* A rotten file, say: it may be mended by then, or another replica lead. */
    if (write->error.code != ERROR_NONE && write->error.code != ERROR_OUT_OF_MEMORY)
        write->error.code = ERROR_UNAVAILABLE;
    write->task.run = answer_task;
    scheduler_post(write->origin, &write->task);
}

void replica_answer_unavailable(struct replica_write *write, const char *why)
{
    error_set(&write->error, ERROR_UNAVAILABLE, "%s", why);
    replica_answer(write);
}

void replica_queue_push(struct write_queue *queue, struct replica_write *write)
{
    write->next = NULL;
    *queue->last = write;
    queue->last = &write->next;
}

struct replica_write *replica_queue_pop(struct write_queue *queue)
{
    struct replica_write *write = queue->first;
    if (write == NULL)
        return NULL;
    queue->first = write->next;
    if (queue->first == NULL)
        queue->last = &queue->first;
    return write;
}

void replica_refuse_waiting(struct replica *replica, const char *why)
{
    struct replica_write *write;
    while ((write = replica_queue_pop(&replica->waiting)) != NULL)
        replica_answer_unavailable(write, why);
}

/* --- Entries of others ---------------------------------------------------------------------- */

static void entry_answer_task(struct task *task)
{
    struct replica_entry *entry =
        (struct replica_entry *)((char *)task - offsetof(struct replica_entry, task));
    entry->done(entry);
}

void replica_entry_answer(struct replica_entry *entry, const char *failure)
{
    error_clear(&entry->error);
    if (failure != NULL)
        error_set(&entry->error, ERROR_UNAVAILABLE, "%s", failure);
    entry->index = entry->replica->applied_index;
    entry->task.run = entry_answer_task;
    scheduler_post(entry->origin, &entry->task);
}

/* --- Batches -------------------------------------------------------------------------------- */

void replica_batch_finish(struct batch *batch, const char *failure)
{
    if (batch->entry != NULL)
        replica_entry_answer(batch->entry, failure);
    struct replica_write *write = batch->writes;
    while (write != NULL) {
        struct replica_write *next = write->next;
        if (failure != NULL)
            replica_answer_unavailable(write, failure);
        else
            replica_answer(write);
        write = next;
    }
    free(batch);
}

static bool was_refused(const struct replica *replica, uint64_t index)
{
    for (size_t i = 0; i < replica->refused_count && i < REFUSED_KEPT; i++)
        if (replica->refused[i] == index)
            return true;
    return false;
}

/* Answer what is committed and applied. */
void replica_acknowledge(struct replica *replica)
{
    while (replica->committed != NULL && replica->committed->index <= replica->applied_index) {
        struct batch *batch = replica->committed;
        replica->committed = batch->next;
        if (replica->committed == NULL)
            replica->committed_last = &replica->committed;
        replica_batch_finish(batch, was_refused(replica, batch->index)
                                        ? "the log refused the entry: send it again"
                                        : NULL);
    }
}
