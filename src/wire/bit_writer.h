/*
 * bit_writer - bits, the highest first, as Prometheus' chunks have them.
 *
 * Complete bytes go to the buffer; bit_writer_end pads the last one with zeroes.
 */
#ifndef WIRE_BIT_WRITER_H
#define WIRE_BIT_WRITER_H

#include <stdint.h>

#include "base/bytes.h"

struct bit_writer {
    struct byte_buffer *buffer;
    uint8_t open;        /* bits of the byte that is not complete, from the top */
    unsigned open_count; /* < 8 */
};

/* The lowest `count` bits of `value`, count <= 64. */
static inline void bit_writer_put(struct bit_writer *writer, uint64_t value, unsigned count)
{
    while (count > 0) {
        unsigned room = 8 - writer->open_count;
        unsigned taken = count < room ? count : room;
        uint8_t bits = (uint8_t)(value >> (count - taken) & ((1u << taken) - 1));
        writer->open |= (uint8_t)(bits << (room - taken));
        writer->open_count += taken;
        count -= taken;
        if (writer->open_count == 8) {
            byte_buffer_u8(writer->buffer, writer->open);
            writer->open = 0;
            writer->open_count = 0;
        }
    }
}

static inline void bit_writer_end(struct bit_writer *writer)
{
    if (writer->open_count > 0)
        byte_buffer_u8(writer->buffer, writer->open);
    writer->open = 0;
    writer->open_count = 0;
}

#endif
