/*
 * windows - which windows of two hours a query has read, of which shards, and their versions.
 *
 * For who keeps what a query gave: it holds as long as every window has the version that is told
 * here (shard/shard_windows.h). A window that was changed while it was read, or that has no
 * version, is told as SHARD_WINDOW_UNVERSIONED: what was read of it may not be kept.
 *
 *   windows = create ──▶ distributor.windows, fanout_source_init ──▶ the query runs, its sets are
 *   closed ──▶ is_complete? list ──▶ destroy
 *
 * Any thread.
 */
#ifndef FANOUT_WINDOWS_H
#define FANOUT_WINDOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "shard/shard_windows.h"

enum { FANOUT_WINDOWS_MAX = 65536 }; /* that are told of one shard at once: fifteen years */

struct fanout_windows;

struct fanout_window {
    uint32_t shard_id;
    int64_t window;   /* shard_window_of a time */
    uint64_t version; /* log index, or SHARD_WINDOW_UNVERSIONED */
};

/* Errors: OUT_OF_MEMORY. */
enum error_code fanout_windows_create(struct fanout_windows **windows_out, struct error *error);
void fanout_windows_destroy(struct fanout_windows *windows); /* NULL is fine */

/*
 * Whether all that was read is told: not, when a node did not know of versions (one that is not of
 * the version in force of the cluster is not asked), a range was longer than FANOUT_WINDOWS_MAX, or
 * memory was out. Then the list is of no use.
 */
bool fanout_windows_is_complete(const struct fanout_windows *windows);

/* Each window of a shard once, by shard and window. It stays as it is until something is added.
 * Ends all adding: after the query. */
const struct fanout_window *fanout_windows_list(struct fanout_windows *windows, size_t *count_out);

#endif
