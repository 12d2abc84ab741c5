/*
 * compression - snappy's block format, as remote write uses it.
 */
#ifndef WIRE_COMPRESSION_H
#define WIRE_COMPRESSION_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

/*
 * Uncompress into the arena. The claimed size is checked against `limit_bytes` before anything is
 * allocated. Errors: INVALID (not snappy), LIMIT, OUT_OF_MEMORY.
 */
enum error_code snappy_decode(const uint8_t *compressed, size_t compressed_size, size_t limit_bytes,
                              struct arena *arena, uint8_t **bytes_out, size_t *size_out,
                              struct error *error);

/* Compress into the arena. Errors: OUT_OF_MEMORY. */
enum error_code snappy_encode(const uint8_t *bytes, size_t size, struct arena *arena,
                              uint8_t **compressed_out, size_t *compressed_size_out,
                              struct error *error);

#endif
