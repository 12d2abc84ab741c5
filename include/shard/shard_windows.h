/*
 * shard_windows - the versions of a shard's windows: for who keeps what was computed from them.
 *
 * The version of a window of two hours is the log index of the last entry that changed what is in
 * it: a write with samples in it, a deletion that covers some of it. It is a pure function of the
 * log, so equal on all replicas that have applied the same. What was computed from a window with
 * one version holds as long as it has that version. It never falls; it may rise without need, when
 * it is long ago that the window was changed.
 */
#ifndef SHARD_SHARD_WINDOWS_H
#define SHARD_SHARD_WINDOWS_H

#include <stddef.h>
#include <stdint.h>

struct shard;

enum { SHARD_WINDOW_MS = 2 * 3600 * 1000 };

/* The window has no version: the retention takes it away piece by piece, or the shard does not keep
 * versions yet. What is computed from it does not hold. */
#define SHARD_WINDOW_UNVERSIONED UINT64_MAX

/* The number of the window of a time: windows are aligned to the Unix epoch. */
static inline int64_t shard_window_of(int64_t timestamp_ms)
{
    return timestamp_ms / SHARD_WINDOW_MS - (timestamp_ms % SHARD_WINDOW_MS < 0);
}

/*
 * The versions of `count` windows from `first` on, now. Any thread.
 *
 * To tell what a reading saw: note the applied index, read, then ask here. A version that is not
 * above the noted index is that of what was read; a window with a higher one was changed meanwhile.
 */
void shard_read_window_versions(struct shard *shard, int64_t first, size_t count,
                                uint64_t *versions_out);

#endif
