/* Parts go to the shards; what comes back becomes aliases, refusals, another attempt, or an end. */
#include "ingest_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { ATTEMPTS_MAX = 2 };

/* --- Learning --------------------------------------------------------------------------------- */

/* The ids that the shard gave; the aliases are put when all shards have answered, in the order of
 * the request, so that the next request finds each beside the one before. */
static void note_ids(struct shard_part *part)
{
    const struct shard_write *write = &part->write.write;
    struct ingest_work *work = part->request->work;
    for (size_t i = 0; i < write->new_series_count; i++) {
        struct destination *destination = &work->destinations[part->new_origins[i]];
        destination->learned = write->new_series[i].id != SHARD_ID_UNKNOWN;
        destination->series_id = write->new_series[i].id;
        work->created_count += write->new_series[i].created;
    }
    work->learned_count += write->new_series_count;
}

static void remember_aliases(struct ingest_request *request)
{
    struct ingest *ingest = request->ingest;
    const struct write_series *series = request->decoded.series;
    if (request->work->learned_count == 0)
        return;
    const struct portion *portion = &request->work->portion;
    for (size_t i = portion->series_first; i < portion->series_end; i++) {
        const struct destination *destination = &request->work->destinations[i];
        if (i + ALIAS_PREFETCH < portion->series_end)
            alias_table_prefetch(&ingest->aliases, series[i + ALIAS_PREFETCH].alias);
        if (destination->shard != SHARD_NONE && destination->learned)
            alias_table_put(&ingest->aliases, series[i].alias, destination->shard,
                            destination->series_id);
    }
    counter_add(ingest->options.metrics->new_series, request->work->created_count);
    request->work->learned_count = request->work->created_count = 0;
}

/* --- Attempts --------------------------------------------------------------------------------- */

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

static void send_portion(struct ingest_request *request);

/* Ids that the shard no longer knows: forget the aliases and send those series with labels. */
static bool send_stale_again(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    size_t stale = 0;
    for (size_t s = 0; s < request->ingest->options.slots->shard_count; s++) {
        struct shard_write *write = &work->parts[s].write.write;
        for (size_t i = 0; i < write->stale_count; i++) {
            const struct write_series *series = &request->decoded.series[write->stale_origins[i]];
            alias_table_remove(&request->ingest->aliases, series->alias);
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
    ingest_find_aliases(request, work->portion.series_first, work->portion.series_end);
    send_portion(request);
    return true;
}

/* --- Answers ---------------------------------------------------------------------------------- */

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
        ingest_note_refusals(part);
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
    ingest_dispatch(request);
}

/* --- Sending ---------------------------------------------------------------------------------- */

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
        ingest_dispatch(request);
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

static void send_portion(struct ingest_request *request)
{
    struct error error;
    enum error_code code = ingest_place(request, &error);
    if (code == ERROR_NONE)
        code = ingest_build_parts(request, &error);
    if (code != ERROR_NONE)
        ingest_fail(request, INGEST_UNAVAILABLE, INGEST_REASON_UNAVAILABLE, &error);
    else
        send_parts(request);
}

/* The portion under way, if there is one, is answered: the next one, or the end. */
void ingest_dispatch(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    if (work->unavailable || !portion_next(&work->portion, &request->decoded)) {
        ingest_conclude(request);
        return;
    }
    keep_tally(request);
    work->attempt = 0;
    send_portion(request);
}
