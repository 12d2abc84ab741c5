#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "naive_series.h"

#include "block/part_reader.h"
#include "block/part_writer.h"
#include "simulated_environment.h"

enum { SERIES = 2000, SAMPLES = 100, THREADS = 4 };

/* A file in memory that any thread may read and that counts its reads. */
struct counted_source {
    struct page_source base;
    const uint8_t *bytes;
    atomic_size_t *reads;
};

static enum error_code counted_read(struct page_source *self, uint64_t offset_bytes,
                                    uint8_t *target, size_t size_bytes, struct error *error)
{
    struct counted_source *source = (struct counted_source *)self;
    (void)error;
    atomic_fetch_add(source->reads, 1);
    memcpy(target, source->bytes + offset_bytes, size_bytes);
    return ERROR_NONE;
}

static void counted_close(struct page_source *self)
{
    free(self);
}

static const struct page_source_operations COUNTED = {.read = counted_read, .close = counted_close};

struct fixture {
    struct arena *arena;
    struct naive_series *series;
    uint8_t *bytes;
    size_t size_bytes;
    atomic_size_t reads;
    struct page_cache *cache;
    struct part *part;
    struct error error;
};

static void write_bytes(struct fixture *fixture)
{
    struct simulated_environment *environment = simulated_environment_create(1);
    struct disk *disk = environment->base.disk;
    struct error *error = &fixture->error;
    struct part_writer *writer;
    struct file_summary summary;
    struct file *file;
    assert_int_equal(part_writer_create(disk, "part", &writer, error), ERROR_NONE);
    for (size_t i = 0; i < SERIES; i++) {
        const struct naive_series *one = &fixture->series[i];
        struct part_series series = {one->id, one->target, one->tenant, one->slot};
        assert_int_equal(part_writer_add(writer, &series, &one->columns, NULL, 0, error),
                         ERROR_NONE);
    }
    assert_int_equal(part_writer_finish(writer, &summary, error), ERROR_NONE);
    part_writer_destroy(writer);
    fixture->size_bytes = summary.size_bytes;
    fixture->bytes = malloc(summary.size_bytes);
    assert_int_equal(disk_open(disk, "part", DISK_OPEN_READ, &file, error), ERROR_NONE);
    assert_int_equal(disk_read_at(disk, file, 0, fixture->bytes, summary.size_bytes, error),
                     ERROR_NONE);
    disk_close(disk, file);
    simulated_environment_destroy(environment);
}

static struct part *open_part(struct fixture *fixture)
{
    struct counted_source *source = calloc(1, sizeof *source);
    source->base.operations = &COUNTED;
    source->base.size_bytes = fixture->size_bytes;
    source->bytes = fixture->bytes;
    source->reads = &fixture->reads;
    struct part *part;
    assert_int_equal(part_open(fixture->cache, &source->base, &part, &fixture->error), ERROR_NONE);
    return part;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct naive_random random = {11};
    fixture->arena = arena_create(0);
    fixture->series = naive_part(fixture->arena, &random, SERIES / 20, 20, SAMPLES);
    write_bytes(fixture);
    assert_int_equal(page_cache_create(64 << 20, &fixture->cache, &fixture->error), ERROR_NONE);
    fixture->part = open_part(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    part_unref(fixture->part);
    page_cache_destroy(fixture->cache);
    arena_destroy(fixture->arena);
    free(fixture->bytes);
    free(fixture);
    return 0;
}

/* Counts the series whose samples are not as expected. */
static size_t read_all(struct fixture *fixture, size_t first)
{
    struct part_reader *reader;
    struct error error;
    size_t wrong = 0;
    if (part_reader_create(fixture->part, &reader, &error) != ERROR_NONE)
        return SERIES;
    for (size_t i = 0; i < SERIES; i++) {
        const struct naive_series *one = &fixture->series[(i + first) % SERIES];
        struct sample_columns read;
        if (part_reader_read(reader, one->id, INT64_MIN, INT64_MAX, &read, &error) != ERROR_NONE ||
            read.count != one->columns.count ||
            memcmp(read.timestamps_ms, one->columns.timestamps_ms, 8 * read.count) != 0)
            wrong++;
    }
    part_reader_destroy(reader);
    return wrong;
}

static void what_is_cached_is_not_read_again(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_all(fixture, 0), 0);
    size_t reads = atomic_load(&fixture->reads);
    struct page_cache_statistics before = page_cache_statistics(fixture->cache);
    assert_int_equal(read_all(fixture, 7), 0);
    struct page_cache_statistics after = page_cache_statistics(fixture->cache);
    assert_int_equal(atomic_load(&fixture->reads), reads);
    assert_int_equal(after.misses, before.misses);
    assert_true(after.hits > before.hits);
    assert_true(after.size_bytes > 0 && after.page_count > 10);
}

