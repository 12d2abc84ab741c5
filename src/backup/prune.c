/* What only old backups named. */
#include <stdlib.h>

#include "backup_parts.h"

struct kept {
    struct backup_point *points; /* [count] */
    size_t count;
    struct block_copies blocks;
};

struct removal {
    const struct kept *kept;
    struct byte_buffer keys; /* each with its size before it */
    size_t count;
};

static bool is_same_name(const struct bucket_list_key *left, const struct bucket_list_key *right)
{
    return left->shard_id == right->shard_id && left->incarnation == right->incarnation &&
           left->index == right->index;
}

enum kept_object { KEPT_LIST, KEPT_METADATA };

static bool is_kept_name(const struct kept *kept, const struct bucket_list_key *key,
                         enum kept_object what)
{
    for (size_t i = 0; i < kept->count; i++)
        for (size_t k = 0; k < kept->points[i].shard_count; k++) {
            const struct backup_shard *shard = &kept->points[i].shards[k];
            if (what == KEPT_LIST ? is_same_name(&shard->list, key)
                                  : shard->has_metadata && is_same_name(&shard->metadata, key))
                return true;
        }
    return false;
}

static bool is_kept_meta(const struct kept *kept, const struct bucket_meta_key *key)
{
    for (size_t i = 0; i < kept->count; i++)
        if (kept->points[i].has_meta && kept->points[i].meta.incarnation == key->incarnation &&
            kept->points[i].meta.index == key->index)
            return true;
    return false;
}

/* Other objects are none of ours. */
static bool is_superfluous(const struct kept *kept, struct text key)
{
    struct bucket_block_key block;
    struct bucket_list_key list;
    struct bucket_meta_key meta;
    if (bucket_block_key_parse(key, &block))
        return !block_copies_have(&kept->blocks, &block);
    if (bucket_list_key_parse(key, &list))
        return !is_kept_name(kept, &list, KEPT_LIST);
    if (bucket_metadata_key_parse(key, &list))
        return !is_kept_name(kept, &list, KEPT_METADATA);
    return bucket_meta_key_parse(key, &meta) && !is_kept_meta(kept, &meta);
}

static bool note_superfluous(void *context, const struct object_info *object)
{
    struct removal *removal = context;
    if (is_superfluous(removal->kept, object->key)) {
        byte_buffer_text(&removal->keys, object->key);
        removal->count++;
    }
    return !removal->keys.failed;
}

static enum error_code keep_points(struct object_store *target, const int64_t *times, size_t count,
                                   struct kept *kept, struct error *error)
{
    enum error_code code = ERROR_NONE;
    kept->points = calloc(count, sizeof *kept->points);
    if (kept->points == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "points of a backup");
    while (code == ERROR_NONE && kept->count < count) {
        struct backup_point *point = &kept->points[kept->count];
        code = backup_point_read(target, times[kept->count], point, error);
        if (code != ERROR_NONE)
            break;
        kept->count++;
        for (size_t i = 0; code == ERROR_NONE && i < point->shard_count; i++) {
            struct bucket_list list;
            code = backup_read_list(target, &point->shards[i].list, &list, error);
            if (code != ERROR_NONE)
                break;
            code = block_copies_add(&kept->blocks, &list, error);
            bucket_list_clear(&list);
        }
    }
    return code == ERROR_NONE ? block_copies_look(&kept->blocks, target, error) : code;
}

static enum error_code remove_superfluous(struct object_store *target, const struct kept *kept,
                                          struct text prefix, struct backup_result *result,
                                          struct error *error)
{
    struct removal removal = {.kept = kept};
    struct object_range range = {.prefix = prefix};
    enum error_code code =
        object_store_list(target, NULL, &range, note_superfluous, &removal, error);
    if (code == ERROR_NONE && removal.keys.failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "objects of old backups");
    struct text *keys = code == ERROR_NONE ? calloc(removal.count + 1, sizeof *keys) : NULL;
    if (code == ERROR_NONE && keys == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "objects of old backups");
    if (code == ERROR_NONE && removal.count > 0) {
        struct byte_reader reader = byte_reader_over(removal.keys.bytes, removal.keys.size);
        for (size_t i = 0; i < removal.count; i++)
            keys[i] = byte_reader_text(&reader);
        code = object_store_remove_many(target, NULL, keys, removal.count, error);
    }
    if (code == ERROR_NONE)
        result->removed_objects += removal.count;
    free(keys);
    byte_buffer_clear(&removal.keys);
    return code;
}

/* A point goes before what it names. */
static enum error_code remove_points(struct object_store *target, const int64_t *times,
                                     size_t count, struct backup_result *result,
                                     struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        char text[BUCKET_KEY_MAX];
        code = object_store_remove(target, NULL, backup_point_key_format(times[i], text), error);
        result->removed_points += code == ERROR_NONE;
    }
    return code;
}

enum error_code backup_prune(struct object_store *target, uint32_t keep,
                             struct backup_result *result, struct error *error)
{
    int64_t *times;
    size_t count;
    struct kept kept = {0};
    enum error_code code = backup_points_list(target, &times, &count, error);
    if (code != ERROR_NONE)
        return code;
    size_t old = count > keep ? count - keep : 0;
    code = keep_points(target, times + old, count - old, &kept, error);
    if (code == ERROR_NONE)
        code = remove_points(target, times, old, result, error);
    if (code == ERROR_NONE)
        code = remove_superfluous(target, &kept, TEXT("shards/"), result, error);
    if (code == ERROR_NONE)
        code = remove_superfluous(target, &kept, TEXT(BUCKET_META_PREFIX), result, error);
    for (size_t i = 0; i < kept.count; i++)
        backup_point_clear(&kept.points[i]);
    free(kept.points);
    block_copies_clear(&kept.blocks);
    free(times);
    return code;
}
