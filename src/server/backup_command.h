/*
 * backup_command - `gnomon backup`, `gnomon backup list` and `gnomon restore`.
 */
#ifndef SERVER_BACKUP_COMMAND_H
#define SERVER_BACKUP_COMMAND_H

/* Arguments behind the words of the command. Each returns the exit code. */
int backup_command(int count, char **arguments);
int backup_list_command(int count, char **arguments);
int restore_command(int count, char **arguments);

#endif
