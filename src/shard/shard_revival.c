#include "shard/shard_revival.h"

#include <stdlib.h>

#include "base/checksum.h"
#include "base/state_version.h"
#include "platform/file_writer.h"

#include "bucket_metadata.h"
#include "manifest.h"
#include "shard_private.h"

/* --- The state ------------------------------------------------------------------------------- */

static enum error_code add_heirs(struct manifest *manifest, const struct shard_revival *revival,
                                 struct error *error)
{
    const struct bucket_list *list = revival->list;
    bool is_own = list->key.shard_id == revival->shard_id;
    struct bucket *bucket = &manifest->bucket;
    bucket->heirs = malloc((list->heir_count + revival->heir_count + 1) * sizeof *bucket->heirs);
    if (bucket->heirs == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "heirs of a shard");
    for (size_t i = 0; is_own && i < list->heir_count; i++)
        bucket->heirs[bucket->heir_count++] = list->heirs[i];
    for (size_t i = 0; i < revival->heir_count; i++)
        bucket->heirs[bucket->heir_count++] = revival->heirs[i];
    return ERROR_NONE;
}

/* Each object is a block of its own: what it stood for was on disks only. */
static enum error_code add_block(struct manifest *manifest, const struct bucket_listed *listed,
                                 struct error *error)
{
    struct bucket *bucket = &manifest->bucket;
    struct manifest_block block = {
        .index = listed->key.index,
        .number = listed->key.number,
        .window_start_ms = listed->window_start_ms,
        .window_end_ms = listed->window_end_ms,
        .stamp_ms = listed->stamp_ms,
        .summary = listed->summary,
    };
    if (block.index > manifest->frozen_index)
        return error_set(error, ERROR_CORRUPT, "a block of a later index than its list");
    bucket->objects[bucket->object_count++] = (struct bucket_object){
        .shard_id = listed->key.shard_id,
        .described = block,
        .size_bytes = listed->size_bytes,
        .hash = listed->key.hash,
        .state = OBJECT_LISTED,
        .stands_for = {block.index, block.number},
        .listed_index = manifest->frozen_index,
    };
    return manifest_add_block(manifest, &block, error);
}

static enum error_code add_blocks(struct manifest *manifest, const struct shard_revival *revival,
                                  struct error *error)
{
    const struct bucket_list *list = revival->list;
    enum error_code code = ERROR_NONE;
    manifest->bucket.objects = calloc(list->block_count + 1, sizeof *manifest->bucket.objects);
    if (manifest->bucket.objects == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "objects of a shard");
    for (size_t i = 0; code == ERROR_NONE && i < list->block_count; i++)
        if (revival->left_out == NULL || !revival->left_out[i])
            code = add_block(manifest, &list->blocks[i], error);
    return code;
}

/* A replica refuses what it can't read, and then the directory is of no use. */
static enum error_code check(const struct byte_buffer *bytes, struct error *error)
{
    struct manifest manifest;
    if (bytes->failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "state of a shard");
    enum error_code code = manifest_decode(bytes->bytes, bytes->size, &manifest, error);
    if (code == ERROR_NONE)
        manifest_clear(&manifest);
    return code;
}

enum error_code shard_revival_encode(const struct shard_revival *revival,
                                     struct byte_buffer *manifest_out, struct error *error)
{
    const struct bucket_list *list = revival->list;
    uint64_t index = list->key.index;
    struct manifest manifest = {
        .state_version = STATE_VERSION_MAX,
        .frozen_index = index,
        .next_id = 1,
        .retention_cutoff_ms = list->retention_cutoff_ms,
        .retention = list->retention == NULL ? RETENTION_CUT_NONE : *list->retention,
        .merge_retention = RETENTION_CUT_NONE,
        .metadata_index = revival->has_metadata ? index : 0,
        .tombstones = tombstones_ref(list->tombstones),
        .windows_base = index,
        .owned = *revival->owned,
        .bucket = {.changed_index = index},
    };
    if (list->key.shard_id == revival->shard_id) { /* who has no list yet publishes its first */
        manifest.bucket.published =
            (struct bucket_list_name){list->key.incarnation, list->key.index};
        manifest.bucket.published_ms = revival->stamp_ms;
    }
    retention_cut_ref(&manifest.retention);
    enum error_code code = index == 0 ? error_set(error, ERROR_CORRUPT, "a list of no index")
                                      : add_heirs(&manifest, revival, error);
    if (code == ERROR_NONE)
        code = add_blocks(&manifest, revival, error);
    if (code == ERROR_NONE) {
        manifest_encode(&manifest, manifest_out);
        code = check(manifest_out, error);
    }
    manifest_clear(&manifest);
    return code == ERROR_NONE ? code : error_wrap(error, "shard %u", revival->shard_id);
}

void shard_revival_block_path(const char *directory, const struct bucket_listed *block,
                              char path[DISK_PATH_MAX])
{
    _Static_assert((int)SHARD_PATH_MAX == (int)DISK_PATH_MAX, "paths of a shard");
    shard_path_in(directory, path, "blocks", block->key.index, block->key.number, "block");
}

/* --- Metadata of metrics --------------------------------------------------------------------- */

static enum error_code write_metadata(struct disk *disk, const char *path,
                                      const struct byte_buffer *bytes, struct error *error)
{
    struct file_writer *writer = NULL;
    uint8_t checksum[4];
    store_u32(checksum, crc32c(0, bytes->bytes, bytes->size));
    enum error_code code = file_writer_open(disk, path, FILE_WRITER_PLAIN, &writer, error);
    if (code == ERROR_NONE)
        code = file_writer_append(writer, checksum, sizeof checksum, error);
    if (code == ERROR_NONE)
        code = file_writer_append(writer, bytes->bytes, bytes->size, error);
    if (code == ERROR_NONE)
        return file_writer_finish(writer, error);
    file_writer_abandon(writer);
    return code;
}

enum error_code shard_revival_write_metadata(struct disk *disk, const char *directory,
                                             uint64_t index, const uint8_t *bytes,
                                             size_t size_bytes, bool *has_any_out,
                                             struct error *error)
{
    struct byte_buffer content = {0};
    char path[SHARD_PATH_MAX];
    struct metadata_store *store = metadata_store_create(SIZE_MAX);
    if (store == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "metadata of a shard");
    shard_path_in(directory, path, "metadata", index, 0, "metadata");
    enum error_code code = bucket_metadata_decode(bytes, size_bytes, store, error);
    bool has_any = code == ERROR_NONE && metadata_store_count(store) > 0;
    if (has_any)
        metadata_store_encode(store, &content);
    if (content.failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "metadata of a shard");
    if (code == ERROR_NONE && has_any)
        code = write_metadata(disk, path, &content, error);
    byte_buffer_clear(&content);
    metadata_store_destroy(store);
    if (code == ERROR_NONE)
        *has_any_out = has_any;
    return code;
}
