/*
 * tombstones - what is deleted of a block of Prometheus but still in its chunks
 * (tsdb/docs/format/tombstones.md).
 */
#ifndef TSDB_TOMBSTONES_H
#define TSDB_TOMBSTONES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"

enum { TOMBSTONES_MAGIC = 0x0130BA30, TOMBSTONES_VERSION = 1 };

/* Samples of a series in [start_ms, end_ms]. */
struct tombstone {
    uint64_t series; /* its reference in the index */
    int64_t start_ms;
    int64_t end_ms;
};

struct tombstones {
    struct tombstone *stones; /* [count], by series, then start */
    size_t count;
};

/* Of a whole file; in `arena`. Errors: CORRUPT, UNSUPPORTED, OUT_OF_MEMORY. */
enum error_code tombstones_decode(const uint8_t *bytes, size_t size, struct arena *arena,
                                  struct tombstones *tombstones_out, struct error *error);

/* The stones of a series, [*count_out]. */
const struct tombstone *tombstones_of(const struct tombstones *tombstones, uint64_t series,
                                      size_t *count_out);

bool tombstones_cover(const struct tombstone *stones, size_t count, int64_t timestamp_ms);

/* The file of a block of which nothing is deleted; appended. */
void tombstones_encode_none(struct byte_buffer *buffer);

#endif
