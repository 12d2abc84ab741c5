#include "naive_series.h"

#include "block/part_reader.h"
#include "block/part_writer.h"
#include "codec/codec_path.h"
#include "simulated_environment.h"

enum { TARGETS = 12, SERIES_PER_TARGET = 40, SERIES = TARGETS * SERIES_PER_TARGET };

struct fixture {
    struct simulated_environment *environment;
    struct disk *disk;
    struct arena *arena;
    struct page_cache *cache;
    struct naive_random random;
    struct error error;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->environment = simulated_environment_create(1);
    fixture->disk = fixture->environment->base.disk;
    fixture->arena = arena_create(0);
    fixture->random.state = 42;
    assert_int_equal(page_cache_create(1 << 20, &fixture->cache, &fixture->error), ERROR_NONE);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    page_cache_destroy(fixture->cache);
    arena_destroy(fixture->arena);
    simulated_environment_destroy(fixture->environment);
    free(fixture);
    return 0;
}

static enum error_code add_all(struct part_writer *writer, const struct naive_series *series,
                               size_t count, struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct part_series entry = {.id = series[i].id,
                                    .target = series[i].target,
                                    .tenant = series[i].tenant,
                                    .slot = series[i].slot};
        enum error_code code =
            part_writer_add(writer, &entry, &series[i].columns, series[i].exemplars,
                            series[i].exemplar_count, error);
        if (code != ERROR_NONE)
            return code;
    }
    struct metric_metadata metadata = {METRIC_COUNTER, TEXT("help"), TEXT("bytes")};
    return part_writer_add_metadata(writer, TEXT("second"), TEXT("metric"), &metadata, error);
}

static enum error_code write_part(struct fixture *fixture, const char *path,
                                  const struct naive_series *series, size_t count,
                                  struct file_summary *summary_out)
{
    struct part_writer *writer;
    enum error_code code = part_writer_create(fixture->disk, path, &writer, &fixture->error);
    if (code != ERROR_NONE)
        return code;
    code = add_all(writer, series, count, &fixture->error);
    if (code == ERROR_NONE)
        code = part_writer_finish(writer, summary_out, &fixture->error);
    part_writer_destroy(writer);
    return code;
}

static enum error_code open_part(struct fixture *fixture, const char *path, struct part **part_out)
{
    struct page_source *source;
    enum error_code code = page_source_open_file(fixture->disk, path, &source, &fixture->error);
    if (code != ERROR_NONE)
        return code;
    return part_open(fixture->cache, source, part_out, &fixture->error);
}

static struct part_reader *open_reader(struct fixture *fixture, const char *path)
{
    struct part *part;
    struct part_reader *reader;
    assert_int_equal(open_part(fixture, path, &part), ERROR_NONE);
    assert_int_equal(part_reader_create(part, &reader, &fixture->error), ERROR_NONE);
    part_unref(part);
    return reader;
}

static void what_is_written_is_read_in_any_range(void **state)
{
    struct fixture *fixture = *state;
    struct naive_series *series =
        naive_part(fixture->arena, &fixture->random, TARGETS, SERIES_PER_TARGET, 700);
    struct file_summary summary;
    assert_int_equal(write_part(fixture, "part", series, SERIES, &summary), ERROR_NONE);
    assert_int_equal(summary.series_count, SERIES);

    struct part_reader *reader = open_reader(fixture, "part");
    struct error *error = &fixture->error;
    for (size_t round = 0; round < 3000; round++) {
        /* In order first, then anywhere. */
        size_t at = round < SERIES ? round : naive_next(&fixture->random, SERIES);
        const struct sample_columns *columns = &series[at].columns;
        int64_t middle = columns->timestamps_ms[naive_next(&fixture->random, columns->count)];
        int64_t width = (int64_t)naive_next(&fixture->random, 20000000);
        int64_t start_ms = round % 5 == 0 ? INT64_MIN : middle - width / 2;
        int64_t end_ms = round % 5 == 0 ? INT64_MAX : middle + width / 2;
        struct sample_columns read;
        assert_int_equal(part_reader_read(reader, series[at].id, start_ms, end_ms, &read, error),
                         ERROR_NONE);
        assert_range(columns, start_ms, end_ms, &read);

        assert_int_equal(
            part_reader_read_latest(reader, series[at].id, start_ms, end_ms, &read, error),
            ERROR_NONE);
        assert_int_equal(read.count, 1);
        int64_t latest = read.timestamps_ms[0];
        assert_range(columns, latest, latest, &read);
        for (size_t i = 0; i < columns->count; i++)
            assert_true(columns->timestamps_ms[i] <= latest || columns->timestamps_ms[i] > end_ms);
    }
    part_reader_destroy(reader);
}

