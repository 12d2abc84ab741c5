#include "scratch_directory.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

void scratch_directory_make(struct scratch_directory *directory)
{
    const char *parent = getenv("TMPDIR");
    snprintf(directory->path, sizeof directory->path, "%s/gnomon-test-XXXXXX",
             parent == NULL || parent[0] == '\0' ? "/tmp" : parent);
    if (mkdtemp(directory->path) == NULL) {
        perror(directory->path);
        abort();
    }
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *position)
{
    (void)status;
    (void)type;
    (void)position;
    return remove(path);
}

void scratch_directory_remove(struct scratch_directory *directory)
{
    nftw(directory->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
