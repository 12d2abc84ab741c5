/*
 * block_command - `gnomon block import` and `gnomon block export`: blocks of Prometheus into a
 * running node, and out of it, over its HTTP API.
 */
#ifndef CLI_BLOCK_COMMAND_H
#define CLI_BLOCK_COMMAND_H

/* Each with the arguments behind its name. Returns the exit code: 0, 1 (it failed, or something
 * was refused; said on stderr), 2 (it is not used so). */
int block_import_command(int count, char **arguments);
int block_export_command(int count, char **arguments);

#endif
