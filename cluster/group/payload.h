/*
 * payload - how a proposal lies in the memory of a log entry: its size in 8 bytes, the bytes,
 * zeroes up to a multiple of 8.
 */
#ifndef GROUP_PAYLOAD_H
#define GROUP_PAYLOAD_H

#include "base/error.h"
#include "consensus/entry.h"
#include "group/state_machine.h"

/* The batch that holds `payload`, which is of group_payload_create, and its size. */
struct consensus_batch *payload_batch(uint8_t *payload, size_t *size_bytes_out);

/* The payload in an entry's bytes. Errors: CORRUPT. */
enum error_code payload_from_bytes(const uint8_t *bytes, size_t size_bytes,
                                   struct group_entry *entry, struct error *error);

#endif
