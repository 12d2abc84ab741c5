#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "head/head.h"
#include "head_model.h"

/* --- Support ---------------------------------------------------------------------------------- */

enum { SERIES_PER_TARGET = 10, UNKNOWN_FROM = 1000000 };

static bool target_by_tens(void *context, uint64_t series_id, uint64_t *target_id_out)
{
    (void)context;
    *target_id_out = series_id / SERIES_PER_TARGET;
    return series_id < UNKNOWN_FROM;
}

static struct head *head_with(size_t memory_limit_bytes, uint32_t exemplars_max)
{
    struct head_options options = {.target_of = target_by_tens,
                                   .memory_limit_bytes = memory_limit_bytes,
                                   .exemplars_max = exemplars_max};
    struct head *head;
    struct error error;
    assert_int_equal(head_create(&options, &head, &error), ERROR_NONE);
    return head;
}

static enum error_code append_any(struct head *head, uint64_t id, struct model_sample sample,
                                  enum head_verdict *verdict_out)
{
    double value = double_from_bits(sample.bits);
    struct head_batch batch = {.count = 1,
                               .series_ids = &id,
                               .timestamps_ms = &sample.timestamp_ms,
                               .values = &value,
                               .histograms = &sample.histogram,
                               .start_timestamps_ms = &sample.start_ms};
    struct head_append_result result;
    struct error error;
    uint8_t verdict = HEAD_VERDICTS;
    enum error_code code = head_append(head, &batch, &verdict, &result, &error);
    *verdict_out = (enum head_verdict)verdict;
    return code;
}

static enum head_verdict append(struct head *head, uint64_t id, int64_t timestamp_ms, double value)
{
    enum head_verdict verdict;
    struct model_sample sample = {.timestamp_ms = timestamp_ms, .bits = double_to_bits(value)};
    assert_int_equal(append_any(head, id, sample, &verdict), ERROR_NONE);
    return verdict;
}

static struct head_reader *reader_of(struct head *head)
{
    struct head_reader *reader;
    struct error error;
    assert_int_equal(head_reader_open(head, &reader, &error), ERROR_NONE);
    return reader;
}

static struct sample_columns read_range(struct head_reader *reader, uint64_t id, int64_t start_ms,
                                        int64_t end_ms)
{
    struct sample_columns columns;
    struct error error;
    assert_int_equal(head_reader_read(reader, id, start_ms, end_ms, &columns, &error), ERROR_NONE);
    return columns;
}

static void check_sample(const struct sample_columns *columns, size_t i,
                         const struct model_sample *expected)
{
    assert_int_equal(columns->timestamps_ms[i], expected->timestamp_ms);
    const struct histogram *histogram = columns->histograms == NULL ? NULL : columns->histograms[i];
    if (expected->histogram == NULL) {
        assert_null(histogram);
        assert_int_equal(double_to_bits(columns->values[i]), expected->bits);
    } else {
        assert_non_null(histogram);
        assert_true(histogram_equal(histogram, expected->histogram));
    }
    int64_t start_ms = columns->start_timestamps_ms == NULL ? 0 : columns->start_timestamps_ms[i];
    assert_int_equal(start_ms, expected->start_ms);
}

static void check_range(struct head_reader *reader, uint64_t id, const struct model_series *model,
                        int64_t start_ms, int64_t end_ms)
{
    size_t first = 0;
    while (first < model->count && model->samples[first].timestamp_ms < start_ms)
        first++;
    size_t end = first;
    while (end < model->count && model->samples[end].timestamp_ms <= end_ms)
        end++;
    struct sample_columns columns = read_range(reader, id, start_ms, end_ms);
    assert_int_equal(columns.count, end - first);
    for (size_t i = 0; i < columns.count; i++)
        check_sample(&columns, i, &model->samples[first + i]);

    struct sample_columns latest;
    struct error error;
    assert_int_equal(head_reader_read_latest(reader, id, start_ms, end_ms, &latest, &error),
                     ERROR_NONE);
    assert_int_equal(latest.count, end > first);
    if (end > first)
        check_sample(&latest, 0, &model->samples[end - 1]);
}

