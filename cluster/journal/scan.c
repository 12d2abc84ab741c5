#include "scan.h"

#include <assert.h>
#include <stdlib.h>

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

static bool records_check(const uint8_t *batch, const struct batch_header *header, uint64_t salt)
{
    size_t position = BATCH_HEADER_BYTES;
    uint32_t count = 0;
    while (position < header->size_bytes) {
        struct record record;
        size_t taken =
            record_decode(batch + position, header->size_bytes - position, salt, &record);
        if (taken == 0)
            return false;
        position += taken;
        count++;
    }
    return count == header->record_count;
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

enum error_code scan_begin(const uint8_t *content, uint64_t size_bytes,
                           struct segment_scan *scan_out, struct error *error)
{
    struct segment_scan scan = {.end_offset = SEGMENT_DATA_OFFSET};
    enum error_code code = scan_header(content, size_bytes, &scan.header, error);
    if (code == ERROR_NONE)
        *scan_out = scan;
    return code;
}

enum error_code scan_extend(struct segment_scan *scan, const uint8_t *content, uint64_t read_bytes,
                            uint64_t size_bytes, bool *more_out, struct error *error)
{
    struct batch_header header;
    *more_out = false;
    for (;;) {
        uint64_t offset = scan->end_offset;
        if (offset + BLOCK_BYTES > size_bytes)
            return ERROR_NONE;
        *more_out = offset + BLOCK_BYTES > read_bytes;
        if (*more_out ||
            !batch_header_check(content + offset, offset, size_bytes, &scan->header, &header))
            return ERROR_NONE;
        if (scan->count > 0 &&
            header.sequence != scan->batches[scan->count - 1].header.sequence + 1)
            return ERROR_NONE;
        *more_out = offset + header.size_bytes > read_bytes;
        if (*more_out || !records_check(content + offset, &header, scan->header.salt))
            return ERROR_NONE;
        if (!batch_add(scan, (struct scan_batch){offset, header}))
            return error_set(error, ERROR_OUT_OF_MEMORY, "journal segment");
        scan->record_count += header.record_count;
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
    bool more;
    code = scan_extend(&scan, content, size_bytes, size_bytes, &more, error);
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
    *scan = (struct segment_scan){0};
}

enum error_code scan_records(const uint8_t *content, const struct scan_batch *batch,
                             scan_visit_record *visit, void *context, struct error *error)
{
    size_t position = BATCH_HEADER_BYTES;
    while (position < batch->header.size_bytes) {
        struct record record;
        uint64_t offset = batch->offset + position;
        size_t taken = record_view(content + offset, batch->header.size_bytes - position, &record);
        assert(taken > 0); /* scan_segment checked it */
        enum error_code code = visit(context, &record, offset, error);
        if (code != ERROR_NONE)
            return code;
        position += taken;
    }
    return ERROR_NONE;
}
