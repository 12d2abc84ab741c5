/* Extents of objects in memory and on the disk: found, evicted, damaged, wanted by many. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "counting_store.h"
#include "platform/disk_uring.h"
#include "scratch_directory.h"
#include "shard/bucket_cache.h"
#include "shard/bucket_source.h"

enum {
    EXTENT = BUCKET_EXTENT_BYTES,
    OBJECT_BYTES = 40 * EXTENT + 777,
    THREADS = 4,
};

struct fixture {
    struct counting_store store;
    struct scratch_directory folder;
    struct disk *disk;
    struct disk_operations operations; /* its own, but for room */
    struct bucket_cache *cache;
    uint8_t *bytes; /* of both objects */
};

static uint64_t free_bytes_of_disk;

static enum error_code tell_room(struct disk *self, uint64_t *free_bytes_out,
                                 uint64_t *total_bytes_out, struct error *error)
{
    (void)self, (void)error;
    *free_bytes_out = free_bytes_of_disk;
    *total_bytes_out = 1000;
    return ERROR_NONE;
}

static int create_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error error;
    assert_non_null(fixture);
    counting_store_init(&fixture->store);
    fixture->bytes = malloc(OBJECT_BYTES);
    assert_non_null(fixture->bytes);
    for (size_t i = 0; i < OBJECT_BYTES; i++)
        fixture->bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    counting_store_put(&fixture->store, "a", fixture->bytes, OBJECT_BYTES);
    counting_store_put(&fixture->store, "b", fixture->bytes, OBJECT_BYTES);
    scratch_directory_make(&fixture->folder);
    assert_int_equal(
        disk_uring_create(fixture->folder.path, NULL, DISK_ENGINE_BEST, &fixture->disk, &error),
        ERROR_NONE);
    fixture->operations = *fixture->disk->operations;
    fixture->operations.free_bytes = tell_room;
    fixture->disk->operations = &fixture->operations;
    free_bytes_of_disk = 100;
    *state = fixture;
    return 0;
}

static int clear_fixture(void **state)
{
    struct fixture *fixture = *state;
    bucket_cache_destroy(fixture->cache);
    disk_uring_destroy(fixture->disk);
    scratch_directory_remove(&fixture->folder);
    counting_store_clear(&fixture->store);
    free(fixture->bytes);
    free(fixture);
    return 0;
}

static void create_cache(struct fixture *fixture, uint64_t memory_extents, uint64_t disk_extents)
{
    struct bucket_cache_options options = {.memory_bytes = memory_extents * EXTENT,
                                           .disk = fixture->disk,
                                           .directory = "cache",
                                           .disk_bytes = disk_extents * EXTENT};
    struct error refusal, error;
    assert_int_equal(bucket_cache_create(&options, &fixture->cache, &refusal, &error), ERROR_NONE);
    assert_int_equal(refusal.code, ERROR_NONE);
}

static struct page_source *open_source(struct fixture *fixture, const char *key)
{
    struct bucket_source_options options = {.store = &fixture->store.base,
                                            .cache = fixture->cache,
                                            .key = text_of(key),
                                            .size_bytes = OBJECT_BYTES};
    struct page_source *source;
    struct error error;
    assert_int_equal(bucket_source_open(&options, &source, &error), ERROR_NONE);
    return source;
}

static void assert_read(struct fixture *fixture, struct page_source *source, uint64_t offset,
                        size_t size)
{
    struct error error;
    uint8_t *target = malloc(size + 1);
    assert_non_null(target);
    target[size] = 0x5a;
    assert_int_equal(page_source_read(source, offset, target, size, &error), ERROR_NONE);
    assert_memory_equal(target, fixture->bytes + offset, size);
    assert_int_equal(target[size], 0x5a);
    free(target);
}

