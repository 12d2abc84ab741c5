/*
 * Series that went quiet leave the shard by an entry of the log.
 *
 *   freeze: a period ends ---> quiet ids --scan job--> in no head or part --FORGET--> dead
 *
 * The leader proposes, and what it proposes is certain: an id that it calls quiet has no sample in
 * flight, since every sample that it proposed or applied in two periods counts as heard; and from
 * the proposal on it takes no sample for the id. A sender that comes back with it is asked for the
 * labels, and the series gets a new id, behind the FORGET in the log. Samples under both ids are
 * one series to whoever reads: the older ones are in blocks, which know series by labels.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "block/part_reader.h"

#include "damage.h"
#include "entry_forget.h"
#include "forget.h"

/* Ids that one job looks for. */
enum { SCAN_IDS_MAX = 64 * 1024 };

/* --- Periods --------------------------------------------------------------------------------- */

static int64_t period_of(const struct shard *shard, int64_t time_ms)
{
    int64_t quiet_ms = shard->options.quiet_ms;
    return time_ms / quiet_ms - (time_ms % quiet_ms < 0);
}

void shard_forget_turn(struct shard *shard, const struct head *frozen)
{
    struct forgetting *forgetting = &shard->forgetting;
    struct head_statistics head;
    head_read_statistics(frozen, &head);
    if (head.end_ms == INT64_MIN || shard->options.quiet_ms == 0)
        return;
    int64_t period = period_of(shard, head.end_ms);
    if (period <= forgetting->period)
        return;
    if (forgetting->period != INT64_MIN) {
        registry_turn(&shard->registry);
        metadata_store_turn(shard->metadata);
        forgetting->turns++;
    }
    forgetting->period = period;
}

void shard_forget_restored(struct shard *shard)
{
    int64_t newest_ms = shard_newest_stored_ms(shard);
    shard->forgetting.period = newest_ms == INT64_MIN || shard->options.quiet_ms == 0
                                   ? INT64_MIN
                                   : period_of(shard, newest_ms);
}

/* --- Looking for ids that no file holds ------------------------------------------------------- */

struct forget_scan {
    struct job job;
    struct shard *shard;
    struct view *view;
    uint64_t turns; /* of the shard when it began */
    uint64_t *ids;  /* [count], ascending; the job leaves those in no head or part */
    size_t count;
    struct error error;
};

static void scan_destroy(struct forget_scan *scan)
{
    view_unref(scan->view);
    free(scan->ids);
    free(scan);
}

static void leave_out_of_head(struct forget_scan *scan, const struct head *head)
{
    size_t kept = 0;
    for (size_t i = 0; i < scan->count; i++)
        if (!head_has_series(head, scan->ids[i]))
            scan->ids[kept++] = scan->ids[i];
    scan->count = kept;
}

/* Both lists ascend: skip through each to where the other one is. */
static enum error_code leave_out_of_part(struct forget_scan *scan, struct part *part,
                                         struct error *error)
{
    struct part_reader *reader = NULL;
    struct part_entry entry = {0};
    bool found = true;
    size_t kept = 0;
    enum error_code code = part_reader_create(part, &reader, error);
    for (size_t i = 0; code == ERROR_NONE && i < scan->count; i++) {
        uint64_t id = scan->ids[i];
        if (found && (i == 0 || entry.id < id))
            code = part_reader_next(reader, id, &entry, &found, error);
        if (code == ERROR_NONE && (!found || entry.id != id))
            scan->ids[kept++] = id;
    }
    part_reader_destroy(reader);
    scan->count = kept;
    return code;
}

static void scan_run(struct job *base)
{
    struct forget_scan *scan = (struct forget_scan *)base;
    const struct view *view = scan->view;
    enum error_code code = ERROR_NONE;
    error_clear(&scan->error);
    for (size_t i = 0; i < view->head_count; i++)
        leave_out_of_head(scan, view->heads[i].head);
    for (size_t i = 0; code == ERROR_NONE && i < view->part_count; i++)
        code = leave_out_of_part(scan, view->parts[i].part, &scan->error);
}

