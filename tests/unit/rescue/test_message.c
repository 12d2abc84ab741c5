/* What nodes tell each other about replicas comes over as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "message.h"

static void a_question_comes_over_and_no_other_length_does(void **state)
{
    (void)state;
    const struct rescue_question asked = {
        .kind = RESCUE_FORCE, .shard_id = 7, .force = {5, 100, 4}};
    struct rescue_question got;
    struct byte_buffer buffer = {0};
    struct error error;
    rescue_question_encode(&asked, &buffer);
    assert_int_equal(rescue_question_decode(buffer.bytes, buffer.size, &got, &error), ERROR_NONE);
    assert_int_equal(got.kind, RESCUE_FORCE);
    assert_int_equal(got.shard_id, 7);
    assert_int_equal(got.force.seen_term, 5);
    assert_int_equal(got.force.last_index, 100);
    assert_int_equal(got.force.last_term, 4);
    for (size_t size = 0; size < buffer.size; size++)
        assert_int_equal(rescue_question_decode(buffer.bytes, size, &got, &error), ERROR_CORRUPT);
    byte_buffer_u8(&buffer, 0);
    assert_int_equal(rescue_question_decode(buffer.bytes, buffer.size, &got, &error),
                     ERROR_CORRUPT);
    byte_buffer_clear(&buffer);
}

/* It would be followed by an era that has no bits. */
static void a_term_of_the_last_era_is_no_term(void **state)
{
    (void)state;
    const struct rescue_question asked = {.kind = RESCUE_FORCE, .force = {UINT64_MAX, 1, 1}};
    struct rescue_question got;
    struct byte_buffer buffer = {0};
    struct error error;
    rescue_question_encode(&asked, &buffer);
    assert_int_equal(rescue_question_decode(buffer.bytes, buffer.size, &got, &error),
                     ERROR_CORRUPT);
    byte_buffer_clear(&buffer);
}

static void a_sight_comes_over_whole_or_not_at_all(void **state)
{
    (void)state;
    const struct rescue_sight sight = {
        .is_present = true,
        .leader = RESCUE_LEADER_HEARD,
        .term = 9,
        .last_index = 20,
        .told_index = 22,
        .last_stamp_ms = INT64_MIN,
        .newest_ms = 1700000000000,
        .member_count = 2,
        .members = {{1, CONSENSUS_ROLE_VOTER}, {4, CONSENSUS_ROLE_SPARE}},
    };
    struct rescue_sight got;
    struct byte_buffer buffer = {0};
    struct error error;
    rescue_sight_encode(&sight, &buffer);
    assert_int_equal(rescue_sight_decode(buffer.bytes, buffer.size, &got, &error), ERROR_NONE);
    assert_true(got.is_present);
    assert_int_equal(got.leader, RESCUE_LEADER_HEARD);
    assert_int_equal(got.told_index, 22);
    assert_true(got.last_stamp_ms == INT64_MIN);
    assert_int_equal(got.members[1].node_id, 4);
    assert_int_equal(got.members[1].role, CONSENSUS_ROLE_SPARE);
    for (size_t size = 0; size < buffer.size; size++)
        assert_int_equal(rescue_sight_decode(buffer.bytes, size, &got, &error), ERROR_CORRUPT);
    byte_buffer_clear(&buffer);
}

static void a_verdict_has_its_files_behind_it(void **state)
{
    (void)state;
    const struct rescue_verdict verdict = {.applied_index = 5, .frozen_index = 4, .bytes = 77};
    const struct rescue_file file = {
        .kind = 3, .is_damaged = true, .index = 2, .number = 1, .content_checksum = {8, 9}};
    struct rescue_verdict got;
    struct rescue_file *files;
    struct byte_buffer buffer = {0};
    struct error error;
    rescue_verdict_head_encode(&verdict, &buffer);
    rescue_file_encode(&file, &buffer);
    assert_int_equal(rescue_verdict_decode(buffer.bytes, buffer.size, &got, &files, &error),
                     ERROR_NONE);
    assert_int_equal(got.bytes, 77);
    assert_int_equal(got.file_count, 1);
    assert_true(got.files[0].is_damaged);
    assert_int_equal(got.files[0].content_checksum.high, 9);
    free(files);
    assert_int_equal(rescue_verdict_decode(buffer.bytes, buffer.size - 1, &got, &files, &error),
                     ERROR_CORRUPT);
    byte_buffer_clear(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_comes_over_and_no_other_length_does),
        cmocka_unit_test(a_term_of_the_last_era_is_no_term),
        cmocka_unit_test(a_sight_comes_over_whole_or_not_at_all),
        cmocka_unit_test(a_verdict_has_its_files_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
