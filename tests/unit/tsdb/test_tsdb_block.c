/* Blocks written and read back, whole and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "big_endian.h"
#include "index_reader.h"
#include "index_writer.h"
#include "platform/disk_uring.h"
#include "scratch_directory.h"
#include "tombstones.h"
#include "tsdb/tsdb_block.h"
#include "tsdb/tsdb_writer.h"
#include "wire/prometheus_chunk.h"

enum { WINDOW_MS = 7200000, SERIES = 40, SAMPLES = 500 };

struct fixture {
    struct scratch_directory scratch;
    struct disk *disk;
    struct tsdb_disk_folder folder;
    struct arena *arena;
    struct random_generator random;
    char name[TSDB_ULID_CHARACTERS + 1]; /* of the block */
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error error;
    assert_non_null(fixture);
    scratch_directory_make(&fixture->scratch);
    assert_int_equal(
        disk_uring_create(fixture->scratch.path, NULL, DISK_ENGINE_THREADS, &fixture->disk, &error),
        ERROR_NONE);
    tsdb_disk_folder_init(&fixture->folder, fixture->disk, fixture->scratch.path);
    fixture->arena = arena_create(0);
    random_generator_init(&fixture->random, 5);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    disk_uring_destroy(fixture->disk);
    scratch_directory_remove(&fixture->scratch);
    arena_destroy(fixture->arena);
    free(fixture);
    return 0;
}

/* --- A block ---------------------------------------------------------------------------------- */

static struct labels labels_of(struct arena *arena, size_t i)
{
    char instance[32];
    snprintf(instance, sizeof instance, "host-%zu", i % 7);
    struct text job = arena_format(arena, "job-%zu", i);
    struct label labels[] = {{TEXT("__name__"), i % 2 == 0 ? TEXT("up") : TEXT("down")},
                             {TEXT("instance"), arena_copy_text(arena, text_of(instance))},
                             {TEXT("job"), job}};
    return labels_build(arena, labels, i % 5 == 0 ? 2 : 3); /* some without a job */
}

/* Every fifth series has no job, and so few names that only the first of each is one. */
static bool is_series(size_t i)
{
    return i % 5 != 0 || i < 14;
}

static int64_t time_of(size_t sample)
{
    return WINDOW_MS + (int64_t)sample * 13000;
}

static double value_of(size_t series, size_t sample)
{
    return sample == 77 ? double_from_bits(STALE_MARKER_BITS)
                        : (double)series + (double)sample * 0.1;
}

static void fill(size_t series, int64_t times[SAMPLES], double values[SAMPLES])
{
    for (size_t i = 0; i < SAMPLES; i++) {
        times[i] = time_of(i);
        values[i] = value_of(series, i);
    }
}

static void write_block(struct fixture *fixture)
{
    struct tsdb_writer_options options = {.disk = fixture->disk,
                                          .random = &fixture->random.base,
                                          .now_ms = 1700000000000,
                                          .start_ms = WINDOW_MS,
                                          .end_ms = 2 * WINDOW_MS};
    struct tsdb_writer *writer;
    struct tsdb_meta meta;
    struct error error;
    int64_t times[SAMPLES];
    double values[SAMPLES];
    assert_int_equal(tsdb_writer_open(&options, &writer, &error), ERROR_NONE);
    size_t count = 0;
    for (size_t i = SERIES; i-- > 0;) {
        if (!is_series(i))
            continue;
        fill(i, times, values);
        struct sample_columns columns = {
            .count = SAMPLES, .timestamps_ms = times, .values = values};
        assert_int_equal(tsdb_writer_add(writer, labels_of(fixture->arena, i), &columns, &error),
                         ERROR_NONE);
        count++;
    }
    assert_int_equal(tsdb_writer_finish(writer, &meta, &error), ERROR_NONE);
    assert_int_equal(meta.series_count, count);
    assert_int_equal(meta.sample_count, count * SAMPLES);
    assert_int_equal(meta.chunk_count, count * 5);
    snprintf(fixture->name, sizeof fixture->name, "%s", meta.ulid);
}

/* Which series it is; SERIES: none. */
static size_t series_of(struct fixture *fixture, struct labels labels)
{
    for (size_t i = 0; i < SERIES; i++)
        if (is_series(i) && labels_equal(labels, labels_of(fixture->arena, i)))
            return i;
    return SERIES;
}

