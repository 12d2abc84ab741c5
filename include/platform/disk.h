/*
 * disk - files below one data directory, a seam for the simulation.
 *
 * Paths are relative to the root of the disk, "/" between parts, at most DISK_PATH_MAX bytes.
 * There are two faces of it:
 *
 * - Blocking calls, for workers and for start-up. Never on a loop that serves.
 * - Asynchronous reads and writes of open files, for loops: io_uring, or a thread that calls
 *   pwritev2 where io_uring is forbidden. Requests are the caller's and stay in place until
 *   `done`, which runs on the loop and never inside the call.
 *
 * What was written is durable after `sync` (or a DISK_WRITE_DURABLE write) of the file; a name is
 * durable after `sync_directory` of the folder it is in. A crash loses or tears anything else.
 * Production is platform/disk_uring.h, the simulation tests/support/simulated_disk.h.
 */
#ifndef PLATFORM_DISK_H
#define PLATFORM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { DISK_PATH_MAX = 240, DISK_SECTOR_BYTES = 4096 };

struct disk;
struct file; /* open file; owned by who opened it */

enum disk_open_mode {
    DISK_OPEN_READ,       /* must exist */
    DISK_OPEN_READ_WRITE, /* must exist */
    DISK_OPEN_CREATE,     /* read-write; must not exist */
    DISK_OPEN_REPLACE,    /* read-write; emptied when it exists, created when not */
    /* Read-write, must exist, past the page cache where the file system can: for logs. Offset,
     * size and address of every request are multiples of DISK_SECTOR_BYTES. */
    DISK_OPEN_DIRECT,
};

enum disk_write_mode {
    DISK_WRITE_PLAIN,
    DISK_WRITE_DURABLE, /* on stable storage before `done` */
};

struct disk_vector {
    const uint8_t *bytes;
    size_t size;
};

struct disk_write {
    struct file *file;
    uint64_t offset_bytes;
    const struct disk_vector *vectors; /* [vector_count], stable until `done`, with their bytes */
    size_t vector_count;
    enum disk_write_mode mode;
    /* All bytes or an error, never a part. error->code is ERROR_NONE on success. */
    void (*done)(struct disk_write *write, const struct error *error);
    void *implementation[8]; /* the disk's */
};

struct disk_read {
    struct file *file;
    uint64_t offset_bytes;
    uint8_t *target; /* [size_bytes], stable until `done` */
    size_t size_bytes;
    void (*done)(struct disk_read *read, const struct error *error);
    void *implementation[8]; /* the disk's */
};

/* One name of a folder, without the path. Return false to stop. */
typedef bool disk_list_visit(void *context, const char *name, bool is_directory);

struct disk_operations {
    enum error_code (*open)(struct disk *self, const char *path, enum disk_open_mode mode,
                            struct file **file_out, struct error *error);
    void (*close)(struct disk *self, struct file *file);
    enum error_code (*size)(struct disk *self, struct file *file, uint64_t *size_bytes_out,
                            struct error *error);
    enum error_code (*read_at)(struct disk *self, struct file *file, uint64_t offset_bytes,
                               uint8_t *target, size_t size_bytes, struct error *error);
    enum error_code (*write_at)(struct disk *self, struct file *file, uint64_t offset_bytes,
                                const uint8_t *bytes, size_t size_bytes, struct error *error);
    enum error_code (*sync)(struct disk *self, struct file *file, struct error *error);
    enum error_code (*resize)(struct disk *self, struct file *file, uint64_t size_bytes,
                              struct error *error);
    enum error_code (*rename)(struct disk *self, const char *from, const char *to,
                              struct error *error);
    enum error_code (*link)(struct disk *self, const char *from, const char *to,
                            struct error *error);
    enum error_code (*remove)(struct disk *self, const char *path, struct error *error);
    enum error_code (*make_directory)(struct disk *self, const char *path, struct error *error);
    enum error_code (*remove_directory)(struct disk *self, const char *path, struct error *error);
    enum error_code (*sync_directory)(struct disk *self, const char *path, struct error *error);
    enum error_code (*list)(struct disk *self, const char *path, disk_list_visit *visit,
                            void *context, struct error *error);
    enum error_code (*free_bytes)(struct disk *self, uint64_t *free_bytes_out,
                                  uint64_t *total_bytes_out, struct error *error);
    void (*write)(struct disk *self, struct disk_write *write);
    void (*read)(struct disk *self, struct disk_read *read);
};

