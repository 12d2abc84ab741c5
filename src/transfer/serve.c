/* Ranges of files for others: read by a job, a few at a time. The state of a shard is served as if
 * it were a file. */
#include <stdlib.h>
#include <string.h>

#include "block/block_inspect.h"
#include "shard/shard_install.h"
#include "transfer_private.h"

enum {
    /* Somebody who asks for a range will ask for the next one: until then nothing is deleted. */
    KEEP_FILES_MS = 60 * 1000,
    METADATA_BYTES_MAX = 64 * 1024 * 1024,
};

struct serve {
    struct job job;
    struct transfer *transfer;
    struct transport_answer *answer; /* NULL: nobody waits any more */
    struct range_request request;
    char path[DISK_PATH_MAX + 1];
    struct byte_buffer state;   /* instead of a file */
    struct shared_bytes *bytes; /* head and range */
    struct error error;
};

/* --- On a worker ------------------------------------------------------------------------------ */

/* A file of metadata has no footer: all of it is its hash. */
static enum error_code identify_metadata(struct page_source *source, struct file_identity *identity,
                                         struct error *error)
{
    size_t size = (size_t)source->size_bytes;
    if (source->size_bytes == 0 || source->size_bytes > METADATA_BYTES_MAX)
        return error_set(error, ERROR_CORRUPT, "'%s': %llu bytes", source->name,
                         (unsigned long long)source->size_bytes);
    uint8_t *bytes = malloc(size);
    if (bytes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "metadata file");
    enum error_code code = page_source_read(source, 0, bytes, size, error);
    if (code == ERROR_NONE)
        *identity =
            (struct file_identity){source->size_bytes, hash128(bytes, size, HASH_SEED_STORED)};
    free(bytes);
    return code;
}

/* Which file lies here, and whether it is the one that is asked for. */
static enum error_code identify(const struct range_request *request, struct page_source *source,
                                struct file_identity *identity, struct error *error)
{
    struct file_summary summary;
    enum error_code code;
    if (request->file.kind == SHARD_FILE_METADATA) {
        code = identify_metadata(source, identity, error);
    } else {
        code = block_read_summary(source, &summary, error);
        if (code == ERROR_NONE && request->file.is_agreed &&
            !hash128_equal(summary.content_checksum, request->file.content_checksum))
            code = error_set(error, ERROR_NOT_FOUND, "the file has other content here");
        if (code == ERROR_NONE)
            *identity = (struct file_identity){source->size_bytes, summary.file_hash};
    }
    if (code == ERROR_CORRUPT)
        error->code = code = ERROR_NOT_FOUND; /* damaged here: as if it were not */
    return code;
}

/* Room for head and range, the head filled in. */
static enum error_code begin_range(struct serve *serve, const struct file_identity *identity,
                                   size_t *size_out, struct error *error)
{
    const struct range_request *request = &serve->request;
    if (request->is_known && (identity->size_bytes != request->known.size_bytes ||
                              !hash128_equal(identity->hash, request->known.hash)))
        return error_set(error, ERROR_CONFLICT, "the file is another one here");
    if (request->offset_bytes >= identity->size_bytes)
        return error_set(error, ERROR_INVALID, "the file ends before");
    uint64_t left = identity->size_bytes - request->offset_bytes;
    *size_out = left < request->size_bytes ? (size_t)left : request->size_bytes;
    serve->bytes = shared_bytes_create(RANGE_HEAD_BYTES + *size_out);
    if (serve->bytes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "range of a file");
    range_head_encode(identity, serve->bytes->bytes);
    return ERROR_NONE;
}

static enum error_code read_range(struct serve *serve, struct page_source *source,
                                  struct error *error)
{
    const struct range_request *request = &serve->request;
    struct file_identity identity;
    size_t size = 0;
    enum error_code code = identify(request, source, &identity, error);
    if (code == ERROR_NONE)
        code = begin_range(serve, &identity, &size, error);
    return code != ERROR_NONE
               ? code
               : page_source_read(source, request->offset_bytes,
                                  serve->bytes->bytes + RANGE_HEAD_BYTES, size, error);
}