static void what_was_fetched_is_read_without_the_store(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    create_cache(fixture, 100, 0);
    struct page_source *a = open_source(fixture, "a");
    struct page_source *b = open_source(fixture, "b");
    struct page_range ranges[] = {
        {a, 5, 10}, {a, 3 * EXTENT - 1, 2}, {b, OBJECT_BYTES - 10, 10}, {a, 20 * EXTENT, 1}};
    assert_int_equal(page_source_fetch(ranges, 4, &error), ERROR_NONE);
    assert_int_equal(fixture->store.round_trips, 1);
    /* The first extent, a gap of one that is read along, and two; one; the end of the other. */
    assert_int_equal(fixture->store.reads, 3);
    assert_int_equal(fixture->store.read_bytes, 5 * EXTENT + 777);
    assert_read(fixture, a, 0, 4 * EXTENT);
    assert_read(fixture, a, 20 * EXTENT + 100, 100);
    assert_read(fixture, b, OBJECT_BYTES - 777, 777);
    assert_int_equal(page_source_fetch(ranges, 4, &error), ERROR_NONE);
    assert_int_equal(fixture->store.round_trips, 1);
    struct bucket_cache_statistics statistics = bucket_cache_statistics(fixture->cache);
    assert_int_equal(statistics.misses, 6);
    assert_int_equal(statistics.memory_hits, 6);
    assert_int_equal(statistics.read_bytes, 5 * EXTENT + 777);
    page_source_close(a);
    page_source_close(b);
}

static void large_ranges_are_several_requests_at_once(void **state)
{
    struct fixture *fixture = *state;
    create_cache(fixture, 100, 0);
    struct page_source *a = open_source(fixture, "a");
    assert_read(fixture, a, 0, OBJECT_BYTES);
    assert_int_equal(fixture->store.round_trips, 1);
    assert_int_equal(fixture->store.reads, 2); /* of at most 1 MiB each */
    page_source_close(a);
}

static void who_reads_on_waits_seldom(void **state)
{
    struct fixture *fixture = *state;
    create_cache(fixture, 100, 0);
    struct page_source *a = open_source(fixture, "a");
    for (uint64_t at = 0; at < 32 * EXTENT; at += EXTENT / 4)
        assert_read(fixture, a, at, EXTENT / 4);
    assert_in_range(fixture->store.round_trips, 1, 4);
    page_source_close(a);
}

static void memory_keeps_what_was_used_last(void **state)
{
    struct fixture *fixture = *state;
    create_cache(fixture, 4, 0);
    struct page_source *a = open_source(fixture, "a");
    for (uint64_t i = 0; i < 4; i++)
        assert_read(fixture, a, 10 * i * EXTENT, 8);
    assert_read(fixture, a, 0, 8); /* the first is used again */
    assert_read(fixture, a, 5 * EXTENT, 8);
    assert_int_equal(fixture->store.round_trips, 5);
    assert_read(fixture, a, 0, 8);
    assert_int_equal(fixture->store.round_trips, 5);
    assert_read(fixture, a, 10 * EXTENT, 8); /* gone */
    assert_int_equal(fixture->store.round_trips, 6);
    assert_int_equal(bucket_cache_statistics(fixture->cache).memory_bytes, 4 * EXTENT);
    page_source_close(a);
}

static void the_disk_has_what_left_memory(void **state)
{
    struct fixture *fixture = *state;
    create_cache(fixture, 2, 41);
    struct page_source *a = open_source(fixture, "a");
    assert_read(fixture, a, 0, OBJECT_BYTES);
    uint64_t round_trips = fixture->store.round_trips;
    assert_read(fixture, a, 0, OBJECT_BYTES);
    assert_int_equal(fixture->store.round_trips, round_trips);
    struct bucket_cache_statistics statistics = bucket_cache_statistics(fixture->cache);
    assert_int_equal(statistics.disk_bytes, OBJECT_BYTES);
    assert_in_range(statistics.memory_bytes, 0, 2 * EXTENT);
    assert_in_range(statistics.disk_hits, 2 * 41 - 4,
                    2 * 41); /* all left before they were copied */
    page_source_close(a);
}

