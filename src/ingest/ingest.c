#include "ingest/ingest.h"

#include <assert.h>
#include <stdlib.h>

#include "wire/compression.h"

#include "ingest_private.h"

/* --- Life ------------------------------------------------------------------------------------- */

enum error_code ingest_create(const struct ingest_options *options, struct ingest **ingest_out,
                              struct error *error)
{
    struct ingest *ingest = calloc(1, sizeof *ingest);
    if (ingest == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "ingest");
    ingest->options = *options;
    ingest->slots = *options->slots;
    ingest->last_retry_ns = UINT64_MAX;
    ingest->options.slots = &ingest->slots;
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

void ingest_set_slots(struct ingest *ingest, const struct slot_map *slots)
{
    if (slots->version >= ingest->slots.version)
        ingest->slots = *slots;
}

void ingest_set_spread(struct ingest *ingest, uint32_t spread)
{
    ingest->options.spread = spread;
}

void ingest_drain(struct ingest *ingest, uint64_t patience_ms)
{
    ingest->last_retry_ns =
        clock_monotonic_ns(ingest->options.clock) + patience_ms * UINT64_C(1000000);
    while (patience_ms == 0 && ingest->waiting != NULL)
        ingest_stop_waiting(ingest->waiting);
}

/* --- Writing ---------------------------------------------------------------------------------- */

static enum error_code decode_body(struct ingest_request *request, const uint8_t *bytes,
                                   size_t size, enum write_labels_trust trust, struct error *error)
{
    const struct ingest_options *ingest = &request->ingest->options;
    const struct write_decode_options options = {
        .version = request->version,
        .trust = trust,
        .series_limit = ingest->limits.series_per_request_max,
        .alias_seed = hash64(request->tenant.data, request->tenant.size, ingest->hash_seed),
    };
    struct ingest_work *work = request->work;
    enum error_code code =
        write_request_decode(&options, bytes, size, request->arena, &request->decoded, error);
    if (code == ERROR_NONE)
        code = portion_split_series(&request->decoded, request->arena, error);
    if (code != ERROR_NONE)
        return code;
    work->destinations =
        arena_array(request->arena, request->decoded.series_count, sizeof *work->destinations);
    if (work->destinations == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "the request needs too much memory");
    work->any_unknown = false;
    ingest_find_aliases(request, 0, request->decoded.series_count);
    return ERROR_NONE;
}

/* Labels of known series are the same bytes that were checked once; only where that does not hold,
 * the body is gone through in full. */
static enum error_code decode(struct ingest_request *request, struct error *error)
{
    uint8_t *bytes;
    size_t size;
    request->work = arena_array(request->arena, 1, sizeof *request->work);
    if (request->work == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "the request needs too much memory");
    request->work->request = request;
    enum error_code code = snappy_decode(request->body, request->body_size,
                                         request->ingest->options.limits.decoded_bytes_max,
                                         request->arena, &bytes, &size, error);
    if (code == ERROR_NONE)
        code = decode_body(request, bytes, size, WRITE_LABELS_TRUSTED, error);
    if (code == ERROR_NONE && !ingest_labels_are_whole(request))
        code = decode_body(request, bytes, size, WRITE_LABELS_CHECKED, error);
    return code;
}

void ingest_write(struct ingest *ingest, struct ingest_request *request)
{
    const struct ingest_limits *limits = &ingest->options.limits;
    struct error error;
    request->ingest = ingest;
    request->message[0] = '\0';
    request->canceled = false;
    request->work = NULL;
    request->samples_written = request->histograms_written = request->exemplars_written = 0;
    request->started_ns = clock_monotonic_ns(ingest->options.clock);
    ingest->in_flight++;
    counter_add(ingest->options.metrics->requests, 1);
    enum error_code code = decode(request, &error);
    if (code == ERROR_LIMIT)
        ingest_fail(request, INGEST_TOO_LARGE, INGEST_REASON_TOO_LARGE, &error);
    else if (code == ERROR_OUT_OF_MEMORY)
        ingest_fail(request, INGEST_UNAVAILABLE, INGEST_REASON_UNAVAILABLE, &error);
    else if (code != ERROR_NONE)
        ingest_fail(request, INGEST_REFUSED, INGEST_REASON_MALFORMED, &error);
    else if (!tenant_rate_take(&ingest->rate, request->tenant,
                               request->decoded.sample_count + request->decoded.histogram_count,
                               request->started_ns)) {
        error_set(&error, ERROR_LIMIT, "the tenant's limit of %llu samples a second is reached",
                  (unsigned long long)limits->tenant_samples_per_second);
        ingest_fail(request, INGEST_RATE_LIMIT, INGEST_REASON_RATE_LIMIT, &error);
    } else
        ingest_dispatch(request);
}

void ingest_cancel(struct ingest_request *request)
{
    request->canceled = true;
    if (request->work != NULL && request->work->link != NULL)
        ingest_stop_waiting(request->work);
}

/* --- Statistics ------------------------------------------------------------------------------- */

void ingest_read_statistics(const struct ingest *ingest, struct ingest_statistics *statistics_out)
{
    *statistics_out = (struct ingest_statistics){
        .alias_count = ingest->aliases.count,
        .alias_bytes = alias_table_size_bytes(&ingest->aliases),
        .alias_evictions = ingest->aliases.evictions,
        .requests_in_flight = ingest->in_flight,
        .requests_waiting = ingest->waiting_count,
    };
}
