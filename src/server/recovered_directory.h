/*
 * recovered_directory - a data directory out of the bucket: that of a node alone, or of the only
 * member of a cluster that others will join (docs/decisions/0071).
 *
 *   empty -> "recovering" written -> shards, log, topology or identity -> "recovering" removed
 *
 * A directory that has that file is not whole: `gnomon serve` refuses it, and another recovery
 * begins anew in it. Blocking.
 */
#ifndef SERVER_RECOVERED_DIRECTORY_H
#define SERVER_RECOVERED_DIRECTORY_H

#include <stdbool.h>
#include <stdio.h>

#include "revival/revival.h"
#include "settings.h"

struct recovered_directory;

/*
 * Lock the directory of the settings, which is made if need be, and who it is going to be.
 *
 * Errors: CONFLICT (it holds data, or a process has it), INVALID (settings of the cluster), IO,
 * NO_SPACE, OUT_OF_MEMORY.
 */
enum error_code recovered_directory_open(const struct settings *settings,
                                         struct recovered_directory **directory_out,
                                         struct error *error);
void recovered_directory_close(struct recovered_directory *directory); /* NULL is fine */

/* The owner of the bucket that it will be: id of the cluster, or of the directory. */
const uint8_t *recovered_directory_owner(const struct recovered_directory *directory);

/* Mark it as begun, and remove what a recovery that was broken off has left. Errors: IO, NO_SPACE.
 */
enum error_code recovered_directory_begin(struct recovered_directory *directory,
                                          struct error *error);

/* All of it, from a survey that was divided; says on `output` what it does. Errors: those of
 * revival_make_shard; LIMIT (a state too large for the log), INVALID. */
enum error_code recovered_directory_fill(struct recovered_directory *directory,
                                         const struct revival_survey *survey,
                                         enum revival_blocks blocks, FILE *output,
                                         struct error *error);

/* For the start of a node: whether it may begin in this directory. Errors: CONFLICT. */
enum error_code recovered_directory_check(const char *path, struct error *error);

#endif
