#include "meta/meta.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "meta_private.h"

enum {
    TICK_MS = 1000,
    ALIVE_MS = 3000,
    TAKEOVER_MS = 5000,
    VERSION_SETTLE_MS = 30000,
    REPLACE_AFTER_MS = 30 * 60 * 1000,
    CAUGHT_UP_BYTES = 4 * 1024 * 1024,
    MOVES_TOTAL = 8,
    MOVES_PER_NODE = 2,
    TRANSFERS_TOTAL = 4,
    TRANSFER_PAUSE_MS = 30 * 1000,
    SEEKS_PER_TICK = 4,
    HAND_OVER_MS = 2000,
    LOG_INTERVAL_MS = 10000,
};

/* --- Small questions ------------------------------------------------------------------------- */

uint64_t meta_now_ms(const struct meta *meta)
{
    return clock_monotonic_ms(meta->options.environment->clock);
}

const struct meta_events *meta_events_of(const struct meta *meta)
{
    return meta->options.events;
}

bool meta_is_closing(const struct meta *meta)
{
    return meta->phase == META_PHASE_CLOSING;
}

bool meta_leads(const struct meta *meta)
{
    struct group_status status;
    if (meta->group == NULL || meta->leadership == NULL || meta->is_group_closing)
        return false;
    group_status(meta->group, &status);
    return status.ready;
}

uint64_t meta_leader(const struct meta *meta)
{
    struct group_status status = {0};
    if (meta->group != NULL && !meta->is_group_closing)
        group_status(meta->group, &status);
    return status.leader_id != 0 ? status.leader_id : meta->leader_told;
}

void meta_wake(struct meta *meta)
{
    if (meta->phase != META_PHASE_CLOSING)
        scheduler_timer_start(meta->scheduler, &meta->tick, 0);
}

void meta_report_waiting(struct meta *meta, const char *what, const char *why)
{
    char quoted[512];
    uint64_t suppressed;
    if (log_limit_allow(&meta->log, (int64_t)meta_now_ms(meta), &suppressed))
        log_event(LOG_WARNING, "meta", what, "node=%s reason=%s suppressed=%llu",
                  meta->options.identity.name, log_quote(quoted, sizeof quoted, text_of(why)),
                  (unsigned long long)suppressed);
}

void meta_dismiss(struct meta *meta, const char *reason)
{
    char quoted[512];
    if (meta->phase != META_PHASE_MEMBER)
        return;
    meta->phase = META_PHASE_DISMISSED;
    log_event(LOG_WARNING, "meta", "dismissed", "node=%s reason=%s", meta->options.identity.name,
              log_quote(quoted, sizeof quoted, text_of(reason)));
    if (meta_events_of(meta)->dismissed != NULL)
        meta_events_of(meta)->dismissed(meta->options.context, reason);
}

/* --- Identity ------------------------------------------------------------------------------ */

static void store(struct meta *meta)
{
    meta->is_storing = true;
    meta_events_of(meta)->store_identity(meta->options.context, meta->stored.bytes,
                                         meta->stored.size);
}

void meta_decide(struct meta *meta, const uint8_t cluster_id[CLUSTER_ID_BYTES], uint64_t node_id,
                 struct bytes founding)
{
    assert(meta->phase == META_PHASE_SEEKING && node_id != 0);
    struct stored_identity stored = {
        .node_id = node_id,
        .identity = meta->options.identity,
        .founding = founding,
    };
    memcpy(stored.cluster_id, cluster_id, CLUSTER_ID_BYTES);
    byte_buffer_reset(&meta->stored);
    byte_buffer_reset(&meta->founding);
    stored_identity_encode(&stored, &meta->stored);
    byte_buffer_append(&meta->founding, founding.data, founding.size);
    if (meta->stored.failed || meta->founding.failed) {
        meta->stored.failed = meta->founding.failed = false;
        meta_report_waiting(meta, "identity", "out of memory");
        return; /* decided again at the next tick */
    }
    meta->founds_now = founding.size > 0 && meta->options.directory == META_DIRECTORY_NEW;
    meta->phase = META_PHASE_STORING;
    memcpy(meta->cluster_id, cluster_id, CLUSTER_ID_BYTES);
    meta->node_id = node_id;
    meta->waiting_for[0] = '\0';
    meta_wake(meta);
}

void meta_stored(struct meta *meta, const struct error *error)
{
    if (meta->phase != META_PHASE_STORING)
        return; /* closing */
    meta->is_storing = false;
    if (error != NULL && error->code != ERROR_NONE) {
        meta_report_waiting(meta, "identity not stored", error->message);
        return; /* again at the next tick */
    }
    meta->is_stored = true;
    meta->phase = META_PHASE_STARTING;
    meta_wake(meta);
}

