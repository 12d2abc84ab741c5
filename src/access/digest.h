/*
 * digest - what stands for a secret in tables: HMAC-SHA-256 with a key of the process.
 *
 * Nobody outside knows the key, so nobody can choose secrets that collide, nor learn anything from
 * how long a comparison takes; it is made in constant time all the same.
 */
#ifndef ACCESS_DIGEST_H
#define ACCESS_DIGEST_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

enum { DIGEST_BYTES = 32, DIGEST_BLOCK_BYTES = 64, DIGEST_KEY_BYTES = 32, DIGEST_TEXTS_MAX = 4 };

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

/* Looked up and padded once: OpenSSL's HMAC() does both each time, and takes four times as long. */
struct digest_key {
    EVP_MD *sha256;
    uint8_t inner[DIGEST_BLOCK_BYTES]; /* the key and ipad of RFC 2104 */
    uint8_t outer[DIGEST_BLOCK_BYTES]; /* and opad */
};

/* A key of the system's random bits. False: there are none, or no memory. */
bool digest_key_init(struct digest_key *key);

/* As digest_key_init, with a key that is given. */
bool digest_key_init_with(struct digest_key *key, const uint8_t bytes[DIGEST_KEY_BYTES]);

/* All zero is fine. */
void digest_key_clear(struct digest_key *key);

/* Of `texts` [count], with their sizes; together at most 2 KiB. False: out of memory. */
bool digest_make(const struct digest_key *key, const struct text *texts, size_t count,
                 struct digest *digest_out);

bool digest_equal(const struct digest *left, const struct digest *right);

#endif
