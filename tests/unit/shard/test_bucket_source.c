/* An object of the bucket, read as a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shard/bucket_source.h"
#include "simulated_scheduler.h"
#include "simulated_store.h"

static struct simulated_clock clock_of_test;
static struct simulated_store store;

static int create_store(void **state)
{
    (void)state;
    struct error error;
    simulated_clock_init(&clock_of_test);
    simulated_store_init(&store, &clock_of_test.base, 1);
    assert_int_equal(object_store_put(&store.base, NULL, TEXT("a/b"), "0123456789", 10, &error),
                     ERROR_NONE);
    return 0;
}

static int clear_store(void **state)
{
    (void)state;
    simulated_store_clear(&store);
    return 0;
}

static struct page_source *open_source(struct text key, uint64_t size_bytes)
{
    struct page_source *source;
    struct error error;
    struct bucket_source_options options = {
        .store = &store.base, .key = key, .size_bytes = size_bytes};
    assert_int_equal(bucket_source_open(&options, &source, &error), ERROR_NONE);
    assert_int_equal(source->size_bytes, size_bytes);
    return source;
}

static void ranges_are_read(void **state)
{
    (void)state;
    struct page_source *source = open_source(TEXT("a/b"), 10);
    struct error error;
    uint8_t bytes[10];
    assert_int_equal(page_source_read(source, 0, bytes, 10, &error), ERROR_NONE);
    assert_memory_equal(bytes, "0123456789", 10);
    assert_int_equal(page_source_read(source, 7, bytes, 3, &error), ERROR_NONE);
    assert_memory_equal(bytes, "789", 3);
    assert_int_equal(page_source_read(source, 8, bytes, 3, &error), ERROR_CORRUPT);
    page_source_close(source);
}

static void another_size_is_corrupt(void **state)
{
    (void)state;
    struct page_source *source = open_source(TEXT("a/b"), 11);
    struct error error;
    uint8_t byte;
    assert_int_equal(page_source_read(source, 0, &byte, 1, &error), ERROR_CORRUPT);
    assert_string_equal(error.message, "object 'a/b' has 10 bytes, and should have 11");
    page_source_close(source);
}

static void what_fails_says_which(void **state)
{
    (void)state;
    struct error error;
    uint8_t byte;
    struct page_source *source = open_source(TEXT("a/c"), 10);
    assert_int_equal(page_source_read(source, 0, &byte, 1, &error), ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.message, "'a/c'"));
    store.is_down = true;
    assert_int_equal(page_source_read(source, 0, &byte, 1, &error), ERROR_UNAVAILABLE);
    page_source_close(source);
    struct page_source *none;
    struct bucket_source_options options = {
        .store = &store.base, .key = TEXT("../a"), .size_bytes = 10};
    assert_int_equal(bucket_source_open(&options, &none, &error), ERROR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ranges_are_read, create_store, clear_store),
        cmocka_unit_test_setup_teardown(another_size_is_corrupt, create_store, clear_store),
        cmocka_unit_test_setup_teardown(what_fails_says_which, create_store, clear_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
