#include "topology.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/checksum.h"

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

static enum error_code read_topology(FILE *file, const char *path, struct topology *topology_out,
                                     struct error *error)
{
    char content[CONTENT_BYTES_MAX] = {0};
    size_t size = fread(content, 1, sizeof content - 1, file);
    if (ferror(file))
        return error_set_errno(error, errno == 0 ? EIO : errno, "read '%s'", path);
    return parse_content(path, content, size, topology_out, error);
}

static enum error_code sync_directory(const char *directory, struct error *error)
{
    int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0 && fsync(folder) == 0) {
        close(folder);
        return ERROR_NONE;
    }
    int problem = errno;
    if (folder >= 0)
        close(folder);
    return error_set_errno(error, problem, "sync '%s'", directory);
}

static enum error_code write_topology(const char *directory, const char *path,
                                      const struct topology *wanted, struct error *error)
{
    char temporary[PATH_BYTES_MAX + 4], content[CONTENT_BYTES_MAX];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *file = fopen(temporary, "we");
    if (file == NULL)
        return error_set_errno(error, errno, "create '%s'", temporary);
    size_t size = format_content(wanted, content);
    errno = 0;
    bool failed =
        fwrite(content, 1, size, file) != size || fflush(file) != 0 || fsync(fileno(file)) != 0;
    int problem = errno;
    if (fclose(file) != 0 || failed)
        return error_set_errno(error, problem == 0 ? EIO : problem, "write '%s'", temporary);
    if (rename(temporary, path) != 0)
        return error_set_errno(error, errno, "rename '%s'", temporary);
    return sync_directory(directory, error);
}

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
    FILE *file = fopen(path, "re");
    if (file == NULL && errno != ENOENT)
        return error_set_errno(error, errno, "open '%s'", path);
    if (file == NULL && holds_data(directory))
        return error_set(error, ERROR_CORRUPT,
                         "'%s' is missing, which says how the data is divided: restore it from a "
                         "copy of the data directory",
                         path);
    if (file == NULL) {
        *topology_out = *wanted;
        return write_topology(directory, path, wanted, error);
    }
    enum error_code code = read_topology(file, path, topology_out, error);
    fclose(file);
    return code;
}
