/* Every file of the shard read to the last byte, a job each: rot is found before it is needed. */
#include <assert.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/state_version.h"
#include "block/block_inspect.h"

#include "damage.h"
#include "local_files.h"

enum { PAUSE_MS_MAX = 200 };

struct scrub_file {
    enum { SCRUB_PART, SCRUB_BLOCK, SCRUB_SEGMENT } kind;
    uint64_t index;
    uint32_t number;
    struct hash128 content_checksum; /* that it shall have; of a segment, that it has */
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
    struct error error;  /* of the file */
    uint64_t size_bytes; /* of the file */
    struct timer pause;  /* while it is ahead of its rate */
    uint64_t started_ms;
};

/* --- On a worker ------------------------------------------------------------------------------ */

static void scrub_run(struct job *job)
{
    struct scrub *scrub = (struct scrub *)job;
    struct scrub_file *file = &scrub->files[scrub->next];
    struct page_source *source;
    struct file_summary summary;
    error_clear(&scrub->error);
    scrub->size_bytes = 0;
    enum error_code code = page_source_open_file(scrub->shard->options.environment->disk,
                                                 scrub->path, &source, &scrub->error);
    if (code == ERROR_NONE)
        code = block_verify(source, &summary, &scrub->error);
    if (code == ERROR_NONE)
        scrub->size_bytes = summary.size_bytes;
    if (code == ERROR_NONE && file->kind == SCRUB_SEGMENT)
        file->content_checksum = summary.content_checksum; /* the log does not tell it */
    else if (code == ERROR_NONE && !hash128_equal(summary.content_checksum, file->content_checksum))
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
    else if (scrub->next < scrub->count)
        error_set(&error, ERROR_CANCELED, "nobody waits for it any more");
    if (shard->scrub == asked)
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

/* A file that a merge has done away with since is not damaged. */
static bool still_has(const struct shard *shard, const struct scrub_file *file)
{
    bool has = false;
    for (size_t i = 0; file->kind == SCRUB_PART && i < shard->part_count; i++)
        has |= shard->parts[i].described.index == file->index &&
               shard->parts[i].described.number == file->number;
    for (size_t i = 0; file->kind == SCRUB_BLOCK && i < shard->block_count; i++)
        has |= shard->blocks[i].described.index == file->index &&
               shard->blocks[i].described.number == file->number && !shard->blocks[i].is_absent;
    for (size_t i = 0; file->kind == SCRUB_SEGMENT && i < shard->segment_count; i++)
        has |= shard->segments[i].name == file->index;
    return has;
}

static void tell_file(struct scrub *scrub, const struct scrub_file *file)
{
    static const enum file_kind KINDS[] = {FILE_KIND_PART, FILE_KIND_BLOCK, FILE_KIND_SEGMENT};
    const struct shard_scrub_file told = {
        .kind = KINDS[file->kind],
        .index = file->index,
        .number = file->number,
        .size_bytes = scrub->size_bytes,
        .content_checksum = file->content_checksum,
        .error = &scrub->error,
    };
    scrub->asked->files++;
    scrub->asked->bytes += scrub->size_bytes;
    scrub->asked->damaged += damage_is_of_file(scrub->error.code);
    if (scrub->asked->file != NULL)
        scrub->asked->file(scrub->asked, &told);
}

static void scrub_file_done(struct job *job)
{
    struct scrub *scrub = (struct scrub *)job;
    struct shard *shard = scrub->shard;
    const struct scrub_file *file = &scrub->files[scrub->next];
    if (still_has(shard, file)) {
        tell_file(scrub, file);
        if (damage_is_of_file(scrub->error.code) && mark_damaged(shard, file)) {
            damage_tell(shard, scrub->path, &scrub->error);
            local_replace_all_damaged(shard);
            damage_count(shard);
        }
    }
    scrub->next++;
    scrub_next(scrub);
}

/* --- Pace ------------------------------------------------------------------------------------- */

/* How long until what was read is no more than the rate allows. */
static uint64_t ahead_ms(const struct scrub *scrub)
{
    uint64_t rate = scrub->asked->bytes_per_second;
    if (rate == 0)
        return 0;
    uint64_t due_ms =
        scrub->started_ms + (uint64_t)((double)scrub->asked->bytes * 1000 / (double)rate);
    uint64_t now_ms = clock_monotonic_ms(scrub->shard->options.environment->clock);
    return due_ms > now_ms ? due_ms - now_ms : 0;
}

static void pause_over(struct timer *timer)
{
    scrub_next((struct scrub *)((char *)timer - offsetof(struct scrub, pause)));
}

static void scrub_next(struct scrub *scrub)
{
    static const char *const FOLDERS[] = {"parts", "blocks", "series"};
    static const char *const EXTENSIONS[] = {"part", "block", "segment"};
    struct shard *shard = scrub->shard;
    if (scrub->next == scrub->count || shard->closed != NULL ||
        atomic_load(&scrub->asked->is_cancelled)) {
        scrub_end(scrub);
        return;
    }
    uint64_t wait_ms = ahead_ms(scrub);
    if (wait_ms > 0) {
        /* In pieces: it may be cancelled, and the shard closed. */
        scheduler_timer_start(shard->options.environment->scheduler, &scrub->pause,
                              wait_ms < PAUSE_MS_MAX ? wait_ms : PAUSE_MS_MAX);
        return;
    }
    const struct scrub_file *file = &scrub->files[scrub->next];
    shard_path(shard, scrub->path, FOLDERS[file->kind], file->index, file->number,
               EXTENSIONS[file->kind]);
    scrub->job = (struct job){.run = scrub_run, .done = scrub_file_done, .class = JOB_BACKGROUND};
    scheduler_submit(shard->options.environment->scheduler, &scrub->job);
}

/* How many moments of a file were before a time or at it. */
static int64_t moments_until(int64_t time_ms, int64_t phase_ms, int64_t interval_ms)
{
    return time_ms < phase_ms ? 0 : (time_ms - phase_ms) / interval_ms + 1;
}

static bool is_wanted(const struct scrub *scrub, const struct scrub_file *file)
{
    const struct shard_scrub_window *window = &scrub->asked->window;
    if (window->interval_ms == 0)
        return true;
    const uint64_t name[] = {scrub->shard->options.shard_id, file->kind, file->index, file->number};
    int64_t phase_ms =
        (int64_t)(hash64(name, sizeof name, window->seed) % (uint64_t)window->interval_ms);
    return moments_until(window->until_ms, phase_ms, window->interval_ms) >
           moments_until(window->from_ms, phase_ms, window->interval_ms);
}

static void keep_wanted(struct scrub *scrub)
{
    size_t kept = 0;
    for (size_t i = 0; i < scrub->count; i++)
        if (is_wanted(scrub, &scrub->files[i]))
            scrub->files[kept++] = scrub->files[i];
    scrub->count = kept;
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
        if (!shard->blocks[i].is_absent)
            scrub->files[scrub->count++] = (struct scrub_file){
                SCRUB_BLOCK, shard->blocks[i].described.index, shard->blocks[i].described.number,
                shard->blocks[i].described.summary.content_checksum};
}

void shard_scrub(struct shard *shard, struct shard_scrub *asked)
{
    bool is_of_window = asked->window.interval_ms > 0;
    assert((is_of_window || shard->scrub == NULL) && shard->closed == NULL);
    struct scrub *scrub = calloc(1, sizeof *scrub);
    size_t most = shard->registry.segment_count + shard->part_count + shard->block_count + 1;
    if (scrub != NULL)
        scrub->files = calloc(most, sizeof *scrub->files);
    assert(scrub != NULL && scrub->files != NULL); /* small, and nobody to tell */
    scrub->shard = shard;
    scrub->asked = asked;
    scrub->task.run = scrub_end_task;
    scrub->pause = (struct timer){.fire = pause_over, .heap_index = TIMER_IDLE};
    scrub->started_ms = clock_monotonic_ms(shard->options.environment->clock);
    asked->files = asked->damaged = asked->bytes = 0;
    if (!is_of_window)
        shard->scrub = asked;
    list_files(scrub);
    keep_wanted(scrub);
    shard_job_started(shard);
    if (scrub->count > 0)
        scrub_next(scrub);
    else
        scheduler_defer(shard->options.environment->scheduler, &scrub->task);
}

bool shard_is_scrubbed(const struct shard *shard)
{
    return shard->scrub != NULL;
}

/* --- On suspicion ----------------------------------------------------------------------------- */

static void suspicion_ended(struct shard_scrub *scrub, const struct error *error)
{
    (void)scrub, (void)error; /* what was found is noted and told */
}

void shard_suspect_files(struct shard *shard, const struct error *reason)
{
    enum { AGAIN_MS = 60 * 1000, BYTES_PER_SECOND = 64 * 1024 * 1024 };
    uint64_t now_ms = clock_monotonic_ms(shard->options.environment->clock);
    bool can_be_mended = shard->peers.fetcher != NULL || shard->options.bucket != NULL;
    if (!damage_is_of_file(reason->code) || !can_be_mended || shard->scrub != NULL ||
        shard->closed != NULL ||
        (shard->suspected_ms != 0 && now_ms - shard->suspected_ms < AGAIN_MS))
        return;
    shard->suspected_ms = now_ms;
    shard->suspicion =
        (struct shard_scrub){.done = suspicion_ended, .bytes_per_second = BYTES_PER_SECOND};
    shard_scrub(shard, &shard->suspicion);
}

/* --- What replicas have in common ------------------------------------------------------------- */

static void encode_file(struct byte_buffer *buffer, uint64_t index, uint32_t number,
                        struct hash128 content_checksum)
{
    byte_buffer_u64(buffer, index);
    byte_buffer_u32(buffer, number);
    byte_buffer_append(buffer, &content_checksum, sizeof content_checksum);
}

enum error_code shard_frozen_state(struct shard *shard, uint64_t *index_out, uint64_t *checksum_out,
                                   struct error *error)
{
    struct byte_buffer bytes = {0}, common = {0};
    struct manifest manifest;
    uint64_t index;
    enum error_code code = shard_snapshot(shard, &bytes, &index, error);
    if (code == ERROR_NONE && index == 0)
        *index_out = *checksum_out = 0;
    if (code == ERROR_NONE && index > 0)
        code = manifest_decode(bytes.bytes, bytes.size, &manifest, error);
    byte_buffer_clear(&bytes);
    if (code != ERROR_NONE || index == 0)
        return code;
    byte_buffer_u64(&common, manifest.next_id);
    byte_buffer_u64(&common, (uint64_t)manifest.retention_cutoff_ms);
    for (size_t i = 0; i < manifest.segment_count; i++)
        byte_buffer_u64(&common, manifest.segments[i]);
    for (size_t i = 0; i < manifest.part_count; i++)
        encode_file(&common, manifest.parts[i].index, manifest.parts[i].number,
                    manifest.parts[i].summary.content_checksum);
    for (size_t i = 0; i < manifest.block_count; i++)
        encode_file(&common, manifest.blocks[i].index, manifest.blocks[i].number,
                    manifest.blocks[i].summary.content_checksum);
    byte_buffer_u64(&common, manifest.merge_index);
    if (manifest.state_version >= STATE_VERSION_WINDOWS) /* before, it is as older programs say */
        byte_buffer_u64(&common, manifest.windows_base);
    for (size_t i = 0; i < manifest.window_count; i++)
        encode_file(&common, (uint64_t)manifest.windows[i].window, 0,
                    (struct hash128){manifest.windows[i].index, 0});
    if (slot_set_count(&manifest.owned) < SLOT_COUNT)
        slot_set_encode(&manifest.owned, &common);
    if (manifest.state_version >= STATE_VERSION_BUCKET)
        bucket_encode(&manifest.bucket, &common);
    manifest_clear(&manifest);
    if (!common.failed) {
        *index_out = index;
        *checksum_out = hash64(common.bytes, common.size, 1);
    }
    bool failed = common.failed;
    byte_buffer_clear(&common);
    return failed ? error_set(error, ERROR_OUT_OF_MEMORY, "state of the shard") : ERROR_NONE;
}
