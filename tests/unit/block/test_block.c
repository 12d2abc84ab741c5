#include "naive_series.h"

#include "block/block_inspect.h"
#include "block/block_reader.h"
#include "block/block_writer.h"
#include "block/verification.h"
#include "codec/codec_path.h"
#include "simulated_environment.h"

enum { TARGETS = 12, SERIES_PER_TARGET = 25, SERIES = TARGETS * SERIES_PER_TARGET, SAMPLES = 700 };

/* A day that holds all that naive_part makes. */
static const int64_t DAY_MS = 86400000;
static const int64_t DAY_START_MS = 1700000000000 / BLOCK_CHUNK_WINDOW_MS * BLOCK_CHUNK_WINDOW_MS;

struct fixture {
    struct simulated_environment *environment;
    struct disk *disk;
    struct arena *arena;
    struct page_cache *cache;
    struct naive_random random;
    struct error error;
    struct naive_series *series; /* [SERIES], in block order */
};

static int order(const void *left, const void *right)
{
    const struct naive_series *a = left;
    const struct naive_series *b = right;
    struct block_series first = {a->tenant, a->slot, a->labels};
    struct block_series second = {b->tenant, b->slot, b->labels};
    return block_series_compare(&first, &second);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->environment = simulated_environment_create(1);
    fixture->disk = fixture->environment->base.disk;
    fixture->arena = arena_create(0);
    fixture->random.state = 3;
    assert_int_equal(page_cache_create(1 << 20, &fixture->cache, &fixture->error), ERROR_NONE);
    fixture->series =
        naive_part(fixture->arena, &fixture->random, TARGETS, SERIES_PER_TARGET, SAMPLES);
    for (size_t i = 0; i < SERIES; i++) {
        struct naive_series *one = &fixture->series[i];
        struct label labels[4] = {
            {TEXT("__name__"),
             arena_format(fixture->arena, "metric_%zu", i % SERIES_PER_TARGET / 2)},
            {TEXT("instance"),
             arena_format(fixture->arena, "host-%llu", (unsigned long long)one->target)},
            {TEXT("job"), TEXT("node")},
            {TEXT("le"), i % 2 == 0 ? TEXT("1") : TEXT("+Inf")},
        };
        one->labels = labels_build(fixture->arena, labels, 4);
    }
    qsort(fixture->series, SERIES, sizeof *fixture->series, order);
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

static struct sample_columns cut(const struct sample_columns *columns, int64_t start_ms,
                                 int64_t end_ms)
{
    size_t first = 0;
    while (first < columns->count && columns->timestamps_ms[first] < start_ms)
        first++;
    size_t last = first;
    while (last < columns->count && columns->timestamps_ms[last] < end_ms)
        last++;
    return (struct sample_columns){
        .count = last - first,
        .timestamps_ms = columns->timestamps_ms + first,
        .values = columns->values + first,
        .histograms = columns->histograms == NULL ? NULL : columns->histograms + first,
        .start_timestamps_ms =
            columns->start_timestamps_ms == NULL ? NULL : columns->start_timestamps_ms + first,
    };
}

/* The part of the fixture's series in [start_ms, end_ms); exemplars in whole days only. */
static enum error_code write_window(struct fixture *fixture, const char *path, int64_t start_ms,
                                    int64_t end_ms, struct file_summary *summary_out)
{
    struct block_properties properties = {
        .start_ms = start_ms, .end_ms = end_ms, .shard = 3, .block_id = 77, .tombstone_mark = 12};
    struct block_writer *writer;
    struct error *error = &fixture->error;
    enum error_code code = block_writer_create(fixture->disk, path, &properties, &writer, error);
    if (code != ERROR_NONE)
        return code;
    bool whole = end_ms - start_ms == DAY_MS;
    for (size_t i = 0; code == ERROR_NONE && i < SERIES; i++) {
        const struct naive_series *one = &fixture->series[i];
        struct block_series series = {one->tenant, one->slot, one->labels};
        struct sample_columns columns = cut(&one->columns, start_ms, end_ms);
        code = block_writer_add(writer, &series, &columns, one->exemplars,
                                whole ? one->exemplar_count : 0, error);
    }
    struct metric_metadata metadata = {METRIC_GAUGE, TEXT("help"), TEXT("seconds")};
    if (code == ERROR_NONE)
        code = block_writer_add_metadata(writer, TEXT("second"), TEXT("m"), &metadata, error);
    if (code == ERROR_NONE)
        code = block_writer_finish(writer, summary_out, error);
    block_writer_destroy(writer);
    return code;
}

static enum error_code write_day(struct fixture *fixture, const char *path,
                                 struct file_summary *summary_out)
{
    return write_window(fixture, path, DAY_START_MS, DAY_START_MS + DAY_MS, summary_out);
}

static enum error_code open_block(struct fixture *fixture, const char *path,
                                  struct block **block_out)
{
    struct page_source *source;
    enum error_code code = page_source_open_file(fixture->disk, path, &source, &fixture->error);
    if (code != ERROR_NONE)
        return code;
    return block_open(fixture->cache, source, block_out, &fixture->error);
}

static struct block_reader *open_reader(struct fixture *fixture, const char *path)
{
    struct block *block;
    struct block_reader *reader;
    assert_int_equal(open_block(fixture, path, &block), ERROR_NONE);
    assert_int_equal(block_reader_create(block, &reader, &fixture->error), ERROR_NONE);
    block_unref(block);
    return reader;
}

static enum error_code verify(struct fixture *fixture, const char *path)
{
    struct page_source *source;
    struct file_summary summary;
    assert_int_equal(page_source_open_file(fixture->disk, path, &source, &fixture->error),
                     ERROR_NONE);
    return block_verify(source, &summary, &fixture->error);
}

/* However little at a time, all of it, and the same is found. */
static void a_file_is_verified_piece_by_piece(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary written;
    assert_int_equal(write_day(fixture, "block", &written), ERROR_NONE);
    static const uint64_t PIECES[] = {1, 1000, 40000, UINT64_MAX};
    for (size_t i = 0; i < sizeof PIECES / sizeof PIECES[0]; i++) {
        struct verification *verification;
        struct page_source *source;
        uint64_t before_bytes = 0, continued = 0;
        assert_int_equal(page_source_open_file(fixture->disk, "block", &source, &fixture->error),
                         ERROR_NONE);
        assert_int_equal(verification_create(source, &verification, &fixture->error), ERROR_NONE);
        for (; !verification_is_done(verification); continued++) {
            assert_int_equal(verification_continue(verification, PIECES[i], &fixture->error),
                             ERROR_NONE);
            uint64_t done_bytes = verification_done_bytes(verification);
            assert_in_range(done_bytes, before_bytes, written.size_bytes);
            before_bytes = done_bytes;
        }
        assert_int_equal(before_bytes, written.size_bytes);
        assert_true(PIECES[i] == UINT64_MAX
                        ? continued == 2
                        : continued >= 2 && continued <= written.size_bytes / PIECES[i] + 3);
        struct file_summary summary = verification_summary(verification);
        assert_true(hash128_equal(summary.content_checksum, written.content_checksum));
        verification_destroy(verification);
    }
}

static void what_is_written_is_read_in_any_range(void **state)
{
    struct fixture *fixture = *state;
    struct error *error = &fixture->error;
    struct file_summary summary;
    assert_int_equal(write_day(fixture, "block", &summary), ERROR_NONE);
    struct block_reader *reader = open_reader(fixture, "block");
    for (size_t round = 0; round < 3000; round++) {
        size_t at = round < SERIES ? round : naive_next(&fixture->random, SERIES);
        const struct sample_columns *columns = &fixture->series[at].columns;
        int64_t middle = columns->timestamps_ms[naive_next(&fixture->random, columns->count)];
        int64_t width = (int64_t)naive_next(&fixture->random, 20000000);
        int64_t start_ms = round % 5 == 0 ? INT64_MIN : middle - width / 2;
        int64_t end_ms = round % 5 == 0 ? INT64_MAX : middle + width / 2;
        struct sample_columns read;
        assert_int_equal(block_reader_read(reader, (uint32_t)at, start_ms, end_ms, &read, error),
                         ERROR_NONE);
        assert_range(columns, start_ms, end_ms, &read);
        assert_int_equal(
            block_reader_read_latest(reader, (uint32_t)at, start_ms, end_ms, &read, error),
            ERROR_NONE);
        assert_int_equal(read.count, 1);
        assert_range(columns, read.timestamps_ms[0], end_ms, &read);
    }
    struct sample_columns read;
    assert_int_equal(block_reader_read(reader, SERIES, 0, 1, &read, error), ERROR_NOT_FOUND);
    block_reader_destroy(reader);
}

static void labels_tenants_slots_and_exemplars_come_back(void **state)
{
    struct fixture *fixture = *state;
    struct error *error = &fixture->error;
    struct file_summary summary;
    assert_int_equal(write_day(fixture, "block", &summary), ERROR_NONE);
    assert_int_equal(summary.series_count, SERIES);
    struct block_reader *reader = open_reader(fixture, "block");
    for (uint32_t i = 0; i < SERIES; i++) {
        const struct naive_series *one = &fixture->series[i];
        struct block_series series;
        assert_int_equal(block_reader_series(reader, i, &series, error), ERROR_NONE);
        assert_true(text_equal(series.tenant, one->tenant));
        assert_true(labels_equal(series.labels, one->labels));
        assert_int_equal(series.slot, one->slot);
        const struct exemplar *exemplars;
        size_t count;
        assert_int_equal(
            block_reader_read_exemplars(reader, i, INT64_MIN, INT64_MAX, &exemplars, &count, error),
            ERROR_NONE);
        assert_exemplars(one, exemplars, count);
    }
    block_reader_destroy(reader);
    struct block *block;
    assert_int_equal(open_block(fixture, "block", &block), ERROR_NONE);
    struct block_properties properties = block_properties(block);
    assert_int_equal(properties.start_ms, DAY_START_MS);
    assert_int_equal(properties.block_id, 77);
    assert_int_equal(properties.shard, 3);
    assert_int_equal(properties.tombstone_mark, 12);
    assert_true(block_has_slot(block, 14));
    assert_false(block_has_slot(block, 15));
    assert_int_equal(block_tenant_count(block), 2);
    block_unref(block);
}

static void the_index_selects_series_of_one_tenant(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary summary;
    struct block *block;
    assert_int_equal(write_day(fixture, "block", &summary), ERROR_NONE);
    assert_int_equal(open_block(fixture, "block", &block), ERROR_NONE);
    struct matcher *matcher;
    assert_int_equal(matcher_create(MATCHER_REGEX, TEXT("instance"), TEXT("host-[2-5]"), &matcher,
                                    &fixture->error),
                     ERROR_NONE);
    const struct matcher *matchers[] = {matcher};
    struct index_query query = {.tenant = TEXT("second"),
                                .matchers = matchers,
                                .matcher_count = 1,
                                .arena = fixture->arena};
    struct positions positions;
    assert_int_equal(index_select(block_index(block), &query, &positions, &fixture->error),
                     ERROR_NONE);
    size_t at = 0;
    for (uint32_t i = 0; i < SERIES; i++) {
        const struct naive_series *one = &fixture->series[i];
        if (!text_equal(one->tenant, query.tenant) ||
            !matcher_matches(matcher, labels_get(one->labels, TEXT("instance"))))
            continue;
        assert_true(at < positions.count);
        assert_int_equal(positions.items[at++], i);
    }
    assert_int_equal(at, positions.count);
    assert_int_equal(at, 2 * SERIES_PER_TARGET);
    matcher_destroy(matcher);
    block_unref(block);
}

static enum error_code list_values(struct fixture *fixture, struct index_source *index,
                                   const char *tenant, const char *name)
{
    struct text_set values = {.arena = fixture->arena};
    struct index_query query = {.tenant = text_of(tenant), .arena = fixture->arena};
    return name[0] == '\0'
               ? index_label_names(index, &query, &values, &fixture->error)
               : index_label_values(index, &query, text_of(name), &values, &fixture->error);
}

static bool stop_at_once(void *context, struct text value, struct index_postings postings)
{
    (void)context, (void)value, (void)postings;
    return false;
}

static void lists_that_were_read_are_told_apart_by_their_digests(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary summary;
    struct block *day, *half;
    assert_int_equal(write_day(fixture, "day", &summary), ERROR_NONE);
    assert_int_equal(write_window(fixture, "half", DAY_START_MS, DAY_START_MS + DAY_MS, &summary),
                     ERROR_NONE);
    assert_int_equal(open_block(fixture, "day", &day), ERROR_NONE);
    assert_int_equal(open_block(fixture, "half", &half), ERROR_NONE);
    struct index_source *first = block_index(day), *second = block_index(half);
    static const char *const NAMES[] = {"", "__name__", "instance", "job", "le"};
    for (size_t i = 0; i < 5; i++) {
        struct text name = text_of(NAMES[i]);
        assert_int_equal(index_source_digest(first, TEXT("second"), name), 0);
        if (i > 0) { /* what was not read to the end is not known */
            assert_int_equal(first->operations->values(first, TEXT("second"), name,
                                                       (struct text){0}, stop_at_once, NULL,
                                                       &fixture->error),
                             ERROR_NONE);
            assert_int_equal(index_source_digest(first, TEXT("second"), name), 0);
        }
        assert_int_equal(list_values(fixture, first, "second", NAMES[i]), ERROR_NONE);
        assert_int_equal(list_values(fixture, second, "second", NAMES[i]), ERROR_NONE);
        uint64_t digest = index_source_digest(first, TEXT("second"), name);
        assert_true(digest != 0);
        assert_true(digest == index_source_digest(second, TEXT("second"), name));
        for (size_t k = 0; k < i; k++)
            assert_true(digest != index_source_digest(first, TEXT("second"), text_of(NAMES[k])));
    }
    block_unref(day);
    block_unref(half);
}

/* --- Merging without decoding ----------------------------------------------------------------- */

static void copy(void *target, const void *source, size_t size)
{
    if (size > 0)
        memcpy(target, source, size);
}

/* One series out of two blocks of neighbouring windows; arrays in the fixture's arena. */
static struct encoded_series joined(struct fixture *fixture, const struct encoded_series *left,
                                    const struct encoded_series *right)
{
    size_t count = left->sample_count + right->sample_count;
    size_t chunk_count = left->chunk_count + right->chunk_count;
    int64_t *times = arena_array(fixture->arena, count, sizeof *times);
    struct encoded_chunk *chunks = arena_array(fixture->arena, chunk_count, sizeof *chunks);
    copy(times, left->timestamps_ms, left->sample_count * sizeof *times);
    copy(times + left->sample_count, right->timestamps_ms, right->sample_count * sizeof *times);
    copy(chunks, left->chunks, left->chunk_count * sizeof *chunks);
    copy(chunks + left->chunk_count, right->chunks, right->chunk_count * sizeof *chunks);
    return (struct encoded_series){times, count, chunks, chunk_count};
}

/* The series at *position if it is the wanted one, else none of it. */
static struct encoded_series read_encoded_if(struct fixture *fixture, struct block_reader *reader,
                                             uint32_t *position, const struct naive_series *wanted)
{
    struct block_series series;
    struct encoded_series encoded = {0};
    struct error *error = &fixture->error;
    if (block_reader_series(reader, *position, &series, error) != ERROR_NONE ||
        !labels_equal(series.labels, wanted->labels))
        return encoded;
    assert_int_equal(block_reader_read_encoded(reader, *position, &encoded, error), ERROR_NONE);
    ++*position;
    return encoded;
}

static void copied_chunks_make_the_block_that_encoding_makes(void **state)
{
    struct fixture *fixture = *state;
    struct error *error = &fixture->error;
    for (size_t i = 0; i < SERIES; i++)
        fixture->series[i].exemplar_count = 0;
    /* The samples of the fixture begin in this window and end in the next one. */
    int64_t middle_ms =
        1700000000000 / BLOCK_CHUNK_WINDOW_MS * BLOCK_CHUNK_WINDOW_MS + BLOCK_CHUNK_WINDOW_MS;
    struct file_summary whole;
    struct file_summary half;
    struct file_summary merged;
    assert_int_equal(write_day(fixture, "whole", &whole), ERROR_NONE);
    assert_int_equal(write_window(fixture, "left", DAY_START_MS, middle_ms, &half), ERROR_NONE);
    assert_true(half.sample_count > 0 && half.sample_count < whole.sample_count);
    assert_int_equal(write_window(fixture, "right", middle_ms, DAY_START_MS + DAY_MS, &half),
                     ERROR_NONE);
    struct block_reader *left = open_reader(fixture, "left");
    struct block_reader *right = open_reader(fixture, "right");
    struct block_properties properties = {.start_ms = DAY_START_MS,
                                          .end_ms = DAY_START_MS + DAY_MS,
                                          .shard = 3,
                                          .block_id = 77,
                                          .tombstone_mark = 12};
    struct block_writer *writer;
    assert_int_equal(block_writer_create(fixture->disk, "merged", &properties, &writer, error),
                     ERROR_NONE);
    uint32_t left_position = 0;
    uint32_t right_position = 0;
    for (size_t i = 0; i < SERIES; i++) {
        const struct naive_series *one = &fixture->series[i];
        struct encoded_series parts[2] = {
            read_encoded_if(fixture, left, &left_position, one),
            read_encoded_if(fixture, right, &right_position, one),
        };
        struct encoded_series encoded = joined(fixture, &parts[0], &parts[1]);
        struct block_series series = {one->tenant, one->slot, one->labels};
        assert_int_equal(block_writer_add_encoded(writer, &series, &encoded, NULL, 0, error),
                         ERROR_NONE);
    }
    struct metric_metadata metadata = {METRIC_GAUGE, TEXT("help"), TEXT("seconds")};
    assert_int_equal(block_writer_add_metadata(writer, TEXT("second"), TEXT("m"), &metadata, error),
                     ERROR_NONE);
    assert_int_equal(block_writer_finish(writer, &merged, error), ERROR_NONE);
    block_writer_destroy(writer);
    block_reader_destroy(left);
    block_reader_destroy(right);
    assert_memory_equal(&merged, &whole, sizeof whole);
}

static void a_broken_chunk_is_not_copied(void **state)
{
    struct fixture *fixture = *state;
    struct block_properties properties = {.start_ms = 0, .end_ms = 1000};
    struct block_writer *writer;
    assert_int_equal(
        block_writer_create(fixture->disk, "block", &properties, &writer, &fixture->error),
        ERROR_NONE);
    const int64_t times[] = {1, 2, 3};
    const uint8_t bytes[] = {0xff, 0xff};
    struct encoded_chunk chunk = {CHUNK_FLOAT, 3, bytes, sizeof bytes, NULL, 0};
    struct encoded_series encoded = {times, 3, &chunk, 1};
    const struct naive_series *one = &fixture->series[0];
    struct block_series series = {one->tenant, one->slot, one->labels};
    assert_int_not_equal(
        block_writer_add_encoded(writer, &series, &encoded, NULL, 0, &fixture->error), ERROR_NONE);
    block_writer_destroy(writer);
}

/* --- Refusals and failures -------------------------------------------------------------------- */

static void disorder_and_strangers_to_the_window_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary summary;
    struct naive_series swapped = fixture->series[10];
    fixture->series[10] = fixture->series[11];
    fixture->series[11] = swapped;
    assert_int_equal(write_day(fixture, "block", &summary), ERROR_INVALID);
    fixture->series[11] = fixture->series[10];
    assert_int_equal(write_day(fixture, "block", &summary), ERROR_INVALID);

    struct block_properties properties = {.start_ms = 0, .end_ms = 1000};
    struct block_writer *writer;
    assert_int_equal(
        block_writer_create(fixture->disk, "block", &properties, &writer, &fixture->error),
        ERROR_NONE);
    struct block_series series = {TEXT("first"), 0, fixture->series[0].labels};
    assert_int_equal(
        block_writer_add(writer, &series, &fixture->series[0].columns, NULL, 0, &fixture->error),
        ERROR_INVALID);
    block_writer_destroy(writer);
}

