/*
 * raft_memory - what libraft allocates.
 */
#ifndef GROUP_RAFT_MEMORY_H
#define GROUP_RAFT_MEMORY_H

/*
 * Make libraft's allocations end the process when memory is out: its clean-up paths after a
 * failed allocation lose entries that are already on the disk or counted (rule 8). Payloads,
 * which are the large ones, are allocated before consensus sees them and may fail. For the whole
 * process; any thread, any number of times.
 */
void raft_memory_install(void);

#endif
