/*
 * tsdb_meta - the meta.json of a block of Prometheus, with what Thanos and Mimir add to it.
 */
#ifndef TSDB_TSDB_META_H
#define TSDB_TSDB_META_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "model/labels.h"
#include "platform/random.h"

enum { TSDB_ULID_CHARACTERS = 26, TSDB_META_BYTES_MAX = 4 * 1024 * 1024 };

/* Samples in [start_ms, end_ms). */
struct tsdb_meta {
    char ulid[TSDB_ULID_CHARACTERS + 1];
    int64_t start_ms;
    int64_t end_ms;
    uint64_t sample_count; /* histograms among them */
    uint64_t series_count;
    uint64_t chunk_count;
    int64_t compaction_level;
    /* Thanos: samples are sums over this long; 0: they are as scraped. */
    int64_t resolution_ms;
    /* Thanos, Mimir: of all series; without names that begin with "__", which are their own. */
    struct labels external_labels;
    bool is_deletable; /* Prometheus: its samples are in a larger block */
};

/* Of bytes from outside; labels are in `arena`. Errors: CORRUPT, UNSUPPORTED (another version),
 * OUT_OF_MEMORY. */
enum error_code tsdb_meta_decode(const uint8_t *json, size_t size, struct arena *arena,
                                 struct tsdb_meta *meta_out, struct error *error);

/* What Prometheus has in it; appended. */
void tsdb_meta_encode(const struct tsdb_meta *meta, struct byte_buffer *buffer);

/* The name of a block (github.com/ulid/spec): a time and a random number. */
void tsdb_ulid_make(int64_t now_ms, struct random *random, char ulid[TSDB_ULID_CHARACTERS + 1]);
bool tsdb_ulid_is(const char *name);

#endif
