/*
 * offer - snapshots that a leader sends: prepared by the state machine while the replica goes on,
 * then put in the place of its log.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "group_private.h"

/* --- What is offered ----------------------------------------------------------------------- */

static void free_offer(struct group *group)
{
    free(group->offer.bytes);
    group->offer = (struct group_offer){0};
}

void group_offer_drop(struct group *group)
{
    free_offer(group);
    if (!group->restore_prepared)
        return;
    group->restore_prepared = false;
    group->machine->operations->cancel_restore(group->machine);
}

void group_offer_keep(struct group *group, uint64_t from_node,
                      const struct consensus_install *install)
{
    if (group->offer.bytes != NULL && install->index <= group->offer.header.index)
        return; /* the leader repeats itself */
    uint8_t *bytes = malloc(install->size_bytes);
    if (bytes == NULL)
        return; /* it comes again */
    memcpy(bytes, install->bytes, install->size_bytes);
    free_offer(group);
    group->offer = (struct group_offer){
        .state = GROUP_OFFER_NEW,
        .from_node = from_node,
        .header =
            {
                .group_id = group->id,
                .index = install->index,
                .term = install->term,
                .membership_index = install->membership_index,
                .position = {.applied_index = install->index, .frozen_index = install->index},
            },
        .membership = *install->membership,
        .bytes = bytes,
        .size_bytes = install->size_bytes,
    };
}

/* --- Preparing ----------------------------------------------------------------------------- */

static void prepare(struct group *group)
{
    struct group_offer *offer = &group->offer;
    const struct state_machine_operations *operations = group->machine->operations;
    offer->state = GROUP_OFFER_PREPARED;
    if (operations->prepare_restore == NULL)
        return;
    struct snapshot_view view;
    struct error error;
    if (snapshot_decode(offer->bytes, offer->size_bytes, &view, &error) != ERROR_NONE) {
        group_stop(group, &error); /* it was checked when it came */
        return;
    }
    struct state_machine_offer offered = {
        .bytes = view.state,
        .size_bytes = view.state_bytes,
        .position = offer->header.position,
        .from_node = offer->from_node,
        .members = offer->membership.members,
        .member_count = offer->membership.count,
    };
    offer->state = GROUP_OFFER_PREPARING;
    group->restore_prepared = true;
    group->host->statistics.snapshots_prepared++;
    operations->prepare_restore(group->machine, &offered);
}

void group_restore_prepared(struct group *group, uint64_t index, const struct error *error)
{
    struct group_offer *offer = &group->offer;
    if (offer->bytes == NULL || offer->state != GROUP_OFFER_PREPARING ||
        offer->header.index != index)
        return;
    if (error->code == ERROR_NONE) {
        offer->state = GROUP_OFFER_PREPARED;
        group_wake(group);
        return;
    }
    log_event(LOG_WARNING, "group", "a snapshot can't be prepared, the leader offers another",
              "group=%llu index=%llu reason=%s message=\"%s\"", (unsigned long long)group->id,
              (unsigned long long)index, error_code_name(error->code), error->message);
    group->restore_prepared = false;
    free_offer(group);
}

/* --- Installing ---------------------------------------------------------------------------- */

static bool is_void(const struct group *group)
{
    struct consensus_status status;
    consensus_status(group->consensus, &status);
    return status.commit_index >= group->offer.header.index || status.state == CONSENSUS_LEADER;
}

static void install_offer(struct group *group)
{
    struct group_offer *offer = &group->offer;
    struct consensus_install install = {
        .index = offer->header.index,
        .term = offer->header.term,
        .membership_index = offer->header.membership_index,
        .membership = &offer->membership,
        .bytes = offer->bytes,
        .size_bytes = offer->size_bytes,
    };
    if (consensus_install(group->consensus, &install)) {
        group_store_snapshot(group, &offer->header, offer->bytes, offer->size_bytes,
                             GROUP_WRITE_INSTALL);
        offer->bytes = NULL; /* the write's; what was prepared waits for it */
        free_offer(group);
    } else {
        group_offer_drop(group);
    }
    group_after_step(group);
}

void group_offer_try(struct group *group)
{
    struct group_offer *offer = &group->offer;
    if (offer->bytes == NULL || group->phase != GROUP_PHASE_RUNNING || group->install_in_flight)
        return;
    bool behind_only = (group->host->options.unsafe_disabled_rules &
                        (UINT32_C(1) << RULE_INSTALL_WHEN_BEHIND)) == 0;
    if (behind_only && is_void(group)) {
        group_offer_drop(group);
        return;
    }
    if (offer->state == GROUP_OFFER_NEW)
        prepare(group);
    /* What the machine was given lies in the log, which is replaced. */
    if (offer->state == GROUP_OFFER_PREPARED && !group->snapshot_in_flight &&
        group_machine_is_idle(group))
        install_offer(group);
}
