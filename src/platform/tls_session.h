/*
 * tls_session - one side of a TLS connection, bytes in and bytes out, no sockets.
 *
 * Ciphertext is fed and taken through memory BIOs. Not thread-safe: owned by a stream.
 */
#ifndef PLATFORM_TLS_SESSION_H
#define PLATFORM_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "platform/tls.h"

struct tls_session;

enum tls_progress {
    TLS_PROGRESS, /* *size_out bytes, more than 0 */
    TLS_WAITING,  /* for ciphertext from the peer */
    TLS_ENDED,    /* the peer said that it is done */
    TLS_FAILED,   /* error is set; there may be an alert to send */
};

enum tls_side { TLS_SERVER, TLS_CLIENT };

/* With the credentials in use now; a client's context is mutual. Errors: OUT_OF_MEMORY. */
enum error_code tls_session_create(struct tls_context *context, enum tls_side side,
                                   struct tls_session **session_out, struct error *error);
void tls_session_destroy(struct tls_session *session);

/* Ciphertext from the peer; copied. False when memory is out. */
bool tls_session_feed(struct tls_session *session, const uint8_t *bytes, size_t size);

/* Decrypt into `target`; drives the handshake. */
enum tls_progress tls_session_read(struct tls_session *session, uint8_t *target, size_t size,
                                   size_t *size_out, struct error *error);

/* Encrypt at most one record of `bytes`; waits while the handshake is under way. */
enum tls_progress tls_session_write(struct tls_session *session, const uint8_t *bytes, size_t size,
                                    size_t *size_out, struct error *error);

/* Tell the peer that nothing follows; the alert joins the output. */
void tls_session_shutdown(struct tls_session *session);

/* Append the ciphertext for the peer to `target`; false when memory is out. */
bool tls_session_take(struct tls_session *session, struct byte_buffer *target);

bool tls_session_is_established(const struct tls_session *session);

#endif
