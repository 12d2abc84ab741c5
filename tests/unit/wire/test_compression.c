#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/compression.h"

enum { LIMIT_BYTES = 1 << 20 };

static int set_up(void **state)
{
    *state = arena_create(0);
    return *state == NULL;
}

static int tear_down(void **state)
{
    arena_destroy(*state);
    return 0;
}

static enum error_code decode(struct arena *arena, const uint8_t *bytes, size_t size,
                              uint8_t **decoded_out, size_t *decoded_size_out)
{
    struct error error;
    return snappy_decode(bytes, size, LIMIT_BYTES, arena, decoded_out, decoded_size_out, &error);
}

static void assert_decodes_to(struct arena *arena, const uint8_t *bytes, size_t size,
                              const char *expected)
{
    uint8_t *decoded;
    size_t decoded_size;
    assert_int_equal(decode(arena, bytes, size, &decoded, &decoded_size), ERROR_NONE);
    assert_int_equal(decoded_size, strlen(expected));
    assert_memory_equal(decoded, expected, decoded_size);
}

static void assert_refused(struct arena *arena, const uint8_t *bytes, size_t size)
{
    uint8_t *decoded;
    size_t decoded_size;
    assert_int_equal(decode(arena, bytes, size, &decoded, &decoded_size), ERROR_INVALID);
}

/* --- Round trips ------------------------------------------------------------------------------ */

/* Text in which stretches of any length repeat at any distance. */
static void fill_repeating(uint8_t *bytes, size_t size, unsigned seed)
{
    uint64_t random = seed * 2654435761u + 1;
    for (size_t i = 0; i < size;) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        size_t count = 1 + (random >> 33) % 90;
        size_t distance = (random >> 45) % 300 + 1;
        for (; count > 0 && i < size; count--, i++)
            bytes[i] = (random >> 62) == 0 || distance > i ? (uint8_t)(random >> (i % 24))
                                                           : bytes[i - distance];
    }
}

static void what_the_library_encodes_is_decoded(void **state)
{
    static uint8_t bytes[70000];
    static const size_t SIZES[] = {0, 1, 15, 16, 59, 60, 61, 64, 65, 255, 256, 257, 4000, 70000};
    for (unsigned seed = 0; seed < 40; seed++) {
        for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
            uint8_t *encoded, *decoded;
            size_t encoded_size, decoded_size;
            struct error error;
            fill_repeating(bytes, SIZES[i], seed);
            assert_int_equal(
                snappy_encode(bytes, SIZES[i], *state, &encoded, &encoded_size, &error),
                ERROR_NONE);
            assert_int_equal(decode(*state, encoded, encoded_size, &decoded, &decoded_size),
                             ERROR_NONE);
            assert_int_equal(decoded_size, SIZES[i]);
            assert_memory_equal(decoded, bytes, SIZES[i]);
        }
        arena_reset(*state);
    }
}

static void every_cut_of_a_block_is_refused(void **state)
{
    static uint8_t bytes[2000];
    uint8_t *encoded;
    size_t encoded_size;
    struct error error;
    fill_repeating(bytes, sizeof bytes, 1);
    assert_int_equal(snappy_encode(bytes, sizeof bytes, *state, &encoded, &encoded_size, &error),
                     ERROR_NONE);
    for (size_t size = 0; size < encoded_size; size++) {
        uint8_t *exact = malloc(size + 1);
        assert_non_null(exact);
        memcpy(exact, encoded, size);
        assert_refused(*state, exact, size);
        free(exact);
    }
}

/* --- Elements one by one ---------------------------------------------------------------------- */

static void a_copy_may_repeat_what_it_writes(void **state)
{
    static const uint8_t BYTES[] = {12, 1 << 2, 'a', 'b', 9 << 2 | 2, 2, 0};
    assert_decodes_to(*state, BYTES, sizeof BYTES, "abababababab");
}

