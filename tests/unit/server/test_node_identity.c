/* Who a data directory is, kept in small files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "node_identity.h"
#include "scratch_directory.h"
#include "stored_file.h"

static struct scratch_directory folder;

static int set_up(void **unused)
{
    (void)unused;
    scratch_directory_make(&folder);
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    scratch_directory_remove(&folder);
    return 0;
}

/* Change one byte of a file. */
static void spoil(const char *name, long offset)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder.path, name);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, offset, SEEK_SET), 0);
    fputc(byte ^ 1, file);
    assert_int_equal(fclose(file), 0);
}

static void test_a_directory_keeps_its_id(void **unused)
{
    (void)unused;
    struct error error;
    uint8_t first[CLUSTER_DIRECTORY_ID_BYTES], second[CLUSTER_DIRECTORY_ID_BYTES] = {0};
    assert_int_equal(node_identity_directory(folder.path, first, &error), ERROR_NONE);
    assert_int_equal(node_identity_directory(folder.path, second, &error), ERROR_NONE);
    assert_memory_equal(first, second, sizeof first);
    spoil("node", 14);
    assert_int_equal(node_identity_directory(folder.path, second, &error), ERROR_CORRUPT);
}

static void test_two_directories_differ(void **unused)
{
    (void)unused;
    struct error error;
    struct scratch_directory other;
    uint8_t first[CLUSTER_DIRECTORY_ID_BYTES], second[CLUSTER_DIRECTORY_ID_BYTES];
    scratch_directory_make(&other);
    assert_int_equal(node_identity_directory(folder.path, first, &error), ERROR_NONE);
    assert_int_equal(node_identity_directory(other.path, second, &error), ERROR_NONE);
    assert_memory_not_equal(first, second, sizeof first);
    scratch_directory_remove(&other);
}

static void test_what_meta_stored_comes_back(void **unused)
{
    (void)unused;
    struct error error;
    struct byte_buffer bytes = {0};
    bool exists = true;
    assert_int_equal(node_identity_exists(folder.path, &exists, &error), ERROR_NONE);
    assert_false(exists);
    assert_int_equal(node_identity_read(folder.path, &bytes, &error), ERROR_NONE);
    assert_int_equal(bytes.size, 0);
    assert_int_equal(node_identity_write(folder.path, (const uint8_t *)"one", 3, &error),
                     ERROR_NONE);
    assert_int_equal(node_identity_write(folder.path, (const uint8_t *)"other", 5, &error),
                     ERROR_NONE);
    assert_int_equal(node_identity_read(folder.path, &bytes, &error), ERROR_NONE);
    assert_int_equal(bytes.size, 5);
    assert_memory_equal(bytes.bytes, "other", 5);
    assert_int_equal(node_identity_exists(folder.path, &exists, &error), ERROR_NONE);
    assert_true(exists);
    byte_buffer_clear(&bytes);
}

static void test_a_state_is_remembered_and_damage_forgets_it(void **unused)
{
    (void)unused;
    struct error error;
    struct cluster_state *state, *recalled = NULL;
    struct byte_buffer bytes = {0}, again = {0};
    assert_int_equal(node_identity_recall(folder.path, &recalled, &error), ERROR_NONE);
    assert_null(recalled);
    assert_int_equal(cluster_state_create(CLUSTER_VERSION_MAX, &state, &error), ERROR_NONE);
    cluster_state_encode(state, &bytes);
    assert_int_equal(node_identity_remember(folder.path, &bytes, &error), ERROR_NONE);
    assert_int_equal(node_identity_recall(folder.path, &recalled, &error), ERROR_NONE);
    assert_non_null(recalled);
    cluster_state_encode(recalled, &again);
    assert_int_equal(again.size, bytes.size);
    assert_memory_equal(again.bytes, bytes.bytes, bytes.size);
    cluster_state_destroy(recalled);
    recalled = NULL;
    spoil("cluster", (long)bytes.size / 2);
    assert_int_equal(node_identity_recall(folder.path, &recalled, &error), ERROR_NONE);
    assert_null(recalled);
    byte_buffer_clear(&bytes);
    byte_buffer_clear(&again);
    cluster_state_destroy(state);
}

static void test_files_that_are_too_large_or_missing_are_told_apart(void **unused)
{
    static uint8_t large[STORED_FILE_BYTES_MAX + 5000];
    (void)unused;
    struct error error;
    struct byte_buffer bytes = {0};
    assert_int_equal(stored_file_read(folder.path, "none", &bytes, &error), ERROR_NOT_FOUND);
    assert_int_equal(stored_file_write(folder.path, "large", large, sizeof large, &error),
                     ERROR_NONE);
    assert_int_equal(stored_file_read(folder.path, "large", &bytes, &error), ERROR_LIMIT);
    byte_buffer_clear(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_directory_keeps_its_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_directories_differ, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_meta_stored_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_state_is_remembered_and_damage_forgets_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_files_that_are_too_large_or_missing_are_told_apart,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
