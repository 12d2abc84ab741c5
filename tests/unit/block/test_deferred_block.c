/* A block that is opened by who needs it first, and tried again after an error. */
#include "naive_series.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block_reader.h"
#include "block/deferred_block.h"
#include "platform/no_wait.h"

enum { THREADS = 8, ROUNDS = 50 };

/* --- Where it comes from ---------------------------------------------------------------------- */

static uint8_t stored[64 * 1024];
static size_t stored_bytes;

struct slow_opener {
    struct block_opener base;
    atomic_bool fails;
    atomic_uint opened, closed;
};

struct memory_source {
    struct page_source base;
    struct slow_opener *opener;
};

static enum error_code source_read(struct page_source *self, uint64_t offset_bytes, uint8_t *target,
                                   size_t size_bytes, struct error *error)
{
    if (atomic_load(&((struct memory_source *)self)->opener->fails)) {
        usleep(2000);
        return error_set(error, ERROR_UNAVAILABLE, "'%s' is away", self->name);
    }
    memcpy(target, stored + offset_bytes, size_bytes);
    return ERROR_NONE;
}

static void source_close(struct page_source *self)
{
    free(self);
}

static const struct page_source_operations SOURCE_OPERATIONS = {.read = source_read,
                                                                .close = source_close};

static enum error_code open_source(const struct block_opener *self, struct page_source **source_out,
                                   struct error *error)
{
    struct slow_opener *opener = (struct slow_opener *)(uintptr_t)self;
    struct memory_source *source = calloc(1, sizeof *source);
    (void)error;
    assert_non_null(source);
    source->base.operations = &SOURCE_OPERATIONS;
    source->base.size_bytes = stored_bytes;
    strcpy(source->base.name, "the block");
    source->opener = opener;
    atomic_fetch_add(&opener->opened, 1);
    usleep(1000);
    *source_out = &source->base;
    return ERROR_NONE;
}

static void opener_close(struct block_opener *self)
{
    atomic_fetch_add(&((struct slow_opener *)self)->closed, 1);
}

struct fixture {
    struct page_cache *cache;
    struct slow_opener opener;
    struct file_summary summary;
    struct block *block;
};

static void fixture_open(struct fixture *fixture)
{
    struct error error;
    fixture->opener.base = (struct block_opener){open_source, opener_close};
    assert_int_equal(deferred_block_create(fixture->cache, &fixture->opener.base, &fixture->summary,
                                           &fixture->block, &error),
                     ERROR_NONE);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error error;
    struct page_source *source;
    struct block *block;
    FILE *input = fopen("samples/block_1.bin", "rb");
    assert_non_null(input);
    stored_bytes = fread(stored, 1, sizeof stored, input);
    fclose(input);
    assert_int_equal(page_cache_create(1 << 20, &fixture->cache, &error), ERROR_NONE);
    assert_int_equal(open_source(&fixture->opener.base, &source, &error), ERROR_NONE);
    assert_int_equal(block_open(fixture->cache, source, &block, &error), ERROR_NONE);
    fixture->summary = block_summary(block);
    block_unref(block);
    fixture->opener.opened = 0;
    fixture_open(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    block_unref(fixture->block);
    assert_int_equal(fixture->opener.closed, 1);
    page_cache_destroy(fixture->cache);
    free(fixture);
    return 0;
}

static enum error_code read_all(struct block *block, uint64_t *samples_out, struct error *error)
{
    struct block_reader *reader;
    struct file_summary summary = block_summary(block);
    *samples_out = 0;
    enum error_code code = block_reader_create(block, &reader, error);
    for (uint32_t i = 0; code == ERROR_NONE && i < summary.series_count; i++) {
        struct sample_columns columns;
        code = block_reader_read(reader, i, INT64_MIN, INT64_MAX, &columns, error);
        *samples_out += code == ERROR_NONE ? columns.count : 0;
    }
    if (code == ERROR_NONE)
        block_reader_destroy(reader);
    return code;
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void what_is_known_opens_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary summary = block_summary(fixture->block);
    assert_int_equal(summary.sample_count, fixture->summary.sample_count);
    struct index_source *index = block_index(fixture->block);
    assert_int_equal(index->operations->position_end(index), summary.series_count);
    assert_int_equal(index_source_digest(index, TEXT("first"), TEXT("job")), 0);
    assert_true(block_has_slot(fixture->block, 1)); /* for all that is known */
    assert_false(block_is_open(fixture->block));
    assert_int_equal(fixture->opener.opened, 0);
}

static void the_first_use_opens_it(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    uint64_t samples;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(read_all(fixture->block, &samples, &error), ERROR_NONE);
        assert_int_equal(samples, fixture->summary.sample_count);
    }
    assert_true(block_is_open(fixture->block));
    assert_int_equal(fixture->opener.opened, 1);
}

