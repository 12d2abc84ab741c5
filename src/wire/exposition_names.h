/* exposition_names - names in the four ways of writing those that are not plain identifiers. */
#ifndef WIRE_EXPOSITION_NAMES_H
#define WIRE_EXPOSITION_NAMES_H

#include "base/bytes.h"
#include "base/text.h"
#include "wire/exposition.h"

/* `name` as it is escaped, appended. */
void exposition_escape_name(enum exposition_escaping escaping, struct text name,
                            struct byte_buffer *target);

#endif