static void the_disk_has_a_limit_too(void **state)
{
    struct fixture *fixture = *state;
    create_cache(fixture, 2, 10);
    struct page_source *a = open_source(fixture, "a");
    for (unsigned round = 0; round < 3; round++)
        assert_read(fixture, a, 0, OBJECT_BYTES);
    struct bucket_cache_statistics statistics = bucket_cache_statistics(fixture->cache);
    assert_in_range(statistics.disk_bytes, 9 * EXTENT, 10 * EXTENT);
    assert_in_range(statistics.disk_evictions, 1, UINT64_MAX);
    page_source_close(a);
}

static void a_disk_without_room_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    free_bytes_of_disk = 99;
    create_cache(fixture, 2, 41);
    struct page_source *a = open_source(fixture, "a");
    assert_read(fixture, a, 0, OBJECT_BYTES);
    assert_int_equal(bucket_cache_statistics(fixture->cache).disk_bytes, 0);
    page_source_close(a);
}

static void damage_on_the_disk_is_read_again_from_the_store(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    create_cache(fixture, 1, 41);
    struct page_source *a = open_source(fixture, "a");
    assert_read(fixture, a, 0, OBJECT_BYTES);
    uint64_t round_trips = fixture->store.round_trips;
    struct file *file;
    assert_int_equal(disk_open(fixture->disk, "cache/extents", DISK_OPEN_READ_WRITE, &file, &error),
                     ERROR_NONE);
    for (uint64_t i = 0; i < 41; i += 4) /* a bit here and there */
        assert_int_equal(
            disk_write_at(fixture->disk, file, i * EXTENT + 5 * i, (const uint8_t *)"x", 1, &error),
            ERROR_NONE);
    disk_close(fixture->disk, file);
    assert_read(fixture, a, 0, OBJECT_BYTES);
    assert_read(fixture, a, 0, OBJECT_BYTES);
    struct bucket_cache_statistics statistics = bucket_cache_statistics(fixture->cache);
    assert_in_range(statistics.disk_corrupt, 9, 11);
    assert_in_range(fixture->store.round_trips, round_trips + 1, round_trips + 11);
    page_source_close(a);
}

static void a_file_cut_short_is_read_again_from_the_store(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    create_cache(fixture, 1, 41);
    struct page_source *a = open_source(fixture, "a");
    assert_read(fixture, a, 0, OBJECT_BYTES);
    struct file *file;
    assert_int_equal(disk_open(fixture->disk, "cache/extents", DISK_OPEN_READ_WRITE, &file, &error),
                     ERROR_NONE);
    assert_int_equal(disk_resize(fixture->disk, file, 3 * EXTENT, &error), ERROR_NONE);
    disk_close(fixture->disk, file);
    assert_read(fixture, a, 0, OBJECT_BYTES);
    assert_in_range(bucket_cache_statistics(fixture->cache).disk_failures, 1, 41);
    page_source_close(a);
}

static void a_directory_that_is_a_file_means_memory_only(void **state)
{
    struct fixture *fixture = *state;
    struct file *file;
    struct error refusal, error;
    assert_int_equal(disk_open(fixture->disk, "cache", DISK_OPEN_CREATE, &file, &error),
                     ERROR_NONE);
    disk_close(fixture->disk, file);
    struct bucket_cache_options options = {.memory_bytes = 100 * EXTENT,
                                           .disk = fixture->disk,
                                           .directory = "cache",
                                           .disk_bytes = 100 * EXTENT};
    assert_int_equal(bucket_cache_create(&options, &fixture->cache, &refusal, &error), ERROR_NONE);
    assert_int_not_equal(refusal.code, ERROR_NONE);
    struct page_source *a = open_source(fixture, "a");
    assert_read(fixture, a, 0, OBJECT_BYTES);
    assert_int_equal(bucket_cache_statistics(fixture->cache).disk_bytes, 0);
    page_source_close(a);
}

