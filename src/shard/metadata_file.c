#include "shard/metadata_file.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/checksum.h"

#include "metadata_store.h"

enum { CHECKSUM_BYTES = 4 };

static enum error_code decode(const uint8_t *bytes, size_t size, struct metadata_store *store,
                              struct error *error)
{
    if (size < CHECKSUM_BYTES ||
        crc32c(0, bytes + CHECKSUM_BYTES, size - CHECKSUM_BYTES) != load_u32(bytes))
        return error_set(error, ERROR_CORRUPT, "checksum of the metadata file");
    struct byte_reader reader = byte_reader_over(bytes + CHECKSUM_BYTES, size - CHECKSUM_BYTES);
    return metadata_store_decode(store, &reader, error);
}

enum error_code metadata_file_read(struct disk *disk, const char *path,
                                   struct metadata_store *store, struct error *error)
{
    struct file *file = NULL;
    uint8_t *bytes = NULL;
    uint64_t size = 0;
    enum error_code code = disk_open(disk, path, DISK_OPEN_READ, &file, error);
    if (code == ERROR_NONE)
        code = disk_size(disk, file, &size, error);
    if (code == ERROR_NONE && (bytes = malloc(size + 1)) == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "metadata file");
    if (code == ERROR_NONE)
        code = disk_read_at(disk, file, 0, bytes, size, error);
    if (code == ERROR_NONE)
        code = decode(bytes, size, store, error);
    free(bytes);
    disk_close(disk, file);
    return code == ERROR_NONE ? code : error_wrap(error, "'%s'", path);
}

enum error_code metadata_file_verify(struct disk *disk, const char *path, size_t *count_out,
                                     struct error *error)
{
    struct metadata_store *store = metadata_store_create(SIZE_MAX);
    if (store == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "metadata file");
    enum error_code code = metadata_file_read(disk, path, store, error);
    if (code == ERROR_NONE)
        *count_out = metadata_store_count(store);
    metadata_store_destroy(store);
    return code;
}