static uint64_t random_bits(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t below(uint64_t *state, uint64_t bound)
{
    return (random_bits(state) >> 11) % bound;
}

/* --- One series ------------------------------------------------------------------------------- */

static void samples_are_read_back_in_order(void **state)
{
    (void)state;
    struct head *head = head_with(0, 0);
    struct head_reader *reader = reader_of(head);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(append(head, 1, 1000 + 15000 * i, i * 0.25), HEAD_APPENDED);
    struct sample_columns columns = read_range(reader, 1, 0, INT64_MAX);
    assert_int_equal(columns.count, 3000);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(columns.timestamps_ms[i], 1000 + 15000 * i);
        assert_true(columns.values[i] == i * 0.25);
    }
    assert_null(columns.histograms);
    assert_null(columns.start_timestamps_ms);
    assert_int_not_equal(columns.timestamps_id, 0);
    columns = read_range(reader, 1, 1001, 1000 + 15000 * 2);
    assert_int_equal(columns.count, 2);
    head_reader_close(reader);
    head_unref(head);
}

static void every_kind_of_bits_survives(void **state)
{
    (void)state;
    static const uint64_t BITS[] = {
        STALE_MARKER_BITS,
        NORMAL_NAN_BITS,
        0x8000000000000000,
        0,
        0x7ff0000000000000,
        0xfff0000000000000,
        1,
        0x7fefffffffffffff,
        0x3fb999999999999a,
        0x4340000000000001,
        0xc3dfffffffffffff,
        0x43e0000000000000,
    };
    enum { COUNT = sizeof BITS / sizeof BITS[0] };
    struct head *head = head_with(0, 0);
    struct head_reader *reader = reader_of(head);
    for (int i = 0; i < COUNT * COUNT * 3; i++) {
        /* Every kind after every other, some of them repeated. */
        uint64_t bits = i % 3 == 0 ? BITS[i / 3 % COUNT] : BITS[i / 3 / COUNT];
        append(head, 7, i, double_from_bits(bits));
    }
    struct sample_columns columns = read_range(reader, 7, INT64_MIN, INT64_MAX);
    assert_int_equal(columns.count, COUNT * COUNT * 3);
    for (int i = 0; i < COUNT * COUNT * 3; i++)
        assert_int_equal(double_to_bits(columns.values[i]),
                         i % 3 == 0 ? BITS[i / 3 % COUNT] : BITS[i / 3 / COUNT]);
    head_reader_close(reader);
    head_unref(head);
}

static void verdicts_follow_the_total_order(void **state)
{
    (void)state;
    struct head *head = head_with(0, 0);
    assert_int_equal(append(head, 1, 100, 1), HEAD_APPENDED);
    assert_int_equal(append(head, 1, 100, 1), HEAD_DUPLICATE);
    assert_int_equal(append(head, 1, 100, 2), HEAD_REPLACED);
    assert_int_equal(append(head, 1, 100, 1), HEAD_KEPT);
    assert_int_equal(append(head, 1, 100, double_from_bits(STALE_MARKER_BITS)), HEAD_KEPT);
    assert_int_equal(append(head, 1, 200, 3), HEAD_APPENDED);
    assert_int_equal(append(head, 1, 150, 3), HEAD_LATE);
    assert_int_equal(append(head, 1, 150, 3), HEAD_DUPLICATE);
    assert_int_equal(append(head, 1, 100, 2), HEAD_DUPLICATE);
    assert_int_equal(append(head, 1, 100, 1), HEAD_KEPT);
    assert_int_equal(append(head, 1, 100, 5), HEAD_REPLACED);
    assert_int_equal(append(head, UNKNOWN_FROM, 1, 1), HEAD_UNKNOWN_SERIES);

    struct head_newest newest;
    assert_true(head_newest_sample(head, 1, &newest));
    assert_int_equal(newest.timestamp_ms, 200);
    assert_int_equal(newest.bits, double_to_bits(3));
    assert_false(head_newest_sample(head, 2, &newest));

    struct head_reader *reader = reader_of(head);
    struct sample_columns columns = read_range(reader, 1, 0, 1000);
    assert_int_equal(columns.count, 3);
    assert_true(columns.values[0] == 5);
    head_reader_close(reader);

    struct head_statistics statistics;
    head_read_statistics(head, &statistics);
    assert_int_equal(statistics.series_count, 1);
    assert_int_equal(statistics.sample_count, 2);
    assert_int_equal(statistics.late_count, 2);
    assert_int_equal(statistics.start_ms, 100);
    assert_int_equal(statistics.end_ms, 200);
    head_unref(head);
}