static void each_kind_of_copy_is_decoded(void **state)
{
    static const uint8_t BYTES[] = {16,         3 << 2, 'a', 'b',        'c', 'd', 1, 4,
                                    3 << 2 | 2, 4,      0,   3 << 2 | 3, 4,   0,   0, 0};
    assert_decodes_to(*state, BYTES, sizeof BYTES, "abcdabcdabcdabcd");
}

static void a_literal_may_have_its_length_behind_the_tag(void **state)
{
    static const uint8_t ONE[] = {3, 60 << 2, 2, 'a', 'b', 'c'};
    static const uint8_t FOUR[] = {3, 63 << 2, 2, 0, 0, 0, 'a', 'b', 'c'};
    assert_decodes_to(*state, ONE, sizeof ONE, "abc");
    assert_decodes_to(*state, FOUR, sizeof FOUR, "abc");
}

static void a_copy_from_before_the_block_is_refused(void **state)
{
    static const uint8_t BEFORE[] = {6, 1 << 2, 'a', 'b', 3 << 2 | 2, 3, 0};
    static const uint8_t ZERO[] = {6, 1 << 2, 'a', 'b', 3 << 2 | 2, 0, 0};
    static const uint8_t FIRST[] = {4, 3 << 2 | 2, 1, 0};
    assert_refused(*state, BEFORE, sizeof BEFORE);
    assert_refused(*state, ZERO, sizeof ZERO);
    assert_refused(*state, FIRST, sizeof FIRST);
}

/* The same where there is room for whole strides. */
static void a_long_copy_from_before_the_block_is_refused(void **state)
{
    uint8_t bytes[400] = {(uint8_t)(200 | 0x80), 1, 59 << 2};
    memset(bytes + 63, 'x' << 2, sizeof bytes - 63);
    bytes[63] = 63 << 2 | 2;
    bytes[64] = 61; /* sixty bytes are there */
    assert_refused(*state, bytes, sizeof bytes);
}

static void more_or_less_than_announced_is_refused(void **state)
{
    static const uint8_t MORE[] = {2, 2 << 2, 'a', 'b', 'c'};
    static const uint8_t LESS[] = {4, 2 << 2, 'a', 'b', 'c'};
    static const uint8_t COPY_MORE[] = {5, 1 << 2, 'a', 'b', 3 << 2 | 2, 2, 0};
    assert_refused(*state, MORE, sizeof MORE);
    assert_refused(*state, LESS, sizeof LESS);
    assert_refused(*state, COPY_MORE, sizeof COPY_MORE);
}

/* --- Length ----------------------------------------------------------------------------------- */

static void a_length_beyond_the_limit_is_refused_before_memory_is_taken(void **state)
{
    static const uint8_t HUGE_LENGTH[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0};
    struct error error;
    uint8_t *decoded;
    size_t size;
    assert_int_equal(snappy_decode(HUGE_LENGTH, sizeof HUGE_LENGTH, LIMIT_BYTES, *state, &decoded,
                                   &size, &error),
                     ERROR_LIMIT);
    assert_int_equal(arena_size_bytes(*state), 0);
}

static void a_length_beyond_the_format_is_refused(void **state)
{
    static const uint8_t BEYOND[] = {0xff, 0xff, 0xff, 0xff, 0x1f, 0};
    static const uint8_t CUT[] = {0x80};
    assert_refused(*state, BEYOND, sizeof BEYOND);
    assert_refused(*state, CUT, sizeof CUT);
    assert_refused(*state, CUT, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_the_library_encodes_is_decoded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_cut_of_a_block_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_copy_may_repeat_what_it_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_kind_of_copy_is_decoded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_literal_may_have_its_length_behind_the_tag, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_copy_from_before_the_block_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_copy_from_before_the_block_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(more_or_less_than_announced_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_length_beyond_the_limit_is_refused_before_memory_is_taken,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_length_beyond_the_format_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
