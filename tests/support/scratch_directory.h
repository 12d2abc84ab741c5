/*
 * scratch_directory - a directory of its own for a test, removed with all that is in it.
 */
#ifndef SCRATCH_DIRECTORY_H
#define SCRATCH_DIRECTORY_H

enum { SCRATCH_PATH_MAX = 256 };

struct scratch_directory {
    char path[SCRATCH_PATH_MAX];
};

/* Below $TMPDIR or /tmp. Fails the test on an error. */
void scratch_directory_make(struct scratch_directory *directory);
void scratch_directory_remove(struct scratch_directory *directory);

#endif
