/*
 * recover_command - `gnomon cluster recover` and `gnomon bucket list`: a cluster whose disks are
 * all lost begins anew from its bucket (docs/decisions/0071).
 */
#ifndef SERVER_RECOVER_COMMAND_H
#define SERVER_RECOVER_COMMAND_H

/* Arguments behind the command's name. Each returns the exit status. */
int recover_command(int count, char **arguments);
int bucket_list_command(int count, char **arguments);

#endif
