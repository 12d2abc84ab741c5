/*
 * record - the bytes of segments, batches and records (docs/formats/journal.md).
 *
 * Pure: bytes in, values out. Decoders check everything; encoders trust their caller.
 */
#ifndef JOURNAL_RECORD_H
#define JOURNAL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    BLOCK_BYTES = 4096,
    SEGMENT_HEADER_BYTES = 64,
    SEGMENT_DATA_OFFSET = 2 * BLOCK_BYTES, /* after the two copies of the header */
    SEGMENT_FORMAT_VERSION = 1,
    SEGMENT_ITEM_BYTES = 32,
    BATCH_HEADER_BYTES = 64,
    RECORD_HEADER_BYTES = 48,
    RECORD_GROUP_BYTES = 24, /* the payload of a group's state */
};

/* Indexes and sequences stay below, so that adding to them cannot overflow. */
#define RECORD_NUMBER_MAX (UINT64_C(1) << 60)

struct segment_header {
    uint32_t lane;
    uint64_t generation;
    uint64_t sequence;
    uint64_t size_bytes;
    uint64_t salt;
    int64_t made_ms;
};

enum batch_flag { BATCH_CHECKPOINT = 1, BATCH_CLOSE = 2 };

struct batch_header {
    uint64_t sequence;
    uint64_t durable;
    uint64_t generation;
    uint64_t segment;
    uint32_t lane;
    uint32_t size_bytes; /* header and records */
    uint32_t record_count;
    uint32_t flags;
    int64_t time_ms;
};

enum record_type {
    RECORD_ENTRY = 1,
    RECORD_TRUNCATE,
    RECORD_METADATA,
    RECORD_LOW_WATER,
    RECORD_SNAPSHOT,
    RECORD_DELETE,
    RECORD_SEGMENTS,
    RECORD_GROUP,
    RECORD_TYPES
};

enum record_flag {
    RECORD_COPIED = 1,
    RECORD_INSTALLED = 2,
    RECORD_DELETED = 4,
    RECORD_DAMAGED = 8,
};

struct record {
    uint64_t group;
    uint64_t index;
    uint64_t term;
    uint64_t extra;
    uint8_t type;
    uint8_t kind;
    uint8_t version;
    uint8_t flags;
    const uint8_t *payload;
    uint32_t payload_bytes;
};

/* Where an older segment ends, as a checkpoint lists it. */
struct segment_item {
    uint64_t generation;
    uint64_t sequence;
    uint64_t last_batch;
    uint32_t lane;
};

static inline uint64_t round_to_block(uint64_t size)
{
    return (size + BLOCK_BYTES - 1) & ~(uint64_t)(BLOCK_BYTES - 1);
}

/* Header and payload, padded. */
static inline size_t record_size(uint32_t payload_bytes)
{
    return RECORD_HEADER_BYTES + (((size_t)payload_bytes + 7) & ~(size_t)7);
}

/* Fills SEGMENT_HEADER_BYTES. */
void segment_header_encode(const struct segment_header *header, uint8_t *target);

/* Errors: CORRUPT, UNSUPPORTED (a newer format). */
enum error_code segment_header_decode(const uint8_t *bytes, struct segment_header *header_out,
                                      struct error *error);

/* Fills BATCH_HEADER_BYTES. */
void batch_header_encode(const struct batch_header *header, uint64_t salt, uint8_t *target);

/* False when it is not a batch header written with this salt. */
bool batch_header_decode(const uint8_t *bytes, uint64_t salt, struct batch_header *header_out);

/* Fills record_size() bytes, payload and padding included; not valid before record_add_salt(). */
void record_encode(const struct record *record, uint8_t *target);
void record_add_salt(uint8_t *bytes, uint64_t salt);

/* The bytes taken, 0 when there is no whole, valid record. The payload is a view. */
size_t record_decode(const uint8_t *bytes, size_t size, uint64_t salt, struct record *record_out);

/* As record_decode, without looking at the checksum: for bytes that were checked before. */
size_t record_view(const uint8_t *bytes, size_t size, struct record *record_out);

void segment_item_encode(const struct segment_item *item, uint8_t *target);
struct segment_item segment_item_decode(const uint8_t *bytes);

#endif
