/* What is said of a cluster on the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cluster_status.h"

static const char CLUSTER[] =
    "{\"observed\": true, \"shards\": ["
    "{\"shard\": 0, \"slots\": 1024, \"leader\": \"a\", \"settled\": true, \"replicas\": []},"
    "{\"shard\": 1, \"slots\": 2048, \"leader\": \"b\", \"settled\": false, \"replicas\": ["
    "{\"node\": \"a\", \"role\": \"standby\", \"desired\": true, \"bytesBehind\": 12582912},"
    "{\"node\": \"b\", \"role\": \"voter\", \"desired\": true, \"bytesBehind\": 0},"
    "{\"node\": \"c\", \"role\": \"voter\", \"desired\": false, \"bytesBehind\": 0}]},"
    "{\"shard\": 2, \"slots\": 1024, \"leader\": null, \"replicas\": ["
    "{\"node\": \"a\", \"role\": \"missing\", \"desired\": true}]}]}";

static json_t *cluster(void)
{
    json_error_t error;
    json_t *read = json_loads(CLUSTER, 0, &error);
    assert_non_null(read);
    return read;
}

static void expect_text(const char *shard, const char *expected)
{
    char text[200] = "";
    json_t *read = cluster();
    assert_true(cluster_status_awaits(read, shard, text, sizeof text));
    assert_string_equal(text, expected);
    json_decref(read);
}

static void a_split_says_what_it_waits_for(void **state)
{
    (void)state;
    static const char OF_1[] =
        "shard 1 is not as desired yet: a standby, 12.0 MiB behind, b voter, "
        "c voter (leaving)";
    expect_text("1", OF_1);
    expect_text(NULL, OF_1); /* it has the most slots */
    expect_text("2", "shard 2 is not as desired yet: nobody leads it, a missing");
}

static void a_split_waits_for_nothing_else(void **state)
{
    (void)state;
    char text[200] = "";
    json_t *read = cluster();
    assert_false(cluster_status_awaits(read, "0", text, sizeof text));
    assert_false(cluster_status_awaits(read, "7", text, sizeof text));
    json_object_set_new(read, "observed", json_false());
    assert_false(cluster_status_awaits(read, "1", text, sizeof text));
    assert_string_equal(text, "");
    json_decref(read);
}

/* Many replicas: the line is cut, and ends within its memory. */
static void a_line_that_does_not_fit_is_cut(void **state)
{
    (void)state;
    json_t *read = cluster();
    for (size_t size = 1; size < 120; size++) {
        char text[120];
        memset(text, 'x', sizeof text);
        assert_true(cluster_status_awaits(read, "1", text, size));
        assert_true(strnlen(text, sizeof text) < size);
    }
    json_decref(read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_split_says_what_it_waits_for),
        cmocka_unit_test(a_split_waits_for_nothing_else),
        cmocka_unit_test(a_line_that_does_not_fit_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
