/*
 * commands - the operator's commands that need no running node. Each returns the exit status.
 */
#ifndef SERVER_COMMANDS_H
#define SERVER_COMMANDS_H

int command_check_web_config(const char *path);
int command_block_inspect(const char *path);
int command_block_verify(const char *path);

#endif