static void a_block_verifies_and_no_flipped_bit_passes(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary summary;
    int64_t end_ms = 1700000000000 + 20 * 15000;
    assert_int_equal(write_window(fixture, "block", DAY_START_MS, end_ms, &summary), ERROR_NONE);
    assert_int_equal(verify(fixture, "block"), ERROR_NONE);
    for (uint64_t bit = 8 * 16; bit < 8 * summary.size_bytes; bit += 97) {
        simulated_disk_flip(&fixture->environment->disk, "block", bit);
        enum error_code code = verify(fixture, "block");
        assert_true(code == ERROR_CORRUPT || code == ERROR_UNSUPPORTED);
        simulated_disk_flip(&fixture->environment->disk, "block", bit);
    }
    assert_int_equal(verify(fixture, "block"), ERROR_NONE);
}

static void no_cut_file_opens(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary summary;
    assert_int_equal(write_day(fixture, "block", &summary), ERROR_NONE);
    struct file *file;
    assert_int_equal(
        disk_open(fixture->disk, "block", DISK_OPEN_READ_WRITE, &file, &fixture->error),
        ERROR_NONE);
    for (uint64_t size = summary.size_bytes - 1; size > 0; size = size * 2 / 3) {
        struct block *block;
        assert_int_equal(disk_resize(fixture->disk, file, size, &fixture->error), ERROR_NONE);
        assert_int_equal(open_block(fixture, "block", &block), ERROR_CORRUPT);
    }
    disk_close(fixture->disk, file);
}

