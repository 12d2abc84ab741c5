#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "membership/cluster_node.h"
#include "scratch_directory.h"
#include "settings.h"
#include "shard/retention_policy.h"

/* --- Helpers ---------------------------------------------------------------------------------- */

enum { ARGUMENTS_MAX = 8 };

/* Loads with the arguments up to NULL. */
static enum error_code load(struct settings *settings, struct error *error, ...)
{
    char *arguments[ARGUMENTS_MAX];
    int count = 0;
    va_list list;
    va_start(list, error);
    for (char *argument = va_arg(list, char *); argument != NULL; argument = va_arg(list, char *)) {
        assert_true(count < ARGUMENTS_MAX);
        arguments[count++] = argument;
    }
    va_end(list);
    return settings_load(count, arguments, settings, error);
}

static void assert_refused(const char *argument, const char *message)
{
    struct settings settings;
    struct error error;
    assert_int_equal(load(&settings, &error, argument, NULL), ERROR_INVALID);
    assert_string_equal(error.message, message);
}

/* A settings file of the test; *state is the scratch directory. */
static char *write_file(void **state, const char *content)
{
    static char flag[SCRATCH_PATH_MAX + 64];
    const struct scratch_directory *directory = *state;
    snprintf(flag, sizeof flag, "--config=%s/settings.yaml", directory->path);
    FILE *file = fopen(strchr(flag, '=') + 1, "we");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return flag;
}

static int set_up(void **state)
{
    struct scratch_directory *directory = malloc(sizeof *directory);
    scratch_directory_make(directory);
    *state = directory;
    return 0;
}

static int tear_down(void **state)
{
    scratch_directory_remove(*state);
    free(*state);
    return 0;
}

/* --- Values ----------------------------------------------------------------------------------- */

static void without_arguments_there_are_defaults(void **state)
{
    (void)state;
    struct settings settings;
    struct error error;
    assert_int_equal(load(&settings, &error, NULL), ERROR_NONE);
    assert_string_equal(settings.http_listen, "127.0.0.1:9009");
    assert_string_equal(settings.storage_directory, "./gnomon-data");
    assert_int_equal(settings.storage_retention_ms, 0);
    assert_int_equal(settings.cluster_shards, 4);
    assert_int_equal(settings.ingest_future_window_ms, 10 * 60 * 1000);
    assert_int_equal(settings.ingest_max_labels, 64);
    assert_int_equal(settings.ingest_max_label_bytes, 8 * 1024);
    assert_int_equal(settings.ingest_max_request_bytes, 32 << 20);
    assert_int_equal(settings.ingest_max_request_series, 10000);
    assert_int_equal(settings.query_timeout_ms, 2 * 60 * 1000);
    assert_int_equal(settings.query_max_samples, 50000000);
    assert_int_equal(settings.query_lookback_ms, 5 * 60 * 1000);
    assert_int_equal(settings.query_features, PROMQL_STABLE);
    assert_true(settings.telemetry_self_write);
    assert_false(settings.tenants_enabled);
    settings_clear(&settings);
}

static void values_have_units(void **state)
{
    (void)state;
    struct settings settings;
    struct error error;
    assert_int_equal(load(&settings, &error, "--storage.retention=1d12h", "--storage.cache=64MiB",
                          "--query.max_samples", "123", "--tenants.enabled=true",
                          "--query.experimental=true", NULL),
                     ERROR_NONE);
    assert_int_equal(settings.storage_retention_ms, 36 * 3600 * 1000);
    assert_int_equal(settings.storage_cache_bytes, 64 << 20);
    assert_int_equal(settings.query_max_samples, 123);
    assert_true(settings.tenants_enabled);
    assert_int_equal(settings.query_features, PROMQL_EXPERIMENTAL);
    settings_clear(&settings);
}

