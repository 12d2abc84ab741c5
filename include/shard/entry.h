/*
 * entry - the records of a shard's log: written by the leader, applied everywhere.
 *
 * Byte layout: docs/formats/entry.md. Encoding cannot fail but for memory (the buffer's `failed`);
 * decoding checks every length, and what is wrong is CORRUPT: the log was checked before, so it
 * means a writer of another mind, and the group stops.
 */
#ifndef SHARD_ENTRY_H
#define SHARD_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "model/sample.h"

enum entry_kind {
    ENTRY_WRITE = 1,
    ENTRY_FREEZE = 2,
    ENTRY_MERGE_START = 3,
    ENTRY_MERGE_DONE = 4,
    ENTRY_RETENTION = 5,
    ENTRY_DELETE_SERIES = 6,
    ENTRY_CLEAN_TOMBSTONES = 7,
    ENTRY_FORGET_SERIES = 8,
    ENTRY_FORGET_METADATA = 9,
    ENTRY_MERGE_GIVEN_UP = 10,
    ENTRY_SPLIT = 11,
    ENTRY_STATE_VERSION = 12,
    ENTRY_UPLOADED = 13,
    ENTRY_PUBLISHED = 14,
    ENTRY_REMOVED = 15,
    ENTRY_RETENTION_POLICY = 16,
};

enum { ENTRY_VERSION = 1 };

struct entry_header {
    enum entry_kind kind;
    uint8_t version;
    int64_t stamp_ms; /* the leader's clock when it proposed */
};

/* Append the header. */
void entry_encode_header(struct byte_buffer *buffer, enum entry_kind kind, int64_t stamp_ms);

/* Read it; the reader then stands at the body. Errors: CORRUPT, UNSUPPORTED (kind, version). */
enum error_code entry_decode_header(struct byte_reader *reader, struct entry_header *header_out,
                                    struct error *error);

/* --- Write -------------------------------------------------------------------------------- */

struct entry_series {
    uint16_t slot;
    struct labels labels; /* canonical */
};

struct entry_histogram {
    uint64_t id;
    int64_t timestamp_ms;
    int64_t start_timestamp_ms; /* 0: none */
    struct histogram histogram;
};

struct entry_exemplar {
    uint64_t id;
    struct exemplar exemplar;
};

struct entry_metadata {
    struct text metric_name;
    struct metric_metadata metadata;
};

/* What one request brought to the shard. */
struct entry_part {
    struct text tenant;
    struct text source;                /* replica of an HA pair, may be empty */
    const struct entry_series *series; /* [series_count], get the next ids in order */
    size_t series_count;
    const uint64_t *ids;                /* [float_count] */
    const int64_t *timestamps_ms;       /* [float_count] */
    const double *values;               /* [float_count] */
    const int64_t *start_timestamps_ms; /* [float_count] or NULL */
    size_t float_count;
    const struct entry_histogram *histograms;
    size_t histogram_count;
    const struct entry_exemplar *exemplars;
    size_t exemplar_count;
    const struct entry_metadata *metadata;
    size_t metadata_count;
};

/* Header and next_id; parts follow. */
void entry_encode_write(struct byte_buffer *buffer, int64_t stamp_ms, uint64_t next_id);
void entry_encode_part(struct byte_buffer *buffer, const struct entry_part *part);

/* After the header: the id that the entry's first new series gets. Errors: CORRUPT. */
enum error_code entry_decode_next_id(struct byte_reader *reader, uint64_t *next_id_out,
                                     struct error *error);

/*
 * The next part, its arrays in `arena`, texts and labels views into the entry; *more_out is false
 * at the end. Errors: CORRUPT, OUT_OF_MEMORY.
 */
enum error_code entry_decode_part(struct byte_reader *reader, struct arena *arena,
                                  struct entry_part *part_out, bool *more_out, struct error *error);

/* --- Histogram values (also used in manifests and tests) ------------------------------------ */

void histogram_encode_value(struct byte_buffer *buffer, const struct histogram *histogram);

/* Arrays in `arena`. Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code histogram_decode_value(struct byte_reader *reader, struct arena *arena,
                                       struct histogram *histogram_out, struct error *error);

#endif