static void chunks_of_a_range_are_whole_and_hold_its_samples(void **state)
{
    struct fixture *fixture = *state;
    struct error *error = &fixture->error;
    struct naive_series *series =
        naive_part(fixture->arena, &fixture->random, TARGETS, SERIES_PER_TARGET, 700);
    struct file_summary summary;
    struct series_decoder *decoder;
    assert_int_equal(write_part(fixture, "part", series, SERIES, &summary), ERROR_NONE);
    assert_int_equal(series_decoder_create(&decoder, error), ERROR_NONE);
    struct part_reader *reader = open_reader(fixture, "part");
    size_t left_out = 0;
    for (size_t at = 0; at < SERIES; at++) {
        const struct sample_columns *columns = &series[at].columns;
        int64_t start_ms = columns->timestamps_ms[naive_next(&fixture->random, columns->count)];
        int64_t end_ms = start_ms + (int64_t)naive_next(&fixture->random, 2000000);
        struct encoded_series encoded;
        struct sample_columns read;
        assert_int_equal(
            part_reader_read_encoded(reader, series[at].id, start_ms, end_ms, &encoded, error),
            ERROR_NONE);
        size_t of_chunks = 0;
        for (size_t i = 0; i < encoded.chunk_count; i++)
            of_chunks += encoded.chunks[i].sample_count;
        assert_int_equal(of_chunks, encoded.sample_count);
        left_out += columns->count - encoded.sample_count;
        assert_int_equal(series_decoder_read(decoder, &encoded, start_ms, end_ms, &read, error),
                         ERROR_NONE);
        assert_range(columns, start_ms, end_ms, &read);
    }
    assert_true(left_out > 0);
    struct encoded_series absent;
    assert_int_equal(
        part_reader_read_encoded(reader, UINT64_MAX, INT64_MIN, INT64_MAX, &absent, error),
        ERROR_NONE);
    assert_int_equal(absent.sample_count + absent.chunk_count, 0);
    part_reader_destroy(reader);
    series_decoder_destroy(decoder);
}

static void chunks_that_do_not_fit_their_times_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error *error = &fixture->error;
    struct naive_series *series = naive_part(fixture->arena, &fixture->random, 1, 1, 50);
    struct file_summary summary;
    struct series_decoder *decoder;
    struct encoded_series encoded;
    struct sample_columns read;
    assert_int_equal(write_part(fixture, "part", series, 1, &summary), ERROR_NONE);
    assert_int_equal(series_decoder_create(&decoder, error), ERROR_NONE);
    struct part_reader *reader = open_reader(fixture, "part");
    assert_int_equal(
        part_reader_read_encoded(reader, series[0].id, INT64_MIN, INT64_MAX, &encoded, error),
        ERROR_NONE);
    encoded.sample_count--;
    assert_int_equal(series_decoder_read(decoder, &encoded, INT64_MIN, INT64_MAX, &read, error),
                     ERROR_INVALID);
    encoded.sample_count++;
    encoded.chunk_count--;
    assert_int_equal(series_decoder_read(decoder, &encoded, INT64_MIN, INT64_MAX, &read, error),
                     ERROR_INVALID);
    part_reader_destroy(reader);
    series_decoder_destroy(decoder);
}

static void exemplars_come_back_and_leave_the_samples_alone(void **state)
{
    struct fixture *fixture = *state;
    struct naive_series *series =
        naive_part(fixture->arena, &fixture->random, TARGETS, SERIES_PER_TARGET, 20);
    struct file_summary summary;
    assert_int_equal(write_part(fixture, "part", series, SERIES, &summary), ERROR_NONE);
    struct part_reader *reader = open_reader(fixture, "part");
    for (size_t i = 0; i < SERIES; i++) {
        const struct exemplar *exemplars;
        size_t count;
        struct sample_columns read;
        assert_int_equal(
            part_reader_read(reader, series[i].id, INT64_MIN, INT64_MAX, &read, &fixture->error),
            ERROR_NONE);
        assert_int_equal(part_reader_read_exemplars(reader, series[i].id, INT64_MIN, INT64_MAX,
                                                    &exemplars, &count, &fixture->error),
                         ERROR_NONE);
        assert_exemplars(&series[i], exemplars, count);
        assert_range(&series[i].columns, INT64_MIN, INT64_MAX, &read);
    }
    part_reader_destroy(reader);
}

