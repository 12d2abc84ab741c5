/* Every allocation, and every operation of the disk, of a block's life fails once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "allocation_faults.h"
#include "platform/disk_uring.h"
#include "scratch_directory.h"
#include "tsdb/tsdb_block.h"
#include "tsdb/tsdb_writer.h"

enum { WINDOW_MS = 7200000, SERIES = 6, SAMPLES = 300 };

/* A disk of which one operation fails. */
struct faulty_disk {
    struct disk base;
    struct disk *inner;
    size_t operations;
    size_t fail_at; /* counting from 1; 0: none */
};

struct fixture {
    struct scratch_directory scratch;
    struct faulty_disk faulty;
    struct disk *disk;
    struct tsdb_disk_folder folder;
    struct arena *arena;
    struct labels labels[SERIES];
    int64_t times[SAMPLES];
    double values[SAMPLES];
    struct histogram histogram;
    const struct histogram *histograms[SAMPLES];
};

static const struct histogram_span SPAN = {1, 2};
static const union histogram_number BUCKETS[] = {{3}, {4}};

/* --- The disk --------------------------------------------------------------------------------- */

static struct disk *inner_of(struct disk *self)
{
    return ((struct faulty_disk *)self)->inner;
}

static enum error_code count(struct disk *self, struct error *error)
{
    struct faulty_disk *disk = (struct faulty_disk *)self;
    return ++disk->operations == disk->fail_at ? error_set(error, ERROR_IO, "this one fails")
                                               : ERROR_NONE;
}

static enum error_code faulty_open(struct disk *self, const char *path, enum disk_open_mode mode,
                                   struct file **file_out, struct error *error)
{
    enum error_code code = count(self, error);
    return code == ERROR_NONE ? disk_open(inner_of(self), path, mode, file_out, error) : code;
}

static void faulty_close(struct disk *self, struct file *file)
{
    disk_close(inner_of(self), file);
}

static enum error_code faulty_size(struct disk *self, struct file *file, uint64_t *size_bytes_out,
                                   struct error *error)
{
    enum error_code code = count(self, error);
    return code == ERROR_NONE ? disk_size(inner_of(self), file, size_bytes_out, error) : code;
}

static enum error_code faulty_read_at(struct disk *self, struct file *file, uint64_t offset_bytes,
                                      uint8_t *target, size_t size_bytes, struct error *error)
{
    enum error_code code = count(self, error);
    return code == ERROR_NONE
               ? disk_read_at(inner_of(self), file, offset_bytes, target, size_bytes, error)
               : code;
}

static enum error_code faulty_write_at(struct disk *self, struct file *file, uint64_t offset_bytes,
                                       const uint8_t *bytes, size_t size_bytes, struct error *error)
{
    enum error_code code = count(self, error);
    return code == ERROR_NONE
               ? disk_write_at(inner_of(self), file, offset_bytes, bytes, size_bytes, error)
               : code;
}

static enum error_code faulty_sync(struct disk *self, struct file *file, struct error *error)
{
    enum error_code code = count(self, error);
    return code == ERROR_NONE ? disk_sync(inner_of(self), file, error) : code;
}

static enum error_code faulty_rename(struct disk *self, const char *from, const char *to,
                                     struct error *error)
{
    enum error_code code = count(self, error);
    return code == ERROR_NONE ? disk_rename(inner_of(self), from, to, error) : code;
}

static enum error_code faulty_remove(struct disk *self, const char *path, struct error *error)
{
    return disk_remove(inner_of(self), path, error);
}

static enum error_code faulty_make_directory(struct disk *self, const char *path,
                                             struct error *error)
{
    enum error_code code = count(self, error);
    return code == ERROR_NONE ? disk_make_directory(inner_of(self), path, error) : code;
}

static enum error_code faulty_remove_directory(struct disk *self, const char *path,
                                               struct error *error)
{
    return disk_remove_directory(inner_of(self), path, error);
}

