/* Every allocation of reading the settings fails once: a start or a reload that says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocation_faults.h"
#include "scratch_directory.h"
#include "settings.h"

static const char FILE_CONTENT[] = "storage:\n"
                                   "  directory: /nowhere/data\n"
                                   "  retention: 15d\n"
                                   "http:\n"
                                   "  listen: 127.0.0.1:9100\n"
                                   "query:\n"
                                   "  timeout: 30s\n";

static int make_file(void **state)
{
    struct scratch_directory *directory = calloc(1, sizeof *directory);
    char path[SCRATCH_PATH_MAX + 32];
    assert_non_null(directory);
    scratch_directory_make(directory);
    snprintf(path, sizeof path, "%s/settings.yaml", directory->path);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(FILE_CONTENT, file) >= 0);
    assert_int_equal(fclose(file), 0);
    *state = directory;
    return 0;
}

static int remove_file(void **state)
{
    scratch_directory_remove(*state);
    free(*state);
    return 0;
}

/* As YAML, to be compared. */
static void print(const struct settings *settings, struct byte_buffer *buffer)
{
    settings_print(settings, buffer);
    byte_buffer_u8(buffer, 0);
    assert_false(buffer->failed);
}

static void settings_without_memory_say_so_and_can_be_read_again(void **state)
{
    const struct scratch_directory *directory = *state;
    char config[SCRATCH_PATH_MAX + 64], listen[] = "--http.listen=127.0.0.1:9200";
    snprintf(config, sizeof config, "--config=%s/settings.yaml", directory->path);
    char *arguments[] = {config, listen};
    struct settings settings;
    struct error error;
    struct byte_buffer expected = {0};
    assert_int_equal(settings_load(2, arguments, &settings, &error), ERROR_NONE);
    print(&settings, &expected);
    settings_clear(&settings);

    size_t survived = 0;
    for (size_t number = 1;; number++) {
        allocation_faults_arm(number);
        enum error_code code = settings_load(2, arguments, &settings, &error);
        bool injected = allocation_faults_disarm();
        if (code == ERROR_NONE) {
            struct byte_buffer found = {0};
            print(&settings, &found);
            assert_string_equal((const char *)found.bytes, (const char *)expected.bytes);
            byte_buffer_clear(&found);
            settings_clear(&settings);
        } else {
            assert_int_equal(code, ERROR_OUT_OF_MEMORY);
            survived++;
        }
        if (!injected)
            break;
    }
    assert_true(survived > 3);
    byte_buffer_clear(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(settings_without_memory_say_so_and_can_be_read_again,
                                        make_file, remove_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
