/*
 * transfer - HTTP requests to other clusters: one thread moves the bytes of all of them, those who
 * ask wait for whole answers. Connections are kept.
 *
 * Any thread begins, waits and ends; a request belongs to its asker and to the thread until both
 * are done with it.
 */
#ifndef FEDERATION_TRANSFER_H
#define FEDERATION_TRANSFER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "platform/clock.h"
#include "target.h"

struct transfers;
struct transfer;

/* Errors: OUT_OF_MEMORY, IO. */
enum error_code transfers_create(struct clock *clock, struct transfers **transfers_out,
                                 struct error *error);
/* Nothing may be under way. NULL is fine. */
void transfers_destroy(struct transfers *transfers);

struct transfer_options {
    struct target *target; /* outlives the transfers */
    const char *path;
    struct text tenant; /* copied */
    uint64_t timeout_ms;
    struct arena_account *memory;  /* what the answer is charged to; NULL: none */
    _Atomic uint64_t *bytes_total; /* where received bytes are counted */
};

/* `body` is taken over. Errors: OUT_OF_MEMORY, INVALID. */
enum error_code transfer_begin(struct transfers *transfers, const struct transfer_options *options,
                               struct byte_buffer *body, struct transfer **transfer_out,
                               struct error *error);

/*
 * The whole body of an answer that says 200, as long as the transfer. Errors: UNAVAILABLE (not
 * reached, refused, silent, with the reason), LIMIT (memory), CANCELED, TIMEOUT (`deadline_ns`, of
 * the asker).
 */
enum error_code transfer_wait(struct transfer *transfer, const atomic_bool *canceled,
                              uint64_t deadline_ns, struct text *body_out, struct error *error);

/* What is under way is canceled. NULL is fine. */
void transfer_end(struct transfer *transfer);

#endif
