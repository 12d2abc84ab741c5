#include "ingest/ingest.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "wire/compression.h"

#include "alias_table.h"
#include "portion.h"
#include "series_check.h"
#include "tenant_rate.h"

/* --- Types ------------------------------------------------------------------------------------ */

enum { ATTEMPTS_MAX = 2 };

/* Where a series of the request goes. */
struct destination {
    struct hash128 alias;
    uint64_t series_id; /* or SHARD_SERIES_NEW | k */
    uint32_t shard;     /* SHARD_NONE: refused */
    bool learned;       /* the shard gave the id just now */
};

#define SHARD_NONE UINT32_MAX

/* The part of a request for one shard. */
struct shard_part {
    struct replica_write write; /* first */
    struct ingest_request *request;
    size_t float_count;
    size_t histogram_count;
    size_t exemplar_count;
    size_t new_count;
    uint32_t *new_origins; /* [new_count], series of the request */
    bool sent;
};

/* What came of the portions before the one under way, should that have to be sent again. */
struct tally {
    uint64_t samples_written;
    uint64_t histograms_written;
    uint64_t exemplars_written;
    size_t refused_counts[INGEST_REASONS];
    size_t refused_total;
};

struct ingest_work {
    struct destination *destinations; /* [series_count] */
    struct shard_part *parts;         /* [shard_count] */
    struct portion portion;           /* of the request, under way */
    struct tally before;
    size_t learned_count;
    size_t outstanding;
    unsigned attempt;
    bool unavailable;
    size_t refused_counts[INGEST_REASONS];
    size_t refused_total;
};

struct ingest {
    struct ingest_options options;
    struct alias_table aliases;
    struct log_limit log_limit;
    uint64_t in_flight;
    struct tenant_rate rate;
};

/* --- Refusals --------------------------------------------------------------------------------- */

/* The first refusal gives the answer its words; all are counted. */
static void refuse(struct ingest_request *request, enum ingest_reason reason, size_t count,
                   const char *series, const char *text)
{
    request->work->refused_counts[reason] += count;
    request->work->refused_total += count;
    if (request->message[0] == '\0')
        snprintf(request->message, sizeof request->message, "%s%s%s", text,
                 series[0] == '\0' ? "" : ": series ", series);
}

/* The labels of a refused series as far as they can be read; otherwise its place. */
static const char *format_labels(const struct ingest_request *request, uint32_t series,
                                 char *target, size_t size)
{
    const struct write_labels *labels = &request->decoded.series[series].labels;
    struct label *array;
    size_t count = write_labels_readable(&request->decoded, labels, request->arena, &array);
    bool is_bare = count == 0 && labels->size + labels->reference_count > 0;
    count = label_array_sort(array, count);
    struct labels built = labels_build(request->arena, array, count);
    if (built.bytes != NULL && !is_bare)
        return labels_format(target, size, built);
    snprintf(target, size, "number %u of the request", series + 1);
    return target;
}

static void refuse_series(struct ingest_request *request, uint32_t series,
                          enum ingest_reason reason, const char *text)
{
    char labels[512];
    const struct write_series *refused = &request->decoded.series[series];
    size_t samples = refused->sample_count + refused->histogram_count;
    format_labels(request, series, labels, sizeof labels);
    refuse(request, reason, samples == 0 ? 1 : samples, labels, text);
}

/* One of its samples. */
static void refuse_sample(struct ingest_request *request, uint32_t series,
                          enum ingest_reason reason, const char *text)
{
    char labels[512];
    format_labels(request, series, labels, sizeof labels);
    refuse(request, reason, 1, labels, text);
}

static void log_refusals(struct ingest_request *request, size_t refused)
{
    uint64_t suppressed;
    char tenant[TENANT_ID_BYTES_MAX * 2 + 16], message[INGEST_MESSAGE_MAX + 256];
    if (!log_limit_allow(&request->ingest->log_limit, clock_now_ms(request->ingest->options.clock),
                         &suppressed))
        return;
    log_event(LOG_WARNING, "ingest", "samples were refused",
              "tenant=%s refused=%zu reason=%s suppressed=%llu",
              log_quote(tenant, sizeof tenant, request->tenant), refused,
              log_quote(message, sizeof message, text_of(request->message)),
              (unsigned long long)suppressed);
}

