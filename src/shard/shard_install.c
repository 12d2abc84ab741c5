/* The state of another replica: its files are brought here, opened, and take the place of ours. */
#include "shard/shard_install.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#include "damage.h"
#include "file_arrival.h"
#include "local_files.h"
#include "shard/metadata_file.h"

enum { ARRIVALS_MAX = 2 };

struct install_file {
    struct shard_file file;
    bool is_here;
    bool is_in_bucket; /* of a block: it can be read there, if no replica has it */
};

struct install_slot {
    struct file_arrival arrival; /* first */
    struct install_file *file;   /* NULL: nothing is on its way */
};

/*
 *   waiting -> checking -> fetching -> opening -> ready -> finished
 *   (another one     \__________\_________\___________\--> failed, or abandoned: gone when nothing
 *    must end)                                              is under way
 */
enum install_phase {
    INSTALL_WAITING,
    INSTALL_CHECKING,
    INSTALL_FETCHING,
    INSTALL_OPENING,
    INSTALL_READY,
    INSTALL_FAILED,
};

struct shard_install {
    struct shard *shard;
    enum install_origin {
        INSTALL_OF_ANOTHER, /* the state of another replica */
        INSTALL_STORED,     /* the one stored here, which can't be opened */
    } origin;
    enum install_phase phase;
    bool abandoned;
    struct byte_buffer bytes;
    struct manifest manifest;
    struct install_file *files; /* [file_count] */
    size_t file_count;
    size_t next_file;
    struct install_slot slots[ARRIVALS_MAX];
    size_t arriving; /* slots in use */
    struct job job;  /* checks, or opens */
    struct task task;
    struct error error;
    struct shard *made; /* the state, when opened */
    void (*ready)(void *context, const struct error *error);
    void *context;
};

/* --- Which files ------------------------------------------------------------------------------ */

static void add_file(struct shard_install *install, const struct shard_file *file)
{
    install->files[install->file_count++] = (struct install_file){.file = *file};
}

/* One that is in the bucket and not to be here is not fetched: what finds it in neither place
 * opens it there. */
static void add_block(struct shard_install *install, const struct manifest_block *block)
{
    struct shard *shard = install->shard;
    bool is_in_bucket = shard->options.bucket != NULL &&
                        bucket_find_block(&install->manifest.bucket, block_name_of(block)) != NULL;
    if (is_in_bucket && !local_is_recent(shard, block))
        return;
    add_file(install, &(struct shard_file){
                          .kind = SHARD_FILE_BLOCK,
                          .index = block->index,
                          .number = block->number,
                          .is_agreed = true,
                          .content_checksum = block->summary.content_checksum,
                          .size_bytes = block->summary.size_bytes,
                      });
    install->files[install->file_count - 1].is_in_bucket = is_in_bucket;
}

static enum error_code list_files(struct shard_install *install, struct error *error)
{
    const struct manifest *manifest = &install->manifest;
    size_t count = manifest->segment_count + manifest->part_count + manifest->block_count + 1;
    install->files = calloc(count, sizeof *install->files);
    if (install->files == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "files of a manifest");
    for (size_t i = 0; i < manifest->segment_count; i++)
        add_file(install,
                 &(struct shard_file){.kind = SHARD_FILE_SEGMENT, .index = manifest->segments[i]});
    if (install->origin == INSTALL_STORED)
        return ERROR_NONE; /* what else can't be read is repaired later */
    for (size_t i = 0; i < manifest->part_count; i++)
        add_file(install, &(struct shard_file){
                              .kind = SHARD_FILE_PART,
                              .index = manifest->parts[i].index,
                              .number = manifest->parts[i].number,
                              .is_agreed = true,
                              .content_checksum = manifest->parts[i].summary.content_checksum,
                              .size_bytes = manifest->parts[i].summary.size_bytes,
                          });
    for (size_t i = 0; i < manifest->block_count; i++)
        add_block(install, &manifest->blocks[i]);
    if (manifest->metadata_index != 0)
        add_file(install, &(struct shard_file){.kind = SHARD_FILE_METADATA,
                                               .index = manifest->metadata_index});
    return ERROR_NONE;
}