/* --- Time columns ----------------------------------------------------------------------------- */

static void series_of_a_target_share_timestamps(void **state)
{
    (void)state;
    struct head *head = head_with(0, 0);
    struct head_reader *reader = reader_of(head);
    for (int i = 0; i < 700; i++)
        for (uint64_t id = 0; id < 12; id++)
            append(head, id, 15000 * i, (double)(i * (int)id));
    uint64_t first = read_range(reader, 0, 0, INT64_MAX).timestamps_id;
    assert_int_not_equal(first, 0);
    for (uint64_t id = 1; id < SERIES_PER_TARGET; id++)
        assert_int_equal(read_range(reader, id, 0, INT64_MAX).timestamps_id, first);
    assert_int_not_equal(read_range(reader, 11, 0, INT64_MAX).timestamps_id, first);
    assert_int_not_equal(read_range(reader, 1, 15000, INT64_MAX).timestamps_id, first);
    head_reader_close(reader);
    head_unref(head);
}

/* Two groups of one target, one second apart, must not break each other's runs for ever. */
static void groups_with_other_timestamps_part(void **state)
{
    (void)state;
    struct head *head = head_with(0, 0);
    struct head_reader *reader = reader_of(head);
    for (int i = 0; i < 500; i++)
        for (uint64_t id = 0; id < 10; id++)
            append(head, id, 15000 * i + (id >= 5 ? 1000 : 0), i);
    struct sample_columns columns = read_range(reader, 1, 15000 * 100, INT64_MAX);
    assert_int_not_equal(columns.timestamps_id, 0);
    assert_int_equal(columns.count, 400);
    uint64_t one = columns.timestamps_id;
    assert_int_equal(read_range(reader, 4, 15000 * 100, INT64_MAX).timestamps_id, one);
    uint64_t other = read_range(reader, 5, 15000 * 100, INT64_MAX).timestamps_id;
    assert_int_not_equal(other, 0);
    assert_int_not_equal(other, one);
    assert_int_equal(read_range(reader, 9, 15000 * 100, INT64_MAX).timestamps_id, other);
    head_reader_close(reader);
    head_unref(head);
}

/* --- Against the model ------------------------------------------------------------------------ */

enum { MODEL_SERIES = 30, MODEL_HISTOGRAMS = 8 };

static const struct histogram *test_histogram(unsigned number)
{
    static const struct histogram_span SPANS[] = {{-3, 2}, {1, 2}};
    static const double BOUNDS[] = {0.5, 1, 10};
    static union histogram_number buckets[MODEL_HISTOGRAMS][4];
    static struct histogram histograms[MODEL_HISTOGRAMS];
    struct histogram *histogram = &histograms[number];
    bool is_float = number % 3 == 2;
    *histogram = (struct histogram){.kind = is_float ? HISTOGRAM_FLOAT : HISTOGRAM_INTEGER,
                                    .schema = 3,
                                    .zero_threshold = 1e-128,
                                    .sum = number * 1.5,
                                    .positive_span_count = 2,
                                    .positive_bucket_count = 4,
                                    .positive_spans = SPANS,
                                    .positive_buckets = buckets[number]};
    if (number % 4 == 1) {
        histogram->schema = HISTOGRAM_SCHEMA_CUSTOM;
        histogram->zero_threshold = 0;
        histogram->custom_bounds = BOUNDS;
        histogram->custom_bound_count = 3;
    }
    for (unsigned i = 0; i < 4; i++) {
        if (is_float)
            buckets[number][i].real = 0.5 * i + number;
        else
            buckets[number][i].integer = i * i + number;
    }
    return histogram;
}

