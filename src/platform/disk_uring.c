#include "platform/disk_uring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "disk_system.h"

void disk_system_write(struct disk *self, struct disk_write *write)
{
    struct disk_system *disk = (struct disk_system *)self;
    assert(disk->ring != NULL || disk->threads != NULL);
    if (disk->ring != NULL)
        disk_ring_start(disk->ring, transfer_of_write(write));
    else
        disk_threads_start(disk->threads, transfer_of_write(write));
}

void disk_system_read(struct disk *self, struct disk_read *read)
{
    struct disk_system *disk = (struct disk_system *)self;
    assert(disk->ring != NULL || disk->threads != NULL);
    if (disk->ring != NULL)
        disk_ring_start(disk->ring, transfer_of_read(read));
    else
        disk_threads_start(disk->threads, transfer_of_read(read));
}

static enum error_code engine_start(struct disk_system *disk, struct loop *loop,
                                    enum disk_engine engine, struct error *error)
{
    disk->engine = engine == DISK_ENGINE_THREADS ? DISK_ENGINE_THREADS : DISK_ENGINE_URING;
    if (loop == NULL)
        return ERROR_NONE;
    if (disk->engine == DISK_ENGINE_URING) {
        enum error_code code = disk_ring_create(loop, &disk->ring, error);
        if (code != ERROR_UNSUPPORTED || engine == DISK_ENGINE_URING)
            return code;
        disk->engine = DISK_ENGINE_THREADS;
    }
    return disk_threads_create(loop, &disk->threads, error);
}

enum error_code disk_uring_create(const char *root, struct loop *loop, enum disk_engine engine,
                                  struct disk **disk_out, struct error *error)
{
    struct disk_system *disk = calloc(1, sizeof *disk);
    if (disk == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "disk");
    disk->base.operations = &DISK_SYSTEM_OPERATIONS;
    disk->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum error_code code = disk->root < 0 ? error_set_errno(error, errno, "open '%s'", root)
                                          : engine_start(disk, loop, engine, error);
    if (code != ERROR_NONE) {
        disk_uring_destroy(&disk->base);
        return code;
    }
    *disk_out = &disk->base;
    return ERROR_NONE;
}

void disk_uring_destroy(struct disk *self)
{
    struct disk_system *disk = (struct disk_system *)self;
    if (disk == NULL)
        return;
    disk_ring_destroy(disk->ring);
    disk_threads_destroy(disk->threads);
    if (disk->root >= 0)
        close(disk->root);
    free(disk);
}

enum disk_engine disk_uring_engine(const struct disk *self)
{
    return ((const struct disk_system *)self)->engine;
}