static bool check_metadata(void *context, struct text tenant, struct text metric_name,
                           const struct metric_metadata *metadata)
{
    assert_true(text_equal(tenant, TEXT("second")));
    assert_true(text_equal(metric_name, TEXT("metric")));
    assert_true(text_equal(metadata->help, TEXT("help")));
    assert_true(text_equal(metadata->unit, TEXT("bytes")));
    assert_int_equal(metadata->type, METRIC_COUNTER);
    ++*(size_t *)context;
    return true;
}

static void metadata_is_found_by_tenant(void **state)
{
    struct fixture *fixture = *state;
    struct naive_series *series = naive_part(fixture->arena, &fixture->random, 3, 2, 5);
    struct file_summary summary;
    assert_int_equal(write_part(fixture, "part", series, 6, &summary), ERROR_NONE);
    struct part *part;
    assert_int_equal(open_part(fixture, "part", &part), ERROR_NONE);
    const struct text *tenants[] = {NULL, &TEXT("second"), &TEXT("first"), &TEXT("third")};
    const size_t found[] = {1, 1, 0, 0};
    for (size_t i = 0; i < 4; i++) {
        size_t count = 0;
        assert_int_equal(
            part_visit_metadata(part, tenants[i], check_metadata, &count, &fixture->error),
            ERROR_NONE);
        assert_int_equal(count, found[i]);
    }
    assert_int_equal(part_tenant_count(part), 2);
    assert_true(part_has_slot(part, 7));
    assert_false(part_has_slot(part, 8));
    part_unref(part);
}

static void a_walk_visits_every_series_by_id(void **state)
{
    struct fixture *fixture = *state;
    struct naive_series *series =
        naive_part(fixture->arena, &fixture->random, TARGETS, SERIES_PER_TARGET, 3);
    struct file_summary summary;
    assert_int_equal(write_part(fixture, "part", series, SERIES, &summary), ERROR_NONE);
    struct part_reader *reader = open_reader(fixture, "part");
    uint64_t from_id = 0;
    for (size_t i = 0; i < SERIES; i++) {
        struct part_entry entry;
        bool found;
        assert_int_equal(part_reader_next(reader, from_id, &entry, &found, &fixture->error),
                         ERROR_NONE);
        assert_true(found);
        assert_int_equal(entry.id, series[i].id);
        assert_true(text_equal(entry.tenant, series[i].tenant));
        assert_int_equal(entry.slot, series[i].slot);
        assert_int_equal(entry.sample_count, series[i].columns.count);
        from_id = entry.id + 1;
    }
    struct part_entry entry;
    bool found;
    assert_int_equal(part_reader_next(reader, from_id, &entry, &found, &fixture->error),
                     ERROR_NONE);
    assert_false(found);
    part_reader_destroy(reader);
}

static void ids_that_are_not_inside_have_no_samples(void **state)
{
    struct fixture *fixture = *state;
    struct naive_series *series = naive_part(fixture->arena, &fixture->random, 2, 100, 3);
    struct file_summary summary;
    assert_int_equal(write_part(fixture, "part", series, 200, &summary), ERROR_NONE);
    struct part_reader *reader = open_reader(fixture, "part");
    size_t at = 0;
    for (uint64_t id = 990; id < series[199].id + 10; id++) {
        while (at < 200 && series[at].id < id)
            at++;
        bool inside = at < 200 && series[at].id == id;
        struct sample_columns read;
        assert_int_equal(part_reader_read(reader, id, INT64_MIN, INT64_MAX, &read, &fixture->error),
                         ERROR_NONE);
        assert_int_equal(read.count > 0, inside);
    }
    part_reader_destroy(reader);
}