/* What a sender may do to a series: regular, gaps, repeats, conflicts, late, other kinds. */
static struct model_sample model_next(uint64_t *random, unsigned series, int64_t tick)
{
    struct model_sample sample = {.timestamp_ms = tick * 15000};
    unsigned kind = series % 6;
    uint64_t dice = below(random, 100);
    if (kind >= 3 && dice < 6)
        sample.timestamp_ms -= (int64_t)below(random, 40) * 5000;
    if (kind == 4)
        sample.timestamp_ms += (int64_t)below(random, 3000);
    switch (below(random, 6) + (kind == 2 ? 4 : 0)) {
    case 0:
        sample.bits = double_to_bits((double)(tick / 50));
        break;
    case 1:
        sample.bits = double_to_bits((double)below(random, 5000) / 100);
        break;
    case 2:
        sample.bits = double_to_bits((double)(tick * 7 + (int64_t)below(random, 9)));
        break;
    case 3:
        sample.bits = below(random, 20) == 0 ? STALE_MARKER_BITS : double_to_bits(3);
        break;
    default:
        sample.bits = series % 2 == 0 ? random_bits(random) : double_to_bits((double)tick);
        break;
    }
    if (kind == 5 && below(random, 40) < (uint64_t)(tick / 100 % 3) * 20)
        sample.histogram = test_histogram((unsigned)below(random, MODEL_HISTOGRAMS));
    return sample;
}

static void the_head_is_what_a_naive_table_is(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15);
        struct head *head = head_with(0, 0);
        struct head_reader *reader = reader_of(head);
        struct model_series models[MODEL_SERIES] = {0};
        for (int64_t tick = 1; tick <= 1200; tick++) {
            for (unsigned id = 0; id < MODEL_SERIES; id++) {
                if (id % 5 == 1 && below(&random, 20) == 0)
                    continue; /* a gap */
                struct model_sample sample = model_next(&random, id, tick);
                size_t before = models[id].count;
                enum head_verdict verdict;
                assert_int_equal(append_any(head, id, sample, &verdict), ERROR_NONE);
                model_append(&models[id], sample);
                bool added = models[id].count > before;
                if (added)
                    assert_true(verdict == HEAD_APPENDED || verdict == HEAD_LATE);
                else
                    assert_true(verdict != HEAD_APPENDED);
            }
            unsigned id = (unsigned)below(&random, MODEL_SERIES);
            int64_t start_ms = (int64_t)below(&random, (uint64_t)tick * 15000 + 1);
            check_range(reader, id, &models[id], start_ms,
                        start_ms + (int64_t)below(&random, 600000));
        }
        for (unsigned id = 0; id < MODEL_SERIES; id++) {
            check_range(reader, id, &models[id], INT64_MIN, INT64_MAX);
            free(models[id].samples);
        }
        head_reader_close(reader);
        head_unref(head);
    }
}

/* In-order and late samples of the walk, merged again, are what a reader sees. */
static void the_walk_holds_every_sample_apart(void **state)
{
    (void)state;
    uint64_t random = 4711;
    struct head *head = head_with(0, 0);
    struct model_series models[MODEL_SERIES] = {0};
    for (int64_t tick = 1; tick <= 800; tick++) {
        for (unsigned id = 0; id < MODEL_SERIES; id++) {
            struct model_sample sample = model_next(&random, id, tick);
            enum head_verdict verdict;
            append_any(head, id, sample, &verdict);
            model_append(&models[id], sample);
        }
    }
    struct head_iterator *iterator;
    struct error error;
    assert_int_equal(head_iterator_create(head, &iterator, &error), ERROR_NONE);
    struct head_series_content content;
    bool more;
    for (uint64_t id = 0; id < MODEL_SERIES; id++) {
        assert_int_equal(head_iterator_next(iterator, &content, &more, &error), ERROR_NONE);
        assert_true(more);
        assert_int_equal(content.series_id, id);
        assert_int_equal(content.target_id, id / SERIES_PER_TARGET);
        size_t i = 0;
        size_t j = 0;
        for (size_t k = 0; k < models[id].count; k++) {
            const struct model_sample *expected = &models[id].samples[k];
            bool in_current = i < content.current.count &&
                              content.current.timestamps_ms[i] == expected->timestamp_ms;
            bool in_late =
                j < content.late.count && content.late.timestamps_ms[j] == expected->timestamp_ms;
            assert_true(in_current || in_late);
            if (in_late)
                check_sample(&content.late, j, expected);
            else
                check_sample(&content.current, i, expected);
            i += in_current;
            j += in_late;
        }
        assert_int_equal(i, content.current.count);
        assert_int_equal(j, content.late.count);
        free(models[id].samples);
    }
    assert_int_equal(head_iterator_next(iterator, &content, &more, &error), ERROR_NONE);
    assert_false(more);
    head_iterator_destroy(iterator);
    head_unref(head);
}

