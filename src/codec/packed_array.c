#include "packed_array.h"

#include <assert.h>

#include "kernels.h"

unsigned packed_width_bits(const uint64_t *values, size_t count)
{
    uint64_t all = 0;
    for (size_t i = 0; i < count; i++)
        all |= values[i];
    return all == 0 ? 0 : 64 - (unsigned)__builtin_clzll(all);
}

uint8_t *packed_encode(const uint64_t *values, size_t count, unsigned width_bits, uint8_t *target)
{
    assert(width_bits <= 64);
    return codec_kernels()->pack(values, count, width_bits, target);
}

void packed_decode(struct byte_reader *reader, size_t count, unsigned width_bits,
                   uint64_t *values_out)
{
    if (width_bits > 64 || count > SIZE_MAX / 64) {
        reader->failed = true;
        return;
    }
    const uint8_t *bytes = byte_reader_take(reader, packed_size_bytes(count, width_bits));
    if (bytes != NULL)
        codec_kernels()->unpack(bytes, reader->end, count, width_bits, values_out);
}