/* --- Round trip ------------------------------------------------------------------------------- */

static void a_block_is_read_as_it_was_written(void **state)
{
    struct fixture *fixture = *state;
    struct tsdb_block *block;
    struct error error;
    bool seen[SERIES] = {false}, found;
    struct labels labels, previous = {0};
    size_t count = 0;
    write_block(fixture);
    assert_int_equal(tsdb_block_open(&fixture->folder.base, fixture->name, &block, &error),
                     ERROR_NONE);
    assert_int_equal(tsdb_block_meta(block)->start_ms, WINDOW_MS);
    assert_int_equal(tsdb_block_meta(block)->end_ms, 2 * WINDOW_MS);
    for (;;) {
        assert_int_equal(tsdb_block_next(block, &labels, &found, &error), ERROR_NONE);
        if (!found)
            break;
        size_t series = series_of(fixture, labels);
        assert_in_range(series, 0, SERIES - 1);
        assert_false(seen[series]);
        seen[series] = true;
        if (count++ > 0)
            assert_true(labels_compare(previous, labels) < 0);
        previous = labels_copy(fixture->arena, labels);
        struct sample_columns columns;
        assert_int_equal(tsdb_block_read(block, INT64_MIN, INT64_MAX, &columns, &error),
                         ERROR_NONE);
        assert_int_equal(columns.count, SAMPLES);
        for (size_t i = 0; i < SAMPLES; i++) {
            assert_int_equal(columns.timestamps_ms[i], time_of(i));
            assert_int_equal(double_to_bits(columns.values[i]),
                             double_to_bits(value_of(series, i)));
        }
        assert_int_equal(tsdb_block_read(block, INT64_MIN, INT64_MAX, &columns, &error),
                         ERROR_NONE);
        assert_int_equal(columns.count, 0);
    }
    assert_int_equal(count, tsdb_block_meta(block)->series_count);
    tsdb_block_close(block);
}

static void only_the_time_that_is_asked_for_is_read(void **state)
{
    struct fixture *fixture = *state;
    struct tsdb_block *block;
    struct error error;
    bool found;
    struct labels labels;
    struct sample_columns columns;
    write_block(fixture);
    assert_int_equal(tsdb_block_open(&fixture->folder.base, fixture->name, &block, &error),
                     ERROR_NONE);
    assert_int_equal(tsdb_block_next(block, &labels, &found, &error), ERROR_NONE);
    assert_int_equal(tsdb_block_read(block, time_of(130), time_of(200), &columns, &error),
                     ERROR_NONE);
    assert_int_equal(columns.count, 71);
    assert_int_equal(columns.timestamps_ms[0], time_of(130));
    assert_in_range(tsdb_block_read_bytes(block), 1, 1500); /* one chunk of five */
    tsdb_block_close(block);
}

static void a_block_without_series_is_not_made(void **state)
{
    struct fixture *fixture = *state;
    struct tsdb_writer_options options = {
        .disk = fixture->disk, .random = &fixture->random.base, .end_ms = WINDOW_MS};
    struct tsdb_writer *writer;
    struct tsdb_meta meta;
    struct error error;
    assert_int_equal(tsdb_writer_open(&options, &writer, &error), ERROR_NONE);
    assert_int_equal(tsdb_writer_finish(writer, &meta, &error), ERROR_NONE);
    assert_int_equal(meta.series_count, 0);
    assert_int_equal(
        tsdb_block_load_meta(&fixture->folder.base, meta.ulid, fixture->arena, &meta, &error),
        ERROR_NOT_FOUND);
}

static bool count_names(void *context, const char *name, bool is_folder)
{
    (void)name, (void)is_folder;
    (*(size_t *)context)++;
    return true;
}

