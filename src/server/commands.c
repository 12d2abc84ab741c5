#include "commands.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block_inspect.h"
#include "platform/disk_uring.h"

/* Open the file at a path of the machine as a page source. */
static enum error_code open_path(const char *path, struct disk **disk_out,
                                 struct page_source **source_out, struct error *error)
{
    char folder[4096], file[4096];
    snprintf(folder, sizeof folder, "%s", path);
    snprintf(file, sizeof file, "%s", path);
    enum error_code code =
        disk_uring_create(dirname(folder), NULL, DISK_ENGINE_BEST, disk_out, error);
    if (code == ERROR_NONE)
        code = page_source_open_file(*disk_out, basename(file), source_out, error);
    return code;
}

static int fail(const char *path, const struct error *error)
{
    fprintf(stderr, "gnomon: %s: %s\n", path, error->message);
    return 1;
}

int command_block_inspect(const char *path)
{
    struct disk *disk = NULL;
    struct page_source *source;
    struct error error;
    enum error_code code = open_path(path, &disk, &source, &error);
    if (code == ERROR_NONE)
        code = block_inspect(source, stdout, &error);
    disk_uring_destroy(disk);
    return code == ERROR_NONE ? 0 : fail(path, &error);
}

int command_block_verify(const char *path)
{
    struct disk *disk = NULL;
    struct page_source *source;
    struct file_summary summary;
    struct error error;
    enum error_code code = open_path(path, &disk, &source, &error);
    if (code == ERROR_NONE)
        code = block_verify(source, &summary, &error);
    disk_uring_destroy(disk);
    if (code != ERROR_NONE)
        return fail(path, &error);
    printf("%s: sound, %llu series, %llu samples, %llu bytes\n", path,
           (unsigned long long)summary.series_count, (unsigned long long)summary.sample_count,
           (unsigned long long)summary.size_bytes);
    return 0;
}
