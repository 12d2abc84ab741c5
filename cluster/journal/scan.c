#include "scan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

enum error_code scan_header(const uint8_t *content, uint64_t size_bytes,
                            struct segment_header *header_out, struct error *error)
{
    if (size_bytes < SEGMENT_DATA_OFFSET)
        return error_set(error, ERROR_CORRUPT, "a segment of %llu bytes",
                         (unsigned long long)size_bytes);
    enum error_code code = segment_header_decode(content, header_out, error);
    if (code != ERROR_CORRUPT)
        return code;
    code = segment_header_decode(content + BLOCK_BYTES, header_out, error);
    if (code == ERROR_NONE)
        error_clear(error);
    return code;
}

/* A valid batch header of this very segment, `offset` bytes into it. */
static bool batch_header_check(const uint8_t *bytes, uint64_t offset, uint64_t size_bytes,
                               const struct segment_header *segment,
                               struct batch_header *header_out)
{
    return batch_header_decode(bytes, segment->salt, header_out) &&
           header_out->generation == segment->generation &&
           header_out->segment == segment->sequence && header_out->lane == segment->lane &&
           header_out->size_bytes <= size_bytes - offset;
}

/* --- What is kept ---------------------------------------------------------------------------- */

static bool payload_is_kept(const struct record *record)
{
    return record->type != RECORD_ENTRY && record->type != RECORD_SNAPSHOT;
}

static bool record_keep(struct segment_scan *scan, const struct record *record, uint64_t offset)
{
    if (scan->record_count == scan->record_capacity) {
        size_t capacity = scan->record_capacity * 2 + 64;
        struct scan_record *records = realloc(scan->records, capacity * sizeof *records);
        if (records == NULL)
            return false;
        scan->records = records;
        scan->record_capacity = capacity;
    }
    struct scan_record kept = {.offset = offset, .record = *record};
    kept.record.payload = NULL;
    if (payload_is_kept(record) && record->payload_bytes > 0) {
        uint8_t *payload = arena_allocate(scan->payloads, record->payload_bytes);
        if (payload == NULL)
            return false;
        memcpy(payload, record->payload, record->payload_bytes);
        kept.record.payload = payload;
    }
    scan->records[scan->record_count++] = kept;
    return true;
}

enum batch_check { BATCH_WHOLE, BATCH_BROKEN, BATCH_OUT_OF_MEMORY };

/* The records of a batch `offset` bytes into the segment; kept only when all of them check. */
static enum batch_check records_check(struct segment_scan *scan, const uint8_t *batch,
                                      uint64_t offset, const struct batch_header *header)
{
    size_t before = scan->record_count;
    size_t position = BATCH_HEADER_BYTES;
    while (position < header->size_bytes) {
        struct record record;
        size_t taken = record_decode(batch + position, header->size_bytes - position,
                                     scan->header.salt, &record);
        if (taken == 0)
            break;
        if (!record_keep(scan, &record, offset + position))
            return BATCH_OUT_OF_MEMORY;
        position += taken;
    }
    if (position >= header->size_bytes && scan->record_count - before == header->record_count)
        return BATCH_WHOLE;
    scan->record_count = before;
    return BATCH_BROKEN;
}

static bool batch_add(struct segment_scan *scan, struct scan_batch batch)
{
    if (scan->count == scan->capacity) {
        size_t capacity = scan->capacity * 2 + 64;
        struct scan_batch *batches = realloc(scan->batches, capacity * sizeof *batches);
        if (batches == NULL)
            return false;
        scan->batches = batches;
        scan->capacity = capacity;
    }
    scan->batches[scan->count++] = batch;
    return true;
}

/* --- Scanning -------------------------------------------------------------------------------- */

enum error_code scan_begin(const uint8_t *content, uint64_t size_bytes,
                           struct segment_scan *scan_out, struct error *error)
{
    struct segment_scan scan = {.end_offset = SEGMENT_DATA_OFFSET};
    enum error_code code = scan_header(content, size_bytes, &scan.header, error);
    if (code != ERROR_NONE)
        return code;
    scan.payloads = arena_create(0);
    if (scan.payloads == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "journal segment");
    *scan_out = scan;
    return ERROR_NONE;
}

