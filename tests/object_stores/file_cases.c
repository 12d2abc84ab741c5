#include "contract.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE_BYTES = 3 * PART_BYTES + 12345 }; /* four parts */

/* --- Files that cannot be read to their end ------------------------------------------------- */

struct failing_disk {
    struct disk base;
    uint64_t readable_bytes;
};

static enum error_code failing_read_at(struct disk *self, struct file *file, uint64_t offset_bytes,
                                       uint8_t *target, size_t size_bytes, struct error *error)
{
    const struct failing_disk *disk = (const struct failing_disk *)self;
    if (offset_bytes + size_bytes > disk->readable_bytes)
        return error_set(error, ERROR_IO, "this disk fails");
    return disk_read_at(contract.disk, file, offset_bytes, target, size_bytes, error);
}

static const struct disk_operations FAILING = {.read_at = failing_read_at};

/* --- Files --------------------------------------------------------------------------------- */

static struct file *make_file(const uint8_t *bytes, size_t size)
{
    struct file *file;
    struct error error;
    must(disk_open(contract.disk, "file", DISK_OPEN_REPLACE, &file, &error), &error);
    if (size > 0)
        must(disk_write_at(contract.disk, file, 0, bytes, size, &error), &error);
    return file;
}

static void check_object(struct text key, const uint8_t *bytes, size_t size)
{
    struct byte_buffer buffer = {0};
    struct error error;
    must(object_store_read_whole(contract.store, NULL, key, size, &buffer, &error), &error);
    assert_int_equal(buffer.size, size);
    assert_true(size == 0 || memcmp(buffer.bytes, bytes, size) == 0);
    byte_buffer_clear(&buffer);
}

static void put_file(struct text key, struct file *file, size_t size)
{
    struct object_file source = {contract.disk, file, size};
    struct error error;
    must(object_store_put_file(contract.store, NULL, key, &source, &error), &error);
}

/* Another store on the same objects, as another process has it, which lists one entry a page. */
static struct object_store *exchange_store(void)
{
    struct object_store_options options = contract.options;
    struct object_store *mine = contract.store;
    options.s3.page_entries = 1;
    contract.store = store_with(&options);
    return mine;
}

static void restore_store(struct object_store *mine)
{
    object_store_destroy(contract.store);
    contract.store = mine;
}

/* A put that ends when the third part is read. */
static void put_broken(struct text key, struct file *file)
{
    struct failing_disk disk = {{&FAILING}, 2 * PART_BYTES};
    struct object_file source = {&disk.base, file, LARGE_BYTES};
    struct error error;
    assert_int_equal(object_store_put_file(contract.store, NULL, key, &source, &error), ERROR_IO);
}

static uint8_t *large_bytes(uint64_t seed)
{
    uint8_t *bytes = malloc(LARGE_BYTES);
    assert_non_null(bytes);
    fill_bytes(bytes, LARGE_BYTES, seed);
    return bytes;
}

static void files_of_any_size_are_put(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 100 * 1000, PART_BYTES, PART_BYTES + 1, LARGE_BYTES};
    uint8_t *bytes = large_bytes(3);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct file *file = make_file(bytes, sizes[i]);
        put_file(TEXT("files/sizes"), file, sizes[i]);
        check_object(TEXT("files/sizes"), bytes, sizes[i]);
        disk_close(contract.disk, file);
    }
    free(bytes);
}

static void ranges_cross_the_borders_of_parts(void **state)
{
    (void)state;
    uint8_t *bytes = large_bytes(4), target[1000];
    struct file *file = make_file(bytes, LARGE_BYTES);
    put_file(TEXT("files/ranges"), file, LARGE_BYTES);
    struct object_read read = {.key = TEXT("files/ranges"),
                               .offset_bytes = PART_BYTES - 500,
                               .target = target,
                               .size_bytes = sizeof target};
    must(object_store_read(contract.store, NULL, &read), &read.error);
    assert_int_equal(read.read_bytes, sizeof target);
    assert_int_equal(read.object_bytes, LARGE_BYTES);
    assert_memory_equal(target, bytes + PART_BYTES - 500, sizeof target);
    disk_close(contract.disk, file);
    free(bytes);
}

static void a_put_that_broke_is_not_seen_and_goes_on(void **state)
{
    (void)state;
    struct text key = TEXT("files/resumed");
    struct object_info info;
    struct error error;
    uint8_t *bytes = large_bytes(5);
    struct file *file = make_file(bytes, LARGE_BYTES);
    put_broken(key, file);
    assert_int_equal(object_store_head(contract.store, NULL, key, &info, &error), ERROR_NOT_FOUND);
    /* As another process would: with nothing but the key and the file. */
    uint64_t parts = requests_of("upload_part");
    struct object_store *mine = exchange_store();
    put_file(key, file, LARGE_BYTES);
    restore_store(mine);
    if (contract.is_s3)
        assert_int_equal(requests_of("upload_part") - parts, 2);
    check_object(key, bytes, LARGE_BYTES);
    disk_close(contract.disk, file);
    free(bytes);
}

static void what_came_of_another_file_is_sent_anew(void **state)
{
    (void)state;
    struct text key = TEXT("files/changed");
    uint8_t *bytes = large_bytes(6);
    struct file *file = make_file(bytes, LARGE_BYTES);
    put_broken(key, file);
    disk_close(contract.disk, file);
    bytes[17] ^= 1;
    file = make_file(bytes, LARGE_BYTES);
    put_file(key, file, LARGE_BYTES);
    check_object(key, bytes, LARGE_BYTES);
    disk_close(contract.disk, file);
    free(bytes);
}

