/*
 * transfer - files of shards on their way between nodes: asks others for what a shard here lacks,
 * and serves what others lack.
 *
 * One transfer a loop, over the transport of the same lane, on its connection for files. A file
 * comes in ranges of up to a MiB, written behind what is there already; a broken connection,
 * another node or another life of the process go on from there, as long as the file is the same to
 * the byte (its hash says so). How fast bytes come is bounded by a budget that the loops of a node
 * share. Bytes on the wire: docs/protocols/transfer.md. Disk work is done by jobs.
 */
#ifndef TRANSFER_TRANSFER_H
#define TRANSFER_TRANSFER_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "platform/environment.h"
#include "shard/file_fetcher.h"
#include "shard/shard.h"

struct transfer;
struct transport;

enum { TRANSFER_REQUEST_KIND = 30 }; /* 31 to 39 are reserved for it */

/* --- Budget: any thread ------------------------------------------------------------------------
 */

/* Bytes a second, all loops of a node together. */
struct transfer_budget {
    uint64_t bytes_per_second; /* 0: no limit */
    _Atomic uint64_t free_ns;  /* when all that was taken is through */
};

/* Take `size_bytes` at `now_ns` (monotonic); after how many ms they may be asked for. */
uint64_t transfer_budget_take(struct transfer_budget *budget, uint64_t size_bytes, uint64_t now_ns);

/* --- Life --------------------------------------------------------------------------------------
 */

struct transfer_options {
    struct environment *environment; /* of the loop */
    struct transport *transport;     /* of the lane; has no connection yet */
    struct transfer_budget *budget;  /* NULL: no limit */
    uint32_t fetches_max;            /* files that come at once; others wait. 0: 2 */
    uint32_t serves_max;             /* ranges that are read at once; beyond: later. 0: 4 */
    uint32_t range_bytes;            /* asked for at once, at most 1 MiB; 0: that */
    uint64_t timeout_ms;             /* of a range; 0: 30 s */
};

/* What options point to outlives it. Errors: OUT_OF_MEMORY. */
enum error_code transfer_create(const struct transfer_options *options,
                                struct transfer **transfer_out, struct error *error);

/* After the transport and the shards are closed: no fetch is under way. Jobs that still read for
 * others are waited for, then `closed` runs, not inside the call. */
void transfer_close(struct transfer *transfer, void (*closed)(void *context), void *context);

/* The shard of this group, on this loop, serves others from now on; until it is taken away, before
 * it closes. Errors: OUT_OF_MEMORY. */
enum error_code transfer_add_shard(struct transfer *transfer, uint64_t group_id,
                                   struct shard *shard, struct error *error);
void transfer_remove_shard(struct transfer *transfer, uint64_t group_id);

/* For struct shard_peers of shards on this loop. */
struct file_fetcher *transfer_fetcher(struct transfer *transfer);

struct transfer_statistics {
    uint64_t files_fetched, bytes_fetched;
    uint64_t ranges_failed;  /* asked for again, of the same node or another */
    uint64_t files_resumed;  /* begun with bytes that were here */
    uint64_t fetches_active; /* now */
    uint64_t fetches_waiting;
    uint64_t throttled_ms;
    uint64_t ranges_served, bytes_served;
    uint64_t ranges_refused; /* too many at once, or no such file */
};

/* On the loop. */
void transfer_read_statistics(const struct transfer *transfer,
                              struct transfer_statistics *statistics_out);

#endif