/* Series of a target come in any order of ids when the head hands them over so. */
static void ids_may_be_added_in_any_order_but_once(void **state)
{
    struct fixture *fixture = *state;
    struct naive_series *series = naive_part(fixture->arena, &fixture->random, 1, 100, 3);
    struct naive_series *shuffled = arena_array(fixture->arena, 101, sizeof *shuffled);
    for (size_t i = 0; i < 100; i++)
        shuffled[i] = series[i * 37 % 100];
    struct file_summary ordered;
    struct file_summary summary;
    assert_int_equal(write_part(fixture, "ordered", series, 100, &ordered), ERROR_NONE);
    assert_int_equal(write_part(fixture, "part", shuffled, 100, &summary), ERROR_NONE);
    assert_true(hash128_equal(ordered.content_checksum, summary.content_checksum));
    struct part_reader *reader = open_reader(fixture, "part");
    for (size_t i = 0; i < 100; i++) {
        struct sample_columns read;
        assert_int_equal(
            part_reader_read(reader, series[i].id, INT64_MIN, INT64_MAX, &read, &fixture->error),
            ERROR_NONE);
        assert_range(&series[i].columns, INT64_MIN, INT64_MAX, &read);
    }
    part_reader_destroy(reader);

    shuffled[100] = series[5];
    assert_int_equal(write_part(fixture, "twice", shuffled, 101, &summary), ERROR_INVALID);
}

static void series_with_the_same_times_share_an_id_for_them(void **state)
{
    struct fixture *fixture = *state;
    struct naive_series *series = naive_part(fixture->arena, &fixture->random, 1, 2, 1000);
    int64_t *times = naive_timestamps(fixture->arena, &fixture->random, 1700000000000, 1000);
    for (size_t i = 0; i < 2; i++)
        series[i].columns =
            naive_columns(fixture->arena, &fixture->random, NAIVE_COUNTER, times, 1000);
    struct file_summary summary;
    assert_int_equal(write_part(fixture, "part", series, 2, &summary), ERROR_NONE);
    struct part_reader *reader = open_reader(fixture, "part");
    uint64_t ids[2][2];
    for (size_t i = 0; i < 2; i++) {
        struct sample_columns read;
        for (size_t end = 0; end < 2; end++) {
            assert_int_equal(part_reader_read(reader, series[i].id, times[10], times[900 + end],
                                              &read, &fixture->error),
                             ERROR_NONE);
            ids[i][end] = read.timestamps_id;
            assert_int_not_equal(read.timestamps_id, 0);
        }
    }
    assert_int_equal(ids[0][0], ids[1][0]);
    assert_int_equal(ids[0][1], ids[1][1]);
    assert_int_not_equal(ids[0][0], ids[0][1]);
    part_reader_destroy(reader);
}

static void an_empty_part_is_a_part(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary summary;
    assert_int_equal(write_part(fixture, "part", NULL, 0, &summary), ERROR_NONE);
    assert_int_equal(summary.series_count, 0);
    struct part_reader *reader = open_reader(fixture, "part");
    struct sample_columns read;
    assert_int_equal(part_reader_read(reader, 1, 0, INT64_MAX, &read, &fixture->error), ERROR_NONE);
    assert_int_equal(read.count, 0);
    part_reader_destroy(reader);
}

static void timestamps_that_do_not_ascend_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct naive_series *series = naive_part(fixture->arena, &fixture->random, 1, 1, 5);
    int64_t times[] = {1, 2, 2};
    series->columns.timestamps_ms = times;
    series->columns.count = 3;
    struct file_summary summary;
    assert_int_equal(write_part(fixture, "part", series, 1, &summary), ERROR_INVALID);
    struct part *part;
    assert_int_equal(open_part(fixture, "part", &part), ERROR_NOT_FOUND);
}

static void every_codec_path_writes_the_same_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct naive_series *series = naive_part(fixture->arena, &fixture->random, 4, 30, 600);
    enum codec_path before = codec_path_selected();
    struct file_summary first = {0};
    for (int path = 0; path < CODEC_PATHS; path++) {
        if (!codec_path_is_available((enum codec_path)path))
            continue;
        codec_path_select((enum codec_path)path);
        struct file_summary summary;
        assert_int_equal(write_part(fixture, "part", series, 120, &summary), ERROR_NONE);
        if (path == CODEC_PATH_PORTABLE)
            first = summary;
        assert_memory_equal(&summary, &first, sizeof summary);
    }
    codec_path_select(before);
}