static void what_is_given_up_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct tsdb_writer_options options = {.disk = fixture->disk,
                                          .random = &fixture->random.base,
                                          .start_ms = WINDOW_MS,
                                          .end_ms = 2 * WINDOW_MS};
    struct tsdb_writer *writer;
    struct error error;
    int64_t times[SAMPLES];
    double values[SAMPLES];
    size_t names = 0;
    fill(1, times, values);
    struct sample_columns columns = {.count = SAMPLES, .timestamps_ms = times, .values = values};
    assert_int_equal(tsdb_writer_open(&options, &writer, &error), ERROR_NONE);
    assert_int_equal(tsdb_writer_add(writer, labels_of(fixture->arena, 1), &columns, &error),
                     ERROR_NONE);
    tsdb_folder_list(&fixture->folder.base, "", count_names, &names, &error);
    assert_int_equal(names, 1);
    tsdb_writer_abandon(writer);
    names = 0;
    tsdb_folder_list(&fixture->folder.base, "", count_names, &names, &error);
    assert_int_equal(names, 0);
}

static void a_series_twice_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct tsdb_writer_options options = {.disk = fixture->disk,
                                          .random = &fixture->random.base,
                                          .start_ms = WINDOW_MS,
                                          .end_ms = 2 * WINDOW_MS};
    struct tsdb_writer *writer;
    struct tsdb_meta meta;
    struct error error;
    int64_t times[SAMPLES];
    double values[SAMPLES];
    fill(1, times, values);
    struct sample_columns columns = {.count = SAMPLES, .timestamps_ms = times, .values = values};
    assert_int_equal(tsdb_writer_open(&options, &writer, &error), ERROR_NONE);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            tsdb_writer_add(writer, labels_of(fixture->arena, 1 + i % 2), &columns, &error),
            ERROR_NONE);
    assert_int_equal(tsdb_writer_finish(writer, &meta, &error), ERROR_INVALID);
}

/* --- Files made by hand ----------------------------------------------------------------------- */

