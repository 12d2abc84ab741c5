/* What the leader does before it proposes a write: resolve series, check samples, encode. */
#include <assert.h>
#include <stdlib.h>

#include "base/checksum.h"

#include "merge_plan.h"

/* --- Refusals ------------------------------------------------------------------------------- */

const char *shard_refusal_reason_text(enum shard_refusal_reason reason)
{
    static const char *const TEXTS[SHARD_REFUSAL_REASONS] = {
        [SHARD_REFUSED_FUTURE] = "out of bounds: the timestamp is too far in the future",
        [SHARD_REFUSED_TOO_OLD] = "out of bounds: the timestamp is older than the retention",
        [SHARD_REFUSED_CONFLICT] = "duplicate sample for timestamp with another value",
        [SHARD_REFUSED_SERIES_LIMIT] = "the limit of series is reached",
    };
    return TEXTS[reason];
}

const char *shard_refusal_reason_name(enum shard_refusal_reason reason)
{
    static const char *const NAMES[SHARD_REFUSAL_REASONS] = {
        [SHARD_REFUSED_FUTURE] = "future",
        [SHARD_REFUSED_TOO_OLD] = "too_old",
        [SHARD_REFUSED_CONFLICT] = "conflict",
        [SHARD_REFUSED_SERIES_LIMIT] = "series_limit",
    };
    return NAMES[reason];
}

static void refuse(struct shard_write *write, enum shard_refusal_reason reason, uint32_t origin,
                   int64_t timestamp_ms)
{
    write->refused_counts[reason]++;
    if (write->refusal_count < SHARD_REFUSALS_KEPT)
        write->refusals[write->refusal_count++] =
            (struct shard_refusal){reason, origin, timestamp_ms};
}

/* --- Series that entries in flight will add -------------------------------------------------- */

static struct hash128 series_identity(const struct shard *shard, struct text tenant,
                                      struct labels labels)
{
    return labels_hash(labels, hash64(tenant.data, tenant.size, shard->options.hash_seed));
}

static bool pending_is_live(const struct shard *shard, const struct pending_series *pending)
{
    return pending->id >= shard->registry.next_id;
}

/* The place of `hash`, or where it would go: an empty place at the end of its run. Applied ones
 * are passed over, so that runs stay whole. */
static struct pending_series *pending_find(struct pending_series *table, size_t capacity,
                                           struct hash128 hash)
{
    for (size_t i = hash.low & (capacity - 1);; i = (i + 1) & (capacity - 1))
        if (table[i].id == 0 || hash128_equal(table[i].hash, hash))
            return &table[i];
}

/* Room for so many more: applied ones are dropped first. */
static bool pending_reserve(struct shard *shard, size_t count)
{
    if ((shard->pending_count + count) * 2 <= shard->pending_capacity)
        return true;
    size_t live = 0;
    for (size_t i = 0; i < shard->pending_capacity; i++)
        live += shard->pending[i].id != 0 && pending_is_live(shard, &shard->pending[i]);
    size_t capacity = 256;
    while (capacity < (live + count) * 4)
        capacity *= 2;
    struct pending_series *table = calloc(capacity, sizeof *table);
    if (table == NULL)
        return false;
    for (size_t i = 0; i < shard->pending_capacity; i++)
        if (shard->pending[i].id != 0 && pending_is_live(shard, &shard->pending[i]))
            *pending_find(table, capacity, shard->pending[i].hash) = shard->pending[i];
    free(shard->pending);
    shard->pending = table;
    shard->pending_capacity = capacity;
    shard->pending_count = live;
    return true;
}

/* --- Resolving new series --------------------------------------------------------------------- */

/* The series that get an id from this write, as the entry lists them. */
struct added_series {
    struct entry_series *items; /* in the arena */
    size_t count;
};

static void resolve_one(struct shard *shard, struct shard_write *write,
                        struct shard_new_series *series, struct hash128 hash,
                        struct added_series *added)
{
    if (series->id != SHARD_ID_UNKNOWN && registry_touch(&shard->registry, series->id))
        return; /* shard_resolve found it */
    series->id = SHARD_ID_UNKNOWN;
    if (registry_find_in_memory(&shard->registry, write->tenant, series->labels, &series->id))
        return;
    series->id = SHARD_ID_UNKNOWN;
    struct pending_series *place = pending_find(shard->pending, shard->pending_capacity, hash);
    if (place->id != 0 && pending_is_live(shard, place)) {
        series->id = place->id;
        return;
    }
    if (shard_series_are_full(shard))
        return; /* stays unknown: its samples are refused */
    if (place->id == 0)
        shard->pending_count++;
    *place = (struct pending_series){hash, shard->proposed_next_id++};
    shard_count_series(shard);
    series->id = place->id;
    series->created = true;
    added->items[added->count++] = (struct entry_series){series->slot, series->labels};
}

