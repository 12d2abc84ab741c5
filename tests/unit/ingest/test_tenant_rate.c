#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tenant_rate.h"

#define SECOND_NS UINT64_C(1000000000)

static struct tenant_rate rate_of(uint64_t samples_per_second)
{
    struct tenant_rate rate;
    assert_true(tenant_rate_init(&rate, samples_per_second, 42));
    return rate;
}

static void without_a_limit_everything_passes(void **state)
{
    (void)state;
    struct tenant_rate rate = rate_of(0);
    for (int i = 0; i < 1000; i++)
        assert_true(tenant_rate_take(&rate, TEXT("a"), 1000000, 1));
    tenant_rate_clear(&rate);
}

static void a_second_of_samples_passes_and_no_more(void **state)
{
    (void)state;
    struct tenant_rate rate = rate_of(100);
    for (int i = 0; i < 10; i++)
        assert_true(tenant_rate_take(&rate, TEXT("a"), 10, SECOND_NS));
    assert_false(tenant_rate_take(&rate, TEXT("a"), 1, SECOND_NS));
    tenant_rate_clear(&rate);
}

static void time_fills_the_bucket_again_but_never_beyond_a_second(void **state)
{
    (void)state;
    struct tenant_rate rate = rate_of(100);
    assert_true(tenant_rate_take(&rate, TEXT("a"), 100, SECOND_NS));
    assert_false(tenant_rate_take(&rate, TEXT("a"), 60, SECOND_NS * 3 / 2));
    assert_true(tenant_rate_take(&rate, TEXT("a"), 50, SECOND_NS * 3 / 2));
    /* An hour later there are 100, not 360,000. */
    uint64_t later_ns = SECOND_NS * 3600;
    assert_true(tenant_rate_take(&rate, TEXT("a"), 99, later_ns));
    assert_false(tenant_rate_take(&rate, TEXT("a"), 2, later_ns));
    tenant_rate_clear(&rate);
}

/* Refused for ever otherwise; its debt keeps the average. */
static void a_request_larger_than_the_rate_passes_a_full_bucket_and_leaves_a_debt(void **state)
{
    (void)state;
    struct tenant_rate rate = rate_of(100);
    assert_true(tenant_rate_take(&rate, TEXT("a"), 300, SECOND_NS));
    assert_false(tenant_rate_take(&rate, TEXT("a"), 1, SECOND_NS * 2));
    assert_false(tenant_rate_take(&rate, TEXT("a"), 1, SECOND_NS * 3));
    assert_true(tenant_rate_take(&rate, TEXT("a"), 100, SECOND_NS * 5));
    tenant_rate_clear(&rate);
}

static void one_tenant_does_not_use_up_what_another_has(void **state)
{
    (void)state;
    struct tenant_rate rate = rate_of(100);
    assert_true(tenant_rate_take(&rate, TEXT("loud"), 100, SECOND_NS));
    assert_false(tenant_rate_take(&rate, TEXT("loud"), 1, SECOND_NS));
    assert_true(tenant_rate_take(&rate, TEXT("quiet"), 100, SECOND_NS));
    tenant_rate_clear(&rate);
}

static void a_clock_that_goes_back_gives_nothing(void **state)
{
    (void)state;
    struct tenant_rate rate = rate_of(100);
    assert_true(tenant_rate_take(&rate, TEXT("a"), 100, SECOND_NS * 10));
    assert_false(tenant_rate_take(&rate, TEXT("a"), 1, SECOND_NS * 9));
    tenant_rate_clear(&rate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_limit_everything_passes),
        cmocka_unit_test(a_second_of_samples_passes_and_no_more),
        cmocka_unit_test(time_fills_the_bucket_again_but_never_beyond_a_second),
        cmocka_unit_test(a_request_larger_than_the_rate_passes_a_full_bucket_and_leaves_a_debt),
        cmocka_unit_test(one_tenant_does_not_use_up_what_another_has),
        cmocka_unit_test(a_clock_that_goes_back_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
