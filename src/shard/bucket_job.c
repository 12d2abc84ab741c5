#include "bucket_job.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash_stream.h"
#include "block/block_inspect.h"
#include "shard/shard_bucket.h"

#include "bucket_heirs.h"
#include "shard_private.h"

void bucket_job_destroy(struct bucket_job *job)
{
    if (job == NULL)
        return;
    free(job->items);
    free(job->heirs);
    free(job->current);
    bucket_clear(&job->named);
    byte_buffer_clear(&job->bytes);
    byte_buffer_clear(&job->metadata);
    free(job);
}

static struct object_store *store_of(const struct bucket_job *job)
{
    return job->shard->options.bucket->store;
}

static struct object_call call_of(const struct bucket_job *job)
{
    return (struct object_call){.canceled = &job->canceled};
}

static struct text key_of(const struct bucket_job *job, const struct bucket_upload *object,
                          char text[BUCKET_KEY_MAX])
{
    struct bucket_block_key key = {
        .shard_id = job->shard->options.shard_id,
        .index = object->block.index,
        .number = object->block.number,
        .hash = object->hash,
    };
    return bucket_block_key_format(&key, text);
}

/* --- Uploading ------------------------------------------------------------------------------- */

/* The hash of all bytes of a file. Errors: also CANCELED. */
static enum error_code hash_file(const struct bucket_job *job, struct file *file,
                                 uint64_t size_bytes, struct hash128 *hash_out, struct error *error)
{
    enum { PIECE_BYTES = 256 * 1024 };
    struct disk *disk = job->shard->options.environment->disk;
    uint8_t *piece = malloc(PIECE_BYTES);
    struct hash_stream *stream = hash_stream_create();
    enum error_code code = ERROR_NONE;
    if (piece == NULL || stream == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "hash of a file");
    for (uint64_t at = 0; code == ERROR_NONE && at < size_bytes; at += PIECE_BYTES) {
        size_t size = size_bytes - at < PIECE_BYTES ? (size_t)(size_bytes - at) : PIECE_BYTES;
        code = atomic_load(&job->canceled) ? error_set(error, ERROR_CANCELED, "hash of a file")
                                           : disk_read_at(disk, file, at, piece, size, error);
        if (code == ERROR_NONE)
            hash_stream_add(stream, piece, size);
    }
    if (code == ERROR_NONE)
        *hash_out = hash_stream_result(stream);
    hash_stream_destroy(stream);
    free(piece);
    return code;
}

/* Whether what lies here is what the log says: rot is not to be made durable. */
static enum error_code check_file(struct disk *disk, const char *path,
                                  struct hash128 content_checksum, struct error *error)
{
    struct page_source *source;
    struct file_summary summary;
    enum error_code code = page_source_open_file(disk, path, &source, error);
    if (code == ERROR_NONE)
        code = block_verify(source, &summary, error);
    if (code == ERROR_NONE && !hash128_equal(summary.content_checksum, content_checksum))
        code = error_set(error, ERROR_CORRUPT, "'%s' has not the content that it was written with",
                         path);
    return code;
}

/* Whether the store has as many bytes as were put. */
static enum error_code verify_size(const struct bucket_job *job, struct text key,
                                   uint64_t size_bytes, struct error *error)
{
    struct object_call call = call_of(job);
    struct object_info info;
    enum error_code code = object_store_head(store_of(job), &call, key, &info, error);
    if (code == ERROR_NONE && info.size_bytes != size_bytes)
        code = error_set(error, ERROR_CORRUPT, "%llu bytes were put, %llu are there",
                         (unsigned long long)size_bytes, (unsigned long long)info.size_bytes);
    return code == ERROR_NONE ? code : error_wrap(error, "verify '%.*s'", TEXT_ARGUMENTS(key));
}

static enum error_code put_block(struct bucket_job *job, struct bucket_item *item,
                                 struct file *file)
{
    struct object_call call = call_of(job);
    struct object_file source = {job->shard->options.environment->disk, file,
                                 item->object.size_bytes};
    char text[BUCKET_KEY_MAX];
    struct text key = key_of(job, &item->object, text);
    enum error_code code = object_store_put_file(store_of(job), &call, key, &source, &job->error);
    return code == ERROR_NONE ? verify_size(job, key, item->object.size_bytes, &job->error)
                              : error_wrap(&job->error, "put '%.*s'", TEXT_ARGUMENTS(key));
}

