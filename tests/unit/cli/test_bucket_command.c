#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/bucket_command.h"
#include "object/object_store_options.h"
#include "platform/clock.h"
#include "platform/random.h"
#include "scratch_directory.h"

/* The exit code, and whether each of the parts is in what is printed. */
static int check(const struct object_store_options *options, const char *first, const char *second)
{
    char *printed = NULL;
    size_t size = 0;
    FILE *output = open_memstream(&printed, &size);
    assert_non_null(output);
    int status = bucket_check(options, output);
    fclose(output);
    if (strstr(printed, first) == NULL || strstr(printed, second) == NULL)
        fail_msg("%s", printed);
    free(printed);
    return status;
}

static struct object_store_options options_of(enum object_store_type type)
{
    return (struct object_store_options){
        .type = type, .clock = clock_system(), .random = random_system()};
}

static void a_store_that_works_is_told_by_steps(void **state)
{
    (void)state;
    struct scratch_directory scratch;
    struct object_store_options options = options_of(OBJECT_STORE_DIRECTORY);
    scratch_directory_make(&scratch);
    options.directory = scratch.path;
    assert_int_equal(check(&options, "ranges   ok", "the object store works\n"), 0);
    scratch_directory_remove(&scratch);
}

static void a_store_that_is_not_reached_is_told_with_the_reason(void **state)
{
    (void)state;
    struct object_store_options options = options_of(OBJECT_STORE_S3);
    options.s3 = (struct s3_options){.endpoint = "http://127.0.0.1:1",
                                     .bucket = "blocks",
                                     .access_key = "a",
                                     .secret_key = "s",
                                     .attempts = 1};
    assert_int_equal(check(&options, "put      unavailable", "http://127.0.0.1:1"), 1);
}

static void settings_without_a_store_are_told(void **state)
{
    (void)state;
    struct object_store_options options = options_of(OBJECT_STORE_NONE);
    assert_int_equal(check(&options, "object_store.type", "none"), 1);
    options.type = OBJECT_STORE_S3;
    assert_int_equal(check(&options, "object_store.s3.bucket", ""), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_that_works_is_told_by_steps),
        cmocka_unit_test(a_store_that_is_not_reached_is_told_with_the_reason),
        cmocka_unit_test(settings_without_a_store_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
