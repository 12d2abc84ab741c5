/* What a directory store does beside the contract (tests/object_stores). */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "object/object_store.h"
#include "object/object_store_options.h"
#include "platform/clock.h"
#include "platform/random.h"
#include "scratch_directory.h"

struct fixture {
    struct scratch_directory scratch;
    struct object_store *store;
    char root[512];
};

static int fixture_open(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error error;
    scratch_directory_make(&fixture->scratch);
    snprintf(fixture->root, sizeof fixture->root, "%s/made/when/missing", fixture->scratch.path);
    struct object_store_options options = {.type = OBJECT_STORE_DIRECTORY,
                                           .directory = fixture->root,
                                           .clock = clock_system(),
                                           .random = random_system()};
    if (object_store_create(&options, &fixture->store, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    *state = fixture;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *fixture = *state;
    object_store_destroy(fixture->store);
    scratch_directory_remove(&fixture->scratch);
    free(fixture);
    return 0;
}

static const char *path_in(struct fixture *fixture, const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", fixture->root, name);
    return path;
}

static bool exists(struct fixture *fixture, const char *name)
{
    return access(path_in(fixture, name), F_OK) == 0;
}

static void put(struct fixture *fixture, const char *key)
{
    struct error error;
    assert_int_equal(object_store_put(fixture->store, NULL, text_of(key), "x", 1, &error),
                     ERROR_NONE);
}

static void write_file(struct fixture *fixture, const char *name)
{
    FILE *file = fopen(path_in(fixture, name), "w");
    assert_non_null(file);
    fputs("half of it", file);
    fclose(file);
}

static bool count(void *context, const struct object_info *object)
{
    (void)object;
    ++*(size_t *)context;
    return true;
}

static size_t list_all(struct fixture *fixture)
{
    struct object_range range = {.prefix = TEXT("")};
    struct error error;
    size_t found = 0;
    assert_int_equal(object_store_list(fixture->store, NULL, &range, count, &found, &error),
                     ERROR_NONE);
    return found;
}

static void a_key_is_a_path_and_folders_come_and_go(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    put(fixture, "a/b/c");
    put(fixture, "a/d");
    assert_true(exists(fixture, "a/b/c"));
    assert_int_equal(object_store_remove(fixture->store, NULL, TEXT("a/b/c"), &error), ERROR_NONE);
    assert_false(exists(fixture, "a/b"));
    assert_true(exists(fixture, "a/d"));
    assert_int_equal(object_store_remove(fixture->store, NULL, TEXT("a/d"), &error), ERROR_NONE);
    assert_false(exists(fixture, "a"));
    assert_true(exists(fixture, ""));
}

static void an_object_is_no_folder(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    put(fixture, "a/b");
    assert_int_equal(object_store_put(fixture->store, NULL, TEXT("a"), "x", 1, &error),
                     ERROR_INVALID);
    assert_int_equal(object_store_put(fixture->store, NULL, TEXT("a/b/c"), "x", 1, &error),
                     ERROR_INVALID);
    assert_int_equal(object_store_put(fixture->store, NULL, TEXT("a/b/c/d"), "x", 1, &error),
                     ERROR_INVALID);
    assert_int_equal(list_all(fixture), 1);
}

static void what_a_crash_left_is_not_listed_and_is_swept(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    size_t swept;
    int64_t now_ms = clock_now_ms(clock_system());
    put(fixture, "a/b");
    write_file(fixture, "a/~0123456789abcdef~c");
    write_file(fixture, "~0123456789abcdef~top");
    write_file(fixture, "~short");
    assert_int_equal(list_all(fixture), 1);
    assert_int_equal(
        object_store_sweep_puts(fixture->store, NULL, TEXT(""), now_ms - 60 * 1000, &swept, &error),
        ERROR_NONE);
    assert_int_equal(swept, 0);
    assert_int_equal(object_store_sweep_puts(fixture->store, NULL, TEXT("a/c"), now_ms + 60 * 1000,
                                             &swept, &error),
                     ERROR_NONE);
    assert_int_equal(swept, 1);
    assert_int_equal(object_store_abandon_put(fixture->store, NULL, TEXT("to"), &error),
                     ERROR_NONE);
    assert_true(exists(fixture, "~0123456789abcdef~top"));
    assert_int_equal(object_store_abandon_put(fixture->store, NULL, TEXT("top"), &error),
                     ERROR_NONE);
    assert_false(exists(fixture, "~0123456789abcdef~top"));
    assert_true(exists(fixture, "~short")); /* not ours */
    assert_true(exists(fixture, "a/b"));
}

enum { THREADS = 4, ROUNDS = 200 };

struct racing {
    struct fixture *fixture;
    size_t number;
    struct error error;
};

static void *put_and_remove(void *context)
{
    struct racing *racing = context;
    char key[40];
    snprintf(key, sizeof key, "a/b/%zu", racing->number);
    enum error_code code = ERROR_NONE;
    for (int round = 0; round < ROUNDS && code == ERROR_NONE; round++) {
        code = object_store_put(racing->fixture->store, NULL, text_of(key), "x", 1, &racing->error);
        if (code == ERROR_NONE)
            code = object_store_remove(racing->fixture->store, NULL, text_of(key), &racing->error);
    }
    racing->error.code = code;
    return NULL;
}

static void folders_are_made_and_removed_by_many_at_once(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[THREADS];
    static struct racing racing[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        racing[i] = (struct racing){.fixture = fixture, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, put_and_remove, &racing[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        if (racing[i].error.code != ERROR_NONE)
            fail_msg("%s", racing[i].error.message);
    }
    assert_false(exists(fixture, "a"));
}

static void a_folder_that_may_not_be_written_is_denied(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    if (geteuid() == 0)
        skip(); /* may do everything */
    assert_int_equal(chmod(fixture->root, 0500), 0);
    assert_int_equal(object_store_put(fixture->store, NULL, TEXT("a"), "x", 1, &error),
                     ERROR_DENIED);
    assert_non_null(strstr(error.message, "object_store.directory"));
    assert_int_equal(chmod(fixture->root, 0700), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
    const struct CMUnitTest tests[] = {
        CASE(a_key_is_a_path_and_folders_come_and_go),
        CASE(an_object_is_no_folder),
        CASE(what_a_crash_left_is_not_listed_and_is_swept),
        CASE(folders_are_made_and_removed_by_many_at_once),
        CASE(a_folder_that_may_not_be_written_is_denied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
