#include "entry_forget.h"

#include <assert.h>

#include "base/limits.h"
#include "shard/entry.h"

/* --- Series --------------------------------------------------------------------------------- */

void entry_encode_forget(struct byte_buffer *buffer, int64_t stamp_ms, const uint64_t *ids,
                         size_t count)
{
    assert(count > 0 && count <= FORGET_IDS_MAX);
    entry_encode_header(buffer, ENTRY_FORGET_SERIES, stamp_ms);
    byte_buffer_varint(buffer, count);
    uint64_t previous = 0;
    for (size_t i = 0; i < count; i++) {
        byte_buffer_varint(buffer, ids[i] - previous);
        previous = ids[i];
    }
}

enum error_code entry_decode_forget(struct byte_reader *body, struct arena *arena,
                                    struct forgotten_ids *forgotten_out, struct error *error)
{
    uint64_t count = byte_reader_varint(body), id = 0;
    if (body->failed || count == 0 || count > FORGET_IDS_MAX)
        return error_set(error, ERROR_CORRUPT, "forget: count");
    uint64_t *ids = arena_array(arena, count, sizeof *ids);
    if (ids == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "forget");
    for (uint64_t i = 0; i < count; i++) {
        uint64_t delta = byte_reader_varint(body);
        if (body->failed || delta == 0 || delta > UINT64_MAX - id)
            return error_set(error, ERROR_CORRUPT, "forget: id %llu", (unsigned long long)i);
        ids[i] = id += delta;
    }
    if (byte_reader_left(body) > 0)
        return error_set(error, ERROR_CORRUPT, "forget: stray bytes");
    *forgotten_out = (struct forgotten_ids){ids, count};
    return ERROR_NONE;
}

/* --- Metadata ------------------------------------------------------------------------------- */

void entry_encode_forget_metadata(struct byte_buffer *buffer, int64_t stamp_ms,
                                  const struct byte_buffer *metrics, size_t count)
{
    assert(count > 0 && count <= FORGET_METRICS_MAX);
    entry_encode_header(buffer, ENTRY_FORGET_METADATA, stamp_ms);
    byte_buffer_varint(buffer, count);
    byte_buffer_append(buffer, metrics->bytes, metrics->size);
    buffer->failed |= metrics->failed;
}

enum error_code entry_decode_forget_metadata(struct byte_reader *body, struct arena *arena,
                                             struct forgotten_metrics *forgotten_out,
                                             struct error *error)
{
    uint64_t count = byte_reader_varint(body);
    if (body->failed || count == 0 || count > FORGET_METRICS_MAX)
        return error_set(error, ERROR_CORRUPT, "forget metadata: count");
    struct forgotten_metric *metrics = arena_array(arena, count, sizeof *metrics);
    if (metrics == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "forget metadata");
    for (uint64_t i = 0; i < count; i++) {
        metrics[i].tenant = byte_reader_text(body);
        metrics[i].metric_name = byte_reader_text(body);
        if (body->failed || metrics[i].tenant.size > TENANT_ID_BYTES_MAX)
            return error_set(error, ERROR_CORRUPT, "forget metadata: metric %llu",
                             (unsigned long long)i);
    }
    if (byte_reader_left(body) > 0)
        return error_set(error, ERROR_CORRUPT, "forget metadata: stray bytes");
    *forgotten_out = (struct forgotten_metrics){metrics, count};
    return ERROR_NONE;
}
