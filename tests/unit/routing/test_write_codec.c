/* Bytes of writes and their outcomes: what is encoded is what is decoded, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "platform/random.h"

#include "write_codec.h"

enum { SAMPLES_MAX = 300 };

enum shape { SHAPE_SCRAPE, SHAPE_BACKFILL, SHAPE_ANYTHING, SHAPES };

static struct random_generator generator;

static uint64_t random_bits(void)
{
    return random_next(&generator.base);
}

static size_t pick(size_t bound)
{
    return (size_t)(random_bits() % bound);
}

/* --- Writes ----------------------------------------------------------------------------------- */

static struct labels some_labels(struct arena *arena, size_t number)
{
    struct label labels[] = {{LABEL_METRIC_NAME, TEXT("requests_total")},
                             {TEXT("number"), arena_format(arena, "%zu", number)}};
    return labels_build(arena, labels, 2);
}

static uint64_t some_id(enum shape shape, size_t new_count)
{
    if (new_count > 0 && pick(4) == 0)
        return SHARD_SERIES_NEW | pick(new_count);
    return shape == SHAPE_ANYTHING ? random_bits() & ~SHARD_SERIES_NEW : pick(1000000);
}

static int64_t some_time(enum shape shape, size_t i)
{
    if (shape == SHAPE_SCRAPE)
        return INT64_C(1700000000000) + (int64_t)(i / 100) * 17;
    if (shape == SHAPE_BACKFILL)
        return INT64_C(1700000000000) + (int64_t)pick(1000000);
    return (int64_t)random_bits();
}

static void add_floats(struct shard_write *write, struct arena *arena, enum shape shape)
{
    size_t count = write->float_count = pick(SAMPLES_MAX);
    bool has_starts = pick(4) == 0;
    write->ids = arena_array(arena, count, sizeof *write->ids);
    write->timestamps_ms = arena_array(arena, count, sizeof *write->timestamps_ms);
    write->values = arena_array(arena, count, sizeof *write->values);
    write->origins = arena_array(arena, count, sizeof *write->origins);
    if (has_starts)
        write->start_timestamps_ms = arena_array(arena, count, sizeof(int64_t));
    for (size_t i = 0; i < count; i++) {
        write->ids[i] = some_id(shape, write->new_series_count);
        write->timestamps_ms[i] = some_time(shape, i);
        write->values[i] = double_from_bits(random_bits());
        write->origins[i] = (uint32_t)(7 * i);
        if (has_starts)
            write->start_timestamps_ms[i] = (int64_t)random_bits();
    }
}

static void add_others(struct shard_write *write, struct arena *arena)
{
    static const struct histogram_span SPAN = {1, 2};
    static const union histogram_number BUCKETS[] = {{.integer = 3}, {.integer = 4}};
    write->histogram_count = pick(4);
    write->histograms = arena_array(arena, write->histogram_count, sizeof *write->histograms);
    write->histogram_origins = arena_array(arena, write->histogram_count, sizeof(uint32_t));
    for (size_t i = 0; i < write->histogram_count; i++) {
        write->histograms[i] =
            (struct entry_histogram){.id = some_id(SHAPE_SCRAPE, write->new_series_count),
                                     .timestamp_ms = 5 + (int64_t)i,
                                     .histogram = {.count.integer = 7,
                                                   .sum = 12,
                                                   .positive_span_count = 1,
                                                   .positive_bucket_count = 2,
                                                   .positive_spans = &SPAN,
                                                   .positive_buckets = BUCKETS}};
        write->histogram_origins[i] = (uint32_t)(100000 + i);
    }
    write->exemplar_count = pick(3);
    write->exemplars = arena_array(arena, write->exemplar_count, sizeof *write->exemplars);
    for (size_t i = 0; i < write->exemplar_count; i++)
        write->exemplars[i] =
            (struct entry_exemplar){.id = some_id(SHAPE_SCRAPE, write->new_series_count),
                                    .exemplar = {some_labels(arena, i), 2.5, 77}};
    write->metadata_count = pick(3);
    write->metadata = arena_array(arena, write->metadata_count, sizeof *write->metadata);
    for (size_t i = 0; i < write->metadata_count; i++)
        write->metadata[i] = (struct entry_metadata){arena_format(arena, "metric_%zu", i),
                                                     {METRIC_COUNTER, TEXT("help"), TEXT("s")}};
}

