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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_outlive_what_is_posted_later),
        cmocka_unit_test(test_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
