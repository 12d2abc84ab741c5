/*
 * histogram_pack - one native histogram as a short row of bytes, for the head's memory only.
 *
 * Integers are varints, integer bucket counts differences to the bucket before; floats keep their
 * bits. Equal histograms have equal bytes.
 */
#ifndef HEAD_HISTOGRAM_PACK_H
#define HEAD_HISTOGRAM_PACK_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "model/sample.h"

/* Append the bytes of `histogram` (their number first) to `buffer`, whose `failed` tells. */
void histogram_pack(const struct histogram *histogram, struct byte_buffer *buffer);

/* Of packed bytes, what histogram_pack wrote in all. */
size_t histogram_packed_size(const uint8_t *packed);

/* The histogram, its arrays in the arena; NULL when memory is out. */
const struct histogram *histogram_unpack(const uint8_t *packed, struct arena *arena);

#endif
