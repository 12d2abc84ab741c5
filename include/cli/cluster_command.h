/*
 * cluster_command - `gnomon cluster …`: what operators see and ask, over the HTTP API of a node.
 */
#ifndef CLI_CLUSTER_COMMAND_H
#define CLI_CLUSTER_COMMAND_H

/* How it is used, for --help. */
extern const char CLUSTER_COMMAND_USAGE[];

/* The arguments behind "cluster". Returns the exit code: 0, 1 (it failed; said on stderr), 2 (it is
 * not used so). */
int cluster_command(int count, char **arguments);

#endif
