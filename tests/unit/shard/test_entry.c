#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "platform/random.h"
#include "shard/entry.h"

/* --- Round trips ------------------------------------------------------------------------------ */

static double random_value(struct random_generator *random)
{
    static const double CHOSEN[] = {0,        -0.0,     1,       -1,   0.1,    12.34,
                                    99.999,   1e300,    -5e-324, 1e15, 4.5e15, 9007199254740993.0,
                                    INFINITY, -INFINITY};
    uint64_t bits = random_next(&random->base);
    switch (random_below(&random->base, 6)) {
    case 0:
        return CHOSEN[random_below(&random->base, sizeof CHOSEN / sizeof CHOSEN[0])];
    case 1:
        return (double)random_below(&random->base, 1000000);
    case 2:
        return (double)random_below(&random->base, 1000000) / 100;
    case 3:
        return (double)random_below(&random->base, 1000000) / 1000;
    case 4:
        return double_from_bits(STALE_MARKER_BITS);
    default:
        return double_from_bits(bits); /* NaN payloads among them */
    }
}

static int64_t random_time(struct random_generator *random)
{
    switch (random_below(&random->base, 8)) {
    case 0:
        return INT64_MAX;
    case 1:
        return INT64_MIN;
    case 2:
        return 0;
    default:
        return INT64_C(1700000000000) + random_below(&random->base, 1000000);
    }
}

static struct labels random_labels(struct random_generator *random, struct arena *arena)
{
    struct label labels[] = {
        {TEXT("__name__"), arena_format(arena, "m%u", random_below(&random->base, 1000))},
        {TEXT("job"), arena_format(arena, "j%u", random_below(&random->base, 10))},
    };
    return labels_build(arena, labels, 2);
}

static struct histogram random_histogram(struct random_generator *random, struct arena *arena)
{
    uint32_t count = random_below(&random->base, 6);
    struct histogram_span *spans = arena_array(arena, 1, sizeof *spans);
    union histogram_number *buckets = arena_array(arena, count, sizeof *buckets);
    double *bounds = arena_array(arena, 3, sizeof *bounds);
    bool is_float = random_below(&random->base, 2) == 0;
    for (uint32_t i = 0; i < count; i++)
        buckets[i].integer = random_next(&random->base) >> random_below(&random->base, 64);
    spans[0] = (struct histogram_span){(int32_t)random_below(&random->base, 100) - 50, count};
    for (int i = 0; i < 3; i++)
        bounds[i] = i * 1.5;
    return (struct histogram){
        .kind = is_float ? HISTOGRAM_FLOAT : HISTOGRAM_INTEGER,
        .reset = (enum histogram_reset)random_below(&random->base, 4),
        .schema = (int32_t)random_below(&random->base, 12) - 4,
        .zero_threshold = random_value(random),
        .zero_count.integer = random_next(&random->base),
        .count.integer = random_next(&random->base),
        .sum = random_value(random),
        .positive_span_count = count > 0,
        .positive_bucket_count = count,
        .positive_spans = spans,
        .positive_buckets = buckets,
        .negative_spans = spans,
        .negative_buckets = buckets,
        .custom_bound_count = random_below(&random->base, 4),
        .custom_bounds = bounds,
    };
}

