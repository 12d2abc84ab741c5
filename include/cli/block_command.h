/*
 * block_command - `gnomon block import` and `gnomon block export`: blocks of Prometheus into a
 * running node, and out of it, over its HTTP API.
 */
#ifndef CLI_BLOCK_COMMAND_H
#define CLI_BLOCK_COMMAND_H

#include "base/error.h"

struct object_store;

/* The store that object_store.* of a settings file names. Errors: INVALID, NOT_FOUND, IO,
 * OUT_OF_MEMORY. */
typedef enum error_code block_open_store(const char *settings_path, struct object_store **store_out,
                                         struct error *error);

/* Each with the arguments behind its name. Returns the exit code: 0, 1 (it failed, or something
 * was refused; said on stderr), 2 (it is not used so). */
int block_import_command(int count, char **arguments, block_open_store *open_store);
int block_export_command(int count, char **arguments);

#endif
