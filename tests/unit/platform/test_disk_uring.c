#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "platform/disk_uring.h"
#include "platform/loop.h"
#include "scratch_directory.h"

/* --- One disk on one loop, for each engine --------------------------------------------------- */

struct fixture {
    struct scratch_directory directory;
    struct loop *loop;
    struct disk *disk;
    struct error error;
    size_t left; /* requests that have not finished */
};

static struct fixture *fixture_make(enum disk_engine engine)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    scratch_directory_make(&fixture->directory);
    assert_int_equal(loop_create(&(struct loop_options){0}, &fixture->loop, &fixture->error),
                     ERROR_NONE);
    if (disk_uring_create(fixture->directory.path, fixture->loop, engine, &fixture->disk,
                          &fixture->error) != ERROR_NONE)
        fixture->disk = NULL; /* io_uring forbidden here: the tests of the threads remain */
    return fixture;
}

static int with_uring(void **state)
{
    *state = fixture_make(DISK_ENGINE_URING);
    return 0;
}

static int with_threads(void **state)
{
    *state = fixture_make(DISK_ENGINE_THREADS);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    disk_uring_destroy(fixture->disk);
    loop_destroy(fixture->loop);
    scratch_directory_remove(&fixture->directory);
    free(fixture);
    return 0;
}

static struct fixture *fixture_of(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->disk == NULL)
        skip();
    return fixture;
}

/* --- Requests that count down and stop the loop ---------------------------------------------- */

struct counted_write {
    struct disk_write base;
    struct fixture *fixture;
    struct error error;
};

struct counted_read {
    struct disk_read base;
    struct fixture *fixture;
    struct error error;
};

static void count_down(struct fixture *fixture)
{
    if (--fixture->left == 0)
        loop_stop(fixture->loop);
}

static void write_done(struct disk_write *base, const struct error *error)
{
    struct counted_write *write = (struct counted_write *)base;
    write->error = *error;
    count_down(write->fixture);
}

static void read_done(struct disk_read *base, const struct error *error)
{
    struct counted_read *read = (struct counted_read *)base;
    read->error = *error;
    count_down(read->fixture);
}

static struct file *file_made(struct fixture *fixture, const char *path)
{
    struct file *file = NULL;
    assert_int_equal(disk_open(fixture->disk, path, DISK_OPEN_CREATE, &file, &fixture->error),
                     ERROR_NONE);
    return file;
}

/* More requests than the ring has places, each of two vectors. */
static void every_write_arrives_and_is_read_back(void **state)
{
    struct fixture *fixture = fixture_of(state);
    enum { COUNT = 700, HALF = 3000 };
    static uint8_t bytes[COUNT][2 * HALF];
    static struct disk_vector vectors[COUNT][2];
    static struct counted_write writes[COUNT];
    struct file *file = file_made(fixture, "file");
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < sizeof bytes[i]; j++)
            bytes[i][j] = (uint8_t)(i * 31 + j * 7);
        vectors[i][0] = (struct disk_vector){bytes[i], HALF};
        vectors[i][1] = (struct disk_vector){bytes[i] + HALF, HALF};
        writes[i] = (struct counted_write){
            .base = {.file = file,
                     .offset_bytes = i * 2 * HALF,
                     .vectors = vectors[i],
                     .vector_count = 2,
                     .mode = i % 100 == 0 ? DISK_WRITE_DURABLE : DISK_WRITE_PLAIN,
                     .done = write_done},
            .fixture = fixture,
        };
        disk_write(fixture->disk, &writes[i].base);
    }
    fixture->left = COUNT;
    loop_run(fixture->loop);

    static uint8_t back[COUNT][2 * HALF];
    static struct counted_read reads[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(writes[i].error.code, ERROR_NONE);
        reads[i] = (struct counted_read){
            .base = {.file = file,
                     .offset_bytes = i * 2 * HALF,
                     .target = back[i],
                     .size_bytes = 2 * HALF,
                     .done = read_done},
            .fixture = fixture,
        };
        disk_read(fixture->disk, &reads[i].base);
    }
    fixture->left = COUNT;
    loop_run(fixture->loop);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(reads[i].error.code, ERROR_NONE);
    assert_memory_equal(back, bytes, sizeof bytes);
    disk_close(fixture->disk, file);
}

/* A file size limit makes the kernel write the first part only; the rest is tried and refused. */
static void a_short_write_is_continued_and_its_error_reported(void **state)
{
    struct fixture *fixture = fixture_of(state);
    static uint8_t bytes[64 * 1024];
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 40 * 1024 + 100;
    struct file *file = file_made(fixture, "file");
    const struct disk_vector vectors[2] = {{bytes, 32 * 1024}, {bytes, 32 * 1024}};
    struct counted_write write = {
        .base = {.file = file, .vectors = vectors, .vector_count = 2, .done = write_done},
        .fixture = fixture,
    };
    setrlimit(RLIMIT_FSIZE, &small);
    signal(SIGXFSZ, SIG_IGN);
    disk_write(fixture->disk, &write.base);
    fixture->left = 1;
    loop_run(fixture->loop);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(write.error.code, ERROR_IO);
    uint64_t size = 0;
    assert_int_equal(disk_size(fixture->disk, file, &size, &fixture->error), ERROR_NONE);
    assert_int_equal(size, 40 * 1024 + 100);
    disk_close(fixture->disk, file);
}

