#include "contract.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 2000 };

struct seen {
    char *names[NAMES_MAX];
    size_t count;
    size_t stop_after; /* 0: never */
};

static bool see(void *context, const struct object_info *object)
{
    struct seen *seen = context;
    assert_true(seen->count < NAMES_MAX);
    assert_true(object->size_bytes > 0);
    assert_true(object->modified_ms > clock_now_ms(clock_system()) - 600 * 1000);
    seen->names[seen->count++] = strndup(object->key.data, object->key.size);
    return seen->count != seen->stop_after;
}

static void list(const char *prefix, const char *start_after, struct seen *seen)
{
    struct object_range range = {text_of(prefix), text_of(start_after)};
    struct error error;
    must(object_store_list(contract.store, NULL, &range, see, seen, &error), &error);
}

static void forget(struct seen *seen)
{
    for (size_t i = 0; i < seen->count; i++)
        free(seen->names[i]);
    *seen = (struct seen){0};
}

/* As one text, "a b c". */
static void expect(const char *prefix, const char *start_after, const char *expected)
{
    char found[1024] = "";
    struct seen seen = {0};
    list(prefix, start_after, &seen);
    for (size_t i = 0; i < seen.count; i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", i == 0 ? "" : " ",
                 seen.names[i]);
    assert_string_equal(found, expected);
    forget(&seen);
}

static void keys_come_in_byte_order_with_their_prefix(void **state)
{
    (void)state;
    const char *keys[] = {"list/b",  "list/a/z", "list/a-b", "list/a.b", "list/a/b/c",
                          "list/a0", "list/B",   "lisp",     "list0"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        put_text(keys[i], "x");
    expect("list/", "", "list/B list/a-b list/a.b list/a/b/c list/a/z list/a0 list/b");
    expect("list/a/", "", "list/a/b/c list/a/z");
    expect("list/a", "", "list/a-b list/a.b list/a/b/c list/a/z list/a0");
    expect("list/a/b/c", "", "list/a/b/c");
    expect("list/c", "", "");
    expect("nothing/there", "", "");
    expect("lis", "", "lisp list/B list/a-b list/a.b list/a/b/c list/a/z list/a0 list/b list0");
}

static void a_list_begins_behind_a_key(void **state)
{
    (void)state;
    expect("list/", "list/a.b", "list/a/b/c list/a/z list/a0 list/b");
    expect("list/", "list/a/b", "list/a/b/c list/a/z list/a0 list/b");
    expect("list/", "list/a/b/c", "list/a/z list/a0 list/b");
    expect("list/", "list/a/zz", "list/a0 list/b");
    expect("list/", "list/b", "");
    expect("list/", "a", "list/B list/a-b list/a.b list/a/b/c list/a/z list/a0 list/b");
}

static void a_list_stops_when_nobody_wants_more(void **state)
{
    (void)state;
    struct seen seen = {.stop_after = 2};
    list("list/", "", &seen);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.names[1], "list/a-b");
    forget(&seen);
}

static void names_of_all_sorts_are_listed_as_they_are(void **state)
{
    (void)state;
    const char *keys[] = {"odd/a b", "odd/a%20b", "odd/a&amp;b", "odd/a+b", "odd/ä<日>"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        put_text(keys[i], "x");
    struct seen seen = {0};
    list("odd/", "", &seen);
    assert_int_equal(seen.count, 5);
    for (size_t i = 0; i < seen.count; i++)
        assert_string_equal(seen.names[i], keys[i]);
    forget(&seen);
    remove_below("odd/");
}

/* --- Many ---------------------------------------------------------------------------------- */

/* Pages of few entries are as good as those of a thousand, and sooner made. */
enum { MANY = 130, THREADS = 6 };

static void *put_share(void *context)
{
    for (size_t i = (size_t)(uintptr_t)context; i < MANY; i += THREADS) {
        char key[40];
        struct error error;
        snprintf(key, sizeof key, "pages/%05zu", i * 7);
        if (object_store_put(contract.store, NULL, text_of(key), key, strlen(key), &error) !=
            ERROR_NONE)
            return strdup(error.message);
    }
    return NULL;
}

static void more_than_a_page_is_put_by_threads_listed_and_removed(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_share, (void *)(uintptr_t)i), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *message;
        pthread_join(threads[i], &message);
        if (message != NULL)
            fail_msg("%s", (char *)message);
    }
    struct seen seen = {0};
    struct text keys[MANY];
    struct error error;
    list("pages/", "", &seen);
    assert_int_equal(seen.count, MANY);
    for (size_t i = 0; i < MANY; i++) {
        char key[40];
        snprintf(key, sizeof key, "pages/%05zu", i * 7);
        assert_string_equal(seen.names[i], key);
        keys[i] = text_of(seen.names[i]);
    }
    must(object_store_remove_many(contract.store, NULL, keys, MANY, &error), &error);
    forget(&seen);
    expect("pages/", "", "");
}

int run_listing_cases(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_in_byte_order_with_their_prefix),
        cmocka_unit_test(a_list_begins_behind_a_key),
        cmocka_unit_test(a_list_stops_when_nobody_wants_more),
        cmocka_unit_test(names_of_all_sorts_are_listed_as_they_are),
        cmocka_unit_test(more_than_a_page_is_put_by_threads_listed_and_removed),
    };
    return cmocka_run_group_tests_name("listings", tests, NULL, NULL);
}
