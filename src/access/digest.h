/*
 * digest - what stands for a secret in tables: HMAC-SHA-256 with a key of the process.
 *
 * Nobody outside knows the key, so nobody can choose secrets that collide, nor learn anything from
 * how long a comparison takes; it is made in constant time all the same.
 */
#ifndef ACCESS_DIGEST_H
#define ACCESS_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

enum { DIGEST_BYTES = 32, DIGEST_KEY_BYTES = 32, DIGEST_TEXTS_MAX = 4 };

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

struct digest_key {
    uint8_t bytes[DIGEST_KEY_BYTES];
};

/* False: the system has no random bits. */
bool digest_key_init(struct digest_key *key);

/* Of `texts` [count], with their sizes; together at most 2 KiB. False: out of memory. */
bool digest_make(const struct digest_key *key, const struct text *texts, size_t count,
                 struct digest *digest_out);

bool digest_equal(const struct digest *left, const struct digest *right);

#endif