static enum error_code upload(struct bucket_job *job, struct bucket_item *item)
{
    struct disk *disk = job->shard->options.environment->disk;
    struct file *file = NULL;
    char path[SHARD_PATH_MAX];
    shard_path(job->shard, path, "blocks", item->object.block.index, item->object.block.number,
               "block");
    enum error_code code = check_file(disk, path, item->content_checksum, &job->error);
    if (code == ERROR_NONE)
        code = disk_open(disk, path, DISK_OPEN_READ, &file, &job->error);
    if (code == ERROR_NONE)
        code = disk_size(disk, file, &item->object.size_bytes, &job->error);
    if (code == ERROR_NONE)
        code = hash_file(job, file, item->object.size_bytes, &item->object.hash, &job->error);
    job->is_of_file = code != ERROR_NONE;
    job->bad_block = item->object.block;
    if (code == ERROR_NONE)
        code = put_block(job, item, file);
    item->is_done = code == ERROR_NONE;
    if (file != NULL)
        disk_close(disk, file);
    return code;
}

static void upload_all(struct bucket_job *job)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < job->item_count; i++)
        code = atomic_load(&job->canceled)
                   ? error_set(&job->error, ERROR_CANCELED, "not the leader any more")
                   : upload(job, &job->items[i]);
}

/* --- Lists ----------------------------------------------------------------------------------- */

/* What the heirs name, if there are any; false: nothing is to be done now. */
static bool ask_heirs(struct bucket_job *job, struct heir_search *search,
                      const struct object_call *call)
{
    *search = (struct heir_search){
        .store = store_of(job), .call = call, .shard_id = job->shard->options.shard_id};
    if (job->heir_count == 0)
        return true;
    if (heir_search_run(search, job->heirs, job->heir_count, &job->error) != ERROR_NONE)
        return false;
    job->waits_for_heirs = search->lacks_list;
    return !search->lacks_list;
}

static enum error_code put_bytes(struct bucket_job *job, struct text key,
                                 const struct byte_buffer *bytes)
{
    struct object_call call = call_of(job);
    enum error_code code =
        object_store_put(store_of(job), &call, key, bytes->bytes, bytes->size, &job->error);
    return code == ERROR_NONE ? verify_size(job, key, bytes->size, &job->error)
                              : error_wrap(&job->error, "put '%.*s'", TEXT_ARGUMENTS(key));
}

/* Until the heirs have lists, the one from before the split is that of all slots. */
static void put_list(struct bucket_job *job)
{
    struct object_call call = call_of(job);
    struct heir_search search;
    char text[BUCKET_KEY_MAX];
    bool goes = ask_heirs(job, &search, &call);
    heir_search_clear(&search);
    if (!goes)
        return;
    enum error_code code = ERROR_NONE;
    if (job->metadata.size > 0)
        code = put_bytes(job, bucket_metadata_key_format(&job->list, text), &job->metadata);
    if (code == ERROR_NONE)
        (void)put_bytes(job, bucket_list_key_format(&job->list, text),
                        &job->bytes); /* its outcome is in the error */
}

/* Settings may name another bucket than before: there, nothing is what the log says. */
static void find_list(struct bucket_job *job, const struct object_call *call)
{
    struct object_info info;
    char text[BUCKET_KEY_MAX];
    struct text key = bucket_list_key_format(&job->list, text);
    if (object_store_head(store_of(job), call, key, &info, &job->error) == ERROR_NOT_FOUND)
        error_set(&job->error, ERROR_CONFLICT,
                  "'%.*s' was published and is not there: this is not the object store that blocks "
                  "were uploaded to; set the former one, or copy all of it before it is changed",
                  TEXT_ARGUMENTS(key));
}

static bool is_before(const struct bucket_list_key *key, struct bucket_list_name name)
{
    return key->incarnation < name.incarnation ||
           (key->incarnation == name.incarnation && key->index < name.index);
}