static struct shard_write some_write(struct arena *arena, enum shape shape)
{
    struct shard_write write = {.tenant = TEXT("anonymous"), .source = {0}};
    if (pick(2) == 0)
        write.source = TEXT("replica-b");
    write.new_series_count = pick(5);
    write.new_series = arena_array(arena, write.new_series_count, sizeof *write.new_series);
    for (size_t i = 0; i < write.new_series_count; i++)
        write.new_series[i] = (struct shard_new_series){.labels = some_labels(arena, i),
                                                        .slot = (uint16_t)pick(SLOT_COUNT)};
    add_floats(&write, arena, shape);
    if (pick(3) == 0)
        add_others(&write, arena);
    write.stale_origins =
        arena_array(arena, write.float_count + write.histogram_count, sizeof(uint32_t));
    return write;
}

static void assert_same(const void *left, const void *right, size_t count, size_t element_bytes)
{
    if (count > 0)
        assert_memory_equal(left, right, count * element_bytes);
}

static void assert_equal(const struct shard_write *sent, const struct shard_write *received)
{
    assert_true(text_equal(sent->tenant, received->tenant));
    assert_true(text_equal(sent->source, received->source));
    assert_int_equal(sent->float_count, received->float_count);
    assert_int_equal(sent->new_series_count, received->new_series_count);
    assert_int_equal(sent->histogram_count, received->histogram_count);
    assert_int_equal(sent->exemplar_count, received->exemplar_count);
    assert_int_equal(sent->metadata_count, received->metadata_count);
    assert_same(sent->ids, received->ids, sent->float_count, 8);
    assert_same(sent->values, received->values, sent->float_count, 8);
    assert_same(sent->timestamps_ms, received->timestamps_ms, sent->float_count, 8);
    assert_true(sent->start_timestamps_ms == NULL || received->start_timestamps_ms != NULL ||
                sent->float_count == 0);
    if (sent->start_timestamps_ms != NULL)
        assert_same(sent->start_timestamps_ms, received->start_timestamps_ms, sent->float_count, 8);
    for (size_t i = 0; i < sent->float_count; i++)
        assert_int_equal(received->origins[i], i);
    for (size_t i = 0; i < sent->new_series_count; i++) {
        assert_true(labels_equal(sent->new_series[i].labels, received->new_series[i].labels));
        assert_int_equal(sent->new_series[i].slot, received->new_series[i].slot);
        assert_int_equal(received->new_series[i].id, SHARD_ID_UNKNOWN);
    }
    for (size_t i = 0; i < sent->histogram_count; i++) {
        assert_int_equal(sent->histograms[i].id, received->histograms[i].id);
        assert_true(
            histogram_equal(&sent->histograms[i].histogram, &received->histograms[i].histogram));
        assert_int_equal(received->histogram_origins[i], sent->float_count + i);
    }
    for (size_t i = 0; i < sent->exemplar_count; i++)
        assert_int_equal(sent->exemplars[i].id, received->exemplars[i].id);
    for (size_t i = 0; i < sent->metadata_count; i++)
        assert_true(text_equal(sent->metadata[i].metric_name, received->metadata[i].metric_name));
}

/* --- Questions -------------------------------------------------------------------------------- */

