#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/journal.h"
#include "recovered_entry.h"
#include "simulated_environment.h"

/*
 * sample.segment was written by format version 1 and is never written again: what this program
 * stored once, every later one reads. docs/formats/journal.md
 */

static uint8_t *sample_read(size_t *size_out)
{
    FILE *file = fopen("sample.segment", "rb");
    assert_non_null(file);
    uint8_t *bytes = malloc(1 << 20);
    *size_out = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

static void the_stored_sample_is_read_for_ever(void **state)
{
    (void)state;
    struct simulated_environment *environment = simulated_environment_create(1);
    struct disk *disk = environment->base.disk;
    struct error error;
    struct file *file = NULL;
    size_t size = 0;
    uint8_t *bytes = sample_read(&size);
    assert_int_equal(disk_make_directory(disk, "journal/5", &error), ERROR_NONE);
    assert_int_equal(
        disk_open(disk, "journal/5/0000000000000001.segment", DISK_OPEN_CREATE, &file, &error),
        ERROR_NONE);
    assert_int_equal(disk_write_at(disk, file, 0, bytes, size, &error), ERROR_NONE);
    disk_close(disk, file);

    struct journal_recovery *recovery = NULL;
    struct journal_recovery_options options = {.directory = "journal"};
    if (journal_recover(disk, &options, &recovery, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    assert_int_equal(journal_recovery_group_count(recovery), 2);
    const struct journal_group *group = journal_recovery_find(recovery, 77);
    assert_non_null(group);
    assert_int_equal(group->term, 12);
    assert_int_equal(group->vote, 3);
    assert_int_equal(group->first_index, 2);
    assert_int_equal(group->next_index, 4);
    assert_true(group->has_snapshot);
    assert_int_equal(group->snapshot.index, 2);
    assert_int_equal(group->snapshot.term, 11);
    assert_int_equal(group->snapshot.payload_bytes, 8);
    assert_memory_equal(group->snapshot.payload, "manifest", 8);
    struct journal_entry entry = recovered_entry(recovery, group, 3);
    assert_int_equal(entry.term, 12);
    assert_int_equal(entry.kind, 1);
    assert_int_equal(entry.version, 2);
    assert_int_equal(entry.payload_bytes, 5);
    assert_memory_equal(entry.payload, "three", 5);
    group = journal_recovery_find(recovery, 78);
    assert_non_null(group);
    assert_int_equal(group->first_index, 101);
    assert_int_equal(group->next_index, 101);
    journal_recovery_close(recovery);
    free(bytes);
    simulated_environment_destroy(environment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stored_sample_is_read_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
