#include "content_hash.h"

#include <xxhash.h>

/* What begins an item, so that items of two kinds are never the same bytes. */
enum item_kind { ITEM_SERIES = 1, ITEM_METADATA = 2 };

static bool item_begin(struct content_hash *hash, enum item_kind kind)
{
    if (hash->state == NULL)
        hash->state = XXH3_createState();
    if (hash->state == NULL)
        return false;
    XXH3_128bits_reset(hash->state);
    uint8_t byte = (uint8_t)kind;
    XXH3_128bits_update(hash->state, &byte, 1);
    return true;
}

static void item_end(struct content_hash *hash)
{
    XXH128_hash_t digest = XXH3_128bits_digest(hash->state);
    hash->sum.low += digest.low64;
    hash->sum.high += digest.high64;
}

static void add_u64(struct content_hash *hash, uint64_t value)
{
    uint8_t bytes[8];
    store_u64(bytes, value);
    XXH3_128bits_update(hash->state, bytes, sizeof bytes);
}

static void add_text(struct content_hash *hash, struct text text)
{
    add_u64(hash, text.size);
    if (text.size > 0)
        XXH3_128bits_update(hash->state, text.data, text.size);
}

static void buffer_spans(struct byte_buffer *buffer, const struct histogram_span *spans,
                         uint32_t count)
{
    byte_buffer_u32(buffer, count);
    for (uint32_t i = 0; i < count; i++) {
        byte_buffer_u32(buffer, (uint32_t)spans[i].offset);
        byte_buffer_u32(buffer, spans[i].length);
    }
}

static void buffer_histogram(struct byte_buffer *buffer, const struct histogram *histogram)
{
    byte_buffer_u8(buffer, (uint8_t)histogram->kind);
    byte_buffer_u8(buffer, (uint8_t)histogram->reset);
    byte_buffer_u32(buffer, (uint32_t)histogram->schema);
    byte_buffer_u64(buffer, double_to_bits(histogram->zero_threshold));
    byte_buffer_u64(buffer, histogram->zero_count.integer);
    byte_buffer_u64(buffer, histogram->count.integer);
    byte_buffer_u64(buffer, double_to_bits(histogram->sum));
    buffer_spans(buffer, histogram->positive_spans, histogram->positive_span_count);
    buffer_spans(buffer, histogram->negative_spans, histogram->negative_span_count);
    byte_buffer_u32(buffer, histogram->positive_bucket_count);
    for (uint32_t i = 0; i < histogram->positive_bucket_count; i++)
        byte_buffer_u64(buffer, histogram->positive_buckets[i].integer);
    byte_buffer_u32(buffer, histogram->negative_bucket_count);
    for (uint32_t i = 0; i < histogram->negative_bucket_count; i++)
        byte_buffer_u64(buffer, histogram->negative_buckets[i].integer);
    byte_buffer_u32(buffer, histogram->custom_bound_count);
    for (uint32_t i = 0; i < histogram->custom_bound_count; i++)
        byte_buffer_u64(buffer, double_to_bits(histogram->custom_bounds[i]));
}

/* Value bits, or a histogram where there is one; then the start timestamps. */
static void buffer_mixed(struct byte_buffer *buffer, const struct sample_columns *columns)
{
    for (size_t i = 0; i < columns->count; i++) {
        const struct histogram *histogram =
            columns->histograms == NULL ? NULL : columns->histograms[i];
        byte_buffer_u8(buffer, histogram != NULL);
        if (histogram != NULL)
            buffer_histogram(buffer, histogram);
        else
            byte_buffer_u64(buffer, double_to_bits(columns->values[i]));
    }
    for (size_t i = 0; i < columns->count; i++)
        byte_buffer_u64(buffer, columns->start_timestamps_ms == NULL
                                    ? 0
                                    : (uint64_t)columns->start_timestamps_ms[i]);
}

/* Arrays of nothing but zeroes and NULLs are the same content as none. */
static bool is_plain(const struct sample_columns *columns)
{
    for (size_t i = 0; columns->histograms != NULL && i < columns->count; i++)
        if (columns->histograms[i] != NULL)
            return false;
    for (size_t i = 0; columns->start_timestamps_ms != NULL && i < columns->count; i++)
        if (columns->start_timestamps_ms[i] != 0)
            return false;
    return true;
}

bool content_hash_series(struct content_hash *hash, struct text identity,
                         const struct sample_columns *columns, const struct exemplar *exemplars,
                         size_t exemplar_count)
{
    if (!item_begin(hash, ITEM_SERIES))
        return false;
    add_text(hash, identity);
    add_u64(hash, columns->count);
    bool plain = is_plain(columns);
    add_u64(hash, plain);
    if (columns->count > 0)
        XXH3_128bits_update(hash->state, columns->timestamps_ms, 8 * columns->count);
    if (plain) {
        if (columns->count > 0)
            XXH3_128bits_update(hash->state, columns->values, 8 * columns->count);
    } else {
        byte_buffer_reset(&hash->values);
        buffer_mixed(&hash->values, columns);
        if (hash->values.failed)
            return false;
        XXH3_128bits_update(hash->state, hash->values.bytes, hash->values.size);
    }
    add_u64(hash, exemplar_count);
    for (size_t i = 0; i < exemplar_count; i++) {
        add_u64(hash, (uint64_t)exemplars[i].timestamp_ms);
        add_u64(hash, double_to_bits(exemplars[i].value));
        add_text(hash,
                 (struct text){(const char *)exemplars[i].labels.bytes, exemplars[i].labels.size});
    }
    item_end(hash);
    return true;
}

bool content_hash_metadata(struct content_hash *hash, struct text tenant, struct text metric_name,
                           const struct metric_metadata *metadata)
{
    if (!item_begin(hash, ITEM_METADATA))
        return false;
    add_text(hash, tenant);
    add_text(hash, metric_name);
    add_u64(hash, (uint64_t)metadata->type);
    add_text(hash, metadata->unit);
    add_text(hash, metadata->help);
    item_end(hash);
    return true;
}

void content_hash_clear(struct content_hash *hash)
{
    XXH3_freeState(hash->state);
    byte_buffer_clear(&hash->values);
    *hash = (struct content_hash){0};
}
