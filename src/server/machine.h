/*
 * machine - what this process may use: processors and memory, of the cgroup or the machine.
 */
#ifndef SERVER_MACHINE_H
#define SERVER_MACHINE_H

#include <stddef.h>
#include <stdint.h>

size_t machine_processors(void);     /* at least 1 */
uint64_t machine_memory_bytes(void); /* the limit of the cgroup, or what is installed */
/* Lets the process open as many files as it may be allowed to; returns how many that are. */
uint64_t machine_raise_open_files(void);
uint64_t process_resident_bytes(void); /* now */
double process_cpu_seconds(void);
uint64_t process_open_files(void);

#endif
