#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "s3_key_source.h"
#include "s3_text.h"
#include "stores.h"

enum {
    TOKEN_BYTES_MAX = 16 * 1024,
    ANSWER_BYTES_MAX = 64 * 1024,
    SERVICE_TIMEOUT_MS = 10 * 1000,
    MACHINE_TIMEOUT_MS = 1500, /* where there is none, nothing answers at all */
    LOOK_MS = 20,
};

/* --- Asking -------------------------------------------------------------------------------- */

/* One exchange, unsigned; success is a status of 200. The answer is the caller's to clear. */
static enum error_code ask(struct s3_key_search *search, struct exchange *exchange,
                           uint64_t timeout_ms, struct error *error)
{
    struct exchange_waiter waiter;
    enum error_code code = ERROR_NONE;
    uint64_t until_ms = clock_monotonic_ms(search->clock) + timeout_ms;
    exchange_waiter_init(&waiter);
    exchange->waiter = &waiter;
    exchange->answer_bytes_max = ANSWER_BYTES_MAX;
    exchange_send(search->exchanges, exchange);
    while (!exchange_is_done(exchange)) {
        if (code == ERROR_NONE)
            code = object_call_check(search->call, search->clock, error);
        if (code == ERROR_NONE && clock_monotonic_ms(search->clock) >= until_ms)
            code = error_set(error, ERROR_UNAVAILABLE, "%s does not answer", exchange->url);
        if (code != ERROR_NONE)
            exchange_stop(exchange);
        exchange_wait(&waiter, LOOK_MS);
    }
    exchange_waiter_clear(&waiter);
    if (code != ERROR_NONE)
        return code;
    if (exchange->outcome != CURLE_OK)
        return error_set(error, ERROR_UNAVAILABLE, "%s: %s", exchange->url,
                         exchange->reason[0] != '\0' ? exchange->reason
                                                     : curl_easy_strerror(exchange->outcome));
    if (exchange->status == 200)
        return ERROR_NONE;
    struct s3_refusal refusal;
    s3_refusal_parse((struct text){(const char *)exchange->answer.bytes, exchange->answer.size},
                     &refusal);
    return error_set(error, exchange->status >= 500 ? ERROR_UNAVAILABLE : ERROR_DENIED,
                     "%s answers %ld %s %s", exchange->url, exchange->status, refusal.code,
                     refusal.message);
}

static struct text answer_of(const struct exchange *exchange)
{
    return (struct text){(const char *)exchange->answer.bytes, exchange->answer.size};
}

/* --- Web identity -------------------------------------------------------------------------- */

static void append_field(struct byte_buffer *body, const char *name, const char *value)
{
    byte_buffer_append(body, name, strlen(name));
    s3_escape(body, text_of(value), S3_ESCAPE_VALUE);
}

