/* Files and state of one shard. */
#include <stdlib.h>

#include "platform/clock.h"
#include "platform/file_writer.h"
#include "revival/revival.h"
#include "shard/bucket_download.h"
#include "shard/shard_revival.h"

struct making {
    const struct revival_survey *survey;
    const struct revival_shard *source;
    enum revival_blocks blocks;
    struct disk *disk;
    const char *directory;
};

/* --- Blocks ----------------------------------------------------------------------------------- */

static enum error_code download(const struct making *making, const struct bucket_listed *block,
                                struct error *error)
{
    char path[DISK_PATH_MAX];
    shard_revival_block_path(making->directory, block, path);
    return bucket_download_block(making->survey->store, NULL, &block->key, block->size_bytes,
                                 making->disk, path, error);
}

/* --- Metadata --------------------------------------------------------------------------------- */

/* What is not there, or not whole, is stated again by who writes. */
static enum error_code fetch_metadata(const struct making *making, bool *has_any_out,
                                      struct error *error)
{
    char text[BUCKET_KEY_MAX];
    struct byte_buffer bytes = {0};
    if (!making->source->has_metadata)
        return ERROR_NONE;
    enum error_code code = object_store_read_whole(
        making->survey->store, NULL, bucket_metadata_key_format(&making->source->metadata, text),
        BUCKET_METADATA_BYTES_MAX, &bytes, error);
    if (code == ERROR_NONE)
        code = shard_revival_write_metadata(making->disk, making->directory,
                                            making->source->list.key.index, bytes.bytes, bytes.size,
                                            has_any_out, error);
    byte_buffer_clear(&bytes);
    return code == ERROR_NOT_FOUND || code == ERROR_CORRUPT ? ERROR_NONE : code;
}

/* --- All -------------------------------------------------------------------------------------- */

static enum error_code each_folder(const struct making *making,
                                   enum error_code (*work)(struct disk *disk, const char *path,
                                                           struct error *error),
                                   struct error *error)
{
    static const char *const FOLDERS[] = {"parts", "blocks", "series", "metadata"};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < sizeof FOLDERS / sizeof FOLDERS[0]; i++) {
        char path[DISK_PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", making->directory, FOLDERS[i]);
        code = work(making->disk, path, error);
    }
    return code;
}

static enum error_code write_files(const struct making *making, bool *has_metadata_out,
                                   struct error *error)
{
    const struct bucket_list *list = &making->source->list;
    enum error_code code = each_folder(making, disk_make_directory, error);
    for (size_t i = 0;
         making->blocks == REVIVAL_DOWNLOADS && code == ERROR_NONE && i < list->block_count; i++)
        if (!making->source->is_missing[i])
            code = download(making, &list->blocks[i], error);
    if (code == ERROR_NONE)
        code = fetch_metadata(making, has_metadata_out, error);
    if (code == ERROR_NONE)
        code = each_folder(making, disk_sync_directory, error);
    return code == ERROR_NONE ? disk_sync_directory(making->disk, making->directory, error) : code;
}

enum error_code revival_make_shard(const struct revival_survey *survey, uint32_t shard_id,
                                   enum revival_blocks blocks, struct disk *disk,
                                   const char *directory, struct byte_buffer *manifest,
                                   uint64_t *index_out, struct error *error)
{
    const struct revival_shard *shard = &survey->shards[shard_id];
    *index_out = 0;
    if (shard->source == REVIVAL_SHARD_NONE)
        return ERROR_NONE;
    const struct revival_shard *source = &survey->shards[shard->source];
    const struct making making = {survey, source, blocks, disk, directory};
    struct shard_revival revival = {
        .shard_id = shard_id,
        .list = &source->list,
        .left_out = source->is_missing,
        .owned = &shard->owned,
        .heirs = shard->heirs,
        .heir_count = shard->heir_count,
        .stamp_ms = clock_now_ms(clock_system()),
    };
    enum error_code code = write_files(&making, &revival.has_metadata, error);
    if (code == ERROR_NONE)
        code = shard_revival_encode(&revival, manifest, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "shard %u", shard_id);
    *index_out = source->list.key.index;
    return ERROR_NONE;
}
