/*
 * message_parser - requests out of bytes, a step at a time; llhttp is known only inside.
 *
 * Feed bytes as they come. The parser stops where somebody has to decide: after the head and
 * after the message. Between these two, the body's bytes are shown to `body`, as views of what is
 * being fed.
 */
#ifndef HTTP_MESSAGE_PARSER_H
#define HTTP_MESSAGE_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "http/header.h"

struct message_parser;

struct message_limits {
    size_t target_bytes_max;
    size_t header_bytes_max; /* names, values and 4 bytes for each header */
    size_t header_count_max;
};

/* In memory of the message's arena. */
struct message_head {
    struct text method;
    struct text target;
    struct http_header *headers; /* [header_count] */
    size_t header_count;
    uint64_t content_length; /* 0 when chunked or absent */
    bool has_body;           /* chunked, or content_length > 0 */
    bool is_chunked;
    bool keep_alive; /* what version and Connection header ask for */
    unsigned minor;  /* of HTTP/1.minor */
};

enum message_step {
    MESSAGE_MORE,     /* everything was taken, bytes are missing */
    MESSAGE_HEAD,     /* the head is complete: see `head`; go on feeding, even nothing */
    MESSAGE_COMPLETE, /* the message is complete; begin the next */
    MESSAGE_FAILED,   /* answer `failure`, then close */
};

/* What to answer to bytes that are no request. */
struct message_failure {
    unsigned status;
    const char *reason; /* static */
};

/* `body` runs inside message_parser_feed. NULL: out of memory. */
struct message_parser *message_parser_create(const struct message_limits *limits,
                                             void (*body)(void *context, const uint8_t *bytes,
                                                          size_t size),
                                             void *context);
void message_parser_destroy(struct message_parser *parser);

/* The next message; its head goes to `arena`. */
void message_parser_begin(struct message_parser *parser, struct arena *arena);

/* *consumed_out bytes were taken; the rest belongs to the next step. */
enum message_step message_parser_feed(struct message_parser *parser, const uint8_t *bytes,
                                      size_t size, size_t *consumed_out);

/* After MESSAGE_HEAD; what is known so far after MESSAGE_FAILED. */
const struct message_head *message_parser_head(const struct message_parser *parser);

/* After MESSAGE_FAILED. */
struct message_failure message_parser_failure(const struct message_parser *parser);

#endif
