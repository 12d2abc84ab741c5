/*
 * segment_format - what writer and reader of series segments agree on.
 *
 * Byte layout: docs/formats/series_segment.md.
 */
#ifndef BLOCK_SEGMENT_FORMAT_H
#define BLOCK_SEGMENT_FORMAT_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "block/series_segment_writer.h"

enum {
    /* Series of a hash bucket, on average. */
    SEGMENT_BUCKET_SERIES = 1024,
    SEGMENT_ENTRY_BYTES = 8, /* u32 fingerprint, u32 position */
};

/*
 * The high half of the hash, scaled to the number of buckets: the integer part is the bucket, the
 * first 32 bits of the fraction are the fingerprint. So ascending hashes have ascending buckets,
 * and inside of a bucket ascending fingerprints.
 */
static inline uint32_t segment_bucket(struct hash128 hash, uint32_t bucket_count)
{
    return (uint32_t)(((unsigned __int128)hash.high * bucket_count) >> 64);
}

static inline uint32_t segment_fingerprint(struct hash128 hash, uint32_t bucket_count)
{
    return (uint32_t)((hash.high * bucket_count) >> 32);
}

/* What identifies a series in the content checksum, over what was in `buffer`. */
static inline struct text segment_identity(const struct segment_series *series,
                                           struct byte_buffer *buffer)
{
    byte_buffer_reset(buffer);
    byte_buffer_u64(buffer, series->id);
    byte_buffer_u64(buffer, series->target);
    byte_buffer_u16(buffer, series->slot);
    byte_buffer_text(buffer, series->tenant);
    byte_buffer_append(buffer, series->labels.bytes, series->labels.size);
    return (struct text){(const char *)buffer->bytes, buffer->size};
}

#endif
