/*
 * s3_keys - the keys that requests are signed with: where they come from, when they are renewed.
 *
 * Sources are asked in the order of object_store_options.h, by whoever needs keys. Those from files
 * are read again when a file changed; temporary ones are renewed five minutes before they expire,
 * by one caller, while the others go on with the old ones.
 */
#ifndef OBJECT_S3_KEYS_H
#define OBJECT_S3_KEYS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "exchange.h"
#include "object/object_store.h"
#include "object/object_store_options.h"

/* One set; shared, immutable. */
struct s3_credentials {
    _Atomic uint32_t references;
    char *access_key;
    char *secret_key;
    char *session_token; /* "" when there is none */
    int64_t expires_ms;  /* INT64_MAX: never */
    char source[64];     /* "settings", for messages */
};

struct s3_keys;

/* `options`, `exchanges` and `clock` outlive the keys. `region` is copied. Errors: INVALID (half a
 * pair of keys), OUT_OF_MEMORY. */
enum error_code s3_keys_create(const struct s3_options *options, const char *region,
                               struct exchanges *exchanges, struct clock *clock,
                               struct s3_keys **keys_out, struct error *error);
void s3_keys_destroy(struct s3_keys *keys);

/* The caller's reference. Errors: DENIED (there are none; what each source says), UNAVAILABLE,
 * TIMEOUT, CANCELED, OUT_OF_MEMORY. */
enum error_code s3_keys_get(struct s3_keys *keys, const struct object_call *call,
                            struct s3_credentials **credentials_out, struct error *error);

/* These were refused as expired: the next s3_keys_get looks for others. */
void s3_keys_reject(struct s3_keys *keys, const struct s3_credentials *credentials);

void s3_credentials_unref(struct s3_credentials *credentials); /* NULL is fine */

#endif
