/*
 * disk_ring - asynchronous reads and writes by io_uring on a loop.
 *
 * Requests wait in `queue` until the end of the turn, when the loop's hook moves as many as fit
 * into the ring and submits them with one system call. The ring's descriptor is readable when
 * completions are there; no eventfd is needed. DEFER_TASKRUN is left out on purpose: with it a
 * wake-up does not mean that a completion is visible.
 */
#include "disk_system.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { RING_ENTRIES = 256 };

struct disk_ring {
    struct io_uring ring;
    struct loop *loop;
    struct loop_hook hook;
    struct task retry; /* the kernel was short of memory: try again next turn */
    bool retry_queued;
    bool enabled;
    uv_poll_t poll;
    struct transfer_queue queue;
    unsigned in_ring; /* prepared or submitted, not completed */
};

/* --- Submitting ---------------------------------------------------------------------------- */

static void ring_prepare(struct disk_ring *ring, struct transfer *transfer)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->ring);
    assert(entry != NULL); /* in_ring < RING_ENTRIES */
    struct transfer_rest rest;
    transfer_rest(transfer, &rest);
    if (rest.vectors != &rest.single)
        io_uring_prep_writev2(entry, rest.descriptor, rest.vectors, rest.vector_count,
                              rest.offset_bytes, rest.flags);
    else if (transfer->kind == TRANSFER_WRITE) {
        io_uring_prep_write(entry, rest.descriptor, rest.single.iov_base,
                            (unsigned)rest.single.iov_len, rest.offset_bytes);
        entry->rw_flags = rest.flags;
    } else
        io_uring_prep_read(entry, rest.descriptor, rest.single.iov_base,
                           (unsigned)rest.single.iov_len, rest.offset_bytes);
    io_uring_sqe_set_data(entry, transfer);
    ring->in_ring++;
}

static void ring_retry(struct task *task)
{
    struct disk_ring *ring = (struct disk_ring *)((char *)task - offsetof(struct disk_ring, retry));
    ring->retry_queued = false; /* the hook at the end of this turn submits */
}

/* SINGLE_ISSUER binds the ring to the thread that enables it: the loop's, which need not be the
 * one that created it. The library of Debian 12 lacks a function for this call. */
static void ring_enable(struct disk_ring *ring)
{
    long result =
        syscall(SYS_io_uring_register, ring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    assert(result == 0);
    ring->enabled = true;
}

static void ring_submit(struct loop_hook *hook)
{
    struct disk_ring *ring = (struct disk_ring *)((char *)hook - offsetof(struct disk_ring, hook));
    while (ring->queue.first != NULL && ring->in_ring < RING_ENTRIES)
        ring_prepare(ring, transfer_queue_pop(&ring->queue));
    if (io_uring_sq_ready(&ring->ring) == 0)
        return;
    if (!ring->enabled) {
        ring_enable(ring);
    }
    int result;
    do
        result = io_uring_submit(&ring->ring);
    while (result == -EINTR);
    assert(result >= 0 || result == -EAGAIN || result == -EBUSY || result == -ENOMEM);
    if (io_uring_sq_ready(&ring->ring) > 0 && !ring->retry_queued) {
        ring->retry_queued = true;
        scheduler_defer(loop_scheduler(ring->loop), &ring->retry);
    }
}

void disk_ring_start(struct disk_ring *ring, struct transfer *transfer)
{
    transfer_queue_push(&ring->queue, transfer);
}

/* --- Completing ---------------------------------------------------------------------------- */

static void ring_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct disk_ring *ring = poll->data;
    struct io_uring_cqe *completion;
    while (io_uring_peek_cqe(&ring->ring, &completion) == 0 && completion != NULL) {
        struct transfer *transfer = io_uring_cqe_get_data(completion);
        int result = completion->res;
        io_uring_cqe_seen(&ring->ring, completion);
        ring->in_ring--;
        if (transfer_advance(transfer, result))
            transfer_finish(transfer);
        else
            transfer_queue_push(&ring->queue, transfer);
    }
}

/* --- Life ---------------------------------------------------------------------------------- */

static int ring_init(struct io_uring *ring)
{
    struct io_uring_params parameters = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_R_DISABLED |
                 IORING_SETUP_CLAMP,
    };
    int result = io_uring_queue_init_params(RING_ENTRIES, ring, &parameters);
    if (result == -EINVAL) {
        /* Kernels before 6.0 know neither of the first two. */
        parameters =
            (struct io_uring_params){.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP};
        result = io_uring_queue_init_params(RING_ENTRIES, ring, &parameters);
    }
    return result;
}

enum error_code disk_ring_create(struct loop *loop, struct disk_ring **ring_out,
                                 struct error *error)
{
    struct disk_ring *ring = calloc(1, sizeof *ring);
    if (ring == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "io_uring");
    int result = ring_init(&ring->ring);
    if (result < 0) {
        free(ring);
        return error_set(error, ERROR_UNSUPPORTED, "io_uring is refused (errno %d)", -result);
    }
    result = uv_poll_init(loop_uv(loop), &ring->poll, ring->ring.ring_fd);
    if (result != 0) {
        io_uring_queue_exit(&ring->ring);
        free(ring);
        return error_set_uv(error, result, "io_uring");
    }
    ring->loop = loop;
    ring->hook.run = ring_submit;
    ring->retry.run = ring_retry;
    ring->poll.data = ring;
    uv_poll_start(&ring->poll, UV_READABLE, ring_readable);
    loop_hook_add(loop, &ring->hook);
    *ring_out = ring;
    return ERROR_NONE;
}

static void ring_closed(uv_handle_t *handle)
{
    struct disk_ring *ring = handle->data;
    io_uring_queue_exit(&ring->ring);
    free(ring);
}

void disk_ring_destroy(struct disk_ring *ring)
{
    if (ring == NULL)
        return;
    assert(ring->in_ring == 0 && ring->queue.first == NULL && !ring->retry_queued);
    loop_hook_remove(ring->loop, &ring->hook);
    uv_close((uv_handle_t *)&ring->poll, ring_closed);
}
