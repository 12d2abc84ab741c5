/* What is found in a bucket that is damaged, and whose slots are whose. */
#include "bucket_maker.h"

/* --- Looking --------------------------------------------------------------------------------- */

static void an_empty_bucket_has_nothing(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create();
    look(fixture);
    assert_false(fixture->survey.has_claim);
    assert_false(fixture->survey.has_meta);
    assert_int_equal(fixture->survey.shard_count, 0);
    assert_int_equal(revival_count(&fixture->survey).blocks, 0);
    fixture_destroy(fixture);
}

static void the_newest_whole_list_counts_and_what_it_names_is_looked_for(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create();
    put_list(fixture, &(struct listing){{0, 1, 90}, 0, SLOT_COUNT, 0, 80});
    put_list(fixture, &(struct listing){{0, 2, 40}, 0, SLOT_COUNT, 0, 30});
    put_list(fixture, &(struct listing){{0, 2, 50}, 0, SLOT_COUNT, 0, 45});
    put_block(fixture, 0, 30, BLOCK_BYTES);
    put_block(fixture, 0, 45, BLOCK_BYTES - 1);
    look(fixture);
    assert_int_equal(fixture->survey.incarnation_max, 2);
    assert_int_equal(fixture->survey.shards[0].list.key.index, 50);
    assert_int_equal(fixture->survey.shards[0].missing_count, 1); /* it is of another size */
    struct revival_totals totals = revival_count(&fixture->survey);
    assert_int_equal(totals.missing_blocks, 1);
    assert_int_equal(totals.missing_samples, 100);

    damage(fixture, "shards/00000000/manifests/0000000000000002-0000000000000032");
    look(fixture);
    assert_int_equal(fixture->survey.shards[0].list.key.index, 40);
    assert_int_equal(fixture->survey.shards[0].broken_lists, 1);
    totals = revival_count(&fixture->survey);
    assert_int_equal(totals.missing_blocks, 0);
    assert_int_equal(totals.samples, 100);
    assert_int_equal(totals.newest_sample_ms, 7100000);
    fixture_destroy(fixture);
}

static void a_list_under_another_name_is_none(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create();
    put_list(fixture, &(struct listing){{0, 1, 90}, 0, SLOT_COUNT, 0, 0});
    const struct simulated_object *object = simulated_store_find(
        &fixture->store, "shards/00000000/manifests/0000000000000001-000000000000005a");
    struct byte_buffer bytes = {0};
    byte_buffer_append(&bytes, object->bytes, object->size_bytes);
    put(fixture, "shards/00000000/manifests/0000000000000001-000000000000005b", &bytes);
    put(fixture, "shards/00000003/manifests/0000000000000001-000000000000005a", &bytes);
    byte_buffer_clear(&bytes);
    look(fixture);
    assert_int_equal(fixture->survey.shards[0].list.key.index, 90);
    assert_int_equal(fixture->survey.shards[0].broken_lists, 1);
    assert_false(fixture->survey.shards[3].has_list);
    fixture_destroy(fixture);
}

static void the_meta_object_before_a_damaged_one_counts(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create();
    put_meta(fixture, 5, 2, BUCKET_META_NO_PARENT);
    put_meta(fixture, 6, 3, BUCKET_META_NO_PARENT);
    look(fixture);
    assert_int_equal(fixture->survey.meta.slots.shard_count, 3);
    damage(fixture, "meta/0000000000000001-0000000000000006");
    look(fixture);
    assert_true(fixture->survey.has_meta);
    assert_int_equal(fixture->survey.meta.slots.shard_count, 2);
    assert_int_equal(fixture->survey.broken_metas, 1);
    fixture_destroy(fixture);
}

static void a_store_that_fails_is_an_error_and_nothing_is_kept(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create();
    struct error error;
    put_list(fixture, &(struct listing){{0, 1, 90}, 0, SLOT_COUNT, 0, 0});
    put_meta(fixture, 5, 2, BUCKET_META_NO_PARENT);
    fixture->store.is_down = true;
    assert_int_equal(revival_look(&fixture->store.base, &fixture->survey, &error),
                     ERROR_UNAVAILABLE);
    assert_int_equal(fixture->survey.shard_count, 0);
    fixture->store.is_down = false;
    fixture->store.fail_before_permille = 300;
    for (int i = 0; i < 100; i++)
        if (revival_look(&fixture->store.base, &fixture->survey, &error) == ERROR_NONE) {
            assert_true(fixture->survey.has_meta && fixture->survey.shards[0].has_list);
            revival_clear(&fixture->survey);
        }
    fixture_destroy(fixture);
}

/* --- Dividing -------------------------------------------------------------------------------- */

static void expect_each_slot_once(const struct fixture *fixture)
{
    const struct revival_survey *survey = &fixture->survey;
    uint32_t slots = 0;
    for (size_t i = 0; i < survey->shard_count; i++)
        slots += slot_set_count(&survey->shards[i].owned);
    assert_int_equal(slots, SLOT_COUNT);
}

