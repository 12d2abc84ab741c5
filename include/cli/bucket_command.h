/*
 * bucket_command - `gnomon bucket check`: whether the object store of the settings can be used.
 */
#ifndef CLI_BUCKET_COMMAND_H
#define CLI_BUCKET_COMMAND_H

#include <stdio.h>

struct object_store_options;

/*
 * Probes the store (object/object_store_probe.h), for a minute at most, and prints a line for each
 * step and what is wrong to `output`. Returns the exit code: 0, or 1 (no store is set, or it does
 * not work).
 */
int bucket_check(const struct object_store_options *options, FILE *output);

#endif
