#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "platform/timer_heap.h"

enum { TIMERS = 500 };

static void never_fires(struct timer *timer)
{
    (void)timer;
    fail();
}

static void timers_init(struct timer *timers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        timers[i] = (struct timer){.fire = never_fires, .heap_index = TIMER_IDLE};
}

/* A fixed sequence that is in no order. */
static uint64_t scattered(size_t i)
{
    return (uint64_t)i * 2654435761u % 1009;
}

static void timers_come_out_in_the_order_they_are_due(void **state)
{
    (void)state;
    struct timer timers[TIMERS];
    struct timer_heap heap = {0};
    timers_init(timers, TIMERS);
    for (size_t i = 0; i < TIMERS; i++)
        assert_true(timer_heap_start(&heap, &timers[i], scattered(i)));
    uint64_t previous_ms = 0;
    for (size_t i = 0; i < TIMERS; i++) {
        assert_int_equal(timer_heap_next_due_ms(&heap), heap.entries[0].timer->due_ms);
        struct timer *timer = timer_heap_take_due(&heap, UINT64_MAX, UINT64_MAX);
        assert_non_null(timer);
        assert_true(timer->due_ms >= previous_ms);
        assert_true(timer->heap_index == TIMER_IDLE);
        previous_ms = timer->due_ms;
    }
    assert_null(timer_heap_take_due(&heap, UINT64_MAX, UINT64_MAX));
    assert_true(timer_heap_next_due_ms(&heap) == UINT64_MAX);
    timer_heap_clear(&heap);
}

static void equal_times_keep_the_order_of_starting(void **state)
{
    (void)state;
    struct timer timers[TIMERS];
    struct timer_heap heap = {0};
    timers_init(timers, TIMERS);
    for (size_t i = 0; i < TIMERS; i++)
        assert_true(timer_heap_start(&heap, &timers[i], 7));
    for (size_t i = 0; i < TIMERS; i++)
        assert_ptr_equal(timer_heap_take_due(&heap, 7, UINT64_MAX), &timers[i]);
    timer_heap_clear(&heap);
}

static void a_stopped_timer_does_not_come_out(void **state)
{
    (void)state;
    struct timer timers[TIMERS];
    struct timer_heap heap = {0};
    timers_init(timers, TIMERS);
    for (size_t i = 0; i < TIMERS; i++)
        assert_true(timer_heap_start(&heap, &timers[i], scattered(i)));
    for (size_t i = 0; i < TIMERS; i += 2)
        timer_heap_stop(&heap, &timers[i]);
    timer_heap_stop(&heap, &timers[0]); /* idle: nothing happens */
    for (size_t i = 0; i < TIMERS / 2; i++) {
        struct timer *timer = timer_heap_take_due(&heap, UINT64_MAX, UINT64_MAX);
        assert_int_equal((timer - timers) % 2, 1);
    }
    assert_int_equal(heap.count, 0);
    timer_heap_clear(&heap);
}

static void a_started_timer_moves_in_both_directions(void **state)
{
    (void)state;
    struct timer timers[3];
    struct timer_heap heap = {0};
    timers_init(timers, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(timer_heap_start(&heap, &timers[i], 10 + i));
    assert_true(timer_heap_start(&heap, &timers[0], 100));
    assert_true(timer_heap_start(&heap, &timers[2], 1));
    assert_ptr_equal(timer_heap_take_due(&heap, 1000, UINT64_MAX), &timers[2]);
    assert_ptr_equal(timer_heap_take_due(&heap, 1000, UINT64_MAX), &timers[1]);
    assert_ptr_equal(timer_heap_take_due(&heap, 1000, UINT64_MAX), &timers[0]);
    timer_heap_clear(&heap);
}

static void a_round_leaves_timers_started_in_it(void **state)
{
    (void)state;
    struct timer timers[2];
    struct timer_heap heap = {0};
    timers_init(timers, 2);
    assert_true(timer_heap_start(&heap, &timers[0], 5));
    uint64_t round_end = heap.sequence_next;
    assert_true(timer_heap_start(&heap, &timers[1], 5));
    assert_ptr_equal(timer_heap_take_due(&heap, 5, round_end), &timers[0]);
    assert_null(timer_heap_take_due(&heap, 5, round_end));
    assert_null(timer_heap_take_due(&heap, 4, UINT64_MAX));
    assert_ptr_equal(timer_heap_take_due(&heap, 5, heap.sequence_next), &timers[1]);
    timer_heap_clear(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_come_out_in_the_order_they_are_due),
        cmocka_unit_test(equal_times_keep_the_order_of_starting),
        cmocka_unit_test(a_stopped_timer_does_not_come_out),
        cmocka_unit_test(a_started_timer_moves_in_both_directions),
        cmocka_unit_test(a_round_leaves_timers_started_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
