/*
 * Files written by the first version of each format, which every later version must read.
 *
 * `unit_block_stored_files write` makes them anew, for a new version of a format: under a new name,
 * beside the old ones.
 */
#include "naive_series.h"

#include "block/block_inspect.h"
#include "block/block_reader.h"
#include "block/part_reader.h"
#include "block/part_writer.h"
#include "block/series_segment_reader.h"
#include "simulated_environment.h"

enum { TARGETS = 3, SERIES_PER_TARGET = 6, SERIES = TARGETS * SERIES_PER_TARGET, SAMPLES = 30 };

static const int64_t WINDOW_START_MS = 1700000000000 / 7200000 * 7200000;

struct fixture {
    struct simulated_environment *environment;
    struct disk *disk;
    struct arena *arena;
    struct error error;
    struct naive_series *series; /* [SERIES] */
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct naive_random random = {2026};
    fixture->environment = simulated_environment_create(1);
    fixture->disk = fixture->environment->base.disk;
    fixture->arena = arena_create(0);
    fixture->series = naive_part(fixture->arena, &random, TARGETS, SERIES_PER_TARGET, SAMPLES);
    for (size_t i = 0; i < SERIES; i++) {
        struct label labels[3] = {
            {TEXT("__name__"), arena_format(fixture->arena, "metric_%02zu", i)},
            {TEXT("instance"), arena_format(fixture->arena, "host-%zu", i / SERIES_PER_TARGET)},
            {TEXT("job"), TEXT("node")},
        };
        fixture->series[i].labels = labels_build(fixture->arena, labels, 3);
    }
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    arena_destroy(fixture->arena);
    simulated_environment_destroy(fixture->environment);
    free(fixture);
    return 0;
}

static void write_part(struct fixture *fixture, const char *path, struct file_summary *summary_out)
{
    struct part_writer *writer;
    struct error *error = &fixture->error;
    struct metric_metadata metadata = {METRIC_COUNTER, TEXT("some help"), TEXT("bytes")};
    assert_int_equal(part_writer_create(fixture->disk, path, &writer, error), ERROR_NONE);
    for (size_t i = 0; i < SERIES; i++) {
        const struct naive_series *one = &fixture->series[i];
        struct part_series series = {one->id, one->target, one->tenant, one->slot};
        assert_int_equal(part_writer_add(writer, &series, &one->columns, one->exemplars,
                                         one->exemplar_count, error),
                         ERROR_NONE);
    }
    assert_int_equal(
        part_writer_add_metadata(writer, TEXT("first"), TEXT("metric"), &metadata, error),
        ERROR_NONE);
    assert_int_equal(part_writer_finish(writer, summary_out, error), ERROR_NONE);
    part_writer_destroy(writer);
}

static void write_segment(struct fixture *fixture, const char *path,
                          struct file_summary *summary_out)
{
    struct series_segment_writer *writer;
    struct error *error = &fixture->error;
    assert_int_equal(series_segment_writer_create(fixture->disk, path, &writer, error), ERROR_NONE);
    for (size_t i = 0; i < SERIES; i++) {
        const struct naive_series *one = &fixture->series[i];
        struct segment_series series = {one->id, one->target, one->tenant, one->slot, one->labels};
        assert_int_equal(series_segment_writer_add(writer, &series, error), ERROR_NONE);
    }
    assert_int_equal(series_segment_writer_finish(writer, summary_out, error), ERROR_NONE);
    series_segment_writer_destroy(writer);
}

static int order(const void *left, const void *right)
{
    const struct naive_series *a = left;
    const struct naive_series *b = right;
    struct block_series first = {a->tenant, a->slot, a->labels};
    struct block_series second = {b->tenant, b->slot, b->labels};
    return block_series_compare(&first, &second);
}

static void write_block(struct fixture *fixture, const char *path, struct file_summary *summary_out)
{
    struct block_properties properties = {
        .start_ms = WINDOW_START_MS, .end_ms = WINDOW_START_MS + 7200000, .shard = 1};
    struct block_writer *writer;
    struct error *error = &fixture->error;
    struct metric_metadata metadata = {METRIC_GAUGE, TEXT("some help"), TEXT("seconds")};
    qsort(fixture->series, SERIES, sizeof *fixture->series, order);
    assert_int_equal(block_writer_create(fixture->disk, path, &properties, &writer, error),
                     ERROR_NONE);
    for (size_t i = 0; i < SERIES; i++) {
        const struct naive_series *one = &fixture->series[i];
        struct block_series series = {one->tenant, one->slot, one->labels};
        assert_int_equal(block_writer_add(writer, &series, &one->columns, one->exemplars,
                                          one->exemplar_count, error),
                         ERROR_NONE);
    }
    assert_int_equal(
        block_writer_add_metadata(writer, TEXT("first"), TEXT("metric"), &metadata, error),
        ERROR_NONE);
    assert_int_equal(block_writer_finish(writer, summary_out, error), ERROR_NONE);
    block_writer_destroy(writer);
}

