/* Every allocation of a query over a block in the bucket fails once. */
#include "cold_query.h"

#include "allocation_faults.h"

enum { NUMBERS_MAX = 20000 };

static void each_failure_is_told_and_leaves_nothing(void **state)
{
    (void)state;
    struct fixture *fixture = make(&SMALL, 1);
    bool is_through = false;
    size_t number = 1;
    for (; !is_through && number < NUMBERS_MAX; number++) {
        size_t count = 0;
        begin(fixture, 0);
        add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00007");
        allocation_faults_arm(number);
        enum error_code code = open_view(fixture);
        if (code == ERROR_NONE)
            code = run(fixture, &count);
        is_through = !allocation_faults_disarm();
        if (code == ERROR_NONE)
            assert_int_equal(count, SMALL.instances);
        else
            assert_int_equal(code, ERROR_OUT_OF_MEMORY);
        assert_true(!is_through || code == ERROR_NONE);
        end(fixture);
    }
    assert_true(is_through);
    assert_in_range(number, 100, NUMBERS_MAX); /* a query takes so many at least */
    unmake(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failure_is_told_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
