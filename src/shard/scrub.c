/* Every file of the shard read to the last byte, a job each: rot is found before it is needed. */
#include <assert.h>
#include <stdlib.h>

#include "block/block_inspect.h"

#include "damage.h"

struct scrub_file {
    enum { SCRUB_PART, SCRUB_BLOCK, SCRUB_SEGMENT } kind;
    uint64_t index;
    uint32_t number;
    struct hash128 content_checksum; /* of parts and blocks */
};

struct scrub {
    struct job job;
    struct task task; /* the end, where there is no file */
    struct shard *shard;
    struct shard_scrub *asked;
    struct scrub_file *files; /* [count] */
    size_t count;
    size_t next;
    char path[SHARD_PATH_MAX];
    struct error error; /* of the file */
};

/* --- On a worker ------------------------------------------------------------------------------ */

static void scrub_run(struct job *job)
{
    struct scrub *scrub = (struct scrub *)job;
    const struct scrub_file *file = &scrub->files[scrub->next];
    struct page_source *source;
    struct file_summary summary;
    error_clear(&scrub->error);
    enum error_code code = page_source_open_file(scrub->shard->options.environment->disk,
                                                 scrub->path, &source, &scrub->error);
    if (code == ERROR_NONE)
        code = block_verify(source, &summary, &scrub->error);
    if (code == ERROR_NONE && file->kind != SCRUB_SEGMENT &&
        !hash128_equal(summary.content_checksum, file->content_checksum))
        error_set(&scrub->error, ERROR_CORRUPT, "'%s' has not the content that it was written with",
                  scrub->path);
}

/* --- On the loop ------------------------------------------------------------------------------ */

/* False: the shard has it no more, or knew it. */
static bool mark_damaged(struct shard *shard, const struct scrub_file *file)
{
    bool *damaged = NULL;
    for (size_t i = 0; file->kind == SCRUB_PART && i < shard->part_count; i++)
        if (shard->parts[i].described.index == file->index &&
            shard->parts[i].described.number == file->number)
            damaged = &shard->parts[i].damaged;
    for (size_t i = 0; file->kind == SCRUB_BLOCK && i < shard->block_count; i++)
        if (shard->blocks[i].described.index == file->index &&
            shard->blocks[i].described.number == file->number)
            damaged = &shard->blocks[i].damaged;
    for (size_t i = 0; file->kind == SCRUB_SEGMENT && i < shard->segment_count; i++)
        if (shard->segments[i].name == file->index)
            damaged = &shard->segments[i].damaged;
    if (damaged == NULL || *damaged)
        return false;
    *damaged = true;
    return true;
}

static void scrub_end(struct scrub *scrub)
{
    struct shard *shard = scrub->shard;
    struct shard_scrub *asked = scrub->asked;
    struct error error;
    error_clear(&error);
    if (shard->closed != NULL)
        error_set(&error, ERROR_UNAVAILABLE, "shutting down");
    shard->scrub = NULL;
    free(scrub->files);
    free(scrub);
    asked->done(asked, &error);
    shard_job_ended(shard);
}

static void scrub_end_task(struct task *task)
{
    scrub_end((struct scrub *)((char *)task - offsetof(struct scrub, task)));
}

static void scrub_next(struct scrub *scrub);

static void scrub_file_done(struct job *job)
{
    struct scrub *scrub = (struct scrub *)job;
    struct shard *shard = scrub->shard;
    scrub->asked->files++;
    if (damage_is_of_file(scrub->error.code) && mark_damaged(shard, &scrub->files[scrub->next])) {
        scrub->asked->damaged++;
        damage_tell(shard, scrub->path, &scrub->error);
        damage_count(shard);
    }
    scrub->next++;
    scrub_next(scrub);
}

static void scrub_next(struct scrub *scrub)
{
    static const char *const FOLDERS[] = {"parts", "blocks", "series"};
    static const char *const EXTENSIONS[] = {"part", "block", "segment"};
    struct shard *shard = scrub->shard;
    if (scrub->next == scrub->count || shard->closed != NULL) {
        scrub_end(scrub);
        return;
    }
    const struct scrub_file *file = &scrub->files[scrub->next];
    shard_path(shard, scrub->path, FOLDERS[file->kind], file->index, file->number,
               EXTENSIONS[file->kind]);
    scrub->job = (struct job){.run = scrub_run, .done = scrub_file_done, .class = JOB_BACKGROUND};
    scheduler_submit(shard->options.environment->scheduler, &scrub->job);
}

static void list_files(struct scrub *scrub)
{
    const struct shard *shard = scrub->shard;
    /* A segment that the log has may not be written yet. */
    for (size_t i = 0; i < shard->registry.segment_count; i++)
        scrub->files[scrub->count++] =
            (struct scrub_file){.kind = SCRUB_SEGMENT, .index = shard->registry.segment_names[i]};
    for (size_t i = 0; i < shard->part_count; i++)
        scrub->files[scrub->count++] = (struct scrub_file){
            SCRUB_PART, shard->parts[i].described.index, shard->parts[i].described.number,
            shard->parts[i].described.summary.content_checksum};
    for (size_t i = 0; i < shard->block_count; i++)
        scrub->files[scrub->count++] = (struct scrub_file){
            SCRUB_BLOCK, shard->blocks[i].described.index, shard->blocks[i].described.number,
            shard->blocks[i].described.summary.content_checksum};
}

void shard_scrub(struct shard *shard, struct shard_scrub *asked)
{
    assert(shard->scrub == NULL && shard->closed == NULL);
    struct scrub *scrub = calloc(1, sizeof *scrub);
    size_t most = shard->registry.segment_count + shard->part_count + shard->block_count + 1;
    if (scrub != NULL)
        scrub->files = calloc(most, sizeof *scrub->files);
    assert(scrub != NULL && scrub->files != NULL); /* small, and nobody to tell */
    scrub->shard = shard;
    scrub->asked = asked;
    scrub->task.run = scrub_end_task;
    asked->files = asked->damaged = 0;
    shard->scrub = asked;
    list_files(scrub);
    shard_job_started(shard);
    if (scrub->count > 0)
        scrub_next(scrub);
    else
        scheduler_defer(shard->options.environment->scheduler, &scrub->task);
}
