#include "target.h"

#include <stdio.h>

enum { CONNECT_TIMEOUT_MS = 3000, TIMEOUT_MS_MAX = 1000 * 1000 * 1000 };

static bool set_text(CURL *curl, CURLoption option, const char *text)
{
    return text == NULL || curl_easy_setopt(curl, option, text) == CURLE_OK;
}

static bool set_access(CURL *curl, const struct target *target)
{
    bool is_set = set_text(curl, CURLOPT_CAINFO, target->ca_path) &&
                  set_text(curl, CURLOPT_SSLCERT, target->certificate_path) &&
                  set_text(curl, CURLOPT_SSLKEY, target->key_path);
    if (target->user != NULL)
        is_set = is_set && set_text(curl, CURLOPT_USERNAME, target->user) &&
                 set_text(curl, CURLOPT_PASSWORD, target->password == NULL ? "" : target->password);
    if (target->token != NULL)
        is_set = is_set && curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER) == CURLE_OK &&
                 set_text(curl, CURLOPT_XOAUTH2_BEARER, target->token);
    return is_set;
}

bool target_prepare(const struct target *target, CURL *curl, const char *path, uint64_t timeout_ms)
{
    char url[2048];
    int size = snprintf(url, sizeof url, "%s%s", target->url, path);
    long limit_ms = timeout_ms > TIMEOUT_MS_MAX ? TIMEOUT_MS_MAX : (long)timeout_ms;
    return size > 0 && (size_t)size < sizeof url && set_text(curl, CURLOPT_URL, url) &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, limit_ms) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS) ==
               CURLE_OK &&
           set_access(curl, target);
}
