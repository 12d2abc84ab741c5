/* Where keys come from, and when they are asked for again. */
#include "s3_fixture.h"

#include <sys/stat.h>
#include <time.h>

#include "s3_key_source.h"
#include "scratch_directory.h"

#define EXPIRED                                                                                    \
    {                                                                                              \
        .status = "400 Bad Request", .body = REFUSAL("ExpiredToken", "")                           \
    }
#define OK                                                                                         \
    {                                                                                              \
        .status = "200 OK"                                                                         \
    }

static const char *const VARIABLES[] = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "HOME",
};

static struct scratch_directory scratch;

/* No keys anywhere, and no service of keys. */
static int keys_open(void **state)
{
    for (size_t i = 0; i < sizeof VARIABLES / sizeof *VARIABLES; i++)
        unsetenv(VARIABLES[i]);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    scratch_directory_make(&scratch);
    fixture_open(state);
    struct fixture *fixture = *state;
    fixture->options.s3.access_key = NULL;
    fixture->options.s3.secret_key = NULL;
    return 0;
}

static int keys_close(void **state)
{
    scratch_directory_remove(&scratch);
    return fixture_close(state);
}

static const char *write_file(const char *name, const char *text)
{
    static char paths[4][512];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", scratch.path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static enum error_code put(struct fixture *fixture, struct error *error)
{
    return object_store_put(fixture_store(fixture), NULL, TEXT("k"), "x", 1, error);
}

/* The request was signed with this key, and with this token or none. */
static void expect_keys(struct fixture *fixture, size_t number, const char *access_key,
                        const char *token)
{
    char text[256];
    const char *head = scripted_server_request(fixture->server, number)->head;
    snprintf(text, sizeof text, "Credential=%s/", access_key);
    if (strstr(head, text) == NULL)
        fail_msg("no %s in %s", text, head);
    snprintf(text, sizeof text, "\r\nx-amz-security-token: %s\r\n", token);
    assert_true(strlen(token) == 0
                    ? strstr(head, "x-amz-security-token") == NULL
                    : strstr(head, text) != NULL && strstr(head, ";x-amz-security-token") != NULL);
}

static void must_put(struct fixture *fixture)
{
    struct error error;
    if (put(fixture, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
}

/* --- Files and environment ----------------------------------------------------------------- */

static void keys_come_from_the_environment(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture, OK);
    setenv("AWS_ACCESS_KEY_ID", "FROM_ENVIRONMENT", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    setenv("AWS_SESSION_TOKEN", "t0ken", 1);
    must_put(fixture);
    expect_keys(fixture, 0, "FROM_ENVIRONMENT", "t0ken");
}

static void settings_come_before_the_environment(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture, OK);
    setenv("AWS_ACCESS_KEY_ID", "FROM_ENVIRONMENT", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    fixture->options.s3.access_key = "FROM_SETTINGS";
    fixture->options.s3.secret_key_file = write_file("secret", "  s3cret\n");
    must_put(fixture);
    expect_keys(fixture, 0, "FROM_SETTINGS", "");
}

static void keys_come_from_the_profile_of_a_file(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture, OK);
    fixture->options.s3.credentials_file =
        write_file("credentials", "# two\n[default]\naws_access_key_id=DEFAULT\n"
                                  "aws_secret_access_key = d\n\n[other]\r\n"
                                  "aws_access_key_id = OTHER\r\naws_secret_access_key = o\r\n"
                                  "aws_session_token = t\r\nregion = x\r\n");
    fixture->options.s3.profile = "other";
    must_put(fixture);
    expect_keys(fixture, 0, "OTHER", "t");
}

static void the_shared_file_is_found_by_home(void **state)
{
    struct fixture *fixture = *state;
    char folder[512];
    PLAY(fixture, OK);
    setenv("HOME", scratch.path, 1);
    snprintf(folder, sizeof folder, "%s/.aws", scratch.path);
    assert_int_equal(mkdir(folder, 0777), 0);
    write_file(".aws/credentials",
               "[default]\naws_access_key_id=SHARED\naws_secret_access_key=d\n");
    must_put(fixture);
    expect_keys(fixture, 0, "SHARED", "");
}

static void a_file_that_changed_is_read_again(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture, OK);
    fixture->options.s3.credentials_file =
        write_file("credentials", "[default]\naws_access_key_id=OLD\naws_secret_access_key=d\n");
    must_put(fixture);
    expect_keys(fixture, 0, "OLD", "");
    write_file("credentials", "[default]\naws_access_key_id=NEW\naws_secret_access_key=d\n");
    fixture->clock.ahead_ms += 2000;
    must_put(fixture);
    expect_keys(fixture, 1, "NEW", "");
}

static void keys_that_were_refused_are_read_again_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture, OK, EXPIRED, OK);
    fixture->options.s3.credentials_file =
        write_file("credentials", "[default]\naws_access_key_id=OLD\naws_secret_access_key=d\n");
    must_put(fixture);
    write_file("credentials", "[default]\naws_access_key_id=NEW\naws_secret_access_key=d\n");
    must_put(fixture);
    expect_keys(fixture, 1, "OLD", "");
    expect_keys(fixture, 2, "NEW", "");
    /* Once; then it is told. */
    PLAY(fixture, EXPIRED);
    expect_error(put(fixture, &error), ERROR_DENIED, &error, "session token of access key 'NEW'");
    assert_int_equal(scripted_server_request_count(fixture->server), 2);
}