/* Targets far apart, in no order: ids of both the lowest and the highest digits. */
static bool target_scattered(void *context, uint64_t series_id, uint64_t *target_id_out)
{
    (void)context;
    *target_id_out =
        series_id % 7 == 0 ? series_id % 3 : series_id * UINT64_C(0x9e3779b97f4a7c15) >> 8;
    return true;
}

static void the_walk_goes_by_target_then_by_series(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    struct head_options options = {.target_of = target_scattered};
    struct head *head;
    struct error error;
    assert_int_equal(head_create(&options, &head, &error), ERROR_NONE);
    for (uint64_t id = 0; id < COUNT; id++)
        append(head, id, 1000, 1);
    struct head_iterator *iterator;
    assert_int_equal(head_iterator_create(head, &iterator, &error), ERROR_NONE);
    struct head_series_content content;
    struct head_series_content before = {0};
    bool more;
    size_t count = 0;
    for (;; count++) {
        assert_int_equal(head_iterator_next(iterator, &content, &more, &error), ERROR_NONE);
        if (!more)
            break;
        uint64_t target_id;
        target_scattered(NULL, content.series_id, &target_id);
        assert_int_equal(content.target_id, target_id);
        assert_true(
            count == 0 || content.target_id > before.target_id ||
            (content.target_id == before.target_id && content.series_id > before.series_id));
        before = content;
    }
    assert_int_equal(count, COUNT);
    head_iterator_destroy(iterator);
    head_unref(head);
}

/* Batches are how samples come, not what they are. */
static void batches_may_be_cut_anywhere(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    static uint64_t ids[COUNT];
    static int64_t timestamps_ms[COUNT];
    static int64_t starts_ms[COUNT];
    static double values[COUNT];
    static const struct histogram *histograms[COUNT];
    static uint8_t verdicts[2][COUNT];
    uint64_t random = 815;
    for (size_t i = 0; i < COUNT; i++) {
        ids[i] = below(&random, MODEL_SERIES);
        struct model_sample sample =
            model_next(&random, (unsigned)ids[i], (int64_t)i / MODEL_SERIES);
        timestamps_ms[i] = sample.timestamp_ms;
        starts_ms[i] = ids[i] == 3 ? timestamps_ms[i] / 1000000 : 0;
        values[i] = double_from_bits(sample.bits);
        histograms[i] = sample.histogram;
    }
    struct head *heads[2] = {head_with(0, 0), head_with(0, 0)};
    for (int h = 0; h < 2; h++) {
        for (size_t done = 0, count; done < COUNT; done += count) {
            count = h == 0 ? 1 : 1 + below(&random, 700);
            if (count > COUNT - done)
                count = COUNT - done;
            struct head_batch batch = {.count = count,
                                       .series_ids = ids + done,
                                       .timestamps_ms = timestamps_ms + done,
                                       .values = values + done,
                                       .histograms = histograms + done,
                                       .start_timestamps_ms = starts_ms + done};
            struct head_append_result result;
            struct error error;
            assert_int_equal(head_append(heads[h], &batch, verdicts[h] + done, &result, &error),
                             ERROR_NONE);
            assert_int_equal(result.done, count);
        }
    }
    assert_memory_equal(verdicts[0], verdicts[1], COUNT);
    struct head_statistics statistics[2];
    head_read_statistics(heads[0], &statistics[0]);
    head_read_statistics(heads[1], &statistics[1]);
    assert_memory_equal(&statistics[0], &statistics[1], sizeof statistics[0]);
    struct head_reader *readers[2] = {reader_of(heads[0]), reader_of(heads[1])};
    for (uint64_t id = 0; id < MODEL_SERIES; id++) {
        struct sample_columns one = read_range(readers[0], id, INT64_MIN, INT64_MAX);
        struct sample_columns other = read_range(readers[1], id, INT64_MIN, INT64_MAX);
        assert_int_equal(one.count, other.count);
        assert_int_equal(one.timestamps_id, other.timestamps_id);
        for (size_t i = 0; i < one.count; i++) {
            struct model_sample expected = {
                .timestamp_ms = one.timestamps_ms[i],
                .bits = double_to_bits(one.values[i]),
                .histogram = one.histograms == NULL ? NULL : one.histograms[i],
                .start_ms = one.start_timestamps_ms == NULL ? 0 : one.start_timestamps_ms[i]};
            check_sample(&other, i, &expected);
        }
    }
    for (int h = 0; h < 2; h++) {
        head_reader_close(readers[h]);
        head_unref(heads[h]);
    }
}

