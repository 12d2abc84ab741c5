#include "message_parser.h"

#include <assert.h>
#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

enum { HEADERS_FIRST = 16, HEADER_OVERHEAD_BYTES = 4 };

struct message_parser {
    llhttp_t llhttp;
    struct message_limits limits;
    void (*body)(void *context, const uint8_t *bytes, size_t size);
    void *context;

    struct arena *arena; /* of the message under way */
    struct message_head head;
    size_t header_capacity;
    size_t header_bytes;
    bool in_header; /* headers[header_count] has begun */
    bool at_head;   /* stopped there */
    bool at_end;
    struct message_failure failure;
};

/* --- Collecting the head ----------------------------------------------------------------- */

static int fail(struct message_parser *parser, unsigned status, const char *reason)
{
    parser->failure = (struct message_failure){.status = status, .reason = reason};
    return HPE_USER;
}

/* Pieces of one text come one after the other, so that they mostly grow in place. */
static bool append(struct message_parser *parser, struct text *text, const char *bytes, size_t size)
{
    char *grown = arena_grow(parser->arena, (char *)text->data, text->size, text->size + size, 1);
    if (grown == NULL)
        return false;
    memcpy(grown + text->size, bytes, size);
    *text = (struct text){.data = grown, .size = text->size + size};
    return true;
}

static int on_url(llhttp_t *llhttp, const char *bytes, size_t size)
{
    struct message_parser *parser = llhttp->data;
    if (size > parser->limits.target_bytes_max - parser->head.target.size)
        return fail(parser, 414, "request target too long");
    if (!append(parser, &parser->head.target, bytes, size))
        return fail(parser, 503, "out of memory");
    return 0;
}

static bool count_header_bytes(struct message_parser *parser, size_t size)
{
    if (size > parser->limits.header_bytes_max - parser->header_bytes)
        return false;
    parser->header_bytes += size;
    return true;
}

static int begin_header(struct message_parser *parser)
{
    struct message_head *head = &parser->head;
    if (head->header_count == parser->limits.header_count_max ||
        !count_header_bytes(parser, HEADER_OVERHEAD_BYTES))
        return fail(parser, 431, "request headers too large");
    if (head->header_count == parser->header_capacity) {
        size_t capacity =
            parser->header_capacity == 0 ? HEADERS_FIRST : parser->header_capacity * 2;
        struct http_header *headers = arena_grow(
            parser->arena, head->headers, parser->header_capacity, capacity, sizeof *headers);
        if (headers == NULL)
            return fail(parser, 503, "out of memory");
        head->headers = headers;
        parser->header_capacity = capacity;
    }
    parser->in_header = true;
    return 0;
}

static int on_header_field(llhttp_t *llhttp, const char *bytes, size_t size)
{
    struct message_parser *parser = llhttp->data;
    if (parser->at_head)
        return 0; /* a trailer of a chunked body: dropped, as RFC 9112 7.1.2 allows */
    if (!parser->in_header) {
        int failed = begin_header(parser);
        if (failed != 0)
            return failed;
    }
    if (!count_header_bytes(parser, size))
        return fail(parser, 431, "request headers too large");
    struct http_header *header = &parser->head.headers[parser->head.header_count];
    return append(parser, &header->name, bytes, size) ? 0 : fail(parser, 503, "out of memory");
}

static int on_header_value(llhttp_t *llhttp, const char *bytes, size_t size)
{
    struct message_parser *parser = llhttp->data;
    if (parser->at_head)
        return 0;
    assert(parser->in_header);
    if (!count_header_bytes(parser, size))
        return fail(parser, 431, "request headers too large");
    struct http_header *header = &parser->head.headers[parser->head.header_count];
    return append(parser, &header->value, bytes, size) ? 0 : fail(parser, 503, "out of memory");
}

/*
 * llhttp is built loose, because people type label values in UTF-8 into URLs; loose also means
 * spaces in names ("Transfer-Encoding : chunked"), which proxies read in different ways
 * (RFC 9112 5.1).
 */
static bool is_token(struct text name)
{
    static const char OTHERS[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < name.size; i++) {
        char character = name.data[i];
        bool is_alphanumeric = (character >= '0' && character <= '9') ||
                               ((character | 0x20) >= 'a' && (character | 0x20) <= 'z');
        if (!is_alphanumeric && memchr(OTHERS, character, sizeof OTHERS - 1) == NULL)
            return false;
    }
    return name.size > 0;
}

static int on_header_field_complete(llhttp_t *llhttp)
{
    struct message_parser *parser = llhttp->data;
    if (parser->at_head)
        return 0;
    if (!parser->in_header || !is_token(parser->head.headers[parser->head.header_count].name))
        return fail(parser, 400, "malformed header name");
    return 0;
}

static int on_header_value_complete(llhttp_t *llhttp)
{
    struct message_parser *parser = llhttp->data;
    if (parser->at_head)
        return 0;
    assert(parser->in_header);
    struct http_header *header = &parser->head.headers[parser->head.header_count++];
    header->value = text_trim(header->value);
    parser->in_header = false;
    return 0;
}