static void wrong_values_are_refused_with_what_was_expected(void **state)
{
    (void)state;
    assert_refused("--storage.retention=soon",
                   "setting 'storage.retention': 'soon' is not a duration such as 15d, 5m or 30s");
    assert_refused("--storage.retention=-5m",
                   "setting 'storage.retention': '-5m' is not a duration such as 15d, 5m or 30s");
    assert_refused("--storage.cache=many",
                   "setting 'storage.cache': 'many' is not a size such as 512MiB or 8KiB");
    assert_refused("--cluster.shards=4.5", "setting 'cluster.shards': '4.5' is not a number");
    assert_refused("--tenants.enabled=yes",
                   "setting 'tenants.enabled': 'yes' is not true or false");
    assert_refused("--log.level=loud",
                   "setting 'log.level': 'loud' is not debug, info, warn or error");
    assert_refused("--storage.engine=mmap",
                   "setting 'storage.engine': 'mmap' is not auto, io_uring or pwritev2");
}

static void texts_have_a_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        static const char *const WRONG[] = {"", "here", "127.0.0.1", "127.0.0.1:65536"};
        char flag[64], message[128];
        snprintf(flag, sizeof flag, "--http.listen=%s", WRONG[i]);
        snprintf(message, sizeof message,
                 "setting 'http.listen': '%s' is not an address such as 127.0.0.1:9009 or :9009",
                 WRONG[i]);
        assert_refused(flag, message);
    }
    assert_refused("--storage.directory=", "setting 'storage.directory' must not be empty");
    assert_refused("--cluster.name=", "setting 'cluster.name' must not be empty");
}

/* It is a word of the settings that compute their default, not of all. */
static void roles_are_names_with_commas_between(void **state)
{
    static const struct {
        const char *text;
        uint32_t roles;
    } CASES[] = {
        {"--roles=all", CLUSTER_ROLES_ALL},
        {"--roles=ingest", CLUSTER_ROLE_INGEST},
        {"--roles=rules,ingest", CLUSTER_ROLE_INGEST | CLUSTER_ROLE_RULES},
        {"--roles= store , query,ingest ",
         CLUSTER_ROLE_INGEST | CLUSTER_ROLE_QUERY | CLUSTER_ROLE_STORE},
    };
    static const char *const WRONG[] = {
        "",       "ingest,",   ",ingest", "ingest query", "ingest,,query", "ingest,ingest",
        "writer", "all,ingest"};
    (void)state;
    struct settings settings;
    struct error error;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        assert_int_equal(load(&settings, &error, CASES[i].text, NULL), ERROR_NONE);
        assert_int_equal(settings.roles, CASES[i].roles);
        settings_clear(&settings);
    }
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        char flag[64], message[200];
        snprintf(flag, sizeof flag, "--roles=%s", WRONG[i]);
        snprintf(message, sizeof message,
                 "setting 'roles': '%s' is not all, or some of ingest, query, store and rules with "
                 "commas between",
                 WRONG[i]);
        assert_refused(flag, message);
    }
    assert_refused("--roles=query",
                   "setting 'roles': a node alone needs the role ingest, as nobody "
                   "else has its shards");
    assert_int_equal(load(&settings, &error, "--roles=query", "--cluster.listen=:1", NULL),
                     ERROR_NONE);
    assert_int_equal(settings.roles, CLUSTER_ROLE_QUERY);
    settings_clear(&settings);
}

static void auto_is_refused_where_nothing_is_automatic(void **state)
{
    (void)state;
    assert_refused("--http.max_connections=auto",
                   "setting 'http.max_connections': 'auto' is not a number");
    assert_refused("--query.timeout=auto",
                   "setting 'query.timeout': 'auto' is not a duration such as 15d, 5m or 30s");
}

static void values_out_of_range_are_refused(void **state)
{
    (void)state;
    assert_refused("--cluster.shards=0",
                   "setting 'cluster.shards': '0' is out of range (1 to 4096)");
    assert_refused("--cluster.shards=4097",
                   "setting 'cluster.shards': '4097' is out of range (1 to 4096)");
    assert_refused("--query.timeout=25h",
                   "setting 'query.timeout': '25h' is out of range (1ms to 1d)");
    assert_refused("--http.max_body=512",
                   "setting 'http.max_body': '512' is out of range (1KiB to 1GiB)");
    assert_refused("--storage.cache=1KiB",
                   "setting 'storage.cache': '1KiB' is out of range (at least 1MiB)");
    assert_refused("--ingest.max_labels=18446744073709551616",
                   "setting 'ingest.max_labels': '18446744073709551616' is not a number");
}

