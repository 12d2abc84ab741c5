/*
 * head_spares - memory that heads leave to the next ones when they end.
 *
 * A node freezes one head after the other. Memory given back to the system with each, and asked
 * for again by the next, has to be cleared by the kernel page by page; what is kept here does not.
 * What nobody takes goes back within seconds. Any thread.
 */
#ifndef HEAD_HEAD_SPARES_H
#define HEAD_HEAD_SPARES_H

#include <stddef.h>

#include "base/error.h"

struct head_spares;

/* Keeps up to `limit_bytes`. The caller holds the first reference, each head one more. Errors:
 * OUT_OF_MEMORY. */
enum error_code head_spares_create(size_t limit_bytes, struct head_spares **spares_out,
                                   struct error *error);

/* NULL is fine. */
struct head_spares *head_spares_ref(struct head_spares *spares);
void head_spares_unref(struct head_spares *spares);

/* Give back a part of what was not needed since the last call. Once a second. */
void head_spares_settle(struct head_spares *spares);

size_t head_spares_size_bytes(struct head_spares *spares);

#endif
