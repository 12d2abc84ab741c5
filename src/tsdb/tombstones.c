#include "tombstones.h"

#include <stdlib.h>

#include "base/checksum.h"
#include "big_endian.h"

enum { MAGIC_BYTES = 4, HEAD_BYTES = 5, CHECKSUM_BYTES = 4, STONE_BYTES_MIN = 3 };

static int compare(const void *left_item, const void *right_item)
{
    const struct tombstone *left = left_item, *right = right_item;
    if (left->series != right->series)
        return left->series < right->series ? -1 : 1;
    return (left->start_ms > right->start_ms) - (left->start_ms < right->start_ms);
}

static enum error_code decode_stones(struct byte_reader reader, size_t size, struct arena *arena,
                                     struct tombstones *tombstones, struct error *error)
{
    size_t capacity = byte_reader_left(&reader) / STONE_BYTES_MIN + 1;
    tombstones->stones = arena_array(arena, capacity, sizeof *tombstones->stones);
    if (tombstones->stones == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "tombstones");
    while (byte_reader_left(&reader) > 0) {
        size_t at = size - CHECKSUM_BYTES - byte_reader_left(&reader);
        struct tombstone stone;
        stone.series = byte_reader_varint(&reader);
        stone.start_ms = byte_reader_zigzag(&reader);
        stone.end_ms = byte_reader_zigzag(&reader);
        if (reader.failed)
            return error_set(error, ERROR_CORRUPT, "at %zu: that is no tombstone", at);
        tombstones->stones[tombstones->count++] = stone;
    }
    qsort(tombstones->stones, tombstones->count, sizeof *tombstones->stones, compare);
    return ERROR_NONE;
}

enum error_code tombstones_decode(const uint8_t *bytes, size_t size, struct arena *arena,
                                  struct tombstones *tombstones_out, struct error *error)
{
    struct tombstones tombstones = {0};
    if (size < HEAD_BYTES + CHECKSUM_BYTES || load_big_u32(bytes) != TOMBSTONES_MAGIC)
        return error_set(error, ERROR_CORRUPT, "at 0: that is no file of tombstones");
    if (bytes[MAGIC_BYTES] != TOMBSTONES_VERSION)
        return error_set(error, ERROR_UNSUPPORTED, "at %d: version %u of tombstones", MAGIC_BYTES,
                         bytes[MAGIC_BYTES]);
    /* The checksum is of the stones alone; the format's page does not say. */
    const uint8_t *end = bytes + size - CHECKSUM_BYTES;
    if (crc32c(0, bytes + HEAD_BYTES, size - HEAD_BYTES - CHECKSUM_BYTES) != load_big_u32(end))
        return error_set(error, ERROR_CORRUPT, "at %d: the checksum is wrong", HEAD_BYTES);
    struct byte_reader reader = {.position = bytes + HEAD_BYTES, .end = end};
    enum error_code code = decode_stones(reader, size, arena, &tombstones, error);
    if (code == ERROR_NONE)
        *tombstones_out = tombstones;
    return code;
}

const struct tombstone *tombstones_of(const struct tombstones *tombstones, uint64_t series,
                                      size_t *count_out)
{
    size_t first = 0, end = tombstones->count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (tombstones->stones[middle].series < series)
            first = middle + 1;
        else
            end = middle;
    }
    for (end = first; end < tombstones->count && tombstones->stones[end].series == series;)
        end++;
    *count_out = end - first;
    return tombstones->stones + first;
}

bool tombstones_cover(const struct tombstone *stones, size_t count, int64_t timestamp_ms)
{
    for (size_t i = 0; i < count; i++)
        if (timestamp_ms >= stones[i].start_ms && timestamp_ms <= stones[i].end_ms)
            return true;
    return false;
}

void tombstones_encode_none(struct byte_buffer *buffer)
{
    byte_buffer_big_u32(buffer, TOMBSTONES_MAGIC);
    byte_buffer_u8(buffer, TOMBSTONES_VERSION);
    byte_buffer_big_u32(buffer, 0); /* the checksum of nothing */
}
