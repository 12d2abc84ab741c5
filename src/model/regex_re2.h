/*
 * regex_re2 - RE2 behind three C functions.
 *
 * Go's syntax as Prometheus compiles it: the whole value must match and `.` takes a newline.
 * Compiled expressions may be used by any number of threads.
 */
#ifndef MODEL_REGEX_RE2_H
#define MODEL_REGEX_RE2_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "base/error.h"

struct regex_re2;

/*
 * `expression` [size] is copied. Errors: INVALID with Go's wording, LIMIT (the program would
 * take more than a few MiB), OUT_OF_MEMORY.
 */
enum error_code regex_re2_create(const char *expression, size_t size, struct regex_re2 **regex_out,
                                 struct error *error);
void regex_re2_destroy(struct regex_re2 *regex);

bool regex_re2_matches(const struct regex_re2 *regex, const char *value, size_t size);

#ifdef __cplusplus
}
#endif

#endif