/* --- The group ----------------------------------------------------------------------------- */

/* At founders, the members that the founding entry names; at others none. */
static enum error_code founding_members(const struct meta *meta,
                                        struct consensus_member members[CONSENSUS_MEMBERS_MAX],
                                        size_t *count_out, struct error *error)
{
    struct cluster_entry entry;
    *count_out = 0;
    if (meta->founding.size == 0)
        return ERROR_NONE;
    struct arena *arena = arena_create(0);
    if (arena == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "founders");
    enum error_code code =
        cluster_entry_decode(meta->founding.bytes, meta->founding.size, arena, &entry, error);
    if (code == ERROR_NONE && entry.kind != CLUSTER_FOUND)
        code = error_set(error, ERROR_CORRUPT, "the stored founding is another entry");
    /* Beyond the members a founder is added like any other node. */
    if (code == ERROR_NONE && meta->node_id <= meta->options.members_max)
        *count_out = members_of_founders(meta, entry.found.founder_count, members);
    arena_destroy(arena);
    return code;
}

enum error_code meta_attach(struct meta *meta, struct group_host *host, struct error *error)
{
    assert(meta->phase == META_PHASE_STARTING && meta->group == NULL);
    struct consensus_member founders[CONSENSUS_MEMBERS_MAX];
    struct group_options options = {
        .group_id = META_GROUP_ID,
        .recovery = meta->options.recovery,
        .founders = founders,
    };
    enum error_code code = founding_members(meta, founders, &options.founder_count, error);
    if (code == ERROR_NONE)
        code = group_create(host, &options, &meta->machine, &meta->group, error);
    if (code == ERROR_NONE)
        code = group_start(meta->group, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "meta group");
    meta->host = host;
    meta->phase = META_PHASE_MEMBER;
    const struct cluster_state *newest = meta_newest(meta);
    if (cluster_state_facts(newest)->founded)
        meta_events_of(meta)->changed(meta->options.context, newest);
    meta_wake(meta);
    return ERROR_NONE;
}

/* --- Ticks --------------------------------------------------------------------------------- */

/* So that a node knows the others' addresses when it starts, before there is a leader that could
 * say what of the log is committed. */
static void store_state(struct meta *meta)
{
    if (meta->is_snapshot_due)
        group_snapshot_soon(meta->group);
    meta->is_snapshot_due = false;
}

static void member_tick(struct meta *meta)
{
    store_state(meta);
    if (meta_leader(meta) == 0)
        seek_acquaintances(meta);
    join_hello(meta);
    report_send(meta);
    plan_tick(meta);
    members_step(meta);
}

/* A leader that has left goes on until another voter has taken over. */
static void dismissed_tick(struct meta *meta)
{
    plan_tick(meta);
    members_step(meta);
}

static void on_tick(struct timer *timer)
{
    struct meta *meta = (struct meta *)((char *)timer - offsetof(struct meta, tick));
    uint64_t tick_ms = meta->options.tick_ms;
    /* Started first: what is done here may ask for one sooner. */
    if (meta->phase == META_PHASE_SEEKING && tick_ms >= SEEKS_PER_TICK)
        tick_ms /= SEEKS_PER_TICK;
    scheduler_timer_start(meta->scheduler, &meta->tick, tick_ms);
    switch (meta->phase) {
    case META_PHASE_SEEKING:
        seek_tick(meta);
        return;
    case META_PHASE_STORING:
        if (!meta->is_storing)
            store(meta);
        return;
    case META_PHASE_STARTING:
        if (!meta->is_identified) {
            meta->is_identified = true;
            meta_events_of(meta)->identified(meta->options.context, meta->cluster_id,
                                             meta->node_id);
        }
        return;
    case META_PHASE_MEMBER:
        member_tick(meta);
        return;
    case META_PHASE_DISMISSED:
        dismissed_tick(meta);
        return;
    case META_PHASE_CLOSING:
        return;
    }
}

/* --- Life ---------------------------------------------------------------------------------- */