static void put_file(struct fixture *fixture, const char *name, const void *bytes, size_t size)
{
    char path[SCRATCH_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", fixture->scratch.path, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static void put_meta(struct fixture *fixture, const char *more)
{
    char json[512];
    int size = snprintf(json, sizeof json,
                        "{\"version\":1,\"ulid\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"minTime\":0,"
                        "\"maxTime\":7200000%s}",
                        more);
    put_file(fixture, "meta.json", json, (size_t)size);
}

/* Chunks of one series, each with samples at `starts[i] + k * 10` for k < counts[i], of values that
 * begin with `values[i]`. */
struct plan {
    int64_t start;
    size_t count;
    double value;
};

static void put_series(struct fixture *fixture, const struct plan *plans, size_t plan_count)
{
    struct byte_buffer file = {0}, windows = {0}, chunk = {0};
    struct index_chunk places[8];
    struct index_writer *index = index_writer_create();
    struct error error;
    struct label label = {TEXT("__name__"), TEXT("up")};
    assert_int_equal(disk_make_directory(fixture->disk, "chunks", &error), ERROR_NONE);
    byte_buffer_big_u32(&file, 0x85BD40DD);
    byte_buffer_u32(&file, 1);
    for (size_t p = 0; p < plan_count; p++) {
        int64_t times[120];
        double values[120];
        for (size_t i = 0; i < plans[p].count; i++) {
            times[i] = plans[p].start + 10 * (int64_t)i;
            values[i] = plans[p].value + (double)i;
        }
        struct sample_columns columns = {
            .count = plans[p].count, .timestamps_ms = times, .values = values};
        places[p] = (struct index_chunk){times[0], times[plans[p].count - 1], file.size};
        byte_buffer_reset(&chunk);
        byte_buffer_u8(&chunk, ENCODING_XOR);
        chunk_append(&columns, 0, plans[p].count, &windows, &chunk);
        byte_buffer_varint(&file, chunk.size - 1);
        byte_buffer_append(&file, chunk.bytes, chunk.size);
        byte_buffer_big_u32(&file, crc32c(0, chunk.bytes, chunk.size));
    }
    put_file(fixture, "chunks/000001", file.bytes, file.size);
    assert_int_equal(index_writer_add(index, labels_build(fixture->arena, &label, 1), places,
                                      plan_count, &error),
                     ERROR_NONE);
    assert_int_equal(index_writer_finish(index, fixture->disk, "index", &error), ERROR_NONE);
    index_writer_destroy(index);
    byte_buffer_clear(&file);
    byte_buffer_clear(&windows);
    byte_buffer_clear(&chunk);
}

/* --- Version 1 ---------------------------------------------------------------------------------
 */

static void put_checked(struct byte_buffer *file, const struct byte_buffer *content)
{
    byte_buffer_append(file, content->bytes, content->size);
    byte_buffer_big_u32(file, crc32c(0, content->bytes, content->size));
}

/* Symbols are named by their place in the file; series are not aligned, and are named by theirs. */
static void an_index_of_version_1_is_read(void **state)
{
    static const char *const SYMBOLS[] = {"", "__name__", "down", "up"};
    struct fixture *fixture = *state;
    struct byte_buffer file = {0}, content = {0};
    struct index_reader *reader;
    struct index_series series;
    struct error error;
    uint32_t places[4];
    uint64_t series_places[2];
    char text[64];
    bool found;
    byte_buffer_big_u32(&file, 0xBAAAD700);
    byte_buffer_u8(&file, 1);
    byte_buffer_big_u32(&content, 4);
    for (size_t i = 0; i < 4; i++) {
        places[i] = (uint32_t)(file.size + 4 + content.size);
        byte_buffer_text(&content, text_of(SYMBOLS[i]));
    }
    byte_buffer_big_u32(&file, (uint32_t)content.size);
    put_checked(&file, &content);
    for (size_t i = 0; i < 2; i++) {
        byte_buffer_reset(&content);
        byte_buffer_varint(&content, 1);
        byte_buffer_varint(&content, places[1]);
        byte_buffer_varint(&content, places[2 + i]);
        byte_buffer_varint(&content, 2);
        byte_buffer_zigzag(&content, -100);
        byte_buffer_varint(&content, 50);
        byte_buffer_varint(&content, 8);
        byte_buffer_varint(&content, 5);
        byte_buffer_varint(&content, 60);
        byte_buffer_zigzag(&content, 1000);
        series_places[i] = file.size;
        byte_buffer_varint(&file, content.size);
        put_checked(&file, &content);
    }
    uint64_t end = file.size;
    byte_buffer_reset(&content);
    const uint64_t sections[] = {5, series_places[0], end, end, end, 0};
    for (size_t i = 0; i < 6; i++)
        byte_buffer_big_u64(&content, sections[i]);
    put_checked(&file, &content);
    put_file(fixture, "index", file.bytes, file.size);
    assert_int_equal(index_reader_open(&fixture->folder.base, "index", &reader, &error),
                     ERROR_NONE);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(index_reader_next(reader, fixture->arena, &series, &found, &error),
                         ERROR_NONE);
        assert_true(found);
        assert_string_equal(labels_format(text, sizeof text, series.labels), SYMBOLS[2 + i]);
        assert_int_equal(series.reference, series_places[i]);
        assert_int_equal(series.chunk_count, 2);
        assert_int_equal(series.chunks[0].start_ms, -100);
        assert_int_equal(series.chunks[0].end_ms, -50);
        assert_int_equal(series.chunks[1].start_ms, -45);
        assert_int_equal(series.chunks[1].end_ms, 15);
        assert_int_equal(series.chunks[1].reference, 1008);
    }
    assert_int_equal(index_reader_next(reader, fixture->arena, &series, &found, &error),
                     ERROR_NONE);
    assert_false(found);
    index_reader_close(reader);
    byte_buffer_clear(&file);
    byte_buffer_clear(&content);
}

/* --- Series ------------------------------------------------------------------------------------
 */

static struct tsdb_block *open_only_series(struct fixture *fixture, struct labels *labels_out)
{
    struct tsdb_block *block;
    struct error error;
    bool found;
    assert_int_equal(tsdb_block_open(&fixture->folder.base, "", &block, &error), ERROR_NONE);
    assert_int_equal(tsdb_block_next(block, labels_out, &found, &error), ERROR_NONE);
    assert_true(found);
    return block;
}

static void overlapping_chunks_become_one_sequence(void **state)
{
    static const struct plan PLANS[] = {
        {1000, 10, 100}, {1045, 3, 200}, {1050, 2, 300}, {900, 4, 400}};
    struct fixture *fixture = *state;
    struct labels labels;
    struct sample_columns columns;
    struct error error;
    put_meta(fixture, "");
    put_series(fixture, PLANS, 4);
    struct tsdb_block *block = open_only_series(fixture, &labels);
    assert_int_equal(tsdb_block_read(block, INT64_MIN, INT64_MAX, &columns, &error), ERROR_NONE);
    assert_int_equal(columns.count, 4 + 10 + 3);
    for (size_t i = 1; i < columns.count; i++)
        assert_true(columns.timestamps_ms[i - 1] < columns.timestamps_ms[i]);
    for (size_t i = 0; i < columns.count; i++) {
        if (columns.timestamps_ms[i] == 1050)
            assert_true(columns.values[i] == 300); /* over 105 */
        if (columns.timestamps_ms[i] == 1045)
            assert_true(columns.values[i] == 200);
    }
    tsdb_block_close(block);
}

static void put_stone(struct byte_buffer *buffer, uint64_t series, int64_t start, int64_t end)
{
    byte_buffer_varint(buffer, series);
    byte_buffer_zigzag(buffer, start);
    byte_buffer_zigzag(buffer, end);
}

static void deleted_samples_are_left_out(void **state)
{
    static const struct plan PLANS[] = {{1000, 100, 0}};
    struct fixture *fixture = *state;
    struct byte_buffer file = {0};
    struct labels labels;
    struct sample_columns columns;
    struct error error;
    put_meta(fixture, "");
    put_series(fixture, PLANS, 1);
    byte_buffer_big_u32(&file, TOMBSTONES_MAGIC);
    byte_buffer_u8(&file, TOMBSTONES_VERSION);
    put_stone(&file, 7, 0, 100000);  /* of another series */
    put_stone(&file, 2, 1500, 1600); /* 32 / 16: the first series of so small an index */
    put_stone(&file, 2, 0, 1090);
    byte_buffer_big_u32(&file, crc32c(0, file.bytes + 5, file.size - 5));
    put_file(fixture, "tombstones", file.bytes, file.size);
    struct tsdb_block *block = open_only_series(fixture, &labels);
    assert_int_equal(tsdb_block_read(block, INT64_MIN, INT64_MAX, &columns, &error), ERROR_NONE);
    assert_int_equal(columns.count, 100 - 11 - 10);
    assert_int_equal(columns.timestamps_ms[0], 1100);
    for (size_t i = 0; i < columns.count; i++)
        assert_true(columns.timestamps_ms[i] < 1500 || columns.timestamps_ms[i] > 1600);
    tsdb_block_close(block);
    byte_buffer_clear(&file);
}

static void external_labels_are_given_to_the_series(void **state)
{
    static const struct plan PLANS[] = {{1000, 1, 0}};
    struct fixture *fixture = *state;
    struct labels labels;
    put_meta(fixture, ",\"thanos\":{\"labels\":{\"region\":\"eu\",\"__org_id__\":\"a\"},"
                      "\"downsample\":{\"resolution\":0}}");
    put_series(fixture, PLANS, 1);
    struct tsdb_block *block = open_only_series(fixture, &labels);
    char text[128];
    assert_string_equal(labels_format(text, sizeof text, labels), "up{region=\"eu\"}");
    tsdb_block_close(block);
}

static void a_downsampled_block_is_refused(void **state)
{
    static const struct plan PLANS[] = {{1000, 1, 0}};
    struct fixture *fixture = *state;
    struct tsdb_block *block;
    struct error error;
    put_meta(fixture, ",\"thanos\":{\"downsample\":{\"resolution\":300000}}");
    put_series(fixture, PLANS, 1);
    assert_int_equal(tsdb_block_open(&fixture->folder.base, "", &block, &error), ERROR_UNSUPPORTED);
}

/* --- Damage ----------------------------------------------------------------------------------- */

/* Everything read; the samples that there were. */
static enum error_code read_all(struct fixture *fixture, size_t *count_out, struct error *error)
{
    struct tsdb_block *block;
    enum error_code code = tsdb_block_open(&fixture->folder.base, "", &block, error);
    *count_out = 0;
    if (code != ERROR_NONE)
        return code;
    for (bool found = true; code == ERROR_NONE && found;) {
        struct labels labels;
        struct sample_columns columns = {.count = 1};
        code = tsdb_block_next(block, &labels, &found, error);
        while (code == ERROR_NONE && found && columns.count > 0) {
            code = tsdb_block_read(block, INT64_MIN, INT64_MAX, &columns, error);
            *count_out += code == ERROR_NONE ? columns.count : 0;
        }
    }
    tsdb_block_close(block);
    return code;
}

static void flip(struct fixture *fixture, const char *name, long at)
{
    char path[SCRATCH_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", fixture->scratch.path, name);
    FILE *file = fopen(path, "r+e");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    fputc(byte ^ 0x41, file);
    fclose(file);
}

static long size_of(struct fixture *fixture, const char *name)
{
    char path[SCRATCH_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", fixture->scratch.path, name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long size = ftell(file);
    fclose(file);
    return size;
}

/* Wherever a byte is another one, it is told, with the name of the file; or it is one that nobody
 * reads: padding, postings. Never other samples. */
static void no_damage_is_taken_for_samples(void **state)
{
    static const struct plan PLANS[] = {{1000, 100, 0}, {5000, 50, 7}};
    static const char *const FILES[] = {"index", "chunks/000001"};
    struct fixture *fixture = *state;
    struct error error;
    size_t count, told = 0;
    put_meta(fixture, "");
    put_series(fixture, PLANS, 2);
    assert_int_equal(read_all(fixture, &count, &error), ERROR_NONE);
    assert_int_equal(count, 150);
    for (size_t f = 0; f < 2; f++) {
        long size = size_of(fixture, FILES[f]);
        for (long at = 0; at < size; at++) {
            flip(fixture, FILES[f], at);
            enum error_code code = read_all(fixture, &count, &error);
            if (code == ERROR_NONE)
                assert_int_equal(count, 150);
            else
                assert_non_null(strstr(error.message, FILES[f]));
            told += code != ERROR_NONE;
            flip(fixture, FILES[f], at);
        }
        /* All but the three bytes of padding behind its head. */
        if (f == 1)
            assert_in_range(told, (unsigned long)size - 3, 10000000);
    }
}

/* Zeroes are padding between series; a series that turned into them is missed all the same. */
static void a_hole_in_the_series_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct index_reader *reader;
    struct index_series series;
    struct error error;
    char path[64];
    uint64_t places[2];
    bool found;
    write_block(fixture);
    snprintf(path, sizeof path, "%s/index", fixture->name);
    assert_int_equal(index_reader_open(&fixture->folder.base, path, &reader, &error), ERROR_NONE);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(index_reader_next(reader, fixture->arena, &series, &found, &error),
                         ERROR_NONE);
        places[i] = series.reference * 16;
    }
    index_reader_close(reader);
    char whole[SCRATCH_PATH_MAX + 128];
    snprintf(whole, sizeof whole, "%s/%s", fixture->scratch.path, path);
    FILE *file = fopen(whole, "r+e");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)places[0], SEEK_SET), 0);
    for (uint64_t at = places[0]; at < places[1]; at++)
        fputc(0, file);
    fclose(file);
    assert_int_equal(index_reader_open(&fixture->folder.base, path, &reader, &error), ERROR_NONE);
    enum error_code code;
    do
        code = index_reader_next(reader, fixture->arena, &series, &found, &error);
    while (code == ERROR_NONE && found);
    assert_int_equal(code, ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "are there"));
    index_reader_close(reader);
}

static void a_file_that_is_cut_is_told(void **state)
{
    static const struct plan PLANS[] = {{1000, 100, 0}};
    static const char *const FILES[] = {"index", "chunks/000001"};
    struct fixture *fixture = *state;
    char path[SCRATCH_PATH_MAX + 64];
    struct error error;
    size_t count;
    put_meta(fixture, "");
    put_series(fixture, PLANS, 1);
    for (size_t f = 2; f-- > 0;) {
        snprintf(path, sizeof path, "%s/%s", fixture->scratch.path, FILES[f]);
        for (long size = size_of(fixture, FILES[f]); size-- > 0;) {
            FILE *file = fopen(path, "r+e");
            assert_non_null(file);
            assert_int_equal(ftruncate(fileno(file), size), 0);
            fclose(file);
            assert_int_equal(read_all(fixture, &count, &error), ERROR_CORRUPT);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_block_is_read_as_it_was_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_the_time_that_is_asked_for_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_block_without_series_is_not_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_given_up_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_series_twice_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_index_of_version_1_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(overlapping_chunks_become_one_sequence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deleted_samples_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(external_labels_are_given_to_the_series, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_downsampled_block_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_damage_is_taken_for_samples, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hole_in_the_series_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_cut_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