static void scan_done(struct job *base)
{
    struct forget_scan *scan = (struct forget_scan *)base;
    struct shard *shard = scan->shard;
    struct forgetting *forgetting = &shard->forgetting;
    forgetting->scan = NULL;
    if (scan->error.code != ERROR_NONE) {
        shard->counters.job_failures++;
        log_event(LOG_ERROR, "shard", "quiet series could not be looked for",
                  "shard=%u error=\"%s\"", shard->options.shard_id, scan->error.message);
    } else if (shard->closed == NULL && scan->turns == forgetting->turns) {
        assert(forgetting->next == forgetting->count);
        free(forgetting->ids);
        forgetting->ids = scan->ids;
        forgetting->count = scan->count;
        forgetting->next = 0;
        scan->ids = NULL;
    }
    scan_destroy(scan);
    if (shard->closed == NULL)
        shard_forget_maintain(shard);
    shard_job_ended(shard);
}

static void start_scan(struct shard *shard)
{
    struct forgetting *forgetting = &shard->forgetting;
    struct forget_scan *scan = calloc(1, sizeof *scan);
    uint64_t *ids = malloc(SCAN_IDS_MAX * sizeof *ids);
    if (scan == NULL || ids == NULL) {
        free(scan);
        free(ids);
        return; /* tried again */
    }
    size_t count = registry_find_quiet(&shard->registry, forgetting->scan_from, ids, SCAN_IDS_MAX);
    if (forgetting->scan_from == 0)
        forgetting->scanned_version = shard->view_version;
    forgetting->scan_from = count == SCAN_IDS_MAX ? ids[count - 1] + 1 : 0;
    if (count == 0) {
        free(scan);
        free(ids);
        return;
    }
    *scan = (struct forget_scan){
        .job = {.run = scan_run, .done = scan_done, .class = JOB_BACKGROUND},
        .shard = shard,
        .view = shard_view(shard),
        .turns = forgetting->turns,
        .ids = ids,
        .count = count,
    };
    forgetting->scan = scan;
    shard_job_started(shard);
    scheduler_submit(shard->options.environment->scheduler, &scan->job);
}

/* --- Proposing ------------------------------------------------------------------------------- */

static void drop_found(struct forgetting *forgetting)
{
    free(forgetting->ids);
    forgetting->ids = NULL;
    forgetting->count = 0;
    forgetting->next = 0;
}

/* The next ids that are quiet still; how many. */
static size_t take_batch(const struct shard *shard, struct forgetting *forgetting, uint64_t *batch)
{
    size_t count = 0;
    for (; forgetting->next < forgetting->count && count < FORGET_IDS_MAX; forgetting->next++)
        if (registry_is_quiet(&shard->registry, forgetting->ids[forgetting->next]))
            batch[count++] = forgetting->ids[forgetting->next];
    return count;
}

static void propose_batch(struct shard *shard)
{
    struct forgetting *forgetting = &shard->forgetting;
    uint64_t batch[FORGET_IDS_MAX];
    size_t count = take_batch(shard, forgetting, batch);
    if (count == 0)
        return;
    struct byte_buffer entry = {0};
    entry_encode_forget(&entry, clock_now_ms(shard->options.environment->clock), batch, count);
    forgetting->proposed = shard_propose(shard, &entry);
    for (size_t i = 0; forgetting->proposed && i < count; i++)
        registry_set_leaving(&shard->registry, batch[i]);
    if (!forgetting->proposed)
        drop_found(forgetting); /* no leader: whoever is looks for itself */
}

void shard_forget_maintain(struct shard *shard)
{
    struct forgetting *forgetting = &shard->forgetting;
    if (forgetting->scan != NULL || forgetting->proposed)
        return;
    if (forgetting->next < forgetting->count)
        propose_batch(shard);
    if (forgetting->proposed)
        return;
    /* Ids get out of parts when those change. Whom a damaged part holds nobody knows. */
    if (damage_has_parts(shard))
        return;
    if (forgetting->scan_from > 0 || forgetting->scanned_version != shard->view_version)
        start_scan(shard);
}

/*
 * Who stated metadata before is not known to a new leader, be it another or one after a restart.
 * Senders state it every minute: what nobody states for one whole period from here on is quiet. So
 * restarts do not keep it for ever, unless one comes every other period; ingest.max_metadata bounds
 * it then.
 */
