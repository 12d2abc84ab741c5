#include "answer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "server_state.h"
#include "status.h"

/* --- Types ------------------------------------------------------------------------------- */

enum { DECORATIONS_MAX = 16, OUTPUT_VECTORS = 4, CHUNK_HEAD_BYTES = 24 };

/* Bytes on their way, and who owns them. */
struct output {
    struct stream_write write;
    struct stream_vector vectors[OUTPUT_VECTORS];
    struct http_request *request;
    struct connection *connection; /* outlives its outputs */
    size_t size;
    uint8_t *head; /* owned */
    void *body;    /* owned; NULL: borrowed */
    char chunk_head[CHUNK_HEAD_BYTES];
};

bool answer_is_lost(const struct http_request *request)
{
    return request->connection == NULL || request->connection->is_closing;
}

/* --- Queueing ---------------------------------------------------------------------------- */

static void on_done(struct stream_write *write, const struct error *error)
{
    struct output *output = (struct output *)((char *)write - offsetof(struct output, write));
    struct http_request *request = output->request;
    struct connection *connection = output->connection;
    if (error->code != ERROR_NONE)
        request->is_gone = true;
    request->queued_bytes -= output->size;
    free(output->head);
    free(output->body);
    free(output);
    size_t half = request->server->options.queued_bytes_max / 2;
    if (request->is_full && request->queued_bytes <= half) {
        request->is_full = false;
        if (request->writable != NULL && request->answer == ANSWER_BEGUN)
            request->writable(request->writable_context);
    }
    request_release(request);
    connection_sent(connection);
}

static void add_vector(struct output *output, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    assert(output->write.vector_count < OUTPUT_VECTORS);
    output->vectors[output->write.vector_count++] = (struct stream_vector){bytes, size};
    output->size += size;
}

static void queue(struct http_request *request, struct byte_buffer *head, struct text body,
                  void *owned, enum answer_framing framing)
{
    struct output *output = NULL;
    bool is_lost = answer_is_lost(request);
    if (!is_lost && !head->failed)
        output = calloc(1, sizeof *output);
    if (output == NULL) {
        byte_buffer_clear(head);
        free(owned);
        if (!is_lost) /* out of memory: half an answer is worse than none */
            connection_close(request->connection);
        return;
    }
    output->request = request;
    output->connection = request->connection;
    output->head = head->bytes;
    output->body = owned;
    add_vector(output, head->bytes, head->size);
    if (framing == FRAMING_CHUNKED && body.size > 0) {
        int size = snprintf(output->chunk_head, sizeof output->chunk_head, "%zx\r\n", body.size);
        add_vector(output, output->chunk_head, (size_t)size);
    }
    add_vector(output, body.data, body.size);
    if (framing == FRAMING_CHUNKED && body.size > 0)
        add_vector(output, "\r\n", 2);
    *head = (struct byte_buffer){0};
    output->write.vectors = output->vectors;
    output->write.done = on_done;
    request->queued_bytes += output->size;
    request->response_bytes += output->size;
    request->holds++;
    connection_queue(request->connection, &output->write);
}

void answer_queue(struct http_request *request, struct byte_buffer *head, struct text body,
                  void *owned)
{
    queue(request, head, body, owned, FRAMING_LENGTH);
}

void answer_queue_piece(struct http_request *request, struct byte_buffer *head, struct text body,
                        void *owned)
{
    queue(request, head, body, owned, request->framing);
}

void answer_finish(struct http_request *request)
{
    assert(request->answer == ANSWER_BEGUN);
    struct byte_buffer none = {0};
    if (request->framing == FRAMING_CHUNKED && !request->has_no_body)
        answer_queue(request, &none, TEXT("0\r\n\r\n"), NULL);
    request->answer = ANSWER_ENDED;
    if (request->connection != NULL)
        connection_answered(request->connection, request);
    request_release(request);
}

