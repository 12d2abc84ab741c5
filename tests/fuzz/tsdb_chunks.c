/*
 * Any bytes as a file of chunks: the first four name a place in it, the checksum there is put
 * right. What is found is within the file.
 */
#include <stdlib.h>

#include "base/checksum.h"
#include "big_endian.h"
#include "chunk_files.h"
#include "index_format.h"
#include "tsdb_memory_folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void mend(uint8_t *bytes, size_t size, size_t at)
{
    if (at >= size)
        return;
    struct byte_reader reader = byte_reader_over(bytes + at, size - at);
    uint64_t length = byte_reader_varint(&reader);
    size_t start = (size_t)(reader.position - bytes), left = byte_reader_left(&reader);
    if (reader.failed || left < 5 || length > left - 5)
        return;
    store_u32(bytes + start + 1 + length,
              __builtin_bswap32(crc32c(0, bytes + start, 1 + (size_t)length)));
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    enum { PLACE_BYTES = 4 };
    struct memory_folder folder;
    struct stored_chunk chunk;
    struct error error;
    if (size < PLACE_BYTES)
        return 0;
    uint32_t place = load_big_u32(input);
    size -= PLACE_BYTES;
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL)
        abort();
    memcpy(bytes, input + PLACE_BYTES, size);
    mend(bytes, size, place);
    memory_folder_init(&folder, bytes, size);
    struct chunk_files files = {.folder = &folder.base, .block = ""};
    for (int i = 0; i < 2; i++) { /* the second time with the file open */
        if (chunk_files_read(&files, place, &chunk, &error) != ERROR_NONE)
            continue;
        uint8_t sum = 0;
        for (size_t b = 0; b < chunk.size; b++)
            sum ^= chunk.bytes[b];
        if (chunk.size > size || (sum == 0x5a && chunk.encoding > UINT8_MAX))
            abort();
    }
    chunk_files_clear(&files);
    free(bytes);
    return 0;
}