static void a_write_is_decoded_as_it_was_encoded(void **state)
{
    (void)state;
    random_generator_init(&generator, 1);
    for (unsigned i = 0; i < 3000; i++) {
        struct arena *arena = arena_create(0);
        struct shard_write sent = some_write(arena, (enum shape)(i % SHAPES)), received;
        uint32_t shard_id;
        struct error error;
        struct shared_bytes *bytes = write_question_encode(i, &sent);
        assert_non_null(bytes);
        if (write_question_decode(bytes->bytes, bytes->size, arena, &shard_id, &received, &error) !=
            ERROR_NONE)
            fail_msg("%s", error.message);
        assert_int_equal(shard_id, i);
        assert_equal(&sent, &received);
        shared_bytes_unref(bytes);
        arena_destroy(arena);
    }
}

static void a_cut_or_longer_write_is_refused(void **state)
{
    (void)state;
    random_generator_init(&generator, 2);
    for (unsigned i = 0; i < 30; i++) {
        struct arena *arena = arena_create(0);
        struct shard_write sent = some_write(arena, (enum shape)(i % SHAPES)), received;
        uint32_t shard_id;
        struct error error;
        struct shared_bytes *bytes = write_question_encode(i, &sent);
        uint8_t *longer = calloc(1, bytes->size + 1);
        memcpy(longer, bytes->bytes, bytes->size);
        for (size_t size = 0; size <= bytes->size + 1; size++) {
            enum error_code code =
                write_question_decode(longer, size, arena, &shard_id, &received, &error);
            assert_int_equal(code == ERROR_NONE, size == bytes->size);
        }
        free(longer);
        shared_bytes_unref(bytes);
        arena_destroy(arena);
    }
}

/* What a known series costs on the wire: 4 bytes of id, 8 of value, hardly any of time. */
static void a_sample_of_a_scrape_takes_twelve_bytes(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    struct arena *arena = arena_create(0);
    struct shard_write write = {.tenant = TEXT("anonymous"), .float_count = COUNT};
    write.ids = arena_array(arena, COUNT, sizeof *write.ids);
    write.timestamps_ms = arena_array(arena, COUNT, sizeof *write.timestamps_ms);
    write.values = arena_array(arena, COUNT, sizeof *write.values);
    for (size_t i = 0; i < COUNT; i++) {
        write.ids[i] = i * 50;
        write.timestamps_ms[i] = INT64_C(1700000000000) + (int64_t)(i / 100);
    }
    struct shared_bytes *bytes = write_question_encode(1, &write);
    assert_in_range(bytes->size, 12 * COUNT, 12 * COUNT + 400);
    shared_bytes_unref(bytes);
    arena_destroy(arena);
}

static void samples_of_series_that_are_not_there_are_refused(void **state)
{
    (void)state;
    uint64_t ids[] = {SHARD_SERIES_NEW | 1};
    int64_t times[] = {1};
    double values[] = {1};
    struct arena *arena = arena_create(0);
    for (unsigned i = 0; i < 3; i++) {
        static const uint64_t IDS[] = {SHARD_SERIES_NEW | 1, SHARD_ID_UNKNOWN,
                                       SHARD_SERIES_NEW | 0};
        struct shard_new_series series = {.labels = some_labels(arena, 1), .slot = 3};
        struct shard_write write = {.new_series = &series,
                                    .new_series_count = 1,
                                    .ids = ids,
                                    .timestamps_ms = times,
                                    .values = values,
                                    .float_count = 1},
                           received;
        uint32_t shard_id;
        struct error error;
        ids[0] = IDS[i];
        struct shared_bytes *bytes = write_question_encode(1, &write);
        assert_int_equal(
            write_question_decode(bytes->bytes, bytes->size, arena, &shard_id, &received, &error),
            i == 2 ? ERROR_NONE : ERROR_CORRUPT);
        shared_bytes_unref(bytes);
    }
    arena_destroy(arena);
}

