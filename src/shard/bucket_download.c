#include "shard/bucket_download.h"

#include <stdlib.h>

#include "base/hash_stream.h"
#include "platform/file_writer.h"

enum {
    PIECES_MAX = 8,
    PIECE_BYTES = 1024 * 1024,
};

struct download {
    struct object_store *store;
    const struct object_call *call;
    struct text key;
    uint64_t size_bytes;
    uint8_t *bytes; /* [PIECES_MAX * PIECE_BYTES] */
    struct hash_stream *hash;
};

/* The next pieces at once, from `offset_bytes` on. */
static enum error_code read_pieces(struct download *download, uint64_t offset_bytes,
                                   size_t *size_out, struct error *error)
{
    struct object_read reads[PIECES_MAX];
    size_t count = 0, total = 0;
    while (count < PIECES_MAX && offset_bytes + total < download->size_bytes) {
        uint64_t left = download->size_bytes - offset_bytes - total;
        struct object_read *read = &reads[count++];
        *read = (struct object_read){
            .key = download->key,
            .place = OBJECT_READ_AT,
            .offset_bytes = offset_bytes + total,
            .target = download->bytes + total,
            .size_bytes = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES,
        };
        total += read->size_bytes;
    }
    object_store_read_many(download->store, download->call, reads, count);
    for (size_t i = 0; i < count; i++) {
        if (reads[i].error.code != ERROR_NONE) {
            *error = reads[i].error;
            return error->code;
        }
        if (reads[i].read_bytes != reads[i].size_bytes ||
            reads[i].object_bytes != download->size_bytes)
            return error_set(error, ERROR_CORRUPT, "it has %llu bytes, and should have %llu",
                             (unsigned long long)reads[i].object_bytes,
                             (unsigned long long)download->size_bytes);
    }
    *size_out = total;
    return ERROR_NONE;
}

static enum error_code fetch(struct download *download, const struct hash128 *expected,
                             struct file_writer *writer, struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (uint64_t at = 0; code == ERROR_NONE && at < download->size_bytes;) {
        size_t size = 0;
        code = read_pieces(download, at, &size, error);
        if (code == ERROR_NONE)
            code = file_writer_append(writer, download->bytes, size, error);
        if (code == ERROR_NONE)
            hash_stream_add(download->hash, download->bytes, size);
        at += size;
    }
    if (code == ERROR_NONE && !hash128_equal(hash_stream_result(download->hash), *expected))
        code = error_set(error, ERROR_CORRUPT, "its bytes are not those that its name says");
    return code;
}

static enum error_code download_to(struct download *download, const struct hash128 *expected,
                                   struct disk *disk, const char *path, struct error *error)
{
    struct file_writer *writer = NULL;
    enum error_code code = file_writer_open(disk, path, FILE_WRITER_PLAIN, &writer, error);
    if (code == ERROR_NONE)
        code = fetch(download, expected, writer, error);
    if (code == ERROR_NONE)
        return file_writer_finish(writer, error);
    file_writer_abandon(writer);
    return code;
}

enum error_code bucket_download_block(struct object_store *store, const struct object_call *call,
                                      const struct bucket_block_key *key, uint64_t size_bytes,
                                      struct disk *disk, const char *path, struct error *error)
{
    char text[BUCKET_KEY_MAX];
    struct download download = {
        .store = store,
        .call = call,
        .key = bucket_block_key_format(key, text),
        .size_bytes = size_bytes,
        .bytes = malloc((size_t)PIECES_MAX * PIECE_BYTES),
        .hash = hash_stream_create(),
    };
    enum error_code code = download.bytes == NULL || download.hash == NULL
                               ? error_set(error, ERROR_OUT_OF_MEMORY, "memory is out")
                               : download_to(&download, &key->hash, disk, path, error);
    hash_stream_destroy(download.hash);
    free(download.bytes);
    return code == ERROR_NONE ? code : error_wrap(error, "fetch object '%s'", text);
}