/* --- Ending ----------------------------------------------------------------------------------- */

static void done_task(struct task *task)
{
    struct ingest_request *request =
        (struct ingest_request *)((char *)task - offsetof(struct ingest_request, task));
    request->ingest->in_flight--;
    request->done(request);
}

static void finish(struct ingest_request *request, enum ingest_status status)
{
    struct ingest *ingest = request->ingest;
    struct ingest_metrics *metrics = ingest->options.metrics;
    request->status = status;
    counter_add(metrics->samples, request->samples_written);
    counter_add(metrics->histograms, request->histograms_written);
    counter_add(metrics->exemplars, request->exemplars_written);
    distribution_observe(metrics->duration_seconds,
                         (double)(clock_monotonic_ns(ingest->options.clock) - request->started_ns) /
                             1e9);
    request->task.run = done_task;
    scheduler_defer(ingest->options.scheduler, &request->task);
}

/* Before anything was sent: the request as a whole. */
static void fail(struct ingest_request *request, enum ingest_status status,
                 enum ingest_reason reason, const struct error *error)
{
    counter_add(request->ingest->options.metrics->refused[reason], 1);
    snprintf(request->message, sizeof request->message, "%s", error->message);
    log_refusals(request, 1);
    finish(request, status);
}

static void conclude(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    for (size_t i = 0; i < INGEST_REASONS; i++)
        if (work->refused_counts[i] > 0)
            counter_add(request->ingest->options.metrics->refused[i], work->refused_counts[i]);
    if (work->refused_total > 0 || work->unavailable)
        log_refusals(request, work->refused_total);
    if (work->unavailable) {
        /* The sender sends it all again; what is stored already is then a duplicate. */
        counter_add(request->ingest->options.metrics->refused[INGEST_REASON_UNAVAILABLE], 1);
        finish(request, INGEST_UNAVAILABLE);
        return;
    }
    /* Exemplars never fail a request; those that were left out show as a count. */
    counter_add(request->ingest->options.metrics->refused[INGEST_REASON_EXEMPLAR],
                request->decoded.exemplar_count - request->exemplars_written);
    if (work->refused_total > 1) {
        size_t used = strlen(request->message);
        snprintf(request->message + used, sizeof request->message - used, " (and %zu more refused)",
                 work->refused_total - 1);
    }
    finish(request, work->refused_total > 0 ? INGEST_REFUSED : INGEST_STORED);
}

/* --- Answers of the shards -------------------------------------------------------------------- */

static enum ingest_reason reason_of(enum shard_refusal_reason reason)
{
    static const enum ingest_reason REASONS[SHARD_REFUSAL_REASONS] = {
        [SHARD_REFUSED_FUTURE] = INGEST_REASON_FUTURE,
        [SHARD_REFUSED_TOO_OLD] = INGEST_REASON_TOO_OLD,
        [SHARD_REFUSED_CONFLICT] = INGEST_REASON_CONFLICT,
        [SHARD_REFUSED_SERIES_LIMIT] = INGEST_REASON_SERIES_LIMIT,
    };
    return REASONS[reason];
}

static void note_refusals(struct shard_part *part)
{
    struct ingest_request *request = part->request;
    const struct shard_write *write = &part->write.write;
    for (size_t i = 0; i < write->refusal_count; i++) {
        const struct shard_refusal *refusal = &write->refusals[i];
        char labels[512], text[160];
        if (request->message[0] != '\0')
            break;
        format_labels(request, refusal->origin, labels, sizeof labels);
        snprintf(text, sizeof text, "%s, timestamp %lld ms",
                 shard_refusal_reason_text(refusal->reason), (long long)refusal->timestamp_ms);
        refuse(request, reason_of(refusal->reason), 0, labels, text);
    }
    for (size_t i = 0; i < SHARD_REFUSAL_REASONS; i++) {
        request->work->refused_counts[reason_of((enum shard_refusal_reason)i)] +=
            write->refused_counts[i];
        request->work->refused_total += write->refused_counts[i];
    }
}