void answer_cut(struct http_request *request)
{
    assert(request->answer == ANSWER_BEGUN);
    request->answer = ANSWER_ENDED;
    struct connection *connection = request->connection;
    if (connection != NULL) {
        connection->active = NULL;
        request->connection = NULL;
        connection_close(connection);
    }
    request_release(request);
}

/* --- Heads ------------------------------------------------------------------------------- */

static void append_text(struct byte_buffer *head, struct text text)
{
    byte_buffer_append(head, text.data, text.size);
}

/* A value that holds a line end would let its author write headers of his own. */
static void append_value(struct byte_buffer *head, struct text value)
{
    for (size_t i = 0; i < value.size; i++) {
        unsigned char character = (unsigned char)value.data[i];
        bool is_control = (character < 0x20 && character != '\t') || character == 0x7f;
        byte_buffer_u8(head, is_control ? ' ' : character);
    }
}

static void append_number(struct byte_buffer *head, uint64_t number)
{
    char digits[20];
    size_t first = sizeof digits;
    do
        digits[--first] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    byte_buffer_append(head, digits + first, sizeof digits - first);
}

static void append_header(struct byte_buffer *head, struct text name, struct text value)
{
    append_text(head, name);
    append_text(head, TEXT(": "));
    append_value(head, value);
    append_text(head, TEXT("\r\n"));
}

static void append_decorations(struct http_request *request, struct byte_buffer *head)
{
    const struct http_hooks *hooks = &request->server->options.hooks;
    const struct http_guard *guard = &request->server->options.guard;
    struct http_header headers[DECORATIONS_MAX];
    size_t count = 0;
    if (hooks->decorate != NULL)
        count = hooks->decorate(hooks->context, request, headers, DECORATIONS_MAX);
    assert(count <= DECORATIONS_MAX);
    if (guard->decorate != NULL)
        count += guard->decorate(guard->context, request, headers + count, DECORATIONS_MAX - count);
    assert(count <= DECORATIONS_MAX);
    for (size_t i = 0; i < count; i++)
        append_header(head, headers[i].name, headers[i].value);
}

static const char *method_names(unsigned methods, char *target, size_t target_bytes)
{
    static const struct {
        enum http_method method;
        const char *name;
    } NAMES[] = {
        {HTTP_GET, "GET"},         {HTTP_HEAD, "HEAD"},     {HTTP_POST, "POST"},
        {HTTP_PUT, "PUT"},         {HTTP_DELETE, "DELETE"}, {HTTP_PATCH, "PATCH"},
        {HTTP_OPTIONS, "OPTIONS"},
    };
    size_t size = 0;
    target[0] = '\0';
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if ((methods & NAMES[i].method) != 0)
            size += (size_t)snprintf(target + size, target_bytes - size, "%s%s",
                                     size > 0 ? ", " : "", NAMES[i].name);
    return target;
}

void answer_head_begin(struct http_request *request, const struct http_response *response,
                       struct byte_buffer *head)
{
    assert(request->answer == ANSWER_NONE);
    assert(response->status >= 200 && response->status <= 599);
    request->is_held = false;
    request->answer = ANSWER_BEGUN;
    request->status = response->status;
    request->has_no_body =
        request->method == HTTP_HEAD || response->status == 204 || response->status == 304;
    byte_buffer_reserve(head, 512);
    append_text(head, TEXT("HTTP/1.1 "));
    append_number(head, response->status);
    append_text(head, TEXT(" "));
    append_text(head, text_of(status_phrase(response->status)));
    append_text(head, TEXT("\r\nDate: "));
    append_text(head, server_date(request->server));
    append_text(head, TEXT("\r\n"));
    if (response->content_type.size > 0)
        append_header(head, TEXT("Content-Type"), response->content_type);
    for (size_t i = 0; i < response->header_count; i++)
        append_header(head, response->headers[i].name, response->headers[i].value);
    append_decorations(request, head);
}

