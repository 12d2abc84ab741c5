#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shard_loops.h"

enum { SHARDS_MAX = 64 };

static void assert_dealt(const uint64_t *replayed, uint32_t shards, uint32_t loops,
                         const uint32_t *expected)
{
    uint32_t dealt[SHARDS_MAX];
    shard_loops_deal(replayed, shards, loops, dealt);
    for (uint32_t shard = 0; shard < shards; shard++)
        assert_int_equal(dealt[shard], expected[shard]);
}

static void shards_with_nothing_to_replay_take_turns(void **state)
{
    (void)state;
    uint64_t replayed[5] = {0};
    assert_dealt(replayed, 5, 2, (uint32_t[]){0, 1, 0, 1, 0});
    assert_dealt(replayed, 4, 1, (uint32_t[]){0, 0, 0, 0});
}

static void the_longest_is_beside_the_shortest(void **state)
{
    (void)state;
    uint64_t replayed[] = {57, 14, 43, 29};
    assert_dealt(replayed, 4, 2, (uint32_t[]){0, 0, 1, 1});
}

static void a_loop_is_not_filled_because_its_shards_are_short(void **state)
{
    (void)state;
    uint64_t replayed[] = {100, 1, 1, 1};
    assert_dealt(replayed, 4, 2, (uint32_t[]){0, 1, 1, 0});
}

static void numbers_differ_by_one_at_most(void **state)
{
    (void)state;
    uint64_t replayed[SHARDS_MAX];
    uint64_t random = 1;
    for (uint32_t shards = 1; shards <= SHARDS_MAX; shards++)
        for (uint32_t loops = 1; loops <= 9; loops++) {
            uint32_t dealt[SHARDS_MAX], counts[9] = {0};
            for (uint32_t shard = 0; shard < shards; shard++) {
                random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
                replayed[shard] = random >> 60 == 0 ? UINT32_MAX : random >> 50;
            }
            shard_loops_deal(replayed, shards, loops, dealt);
            for (uint32_t shard = 0; shard < shards; shard++) {
                assert_in_range(dealt[shard], 0, loops - 1);
                counts[dealt[shard]]++;
            }
            for (uint32_t loop = 0; loop < loops; loop++)
                assert_in_range(counts[loop], shards / loops, (shards + loops - 1) / loops);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_with_nothing_to_replay_take_turns),
        cmocka_unit_test(the_longest_is_beside_the_shortest),
        cmocka_unit_test(a_loop_is_not_filled_because_its_shards_are_short),
        cmocka_unit_test(numbers_differ_by_one_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