/* The ids that the shard gave; the aliases are put when all shards have answered, in the order of
 * the request, so that the next request finds each beside the one before. */
static void note_ids(struct shard_part *part)
{
    const struct shard_write *write = &part->write.write;
    for (size_t i = 0; i < write->new_series_count; i++) {
        struct destination *destination = &part->request->work->destinations[part->new_origins[i]];
        destination->learned = write->new_series[i].id != SHARD_ID_UNKNOWN;
        destination->series_id = write->new_series[i].id;
    }
    part->request->work->learned_count += write->new_series_count;
}

static void remember_aliases(struct ingest_request *request)
{
    struct ingest *ingest = request->ingest;
    if (request->work->learned_count == 0)
        return;
    const struct portion *portion = &request->work->portion;
    for (size_t i = portion->series_first; i < portion->series_end; i++) {
        const struct destination *destination = &request->work->destinations[i];
        if (destination->shard != SHARD_NONE && destination->learned)
            alias_table_put(&ingest->aliases, destination->alias, destination->shard,
                            destination->series_id);
    }
    counter_add(ingest->options.metrics->new_series, request->work->learned_count);
    request->work->learned_count = 0;
}

static void dispatch(struct ingest_request *request);

static void keep_tally(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    work->before = (struct tally){
        .samples_written = request->samples_written,
        .histograms_written = request->histograms_written,
        .exemplars_written = request->exemplars_written,
        .refused_total = work->refused_total,
    };
    memcpy(work->before.refused_counts, work->refused_counts, sizeof work->refused_counts);
}

static void return_to_tally(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    const struct tally *before = &work->before;
    request->samples_written = before->samples_written;
    request->histograms_written = before->histograms_written;
    request->exemplars_written = before->exemplars_written;
    work->refused_total = before->refused_total;
    memcpy(work->refused_counts, before->refused_counts, sizeof work->refused_counts);
    if (before->refused_total == 0)
        request->message[0] = '\0';
}

/* The portion under way is answered: the next one, or the end. */
static void advance(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    if (work->unavailable || !portion_next(&work->portion, &request->decoded)) {
        conclude(request);
        return;
    }
    keep_tally(request);
    work->attempt = 0;
    dispatch(request);
}

/* Ids that the shard no longer knows: forget the aliases and send those series with labels. */
static bool send_stale_again(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    size_t stale = 0;
    for (size_t s = 0; s < request->ingest->options.slots->shard_count; s++) {
        struct shard_write *write = &work->parts[s].write.write;
        for (size_t i = 0; i < write->stale_count; i++) {
            struct destination *destination = &work->destinations[write->stale_origins[i]];
            alias_table_remove(&request->ingest->aliases, destination->alias);
            stale++;
        }
    }
    if (stale == 0)
        return false;
    if (++work->attempt > ATTEMPTS_MAX) {
        work->unavailable = true;
        snprintf(request->message, sizeof request->message, "series ids changed repeatedly");
        return false;
    }
    /* The whole portion again: what was stored is a duplicate. */
    return_to_tally(request);
    dispatch(request);
    return true;
}

static void part_done(struct replica_write *base)
{
    struct shard_part *part = (struct shard_part *)base;
    struct ingest_request *request = part->request;
    struct ingest_work *work = request->work;
    if (base->error.code != ERROR_NONE) {
        work->unavailable = true;
        snprintf(request->message, sizeof request->message, "shard %u: %s",
                 (unsigned)(part - work->parts), base->error.message);
    } else {
        note_ids(part);
        note_refusals(part);
        request->samples_written += base->write.floats_written;
        request->histograms_written += base->write.histograms_written;
        request->exemplars_written += base->write.exemplars_written;
    }
    assert(work->outstanding > 0);
    if (--work->outstanding > 0)
        return;
    remember_aliases(request);
    if (!work->unavailable && send_stale_again(request))
        return;
    advance(request);
}

