#include "contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "object/object_store_probe.h"
#include "platform/random.h"

enum { STEPS_MAX = 100 };

static bool count_objects(void *context, const struct object_info *object)
{
    (void)object;
    ++*(size_t *)context;
    return true;
}

/* What is wrong with the settings is told by each call, with the setting that mends it. */
static void expect_refusal(const struct object_store_options *options, const char *first,
                           const char *second)
{
    struct object_store *store = store_with(options);
    struct error error;
    uint8_t target[4];
    struct object_info info;
    struct object_read read = {
        .key = TEXT("refused/one"), .target = target, .size_bytes = sizeof target};
    enum error_code code = object_store_put(store, NULL, read.key, "x", 1, &error);
    if (code != ERROR_DENIED || strstr(error.message, first) == NULL ||
        strstr(error.message, second) == NULL)
        fail_msg("%s: %s", error_code_name(code), error.message);
    assert_int_equal(object_store_read(store, NULL, &read), ERROR_DENIED);
    assert_non_null(strstr(read.error.message, first));
    /* HEAD has no body that tells; and of no bucket it says only that nothing is there. */
    code = object_store_head(store, NULL, read.key, &info, &error);
    if (code != ERROR_NOT_FOUND && strstr(error.message, first) == NULL)
        fail_msg("%s: %s", error_code_name(code), error.message);
    object_store_destroy(store);
}

static void a_wrong_secret_is_told(void **state)
{
    (void)state;
    struct object_store_options options = contract.options;
    if (!contract.is_s3)
        skip();
    options.s3.secret_key = "wrong";
    expect_refusal(&options, "secret key", "object_store.s3.access_key");
}

static void a_wrong_access_key_is_told(void **state)
{
    (void)state;
    struct object_store_options options = contract.options;
    if (!contract.is_s3)
        skip();
    options.s3.access_key = "nobody";
    expect_refusal(&options, "access key 'nobody'", "object_store.s3.access_key");
}

static void a_wrong_bucket_is_told(void **state)
{
    (void)state;
    struct object_store_options options = contract.options;
    if (!contract.is_s3)
        skip();
    options.s3.bucket = "never-made";
    expect_refusal(&options, "'never-made'", "object_store.s3.bucket");
}

static void a_wrong_region_is_told(void **state)
{
    (void)state;
    struct object_store_options options = contract.options;
    if (!contract.checks_region)
        skip();
    options.s3.region = "mars-north-1";
    expect_refusal(&options, "'mars-north-1'", "object_store.s3.region");
}

static void a_wrong_clock_is_told_with_both_times(void **state)
{
    (void)state;
    struct object_store_options options = contract.options;
    struct moved_clock clock = contract.clock;
    if (!contract.is_s3)
        skip();
    clock.ahead_ms = -3 * 3600 * 1000;
    options.clock = &clock.base;
    expect_refusal(&options, "clock", "-");
    clock.ahead_ms = 3 * 3600 * 1000;
    expect_refusal(&options, "clock", "Z)");
}

static void a_certificate_that_is_not_trusted_is_told(void **state)
{
    (void)state;
    struct object_store_options options = contract.options;
    struct error error;
    const char *endpoint = getenv("S3_TLS_ENDPOINT");
    if (!contract.is_s3 || endpoint == NULL || endpoint[0] == '\0')
        skip();
    options.s3.endpoint = endpoint;
    expect_refusal(&options, "certificate", "object_store.s3.ca_file");
    options.s3.ca_file = getenv("S3_CA_FILE");
    struct object_store *store = store_with(&options);
    must(object_store_put(store, NULL, TEXT("tls"), "x", 1, &error), &error);
    must(object_store_remove(store, NULL, TEXT("tls"), &error), &error);
    object_store_destroy(store);
}

static void a_store_sees_only_what_is_below_its_prefix(void **state)
{
    (void)state;
    struct object_store_options options = contract.options;
    struct object_info info;
    struct error error;
    if (!contract.is_s3)
        skip();
    options.s3.prefix = "/contract/prefix/";
    struct object_store *store = store_with(&options);
    put_text("prefix/one", "1");
    must(object_store_head(store, NULL, TEXT("one"), &info, &error), &error);
    assert_int_equal(object_store_head(store, NULL, TEXT("prefix/one"), &info, &error),
                     ERROR_NOT_FOUND);
    must(object_store_remove(store, NULL, TEXT("one"), &error), &error);
    assert_int_equal(object_store_head(contract.store, NULL, TEXT("prefix/one"), &info, &error),
                     ERROR_NOT_FOUND);
    object_store_destroy(store);
}

