/*
 * s3_key_source - where keys come from, one function each.
 *
 * A source that is not set up answers NOT_FOUND, and the next one is asked; one that is set up and
 * fails ends the search.
 */
#ifndef OBJECT_S3_KEY_SOURCE_H
#define OBJECT_S3_KEY_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "exchange.h"
#include "object/object_store.h"
#include "s3_document.h"

/* The settings of keys; "" is unset. */
struct s3_key_settings {
    char *access_key;
    char *secret_key;
    char *session_token;
    char *access_key_file;
    char *secret_key_file;
    char *credentials_file;
    char *profile;
    char *region; /* of the security token service */
};

/* What sources use, and what they found. */
struct s3_key_search {
    const struct s3_key_settings *settings;
    struct exchanges *exchanges;
    struct clock *clock;
    const struct object_call *call;
    struct s3_temporary_keys *found; /* expires_ms: INT64_MAX is never */
    char source[64];
    bool is_reread; /* found in files: they may change at any time */
};

/* Errors: DENIED (none, or what one of them says), UNAVAILABLE, TIMEOUT, CANCELED,
 * OUT_OF_MEMORY. */
enum error_code s3_key_search_run(struct s3_key_search *search, struct error *error);

/* Of services, asked by HTTP. */
enum error_code s3_key_source_web_identity(struct s3_key_search *search, struct error *error);
enum error_code s3_key_source_container(struct s3_key_search *search, struct error *error);
enum error_code s3_key_source_machine(struct s3_key_search *search, struct error *error);

/* A small file without the white space at its ends, NUL-terminated. Errors: DENIED, with the file's
 * name. */
enum error_code s3_key_file_read(const char *path, char *target, size_t target_bytes,
                                 struct error *error);

/* The value of an environment variable, or NULL when it is unset or empty. */
const char *s3_key_variable(const char *name);

/* --- Bytes from outside -------------------------------------------------------------------- */

/* The keys of a profile in the form of ~/.aws/credentials. Errors: NOT_FOUND (no such profile),
 * DENIED (half a pair). */
enum error_code s3_profile_parse(struct text document, struct text profile,
                                 struct s3_temporary_keys *keys_out, struct error *error);

/* The answer of a metadata service. Errors: CORRUPT. */
enum error_code s3_metadata_parse(struct text document, struct s3_temporary_keys *keys_out,
                                  struct error *error);

#endif
