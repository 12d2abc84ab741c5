/* Questions as bytes and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "question.h"

static struct matcher *matchers[2];
static struct question_shard SHARDS[] = {{0, 0, 0}, {1, 500, 0}, {40, UINT64_MAX, 0}, {4095, 1, 0}};

static int make_matchers(void **state)
{
    struct error error;
    (void)state;
    assert_int_equal(
        matcher_create(MATCHER_EQUAL, TEXT("__name__"), TEXT("up"), &matchers[0], &error),
        ERROR_NONE);
    assert_int_equal(
        matcher_create(MATCHER_NOT_REGEX, TEXT("job"), TEXT("a.*|"), &matchers[1], &error),
        ERROR_NONE);
    return 0;
}

static int destroy_matchers(void **state)
{
    (void)state;
    matcher_destroy(matchers[0]);
    matcher_destroy(matchers[1]);
    return 0;
}

static struct question question_of(enum question_kind kind)
{
    return (struct question){
        .kind = kind,
        .wants_windows = kind == QUESTION_SELECT || kind == QUESTION_PARTIAL,
        .read = kind % 2 == 0 ? FANOUT_READ_DEFAULT : FANOUT_READ_STRONG,
        .shards = SHARDS,
        .shard_count = sizeof SHARDS / sizeof SHARDS[0],
        .partial = TEXT("a sub-query"),
        .tenant = TEXT("anonymous"),
        .name = TEXT("job"),
        .matchers = (const struct matcher *const *)matchers,
        .matcher_count = 2,
        .start_ms = INT64_MIN,
        .end_ms = INT64_MAX,
        .need = SERIES_NEED_LATEST,
        .series_limit = 77,
    };
}

static void expect_same(const struct question *one, const struct question *other)
{
    assert_int_equal(one->read, other->read);
    assert_int_equal(one->wants_windows, other->wants_windows);
    assert_int_equal(one->shard_count, other->shard_count);
    for (size_t i = 0; i < one->shard_count; i++) {
        assert_int_equal(one->shards[i].shard_id, other->shards[i].shard_id);
        assert_int_equal(one->shards[i].least_index, other->shards[i].least_index);
        assert_int_equal(one->shards[i].splits, other->shards[i].splits);
    }
    if (one->kind == QUESTION_PARTIAL) {
        assert_true(text_equal(one->partial, other->partial));
        return;
    }
    assert_true(text_equal(one->tenant, other->tenant));
    assert_true(text_equal(one->name, other->name));
    if (one->kind == QUESTION_METADATA)
        return;
    assert_int_equal(one->start_ms, other->start_ms);
    assert_int_equal(one->end_ms, other->end_ms);
    assert_int_equal(one->need, other->need);
    assert_int_equal(one->series_limit, other->series_limit);
    assert_int_equal(one->matcher_count, other->matcher_count);
    for (size_t i = 0; i < one->matcher_count; i++) {
        assert_int_equal(one->matchers[i]->type, other->matchers[i]->type);
        assert_true(text_equal(one->matchers[i]->name, other->matchers[i]->name));
        assert_true(text_equal(one->matchers[i]->value, other->matchers[i]->value));
    }
}

static void expect_all_kinds_come_back(void)
{
    for (int number = QUESTION_KIND_FIRST; number <= QUESTION_KIND_LAST; number++) {
        enum question_kind kind = (enum question_kind)number;
        struct byte_buffer buffer = {0};
        struct arena *arena = arena_create(0);
        struct question question = question_of(kind), decoded;
        struct error error;
        fanout_question_encode(&question, &buffer);
        assert_int_equal(
            fanout_question_decode(buffer.bytes, buffer.size, kind, arena, &decoded, &error),
            ERROR_NONE);
        expect_same(&question, &decoded);
        fanout_question_clear(&decoded);
        /* No part of it is a question. */
        for (size_t size = 0; size < buffer.size; size++) {
            uint8_t *bytes = malloc(size + 1);
            memcpy(bytes, buffer.bytes, size);
            assert_int_not_equal(fanout_question_decode(bytes, size, kind, arena, &decoded, &error),
                                 ERROR_NONE);
            free(bytes);
        }
        byte_buffer_u8(&buffer, 0);
        assert_int_equal(
            fanout_question_decode(buffer.bytes, buffer.size, kind, arena, &decoded, &error),
            ERROR_CORRUPT);
        byte_buffer_clear(&buffer);
        arena_destroy(arena);
    }
}

