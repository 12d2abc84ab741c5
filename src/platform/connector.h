/*
 * connector - an outgoing TCP connection on its way: name, addresses one after the other, timeout.
 */
#ifndef PLATFORM_CONNECTOR_H
#define PLATFORM_CONNECTOR_H

#include "base/error.h"
#include "loop_uv.h"

struct connector;

struct connector_options {
    const char *address; /* "host:port"; copied */
    uint64_t timeout_ms; /* for all of it */
    /* The end, once, never inside connector_start: a socket, which is the callee's, or -1 and the
     * error. The connector is gone. */
    void (*done)(void *context, int descriptor, const struct error *error);
    void *context;
};

/* The name is resolved off the loop; numbers need no resolving.
 * Errors: INVALID (not host:port), OUT_OF_MEMORY, IO. */
enum error_code connector_start(struct loop *loop, const struct connector_options *options,
                                struct connector **connector_out, struct error *error);

/* `done` is not called any more. */
void connector_cancel(struct connector *connector);

#endif
