/*
 * machine - what this process may use: processors and memory, of the cgroup or the machine.
 */
#ifndef SERVER_MACHINE_H
#define SERVER_MACHINE_H

#include <stddef.h>
#include <stdint.h>

size_t machine_processors(void);       /* at least 1 */
uint64_t machine_memory_bytes(void);   /* the limit of the cgroup, or what is installed */
uint64_t process_resident_bytes(void); /* now */
double process_cpu_seconds(void);
uint64_t process_open_files(void);

#endif