static void a_slot_or_labels_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    for (unsigned i = 0; i < 3; i++) {
        static const uint8_t UNSORTED[] = {1, 'b', 1, 'x', 1, 'a', 1, 'x'};
        struct shard_new_series series = {.labels = some_labels(arena, 1), .slot = 3};
        if (i == 1)
            series.slot = SLOT_COUNT;
        if (i == 2)
            series.labels = (struct labels){UNSORTED, sizeof UNSORTED};
        struct shard_write write = {.new_series = &series, .new_series_count = 1}, received;
        uint32_t shard_id;
        struct error error;
        struct shared_bytes *bytes = write_question_encode(1, &write);
        assert_int_equal(write_question_decode(bytes->bytes, bytes->size, arena, &shard_id,
                                               &received, &error) == ERROR_NONE,
                         i == 0);
        shared_bytes_unref(bytes);
    }
    arena_destroy(arena);
}

/* --- Answers ---------------------------------------------------------------------------------- */

/* The outcome as a shard that has the write would leave it: positions for origins. */
static void some_outcome(struct shard_write *received)
{
    size_t samples = received->float_count + received->histogram_count;
    for (size_t position = 0; position < samples; position++) {
        bool is_float = position < received->float_count;
        switch (pick(6)) {
        case 0:
            received->stale_origins[received->stale_count++] = (uint32_t)position;
            break;
        case 1: {
            enum shard_refusal_reason reason =
                (enum shard_refusal_reason)pick(SHARD_REFUSAL_REASONS);
            received->refused_counts[reason]++;
            if (received->refusal_count < SHARD_REFUSALS_KEPT)
                received->refusals[received->refusal_count++] =
                    (struct shard_refusal){reason, (uint32_t)position, (int64_t)random_bits()};
            break;
        }
        default:
            received->floats_written += is_float;
            received->histograms_written += !is_float;
        }
    }
    for (size_t i = 0; i < received->new_series_count; i++) {
        bool is_known = pick(3) > 0;
        received->new_series[i].id = is_known ? pick(1000) : SHARD_ID_UNKNOWN;
        received->new_series[i].created = is_known && pick(2) == 0;
    }
}

static uint32_t origin_at(const struct shard_write *sent, size_t position)
{
    return position < sent->float_count ? sent->origins[position]
                                        : sent->histogram_origins[position - sent->float_count];
}

static void assert_outcome(const struct shard_write *sent, const struct shard_write *received)
{
    assert_int_equal(sent->floats_written, received->floats_written);
    assert_int_equal(sent->histograms_written, received->histograms_written);
    assert_memory_equal(sent->refused_counts, received->refused_counts,
                        sizeof sent->refused_counts);
    assert_int_equal(sent->refusal_count, received->refusal_count);
    for (size_t i = 0; i < sent->refusal_count; i++) {
        assert_int_equal(sent->refusals[i].reason, received->refusals[i].reason);
        assert_int_equal(sent->refusals[i].origin, origin_at(sent, received->refusals[i].origin));
        assert_int_equal(sent->refusals[i].timestamp_ms, received->refusals[i].timestamp_ms);
    }
    assert_int_equal(sent->stale_count, received->stale_count);
    for (size_t i = 0; i < sent->stale_count; i++)
        assert_int_equal(sent->stale_origins[i], origin_at(sent, received->stale_origins[i]));
    for (size_t i = 0; i < sent->new_series_count; i++) {
        assert_int_equal(sent->new_series[i].id, received->new_series[i].id);
        assert_int_equal(sent->new_series[i].created, received->new_series[i].created);
    }
}

static void an_outcome_comes_back_with_the_askers_numbers(void **state)
{
    (void)state;
    random_generator_init(&generator, 3);
    for (unsigned i = 0; i < 1000; i++) {
        struct arena *arena = arena_create(0);
        struct shard_write sent = some_write(arena, (enum shape)(i % SHAPES)), received;
        uint32_t shard_id;
        struct error error;
        struct answer_head head;
        struct shared_bytes *question = write_question_encode(i, &sent);
        assert_int_equal(write_question_decode(question->bytes, question->size, arena, &shard_id,
                                               &received, &error),
                         ERROR_NONE);
        some_outcome(&received);
        struct shared_bytes *answer = write_answer_encode(i, &received);
        assert_true(answer->size <= write_answer_bytes_max(&sent));
        assert_int_equal(answer_head_decode(answer->bytes, answer->size, &head, &error),
                         ERROR_NONE);
        assert_int_equal(head.kind, ANSWER_DONE);
        assert_int_equal(head.index, i);
        for (size_t size = 0; i < 30 && size < answer->size; size++)
            assert_int_equal(write_answer_decode(answer->bytes, size, &sent, &error),
                             ERROR_CORRUPT);
        assert_int_equal(sent.floats_written + sent.stale_count, 0); /* untouched until then */
        if (write_answer_decode(answer->bytes, answer->size, &sent, &error) != ERROR_NONE)
            fail_msg("%s", error.message);
        assert_outcome(&sent, &received);
        shared_bytes_unref(question);
        shared_bytes_unref(answer);
        arena_destroy(arena);
    }
}

