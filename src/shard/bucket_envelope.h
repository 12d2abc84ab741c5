/*
 * bucket_envelope - what small objects of the bucket have around their body. Private to shard.
 *
 *   four bytes that say what it is | u8 format (1) | u64 hash low | u64 high | body
 *
 * The hash is XXH3-128 of the body, seed HASH_SEED_STORED.
 */
#ifndef SHARD_BUCKET_ENVELOPE_H
#define SHARD_BUCKET_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

struct bucket_envelope {
    const char *magic; /* four characters */
    const char *name;  /* for messages: "list of a bucket" */
};

/* Append the head; the body is appended then, and bucket_envelope_end called with what this
 * returned. Memory: test `buffer->failed` behind that. */
size_t bucket_envelope_begin(const struct bucket_envelope *envelope, struct byte_buffer *buffer);
void bucket_envelope_end(struct byte_buffer *buffer, size_t begun);

/* *body_out reads the body. Errors: CORRUPT (cut, damaged, or another thing), UNSUPPORTED. */
enum error_code bucket_envelope_open(const struct bucket_envelope *envelope, const uint8_t *bytes,
                                     size_t size_bytes, struct byte_reader *body_out,
                                     struct error *error);

#endif
