/* What is wrong with a request is refused alone, counted and named. */
#include "ingest_private.h"

#include <stdio.h>

/* The first refusal gives the answer its words; all are counted. */
void ingest_refuse(struct ingest_request *request, enum ingest_reason reason, size_t count,
                   const char *series, const char *text)
{
    request->work->refused_counts[reason] += count;
    request->work->refused_total += count;
    if (request->message[0] == '\0')
        snprintf(request->message, sizeof request->message, "%s%s%s", text,
                 series[0] == '\0' ? "" : ": series ", series);
}

/* The labels of a refused series as far as they can be read; otherwise its place. */
const char *ingest_format_labels(const struct ingest_request *request, uint32_t series,
                                 char *target, size_t size)
{
    const struct write_labels *labels = &request->decoded.series[series].labels;
    struct label array[LABELS_PER_SERIES_MAX];
    size_t count = write_labels_readable(&request->decoded, labels, array);
    bool is_bare = count == 0 && labels->size > 0;
    count = label_array_sort(array, count);
    struct labels built = labels_build(request->arena, array, count);
    if (built.bytes != NULL && !is_bare)
        return labels_format(target, size, built);
    snprintf(target, size, "number %u of the request", series + 1);
    return target;
}

void ingest_refuse_series(struct ingest_request *request, uint32_t series,
                          enum ingest_reason reason, const char *text)
{
    char labels[512];
    const struct write_series *refused = &request->decoded.series[series];
    size_t samples = refused->sample_count + refused->histogram_count;
    ingest_format_labels(request, series, labels, sizeof labels);
    ingest_refuse(request, reason, samples == 0 ? 1 : samples, labels, text);
}

/* One of its samples. */
void ingest_refuse_sample(struct ingest_request *request, uint32_t series,
                          enum ingest_reason reason, const char *text)
{
    char labels[512];
    ingest_format_labels(request, series, labels, sizeof labels);
    ingest_refuse(request, reason, 1, labels, text);
}

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

void ingest_note_refusals(struct shard_part *part)
{
    struct ingest_request *request = part->request;
    const struct shard_write *write = &part->write.write;
    for (size_t i = 0; i < write->refusal_count; i++) {
        const struct shard_refusal *refusal = &write->refusals[i];
        char labels[512], text[160];
        if (request->message[0] != '\0')
            break;
        ingest_format_labels(request, refusal->origin, labels, sizeof labels);
        snprintf(text, sizeof text, "%s, timestamp %lld ms",
                 shard_refusal_reason_text(refusal->reason), (long long)refusal->timestamp_ms);
        ingest_refuse(request, reason_of(refusal->reason), 0, labels, text);
    }
    for (size_t i = 0; i < SHARD_REFUSAL_REASONS; i++) {
        request->work->refused_counts[reason_of((enum shard_refusal_reason)i)] +=
            write->refused_counts[i];
        request->work->refused_total += write->refused_counts[i];
    }
}

void ingest_log_refusals(struct ingest_request *request, size_t refused)
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
