#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdint.h>

#include "base/shared_bytes.h"

static void the_last_holder_frees_them(void **state)
{
    (void)state;
    struct shared_bytes *shared = shared_bytes_copy("four", 4);
    assert_non_null(shared);
    assert_ptr_equal(shared_bytes_ref(shared), shared);
    shared_bytes_unref(shared);
    assert_int_equal(shared->size, 4);
    assert_memory_equal(shared->bytes, "four", 4);
    shared_bytes_unref(shared); /* a leak or a second free is seen by the sanitizer */
    shared_bytes_unref(NULL);
}

static void nothing_may_be_shared_and_too_much_may_not(void **state)
{
    (void)state;
    struct shared_bytes *none = shared_bytes_copy(NULL, 0);
    assert_non_null(none);
    assert_int_equal(none->size, 0);
    shared_bytes_unref(none);
    assert_null(shared_bytes_create(SIZE_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_holder_frees_them),
        cmocka_unit_test(nothing_may_be_shared_and_too_much_may_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