static void inspection_tells_what_is_inside(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary summary;
    struct page_source *source;
    assert_int_equal(write_day(fixture, "block", &summary), ERROR_NONE);
    assert_int_equal(page_source_open_file(fixture->disk, "block", &source, &fixture->error),
                     ERROR_NONE);
    char *text = NULL;
    size_t size = 0;
    FILE *output = open_memstream(&text, &size);
    assert_int_equal(block_inspect(source, output, &fixture->error), ERROR_NONE);
    fclose(output);
    assert_non_null(strstr(text, "kind: block\n"));
    assert_non_null(strstr(text, "series: 300\n"));
    assert_non_null(strstr(text, "tenants: 2\n"));
    assert_non_null(strstr(text, "block id: 77\n"));
    assert_non_null(strstr(text, "directory                 2 "));
    assert_non_null(strstr(text, "labels                    2 "));
    free(text);
}

/* Metric by metric, all targets: what most blocks look like. One sample takes two bytes. */
static void a_series_takes_few_bytes_of_index(void **state)
{
    enum { METRICS = 40, INSTANCES = 100, INDEX_BYTES_MAX = 12 };
    struct fixture *fixture = *state;
    struct error *error = &fixture->error;
    struct block_properties properties = {.start_ms = DAY_START_MS,
                                          .end_ms = DAY_START_MS + DAY_MS};
    struct block_writer *writer;
    assert_int_equal(block_writer_create(fixture->disk, "block", &properties, &writer, error),
                     ERROR_NONE);
    for (size_t i = 0; i < (size_t)METRICS * INSTANCES; i++) {
        size_t instance = i % INSTANCES;
        struct label labels[3] = {
            {TEXT("__name__"), arena_format(fixture->arena, "metric_%02zu", i / INSTANCES)},
            {TEXT("instance"), arena_format(fixture->arena, "host-%03zu:9100", instance)},
            {TEXT("job"), TEXT("node")},
        };
        struct block_series series = {TEXT("tenant"), (uint16_t)(instance * 997 % SLOT_COUNT),
                                      labels_build(fixture->arena, labels, 3)};
        int64_t timestamp_ms = DAY_START_MS + (int64_t)instance * 131;
        double value = (double)(i % 100);
        struct sample_columns columns = {
            .count = 1, .timestamps_ms = &timestamp_ms, .values = &value};
        assert_int_equal(block_writer_add(writer, &series, &columns, NULL, 0, error), ERROR_NONE);
    }
    struct file_summary summary;
    assert_int_equal(block_writer_finish(writer, &summary, error), ERROR_NONE);
    block_writer_destroy(writer);
    assert_in_range(summary.size_bytes, 1, METRICS * INSTANCES * (2 + INDEX_BYTES_MAX));
}

