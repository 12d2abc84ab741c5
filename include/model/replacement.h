/*
 * replacement - a regular expression with groups and a template that they are put into, as
 * label_replace and relabelling use them.
 *
 * Go's syntax, matched against the whole value. The template takes $1, ${1}, $name, ${name} and
 * $$; a group that is not there is empty. Immutable after creation; any number of threads.
 */
#ifndef MODEL_REPLACEMENT_H
#define MODEL_REPLACEMENT_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"

struct replacement;

/* Both texts are copied. Errors: INVALID (the expression), LIMIT, OUT_OF_MEMORY. */
enum error_code replacement_create(struct text expression, struct text replacement_template,
                                   struct replacement **replacement_out, struct error *error);
void replacement_destroy(struct replacement *replacement);

/* Append the template with the groups of `value` to `result`, whose `failed` tells when memory is
 * out. False, and nothing appended, when the value does not match. */
bool replacement_apply(const struct replacement *replacement, struct text value,
                       struct byte_buffer *result);

#endif
