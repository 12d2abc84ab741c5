/* The Histogram of prompb/types.proto, which is that of remote write 2.0 as well. */
#ifndef WIRE_HISTOGRAM_MESSAGE_H
#define WIRE_HISTOGRAM_MESSAGE_H

#include "base/bytes.h"
#include "model/sample.h"

/* Append its fields; `part` is memory for it. */
void histogram_put_message(struct byte_buffer *message, struct byte_buffer *part,
                           int64_t timestamp_ms, const struct histogram *histogram);

#endif
