/* The state machine: entries are applied in `apply` itself, which is cheap; a snapshot is the whole
 * state, so nothing of the log is needed behind it. */
#include <assert.h>
#include <stddef.h>

#include "meta_private.h"

static struct meta *meta_of(struct state_machine *self)
{
    return (struct meta *)((char *)self - offsetof(struct meta, machine));
}

const struct cluster_state *meta_newest(const struct meta *meta)
{
    return meta->followed != NULL ? meta->followed : meta->state;
}

const struct cluster_state *meta_state(const struct meta *meta)
{
    return meta_newest(meta);
}

static uint64_t index_of(const struct cluster_state *state)
{
    return cluster_state_facts(state)->index;
}

static void tell_changed(struct meta *meta)
{
    const struct cluster_state *newest = meta_newest(meta);
    if (meta->group != NULL && cluster_state_facts(newest)->founded)
        meta_events_of(meta)->changed(meta->options.context, newest);
}

/* The group's own state has changed: what was told is of no use when it is not newer. */
static void settle(struct meta *meta, struct cluster_state *former)
{
    struct cluster_state *followed = meta->followed;
    if (followed != NULL && index_of(meta->state) >= index_of(followed))
        meta->followed = NULL;
    if (meta->followed == NULL)
        tell_changed(meta);
    if (meta->followed != followed)
        cluster_state_destroy(followed);
    cluster_state_destroy(former);
}

enum error_code meta_follow(struct meta *meta, struct bytes state, struct error *error)
{
    struct cluster_state *told;
    enum error_code code = cluster_state_decode(state.data, state.size,
                                                meta->options.traits.version_max, &told, error);
    if (code != ERROR_NONE)
        return code;
    if (index_of(told) <= index_of(meta_newest(meta))) {
        cluster_state_destroy(told);
        return ERROR_NONE;
    }
    struct cluster_state *former = meta->followed;
    meta->followed = told;
    tell_changed(meta);
    cluster_state_destroy(former);
    return ERROR_NONE;
}

/* --- Operations ---------------------------------------------------------------------------- */

static void keep_outcome(struct meta *meta, uint64_t index, const struct cluster_outcome *outcome)
{
    meta->outcomes[index % OUTCOMES_KEPT] = (struct applied_outcome){index, *outcome};
}

bool meta_outcome_at(const struct meta *meta, uint64_t index, struct cluster_outcome *outcome_out)
{
    const struct applied_outcome *applied = &meta->outcomes[index % OUTCOMES_KEPT];
    if (applied->index != index)
        return false;
    *outcome_out = applied->outcome;
    return true;
}

static void machine_apply(struct state_machine *self, const struct group_entry *entry)
{
    struct meta *meta = meta_of(self);
    struct cluster_outcome outcome = {0};
    struct error error;
    assert(entry->index > meta->applied_index);
    if (cluster_state_apply(meta->state, entry->index, entry->payload, entry->size_bytes, &outcome,
                            &error) != ERROR_NONE) {
        error_wrap(&error, "entry %llu of the meta group", (unsigned long long)entry->index);
        meta_events_of(meta)->fatal(meta->options.context, &error);
        return;
    }
    meta->applied_index = entry->index;
    keep_outcome(meta, entry->index, &outcome);
    if (!outcome.changed)
        return;
    meta->is_snapshot_due = true;
    settle(meta, NULL);
}

static uint64_t machine_applied_index(struct state_machine *self)
{
    return meta_of(self)->applied_index;
}

static enum error_code machine_snapshot(struct state_machine *self, struct byte_buffer *bytes,
                                        struct state_machine_position *position_out,
                                        struct error *error)
{
    const struct meta *meta = meta_of(self);
    cluster_state_encode(meta->state, bytes);
    if (bytes->failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "state of the cluster");
    *position_out = (struct state_machine_position){
        .applied_index = meta->applied_index,
        .frozen_index = meta->applied_index,
    };
    return ERROR_NONE;
}

static void machine_snapshot_stored(struct state_machine *self,
                                    const struct state_machine_position *position)
{
    (void)self; /* no file belongs to it */
    (void)position;
}

static enum error_code machine_restore(struct state_machine *self, const uint8_t *bytes,
                                       size_t size_bytes,
                                       const struct state_machine_position *position,
                                       struct error *error)
{
    struct meta *meta = meta_of(self);
    struct cluster_state *restored;
    enum error_code code =
        cluster_state_decode(bytes, size_bytes, meta->options.traits.version_max, &restored, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "snapshot of the meta group");
    struct cluster_state *former = meta->state;
    meta->state = restored;
    meta->applied_index = position->applied_index;
    settle(meta, former);
    return ERROR_NONE;
}

static void machine_leader_started(struct state_machine *self, uint64_t term)
{
    struct meta *meta = meta_of(self);
    (void)term;
    assert(meta->leadership == NULL);
    meta->leadership = leadership_create(meta);
    if (meta->leadership == NULL) {
        struct error error;
        error_set(&error, ERROR_OUT_OF_MEMORY, "leading the meta group");
        meta_events_of(meta)->fatal(meta->options.context, &error);
        return;
    }
    log_event(LOG_INFO, "meta", "leads", "node=%llu", (unsigned long long)meta->node_id);
    meta_wake(meta);
}

static void machine_leader_stopped(struct state_machine *self, uint64_t term)
{
    struct meta *meta = meta_of(self);
    (void)term;
    leadership_destroy(meta->leadership);
    meta->leadership = NULL;
}

const struct state_machine_operations META_MACHINE_OPERATIONS = {
    .apply = machine_apply,
    .applied_index = machine_applied_index,
    .snapshot = machine_snapshot,
    .snapshot_for_peer = machine_snapshot,
    .snapshot_stored = machine_snapshot_stored,
    .restore = machine_restore,
    .leader_started = machine_leader_started,
    .leader_stopped = machine_leader_stopped,
};
