/*
 * authorization - the header Authorization: Basic (RFC 7617) and Bearer (RFC 6750).
 */
#ifndef ACCESS_AUTHORIZATION_H
#define ACCESS_AUTHORIZATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum {
    AUTHORIZATION_PASSWORD_BYTES_MAX = 1024,
    /* User, colon, password. */
    AUTHORIZATION_DECODED_BYTES_MAX = 256 + 1 + AUTHORIZATION_PASSWORD_BYTES_MAX,
};

enum authorization_kind {
    AUTHORIZATION_BASIC,
    AUTHORIZATION_BEARER,
    AUTHORIZATION_OTHER,     /* a scheme that is not spoken */
    AUTHORIZATION_MALFORMED, /* or longer than anything that is allowed */
};

struct authorization {
    enum authorization_kind kind;
    struct text user;     /* BASIC */
    struct text password; /* BASIC; holds no NUL */
    struct text token;    /* BEARER */
};

/* What Basic is decoded to; the caller wipes it. */
struct authorization_scratch {
    uint8_t bytes[AUTHORIZATION_DECODED_BYTES_MAX + 3];
};

/* The texts are views of `value` or of `scratch`. */
struct authorization authorization_parse(struct text value, struct authorization_scratch *scratch);

/* Standard base64 with padding (RFC 4648 4), nothing else in it. `target` has room for
 * encoded.size / 4 * 3 bytes. False: it is none. */
bool base64_decode(struct text encoded, uint8_t *target, size_t *size_out);

#endif
