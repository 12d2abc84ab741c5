/*
 * stores - what object_store_create chooses from, and what stores have in common.
 */
#ifndef OBJECT_STORES_H
#define OBJECT_STORES_H

#include "object/object_store.h"
#include "object/object_store_options.h"
#include "platform/clock.h"

enum error_code directory_store_create(const struct object_store_options *options,
                                       struct object_store **store_out, struct error *error);

enum error_code s3_store_create(const struct object_store_options *options,
                                struct object_store **store_out, struct error *error);

/* CANCELED or TIMEOUT when the call shall end. `call` may be NULL. */
static inline enum error_code object_call_check(const struct object_call *call, struct clock *clock,
                                                struct error *error)
{
    if (call == NULL)
        return ERROR_NONE;
    if (call->canceled != NULL && atomic_load_explicit(call->canceled, memory_order_relaxed))
        return error_set(error, ERROR_CANCELED, "canceled");
    if (call->deadline_ns != 0 && clock_monotonic_ns(clock) >= call->deadline_ns)
        return error_set(error, ERROR_TIMEOUT, "the object store took longer than allowed");
    return ERROR_NONE;
}

#endif
