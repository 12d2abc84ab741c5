/* Every allocation of a recovery fails once: it ends with an error, and nothing is leaked. */
#include "allocation_faults.h"
#include "bucket_maker.h"

enum { NUMBERS_MAX = 20000 };

static enum error_code recover(struct fixture *fixture, struct error *error)
{
    struct byte_buffer manifest = {0};
    uint64_t index;
    enum error_code code = revival_look(&fixture->store.base, &fixture->survey, error);
    if (code == ERROR_NONE)
        code = revival_divide(&fixture->survey, 1, error);
    for (uint32_t shard = 0; code == ERROR_NONE && shard < fixture->survey.shard_count; shard++) {
        char directory[32];
        snprintf(directory, sizeof directory, "shards/%04u", shard);
        byte_buffer_reset(&manifest);
        code = revival_make_shard(&fixture->survey, shard, REVIVAL_DOWNLOADS,
                                  &fixture->environment->disk.base, directory, &manifest, &index,
                                  error);
    }
    byte_buffer_clear(&manifest);
    revival_clear(&fixture->survey);
    return code;
}

static void each_allocation_fails_once(void **state)
{
    (void)state;
    struct fixture *fixture = fixture_create();
    struct error error;
    size_t failures = 0;
    put_meta(fixture, 9, 3, 1);
    put_list(fixture, &(struct listing){{0, 1, 90}, 0, SLOT_COUNT, 0, 80});
    put_list(fixture, &(struct listing){{1, 1, 70}, 0, SLOT_COUNT, 0, 60});
    put_block(fixture, 0, 80, BLOCK_BYTES);
    put_block(fixture, 1, 60, BLOCK_BYTES);
    for (size_t number = 1; number < NUMBERS_MAX; number++) {
        error_clear(&error);
        allocation_faults_arm(number);
        enum error_code code = recover(fixture, &error);
        if (!allocation_faults_disarm()) {
            assert_int_equal(code, ERROR_NONE);
            assert_true(failures > 10);
            fixture_destroy(fixture);
            return;
        }
        failures += code != ERROR_NONE;
        assert_int_equal(code, error.code);
    }
    fail_msg("it never went through");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_fails_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
