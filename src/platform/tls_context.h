/*
 * tls_context - what sessions need of a context.
 */
#ifndef PLATFORM_TLS_CONTEXT_H
#define PLATFORM_TLS_CONTEXT_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "platform/tls.h"

/* A session with the credentials in use now; NULL when memory is out. Any thread. */
SSL *tls_context_session(struct tls_context *context);

/* Whether it verifies who is at the other end. */
bool tls_context_is_mutual(const struct tls_context *context);

/* The newest reason in OpenSSL's queue for this thread, which is emptied. */
const char *tls_reason(char *target, size_t target_bytes);

#endif
