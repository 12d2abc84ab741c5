/* Each allocation of a replay fails once: it is refused, or ends and says why. */
#include "replayed_log.h"

#include "allocation_faults.h"

enum { NUMBERS_MAX = 1000, WINDOW_BYTES = 2 * 1024 * 1024 };

static void a_replay_without_memory_ends_and_says_so(void **state)
{
    (void)state;
    size_t refused = 0, ended = 0;
    for (size_t number = 1; number < NUMBERS_MAX; number++) {
        struct replayed_log *log = replayed_log_create();
        struct error error;
        allocation_faults_arm(number);
        enum error_code code = replayed_log_begin(log, WINDOW_BYTES, &error);
        for (uint64_t group = 1; code == ERROR_NONE && group <= LOG_GROUPS; group++)
            code = replayed_log_add(log, group, 1, LOG_ENTRIES + 1, true, &error);
        if (code == ERROR_NONE)
            replayed_log_run(log);
        bool injected = allocation_faults_disarm();
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        refused += code != ERROR_NONE;
        for (size_t i = 0; code == ERROR_NONE && i < LOG_GROUPS; i++) {
            const struct part *part = &log->parts[i];
            assert_true(part->ended);
            if (part->error.code == ERROR_NONE)
                assert_int_equal(part->next_index, LOG_ENTRIES + 1);
            else
                assert_int_equal(part->error.code, ERROR_OUT_OF_MEMORY);
            ended += part->error.code != ERROR_NONE;
        }
        if (log->replay != NULL)
            replayed_log_remove(log);
        replayed_log_destroy(log);
        if (!injected)
            break;
    }
    assert_true(refused > 2);
    assert_true(ended > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replay_without_memory_ends_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
