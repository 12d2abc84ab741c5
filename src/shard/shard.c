#include "shard/shard.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/log.h"
#include "base/state_version.h"

#include "damage.h"
#include "forget.h"
#include "local_files.h"
#include "merge.h"

/* --- Jobs under way ------------------------------------------------------------------------- */

static void release(struct shard *shard)
{
    shard_state_clear(shard);
    shard_forget_clear(shard);
    while (shard->doomed != NULL)
        shard_forget_doomed(shard);
    shard_merge_destroy(shard->merge);
    metadata_store_destroy(shard->metadata);
    free(shard->pending);
    retention_policy_unref(shard->retention_wanted);
    view_unref(shard->view);
    window_table_unref(shard->shown_windows);
    arena_destroy(shard->apply_arena);
    pthread_mutex_destroy(&shard->view_lock);
    free(shard);
}

static void close_finish(struct task *task)
{
    struct shard *shard = (struct shard *)((char *)task - offsetof(struct shard, close_task));
    void (*closed)(void *) = shard->closed;
    void *context = shard->closed_context;
    release(shard);
    closed(context);
}

void shard_job_started(struct shard *shard)
{
    shard->jobs_running++;
}

void shard_job_ended(struct shard *shard)
{
    assert(shard->jobs_running > 0);
    shard->jobs_running--;
    if (shard->closed != NULL && shard->jobs_running == 0)
        scheduler_defer(shard->options.environment->scheduler, &shard->close_task);
}

void shard_close(struct shard *shard, void (*closed)(void *context), void *context)
{
    assert(shard->closed == NULL);
    shard->closed = closed;
    shard->closed_context = context;
    shard->close_task.run = close_finish;
    shard_job_started(shard); /* this */
    if (shard->merge != NULL)
        shard_merge_abandon(shard->merge);
    shard_freeze_try_now(shard);
    shard_install_abandon(shard->install);
    repair_cancel(shard);
    shard_follow(shard);
    shard_job_ended(shard);
}

void shard_destroy(struct shard *shard)
{
    if (shard == NULL)
        return;
    assert(shard->jobs_running == 0 && shard->applied_index == 0);
    release(shard);
}

/* --- Life ----------------------------------------------------------------------------------- */

static bool target_of(void *context, uint64_t series_id, uint64_t *target_id_out)
{
    struct shard *shard = context;
    uint32_t target = registry_target(&shard->registry, series_id);
    registry_hear(&shard->registry, series_id);
    *target_id_out = target;
    return target != TARGET_NONE;
}

enum error_code shard_create_head(struct shard *shard, struct head **head_out, struct error *error)
{
    struct head_options options = {
        .target_of = target_of,
        .context = shard,
        .exemplars_max = shard->options.exemplars_max,
        .spares = shard->options.head_spares,
    };
    return head_create(&options, head_out, error);
}

