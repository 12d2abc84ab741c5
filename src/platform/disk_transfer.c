#include "disk_system.h"

#include <assert.h>
#include <errno.h>

_Static_assert(sizeof(struct transfer) <= sizeof((struct disk_write *)0)->implementation,
               "a transfer fits into a request");
_Static_assert(sizeof(struct iovec) == sizeof(struct disk_vector) &&
                   offsetof(struct iovec, iov_base) == offsetof(struct disk_vector, bytes) &&
                   offsetof(struct iovec, iov_len) == offsetof(struct disk_vector, size),
               "vectors go to the kernel as they are");

enum { SYSTEM_VECTORS_MAX = 1024 }; /* IOV_MAX on Linux */

static struct disk_write *write_of(struct transfer *transfer)
{
    return (struct disk_write *)((char *)transfer - offsetof(struct disk_write, implementation));
}

static struct disk_read *read_of(struct transfer *transfer)
{
    return (struct disk_read *)((char *)transfer - offsetof(struct disk_read, implementation));
}

struct transfer *transfer_of_write(struct disk_write *write)
{
    struct transfer *transfer = (struct transfer *)write->implementation;
    *transfer = (struct transfer){.kind = TRANSFER_WRITE};
    return transfer;
}

struct transfer *transfer_of_read(struct disk_read *read)
{
    struct transfer *transfer = (struct transfer *)read->implementation;
    *transfer = (struct transfer){.kind = TRANSFER_READ};
    return transfer;
}

static size_t transfer_size(struct transfer *transfer)
{
    if (transfer->kind == TRANSFER_READ)
        return read_of(transfer)->size_bytes;
    size_t size = 0;
    const struct disk_write *write = write_of(transfer);
    for (size_t i = 0; i < write->vector_count; i++)
        size += write->vectors[i].size;
    return size;
}

void transfer_rest(struct transfer *transfer, struct transfer_rest *rest)
{
    if (transfer->kind == TRANSFER_READ) {
        struct disk_read *read = read_of(transfer);
        rest->descriptor = read->file->descriptor;
        rest->offset_bytes = read->offset_bytes + transfer->transferred;
        rest->single = (struct iovec){read->target + transfer->transferred,
                                      read->size_bytes - transfer->transferred};
        rest->vectors = &rest->single;
        rest->vector_count = 1;
        rest->flags = 0;
        return;
    }

    struct disk_write *write = write_of(transfer);
    rest->descriptor = write->file->descriptor;
    rest->offset_bytes = write->offset_bytes + transfer->transferred;
    rest->flags = write->mode == DISK_WRITE_DURABLE ? RWF_DSYNC : 0;
    size_t skip = transfer->transferred;
    size_t first = 0;
    while (first < write->vector_count && skip >= write->vectors[first].size)
        skip -= write->vectors[first++].size;
    if (skip == 0) {
        size_t count = write->vector_count - first;
        rest->vectors = (const struct iovec *)(write->vectors + first);
        rest->vector_count = count > SYSTEM_VECTORS_MAX ? SYSTEM_VECTORS_MAX : (unsigned)count;
        return;
    }
    /* A short write stopped inside a vector: finish that one first. */
    rest->single = (struct iovec){(void *)(write->vectors[first].bytes + skip),
                                  write->vectors[first].size - skip};
    rest->vectors = &rest->single;
    rest->vector_count = 1;
}

bool transfer_advance(struct transfer *transfer, int64_t result)
{
    if (result == -EINTR || result == -EAGAIN)
        return false;
    if (result < 0) {
        transfer->failure = (int)-result;
        return true;
    }
    size_t size = transfer_size(transfer);
    if (result == 0 && transfer->transferred < size) {
        transfer->failure = ENODATA;
        return true;
    }
    transfer->transferred += (size_t)result;
    assert(transfer->transferred <= size);
    return transfer->transferred == size;
}

void transfer_finish(struct transfer *transfer)
{
    struct error error = {.code = ERROR_NONE};
    if (transfer->kind == TRANSFER_READ) {
        struct disk_read *read = read_of(transfer);
        if (transfer->failure == ENODATA)
            error_set(&error, ERROR_CORRUPT, "file ends at %llu, within %zu bytes at %llu",
                      (unsigned long long)(read->offset_bytes + transfer->transferred),
                      read->size_bytes, (unsigned long long)read->offset_bytes);
        else if (transfer->failure != 0)
            error_set_errno(&error, transfer->failure, "read %zu bytes at %llu", read->size_bytes,
                            (unsigned long long)read->offset_bytes);
        read->done(read, &error);
        return;
    }
    struct disk_write *write = write_of(transfer);
    if (transfer->failure != 0)
        error_set_errno(&error, transfer->failure, "write %zu bytes at %llu",
                        transfer_size(transfer), (unsigned long long)write->offset_bytes);
    write->done(write, &error);
}

void transfer_queue_push(struct transfer_queue *queue, struct transfer *transfer)
{
    transfer->next = NULL;
    if (queue->last == NULL)
        queue->first = transfer;
    else
        queue->last->next = transfer;
    queue->last = transfer;
}

struct transfer *transfer_queue_pop(struct transfer_queue *queue)
{
    struct transfer *transfer = queue->first;
    if (transfer == NULL)
        return NULL;
    queue->first = transfer->next;
    if (queue->first == NULL)
        queue->last = NULL;
    return transfer;
}
