/* Jumps ahead are doubted for a day, all else is followed at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "steady_clock.h"

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)
#define T0        INT64_C(1700000000000)

/* A wall clock that goes with the monotonic one, and where it is moved to. */
struct moved_clock {
    struct clock clock; /* first */
    int64_t moved_ms;
    int64_t passed_ms;
    struct steady_clock steady;
};

static int64_t wall_ms(struct clock *self)
{
    struct moved_clock *moved = (struct moved_clock *)self;
    return T0 + moved->passed_ms + moved->moved_ms;
}

static uint64_t monotonic_ns(struct clock *self)
{
    return (uint64_t)(((struct moved_clock *)self)->passed_ms + HOUR_MS) * 1000000;
}

static struct moved_clock begin(void)
{
    return (struct moved_clock){.clock = {.now_ms = wall_ms, .monotonic_ns = monotonic_ns}};
}

/* What the steady clock says after some time, behind T0; looked at every minute. */
static int64_t after(struct moved_clock *moved, int64_t passed_ms)
{
    for (int64_t end_ms = moved->passed_ms + passed_ms; moved->passed_ms < end_ms;) {
        moved->passed_ms += MINUTE_MS;
        (void)steady_clock_now_ms(&moved->steady, &moved->clock);
    }
    return steady_clock_now_ms(&moved->steady, &moved->clock) - T0;
}

static void it_goes_with_a_wall_clock_that_does_not_jump(void **state)
{
    (void)state;
    struct moved_clock moved = begin();
    assert_int_equal(after(&moved, 0), 0);
    assert_int_equal(after(&moved, 40 * DAY_MS), 40 * DAY_MS);
    moved.moved_ms = 5 * MINUTE_MS; /* set right */
    assert_int_equal(after(&moved, HOUR_MS), 40 * DAY_MS + HOUR_MS + 5 * MINUTE_MS);
}

static void it_takes_the_first_look_on_trust(void **state)
{
    (void)state;
    struct moved_clock moved = begin();
    moved.moved_ms = 1000 * DAY_MS;
    assert_int_equal(after(&moved, 0), 1000 * DAY_MS);
}

static void a_jump_ahead_costs_an_hour_in_an_hour(void **state)
{
    (void)state;
    struct moved_clock moved = begin();
    (void)after(&moved, DAY_MS);
    moved.moved_ms = 30 * DAY_MS;
    assert_int_equal(after(&moved, HOUR_MS), DAY_MS + 2 * HOUR_MS);
    assert_true(moved.steady.is_doubted);
    moved.moved_ms = 0; /* taken back */
    assert_int_equal(after(&moved, MINUTE_MS), DAY_MS + HOUR_MS + MINUTE_MS);
    assert_false(moved.steady.is_doubted);
}

static void a_jump_ahead_that_stands_for_a_day_is_followed(void **state)
{
    (void)state;
    struct moved_clock moved = begin();
    (void)after(&moved, DAY_MS);
    moved.moved_ms = 30 * DAY_MS;
    assert_int_equal(after(&moved, 23 * HOUR_MS), DAY_MS + 46 * HOUR_MS);
    assert_int_equal(after(&moved, 2 * HOUR_MS), 32 * DAY_MS + HOUR_MS);
}

static void a_jump_back_is_followed_at_once(void **state)
{
    (void)state;
    struct moved_clock moved = begin();
    (void)after(&moved, DAY_MS);
    moved.moved_ms = -30 * DAY_MS;
    assert_int_equal(after(&moved, 0), -29 * DAY_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_with_a_wall_clock_that_does_not_jump),
        cmocka_unit_test(it_takes_the_first_look_on_trust),
        cmocka_unit_test(a_jump_ahead_costs_an_hour_in_an_hour),
        cmocka_unit_test(a_jump_ahead_that_stands_for_a_day_is_followed),
        cmocka_unit_test(a_jump_back_is_followed_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
