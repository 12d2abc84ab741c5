/* What both answers of remote read share. */
#ifndef WIRE_REMOTE_READ_PRIVATE_H
#define WIRE_REMOTE_READ_PRIVATE_H

#include "base/bytes.h"
#include "model/labels.h"

/* The labels as fields of a series; `part` is used for each. */
void read_append_labels(struct labels labels, struct byte_buffer *part, struct byte_buffer *target);

#endif
