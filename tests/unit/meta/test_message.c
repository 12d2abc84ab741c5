#include "examples.h"

#include <stdio.h>
#include <stdlib.h>

static void what_is_decoded_encodes_to_the_same_bytes(void **state)
{
    (void)state;
    for (enum example_kind kind = 0; kind < EXAMPLES; kind++) {
        struct arena *arena = arena_create(0);
        struct byte_buffer bytes = {0}, again = {0};
        struct error error;
        example_encode(kind, &bytes);
        assert_false(bytes.failed);
        assert_true(bytes.size > 0);
        assert_int_equal(
            example_again(kind, (struct bytes){bytes.bytes, bytes.size}, arena, &again, &error),
            ERROR_NONE);
        assert_int_equal(again.size, bytes.size);
        assert_memory_equal(again.bytes, bytes.bytes, bytes.size);
        byte_buffer_clear(&bytes);
        byte_buffer_clear(&again);
        arena_destroy(arena);
    }
}

/* But of a question, whose body is whatever follows. */
static void no_cut_and_no_stray_byte_is_read(void **state)
{
    (void)state;
    for (enum example_kind kind = 0; kind < EXAMPLES; kind++) {
        struct arena *arena = arena_create(0);
        struct byte_buffer bytes = {0}, again = {0};
        struct error error;
        example_encode(kind, &bytes);
        byte_buffer_u8(&bytes, 0);
        size_t whole = bytes.size - 1;
        for (size_t size = 0; size <= bytes.size && kind != EXAMPLE_QUESTION; size++) {
            /* From memory of exactly this size, so that a read beyond it is noticed. */
            uint8_t *copy = malloc(size == 0 ? 1 : size);
            memcpy(copy, bytes.bytes, size);
            enum error_code code =
                example_again(kind, (struct bytes){copy, size}, arena, &again, &error);
            free(copy);
            assert_int_equal(code, size == whole ? ERROR_NONE : ERROR_CORRUPT);
        }
        byte_buffer_clear(&bytes);
        byte_buffer_clear(&again);
        arena_destroy(arena);
    }
}

static void an_unknown_version_or_operation_is_unsupported(void **state)
{
    (void)state;
    static const enum example_kind VERSIONED[] = {EXAMPLE_INTRODUCTION, EXAMPLE_QUESTION,
                                                  EXAMPLE_TRANSFER};
    for (size_t i = 0; i < sizeof VERSIONED / sizeof VERSIONED[0]; i++) {
        struct byte_buffer bytes = {0}, again = {0};
        struct error error;
        example_encode(VERSIONED[i], &bytes);
        bytes.bytes[0] = 2;
        assert_int_equal(example_again(VERSIONED[i], (struct bytes){bytes.bytes, bytes.size}, NULL,
                                       &again, &error),
                         ERROR_UNSUPPORTED);
        byte_buffer_clear(&bytes);
        byte_buffer_clear(&again);
    }
    static const uint8_t QUESTION[] = {1, OPERATIONS, 0};
    struct question question;
    struct error error;
    assert_int_equal(meta_question_decode(QUESTION, sizeof QUESTION, &question, &error),
                     ERROR_UNSUPPORTED);
}

/* A node that is no member names no cluster, and one that is has an id. */
static void an_introduction_says_one_thing(void **state)
{
    (void)state;
    struct introduction introduction = example_introduction(), decoded;
    struct byte_buffer bytes = {0};
    struct error error;
    introduction.node_id = 0;
    introduction_encode(&introduction, &bytes);
    assert_int_equal(introduction_decode(bytes.bytes, bytes.size, &decoded, &error), ERROR_CORRUPT);
    byte_buffer_reset(&bytes);
    introduction.state = INTRODUCTION_EMPTY;
    introduction_encode(&introduction, &bytes);
    assert_int_equal(introduction_decode(bytes.bytes, bytes.size, &decoded, &error), ERROR_NONE);
    assert_int_equal(decoded.state, INTRODUCTION_EMPTY);
    assert_string_equal(decoded.self.identity.name, "node-a");
    assert_true(text_equal(decoded.peers, introduction.peers));
    byte_buffer_clear(&bytes);
}