static struct entry_part random_part(struct random_generator *random, struct arena *arena)
{
    struct entry_part part = {.tenant = TEXT("team-a"), .source = TEXT("replica-1")};
    part.series_count = random_below(&random->base, 5);
    struct entry_series *series = arena_array(arena, part.series_count, sizeof *series);
    for (size_t i = 0; i < part.series_count; i++)
        series[i] = (struct entry_series){(uint16_t)random_below(&random->base, SLOT_COUNT),
                                          random_labels(random, arena)};
    part.float_count = random_below(&random->base, 60);
    uint64_t *ids = arena_array(arena, part.float_count, sizeof *ids);
    int64_t *times = arena_array(arena, part.float_count, sizeof *times);
    int64_t *starts = arena_array(arena, part.float_count, sizeof *starts);
    double *values = arena_array(arena, part.float_count, sizeof *values);
    for (size_t i = 0; i < part.float_count; i++) {
        bool follows = i > 0 && random_below(&random->base, 2) == 0;
        ids[i] = follows ? ids[i - 1] + 1 : random_next(&random->base) >> 24;
        times[i] = follows ? times[i - 1] : random_time(random);
        starts[i] = random_below(&random->base, 3) == 0 ? random_time(random) : 0;
        values[i] = random_value(random);
    }
    part.histogram_count = random_below(&random->base, 4);
    struct entry_histogram *histograms =
        arena_array(arena, part.histogram_count, sizeof *histograms);
    for (size_t i = 0; i < part.histogram_count; i++)
        histograms[i] = (struct entry_histogram){
            .id = random_next(&random->base) >> 24,
            .timestamp_ms = random_time(random),
            .start_timestamp_ms = 0,
            .histogram = random_histogram(random, arena),
        };
    part.exemplar_count = random_below(&random->base, 4);
    struct entry_exemplar *exemplars = arena_array(arena, part.exemplar_count, sizeof *exemplars);
    for (size_t i = 0; i < part.exemplar_count; i++)
        exemplars[i] = (struct entry_exemplar){
            random_next(&random->base) >> 24,
            {random_labels(random, arena), random_value(random), random_time(random)}};
    part.metadata_count = random_below(&random->base, 3);
    struct entry_metadata *metadata = arena_array(arena, part.metadata_count, sizeof *metadata);
    for (size_t i = 0; i < part.metadata_count; i++)
        metadata[i] = (struct entry_metadata){TEXT("up"),
                                              {METRIC_GAUGE, TEXT("Whether it is up."), TEXT("")}};
    part.series = series;
    part.ids = ids;
    part.timestamps_ms = times;
    part.values = values;
    part.start_timestamps_ms = starts;
    part.histograms = histograms;
    part.exemplars = exemplars;
    part.metadata = metadata;
    return part;
}

static void expect_equal_parts(const struct entry_part *left, const struct entry_part *right)
{
    assert_true(text_equal(left->tenant, right->tenant));
    assert_true(text_equal(left->source, right->source));
    assert_int_equal(left->series_count, right->series_count);
    for (size_t i = 0; i < left->series_count; i++) {
        assert_int_equal(left->series[i].slot, right->series[i].slot);
        assert_true(labels_equal(left->series[i].labels, right->series[i].labels));
    }
    assert_int_equal(left->float_count, right->float_count);
    for (size_t i = 0; i < left->float_count; i++) {
        assert_int_equal(left->ids[i], right->ids[i]);
        assert_int_equal(left->timestamps_ms[i], right->timestamps_ms[i]);
        assert_int_equal(double_to_bits(left->values[i]), double_to_bits(right->values[i]));
        int64_t start = right->start_timestamps_ms == NULL ? 0 : right->start_timestamps_ms[i];
        assert_int_equal(left->start_timestamps_ms[i], start);
    }
    assert_int_equal(left->histogram_count, right->histogram_count);
    for (size_t i = 0; i < left->histogram_count; i++) {
        assert_int_equal(left->histograms[i].id, right->histograms[i].id);
        assert_int_equal(left->histograms[i].timestamp_ms, right->histograms[i].timestamp_ms);
        assert_true(
            histogram_equal(&left->histograms[i].histogram, &right->histograms[i].histogram));
    }
    assert_int_equal(left->exemplar_count, right->exemplar_count);
    for (size_t i = 0; i < left->exemplar_count; i++) {
        const struct exemplar *a = &left->exemplars[i].exemplar;
        const struct exemplar *b = &right->exemplars[i].exemplar;
        assert_int_equal(left->exemplars[i].id, right->exemplars[i].id);
        assert_int_equal(a->timestamp_ms, b->timestamp_ms);
        assert_int_equal(double_to_bits(a->value), double_to_bits(b->value));
        assert_true(labels_equal(a->labels, b->labels));
    }
    assert_int_equal(left->metadata_count, right->metadata_count);
    for (size_t i = 0; i < left->metadata_count; i++)
        assert_true(text_equal(left->metadata[i].metadata.help, right->metadata[i].metadata.help));
}

