#include "front_coding.h"

static size_t common_prefix(const uint8_t *left, size_t left_size, const uint8_t *right,
                            size_t right_size)
{
    size_t size = left_size < right_size ? left_size : right_size;
    size_t common = 0;
    while (common < size && left[common] == right[common])
        common++;
    return common;
}

void front_coding_append(struct byte_buffer *target, struct byte_buffer *previous, struct text key)
{
    const uint8_t *bytes = (const uint8_t *)key.data;
    size_t shared = common_prefix(previous->bytes, previous->size, bytes, key.size);
    byte_buffer_varint(target, shared);
    byte_buffer_varint(target, key.size - shared);
    byte_buffer_append(target, bytes + shared, key.size - shared);
    previous->size = shared;
    byte_buffer_append(previous, bytes + shared, key.size - shared);
    target->failed = target->failed || previous->failed;
}

bool front_coding_read(struct byte_reader *reader, struct byte_buffer *key)
{
    uint64_t shared = byte_reader_varint(reader);
    uint64_t size = byte_reader_varint(reader);
    if (reader->failed || shared > key->size || size > KEY_BYTES_MAX - shared)
        return false;
    const uint8_t *bytes = byte_reader_take(reader, size);
    if (bytes == NULL)
        return false;
    key->size = shared;
    byte_buffer_append(key, bytes, size);
    return !key->failed;
}

bool front_search_next(struct front_search *search, struct byte_reader *reader)
{
    uint64_t shared = byte_reader_varint(reader);
    struct text rest = byte_reader_text(reader);
    if (reader->failed)
        return false;
    /* Sharing more with the key before than `wanted` does, it differs from `wanted` where that
     * one did; sharing less, it has a larger byte where that one agreed. */
    if (shared > search->common) {
        search->equal = false;
        return true;
    }
    if (shared < search->common)
        return false;
    const uint8_t *wanted = (const uint8_t *)search->wanted.data + shared;
    size_t wanted_size = search->wanted.size - shared;
    size_t common = common_prefix((const uint8_t *)rest.data, rest.size, wanted, wanted_size);
    bool is_prefix = common == rest.size;
    if (!is_prefix && (common == wanted_size || (uint8_t)rest.data[common] > wanted[common]))
        return false;
    search->common = shared + common;
    search->equal = is_prefix && common == wanted_size;
    return true;
}
