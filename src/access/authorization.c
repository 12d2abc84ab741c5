#include "authorization.h"

#include <string.h>

#include "access/web_config.h"

_Static_assert(AUTHORIZATION_DECODED_BYTES_MAX ==
                   WEB_USER_BYTES_MAX + 1 + AUTHORIZATION_PASSWORD_BYTES_MAX,
               "every user fits");

/* --- base64 ------------------------------------------------------------------------------ */

/* 0 to 63, or -1. */
static int digit_of(char character)
{
    if (character >= 'A' && character <= 'Z')
        return character - 'A';
    if (character >= 'a' && character <= 'z')
        return character - 'a' + 26;
    if (character >= '0' && character <= '9')
        return character - '0' + 52;
    if (character == '+')
        return 62;
    return character == '/' ? 63 : -1;
}

static size_t padding_of(struct text encoded)
{
    size_t padding = 0;
    while (padding < 2 && padding < encoded.size && encoded.data[encoded.size - 1 - padding] == '=')
        padding++;
    return padding;
}

bool base64_decode(struct text encoded, uint8_t *target, size_t *size_out)
{
    if (encoded.size % 4 != 0)
        return false;
    size_t digits = encoded.size - padding_of(encoded);
    size_t size = 0;
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t i = 0; i < digits; i++) {
        int digit = digit_of(encoded.data[i]);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            target[size++] = (uint8_t)(bits >> bit_count);
        }
        bits &= (1u << bit_count) - 1;
    }
    if (bits != 0) /* one text, one form: what is left over is zero */
        return false;
    *size_out = size;
    return true;
}

/* --- Schemes ------------------------------------------------------------------------------ */

static struct authorization parse_basic(struct text value, struct authorization_scratch *scratch)
{
    struct authorization malformed = {.kind = AUTHORIZATION_MALFORMED};
    struct authorization result = {.kind = AUTHORIZATION_BASIC};
    size_t size;
    if (value.size / 4 * 3 > sizeof scratch->bytes ||
        !base64_decode(value, scratch->bytes, &size) ||
        memchr(scratch->bytes, '\0', size) != NULL) /* bcrypt would stop there */
        return malformed;
    struct text decoded = {(const char *)scratch->bytes, size};
    if (!text_split(decoded, ':', &result.user, &result.password) ||
        result.user.size > WEB_USER_BYTES_MAX ||
        result.password.size > AUTHORIZATION_PASSWORD_BYTES_MAX)
        return malformed;
    return result;
}

static struct authorization parse_bearer(struct text value)
{
    if (value.size == 0 || value.size > WEB_TOKEN_BYTES_MAX)
        return (struct authorization){.kind = AUTHORIZATION_MALFORMED};
    return (struct authorization){.kind = AUTHORIZATION_BEARER, .token = value};
}

struct authorization authorization_parse(struct text value, struct authorization_scratch *scratch)
{
    struct text scheme, rest;
    if (!text_split(text_trim(value), ' ', &scheme, &rest))
        rest = (struct text){0};
    rest = text_trim(rest);
    if (text_equal_ignoring_case(scheme, TEXT("Basic")))
        return parse_basic(rest, scratch);
    if (text_equal_ignoring_case(scheme, TEXT("Bearer")))
        return parse_bearer(rest);
    return (struct authorization){.kind = AUTHORIZATION_OTHER};
}
