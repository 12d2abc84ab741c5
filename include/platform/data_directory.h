/*
 * data_directory - a directory that belongs to one process at a time and to one format.
 *
 * Holds two small files: `lock`, locked with flock(2) while the directory is open, and `format`,
 * a line "gnomon <version>" written when the directory is first used.
 */
#ifndef PLATFORM_DATA_DIRECTORY_H
#define PLATFORM_DATA_DIRECTORY_H

#include <stdint.h>

#include "base/error.h"

struct data_directory;

/*
 * Make `path` with missing parents, lock it and check its format.
 *
 * A fresh directory is stamped with `version`. One that holds other files but no stamp is not
 * ours and is refused. Blocking, for start-up.
 *
 * Errors: CONFLICT (another process has it), UNSUPPORTED (a newer format), INVALID (not a
 * directory of this program), CORRUPT, NO_SPACE, IO.
 */
enum error_code data_directory_open(const char *path, uint32_t version,
                                    struct data_directory **directory_out, struct error *error);

/* The version it was stamped with: at most the one it was opened with. */
uint32_t data_directory_version(const struct data_directory *directory);

/* Stamp it with a newer version, after a migration. Errors: NO_SPACE, IO. */
enum error_code data_directory_set_version(struct data_directory *directory, uint32_t version,
                                           struct error *error);

/* Unlocks. NULL is fine. */
void data_directory_close(struct data_directory *directory);

#endif
