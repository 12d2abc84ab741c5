/* snappy_elements - decoding of snappy's block format. Private to wire. */
#ifndef WIRE_SNAPPY_ELEMENTS_H
#define WIRE_SNAPPY_ELEMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Decode the elements, which follow the length in front of a block, to exactly `target_size`
 * bytes. False: they are malformed, or give more or less.
 */
bool snappy_elements_decode(const uint8_t *elements, size_t elements_size, uint8_t *target,
                            size_t target_size);

#endif
