/*
 * s3_signature - Signature Version 4 of AWS, in the Authorization header.
 *
 * "Signing AWS API requests" in the AWS reference tells the steps: a canonical request, hashed
 * into a text to sign, signed by a key that is derived from the secret for one day, region and
 * service. The path is escaped once, as S3 alone wants it.
 */
#ifndef OBJECT_S3_SIGNATURE_H
#define OBJECT_S3_SIGNATURE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/text.h"
#include "s3_text.h"

/* Payload hashes of a body that is empty, and of one that is not signed. */
#define S3_PAYLOAD_EMPTY    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define S3_PAYLOAD_UNSIGNED "UNSIGNED-PAYLOAD"

enum { S3_HEADERS_MAX = 16, S3_DAY_BYTES = 9 };

struct s3_header {
    const char *name; /* in small letters */
    const char *value;
};

struct s3_signing {
    const char *access_key;
    const char *secret_key;
    const char *region;
    const char *service; /* "s3" */
    const char *time;    /* s3_time_format */
    const char *method;
    struct text path;                /* escaped, begins with "/" */
    struct text query;               /* escaped, sorted by name, "name=value" each; may be empty */
    const struct s3_header *headers; /* [header_count], all of them are signed */
    size_t header_count;
    const char *payload_hash;
};

/* The key of a day, which is the same for all requests of it. Any thread. */
struct s3_signing_key {
    pthread_mutex_t lock;
    char day[S3_DAY_BYTES];
    uint8_t identity[S3_SHA256_BYTES]; /* of secret, region and service */
    uint8_t key[S3_SHA256_BYTES];
};

void s3_signing_key_init(struct s3_signing_key *key);
void s3_signing_key_clear(struct s3_signing_key *key);

/* Append the canonical request; s3_sign does so itself. For tests and for the curious. */
void s3_canonical_request(const struct s3_signing *signing, struct byte_buffer *buffer);

/* Append the value of the Authorization header. */
void s3_sign(const struct s3_signing *signing, struct s3_signing_key *key,
             struct byte_buffer *buffer);

#endif