/* With shards that were split it is of another version. */
static void every_kind_comes_back(void **state)
{
    (void)state;
    expect_all_kinds_come_back();
    SHARDS[1].splits = 3;
    expect_all_kinds_come_back();
    SHARDS[1].splits = 0;
}

static enum error_code decode(const char *bytes, size_t size)
{
    struct arena *arena = arena_create(0);
    struct question question;
    struct error error;
    enum error_code code = fanout_question_decode((const uint8_t *)bytes, size, QUESTION_METADATA,
                                                  arena, &question, &error);
    if (code == ERROR_NONE)
        fanout_question_clear(&question);
    arena_destroy(arena);
    return code;
}
#define DECODE(literal) decode(literal, sizeof(literal) - 1)

static void what_no_asker_sends_is_refused(void **state)
{
    (void)state;
    assert_int_equal(DECODE("\1\0\1\0\0\1t\0"), ERROR_NONE);
    assert_int_equal(DECODE("\1\x80\1\0\0\1t\0"), ERROR_NONE);        /* with versions */
    assert_int_equal(DECODE("\1\xc0\1\0\0\1t\0"), ERROR_UNSUPPORTED); /* read */
    assert_int_equal(DECODE("\2\0\1\0\0\5\1t\0"), ERROR_NONE);
    assert_int_equal(DECODE("\2\0\1\0\0\x80\x20\1t\0"), ERROR_CORRUPT);   /* 4096 splits */
    assert_int_equal(DECODE("\3\0\1\0\0\1t\0"), ERROR_UNSUPPORTED);       /* version */
    assert_int_equal(DECODE("\1\2\1\0\0\1t\0"), ERROR_UNSUPPORTED);       /* read */
    assert_int_equal(DECODE("\1\0\0\1t\0"), ERROR_CORRUPT);               /* no shards */
    assert_int_equal(DECODE("\1\0\1\x80\x20\0\1t\0"), ERROR_CORRUPT);     /* shard 4096 */
    assert_int_equal(DECODE("\1\0\2\xff\x1f\0\0\0\1t\0"), ERROR_CORRUPT); /* behind the last */
    assert_int_equal(DECODE("\1\0\xff\xff\x03\0\0\1t\0"), ERROR_CORRUPT); /* too many */
}

static void a_matcher_that_is_no_expression_is_refused(void **state)
{
    struct byte_buffer buffer = {0};
    struct question question = question_of(QUESTION_SELECT), decoded;
    struct arena *arena = arena_create(0);
    struct error error;
    (void)state;
    question.matcher_count = 1;
    fanout_question_encode(&question, &buffer);
    /* The last matcher: =~ with what cannot be compiled. */
    buffer.size -= 2;
    byte_buffer_append(&buffer, "((", 2);
    buffer.bytes[buffer.size - 2 - 1 - 8 - 1 - 1] = MATCHER_REGEX;
    assert_int_equal(
        fanout_question_decode(buffer.bytes, buffer.size, QUESTION_SELECT, arena, &decoded, &error),
        ERROR_INVALID);
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
}

static void memory_that_is_short_is_told(void **state)
{
    struct byte_buffer buffer = {0};
    struct question question = question_of(QUESTION_SELECT), decoded;
    struct arena *arena = arena_create(100);
    struct error error;
    (void)state;
    fanout_question_encode(&question, &buffer);
    assert_int_equal(
        fanout_question_decode(buffer.bytes, buffer.size, QUESTION_SELECT, arena, &decoded, &error),
        ERROR_OUT_OF_MEMORY);
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back),
        cmocka_unit_test(what_no_asker_sends_is_refused),
        cmocka_unit_test(a_matcher_that_is_no_expression_is_refused),
        cmocka_unit_test(memory_that_is_short_is_told),
    };
    return cmocka_run_group_tests(tests, make_matchers, destroy_matchers);
}
