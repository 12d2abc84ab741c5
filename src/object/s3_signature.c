#include "s3_signature.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/hmac.h>

static void append(struct byte_buffer *buffer, const char *text)
{
    byte_buffer_append(buffer, text, strlen(text));
}

/* --- The canonical request ----------------------------------------------------------------- */

/* [header_count] of the headers by name. */
static void sort_headers(const struct s3_signing *signing,
                         const struct s3_header *sorted[S3_HEADERS_MAX])
{
    assert(signing->header_count <= S3_HEADERS_MAX);
    for (size_t i = 0; i < signing->header_count; i++) {
        size_t at = i;
        for (; at > 0 && strcmp(sorted[at - 1]->name, signing->headers[i].name) > 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = &signing->headers[i];
    }
}

/* Without white space at its ends, and one space for each run of it. */
static void append_value(struct byte_buffer *buffer, const char *value)
{
    struct text trimmed = text_trim(text_of(value));
    for (size_t i = 0; i < trimmed.size; i++) {
        bool is_space = trimmed.data[i] == ' ' || trimmed.data[i] == '\t';
        if (!is_space)
            byte_buffer_u8(buffer, (uint8_t)trimmed.data[i]);
        else if (trimmed.data[i - 1] != ' ' && trimmed.data[i - 1] != '\t')
            byte_buffer_u8(buffer, ' ');
    }
}

static void append_names(struct byte_buffer *buffer, const struct s3_signing *signing)
{
    const struct s3_header *sorted[S3_HEADERS_MAX];
    sort_headers(signing, sorted);
    for (size_t i = 0; i < signing->header_count; i++) {
        append(buffer, i == 0 ? "" : ";");
        append(buffer, sorted[i]->name);
    }
}

void s3_canonical_request(const struct s3_signing *signing, struct byte_buffer *buffer)
{
    const struct s3_header *sorted[S3_HEADERS_MAX];
    sort_headers(signing, sorted);
    append(buffer, signing->method);
    append(buffer, "\n");
    byte_buffer_append(buffer, signing->path.data, signing->path.size);
    append(buffer, "\n");
    byte_buffer_append(buffer, signing->query.data, signing->query.size);
    append(buffer, "\n");
    for (size_t i = 0; i < signing->header_count; i++) {
        append(buffer, sorted[i]->name);
        append(buffer, ":");
        append_value(buffer, sorted[i]->value);
        append(buffer, "\n");
    }
    append(buffer, "\n");
    append_names(buffer, signing);
    append(buffer, "\n");
    append(buffer, signing->payload_hash);
}

/* --- Keys ---------------------------------------------------------------------------------- */

static void hmac(const void *key, size_t key_size, const void *bytes, size_t size,
                 uint8_t digest[S3_SHA256_BYTES])
{
    unsigned int digest_size = 0;
    if (HMAC(EVP_sha256(), key, (int)key_size, bytes, size, digest, &digest_size) == NULL)
        memset(digest, 0, S3_SHA256_BYTES); /* refused by the server */
}

static void derive_key(const struct s3_signing *signing, const char *day,
                       uint8_t key[S3_SHA256_BYTES])
{
    struct byte_buffer secret = {0};
    append(&secret, "AWS4");
    append(&secret, signing->secret_key);
    hmac(secret.bytes, secret.size, day, strlen(day), key);
    if (secret.bytes != NULL)
        OPENSSL_cleanse(secret.bytes, secret.size);
    byte_buffer_clear(&secret);
    hmac(key, S3_SHA256_BYTES, signing->region, strlen(signing->region), key);
    hmac(key, S3_SHA256_BYTES, signing->service, strlen(signing->service), key);
    hmac(key, S3_SHA256_BYTES, "aws4_request", strlen("aws4_request"), key);
}

static void identify(const struct s3_signing *signing, uint8_t identity[S3_SHA256_BYTES])
{
    struct byte_buffer text = {0};
    append(&text, signing->secret_key);
    append(&text, "\n");
    append(&text, signing->region);
    append(&text, "\n");
    append(&text, signing->service);
    s3_sha256(text.bytes, text.size, identity);
    if (text.bytes != NULL)
        OPENSSL_cleanse(text.bytes, text.size);
    byte_buffer_clear(&text);
}

static void key_of_day(struct s3_signing_key *key, const struct s3_signing *signing,
                       const char *day, uint8_t target[S3_SHA256_BYTES])
{
    uint8_t identity[S3_SHA256_BYTES];
    identify(signing, identity);
    pthread_mutex_lock(&key->lock);
    if (strcmp(key->day, day) != 0 || memcmp(key->identity, identity, sizeof identity) != 0) {
        derive_key(signing, day, key->key);
        memcpy(key->identity, identity, sizeof identity);
        memcpy(key->day, day, S3_DAY_BYTES);
    }
    memcpy(target, key->key, S3_SHA256_BYTES);
    pthread_mutex_unlock(&key->lock);
}

void s3_signing_key_init(struct s3_signing_key *key)
{
    *key = (struct s3_signing_key){0};
    pthread_mutex_init(&key->lock, NULL);
}

void s3_signing_key_clear(struct s3_signing_key *key)
{
    pthread_mutex_destroy(&key->lock);
    OPENSSL_cleanse(key->key, sizeof key->key);
}

/* --- The signature ------------------------------------------------------------------------- */

static void hash_request(const struct s3_signing *signing, char target[S3_SHA256_HEX_BYTES])
{
    struct byte_buffer request = {0};
    uint8_t digest[S3_SHA256_BYTES];
    s3_canonical_request(signing, &request);
    s3_sha256(request.bytes, request.size, digest);
    s3_hex(digest, sizeof digest, target);
    byte_buffer_clear(&request);
}

static void append_scope(struct byte_buffer *buffer, const struct s3_signing *signing,
                         const char *day)
{
    append(buffer, day);
    append(buffer, "/");
    append(buffer, signing->region);
    append(buffer, "/");
    append(buffer, signing->service);
    append(buffer, "/aws4_request");
}

void s3_sign(const struct s3_signing *signing, struct s3_signing_key *key,
             struct byte_buffer *buffer)
{
    char day[S3_DAY_BYTES], hash[S3_SHA256_HEX_BYTES], signature[S3_SHA256_HEX_BYTES];
    uint8_t day_key[S3_SHA256_BYTES], digest[S3_SHA256_BYTES];
    struct byte_buffer text = {0};
    snprintf(day, sizeof day, "%.8s", signing->time);

    append(&text, "AWS4-HMAC-SHA256\n");
    append(&text, signing->time);
    append(&text, "\n");
    append_scope(&text, signing, day);
    append(&text, "\n");
    hash_request(signing, hash);
    append(&text, hash);
    key_of_day(key, signing, day, day_key);
    hmac(day_key, sizeof day_key, text.bytes, text.size, digest);
    s3_hex(digest, sizeof digest, signature);
    byte_buffer_clear(&text);

    append(buffer, "AWS4-HMAC-SHA256 Credential=");
    append(buffer, signing->access_key);
    append(buffer, "/");
    append_scope(buffer, signing, day);
    append(buffer, ",SignedHeaders=");
    append_names(buffer, signing);
    append(buffer, ",Signature=");
    append(buffer, signature);
}
