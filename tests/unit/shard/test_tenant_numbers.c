#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tenant_numbers.h"

enum { TENANTS = 1000 };

static struct text name_of(char name[32], unsigned tenant)
{
    snprintf(name, 32, "tenant-%u", tenant);
    return text_of(name);
}

static uint32_t take(struct tenant_numbers *numbers, unsigned tenant)
{
    char name[32];
    struct error error;
    uint32_t number = UINT32_MAX;
    assert_int_equal(tenant_numbers_take(numbers, name_of(name, tenant), &number, &error),
                     ERROR_NONE);
    assert_string_equal(numbers->items[number].name, name);
    return number;
}

static void a_tenant_keeps_its_number_while_it_has_series(void **state)
{
    (void)state;
    struct tenant_numbers numbers = {0};
    uint32_t first = take(&numbers, 1), second = take(&numbers, 2);
    assert_int_not_equal(first, second);
    assert_int_equal(take(&numbers, 1), first);
    tenant_numbers_release(&numbers, first);
    assert_int_equal(take(&numbers, 1), first);
    assert_int_equal(take(&numbers, 2), second);
    assert_int_equal(numbers.used_count, 2);
    tenant_numbers_clear(&numbers);
}

static void a_tenant_without_series_leaves_and_its_number_is_given_again(void **state)
{
    (void)state;
    struct tenant_numbers numbers = {0};
    uint32_t first = take(&numbers, 1);
    take(&numbers, 2);
    tenant_numbers_release(&numbers, first);
    assert_int_equal(numbers.used_count, 1);
    assert_null(numbers.items[first].name);
    assert_int_equal(take(&numbers, 3), first);
    assert_int_equal(numbers.count, 2);
    tenant_numbers_clear(&numbers);
}

/* However many there were: as many numbers as there are at a time. Those that stay are found past
 * the holes of those that went. */
static void numbers_do_not_grow_with_tenants_that_come_and_go(void **state)
{
    (void)state;
    struct tenant_numbers numbers = {0};
    static uint32_t given[TENANTS];
    for (unsigned i = 0; i < TENANTS; i++)
        given[i] = take(&numbers, i);
    size_t capacity = numbers.capacity;
    for (unsigned round = 1; round <= 10; round++) {
        for (unsigned i = 0; i < TENANTS; i++) {
            if (i % 3 == round % 3) {
                tenant_numbers_release(&numbers, given[i]);
                given[i] = take(&numbers, round * TENANTS + i);
                tenant_numbers_release(&numbers, given[i]);
                given[i] = take(&numbers, i);
            }
            assert_int_equal(take(&numbers, i), given[i]);
            tenant_numbers_release(&numbers, given[i]);
        }
    }
    assert_int_equal(numbers.count, TENANTS);
    assert_int_equal(numbers.used_count, TENANTS);
    assert_int_equal(numbers.capacity, capacity);
    for (unsigned i = 0; i < TENANTS; i++)
        tenant_numbers_release(&numbers, given[i]);
    assert_int_equal(numbers.used_count, 0);
    tenant_numbers_clear(&numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tenant_keeps_its_number_while_it_has_series),
        cmocka_unit_test(a_tenant_without_series_leaves_and_its_number_is_given_again),
        cmocka_unit_test(numbers_do_not_grow_with_tenants_that_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
