/*
 * shard_loops - which loop a shard lives on. Private to server.
 *
 * A start replays each loop's shards one after another, so it takes as long as the loop with the
 * most to replay. Groups may change loops at every start (include/journal/journal.h), so they are
 * dealt out by what each has to replay.
 */
#ifndef SERVER_SHARD_LOOPS_H
#define SERVER_SHARD_LOOPS_H

#include <stdint.h>

/*
 * Deal the longest first, each to the loop with the least so far. Numbers of shards differ by at
 * most one, so that what comes later is shared as well; without anything to replay shard i is on
 * loop i % loop_count. replayed: entries, [shard_count]; loops_out: [shard_count]; loop_count > 0.
 */
void shard_loops_deal(const uint64_t *replayed, uint32_t shard_count, uint32_t loop_count,
                      uint32_t *loops_out);

#endif
