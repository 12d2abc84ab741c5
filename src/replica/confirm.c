/*
 * Reads that must see all that any leader acknowledged before: a round of heartbeats proves that
 * there is no newer leader, and what was committed by then is waited for.
 */
#include <stddef.h>

#include "replica_private.h"

static bool is_applied(const struct replica *replica, uint64_t index)
{
    /* What is committed was handed over before the round was answered. */
    return replica->entries == NULL || replica->entries->index > index;
}

static void answer(struct replica_confirm *confirm, const char *failure)
{
    struct error error;
    error_clear(&error);
    if (failure != NULL)
        error_set(&error, ERROR_UNAVAILABLE, "%s", failure);
    confirm->done(confirm, &error);
}

void replica_confirm_answer(struct replica *replica, const char *failure)
{
    struct replica_confirm **link = &replica->confirmed;
    while (*link != NULL) {
        struct replica_confirm *confirm = *link;
        if (failure == NULL && !is_applied(replica, confirm->request.index)) {
            link = &confirm->next;
            continue;
        }
        *link = confirm->next;
        answer(confirm, failure);
    }
}

static void round_over(struct group_request *request, enum group_outcome outcome)
{
    struct replica_confirm *confirm =
        (struct replica_confirm *)((char *)request - offsetof(struct replica_confirm, request));
    struct replica *replica = confirm->replica;
    if (outcome != GROUP_OUTCOME_COMMITTED || replica->closing || replica->stopped) {
        answer(confirm, "this replica does not lead any more");
        return;
    }
    if (is_applied(replica, request->index)) {
        answer(confirm, NULL);
        return;
    }
    confirm->next = replica->confirmed;
    replica->confirmed = confirm;
}

static void receive(struct task *task)
{
    struct replica_confirm *confirm =
        (struct replica_confirm *)((char *)task - offsetof(struct replica_confirm, task));
    struct replica *replica = confirm->replica;
    struct error error;
    if (!atomic_load(&replica->ready) || replica->closing) {
        answer(confirm, "this replica does not lead");
        return;
    }
    confirm->request = (struct group_request){.done = round_over};
    if (group_confirm_lead(replica->group, &confirm->request, &error) != ERROR_NONE)
        answer(confirm, error.message);
}

void replica_confirm(struct replica *replica, struct replica_confirm *confirm)
{
    confirm->replica = replica;
    confirm->task.run = receive;
    scheduler_post(loop_of(replica), &confirm->task);
}
