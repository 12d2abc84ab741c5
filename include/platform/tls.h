/*
 * tls - certificate, key and trust of a server or a node, reloadable while it serves.
 *
 * A context is shared by the listeners of all loops. With a CA it serves outgoing connections too:
 * between nodes each side shows its certificate and verifies the other's by the CA, whatever name
 * it is for. Sessions keep the credentials they started
 * with; a reload is for new connections. TLS 1.2 and 1.3, no renegotiation; "http/1.1" is chosen
 * when a client negotiates the protocol (ALPN). Thread-safe.
 */
#ifndef PLATFORM_TLS_H
#define PLATFORM_TLS_H

#include <stdint.h>

#include "base/error.h"

struct tls_context;

/* Paths of PEM files; copied. */
struct tls_options {
    const char *certificate_path; /* the server's, followed by its intermediates */
    const char *key_path;
    /* NULL: clients show no certificate; otherwise they must. The servers that this context
     * connects to must have one of the same CA. */
    const char *client_ca_path;
};

/*
 * Reads the files. Errors name the file and the reason: NOT_FOUND, IO, INVALID (not PEM, key does
 * not belong to the certificate, expired or not yet valid is not checked), OUT_OF_MEMORY.
 */
enum error_code tls_context_create(const struct tls_options *options,
                                   struct tls_context **context_out, struct error *error);

/* After the listeners that use it are closed. NULL is fine. */
void tls_context_destroy(struct tls_context *context);

/* Read the files again. On error the former credentials stay in use. Reads files: not on a loop
 * that must not wait for a slow disk. */
enum error_code tls_context_reload(struct tls_context *context, struct error *error);

/* When the certificate in use ends to be valid, seconds since the Unix epoch. */
int64_t tls_context_expiry_s(struct tls_context *context);

#endif
