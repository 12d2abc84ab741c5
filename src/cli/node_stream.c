#include "node_stream.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { URL_BYTES_MAX = 2048, WAIT_MS_FIRST = 500, WAIT_MS_MAX = 30 * 1000 };

struct node_stream {
    const struct node_client *client;
    CURL *curl;
    const struct node_post *post;
    struct node_outcome outcome;
};

enum error_code node_stream_open(const struct node_client *client, struct node_stream **stream_out,
                                 struct error *error)
{
    struct node_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL || (stream->curl = curl_easy_init()) == NULL) {
        free(stream);
        return error_set(error, ERROR_OUT_OF_MEMORY, "connection to %s", client->url);
    }
    stream->client = client;
    *stream_out = stream;
    return ERROR_NONE;
}

void node_stream_close(struct node_stream *stream)
{
    if (stream == NULL)
        return;
    curl_easy_cleanup(stream->curl);
    free(stream);
}

/* --- The answer ------------------------------------------------------------------------------- */

/* The value of the header if it is the named one; NULL otherwise. */
static const char *header_value(const char *line, size_t size, const char *name)
{
    size_t name_size = strlen(name);
    if (size <= name_size || strncasecmp(line, name, name_size) != 0 || line[name_size] != ':')
        return NULL;
    return line + name_size + 1;
}

/* Curl ends no line by a NUL; strtoull stops at its end all the same, which is CR and LF. */
static size_t take_header(char *line, size_t size, size_t count, void *context)
{
    struct node_outcome *outcome = &((struct node_stream *)context)->outcome;
    const char *value;
    char text[256];
    size *= count;
    snprintf(text, sizeof text, "%.*s", (int)(size < sizeof text ? size : sizeof text - 1), line);
    if ((value = header_value(text, strlen(text), "Retry-After")) != NULL)
        outcome->retry_after_seconds = strtol(value, NULL, 10);
    value = header_value(text, strlen(text), "X-Prometheus-Remote-Write-Samples-Written");
    if (value != NULL) {
        outcome->has_written = true;
        outcome->samples_written = strtoull(value, NULL, 10);
    }
    value = header_value(text, strlen(text), "X-Prometheus-Remote-Write-Histograms-Written");
    if (value != NULL)
        outcome->histograms_written = strtoull(value, NULL, 10);
    return size;
}

static void note_message(struct node_outcome *outcome, const char *bytes, size_t size)
{
    size_t used = strlen(outcome->message);
    for (size_t i = 0; i < size && used + 1 < sizeof outcome->message; i++)
        outcome->message[used++] = isprint((unsigned char)bytes[i]) ? bytes[i] : ' ';
    while (used > 0 && outcome->message[used - 1] == ' ')
        used--;
    outcome->message[used] = '\0';
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
    struct node_stream *stream = context;
    long status = 0;
    size *= count;
    curl_easy_getinfo(stream->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200 && stream->post->take != NULL) {
        stream->outcome.is_stopped =
            !stream->post->take(stream->post->context, (const uint8_t *)bytes, size);
        return stream->outcome.is_stopped ? 0 : size;
    }
    if (status >= 300)
        note_message(&stream->outcome, bytes, size);
    return size;
}

/* --- The request ------------------------------------------------------------------------------ */

static bool add_header(struct curl_slist **headers, const char *line)
{
    struct curl_slist *list = curl_slist_append(*headers, line);
    if (list != NULL)
        *headers = list;
    return list != NULL;
}

static bool make_headers(const struct node_stream *stream, struct curl_slist **headers)
{
    char line[256];
    bool made = add_header(headers, "Expect:") && add_header(headers, "User-Agent: gnomon");
    if (stream->client->tenant != NULL) {
        snprintf(line, sizeof line, "X-Scope-OrgID: %s", stream->client->tenant);
        made = made && add_header(headers, line);
    }
    for (size_t i = 0; made && i < stream->post->header_count; i++)
        made = add_header(headers, stream->post->headers[i]);
    return made;
}

static bool set_identity(CURL *curl, const struct node_client *client)
{
    bool set = true;
    if (client->user != NULL)
        set = set && curl_easy_setopt(curl, CURLOPT_USERPWD, client->user) == CURLE_OK;
    if (client->token != NULL)
        set = set && curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, client->token) == CURLE_OK;
    if (client->ca_path != NULL)
        set = set && curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca_path) == CURLE_OK;
    return set;
}

/* A request ends when nothing has moved for the client's timeout, however long it is at work. */
static bool set_up(struct node_stream *stream, const char *url, struct curl_slist *headers)
{
    CURL *curl = stream->curl;
    const struct node_post *post = stream->post;
    curl_easy_reset(curl); /* the connection stays */
    return set_identity(curl, stream->client) &&
           curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POSTFIELDS, (const char *)post->body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->body_size) ==
               CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERDATA, stream) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, stream) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, stream->client->timeout_seconds) ==
               CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, stream->client->timeout_seconds) ==
               CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
}

enum error_code node_stream_post(struct node_stream *stream, const struct node_post *post,
                                 struct node_outcome *outcome_out, struct error *error)
{
    char url[URL_BYTES_MAX];
    struct curl_slist *headers = NULL;
    enum error_code code = ERROR_NONE;
    int size = snprintf(url, sizeof url, "%s%s", stream->client->url, post->path);
    if (size < 0 || (size_t)size >= sizeof url)
        return error_set(error, ERROR_INVALID, "the URL is too long");
    stream->post = post;
    stream->outcome = (struct node_outcome){0};
    if (!make_headers(stream, &headers) || !set_up(stream, url, headers)) {
        code = error_set(error, ERROR_OUT_OF_MEMORY, "request");
    } else {
        CURLcode done = curl_easy_perform(stream->curl);
        curl_easy_getinfo(stream->curl, CURLINFO_RESPONSE_CODE, &stream->outcome.status);
        if (done != CURLE_OK && !stream->outcome.is_stopped)
            code = error_set(error, ERROR_UNAVAILABLE, "%s: %s", stream->client->url,
                             curl_easy_strerror(done));
    }
    curl_slist_free_all(headers);
    if (code == ERROR_NONE)
        *outcome_out = stream->outcome;
    return code;
}

/* --- Patience --------------------------------------------------------------------------------- */

bool node_status_is_temporary(long status)
{
    return status == 429 || status >= 500;
}

void node_patience_renew(struct node_patience *patience)
{
    patience->waited_ms = 0;
    patience->next_ms = WAIT_MS_FIRST;
}

bool node_patience_wait(struct node_patience *patience, const struct node_outcome *outcome)
{
    int64_t wait_ms = patience->next_ms < WAIT_MS_FIRST ? WAIT_MS_FIRST : patience->next_ms;
    if (outcome != NULL && outcome->retry_after_seconds > 0)
        wait_ms = outcome->retry_after_seconds < WAIT_MS_MAX / 1000
                      ? outcome->retry_after_seconds * 1000
                      : WAIT_MS_MAX;
    if (patience->waited_ms + wait_ms > patience->granted_ms)
        return false;
    patience->waited_ms += wait_ms;
    patience->next_ms = 2 * wait_ms > WAIT_MS_MAX ? WAIT_MS_MAX : 2 * wait_ms;
    usleep((useconds_t)wait_ms * 1000);
    return true;
}