static bool visit_later_list(void *context, const struct object_info *object)
{
    struct bucket_job *job = context;
    struct bucket_list_key key;
    if (!bucket_list_key_parse(object->key, &key) || is_before(&key, job->published) ||
        (key.incarnation == job->published.incarnation && key.index == job->published.index))
        return true;
    error_set(
        &job->error, ERROR_CONFLICT,
        "'%.*s' is of a state that this shard has not come to: the data directory is an older "
        "copy of the one that uploaded it",
        TEXT_ARGUMENTS(object->key));
    return false;
}

/* A log that went back would give keys of lists a second content. What any leader before listed,
 * the one of now has applied. */
static void verify(struct bucket_job *job)
{
    struct object_call call = call_of(job);
    struct error error;
    char text[BUCKET_KEY_MAX];
    struct object_range range = {.prefix = bucket_lists_prefix(job->shard->options.shard_id, text)};
    enum error_code code =
        object_store_list(store_of(job), &call, &range, visit_later_list, job, &error);
    if (code != ERROR_NONE)
        job->error = error;
    else if (job->error.code == ERROR_NONE && job->list.index > 0)
        find_list(job, &call);
}

/* --- Deleting -------------------------------------------------------------------------------- */

/* Keys of objects that are to go. */
struct removal {
    struct bucket_job *job;
    const struct heir_search *search;
    char (*texts)[BUCKET_KEY_MAX]; /* [count], owned */
    size_t count;
    bool failed;
};

static bool removal_add(struct removal *removal, struct text key)
{
    char(*texts)[BUCKET_KEY_MAX] =
        realloc(removal->texts, (removal->count + 1) * sizeof *removal->texts);
    removal->failed |= texts == NULL || key.size >= BUCKET_KEY_MAX;
    if (texts != NULL)
        removal->texts = texts;
    if (removal->failed)
        return false;
    snprintf(texts[removal->count++], BUCKET_KEY_MAX, "%.*s", TEXT_ARGUMENTS(key));
    return true;
}

static enum error_code removal_run(struct removal *removal, struct error *error)
{
    struct object_call call = call_of(removal->job);
    enum error_code code = ERROR_NONE;
    struct text *keys = malloc((removal->count + 1) * sizeof *keys);
    if (keys == NULL || removal->failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "objects to be deleted");
    for (size_t i = 0; code == ERROR_NONE && i < removal->count; i++)
        keys[i] = text_of(removal->texts[i]);
    if (code == ERROR_NONE && removal->count > 0)
        code = object_store_remove_many(store_of(removal->job), &call, keys, removal->count, error);
    free(keys);
    free(removal->texts);
    return code;
}

static bool visit_old_list(void *context, const struct object_info *object)
{
    struct removal *removal = context;
    struct bucket_list_key key;
    return !bucket_list_key_parse(object->key, &key) || !is_before(&key, removal->job->published) ||
           removal_add(removal, object->key);
}

static void find_old_lists(struct removal *removal)
{
    struct bucket_job *job = removal->job;
    struct object_call call = call_of(job);
    char text[BUCKET_KEY_MAX];
    struct object_range range = {.prefix = bucket_lists_prefix(job->shard->options.shard_id, text)};
    (void)object_store_list(store_of(job), &call, &range, visit_old_list, removal,
                            &job->error); /* its outcome is in the error */
}

/* All but the newest, which may be of an older list than the published one. */
struct metadata_names {
    struct removal *removal;
    char last[BUCKET_KEY_MAX];
};

static bool visit_metadata(void *context, const struct object_info *object)
{
    struct metadata_names *names = context;
    struct bucket_list_key key;
    if (!bucket_metadata_key_parse(object->key, &key))
        return true;
    bool added = names->last[0] == '\0' || removal_add(names->removal, text_of(names->last));
    snprintf(names->last, sizeof names->last, "%.*s", TEXT_ARGUMENTS(object->key));
    return added;
}

static void find_old_metadata(struct removal *removal)
{
    struct bucket_job *job = removal->job;
    struct object_call call = call_of(job);
    struct metadata_names names = {.removal = removal};
    char text[BUCKET_KEY_MAX];
    struct object_range range = {.prefix =
                                     bucket_metadata_prefix(job->shard->options.shard_id, text)};
    (void)object_store_list(store_of(job), &call, &range, visit_metadata, &names,
                            &job->error); /* its outcome is in the error */
}

