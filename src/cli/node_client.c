#include "cli/node_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum { URL_BYTES_MAX = 2048, ANSWER_BYTES_MAX = 64 << 20 };

/* --- One request ----------------------------------------------------------------------------- */

static size_t take(char *bytes, size_t size, size_t count, void *context)
{
    struct byte_buffer *answer = context;
    if (answer->size + size * count > ANSWER_BYTES_MAX)
        return 0;
    byte_buffer_append(answer, bytes, size * count);
    return answer->failed ? 0 : size * count;
}

/* What the node said of its refusal: the text of Prometheus' envelope, or what is there. */
static const char *reason_of(json_t *body, const struct byte_buffer *answer, char *target,
                             size_t size)
{
    const char *text = json_string_value(json_object_get(body, "error"));
    if (text != NULL)
        snprintf(target, size, "%s", text);
    else
        snprintf(target, size, "%.*s", (int)(answer->size < 200 ? answer->size : 200),
                 (const char *)answer->bytes);
    return target;
}

static enum error_code code_of(long status)
{
    if (status == 404)
        return ERROR_NOT_FOUND;
    return status >= 500 ? ERROR_UNAVAILABLE : ERROR_INVALID;
}

static enum error_code judge(long status, const struct byte_buffer *answer, json_t **body_out,
                             struct error *error)
{
    char reason[256];
    json_error_t problem;
    json_t *body = answer->size == 0
                       ? NULL
                       : json_loadb((const char *)answer->bytes, answer->size, 0, &problem);
    if (status < 300) {
        *body_out = body;
        return ERROR_NONE;
    }
    enum error_code code =
        status == 401 || status == 403
            ? error_set(error, ERROR_INVALID,
                        "the node wants to know who asks: --user or --token-file (%ld)", status)
            : error_set(error, code_of(status), "%s (%ld)",
                        reason_of(body, answer, reason, sizeof reason), status);
    json_decref(body);
    return code;
}

static bool set_up(CURL *curl, const struct node_client *client, const char *url, const char *form,
                   struct byte_buffer *answer)
{
    bool set = curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_TIMEOUT, client->timeout_seconds) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    if (form != NULL)
        set = set && curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form) == CURLE_OK;
    if (client->user != NULL)
        set = set && curl_easy_setopt(curl, CURLOPT_USERPWD, client->user) == CURLE_OK;
    if (client->token != NULL)
        set = set && curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, client->token) == CURLE_OK;
    if (client->ca_path != NULL)
        set = set && curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca_path) == CURLE_OK;
    return set;
}

/* The header of the tenant; NULL: there is none. False when memory is out. */
static bool set_tenant(CURL *curl, const struct node_client *client, struct curl_slist **headers)
{
    char line[256];
    if (client->tenant == NULL)
        return true;
    snprintf(line, sizeof line, "X-Scope-OrgID: %s", client->tenant);
    *headers = curl_slist_append(NULL, line);
    return *headers != NULL && curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers) == CURLE_OK;
}

/* `form` NULL: GET. *body_out may be NULL: the answer has none, or it is no JSON. */
static enum error_code ask(const struct node_client *client, const char *path, const char *form,
                           json_t **body_out, struct error *error)
{
    char url[URL_BYTES_MAX];
    struct byte_buffer answer = {0};
    struct curl_slist *headers = NULL;
    enum error_code code;
    int size = snprintf(url, sizeof url, "%s%s", client->url, path);
    if (size < 0 || (size_t)size >= sizeof url)
        return error_set(error, ERROR_INVALID, "the URL is too long");
    CURL *curl = curl_easy_init();
    if (curl == NULL || !set_up(curl, client, url, form, &answer) ||
        !set_tenant(curl, client, &headers)) {
        code = error_set(error, ERROR_OUT_OF_MEMORY, "request");
    } else {
        CURLcode done = curl_easy_perform(curl);
        long status = 0;
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        code = done == CURLE_OK ? judge(status, &answer, body_out, error)
                                : error_set(error, ERROR_UNAVAILABLE, "%s: %s", client->url,
                                            curl_easy_strerror(done));
    }
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    byte_buffer_clear(&answer);
    return code;
}

static enum error_code ask_for_data(const struct node_client *client, const char *path,
                                    const char *form, json_t **data_out, struct error *error)
{
    json_t *body = NULL;
    enum error_code code = ask(client, path, form, &body, error);
    if (code != ERROR_NONE)
        return code;
    json_t *data = json_object_get(body, "data");
    if (data == NULL)
        code = error_set(error, ERROR_INVALID, "%s is no Gnomon node: its answer has no data",
                         client->url);
    else
        *data_out = json_incref(data);
    json_decref(body);
    return code;
}

/* --- Public ---------------------------------------------------------------------------------- */

enum error_code node_client_get(const struct node_client *client, const char *path,
                                json_t **data_out, struct error *error)
{
    return ask_for_data(client, path, NULL, data_out, error);
}

enum error_code node_client_post_for(const struct node_client *client, const char *path,
                                     const char *form, json_t **data_out, struct error *error)
{
    return ask_for_data(client, path, form, data_out, error);
}

enum error_code node_client_post(const struct node_client *client, const char *path,
                                 const char *form, struct error *error)
{
    json_t *body = NULL;
    enum error_code code = ask(client, path, form, &body, error);
    json_decref(body);
    return code;
}

char *node_client_escape(const char *text)
{
    static const char PLAIN[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    char *escaped = malloc(3 * strlen(text) + 1);
    if (escaped == NULL)
        return NULL;
    char *at = escaped;
    for (; *text != '\0'; text++)
        if (strchr(PLAIN, *text) != NULL)
            *at++ = *text;
        else
            at += snprintf(at, 4, "%%%02X", (unsigned char)*text);
    *at = '\0';
    return escaped;
}
