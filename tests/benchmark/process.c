#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t written_bytes(int id)
{
    char path[64], line[128];
    unsigned long long value = 0;
    snprintf(path, sizeof path, "/proc/%d/io", id);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0; /* not ours to read: counted as nothing */
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "write_bytes: %llu", &value) == 1)
            break;
    fclose(file);
    return value;
}

static void add_children(int id, struct process_usage *usage)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", id);
    DIR *tasks = opendir(path);
    if (tasks == NULL)
        return;
    struct dirent *task;
    while ((task = readdir(tasks)) != NULL) {
        char children[384];
        int child;
        if (task->d_name[0] == '.')
            continue;
        snprintf(children, sizeof children, "/proc/%d/task/%s/children", id, task->d_name);
        FILE *file = fopen(children, "r");
        if (file == NULL)
            continue;
        while (fscanf(file, "%d", &child) == 1) {
            struct process_usage below;
            struct error ignored; /* a child may end at any time */
            if (process_tree_usage(child, &below, &ignored) == ERROR_NONE) {
                usage->cpu_seconds += below.cpu_seconds;
                usage->written_bytes += below.written_bytes;
            }
        }
        fclose(file);
    }
    closedir(tasks);
}

enum error_code process_tree_usage(int id, struct process_usage *usage_out, struct error *error)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(id, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return error_set(error, ERROR_IO, "process %d: %s", id, strerror(errno));
    struct process_usage usage = {.cpu_seconds = (double)used.tv_sec + (double)used.tv_nsec / 1e9,
                                  .written_bytes = written_bytes(id)};
    add_children(id, &usage);
    *usage_out = usage;
    return ERROR_NONE;
}