enum error_code scan_extend(struct segment_scan *scan, const struct scan_window *window,
                            uint64_t size_bytes, uint64_t *needed_bytes_out, struct error *error)
{
    struct batch_header header;
    *needed_bytes_out = 0;
    for (;;) {
        uint64_t offset = scan->end_offset;
        if (offset + BLOCK_BYTES > size_bytes)
            return ERROR_NONE;
        assert(offset >= window->offset && offset <= window->offset + window->size_bytes);
        const uint8_t *batch = window->bytes + (offset - window->offset);
        uint64_t held_bytes = window->offset + window->size_bytes - offset;
        if (held_bytes < BLOCK_BYTES) {
            *needed_bytes_out = BLOCK_BYTES;
            return ERROR_NONE;
        }
        if (!batch_header_check(batch, offset, size_bytes, &scan->header, &header))
            return ERROR_NONE;
        if (scan->count > 0 &&
            header.sequence != scan->batches[scan->count - 1].header.sequence + 1)
            return ERROR_NONE;
        if (held_bytes < header.size_bytes) {
            *needed_bytes_out = header.size_bytes;
            return ERROR_NONE;
        }
        struct scan_batch found = {offset, header, scan->record_count};
        enum batch_check check = records_check(scan, batch, offset, &header);
        if (check == BATCH_BROKEN)
            return ERROR_NONE;
        if (check == BATCH_OUT_OF_MEMORY || !batch_add(scan, found))
            return error_set(error, ERROR_OUT_OF_MEMORY, "journal segment");
        if (header.durable > scan->durable_max)
            scan->durable_max = header.durable;
        scan->end_offset += round_to_block(header.size_bytes);
    }
}

/* Batches that the valid prefix does not lead to: what a tear or damage cut off. */
void scan_stranded(struct segment_scan *scan, const uint8_t *bytes, uint64_t offset,
                   uint64_t piece_bytes, uint64_t size_bytes)
{
    assert(offset % BLOCK_BYTES == 0 && offset >= scan->end_offset);
    struct batch_header header;
    for (uint64_t at = 0; at + BLOCK_BYTES <= piece_bytes; at += BLOCK_BYTES) {
        if (!batch_header_check(bytes + at, offset + at, size_bytes, &scan->header, &header))
            continue;
        scan->stranded_count++;
        if (header.durable > scan->stranded_durable_max)
            scan->stranded_durable_max = header.durable;
        if (header.durable > scan->durable_max)
            scan->durable_max = header.durable;
    }
}

enum error_code scan_segment(const uint8_t *content, uint64_t size_bytes,
                             struct segment_scan *scan_out, struct error *error)
{
    struct segment_scan scan;
    enum error_code code = scan_begin(content, size_bytes, &scan, error);
    if (code != ERROR_NONE)
        return code;
    struct scan_window whole = {.bytes = content, .size_bytes = size_bytes};
    uint64_t needed_bytes;
    code = scan_extend(&scan, &whole, size_bytes, &needed_bytes, error);
    if (code != ERROR_NONE) {
        segment_scan_clear(&scan);
        return code;
    }
    if (scan.end_offset < size_bytes)
        scan_stranded(&scan, content + scan.end_offset, scan.end_offset,
                      size_bytes - scan.end_offset, size_bytes);
    *scan_out = scan;
    return ERROR_NONE;
}

void segment_scan_clear(struct segment_scan *scan)
{
    free(scan->batches);
    free(scan->records);
    arena_destroy(scan->payloads);
    *scan = (struct segment_scan){0};
}

enum error_code scan_records(const struct segment_scan *scan, const struct scan_batch *batch,
                             scan_visit_record *visit, void *context, struct error *error)
{
    assert(batch->first_record + batch->header.record_count <= scan->record_count);
    for (size_t i = 0; i < batch->header.record_count; i++) {
        const struct scan_record *found = &scan->records[batch->first_record + i];
        enum error_code code = visit(context, &found->record, found->offset, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}
