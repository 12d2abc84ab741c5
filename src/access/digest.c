#include "digest.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

enum { INPUT_BYTES_MAX = 2048 };

bool digest_key_init_with(struct digest_key *key, const uint8_t bytes[DIGEST_KEY_BYTES])
{
    for (size_t i = 0; i < DIGEST_BLOCK_BYTES; i++) {
        uint8_t byte = i < DIGEST_KEY_BYTES ? bytes[i] : 0;
        key->inner[i] = byte ^ 0x36;
        key->outer[i] = byte ^ 0x5c;
    }
    key->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    return key->sha256 != NULL;
}

bool digest_key_init(struct digest_key *key)
{
    uint8_t bytes[DIGEST_KEY_BYTES];
    bool is_made = RAND_bytes(bytes, sizeof bytes) == 1 && digest_key_init_with(key, bytes);
    explicit_bzero(bytes, sizeof bytes);
    return is_made;
}

void digest_key_clear(struct digest_key *key)
{
    EVP_MD_free(key->sha256);
    explicit_bzero(key, sizeof *key);
}

/* RFC 2104: H(key ^ opad, H(key ^ ipad, input)). `input` begins with the first block. */
static bool make(const struct digest_key *key, const uint8_t *input, size_t size,
                 struct digest *digest_out)
{
    uint8_t outer[DIGEST_BLOCK_BYTES + DIGEST_BYTES];
    unsigned made;
    memcpy(outer, key->outer, DIGEST_BLOCK_BYTES);
    bool is_made =
        EVP_Digest(input, size, outer + DIGEST_BLOCK_BYTES, &made, key->sha256, NULL) == 1 &&
        EVP_Digest(outer, sizeof outer, digest_out->bytes, &made, key->sha256, NULL) == 1;
    explicit_bzero(outer, sizeof outer);
    return is_made;
}

bool digest_make(const struct digest_key *key, const struct text *texts, size_t count,
                 struct digest *digest_out)
{
    uint8_t input[DIGEST_BLOCK_BYTES + INPUT_BYTES_MAX];
    size_t size = DIGEST_BLOCK_BYTES;
    memcpy(input, key->inner, DIGEST_BLOCK_BYTES);
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
    bool is_made = make(key, input, size, digest_out);
    explicit_bzero(input, size);
    return is_made;
}

bool digest_equal(const struct digest *left, const struct digest *right)
{
    return CRYPTO_memcmp(left->bytes, right->bytes, DIGEST_BYTES) == 0;
}