/* A file that is damaged here is not taken for being here. */
static bool is_damaged(const struct shard *shard, const struct shard_file *file)
{
    for (size_t i = 0; file->kind == SHARD_FILE_PART && i < shard->part_count; i++)
        if (shard->parts[i].described.index == file->index &&
            shard->parts[i].described.number == file->number)
            return shard->parts[i].damaged;
    for (size_t i = 0; file->kind == SHARD_FILE_BLOCK && i < shard->block_count; i++)
        if (shard->blocks[i].described.index == file->index &&
            shard->blocks[i].described.number == file->number)
            return shard->blocks[i].damaged;
    for (size_t i = 0; file->kind == SHARD_FILE_SEGMENT && i < shard->segment_count; i++)
        if (shard->segments[i].name == file->index)
            return shard->segments[i].damaged;
    return false;
}

/* --- On a worker ------------------------------------------------------------------------------ */

/* Whether the file can be opened and has the content that was agreed. */
static bool is_here(const struct shard_install *install, const struct shard_file *file)
{
    struct shard *shard = install->shard;
    struct error ignored; /* it is fetched then */
    char path[DISK_PATH_MAX + 1];
    switch (file->kind) {
    case SHARD_FILE_PART: {
        struct manifest_part described = {
            .index = file->index,
            .number = file->number,
            .summary = {.content_checksum = file->content_checksum},
        };
        struct part *part;
        if (shard_open_part(shard, &described, &part, &ignored) != ERROR_NONE)
            return false;
        part_unref(part);
        return true;
    }
    case SHARD_FILE_BLOCK: {
        struct manifest_block described = {
            .index = file->index,
            .number = file->number,
            .summary = {.content_checksum = file->content_checksum},
        };
        struct block *block;
        if (shard_open_block(shard, &described, &block, &ignored) != ERROR_NONE)
            return false;
        block_unref(block);
        return true;
    }
    case SHARD_FILE_SEGMENT: /* all of it is needed: there is no stand-in */
        shard_file_path(shard, file, path);
        return file_arrival_verify(shard, file, path, &ignored) == ERROR_NONE;
    case SHARD_FILE_METADATA: {
        size_t count;
        shard_file_path(shard, file, path);
        return metadata_file_verify(shard->options.environment->disk, path, &count, &ignored) ==
               ERROR_NONE;
    }
    case SHARD_FILE_STATE:
        return false; /* no file */
    }
    return false;
}

static struct shard_install *install_of_job(struct job *job)
{
    return (struct shard_install *)((char *)job - offsetof(struct shard_install, job));
}

static void check_run(struct job *job)
{
    struct shard_install *install = install_of_job(job);
    struct disk *disk = install->shard->options.environment->disk;
    char path[SHARD_PATH_MAX];
    if (disk_make_directory(disk, file_arrival_directory(install->shard, path), &install->error) !=
        ERROR_NONE)
        return;
    for (size_t i = 0; i < install->file_count; i++) {
        struct install_file *file = &install->files[i];
        file->is_here = !file->is_here && is_here(install, &file->file);
    }
}

