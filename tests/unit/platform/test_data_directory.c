#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "platform/data_directory.h"
#include "scratch_directory.h"

static struct scratch_directory scratch;
static char path[SCRATCH_PATH_MAX + 64];

static int setup(void **state)
{
    (void)state;
    scratch_directory_make(&scratch);
    snprintf(path, sizeof path, "%s/deep/er/data", scratch.path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_directory_remove(&scratch);
    return 0;
}

static void write_file(const char *name, const char *content)
{
    char full[sizeof path + 64];
    snprintf(full, sizeof full, "%s/%s", path, name);
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static void missing_parents_are_made_and_the_format_is_kept(void **state)
{
    (void)state;
    struct data_directory *directory = NULL;
    struct error error;
    assert_int_equal(data_directory_open(path, 3, &directory, &error), ERROR_NONE);
    assert_int_equal(data_directory_version(directory), 3);
    data_directory_close(directory);
    assert_int_equal(data_directory_open(path, 5, &directory, &error), ERROR_NONE);
    assert_int_equal(data_directory_version(directory), 3);
    assert_int_equal(data_directory_set_version(directory, 5, &error), ERROR_NONE);
    data_directory_close(directory);
    assert_int_equal(data_directory_open(path, 4, &directory, &error), ERROR_UNSUPPORTED);
}

static void a_second_owner_is_refused_until_the_first_is_gone(void **state)
{
    (void)state;
    struct data_directory *first = NULL, *second = NULL;
    struct error error;
    assert_int_equal(data_directory_open(path, 1, &first, &error), ERROR_NONE);
    assert_int_equal(data_directory_open(path, 1, &second, &error), ERROR_CONFLICT);
    data_directory_close(first);
    assert_int_equal(data_directory_open(path, 1, &second, &error), ERROR_NONE);
    data_directory_close(second);
}

static void somebody_elses_directory_is_left_alone(void **state)
{
    (void)state;
    struct data_directory *directory = NULL;
    struct error error;
    snprintf(path, sizeof path, "%s", scratch.path);
    write_file("thesis.txt", "precious");
    assert_int_equal(data_directory_open(path, 1, &directory, &error), ERROR_INVALID);
    write_file("format", "something else\n");
    assert_int_equal(data_directory_open(path, 1, &directory, &error), ERROR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(missing_parents_are_made_and_the_format_is_kept, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_second_owner_is_refused_until_the_first_is_gone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(somebody_elses_directory_is_left_alone, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
