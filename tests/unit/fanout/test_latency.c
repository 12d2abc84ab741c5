/* What most of the latest durations stay below. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "latency.h"

static void little_says_nothing(void **state)
{
    struct latency latency = {0};
    (void)state;
    for (int i = 0; i < 10; i++)
        latency_add(&latency, 1000000);
    assert_int_equal(latency_p95_ns(&latency), 0);
}

static void nineteen_of_twenty_are_below(void **state)
{
    (void)state;
    for (uint64_t usual_ns = 16; usual_ns < UINT64_C(1) << 36; usual_ns = usual_ns * 5 / 3 + 1) {
        struct latency latency = {0};
        for (int i = 0; i < 100; i++)
            latency_add(&latency, i < 96 ? usual_ns : 100 * usual_ns);
        assert_true(latency_p95_ns(&latency) > usual_ns);
        assert_true(latency_p95_ns(&latency) <= usual_ns * 5 / 4 + 4);
    }
}

static void what_was_long_ago_is_forgotten(void **state)
{
    struct latency latency = {0};
    (void)state;
    for (int i = 0; i < 5000; i++)
        latency_add(&latency, 50000000);
    assert_true(latency_p95_ns(&latency) >= 50000000);
    for (int i = 0; i < 5000; i++)
        latency_add(&latency, 1000000);
    assert_true(latency_p95_ns(&latency) < 1300000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_says_nothing),
        cmocka_unit_test(nineteen_of_twenty_are_below),
        cmocka_unit_test(what_was_long_ago_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
