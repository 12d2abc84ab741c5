/*
 * parameters - names and values of a query string or of an encoded form.
 *
 * As application/x-www-form-urlencoded (WHATWG URL, Go's url.ParseQuery): pairs between '&',
 * '+' is a space, %XX a byte; a pair without '=' has an empty value; ';' is refused as Go does.
 * Names may repeat (match[]); their order is kept.
 */
#ifndef HTTP_PARAMETERS_H
#define HTTP_PARAMETERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"

enum { HTTP_PARAMETERS_MAX = 10000 };

struct http_parameter {
    struct text name;
    struct text value;
};

struct http_parameters {
    const struct http_parameter *entries; /* [count] */
    size_t count;
};

/*
 * Decode `encoded`. The list and decoded texts are in `arena`; texts without escapes are views of
 * `encoded`, which must live as long. Errors: INVALID (bad escape, ';'), LIMIT, OUT_OF_MEMORY.
 */
enum error_code http_parameters_decode(struct text encoded, struct arena *arena,
                                       struct http_parameters *parameters_out, struct error *error);

/* The entries of `first`, then those of `second`. Errors: OUT_OF_MEMORY. */
enum error_code http_parameters_join(struct http_parameters first, struct http_parameters second,
                                     struct arena *arena, struct http_parameters *parameters_out,
                                     struct error *error);

/* The first value of `name`; false, and an empty text, when there is none. */
bool http_parameters_find(const struct http_parameters *parameters, struct text name,
                          struct text *value_out);

/*
 * Every value of `name`: start with *position = 0 and call until false.
 */
bool http_parameters_next(const struct http_parameters *parameters, struct text name,
                          size_t *position, struct text *value_out);

/*
 * Replace %XX by its byte; '+' stays. `encoded` itself when it has no escape, otherwise a text in
 * `arena`. Errors: INVALID, OUT_OF_MEMORY.
 */
enum error_code http_percent_decode(struct text encoded, struct arena *arena,
                                    struct text *decoded_out, struct error *error);

#endif
