#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "platform/file_writer.h"
#include "simulated_environment.h"

static int setup(void **state)
{
    struct simulated_environment *environment = simulated_environment_create(11);
    struct error error;
    assert_int_equal(disk_make_directory(environment->base.disk, "a/b", &error), ERROR_NONE);
    *state = environment;
    return 0;
}

static int teardown(void **state)
{
    simulated_environment_destroy(*state);
    return 0;
}

enum { SIZE = 3 * FILE_WRITER_BUFFER_BYTES + 77 };

static uint8_t *pattern(void)
{
    uint8_t *bytes = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 13 + i / 251);
    return bytes;
}

static enum error_code write_all(struct disk *disk, const uint8_t *bytes, struct error *error)
{
    struct file_writer *writer = NULL;
    enum error_code code = file_writer_open(disk, "a/b/file", FILE_WRITER_CRC32C, &writer, error);
    if (code != ERROR_NONE)
        return code;
    size_t position = 0;
    for (size_t part = 1; position < SIZE; part = part * 5 + 1) {
        size_t size = part < SIZE - position ? part : SIZE - position;
        code = file_writer_append(writer, bytes + position, size, error);
        if (code != ERROR_NONE) {
            file_writer_abandon(writer);
            return code;
        }
        position += size;
        assert_int_equal(file_writer_position(writer), position);
    }
    assert_int_equal(file_writer_crc32c(writer), crc32c(0, bytes, SIZE));
    return file_writer_finish(writer, error);
}

static void a_finished_file_survives_a_power_failure(void **state)
{
    struct simulated_environment *environment = *state;
    struct disk *disk = environment->base.disk;
    struct error error;
    uint8_t *bytes = pattern();
    assert_int_equal(write_all(disk, bytes, &error), ERROR_NONE);
    simulated_environment_crash(environment, SIMULATED_POWER_FAILURE);
    simulated_environment_restart(environment);
    struct file *file = NULL;
    uint64_t size = 0;
    assert_int_equal(disk_open(disk, "a/b/file", DISK_OPEN_READ, &file, &error), ERROR_NONE);
    assert_int_equal(disk_size(disk, file, &size, &error), ERROR_NONE);
    assert_int_equal(size, SIZE);
    uint8_t *back = malloc(SIZE);
    assert_int_equal(disk_read_at(disk, file, 0, back, SIZE, &error), ERROR_NONE);
    assert_memory_equal(back, bytes, SIZE);
    disk_close(disk, file);
    free(back);
    free(bytes);
}

/* Whatever fails, the final name leads to all of the file or to nothing. */
static void no_failure_leaves_half_a_file_behind_the_name(void **state)
{
    uint8_t *bytes = pattern();
    for (uint64_t failing = 1; failing < 12; failing++) {
        simulated_environment_destroy(*state);
        setup(state);
        struct simulated_environment *environment = *state;
        struct disk *disk = environment->base.disk;
        struct error error;
        environment->disk.settings.fail_at_operation = environment->disk.operations + failing;
        enum error_code code = write_all(disk, bytes, &error);
        environment->disk.settings.fail_at_operation = 0;
        assert_int_equal(environment->disk.open_files, 0);
        simulated_environment_crash(environment, SIMULATED_POWER_FAILURE);
        simulated_environment_restart(environment);
        struct file *file = NULL;
        enum error_code found = disk_open(disk, "a/b/file", DISK_OPEN_READ, &file, &error);
        if (code == ERROR_NONE)
            assert_int_equal(found, ERROR_NONE);
        if (found == ERROR_NONE) {
            uint64_t size = 0;
            assert_int_equal(disk_size(disk, file, &size, &error), ERROR_NONE);
            assert_int_equal(size, SIZE);
        }
        disk_close(disk, file);
    }
    free(bytes);
}

static void a_full_disk_is_an_error_and_leaves_nothing(void **state)
{
    struct simulated_environment *environment = *state;
    struct error error;
    uint8_t *bytes = pattern();
    environment->disk.settings.capacity_bytes = SIZE / 2;
    assert_int_equal(write_all(environment->base.disk, bytes, &error), ERROR_NO_SPACE);
    assert_int_equal(simulated_disk_used_bytes(&environment->disk), 0);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_finished_file_survives_a_power_failure, setup, teardown),
        cmocka_unit_test_setup_teardown(no_failure_leaves_half_a_file_behind_the_name, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_an_error_and_leaves_nothing, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
