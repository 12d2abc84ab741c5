/* The metrics of the write path. */
#include "ingest/ingest.h"

static const char *const REASON_NAMES[INGEST_REASONS] = {
    [INGEST_REASON_MALFORMED] = "malformed",
    [INGEST_REASON_TOO_LARGE] = "too_large",
    [INGEST_REASON_LABELS] = "labels",
    [INGEST_REASON_LABEL_LIMIT] = "label_limit",
    [INGEST_REASON_REFERENCE] = "reference",
    [INGEST_REASON_NO_SAMPLES] = "no_samples",
    [INGEST_REASON_HISTOGRAM] = "histogram",
    [INGEST_REASON_FUTURE] = "future",
    [INGEST_REASON_TOO_OLD] = "too_old",
    [INGEST_REASON_CONFLICT] = "conflict",
    [INGEST_REASON_SERIES_LIMIT] = "series_limit",
    [INGEST_REASON_EXEMPLAR] = "exemplar",
    [INGEST_REASON_RATE_LIMIT] = "rate_limit",
    [INGEST_REASON_UNAVAILABLE] = "unavailable",
};

bool ingest_metrics_create(struct ingest_metrics *out, struct metrics *metrics)
{
    struct counter *all[] = {
        metrics_counter(metrics, &(struct metric_options){"gnomon_ingest_requests_total",
                                                          "Remote-write requests.", NULL, 0}),
        metrics_counter(metrics, &(struct metric_options){"gnomon_ingest_samples_total",
                                                          "Float samples accepted.", NULL, 0}),
        metrics_counter(metrics, &(struct metric_options){"gnomon_ingest_histograms_total",
                                                          "Native histograms accepted.", NULL, 0}),
        metrics_counter(metrics, &(struct metric_options){"gnomon_ingest_exemplars_total",
                                                          "Exemplars accepted.", NULL, 0}),
        metrics_counter(metrics, &(struct metric_options){"gnomon_ingest_new_series_total",
                                                          "Series created.", NULL, 0}),
        metrics_counter(metrics, &(struct metric_options){"gnomon_ingest_alias_misses_total",
                                                          "Series whose labels had to be decoded.",
                                                          NULL, 0}),
        metrics_counter(metrics,
                        &(struct metric_options){"gnomon_ingest_retries_total",
                                                 "Parts of requests, one shard's each, that were "
                                                 "sent again because the shard was unavailable.",
                                                 NULL, 0}),
    };
    *out = (struct ingest_metrics){
        .requests = all[0],
        .samples = all[1],
        .histograms = all[2],
        .exemplars = all[3],
        .new_series = all[4],
        .alias_misses = all[5],
        .retries = all[6],
        .duration_seconds = metrics_distribution(
            metrics,
            &(struct metric_options){"gnomon_ingest_request_duration_seconds",
                                     "From the decoded body to the acknowledgement.", NULL, 0},
            METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT),
    };
    bool complete = out->duration_seconds != NULL;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        complete &= all[i] != NULL;
    for (size_t i = 0; i < INGEST_REASONS; i++) {
        struct metric_label label = {"reason", REASON_NAMES[i]};
        out->refused[i] = metrics_counter(
            metrics, &(struct metric_options){"gnomon_ingest_refused_total",
                                              "Samples, series or requests refused.", &label, 1});
        complete &= out->refused[i] != NULL;
    }
    return complete;
}
