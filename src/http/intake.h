/*
 * intake - the way in: bytes of a connection become requests and reach their handlers.
 *
 * Reads go where they are needed: into the server's shared buffer while heads are parsed, into
 * the body itself once its length is known, and into a small buffer of the connection while a
 * request is in work.
 */
#ifndef HTTP_INTAKE_H
#define HTTP_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "connection.h"

/* The guard lets the active request go on, after it was held. */
void intake_admitted(struct connection *connection);

/* As struct stream_events has them, with a connection as context. */
void intake_allocate(void *context, uint8_t **target_out, size_t *size_out);
void intake_received(void *context, size_t size);

/* For message_parser_create: bytes of a body, from inside the parser. */
void intake_body(void *context, const uint8_t *bytes, size_t size);

/* Parse what is pending, then let the stream go on. */
void intake_resume(struct connection *connection);

/* A request of the connection, nothing read of it yet; false when memory is out. */
bool intake_begin(struct connection *connection);

#endif