/* Where each series would be found is on its way to the cache before the first is looked for. */
static enum error_code resolve_series(struct shard *shard, struct shard_write *write,
                                      struct added_series *added, struct error *error)
{
    size_t count = write->new_series_count;
    if (count == 0)
        return ERROR_NONE;
    struct hash128 *hashes = calloc(count, sizeof *hashes);
    if (hashes == NULL || !pending_reserve(shard, count)) {
        free(hashes);
        return error_set(error, ERROR_OUT_OF_MEMORY, "series in flight");
    }
    for (size_t i = 0; i < count; i++) {
        struct labels labels = write->new_series[i].labels;
        hashes[i] = series_identity(shard, write->tenant, labels);
        __builtin_prefetch(&shard->pending[hashes[i].low & (shard->pending_capacity - 1)], 1);
        registry_prefetch(&shard->registry, labels);
    }
    for (size_t i = 0; i < count; i++)
        resolve_one(shard, write, &write->new_series[i], hashes[i], added);
    free(hashes);
    return ERROR_NONE;
}

/* The id that a sample names, SHARD_ID_UNKNOWN for a series that was refused. */
static uint64_t resolved_id(const struct shard_write *write, uint64_t id)
{
    return id & SHARD_SERIES_NEW ? write->new_series[id & ~SHARD_SERIES_NEW].id : id;
}

/* --- Checking samples ------------------------------------------------------------------------ */

struct bounds {
    int64_t oldest_ms;
    int64_t newest_ms;
};

static struct bounds time_bounds(struct shard *shard)
{
    struct clock *clock = shard->options.environment->clock;
    int64_t now_ms = clock_now_ms(clock);
    struct bounds bounds = {.oldest_ms = 0, .newest_ms = now_ms + shard->options.future_window_ms};
    int64_t oldest_ms =
        retention_before(steady_clock_now_ms(&shard->steady, clock), retention_longest_ms(shard));
    if (oldest_ms > 0)
        bounds.oldest_ms = oldest_ms;
    if (shard->retention_cutoff_ms > bounds.oldest_ms)
        bounds.oldest_ms = shard->retention_cutoff_ms;
    return bounds;
}

enum sample_fate { SAMPLE_STORED, SAMPLE_KNOWN, SAMPLE_REFUSED, SAMPLE_STALE_ID };

/* Ids from next_id on are in flight, hence fresh; behind those are some that nobody gave. */
static bool id_is_known(struct shard *shard, uint64_t id)
{
    return id < shard->registry.next_id ? registry_touch(&shard->registry, id)
                                        : id < shard->proposed_next_id;
}

/* The newest sample of a series, in the growing head or the frozen ones. A deletion may cover what
 * was frozen before it, and then neither repeats nor contradicts anything. */
static bool newest_of(const struct shard *shard, uint64_t id, struct head_newest *newest)
{
    if (head_newest_sample(shard->head, id, newest))
        return true;
    size_t deletions = tombstones_count(shard->tombstones);
    uint64_t deleted_index =
        deletions == 0 ? 0 : tombstones_at(shard->tombstones, deletions - 1)->index;
    for (size_t i = shard->frozen_count; i > 0 && shard->frozen[i - 1]->index >= deleted_index; i--)
        if (head_newest_sample(shard->frozen[i - 1]->head, id, newest))
            return true;
    return false;
}