/* Whatever fails, the writer says so, and leaves no file that opens. */
static void every_failing_write_is_reported(void **state)
{
    struct fixture *fixture = *state;
    struct naive_series *series = naive_part(fixture->arena, &fixture->random, 4, 30, 200);
    struct simulated_disk *disk = &fixture->environment->disk;
    struct file_summary summary;
    for (uint64_t n = 1;; n++) {
        disk->settings.fail_at_operation = disk->operations + n;
        enum error_code code = write_part(fixture, "part", series, 120, &summary);
        bool reached = disk->operations >= disk->settings.fail_at_operation;
        disk->settings.fail_at_operation = 0;
        struct part *part = NULL;
        if (!reached) {
            assert_int_equal(code, ERROR_NONE);
            assert_true(n > 3);
            break;
        }
        assert_int_equal(code, ERROR_IO);
        assert_int_not_equal(open_part(fixture, "part", &part), ERROR_NONE);
    }
}

static void every_failing_read_is_reported_and_passes(void **state)
{
    struct fixture *fixture = *state;
    struct naive_series *series = naive_part(fixture->arena, &fixture->random, 4, 30, 200);
    struct simulated_disk *disk = &fixture->environment->disk;
    struct file_summary summary;
    assert_int_equal(write_part(fixture, "part", series, 120, &summary), ERROR_NONE);
    page_cache_set_budget(fixture->cache, 0);
    size_t failures = 0;
    for (size_t i = 0; i < 120; i++) {
        struct part_reader *reader = open_reader(fixture, "part"); /* holds no page yet */
        struct sample_columns read;
        disk->settings.fail_at_operation = disk->operations + 1 + i % 4;
        enum error_code code =
            part_reader_read(reader, series[i].id, INT64_MIN, INT64_MAX, &read, &fixture->error);
        failures += code == ERROR_IO;
        assert_true(code == ERROR_NONE || code == ERROR_IO);
        disk->settings.fail_at_operation = 0;
        assert_int_equal(
            part_reader_read(reader, series[i].id, INT64_MIN, INT64_MAX, &read, &fixture->error),
            ERROR_NONE);
        assert_range(&series[i].columns, INT64_MIN, INT64_MAX, &read);
        part_reader_destroy(reader);
    }
    assert_true(failures > 20);
}

/* Reads everything; whether all of it is what was written. */
static enum error_code read_all(struct fixture *fixture, const struct naive_series *series,
                                size_t count)
{
    struct part *part;
    enum error_code code = open_part(fixture, "part", &part);
    if (code != ERROR_NONE)
        return code;
    struct part_reader *reader;
    assert_int_equal(part_reader_create(part, &reader, &fixture->error), ERROR_NONE);
    part_unref(part);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        struct sample_columns read;
        code = part_reader_read(reader, series[i].id, INT64_MIN, INT64_MAX, &read, &fixture->error);
        if (code == ERROR_NONE)
            assert_range(&series[i].columns, INT64_MIN, INT64_MAX, &read);
    }
    part_reader_destroy(reader);
    return code;
}

static void no_flipped_bit_changes_what_is_read(void **state)
{
    struct fixture *fixture = *state;
    struct naive_series *series = naive_part(fixture->arena, &fixture->random, 2, 20, 50);
    struct file_summary summary;
    assert_int_equal(write_part(fixture, "part", series, 40, &summary), ERROR_NONE);
    size_t noticed = 0;
    for (uint64_t bit = 0; bit < 8 * summary.size_bytes; bit += 41) {
        simulated_disk_flip(&fixture->environment->disk, "part", bit);
        enum error_code code = read_all(fixture, series, 40);
        assert_true(code == ERROR_NONE || code == ERROR_CORRUPT || code == ERROR_UNSUPPORTED);
        noticed += code != ERROR_NONE;
        simulated_disk_flip(&fixture->environment->disk, "part", bit);
    }
    assert_true(noticed > 8 * summary.size_bytes / 41 / 2);
    assert_int_equal(read_all(fixture, series, 40), ERROR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read_in_any_range, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chunks_of_a_range_are_whole_and_hold_its_samples, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(chunks_that_do_not_fit_their_times_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(exemplars_come_back_and_leave_the_samples_alone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(metadata_is_found_by_tenant, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_walk_visits_every_series_by_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_that_are_not_inside_have_no_samples, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ids_may_be_added_in_any_order_but_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(series_with_the_same_times_share_an_id_for_them, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_empty_part_is_a_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(timestamps_that_do_not_ascend_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_codec_path_writes_the_same_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_failing_write_is_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_failing_read_is_reported_and_passes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_flipped_bit_changes_what_is_read, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
