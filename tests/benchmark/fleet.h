/*
 * fleet - the samples of a made-up fleet of hosts, each a pure function of (series, tick).
 *
 * A host has 500 series: node_exporter 184, kubelet 4, and eight pods, each with 12 series of
 * cAdvisor and kube-state-metrics and 27 of the application, among them a histogram of 10 + 1
 * buckets. Every target is scraped every 15 s at a phase of its own. Series are numbered host by
 * host and target by target, as a scraping Prometheus sends them.
 *
 * Values come in kinds with fixed shares (fleet.c): counters, counters in hundredths, rare and
 * idle counters, page-sized and noisy gauges, full mantissas, constants, histograms. They are on
 * the noisy side of what real fleets give.
 *
 * Nothing here is random: equal numbers give equal bytes, on every machine.
 */
#ifndef BENCHMARK_FLEET_H
#define BENCHMARK_FLEET_H

#include <stddef.h>
#include <stdint.h>

#include "model/labels.h"

enum {
    FLEET_HOST_SERIES = 500,
    FLEET_INTERVAL_MS = 15000,
    FLEET_LABELS_MAX = 12,
    FLEET_TEXT_MAX = 512,
};

struct fleet {
    uint64_t host_count;
    uint64_t first_host; /* another number makes other hosts of the same kind */
    int64_t start_ms;    /* when tick 0 begins; a multiple of FLEET_INTERVAL_MS */
};

/* Labels of a series by name; the texts are views of `memory` and of constants. */
struct fleet_labels {
    struct label labels[FLEET_LABELS_MAX];
    size_t count;
    char memory[FLEET_TEXT_MAX];
    size_t memory_used;
};

static inline uint64_t fleet_series_count(const struct fleet *fleet)
{
    return fleet->host_count * FLEET_HOST_SERIES;
}

/* `series` is below fleet_series_count. */
void fleet_describe(const struct fleet *fleet, uint64_t series, struct fleet_labels *labels_out);

/* When the target of `series` is scraped in `tick`. */
int64_t fleet_timestamp_ms(const struct fleet *fleet, uint64_t series, uint64_t tick);

/* The values of one series, tick after tick. */
struct fleet_cursor {
    uint64_t key;  /* seeds what changes from tick to tick */
    uint64_t tick; /* of the next value */
    int64_t level; /* counters and walks */
    int64_t pace;  /* what a tick adds, in the middle */
    double total;  /* sums of histograms */
    uint16_t kind;
    uint16_t bucket; /* of a histogram */
};

void fleet_cursor_open(struct fleet_cursor *cursor, const struct fleet *fleet, uint64_t series);

/* The value of tick 0 at the first call, of tick 1 at the second. */
double fleet_cursor_next(struct fleet_cursor *cursor, const struct fleet *fleet, uint64_t series);

#endif