/*
 * Only chunked bodies are understood. llhttp looks at the last coding alone, so "gzip, chunked"
 * would pass with its body still packed; and what an HTTP/1.0 client means by a transfer coding
 * nobody knows (RFC 9112 6.1).
 */
static int check_transfer_coding(struct message_parser *parser)
{
    const struct message_head *head = &parser->head;
    for (size_t i = 0; i < head->header_count; i++) {
        if (!text_equal_ignoring_case(head->headers[i].name, TEXT("Transfer-Encoding")))
            continue;
        if (head->minor == 0)
            return fail(parser, 400, "a transfer coding in HTTP/1.0");
        if (!text_equal_ignoring_case(head->headers[i].value, TEXT("chunked")))
            return fail(parser, 501, "unknown transfer coding");
    }
    return 0;
}

/* --- Stops ------------------------------------------------------------------------------- */

static int on_headers_complete(llhttp_t *llhttp)
{
    struct message_parser *parser = llhttp->data;
    struct message_head *head = &parser->head;
    head->method = text_of(llhttp_method_name(llhttp_get_method(llhttp)));
    if (llhttp_get_http_major(llhttp) != 1 || llhttp_get_http_minor(llhttp) > 1)
        return fail(parser, 505, "only HTTP/1.0 and HTTP/1.1 are spoken");
    head->minor = llhttp_get_http_minor(llhttp);
    head->keep_alive = llhttp_should_keep_alive(llhttp);
    head->is_chunked = (llhttp->flags & F_CHUNKED) != 0;
    if ((llhttp->flags & F_TRANSFER_ENCODING) != 0) {
        int failed = check_transfer_coding(parser);
        if (failed != 0)
            return failed;
    }
    head->content_length = head->is_chunked ? 0 : llhttp->content_length;
    head->has_body = head->is_chunked || head->content_length > 0;
    /* No other protocol is spoken here: an offer to change it (RFC 9110 7.8) is passed over. */
    llhttp->upgrade = 0;
    parser->at_head = true;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *llhttp, const char *bytes, size_t size)
{
    struct message_parser *parser = llhttp->data;
    parser->body(parser->context, (const uint8_t *)bytes, size);
    return 0;
}

static int on_message_complete(llhttp_t *llhttp)
{
    struct message_parser *parser = llhttp->data;
    parser->at_end = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* --- Public ------------------------------------------------------------------------------ */

struct message_parser *
message_parser_create(const struct message_limits *limits,
                      void (*body)(void *context, const uint8_t *bytes, size_t size), void *context)
{
    struct message_parser *parser = calloc(1, sizeof *parser);
    if (parser == NULL)
        return NULL;
    llhttp_init(&parser->llhttp, HTTP_REQUEST, &settings);
    parser->llhttp.data = parser;
    parser->limits = *limits;
    parser->body = body;
    parser->context = context;
    return parser;
}

void message_parser_destroy(struct message_parser *parser)
{
    free(parser);
}

void message_parser_begin(struct message_parser *parser, struct arena *arena)
{
    parser->arena = arena;
    parser->head = (struct message_head){0};
    parser->header_capacity = 0;
    parser->header_bytes = 0;
    parser->in_header = false;
    parser->at_head = false;
    parser->at_end = false;
}

static struct message_failure explain(struct message_parser *parser, llhttp_errno_t reason)
{
    if (parser->failure.status != 0) /* one of ours, whatever llhttp made of it */
        return parser->failure;
    if (reason == HPE_PAUSED_H2_UPGRADE || reason == HPE_INVALID_VERSION)
        return (struct message_failure){505, "only HTTP/1.0 and HTTP/1.1 are spoken"};
    if (reason == HPE_INVALID_METHOD)
        return (struct message_failure){400, "unknown method"};
    if (reason == HPE_INVALID_TRANSFER_ENCODING)
        return (struct message_failure){400, "transfer coding must end in chunked"};
    return (struct message_failure){400, "malformed request"};
}

enum message_step message_parser_feed(struct message_parser *parser, const uint8_t *bytes,
                                      size_t size, size_t *consumed_out)
{
    bool was_at_head = parser->at_head;
    assert(!parser->at_end); /* message_parser_begin comes first */
    llhttp_errno_t status = llhttp_execute(&parser->llhttp, (const char *)bytes, size);
    if (status == HPE_OK) {
        *consumed_out = size;
        return MESSAGE_MORE;
    }
    const char *position = llhttp_get_error_pos(&parser->llhttp);
    *consumed_out = position == NULL ? 0 : (size_t)((const uint8_t *)position - bytes);
    if (status == HPE_PAUSED) {
        llhttp_resume(&parser->llhttp);
        assert(*consumed_out <= size);
        if (parser->at_end)
            return MESSAGE_COMPLETE;
        assert(parser->at_head && !was_at_head);
        return MESSAGE_HEAD;
    }
    *consumed_out = size;
    parser->failure = explain(parser, status);
    return MESSAGE_FAILED;
}

const struct message_head *message_parser_head(const struct message_parser *parser)
{
    return &parser->head;
}

struct message_failure message_parser_failure(const struct message_parser *parser)
{
    return parser->failure;
}