static void what_came_of_a_longer_file_is_in_nobodys_way(void **state)
{
    (void)state;
    enum { SHORTER_BYTES = PART_BYTES + 100 };
    struct text key = TEXT("files/shorter");
    struct failing_disk disk = {{&FAILING}, 3 * PART_BYTES};
    uint8_t *bytes = large_bytes(10);
    struct file *file = make_file(bytes, LARGE_BYTES);
    struct object_file source = {&disk.base, file, LARGE_BYTES};
    struct error error;
    assert_int_equal(object_store_put_file(contract.store, NULL, key, &source, &error), ERROR_IO);
    put_file(key, file, SHORTER_BYTES);
    check_object(key, bytes, SHORTER_BYTES);
    disk_close(contract.disk, file);
    free(bytes);
}

static void an_object_with_the_same_bytes_is_not_sent_again(void **state)
{
    (void)state;
    struct text key = TEXT("files/same");
    uint8_t *bytes = large_bytes(7);
    struct file *file = make_file(bytes, LARGE_BYTES);
    put_file(key, file, LARGE_BYTES);
    uint64_t parts = requests_of("upload_part");
    put_file(key, file, LARGE_BYTES);
    assert_int_equal(requests_of("upload_part"), parts);
    disk_close(contract.disk, file);
    bytes[LARGE_BYTES - 1] ^= 1;
    file = make_file(bytes, LARGE_BYTES);
    put_file(key, file, LARGE_BYTES);
    check_object(key, bytes, LARGE_BYTES);
    disk_close(contract.disk, file);
    free(bytes);
}

struct rival {
    struct text key;
    struct object_file source;
    enum error_code code;
    struct error error;
};

static void *put_as_rival(void *context)
{
    struct rival *rival = context;
    struct object_store *store = store_with(&contract.options);
    rival->code = object_store_put_file(store, NULL, rival->key, &rival->source, &rival->error);
    object_store_destroy(store);
    return NULL;
}

/* As a deposed leader and its successor do. */
static void two_who_put_the_same_file_at_once_both_succeed(void **state)
{
    (void)state;
    enum { ROUNDS = 5 };
    uint8_t *bytes = large_bytes(11);
    struct file *file = make_file(bytes, LARGE_BYTES);
    for (int round = 0; round < ROUNDS; round++) {
        struct rival rivals[2];
        pthread_t threads[2];
        char key[40];
        snprintf(key, sizeof key, "rivals/%d", round);
        for (int i = 0; i < 2; i++) {
            rivals[i] =
                (struct rival){.key = text_of(key), .source = {contract.disk, file, LARGE_BYTES}};
            assert_int_equal(pthread_create(&threads[i], NULL, put_as_rival, &rivals[i]), 0);
        }
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        must(rivals[0].code, &rivals[0].error);
        must(rivals[1].code, &rivals[1].error);
        check_object(text_of(key), bytes, LARGE_BYTES);
    }
    disk_close(contract.disk, file);
    free(bytes);
}

/* --- Unfinished puts ----------------------------------------------------------------------- */

static size_t sweep(const char *prefix, int64_t begun_before_ms)
{
    struct error error;
    size_t count = 0;
    must(object_store_sweep_puts(contract.store, NULL, text_of(prefix), begun_before_ms, &count,
                                 &error),
         &error);
    return count;
}

static void old_unfinished_puts_are_swept(void **state)
{
    (void)state;
    int64_t now_ms = clock_now_ms(clock_system());
    uint8_t *bytes = large_bytes(8);
    struct file *file = make_file(bytes, LARGE_BYTES);
    struct object_store *mine = exchange_store();
    sweep("", now_ms + 60 * 1000);
    if (contract.is_s3) {
        put_broken(TEXT("swept/one"), file);
        put_broken(TEXT("swept/two"), file);
        assert_int_equal(sweep("", now_ms - 60 * 1000), 0);
        assert_int_equal(sweep("other/", now_ms + 60 * 1000), 0);
        assert_int_equal(sweep("swept/t", now_ms + 60 * 1000), 1);
        assert_int_equal(sweep("swept/", now_ms + 60 * 1000), 1);
    }
    assert_int_equal(sweep("", now_ms + 60 * 1000), 0);
    restore_store(mine);
    disk_close(contract.disk, file);
    free(bytes);
}

static void an_abandoned_put_leaves_nothing(void **state)
{
    (void)state;
    struct error error;
    uint8_t *bytes = large_bytes(9);
    struct file *file = make_file(bytes, LARGE_BYTES);
    put_broken(TEXT("left/one"), file);
    put_broken(TEXT("left/one more"), file);
    must(object_store_abandon_put(contract.store, NULL, TEXT("left/one"), &error), &error);
    must(object_store_abandon_put(contract.store, NULL, TEXT("left/never"), &error), &error);
    int64_t soon_ms = clock_now_ms(clock_system()) + 60 * 1000;
    assert_int_equal(sweep("left/", soon_ms), contract.is_s3 ? 1 : 0);
    disk_close(contract.disk, file);
    free(bytes);
}

int run_file_cases(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_any_size_are_put),
        cmocka_unit_test(ranges_cross_the_borders_of_parts),
        cmocka_unit_test(a_put_that_broke_is_not_seen_and_goes_on),
        cmocka_unit_test(what_came_of_another_file_is_sent_anew),
        cmocka_unit_test(what_came_of_a_longer_file_is_in_nobodys_way),
        cmocka_unit_test(an_object_with_the_same_bytes_is_not_sent_again),
        cmocka_unit_test(two_who_put_the_same_file_at_once_both_succeed),
        cmocka_unit_test(old_unfinished_puts_are_swept),
        cmocka_unit_test(an_abandoned_put_leaves_nothing),
    };
    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
