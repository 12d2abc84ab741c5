/*
 * windows - which entry of the log changed each window of two hours last. Private to shard.
 *
 * A pure function of the log, of at most WINDOWS_MAX windows; all others have the version `base`,
 * which is at least that of their last change. The loop writes, any thread reads.
 *
 * An entry's windows are touched while it is applied and get its index when all of it is: a reader
 * that sees the index sees what the entry did.
 */
#ifndef SHARD_WINDOWS_H
#define SHARD_WINDOWS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "shard/shard_windows.h"

enum {
    /* Beyond, those that were changed longest ago become like all others, down to half as many. */
    WINDOWS_MAX = 4096,
    /* A deletion over more windows than that which are not known changes all of them. */
    WINDOWS_DELETED_MAX = 64,
};

/* --- The table ------------------------------------------------------------------------------- */

/* Shared with readers: an open-addressing table that is never emptied, but replaced. */
struct window_slot {
    _Atomic int64_t window;
    _Atomic uint64_t index; /* 0: the slot is empty */
    uint64_t touched;       /* the writer's: entry that touched it last */
};

struct window_table {
    atomic_size_t references;
    uint64_t base;       /* log index, > 0 */
    size_t capacity;     /* a power of two, at least twice the count */
    size_t count;        /* the writer's */
    _Atomic int64_t end; /* windows before have no version: their samples are leaving */
    struct window_slot slots[];
};

/* Any thread; NULL is fine. */
struct window_table *window_table_ref(struct window_table *table);
void window_table_unref(struct window_table *table);

/* Any thread. */
uint64_t window_table_version(const struct window_table *table, int64_t window);

/* --- Writing --------------------------------------------------------------------------------- */

/* Zero-initialised: nothing is kept, and all below does nothing. */
struct windows {
    struct window_table *table; /* a reference */
    uint64_t entry;             /* that is being applied */
    int64_t near_start_ms;      /* of the window that was touched last */
    int64_t *touched;           /* [touched_count], windows of this entry */
    size_t touched_count;
    size_t touched_capacity;
    bool touched_all;
};

/* As manifests have them. */
struct window_version {
    int64_t window;
    uint64_t index;
};

/* Begin with `versions`, ascending windows; all others have `base`. Errors: OUT_OF_MEMORY. */
enum error_code windows_init(struct windows *windows, uint64_t base,
                             const struct window_version *versions, size_t count,
                             struct error *error);
void windows_clear(struct windows *windows);

/* An entry begins. */
void windows_begin(struct windows *windows, uint64_t index);

/* Samples at these times are in it. Errors: OUT_OF_MEMORY. */
enum error_code windows_touch(struct windows *windows, const int64_t *timestamps_ms, size_t count,
                              struct error *error);

/* It takes samples out of this range, both ends included. Errors: OUT_OF_MEMORY. */
enum error_code windows_touch_range(struct windows *windows, int64_t start_ms, int64_t end_ms,
                                    struct error *error);

/* It changes every window there is. */
void windows_touch_all(struct windows *windows);

/* All of the entry is applied. Errors: OUT_OF_MEMORY. */
enum error_code windows_commit(struct windows *windows, struct error *error);

/* Windows that begin before have no version any more. */
void windows_end_before(struct windows *windows, int64_t cutoff_ms);

/* All that are kept, ascending; the caller frees. Errors: OUT_OF_MEMORY. */
enum error_code windows_list(const struct windows *windows, struct window_version **versions_out,
                             size_t *count_out, struct error *error);

#endif