typedef void write_file(struct fixture *fixture, const char *path,
                        struct file_summary *summary_out);

static const struct {
    const char *stored;
    write_file *write;
} FILES[] = {
    {"samples/part_1.bin", write_part},
    {"samples/series_segment_1.bin", write_segment},
    {"samples/block_1.bin", write_block},
};

enum { FILE_COUNT = sizeof FILES / sizeof *FILES };

/* Copy a file of the machine to the simulated disk. */
static void load(struct fixture *fixture, const char *path)
{
    uint8_t bytes[64 * 1024];
    FILE *input = fopen(path, "rb");
    assert_non_null(input);
    size_t size = fread(bytes, 1, sizeof bytes, input);
    assert_in_range(size, 100, sizeof bytes - 1);
    fclose(input);
    struct file *file;
    assert_int_equal(disk_open(fixture->disk, "stored", DISK_OPEN_REPLACE, &file, &fixture->error),
                     ERROR_NONE);
    assert_int_equal(disk_write_at(fixture->disk, file, 0, bytes, size, &fixture->error),
                     ERROR_NONE);
    disk_close(fixture->disk, file);
}

/* Decodes all of it: what is inside has the content checksum of what is written now. */
static void stored_files_hold_what_was_written(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < FILE_COUNT; i++) {
        struct file_summary written;
        struct file_summary stored;
        struct page_source *source;
        FILES[i].write(fixture, "written", &written);
        load(fixture, FILES[i].stored);
        assert_int_equal(page_source_open_file(fixture->disk, "stored", &source, &fixture->error),
                         ERROR_NONE);
        assert_int_equal(block_verify(source, &stored, &fixture->error), ERROR_NONE);
        assert_int_equal(stored.kind, written.kind);
        assert_int_equal(stored.series_count, SERIES);
        assert_true(hash128_equal(stored.content_checksum, written.content_checksum));
    }
}

/* Kept apart from the round trips: these numbers may never change for version 1. */
static void content_checksums_are_what_they_were(void **state)
{
    struct fixture *fixture = *state;
    static const uint64_t CHECKSUMS[] = {UINT64_C(0x2d706f945be3bcdd), UINT64_C(0x1a3703ae00fa0da8),
                                         UINT64_C(0x7c387cf283d19048)};
    for (size_t i = 0; i < FILE_COUNT; i++) {
        struct file_summary written;
        FILES[i].write(fixture, "written", &written);
        assert_int_equal(written.content_checksum.low, CHECKSUMS[i]);
    }
}

static int store_all(void)
{
    void *state = NULL;
    set_up(&state);
    struct fixture *fixture = state;
    for (size_t i = 0; i < FILE_COUNT; i++) {
        struct file_summary summary;
        uint8_t bytes[64 * 1024];
        struct file *file;
        FILES[i].write(fixture, "written", &summary);
        FILE *output = fopen(FILES[i].stored, "wb");
        if (output == NULL || summary.size_bytes > sizeof bytes ||
            disk_open(fixture->disk, "written", DISK_OPEN_READ, &file, &fixture->error) != 0 ||
            disk_read_at(fixture->disk, file, 0, bytes, summary.size_bytes, &fixture->error) != 0)
            return 1;
        fwrite(bytes, 1, summary.size_bytes, output);
        fclose(output);
        disk_close(fixture->disk, file);
        printf("%s: %zu bytes, content checksum 0x%016llx\n", FILES[i].stored,
               (size_t)summary.size_bytes, (unsigned long long)summary.content_checksum.low);
    }
    return tear_down(&state);
}

int main(int argument_count, char **arguments)
{
    if (argument_count == 2 && strcmp(arguments[1], "write") == 0)
        return store_all();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stored_files_hold_what_was_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(content_checksums_are_what_they_were, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
