#include "topology.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/checksum.h"

#include "stored_file.h"

enum { CONTENT_BYTES_MAX = 128, PATH_BYTES_MAX = 4096, SHARDS_MAX = 4096 };

/* --- Content ---------------------------------------------------------------------------------- */

/* The whole file; its last line is the checksum of those before. */
static size_t format_content(const struct topology *topology, char content[CONTENT_BYTES_MAX])
{
    int size = snprintf(content, CONTENT_BYTES_MAX, "shards %u\nspread %u\n", topology->shard_count,
                        topology->spread);
    uint32_t checksum = crc32c(0, content, (size_t)size);
    size += snprintf(content + size, CONTENT_BYTES_MAX - (size_t)size, "checksum %08x\n", checksum);
    return (size_t)size;
}

/* Only what would be written is taken. */
static enum error_code parse_content(const char *path, const char *content, size_t size,
                                     struct topology *topology_out, struct error *error)
{
    struct topology topology;
    char expected[CONTENT_BYTES_MAX];
    if (sscanf(content, "shards %u\nspread %u\n", &topology.shard_count, &topology.spread) == 2 &&
        topology.shard_count > 0 && topology.shard_count <= SHARDS_MAX && topology.spread > 0 &&
        format_content(&topology, expected) == size && memcmp(content, expected, size) == 0) {
        *topology_out = topology;
        return ERROR_NONE;
    }
    return error_set(error, ERROR_CORRUPT,
                     "'%s' is not as it was written: restore it from a copy of the data directory",
                     path);
}

/* --- Files ------------------------------------------------------------------------------------ */

/* Whether anything was stored: the file was there then, and what it said is not known. */
static bool holds_data(const char *directory)
{
    char path[PATH_BYTES_MAX];
    snprintf(path, sizeof path, "%s/journal", directory);
    return access(path, F_OK) == 0;
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code topology_open(const char *directory, const struct topology *wanted,
                              struct topology *topology_out, struct error *error)
{
    char path[PATH_BYTES_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/topology", directory) >= sizeof path)
        return error_set(error, ERROR_INVALID, "the path of the data directory is too long");
    struct byte_buffer content = {0};
    enum error_code code = stored_file_read(directory, "topology", &content, error);
    byte_buffer_u8(&content, 0); /* for sscanf */
    if (code == ERROR_NONE && content.failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "'%s'", path);
    if (code == ERROR_NONE)
        code =
            parse_content(path, (const char *)content.bytes, content.size - 1, topology_out, error);
    byte_buffer_clear(&content);
    if (code != ERROR_NOT_FOUND)
        return code;
    error_clear(error); /* some look at it, whatever is returned */
    if (holds_data(directory))
        return error_set(error, ERROR_CORRUPT,
                         "'%s' is missing, which says how the data is divided: restore it from a "
                         "copy of the data directory",
                         path);
    char first[CONTENT_BYTES_MAX];
    *topology_out = *wanted;
    return stored_file_write(directory, "topology", first, format_content(wanted, first), error);
}
