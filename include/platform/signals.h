/*
 * signals - the operator's signals as callbacks on a loop.
 *
 * SIGTERM and SIGINT ask the program to end, SIGHUP to reload. One per process, on one loop.
 */
#ifndef PLATFORM_SIGNALS_H
#define PLATFORM_SIGNALS_H

#include "base/error.h"
#include "platform/loop.h"

struct signals;

enum signal_event {
    SIGNAL_TERMINATE, /* SIGTERM, SIGINT */
    SIGNAL_RELOAD,    /* SIGHUP */
};

typedef void signal_callback(void *context, enum signal_event event);

/* On the loop's owner. Errors: OUT_OF_MEMORY, IO. */
enum error_code signals_open(struct loop *loop, signal_callback *callback, void *context,
                             struct signals **signals_out, struct error *error);

/* Signals have their default effect again; no callback afterwards. NULL is fine. */
void signals_close(struct signals *signals);

#endif
