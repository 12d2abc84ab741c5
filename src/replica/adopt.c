/*
 * A shard that can't write what is frozen goes on with the state of its leader (shard_needs_state,
 * docs/decisions/0034). All of the log is here, and stays: only what the shard made of it is
 * behind.
 *
 *   idle -> fetching (the leader's manifest) -> preparing (files) -> ready -> writing -> idle
 *    ^__________________________________________________________________|
 *        it is not needed any more, or the leader is another one
 */
#include <assert.h>
#include <stddef.h>

#include "base/log.h"

#include "replica_private.h"

enum { WAIT_MS_MIN = 2000, WAIT_MS_MAX = 60 * 1000 };

static uint64_t now_ms(const struct replica *replica)
{
    return clock_monotonic_ms(replica->options.environment->clock);
}

static void wait_longer(struct replica *replica)
{
    struct adoption *adoption = &replica->adoption;
    adoption->phase = ADOPTION_IDLE;
    if (adoption->wait_ms == 0)
        adoption->wait_ms = WAIT_MS_MIN;
    adoption->due_ms = now_ms(replica) + adoption->wait_ms;
    adoption->wait_ms = adoption->wait_ms * 2 < WAIT_MS_MAX ? adoption->wait_ms * 2 : WAIT_MS_MAX;
}

void replica_adoption_end(struct replica *replica)
{
    struct adoption *adoption = &replica->adoption;
    if (adoption->phase != ADOPTION_PREPARING && adoption->phase != ADOPTION_READY &&
        adoption->phase != ADOPTION_WRITING)
        return; /* a manifest on its way is looked at when it is here */
    byte_buffer_clear(&adoption->manifest);
    adoption->phase = ADOPTION_IDLE;
}

/* --- Preparing ------------------------------------------------------------------------------ */

static void prepared(void *context, const struct error *error)
{
    struct replica *replica = context;
    replica->install_is_ready = error->code == ERROR_NONE;
    if (replica->install_is_ready) {
        replica->adoption.phase = ADOPTION_READY;
        return;
    }
    log_event(LOG_WARNING, "replica", "the state of the leader can't be had yet",
              "shard=%u error=\"%s\"", replica->options.shard.shard_id, error->message);
    replica_drop_install(replica);
    wait_longer(replica);
}

static void prepare(struct replica *replica)
{
    struct adoption *adoption = &replica->adoption;
    struct error error;
    replica->install_index = adoption->fetch.frozen_index;
    if (shard_install_begin(replica->shard, adoption->manifest.bytes, adoption->manifest.size,
                            prepared, replica, &replica->install, &error) == ERROR_NONE) {
        adoption->phase = ADOPTION_PREPARING;
        return;
    }
    byte_buffer_clear(&adoption->manifest);
    wait_longer(replica);
}

static void fetched(struct shard_state_fetch *fetch, const struct error *error)
{
    struct replica *replica =
        (struct replica *)((char *)fetch - offsetof(struct replica, adoption.fetch));
    struct adoption *adoption = &replica->adoption;
    adoption->manifest = fetch->manifest;
    fetch->manifest = (struct byte_buffer){0};
    bool is_wanted = error->code == ERROR_NONE && !replica->closing && !replica->stopped &&
                     replica->install == NULL && fetch->frozen_index > replica->applied_index &&
                     shard_needs_state(replica->shard);
    if (is_wanted) {
        prepare(replica);
        return;
    }
    byte_buffer_clear(&adoption->manifest);
    wait_longer(replica);
}

/* --- Asking --------------------------------------------------------------------------------- */

/* Of the leader alone: what it has frozen is committed in this term's log, which is ours too. */
static void ask(struct replica *replica, const struct group_status *status)
{
    struct adoption *adoption = &replica->adoption;
    uint64_t beyond_index = replica->applied_index;
    if (status->state != GROUP_STATE_FOLLOWER || status->leader_id == 0 || status->installing ||
        replica->install != NULL)
        return;
    /* What was read back to be replayed, handed over or not, can't follow a state that lies within
     * it: it is not in memory. */
    if (status->base_index > beyond_index + 1)
        beyond_index = status->base_index - 1;
    log_event(LOG_WARNING, "replica",
              "a freeze can't be written for a damaged file: the state of the leader is asked for",
              "shard=%u applied=%llu leader=%llu", replica->options.shard.shard_id,
              (unsigned long long)replica->applied_index, (unsigned long long)status->leader_id);
    adoption->phase = ADOPTION_FETCHING;
    adoption->term = status->term;
    adoption->leader_id = status->leader_id;
    adoption->fetch.done = fetched;
    shard_fetch_state(replica->shard, &adoption->fetch, status->leader_id, beyond_index);
}

/* --- Taking over ---------------------------------------------------------------------------- */

static void take_over(struct replica *replica, const struct group_status *status)
{
    struct adoption *adoption = &replica->adoption;
    struct error error; /* it is not the moment, and comes again */
    if (!shard_needs_state(replica->shard) || status->term != adoption->term ||
        status->leader_id != adoption->leader_id ||
        replica->install_index <= replica->applied_index ||
        replica->install_index < status->base_index) {
        replica_drop_install(replica);
        wait_longer(replica);
        return;
    }
    if (group_adopt(replica->group, replica->install_index, adoption->manifest.bytes,
                    adoption->manifest.size, &error) != ERROR_NONE)
        return;
    adoption->phase = ADOPTION_WRITING;
    replica_drop_entries(replica);
}

void replica_adoption_tend(struct replica *replica)
{
    struct adoption *adoption = &replica->adoption;
    struct group_status status;
    if (replica->closing || replica->stopped)
        return;
    group_status(replica->group, &status);
    switch (adoption->phase) {
    case ADOPTION_IDLE:
        if (!shard_needs_state(replica->shard))
            adoption->wait_ms = WAIT_MS_MIN;
        else if (now_ms(replica) >= adoption->due_ms)
            ask(replica, &status);
        return;
    case ADOPTION_READY:
        take_over(replica, &status);
        return;
    case ADOPTION_FETCHING:
    case ADOPTION_PREPARING:
    case ADOPTION_WRITING:
        return; /* something is under way, and tells */
    }
}

void replica_adoption_cancel(struct replica *replica)
{
    if (replica->adoption.phase == ADOPTION_FETCHING)
        shard_cancel_state_fetch(&replica->adoption.fetch);
}