/* --- Start timestamps and exemplars ----------------------------------------------------------- */

/* Whichever came first, and although the loser has a start timestamp and the winner none. */
static void late_samples_of_one_timestamp_keep_the_start_of_the_winner(void **state)
{
    (void)state;
    static const struct {
        double values[3]; /* the last one wins, wherever it stands */
        int64_t starts_ms[3];
    } CASES[] = {
        {{1, 2, 3}, {100, 200, 300}},
        {{3, 2, 1}, {300, 200, 100}},
        {{2, 3, 1}, {200, 0, 100}},
        {{1, 3, 2}, {0, 300, 0}},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct head *head = head_with(0, 0);
        append(head, 3, 9000, 9);
        for (size_t j = 0; j < 3; j++) {
            struct model_sample sample = {.timestamp_ms = 1000,
                                          .bits = double_to_bits(CASES[i].values[j]),
                                          .start_ms = CASES[i].starts_ms[j]};
            enum head_verdict verdict;
            assert_int_equal(append_any(head, 3, sample, &verdict), ERROR_NONE);
        }
        struct head_reader *reader = reader_of(head);
        struct sample_columns columns = read_range(reader, 3, 0, 5000);
        assert_int_equal(columns.count, 1);
        assert_true(columns.values[0] == 3);
        for (size_t j = 0; j < 3; j++)
            if (CASES[i].values[j] == 3)
                assert_int_equal(
                    columns.start_timestamps_ms == NULL ? 0 : columns.start_timestamps_ms[0],
                    CASES[i].starts_ms[j]);
        head_reader_close(reader);
        head_unref(head);
    }
}

static void start_timestamps_stay_with_their_samples(void **state)
{
    (void)state;
    struct head *head = head_with(0, 0);
    struct model_series model = {0};
    for (int i = 1; i < 1000; i++) {
        struct model_sample sample = {.timestamp_ms = i * 1000,
                                      .bits = double_to_bits(i),
                                      .start_ms = i < 20 ? 0 : i / 100 * 100000 + 1};
        if (i % 50 == 49) { /* late, with a start of its own */
            sample.timestamp_ms -= 10500;
            sample.start_ms = i;
        }
        enum head_verdict verdict;
        assert_int_equal(append_any(head, 3, sample, &verdict), ERROR_NONE);
        model_append(&model, sample);
    }
    struct head_reader *reader = reader_of(head);
    check_range(reader, 3, &model, 0, INT64_MAX);
    check_range(reader, 3, &model, 250000, 260000);
    check_range(reader, 3, &model, 0, 10000);
    assert_null(read_range(reader, 3, 0, 10000).start_timestamps_ms);
    head_reader_close(reader);
    free(model.samples);
    head_unref(head);
}

static enum head_exemplar_verdict add_exemplar(struct head *head, uint64_t id, int64_t timestamp_ms,
                                               double value)
{
    static const uint8_t LABELS[] = "\x08trace_id\x04"
                                    "abcd";
    struct exemplar exemplar = {.labels = {.bytes = LABELS, .size = sizeof LABELS - 1},
                                .value = value,
                                .timestamp_ms = timestamp_ms};
    enum head_exemplar_verdict verdict;
    struct error error;
    assert_int_equal(head_exemplar_append(head, id, &exemplar, &verdict, &error), ERROR_NONE);
    return verdict;
}

