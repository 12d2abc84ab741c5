#include "segment.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void archive_unref(struct archive *archive)
{
    if (archive == NULL || atomic_fetch_sub(&archive->references, 1) > 1)
        return;
    for (size_t i = 0; i < archive->count; i++)
        free(archive->segments[i]);
    free(archive->segments);
    free(archive);
}

void lane_path(char path[DISK_PATH_MAX + 1], const char *directory, uint32_t lane)
{
    int size = snprintf(path, DISK_PATH_MAX + 1, "%s/%" PRIu32, directory, lane);
    assert(size > 0 && size <= DISK_PATH_MAX);
}

void segment_path(char path[DISK_PATH_MAX + 1], const char *directory, uint32_t lane,
                  uint64_t sequence, enum segment_name name)
{
    static const char *const SUFFIXES[] = {"segment", "spare", "damaged"};
    int size = snprintf(path, DISK_PATH_MAX + 1, "%s/%" PRIu32 "/%016" PRIx64 ".%s", directory,
                        lane, sequence, SUFFIXES[name]);
    assert(size > 0 && size <= DISK_PATH_MAX);
}