static struct labels target_labels(struct arena *arena, const char *name, const char *instance)
{
    struct label labels[] = {
        {TEXT("__name__"), text_of(name)},
        {TEXT("datacenter"), TEXT("frankfurt-1")},
        {TEXT("instance"), text_of(instance)},
        {TEXT("job"), TEXT("node")},
    };
    return labels_build(arena, labels, 4);
}

static void labels_of_a_target_are_not_repeated(void **state)
{
    (void)state;
    enum { COUNT = 5 };
    static const char *const NAMES[COUNT] = {"a", "node_load1", "node_load15", "node_load15", "z"};
    struct arena *arena = arena_create(0);
    struct entry_series series[COUNT];
    size_t label_bytes = 0;
    for (size_t i = 0; i < COUNT; i++) {
        series[i] = (struct entry_series){
            (uint16_t)(SLOT_COUNT - 1 - i),
            target_labels(arena, NAMES[i], i < 3 ? "host-0001:9100" : "host-0002:9100")};
        label_bytes += series[i].labels.size;
    }
    struct entry_part written = {.series = series, .series_count = COUNT};
    struct entry_part read;
    struct byte_buffer buffer = {0};
    struct error error;
    bool more;
    entry_encode_part(&buffer, &written);
    assert_in_range(buffer.size, 1, label_bytes / 2);
    for (size_t size = 1; size < buffer.size; size++) {
        struct byte_reader cut = byte_reader_over(buffer.bytes, size);
        assert_int_equal(entry_decode_part(&cut, arena, &read, &more, &error), ERROR_CORRUPT);
    }
    struct byte_reader reader = byte_reader_over(buffer.bytes, buffer.size);
    assert_int_equal(entry_decode_part(&reader, arena, &read, &more, &error), ERROR_NONE);
    expect_equal_parts(&written, &read);
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
}

/* A part of two series, the second of which shares `front` and `back` bytes with the first. */
static enum error_code decode_sharing(uint64_t front, uint64_t back, size_t repeats)
{
    struct arena *arena = arena_create(0);
    struct labels labels = target_labels(arena, "up", "host-0001:9100");
    struct byte_buffer content = {0}, buffer = {0};
    struct entry_part part;
    struct error error;
    bool more;
    byte_buffer_text(&content, TEXT(""));
    byte_buffer_text(&content, TEXT(""));
    byte_buffer_varint(&content, 1 + repeats);
    byte_buffer_varint(&content, 7);
    byte_buffer_text(&content, (struct text){(const char *)labels.bytes, labels.size});
    for (size_t i = 0; i < repeats; i++) {
        byte_buffer_varint(&content, 7 + SLOT_COUNT);
        byte_buffer_varint(&content, front > labels.size ? front : labels.size - back);
        byte_buffer_varint(&content, back);
        byte_buffer_text(&content, TEXT(""));
    }
    for (int i = 0; i < 4; i++) /* floats, histograms, exemplars, metadata */
        byte_buffer_varint(&content, 0);
    byte_buffer_text(&buffer, (struct text){(const char *)content.bytes, content.size});
    struct byte_reader reader = byte_reader_over(buffer.bytes, buffer.size);
    enum error_code code = entry_decode_part(&reader, arena, &part, &more, &error);
    byte_buffer_clear(&content);
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
    return code;
}