/* As of a file that is the manifest. */
static void serve_state_run(struct job *job)
{
    struct serve *serve = (struct serve *)job;
    const struct byte_buffer *state = &serve->state;
    size_t size = 0;
    struct file_identity identity = {state->size,
                                     hash128(state->bytes, state->size, HASH_SEED_STORED)};
    error_clear(&serve->error);
    if (begin_range(serve, &identity, &size, &serve->error) == ERROR_NONE)
        memcpy(serve->bytes->bytes + RANGE_HEAD_BYTES, state->bytes + serve->request.offset_bytes,
               size);
}

static void serve_run(struct job *job)
{
    struct serve *serve = (struct serve *)job;
    struct page_source *source = NULL;
    error_clear(&serve->error);
    enum error_code code = page_source_open_file(serve->transfer->options.environment->disk,
                                                 serve->path, &source, &serve->error);
    if (code == ERROR_NONE)
        (void)read_range(serve, source, &serve->error); /* how it went is in the error */
    page_source_close(source);
}

/* --- On the loop ------------------------------------------------------------------------------ */

static void serve_done(struct job *job)
{
    struct serve *serve = (struct serve *)job;
    struct transfer *transfer = serve->transfer;
    bool served = serve->error.code == ERROR_NONE;
    if (served) {
        transfer->statistics.ranges_served++;
        transfer->statistics.bytes_served += serve->bytes->size - RANGE_HEAD_BYTES;
    } else {
        transfer->statistics.ranges_refused++;
    }
    if (serve->answer != NULL && served)
        transport_answer_write(serve->answer, serve->bytes);
    if (serve->answer != NULL)
        transport_answer_end(serve->answer, &serve->error);
    shared_bytes_unref(serve->bytes);
    byte_buffer_clear(&serve->state);
    free(serve);
    transfer_serve_ended(transfer);
}

static void serve_cancelled(void *context, struct transport_answer *answer)
{
    struct serve *serve = context;
    serve->answer = NULL;
    transport_answer_end(answer, NULL);
}

static const struct transport_answer_events EVENTS = {.cancelled = serve_cancelled};

static void refuse(struct transfer *transfer, struct transport_answer *answer, enum error_code code,
                   const char *why)
{
    struct error error;
    error_set(&error, code, "%s", why);
    transfer->statistics.ranges_refused++;
    transport_answer_end(answer, &error);
}

void transfer_serve(void *context, struct transport_answer *answer,
                    const struct transport_question *question)
{
    struct transfer *transfer = context;
    struct range_request request;
    struct error error;
    if (range_request_decode(question->body, question->size, &request, &error) != ERROR_NONE) {
        transfer->statistics.ranges_refused++;
        transport_answer_end(answer, &error);
        return;
    }
    struct shard *shard = transfer_find_shard(transfer, request.group_id);
    if (shard == NULL) {
        refuse(transfer, answer, ERROR_NOT_FOUND, "the shard is not here");
        return;
    }
    struct serve *serve =
        transfer->closed != NULL || transfer->serves_running >= transfer->options.serves_max
            ? NULL
            : calloc(1, sizeof *serve);
    if (serve == NULL) {
        refuse(transfer, answer, ERROR_UNAVAILABLE, "too many files are read");
        return;
    }
    *serve = (struct serve){
        .job = {.run = serve_run, .done = serve_done, .class = JOB_BACKGROUND},
        .transfer = transfer,
        .answer = answer,
        .request = request,
    };
    if (request.file.kind != SHARD_FILE_STATE) {
        shard_file_path(shard, &request.file, serve->path);
    } else if (shard_offer_state(shard, request.file.index, &serve->state, &error) == ERROR_NONE) {
        serve->job.run = serve_state_run;
    } else {
        transfer->statistics.ranges_refused++;
        transport_answer_end(answer, &error);
        byte_buffer_clear(&serve->state);
        free(serve);
        return;
    }
    shard_keep_files(shard, KEEP_FILES_MS);
    transport_answer_begin(answer, &EVENTS, serve);
    transfer->serves_running++;
    scheduler_submit(transfer->options.environment->scheduler, &serve->job);
}
