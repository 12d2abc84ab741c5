/* Applying committed entries. */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"

#include "base/state_version.h"

#include "bucket_entry.h"
#include "forget.h"
#include "shard_version.h"

/* --- Series of a write ---------------------------------------------------------------------- */

/*
 * When the shard knows the labels of a "new" series already (a retried write across a change of
 * leaders), the ids that the entry assumes from there on are not the ids that its series have.
 */
struct write_context {
    struct shard *shard;
    uint64_t assumed_next;
    uint64_t moved_first; /* the first assumed id that is not the actual one */
    uint64_t *moved;      /* [moved_count], the actual id of each from moved_first on */
    size_t moved_count;
    size_t moved_capacity;
    size_t unknown_count;   /* samples of ids that are not alive */
    size_t misplaced_count; /* samples of slots that are another shard's */
};

/* Called for every series from the first that moved on, so that a position tells the id. */
static enum error_code note_moved(struct write_context *context, uint64_t assumed, uint64_t actual,
                                  struct error *error)
{
    if (context->moved_count == context->moved_capacity) {
        size_t capacity = context->moved_capacity == 0 ? 64 : context->moved_capacity * 2;
        uint64_t *grown = realloc(context->moved, capacity * sizeof *grown);
        if (grown == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "apply: moved series");
        context->moved = grown;
        context->moved_capacity = capacity;
    }
    if (context->moved_count == 0)
        context->moved_first = assumed;
    context->moved[context->moved_count++] = actual;
    return ERROR_NONE;
}