/* --- Destinations ----------------------------------------------------------------------------- */

static uint64_t alias_seed(const struct ingest *ingest, struct text tenant)
{
    return hash64(tenant.data, tenant.size, ingest->options.hash_seed);
}

/* Series that need no look at their labels to be refused. */
static bool refused_at_sight(struct ingest_request *request, uint32_t index)
{
    const struct write_series *series = &request->decoded.series[index];
    bool has_samples = series->sample_count + series->histogram_count > 0;
    if (request->decoded.version == WRITE_VERSION_1)
        return false;
    if (series->reference_invalid) {
        refuse_series(request, index, INGEST_REASON_REFERENCE,
                      "a reference is outside the symbols");
        return true;
    }
    if (!has_samples) {
        refuse_series(request, index, INGEST_REASON_NO_SAMPLES,
                      "a series without samples or histograms");
        return true;
    }
    return false;
}

static enum error_code check_histogram(const struct write_histogram *sent, struct error *error)
{
    if (sent->status == ERROR_LIMIT)
        return error_set(error, ERROR_LIMIT, "histogram: more than %d buckets",
                         HISTOGRAM_BUCKETS_MAX);
    return histogram_validate(&sent->histogram, error);
}

/* Marks those that break a rule; false when nothing of the series is left. */
static bool check_histograms(struct ingest_request *request, uint32_t index)
{
    const struct write_series *series = &request->decoded.series[index];
    uint32_t valid = 0;
    for (uint32_t i = 0; i < series->histogram_count; i++) {
        struct write_histogram *sent = &request->decoded.histograms[series->histogram_first + i];
        struct error error;
        sent->status = check_histogram(sent, &error);
        if (sent->status == ERROR_NONE)
            valid++;
        else
            refuse_sample(request, index, INGEST_REASON_HISTOGRAM, error.message);
    }
    return valid + series->sample_count > 0;
}

/* Labels are looked at: checked, brought into canonical form, and placed. */
static enum error_code place_by_labels(struct ingest_request *request, uint32_t index,
                                       struct shard_new_series *new_series, struct error *error)
{
    struct ingest *ingest = request->ingest;
    struct destination *destination = &request->work->destinations[index];
    struct labels labels;
    enum ingest_reason reason;
    enum error_code code =
        series_check_labels(request, index, &ingest->options.limits, &labels, &reason, error);
    if (code == ERROR_OUT_OF_MEMORY)
        return code;
    if (code != ERROR_NONE) {
        refuse_series(request, index, reason, error->message);
        destination->shard = SHARD_NONE;
        return ERROR_NONE;
    }
    uint16_t slot = series_slot(request->tenant, labels, ingest->options.spread);
    destination->shard = slot_map_shard(ingest->options.slots, slot);
    *new_series = (struct shard_new_series){labels, slot, SHARD_ID_UNKNOWN};
    return ERROR_NONE;
}

struct placed_series {
    struct shard_new_series series;
    uint32_t origin;
};