static enum sample_fate check_time_and_id(struct shard *shard, struct shard_write *write,
                                          const struct bounds *bounds, uint64_t id,
                                          int64_t timestamp_ms, uint32_t origin)
{
    if (timestamp_ms > bounds->newest_ms || timestamp_ms < bounds->oldest_ms) {
        refuse(write,
               timestamp_ms > bounds->newest_ms ? SHARD_REFUSED_FUTURE : SHARD_REFUSED_TOO_OLD,
               origin, timestamp_ms);
        return SAMPLE_REFUSED;
    }
    if (id == SHARD_ID_UNKNOWN) {
        refuse(write, SHARD_REFUSED_SERIES_LIMIT, origin, timestamp_ms);
        return SAMPLE_REFUSED;
    }
    if (!id_is_known(shard, id)) {
        write->stale_origins[write->stale_count++] = origin;
        return SAMPLE_STALE_ID;
    }
    return SAMPLE_STORED;
}

/* `head_ms` is the time of the newest sample in the growing head, INT64_MIN: none. */
static enum sample_fate check_float(struct shard *shard, struct shard_write *write,
                                    const struct bounds *bounds, size_t i, int64_t head_ms)
{
    int64_t timestamp_ms = write->timestamps_ms[i];
    enum sample_fate fate =
        check_time_and_id(shard, write, bounds, write->ids[i], timestamp_ms, write->origins[i]);
    struct head_newest newest;
    if (fate != SAMPLE_STORED || (head_ms != timestamp_ms && head_ms != INT64_MIN) ||
        !newest_of(shard, write->ids[i], &newest) || newest.timestamp_ms != timestamp_ms)
        return fate;
    if (!newest.is_histogram && newest.bits == double_to_bits(write->values[i]))
        return SAMPLE_KNOWN;
    refuse(write, SHARD_REFUSED_CONFLICT, write->origins[i], timestamp_ms);
    return SAMPLE_REFUSED;
}

static void resolve_ids(const struct shard_write *write, uint64_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ids[i] = resolved_id(write, ids[i]);
}

/* Keep what is to be stored, in front. */
static void check_floats(struct shard *shard, struct shard_write *write,
                         const struct bounds *bounds)
{
    enum { TIMES = 256 };
    int64_t head_ms[TIMES];
    size_t kept = 0;
    for (size_t i = 0; i < write->float_count; i++) {
        if (i % TIMES == 0) {
            size_t count = write->float_count - i < TIMES ? write->float_count - i : TIMES;
            resolve_ids(write, write->ids + i, count);
            head_newest_times(shard->head, write->ids + i, count, head_ms);
        }
        enum sample_fate fate = check_float(shard, write, bounds, i, head_ms[i % TIMES]);
        /* A head takes exemplars of series that it has samples of: the known one is perhaps in a
         * frozen head. Apply leaves out what is there twice. */
        if (fate == SAMPLE_KNOWN && write->exemplar_count > 0)
            fate = SAMPLE_STORED;
        if (fate == SAMPLE_STORED) {
            write->ids[kept] = write->ids[i];
            write->timestamps_ms[kept] = write->timestamps_ms[i];
            write->values[kept] = write->values[i];
            write->origins[kept] = write->origins[i];
            if (write->start_timestamps_ms != NULL)
                write->start_timestamps_ms[kept] = write->start_timestamps_ms[i];
            kept++;
        }
        write->floats_written += fate == SAMPLE_STORED || fate == SAMPLE_KNOWN;
    }
    write->float_count = kept;
}

/* A histogram equal to the newest is stored once more; apply drops it. */
static void check_histograms(struct shard *shard, struct shard_write *write,
                             const struct bounds *bounds)
{
    size_t kept = 0;
    for (size_t i = 0; i < write->histogram_count; i++) {
        struct entry_histogram *histogram = &write->histograms[i];
        histogram->id = resolved_id(write, histogram->id);
        if (check_time_and_id(shard, write, bounds, histogram->id, histogram->timestamp_ms,
                              write->histogram_origins[i]) != SAMPLE_STORED)
            continue;
        struct head_newest newest;
        if (newest_of(shard, histogram->id, &newest) &&
            newest.timestamp_ms == histogram->timestamp_ms &&
            (!newest.is_histogram || newest.bits != double_to_bits(histogram->histogram.sum))) {
            refuse(write, SHARD_REFUSED_CONFLICT, write->histogram_origins[i],
                   histogram->timestamp_ms);
            continue;
        }
        write->histograms[kept] = *histogram;
        write->histogram_origins[kept++] = write->histogram_origins[i];
    }
    write->histogram_count = kept;
    write->histograms_written += kept;
}

/* The time of a part reaches from its oldest to its newest, exemplars included: one out of bounds
 * would make it last for ever. */
