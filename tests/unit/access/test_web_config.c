#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/web_config.h"
#include "password.h"
#include "scratch_directory.h"

#define HASH "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"

static void assert_text(struct text text, const char *wanted)
{
    assert_true(text_equal(text, text_of(wanted)));
}

static struct web_config *parse(const char *yaml, const char *folder)
{
    struct web_config *config = NULL;
    struct error error;
    if (web_config_parse(text_of(yaml), folder, &config, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    return config;
}

static void assert_wrong(const char *yaml, const char *words)
{
    struct web_config *config = NULL;
    struct error error;
    enum error_code code = web_config_parse(text_of(yaml), "", &config, &error);
    if (code == ERROR_NONE)
        fail_msg("taken for right: %s", yaml);
    assert_null(config);
    if (strstr(error.message, words) == NULL)
        fail_msg("'%s' is not in '%s'", words, error.message);
    assert_null(strstr(error.message, "hidden")); /* what secrets are called here */
}

static void everything_is_read(void **state)
{
    (void)state;
    struct web_config *config =
        parse("tls_server_config:\n"
              "  cert_file: server.pem\n"
              "  key_file: /keys/server.key\n"
              "  client_auth_type: RequireAndVerifyClientCert\n"
              "  client_ca_file: ca.pem\n"
              "http_server_config:\n"
              "  http2: false\n"
              "  headers:\n"
              "    X-Frame-Options: deny\n"
              "    X-XSS-Protection: ''\n"
              "    Strict-Transport-Security: max-age=31536000\n"
              "basic_auth_users:\n"
              "  alice: " HASH "\n"
              "  bob: " HASH "\n"
              "bearer_tokens:\n"
              "  - name: writer\n"
              "    token: 0123456789abcdef\n"
              "  - {name: reader, token: 0123456789abcdeg, tenant: team-a}\n",
              "/etc/gnomon");
    assert_string_equal(config->certificate_path, "/etc/gnomon/server.pem");
    assert_string_equal(config->key_path, "/keys/server.key");
    assert_string_equal(config->client_ca_path, "/etc/gnomon/ca.pem");
    assert_int_equal(config->header_count, 2); /* a blank one is unset */
    assert_text(config->headers[0].name, "X-Frame-Options");
    assert_text(config->headers[1].value, "max-age=31536000");
    assert_int_equal(config->user_count, 2);
    assert_text(config->users[1].name, "bob");
    assert_string_equal(config->users[1].hash, HASH);
    assert_int_equal(config->token_count, 2);
    assert_text(config->tokens[0].secret, "0123456789abcdef");
    assert_int_equal(config->tokens[0].tenant.size, 0);
    assert_text(config->tokens[1].tenant, "team-a");
    web_config_destroy(config);
}

static void nothing_is_a_web_config(void **state)
{
    static const char *const NOTHINGS[] = {"", "---\n", "{}", "# only words\n",
                                           "tls_server_config:\nbasic_auth_users:\n"
                                           "http_server_config:\nbearer_tokens:\n"};
    (void)state;
    for (size_t i = 0; i < sizeof NOTHINGS / sizeof NOTHINGS[0]; i++) {
        struct web_config *config = parse(NOTHINGS[i], "");
        assert_int_equal(config->user_count + config->token_count + config->header_count, 0);
        assert_null(config->certificate_path);
        web_config_destroy(config);
    }
}

static void keys_that_are_not_known_are_named(void **state)
{
    (void)state;
    assert_wrong("users: {}", "unknown key 'users'");
    assert_wrong("a: 1\n", "line 1");
    assert_wrong("tls_server_config: {certfile: x}", "unknown key 'tls_server_config.certfile'");
    assert_wrong("tls_server_config: {min_version: TLS13}",
                 "'tls_server_config.min_version' is not supported");
    assert_wrong("tls_server_config: {key: hidden}", "'tls_server_config.key' is not supported");
    assert_wrong("rate_limit: {burst: 1}", "'rate_limit' is not supported");
    assert_wrong("http_server_config: {http2: true}", "http_server_config.http2");
    assert_wrong("http_server_config: {headers: {Server: x}}",
                 "unknown key 'http_server_config.headers.Server'");
    assert_wrong("bearer_tokens: [{name: a, secret: hidden}]",
                 "unknown key 'bearer_tokens.secret'");
}

static void values_are_checked(void **state)
{
    (void)state;
    assert_wrong("tls_server_config: {cert_file: x}", "cert_file and key_file go together");
    assert_wrong("tls_server_config: {cert_file: [x]}", "must be a text");
    assert_wrong(
        "tls_server_config: {cert_file: x, key_file: y, client_auth_type: RequestClientCert}",
        "NoClientCert and RequireAndVerifyClientCert");
    assert_wrong("tls_server_config: {cert_file: x, key_file: y, client_ca_file: z}",
                 "go together");
    assert_wrong(
        "tls_server_config: {client_auth_type: RequireAndVerifyClientCert, client_ca_file: z}",
        "needs cert_file");
    assert_wrong("http_server_config: {headers: {X-Frame-Options: never}}",
                 "may be deny or sameorigin");
    assert_wrong("http_server_config: {headers: {X-XSS-Protection: \"a\\r\\nb\"}}",
                 "control character");
    assert_wrong("basic_auth_users: {alice: hidden}", "'alice'");
    assert_wrong("basic_auth_users: {alice: [hidden]}", "'alice'");
    assert_wrong("basic_auth_users: {'a:b': hidden}", "no colon");
    assert_wrong("basic_auth_users: [alice]", "must be names and values");
    assert_wrong("basic_auth_users: {alice: " HASH ", alice: " HASH "}", "there twice");
    assert_wrong("basic_auth_users: {[a]: b}", "no text");
    assert_wrong("- a\n- b\n", "must be names and values");
    assert_wrong("a: [\n", "line 2");
    assert_wrong("basic_auth_users: {}\n---\nbearer_tokens: []\n", "more than one document");
    assert_wrong("{} nonsense", "line 1");
}

static void tokens_are_checked(void **state)
{
    (void)state;
    assert_wrong("bearer_tokens: {}", "must be a list");
    assert_wrong("bearer_tokens: [{token: hidden-hidden-hidden}]", "has a name");
    assert_wrong("bearer_tokens: [{name: a}]", "needs one of token and token_file");
    assert_wrong("bearer_tokens: [{name: a, token: hidden-hidden-hidden, token_file: b}]",
                 "needs one of");
    assert_wrong("bearer_tokens: [{name: a, token: hidden}]", "16 to 1024");
    assert_wrong("bearer_tokens: [{name: a, token: 'hidden hidden hidden'}]", "without spaces");
    assert_wrong("bearer_tokens: [{name: a, token_file: /does/not/exist}]", "'/does/not/exist'");
    assert_wrong("bearer_tokens: [{name: a, token: hidden-hidden-hidden, tenant: a/b}]", "tenant");
    assert_wrong("bearer_tokens: [{name: a, token: hidden-hidden-hidden},"
                 " {name: b, token: hidden-hidden-hidden}]",
                 "'b' is there twice");
    assert_wrong("bearer_tokens: [{name: a, token: hidden-hidden-hiddes},"
                 " {name: a, token: hidden-hidden-hidden}]",
                 "'a' is there twice");
}

static void write_file(const char *folder, const char *name, const char *content)
{
    char path[SCRATCH_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static void a_token_may_be_in_a_file_beside(void **state)
{
    (void)state;
    struct scratch_directory directory;
    char path[SCRATCH_PATH_MAX + 32];
    struct web_config *config = NULL;
    struct error error;
    scratch_directory_make(&directory);
    write_file(directory.path, "web.yml", "bearer_tokens: [{name: a, token_file: token}]\n");
    snprintf(path, sizeof path, "%s/web.yml", directory.path);
    assert_int_equal(web_config_load(path, &config, &error), ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "web.yml"));
    write_file(directory.path, "token", "0123456789abcdef-in-a-file\n");
    assert_int_equal(web_config_load(path, &config, &error), ERROR_NONE);
    assert_text(config->tokens[0].secret, "0123456789abcdef-in-a-file");
    web_config_destroy(config);
    snprintf(path, sizeof path, "%s/none.yml", directory.path);
    assert_int_equal(web_config_load(path, &config, &error), ERROR_NOT_FOUND);
    scratch_directory_remove(&directory);
}

static void hashes_are_those_of_bcrypt(void **state)
{
    (void)state;
    assert_true(password_hash_is_valid(TEXT(HASH)));
    static const char *const BAD[] = {
        "",
        "plain",
        "$2x$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi",
        "$2y$16$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi",
        "$2y$03$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi",
        "$2y$1a$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi",
        "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeS",
        "$2y$10$QOauhQNbBCuQDKes6eFzPe*qBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi",
        "$6$salt$hash"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        assert_false(password_hash_is_valid(text_of(BAD[i])));
}

/* "U*U" of the test vectors that came with bcrypt, and what htpasswd and Python make. */
static void a_password_matches_its_hash_only(void **state)
{
    (void)state;
    static const char *const OF_U_U[] = {
        "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"};
    assert_true(password_matches("U*U", OF_U_U[0]));
    assert_false(password_matches("U*V", OF_U_U[0]));
    assert_false(password_matches("", OF_U_U[0]));
    const char *of_secret = "$2b$04$tbMrqvCu8bXDrIFkrA/0EOZe4MHg0No4IzbNUY5ffNixJRep0KMoW";
    assert_true(password_matches("secret", of_secret));
    char as_go[61];
    snprintf(as_go, sizeof as_go, "$2y%s", of_secret + 3);
    assert_true(password_matches("secret", as_go));
    assert_false(password_matches("secret ", as_go));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(nothing_is_a_web_config),
        cmocka_unit_test(keys_that_are_not_known_are_named),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(tokens_are_checked),
        cmocka_unit_test(a_token_may_be_in_a_file_beside),
        cmocka_unit_test(hashes_are_those_of_bcrypt),
        cmocka_unit_test(a_password_matches_its_hash_only),
    };
    return cmocka_run_group_tests_name("web_config", tests, NULL, NULL);
}