static enum error_code place_all(struct ingest_request *request, struct placed_series *placed,
                                 size_t *placed_count, struct error *error)
{
    struct ingest *ingest = request->ingest;
    struct destination *destinations = request->work->destinations;
    struct portion *portion = &request->work->portion;
    size_t new_label_bytes = 0;
    uint64_t seed = alias_seed(ingest, request->tenant);
    alias_table_set_time(&ingest->aliases, clock_now_ms(ingest->options.clock));
    for (size_t i = portion->series_first; i < portion->series_end; i++)
        destinations[i].alias =
            write_labels_alias(&request->decoded, &request->decoded.series[i].labels, seed);
    size_t place = ALIAS_NONE;
    *placed_count = 0;
    for (size_t i = portion->series_first; i < portion->series_end; i++) {
        struct destination *destination = &destinations[i];
        const struct write_series *series = &request->decoded.series[i];
        destination->shard = SHARD_NONE;
        destination->learned = false;
        if (series->sample_count + series->histogram_count + series->exemplar_count == 0 &&
            request->decoded.version == WRITE_VERSION_1)
            continue; /* 1.0: nothing to store, nothing to say */
        if (refused_at_sight(request, (uint32_t)i) ||
            (series->histogram_count > 0 && !check_histograms(request, (uint32_t)i)))
            continue;
        const struct alias *alias =
            alias_table_find_next(&ingest->aliases, destination->alias, &place);
        if (alias != NULL) {
            destination->shard = alias->shard;
            destination->series_id = alias->series_id;
            continue;
        }
        struct placed_series *next = &placed[*placed_count];
        enum error_code code = place_by_labels(request, (uint32_t)i, &next->series, error);
        if (code != ERROR_NONE)
            return code;
        if (destination->shard == SHARD_NONE)
            continue;
        next->origin = (uint32_t)i;
        (*placed_count)++;
        new_label_bytes += next->series.labels.size;
        if (portion_ends_at(portion, i, new_label_bytes))
            break;
    }
    counter_add(ingest->options.metrics->alias_misses, *placed_count);
    return ERROR_NONE;
}

/* --- Parts of the shards ---------------------------------------------------------------------- */

static void count_parts(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    for (size_t i = work->portion.series_first; i < work->portion.series_end; i++) {
        const struct write_series *series = &request->decoded.series[i];
        if (work->destinations[i].shard == SHARD_NONE)
            continue;
        struct shard_part *part = &work->parts[work->destinations[i].shard];
        part->float_count += series->sample_count;
        part->histogram_count += series->histogram_count;
        part->exemplar_count += series->exemplar_count;
    }
}

static bool allocate_part(struct ingest_request *request, struct shard_part *part, bool with_starts)
{
    struct arena *arena = request->arena;
    struct shard_write *write = &part->write.write;
    size_t floats = part->float_count;
    write->tenant = request->tenant;
    write->new_series = arena_array(arena, part->new_count, sizeof *write->new_series);
    part->new_origins = arena_array(arena, part->new_count, sizeof *part->new_origins);
    write->ids = arena_allocate(arena, floats * sizeof *write->ids);
    write->timestamps_ms = arena_allocate(arena, floats * sizeof *write->timestamps_ms);
    write->values = arena_allocate(arena, floats * sizeof *write->values);
    write->origins = arena_allocate(arena, floats * sizeof *write->origins);
    write->start_timestamps_ms =
        with_starts ? arena_allocate(arena, floats * sizeof(int64_t)) : NULL;
    write->histograms = arena_array(arena, part->histogram_count, sizeof *write->histograms);
    write->histogram_origins =
        arena_array(arena, part->histogram_count, sizeof *write->histogram_origins);
    write->exemplars = arena_array(arena, part->exemplar_count, sizeof *write->exemplars);
    write->stale_origins =
        arena_allocate(arena, (floats + part->histogram_count) * sizeof *write->stale_origins);
    return write->new_series != NULL && part->new_origins != NULL && write->ids != NULL &&
           write->timestamps_ms != NULL && write->values != NULL && write->origins != NULL &&
           (!with_starts || write->start_timestamps_ms != NULL) && write->histograms != NULL &&
           write->histogram_origins != NULL && write->exemplars != NULL &&
           write->stale_origins != NULL;
}

static enum error_code append_exemplars(struct ingest_request *request, struct shard_write *write,
                                        uint32_t index, struct error *error)
{
    const struct write_series *series = &request->decoded.series[index];
    for (uint32_t i = 0; i < series->exemplar_count; i++) {
        const struct write_exemplar *sent = &request->decoded.exemplars[series->exemplar_first + i];
        struct entry_exemplar *exemplar = &write->exemplars[write->exemplar_count];
        enum error_code code = series_check_exemplar(request, sent, &exemplar->exemplar, error);
        if (code == ERROR_OUT_OF_MEMORY)
            return code;
        if (code != ERROR_NONE)
            continue; /* as in the reference: exemplars never fail a request */
        exemplar->id = request->work->destinations[index].series_id;
        write->exemplar_count++;
    }
    return ERROR_NONE;
}

