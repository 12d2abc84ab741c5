/*
 * entry_forget - the entries by which series and metadata leave (docs/formats/entry.md). Private to
 * shard.
 */
#ifndef SHARD_ENTRY_FORGET_H
#define SHARD_ENTRY_FORGET_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"

enum { FORGET_IDS_MAX = 4096, FORGET_METRICS_MAX = 1024 };

struct forgotten_ids {
    uint64_t *ids; /* [count], ascending, of the arena */
    size_t count;
};

struct forgotten_metric {
    struct text tenant; /* views of the entry */
    struct text metric_name;
};

struct forgotten_metrics {
    struct forgotten_metric *metrics; /* [count], of the arena */
    size_t count;
};

/* Append a whole entry; ids ascend and are at most FORGET_IDS_MAX, but not none. */
void entry_encode_forget(struct byte_buffer *buffer, int64_t stamp_ms, const uint64_t *ids,
                         size_t count);

/* `metrics` are `count` times text tenant, text metric_name. */
void entry_encode_forget_metadata(struct byte_buffer *buffer, int64_t stamp_ms,
                                  const struct byte_buffer *metrics, size_t count);

/* Decode the bodies, which end where the reader does. Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code entry_decode_forget(struct byte_reader *body, struct arena *arena,
                                    struct forgotten_ids *forgotten_out, struct error *error);
enum error_code entry_decode_forget_metadata(struct byte_reader *body, struct arena *arena,
                                             struct forgotten_metrics *forgotten_out,
                                             struct error *error);

#endif