static enum error_code faulty_sync_directory(struct disk *self, const char *path,
                                             struct error *error)
{
    enum error_code code = count(self, error);
    return code == ERROR_NONE ? disk_sync_directory(inner_of(self), path, error) : code;
}

static enum error_code faulty_list(struct disk *self, const char *path, disk_list_visit *visit,
                                   void *context, struct error *error)
{
    return disk_list(inner_of(self), path, visit, context, error);
}

static const struct disk_operations FAULTY = {
    .open = faulty_open,
    .close = faulty_close,
    .size = faulty_size,
    .read_at = faulty_read_at,
    .write_at = faulty_write_at,
    .sync = faulty_sync,
    .rename = faulty_rename,
    .remove = faulty_remove,
    .make_directory = faulty_make_directory,
    .remove_directory = faulty_remove_directory,
    .sync_directory = faulty_sync_directory,
    .list = faulty_list,
};

/* --- The block -------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error error;
    scratch_directory_make(&fixture->scratch);
    assert_int_equal(disk_uring_create(fixture->scratch.path, NULL, DISK_ENGINE_THREADS,
                                       &fixture->faulty.inner, &error),
                     ERROR_NONE);
    fixture->faulty.base.operations = &FAULTY;
    fixture->disk = &fixture->faulty.base;
    fixture->arena = arena_create(0);
    tsdb_disk_folder_init(&fixture->folder, fixture->disk, "disk");
    fixture->histogram = (struct histogram){.count.integer = 7,
                                            .sum = 9,
                                            .positive_spans = &SPAN,
                                            .positive_span_count = 1,
                                            .positive_buckets = BUCKETS,
                                            .positive_bucket_count = 2};
    for (size_t i = 0; i < SERIES; i++) {
        /* The last first, so that the index has to sort. */
        struct label labels[] = {
            {TEXT("__name__"), arena_format(fixture->arena, "metric_%zu", SERIES - i)},
            {TEXT("job"), TEXT("node")},
        };
        fixture->labels[i] = labels_build(fixture->arena, labels, 2);
    }
    for (size_t i = 0; i < SAMPLES; i++) {
        fixture->times[i] = 1000 * (int64_t)i;
        fixture->values[i] = (double)i;
        fixture->histograms[i] = &fixture->histogram;
    }
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    arena_destroy(fixture->arena);
    disk_uring_destroy(fixture->faulty.inner);
    scratch_directory_remove(&fixture->scratch);
    free(fixture);
    return 0;
}

static enum error_code write_block(struct fixture *fixture, struct tsdb_meta *meta_out,
                                   struct error *error)
{
    struct random_generator random;
    random_generator_init(&random, 5);
    struct tsdb_writer_options options = {
        .disk = fixture->disk, .random = &random.base, .now_ms = 1, .end_ms = WINDOW_MS};
    struct tsdb_writer *writer;
    enum error_code code = tsdb_writer_open(&options, &writer, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; code == ERROR_NONE && i < SERIES; i++) {
        struct sample_columns columns = {.count = SAMPLES,
                                         .timestamps_ms = fixture->times,
                                         .values = fixture->values,
                                         .histograms = i % 2 == 0 ? NULL : fixture->histograms};
        code = tsdb_writer_add(writer, fixture->labels[i], &columns, error);
    }
    if (code == ERROR_NONE)
        return tsdb_writer_finish(writer, meta_out, error);
    tsdb_writer_abandon(writer);
    return code;
}

static enum error_code read_block(struct fixture *fixture, const char *name, size_t *samples_out,
                                  struct error *error)
{
    struct tsdb_block *block;
    enum error_code code = tsdb_block_open(&fixture->folder.base, name, &block, error);
    *samples_out = 0;
    if (code != ERROR_NONE)
        return code;
    for (bool found = true; code == ERROR_NONE && found;) {
        struct labels labels;
        struct sample_columns columns = {.count = 1};
        code = tsdb_block_next(block, &labels, &found, error);
        while (code == ERROR_NONE && found && columns.count > 0) {
            code = tsdb_block_read(block, INT64_MIN, INT64_MAX, &columns, error);
            *samples_out += code == ERROR_NONE ? columns.count : 0;
        }
    }
    tsdb_block_close(block);
    return code;
}