static void a_file_that_is_wrong_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    fixture->options.s3.credentials_file = "/nowhere/at/all";
    expect_error(put(fixture, &error), ERROR_DENIED, &error, "/nowhere/at/all");
    object_store_destroy(fixture->store);
    fixture->store = NULL;
    fixture->options.s3.credentials_file = write_file("credentials", "[some]\n");
    expect_error(put(fixture, &error), ERROR_DENIED, &error, "no profile 'default'");
}

static void no_keys_at_all_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    expect_error(put(fixture, &error), ERROR_DENIED, &error, "object_store.s3.access_key");
}

/* --- Services ------------------------------------------------------------------------------ */

#define ROLE(key, expires)                                                                         \
    {                                                                                              \
        .status = "200 OK",                                                                        \
        .body =                                                                                    \
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"    \
            "<AccessKeyId>" key "</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"               \
            "<SessionToken>t+/=</SessionToken><Expiration>" expires "</Expiration>"                \
            "</Credentials></AssumeRoleWithWebIdentityResult>"                                     \
            "</AssumeRoleWithWebIdentityResponse>"                                                 \
    }

static void set_web_identity(struct fixture *fixture)
{
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r", 1);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", write_file("token", "a.b&c\n"), 1);
    setenv("AWS_ENDPOINT_URL_STS", scripted_server_url(fixture->server), 1);
}

static void a_web_identity_gives_keys(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture, ROLE("ROLE", "2999-01-01T00:00:00Z"), OK);
    set_web_identity(fixture);
    must_put(fixture);
    must_put(fixture);
    assert_string_equal(scripted_server_request(fixture->server, 0)->body,
                        "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr"
                        "&RoleSessionName=gnomon&Version=2011-06-15&WebIdentityToken=a.b%26c");
    expect_keys(fixture, 1, "ROLE", "t+/=");
    expect_keys(fixture, 2, "ROLE", "t+/=");
}

static void keys_are_renewed_before_they_expire(void **state)
{
    struct fixture *fixture = *state;
    char soon[32], body[700];
    int64_t soon_s = clock_now_ms(clock_system()) / 1000 + 60;
    struct tm fields;
    gmtime_r(&(time_t){soon_s}, &fields);
    strftime(soon, sizeof soon, "%Y-%m-%dT%H:%M:%SZ", &fields);
    snprintf(body, sizeof body,
             "<R><Credentials><AccessKeyId>FIRST</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
             "<SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials></R>",
             soon);
    const struct scripted_answer answers[] = {
        {.status = "200 OK", .body = body}, OK, {.status = "500 Internal Server Error"}, OK};
    scripted_server_play(fixture->server, answers, 4);
    set_web_identity(fixture);
    must_put(fixture);
    expect_keys(fixture, 1, "FIRST", "t");
    /* They expire in a minute: others are asked for, but the old ones serve while that fails. */
    fixture->clock.ahead_ms += 2000;
    must_put(fixture);
    assert_int_equal(scripted_server_request_count(fixture->server), 4);
    expect_keys(fixture, 3, "FIRST", "t");
}

static void a_refused_identity_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    PLAY(fixture,
         {.status = "403 Forbidden",
          .body = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not you</Message>"
                  "</Error></ErrorResponse>"});
    set_web_identity(fixture);
    expect_error(put(fixture, &error), ERROR_DENIED, &error, "arn:aws:iam::1:role/r");
    expect_error(put(fixture, &error), ERROR_DENIED, &error, "Not you");
    /* The second call heard what the first one did. */
    assert_int_equal(scripted_server_request_count(fixture->server), 1);
}

