/*
 * process - what a process and its children have used, from the kernel's counters.
 */
#ifndef BENCHMARK_PROCESS_H
#define BENCHMARK_PROCESS_H

#include <stdint.h>

#include "base/error.h"

struct process_usage {
    double cpu_seconds;     /* of all threads, ended ones too */
    uint64_t written_bytes; /* sent to the disk, by /proc/<id>/io */
};

/* Of a living process and of its living descendants. Errors: IO (no such process). */
enum error_code process_tree_usage(int id, struct process_usage *usage_out, struct error *error);

#endif