static void append_framing(struct http_request *request, struct byte_buffer *head, uint64_t size)
{
    if (request->framing == FRAMING_CHUNKED) {
        append_text(head, TEXT("Transfer-Encoding: chunked\r\n"));
    } else if (request->framing == FRAMING_LENGTH && request->status != 204 &&
               request->status != 304) {
        append_text(head, TEXT("Content-Length: "));
        append_number(head, size);
        append_text(head, TEXT("\r\n"));
    }
}

void answer_head_end(struct http_request *request, struct byte_buffer *head,
                     enum answer_framing framing, uint64_t size, enum answer_coding coding)
{
    request->framing = framing;
    request->keep_alive = !answer_is_lost(request) && framing != FRAMING_CLOSE &&
                          connection_can_continue(request->connection, request);
    if (coding == CODING_GZIP)
        append_text(head, TEXT("Content-Encoding: gzip\r\n"));
    append_framing(request, head, size);
    if (!request->keep_alive)
        append_text(head, TEXT("Connection: close\r\n"));
    else if (request->head.minor == 0)
        append_text(head, TEXT("Connection: keep-alive\r\n"));
    append_text(head, TEXT("\r\n"));
}

enum answer_framing answer_framing_of(const struct http_request *request)
{
    return request->head.minor == 0 ? FRAMING_CLOSE : FRAMING_CHUNKED;
}

/* --- Compression ------------------------------------------------------------------------- */

static bool is_compressible(struct text content_type)
{
    static const struct text PREFIXES[] = {
        TEXT("text/"),
        TEXT("application/json"),
        TEXT("application/openmetrics-text"),
        TEXT("application/javascript"),
        TEXT("application/vnd.google.protobuf"),
        TEXT("image/svg"),
    };
    for (size_t i = 0; i < sizeof PREFIXES / sizeof PREFIXES[0]; i++)
        if (text_starts_with(content_type, PREFIXES[i]))
            return true;
    return false;
}

static bool is_encoded(const struct http_response *response)
{
    for (size_t i = 0; i < response->header_count; i++)
        if (text_equal_ignoring_case(response->headers[i].name, TEXT("Content-Encoding")))
            return true;
    return false;
}

bool answer_offers_compression(struct http_request *request, const struct http_response *response,
                               struct byte_buffer *head)
{
    if (!is_compressible(response->content_type) || is_encoded(response))
        return false;
    /* Also when this client takes none of it: a cache must not give its answer to one that does. */
    append_header(head, TEXT("Vary"), TEXT("Accept-Encoding"));
    struct text accepted;
    return request->method != HTTP_HEAD &&
           http_request_header(request, TEXT("Accept-Encoding"), &accepted) &&
           gzip_is_accepted(accepted);
}

/* --- Answers of the server --------------------------------------------------------------- */

void answer_continue(struct http_request *request)
{
    struct byte_buffer none = {0};
    answer_queue(request, &none, TEXT("HTTP/1.1 100 Continue\r\n\r\n"), NULL);
}

void answer_error(struct http_request *request, unsigned status, const char *reason)
{
    const struct http_hooks *hooks = &request->server->options.hooks;
    struct http_response response = {.status = status, .content_type = TEXT("text/plain")};
    if (status == 204)
        response.content_type = (struct text){0};
    else if (hooks->error_body != NULL)
        response.body = hooks->error_body(hooks->context, status, reason, request->arena,
                                          &response.content_type);
    else
        response.body = arena_format(request->arena, "%s\n", reason);
    char allowed[64];
    struct http_header header;
    if (request->match.pattern != NULL && (status == 405 || status == 204)) {
        method_names(request->match.methods | HTTP_OPTIONS, allowed, sizeof allowed);
        header = (struct http_header){TEXT("Allow"), text_of(allowed)};
        response.headers = &header;
        response.header_count = 1;
    } else if (status == 503) {
        header = (struct http_header){TEXT("Retry-After"), TEXT("1")};
        response.headers = &header;
        response.header_count = 1;
    }
    if (response.body.data == NULL)
        response.body = (struct text){0};
    http_respond(request, &response);
}
