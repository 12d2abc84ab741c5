/*
 * block_format - what writer and reader of blocks agree on.
 *
 * Byte layout: docs/formats/block.md.
 */
#ifndef BLOCK_BLOCK_FORMAT_H
#define BLOCK_BLOCK_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "block/block_writer.h"

enum { BLOCK_PROPERTIES_BYTES = 40 };

static inline void block_properties_encode(const struct block_properties *properties,
                                           uint8_t bytes[BLOCK_PROPERTIES_BYTES])
{
    store_u64(bytes, (uint64_t)properties->start_ms);
    store_u64(bytes + 8, (uint64_t)properties->end_ms);
    store_u32(bytes + 16, properties->resolution_ms);
    store_u32(bytes + 20, properties->shard);
    store_u64(bytes + 24, properties->block_id);
    store_u64(bytes + 32, properties->tombstone_mark);
}

/* False: too short, or no window. */
static inline bool block_properties_decode(struct byte_reader reader,
                                           struct block_properties *properties_out)
{
    *properties_out = (struct block_properties){
        .start_ms = (int64_t)byte_reader_u64(&reader),
        .end_ms = (int64_t)byte_reader_u64(&reader),
        .resolution_ms = byte_reader_u32(&reader),
        .shard = byte_reader_u32(&reader),
        .block_id = byte_reader_u64(&reader),
        .tombstone_mark = byte_reader_u64(&reader),
    };
    return !reader.failed && properties_out->start_ms < properties_out->end_ms;
}

/* What identifies a series in the content checksum, over what was in `buffer`. */
static inline struct text block_identity(const struct block_series *series,
                                         struct byte_buffer *buffer)
{
    byte_buffer_reset(buffer);
    byte_buffer_u16(buffer, series->slot);
    byte_buffer_text(buffer, series->tenant);
    byte_buffer_append(buffer, series->labels.bytes, series->labels.size);
    return (struct text){(const char *)buffer->bytes, buffer->size};
}

#endif