static void labels_share_no_more_than_there_is(void **state)
{
    (void)state;
    assert_int_equal(decode_sharing(0, 10, 1), ERROR_NONE);
    assert_int_equal(decode_sharing(0, 10, 2), ERROR_NONE);
    assert_int_equal(decode_sharing(1000, 0, 1), ERROR_CORRUPT);
    assert_int_equal(decode_sharing(UINT64_MAX, 2, 1), ERROR_CORRUPT);
    assert_int_equal(decode_sharing(0, 1000, 1), ERROR_CORRUPT);
    assert_int_equal(decode_sharing(0, 10, 1000000), ERROR_LIMIT);
}

static void a_write_comes_back_as_it_was_encoded(void **state)
{
    (void)state;
    struct random_generator random;
    random_generator_init(&random, 5);
    struct arena *arena = arena_create(0);
    for (int round = 0; round < 2000; round++) {
        struct byte_buffer buffer = {0};
        struct entry_part parts[3];
        size_t count = random_below(&random.base, 4);
        arena_reset(arena);
        entry_encode_write(&buffer, -5, 77);
        for (size_t i = 0; i < count; i++) {
            parts[i] = random_part(&random, arena);
            entry_encode_part(&buffer, &parts[i]);
        }
        assert_false(buffer.failed);
        struct byte_reader reader = byte_reader_over(buffer.bytes, buffer.size);
        struct entry_header header;
        struct error error;
        uint64_t next_id;
        bool more;
        assert_int_equal(entry_decode_header(&reader, &header, &error), ERROR_NONE);
        assert_int_equal(header.kind, ENTRY_WRITE);
        assert_int_equal(header.stamp_ms, -5);
        assert_int_equal(entry_decode_next_id(&reader, &next_id, &error), ERROR_NONE);
        assert_int_equal(next_id, 77);
        for (size_t i = 0; i < count; i++) {
            struct entry_part decoded;
            assert_int_equal(entry_decode_part(&reader, arena, &decoded, &more, &error),
                             ERROR_NONE);
            assert_true(more);
            expect_equal_parts(&parts[i], &decoded);
        }
        struct entry_part none;
        assert_int_equal(entry_decode_part(&reader, arena, &none, &more, &error), ERROR_NONE);
        assert_false(more);
        byte_buffer_clear(&buffer);
    }
    arena_destroy(arena);
}

/* --- Hostile bytes ---------------------------------------------------------------------------- */

static enum error_code decode_all(const uint8_t *bytes, size_t size, struct arena *arena)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    struct entry_header header;
    struct error error;
    uint64_t next_id;
    bool more = true;
    enum error_code code = entry_decode_header(&reader, &header, &error);
    if (code == ERROR_NONE)
        code = entry_decode_next_id(&reader, &next_id, &error);
    while (code == ERROR_NONE && more) {
        struct entry_part part;
        code = entry_decode_part(&reader, arena, &part, &more, &error);
    }
    return code;
}

static void a_cut_write_is_never_taken_for_a_whole_one(void **state)
{
    (void)state;
    struct random_generator random;
    random_generator_init(&random, 6);
    struct arena *arena = arena_create(0);
    for (int round = 0; round < 50; round++) {
        struct byte_buffer buffer = {0};
        arena_reset(arena);
        struct entry_part part = random_part(&random, arena);
        entry_encode_write(&buffer, 1, 1);
        size_t head = buffer.size;
        entry_encode_part(&buffer, &part);
        for (size_t size = head + 1; size < buffer.size; size++)
            assert_int_equal(decode_all(buffer.bytes, size, arena), ERROR_CORRUPT);
        assert_int_equal(decode_all(buffer.bytes, buffer.size, arena), ERROR_NONE);
        byte_buffer_clear(&buffer);
    }
    arena_destroy(arena);
}