static void an_answer_to_another_write_is_refused(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    struct error error;
    random_generator_init(&generator, 4);
    for (unsigned i = 0; i < 200; i++) {
        struct shard_write one = some_write(arena, SHAPE_SCRAPE);
        struct shard_write other = one;
        some_outcome(&one);
        if (one.floats_written == 0)
            continue;
        struct shared_bytes *answer = write_answer_encode(1, &one);
        other.float_count = one.floats_written - 1;
        assert_int_equal(write_answer_decode(answer->bytes, answer->size, &other, &error),
                         ERROR_CORRUPT);
        other.float_count = one.float_count;
        other.new_series_count++;
        assert_int_equal(write_answer_decode(answer->bytes, answer->size, &other, &error),
                         ERROR_CORRUPT);
        shared_bytes_unref(answer);
    }
    arena_destroy(arena);
}

static void heads_of_answers_are_checked(void **state)
{
    (void)state;
    struct error error;
    struct answer_head head = {.kind = ANSWER_NOT_LEADER, .leader_id = 77}, decoded;
    struct shared_bytes *bytes = answer_encode(&head);
    assert_int_equal(bytes->size, ANSWER_HEAD_BYTES);
    assert_int_equal(answer_head_decode(bytes->bytes, bytes->size, &decoded, &error), ERROR_NONE);
    assert_int_equal(decoded.kind, ANSWER_NOT_LEADER);
    assert_int_equal(decoded.leader_id, 77);
    for (size_t size = 0; size < bytes->size; size++)
        assert_int_equal(answer_head_decode(bytes->bytes, size, &decoded, &error), ERROR_CORRUPT);
    for (size_t at = 0; at < 8; at++) {
        bytes->bytes[at] ^= 0x40;
        assert_int_not_equal(answer_head_decode(bytes->bytes, bytes->size, &decoded, &error),
                             ERROR_NONE);
        bytes->bytes[at] ^= 0x40;
    }
    shared_bytes_unref(bytes);
    head = (struct answer_head){.kind = ANSWER_MOVED, .splits = 2};
    bytes = answer_encode(&head);
    assert_int_equal(answer_head_decode(bytes->bytes, bytes->size, &decoded, &error), ERROR_NONE);
    assert_int_equal(decoded.kind, ANSWER_MOVED);
    assert_int_equal(decoded.splits, 2);
    store_u64(bytes->bytes + 8, SLOT_COUNT);
    assert_int_equal(answer_head_decode(bytes->bytes, bytes->size, &decoded, &error),
                     ERROR_CORRUPT);
    shared_bytes_unref(bytes);
}