static enum error_code apply_series(struct write_context *context, const struct entry_part *part,
                                    struct error *error)
{
    struct shard *shard = context->shard;
    for (size_t i = 0; i < part->series_count; i++) {
        uint64_t assumed = context->assumed_next++;
        uint64_t id;
        enum error_code code = registry_add(&shard->registry, part->tenant, part->series[i].slot,
                                            part->series[i].labels, &id, error);
        if (code != ERROR_NONE && code != ERROR_EXISTS)
            return code;
        if (id != assumed || context->moved_count > 0)
            code = note_moved(context, assumed, id, error);
        else
            code = ERROR_NONE;
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static uint64_t actual_id(const struct write_context *context, uint64_t id)
{
    bool moved = context->moved_count > 0 && id >= context->moved_first &&
                 id - context->moved_first < context->moved_count;
    return moved ? context->moved[id - context->moved_first] : id;
}

/* --- Samples of a write --------------------------------------------------------------------- */

static void count_appended(struct write_context *context, const struct head_append_result *result)
{
    struct shard_counters *counters = &context->shard->counters;
    const size_t *verdicts = result->verdict_counts;
    context->unknown_count += verdicts[HEAD_UNKNOWN_SERIES];
    counters->samples_appended +=
        verdicts[HEAD_APPENDED] + verdicts[HEAD_LATE] + verdicts[HEAD_REPLACED];
    counters->samples_duplicate += verdicts[HEAD_DUPLICATE] + verdicts[HEAD_KEPT];
    counters->samples_late += verdicts[HEAD_LATE];
}

/* The windows of what was appended; a batch of which all was there before changes none. */
static enum error_code touch_windows(struct write_context *context, const int64_t *timestamps_ms,
                                     size_t count, const struct head_append_result *result,
                                     struct error *error)
{
    const size_t *verdicts = result->verdict_counts;
    if (verdicts[HEAD_APPENDED] + verdicts[HEAD_LATE] + verdicts[HEAD_REPLACED] == 0)
        return ERROR_NONE;
    return windows_touch(&context->shard->windows, timestamps_ms, count, error);
}

/* Nobody would see them here. */
static void count_misplaced(struct write_context *context, const uint64_t *ids, size_t count)
{
    for (size_t i = 0; context->shard->lacks_slots && i < count; i++)
        context->misplaced_count += shard_id_is_foreign(context->shard, ids[i]);
}

static enum error_code apply_floats(struct write_context *context, const struct entry_part *part,
                                    struct error *error)
{
    if (part->float_count == 0)
        return ERROR_NONE;
    if (context->moved_count > 0)
        for (size_t i = 0; i < part->float_count; i++)
            ((uint64_t *)part->ids)[i] = actual_id(context, part->ids[i]);
    struct head_batch batch = {
        .count = part->float_count,
        .series_ids = part->ids,
        .timestamps_ms = part->timestamps_ms,
        .values = part->values,
        .start_timestamps_ms = part->start_timestamps_ms,
    };
    struct head_append_result result;
    count_misplaced(context, part->ids, part->float_count);
    enum error_code code = head_append(context->shard->head, &batch, NULL, &result, error);
    count_appended(context, &result);
    return code != ERROR_NONE
               ? code
               : touch_windows(context, part->timestamps_ms, part->float_count, &result, error);
}

static enum error_code apply_histograms(struct write_context *context,
                                        const struct entry_part *part, struct error *error)
{
    size_t count = part->histogram_count;
    if (count == 0)
        return ERROR_NONE;
    struct arena *arena = context->shard->apply_arena;
    uint64_t *ids = arena_array(arena, count, sizeof *ids);
    int64_t *timestamps = arena_array(arena, count, sizeof *timestamps);
    int64_t *starts = arena_array(arena, count, sizeof *starts);
    double *values = arena_array(arena, count, sizeof *values);
    const struct histogram **histograms = arena_array(arena, count, sizeof *histograms);
    if (ids == NULL || timestamps == NULL || starts == NULL || values == NULL || histograms == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "apply: histograms");
    for (size_t i = 0; i < count; i++) {
        ids[i] = actual_id(context, part->histograms[i].id);
        timestamps[i] = part->histograms[i].timestamp_ms;
        starts[i] = part->histograms[i].start_timestamp_ms;
        histograms[i] = &part->histograms[i].histogram;
    }
    struct head_batch batch = {
        .count = count,
        .series_ids = ids,
        .timestamps_ms = timestamps,
        .values = values,
        .histograms = histograms,
        .start_timestamps_ms = starts,
    };
    struct head_append_result result;
    count_misplaced(context, ids, count);
    enum error_code code = head_append(context->shard->head, &batch, NULL, &result, error);
    count_appended(context, &result);
    context->shard->counters.histograms_appended += result.verdict_counts[HEAD_APPENDED];
    return code != ERROR_NONE ? code : touch_windows(context, timestamps, count, &result, error);
}

static enum error_code apply_exemplars(struct write_context *context, const struct entry_part *part,
                                       struct error *error)
{
    for (size_t i = 0; i < part->exemplar_count; i++) {
        enum head_exemplar_verdict verdict;
        enum error_code code =
            head_exemplar_append(context->shard->head, actual_id(context, part->exemplars[i].id),
                                 &part->exemplars[i].exemplar, &verdict, error);
        if (code != ERROR_NONE)
            return code;
        if (verdict != HEAD_EXEMPLAR_ADDED)
            continue;
        context->shard->counters.exemplars_appended++;
        if (++context->shard->head_exemplars > context->shard->options.exemplars_max)
            context->shard->counters.exemplars_dropped++; /* the oldest of the head */
    }
    return ERROR_NONE;
}

static enum error_code apply_metadata(struct write_context *context, const struct entry_part *part,
                                      struct error *error)
{
    for (size_t i = 0; i < part->metadata_count; i++) {
        enum error_code code =
            metadata_store_set(context->shard->metadata, part->tenant,
                               part->metadata[i].metric_name, &part->metadata[i].metadata, error);
        if (code != ERROR_NONE)
            return code;
        context->shard->metadata_changed = true;
    }
    return ERROR_NONE;
}

static enum error_code apply_write_parts(struct write_context *context, struct byte_reader *body,
                                         struct error *error)
{
    bool more = true;
    while (more) {
        struct entry_part part;
        arena_reset(context->shard->apply_arena);
        enum error_code code =
            entry_decode_part(body, context->shard->apply_arena, &part, &more, error);
        if (code != ERROR_NONE || !more)
            return code;
        code = apply_series(context, &part, error);
        if (code == ERROR_NONE)
            code = apply_floats(context, &part, error);
        if (code == ERROR_NONE)
            code = apply_histograms(context, &part, error);
        if (code == ERROR_NONE)
            code = apply_exemplars(context, &part, error);
        if (code == ERROR_NONE)
            code = apply_metadata(context, &part, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static enum error_code apply_write(struct shard *shard, uint64_t index, struct byte_reader *body,
                                   struct error *error)
{
    struct write_context context = {.shard = shard};
    enum error_code code = entry_decode_next_id(body, &context.assumed_next, error);
    if (code != ERROR_NONE)
        return code;
    if (context.assumed_next != shard->registry.next_id) {
        /* Ids follow from the log alone: refused as a whole, on every replica alike. */
        log_event(LOG_ERROR, "shard", "an entry assumed another series id",
                  "shard=%u index=%llu assumed=%llu next=%llu", shard->options.shard_id,
                  (unsigned long long)index, (unsigned long long)context.assumed_next,
                  (unsigned long long)shard->registry.next_id);
        return error_set(error, ERROR_CONFLICT, "the entry assumed another series id");
    }
    code = apply_write_parts(&context, body, error);
    free(context.moved);
    if (code == ERROR_NONE && context.unknown_count > 0) {
        /* No leader proposes that. The sender shall try again rather than believe it is stored. */
        log_event(LOG_ERROR, "shard", "an entry has samples of unknown series",
                  "shard=%u index=%llu samples=%zu", shard->options.shard_id,
                  (unsigned long long)index, context.unknown_count);
        return error_set(error, ERROR_CONFLICT, "the entry has samples of unknown series");
    }
    if (code == ERROR_NONE && context.misplaced_count > 0) {
        shard->counters.samples_misplaced += context.misplaced_count;
        log_event(LOG_ERROR, "shard", "an entry has samples of slots that are another shard's",
                  "shard=%u index=%llu samples=%zu", shard->options.shard_id,
                  (unsigned long long)index, context.misplaced_count);
        return error_set(error, ERROR_CONFLICT, "slots of this shard were moved to another");
    }
    return code;
}

/* --- Deletion ------------------------------------------------------------------------------- */

static enum error_code apply_delete(struct shard *shard, uint64_t index, struct byte_reader *body,
                                    struct error *error)
{
    struct tombstone tombstone;
    struct tombstones *longer;
    enum error_code code = tombstone_decode(body, &tombstone, error);
    if (code != ERROR_NONE)
        return code;
    tombstone.index = index;
    /* It covers what is older than it: the heads become frozen, as if one entry before. */
    struct head_statistics head;
    head_read_statistics(shard->head, &head);
    if (head.series_count > 0)
        code = shard_apply_freeze(shard, index - 1, error);
    if (code == ERROR_NONE)
        code = windows_touch_range(&shard->windows, tombstone.start_ms, tombstone.end_ms, error);
    if (code == ERROR_NONE)
        code = tombstones_add(shard->tombstones, &tombstone, &longer, error);
    if (code != ERROR_NONE) {
        tombstone_clear(&tombstone);
        return code;
    }
    tombstones_unref(shard->tombstones);
    shard->tombstones = longer;
    if (tombstone_is_of_tenant(tombstones_at(longer, tombstones_count(longer) - 1)))
        shard->metadata_changed |= metadata_store_remove_tenant(
            shard->metadata, tombstones_at(longer, tombstones_count(longer) - 1)->tenant);
    if (shard->state_version >= STATE_VERSION_BUCKET)
        bucket_change(&shard->bucket, index); /* lists have the tombstones */
    return shard_publish(shard, error);
}

/* Leave out the tombstones that no file needs any more. */
static enum error_code apply_clean(struct shard *shard, uint64_t index, struct byte_reader *body,
                                   struct error *error)
{
    uint64_t count = byte_reader_varint(body);
    shard->clean_proposed = false;
    if (body->failed || count > byte_reader_left(body))
        return error_set(error, ERROR_CORRUPT, "clean: cut");
    for (uint64_t i = 0; i < count; i++) {
        struct tombstones *shorter;
        uint64_t of_index = byte_reader_varint(body);
        if (body->failed)
            return error_set(error, ERROR_CORRUPT, "clean: cut");
        enum error_code code = tombstones_remove(shard->tombstones, of_index, &shorter, error);
        if (code != ERROR_NONE)
            return code;
        tombstones_unref(shard->tombstones);
        shard->tombstones = shorter;
    }
    shard->changed_index = index;
    shard->settle_wanted = count > 0;
    return shard_publish(shard, error);
}

/* --- Public --------------------------------------------------------------------------------- */

static enum error_code after_apply(struct shard *shard, uint64_t index,
                                   const struct entry_header *header, size_t size_bytes,
                                   struct error *error)
{
    enum error_code code = windows_commit(&shard->windows, error);
    if (code != ERROR_NONE)
        return code;
    shard_show_windows(shard);
    shard->applied_index = index;
    if (header->kind == ENTRY_WRITE) {
        shard->rehearsed_count += shard->state_version >= STATE_VERSION_REHEARSAL;
        shard->unfrozen_bytes += size_bytes;
        if (shard->unfrozen_since_ms == INT64_MIN)
            shard->unfrozen_since_ms = header->stamp_ms;
    }
    shard->counters.applied_index = index;
    shard_count_series(shard);
    shard->counters.registry_bytes = registry_size_bytes(&shard->registry);
    shard->counters.unfrozen_bytes = shard->unfrozen_bytes;
    shard->counters.state_version = shard->state_version;
    return ERROR_NONE;
}

enum error_code shard_apply(struct shard *shard, uint64_t index, const uint8_t *entry,
                            size_t size_bytes, struct error *error)
{
    assert(index > shard->applied_index);
    struct byte_reader reader = byte_reader_over(entry, size_bytes);
    struct entry_header header;
    enum error_code code = entry_decode_header(&reader, &header, error);
    if (code == ERROR_NONE)
        code = shard_version_allows(shard, header.kind, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "apply entry %llu", (unsigned long long)index);
    shard->stamp_ms = header.stamp_ms;
    windows_begin(&shard->windows, index);
    switch (header.kind) {
    case ENTRY_WRITE:
        code = apply_write(shard, index, &reader, error);
        break;
    case ENTRY_FREEZE:
        code = shard_apply_freeze(shard, index, error);
        break;
    case ENTRY_MERGE_START:
        code = shard_apply_merge_start(shard, index, &reader, error);
        break;
    case ENTRY_MERGE_DONE:
        code = shard_apply_merge_done(shard, index, &reader, error);
        break;
    case ENTRY_MERGE_GIVEN_UP:
        code = shard_apply_merge_given_up(shard, index, &reader, error);
        break;
    case ENTRY_RETENTION:
        code = shard_apply_retention(shard, index, &reader, error);
        break;
    case ENTRY_DELETE_SERIES:
        code = apply_delete(shard, index, &reader, error);
        break;
    case ENTRY_CLEAN_TOMBSTONES:
        code = apply_clean(shard, index, &reader, error);
        break;
    case ENTRY_FORGET_SERIES:
        code = shard_apply_forget(shard, &reader, error);
        break;
    case ENTRY_FORGET_METADATA:
        code = shard_apply_forget_metadata(shard, &reader, error);
        break;
    case ENTRY_STATE_VERSION:
        code = shard_apply_version(shard, index, &reader, error);
        break;
    case ENTRY_SPLIT:
        code = shard_apply_split(shard, index, &reader, error);
        break;
    case ENTRY_UPLOADED:
        code = shard_apply_uploaded(shard, index, &reader, error);
        break;
    case ENTRY_PUBLISHED:
        code = shard_apply_published(shard, index, &reader, error);
        break;
    case ENTRY_RETENTION_POLICY:
        code = shard_apply_retention_policy(shard, index, &reader, error);
        break;
    case ENTRY_REMOVED:
        code = shard_apply_removed(shard, &reader, error);
        break;
    }
    if (code == ERROR_UNAVAILABLE)
        shard_start_freeze_job_at_once(shard);
    if (code != ERROR_NONE && code != ERROR_CONFLICT)
        return error_wrap(error, "apply entry %llu", (unsigned long long)index);
    struct error failure;
    enum error_code kept = after_apply(shard, index, &header, size_bytes, &failure);
    if (kept == ERROR_NONE && header.kind >= ENTRY_UPLOADED && header.kind <= ENTRY_REMOVED)
        bucket_entry_applied(shard);
    if (kept == ERROR_NONE)
        return code;
    *error = failure;
    return error_wrap(error, "apply entry %llu", (unsigned long long)index);
}
