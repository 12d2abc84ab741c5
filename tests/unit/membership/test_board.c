/* What other threads see of a cluster's state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clusters.h"
#include "membership/cluster_board.h"

static void test_views_outlive_what_is_posted_later(void **unused)
{
    (void)unused;
    struct error error;
    struct cluster_board *board;
    assert_int_equal(cluster_board_create(&board, &error), ERROR_NONE);
    assert_null(cluster_board_view(board));
    struct cluster_view *kept = NULL;
    assert_false(cluster_board_refresh(board, &kept));

    struct cluster_state *state = NULL;
    assert_int_equal(cluster_state_create(CLUSTER_VERSION_MAX, &state, &error), ERROR_NONE);
    assert_int_equal(cluster_board_post(board, state, CLUSTER_VIEW_CURRENT, &error), ERROR_NONE);
    assert_true(cluster_board_refresh(board, &kept));
    assert_false(cluster_board_refresh(board, &kept));
    assert_int_equal(cluster_state_facts(cluster_view_state(kept))->index,
                     cluster_state_facts(state)->index);

    assert_int_equal(cluster_board_post(board, state, CLUSTER_VIEW_CURRENT, &error), ERROR_NONE);
    cluster_state_destroy(state);
    struct cluster_view *newer = cluster_board_view(board);
    assert_ptr_not_equal(newer, kept);
    assert_non_null(cluster_view_state(kept));
    assert_true(cluster_board_refresh(board, &kept));
    assert_ptr_equal(newer, kept);
    cluster_view_unref(kept);
    cluster_view_unref(newer);
    cluster_board_destroy(board);
}

static void test_notes(void **unused)
{
    (void)unused;
    struct error error;
    struct cluster_board *board;
    assert_int_equal(cluster_board_create(&board, &error), ERROR_NONE);
    assert_int_equal(cluster_board_leader(board, 3), 0);
    cluster_board_note_leader(board, 3, 7);
    cluster_board_forget_leader(board, 3, 6); /* another one was meant */
    assert_int_equal(cluster_board_leader(board, 3), 7);
    cluster_board_forget_leader(board, 3, 7);
    assert_int_equal(cluster_board_leader(board, 3), 0);
    cluster_board_note_written(board, 3, 10);
    cluster_board_note_written(board, 3, 9);
    assert_int_equal(cluster_board_written(board, 3), 10);
    assert_int_equal(cluster_board_written(board, CLUSTER_SHARDS_MAX - 1), 0);
    cluster_board_destroy(board);
}

static void apply_split(struct cluster_state *state, uint64_t index, uint32_t shard_id,
                        uint64_t generation, uint32_t child, uint16_t first, uint16_t count)
{
    const struct slot_range range = {first, count};
    struct cluster_entry entry = {
        .kind = CLUSTER_SPLIT,
        .split = {shard_id, generation, child, child + 1, &range, 1, {3, {1, 2, 3}}},
    };
    struct byte_buffer bytes = {0};
    struct cluster_outcome outcome;
    struct error error;
    assert_int_equal(cluster_entry_encode(&entry, &bytes, &error), ERROR_NONE);
    assert_int_equal(cluster_state_apply(state, index, bytes.bytes, bytes.size, &outcome, &error),
                     ERROR_NONE);
    assert_int_equal(outcome.refusal, CLUSTER_ACCEPTED);
    byte_buffer_clear(&bytes);
}

/* Shard 0 gives 4, then 5; 4 gives 6. */
static void test_slots_are_the_parents_until_it_is_known_to_be_split(void **unused)
{
    (void)unused;
    struct error error;
    struct founding founding;
    struct cluster_board *board;
    struct cluster_state *state;
    struct byte_buffer bytes = {0};
    struct cluster_outcome outcome;
    uint16_t slots[SLOT_COUNT];
    founding_init(&founding);
    assert_int_equal(cluster_entry_encode(&founding.entry, &bytes, &error), ERROR_NONE);
    assert_int_equal(cluster_state_create(CLUSTER_VERSION_MAX, &state, &error), ERROR_NONE);
    assert_int_equal(cluster_state_apply(state, 1, bytes.bytes, bytes.size, &outcome, &error),
                     ERROR_NONE);
    byte_buffer_clear(&bytes);
    apply_split(state, 2, 0, 1, 4, 512, 512);
    apply_split(state, 3, 0, 2, 5, 256, 256);
    apply_split(state, 4, 4, 1, 6, 768, 256);
    assert_int_equal(cluster_board_create(&board, &error), ERROR_NONE);
    static const struct {
        uint32_t splits_of_0, splits_of_4;
        uint16_t owners[4]; /* of slots 0, 256, 512, 768 */
    } STEPS[] = {
        {0, 0, {0, 0, 0, 0}}, {0, 1, {0, 0, 0, 0}}, {1, 1, {0, 0, 4, 6}}, {2, 1, {0, 5, 4, 6}}};
    for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
        uint64_t version = cluster_board_split_version(board);
        cluster_board_note_splits(board, 0, STEPS[i].splits_of_0);
        cluster_board_note_splits(board, 4, STEPS[i].splits_of_4);
        assert_int_equal(cluster_board_split_version(board) > version, i > 0);
        cluster_board_slots(board, state, slots);
        for (size_t k = 0; k < 4; k++)
            assert_int_equal(slots[k * 256 + 255], STEPS[i].owners[k]);
        assert_int_equal(slots[1024], 1);
        assert_true(cluster_board_is_split_off(board, state, 0));
        assert_int_equal(cluster_board_is_split_off(board, state, 6), i >= 2);
    }
    cluster_board_note_splits(board, 0, 1); /* nothing is unsaid */
    assert_int_equal(cluster_board_splits(board, 0), 2);
    cluster_board_destroy(board);
    cluster_state_destroy(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_outlive_what_is_posted_later),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_slots_are_the_parents_until_it_is_known_to_be_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