static void every_codec_path_writes_the_same_bytes(void **state)
{
    struct fixture *fixture = *state;
    enum codec_path before = codec_path_selected();
    struct file_summary first = {0};
    for (int path = 0; path < CODEC_PATHS; path++) {
        if (!codec_path_is_available((enum codec_path)path))
            continue;
        codec_path_select((enum codec_path)path);
        struct file_summary summary;
        assert_int_equal(write_day(fixture, "block", &summary), ERROR_NONE);
        if (path == CODEC_PATH_PORTABLE)
            first = summary;
        assert_memory_equal(&summary, &first, sizeof summary);
    }
    codec_path_select(before);
}

static void every_failing_write_is_reported(void **state)
{
    struct fixture *fixture = *state;
    struct simulated_disk *disk = &fixture->environment->disk;
    struct file_summary summary;
    for (uint64_t n = 1;; n++) {
        disk->settings.fail_at_operation = disk->operations + n;
        enum error_code code = write_day(fixture, "block", &summary);
        bool reached = disk->operations >= disk->settings.fail_at_operation;
        disk->settings.fail_at_operation = 0;
        if (!reached) {
            assert_int_equal(code, ERROR_NONE);
            assert_true(n > 4);
            break;
        }
        struct block *block;
        assert_int_equal(code, ERROR_IO);
        assert_int_not_equal(open_block(fixture, "block", &block), ERROR_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_verified_piece_by_piece, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_written_is_read_in_any_range, set_up, tear_down),
        cmocka_unit_test_setup_teardown(labels_tenants_slots_and_exemplars_come_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_index_selects_series_of_one_tenant, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_that_were_read_are_told_apart_by_their_digests,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(copied_chunks_make_the_block_that_encoding_makes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_broken_chunk_is_not_copied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(disorder_and_strangers_to_the_window_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_block_verifies_and_no_flipped_bit_passes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(no_cut_file_opens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(inspection_tells_what_is_inside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_series_takes_few_bytes_of_index, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_codec_path_writes_the_same_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_failing_write_is_reported, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