static void format_service_url(const char *region, char *target, size_t target_bytes)
{
    const char *named = s3_key_variable("AWS_ENDPOINT_URL_STS");
    if (named != NULL)
        snprintf(target, target_bytes, "%s", named);
    else
        snprintf(target, target_bytes, "https://sts.%s.amazonaws.com%s/", region,
                 strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}

static enum error_code assume_role(struct s3_key_search *search, const char *role,
                                   const char *token, struct error *error)
{
    const char *session = s3_key_variable("AWS_ROLE_SESSION_NAME");
    const struct s3_header header = {"content-type", "application/x-www-form-urlencoded"};
    char url[512];
    struct byte_buffer body = {0};
    format_service_url(search->settings->region, url, sizeof url);
    append_field(&body, "Action=", "AssumeRoleWithWebIdentity");
    append_field(&body, "&RoleArn=", role);
    append_field(&body, "&RoleSessionName=", session == NULL ? "gnomon" : session);
    append_field(&body, "&Version=", "2011-06-15");
    append_field(&body, "&WebIdentityToken=", token);
    if (body.failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "keys of a role");
    struct exchange exchange = {.method = "POST",
                                .url = url,
                                .headers = &header,
                                .header_count = 1,
                                .body = {(const char *)body.bytes, body.size}};
    enum error_code code = ask(search, &exchange, SERVICE_TIMEOUT_MS, error);
    if (code == ERROR_NONE)
        code = s3_role_parse(answer_of(&exchange), search->found, error);
    byte_buffer_clear(&exchange.answer);
    byte_buffer_clear(&body);
    return code;
}

enum error_code s3_key_source_web_identity(struct s3_key_search *search, struct error *error)
{
    const char *role = s3_key_variable("AWS_ROLE_ARN");
    const char *path = s3_key_variable("AWS_WEB_IDENTITY_TOKEN_FILE");
    if (role == NULL || path == NULL)
        return ERROR_NOT_FOUND;
    char *token = malloc(TOKEN_BYTES_MAX);
    if (token == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "keys of a role");
    enum error_code code = s3_key_file_read(path, token, TOKEN_BYTES_MAX, error);
    if (code == ERROR_NONE)
        code = assume_role(search, role, token, error);
    free(token);
    snprintf(search->source, sizeof search->source, "the web identity");
    return code == ERROR_NONE ? code : error_wrap(error, "keys of role '%s'", role);
}

/* --- Metadata of containers and machines --------------------------------------------------- */

static bool take_string(const json_t *object, const char *name, char *target, size_t target_bytes)
{
    const char *value = json_string_value(json_object_get(object, name));
    if (value == NULL || value[0] == '\0' || strlen(value) >= target_bytes)
        return false;
    for (const char *at = value; *at != '\0'; at++)
        if (*at <= 0x20 || *at >= 0x7f)
            return false;
    memcpy(target, value, strlen(value) + 1);
    return true;
}

enum error_code s3_metadata_parse(struct text document, struct s3_temporary_keys *keys_out,
                                  struct error *error)
{
    *keys_out = (struct s3_temporary_keys){.expires_ms = INT64_MAX};
    json_error_t reason;
    json_t *root =
        json_loadb(document.data == NULL ? "" : document.data, document.size, 0, &reason);
    if (root == NULL)
        return error_set(error, ERROR_CORRUPT, "keys of the metadata service: %s", reason.text);
    char expires[64];
    bool is_right =
        take_string(root, "AccessKeyId", keys_out->access_key, sizeof keys_out->access_key) &&
        take_string(root, "SecretAccessKey", keys_out->secret_key, sizeof keys_out->secret_key);
    if (json_object_get(root, "Token") != NULL)
        is_right = is_right && take_string(root, "Token", keys_out->session_token,
                                           sizeof keys_out->session_token);
    if (json_object_get(root, "Expiration") != NULL)
        is_right = is_right && take_string(root, "Expiration", expires, sizeof expires) &&
                   s3_time_parse(text_of(expires), &keys_out->expires_ms);
    json_decref(root);
    return is_right ? ERROR_NONE
                    : error_set(error, ERROR_CORRUPT,
                                "the metadata service answers no keys: is a role attached?");
}

static enum error_code container_header(struct s3_header *header, char *token, struct error *error)
{
    const char *path = s3_key_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *value = s3_key_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    if (path != NULL) {
        enum error_code code = s3_key_file_read(path, token, TOKEN_BYTES_MAX, error);
        if (code != ERROR_NONE)
            return code;
        value = token;
    }
    *header = (struct s3_header){"authorization", value};
    return ERROR_NONE;
}

enum error_code s3_key_source_container(struct s3_key_search *search, struct error *error)
{
    const char *relative = s3_key_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = s3_key_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    char url[1024];
    if (relative == NULL && full == NULL)
        return ERROR_NOT_FOUND;
    if (relative != NULL)
        snprintf(url, sizeof url, "http://169.254.170.2%s", relative);
    else
        snprintf(url, sizeof url, "%s", full);
    char *token = malloc(TOKEN_BYTES_MAX);
    if (token == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "keys of the container");
    struct s3_header header = {0};
    enum error_code code = container_header(&header, token, error);
    struct exchange exchange = {.method = "GET",
                                .url = url,
                                .headers = &header,
                                .header_count = header.value == NULL ? 0 : 1};
    if (code == ERROR_NONE)
        code = ask(search, &exchange, SERVICE_TIMEOUT_MS, error);
    if (code == ERROR_NONE)
        code = s3_metadata_parse(answer_of(&exchange), search->found, error);
    byte_buffer_clear(&exchange.answer);
    free(token);
    snprintf(search->source, sizeof search->source, "the container's service");
    return code == ERROR_NONE ? code : error_wrap(error, "keys of the container");
}

/* One request to the metadata service; the answer as one token, NUL-terminated. */
static enum error_code ask_machine(struct s3_key_search *search, const char *method,
                                   const char *path, const struct s3_header *header, char *target,
                                   size_t target_bytes, struct error *error)
{
    const char *named = s3_key_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    char url[1024];
    snprintf(url, sizeof url, "%s%s", named == NULL ? "http://169.254.169.254" : named, path);
    struct exchange exchange = {.method = method, .url = url, .headers = header, .header_count = 1};
    enum error_code code = ask(search, &exchange, MACHINE_TIMEOUT_MS, error);
    struct text answer = text_trim(answer_of(&exchange));
    if (code == ERROR_NONE && answer.size >= target_bytes)
        code = error_set(error, ERROR_DENIED, "%s answers too much", url);
    if (code == ERROR_NONE) {
        memcpy(target, answer.data, answer.size);
        target[answer.size] = '\0';
    }
    byte_buffer_clear(&exchange.answer);
    return code;
}

/* What a header and a path take. */
static bool is_token(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if (*at <= 0x20 || *at >= 0x7f)
            return false;
    return text[0] != '\0';
}

static enum error_code keys_of_role(struct s3_key_search *search, const struct s3_header *header,
                                    struct error *error)
{
    char role[256], path[512], document[TOKEN_BYTES_MAX];
    enum error_code code = ask_machine(search, "GET", "/latest/meta-data/iam/security-credentials/",
                                       header, role, sizeof role, error);
    if (code != ERROR_NONE)
        return code;
    role[strcspn(role, "\r\n")] = '\0';
    if (!is_token(role))
        return error_set(error, ERROR_DENIED, "the machine has no role");
    snprintf(path, sizeof path, "/latest/meta-data/iam/security-credentials/%s", role);
    code = ask_machine(search, "GET", path, header, document, sizeof document, error);
    return code == ERROR_NONE ? s3_metadata_parse(text_of(document), search->found, error) : code;
}

enum error_code s3_key_source_machine(struct s3_key_search *search, struct error *error)
{
    const struct s3_header lifetime = {"x-aws-ec2-metadata-token-ttl-seconds", "21600"};
    const char *disabled = s3_key_variable("AWS_EC2_METADATA_DISABLED");
    char token[1024];
    if (disabled != NULL && strcmp(disabled, "true") == 0)
        return ERROR_NOT_FOUND;
    enum error_code code =
        ask_machine(search, "PUT", "/latest/api/token", &lifetime, token, sizeof token, error);
    /* Nothing there: this is no machine of AWS, and nobody set anything. */
    if (code == ERROR_UNAVAILABLE)
        return ERROR_NOT_FOUND;
    if (code == ERROR_NONE && !is_token(token))
        code = error_set(error, ERROR_DENIED, "it gives no session");
    const struct s3_header header = {"x-aws-ec2-metadata-token", token};
    if (code == ERROR_NONE)
        code = keys_of_role(search, &header, error);
    snprintf(search->source, sizeof search->source, "the machine's metadata service");
    return code == ERROR_NONE ? code : error_wrap(error, "keys of the metadata service");
}