static void default_to(uint64_t *value, uint64_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void fill_defaults(struct meta_options *options)
{
    struct placement_limits *limits = &options->limits;
    default_to(&options->tick_ms, TICK_MS);
    default_to(&options->alive_ms, ALIVE_MS);
    default_to(&options->takeover_ms, TAKEOVER_MS);
    default_to(&options->version_settle_ms, VERSION_SETTLE_MS);
    default_to(&options->formation.first_group, 1);
    if (options->members_max == 0 || options->members_max > CONSENSUS_MEMBERS_MAX)
        options->members_max = CONSENSUS_MEMBERS_MAX;
    default_to(&limits->caught_up_bytes, CAUGHT_UP_BYTES);
    if (limits->replace_after_ms == 0)
        limits->replace_after_ms = REPLACE_AFTER_MS;
    if (limits->moves_total == 0)
        limits->moves_total = MOVES_TOTAL;
    if (limits->moves_per_node == 0)
        limits->moves_per_node = MOVES_PER_NODE;
    if (limits->transfers_total == 0)
        limits->transfers_total = TRANSFERS_TOTAL;
    if (limits->transfer_pause_ms == 0)
        limits->transfer_pause_ms = TRANSFER_PAUSE_MS;
}

static enum error_code take_stored(struct meta *meta, const struct meta_options *options,
                                   struct error *error)
{
    struct stored_identity stored;
    if (options->stored_bytes == 0)
        return ERROR_NONE;
    enum error_code code =
        stored_identity_decode(options->stored, options->stored_bytes, &stored, error);
    if (code != ERROR_NONE)
        return code;
    if (strcmp(stored.identity.name, options->identity.name) != 0)
        return error_set(error, ERROR_INVALID,
                         "the data directory is of node '%s', this node is called '%s'",
                         stored.identity.name, options->identity.name);
    if (memcmp(stored.identity.directory_id, options->identity.directory_id,
               sizeof stored.identity.directory_id) != 0)
        return error_set(error, ERROR_INVALID,
                         "the stored identity is of another data directory of node '%s'",
                         options->identity.name);
    byte_buffer_append(&meta->founding, stored.founding.data, stored.founding.size);
    if (meta->founding.failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "identity");
    memcpy(meta->cluster_id, stored.cluster_id, CLUSTER_ID_BYTES);
    meta->node_id = stored.node_id;
    meta->is_stored = true;
    meta->phase = META_PHASE_STARTING;
    return ERROR_NONE;
}

static void destroy(struct meta *meta)
{
    leadership_destroy(meta->leadership);
    seek_destroy(meta);
    cluster_state_destroy(meta->state);
    cluster_state_destroy(meta->followed);
    byte_buffer_clear(&meta->stored);
    byte_buffer_clear(&meta->founding);
    free(meta);
}

static enum error_code check_options(const struct meta_options *options, struct error *error)
{
    const char *name = options->formation.name;
    enum error_code code = cluster_node_check(&options->identity, &options->traits, error);
    if (code != ERROR_NONE)
        return code;
    if (name == NULL || name[0] == '\0' || strlen(name) > CLUSTER_NAME_BYTES_MAX)
        return error_set(error, ERROR_INVALID, "name of the cluster");
    if (options->limits.replace_after_ms < 0 || options->limits.transfer_pause_ms < 0)
        return error_set(error, ERROR_INVALID, "times below zero");
    return ERROR_NONE;
}

static void on_patience(struct timer *timer);
static void end_run(struct task *task);

static enum error_code fill(struct meta *meta, const struct meta_options *options,
                            struct error *error)
{
    enum error_code code = cluster_state_create(options->traits.version_max, &meta->state, error);
    if (code == ERROR_NONE)
        code = take_stored(meta, options, error);
    if (code == ERROR_NONE)
        code = seek_create(meta, options, error);
    return code;
}

enum error_code meta_create(const struct meta_options *options, struct meta **meta_out,
                            struct error *error)
{
    enum error_code code = check_options(options, error);
    if (code != ERROR_NONE)
        return code;
    struct meta *meta = calloc(1, sizeof *meta);
    if (meta == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "meta group");
    meta->options = *options;
    meta->options.peers = NULL;
    meta->options.stored = NULL;
    fill_defaults(&meta->options);
    memcpy(meta->formation_name, options->formation.name, strlen(options->formation.name));
    meta->options.formation.name = meta->formation_name;
    meta->scheduler = options->environment->scheduler;
    meta->phase = META_PHASE_SEEKING;
    meta->tick = (struct timer){.fire = on_tick, .heap_index = TIMER_IDLE};
    meta->patience = (struct timer){.fire = on_patience, .heap_index = TIMER_IDLE};
    meta->end.run = end_run;
    meta->machine.operations = &META_MACHINE_OPERATIONS;
    meta->log = (struct log_limit){.interval_ms = LOG_INTERVAL_MS, .burst = 2};
    code = fill(meta, options, error);
    if (code != ERROR_NONE) {
        destroy(meta);
        return code;
    }
    struct transport *transport = options->transport;
    if (transport != NULL) {
        transport_on_request(transport, META_KIND_INTRODUCE, serve_introduction, meta);
        transport_on_request(transport, META_KIND_ASK_LEADER, serve_leader_question, meta);
        transport_on_request(transport, META_KIND_TRANSFER, serve_transfer, meta);
    }
    *meta_out = meta;
    return ERROR_NONE;
}

void meta_start(struct meta *meta)
{
    meta_wake(meta);
}

bool meta_admit(const struct meta *meta, const struct transport_stranger *stranger)
{
    const struct cluster_state *state = meta_newest(meta);
    /* Who knows nothing yet lets all in that the transport does: one of them may be of the cluster
     * that it is to join. */
    if (stranger->is_joining || !cluster_state_facts(state)->founded)
        return true;
    /* A higher id than is known here: it was let in, and this node has not heard of it yet. */
    return cluster_state_find_name(state, stranger->name) != NULL ||
           stranger->node_id >= cluster_state_facts(state)->next_node_id ||
           cluster_state_find_node(state, stranger->node_id) != NULL;
}

/* --- The end ------------------------------------------------------------------------------- */

/*
 *     closing: leadership is handed over -> the group closes -> nothing is outstanding -> gone
 */
static void end_run(struct task *task)
{
    struct meta *meta = (struct meta *)((char *)task - offsetof(struct meta, end));
    void (*closed)(void *context) = meta->closed;
    void *context = meta->closed_context;
    destroy(meta);
    closed(context);
}

void meta_released(struct meta *meta)
{
    assert(meta->outstanding > 0);
    if (--meta->outstanding == 0 && meta->is_group_closing && meta->group == NULL)
        scheduler_defer(meta->scheduler, &meta->end);
}

static void group_closed(void *context)
{
    struct meta *meta = context;
    meta->group = NULL;
    meta_released(meta);
}

static void close_group(struct meta *meta)
{
    if (meta->is_group_closing)
        return;
    scheduler_timer_stop(meta->scheduler, &meta->patience);
    meta->is_group_closing = true;
    calls_cancel(meta);
    if (meta->group != NULL)
        group_close(meta->group, group_closed, meta);
    else
        meta_released(meta);
}

void meta_handed_over(struct meta *meta)
{
    if (meta_is_closing(meta) && !meta->is_group_closing)
        scheduler_timer_start(meta->scheduler, &meta->patience, 0);
}

static void on_patience(struct timer *timer)
{
    close_group((struct meta *)((char *)timer - offsetof(struct meta, patience)));
}

void meta_close(struct meta *meta, void (*closed)(void *context), void *context)
{
    assert(meta->phase != META_PHASE_CLOSING);
    struct transport *transport = meta->options.transport;
    bool leads = meta_leads(meta);
    meta->phase = META_PHASE_CLOSING;
    meta->closed = closed;
    meta->closed_context = context;
    meta->outstanding++; /* the group, or its absence */
    scheduler_timer_stop(meta->scheduler, &meta->tick);
    for (uint16_t kind = META_KIND_INTRODUCE; transport != NULL && kind <= META_KIND_TRANSFER;
         kind++)
        transport_on_request(transport, kind, NULL, NULL);
    seek_stop(meta);
    calls_cancel(meta);
    if (leads && members_hand_over(meta))
        scheduler_timer_start(meta->scheduler, &meta->patience, HAND_OVER_MS);
    else
        close_group(meta);
}

/* --- Looking ------------------------------------------------------------------------------- */

struct group *meta_group(const struct meta *meta)
{
    return meta->is_group_closing ? NULL : meta->group;
}

void meta_status(const struct meta *meta, struct meta_status *status_out)
{
    struct group_status status = {0};
    if (meta->group != NULL && !meta->is_group_closing)
        group_status(meta->group, &status);
    *status_out = (struct meta_status){
        .phase = meta->phase,
        .leader = meta_leader(meta),
        .leads = meta_leads(meta),
        .replaying = status.replaying,
        .proposals = meta->proposals,
        .proposals_forwarded = meta->forwarded,
        .reports_heard = meta->reports_heard,
        .plans = meta->plans,
        .waiting_for = meta->phase == META_PHASE_SEEKING ? meta->waiting_for : "",
    };
    if (!meta->is_stored)
        return;
    memcpy(status_out->cluster_id, meta->cluster_id, CLUSTER_ID_BYTES);
    status_out->node_id = meta->node_id;
}
