/* Every allocation of the caller of a store fails once: it hears so, or does not notice. */
#include "s3_fixture.h"

#include "allocation_faults.h"
#include "platform/disk_uring.h"
#include "scratch_directory.h"

enum { FILE_BYTES = 5 * 1024 * 1024 + 10 };

#define LISTED                                                                                     \
    "<ListBucketResult><Contents><Key>a/b</Key><LastModified>2013-05-24T00:00:00Z</LastModified>"  \
    "<Size>10</Size></Contents><IsTruncated>false</IsTruncated></ListBucketResult>"

static bool count(void *context, const struct object_info *object)
{
    assert_int_equal(object->key.size, 3);
    ++*(size_t *)context;
    return true;
}

/* Whether the call did what it should; else it has no memory. */
static bool check(enum error_code code, const struct error *error)
{
    if (code != ERROR_NONE && code != ERROR_OUT_OF_MEMORY)
        fail_msg("%s: %s", error_code_name(code), error->message);
    return code == ERROR_NONE;
}

static void list(struct object_store *store)
{
    struct object_range range = {.prefix = TEXT("a")};
    struct error error;
    size_t found = 0;
    if (check(object_store_list(store, NULL, &range, count, &found, &error), &error))
        assert_int_equal(found, 1);
}

static void read_whole(struct object_store *store, const char *expected)
{
    struct byte_buffer buffer = {0};
    struct error error;
    if (check(object_store_read_whole(store, NULL, TEXT("a/b"), 1000 * 1000, &buffer, &error),
              &error)) {
        assert_int_equal(buffer.size, strlen(expected));
        assert_memory_equal(buffer.bytes, expected, buffer.size);
    }
    byte_buffer_clear(&buffer);
}

static void put(struct object_store *store)
{
    struct error error;
    check(object_store_put(store, NULL, TEXT("a/b"), "0123456789", 10, &error), &error);
}

/* Each allocation of `work` fails once, on a store that is made anew, or not at all. */
static void fail_each(const struct object_store_options *options,
                      void (*work)(struct object_store *store, void *context), void *context)
{
    size_t failed = 0;
    for (bool injected = true; injected; failed++) {
        struct object_store *store = NULL;
        struct error error;
        allocation_faults_arm(failed + 1);
        if (check(object_store_create(options, &store, &error), &error))
            work(store, context);
        injected = allocation_faults_disarm();
        object_store_destroy(store);
    }
    assert_true(failed > 5);
}

/* --- Directory ----------------------------------------------------------------------------- */

static void use_directory(struct object_store *store, void *context)
{
    struct error error;
    struct object_file *file = context;
    list(store);
    read_whole(store, "0123456789");
    put(store);
    check(object_store_put_file(store, NULL, TEXT("file"), file, &error), &error);
}

static void a_directory_store_goes_without_memory(void **state)
{
    struct fixture *fixture = *state;
    struct scratch_directory root, files;
    struct object_file file = {.size_bytes = FILE_BYTES};
    struct error error;
    scratch_directory_make(&root);
    scratch_directory_make(&files);
    assert_int_equal(disk_uring_create(files.path, NULL, DISK_ENGINE_THREADS, &file.disk, &error),
                     ERROR_NONE);
    assert_int_equal(disk_open(file.disk, "file", DISK_OPEN_CREATE, &file.file, &error),
                     ERROR_NONE);
    assert_int_equal(disk_resize(file.disk, file.file, FILE_BYTES, &error), ERROR_NONE);
    fixture->options.type = OBJECT_STORE_DIRECTORY;
    fixture->options.directory = root.path;
    put(fixture_store(fixture));
    fail_each(&fixture->options, use_directory, &file);
    disk_close(file.disk, file.file);
    disk_uring_destroy(file.disk);
    scratch_directory_remove(&root);
    scratch_directory_remove(&files);
}

/* --- S3 ------------------------------------------------------------------------------------ */

static void use_s3(struct object_store *store, void *context)
{
    struct fixture *fixture = context;
    const struct text keys[] = {TEXT("a"), TEXT("b")};
    struct error error;
    PLAY(fixture, {.status = "200 OK", .body = LISTED});
    list(store);
    read_whole(store, LISTED);
    put(store);
    PLAY(fixture, {.status = "200 OK", .body = "<DeleteResult/>"});
    check(object_store_remove_many(store, NULL, keys, 2, &error), &error);
}

static void an_s3_store_goes_without_memory(void **state)
{
    struct fixture *fixture = *state;
    fail_each(&fixture->options, use_s3, fixture);
}

/* A script cannot follow who ends early: each answer is asked for alone. */
static void abandon(struct object_store *store, void *context)
{
    struct fixture *fixture = context;
    struct error error;
    PLAY(fixture,
         {.status = "200 OK",
          .body = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>a/b"
                  "</Key><UploadId>u</UploadId><Initiated>2013-05-24T00:00:00Z</Initiated>"
                  "</Upload></ListMultipartUploadsResult>"});
    check(object_store_abandon_put(store, NULL, TEXT("a/b"), &error), &error);
}

static void uploads_are_abandoned_without_memory(void **state)
{
    struct fixture *fixture = *state;
    fail_each(&fixture->options, abandon, fixture);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
    const struct CMUnitTest tests[] = {
        CASE(a_directory_store_goes_without_memory),
        CASE(an_s3_store_goes_without_memory),
        CASE(uploads_are_abandoned_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
