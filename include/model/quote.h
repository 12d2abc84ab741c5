/*
 * quote - strings as PromQL and Prometheus' messages write them: in double quotes, with Go's
 * escapes (\" \\ \n \x7f ...). Bytes that are not UTF-8 become \xNN, so any text survives a
 * round trip through the PromQL parser.
 */
#ifndef MODEL_QUOTE_H
#define MODEL_QUOTE_H

#include "base/bytes.h"
#include "base/text.h"

/* Append `value` in quotes; the buffer's `failed` tells when memory is out. */
void text_append_quoted(struct byte_buffer *buffer, struct text value);

#endif
