#include "record.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "journal/journal.h"

static const uint8_t SEGMENT_MAGIC[8] = {'G', 'N', 'O', 'M', 'J', 'R', 'N', 'L'};
static const uint8_t BATCH_MAGIC[4] = {'G', 'J', 'B', 'T'};

/* --- Segment header -------------------------------------------------------------------------- */

void segment_header_encode(const struct segment_header *header, uint8_t *target)
{
    memset(target, 0, SEGMENT_HEADER_BYTES);
    memcpy(target, SEGMENT_MAGIC, sizeof SEGMENT_MAGIC);
    store_u32(target + 8, SEGMENT_FORMAT_VERSION);
    store_u32(target + 12, header->lane);
    store_u64(target + 16, header->generation);
    store_u64(target + 24, header->sequence);
    store_u64(target + 32, header->size_bytes);
    store_u64(target + 40, header->salt);
    store_u64(target + 48, (uint64_t)header->made_ms);
    store_u32(target + 60, crc32c(0, target, 60));
}

enum error_code segment_header_decode(const uint8_t *bytes, struct segment_header *header_out,
                                      struct error *error)
{
    if (memcmp(bytes, SEGMENT_MAGIC, sizeof SEGMENT_MAGIC) != 0 ||
        load_u32(bytes + 60) != crc32c(0, bytes, 60))
        return error_set(error, ERROR_CORRUPT, "the segment's header does not check");
    uint32_t version = load_u32(bytes + 8);
    if (version != SEGMENT_FORMAT_VERSION)
        return error_set(error, ERROR_UNSUPPORTED, "segment format %u, this program knows %d",
                         version, SEGMENT_FORMAT_VERSION);
    struct segment_header header = {
        .lane = load_u32(bytes + 12),
        .generation = load_u64(bytes + 16),
        .sequence = load_u64(bytes + 24),
        .size_bytes = load_u64(bytes + 32),
        .salt = load_u64(bytes + 40),
        .made_ms = (int64_t)load_u64(bytes + 48),
    };
    if (header.lane >= JOURNAL_LANES_MAX || header.generation == 0 ||
        header.generation >= RECORD_NUMBER_MAX || header.sequence >= RECORD_NUMBER_MAX)
        return error_set(error, ERROR_CORRUPT, "the segment's header is out of range");
    *header_out = header;
    return ERROR_NONE;
}

/* --- Batch header ---------------------------------------------------------------------------- */

void batch_header_encode(const struct batch_header *header, uint64_t salt, uint8_t *target)
{
    memcpy(target, BATCH_MAGIC, sizeof BATCH_MAGIC);
    store_u64(target + 8, header->sequence);
    store_u64(target + 16, header->durable);
    store_u64(target + 24, header->generation);
    store_u64(target + 32, header->segment);
    store_u32(target + 40, header->lane);
    store_u32(target + 44, header->size_bytes);
    store_u32(target + 48, header->record_count);
    store_u32(target + 52, header->flags);
    store_u64(target + 56, (uint64_t)header->time_ms);
    store_u32(target + 4, crc32c(0, target + 8, BATCH_HEADER_BYTES - 8) ^ (uint32_t)salt);
}

bool batch_header_decode(const uint8_t *bytes, uint64_t salt, struct batch_header *header_out)
{
    if (memcmp(bytes, BATCH_MAGIC, sizeof BATCH_MAGIC) != 0 ||
        load_u32(bytes + 4) != (crc32c(0, bytes + 8, BATCH_HEADER_BYTES - 8) ^ (uint32_t)salt))
        return false;
    *header_out = (struct batch_header){
        .sequence = load_u64(bytes + 8),
        .durable = load_u64(bytes + 16),
        .generation = load_u64(bytes + 24),
        .segment = load_u64(bytes + 32),
        .lane = load_u32(bytes + 40),
        .size_bytes = load_u32(bytes + 44),
        .record_count = load_u32(bytes + 48),
        .flags = load_u32(bytes + 52),
        .time_ms = (int64_t)load_u64(bytes + 56),
    };
    return header_out->sequence > 0 && header_out->sequence < RECORD_NUMBER_MAX &&
           header_out->durable < header_out->sequence &&
           header_out->size_bytes >= BATCH_HEADER_BYTES;
}

/* --- Record ---------------------------------------------------------------------------------- */

void record_encode(const struct record *record, uint8_t *target)
{
    assert(record->payload_bytes <= JOURNAL_PAYLOAD_BYTES_MAX);
    assert(record->index < RECORD_NUMBER_MAX);
    store_u32(target + 4, record->payload_bytes);
    store_u64(target + 8, record->group);
    store_u64(target + 16, record->index);
    store_u64(target + 24, record->term);
    store_u64(target + 32, record->extra);
    target[40] = record->type;
    target[41] = record->kind;
    target[42] = record->version;
    target[43] = record->flags;
    store_u32(target + 44, 0);
    uint8_t *payload = target + RECORD_HEADER_BYTES;
    size_t padded = record_size(record->payload_bytes) - RECORD_HEADER_BYTES;
    if (record->payload_bytes > 0)
        memcpy(payload, record->payload, record->payload_bytes);
    memset(payload + record->payload_bytes, 0, padded - record->payload_bytes);
    store_u32(target, crc32c(0, target + 4, RECORD_HEADER_BYTES - 4 + record->payload_bytes));
}

void record_add_salt(uint8_t *bytes, uint64_t salt)
{
    store_u32(bytes, load_u32(bytes) ^ (uint32_t)salt);
}

size_t record_view(const uint8_t *bytes, size_t size, struct record *record_out)
{
    if (size < RECORD_HEADER_BYTES)
        return 0;
    uint32_t payload_bytes = load_u32(bytes + 4);
    if (payload_bytes > JOURNAL_PAYLOAD_BYTES_MAX || record_size(payload_bytes) > size)
        return 0;
    *record_out = (struct record){
        .group = load_u64(bytes + 8),
        .index = load_u64(bytes + 16),
        .term = load_u64(bytes + 24),
        .extra = load_u64(bytes + 32),
        .type = bytes[40],
        .kind = bytes[41],
        .version = bytes[42],
        .flags = bytes[43],
        .payload = bytes + RECORD_HEADER_BYTES,
        .payload_bytes = payload_bytes,
    };
    return record_size(payload_bytes);
}

size_t record_decode(const uint8_t *bytes, size_t size, uint64_t salt, struct record *record_out)
{
    struct record record;
    size_t taken = record_view(bytes, size, &record);
    if (taken == 0)
        return 0;
    uint32_t crc = crc32c(0, bytes + 4, RECORD_HEADER_BYTES - 4 + record.payload_bytes);
    if (load_u32(bytes) != (crc ^ (uint32_t)salt))
        return 0;
    *record_out = record;
    return taken;
}

/* --- Items of a checkpoint ------------------------------------------------------------------- */

void segment_item_encode(const struct segment_item *item, uint8_t *target)
{
    store_u64(target, item->generation);
    store_u64(target + 8, item->sequence);
    store_u64(target + 16, item->last_batch);
    store_u32(target + 24, item->lane);
    store_u32(target + 28, 0);
}

struct segment_item segment_item_decode(const uint8_t *bytes)
{
    return (struct segment_item){
        .generation = load_u64(bytes),
        .sequence = load_u64(bytes + 8),
        .last_batch = load_u64(bytes + 16),
        .lane = load_u32(bytes + 24),
    };
}