static void reading_past_the_end_is_corrupt(void **state)
{
    struct fixture *fixture = fixture_of(state);
    struct file *file = file_made(fixture, "file");
    uint8_t bytes[100] = {1};
    assert_int_equal(disk_write_at(fixture->disk, file, 0, bytes, 60, &fixture->error), ERROR_NONE);
    struct counted_read read = {
        .base = {.file = file, .target = bytes, .size_bytes = 100, .done = read_done},
        .fixture = fixture,
    };
    disk_read(fixture->disk, &read.base);
    fixture->left = 1;
    loop_run(fixture->loop);
    assert_int_equal(read.error.code, ERROR_CORRUPT);
    assert_int_equal(disk_read_at(fixture->disk, file, 0, bytes, 100, &fixture->error),
                     ERROR_CORRUPT);
    disk_close(fixture->disk, file);
}

static void direct_files_take_aligned_durable_writes(void **state)
{
    struct fixture *fixture = fixture_of(state);
    struct file *file = file_made(fixture, "log");
    assert_int_equal(disk_resize(fixture->disk, file, 1 << 20, &fixture->error), ERROR_NONE);
    disk_close(fixture->disk, file);
    assert_int_equal(disk_open(fixture->disk, "log", DISK_OPEN_DIRECT, &file, &fixture->error),
                     ERROR_NONE);
    uint8_t *bytes = aligned_alloc(DISK_SECTOR_BYTES, 3 * DISK_SECTOR_BYTES);
    memset(bytes, 0x5a, 3 * DISK_SECTOR_BYTES);
    const struct disk_vector vector = {bytes, 3 * DISK_SECTOR_BYTES};
    struct counted_write write = {
        .base = {.file = file,
                 .offset_bytes = 5 * DISK_SECTOR_BYTES,
                 .vectors = &vector,
                 .vector_count = 1,
                 .mode = DISK_WRITE_DURABLE,
                 .done = write_done},
        .fixture = fixture,
    };
    disk_write(fixture->disk, &write.base);
    fixture->left = 1;
    loop_run(fixture->loop);
    assert_int_equal(write.error.code, ERROR_NONE);
    disk_close(fixture->disk, file);
    assert_int_equal(disk_open(fixture->disk, "log", DISK_OPEN_READ, &file, &fixture->error),
                     ERROR_NONE);
    uint8_t back[4 * DISK_SECTOR_BYTES];
    assert_int_equal(disk_read_at(fixture->disk, file, 5 * DISK_SECTOR_BYTES, back, sizeof back,
                                  &fixture->error),
                     ERROR_NONE);
    assert_memory_equal(back, bytes, 3 * DISK_SECTOR_BYTES);
    assert_int_equal(back[3 * DISK_SECTOR_BYTES], 0);
    free(bytes);
    disk_close(fixture->disk, file);
}

/* --- Names ----------------------------------------------------------------------------------- */

struct listing {
    char names[256];
};

static bool list_name(void *context, const char *name, bool is_directory)
{
    struct listing *listing = context;
    strcat(listing->names, name);
    strcat(listing->names, is_directory ? "/ " : " ");
    return true;
}

static void names_are_made_listed_moved_and_removed(void **state)
{
    struct fixture *fixture = fixture_of(state);
    struct disk *disk = fixture->disk;
    struct error *error = &fixture->error;
    assert_int_equal(disk_make_directory(disk, "a/b/c", error), ERROR_NONE);
    assert_int_equal(disk_make_directory(disk, "a/b/c", error), ERROR_NONE);
    disk_close(disk, file_made(fixture, "a/two"));
    disk_close(disk, file_made(fixture, "a/one"));
    struct file *file = NULL;
    assert_int_equal(disk_open(disk, "a/one", DISK_OPEN_CREATE, &file, error), ERROR_EXISTS);
    assert_int_equal(disk_open(disk, "a/none", DISK_OPEN_READ, &file, error), ERROR_NOT_FOUND);
    assert_int_equal(disk_make_directory(disk, "a/one", error), ERROR_EXISTS);
    struct listing listing = {""};
    assert_int_equal(disk_list(disk, "a", list_name, &listing, error), ERROR_NONE);
    assert_string_equal(listing.names, "b/ one two ");
    assert_int_equal(disk_rename(disk, "a/one", "a/two", error), ERROR_NONE);
    assert_int_equal(disk_link(disk, "a/two", "a/three", error), ERROR_NONE);
    assert_int_equal(disk_link(disk, "a/two", "a/three", error), ERROR_EXISTS);
    assert_int_equal(disk_link(disk, "a/missing", "a/four", error), ERROR_NOT_FOUND);
    assert_int_equal(disk_remove(disk, "a/two", error), ERROR_NONE);
    assert_int_equal(disk_remove(disk, "a/three", error), ERROR_NONE);
    assert_int_equal(disk_remove(disk, "a/two", error), ERROR_NOT_FOUND);
    assert_int_equal(disk_remove_directory(disk, "a/b", error), ERROR_IO); /* not empty */
    assert_int_equal(disk_remove_directory(disk, "a/b/c", error), ERROR_NONE);
    assert_int_equal(disk_sync_directory(disk, "", error), ERROR_NONE);
    uint64_t free_bytes = 0, total_bytes = 0;
    assert_int_equal(disk_free_bytes(disk, &free_bytes, &total_bytes, error), ERROR_NONE);
    assert_true(free_bytes > 0 && free_bytes <= total_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ON_BOTH(test)                                                                              \
    {#test " (uring)", test, with_uring, teardown, NULL},                                          \
        {#test " (threads)", test, with_threads, teardown, NULL}
        ON_BOTH(every_write_arrives_and_is_read_back),
        ON_BOTH(a_short_write_is_continued_and_its_error_reported),
        ON_BOTH(reading_past_the_end_is_corrupt),
        ON_BOTH(direct_files_take_aligned_durable_writes),
        ON_BOTH(names_are_made_listed_moved_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
