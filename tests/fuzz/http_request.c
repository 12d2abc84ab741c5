/*
 * Heads, targets, query strings and forms from outside. Whatever the bytes, cutting them in two
 * changes nothing: the parser is fed once whole and once in pieces, and both must agree.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/http/message_parser.h"
#include "../../src/http/router_match.h"
#include "http/gzip.h"
#include "http/parameters.h"

enum { MESSAGES_MAX = 16 };

/* What a run of the parser saw, to compare with another run. */
struct record {
    uint64_t hash;
    size_t messages;
    unsigned failure;
    size_t body_bytes;
};

static void mix(struct record *record, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        record->hash = (record->hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
    record->hash = (record->hash ^ size) * 1099511628211u;
}

static void on_body(void *context, const uint8_t *bytes, size_t size)
{
    struct record *record = context;
    for (size_t i = 0; i < size; i++)
        record->hash = (record->hash ^ bytes[i]) * 1099511628211u;
    record->body_bytes += size;
}

static void see_head(struct record *record, const struct message_head *head)
{
    mix(record, head->method.data, head->method.size);
    mix(record, head->target.data, head->target.size);
    for (size_t i = 0; i < head->header_count; i++) {
        mix(record, head->headers[i].name.data, head->headers[i].name.size);
        mix(record, head->headers[i].value.data, head->headers[i].value.size);
        gzip_is_accepted(head->headers[i].value);
    }
    mix(record, &head->content_length, sizeof head->content_length);
    mix(record, &head->keep_alive, sizeof head->keep_alive);
}

static struct record parse(const uint8_t *bytes, size_t size, size_t piece_bytes)
{
    static const struct message_limits LIMITS = {
        .target_bytes_max = 300, .header_bytes_max = 1000, .header_count_max = 20};
    struct record record = {.hash = 14695981039346656037u};
    struct arena *arena = arena_create(1 << 20);
    struct message_parser *parser = message_parser_create(&LIMITS, on_body, &record);
    assert(arena != NULL && parser != NULL);
    message_parser_begin(parser, arena);
    size_t at = 0;
    bool goes_on = true;
    while (goes_on && record.messages < MESSAGES_MAX) {
        size_t left = size - at < piece_bytes ? size - at : piece_bytes;
        size_t consumed = 0;
        enum message_step step = message_parser_feed(parser, bytes + at, left, &consumed);
        assert(consumed <= left);
        at += consumed;
        switch (step) {
        case MESSAGE_MORE:
            assert(consumed == left);
            goes_on = at < size;
            break;
        case MESSAGE_HEAD:
            see_head(&record, message_parser_head(parser));
            break;
        case MESSAGE_COMPLETE:
            record.messages++;
            message_parser_begin(parser, arena);
            break;
        case MESSAGE_FAILED:
            record.failure = message_parser_failure(parser).status;
            assert(record.failure >= 400);
            goes_on = false;
            break;
        }
    }
    message_parser_destroy(parser);
    arena_destroy(arena);
    return record;
}

static void no_handler(struct http_request *request)
{
    (void)request;
}

static void decode_texts(struct text text)
{
    static struct http_router *router;
    struct error error;
    if (router == NULL) {
        static const char *const PATTERNS[] = {"/", "/api/v1/query", "/api/v1/label/{name}/values",
                                               "/files/*", "/{a}/{b}/*"};
        router = http_router_create();
        for (size_t i = 0; i < sizeof PATTERNS / sizeof PATTERNS[0]; i++) {
            struct http_route route = {HTTP_GET, PATTERNS[i], no_handler, NULL, 0};
            enum error_code code = http_router_add(router, &route, &error);
            assert(code == ERROR_NONE);
        }
    }
    struct arena *arena = arena_create(1 << 20);
    struct http_parameters parameters;
    if (http_parameters_decode(text, arena, &parameters, &error) == ERROR_NONE)
        for (size_t i = 0; i < parameters.count; i++)
            assert(parameters.entries[i].name.size + parameters.entries[i].value.size <= text.size);
    struct route_match match;
    if (text.size > 0 && text.data[0] == '/')
        http_router_match(router, HTTP_GET, text, arena, &match, &error);
    gzip_is_accepted(text);
    arena_destroy(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    size_t piece_bytes = bytes[0] % 32 + 1;
    bytes++;
    size--;
    /* A copy of its own, so that a read past the end is seen. */
    uint8_t *copy = malloc(size);
    memcpy(copy, bytes, size);
    struct record whole = parse(copy, size, size);
    struct record pieces = parse(copy, size, piece_bytes);
    /* Which of two faults is seen first depends on the pieces, that there is one does not. */
    assert(whole.messages == pieces.messages && (whole.failure == 0) == (pieces.failure == 0));
    if (whole.failure == 0)
        assert(whole.hash == pieces.hash && whole.body_bytes == pieces.body_bytes);
    decode_texts((struct text){(const char *)copy, size});
    free(copy);
    return 0;
}