static void refuse_conflict(struct ingest_request *request, uint32_t index, int64_t timestamp_ms)
{
    char text[128];
    snprintf(text, sizeof text, "%s, timestamp %lld ms",
             shard_refusal_reason_text(SHARD_REFUSED_CONFLICT), (long long)timestamp_ms);
    refuse_sample(request, index, INGEST_REASON_CONFLICT, text);
}

/* Whether the sample contradicts the newest before it in its own series; shards know only what
 * came with other requests. */
static bool is_conflict(struct ingest_request *request, uint32_t index,
                        const struct write_sample **newest, const struct write_sample *sample)
{
    if (*newest == NULL || sample->timestamp_ms > (*newest)->timestamp_ms) {
        *newest = sample;
        return false;
    }
    if (sample->timestamp_ms < (*newest)->timestamp_ms ||
        double_to_bits(sample->value) == double_to_bits((*newest)->value))
        return false;
    refuse_conflict(request, index, sample->timestamp_ms);
    return true;
}

/* The same for the `i`-th histogram of the series: against its newest float, and the one before. */
static bool histogram_is_conflict(struct ingest_request *request, uint32_t index, uint32_t i,
                                  const struct write_sample *newest)
{
    const struct write_series *series = &request->decoded.series[index];
    const struct write_histogram *sent = &request->decoded.histograms[series->histogram_first + i];
    bool conflict = newest != NULL && newest->timestamp_ms == sent->timestamp_ms;
    if (i > 0 && sent[-1].timestamp_ms == sent->timestamp_ms && sent[-1].status == ERROR_NONE)
        conflict |= !histogram_equal(&sent[-1].histogram, &sent->histogram);
    if (conflict)
        refuse_conflict(request, index, sent->timestamp_ms);
    return conflict;
}

static enum error_code append_series(struct ingest_request *request, uint32_t index,
                                     struct error *error)
{
    const struct write_series *series = &request->decoded.series[index];
    const struct destination *destination = &request->work->destinations[index];
    struct shard_write *write = &request->work->parts[destination->shard].write.write;
    const struct write_sample *newest = NULL;
    for (uint32_t i = 0; i < series->sample_count; i++) {
        const struct write_sample *sample = &request->decoded.samples[series->sample_first + i];
        if (is_conflict(request, index, &newest, sample))
            continue;
        size_t at = write->float_count++;
        write->ids[at] = destination->series_id;
        write->timestamps_ms[at] = sample->timestamp_ms;
        write->values[at] = sample->value;
        write->origins[at] = index;
        if (write->start_timestamps_ms != NULL)
            write->start_timestamps_ms[at] = sample->start_timestamp_ms;
    }
    for (uint32_t i = 0; i < series->histogram_count; i++) {
        const struct write_histogram *sent =
            &request->decoded.histograms[series->histogram_first + i];
        if (sent->status != ERROR_NONE || histogram_is_conflict(request, index, i, newest))
            continue;
        size_t at = write->histogram_count++;
        write->histograms[at] = (struct entry_histogram){
            .id = destination->series_id,
            .timestamp_ms = sent->timestamp_ms,
            .start_timestamp_ms = sent->start_timestamp_ms,
            .histogram = sent->histogram,
        };
        write->histogram_origins[at] = index;
    }
    return append_exemplars(request, write, index, error);
}

/* Metadata belongs to a metric, not to a series: it goes to the shard of the metric's hash. */
static enum error_code append_metadata(struct ingest_request *request, struct error *error)
{
    size_t shard_count = request->ingest->options.slots->shard_count;
    const struct portion *portion = &request->work->portion;
    size_t count = portion->metadata_end - portion->metadata_first;
    for (size_t s = 0; count > 0 && s < shard_count; s++) {
        struct shard_write *write = &request->work->parts[s].write.write;
        write->tenant = request->tenant;
        write->metadata = arena_array(request->arena, count, sizeof *write->metadata);
        if (write->metadata == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "metadata of the request");
    }
    for (size_t i = portion->metadata_first; i < portion->metadata_end; i++) {
        struct entry_metadata metadata;
        if (!series_check_metadata(request, &request->decoded.metadata[i], &metadata))
            continue;
        uint64_t hash =
            hash64(metadata.metric_name.data, metadata.metric_name.size, HASH_SEED_STORED);
        struct shard_write *write = &request->work->parts[hash % shard_count].write.write;
        write->metadata[write->metadata_count++] = metadata;
    }
    return ERROR_NONE;
}