static void an_error_is_told_and_forgotten(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    struct arena *arena = arena_create(0);
    struct positions positions;
    struct index_source *index = block_index(fixture->block);
    uint64_t samples;
    fixture->opener.fails = true;
    assert_int_equal(read_all(fixture->block, &samples, &error), ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.message, "'the block' is away"));
    assert_int_equal(index->operations->all(index, TEXT("first"), arena, &positions, &error),
                     ERROR_UNAVAILABLE);
    assert_int_equal(fixture->opener.opened, 2);
    fixture->opener.fails = false;
    assert_int_equal(index->operations->all(index, TEXT("first"), arena, &positions, &error),
                     ERROR_NONE);
    assert_true(positions.count > 0);
    assert_int_equal(fixture->opener.opened, 3);
    arena_destroy(arena);
}

static void another_block_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    uint64_t samples;
    block_unref(fixture->block);
    fixture->opener.closed = 0;
    fixture->summary.content_checksum.low ^= 1;
    fixture_open(fixture);
    assert_int_equal(read_all(fixture->block, &samples, &error), ERROR_CORRUPT);
    assert_string_equal(error.message, "'the block' has not the content that it was written with");
}

static void who_must_not_wait_does_not(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    uint64_t samples;
    no_wait_begin(UINT64_MAX);
    assert_int_equal(read_all(fixture->block, &samples, &error), ERROR_WOULD_WAIT);
    no_wait_end();
    assert_int_equal(fixture->opener.opened, 0);
}

struct reading {
    pthread_t thread;
    struct fixture *fixture;
    enum error_code code;
    uint64_t samples;
};

static void *read_in_thread(void *context)
{
    struct reading *reading = context;
    struct error error;
    reading->code = read_all(reading->fixture->block, &reading->samples, &error);
    return NULL;
}

static void read_at_once(struct fixture *fixture, struct reading readings[THREADS])
{
    for (size_t i = 0; i < THREADS; i++) {
        readings[i].fixture = fixture;
        assert_int_equal(pthread_create(&readings[i].thread, NULL, read_in_thread, &readings[i]),
                         0);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(readings[i].thread, NULL);
}

static void many_at_once_open_it_once(void **state)
{
    struct fixture *fixture = *state;
    for (int round = 0; round < ROUNDS; round++) {
        struct reading readings[THREADS];
        fixture->opener.fails = round % 2 == 0;
        fixture->opener.opened = 0;
        read_at_once(fixture, readings);
        for (size_t i = 0; i < THREADS; i++) {
            assert_int_equal(readings[i].code, round % 2 == 0 ? ERROR_UNAVAILABLE : ERROR_NONE);
            assert_int_equal(readings[i].samples,
                             round % 2 == 0 ? 0 : fixture->summary.sample_count);
        }
        assert_in_range(fixture->opener.opened, 1, round % 2 == 0 ? THREADS : 1);
        if (round % 2 == 0)
            continue;
        block_unref(fixture->block);
        fixture->opener.closed = 0;
        fixture_open(fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_known_opens_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_use_opens_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_error_is_told_and_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_block_is_corrupt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_must_not_wait_does_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_at_once_open_it_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
