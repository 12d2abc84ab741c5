#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../../src/shard/id_set.h"
#include "platform/random.h"

enum { UNIVERSE = 5 * ID_PAGE_BITS };

/* What a set should be: flags by id. */
struct model {
    bool has[UNIVERSE];
};

static void expect(const struct id_set *set, const struct model *model)
{
    uint64_t count = 0;
    for (uint64_t id = 0; id < UNIVERSE; id++) {
        assert_int_equal(id_set_has(set, id), model->has[id]);
        count += model->has[id];
    }
    assert_int_equal(id_set_count(set), count);
    assert_false(id_set_has(set, UINT64_MAX));
}

/* Ids, some alone and some in runs, of those that the model has not. */
static size_t choose(struct random_generator *random, struct model *model, uint64_t *ids)
{
    bool chosen[UNIVERSE] = {0};
    size_t count = 0;
    for (uint32_t i = 0; i < 20; i++) {
        uint64_t first = random_below(&random->base, UNIVERSE);
        uint64_t length = 1 + random_below(&random->base, i % 4 == 0 ? 3000 : 3);
        for (uint64_t id = first; id < first + length && id < UNIVERSE; id++)
            chosen[id] = true;
    }
    for (uint64_t id = 0; id < UNIVERSE; id++)
        if (chosen[id] && !model->has[id]) {
            model->has[id] = true;
            ids[count++] = id;
        }
    return count;
}

static struct id_set *grow(struct random_generator *random, struct model *model, int steps)
{
    uint64_t *ids = malloc(UNIVERSE * sizeof *ids);
    struct id_set *set = NULL;
    struct error error;
    assert_non_null(ids);
    for (int i = 0; i < steps; i++) {
        struct model before = *model;
        struct id_set *next;
        size_t count = choose(random, model, ids);
        assert_int_equal(id_set_add(set, ids, count, &next, &error), ERROR_NONE);
        expect(next, model);
        expect(set, &before); /* what was published does not change */
        id_set_unref(set);
        set = next;
    }
    free(ids);
    return set;
}

static void a_set_has_what_was_added_and_the_one_before_stays(void **state)
{
    (void)state;
    struct random_generator random;
    struct model *model = calloc(1, sizeof *model);
    random_generator_init(&random, 1);
    id_set_unref(grow(&random, model, 12));
    free(model);
}

static void the_ids_below_a_limit_are_counted_and_cut_exactly(void **state)
{
    (void)state;
    struct random_generator random;
    struct model *model = calloc(1, sizeof *model);
    struct error error;
    random_generator_init(&random, 2);
    struct id_set *set = grow(&random, model, 3);
    for (int round = 0; round < 200; round++) {
        uint64_t limit = round < 3 ? (uint64_t)round * ID_PAGE_BITS
                                   : random_below(&random.base, UNIVERSE + ID_PAGE_BITS);
        struct model below = {0};
        uint64_t count = 0;
        struct id_set *cut;
        for (uint64_t id = 0; id < limit && id < UNIVERSE; id++)
            count += below.has[id] = model->has[id];
        assert_int_equal(id_set_count_between(set, 0, limit), count);
        assert_int_equal(id_set_count_between(set, limit, UINT64_MAX), id_set_count(set) - count);
        assert_int_equal(id_set_below(set, limit, &cut, &error), ERROR_NONE);
        assert_int_equal(cut == NULL, count == 0);
        expect(cut, &below);
        id_set_unref(cut);
    }
    expect(set, model);
    id_set_unref(set);
    free(model);
}

static void a_set_comes_back_as_it_was_encoded(void **state)
{
    (void)state;
    struct random_generator random;
    random_generator_init(&random, 3);
    for (int steps = 0; steps < 5; steps++) {
        struct model *model = calloc(1, sizeof *model);
        struct id_set *set = grow(&random, model, steps), *decoded;
        struct byte_buffer bytes = {0};
        struct error error;
        id_set_encode(set, &bytes);
        struct byte_reader reader = byte_reader_over(bytes.bytes, bytes.size);
        assert_int_equal(id_set_decode(&reader, UNIVERSE, &decoded, &error), ERROR_NONE);
        assert_int_equal(byte_reader_left(&reader), 0);
        expect(decoded, model);
        id_set_unref(decoded);
        for (size_t size = 0; size < bytes.size; size++) {
            reader = byte_reader_over(bytes.bytes, size);
            assert_int_equal(id_set_decode(&reader, UNIVERSE, &decoded, &error), ERROR_CORRUPT);
        }
        byte_buffer_clear(&bytes);
        id_set_unref(set);
        free(model);
    }
}

static enum error_code decode_run(uint64_t gap, uint64_t length, uint64_t limit)
{
    struct byte_buffer bytes = {0};
    struct id_set *set = NULL;
    struct error error;
    byte_buffer_varint(&bytes, 1);
    byte_buffer_varint(&bytes, gap);
    byte_buffer_varint(&bytes, length);
    struct byte_reader reader = byte_reader_over(bytes.bytes, bytes.size);
    enum error_code code = id_set_decode(&reader, limit, &set, &error);
    id_set_unref(set);
    byte_buffer_clear(&bytes);
    return code;
}

static void a_few_bytes_do_not_ask_for_memory_without_end(void **state)
{
    (void)state;
    assert_int_equal(decode_run(0, 100, 100), ERROR_NONE);
    assert_int_equal(decode_run(0, 101, 100), ERROR_CORRUPT);
    assert_int_equal(decode_run(100, 1, 100), ERROR_CORRUPT);
    assert_int_equal(decode_run(5, 0, 100), ERROR_CORRUPT);
    assert_int_equal(decode_run(5, UINT64_MAX, UINT64_MAX), ERROR_CORRUPT);
    assert_int_equal(decode_run(0, ID_SET_COUNT_MAX + 1, UINT64_MAX), ERROR_LIMIT);
    assert_int_equal(decode_run(ID_SET_ID_LIMIT, 1, UINT64_MAX), ERROR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_has_what_was_added_and_the_one_before_stays),
        cmocka_unit_test(the_ids_below_a_limit_are_counted_and_cut_exactly),
        cmocka_unit_test(a_set_comes_back_as_it_was_encoded),
        cmocka_unit_test(a_few_bytes_do_not_ask_for_memory_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
