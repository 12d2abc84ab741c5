#include "workload.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

uint64_t workload_request_at(const struct workload *workload, uint64_t position)
{
    if (workload->order == ORDER_ASCENDING)
        return position;
    return position / WORKLOAD_RUN * WORKLOAD_RUN + (WORKLOAD_RUN - 1 - position % WORKLOAD_RUN);
}

int64_t workload_timestamp_ms(const struct workload *workload, uint64_t number)
{
    return workload->start_ms + (int64_t)number * workload->interval_ms;
}

/* SplitMix64's finaliser. */
static uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

/* Kinds of values that encoders treat differently, one for each series. */
double workload_value(const struct workload *workload, uint64_t thread, uint64_t series,
                      uint64_t number)
{
    static const double EDGES[] = {0.0,     -0.0,     INFINITY, -INFINITY,          NAN,
                                   DBL_MAX, -DBL_MIN, 5e-324,   9007199254740993.0, 0.1};
    uint64_t noise = mix(mix(mix(workload->seed + thread) + series) + number);
    switch (series % 5) {
    case 0: /* a counter */
        return (double)(number * (series + 1) * 10 + noise % 10);
    case 1: /* a gauge of two decimals */
        return (double)(int64_t)(noise % 2000000 - 1000000) / 100.0;
    case 2: { /* any bits; a NaN has no payload in JSON */
        double value = double_from_bits(noise);
        return isnan(value) ? NAN : value;
    }
    case 3:
        return EDGES[noise % (sizeof EDGES / sizeof EDGES[0])];
    default: /* changes now and then */
        return (double)(mix(number / 37 + series) % 1000);
    }
}

void workload_label(struct workload_labels *target, uint64_t thread, uint64_t series)
{
    static const char *const NAMES[WORKLOAD_LABELS] = {"__name__", "instance", "job",
                                                       "kind",     "series",   "thread"};
    static const char *const KINDS[] = {"counter", "gauge", "bits", "edges", "steps"};
    char(*memory)[WORKLOAD_LABEL_CHARACTERS] = target->memory;
    snprintf(memory[0], sizeof memory[0], "writer_%s", KINDS[series % 5]);
    snprintf(memory[1], sizeof memory[1], "host-%" PRIu64 ":9100", series % 7);
    snprintf(memory[2], sizeof memory[2], "writer");
    snprintf(memory[3], sizeof memory[3], "%s", KINDS[series % 5]);
    snprintf(memory[4], sizeof memory[4], "%" PRIu64, series);
    snprintf(memory[5], sizeof memory[5], "%" PRIu64, thread);
    for (size_t i = 0; i < WORKLOAD_LABELS; i++)
        target->labels[i] = (struct label){text_of(NAMES[i]), text_of(memory[i])};
}