static void a_store_that_fails_is_asked_again_by_the_next(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    uint8_t byte;
    create_cache(fixture, 100, 41);
    struct page_source *a = open_source(fixture, "a");
    struct page_range ranges[] = {{a, 0, 1}, {a, 10 * EXTENT, 1}, {a, 20 * EXTENT, 1}};
    fixture->store.fail_after = 1; /* the first range comes, the others don't */
    assert_int_equal(page_source_fetch(ranges, 3, &error), ERROR_UNAVAILABLE);
    assert_non_null(strstr(error.message, "read object 'a'"));
    assert_int_equal(page_source_read(a, 10 * EXTENT, &byte, 1, &error), ERROR_UNAVAILABLE);
    fixture->store.fail_after = UINT64_MAX;
    uint64_t reads = fixture->store.reads;
    assert_int_equal(page_source_fetch(ranges, 3, &error), ERROR_NONE);
    assert_int_equal(fixture->store.reads, reads + 2);
    assert_read(fixture, a, 20 * EXTENT, 100);
    assert_int_equal(bucket_cache_statistics(fixture->cache).read_failures, 3);
    page_source_close(a);
}

static void an_object_cut_short_is_corrupt(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    uint8_t byte;
    create_cache(fixture, 100, 41);
    counting_store_put(&fixture->store, "c", fixture->bytes, OBJECT_BYTES - 1);
    struct page_source *c = open_source(fixture, "c");
    assert_int_equal(page_source_read(c, 0, &byte, 1, &error), ERROR_CORRUPT);
    assert_int_equal(page_source_read(c, OBJECT_BYTES - 1, &byte, 1, &error), ERROR_CORRUPT);
    assert_int_equal(page_source_read(c, OBJECT_BYTES, &byte, 1, &error), ERROR_CORRUPT);
    page_source_close(c);
}

struct asker {
    struct fixture *fixture;
    struct page_source *source;
    uint32_t seed;
    bool is_right;
};

static void *ask(void *context)
{
    struct asker *asker = context;
    uint8_t *target = malloc(3 * EXTENT);
    struct error error;
    asker->is_right = target != NULL;
    for (unsigned i = 0; i < 300 && asker->is_right; i++) {
        asker->seed = asker->seed * 1664525 + 1013904223;
        uint64_t offset = asker->seed % (OBJECT_BYTES - 3 * EXTENT);
        size_t size = 1 + (asker->seed >> 7) % (3 * EXTENT);
        struct page_range range = {asker->source, offset, size};
        asker->is_right =
            (i % 3 != 0 || page_source_fetch(&range, 1, &error) == ERROR_NONE) &&
            page_source_read(asker->source, offset, target, size, &error) == ERROR_NONE &&
            memcmp(target, asker->fixture->bytes + offset, size) == 0;
    }
    free(target);
    return NULL;
}

static void many_threads_get_what_is_there(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[THREADS];
    struct asker askers[THREADS];
    create_cache(fixture, 6, 12);
    struct page_source *sources[2] = {open_source(fixture, "a"), open_source(fixture, "b")};
    for (unsigned i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.fixture = fixture, .source = sources[i % 2], .seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(askers[i].is_right);
    }
    page_source_close(sources[0]);
    page_source_close(sources[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, create_fixture, clear_fixture)
    const struct CMUnitTest tests[] = {
        TEST(what_was_fetched_is_read_without_the_store),
        TEST(large_ranges_are_several_requests_at_once),
        TEST(who_reads_on_waits_seldom),
        TEST(memory_keeps_what_was_used_last),
        TEST(the_disk_has_what_left_memory),
        TEST(the_disk_has_a_limit_too),
        TEST(a_disk_without_room_is_left_alone),
        TEST(damage_on_the_disk_is_read_again_from_the_store),
        TEST(a_file_cut_short_is_read_again_from_the_store),
        TEST(a_directory_that_is_a_file_means_memory_only),
        TEST(a_store_that_fails_is_asked_again_by_the_next),
        TEST(an_object_cut_short_is_corrupt),
        TEST(many_threads_get_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
