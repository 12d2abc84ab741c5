#include "digest.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

enum { INPUT_BYTES_MAX = 2048 };

bool digest_key_init(struct digest_key *key)
{
    return RAND_bytes(key->bytes, sizeof key->bytes) == 1;
}

bool digest_make(const struct digest_key *key, const struct text *texts, size_t count,
                 struct digest *digest_out)
{
    uint8_t input[INPUT_BYTES_MAX];
    size_t size = 0;
    assert(count <= DIGEST_TEXTS_MAX);
    for (size_t i = 0; i < count; i++) {
        uint32_t text_size = (uint32_t)texts[i].size;
        assert(texts[i].size <= sizeof input - size - sizeof text_size);
        memcpy(input + size, &text_size, sizeof text_size);
        size += sizeof text_size;
        if (text_size > 0)
            memcpy(input + size, texts[i].data, text_size);
        size += text_size;
    }
    unsigned made = 0;
    bool is_made = HMAC(EVP_sha256(), key->bytes, sizeof key->bytes, input, size, digest_out->bytes,
                        &made) != NULL &&
                   made == DIGEST_BYTES;
    explicit_bzero(input, size);
    return is_made;
}

bool digest_equal(const struct digest *left, const struct digest *right)
{
    return CRYPTO_memcmp(left->bytes, right->bytes, DIGEST_BYTES) == 0;
}
