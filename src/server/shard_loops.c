#include "shard_loops.h"

#include <assert.h>
#include <stdbool.h>

enum { NO_LOOP = UINT32_MAX };

/* The shard with most to replay that has no loop yet. */
static uint32_t longest_left(const uint64_t *replayed, uint32_t shard_count, const uint32_t *loops)
{
    uint32_t longest = NO_LOOP;
    for (uint32_t shard = 0; shard < shard_count; shard++)
        if (loops[shard] == NO_LOOP && (longest == NO_LOOP || replayed[shard] > replayed[longest]))
            longest = shard;
    return longest;
}

struct loop_load {
    uint32_t shards;
    uint64_t replayed;
};

static struct loop_load load_of(const uint64_t *replayed, uint32_t shard_count,
                                const uint32_t *loops, uint32_t loop)
{
    struct loop_load load = {0};
    for (uint32_t shard = 0; shard < shard_count; shard++)
        if (loops[shard] == loop) {
            load.shards++;
            load.replayed += replayed[shard];
        }
    return load;
}

/* Loops with one shard more than the others can have. */
static uint32_t fuller_loops(uint32_t shard_count, uint32_t loop_count, const uint32_t *loops)
{
    uint32_t fuller = 0;
    for (uint32_t loop = 0; loop < loop_count; loop++) {
        uint32_t shards = 0;
        for (uint32_t shard = 0; shard < shard_count; shard++)
            shards += loops[shard] == loop;
        fuller += shards > shard_count / loop_count;
    }
    return fuller;
}

static uint32_t least_loaded(const uint64_t *replayed, uint32_t shard_count, uint32_t loop_count,
                             const uint32_t *loops)
{
    uint32_t each = shard_count / loop_count;
    bool may_be_fuller = fuller_loops(shard_count, loop_count, loops) < shard_count % loop_count;
    uint32_t best = NO_LOOP;
    struct loop_load least = {0};
    for (uint32_t loop = 0; loop < loop_count; loop++) {
        struct loop_load load = load_of(replayed, shard_count, loops, loop);
        if (load.shards > each || (load.shards == each && !may_be_fuller))
            continue;
        if (best == NO_LOOP || load.replayed < least.replayed ||
            (load.replayed == least.replayed && load.shards < least.shards)) {
            best = loop;
            least = load;
        }
    }
    return best;
}

void shard_loops_deal(const uint64_t *replayed, uint32_t shard_count, uint32_t loop_count,
                      uint32_t *loops_out)
{
    assert(loop_count > 0);
    for (uint32_t shard = 0; shard < shard_count; shard++)
        loops_out[shard] = NO_LOOP;
    for (uint32_t dealt = 0; dealt < shard_count; dealt++) {
        uint32_t shard = longest_left(replayed, shard_count, loops_out);
        loops_out[shard] = least_loaded(replayed, shard_count, loop_count, loops_out);
    }
}
