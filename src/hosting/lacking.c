/*
 * Replicas that could not be opened at the start, since a series segment is damaged or gone:
 * opening, until another node has sent it. They take no part in their groups meanwhile: they have a
 * vote and entries that a majority may need, but don't know which id a series has.
 */
#include <string.h>

#include "base/log.h"
#include "hosting_private.h"

enum { WAIT_MS_MIN = 2000, WAIT_MS_MAX = 60 * 1000 };

bool resident_awaits_files(struct resident *resident)
{
    if (!replica_lacks_files(resident->replica))
        return false;
    if (!resident->is_lacking)
        atomic_fetch_add(&resident->loop->lacking, 1);
    resident->is_lacking = true;
    resident->state = RESIDENT_OPENING;
    resident->loop->has_missing = true;
    return true;
}

static void wait_longer(struct resident *resident)
{
    uint64_t wait_ms = resident->fetch_wait_ms * 2;
    resident->fetch_wait_ms = wait_ms < WAIT_MS_MIN   ? WAIT_MS_MIN
                              : wait_ms > WAIT_MS_MAX ? WAIT_MS_MAX
                                                      : wait_ms;
    resident->fetch_due_ms = loop_now_ms(resident->loop) + resident->fetch_wait_ms;
}

static void lacks_no_more(struct resident *resident)
{
    if (resident->is_lacking)
        atomic_fetch_sub(&resident->loop->lacking, 1);
    resident->is_lacking = false;
}

/* With what came, or with what somebody put there. */
static void start_again(struct resident *resident)
{
    struct hosting_loop *loop = resident->loop;
    struct error error;
    if (resident_start(resident, &error) == ERROR_NONE) {
        lacks_no_more(resident);
        loop->has_missing = true; /* counted anew */
        log_event(LOG_INFO, "hosting", "a replica that lacked files is open", "shard=%u",
                  resident->shard_id);
    } else if (resident_awaits_files(resident)) {
        wait_longer(resident);
    } else {
        loop->hosting->options.fatal(loop->hosting->options.context, &error);
    }
}

static void fetched(void *context, const struct error *error)
{
    struct resident *resident = context;
    struct hosting_loop *loop = resident->loop;
    resident->is_fetching = false;
    if (loop->closing || loop->journal_lost) {
        resident_close(resident);
    } else if (error->code == ERROR_NONE) {
        start_again(resident);
    } else {
        wait_longer(resident);
        log_event(LOG_WARNING, "hosting", "a replica lacks files that no other node sends yet",
                  "shard=%u error=\"%s\" next=\"%s\"", resident->shard_id, error->message,
                  "they are asked again; if they say for long that it is not found, put a sound "
                  "copy in its place, or empty this node's directory while it is down");
    }
}

/* Those that shall have the shard, as far as is known, be it from an earlier life. */
static void fetch(struct resident *resident)
{
    struct hosting_loop *loop = resident->loop;
    const struct cluster_shard *shard =
        loop->view == NULL
            ? NULL
            : cluster_state_find_shard(cluster_view_state(loop->view), resident->shard_id);
    struct error error;
    if (shard == NULL || loop_now_ms(loop) < resident->fetch_due_ms)
        return;
    enum error_code code = replica_fetch_files(resident->replica, shard->replicas.node_ids,
                                               shard->replicas.count, fetched, resident, &error);
    if (code == ERROR_OUT_OF_MEMORY)
        wait_longer(resident);
    else if (code != ERROR_NONE)
        loop->hosting->options.fatal(loop->hosting->options.context, &error);
    else
        resident->is_fetching = true;
}

void residents_fetch_files(struct hosting_loop *loop)
{
    for (struct resident *resident = loop->residents; resident != NULL; resident = resident->next)
        if (resident->is_lacking && !resident->is_fetching)
            fetch(resident);
}

bool resident_stop_fetching(struct resident *resident)
{
    if (!resident->is_lacking)
        return false;
    resident->is_fetching = false; /* the replica's close ends it */
    lacks_no_more(resident);
    resident->state = RESIDENT_RUNNING;
    return true;
}
