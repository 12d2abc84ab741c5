/*
 * shard_install - the state of another replica, taken over: its manifest, and the files that it
 * names and that are not here.
 *
 *     manifest --> which files are here, checked --> others are fetched, verified, named
 *              --> all are opened (a job) --> ready --> shard_install_finish swaps the state
 *
 * Until the end the shard serves what it has and takes entries. What was fetched stays when an
 * install is given up: the next one finds it. All on the shard's loop.
 */
#ifndef SHARD_SHARD_INSTALL_H
#define SHARD_SHARD_INSTALL_H

#include "shard/file_fetcher.h"
#include "shard/shard.h"

/* Who may have the files of a shard. */
struct shard_peers {
    struct file_fetcher *fetcher; /* NULL: nobody; then all files must be here */
    uint64_t group_id;
    void *context;
    /* Fill in other nodes, the best first; how many. */
    size_t (*nodes)(void *context, uint64_t nodes_out[FILE_FETCH_NODES_MAX]);
};

struct shard_install;

/*
 * Begin; there is none under way that was not abandoned. The bytes are copied. `ready` runs on the
 * loop, never inside the call: NONE when all files are durable here and open, else why not (the
 * shard then goes on as it is). Finish or abandon it in any case, inside `ready` or later. Errors:
 * CORRUPT, UNSUPPORTED, OUT_OF_MEMORY.
 */
enum error_code shard_install_begin(struct shard *shard, const uint8_t *manifest, size_t size_bytes,
                                    void (*ready)(void *context, const struct error *error),
                                    void *context, struct shard_install **install_out,
                                    struct error *error);

/*
 * The same of a state of this replica's own that could not be opened at a start: the shard has none
 * yet. Only series segments are fetched, each of which is needed; parts and blocks may have
 * stand-ins, metadata may begin empty.
 */
enum error_code shard_install_begin_stored(struct shard *shard, const uint8_t *manifest,
                                           size_t size_bytes,
                                           void (*ready)(void *context, const struct error *error),
                                           void *context, struct shard_install **install_out,
                                           struct error *error);

/*
 * Not wanted any more, at any time: `ready` will not run. It is the shard's from now on, and
 * shard_close waits for what is under way. NULL is fine.
 */
void shard_install_abandon(struct shard_install *install);

/*
 * After `ready` with NONE, when the snapshot is durable: the shard's state becomes that of the
 * manifest. Views that queries hold stay readable; jobs of the state before end without effect.
 * Quick but for the merge that the manifest may have under way. The install is gone.
 * Errors: OUT_OF_MEMORY, CORRUPT: the shard can't go on.
 */
enum error_code shard_install_finish(struct shard_install *install, struct error *error);

/* How far installs and repairs of a shard are. Any thread. */
struct shard_install_progress {
    bool is_installing;
    uint64_t files_total, files_done; /* of the install under way */
    uint64_t bytes_total, bytes_done; /* of files whose size is known */
    uint64_t files_fetched_total;     /* since the start, verified */
    uint64_t bytes_fetched_total;
    uint64_t files_rejected_total; /* what came was not the file */
    uint64_t files_repaired_total; /* damaged or missing ones that were replaced */
};
void shard_read_install_progress(const struct shard *shard,
                                 struct shard_install_progress *progress_out);

/* --- For who can't go on by itself ------------------------------------------------------------ */

/*
 * Whether a freeze can't be written, again and again, for a file here that can't be read: when the
 * others have written theirs, none of them has that file any more, so the state of one of them is
 * needed. On the loop.
 */
bool shard_needs_state(const struct shard *shard);

/* That state: the manifest of a node's last durable freeze. The caller's until `done`. */
struct shard_state_fetch {
    /* On the loop, not inside the call. UNAVAILABLE: not yet; the leader, when it is asked, then
     * has a freeze decided. CANCELED, CORRUPT, IO, NO_SPACE, NOT_FOUND, OUT_OF_MEMORY. */
    void (*done)(struct shard_state_fetch *fetch, const struct error *error);
    struct byte_buffer manifest; /* the outcome; the caller clears it */
    uint64_t frozen_index;       /* of that: behind beyond_index */

    /* The shard's. */
    uint64_t beyond_index;
    struct file_fetch fetch;
    struct job job;
    struct shard *shard;
    struct error error;
    bool is_fetching, is_cancelled;
};

/* Of a shard with peers, not once it closes. The shard waits with its end for `done`. */
void shard_fetch_state(struct shard *shard, struct shard_state_fetch *fetch, uint64_t node_id,
                       uint64_t beyond_index);
void shard_cancel_state_fetch(struct shard_state_fetch *fetch);

/* --- For who serves files to others ----------------------------------------------------------- */

/* Where a file of the shard lies. On the loop; the file may not be there. */
void shard_file_path(const struct shard *shard, const struct shard_file *file,
                     char path[DISK_PATH_MAX + 1]);

/* For a replica that can't go on: the state at the last durable freeze, which must lie behind this
 * index. UNAVAILABLE: it does not; where this replica leads, a freeze was asked for. Also
 * OUT_OF_MEMORY. On the loop. */
enum error_code shard_offer_state(struct shard *shard, uint64_t beyond_index,
                                  struct byte_buffer *manifest, struct error *error);

/* Somebody fetches files: none is deleted for so long from now. On the loop. */
void shard_keep_files(struct shard *shard, uint64_t duration_ms);

#endif
