/* Queries over blocks in the bucket, nothing of which is near: round trips are counted. */
#include "cold_query.h"

/* More index than is fetched whole: 200 k series, each with a label value of its own. */
static const struct cold_shape LARGE = {1, 100, 2000, 4};
static const struct cold_shape SHARED = {40, 10, 40, 20};
/* Chunks are most of it. */
static const struct cold_shape DAY = {1, 10, 80, 24 * 240};

static void assert_query(struct fixture *fixture, size_t count, uint64_t round_trips_max)
{
    size_t found = 0;
    assert_int_equal(open_view(fixture), ERROR_NONE);
    assert_int_equal(run(fixture, &found), ERROR_NONE);
    assert_int_equal(found, count);
    print_message("%zu series of %u blocks: %llu round trips, %llu requests, %llu KiB of %llu\n",
                  count, fixture->windows, (unsigned long long)fixture->store.round_trips,
                  (unsigned long long)fixture->store.reads,
                  (unsigned long long)fixture->store.read_bytes / 1024,
                  (unsigned long long)fixture->store.objects[0].size_bytes * fixture->windows /
                      1024);
    assert_in_range(fixture->store.round_trips, 1, round_trips_max);
    end(fixture);
}

static bool count_value(void *context, struct text value, struct index_postings postings)
{
    (void)value, (void)postings;
    ++*(size_t *)context;
    return true;
}

/* Two round trips are enough for the values of a label. */
static void assert_values(struct fixture *fixture)
{
    struct text name = TEXT("pod");
    size_t count = 0;
    begin(fixture, 0);
    assert_int_equal(open_view(fixture), ERROR_NONE);
    struct index_source *index = block_index(fixture->view->blocks[0].block);
    assert_int_equal(
        selection_fetch_indexes(fixture->view, &fixture->request, &name, &fixture->error),
        ERROR_NONE);
    assert_int_equal(index->operations->values(index, fixture->request.tenant, name,
                                               (struct text){0}, count_value, &count,
                                               &fixture->error),
                     ERROR_NONE);
    assert_int_equal(count, fixture->shape->instances);
    assert_in_range(fixture->store.round_trips, 1, 2);
    end(fixture);
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void a_series_takes_three_round_trips(void **state)
{
    (void)state;
    struct fixture *fixture = make(&SMALL, 1);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00007");
    add_matcher(fixture, MATCHER_EQUAL, "instance", "host-00013:9100");
    assert_query(fixture, 1, 3);
    unmake(fixture);
}

static void many_series_take_three_round_trips(void **state)
{
    (void)state;
    struct fixture *fixture = make(&DAY, 1);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00003");
    assert_query(fixture, DAY.instances, 3);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_REGEX, "job", "job-0[12]"); /* instances 10 to 29 */
    add_matcher(fixture, MATCHER_NOT_EQUAL, "zone", "zone-1");
    assert_query(fixture, (size_t)DAY.metrics * 13, 3);
    begin(fixture, 0); /* everything */
    assert_query(fixture, (size_t)DAY.metrics * DAY.instances, 3);
    unmake(fixture);
}

static void many_blocks_take_three_round_trips_together(void **state)
{
    (void)state;
    struct fixture *fixture = make(&SMALL, 5);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00007");
    assert_query(fixture, SMALL.instances, 3);
    unmake(fixture);
}

static void one_tenant_of_many_takes_three_round_trips(void **state)
{
    (void)state;
    struct fixture *fixture = make(&SHARED, 2);
    begin(fixture, 23);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00004");
    assert_query(fixture, SHARED.instances, 3);
    begin(fixture, 39);
    add_matcher(fixture, MATCHER_EQUAL, "zone", "zone-2");
    assert_query(fixture, (size_t)SHARED.metrics * 13, 3);
    begin(fixture, 77); /* nobody */
    assert_query(fixture, 0, 1);
    unmake(fixture);
}

static void a_large_index_takes_three_round_trips_too(void **state)
{
    (void)state;
    struct fixture *fixture = make(&LARGE, 1);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00042");
    add_matcher(fixture, MATCHER_EQUAL, "job", "job-03");
    add_matcher(fixture, MATCHER_EQUAL, "instance", "host-00777:9100");
    assert_query(fixture, 1, 3);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00042");
    assert_query(fixture, LARGE.instances, 3);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00099");
    add_matcher(fixture, MATCHER_REGEX, "job", "job-0[5-9]");
    add_matcher(fixture, MATCHER_NOT_EQUAL, "zone", "zone-0");
    assert_query(fixture, 500, 3);
    char pod[64];
    cold_pod(pod, 777);
    begin(fixture, 0); /* no place in the order */
    add_matcher(fixture, MATCHER_EQUAL, "pod", pod);
    assert_query(fixture, LARGE.metrics, 3);
    assert_values(fixture);
    unmake(fixture);
}

static void values_of_a_label_take_two_round_trips(void **state)
{
    (void)state;
    struct fixture *fixture = make(&SMALL, 1);
    assert_values(fixture);
    unmake(fixture);
}

/* Whatever request of a query fails, it fails as a whole, and the next one does not. */
static void a_store_that_breaks_off_fails_the_query_alone(void **state)
{
    (void)state;
    struct fixture *fixture = make(&SMALL, 3);
    for (uint64_t after = 0;; after++) {
        size_t count = 0;
        begin(fixture, 0);
        add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00007");
        fixture->store.fail_after = after;
        enum error_code code = open_view(fixture);
        if (code == ERROR_NONE)
            code = run(fixture, &count);
        fixture->store.fail_after = UINT64_MAX;
        if (code == ERROR_NONE) {
            assert_in_range(after, 6, 1000);
            end(fixture);
            break;
        }
        assert_int_equal(code, ERROR_UNAVAILABLE);
        assert_non_null(strstr(fixture->error.message, "block-"));
        view_unref(fixture->view);
        assert_int_equal(open_view(fixture), ERROR_NONE); /* what came is near still */
        assert_int_equal(run(fixture, &count), ERROR_NONE);
        assert_int_equal(count, SMALL.instances);
        end(fixture);
    }
    unmake(fixture);
}

static void damaged_objects_are_said_to_be(void **state)
{
    (void)state;
    struct fixture *fixture = make(&SMALL, 1);
    struct counted_object *object = &fixture->store.objects[0];
    size_t count;
    for (size_t at = 100; at < object->size_bytes; at += 997) {
        begin(fixture, 0);
        add_matcher(fixture, MATCHER_EQUAL, "zone", "zone-1");
        object->bytes[at] ^= 0x10;
        enum error_code code = open_view(fixture);
        if (code == ERROR_NONE)
            code = run(fixture, &count);
        assert_true(code == ERROR_NONE || code == ERROR_CORRUPT || code == ERROR_UNSUPPORTED);
        object->bytes[at] ^= 0x10;
        end(fixture);
    }
    unmake(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_series_takes_three_round_trips),
        cmocka_unit_test(many_series_take_three_round_trips),
        cmocka_unit_test(many_blocks_take_three_round_trips_together),
        cmocka_unit_test(one_tenant_of_many_takes_three_round_trips),
        cmocka_unit_test(a_large_index_takes_three_round_trips_too),
        cmocka_unit_test(values_of_a_label_take_two_round_trips),
        cmocka_unit_test(a_store_that_breaks_off_fails_the_query_alone),
        cmocka_unit_test(damaged_objects_are_said_to_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
