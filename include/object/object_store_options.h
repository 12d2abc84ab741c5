/*
 * object_store_options - the stores that there are, as settings name them.
 *
 * Settings: `object_store.<field>` and `object_store.s3.<field>`, docs/operations/object-stores.md.
 */
#ifndef OBJECT_OBJECT_STORE_OPTIONS_H
#define OBJECT_OBJECT_STORE_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "object/object_store.h"

struct clock;
struct metrics;
struct random;

enum object_store_type {
    OBJECT_STORE_NONE,
    OBJECT_STORE_DIRECTORY,
    OBJECT_STORE_S3,
};

/* How a request names the bucket. */
enum s3_addressing {
    S3_ADDRESSING_BEST,    /* by path where an endpoint is set, else by host */
    S3_ADDRESSING_BY_PATH, /* https://endpoint/bucket/key */
    S3_ADDRESSING_BY_HOST, /* https://bucket.endpoint/key */
};

/* Encryption at rest by the server. */
enum s3_encryption {
    S3_ENCRYPTION_NONE, /* or as the bucket says */
    S3_ENCRYPTION_AES256,
    S3_ENCRYPTION_KMS,      /* with encryption_key, the key's id, or the bucket's when empty */
    S3_ENCRYPTION_CUSTOMER, /* with encryption_key, base64 of 32 bytes that only we have */
};

/* What an ETag of the store says. */
enum s3_etag {
    S3_ETAG_MD5,    /* MD5 of an object or part, as S3 has it: what arrived is compared */
    S3_ETAG_OPAQUE, /* nothing: parts of an earlier call are sent again */
};

/*
 * Texts are NUL-terminated and copied; NULL or "" is unset. Numbers: 0 is the default.
 *
 * Where keys come from, the first that is there: access_key and secret_key (or their files);
 * credentials_file; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; AWS_ROLE_ARN with
 * AWS_WEB_IDENTITY_TOKEN_FILE; the file AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials;
 * AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI; the metadata service of the machine. Files
 * are read again when they change, temporary keys are renewed before they expire.
 */
struct s3_options {
    const char *endpoint; /* "http[s]://host[:port]"; unset: AWS, of the region */
    const char *bucket;
    const char *prefix; /* before all keys; a "/" is added to its end */
    const char *region; /* unset: AWS_REGION, AWS_DEFAULT_REGION, us-east-1 */
    enum s3_addressing addressing;

    const char *access_key;
    const char *secret_key;
    const char *session_token;
    const char *access_key_file;
    const char *secret_key_file;
    const char *credentials_file; /* in the form of ~/.aws/credentials */
    const char *profile;          /* of such files; unset: AWS_PROFILE, default */

    const char *ca_file; /* certificates that are trusted instead of the system's */
    enum s3_encryption encryption;
    const char *encryption_key;
    const char *encryption_key_file; /* the key in a file, read once */
    enum s3_etag etag;

    uint64_t part_bytes;         /* of an upload in parts, 5 MiB to 512 MiB; 16 MiB. Larger files
                                  * than 1000 of these have larger parts. */
    uint32_t parts_at_once;      /* of one file; 4 */
    uint32_t connections;        /* requests at once, others wait; 64 */
    uint64_t connect_timeout_ms; /* 3 s */
    uint64_t stall_timeout_ms;   /* an attempt that moves no byte for so long is broken off; 10 s */
    uint32_t attempts;           /* of one request, the first included; 6 */
    uint64_t backoff_ms;         /* before the second attempt, doubled for each further; 100 ms */
    uint64_t backoff_ms_max;     /* 5 s */
    uint32_t page_entries;       /* of a list, at most; 1000 */
};

struct object_store_options {
    enum object_store_type type;
    const char *directory; /* OBJECT_STORE_DIRECTORY: made when it is missing */
    struct s3_options s3;

    /* The world; all outlive the store. */
    struct clock *clock;
    struct random *random;   /* of any thread */
    struct metrics *metrics; /* where requests are counted; NULL: nowhere */
};

/*
 * Nothing is sent yet: a store that cannot be reached is found by its first use. OBJECT_STORE_NONE
 * makes none, and *store_out is NULL.
 *
 * Errors: INVALID (a setting, named), NOT_FOUND, IO, OUT_OF_MEMORY.
 */
enum error_code object_store_create(const struct object_store_options *options,
                                    struct object_store **store_out, struct error *error);

#endif
