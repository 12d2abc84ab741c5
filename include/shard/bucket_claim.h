/*
 * bucket_claim - which cluster a bucket belongs to: the object BUCKET_CLUSTER_KEY
 * (docs/formats/bucket.md).
 */
#ifndef SHARD_BUCKET_CLAIM_H
#define SHARD_BUCKET_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum { BUCKET_OWNER_BYTES = 16, BUCKET_CLAIM_BYTES_MAX = 4096 };

struct bucket_claim {
    uint8_t owner[BUCKET_OWNER_BYTES]; /* id of the cluster, or of the directory of a node alone */
    uint64_t incarnation;              /* rises when it is recovered from here; from 1 on */
    bool was_recovered;
    uint8_t former[BUCKET_OWNER_BYTES]; /* the owner that it was recovered from */
};

void bucket_claim_encode(const struct bucket_claim *claim, struct byte_buffer *buffer);

/* Errors: CORRUPT. */
enum error_code bucket_claim_decode(const uint8_t *bytes, size_t size_bytes,
                                    struct bucket_claim *claim_out, struct error *error);

/* "0123...", NUL-terminated. */
void bucket_owner_format(const uint8_t owner[BUCKET_OWNER_BYTES],
                         char text[2 * BUCKET_OWNER_BYTES + 1]);

#endif