static void check_exemplars(struct shard *shard, struct shard_write *write,
                            const struct bounds *bounds)
{
    size_t kept = 0;
    for (size_t i = 0; i < write->exemplar_count; i++) {
        struct entry_exemplar exemplar = write->exemplars[i];
        int64_t timestamp_ms = exemplar.exemplar.timestamp_ms;
        exemplar.id = resolved_id(write, exemplar.id);
        if (exemplar.id == SHARD_ID_UNKNOWN || timestamp_ms < bounds->oldest_ms ||
            timestamp_ms > bounds->newest_ms)
            continue;
        if (!id_is_known(shard, exemplar.id))
            continue;
        write->exemplars[kept++] = exemplar;
    }
    write->exemplar_count = kept;
    write->exemplars_written += kept;
}

static void check_metadata(struct shard *shard, struct shard_write *write)
{
    size_t kept = 0;
    for (size_t i = 0; i < write->metadata_count; i++)
        if (!metadata_store_touch(shard->metadata, write->tenant, write->metadata[i].metric_name,
                                  &write->metadata[i].metadata))
            write->metadata[kept++] = write->metadata[i];
    write->metadata_count = kept;
}

/* --- Public --------------------------------------------------------------------------------- */

void shard_prepare_begin(struct shard *shard, struct byte_buffer *buffer)
{
    byte_buffer_reset(buffer);
    shard->prepared_next_id = shard->proposed_next_id;
    entry_encode_write(buffer, clock_now_ms(shard->options.environment->clock),
                       shard->proposed_next_id);
}

/* Ids from here on were given to nobody. */
static void withdraw_ids(struct shard *shard, uint64_t next_id)
{
    for (size_t i = 0; i < shard->pending_capacity; i++)
        if (shard->pending[i].id >= next_id)
            shard->pending[i] = (struct pending_series){.id = PENDING_WITHDRAWN};
    shard->proposed_next_id = next_id;
}

void shard_prepare_cancel(struct shard *shard)
{
    withdraw_ids(shard, shard->prepared_next_id);
}

static enum error_code check_room(const struct shard *shard, struct error *error)
{
    if (shard->frozen_count == FROZEN_HEADS_MAX && shard->unfrozen_bytes > SHARD_UNFROZEN_BYTES_MAX)
        return error_set(error, ERROR_UNAVAILABLE,
                         "the disk is behind: %d frozen heads wait to be written",
                         FROZEN_HEADS_MAX);
    return ERROR_NONE;
}

/* Late samples wait while the merges are behind with them; others do not. */
static enum error_code check_late(struct shard *shard, const struct shard_write *write,
                                  struct error *error)
{
    if (!shard->late_is_full)
        return ERROR_NONE;
    int64_t late_before_ms = merge_late_before(clock_now_ms(shard->options.environment->clock));
    uint64_t late = 0;
    for (size_t i = 0; i < write->float_count; i++)
        late += write->timestamps_ms[i] < late_before_ms;
    for (size_t i = 0; i < write->histogram_count; i++)
        late += write->histograms[i].timestamp_ms < late_before_ms;
    if (late == 0)
        return ERROR_NONE;
    shard->counters.late_refused += late;
    return error_set(error, ERROR_UNAVAILABLE,
                     "late samples come faster than they are merged into blocks");
}

/* The write is answered at once: an id that waits for another entry may never come to be. */
static void forget_ids_in_flight(const struct shard *shard, struct shard_write *write)
{
    for (size_t i = 0; i < write->new_series_count; i++)
        if (write->new_series[i].id >= shard->registry.next_id)
            write->new_series[i].id = SHARD_ID_UNKNOWN;
}