static void what_a_report_says_arrives(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    struct report report = example_report(), decoded;
    struct byte_buffer bytes = {0};
    struct error error;
    report_encode(&report, &bytes);
    assert_int_equal(
        report_decode((struct bytes){bytes.bytes, bytes.size}, arena, &decoded, &error),
        ERROR_NONE);
    assert_int_equal(decoded.clock_ms, report.clock_ms);
    assert_true(decoded.contents.stopping);
    assert_false(decoded.contents.slow_disk);
    assert_int_equal(decoded.contents.shard_count, 2);
    assert_int_equal(decoded.contents.shards[0].leading_ms, 1234);
    assert_int_equal(decoded.contents.shards[0].members[1].role, PLACEMENT_STANDBY);
    assert_int_equal(decoded.contents.shards[0].members[1].bytes_behind, 70000);
    assert_true(decoded.contents.shards[1].transferring);
    byte_buffer_clear(&bytes);
    arena_destroy(arena);
}

/* A count is nothing to allocate by: so many things are not in so few bytes. */
static void counts_are_checked_before_they_are_used(void **state)
{
    (void)state;
    struct arena *arena = arena_create(64 * 1024);
    struct byte_buffer bytes = {0};
    struct report_answer answer;
    struct error error;
    byte_buffer_u8(&bytes, 0);
    for (int i = 0; i < 3; i++)
        byte_buffer_varint(&bytes, 1);
    byte_buffer_varint(&bytes, CLUSTER_SHARDS_MAX);
    assert_int_equal(
        report_answer_decode((struct bytes){bytes.bytes, bytes.size}, arena, &answer, &error),
        ERROR_CORRUPT);
    byte_buffer_clear(&bytes);
    arena_destroy(arena);
}

/* --- What is stored ------------------------------------------------------------------------ */

static void no_cut_and_no_flipped_bit_of_an_identity_is_read(void **state)
{
    (void)state;
    struct stored_identity stored = example_identity(), decoded;
    struct byte_buffer bytes = {0};
    struct error error;
    stored_identity_encode(&stored, &bytes);
    assert_int_equal(stored_identity_decode(bytes.bytes, bytes.size, &decoded, &error), ERROR_NONE);
    assert_int_equal(decoded.node_id, 300);
    assert_string_equal(decoded.identity.name, "node-a");
    assert_int_equal(decoded.founding.size, sizeof EXAMPLE_BYTES);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(stored_identity_decode(bytes.bytes, size, &decoded, &error),
                         ERROR_CORRUPT);
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        bytes.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(stored_identity_decode(bytes.bytes, bytes.size, &decoded, &error),
                         ERROR_CORRUPT);
        bytes.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    byte_buffer_clear(&bytes);
}

/* A release reads what the releases before it have written. */
static void the_stored_sample_is_still_understood(void **state)
{
    (void)state;
    struct stored_identity stored = example_identity();
    struct byte_buffer bytes = {0};
    uint8_t sample[256];
    stored_identity_encode(&stored, &bytes);
    FILE *file = fopen("samples/identity-1.bin", "rb");
    assert_non_null(file);
    size_t size = fread(sample, 1, sizeof sample, file);
    fclose(file);
    assert_int_equal(size, bytes.size);
    assert_memory_equal(sample, bytes.bytes, size);
    byte_buffer_clear(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_decoded_encodes_to_the_same_bytes),
        cmocka_unit_test(no_cut_and_no_stray_byte_is_read),
        cmocka_unit_test(an_unknown_version_or_operation_is_unsupported),
        cmocka_unit_test(an_introduction_says_one_thing),
        cmocka_unit_test(what_a_report_says_arrives),
        cmocka_unit_test(counts_are_checked_before_they_are_used),
        cmocka_unit_test(no_cut_and_no_flipped_bit_of_an_identity_is_read),
        cmocka_unit_test(the_stored_sample_is_still_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
