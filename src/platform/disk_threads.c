/*
 * disk_threads - the asynchronous face where io_uring is forbidden: one helper thread for writes
 * and one for reads, so that a query never waits for the log's sync and the log never for a page.
 */
#include "disk_system.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct helper {
    struct disk_threads *owner;
    pthread_t thread;
    bool started;
    pthread_cond_t wake;
    struct transfer_queue waiting;
};

struct disk_threads {
    struct loop *loop;
    pthread_mutex_t mutex;    /* guards everything below */
    struct helper helpers[2]; /* by transfer_kind */
    struct transfer_queue finished;
    struct task deliver; /* on the loop */
    bool deliver_posted;
    bool stopping;
};

static void transfer_run(struct transfer *transfer)
{
    int64_t result;
    do {
        struct transfer_rest rest;
        transfer_rest(transfer, &rest);
        if (transfer->kind == TRANSFER_WRITE)
            result = pwritev2(rest.descriptor, rest.vectors, (int)rest.vector_count,
                              (off_t)rest.offset_bytes, rest.flags);
        else
            result = preadv(rest.descriptor, rest.vectors, (int)rest.vector_count,
                            (off_t)rest.offset_bytes);
        if (result < 0)
            result = -errno;
    } while (!transfer_advance(transfer, result));
}

static void *helper_main(void *argument)
{
    struct helper *helper = argument;
    struct disk_threads *threads = helper->owner;
    pthread_mutex_lock(&threads->mutex);
    for (;;) {
        struct transfer *transfer = transfer_queue_pop(&helper->waiting);
        if (transfer == NULL) {
            if (threads->stopping)
                break;
            pthread_cond_wait(&helper->wake, &threads->mutex);
            continue;
        }
        pthread_mutex_unlock(&threads->mutex);
        transfer_run(transfer);
        pthread_mutex_lock(&threads->mutex);
        transfer_queue_push(&threads->finished, transfer);
        if (!threads->deliver_posted) {
            threads->deliver_posted = true;
            scheduler_post(loop_scheduler(threads->loop), &threads->deliver);
        }
    }
    pthread_mutex_unlock(&threads->mutex);
    return NULL;
}

static void threads_deliver(struct task *task)
{
    struct disk_threads *threads =
        (struct disk_threads *)((char *)task - offsetof(struct disk_threads, deliver));
    pthread_mutex_lock(&threads->mutex);
    struct transfer_queue finished = threads->finished;
    threads->finished = (struct transfer_queue){0};
    threads->deliver_posted = false;
    pthread_mutex_unlock(&threads->mutex);
    struct transfer *transfer;
    while ((transfer = transfer_queue_pop(&finished)) != NULL)
        transfer_finish(transfer);
}

void disk_threads_start(struct disk_threads *threads, struct transfer *transfer)
{
    struct helper *helper = &threads->helpers[transfer->kind];
    pthread_mutex_lock(&threads->mutex);
    transfer_queue_push(&helper->waiting, transfer);
    pthread_cond_signal(&helper->wake);
    pthread_mutex_unlock(&threads->mutex);
}

enum error_code disk_threads_create(struct loop *loop, struct disk_threads **threads_out,
                                    struct error *error)
{
    struct disk_threads *threads = calloc(1, sizeof *threads);
    if (threads == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "disk threads");
    threads->loop = loop;
    threads->deliver.run = threads_deliver;
    pthread_mutex_init(&threads->mutex, NULL);
    int reason = 0;
    for (size_t i = 0; i < 2; i++) {
        struct helper *helper = &threads->helpers[i];
        helper->owner = threads;
        pthread_cond_init(&helper->wake, NULL);
        if (reason == 0)
            reason = pthread_create(&helper->thread, NULL, helper_main, helper);
        helper->started = reason == 0;
    }
    if (reason != 0) {
        disk_threads_destroy(threads);
        return error_set_errno(error, reason, "disk threads");
    }
    *threads_out = threads;
    return ERROR_NONE;
}

void disk_threads_destroy(struct disk_threads *threads)
{
    if (threads == NULL)
        return;
    pthread_mutex_lock(&threads->mutex);
    threads->stopping = true;
    for (size_t i = 0; i < 2; i++)
        pthread_cond_signal(&threads->helpers[i].wake);
    pthread_mutex_unlock(&threads->mutex);
    for (size_t i = 0; i < 2; i++) {
        if (threads->helpers[i].started)
            pthread_join(threads->helpers[i].thread, NULL);
        pthread_cond_destroy(&threads->helpers[i].wake);
    }
    assert(threads->finished.first == NULL && !threads->deliver_posted);
    pthread_mutex_destroy(&threads->mutex);
    free(threads);
}
