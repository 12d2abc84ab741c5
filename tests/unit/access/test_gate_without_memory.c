/* Every allocation of reading a web config and going by it fails once: a reload that says so, and a
 * gate that never lets in more than before. */
#include "../http/site.h"

#include "access/gate.h"
#include "allocation_faults.h"

static const char WEB_CONFIG[] =
    "http_server_config: {headers: {X-Frame-Options: deny}}\n"
    "basic_auth_users: {alice: $2b$04$tbMrqvCu8bXDrIFkrA/0EOZe4MHg0No4IzbNUY5ffNixJRep0KMoW}\n"
    "bearer_tokens: [{name: a, token: 0123456789abcdef, tenant: b}]\n";

static struct web_config *parse(struct error *error)
{
    struct web_config *config = NULL;
    web_config_parse(text_of(WEB_CONFIG), "", &config, error);
    return config;
}

static void a_web_config_without_memory_is_not_taken(void **state)
{
    (void)state;
    size_t failed = 0;
    bool injected = true;
    for (size_t number = 1; injected; number++) {
        struct error error;
        struct gate *gate = NULL;
        struct metrics *metrics = metrics_create();
        struct gate_options options = {.metrics = metrics, .checks_max = 1};
        allocation_faults_arm(number);
        struct web_config *config = parse(&error);
        if (config != NULL && gate_create(&options, &gate, &error) == ERROR_NONE &&
            gate_replace(gate, config, &error) == ERROR_NONE)
            config = NULL;
        injected = allocation_faults_disarm();
        if (injected) {
            assert_int_equal(error.code, ERROR_OUT_OF_MEMORY);
            failed++;
        }
        web_config_destroy(config);
        gate_destroy(gate);
        metrics_destroy(metrics);
    }
    assert_true(failed > 10);
}

static struct site site;

static const struct http_route ROUTES[] = {
    {.methods = HTTP_GET, .pattern = "/echo", .handler = echo},
};

/* The status, or 0 when the server closed the connection. */
static unsigned ask(const char *authorization)
{
    char question[300], answer[2000];
    int client = client_open(&site);
    snprintf(question, sizeof question,
             "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: %s\r\n\r\n",
             authorization);
    client_say(client, question);
    size_t size = 0;
    ssize_t got;
    while ((got = recv(client, answer + size, sizeof answer - 1 - size, 0)) > 0)
        size += (size_t)got;
    answer[size] = '\0';
    close(client);
    return size == 0 ? 0 : answer_status(answer);
}

/* A password that nobody has asked for yet, wrong or right. */
static void assert_never_more(size_t number, const char *authorization, unsigned status,
                              bool *injected_out)
{
    allocation_faults_arm_everywhere(number);
    unsigned found = ask(authorization);
    *injected_out = allocation_faults_disarm_everywhere();
    if (found != status)
        assert_true(*injected_out && (found == 0 || found == 503 || found == 401));
}

static void a_gate_without_memory_refuses(void **state)
{
    static const struct {
        const char *authorization;
        unsigned status;
    } CASES[] = {{"Basic YWxpY2U6c2VjcmV0", 200},
                 {"Basic YWxpY2U6b3RoZXI=", 401},
                 {"Bearer 0123456789abcdef", 200},
                 {"Bearer 0123456789abcdeg", 401}};
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        bool injected = true;
        for (size_t number = 1; injected; number++) {
            struct error error;
            struct gate *gate;
            struct metrics *metrics = metrics_create();
            struct gate_options options = {.metrics = metrics, .checks_max = 1};
            struct worker_pool_options pool = {.worker_count = 3};
            memset(&site, 0, sizeof site);
            assert_int_equal(gate_create(&options, &gate, &error), ERROR_NONE);
            assert_int_equal(gate_replace(gate, parse(&error), &error), ERROR_NONE);
            assert_int_equal(worker_pool_create(&pool, &site.workers, &error), ERROR_NONE);
            site.options.guard = gate_guard(gate);
            site_open(&site, ROUTES, 1);
            assert_int_equal(ask("Other"), 401); /* what a loop needs first is there */
            assert_never_more(number, CASES[i].authorization, CASES[i].status, &injected);
            site_close(&site);
            worker_pool_destroy(site.workers);
            gate_destroy(gate);
            metrics_destroy(metrics);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_web_config_without_memory_is_not_taken),
        cmocka_unit_test(a_gate_without_memory_refuses),
    };
    return cmocka_run_group_tests_name("gate_without_memory", tests, NULL, NULL);
}
