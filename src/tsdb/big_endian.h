/* Numbers of Prometheus' files: the highest byte first. */
#ifndef TSDB_BIG_ENDIAN_H
#define TSDB_BIG_ENDIAN_H

#include "base/bytes.h"

static inline uint32_t load_big_u32(const uint8_t *bytes)
{
    return __builtin_bswap32(load_u32(bytes));
}

static inline uint64_t load_big_u64(const uint8_t *bytes)
{
    return __builtin_bswap64(load_u64(bytes));
}

static inline uint32_t byte_reader_big_u32(struct byte_reader *reader)
{
    return __builtin_bswap32(byte_reader_u32(reader));
}

static inline void byte_buffer_big_u32(struct byte_buffer *buffer, uint32_t value)
{
    byte_buffer_u32(buffer, __builtin_bswap32(value));
}

static inline void byte_buffer_big_u64(struct byte_buffer *buffer, uint64_t value)
{
    byte_buffer_u64(buffer, __builtin_bswap64(value));
}

#endif