static void shards_that_were_never_split_have_the_slots_of_the_meta_object(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create();
    put_meta(fixture, 5, 4, BUCKET_META_NO_PARENT);
    put_list(fixture, &(struct listing){{0, 1, 90}, 0, SLOT_COUNT, 0, 0});
    put_list(fixture, &(struct listing){{2, 1, 90}, 0, SLOT_COUNT, 0, 0});
    look(fixture);
    assert_int_equal(divide(fixture, 1), ERROR_NONE);
    assert_int_equal(fixture->survey.shard_count, 4);
    assert_int_equal(fixture->survey.shard_of[0], 0);
    assert_int_equal(fixture->survey.shard_of[SLOT_COUNT - 1], 3);
    assert_int_equal(fixture->survey.shards[0].source, 0);
    assert_int_equal(fixture->survey.shards[1].source, REVIVAL_SHARD_NONE);
    assert_int_equal(fixture->survey.shards[2].source, 2);
    assert_int_equal(slot_set_count(&fixture->survey.shards[0].owned), SLOT_COUNT);
    fixture_destroy(fixture);
}

/* The split was published by the meta group, and by the child not yet. */
static void a_child_without_a_list_begins_with_that_of_its_parent(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create();
    put_meta(fixture, 9, 3, 1);
    put_list(fixture, &(struct listing){{0, 1, 90}, 0, SLOT_COUNT, 0, 0});
    put_list(fixture, &(struct listing){{1, 1, 70}, 0, SLOT_COUNT, 0, 60});
    look(fixture);
    assert_int_equal(divide(fixture, 1), ERROR_NONE);
    assert_int_equal(fixture->survey.shards[2].source, 1);
    assert_int_equal(slot_set_count(&fixture->survey.shards[2].owned), 100);
    assert_int_equal(fixture->survey.shards[1].heir_count, 1);
    assert_int_equal(fixture->survey.shards[1].heirs[0], 2);
    expect_each_slot_once(fixture);
    fixture_destroy(fixture);
}

/* And the other way round: the meta object is of before the split. */
static void a_child_that_the_meta_object_does_not_know_has_what_it_lists(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create();
    put_meta(fixture, 5, 2, BUCKET_META_NO_PARENT);
    put_list(fixture, &(struct listing){{0, 1, 90}, 0, SLOT_COUNT, 0, 0}); /* of before it, too */
    put_list(fixture, &(struct listing){{1, 1, 70}, 0, SLOT_COUNT, 0, 0});
    put_list(fixture, &(struct listing){{2, 1, 95}, 10, 50, 0, 0});
    look(fixture);
    assert_int_equal(divide(fixture, 1), ERROR_NONE);
    assert_int_equal(fixture->survey.shard_of[9], 0);
    assert_int_equal(fixture->survey.shard_of[10], 2);
    assert_int_equal(fixture->survey.shard_of[59], 2);
    assert_int_equal(fixture->survey.shard_of[60], 0);
    assert_int_equal(fixture->survey.shards[2].source, 2);
    expect_each_slot_once(fixture);
    fixture_destroy(fixture);
}

/* Its list is lost, and what it had is not in that of its parent any more. */
static void a_child_whose_slots_its_parent_gave_away_begins_empty(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create();
    put_meta(fixture, 9, 2, 0);
    put_list(fixture, &(struct listing){{0, 1, 90}, 100, SLOT_COUNT - 100, 1, 0});
    look(fixture);
    assert_int_equal(divide(fixture, 1), ERROR_NONE);
    assert_int_equal(fixture->survey.shards[1].source, REVIVAL_SHARD_NONE);
    assert_int_equal(fixture->survey.shards[0].heir_count, 0); /* the list has it */
    expect_each_slot_once(fixture);
    fixture_destroy(fixture);
}

static void without_a_meta_object_the_number_of_founding_shards_has_to_be_known(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create();
    put_list(fixture, &(struct listing){{0, 1, 90}, 0, SLOT_COUNT, 0, 0});
    put_list(fixture, &(struct listing){{2, 1, 70}, 0, SLOT_COUNT, 0, 0});
    put_list(fixture, &(struct listing){{4, 1, 95}, 10, 50, 0, 0});
    look(fixture);
    assert_int_equal(divide(fixture, 2), ERROR_INVALID); /* 2 was founded, too */
    look(fixture);
    assert_int_equal(divide(fixture, 3), ERROR_INVALID); /* what of 3? */
    look(fixture);
    assert_int_equal(divide(fixture, 4), ERROR_NONE);
    assert_int_equal(fixture->survey.shard_of[10], 4);
    assert_int_equal(fixture->survey.shard_of[SLOT_COUNT / 4], 1);
    expect_each_slot_once(fixture);
    fixture_destroy(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_bucket_has_nothing),
        cmocka_unit_test(the_newest_whole_list_counts_and_what_it_names_is_looked_for),
        cmocka_unit_test(a_list_under_another_name_is_none),
        cmocka_unit_test(the_meta_object_before_a_damaged_one_counts),
        cmocka_unit_test(a_store_that_fails_is_an_error_and_nothing_is_kept),
        cmocka_unit_test(shards_that_were_never_split_have_the_slots_of_the_meta_object),
        cmocka_unit_test(a_child_without_a_list_begins_with_that_of_its_parent),
        cmocka_unit_test(a_child_that_the_meta_object_does_not_know_has_what_it_lists),
        cmocka_unit_test(a_child_whose_slots_its_parent_gave_away_begins_empty),
        cmocka_unit_test(without_a_meta_object_the_number_of_founding_shards_has_to_be_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