static void certificate_and_key_go_together(void **state)
{
    (void)state;
    assert_refused("--http.tls.certificate=a.pem",
                   "http.tls.certificate and http.tls.key go together");
    assert_refused("--http.tls.key=a.pem", "http.tls.certificate and http.tls.key go together");
    assert_refused("--http.tls.client_ca=a.pem",
                   "http.tls.client_ca needs http.tls.certificate and http.tls.key: without TLS no "
                   "client is asked for a certificate");
}

static void a_store_needs_its_place(void **state)
{
    (void)state;
    struct settings settings;
    struct error error;
    assert_refused("--object_store.type=bucket",
                   "setting 'object_store.type': 'bucket' is not none, directory or s3");
    assert_refused("--object_store.type=directory",
                   "object_store.type directory needs object_store.directory");
    assert_refused("--object_store.type=s3", "object_store.type s3 needs object_store.s3.bucket");
    assert_refused("--object_store.s3.path_style=maybe",
                   "setting 'object_store.s3.path_style': 'maybe' is not auto, true or false");
    assert_int_equal(load(&settings, &error, "--object_store.type=s3",
                          "--object_store.s3.bucket=blocks", "--object_store.s3.path_style=true",
                          NULL),
                     ERROR_NONE);
    assert_int_equal(settings.object_store_type, OBJECT_STORE_S3);
    assert_int_equal(settings.s3.addressing, S3_ADDRESSING_BY_PATH);
    assert_int_equal(settings.object_store_delete_grace_ms, 3600 * 1000);
    assert_int_equal(settings.s3.encryption, S3_ENCRYPTION_NONE);
    assert_int_equal(settings.s3.part_bytes, 16 << 20);
    assert_int_equal(settings.s3_attempts, 6);
    settings_clear(&settings);
    assert_refused("--object_store.s3.encryption=rot13",
                   "setting 'object_store.s3.encryption': 'rot13' is not none, AES256, aws:kms or "
                   "customer");
    assert_refused("--object_store.s3.part_size=1MiB",
                   "setting 'object_store.s3.part_size': '1MiB' is out of range (5MiB to 512MiB)");
    assert_int_equal(load(&settings, &error, "--object_store.s3.encryption=aws:kms",
                          "--object_store.s3.etag=opaque", "--object_store.s3.stall_timeout=2s",
                          "--object_store.s3.session_token=hush", NULL),
                     ERROR_NONE);
    assert_int_equal(settings.s3.encryption, S3_ENCRYPTION_KMS);
    assert_int_equal(settings.s3.etag, S3_ETAG_OPAQUE);
    assert_int_equal(settings.s3.stall_timeout_ms, 2000);
    assert_string_equal(settings.s3.session_token, "hush");
    settings_clear(&settings);
}

static void secrets_are_not_shown(void **state)
{
    (void)state;
    struct settings settings;
    struct error error;
    struct byte_buffer printed = {0};
    assert_int_equal(load(&settings, &error, "--object_store.s3.secret_key=hush", NULL),
                     ERROR_NONE);
    assert_string_equal(settings.s3.secret_key, "hush");
    settings_print(&settings, &printed);
    byte_buffer_u8(&printed, '\0');
    assert_null(strstr((const char *)printed.bytes, "hush"));
    assert_non_null(strstr((const char *)printed.bytes, "s3.secret_key: \"<secret>\""));
    byte_buffer_clear(&printed);
    settings_clear(&settings);
}

