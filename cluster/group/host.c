#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "group_private.h"
#include "journal/replay.h"

enum {
    HEARTBEAT_MS_DEFAULT = 250,
    ELECTION_MS_DEFAULT = 1500,
    IN_FLIGHT_BYTES_DEFAULT = 4 * 1024 * 1024,
    SNAPSHOT_LOG_BYTES_DEFAULT = 2 * 1024 * 1024,
};

/* One timer for all groups: their heartbeats leave together. */
static void host_tick(struct timer *timer)
{
    struct group_host *host =
        (struct group_host *)((char *)timer - offsetof(struct group_host, tick));
    scheduler_timer_start(host->options.environment->scheduler, &host->tick,
                          host->options.heartbeat_ms);
    group_host_replay_drop(host);
    /* A tick ends no group: closing is done from tasks. */
    for (struct group *group = host->groups; group != NULL; group = group->next)
        group_tick(group);
}

enum error_code group_host_create(const struct group_host_options *options,
                                  struct group_host **host_out, struct error *error)
{
    assert(options->environment != NULL);
    if (options->journal == NULL || options->node_id == 0)
        return error_set(error, ERROR_INVALID, "group host: journal or node id missing");

    struct group_host *host = calloc(1, sizeof *host);
    if (host == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "group host");
    host->options = *options;
    struct group_host_options *own = &host->options;
    if (own->heartbeat_ms == 0)
        own->heartbeat_ms = HEARTBEAT_MS_DEFAULT;
    if (own->election_ms == 0)
        own->election_ms = ELECTION_MS_DEFAULT;
    if (own->in_flight_bytes_max == 0)
        own->in_flight_bytes_max = IN_FLIGHT_BYTES_DEFAULT;
    if (own->snapshot_log_bytes == 0)
        own->snapshot_log_bytes = SNAPSHOT_LOG_BYTES_DEFAULT;
    if (own->heartbeat_ms >= own->election_ms || own->election_ms > 3600 * 1000) {
        free(host);
        return error_set(error, ERROR_INVALID, "group host: heartbeat not below election");
    }

    host->tick = (struct timer){.fire = host_tick, .heap_index = TIMER_IDLE};
    scheduler_timer_start(own->environment->scheduler, &host->tick, own->heartbeat_ms);
    *host_out = host;
    return ERROR_NONE;
}

uint64_t group_host_node_id(const struct group_host *host)
{
    return host->options.node_id;
}

void group_host_destroy(struct group_host *host)
{
    if (host == NULL)
        return;
    assert(host->groups == NULL);
    journal_replay_destroy(host->replay);
    scheduler_timer_stop(host->options.environment->scheduler, &host->tick);
    free(host);
}

/* --- Groups -------------------------------------------------------------------------------- */

static struct group **bucket_of(struct group_host *host, uint64_t group_id)
{
    return &host->buckets[group_id % HOST_BUCKETS];
}

struct group *group_host_find(const struct group_host *host, uint64_t group_id)
{
    struct group *group = host->buckets[group_id % HOST_BUCKETS];
    while (group != NULL && group->id != group_id)
        group = group->next_in_bucket;
    return group;
}

void group_host_add(struct group_host *host, struct group *group)
{
    struct group **bucket = bucket_of(host, group->id);
    group->next_in_bucket = *bucket;
    *bucket = group;
    group->next = host->groups;
    host->groups = group;
}

void group_host_remove(struct group_host *host, struct group *group)
{
    struct group **link = bucket_of(host, group->id);
    while (*link != group)
        link = &(*link)->next_in_bucket;
    *link = group->next_in_bucket;
    link = &host->groups;
    while (*link != group)
        link = &(*link)->next;
    *link = group->next;
}

/* --- From the transport -------------------------------------------------------------------- */

void group_host_receive(struct group_host *host, uint64_t group_id, uint64_t from_node,
                        const uint8_t *bytes, size_t size_bytes)
{
    assert(scheduler_on_loop(host->options.environment->scheduler));
    struct group *group = group_host_find(host, group_id);
    if (group != NULL)
        group_receive(group, from_node, bytes, size_bytes);
    else
        host->statistics.messages_dropped++;
}

static bool takes_part(const struct group *group)
{
    return group->phase == GROUP_PHASE_RUNNING;
}

void group_host_peer_lost(struct group_host *host, uint64_t node_id)
{
    for (struct group *group = host->groups; group != NULL; group = group->next)
        if (takes_part(group))
            consensus_peer_lost(group->consensus, node_id);
}

void group_host_peer_drained(struct group_host *host, uint64_t node_id)
{
    for (struct group *group = host->groups; group != NULL; group = group->next)
        if (takes_part(group))
            consensus_peer_drained(group->consensus, node_id);
}

void group_host_statistics(const struct group_host *host, struct group_statistics *out)
{
    *out = host->statistics;
    for (const struct group *group = host->groups; group != NULL; group = group->next) {
        struct group_status status;
        group_status(group, &status);
        out->in_flight_bytes += status.in_flight_bytes;
        out->log_bytes += status.log_bytes;
    }
}

void group_host_journal_lost(struct group_host *host)
{
    host->journal_lost = true;
    for (struct group *group = host->groups; group != NULL; group = group->next) {
        if (group->phase == GROUP_PHASE_RUNNING)
            group->phase = GROUP_PHASE_STOPPED;
        else if (group->phase == GROUP_PHASE_CLOSING)
            group_wake(group); /* waits for writes that will never end */
    }
}