static void random_damage_is_an_error_or_another_write_but_never_a_crash(void **state)
{
    (void)state;
    struct random_generator random;
    random_generator_init(&random, 7);
    struct arena *arena = arena_create(0);
    for (int round = 0; round < 3000; round++) {
        struct byte_buffer buffer = {0};
        arena_reset(arena);
        struct entry_part part = random_part(&random, arena);
        entry_encode_write(&buffer, 1, 1);
        entry_encode_part(&buffer, &part);
        for (uint32_t i = 0; i < 1 + random_below(&random.base, 4); i++)
            buffer.bytes[random_below(&random.base, (uint32_t)buffer.size)] =
                (uint8_t)random_next(&random.base);
        enum error_code code = decode_all(buffer.bytes, buffer.size, arena);
        assert_true(code == ERROR_NONE || code == ERROR_CORRUPT || code == ERROR_UNSUPPORTED ||
                    code == ERROR_LIMIT);
        byte_buffer_clear(&buffer);
    }
    arena_destroy(arena);
}

static void an_unknown_kind_or_version_is_unsupported(void **state)
{
    (void)state;
    const uint8_t kinds[][3] = {{0, 1, 0}, {200, 1, 0}, {1, 2, 0}, {1, 0, 0}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct byte_reader reader = byte_reader_over(kinds[i], 3);
        struct entry_header header;
        struct error error;
        assert_int_equal(entry_decode_header(&reader, &header, &error), ERROR_UNSUPPORTED);
    }
}

/* --- The stored sample ------------------------------------------------------------------------ */

static void the_stored_sample_is_still_understood(void **state)
{
    (void)state;
    uint8_t bytes[4096];
    FILE *file = fopen("samples/write.entry", "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    struct arena *arena = arena_create(0);
    struct byte_reader reader = byte_reader_over(bytes, size);
    struct entry_header header;
    struct entry_part part;
    struct error error;
    uint64_t next_id;
    bool more;
    assert_int_equal(entry_decode_header(&reader, &header, &error), ERROR_NONE);
    assert_int_equal(header.stamp_ms, 1700000000123);
    assert_int_equal(entry_decode_next_id(&reader, &next_id, &error), ERROR_NONE);
    assert_int_equal(next_id, 41);
    assert_int_equal(entry_decode_part(&reader, arena, &part, &more, &error), ERROR_NONE);
    char text[128];
    assert_int_equal(part.series_count, 1);
    assert_string_equal(labels_format(text, sizeof text, part.series[0].labels),
                        "up{instance=\"a:9100\", job=\"node\"}");
    assert_int_equal(part.series[0].slot, 1234);
    assert_int_equal(part.float_count, 4);
    static const double VALUES[] = {1, 12.34, -0.125, 0};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(part.ids[i], 41 + i);
        assert_int_equal(part.timestamps_ms[i], 1700000000000);
        if (i < 3)
            assert_true(part.values[i] == VALUES[i]);
    }
    assert_true(value_is_stale(part.values[3]));
    assert_int_equal(part.histogram_count, 1);
    assert_int_equal(part.histograms[0].histogram.count.integer, 6);
    assert_int_equal(part.exemplar_count, 1);
    assert_int_equal(part.metadata_count, 1);
    assert_true(text_equal(part.metadata[0].metadata.unit, TEXT("seconds")));
    /* What is written today is what was written then. */
    struct byte_buffer again = {0};
    entry_encode_write(&again, header.stamp_ms, next_id);
    entry_encode_part(&again, &part);
    assert_int_equal(again.size, size);
    assert_memory_equal(again.bytes, bytes, size);
    byte_buffer_clear(&again);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_comes_back_as_it_was_encoded),
        cmocka_unit_test(labels_of_a_target_are_not_repeated),
        cmocka_unit_test(labels_share_no_more_than_there_is),
        cmocka_unit_test(a_cut_write_is_never_taken_for_a_whole_one),
        cmocka_unit_test(random_damage_is_an_error_or_another_write_but_never_a_crash),
        cmocka_unit_test(an_unknown_kind_or_version_is_unsupported),
        cmocka_unit_test(the_stored_sample_is_still_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