#define METADATA(key)                                                                              \
    {                                                                                              \
        .status = "200 OK", .body = "{\"Code\":\"Success\",\"AccessKeyId\":\"" key                 \
                                    "\",\"SecretAccessKey\":\"s\","                                \
                                    "\"Token\":\"t\",\"Expiration\":\"2999-01-01T00:00:00Z\"}"     \
    }

static void a_container_gives_keys(void **state)
{
    struct fixture *fixture = *state;
    char url[128];
    PLAY(fixture, METADATA("CONTAINER"), OK);
    snprintf(url, sizeof url, "%s/v1/keys", scripted_server_url(fixture->server));
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url, 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", write_file("token", "Basic xyz\n"), 1);
    must_put(fixture);
    const char *head = scripted_server_request(fixture->server, 0)->head;
    assert_ptr_equal(strstr(head, "GET /v1/keys HTTP/1.1\r\n"), head);
    assert_non_null(strstr(head, "\r\nauthorization: Basic xyz\r\n"));
    expect_keys(fixture, 1, "CONTAINER", "t");
}

static void a_machine_gives_keys(void **state)
{
    struct fixture *fixture = *state;
    PLAY(fixture, {.status = "200 OK", .body = "session"}, {.status = "200 OK", .body = "role-1\n"},
         METADATA("MACHINE"), OK);
    setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", scripted_server_url(fixture->server), 1);
    must_put(fixture);
    const char *head = scripted_server_request(fixture->server, 0)->head;
    assert_ptr_equal(strstr(head, "PUT /latest/api/token HTTP/1.1\r\n"), head);
    assert_non_null(strstr(head, "\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"));
    head = scripted_server_request(fixture->server, 2)->head;
    assert_ptr_equal(
        strstr(head, "GET /latest/meta-data/iam/security-credentials/role-1 HTTP/1.1\r\n"), head);
    assert_non_null(strstr(head, "\r\nx-aws-ec2-metadata-token: session\r\n"));
    expect_keys(fixture, 3, "MACHINE", "t");
}

/* --- Bytes --------------------------------------------------------------------------------- */

static void metadata_that_is_no_keys_is_refused(void **state)
{
    (void)state;
    const char *documents[] = {
        "",
        "[]",
        "{}",
        "{\"AccessKeyId\":\"a\"}",
        "{\"AccessKeyId\":\"a\",\"SecretAccessKey\":7}",
        "{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"s\",\"Expiration\":\"tomorrow\"}",
        "{\"AccessKeyId\":\"a\\n\",\"SecretAccessKey\":\"s\"}"};
    struct s3_temporary_keys keys;
    struct error error;
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++)
        assert_int_equal(s3_metadata_parse(text_of(documents[i]), &keys, &error), ERROR_CORRUPT);
    assert_int_equal(
        s3_metadata_parse(TEXT("{\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"s\"}"), &keys, &error),
        ERROR_NONE);
    assert_true(keys.expires_ms == INT64_MAX);
}

static void half_a_profile_is_refused(void **state)
{
    (void)state;
    struct s3_temporary_keys keys;
    struct error error;
    assert_int_equal(s3_profile_parse(TEXT("[a]\naws_access_key_id=k\n[b]\n"
                                           "aws_secret_access_key=s"),
                                      TEXT("a"), &keys, &error),
                     ERROR_DENIED);
    assert_int_equal(s3_profile_parse(TEXT("aws_access_key_id=k\naws_secret_access_key=s\n"),
                                      TEXT("a"), &keys, &error),
                     ERROR_NOT_FOUND);
    assert_int_equal(s3_profile_parse(TEXT("[a]\naws_access_key_id=k k\naws_secret_access_key=s"),
                                      TEXT("a"), &keys, &error),
                     ERROR_DENIED);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, keys_open, keys_close)
    const struct CMUnitTest tests[] = {
        CASE(keys_come_from_the_environment),
        CASE(settings_come_before_the_environment),
        CASE(keys_come_from_the_profile_of_a_file),
        CASE(the_shared_file_is_found_by_home),
        CASE(a_file_that_changed_is_read_again),
        CASE(keys_that_were_refused_are_read_again_at_once),
        CASE(a_file_that_is_wrong_is_named),
        CASE(no_keys_at_all_is_told),
        CASE(a_web_identity_gives_keys),
        CASE(keys_are_renewed_before_they_expire),
        CASE(a_refused_identity_is_told),
        CASE(a_container_gives_keys),
        CASE(a_machine_gives_keys),
        CASE(metadata_that_is_no_keys_is_refused),
        CASE(half_a_profile_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
