/*
 * metric_emit - one sample of a collector.
 */
#ifndef SERVER_METRIC_EMIT_H
#define SERVER_METRIC_EMIT_H

#include "telemetry/metrics.h"

/* Where the samples of a collection go. */
struct metric_emitter {
    metric_visit *visit;
    void *context;
};

static inline void metric_emit(const struct metric_emitter *emitter, const char *name,
                               const char *help, enum metric_kind kind,
                               const struct metric_label *labels, size_t label_count, double value)
{
    struct metric_sample sample = {
        .family = name,
        .help = help,
        .kind = kind,
        .name = name,
        .labels = labels,
        .label_count = label_count,
        .value = value,
    };
    emitter->visit(emitter->context, &sample);
}

#endif