static void admin_endpoints_are_on_by_default_only_on_loopback(void **state)
{
    static const struct {
        char *flag;
        bool admin;
    } CASES[] = {
        {"--http.listen=127.0.0.1:1", true},
        {"--http.listen=127.9.9.9:1", true},
        {"--http.listen=[::1]:1", true},
        {"--http.listen=localhost:1", true},
        {"--http.listen=0.0.0.0:1", false},
        {"--http.listen=[::]:1", false},
        {"--http.listen=10.0.0.1:1", false},
        {"--http.listen=:1", false},
        {"--http.listen=127.example.org:1", false},
    };
    (void)state;
    struct settings settings;
    struct error error;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        assert_int_equal(load(&settings, &error, CASES[i].flag, NULL), ERROR_NONE);
        assert_int_equal(settings.http_admin, CASES[i].admin);
        settings_clear(&settings);
    }
    assert_int_equal(load(&settings, &error, "--http.listen=0.0.0.0:1", "--http.admin=true", NULL),
                     ERROR_NONE);
    assert_true(settings.http_admin);
    settings_clear(&settings);
}

static void automatic_values_are_numbers_that_can_be_shown(void **state)
{
    static const char *const AUTOMATIC[] = {"storage.cache", "ingest.max_series",
                                            "query.memory",  "query.concurrency",
                                            "threads",       "http.admin"};
    (void)state;
    struct settings settings;
    struct error error;
    size_t shown = 0;
    assert_int_equal(load(&settings, &error, NULL), ERROR_NONE);
    assert_true(settings.threads >= 1);
    assert_true(settings.query_concurrency >= 1);
    assert_true(settings.query_memory_bytes > settings.storage_cache_bytes);
    assert_true(settings.ingest_max_series > 0);
    for (size_t i = 0; i < settings.count; i++)
        for (size_t j = 0; j < sizeof AUTOMATIC / sizeof AUTOMATIC[0]; j++)
            if (strcmp(settings.names[i], AUTOMATIC[j]) == 0) {
                assert_string_not_equal(settings.values[i], "auto");
                shown++;
            }
    assert_int_equal(shown, sizeof AUTOMATIC / sizeof AUTOMATIC[0]);
    settings_clear(&settings);
}

/* --- Names ------------------------------------------------------------------------------------ */

static void an_unknown_name_is_an_error_with_a_suggestion(void **state)
{
    (void)state;
    assert_refused("--storage.retension=1d",
                   "unknown setting 'storage.retension'; did you mean 'storage.retention'?");
    assert_refused("--query.max_sample=1",
                   "unknown setting 'query.max_sample'; did you mean 'query.max_samples'?");
    assert_refused("--nothing.of.the.kind=1",
                   "unknown setting 'nothing.of.the.kind'; `gnomon serve --help` lists all");
}

static void what_is_no_flag_is_refused(void **state)
{
    (void)state;
    assert_refused("storage.retention=1d",
                   "'storage.retention=1d' is no setting; they look like --name=value");
    assert_refused("--storage.retention", "setting 'storage.retention' has no value");
}

/* --- Sources ---------------------------------------------------------------------------------- */

static void the_file_is_nested_at_the_dots(void **state)
{
    struct settings settings;
    struct error error;
    char *config = write_file(state, "storage:\n"
                                     "  retention: 30d   # a month\n"
                                     "  directory: '/data'\n"
                                     "http.tls:\n"
                                     "  certificate: c.pem\n"
                                     "  key: k.pem\n"
                                     "query.timeout: 30s\n");
    assert_int_equal(load(&settings, &error, config, NULL), ERROR_NONE);
    assert_int_equal(settings.storage_retention_ms, INT64_C(30) * 24 * 3600 * 1000);
    assert_string_equal(settings.storage_directory, "/data");
    assert_string_equal(settings.http_tls_certificate, "c.pem");
    assert_int_equal(settings.query_timeout_ms, 30000);
    settings_clear(&settings);
}

static void an_empty_file_changes_nothing(void **state)
{
    struct settings settings;
    struct error error;
    assert_int_equal(load(&settings, &error, write_file(state, "# nothing\n"), NULL), ERROR_NONE);
    settings_clear(&settings);
}

