#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "decode_body.h"

/* Symbols stand in another order in each request. */
static void aliases_of_2_0_follow_the_symbols_and_not_their_numbers(void **state)
{
    (void)state;
    static const char *const SYMBOLS[2][5] = {{"", "__name__", "up", "job", "node"},
                                              {"", "node", "job", "up", "__name__"}};
    static const uint8_t REFERENCES[2][4] = {{1, 2, 3, 4}, {4, 3, 2, 1}};
    static const uint8_t SWAPPED[] = {1, 4, 3, 2}; /* of the first */
    struct arena *arena = arena_create(0);
    struct hash128 aliases[2], swapped;
    for (size_t i = 0; i < 2; i++) {
        struct byte_buffer body = {0}, series = {0};
        struct write_request request;
        for (size_t j = 0; j < 5; j++)
            build_bytes_field(&body, 4, SYMBOLS[i][j], strlen(SYMBOLS[i][j]));
        build_bytes_field(&series, 1, REFERENCES[i], sizeof REFERENCES[i]);
        build_bytes_field(&body, 5, series.bytes, series.size);
        byte_buffer_reset(&series);
        build_bytes_field(&series, 1, SWAPPED, sizeof SWAPPED);
        build_bytes_field(&body, 5, series.bytes, series.size);
        assert_int_equal(decode(WRITE_VERSION_2, &body, arena, &request), ERROR_NONE);
        aliases[i] = request.series[0].alias;
        if (i == 0)
            swapped = request.series[1].alias;
        byte_buffer_clear(&body);
        byte_buffer_clear(&series);
    }
    assert_true(hash128_equal(aliases[0], aliases[1]));
    assert_false(hash128_equal(aliases[0], swapped));
    arena_destroy(arena);
}

static void build_symbols(struct byte_buffer *body, size_t count)
{
    build_bytes_field(body, 4, "", 0);
    for (size_t i = 1; i < count; i++) {
        char symbol[16];
        int size = snprintf(symbol, sizeof symbol, "symbol %zu", i);
        build_bytes_field(body, 4, symbol, (size_t)size);
    }
}

/* The alias of one series of 2.0, sent in the way that `build` sends it. */
static struct hash128 alias_of(void (*build)(struct byte_buffer *body))
{
    struct byte_buffer body = {0};
    struct arena *arena = arena_create(0);
    struct write_request request;
    build(&body);
    assert_int_equal(decode(WRITE_VERSION_2, &body, arena, &request), ERROR_NONE);
    assert_false(request.series[0].reference_invalid);
    struct hash128 alias = request.series[0].alias;
    arena_destroy(arena);
    byte_buffer_clear(&body);
    return alias;
}

/* As the encoders do it; 130 and 131 take two bytes. */
static const uint8_t PACKED[] = {1, 0x82, 1, 2, 0x83, 1};

static void build_usual(struct byte_buffer *body)
{
    struct byte_buffer series = {0};
    build_symbols(body, 140);
    build_bytes_field(&series, 1, PACKED, sizeof PACKED);
    build_bytes_field(body, 5, series.bytes, series.size);
    byte_buffer_clear(&series);
}

static void build_symbols_behind(struct byte_buffer *body)
{
    struct byte_buffer series = {0};
    build_bytes_field(&series, 1, PACKED, sizeof PACKED);
    build_bytes_field(body, 5, series.bytes, series.size);
    build_symbols(body, 140);
    byte_buffer_clear(&series);
}

static void build_unpacked(struct byte_buffer *body)
{
    static const uint64_t REFERENCES[] = {1, 130, 2, 131};
    struct byte_buffer series = {0};
    build_symbols(body, 140);
    for (size_t i = 0; i < 4; i++)
        build_varint_field(&series, 1, REFERENCES[i]);
    build_bytes_field(body, 5, series.bytes, series.size);
    byte_buffer_clear(&series);
}

static void build_in_two_fields(struct byte_buffer *body)
{
    struct byte_buffer series = {0};
    build_symbols(body, 140);
    build_bytes_field(&series, 1, PACKED, 3);
    build_bytes_field(&series, 1, PACKED + 3, sizeof PACKED - 3);
    build_bytes_field(body, 5, series.bytes, series.size);
    byte_buffer_clear(&series);
}

static void aliases_of_2_0_are_the_same_however_references_are_sent(void **state)
{
    (void)state;
    struct hash128 usual = alias_of(build_usual);
    assert_true(hash128_equal(usual, alias_of(build_symbols_behind)));
    assert_true(hash128_equal(usual, alias_of(build_unpacked)));
    assert_true(hash128_equal(usual, alias_of(build_in_two_fields)));
}

/* Each place counts, also behind the 32 labels that are usual. */
static void aliases_of_many_labels_differ_in_any_of_them(void **state)
{
    (void)state;
    enum { LABELS_MANY = 40, REFERENCES_MANY = 2 * LABELS_MANY };
    struct byte_buffer body = {0}, series = {0};
    uint8_t references[REFERENCES_MANY];
    build_symbols(&body, 3);
    for (size_t changed = 0; changed <= REFERENCES_MANY; changed++) {
        memset(references, 1, sizeof references);
        if (changed < REFERENCES_MANY)
            references[changed] = 2;
        byte_buffer_reset(&series);
        build_bytes_field(&series, 1, references, sizeof references);
        build_bytes_field(&body, 5, series.bytes, series.size);
    }
    struct arena *arena = arena_create(0);
    struct write_request request;
    assert_int_equal(decode(WRITE_VERSION_2, &body, arena, &request), ERROR_NONE);
    assert_int_equal(request.series_count, REFERENCES_MANY + 1);
    for (size_t i = 0; i < request.series_count; i++)
        for (size_t j = 0; j < i; j++)
            assert_false(hash128_equal(request.series[i].alias, request.series[j].alias));
    arena_destroy(arena);
    byte_buffer_clear(&series);
    byte_buffer_clear(&body);
}

static void references_that_are_none_refuse_the_body(void **state)
{
    (void)state;
    static const uint8_t TORN[] = {1, 2, 0x80};
    struct byte_buffer body = {0}, series = {0};
    struct arena *arena = arena_create(0);
    struct write_request request;
    build_symbols(&body, 3);
    build_bytes_field(&series, 1, TORN, sizeof TORN);
    build_bytes_field(&body, 5, series.bytes, series.size);
    assert_int_equal(decode(WRITE_VERSION_2, &body, arena, &request), ERROR_INVALID);
    arena_destroy(arena);
    byte_buffer_clear(&series);
    byte_buffer_clear(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aliases_of_2_0_follow_the_symbols_and_not_their_numbers),
        cmocka_unit_test(aliases_of_2_0_are_the_same_however_references_are_sent),
        cmocka_unit_test(aliases_of_many_labels_differ_in_any_of_them),
        cmocka_unit_test(references_that_are_none_refuse_the_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
