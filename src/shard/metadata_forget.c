/*
 * Metadata that no sender states any more leaves the shard by an entry of the log, as quiet series
 * do (shard_forget.c): what the leader proposes to forget has no statement in flight, and from the
 * proposal on whoever states it again states something new, behind the entry in the log.
 */
#include "entry_forget.h"
#include "forget.h"

/* --- Proposing ------------------------------------------------------------------------------- */

void shard_forget_metadata_maintain(struct shard *shard)
{
    struct byte_buffer entry = {0}, metrics = {0};
    if (shard->metadata_forget_proposed || shard->options.metadata_quiet_periods == 0)
        return;
    size_t count = metadata_store_take_quiet(shard->metadata, shard->options.metadata_quiet_periods,
                                             FORGET_METRICS_MAX, &metrics);
    if (count > 0) {
        entry_encode_forget_metadata(&entry, clock_now_ms(shard->options.environment->clock),
                                     &metrics, count);
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
    struct forgotten_metrics forgotten;
    arena_reset(shard->apply_arena);
    enum error_code code =
        entry_decode_forget_metadata(body, shard->apply_arena, &forgotten, error);
    if (code != ERROR_NONE)
        return code;
    shard->metadata_forget_proposed = false;
    for (size_t i = 0; i < forgotten.count; i++)
        if (metadata_store_remove(shard->metadata, forgotten.metrics[i].tenant,
                                  forgotten.metrics[i].metric_name)) {
            shard->metadata_changed = true;
            shard->counters.metadata_forgotten++;
        }
    return ERROR_NONE;
}
