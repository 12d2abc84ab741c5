#include "../http/site.h"

#include "access/gate.h"

/* A gate before a real server: who passes, what refusals say, and what a reload changes. */

/* "secret" and "other", cost 4. */
#define SECRET "$2b$04$tbMrqvCu8bXDrIFkrA/0EOZe4MHg0No4IzbNUY5ffNixJRep0KMoW"
#define OTHER  "$2b$04$Oqpj1WIlx73ADoAazBdIQeXTUeMNGudC7hnP9w.MQU1NsmWJwX1pm"
/* Of nothing that is asked here; cost 12: a check that takes a while. */
#define SLOW "$2y$12$tbMrqvCu8bXDrIFkrA/0EOzXZ1aMEpDxZRHSZYyxV9V7NkKeMH4bm"

#define ALICE_SECRET "Basic YWxpY2U6c2VjcmV0"
#define ALICE_OTHER  "Basic YWxpY2U6b3RoZXI="
#define BOB_SECRET   "Basic Ym9iOnNlY3JldA=="
#define TOKEN        "0123456789abcdef"

static struct site site;
static struct gate *gate;
static struct metrics *metrics;

static void tell_who(struct http_request *request)
{
    struct http_identity identity = http_request_identity(request);
    http_respond(request, &(struct http_response){
                              .status = 200,
                              .body = arena_format(http_request_arena(request), "%.*s of %.*s",
                                                   TEXT_ARGUMENTS(identity.name),
                                                   TEXT_ARGUMENTS(identity.tenant)),
                          });
}

static const struct http_route ROUTES[] = {
    {.methods = HTTP_GET, .pattern = "/who", .handler = tell_who},
    {.methods = HTTP_GET, .pattern = "/open", .handler = tell_who},
};

