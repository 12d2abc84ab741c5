/*
 * text - a view of characters that somebody else owns, and reading numbers from it.
 *
 * A text is not NUL-terminated unless a function says so.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

struct text {
    const char *data; /* [size], may be NULL when size is 0 */
    size_t size;
};

/* A text of a string literal. */
#define TEXT(literal) ((struct text){.data = (literal), .size = sizeof(literal) - 1})

/* For printf's "%.*s". */
#define TEXT_ARGUMENTS(view) (int)(view).size, (view).data

static inline struct text text_of(const char *string)
{
    return (struct text){.data = string, .size = string == NULL ? 0 : strlen(string)};
}

static inline bool text_equal(struct text left, struct text right)
{
    return left.size == right.size &&
           (left.size == 0 || memcmp(left.data, right.data, left.size) == 0);
}

/* Byte order, the shorter first when one is a prefix of the other. */
int text_compare(struct text left, struct text right);

bool text_equal_ignoring_case(struct text left, struct text right); /* ASCII only */
bool text_starts_with(struct text whole, struct text prefix);
bool text_ends_with(struct text whole, struct text suffix);

/* Without ASCII white space at both ends. */
struct text text_trim(struct text whole);

/* Cut at the first `separator`: *head_out is what is before it and *rest_out what is after;
 * false, and the whole as head, when there is none. */
bool text_split(struct text whole, char separator, struct text *head_out, struct text *rest_out);

/* Well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). */
bool text_is_utf8(struct text whole);

/* The whole text as a decimal number; false on anything else or overflow. */
bool text_to_uint64(struct text whole, uint64_t *value_out);
bool text_to_int64(struct text whole, int64_t *value_out);

/* The whole text as a floating-point number in Prometheus' forms: decimal, exponent,
 * hexadecimal, Inf, NaN in any case, with sign. Correctly rounded. */
bool text_to_double(struct text whole, double *value_out);

/*
 * A duration in Prometheus' notation, "1d12h30m", "500ms", "0", units y w d h m s ms, each at
 * most once and in falling order. In milliseconds. Errors: INVALID.
 */
enum error_code text_to_duration_ms(struct text whole, int64_t *duration_ms_out,
                                    struct error *error);

/* A size such as "512MiB", "8KiB", "1GiB", "100MB", "4096". Errors: INVALID. */
enum error_code text_to_size_bytes(struct text whole, uint64_t *size_bytes_out,
                                   struct error *error);

#endif