static enum error_code make_directories(struct shard *shard, struct error *error)
{
    static const char *const KINDS[] = {"parts", "series", "blocks", "metadata", "incoming"};
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        char path[SHARD_PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", shard->options.directory, KINDS[i]);
        enum error_code code = disk_make_directory(shard->options.environment->disk, path, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static enum error_code prepare(struct shard *shard, struct error *error)
{
    enum error_code code = make_directories(shard, error);
    if (code == ERROR_NONE)
        code = registry_init(&shard->registry, shard->options.hash_seed, 1, error);
    if (code == ERROR_NONE)
        code = shard_create_head(shard, &shard->head, error);
    if (code != ERROR_NONE)
        return code;
    shard->metadata = metadata_store_create(shard->options.metadata_max);
    shard->apply_arena = arena_create(0);
    if (shard->metadata == NULL || shard->apply_arena == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "shard");
    shard_forget_restored(shard);
    return shard_publish(shard, error);
}

enum error_code shard_create(const struct shard_options *options, struct shard **shard_out,
                             struct error *error)
{
    struct shard *shard = calloc(1, sizeof *shard);
    if (shard == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "shard");
    shard->options = *options;
    if (options->peers != NULL)
        shard->peers = *options->peers;
    shard->source.operations = &SHARD_SOURCE_OPERATIONS;
    shard->state_version = shard->durable.state_version = STATE_VERSION_FIRST;
    shard->counters.state_version = STATE_VERSION_FIRST;
    shard->durable.next_id = 1;
    shard->durable.retention_cutoff_ms = INT64_MIN;
    shard->retention_cutoff_ms = INT64_MIN;
    shard->retention = shard->durable.retention = RETENTION_CUT_NONE;
    shard->unfrozen_since_ms = INT64_MIN;
    slot_set_fill(&shard->owned);
    slot_set_fill(&shard->durable.owned);
    pthread_mutex_init(&shard->view_lock, NULL);
    bucket_follow(shard);
    local_files_cancel(shard);
    enum error_code code = prepare(shard, error);
    if (code == ERROR_NONE && options->retention_ms >= 0)
        code = retention_policy_create(options->retention_ms == 0 ? RETENTION_FOR_EVER
                                                                  : options->retention_ms,
                                       NULL, 0, &shard->retention_wanted, error);
    if (code != ERROR_NONE) {
        release(shard);
        return error_wrap(error, "shard %u", options->shard_id);
    }
    *shard_out = shard;
    return ERROR_NONE;
}

/* --- View ----------------------------------------------------------------------------------- */

static void fill_arrays(const struct shard *shard, struct view *pieces)
{
    for (size_t i = 0; i < shard->frozen_count; i++)
        pieces->heads[i] = (struct view_head){shard->frozen[i]->head, shard->frozen[i]->index};
    pieces->heads[shard->frozen_count] = (struct view_head){shard->head, VIEW_GROWING};
    for (size_t i = 0; i < shard->registry.frozen_count; i++)
        pieces->indexes[i] = shard->registry.frozen[i];
    pieces->indexes[shard->registry.frozen_count] = shard->registry.growing;
    for (size_t i = 0; i < shard->part_count; i++) {
        const struct shard_part *part = &shard->parts[i];
        pieces->parts[i] = (struct view_part){
            .part = part->part,
            .index = part->described.index,
            .start_ms = part->described.summary.min_time_ms,
            .end_ms = part->described.summary.max_time_ms,
            .size_bytes = part->described.summary.size_bytes,
            .is_unsplit =
                shard->lacks_slots && part_has_slot_outside(part->part, shard->owned.words),
        };
    }
    for (size_t i = 0; i < shard->block_count; i++) {
        const struct shard_block *block = &shard->blocks[i];
        pieces->blocks[i] = (struct view_block){
            .block = block->block,
            .index = block->described.index,
            .start_ms = block->described.summary.min_time_ms,
            .end_ms = block->described.summary.max_time_ms,
            .window_end_ms = block->described.window_end_ms,
            .size_bytes = block->described.summary.size_bytes,
            .is_unsplit = local_is_unsplit(shard, block),
            .is_absent = block->is_absent,
        };
    }
}

enum error_code shard_publish(struct shard *shard, struct error *error)
{
    struct view_head heads[FROZEN_HEADS_MAX + 1];
    struct memory_index *indexes[REGISTRY_FROZEN_MAX + 1];
    struct view pieces = {
        .heads = heads,
        .head_count = shard->frozen_count + 1,
        .parts = malloc((shard->part_count + 1) * sizeof *pieces.parts),
        .part_count = shard->part_count,
        .blocks = malloc((shard->block_count + 1) * sizeof *pieces.blocks),
        .block_count = shard->block_count,
        .indexes = indexes,
        .index_count = shard->registry.frozen_count + 1,
        .segments = shard->registry.segments,
        .segment_count = shard->registry.segment_count,
        .tombstones = shard->tombstones,
        .retention = shard->retention,
        .forgotten = shard->hidden,
        .owned = shard->owned,
        .lacks_slots = shard->lacks_slots,
        .split_count = shard->split_count,
    };
    struct view *view = NULL;
    if (pieces.parts != NULL && pieces.blocks != NULL) {
        fill_arrays(shard, &pieces);
        view = view_create(&pieces);
    }
    free(pieces.parts);
    free(pieces.blocks);
    if (view == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "view of the shard");
    pthread_mutex_lock(&shard->view_lock);
    struct view *before = shard->view;
    shard->view = view;
    pthread_mutex_unlock(&shard->view_lock);
    shard->view_version++;
    view_unref(before);
    return ERROR_NONE;
}

void shard_publish_soon(struct shard *shard)
{
    struct error ignored; /* the view before shows the same */
    shard->view_is_stale = shard_publish(shard, &ignored) != ERROR_NONE;
}

struct view *shard_view(struct shard *shard)
{
    pthread_mutex_lock(&shard->view_lock);
    struct view *view = view_ref(shard->view);
    pthread_mutex_unlock(&shard->view_lock);
    return view;
}

struct view *shard_view_at_once(struct shard *shard, size_t *growing_count_out)
{
    while (true) {
        struct view *view = shard_view(shard);
        *growing_count_out = memory_index_count(view->indexes[view->index_count - 1]);
        pthread_mutex_lock(&shard->view_lock);
        bool is_current = shard->view == view;
        pthread_mutex_unlock(&shard->view_lock);
        if (is_current)
            return view;
        view_unref(view);
    }
}

struct series_source *shard_source(struct shard *shard)
{
    return &shard->source;
}

struct owned_metadata {
    const struct view *view;
    shard_metadata_visit *visit;
    void *context;
};

static bool visit_owned(void *context, struct text metric_name,
                        const struct metric_metadata *metadata)
{
    const struct owned_metadata *owned = context;
    if (owned->view->lacks_slots && !slot_set_has(&owned->view->owned, metadata_slot(metric_name)))
        return true;
    return owned->visit(owned->context, metric_name, metadata);
}

void shard_visit_metadata(struct shard *shard, struct text tenant, shard_metadata_visit *visit,
                          void *context)
{
    struct view *view = shard_view(shard);
    struct owned_metadata owned = {view, visit, context};
    metadata_store_visit(shard->metadata, tenant, visit_owned, &owned);
    view_unref(view);
}

void shard_visit_blocks(struct shard *shard, shard_block_visit *visit, void *context)
{
    struct view *view = shard_view(shard);
    for (size_t i = 0; i < view->block_count; i++) {
        const struct view_block *block = &view->blocks[i];
        struct file_summary summary = block_summary(block->block);
        struct shard_block_status seen = {
            .index = block->index,
            .start_ms = block->start_ms,
            .end_ms = block->window_end_ms,
            .size_bytes = block->size_bytes,
            .series_count = summary.series_count,
            .sample_count = summary.sample_count,
        };
        visit(context, &seen);
    }
    view_unref(view);
}

bool shard_metadata_is_damaged(const struct shard *shard)
{
    return atomic_load(&shard->metadata_is_damaged);
}

/* --- Proposing ------------------------------------------------------------------------------ */

bool shard_propose(struct shard *shard, struct byte_buffer *entry)
{
    const struct shard_proposer *proposer = &shard->options.proposer;
    bool proposed =
        !entry->failed && proposer->propose(proposer->context, entry->bytes, entry->size);
    byte_buffer_clear(entry);
    return proposed;
}

void shard_lead(struct shard *shard)
{
    shard->proposed_next_id = shard->registry.next_id;
    shard->prepared_next_id = shard->proposed_next_id;
    shard->freeze_proposed = false;
    shard->merge_proposed = false;
    shard->clean_proposed = false;
    shard->version_proposed = false;
    shard->split_proposed = shard->split_wanted = false;
    shard_forget_lead(shard);
    if (shard->pending != NULL)
        memset(shard->pending, 0, shard->pending_capacity * sizeof *shard->pending);
    shard->pending_count = 0;
    if (shard->merge != NULL)
        shard->merge->done_proposed = false;
    retention_lead(shard);
    bucket_lead(shard);
    shard_maintain(shard);
}

void shard_follow(struct shard *shard)
{
    bucket_follow(shard);
    shard_cancel_flushes(shard);
}

uint64_t shard_freeze_index(const struct shard *shard)
{
    return shard->frozen_count > 0 ? shard->frozen[shard->frozen_count - 1]->index
                                   : shard->durable.frozen_index;
}

uint64_t shard_unfrozen_bytes(const struct shard *shard)
{
    return shard->unfrozen_bytes;
}

uint64_t shard_series_count(const struct shard *shard)
{
    return shard->registry.series_count - shard->foreign_series;
}

bool shard_freeze_is_proposed(const struct shard *shard)
{
    return shard->freeze_proposed;
}

int64_t shard_unfrozen_age_ms(const struct shard *shard)
{
    if (shard->unfrozen_since_ms == INT64_MIN)
        return 0;
    int64_t age_ms = clock_now_ms(shard->options.environment->clock) - shard->unfrozen_since_ms;
    return age_ms < 0 ? 0 : age_ms;
}

void shard_freeze(struct shard *shard)
{
    if (shard->freeze_proposed || shard->frozen_count == FROZEN_HEADS_MAX)
        return;
    struct byte_buffer entry = {0};
    entry_encode_header(&entry, ENTRY_FREEZE, clock_now_ms(shard->options.environment->clock));
    shard->freeze_proposed = shard_propose(shard, &entry);
}

enum error_code shard_encode_delete(struct byte_buffer *entry, int64_t stamp_ms, struct text tenant,
                                    const struct matcher *const *matchers, size_t matcher_count,
                                    int64_t start_ms, int64_t end_ms, struct error *error)
{
    if (start_ms > end_ms)
        return error_set(error, ERROR_INVALID, "the start is after the end");
    struct tombstone tombstone = {
        .tenant = tenant,
        .start_ms = start_ms,
        .end_ms = end_ms,
        .matchers = (struct matcher **)matchers,
        .matcher_count = matcher_count,
    };
    entry_encode_header(entry, ENTRY_DELETE_SERIES, stamp_ms);
    tombstone_encode(entry, &tombstone);
    return entry->failed ? error_set(error, ERROR_OUT_OF_MEMORY, "delete series") : ERROR_NONE;
}

enum error_code shard_check_delete(const uint8_t *entry, size_t size_bytes, struct error *error)
{
    struct byte_reader reader = byte_reader_over(entry, size_bytes);
    struct entry_header header;
    struct tombstone tombstone;
    enum error_code code = entry_decode_header(&reader, &header, error);
    if (code == ERROR_NONE && header.kind != ENTRY_DELETE_SERIES)
        code = error_set(error, ERROR_UNSUPPORTED, "an entry of kind %d is no deletion",
                         (int)header.kind);
    if (code == ERROR_NONE)
        code = tombstone_decode(&reader, &tombstone, error);
    if (code != ERROR_NONE)
        return code;
    if (byte_reader_left(&reader) > 0)
        code = error_set(error, ERROR_CORRUPT, "deletion: %zu bytes behind it",
                         byte_reader_left(&reader));
    else if (tombstone.start_ms > tombstone.end_ms)
        code = error_set(error, ERROR_INVALID, "the start is after the end");
    tombstone_clear(&tombstone);
    return code;
}

/* --- Statistics ----------------------------------------------------------------------------- */

static void add_head_statistics(const struct view *view, struct shard_statistics *statistics)
{
    for (size_t i = 0; i < view->head_count; i++) {
        struct head_statistics head;
        head_read_statistics(view->heads[i].head, &head);
        statistics->head_bytes += head.size_bytes;
        if (i + 1 == view->head_count)
            statistics->head_series_count = head.series_count;
        if (head.start_ms < statistics->oldest_ms)
            statistics->oldest_ms = head.start_ms;
        if (head.end_ms > statistics->newest_ms)
            statistics->newest_ms = head.end_ms;
    }
}

static void add_file_statistics(const struct view *view, struct shard_statistics *statistics)
{
    for (size_t i = 0; i < view->part_count; i++) {
        const struct view_part *part = &view->parts[i];
        statistics->part_bytes += part->size_bytes;
        statistics->unsplit_count += part->is_unsplit;
        statistics->unsplit_bytes += part->is_unsplit ? part->size_bytes : 0;
        if (part->start_ms < statistics->oldest_ms)
            statistics->oldest_ms = part->start_ms;
        if (part->end_ms > statistics->newest_ms)
            statistics->newest_ms = part->end_ms;
        if (part->end_ms + 1 < statistics->first_cutoff_ms)
            statistics->first_cutoff_ms = part->end_ms + 1;
    }
    for (size_t i = 0; i < view->block_count; i++) {
        const struct view_block *block = &view->blocks[i];
        if (block->is_absent) {
            statistics->absent_block_count++;
            statistics->absent_block_bytes += block->size_bytes;
        } else {
            statistics->block_bytes += block->size_bytes;
            if (block->window_end_ms < statistics->first_local_end_ms)
                statistics->first_local_end_ms = block->window_end_ms;
        }
        statistics->unsplit_count += block->is_unsplit;
        statistics->unsplit_bytes += block->is_unsplit ? block->size_bytes : 0;
        if (block->start_ms < statistics->oldest_ms)
            statistics->oldest_ms = block->start_ms;
        if (block->end_ms > statistics->newest_ms)
            statistics->newest_ms = block->end_ms;
        if (block->window_end_ms < statistics->first_cutoff_ms)
            statistics->first_cutoff_ms = block->window_end_ms;
    }
    for (size_t i = 0; i < view->segment_count; i++)
        statistics->segment_bytes += series_segment_summary(view->segments[i]).size_bytes;
}

void shard_read_statistics(struct shard *shard, struct shard_statistics *statistics_out)
{
    struct view *view = shard_view(shard);
    struct shard_counters *counters = &shard->counters;
    struct shard_statistics statistics = {
        .applied_index = counters->applied_index,
        .state_version = counters->state_version,
        .series_count = counters->series_count,
        .samples_appended = counters->samples_appended,
        .samples_duplicate = counters->samples_duplicate,
        .samples_late = counters->samples_late,
        .histograms_appended = counters->histograms_appended,
        .exemplars_appended = counters->exemplars_appended,
        .registry_bytes = counters->registry_bytes,
        .unfrozen_log_bytes = counters->unfrozen_bytes,
        .frozen_head_count = view->head_count - 1,
        .part_count = view->part_count,
        .block_count = view->block_count,
        .segment_count = view->segment_count,
        .freezes_total = counters->freezes,
        .merges_total = counters->merges,
        .merges_waiting = counters->merges_waiting,
        .merges_running = counters->merges_running,
        .merge_bytes = counters->merge_bytes,
        .merge_failures_total = counters->merge_failures,
        .samples_merged_total = counters->samples_merged,
        .merges_given_up_total = counters->merges_given_up,
        .damaged_files = counters->damaged_files,
        .differing_files_total = counters->differing_files,
        .late_refused_total = counters->late_refused,
        .misplaced_total = counters->samples_misplaced,
        .job_failures_total = counters->job_failures,
        .series_forgotten = counters->series_forgotten,
        .segments_rewritten = counters->segments_rewritten,
        .dead_id_count = id_set_count(view->forgotten),
        .tombstone_count = tombstones_count(view->tombstones),
        .metadata_count = metadata_store_count(shard->metadata),
        .metadata_refused_total = metadata_store_refused(shard->metadata),
        .metadata_forgotten = counters->metadata_forgotten,
        .exemplars_dropped_total = counters->exemplars_dropped,
        .doomed_files = counters->doomed_files,
        .lacks_slots = view->lacks_slots,
        .oldest_ms = INT64_MAX,
        .first_cutoff_ms = INT64_MAX,
        .first_local_end_ms = INT64_MAX,
        .newest_ms = INT64_MIN,
        .retention_at_ms = view->retention.at_ms,
    };
    add_head_statistics(view, &statistics);
    add_file_statistics(view, &statistics);
    retention_count_pending(view, &statistics);
    view_unref(view);
    *statistics_out = statistics;
}