/* One per loop for the asynchronous face; the blocking face may be called from any thread. */
struct disk {
    const struct disk_operations *operations;
};

/* --- Blocking ------------------------------------------------------------------------------ */

/* Errors: NOT_FOUND, EXISTS, NO_SPACE, IO. */
static inline enum error_code disk_open(struct disk *self, const char *path,
                                        enum disk_open_mode mode, struct file **file_out,
                                        struct error *error)
{
    return self->operations->open(self, path, mode, file_out, error);
}

/* NULL is fine. No request may be in flight. */
static inline void disk_close(struct disk *self, struct file *file)
{
    self->operations->close(self, file);
}

static inline enum error_code disk_size(struct disk *self, struct file *file,
                                        uint64_t *size_bytes_out, struct error *error)
{
    return self->operations->size(self, file, size_bytes_out, error);
}

/* All `size_bytes` or an error; the end of the file in between is CORRUPT. */
static inline enum error_code disk_read_at(struct disk *self, struct file *file,
                                           uint64_t offset_bytes, uint8_t *target,
                                           size_t size_bytes, struct error *error)
{
    return self->operations->read_at(self, file, offset_bytes, target, size_bytes, error);
}

/* All bytes or an error. Grows the file when it ends before. Not durable before disk_sync. */
static inline enum error_code disk_write_at(struct disk *self, struct file *file,
                                            uint64_t offset_bytes, const uint8_t *bytes,
                                            size_t size_bytes, struct error *error)
{
    return self->operations->write_at(self, file, offset_bytes, bytes, size_bytes, error);
}

/* An error means that the file must be thrown away: what is durable is unknown. */
static inline enum error_code disk_sync(struct disk *self, struct file *file, struct error *error)
{
    return self->operations->sync(self, file, error);
}

/* Cut, or extend with allocated zeroes (so that later writes in there cannot fail for space).
 * Errors: NO_SPACE, IO. */
static inline enum error_code disk_resize(struct disk *self, struct file *file, uint64_t size_bytes,
                                          struct error *error)
{
    return self->operations->resize(self, file, size_bytes, error);
}

/* Atomic; replaces `to`. */
static inline enum error_code disk_rename(struct disk *self, const char *from, const char *to,
                                          struct error *error)
{
    return self->operations->rename(self, from, to, error);
}

/* A second name for the same file, which stays when the first goes; `to` must not exist. Durable
 * with its directory, as a name made otherwise. */
static inline enum error_code disk_link(struct disk *self, const char *from, const char *to,
                                        struct error *error)
{
    return self->operations->link(self, from, to, error);
}

/* An open file stays readable. */
static inline enum error_code disk_remove(struct disk *self, const char *path, struct error *error)
{
    return self->operations->remove(self, path, error);
}

/* With missing parents; success when it is there. Makes the new names durable. */
static inline enum error_code disk_make_directory(struct disk *self, const char *path,
                                                  struct error *error)
{
    return self->operations->make_directory(self, path, error);
}

/* Must be empty. */
static inline enum error_code disk_remove_directory(struct disk *self, const char *path,
                                                    struct error *error)
{
    return self->operations->remove_directory(self, path, error);
}

/* "" is the root. */
static inline enum error_code disk_sync_directory(struct disk *self, const char *path,
                                                  struct error *error)
{
    return self->operations->sync_directory(self, path, error);
}

/* Every name in the folder, in byte order. "" is the root. */
static inline enum error_code disk_list(struct disk *self, const char *path, disk_list_visit *visit,
                                        void *context, struct error *error)
{
    return self->operations->list(self, path, visit, context, error);
}

static inline enum error_code disk_free_bytes(struct disk *self, uint64_t *free_bytes_out,
                                              uint64_t *total_bytes_out, struct error *error)
{
    return self->operations->free_bytes(self, free_bytes_out, total_bytes_out, error);
}

/* --- Asynchronous, on the disk's loop -------------------------------------------------------- */

static inline void disk_write(struct disk *self, struct disk_write *write)
{
    self->operations->write(self, write);
}

static inline void disk_read(struct disk *self, struct disk_read *read)
{
    self->operations->read(self, read);
}

#endif
