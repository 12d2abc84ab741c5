/*
 * The header Authorization. Whatever the bytes: texts stay within what they are views of, and what
 * was decoded is encoded to the same again.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "authorization.h"

static void encode(const uint8_t *bytes, size_t size, char *target)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t bits = (uint32_t)bytes[i] << 16;
        bits |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        bits |= left > 2 ? bytes[i + 2] : 0;
        *target++ = DIGITS[bits >> 18];
        *target++ = DIGITS[bits >> 12 & 63];
        *target++ = left > 1 ? DIGITS[bits >> 6 & 63] : '=';
        *target++ = left > 2 ? DIGITS[bits & 63] : '=';
    }
}

static void check_base64(struct text encoded)
{
    uint8_t *decoded = malloc(encoded.size / 4 * 3 + 1);
    size_t size;
    if (base64_decode(encoded, decoded, &size)) {
        char *again = malloc(encoded.size + 4);
        assert(size <= encoded.size / 4 * 3);
        encode(decoded, size, again);
        assert(memcmp(again, encoded.data, encoded.size) == 0);
        free(again);
    }
    free(decoded);
}

static int is_within(struct text text, const void *whole, size_t size)
{
    return text.data >= (const char *)whole && text.data + text.size <= (const char *)whole + size;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return 0;
    /* A copy of its own, so that a read past the end is seen. */
    char *copy = malloc(size);
    memcpy(copy, bytes, size);
    struct text value = {copy, size};
    struct authorization_scratch *scratch = malloc(sizeof *scratch);
    struct authorization given = authorization_parse(value, scratch);
    if (given.kind == AUTHORIZATION_BASIC) {
        assert(is_within(given.user, scratch->bytes, sizeof scratch->bytes));
        assert(is_within(given.password, scratch->bytes, sizeof scratch->bytes));
        assert(given.password.size <= AUTHORIZATION_PASSWORD_BYTES_MAX);
        assert(memchr(given.password.data, '\0', given.password.size) == NULL);
    }
    if (given.kind == AUTHORIZATION_BEARER)
        assert(given.token.size > 0 && is_within(given.token, copy, size));
    check_base64(value);
    free(scratch);
    free(copy);
    return 0;
}
