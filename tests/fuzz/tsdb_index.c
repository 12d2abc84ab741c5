/*
 * Any bytes as the index of a block. Its checksums are put right first, or else none but the corpus
 * would be looked into: those of the contents, of the symbols, of each series as it is reached, of
 * the list of all.
 */
#include <stdlib.h>

#include "base/checksum.h"
#include "big_endian.h"
#include "index_format.h"
#include "index_reader.h"
#include "tsdb_memory_folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void store_checksum(uint8_t *bytes, size_t start, size_t end)
{
    store_u32(bytes + end, __builtin_bswap32(crc32c(0, bytes + start, end - start)));
}

static void mend_series(uint8_t *bytes, size_t size, uint64_t at, unsigned version)
{
    enum { SERIES_MAX = 1000 };
    for (size_t count = 0; count < SERIES_MAX && at < size; count++) {
        if (version > 1)
            at =
                (at + INDEX_SERIES_ALIGNMENT - 1) / INDEX_SERIES_ALIGNMENT * INDEX_SERIES_ALIGNMENT;
        if (at >= size)
            return;
        if (bytes[at] == 0) {
            at++;
            continue;
        }
        struct byte_reader reader = byte_reader_over(bytes + at, size - (size_t)at);
        uint64_t length = byte_reader_varint(&reader);
        if (reader.failed || length > byte_reader_left(&reader) ||
            byte_reader_left(&reader) - length < INDEX_CHECKSUM_BYTES)
            return;
        size_t start = (size_t)(reader.position - bytes);
        store_checksum(bytes, start, start + (size_t)length);
        at = start + length + INDEX_CHECKSUM_BYTES;
    }
}

/* The list of all series, which the first entry of the table of postings names. */
static void mend_list(uint8_t *bytes, size_t size, uint64_t table)
{
    enum { HEAD_BYTES = 8 + 3 };
    if (table > size || size - table < HEAD_BYTES)
        return;
    struct byte_reader entry =
        byte_reader_over(bytes + table + HEAD_BYTES, size - (size_t)table - HEAD_BYTES);
    uint64_t list = byte_reader_varint(&entry);
    if (entry.failed || list > size || size - list < 8)
        return;
    uint64_t length = load_big_u32(bytes + list);
    if (length <= size - list - 8)
        store_checksum(bytes, (size_t)list + 4, (size_t)(list + 4 + length));
}

static void mend(uint8_t *bytes, size_t size)
{
    if (size < INDEX_HEAD_BYTES + INDEX_CONTENTS_BYTES)
        return;
    size_t contents = size - INDEX_CONTENTS_BYTES;
    uint64_t symbols = load_big_u64(bytes + contents + 8 * INDEX_SYMBOLS);
    if (symbols <= contents && contents - symbols >= 8) {
        uint64_t length = load_big_u32(bytes + symbols);
        if (length <= contents - symbols - 8)
            store_checksum(bytes, (size_t)symbols + 4, (size_t)(symbols + 4 + length));
    }
    mend_series(bytes, contents, load_big_u64(bytes + contents + 8 * INDEX_SERIES),
                bytes[INDEX_MAGIC_BYTES]);
    mend_list(bytes, contents, load_big_u64(bytes + contents + 8 * INDEX_POSTINGS_OFFSETS));
    store_checksum(bytes, contents, size - INDEX_CHECKSUM_BYTES);
}

static void read_all(struct index_reader *reader, struct arena *arena)
{
    struct index_series series;
    struct error error;
    for (bool found = true; found;) {
        arena_reset(arena);
        if (index_reader_next(reader, arena, &series, &found, &error) != ERROR_NONE)
            return;
        for (size_t i = 0; found && i < series.chunk_count; i++)
            if (series.chunks[i].end_ms < series.chunks[i].start_ms)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct memory_folder folder;
    struct index_reader *reader;
    struct error error;
    uint8_t *bytes = malloc(size + 1);
    struct arena *arena = arena_create(64 * 1024 * 1024);
    if (bytes == NULL || arena == NULL)
        abort();
    if (size > 0)
        memcpy(bytes, input, size);
    mend(bytes, size);
    memory_folder_init(&folder, bytes, size);
    if (index_reader_open(&folder.base, "index", &reader, &error) == ERROR_NONE) {
        read_all(reader, arena);
        index_reader_close(reader);
    }
    arena_destroy(arena);
    free(bytes);
    return 0;
}
