#include "topology.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static enum error_code read_topology(FILE *file, struct topology *topology_out, struct error *error)
{
    struct topology topology;
    if (fscanf(file, "shards %u\nspread %u\n", &topology.shard_count, &topology.spread) != 2 ||
        topology.shard_count == 0 || topology.shard_count > 4096 || topology.spread == 0)
        return error_set(error, ERROR_CORRUPT, "the file 'topology' is not as it was written");
    *topology_out = topology;
    return ERROR_NONE;
}

static enum error_code write_topology(const char *directory, const char *path,
                                      const struct topology *wanted, struct error *error)
{
    char temporary[512];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *file = fopen(temporary, "we");
    if (file == NULL)
        return error_set_errno(error, errno, "create '%s'", temporary);
    int written = fprintf(file, "shards %u\nspread %u\n", wanted->shard_count, wanted->spread);
    int failed = written < 0 || fflush(file) != 0 || fsync(fileno(file)) != 0;
    int problem = errno;
    if (fclose(file) != 0 || failed)
        return error_set_errno(error, problem == 0 ? EIO : problem, "write '%s'", temporary);
    if (rename(temporary, path) != 0)
        return error_set_errno(error, errno, "rename '%s'", temporary);
    int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || fsync(folder) != 0) {
        problem = errno;
        if (folder >= 0)
            close(folder);
        return error_set_errno(error, problem, "sync '%s'", directory);
    }
    close(folder);
    return ERROR_NONE;
}

enum error_code topology_open(const char *directory, const struct topology *wanted,
                              struct topology *topology_out, struct error *error)
{
    char path[500];
    snprintf(path, sizeof path, "%s/topology", directory);
    FILE *file = fopen(path, "re");
    if (file == NULL && errno == ENOENT) {
        *topology_out = *wanted;
        return write_topology(directory, path, wanted, error);
    }
    if (file == NULL)
        return error_set_errno(error, errno, "open '%s'", path);
    enum error_code code = read_topology(file, topology_out, error);
    fclose(file);
    return code;
}
