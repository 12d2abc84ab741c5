/*
 * Entries that are no writes: those of users (deletions) and those that the shard asks for. A full
 * disk does not stop them: freezes, merges and deletions are what makes room.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "replica_private.h"

enum error_code replica_propose_bytes(struct replica *replica, const uint8_t *bytes, size_t size,
                                      struct group_request *request, struct error *error)
{
    uint8_t *payload = group_payload_create(size);
    if (payload == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "entry of %zu bytes", size);
    memcpy(payload, bytes, size);
    enum error_code code = group_propose(replica->group, request, payload, error);
    if (code != ERROR_NONE)
        group_payload_destroy(payload);
    return code;
}

/* --- Entries of others ---------------------------------------------------------------------- */

/* What comes behind a split in the log is not the child's. */
static bool is_as_known(struct replica *replica, struct replica_entry *entry)
{
    uint32_t splits = shard_split_count(replica->shard);
    if (entry->splits == UINT32_MAX)
        return true;
    if (entry->splits < splits)
        entry->moved_by_splits = splits;
    return entry->splits == splits && !shard_split_is_proposed(replica->shard);
}

static void receive_entry(struct task *task)
{
    struct replica_entry *entry =
        (struct replica_entry *)((char *)task - offsetof(struct replica_entry, task));
    struct replica *replica = entry->replica;
    struct batch *batch = calloc(1, sizeof *batch);
    if (!atomic_load(&replica->ready) || replica->closing || batch == NULL) {
        free(batch);
        replica_entry_answer(entry, "this shard has no leader here");
        return;
    }
    if (!is_as_known(replica, entry)) {
        free(batch);
        replica_entry_answer(entry, "the shard was split, or is being split");
        return;
    }
    *batch = (struct batch){
        .request = {.done = replica_batch_done, .space = GROUP_USES_RESERVE},
        .replica = replica,
        .entry = entry,
    };
    if (replica_propose_bytes(replica, entry->bytes.bytes, entry->bytes.size, &batch->request,
                              &entry->error) != ERROR_NONE) {
        free(batch);
        replica_entry_answer(entry, "the entry could not be proposed");
        return;
    }
    replica->in_flight++;
}

void replica_propose(struct replica *replica, struct replica_entry *entry)
{
    entry->replica = replica;
    entry->task.run = receive_entry;
    scheduler_post(loop_of(replica), &entry->task);
}

/* --- What the shard asks for ---------------------------------------------------------------- */

static void asked_done(struct group_request *request, enum group_outcome outcome)
{
    (void)outcome; /* the shard asks again when it still wants it */
    free(request);
}

bool replica_shard_asks(void *context, const uint8_t *entry, size_t size_bytes)
{
    struct replica *replica = context;
    struct error error;
    if (!atomic_load(&replica->ready))
        return false;
    struct group_request *request = calloc(1, sizeof *request);
    if (request == NULL)
        return false;
    request->done = asked_done;
    request->space = GROUP_USES_RESERVE;
    if (replica_propose_bytes(replica, entry, size_bytes, request, &error) == ERROR_NONE)
        return true;
    free(request);
    return false;
}
