/*
 * Every allocation of a request fails once, on its loop and on the workers. The client gets the
 * right answer or is told to come back; the node goes on and loses nothing.
 */
#include "../http/site.h"

#include "allocation_faults.h"
#include "api/api.h"
#include "series_memory.h"

enum { SERIES = 8, SAMPLES = 50, START_SECONDS = 1700000000, FAULTS_MAX = 3000 };

struct fixture {
    struct replica_table *replicas;
    struct site site;
    struct series_memory *memory;
    struct frontend *frontend;
    struct metrics *metrics;
    struct api *api;
    struct api_loop loop;
};

static enum error_code ready(void *context, struct error *error)
{
    (void)context;
    (void)error;
    return ERROR_NONE;
}

static void fill(struct series_memory *memory)
{
    for (size_t i = 0; i < SERIES; i++) {
        struct arena *arena = arena_create(0);
        struct label labels[] = {
            {TEXT("__name__"), TEXT("requests_total")},
            {TEXT("instance"), arena_format(arena, "host-%zu", i)},
            {TEXT("job"), TEXT("test")},
        };
        for (size_t k = 0; k < SAMPLES; k++)
            series_memory_add(
                memory, labels_build(arena, labels, 3),
                (struct memory_sample){.timestamp_ms = (START_SECONDS + (int64_t)k * 15) * 1000,
                                       .value = (double)(i + k)});
        arena_destroy(arena);
    }
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error error;
    struct site *site = &fixture->site;
    assert_non_null(fixture);
    assert_int_equal(worker_pool_create(&(struct worker_pool_options){.worker_count = 3},
                                        &site->workers, &error),
                     ERROR_NONE);
    site_open(site, NULL, 0);
    fixture->memory = series_memory_create();
    fill(fixture->memory);
    fixture->metrics = metrics_create();
    struct series_source *source = series_memory_source(fixture->memory);
    struct frontend_options frontend_options = {
        .shards = &source,
        .shard_count = 1,
        .pool = site->workers,
        .clock = clock_system(),
        .lookback_ms = 300000,
        .subquery_step_ms = 60000,
        .timeout_ms = 60000,
        .samples_max = 1000000,
        .memory_max_bytes = 64 << 20,
        .concurrency = 2,
        .waiting_max = 10,
    };
    assert_int_equal(frontend_create(&frontend_options, &fixture->frontend, &error), ERROR_NONE);
    fixture->loop.scheduler = loop_scheduler(site->loop);
    assert_int_equal(replica_table_create(1, &fixture->replicas, &error), ERROR_NONE);
    struct api_options options = {
        .loops = &fixture->loop,
        .loop_count = 1,
        .replicas = fixture->replicas,
        .frontend = fixture->frontend,
        .metrics = fixture->metrics,
        .clock = frontend_options.clock,
        .program = {.check_ready = ready},
        .version = "test",
        .config_yaml = "",
        .retention_text = "0",
        .decoded_bytes_max = 1 << 20,
    };
    assert_int_equal(api_create(&options, &fixture->api, &error), ERROR_NONE);
    assert_int_equal(api_add_routes(fixture->api, site->router, &error), ERROR_NONE);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    site_close(&fixture->site);
    api_destroy(fixture->api);
    frontend_destroy(fixture->frontend);
    replica_table_destroy(fixture->replicas);
    metrics_destroy(fixture->metrics);
    series_memory_destroy(fixture->memory);
    worker_pool_destroy(fixture->site.workers);
    free(fixture);
    return 0;
}

/* The status of the answer, 0 when the connection was closed without; `body` gets all of it. */
static unsigned ask(struct fixture *fixture, const char *target, char *body, size_t body_bytes)
{
    static char bytes[1 << 18];
    char request[1000];
    size_t size = 0;
    ssize_t got;
    int client = client_open(&fixture->site);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             target);
    client_say(client, request);
    while ((got = recv(client, bytes + size, sizeof bytes - 1 - size, 0)) > 0)
        size += (size_t)got;
    close(client);
    bytes[size] = '\0';
    const char *start = strstr(bytes, "\r\n\r\n");
    snprintf(body, body_bytes, "%s", start == NULL ? "" : start + 4);
    return strncmp(bytes, "HTTP/1.1 ", 9) != 0 ? 0 : (unsigned)strtoul(bytes + 9, NULL, 10);
}

/* What does not change from one answer to the next. */
static bool is_repeatable(const char *target)
{
    return strstr(target, "/status/") == NULL && strstr(target, "/metrics") == NULL;
}

static void fail_each_allocation(struct fixture *fixture, const char *target)
{
    static char expected[1 << 17], body[1 << 17];
    assert_int_equal(ask(fixture, target, expected, sizeof expected), 200);
    size_t survived = 0;
    for (size_t number = 1; number < FAULTS_MAX; number++) {
        allocation_faults_arm_everywhere(number);
        unsigned status = ask(fixture, target, body, sizeof body);
        bool injected = allocation_faults_disarm_everywhere();
        /* 422: a query's budget and the memory look the same to an arena. */
        if (status != 0 && status != 200 && status != 422 && status != 503)
            fail_msg("%s: allocation %zu: status %u: %s", target, number, status, body);
        survived += status != 200;
        if (status == 200 && is_repeatable(target) && !injected)
            assert_string_equal(body, expected);
        if (status == 422 || (status == 503 && body[0] != '\0'))
            if (strstr(body, "\"status\":\"error\"") == NULL)
                fail_msg("%s: allocation %zu: status %u: '%s'", target, number, status, body);
        while (site_statistics(&fixture->site).connections_open > 0)
            usleep(100);
        if (!injected)
            break;
    }
    assert_true(survived > 1);
    /* All memory of queries came back, and the next one is right. */
    struct frontend_statistics statistics;
    frontend_statistics(fixture->frontend, &statistics);
    assert_int_equal(statistics.memory_bytes, 0);
    assert_int_equal(statistics.queries_running, 0);
    assert_int_equal(ask(fixture, target, body, sizeof body), 200);
    if (is_repeatable(target))
        assert_string_equal(body, expected);
}

static void queries_without_memory_are_to_be_repeated(void **state)
{
    fail_each_allocation(*state, "/api/v1/query?query=sum%20by%20(job)%20(rate(requests_total%5B1m"
                                 "%5D))&time=1700000600");
    fail_each_allocation(*state, "/api/v1/query_range?query=requests_total%20*%202&start=1700000000"
                                 "&end=1700000700&step=15");
}

static void look_ups_without_memory_are_to_be_repeated(void **state)
{
    fail_each_allocation(*state,
                         "/api/v1/series?match%5B%5D=requests_total&start=0&end=1800000000");
    fail_each_allocation(*state, "/api/v1/metadata");
}

static void states_without_memory_are_to_be_asked_again(void **state)
{
    fail_each_allocation(*state, "/api/v1/status/buildinfo");
    fail_each_allocation(*state, "/api/v1/status/runtimeinfo");
    fail_each_allocation(*state, "/api/v1/status/tsdb");
    fail_each_allocation(*state, "/api/v1/format_query?query=sum(a)");
    fail_each_allocation(*state, "/metrics");
}

int main(void)
{
    alarm(200); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(queries_without_memory_are_to_be_repeated, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(look_ups_without_memory_are_to_be_repeated, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(states_without_memory_are_to_be_asked_again, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