enum error_code shard_prepare_write(struct shard *shard, struct shard_write *write,
                                    struct byte_buffer *buffer, bool *added_out,
                                    struct error *error)
{
    enum error_code code = check_room(shard, error);
    if (code == ERROR_NONE)
        code = check_late(shard, write, error);
    if (code == ERROR_NONE && (shard->split_proposed || shard->lacks_slots))
        code = shard_check_slots(shard, write, error);
    if (code != ERROR_NONE)
        return code;
    struct added_series added = {.items = calloc(write->new_series_count + 1, sizeof *added.items)};
    if (added.items == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "new series of a write");
    uint64_t next_id_before = shard->proposed_next_id;
    size_t size_before = buffer->size;
    code = resolve_series(shard, write, &added, error);
    if (code == ERROR_NONE) {
        struct bounds bounds = time_bounds(shard);
        check_floats(shard, write, &bounds);
        check_histograms(shard, write, &bounds);
        check_exemplars(shard, write, &bounds);
        check_metadata(shard, write);
        struct entry_part part = {
            .tenant = write->tenant,
            .source = write->source,
            .series = added.items,
            .series_count = added.count,
            .ids = write->ids,
            .timestamps_ms = write->timestamps_ms,
            .values = write->values,
            .start_timestamps_ms = write->start_timestamps_ms,
            .float_count = write->float_count,
            .histograms = write->histograms,
            .histogram_count = write->histogram_count,
            .exemplars = write->exemplars,
            .exemplar_count = write->exemplar_count,
            .metadata = write->metadata,
            .metadata_count = write->metadata_count,
        };
        *added_out = added.count + part.float_count + part.histogram_count + part.exemplar_count +
                         part.metadata_count >
                     0;
        if (*added_out)
            entry_encode_part(buffer, &part);
        else
            forget_ids_in_flight(shard, write);
        if (buffer->failed)
            code = error_set(error, ERROR_OUT_OF_MEMORY, "entry of %zu bytes", buffer->size);
    }
    if (code != ERROR_NONE) {
        buffer->size = size_before;
        buffer->failed = false; /* what is in it is whole */
        withdraw_ids(shard, next_id_before);
    }
    free(added.items);
    return code;
}

/* --- Series in files ------------------------------------------------------------------------ */

struct shard_resolver {
    struct view *view;
    uint64_t generation;
};

/* What a look-up in files found may be forgotten by now. */
static bool is_resolved(const struct shard *shard, const struct shard_new_series *series)
{
    return series->id != SHARD_ID_UNKNOWN &&
           registry_target(&shard->registry, series->id) != TARGET_NONE &&
           !registry_is_leaving(&shard->registry, series->id);
}

bool shard_needs_resolving(struct shard *shard, struct shard_write *write)
{
    /* What was not in the files then can be in a newer one only. */
    if (write->resolved_generation == shard->registry.segment_generation)
        return false;
    bool needs = false;
    for (size_t i = 0; i < write->new_series_count; i++) {
        uint64_t id;
        struct shard_new_series *series = &write->new_series[i];
        if (is_resolved(shard, series))
            continue;
        series->id = SHARD_ID_UNKNOWN;
        needs |= !registry_find_in_memory(&shard->registry, write->tenant, series->labels, &id);
    }
    return needs;
}

enum error_code shard_resolver_create(struct shard *shard, struct shard_resolver **resolver_out,
                                      struct error *error)
{
    struct shard_resolver *resolver = malloc(sizeof *resolver);
    if (resolver == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "resolver");
    resolver->view = shard_view(shard);
    resolver->generation = shard->registry.segment_generation;
    *resolver_out = resolver;
    return ERROR_NONE;
}

enum error_code shard_resolve(struct shard_resolver *resolver, struct shard_write *write,
                              struct error *error)
{
    struct segment_lookup *lookups = calloc(write->new_series_count, sizeof *lookups);
    if (lookups == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "look-up of new series");
    for (size_t i = 0; i < write->new_series_count; i++)
        lookups[i] = (struct segment_lookup){
            .tenant = write->tenant,
            .labels = write->new_series[i].labels,
            .hash = series_segment_hash(write->tenant, write->new_series[i].labels),
            .found = write->new_series[i].id != SHARD_ID_UNKNOWN,
            .id = write->new_series[i].id,
        };
    enum error_code code = ERROR_NONE;
    for (size_t i = resolver->view->segment_count; code == ERROR_NONE && i > 0; i--)
        code = series_segment_find(resolver->view->segments[i - 1], lookups,
                                   write->new_series_count, error);
    for (size_t i = 0; code == ERROR_NONE && i < write->new_series_count; i++)
        if (lookups[i].found)
            write->new_series[i].id = lookups[i].id;
    free(lookups);
    if (code == ERROR_NONE)
        write->resolved_generation = resolver->generation;
    return code;
}

void shard_resolver_destroy(struct shard_resolver *resolver)
{
    if (resolver == NULL)
        return;
    view_unref(resolver->view);
    free(resolver);
}
