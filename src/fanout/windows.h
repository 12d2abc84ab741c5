/* What of fanout fills in versions of windows (fanout/windows.h). */
#ifndef FANOUT_WINDOWS_PRIVATE_H
#define FANOUT_WINDOWS_PRIVATE_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "fanout/replicas.h"
#include "fanout/windows.h"

/* --- What was read --------------------------------------------------------------------------- */

/* The times that selections of a reading had in them; several threads may note theirs. */
struct read_span {
    _Atomic int64_t start_ms; /* of the earliest */
    _Atomic int64_t end_ms;   /* before start_ms: nothing was read */
};

void read_span_init(struct read_span *span);
void read_span_note(struct read_span *span, int64_t start_ms, int64_t end_ms);

/* --- What is told of a shard ----------------------------------------------------------------- */

struct told_windows {
    bool is_known;
    int64_t first;
    size_t count;
    const uint64_t *versions; /* [count], in the arena */
};

/* When the reading is over: the versions of what was read of a replica that had applied
 * `applied_index` before it began. Not known when there are too many, or memory is out. */
struct told_windows told_windows_of(struct fanout_replicas *replicas,
                                    const struct fanout_replica *replica, uint64_t applied_index,
                                    const struct read_span *span, struct arena *arena);

/* The payload of a frame (docs/protocols/select.md). */
void told_windows_encode(struct byte_buffer *buffer, uint32_t shard_id,
                         const struct told_windows *told);

/* Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code told_windows_decode(const uint8_t *bytes, size_t size, struct arena *arena,
                                    uint32_t *shard_id_out, struct told_windows *told_out,
                                    struct error *error);

/* --- Collecting ------------------------------------------------------------------------------ */

/* NULL: nobody wants to know. */
void fanout_windows_add(struct fanout_windows *windows, uint32_t shard_id,
                        const struct told_windows *told);

#endif