static bool has_start_timestamps(const struct write_request *decoded)
{
    for (size_t i = 0; i < decoded->sample_count; i++)
        if (decoded->samples[i].start_timestamp_ms != 0)
            return true;
    return false;
}

static enum error_code build_parts(struct ingest_request *request,
                                   const struct placed_series *placed, size_t placed_count,
                                   struct error *error)
{
    struct ingest_work *work = request->work;
    size_t shard_count = request->ingest->options.slots->shard_count;
    bool with_starts = has_start_timestamps(&request->decoded);
    count_parts(request);
    for (size_t i = 0; i < placed_count; i++)
        work->parts[work->destinations[placed[i].origin].shard].new_count++;
    for (size_t s = 0; s < shard_count; s++) {
        struct shard_part *part = &work->parts[s];
        if (part->float_count + part->histogram_count + part->exemplar_count > 0 &&
            !allocate_part(request, part, with_starts))
            return error_set(error, ERROR_OUT_OF_MEMORY, "samples of the request");
    }
    for (size_t i = 0; i < placed_count; i++) {
        struct destination *destination = &work->destinations[placed[i].origin];
        struct shard_part *part = &work->parts[destination->shard];
        size_t at = part->write.write.new_series_count++;
        part->write.write.new_series[at] = placed[i].series;
        part->new_origins[at] = placed[i].origin;
        destination->series_id = SHARD_SERIES_NEW | at;
    }
    enum error_code code = ERROR_NONE;
    for (size_t i = work->portion.series_first; code == ERROR_NONE && i < work->portion.series_end;
         i++)
        if (work->destinations[i].shard != SHARD_NONE)
            code = append_series(request, (uint32_t)i, error);
    return code == ERROR_NONE ? append_metadata(request, error) : code;
}

static bool part_has_content(const struct shard_write *write)
{
    return write->float_count + write->histogram_count + write->exemplar_count +
               write->metadata_count >
           0;
}

static void send_parts(struct ingest_request *request)
{
    struct ingest *ingest = request->ingest;
    struct ingest_work *work = request->work;
    size_t shard_count = ingest->options.slots->shard_count;
    for (size_t s = 0; s < shard_count; s++) {
        work->parts[s].sent = part_has_content(&work->parts[s].write.write);
        work->outstanding += work->parts[s].sent;
    }
    if (work->outstanding == 0) {
        advance(request);
        return;
    }
    for (size_t s = 0; s < shard_count; s++) {
        struct shard_part *part = &work->parts[s];
        if (!part->sent)
            continue;
        part->request = request;
        part->write.origin = ingest->options.scheduler;
        part->write.done = part_done;
        replica_write(ingest->options.replicas[s], &part->write);
    }
}

