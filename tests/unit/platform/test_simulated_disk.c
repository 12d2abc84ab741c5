/* The simulated disk must lose what a real one may lose, or the simulations prove nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "simulated_environment.h"

enum { SEEDS = 60, SECTORS = 8, SIZE = SECTORS * SIMULATED_SECTOR_BYTES };

enum step { WRITE, SYNC, SYNC_NAME };

struct outcome {
    bool exists;
    size_t old_sectors, new_sectors;
};

/* A file of ones that is durable, then twos that are not, or only as far as `last` goes. */
static struct outcome crash_after(uint64_t seed, enum simulated_crash crash, enum step last)
{
    struct simulated_environment *environment = simulated_environment_create(seed);
    struct disk *disk = environment->base.disk;
    struct error error;
    struct file *file = NULL;
    uint8_t bytes[SIZE];
    assert_int_equal(disk_open(disk, "file", DISK_OPEN_CREATE, &file, &error), ERROR_NONE);
    memset(bytes, 1, SIZE);
    assert_int_equal(disk_write_at(disk, file, 0, bytes, SIZE, &error), ERROR_NONE);
    assert_int_equal(disk_sync(disk, file, &error), ERROR_NONE);
    if (last == SYNC_NAME)
        assert_int_equal(disk_sync_directory(disk, "", &error), ERROR_NONE);
    memset(bytes, 2, SIZE);
    assert_int_equal(disk_write_at(disk, file, 0, bytes, SIZE, &error), ERROR_NONE);
    if (last == SYNC)
        assert_int_equal(disk_sync(disk, file, &error), ERROR_NONE);
    simulated_environment_crash(environment, crash);
    assert_int_equal(disk_sync(disk, file, &error), ERROR_IO);
    disk_close(disk, file);
    simulated_environment_restart(environment);

    struct outcome outcome = {0};
    outcome.exists = disk_open(disk, "file", DISK_OPEN_READ, &file, &error) == ERROR_NONE;
    if (outcome.exists) {
        assert_int_equal(disk_read_at(disk, file, 0, bytes, SIZE, &error), ERROR_NONE);
        for (size_t i = 0; i < SECTORS; i++) {
            outcome.old_sectors += bytes[i * SIMULATED_SECTOR_BYTES] == 1;
            outcome.new_sectors += bytes[i * SIMULATED_SECTOR_BYTES] == 2;
        }
        disk_close(disk, file);
    }
    simulated_environment_destroy(environment);
    return outcome;
}

static void power_failures_keep_lose_and_tear_unsynced_writes(void **state)
{
    (void)state;
    size_t kept = 0, lost = 0, torn = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct outcome outcome = crash_after(seed, SIMULATED_POWER_FAILURE, SYNC_NAME);
        assert_true(outcome.exists);
        assert_int_equal(outcome.old_sectors + outcome.new_sectors, SECTORS);
        kept += outcome.old_sectors == 0;
        lost += outcome.new_sectors == 0;
        torn += outcome.old_sectors > 0 && outcome.new_sectors > 0;
    }
    assert_true(kept > 5 && lost > 5 && torn > 5);
}

static void power_failures_lose_names_that_were_not_synced(void **state)
{
    (void)state;
    size_t lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        lost += !crash_after(seed, SIMULATED_POWER_FAILURE, SYNC).exists;
    assert_true(lost > 5 && lost < SEEDS - 5);
}

static void synced_bytes_are_never_lost(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct outcome outcome = crash_after(seed, SIMULATED_POWER_FAILURE, SYNC);
        assert_true(!outcome.exists || outcome.new_sectors == SECTORS);
    }
}

static void a_kill_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct outcome outcome = crash_after(seed, SIMULATED_KILL, WRITE);
        assert_true(outcome.exists && outcome.new_sectors == SECTORS);
    }
}

static void a_crash_comes_instead_of_the_operation_that_was_named(void **state)
{
    (void)state;
    struct simulated_environment *environment = simulated_environment_create(1);
    struct disk *disk = environment->base.disk;
    struct error error;
    struct file *file = NULL;
    uint8_t bytes[SIZE] = {1};
    assert_int_equal(disk_open(disk, "file", DISK_OPEN_CREATE, &file, &error), ERROR_NONE);
    environment->disk.settings.crash_at_operation = environment->disk.operations + 2;
    environment->disk.settings.crash = SIMULATED_KILL;
    assert_int_equal(disk_write_at(disk, file, 0, bytes, SIZE / 2, &error), ERROR_NONE);
    assert_int_equal(disk_write_at(disk, file, 0, bytes, SIZE, &error), ERROR_IO);
    assert_true(environment->disk.crashed);
    assert_int_equal(environment->disk.counts.crashes_in_operation, 1);
    disk_close(disk, file);
    simulated_environment_restart(environment);
    uint64_t size;
    assert_int_equal(disk_open(disk, "file", DISK_OPEN_READ, &file, &error), ERROR_NONE);
    assert_int_equal(disk_size(disk, file, &size, &error), ERROR_NONE);
    assert_int_equal(size, SIZE / 2);
    disk_close(disk, file);
    simulated_environment_destroy(environment);
}

static void an_image_brings_files_names_and_what_is_durable_back(void **state)
{
    (void)state;
    struct simulated_environment *environment = simulated_environment_create(1);
    struct disk *disk = environment->base.disk;
    struct error error;
    struct file *file = NULL;
    uint8_t bytes[SIZE] = {7};
    assert_int_equal(disk_open(disk, "file", DISK_OPEN_CREATE, &file, &error), ERROR_NONE);
    assert_int_equal(disk_write_at(disk, file, 0, bytes, SIZE, &error), ERROR_NONE);
    assert_int_equal(disk_sync(disk, file, &error), ERROR_NONE);
    assert_int_equal(disk_sync_directory(disk, "", &error), ERROR_NONE);
    disk_close(disk, file);

    struct simulated_disk_image *image = simulated_disk_save(&environment->disk);
    simulated_disk_flip(&environment->disk, "file", 0);
    assert_int_equal(disk_rename(disk, "file", "other", &error), ERROR_NONE);
    assert_int_equal(disk_sync_directory(disk, "", &error), ERROR_NONE);
    simulated_disk_go_back(&environment->disk, image);

    simulated_environment_crash(environment, SIMULATED_POWER_FAILURE);
    simulated_environment_restart(environment);
    assert_int_equal(disk_open(disk, "other", DISK_OPEN_READ, &file, &error), ERROR_NOT_FOUND);
    assert_int_equal(disk_open(disk, "file", DISK_OPEN_READ, &file, &error), ERROR_NONE);
    assert_int_equal(disk_read_at(disk, file, 0, bytes, SIZE, &error), ERROR_NONE);
    assert_int_equal(bytes[0], 7);
    disk_close(disk, file);
    simulated_environment_destroy(environment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_failures_keep_lose_and_tear_unsynced_writes),
        cmocka_unit_test(power_failures_lose_names_that_were_not_synced),
        cmocka_unit_test(synced_bytes_are_never_lost),
        cmocka_unit_test(a_kill_loses_nothing),
        cmocka_unit_test(a_crash_comes_instead_of_the_operation_that_was_named),
        cmocka_unit_test(an_image_brings_files_names_and_what_is_durable_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
