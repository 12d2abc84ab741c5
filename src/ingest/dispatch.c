/* Parts go to the shards; what comes back becomes aliases, refusals, another attempt, or an end. */
#include "ingest_private.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>

enum {
    STALE_ATTEMPTS_MAX = 2,
    PAUSE_FIRST_MS = 50,
    PAUSE_MS_MAX = 500,
    NS_PER_MS = 1000 * 1000,
};

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
            alias_table_put(&ingest->aliases, series[i].alias,
                            (struct alias_target){destination->series_id,
                                                  (uint16_t)destination->shard, destination->slot});
    }
    counter_add(ingest->options.metrics->new_series, request->work->created_count);
    request->work->learned_count = request->work->created_count = 0;
}

/* --- Once more -------------------------------------------------------------------------------- */

static void send_portion(struct ingest_request *request);

static void send_again(struct ingest_request *request)
{
    ingest_place_again(request);
    send_portion(request);
}

static void stop_waiting(struct ingest_work *work)
{
    struct ingest *ingest = work->request->ingest;
    *work->link = work->next;
    if (work->next != NULL)
        work->next->link = work->link;
    work->link = NULL;
    ingest->waiting_count--;
}

static void give_up(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    snprintf(request->message, sizeof request->message, "shard %u: %s",
             (unsigned)work->failed->shard, work->failed->write.error.message);
    work->unavailable = true;
    ingest_dispatch(request);
}

void ingest_stop_waiting(struct ingest_work *work)
{
    scheduler_timer_stop(work->request->ingest->options.scheduler, &work->timer);
    stop_waiting(work);
    give_up(work->request);
}

static void pause_over(struct timer *timer)
{
    struct ingest_work *work =
        (struct ingest_work *)((char *)timer - offsetof(struct ingest_work, timer));
    stop_waiting(work);
    send_again(work->request);
}

/* False: its time is over, or nobody waits for it. */
static bool wait_to_send_again(struct ingest_request *request)
{
    struct ingest *ingest = request->ingest;
    struct ingest_work *work = request->work;
    uint64_t now_ns = clock_monotonic_ns(ingest->options.clock);
    uint64_t until_ns = request->started_ns + (uint64_t)ingest->options.retry_ms * NS_PER_MS;
    if (until_ns > ingest->last_retry_ns)
        until_ns = ingest->last_retry_ns;
    if (now_ns >= until_ns || request->canceled ||
        work->failed->write.error.code != ERROR_UNAVAILABLE)
        return false;
    uint64_t left_ms = (until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
    work->pause_ms = work->pause_ms == 0 ? PAUSE_FIRST_MS : work->pause_ms * 2;
    if (work->pause_ms > PAUSE_MS_MAX)
        work->pause_ms = PAUSE_MS_MAX;
    for (const struct shard_part *part = work->parts; part != NULL; part = part->next)
        counter_add(ingest->options.metrics->retries, part->again);
    work->next = ingest->waiting;
    work->link = &ingest->waiting;
    if (work->next != NULL)
        work->next->link = &work->next;
    ingest->waiting = work;
    ingest->waiting_count++;
    work->timer = (struct timer){.fire = pause_over, .heap_index = TIMER_IDLE};
    scheduler_timer_start(ingest->options.scheduler, &work->timer,
                          work->pause_ms < left_ms ? work->pause_ms : left_ms);
    return true;
}

/* All parts are answered. Some shards may have stored what they say they have not: it is then a
 * duplicate. */
static void conclude_attempt(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    bool stale = false;
    for (const struct shard_part *part = work->parts; part != NULL; part = part->next)
        stale |= part->again;
    remember_aliases(request);
    if (work->failed != NULL) {
        if (!wait_to_send_again(request))
            give_up(request);
    } else if (!stale)
        ingest_dispatch(request);
    else if (++work->stale_attempts <= STALE_ATTEMPTS_MAX)
        send_again(request);
    else {
        snprintf(request->message, sizeof request->message, "series ids changed repeatedly");
        work->unavailable = true;
        ingest_dispatch(request);
    }
}

/* --- Answers ---------------------------------------------------------------------------------- */

/* Ids that the shard no longer knows: those series are sent again with labels. */
static void forget_stale(struct shard_part *part)
{
    struct ingest_request *request = part->request;
    const struct shard_write *write = &part->write.write;
    for (size_t i = 0; i < write->stale_count; i++)
        alias_table_remove(&request->ingest->aliases,
                           request->decoded.series[write->stale_origins[i]].alias);
    part->again = write->stale_count > 0;
}

static void part_done(struct replica_write *base)
{
    struct shard_part *part = (struct shard_part *)base;
    struct ingest_request *request = part->request;
    struct ingest_work *work = request->work;
    if (base->error.code != ERROR_NONE) {
        work->failed = part;
        part->again = true;
    } else {
        note_ids(part);
        forget_stale(part);
    }
    if (!part->again) {
        ingest_note_refusals(part);
        request->samples_written += base->write.floats_written;
        request->histograms_written += base->write.histograms_written;
        request->exemplars_written += base->write.exemplars_written;
    }
    assert(work->outstanding > 0);
    if (--work->outstanding == 0)
        conclude_attempt(request);
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
    for (struct shard_part *part = work->parts; part != NULL; part = part->next) {
        part->sent = part_has_content(&part->write.write);
        work->outstanding += part->sent;
    }
    if (work->outstanding == 0) {
        ingest_dispatch(request);
        return;
    }
    for (struct shard_part *part = work->parts; part != NULL; part = part->next) {
        if (!part->sent)
            continue;
        part->write.origin = ingest->options.scheduler;
        part->write.done = part_done;
        write_router_write(ingest->options.router, part->shard, &part->write);
    }
}

static void send_portion(struct ingest_request *request)
{
    struct error error;
    request->work->failed = NULL;
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
    for (struct shard_part *part = work->parts; part != NULL; part = part->next)
        part->again = false;
    work->placed_count = 0;
    work->stale_attempts = 0;
    work->pause_ms = 0;
    send_portion(request);
}