static void bad_files_are_refused_with_their_place(void **state)
{
    static const struct {
        const char *content;
        const char *expected;
    } CASES[] = {
        {"storage: {retention: 1d\n", ":2:1: "},
        {"storage:\n  retension: 1d\n", "did you mean 'storage.retention'?"},
        {"storage:\n  retention: [1d, 2d]\n", "'storage.retention' is a list"},
        {"- a\n- b\n", "settings are names and values"},
        {"query:\n  timeout: 1m\n  timeout: 2m\n", "line 3: 'query.timeout' is there twice"},
        {"storage:\n  retention:\n    deep: 1d\n", "unknown setting 'storage.retention.deep'"},
        {"? [a, b]\n: 1\n", "a name that is no text"},
        {"a: &a\n  b: *a\n", ""}, /* contains itself */
        {"federation: {clusters: [{name: b}]}", "needs a name and a url"},
        {"federation: {clusters: [b]}", "a cluster has names and values"},
        {"federation: {clusters: [{name: b, url: 'b:1'}]}", "http:// or https://"},
        {"federation: {clusters: [{name: b, url: 'http://u@b'}]}", "a user in its url"},
        {"federation: {clusters: [{name: b, url: 'http://b', lables: {}}]}", "has no 'lables'"},
        {"federation: {clusters: [{name: b, name: c, url: 'http://b'}]}", "it is there twice"},
        {"federation: {clusters: [{name: b, url: 'http://b', labels: {__a: b}}]}", "no external"},
        {"federation: {clusters: [{name: b, url: 'http://b', tls: {key: k}}]}", "a certificate"},
        {"federation: {clusters: [{name: b, url: 'http://b', credentials: {password: p}}]}",
         "a password without a user"},
        {"federation:\n  clusters:\n    - {name: b, url: 'http://b'}\n"
         "    - {name: b, url: 'http://c'}\n",
         "line 4: a cluster of 'federation.clusters' has the name of another one"},
        {"storage: {retention_rules: [a]}", "has names and texts"},
        {"storage:\n  retention_rules:\n    - {tenant: a}\n",
         "line 3: a rule of 'storage.retention_rules' needs a retention"},
        {"storage: {retention_rules: [{retention: 1d}]}", "needs a retention, and a tenant or"},
        {"storage: {retention_rules: [{tenant: a, keep: 1d}]}", "has no 'keep' there"},
        {"storage: {retention_rules: [{tenant: a, tenant: b}]}", "or it is there twice"},
        {"storage: {retention_rules: [{tenant: [a], retention: 1d}]}", "has names and texts"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct settings settings;
        struct error error;
        char *config = write_file(state, CASES[i].content);
        assert_int_equal(load(&settings, &error, config, NULL), ERROR_INVALID);
        assert_non_null(strstr(error.message, CASES[i].expected));
        assert_non_null(strstr(error.message, "settings.yaml"));
    }
}

static void clusters_are_a_list_of_the_file(void **state)
{
    struct settings settings;
    struct error error;
    struct byte_buffer printed = {0};
    char *config = write_file(state, "federation:\n"
                                     "  partial_response: abort\n"
                                     "  clusters:\n"
                                     "    - name: b\n"
                                     "      url: http://b:1\n"
                                     "    - name: c\n"
                                     "      url: https://c\n"
                                     "      labels: {zone: z, cluster: see}\n"
                                     "      tls: {ca: ca.pem}\n"
                                     "      credentials: {token: hush}\n");
    assert_int_equal(load(&settings, &error, config, NULL), ERROR_NONE);
    assert_int_equal(settings.federation_partial, FEDERATION_ABORT);
    assert_int_equal(settings.federation_cluster_count, 2);
    const struct settings_cluster *clusters = settings.federation_clusters;
    assert_string_equal(clusters[0].url, "http://b:1");
    assert_int_equal(clusters[0].label_count, 1);
    assert_string_equal(clusters[0].label_names[0], "cluster");
    assert_string_equal(clusters[0].label_values[0], "b");
    assert_int_equal(clusters[1].label_count, 2);
    assert_string_equal(clusters[1].label_values[1], "see");
    assert_string_equal(clusters[1].ca, "ca.pem");
    assert_string_equal(clusters[1].token, "hush");
    settings_print(&settings, &printed);
    byte_buffer_u8(&printed, '\0');
    assert_null(strstr((const char *)printed.bytes, "hush"));
    assert_non_null(strstr((const char *)printed.bytes, "zone: \"z\""));
    byte_buffer_clear(&printed);
    settings_clear(&settings);
}

static void rules_of_retention_are_a_list_of_the_file(void **state)
{
    struct settings settings;
    struct error error;
    struct byte_buffer printed = {0};
    char *config =
        write_file(state, "storage:\n"
                          "  retention: 30d\n"
                          "  retention_rules:\n"
                          "    - {tenant: a, retention: 90d}\n"
                          "    - {matchers: '{job=~\"a|b\"}', retention: 7d}\n"
                          "    - {tenant: a, matchers: 'up{job!=\"c\"}', retention: 0}\n");
    assert_int_equal(load(&settings, &error, config, NULL), ERROR_NONE);
    const struct retention_policy *policy = settings.retention_policy;
    const int64_t day_ms = 24 * 3600 * 1000;
    assert_int_equal(retention_policy_default_ms(policy), 30 * day_ms);
    assert_int_equal(retention_policy_rule_count(policy), 3);
    assert_true(text_equal(retention_policy_rule(policy, 0)->tenant, TEXT("a")));
    assert_int_equal(retention_policy_rule(policy, 0)->keep_ms, 90 * day_ms);
    assert_int_equal(retention_policy_rule(policy, 0)->matcher_count, 0);
    assert_int_equal(retention_policy_rule(policy, 1)->tenant.size, 0);
    assert_int_equal(retention_policy_rule(policy, 1)->matcher_count, 1);
    assert_int_equal(retention_policy_rule(policy, 2)->matcher_count, 2);
    assert_true(retention_policy_rule(policy, 2)->keep_ms == RETENTION_FOR_EVER);
    settings_print(&settings, &printed);
    byte_buffer_u8(&printed, '\0');
    assert_non_null(strstr((const char *)printed.bytes, "  retention_rules:\n"
                                                        "    - retention: \"90d\"\n"
                                                        "      tenant: \"a\"\n"));
    byte_buffer_clear(&printed);
    settings_clear(&settings);
}

static void a_rule_of_retention_that_cannot_be_is_named(void **state)
{
    static const struct {
        const char *rule, *expected;
    } CASES[] = {
        {"{tenant: 'a/b', retention: 1d}", "'a/b' is no name of a tenant"},
        {"{tenant: b, retention: long}", "rule 2 of 'storage.retention_rules'"},
        {"{matchers: '{job=}', retention: 1d}", "parse error"},
        {"{matchers: '{job=~\"(\"}', retention: 1d}", "rule 2 of 'storage.retention_rules'"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct settings settings;
        struct error error;
        char content[256];
        snprintf(content, sizeof content,
                 "storage: {retention_rules: [{tenant: a, retention: 1d}, %s]}\n", CASES[i].rule);
        char *config = write_file(state, content);
        assert_int_not_equal(load(&settings, &error, config, NULL), ERROR_NONE);
        assert_non_null(strstr(error.message, CASES[i].expected));
    }
}

static void a_missing_file_is_an_error(void **state)
{
    (void)state;
    struct settings settings;
    struct error error;
    assert_int_equal(load(&settings, &error, "--config=/nowhere/settings.yaml", NULL),
                     ERROR_NOT_FOUND);
}

static void later_sources_win(void **state)
{
    struct settings settings;
    struct error error;
    char *config = write_file(state, "cluster:\n"
                                     "  name: of_the_file\n"
                                     "  node: of_the_file\n"
                                     "  shards: 7\n");
    setenv("GNOMON_CLUSTER_NODE", "of_the_environment", 1);
    setenv("GNOMON_CLUSTER_SHARDS", "8", 1);
    enum error_code code = load(&settings, &error, "--cluster.shards=9", config, NULL);
    unsetenv("GNOMON_CLUSTER_NODE");
    unsetenv("GNOMON_CLUSTER_SHARDS");
    assert_int_equal(code, ERROR_NONE);
    assert_string_equal(settings.cluster_name, "of_the_file");
    assert_string_equal(settings.cluster_node, "of_the_environment");
    assert_int_equal(settings.cluster_shards, 9);
    settings_clear(&settings);
}

static void a_name_with_an_underscore_is_a_variable_too(void **state)
{
    (void)state;
    struct settings settings;
    struct error error;
    setenv("GNOMON_STORAGE_RETENTION_SIZE", "5GiB", 1);
    enum error_code code = load(&settings, &error, NULL);
    unsetenv("GNOMON_STORAGE_RETENTION_SIZE");
    assert_int_equal(code, ERROR_NONE);
    assert_int_equal(settings.storage_retention_bytes, UINT64_C(5) << 30);
    settings_clear(&settings);
}

static void a_mistyped_variable_is_an_error_and_those_of_others_are_not(void **state)
{
    (void)state;
    struct settings settings;
    struct error error;
    setenv("GNOMON_PORT_9009_TCP_ADDR", "10.0.0.1", 1); /* as Kubernetes does */
    assert_int_equal(load(&settings, &error, NULL), ERROR_NONE);
    settings_clear(&settings);
    setenv("GNOMON_STORAGE_RETENTON", "1d", 1);
    assert_int_equal(load(&settings, &error, NULL), ERROR_INVALID);
    unsetenv("GNOMON_STORAGE_RETENTON");
    unsetenv("GNOMON_PORT_9009_TCP_ADDR");
    assert_string_equal(error.message, "unknown variable 'GNOMON_STORAGE_RETENTON'; did you mean "
                                       "'GNOMON_STORAGE_RETENTION'?");
}

/* --- Printing --------------------------------------------------------------------------------- */

static void what_is_printed_can_be_loaded_again(void **state)
{
    struct settings settings, again;
    struct error error;
    struct byte_buffer printed = {0};
    assert_int_equal(load(&settings, &error, "--storage.directory=a \"b\" \\ \t: #c",
                          "--storage.retention=15d", "--http.listen=0.0.0.0:1", NULL),
                     ERROR_NONE);
    settings_print(&settings, &printed);
    byte_buffer_u8(&printed, '\0');
    char *config = write_file(state, (const char *)printed.bytes);
    assert_int_equal(load(&again, &error, config, NULL), ERROR_NONE);
    assert_int_equal(settings.count, again.count);
    for (size_t i = 0; i < settings.count; i++) {
        assert_string_equal(settings.names[i], again.names[i]);
        assert_string_equal(settings.values[i], again.values[i]);
    }
    byte_buffer_clear(&printed);
    settings_clear(&settings);
    settings_clear(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_arguments_there_are_defaults),
        cmocka_unit_test(values_have_units),
        cmocka_unit_test(wrong_values_are_refused_with_what_was_expected),
        cmocka_unit_test(texts_have_a_form),
        cmocka_unit_test(roles_are_names_with_commas_between),
        cmocka_unit_test(auto_is_refused_where_nothing_is_automatic),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(certificate_and_key_go_together),
        cmocka_unit_test(a_store_needs_its_place),
        cmocka_unit_test(secrets_are_not_shown),
        cmocka_unit_test(admin_endpoints_are_on_by_default_only_on_loopback),
        cmocka_unit_test(automatic_values_are_numbers_that_can_be_shown),
        cmocka_unit_test(an_unknown_name_is_an_error_with_a_suggestion),
        cmocka_unit_test(what_is_no_flag_is_refused),
        cmocka_unit_test_setup_teardown(the_file_is_nested_at_the_dots, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_file_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_files_are_refused_with_their_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(clusters_are_a_list_of_the_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rule_of_retention_that_cannot_be_is_named, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(rules_of_retention_are_a_list_of_the_file, set_up,
                                        tear_down),
        cmocka_unit_test(a_missing_file_is_an_error),
        cmocka_unit_test_setup_teardown(later_sources_win, set_up, tear_down),
        cmocka_unit_test(a_name_with_an_underscore_is_a_variable_too),
        cmocka_unit_test(a_mistyped_variable_is_an_error_and_those_of_others_are_not),
        cmocka_unit_test_setup_teardown(what_is_printed_can_be_loaded_again, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
