/* How a request ends: counted, in words, and told on the loop. */
#include "ingest_private.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

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
void ingest_fail(struct ingest_request *request, enum ingest_status status,
                 enum ingest_reason reason, const struct error *error)
{
    counter_add(request->ingest->options.metrics->refused[reason], 1);
    snprintf(request->message, sizeof request->message, "%s", error->message);
    ingest_log_refusals(request, 1);
    finish(request, status);
}

void ingest_conclude(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    for (size_t i = 0; i < INGEST_REASONS; i++)
        if (work->refused_counts[i] > 0)
            counter_add(request->ingest->options.metrics->refused[i], work->refused_counts[i]);
    if (work->refused_total > 0 || work->unavailable)
        ingest_log_refusals(request, work->refused_total);
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
