/*
 * tenant_command - `gnomon tenant …`: a tenant's deletion, over the HTTP API of a node.
 */
#ifndef CLI_TENANT_COMMAND_H
#define CLI_TENANT_COMMAND_H

/* The arguments behind "tenant". Returns the exit code: 0, 1 (it failed; said on stderr), 2 (it is
 * not used so). */
int tenant_command(int count, char **arguments);

#endif