/* Place every series of the portion and send the parts; also for a second attempt. */
static void dispatch(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    size_t shard_count = request->ingest->options.slots->shard_count;
    size_t placed_count = 0;
    struct error error;
    struct placed_series *placed =
        arena_allocate(request->arena, (work->portion.series_end - work->portion.series_first + 1) *
                                           sizeof *placed);
    work->parts = arena_array(request->arena, shard_count, sizeof *work->parts);
    enum error_code code = ERROR_NONE;
    if (placed == NULL || work->parts == NULL)
        code = error_set(&error, ERROR_OUT_OF_MEMORY, "the request needs too much memory");
    if (code == ERROR_NONE)
        code = place_all(request, placed, &placed_count, &error);
    if (code == ERROR_NONE)
        code = build_parts(request, placed, placed_count, &error);
    if (code != ERROR_NONE) {
        fail(request, INGEST_UNAVAILABLE, INGEST_REASON_UNAVAILABLE, &error);
        return;
    }
    send_parts(request);
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code ingest_create(const struct ingest_options *options, struct ingest **ingest_out,
                              struct error *error)
{
    struct ingest *ingest = calloc(1, sizeof *ingest);
    if (ingest == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "ingest");
    ingest->options = *options;
    ingest->log_limit = (struct log_limit){.interval_ms = 10000, .burst = 5};
    if (!alias_table_init(&ingest->aliases, options->limits.alias_bytes_max) ||
        !tenant_rate_init(&ingest->rate, options->limits.tenant_samples_per_second,
                          options->hash_seed)) {
        ingest_destroy(ingest);
        return error_set(error, ERROR_OUT_OF_MEMORY, "ingest");
    }
    *ingest_out = ingest;
    return ERROR_NONE;
}

void ingest_destroy(struct ingest *ingest)
{
    if (ingest == NULL)
        return;
    assert(ingest->in_flight == 0);
    alias_table_clear(&ingest->aliases);
    tenant_rate_clear(&ingest->rate);
    free(ingest);
}

void ingest_write(struct ingest *ingest, struct ingest_request *request)
{
    const struct ingest_limits *limits = &ingest->options.limits;
    struct error error;
    uint8_t *bytes;
    size_t size;
    request->ingest = ingest;
    request->message[0] = '\0';
    request->samples_written = request->histograms_written = request->exemplars_written = 0;
    request->started_ns = clock_monotonic_ns(ingest->options.clock);
    ingest->in_flight++;
    counter_add(ingest->options.metrics->requests, 1);
    enum error_code code =
        snappy_decode(request->body, request->body_size, limits->decoded_bytes_max, request->arena,
                      &bytes, &size, &error);
    if (code == ERROR_NONE)
        code = write_request_decode(request->version, bytes, size, limits->series_per_request_max,
                                    request->arena, &request->decoded, &error);
    if (code == ERROR_NONE)
        code = write_request_hash_symbols(&request->decoded, ingest->options.hash_seed,
                                          request->arena, &error);
    if (code == ERROR_NONE)
        code = portion_split_series(&request->decoded, request->arena, &error);
    if (code == ERROR_NONE) {
        request->work = arena_array(request->arena, 1, sizeof *request->work);
        if (request->work != NULL)
            request->work->destinations =
                arena_allocate(request->arena, (request->decoded.series_count + 1) *
                                                   sizeof *request->work->destinations);
        if (request->work == NULL || request->work->destinations == NULL)
            code = error_set(&error, ERROR_OUT_OF_MEMORY, "the request needs too much memory");
    }
    if (code == ERROR_LIMIT)
        fail(request, INGEST_TOO_LARGE, INGEST_REASON_TOO_LARGE, &error);
    else if (code == ERROR_OUT_OF_MEMORY)
        fail(request, INGEST_UNAVAILABLE, INGEST_REASON_UNAVAILABLE, &error);
    else if (code != ERROR_NONE)
        fail(request, INGEST_REFUSED, INGEST_REASON_MALFORMED, &error);
    else if (!tenant_rate_take(&ingest->rate, request->tenant,
                               request->decoded.sample_count + request->decoded.histogram_count,
                               request->started_ns)) {
        error_set(&error, ERROR_LIMIT, "the tenant's limit of %llu samples a second is reached",
                  (unsigned long long)limits->tenant_samples_per_second);
        fail(request, INGEST_RATE_LIMIT, INGEST_REASON_RATE_LIMIT, &error);
    } else
        advance(request);
}

void ingest_read_statistics(const struct ingest *ingest, struct ingest_statistics *statistics_out)
{
    *statistics_out = (struct ingest_statistics){
        .alias_count = ingest->aliases.count,
        .alias_bytes = alias_table_size_bytes(&ingest->aliases),
        .alias_evictions = ingest->aliases.evictions,
        .requests_in_flight = ingest->in_flight,
    };
}
