/*
 * message - the bytes of a message between two replicas of a group.
 *
 * Byte layout: docs/formats/raft-message.md. The decoder trusts nothing: every count and size is
 * checked against the bytes that are there.
 */
#ifndef GROUP_MESSAGE_H
#define GROUP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "consensus/consensus.h"

enum { MESSAGE_ENTRIES_MAX = 65536 };

void message_encode(const struct consensus_message *message, struct byte_buffer *buffer);

/* A message and the memory of its parts. */
struct received_message {
    struct consensus_message message;
    struct consensus_entry *entries; /* [message.append.entry_count], in `batch` */
    struct consensus_batch *batch;
    struct membership membership; /* of an install; its bytes are those that were decoded */
};

/*
 * Read a message. What `message` points to belongs to `received_out` or, the state of an install,
 * to `bytes`; received_message_clear releases it.
 *
 * Errors: CORRUPT, UNSUPPORTED (another version), OUT_OF_MEMORY.
 */
enum error_code message_decode(const uint8_t *bytes, size_t size_bytes,
                               struct received_message *received_out, struct error *error);

/* Whether encoded bytes are entries or a snapshot, which may be large. */
bool message_is_bulky(const uint8_t *bytes, size_t size_bytes);

void received_message_clear(struct received_message *received);

#endif