static void open_run(struct job *job)
{
    struct shard_install *install = install_of_job(job);
    struct disk *disk = install->shard->options.environment->disk;
    char path[SHARD_PATH_MAX];
    /* Names of files that were here may be as new as those that came. */
    static const char *const FOLDERS[] = {"parts", "series", "blocks", "metadata"};
    for (size_t i = 0; i < sizeof FOLDERS / sizeof FOLDERS[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", install->shard->options.directory, FOLDERS[i]);
        if (disk_sync_directory(disk, path, &install->error) != ERROR_NONE)
            return;
    }
    (void)shard_make_state(install->shard, install->bytes.bytes, install->bytes.size,
                           &install->made, &install->error); /* how it went is in the error */
}

/* --- Its end ---------------------------------------------------------------------------------- */

static void start(struct shard_install *install);

static void install_free(struct shard_install *install)
{
    struct shard *shard = install->shard;
    if (shard->install == install)
        shard->install = NULL;
    if (shard->install_leaving == install)
        shard->install_leaving = NULL;
    shard_state_destroy(install->made);
    manifest_clear(&install->manifest);
    byte_buffer_clear(&install->bytes);
    free(install->files);
    free(install);
    shard_install_resume(shard);
}

/* Both may be after the same file, and a sweep would take it away. */
void shard_install_resume(struct shard *shard)
{
    if (shard->install != NULL && shard->install->phase == INSTALL_WAITING &&
        shard->install_leaving == NULL && !shard->sweeping && shard->repair == NULL)
        start(shard->install);
}

static void cancel_arrivals(struct shard_install *install)
{
    for (size_t i = 0; i < ARRIVALS_MAX; i++)
        if (install->slots[i].file != NULL)
            file_arrival_cancel(&install->slots[i].arrival);
}

/* Nothing is under way any more, and nothing will be. */
static void end(struct shard_install *install)
{
    struct shard *shard = install->shard;
    if (install->abandoned) {
        install_free(install);
        return;
    }
    install->phase = install->error.code == ERROR_NONE ? INSTALL_READY : INSTALL_FAILED;
    shard->arrivals.is_installing = install->phase == INSTALL_READY;
    install->ready(install->context, &install->error);
}

void shard_install_abandon(struct shard_install *install)
{
    if (install == NULL)
        return;
    struct shard *shard = install->shard;
    assert(!install->abandoned);
    install->abandoned = true;
    shard->install = NULL;
    shard->arrivals.is_installing = false;
    switch (install->phase) {
    case INSTALL_WAITING:
    case INSTALL_READY:
    case INSTALL_FAILED:
        install_free(install);
        return;
    case INSTALL_CHECKING:
    case INSTALL_FETCHING:
    case INSTALL_OPENING:
        shard->install_leaving = install;
        cancel_arrivals(install);
        return;
    }
}

/* --- Step by step ----------------------------------------------------------------------------- */

static void open_done(struct job *job)
{
    struct shard_install *install = install_of_job(job);
    struct shard *shard = install->shard;
    end(install);
    shard_job_ended(shard);
}

static void submit(struct shard_install *install, enum install_phase phase,
                   void (*run)(struct job *job), void (*done)(struct job *job))
{
    install->phase = phase;
    install->job = (struct job){.run = run, .done = done, .class = JOB_BACKGROUND};
    shard_job_started(install->shard);
    scheduler_submit(install->shard->options.environment->scheduler, &install->job);
}

static void fetch_more(struct shard_install *install);

static void file_arrived(struct file_arrival *arrival, const struct error *error)
{
    struct install_slot *slot = (struct install_slot *)arrival;
    struct shard_install *install = arrival->context;
    struct shard_arrivals *arrivals = &install->shard->arrivals;
    bool stays_away = error->code == ERROR_NOT_FOUND && slot->file->is_in_bucket;
    if (error->code == ERROR_NONE || stays_away) {
        slot->file->is_here = true;
        arrivals->files_done++;
        arrivals->files_repaired += install->origin == INSTALL_STORED;
    } else if (install->error.code == ERROR_NONE) {
        install->error = *error;
    }
    slot->file = NULL;
    install->arriving--;
    fetch_more(install);
}

/* The next file that is not here; NULL: none. */
static struct install_file *take_missing(struct shard_install *install)
{
    for (; install->next_file < install->file_count; install->next_file++)
        if (!install->files[install->next_file].is_here)
            return &install->files[install->next_file++];
    return NULL;
}

static struct install_slot *free_slot(struct shard_install *install)
{
    for (size_t i = 0; i < ARRIVALS_MAX; i++)
        if (install->slots[i].file == NULL)
            return &install->slots[i];
    return NULL;
}

static void fetch_more(struct shard_install *install)
{
    struct install_slot *slot;
    struct install_file *file;
    bool goes_on = install->error.code == ERROR_NONE && !install->abandoned;
    while (goes_on && (slot = free_slot(install)) != NULL &&
           (file = take_missing(install)) != NULL) {
        slot->file = file;
        slot->arrival.done = file_arrived;
        slot->arrival.context = install;
        install->arriving++;
        file_arrival_begin(&slot->arrival, install->shard, &file->file);
    }
    if (!goes_on && install->arriving > 0)
        cancel_arrivals(install);
    if (install->arriving > 0)
        return;
    if (goes_on)
        submit(install, INSTALL_OPENING, open_run, open_done);
    else
        end(install);
}

static void count_files(struct shard_install *install)
{
    struct shard_arrivals *arrivals = &install->shard->arrivals;
    arrivals->files_total = install->file_count;
    arrivals->files_done = arrivals->bytes_total = arrivals->bytes_done = 0;
    for (size_t i = 0; i < install->file_count; i++) {
        const struct install_file *file = &install->files[i];
        arrivals->files_done += file->is_here;
        arrivals->bytes_total += file->file.size_bytes;
        arrivals->bytes_done += file->is_here ? file->file.size_bytes : 0;
    }
    arrivals->is_installing = true;
    log_event(LOG_INFO, "shard",
              install->origin == INSTALL_STORED ? "looking for the series of the stored state"
                                                : "taking over the state of another replica",
              "shard=%u index=%llu files=%zu here=%llu bytes=%llu",
              install->shard->options.shard_id, (unsigned long long)install->manifest.frozen_index,
              install->file_count, (unsigned long long)arrivals->files_done,
              (unsigned long long)arrivals->bytes_total);
}

static void check_done(struct job *job)
{
    struct shard_install *install = install_of_job(job);
    struct shard *shard = install->shard;
    install->phase = INSTALL_FETCHING;
    bool complete = true;
    for (size_t i = 0; i < install->file_count; i++) {
        install->files[i].is_here |= shard->peers.fetcher == NULL && install->files[i].is_in_bucket;
        complete &= install->files[i].is_here;
    }
    if (!install->abandoned && install->error.code == ERROR_NONE) {
        count_files(install);
        if (!complete && shard->peers.fetcher == NULL)
            error_set(&install->error, ERROR_NOT_FOUND, "files of a manifest are missing");
    }
    fetch_more(install);
    shard_job_ended(shard);
}

static void start(struct shard_install *install)
{
    /* Marked so that the job takes none of these for being here. */
    for (size_t i = 0; i < install->file_count; i++)
        install->files[i].is_here = is_damaged(install->shard, &install->files[i].file);
    submit(install, INSTALL_CHECKING, check_run, check_done);
}

static enum error_code begin(struct shard *shard, enum install_origin origin,
                             const uint8_t *manifest, size_t size_bytes,
                             void (*ready)(void *context, const struct error *error), void *context,
                             struct shard_install **install_out, struct error *error)
{
    assert(shard->install == NULL && shard->closed == NULL);
    struct shard_install *install = calloc(1, sizeof *install);
    if (install == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "install");
    install->shard = shard;
    install->origin = origin;
    install->ready = ready;
    install->context = context;
    byte_buffer_append(&install->bytes, manifest, size_bytes);
    enum error_code code = install->bytes.failed
                               ? error_set(error, ERROR_OUT_OF_MEMORY, "manifest")
                               : manifest_decode(manifest, size_bytes, &install->manifest, error);
    if (code == ERROR_NONE)
        code = list_files(install, error);
    if (code != ERROR_NONE) {
        install_free(install);
        return error_wrap(error, "install into shard %u", shard->options.shard_id);
    }
    shard->install = install;
    repair_cancel(shard);
    shard_install_resume(shard);
    *install_out = install;
    return ERROR_NONE;
}

enum error_code shard_install_begin(struct shard *shard, const uint8_t *manifest, size_t size_bytes,
                                    void (*ready)(void *context, const struct error *error),
                                    void *context, struct shard_install **install_out,
                                    struct error *error)
{
    return begin(shard, INSTALL_OF_ANOTHER, manifest, size_bytes, ready, context, install_out,
                 error);
}

enum error_code shard_install_begin_stored(struct shard *shard, const uint8_t *manifest,
                                           size_t size_bytes,
                                           void (*ready)(void *context, const struct error *error),
                                           void *context, struct shard_install **install_out,
                                           struct error *error)
{
    return begin(shard, INSTALL_STORED, manifest, size_bytes, ready, context, install_out, error);
}

enum error_code shard_install_finish(struct shard_install *install, struct error *error)
{
    struct shard *shard = install->shard;
    assert(install->phase == INSTALL_READY && install->made != NULL);
    struct shard *made = install->made;
    install->made = NULL;
    uint64_t index = install->manifest.frozen_index;
    const char *what = install->origin == INSTALL_STORED
                           ? "the stored state is open"
                           : "the state of another replica is taken over";
    enum error_code code = shard_take_state(shard, made, error);
    if (code == ERROR_NONE)
        code = shard_begin_state(shard, error);
    shard->arrivals.is_installing = false;
    install_free(install);
    if (code != ERROR_NONE)
        return code;
    log_event(LOG_INFO, "shard", what, "shard=%u index=%llu", shard->options.shard_id,
              (unsigned long long)index);
    shard_snapshot_stored(shard, index);
    shard_sweep_soon(shard);
    shard_flush_advance(shard);
    return ERROR_NONE;
}

void shard_read_install_progress(const struct shard *shard,
                                 struct shard_install_progress *progress_out)
{
    const struct shard_arrivals *arrivals = &shard->arrivals;
    *progress_out = (struct shard_install_progress){
        .is_installing = arrivals->is_installing,
        .files_total = arrivals->files_total,
        .files_done = arrivals->files_done,
        .bytes_total = arrivals->bytes_total,
        .bytes_done = arrivals->bytes_done,
        .files_fetched_total = arrivals->files_fetched,
        .bytes_fetched_total = arrivals->bytes_fetched,
        .files_rejected_total = arrivals->files_rejected,
        .files_repaired_total = arrivals->files_repaired,
    };
}
