/*
 * Slots that become another shard (docs/decisions/0061). The entry is a freeze too, so that all
 * that the parent has of them is in files, which the child shares.
 *
 *   proposed -> no samples of the slots any more -> applied, frozen -> durable -> child founded
 */
#include <assert.h>

#include "base/log.h"
#include "base/state_version.h"

#include "shard_private.h"

_Static_assert((int)SHARD_FOUNDERS_MAX == (int)SPLIT_FOUNDERS_MAX, "founders of a child");

enum {
    /* More is frozen before, so that the slots are without a shard for a moment only. */
    SPLIT_UNFROZEN_BYTES_MAX = 512 * 1024,
};

/* --- Leading --------------------------------------------------------------------------------- */

static bool may_be_split_now(struct shard *shard)
{
    if (shard->state_version < STATE_VERSION_SPLITS || shard->split_proposed ||
        shard->freeze_proposed || shard->merge_proposed || shard->merge != NULL ||
        shard->frozen_count > 0 || shard->freeze_job != NULL || shard->install != NULL)
        return false;
    struct shard_child child;
    if (shard_unfounded_child(shard, &child))
        return false;
    if (shard->unfrozen_bytes <= SPLIT_UNFROZEN_BYTES_MAX)
        return true;
    shard_freeze(shard);
    return false;
}

bool shard_split(struct shard *shard, const struct shard_child *child)
{
    assert(child->founder_count <= SHARD_FOUNDERS_MAX);
    struct byte_buffer entry = {0};
    struct manifest_split split = {
        .child_id = child->shard_id,
        .slots = child->slots,
        .founder_count = child->founder_count,
    };
    memcpy(split.founders, child->founders, sizeof split.founders);
    if (!slot_set_is_within(&child->slots, &shard->owned))
        return false;
    shard->split_wanted = true;
    if (!may_be_split_now(shard))
        return false;
    entry_encode_header(&entry, ENTRY_SPLIT, clock_now_ms(shard->options.environment->clock));
    manifest_encode_split(&entry, &split);
    shard->leaving = child->slots;
    shard->split_proposed = shard_propose(shard, &entry);
    return shard->split_proposed;
}

bool shard_split_is_proposed(const struct shard *shard)
{
    return shard->split_proposed;
}

/* --- Writes ---------------------------------------------------------------------------------- */

static bool takes_slot(const struct shard *shard, uint16_t slot)
{
    return slot_set_has(&shard->owned, slot) &&
           !(shard->split_proposed && slot_set_has(&shard->leaving, slot));
}

/* Ids that are not alive, or only on their way into the log, are looked at elsewhere. */
static bool takes_id(const struct shard *shard, uint64_t id)
{
    uint16_t slot;
    return (id & SHARD_SERIES_NEW) != 0 || !registry_slot(&shard->registry, id, &slot) ||
           takes_slot(shard, slot);
}

static bool takes_all(const struct shard *shard, const struct shard_write *write)
{
    bool takes = true;
    for (size_t i = 0; takes && i < write->new_series_count; i++)
        takes = takes_slot(shard, write->new_series[i].slot);
    for (size_t i = 0; takes && i < write->float_count; i++)
        takes = takes_id(shard, write->ids[i]);
    for (size_t i = 0; takes && i < write->histogram_count; i++)
        takes = takes_id(shard, write->histograms[i].id);
    for (size_t i = 0; takes && i < write->exemplar_count; i++)
        takes = takes_id(shard, write->exemplars[i].id);
    return takes;
}

enum error_code shard_check_slots(struct shard *shard, struct shard_write *write,
                                  struct error *error)
{
    if (takes_all(shard, write))
        return ERROR_NONE;
    /* While it is not decided, whoever asks comes here again. */
    write->moved_by_splits = shard->split_count;
    return error_set(error, ERROR_UNAVAILABLE,
                     shard->split_proposed ? "slots of this shard are being moved to another"
                                           : "slots of this shard were moved to another");
}

/* --- Applying -------------------------------------------------------------------------------- */

/* What was proposed by who did not know of a merge, or of another split. */
static enum error_code check_split(const struct shard *shard, const struct manifest_split *split,
                                   struct error *error)
{
    if (shard->merge != NULL)
        return error_set(error, ERROR_CONFLICT, "a merge is under way");
    if (!slot_set_is_within(&split->slots, &shard->owned) ||
        slot_set_count(&split->slots) == slot_set_count(&shard->owned))
        return error_set(error, ERROR_CONFLICT, "not slots of the shard, or all of them");
    return ERROR_NONE;
}

