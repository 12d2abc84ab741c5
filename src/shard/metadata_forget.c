/*
 * Metadata that no sender states any more leaves the shard by an entry of the log, as quiet series
 * do (shard_forget.c): what the leader proposes to forget has no statement in flight, and from the
 * proposal on whoever states it again states something new, behind the entry in the log.
 */
#include "base/limits.h"

#include "forget.h"

enum { FORGET_METRICS_MAX = 1024 };

/* --- Proposing ------------------------------------------------------------------------------- */

void shard_forget_metadata_maintain(struct shard *shard)
{
    struct byte_buffer entry = {0}, metrics = {0};
    if (shard->metadata_forget_proposed || shard->options.metadata_quiet_periods == 0)
        return;
    size_t count = metadata_store_take_quiet(shard->metadata, shard->options.metadata_quiet_periods,
                                             FORGET_METRICS_MAX, &metrics);
    if (count > 0) {
        entry_encode_header(&entry, ENTRY_FORGET_METADATA,
                            clock_now_ms(shard->options.environment->clock));
        byte_buffer_varint(&entry, count);
        byte_buffer_append(&entry, metrics.bytes, metrics.size);
        entry.failed |= metrics.failed;
        shard->metadata_forget_proposed = shard_propose(shard, &entry);
        if (!shard->metadata_forget_proposed)
            metadata_store_clear_leaving(shard->metadata);
    }
    byte_buffer_clear(&metrics);
}

/* --- Applying -------------------------------------------------------------------------------- */

/* A metric that is not there is no mistake: what counts is that it is not there afterwards. */
enum error_code shard_apply_forget_metadata(struct shard *shard, struct byte_reader *body,
                                            struct error *error)
{
    uint64_t count = byte_reader_varint(body);
    shard->metadata_forget_proposed = false;
    if (body->failed || count == 0 || count > FORGET_METRICS_MAX)
        return error_set(error, ERROR_CORRUPT, "forget metadata: count");
    for (uint64_t i = 0; i < count; i++) {
        struct text tenant = byte_reader_text(body);
        struct text metric_name = byte_reader_text(body);
        if (body->failed || tenant.size > TENANT_ID_BYTES_MAX)
            return error_set(error, ERROR_CORRUPT, "forget metadata: metric %llu",
                             (unsigned long long)i);
        if (metadata_store_remove(shard->metadata, tenant, metric_name)) {
            shard->metadata_changed = true;
            shard->counters.metadata_forgotten++;
        }
    }
    if (byte_reader_left(body) > 0)
        return error_set(error, ERROR_CORRUPT, "forget metadata: stray bytes");
    return ERROR_NONE;
}
