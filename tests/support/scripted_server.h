/*
 * scripted_server - an HTTP server on loopback that answers as a test tells it, and remembers what
 * it was asked.
 *
 * Connections are kept unless an answer closes them. One answer is taken from the script for each
 * request, in the order in which requests arrive; when the script is over, its last answer again.
 */
#ifndef SCRIPTED_SERVER_H
#define SCRIPTED_SERVER_H

#include <stddef.h>

enum scripted_end {
    SCRIPTED_KEEP,  /* the connection stays */
    SCRIPTED_CLOSE, /* after what is sent: an answer that is shorter than it says is cut */
    SCRIPTED_RESET,
    SCRIPTED_HANG, /* nothing more is sent, for as long as the server lives */
};

struct scripted_answer {
    const char *status;  /* "200 OK"; NULL: nothing is sent at all */
    const char *headers; /* lines, each ended with "\r\n"; NULL: none. Content-Length is the
                            server's unless it is among them. */
    const char *body;    /* NULL: none */
    size_t body_bytes;   /* 0: up to the NUL */
    enum scripted_end end;
};

enum { SCRIPTED_REQUESTS_MAX = 256, SCRIPTED_HEAD_BYTES_MAX = 8192 };

struct scripted_request {
    char head[SCRIPTED_HEAD_BYTES_MAX]; /* up to the empty line, NUL-terminated */
    char *body;                         /* [body_bytes], and a NUL */
    size_t body_bytes;
};

struct scripted_server;

/* Listens on a port of its own. */
struct scripted_server *scripted_server_create(void);
void scripted_server_destroy(struct scripted_server *server);

/* "http://127.0.0.1:port", as long as the server. */
const char *scripted_server_url(const struct scripted_server *server);

/* From now on, and forget the requests so far. The answers outlive the server. */
void scripted_server_play(struct scripted_server *server, const struct scripted_answer *answers,
                          size_t count);

size_t scripted_server_request_count(struct scripted_server *server);

/* The number-th request since scripted_server_play; it must have come. Valid until that again. */
const struct scripted_request *scripted_server_request(struct scripted_server *server,
                                                       size_t number);

#endif
