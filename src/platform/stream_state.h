/*
 * stream_state - how a listener makes a stream.
 */
#ifndef PLATFORM_STREAM_STATE_H
#define PLATFORM_STREAM_STATE_H

#include "loop_uv.h"
#include "platform/stream.h"

/*
 * Accept a connection that waits at `listening`. With `tls`, its handshake must end in
 * `handshake_timeout_ms`. Errors: IO, OUT_OF_MEMORY; the connection may still wait then.
 */
enum error_code stream_accept(struct loop *loop, uv_stream_t *listening, struct tls_context *tls,
                              uint64_t handshake_timeout_ms, struct stream **stream_out,
                              struct error *error);

/* "192.0.2.1:4711", "[::1]:4711", "unknown"; returns the size. */
size_t stream_address_format(const struct sockaddr_storage *address, char *target,
                             size_t target_bytes);

#endif