enum error_code shard_apply_split(struct shard *shard, uint64_t index, struct byte_reader *body,
                                  struct error *error)
{
    struct manifest_split split;
    enum error_code code = manifest_decode_split(body, &split, error);
    if (code == ERROR_NONE && byte_reader_left(body) > 0)
        code = error_set(error, ERROR_CORRUPT, "split: stray bytes");
    if (code == ERROR_NONE)
        code = check_split(shard, &split, error);
    if (code == ERROR_CONFLICT)
        shard->split_proposed = shard->split_wanted = false;
    if (code == ERROR_NONE) { /* series leave all of them; the freeze describes them so */
        windows_touch_all(&shard->windows);
        code = windows_commit(&shard->windows, error);
    }
    if (code != ERROR_NONE)
        return code;
    const struct slot_set owned_before = shard->owned;
    const struct manifest_split split_before = shard->split;
    const uint64_t listed_before = shard->bucket.changed_index;
    bool lacked_slots = shard->lacks_slots, has_heir = shard->state_version >= STATE_VERSION_BUCKET;
    if (has_heir)
        code = bucket_split(&shard->bucket, index, split.child_id, error);
    if (code != ERROR_NONE)
        return code;
    split.index = index;
    slot_set_remove(&shard->owned, &split.slots);
    shard->lacks_slots = true;
    shard->split = split;
    shard->split_count++;
    shard_note_children(shard); /* before anyone sees that it is split */
    code = shard_apply_freeze(shard, index, error);
    if (code != ERROR_NONE) {
        shard->owned = owned_before;
        shard->lacks_slots = lacked_slots;
        shard->split = split_before;
        shard->split_count--;
        shard->bucket.heir_count -= has_heir;
        shard->bucket.changed_index = listed_before;
        shard_note_children(shard);
        return code;
    }
    shard_count_foreign(shard);
    shard->split_proposed = shard->split_wanted = false;
    shard->changed_index = index;
    log_event(LOG_INFO, "shard", "slots are another shard's from here on",
              "shard=%u child=%u slots=%u index=%llu", shard->options.shard_id, split.child_id,
              slot_set_count(&split.slots), (unsigned long long)index);
    return ERROR_NONE;
}

void shard_count_foreign(struct shard *shard)
{
    shard->foreign_series =
        shard->lacks_slots ? registry_count_outside(&shard->registry, &shard->owned) : 0;
}

/* --- The child ------------------------------------------------------------------------------- */

uint32_t shard_split_count(struct shard *shard)
{
    struct view *view = shard_view(shard);
    uint32_t count = view->split_count;
    view_unref(view);
    return count;
}

bool shard_unfounded_child(const struct shard *shard, struct shard_child *child_out)
{
    const struct manifest_split *split = &shard->durable.split;
    if (shard->durable.split_count == 0 || split->index != shard->durable.frozen_index ||
        shard->founded_split >= split->index)
        return false;
    *child_out = (struct shard_child){
        .shard_id = split->child_id,
        .slots = split->slots,
        .founder_count = split->founder_count,
        .index = split->index,
    };
    memcpy(child_out->founders, split->founders, sizeof child_out->founders);
    return true;
}

void shard_note_children(struct shard *shard)
{
    const struct manifest_split *splits[] = {&shard->split, &shard->durable.split};
    const uint32_t counts[] = {shard->split_count, shard->durable.split_count};
    for (size_t i = 0; i < 2; i++) {
        bool holds = counts[i] > 0 && splits[i]->index >= shard->durable.frozen_index &&
                     splits[i]->index > shard->founded_split;
        atomic_store(&shard->held_children[i], holds ? splits[i]->child_id + 1 : 0);
    }
}

bool shard_holds_child(const struct shard *shard, uint32_t child_id)
{
    return atomic_load(&shard->held_children[0]) == child_id + 1 ||
           atomic_load(&shard->held_children[1]) == child_id + 1;
}

void shard_child_is_founded(struct shard *shard, uint64_t index)
{
    shard->founded_split = index;
    shard_note_children(shard);
    shard_start_freeze_job(shard);
}