/* --- Probes -------------------------------------------------------------------------------- */

static void note_step(void *context, const char *step, uint64_t duration_ns,
                      const struct error *error)
{
    char *steps = context;
    (void)duration_ns;
    snprintf(steps + strlen(steps), STEPS_MAX - strlen(steps), "%s%s ", step,
             error->code == ERROR_NONE ? "" : "!");
}

static void a_probe_asks_for_everything_and_leaves_nothing(void **state)
{
    (void)state;
    char steps[STEPS_MAX] = "";
    struct object_store_probe_options options = {
        .clock = clock_system(), .random = random_system(), .report = note_step, .context = steps};
    struct object_range range = {.prefix = TEXT("probe/")};
    struct error error;
    size_t left = 0;
    must(object_store_probe(contract.store, NULL, &options, &error), &error);
    assert_string_equal(steps, "put head read ranges list remove uploads ");
    must(object_store_list(contract.store, NULL, &range, count_objects, &left, &error), &error);
    assert_int_equal(left, 0);
}

static void a_probe_ends_where_it_fails(void **state)
{
    (void)state;
    char steps[STEPS_MAX] = "";
    atomic_bool canceled = true;
    struct object_call call = {.canceled = &canceled};
    struct object_store_probe_options options = {
        .clock = clock_system(), .random = random_system(), .report = note_step, .context = steps};
    struct error error;
    assert_int_equal(object_store_probe(contract.store, &call, &options, &error), ERROR_CANCELED);
    assert_string_equal(steps, "put! ");
}

static void settings_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct object_store *store;
    struct error error;
    struct object_store_options options = contract.options;
    options.type = OBJECT_STORE_DIRECTORY;
    options.directory = "";
    assert_int_equal(object_store_create(&options, &store, &error), ERROR_INVALID);
    options.type = OBJECT_STORE_S3;
    options.s3 = (struct s3_options){.bucket = ""};
    assert_int_equal(object_store_create(&options, &store, &error), ERROR_INVALID);
    options.s3 = (struct s3_options){.bucket = "blocks", .access_key = "half"};
    assert_int_equal(object_store_create(&options, &store, &error), ERROR_INVALID);
    assert_non_null(strstr(error.message, "object_store.s3.secret_key"));
    options.s3 = (struct s3_options){.bucket = "blocks", .endpoint = "localhost:9000"};
    assert_int_equal(object_store_create(&options, &store, &error), ERROR_INVALID);
    options.s3 = (struct s3_options){.bucket = "blocks", .part_bytes = 1};
    assert_int_equal(object_store_create(&options, &store, &error), ERROR_INVALID);
    options.s3 = (struct s3_options){.bucket = "blocks", .prefix = "a/../b"};
    assert_int_equal(object_store_create(&options, &store, &error), ERROR_INVALID);
    options.s3 = (struct s3_options){
        .bucket = "blocks", .encryption = S3_ENCRYPTION_CUSTOMER, .encryption_key = "short"};
    assert_int_equal(object_store_create(&options, &store, &error), ERROR_INVALID);
}

int run_refusal_cases(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_secret_is_told),
        cmocka_unit_test(a_wrong_access_key_is_told),
        cmocka_unit_test(a_wrong_bucket_is_told),
        cmocka_unit_test(a_wrong_region_is_told),
        cmocka_unit_test(a_wrong_clock_is_told_with_both_times),
        cmocka_unit_test(a_certificate_that_is_not_trusted_is_told),
        cmocka_unit_test(a_store_sees_only_what_is_below_its_prefix),
        cmocka_unit_test(a_probe_asks_for_everything_and_leaves_nothing),
        cmocka_unit_test(a_probe_ends_where_it_fails),
        cmocka_unit_test(settings_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests_name("refusals", tests, NULL, NULL);
}
