/* Every allocation of a block's life fails once, one after the other. */
#include "naive_series.h"

#include "allocation_faults.h"
#include "block/block_inspect.h"
#include "block/block_reader.h"
#include "block/block_writer.h"
#include "simulated_environment.h"

enum { TARGETS = 3, SERIES_PER_TARGET = 6, SERIES = TARGETS * SERIES_PER_TARGET, SAMPLES = 200 };

static const int64_t DAY_MS = 86400000;
static const int64_t DAY_START_MS = 1700000000000 / BLOCK_CHUNK_WINDOW_MS * BLOCK_CHUNK_WINDOW_MS;

struct fixture {
    struct simulated_environment *environment;
    struct disk *disk;
    struct arena *arena;
    struct page_cache *cache;
    struct naive_random random;
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
    struct error error;
    fixture->environment = simulated_environment_create(1);
    fixture->disk = fixture->environment->base.disk;
    fixture->arena = arena_create(0);
    fixture->random.state = 3;
    assert_int_equal(page_cache_create(1 << 20, &fixture->cache, &error), ERROR_NONE);
    fixture->series =
        naive_part(fixture->arena, &fixture->random, TARGETS, SERIES_PER_TARGET, SAMPLES);
    for (size_t i = 0; i < SERIES; i++) {
        struct label labels[] = {
            {TEXT("__name__"), arena_format(fixture->arena, "metric_%zu", i)},
            {TEXT("job"), TEXT("node")},
        };
        fixture->series[i].labels = labels_build(fixture->arena, labels, 2);
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

static enum error_code write_block(struct fixture *fixture, struct file_summary *summary_out,
                                   struct error *error)
{
    struct block_properties properties = {
        .start_ms = DAY_START_MS, .end_ms = DAY_START_MS + DAY_MS, .shard = 3, .block_id = 77};
    struct block_writer *writer;
    enum error_code code = block_writer_create(fixture->disk, "block", &properties, &writer, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; code == ERROR_NONE && i < SERIES; i++) {
        const struct naive_series *one = &fixture->series[i];
        struct block_series series = {one->tenant, one->slot, one->labels};
        code = block_writer_add(writer, &series, &one->columns, one->exemplars, one->exemplar_count,
                                error);
    }
    struct metric_metadata metadata = {METRIC_GAUGE, TEXT("help"), TEXT("seconds")};
    if (code == ERROR_NONE)
        code = block_writer_add_metadata(writer, TEXT("second"), TEXT("m"), &metadata, error);
    if (code == ERROR_NONE)
        code = block_writer_finish(writer, summary_out, error);
    block_writer_destroy(writer);
    return code;
}

static bool ignore_metadata(void *context, struct text tenant, struct text metric_name,
                            const struct metric_metadata *metadata)
{
    (void)tenant;
    (void)metric_name;
    (void)metadata;
    ++*(size_t *)context;
    return true;
}

/* Open, and read all that there is; *samples_out counts. */
static enum error_code read_block(struct fixture *fixture, size_t *samples_out, struct error *error)
{
    struct page_source *source;
    struct block *block = NULL;
    struct block_reader *reader = NULL;
    size_t samples = 0, metadata = 0;
    enum error_code code = page_source_open_file(fixture->disk, "block", &source, error);
    if (code == ERROR_NONE)
        code = block_open(fixture->cache, source, &block, error);
    if (code == ERROR_NONE)
        code = block_visit_metadata(block, NULL, ignore_metadata, &metadata, error);
    if (code == ERROR_NONE)
        code = block_reader_create(block, &reader, error);
    for (uint32_t i = 0; code == ERROR_NONE && i < SERIES; i++) {
        struct sample_columns columns;
        code = block_reader_read(reader, i, INT64_MIN, INT64_MAX, &columns, error);
        if (code == ERROR_NONE)
            samples += columns.count;
    }
    block_reader_destroy(reader);
    block_unref(block);
    if (code == ERROR_NONE)
        *samples_out = samples;
    return code;
}

static void a_block_written_without_memory_is_none(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary whole, summary;
    struct error error;
    size_t samples, survived = 0;
    assert_int_equal(write_block(fixture, &whole, &error), ERROR_NONE);
    for (size_t number = 1;; number++) {
        (void)disk_remove(fixture->disk, "block", &error); /* it may not have come so far */
        allocation_faults_arm(number);
        enum error_code code = write_block(fixture, &summary, &error);
        if (!allocation_faults_disarm()) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
        /* Where it could do without, the bytes are the same. */
        if (code == ERROR_NONE) {
            assert_memory_equal(&summary, &whole, sizeof whole);
            continue;
        }
        assert_int_equal(code, ERROR_OUT_OF_MEMORY);
        assert_int_not_equal(read_block(fixture, &samples, &error), ERROR_NONE);
        survived++;
    }
    assert_true(survived > 10);
    assert_memory_equal(&summary, &whole, sizeof whole);
    assert_int_equal(read_block(fixture, &samples, &error), ERROR_NONE);
}

static void a_block_read_without_memory_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary summary;
    struct error error;
    size_t expected, samples, survived = 0;
    assert_int_equal(write_block(fixture, &summary, &error), ERROR_NONE);
    assert_int_equal(read_block(fixture, &expected, &error), ERROR_NONE);
    assert_true(expected > SERIES * SAMPLES / 2);
    for (size_t number = 1;; number++) {
        allocation_faults_arm(number);
        enum error_code code = read_block(fixture, &samples, &error);
        bool injected = allocation_faults_disarm();
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        if (code == ERROR_NONE)
            assert_int_equal(samples, expected);
        if (!injected)
            break;
        survived += code != ERROR_NONE;
    }
    assert_true(survived > 10);
    assert_int_equal(read_block(fixture, &samples, &error), ERROR_NONE);
    assert_int_equal(samples, expected);
}

static void a_block_verified_without_memory_is_not_called_rotten(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary summary, found;
    struct error error;
    size_t survived = 0;
    assert_int_equal(write_block(fixture, &summary, &error), ERROR_NONE);
    for (size_t number = 1;; number++) {
        struct page_source *source;
        assert_int_equal(page_source_open_file(fixture->disk, "block", &source, &error),
                         ERROR_NONE);
        allocation_faults_arm(number);
        enum error_code code = block_verify(source, &found, &error);
        bool injected = allocation_faults_disarm();
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        if (!injected)
            break;
        survived += code != ERROR_NONE;
    }
    assert_true(survived > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_block_written_without_memory_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_block_read_without_memory_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_block_verified_without_memory_is_not_called_rotten,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