/* What an heir still names is not done: it is looked at again. */
static void find_released(struct removal *removal)
{
    struct bucket_job *job = removal->job;
    for (size_t i = 0; i < job->item_count; i++) {
        struct bucket_item *item = &job->items[i];
        char text[BUCKET_KEY_MAX];
        struct bucket_block_key key;
        struct text name = key_of(job, &item->object, text);
        item->is_done = bucket_block_key_parse(name, &key) &&
                        !heir_search_names(removal->search, &key) && removal_add(removal, name);
    }
}

static void remove_released(struct bucket_job *job)
{
    struct object_call call = call_of(job);
    struct heir_search search;
    struct removal removal = {.job = job, .search = &search};
    if (ask_heirs(job, &search, &call)) {
        find_released(&removal);
        if (job->published.index > 0)
            find_old_lists(&removal);
        if (job->published.index > 0 && job->error.code == ERROR_NONE)
            find_old_metadata(&removal);
    }
    if (job->error.code != ERROR_NONE)
        free(removal.texts);
    else
        (void)removal_run(&removal, &job->error); /* its outcome is in the error */
    heir_search_clear(&search);
}

/* --- Sweeping -------------------------------------------------------------------------------- */

/* Of a block that is there it may just be put again, by whoever leads now. */
static bool is_current(const struct bucket_job *job, const struct bucket_block_key *key)
{
    const struct block_name block = {key->index, key->number};
    for (size_t i = 0; i < job->current_count; i++)
        if (block_name_equal(job->current[i], block))
            return true;
    return false;
}

static bool is_named(const struct bucket_job *job, const struct bucket_block_key *key)
{
    for (size_t i = 0; i < job->named.object_count; i++) {
        const struct bucket_object *object = &job->named.objects[i];
        if (object->shard_id == key->shard_id && object->described.index == key->index &&
            object->described.number == key->number && hash128_equal(object->hash, key->hash))
            return true;
    }
    return false;
}

static bool visit_stray(void *context, const struct object_info *object)
{
    struct removal *removal = context;
    struct bucket_job *job = removal->job;
    struct bucket_block_key key;
    if (!bucket_block_key_parse(object->key, &key) || object->modified_ms >= job->swept_before_ms ||
        is_current(job, &key) || is_named(job, &key) || heir_search_names(removal->search, &key))
        return true;
    return removal_add(removal, object->key);
}

static void sweep(struct bucket_job *job)
{
    struct object_call call = call_of(job);
    struct heir_search search;
    struct removal removal = {.job = job, .search = &search};
    char text[BUCKET_KEY_MAX];
    struct object_range range = {.prefix = bucket_shard_prefix(job->shard->options.shard_id, text)};
    size_t abandoned = 0;
    enum error_code code = ERROR_NONE;
    bool goes = ask_heirs(job, &search, &call);
    if (goes)
        code = object_store_list(store_of(job), &call, &range, visit_stray, &removal, &job->error);
    if (goes && code == ERROR_NONE) {
        code = removal_run(&removal, &job->error);
        job->swept = code == ERROR_NONE ? removal.count : 0;
    } else {
        free(removal.texts);
    }
    if (goes && code == ERROR_NONE)
        (void)object_store_sweep_puts(store_of(job), &call, range.prefix, job->swept_before_ms,
                                      &abandoned, &job->error); /* its outcome is in the error */
    heir_search_clear(&search);
}

/* --- Public ---------------------------------------------------------------------------------- */

void bucket_job_run(struct job *base)
{
    struct bucket_job *job = (struct bucket_job *)base;
    error_clear(&job->error);
    switch (job->work) {
    case BUCKET_VERIFY:
        verify(job);
        return;
    case BUCKET_UPLOAD:
        upload_all(job);
        return;
    case BUCKET_LIST:
        put_list(job);
        return;
    case BUCKET_REMOVE:
        remove_released(job);
        return;
    case BUCKET_SWEEP:
        sweep(job);
        return;
    }
}
