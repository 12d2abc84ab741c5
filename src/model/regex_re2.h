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

/* As regex_re2_create, for an expression whose groups are wanted. */
enum error_code regex_re2_create_capturing(const char *expression, size_t size,
                                           struct regex_re2 **regex_out, struct error *error);

/* Groups in the expression, the whole match not counted. */
size_t regex_re2_group_count(const struct regex_re2 *regex);

/* The number of a named group; -1: none. */
int regex_re2_group_number(const struct regex_re2 *regex, const char *name, size_t size);

struct regex_capture {
    const char *start; /* in the value; a group that took no part is empty */
    size_t size;
};

/* The whole match and `count` - 1 groups; false when the value does not match. */
bool regex_re2_capture(const struct regex_re2 *regex, const char *value, size_t size,
                       struct regex_capture *captures, size_t count);

#ifdef __cplusplus
}
#endif

#endif