static void the_oldest_exemplars_leave(void **state)
{
    (void)state;
    struct head *head = head_with(0, 100);
    struct error error;
    struct arena *arena = arena_create(0);
    assert_int_equal(add_exemplar(head, 1, 5, 1), HEAD_EXEMPLAR_UNKNOWN_SERIES);
    append(head, 1, 1, 1);
    append(head, 2, 1, 1);
    for (int i = 0; i < 75; i++) {
        assert_int_equal(add_exemplar(head, 1, 10 + i, i), HEAD_EXEMPLAR_ADDED);
        assert_int_equal(add_exemplar(head, 2, 10 + i, i), HEAD_EXEMPLAR_ADDED);
    }
    assert_int_equal(add_exemplar(head, 1, 84, 74), HEAD_EXEMPLAR_DUPLICATE);
    assert_int_equal(add_exemplar(head, 1, 83, 74), HEAD_EXEMPLAR_OUT_OF_ORDER);
    struct exemplar *exemplars;
    size_t count;
    assert_int_equal(head_read_exemplars(head, 1, 0, 1000, 0, arena, &exemplars, &count, &error),
                     ERROR_NONE);
    assert_int_equal(count, 50);
    for (size_t i = 0; i < count; i++) {
        assert_true(exemplars[i].value == (double)(25 + i));
        assert_int_equal(exemplars[i].timestamp_ms, 35 + i);
        assert_true(text_equal(labels_get(exemplars[i].labels, TEXT("trace_id")), TEXT("abcd")));
    }
    assert_int_equal(head_read_exemplars(head, 1, 0, 70, 3, arena, &exemplars, &count, &error),
                     ERROR_NONE);
    assert_int_equal(count, 3);
    assert_int_equal(exemplars[2].timestamp_ms, 70);
    arena_destroy(arena);
    head_unref(head);
}

/* --- Memory ----------------------------------------------------------------------------------- */

/* Whatever allocation fails, what was acknowledged stays and the rest can be sent again. */
static void appending_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (size_t limit = 4000; limit < 120000; limit += 97) {
        uint64_t random = 99;
        struct head *head = head_with(limit, 0);
        struct head_reader *reader = reader_of(head);
        struct model_series models[MODEL_SERIES] = {0};
        for (int64_t tick = 1; tick <= 40; tick++) {
            for (unsigned id = 0; id < MODEL_SERIES; id++) {
                struct model_sample sample = model_next(&random, id, tick);
                sample.start_ms = id == 7 && sample.timestamp_ms == tick * 15000 ? tick / 10 : 0;
                enum head_verdict verdict;
                enum error_code code = append_any(head, id, sample, &verdict);
                if (code == ERROR_NONE)
                    model_append(&models[id], sample);
                else
                    assert_int_equal(code, ERROR_OUT_OF_MEMORY);
            }
        }
        struct head_statistics statistics;
        head_read_statistics(head, &statistics);
        assert_true(statistics.used_bytes <= limit);
        for (unsigned id = 0; id < MODEL_SERIES; id++) {
            struct sample_columns columns = read_range(reader, id, INT64_MIN, INT64_MAX);
            assert_int_equal(columns.count, models[id].count);
            for (size_t i = 0; i < columns.count; i++) {
                /* A failed sample may have left its start timestamp to the next. */
                models[id].samples[i].start_ms =
                    columns.start_timestamps_ms == NULL ? 0 : columns.start_timestamps_ms[i];
                check_sample(&columns, i, &models[id].samples[i]);
            }
            free(models[id].samples);
        }
        head_reader_close(reader);
        head_unref(head);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_read_back_in_order),
        cmocka_unit_test(every_kind_of_bits_survives),
        cmocka_unit_test(verdicts_follow_the_total_order),
        cmocka_unit_test(series_of_a_target_share_timestamps),
        cmocka_unit_test(groups_with_other_timestamps_part),
        cmocka_unit_test(the_head_is_what_a_naive_table_is),
        cmocka_unit_test(the_walk_holds_every_sample_apart),
        cmocka_unit_test(the_walk_goes_by_target_then_by_series),
        cmocka_unit_test(batches_may_be_cut_anywhere),
        cmocka_unit_test(start_timestamps_stay_with_their_samples),
        cmocka_unit_test(late_samples_of_one_timestamp_keep_the_start_of_the_winner),
        cmocka_unit_test(the_oldest_exemplars_leave),
        cmocka_unit_test(appending_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
