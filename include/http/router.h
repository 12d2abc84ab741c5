/*
 * router - which handler takes a method and a path.
 *
 * Filled at start-up and then only read, so that the servers of all loops share it. A pattern is
 * a path whose segments are literal, `{name}` (exactly one segment, not empty) or, at the end,
 * `*` (the rest, slashes included, may be empty). Literal beats {name} beats *. Segments are
 * compared after percent-decoding, so an encoded slash stays inside its segment.
 */
#ifndef HTTP_ROUTER_H
#define HTTP_ROUTER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "http/request.h"

struct http_router;

/* Called on the loop of the request, its body complete. */
typedef void http_handler(struct http_request *request);

struct http_route {
    unsigned methods;    /* of enum http_method */
    const char *pattern; /* stays in place as long as the router */
    http_handler *handler;
    void *context;           /* http_request_context */
    uint64_t body_bytes_max; /* larger bodies: 413; 0: the server's limit */
};

struct http_router *http_router_create(void); /* NULL: out of memory */
void http_router_destroy(struct http_router *router);

/* Errors: INVALID (pattern), EXISTS (a method of this pattern is taken), LIMIT, OUT_OF_MEMORY. */
enum error_code http_router_add(struct http_router *router, const struct http_route *route,
                                struct error *error);

#endif