static int set_up(void **state)
{
    static const char *const OPEN[] = {"/open"};
    struct error error;
    (void)state;
    metrics = metrics_create();
    struct gate_options options = {metrics, OPEN, 1, 1};
    assert_int_equal(gate_create(&options, &gate, &error), ERROR_NONE);
    memset(&site, 0, sizeof site);
    struct worker_pool_options pool = {.worker_count = 3};
    assert_int_equal(worker_pool_create(&pool, &site.workers, &error), ERROR_NONE);
    site.options.guard = gate_guard(gate);
    site_open(&site, ROUTES, sizeof ROUTES / sizeof ROUTES[0]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    site_close(&site);
    worker_pool_destroy(site.workers);
    gate_destroy(gate);
    metrics_destroy(metrics);
    return 0;
}

static void go_by(const char *yaml)
{
    struct web_config *config;
    struct error error;
    if (web_config_parse(text_of(yaml), "", &config, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    assert_int_equal(gate_replace(gate, config, &error), ERROR_NONE);
}

/* The answer to a GET; "" is no Authorization. */
static char *ask(const char *path, const char *authorization, const char *more)
{
    char question[3000];
    snprintf(question, sizeof question, "GET %s HTTP/1.1\r\nHost: x\r\n%s%s%s%s\r\n", path,
             authorization[0] == '\0' ? "" : "Authorization: ", authorization,
             authorization[0] == '\0' ? "" : "\r\n", more);
    int client = client_open(&site);
    client_say(client, question);
    char *answer = client_read_answer(client);
    close(client);
    return answer;
}

static void assert_ask(const char *path, const char *authorization, const char *more,
                       unsigned status, const char *words)
{
    char *answer = ask(path, authorization, more);
    assert_int_equal(answer_status(answer), status);
    if (strstr(answer, words) == NULL)
        fail_msg("'%s' is not in '%s'", words, answer);
    free(answer);
}

static void find_value(void *context, const struct metric_sample *sample)
{
    struct metric_sample *wanted = context;
    bool fits = strcmp(sample->name, wanted->name) == 0;
    if (fits && wanted->labels != NULL)
        fits =
            sample->label_count == 1 && strcmp(sample->labels[0].value, wanted->labels->value) == 0;
    if (fits)
        wanted->value = sample->value;
}

static int metric(const char *name, const char *label_value)
{
    struct metric_label label = {"", label_value};
    struct metric_sample wanted = {
        .name = name, .labels = label_value == NULL ? NULL : &label, .value = -1};
    metrics_visit(metrics, find_value, &wanted);
    return (int)wanted.value;
}

static void without_users_and_tokens_everybody_passes(void **state)
{
    (void)state;
    assert_ask("/who", "", "", 200, " of ");
    go_by("http_server_config: {headers: {X-Frame-Options: deny}}");
    assert_ask("/who", "", "", 200, "X-Frame-Options: deny\r\n");
}

static void a_password_lets_its_user_in(void **state)
{
    (void)state;
    go_by("basic_auth_users: {alice: " SECRET ", carol: " OTHER "}\n"
          "http_server_config: {headers: {X-Frame-Options: deny}}");
    assert_ask("/who", ALICE_SECRET, "", 200, "alice of ");
    for (int i = 0; i < 5; i++)
        assert_ask("/who", ALICE_SECRET, "", 200, "alice of ");
    assert_int_equal(metric("gnomon_access_password_checks_total", NULL), 1);
    assert_int_equal(metric("gnomon_access_admitted_total", "password"), 6);
    for (int i = 0; i < 3; i++)
        assert_ask("/who", ALICE_OTHER, "", 401, "WWW-Authenticate: Basic\r\n");
    assert_ask("/who", BOB_SECRET, "", 401, "\r\n\r\nUnauthorized\n");
    assert_int_equal(metric("gnomon_access_password_checks_total", NULL), 3);
    assert_ask("/who", "", "", 401, "X-Frame-Options: deny\r\n");
    assert_ask("/who", "Basic x", "", 401, "Unauthorized");
    assert_ask("/who", "Bearer " TOKEN, "", 401, "Unauthorized");
    assert_ask("/who", ALICE_SECRET, "Authorization: " ALICE_SECRET "\r\n", 401, "Unauthorized");
    assert_ask("/nowhere", "", "", 401, "Unauthorized");
    assert_ask("/nowhere", ALICE_SECRET, "", 404, "");
    assert_ask("/open", "", "", 200, " of ");
    assert_ask("/open", ALICE_OTHER, "", 200, " of ");
    assert_int_equal(metric("gnomon_access_refused_total", "password"), 4);
    assert_int_equal(metric("gnomon_access_refused_total", "missing"), 2);
    assert_int_equal(metric("gnomon_access_refused_total", "malformed"), 2);
    assert_int_equal(metric("gnomon_access_refused_total", "scheme"), 1);
}

static void a_token_lets_its_owner_in(void **state)
{
    (void)state;
    go_by("bearer_tokens:\n"
          "- {name: writer, token: " TOKEN "}\n"
          "- {name: reader, token: " TOKEN "-2, tenant: team}\n");
    assert_ask("/who", "Bearer " TOKEN, "", 200, "writer of ");
    assert_ask("/who", "bearer " TOKEN "-2", "", 200, "reader of team");
    assert_ask("/who", "Bearer " TOKEN "-2", "X-Scope-OrgID: team\r\n", 200, "reader of team");
    assert_ask("/who", "Bearer " TOKEN "-2", "X-Scope-OrgID: others\r\n", 403, "another tenant");
    assert_ask("/who", "Bearer " TOKEN "-3", "", 401, "WWW-Authenticate: Bearer\r\n");
    assert_ask("/who", ALICE_SECRET, "", 401, "Unauthorized");
    assert_int_equal(metric("gnomon_access_refused_total", "token"), 1);
    assert_int_equal(metric("gnomon_access_refused_total", "tenant"), 1);
    assert_int_equal(metric("gnomon_access_admitted_total", "token"), 3);
}

static void a_reload_changes_who_passes(void **state)
{
    (void)state;
    struct error error;
    go_by("basic_auth_users: {alice: " SECRET ", bob: " SECRET "}");
    assert_ask("/who", ALICE_SECRET, "", 200, "alice");
    assert_ask("/who", BOB_SECRET, "", 200, "bob");
    go_by("basic_auth_users: {alice: " OTHER ", carol: " SECRET "}");
    assert_ask("/who", ALICE_SECRET, "", 401, "Unauthorized");
    assert_ask("/who", ALICE_OTHER, "", 200, "alice");
    assert_ask("/who", BOB_SECRET, "", 401, "Unauthorized");
    go_by("basic_auth_users: {alice: " SECRET ", bob: " SECRET "}");
    int checks = metric("gnomon_access_password_checks_total", NULL);
    assert_ask("/who", BOB_SECRET, "", 200, "bob"); /* remembered */
    assert_int_equal(metric("gnomon_access_password_checks_total", NULL), checks);
    assert_int_equal(gate_replace(gate, NULL, &error), ERROR_NONE);
    assert_ask("/who", "", "", 200, " of ");
}

/* A client that has said who it is and waits for the answer. */
static int begin(const char *user_and_password)
{
    char question[300];
    int client = client_open(&site);
    snprintf(question, sizeof question, "GET /who HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n\r\n",
             user_and_password);
    client_say(client, question);
    return client;
}

static unsigned end(int client)
{
    char *answer = client_read_answer(client);
    unsigned status = answer_status(answer);
    if (status == 503)
        assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
    free(answer);
    close(client);
    return status;
}

static const char *basic(char *target, size_t size, int number)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef";
    /* "alice:" and six bytes that differ. */
    snprintf(target, size, "Basic YWxpY2U6%c%czz%c%czz", DIGITS[16 + number % 8],
             DIGITS[16 + number / 8 % 8], DIGITS[16 + number / 64 % 8], DIGITS[17]);
    return target;
}

static void wait_for_checks(int waiting)
{
    while (metric("gnomon_access_password_checks_waiting", NULL) < waiting)
        usleep(1000);
}

static void a_check_under_way_is_not_for_a_user_who_was_removed(void **state)
{
    (void)state;
    char wrong[100];
    go_by("basic_auth_users: {alice: " SLOW ", bob: " SECRET "}");
    int first = begin(basic(wrong, sizeof wrong, 0)); /* keeps the worker busy */
    int client = begin(BOB_SECRET);
    wait_for_checks(1);
    go_by("basic_auth_users: {alice: " SECRET "}");
    assert_int_equal(end(client), 401);
    assert_int_equal(end(first), 401);
}

static void equal_passwords_share_a_check(void **state)
{
    enum { CLIENTS = 30 };
    int clients[CLIENTS];
    (void)state;
    go_by("basic_auth_users: {alice: " SLOW ", bob: " SECRET "}");
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = begin(BOB_SECRET);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(end(clients[i]), 200);
    assert_int_equal(metric("gnomon_access_password_checks_total", NULL), 1);
}

static void a_flood_of_wrong_passwords_does_not_stop_who_is_known(void **state)
{
    enum { CLIENTS = 60 };
    int clients[CLIENTS];
    unsigned wrong = 0, busy = 0;
    (void)state;
    go_by("basic_auth_users: {alice: " SLOW ", bob: " SECRET "}\n"
          "bearer_tokens: [{name: writer, token: " TOKEN "}]");
    assert_ask("/who", BOB_SECRET, "", 200, "bob");
    for (int i = 0; i < CLIENTS; i++) {
        char guess[100];
        clients[i] = begin(basic(guess, sizeof guess, i));
    }
    wait_for_checks(1);
    for (int i = 0; i < 20; i++)
        assert_ask("/who", BOB_SECRET, "", 200, "bob");
    assert_ask("/who", "Bearer " TOKEN, "", 200, "writer");
    assert_true(metric("gnomon_access_password_checks_waiting", NULL) > 0); /* all the while */
    for (int i = 0; i < CLIENTS; i++) {
        unsigned status = end(clients[i]);
        wrong += status == 401;
        busy += status == 503;
    }
    assert_int_equal(wrong + busy, CLIENTS);
    assert_true(wrong >= 8 && busy > 0);
    assert_int_equal(metric("gnomon_access_refused_total", "busy"), (int)busy);
}

static void at_the_end_nobody_waits_for_checks(void **state)
{
    int clients[5];
    (void)state;
    go_by("basic_auth_users: {alice: " SLOW "}");
    for (int i = 0; i < 5; i++) {
        char guess[100];
        clients[i] = begin(basic(guess, sizeof guess, i));
    }
    wait_for_checks(4);
    gate_stop(gate);
    unsigned busy = 0;
    for (int i = 0; i < 5; i++)
        busy += end(clients[i]) == 503;
    assert_true(busy >= 3); /* but for those whose check had begun */
    assert_ask("/who", ALICE_SECRET, "", 503, "too many");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_users_and_tokens_everybody_passes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_password_lets_its_user_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_lets_its_owner_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_reload_changes_who_passes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_check_under_way_is_not_for_a_user_who_was_removed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(equal_passwords_share_a_check, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flood_of_wrong_passwords_does_not_stop_who_is_known,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(at_the_end_nobody_waits_for_checks, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
