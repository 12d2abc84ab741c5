#include "backup_parts.h"

enum error_code backup_has_object(struct object_store *store, struct text key, bool *has_out,
                                  struct error *error)
{
    struct object_info info;
    enum error_code code = object_store_head(store, NULL, key, &info, error);
    *has_out = code == ERROR_NONE;
    if (code == ERROR_NOT_FOUND) {
        error_clear(error);
        return ERROR_NONE;
    }
    return code;
}

static enum error_code copy_object(struct object_store *source, struct object_store *target,
                                   struct text key, size_t limit_bytes, struct byte_buffer *bytes,
                                   struct error *error)
{
    byte_buffer_reset(bytes);
    enum error_code code = object_store_read_whole(source, NULL, key, limit_bytes, bytes, error);
    if (code == ERROR_NONE)
        code = object_store_put(target, NULL, key, bytes->bytes, bytes->size, error);
    return code == ERROR_NONE ? code : error_wrap(error, "copy '%.*s'", TEXT_ARGUMENTS(key));
}

static enum error_code copy_shard(struct object_store *source, struct object_store *target,
                                  const struct backup_shard *shard, struct byte_buffer *bytes,
                                  struct error *error)
{
    char text[BUCKET_KEY_MAX];
    enum error_code code = copy_object(source, target, bucket_list_key_format(&shard->list, text),
                                       BUCKET_LIST_BYTES_MAX, bytes, error);
    if (code == ERROR_NONE && shard->has_metadata)
        code = copy_object(source, target, bucket_metadata_key_format(&shard->metadata, text),
                           BUCKET_METADATA_BYTES_MAX, bytes, error);
    return code;
}

enum error_code backup_copy_named(struct object_store *source, struct object_store *target,
                                  const struct backup_point *point, struct error *error)
{
    char text[BUCKET_KEY_MAX];
    struct byte_buffer bytes = {0};
    enum error_code code = ERROR_NONE;
    if (point->has_meta)
        code = copy_object(source, target, bucket_meta_key_format(&point->meta, text),
                           BUCKET_META_BYTES_MAX, &bytes, error);
    for (size_t i = 0; code == ERROR_NONE && i < point->shard_count; i++)
        code = copy_shard(source, target, &point->shards[i], &bytes, error);
    byte_buffer_clear(&bytes);
    return code;
}

enum error_code backup_read_list(struct object_store *store, const struct bucket_list_key *key,
                                 struct bucket_list *list_out, struct error *error)
{
    char text[BUCKET_KEY_MAX];
    struct byte_buffer bytes = {0};
    enum error_code code = object_store_read_whole(store, NULL, bucket_list_key_format(key, text),
                                                   BUCKET_LIST_BYTES_MAX, &bytes, error);
    if (code == ERROR_NONE)
        code = bucket_list_decode(bytes.bytes, bytes.size, list_out, error);
    byte_buffer_clear(&bytes);
    return code == ERROR_NONE ? code : error_wrap(error, "list '%s'", text);
}
