#include "shard_harness.h"

static const int64_t T0 = HARNESS_START_MS;
enum { SERIES = 6, MINUTES = 30 };

struct copying {
    struct shard_copy copy; /* first */
    bool done;
};

static void on_copied(struct shard_copy *copy)
{
    ((struct copying *)copy)->done = true;
}

static void begin_copy(struct harness *harness, struct copying *copying)
{
    *copying = (struct copying){.copy = {.done = on_copied, .directory = "copy"}};
    shard_copy(harness->shard, &copying->copy);
    assert_false(copying->done); /* not inside the call */
}

/* A shard on the copy alone takes the place of the shard; the log is not replayed. */
static void move_to_copy(struct harness *harness, const struct shard_copy *copy)
{
    struct error error;
    harness_close(harness);
    harness->options.directory = copy->directory;
    assert_int_equal(shard_create(&harness->options, &harness->shard, &error), ERROR_NONE);
    if (shard_restore(harness->shard, copy->manifest.bytes, copy->manifest.size, &error) !=
        ERROR_NONE)
        fail_msg("%s", error.message);
}

static size_t samples_of(struct harness *harness, unsigned series)
{
    struct harness_answer *answer = malloc(sizeof *answer);
    harness_read(harness, series, INT64_MIN, INT64_MAX, SERIES_NEED_ALL, answer);
    assert_int_equal(answer->code, ERROR_NONE);
    size_t count = answer->count;
    free(answer);
    return count;
}

static void a_copy_has_what_was_frozen_and_nothing_else(void **state)
{
    (void)state;
    struct harness *harness = harness_create(1);
    struct copying copying;
    harness_fill(harness, SERIES, T0, MINUTES);
    harness_flush(harness);
    harness_fill(harness, SERIES, T0 + WINDOW_MS, MINUTES);
    harness_freeze(harness);
    harness_fill(harness, SERIES, T0 + 2 * WINDOW_MS, MINUTES); /* in memory only */
    begin_copy(harness, &copying);
    harness_run(harness);
    assert_true(copying.done);
    assert_int_equal(copying.copy.error.code, ERROR_NONE);
    move_to_copy(harness, &copying.copy);
    for (unsigned series = 0; series < SERIES; series++)
        assert_int_equal(samples_of(harness, series), 2 * MINUTES);
    byte_buffer_clear(&copying.copy.manifest);
    harness_destroy(harness);
}

/* Merges doom files; those that the copy names must be there until it has them. */
static void files_that_are_due_to_go_wait_for_the_copy(void **state)
{
    (void)state;
    struct harness *harness = harness_create(2);
    struct copying copying;
    harness_fill(harness, SERIES, T0, MINUTES);
    harness_freeze(harness);
    begin_copy(harness, &copying);
    harness_flush(harness); /* the part becomes a block and is deleted, were it not for the copy */
    assert_true(copying.done);
    assert_int_equal(copying.copy.error.code, ERROR_NONE);
    move_to_copy(harness, &copying.copy);
    for (unsigned series = 0; series < SERIES; series++)
        assert_int_equal(samples_of(harness, series), MINUTES);
    byte_buffer_clear(&copying.copy.manifest);
    harness_destroy(harness);
}

static void a_shard_that_never_froze_has_an_empty_copy(void **state)
{
    (void)state;
    struct harness *harness = harness_create(3);
    struct copying copying;
    harness_fill(harness, SERIES, T0, 2);
    begin_copy(harness, &copying);
    harness_run(harness);
    assert_true(copying.done);
    assert_int_equal(copying.copy.error.code, ERROR_NONE);
    assert_int_equal(copying.copy.frozen_index, 0);
    byte_buffer_clear(&copying.copy.manifest);
    harness_destroy(harness);
}

static void a_name_that_is_taken_fails_the_copy_and_not_the_shard(void **state)
{
    (void)state;
    struct harness *harness = harness_create(4);
    struct copying first, second;
    harness_fill(harness, SERIES, T0, MINUTES);
    harness_freeze(harness);
    begin_copy(harness, &first);
    harness_run(harness);
    begin_copy(harness, &second);
    harness_run(harness);
    assert_int_equal(first.copy.error.code, ERROR_NONE);
    assert_int_equal(second.copy.error.code, ERROR_EXISTS);
    for (unsigned series = 0; series < SERIES; series++)
        assert_int_equal(samples_of(harness, series), MINUTES);
    byte_buffer_clear(&first.copy.manifest);
    byte_buffer_clear(&second.copy.manifest);
    harness_destroy(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_has_what_was_frozen_and_nothing_else),
        cmocka_unit_test(files_that_are_due_to_go_wait_for_the_copy),
        cmocka_unit_test(a_shard_that_never_froze_has_an_empty_copy),
        cmocka_unit_test(a_name_that_is_taken_fails_the_copy_and_not_the_shard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