static void forget_who_stated(struct shard *shard)
{
    uint32_t periods = shard->options.metadata_quiet_periods;
    metadata_store_set_unheard(shard->metadata, periods > 0 ? periods - 1 : 0);
}

void shard_forget_lead(struct shard *shard)
{
    shard->forgetting.proposed = false;
    drop_found(&shard->forgetting);
    registry_clear_leaving(&shard->registry);
    shard->metadata_forget_proposed = false;
    metadata_store_clear_leaving(shard->metadata);
    forget_who_stated(shard);
}

void shard_forget_clear(struct shard *shard)
{
    drop_found(&shard->forgetting);
}

/* --- Applying -------------------------------------------------------------------------------- */

/*
 * What the leader knew when it proposed. Should it be wrong, nobody forgets anything: samples go
 * before memory. A head that is frozen in all logic, but not written here, has to be first: its
 * part needs to know the series.
 */
static enum error_code check_ids(const struct shard *shard, const struct forgotten_ids *forgotten,
                                 struct error *error)
{
    uint64_t growing_from = memory_index_first_id(shard->registry.growing);
    for (size_t i = 0; i < forgotten->count; i++) {
        uint64_t id = forgotten->ids[i];
        if (id >= growing_from || registry_target(&shard->registry, id) == TARGET_NONE ||
            head_has_series(shard->head, id))
            return error_set(error, ERROR_CONFLICT, "forget: series %llu is not quiet",
                             (unsigned long long)id);
    }
    for (size_t k = 0; k < shard->frozen_count; k++)
        for (size_t i = 0; i < forgotten->count; i++)
            if (head_has_series(shard->frozen[k]->head, forgotten->ids[i]))
                return error_set(error, ERROR_UNAVAILABLE, "forget: freeze %llu is being written",
                                 (unsigned long long)shard->frozen[k]->index);
    return ERROR_NONE;
}

/* The segment that an id below the growing index is in. */
static struct shard_segment *segment_of(struct shard *shard, uint64_t id)
{
    size_t low = 0, high = shard->segment_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (shard->segments[middle].first_id <= id)
            low = middle;
        else
            high = middle;
    }
    assert(high > low && shard->segments[low].first_id <= id);
    return &shard->segments[low];
}

static enum error_code forget_ids(struct shard *shard, const struct forgotten_ids *forgotten,
                                  struct error *error)
{
    struct id_set *logical = NULL, *hidden = NULL;
    enum error_code code =
        id_set_add(shard->forgotten, forgotten->ids, forgotten->count, &logical, error);
    if (code == ERROR_NONE && shard->hidden != shard->forgotten)
        code = id_set_add(shard->hidden, forgotten->ids, forgotten->count, &hidden, error);
    else if (code == ERROR_NONE)
        hidden = id_set_ref(logical);
    if (code != ERROR_NONE) {
        id_set_unref(logical);
        return code;
    }
    id_set_unref(shard->forgotten);
    id_set_unref(shard->hidden);
    shard->forgotten = logical;
    shard->hidden = hidden;
    for (size_t i = 0; i < forgotten->count; i++) {
        shard->foreign_series -= shard_id_is_foreign(shard, forgotten->ids[i]);
        registry_forget(&shard->registry, forgotten->ids[i]);
        segment_of(shard, forgotten->ids[i])->forgotten_count++;
    }
    shard->counters.series_forgotten += forgotten->count;
    return shard_publish(shard, error);
}

enum error_code shard_apply_forget(struct shard *shard, struct byte_reader *body,
                                   struct error *error)
{
    struct forgotten_ids forgotten;
    arena_reset(shard->apply_arena);
    enum error_code code = entry_decode_forget(body, shard->apply_arena, &forgotten, error);
    if (code == ERROR_NONE)
        code = check_ids(shard, &forgotten, error);
    if (code == ERROR_CONFLICT)
        log_event(LOG_ERROR, "shard", "an entry would forget a series in use",
                  "shard=%u error=\"%s\"", shard->options.shard_id, error->message);
    if (code == ERROR_NONE)
        code = forget_ids(shard, &forgotten, error);
    if (code != ERROR_NONE && code != ERROR_CONFLICT)
        return code;
    shard->forgetting.proposed = false;
    if (code == ERROR_CONFLICT)
        registry_clear_leaving(&shard->registry);
    return code;
}
