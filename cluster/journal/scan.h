/*
 * scan - find the batches and records in the bytes of one segment. Pure.
 *
 * What a scan keeps of a record is where it lies and what its header says; payloads of entries and
 * snapshots are read again by who needs them.
 */
#ifndef JOURNAL_SCAN_H
#define JOURNAL_SCAN_H

#include "record.h"

struct arena;

struct scan_batch {
    uint64_t offset;
    struct batch_header header;
    size_t first_record; /* of its header.record_count */
};

struct scan_record {
    uint64_t offset; /* in the segment */
    /* The payload is NULL for entries and snapshots, and lives as long as the scan for others. */
    struct record record;
};

struct segment_scan {
    struct segment_header header;
    struct scan_batch *batches; /* [count], whole and valid, sequences without gaps */
    size_t count, capacity;
    struct scan_record *records; /* [record_count] of these batches, in order */
    size_t record_count, record_capacity;
    struct arena *payloads;
    uint64_t end_offset; /* of the last batch: the first place that does not check */
    /* Largest `durable` of all valid batch headers, and of those behind end_offset only. */
    uint64_t durable_max;
    uint64_t stranded_durable_max;
    size_t stranded_count;
};

/* The header, from whichever copy checks. Errors: CORRUPT, UNSUPPORTED. */
enum error_code scan_header(const uint8_t *content, uint64_t size_bytes,
                            struct segment_header *header_out, struct error *error);

/*
 * A segment is scanned as it is read: begin with the header, extend over what has been read so far
 * as long as that leads somewhere, then look at the rest for stranded batches, in any pieces.
 */

/* `content` holds SEGMENT_DATA_OFFSET bytes at least. Errors: CORRUPT, UNSUPPORTED (the header). */
enum error_code scan_begin(const uint8_t *content, uint64_t size_bytes,
                           struct segment_scan *scan_out, struct error *error);

/* A part of a segment in memory: [offset, offset + size_bytes). */
struct scan_window {
    const uint8_t *bytes;
    uint64_t offset;
    uint64_t size_bytes;
};

/*
 * Go on at scan->end_offset, which lies in the window. *needed_bytes_out: how many bytes from
 * end_offset the window must hold to go on, 0 when the batches lead no further. Errors:
 * OUT_OF_MEMORY.
 */
enum error_code scan_extend(struct segment_scan *scan, const struct scan_window *window,
                            uint64_t size_bytes, uint64_t *needed_bytes_out, struct error *error);

/* `bytes` [piece_bytes] is the segment from `offset`, on block boundaries, not before
 * end_offset. */
void scan_stranded(struct segment_scan *scan, const uint8_t *bytes, uint64_t offset,
                   uint64_t piece_bytes, uint64_t size_bytes);

/* All of it at once, of a segment that is whole in memory. Errors: as all of them. */
enum error_code scan_segment(const uint8_t *content, uint64_t size_bytes,
                             struct segment_scan *scan_out, struct error *error);

void segment_scan_clear(struct segment_scan *scan);

/* Call visit(context, record, offset in the segment) for each record of a batch of `scan`; stops at
 * the first error. */
typedef enum error_code scan_visit_record(void *context, const struct record *record,
                                          uint64_t offset, struct error *error);
enum error_code scan_records(const struct segment_scan *scan, const struct scan_batch *batch,
                             scan_visit_record *visit, void *context, struct error *error);

#endif