static bool count_names(void *context, const char *name, bool is_folder)
{
    (void)name, (void)is_folder;
    (*(size_t *)context)++;
    return true;
}

static size_t names_on(struct fixture *fixture)
{
    size_t count = 0;
    struct error error;
    assert_int_equal(disk_list(fixture->disk, "", count_names, &count, &error), ERROR_NONE);
    return count;
}

/* The block, which has the same name each time, is there and sound. */
static void assert_whole(struct fixture *fixture)
{
    struct random_generator random;
    char name[TSDB_ULID_CHARACTERS + 1];
    struct error error;
    size_t samples;
    random_generator_init(&random, 5);
    tsdb_ulid_make(1, &random.base, name);
    assert_int_equal(read_block(fixture, name, &samples, &error), ERROR_NONE);
    assert_int_equal(samples, SERIES * SAMPLES);
}

/* Nothing is left of it, or, when only its name could not be made durable, all of it. */
static void a_writer_without_memory_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct tsdb_meta meta;
    struct error error;
    size_t failures = 0;
    for (;; failures++) {
        assert_int_equal(names_on(fixture), 0);
        allocation_faults_arm(failures + 1);
        enum error_code code = write_block(fixture, &meta, &error);
        if (!allocation_faults_disarm()) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
        assert_int_equal(code, ERROR_OUT_OF_MEMORY);
        if (names_on(fixture) > 0)
            break;
    }
    assert_whole(fixture);
    assert_in_range(failures, 15, 1000);
}

static void a_reader_without_memory_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct tsdb_meta meta;
    struct error error;
    size_t samples, failures = 0;
    assert_int_equal(write_block(fixture, &meta, &error), ERROR_NONE);
    for (size_t number = 1;; number++) {
        allocation_faults_arm(number);
        enum error_code code = read_block(fixture, meta.ulid, &samples, &error);
        if (!allocation_faults_disarm()) {
            assert_int_equal(code, ERROR_NONE);
            assert_int_equal(samples, SERIES * SAMPLES);
            break;
        }
        failures++;
        assert_int_equal(code, ERROR_OUT_OF_MEMORY);
    }
    assert_in_range(failures, 10, 1000);
}

static void a_writer_whose_disk_fails_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct tsdb_meta meta;
    struct error error;
    size_t failures = 0;
    for (;; failures++) {
        assert_int_equal(names_on(fixture), 0);
        fixture->faulty.operations = 0;
        fixture->faulty.fail_at = failures + 1;
        enum error_code code = write_block(fixture, &meta, &error);
        size_t reached = fixture->faulty.operations;
        fixture->faulty.fail_at = 0;
        if (reached < failures + 1) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
        assert_int_equal(code, ERROR_IO);
        if (names_on(fixture) == 1)
            break;
    }
    assert_whole(fixture);
    assert_in_range(failures, 15, 1000);
}

static void a_reader_whose_disk_fails_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct tsdb_meta meta;
    struct error error;
    size_t failures = 0, samples;
    assert_int_equal(write_block(fixture, &meta, &error), ERROR_NONE);
    for (;; failures++) {
        fixture->faulty.operations = 0;
        fixture->faulty.fail_at = failures + 1;
        enum error_code code = read_block(fixture, meta.ulid, &samples, &error);
        if (fixture->faulty.operations < failures + 1) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
        assert_int_equal(code, ERROR_IO);
    }
    assert_in_range(failures, 8, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_writer_without_memory_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_without_memory_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_writer_whose_disk_fails_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reader_whose_disk_fails_says_so, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
