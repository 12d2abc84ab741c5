/* Copying: some threads, each with one block at a time, by way of a file. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "platform/disk_uring.h"
#include "shard/bucket_download.h"

#include "block_copies.h"

struct copy_pool {
    struct block_copies *copies;
    const struct backup_options *options;

    pthread_mutex_t mutex;
    size_t next; /* block to look at */
    struct backup_progress *progress;
    struct error error; /* the first */
};

struct copy_thread {
    struct copy_pool *pool;
    uint32_t number;
    pthread_t thread;
};

/* --- One block ---------------------------------------------------------------------------------
 */

static enum error_code put(const struct copy_pool *pool, struct disk *disk, const char *path,
                           const struct block_copy *copy, struct error *error)
{
    char text[BUCKET_KEY_MAX];
    struct object_file file = {.disk = disk, .size_bytes = copy->size_bytes};
    enum error_code code = disk_open(disk, path, DISK_OPEN_READ, &file.file, error);
    if (code != ERROR_NONE)
        return code;
    code = object_store_put_file(pool->options->target, NULL,
                                 bucket_block_key_format(&copy->key, text), &file, error);
    disk_close(disk, file.file);
    return code == ERROR_NONE ? code : error_wrap(error, "put '%s'", text);
}

static enum error_code copy_block(const struct copy_pool *pool, struct disk *disk, uint32_t number,
                                  const struct block_copy *copy, struct error *error)
{
    struct error ignored;
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof path, "block-%u", number);
    enum error_code code = bucket_download_block(pool->options->source, NULL, &copy->key,
                                                 copy->size_bytes, disk, path, error);
    if (code == ERROR_NONE)
        code = put(pool, disk, path, copy, error);
    (void)disk_remove(disk, path, &ignored); /* one that stays is replaced by the next */
    return code;
}

/* --- Threads -----------------------------------------------------------------------------------
 */

static struct block_copy *take_block(struct copy_pool *pool)
{
    struct block_copy *found = NULL;
    pthread_mutex_lock(&pool->mutex);
    while (found == NULL && pool->error.code == ERROR_NONE && pool->next < pool->copies->count) {
        struct block_copy *copy = &pool->copies->blocks[pool->next++];
        if (!copy->is_there)
            found = copy;
    }
    pthread_mutex_unlock(&pool->mutex);
    return found;
}

static void note_failure(struct copy_pool *pool, const struct error *error)
{
    pthread_mutex_lock(&pool->mutex);
    if (pool->error.code == ERROR_NONE)
        pool->error = *error;
    pthread_mutex_unlock(&pool->mutex);
}

static void note_copy(struct copy_pool *pool, struct block_copy *copy)
{
    pthread_mutex_lock(&pool->mutex);
    struct backup_progress *progress = pool->progress;
    copy->is_there = true;
    progress->done_blocks++;
    progress->done_bytes += copy->size_bytes;
    progress->copied_blocks++;
    progress->copied_bytes += copy->size_bytes;
    pool->options->report(pool->options->context, progress);
    pthread_mutex_unlock(&pool->mutex);
}

static void *run_thread(void *argument)
{
    struct copy_thread *self = argument;
    struct copy_pool *pool = self->pool;
    struct disk *disk = NULL;
    struct block_copy *copy;
    struct error error;
    if (disk_uring_create(pool->options->scratch, NULL, DISK_ENGINE_THREADS, &disk, &error) !=
        ERROR_NONE) {
        note_failure(pool, &error);
        return NULL;
    }
    while ((copy = take_block(pool)) != NULL) {
        if (copy_block(pool, disk, self->number, copy, &error) == ERROR_NONE)
            note_copy(pool, copy);
        else
            note_failure(pool, &error);
    }
    disk_uring_destroy(disk);
    return NULL;
}

static void count(const struct block_copies *copies, struct backup_progress *progress)
{
    progress->blocks = copies->count;
    progress->bytes = progress->done_blocks = progress->done_bytes = 0;
    for (size_t i = 0; i < copies->count; i++) {
        progress->bytes += copies->blocks[i].size_bytes;
        progress->done_blocks += copies->blocks[i].is_there;
        progress->done_bytes += copies->blocks[i].is_there ? copies->blocks[i].size_bytes : 0;
    }
}

enum error_code block_copies_run(struct block_copies *copies, const struct backup_options *options,
                                 struct backup_progress *progress, struct error *error)
{
    struct copy_pool pool = {.copies = copies, .options = options, .progress = progress};
    struct copy_thread *threads = calloc(options->copies_at_once, sizeof *threads);
    if (threads == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "copies of blocks");
    count(copies, progress);
    options->report(options->context, progress);
    pthread_mutex_init(&pool.mutex, NULL);
    uint32_t started = 0;
    for (; started < options->copies_at_once; started++) {
        threads[started] = (struct copy_thread){.pool = &pool, .number = started};
        if (pthread_create(&threads[started].thread, NULL, run_thread, &threads[started]) != 0)
            break;
    }
    if (started == 0)
        error_set(&pool.error, ERROR_OUT_OF_MEMORY, "no thread can be made");
    for (uint32_t i = 0; i < started; i++)
        pthread_join(threads[i].thread, NULL);
    pthread_mutex_destroy(&pool.mutex);
    free(threads);
    *error = pool.error;
    return pool.error.code;
}