static void small_questions_come_as_they_went(void **state)
{
    (void)state;
    struct error error;
    struct byte_buffer entry = {0};
    struct text text;
    uint32_t shard_id, splits;
    enum flush_reach reach;
    byte_buffer_append(&entry, "entry", 5);
    struct shared_bytes *bytes = propose_question_encode(9, 4, &entry);
    assert_int_equal(
        propose_question_decode(bytes->bytes, bytes->size, &shard_id, &splits, &text, &error),
        ERROR_NONE);
    assert_int_equal(shard_id, 9);
    assert_int_equal(splits, 4);
    assert_true(text_equal(text, TEXT("entry")));
    shared_bytes_unref(bytes);
    byte_buffer_clear(&entry);
    bytes = flush_question_encode(8, FLUSH_DELETED);
    assert_int_equal(flush_question_decode(bytes->bytes, bytes->size, &shard_id, &reach, &error),
                     ERROR_NONE);
    assert_int_equal(shard_id, 8);
    assert_int_equal(reach, FLUSH_DELETED);
    bytes->bytes[1] = FLUSH_DELETED + 1;
    assert_int_equal(flush_question_decode(bytes->bytes, bytes->size, &shard_id, &reach, &error),
                     ERROR_UNSUPPORTED);
    shared_bytes_unref(bytes);
}

static void questions_about_tenants_and_their_answers_come_as_they_went(void **state)
{
    (void)state;
    uint32_t shard_id;
    struct text tenant;
    struct error error;
    struct shared_bytes *bytes = tenant_question_encode(8, TEXT("team-a"));
    assert_int_equal(tenant_question_decode(bytes->bytes, bytes->size, &shard_id, &tenant, &error),
                     ERROR_NONE);
    assert_int_equal(shard_id, 8);
    assert_true(text_equal(tenant, TEXT("team-a")));
    assert_int_equal(tenant_question_decode(bytes->bytes, 8, &shard_id, &tenant, &error),
                     ERROR_INVALID);
    assert_int_equal(tenant_question_decode(bytes->bytes, 7, &shard_id, &tenant, &error),
                     ERROR_CORRUPT);
    bytes->bytes[9] = '/';
    assert_int_equal(tenant_question_decode(bytes->bytes, bytes->size, &shard_id, &tenant, &error),
                     ERROR_INVALID);
    shared_bytes_unref(bytes);

    const struct shard_tenant_state asked = {.can_be_deleted = true,
                                             .is_being_deleted = true,
                                             .files_left = 1,
                                             .bytes_left = 1u << 31,
                                             .objects_left = 3,
                                             .object_bytes_left = UINT64_C(1) << 40,
                                             .blocks = 5};
    struct shard_tenant_state found;
    struct answer_head head;
    bytes = tenant_answer_encode(&asked);
    assert_int_equal(answer_head_decode(bytes->bytes, bytes->size, &head, &error), ERROR_NONE);
    assert_int_equal(head.kind, ANSWER_DONE);
    assert_int_equal(tenant_answer_decode(bytes->bytes, bytes->size, &found, &error), ERROR_NONE);
    assert_true(found.can_be_deleted && found.is_being_deleted);
    assert_int_equal(found.files_left, asked.files_left);
    assert_int_equal(found.bytes_left, asked.bytes_left);
    assert_int_equal(found.objects_left, asked.objects_left);
    assert_int_equal(found.object_bytes_left, asked.object_bytes_left);
    assert_int_equal(found.blocks, asked.blocks);
    assert_int_equal(tenant_answer_decode(bytes->bytes, bytes->size - 1, &found, &error),
                     ERROR_CORRUPT);
    bytes->bytes[ANSWER_HEAD_BYTES] = 4;
    assert_int_equal(tenant_answer_decode(bytes->bytes, bytes->size, &found, &error),
                     ERROR_CORRUPT);
    shared_bytes_unref(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_decoded_as_it_was_encoded),
        cmocka_unit_test(a_cut_or_longer_write_is_refused),
        cmocka_unit_test(a_sample_of_a_scrape_takes_twelve_bytes),
        cmocka_unit_test(samples_of_series_that_are_not_there_are_refused),
        cmocka_unit_test(a_slot_or_labels_that_cannot_be_are_refused),
        cmocka_unit_test(an_outcome_comes_back_with_the_askers_numbers),
        cmocka_unit_test(an_answer_to_another_write_is_refused),
        cmocka_unit_test(heads_of_answers_are_checked),
        cmocka_unit_test(small_questions_come_as_they_went),
        cmocka_unit_test(questions_about_tenants_and_their_answers_come_as_they_went),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