static void the_budget_is_kept_when_nothing_is_pinned(void **state)
{
    struct fixture *fixture = *state;
    const size_t budget = 512 * 1024;
    page_cache_set_budget(fixture->cache, budget);
    assert_int_equal(read_all(fixture, 0), 0);
    page_cache_set_budget(fixture->cache, budget);
    struct page_cache_statistics statistics = page_cache_statistics(fixture->cache);
    assert_true(statistics.evictions > 0);
    assert_in_range(statistics.size_bytes, 1, budget);
    page_cache_set_budget(fixture->cache, 0);
    assert_int_equal(page_cache_statistics(fixture->cache).page_count, 0);
}

static void two_files_of_one_place_do_not_share_pages(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_all(fixture, 0), 0);
    uint64_t misses = page_cache_statistics(fixture->cache).misses;
    part_unref(fixture->part);
    fixture->part = open_part(fixture);
    assert_int_equal(read_all(fixture, 0), 0);
    assert_true(page_cache_statistics(fixture->cache).misses >= 2 * misses - 2);
}

/* What a merge read would stay for nobody otherwise. */
static void pages_of_a_closed_file_leave(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_all(fixture, 0), 0);
    struct page_cache_statistics before = page_cache_statistics(fixture->cache);
    struct part *other = open_part(fixture);
    part_unref(fixture->part);
    fixture->part = other;
    struct page_cache_statistics after = page_cache_statistics(fixture->cache);
    assert_true(before.page_count > 10);
    assert_int_equal(after.page_count, 1); /* table of contents of the other one */
    assert_int_equal(after.evictions, before.evictions);
    assert_int_equal(read_all(fixture, 0), 0);
    assert_int_equal(page_cache_statistics(fixture->cache).page_count, before.page_count);
    assert_int_equal(page_cache_statistics(fixture->cache).size_bytes, before.size_bytes);
}

/* Those that were evicted are no longer of the file, those that are read again are. */
static void a_file_closes_after_some_of_its_pages_were_evicted(void **state)
{
    struct fixture *fixture = *state;
    page_cache_set_budget(fixture->cache, 512 * 1024);
    assert_int_equal(read_all(fixture, 0), 0);
    assert_int_equal(read_all(fixture, 7), 0);
    assert_true(page_cache_statistics(fixture->cache).evictions > 0);
    part_unref(fixture->part);
    assert_int_equal(page_cache_statistics(fixture->cache).page_count, 0);
    assert_int_equal(page_cache_statistics(fixture->cache).size_bytes, 0);
    fixture->part = open_part(fixture);
    assert_int_equal(read_all(fixture, 0), 0);
}

struct reading_thread {
    pthread_t thread;
    struct fixture *fixture;
    size_t first;
    size_t wrong;
};

static void *read_in_thread(void *argument)
{
    struct reading_thread *thread = argument;
    for (size_t round = 0; round < 3; round++)
        thread->wrong += read_all(thread->fixture, thread->first);
    return NULL;
}

/* With hardly a page of budget they evict each other's pages all the time. */
static void threads_read_together_from_a_small_cache(void **state)
{
    struct fixture *fixture = *state;
    page_cache_set_budget(fixture->cache, 200 * 1024);
    struct reading_thread threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = (struct reading_thread){.fixture = fixture, .first = i / 2 * SERIES / 2};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, read_in_thread, &threads[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
        assert_int_equal(threads[i].wrong, 0);
    }
}

static void threads_that_miss_one_page_read_it_once(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_all(fixture, 0), 0);
    size_t reads = atomic_load(&fixture->reads);
    page_cache_set_budget(fixture->cache, 0);
    page_cache_set_budget(fixture->cache, 64 << 20);
    struct reading_thread threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        threads[i] = (struct reading_thread){.fixture = fixture};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, read_in_thread, &threads[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i].thread, NULL);
    /* Footer and table of contents were read at open only. */
    assert_int_equal(atomic_load(&fixture->reads), 2 * reads - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_cached_is_not_read_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_budget_is_kept_when_nothing_is_pinned, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(two_files_of_one_place_do_not_share_pages, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(pages_of_a_closed_file_leave, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_closes_after_some_of_its_pages_were_evicted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(threads_read_together_from_a_small_cache, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(threads_that_miss_one_page_read_it_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
