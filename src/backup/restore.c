/* A restore: from a store of backups to an empty bucket. */
#include <stdlib.h>
#include <string.h>

#include "backup_parts.h"

/* --- The target --------------------------------------------------------------------------------
 */

static bool stop_at_first(void *context, const struct object_info *object)
{
    (void)object;
    *(bool *)context = true;
    return false;
}

static enum error_code has_any(struct object_store *store, struct text prefix, bool *has,
                               struct error *error)
{
    struct object_range range = {.prefix = prefix};
    return object_store_list(store, NULL, &range, stop_at_first, has, error);
}

/* An empty store, or one in which the same point was begun. */
static enum error_code check_target(struct object_store *target, struct text point,
                                    struct error *error)
{
    bool has_cluster, has_objects = false;
    struct byte_buffer marker = {0};
    enum error_code code = backup_has_object(target, TEXT(BUCKET_CLUSTER_KEY), &has_cluster, error);
    if (code != ERROR_NONE)
        return code;
    if (has_cluster)
        return error_set(error, ERROR_CONFLICT,
                         "the object store of the settings is that of a cluster: restore into an "
                         "empty one");
    code = object_store_read_whole(target, NULL, TEXT(BACKUP_RESTORING_KEY), BUCKET_KEY_MAX,
                                   &marker, error);
    if (code == ERROR_NONE) {
        if (!text_equal((struct text){(const char *)marker.bytes, marker.size}, point))
            code = error_set(error, ERROR_CONFLICT,
                             "a restore of '%.*s' into this object store was broken off: end that, "
                             "or empty the store",
                             (int)marker.size, (const char *)marker.bytes);
        byte_buffer_clear(&marker);
        return code;
    }
    byte_buffer_clear(&marker);
    if (code != ERROR_NOT_FOUND)
        return code;
    error_clear(error);
    code = has_any(target, TEXT("shards/"), &has_objects, error);
    if (code == ERROR_NONE)
        code = has_any(target, TEXT(BUCKET_META_PREFIX), &has_objects, error);
    if (code == ERROR_NONE)
        code = has_any(target, TEXT(BACKUP_POINT_PREFIX), &has_objects, error);
    if (code == ERROR_NONE && has_objects)
        code = error_set(error, ERROR_CONFLICT,
                         "the object store of the settings is not empty: restore into an empty "
                         "one");
    return code == ERROR_NONE ? object_store_put(target, NULL, TEXT(BACKUP_RESTORING_KEY),
                                                 point.data, point.size, error)
                              : code;
}

/* --- Copying -----------------------------------------------------------------------------------
 */

static enum error_code choose(struct object_store *source, int64_t *time_ms, struct error *error)
{
    int64_t *times;
    size_t count;
    bool is_there = false;
    enum error_code code = backup_points_list(source, &times, &count, error);
    if (code != ERROR_NONE)
        return code;
    if (*time_ms == INT64_MAX && count > 0)
        *time_ms = times[count - 1];
    for (size_t i = 0; i < count; i++)
        is_there |= times[i] == *time_ms;
    free(times);
    return is_there ? ERROR_NONE
                    : error_set(error, ERROR_NOT_FOUND,
                                count == 0 ? "there is no backup in that store"
                                           : "there is no backup of that time");
}

static enum error_code add_lists(const struct backup_options *options,
                                 const struct backup_point *point, struct block_copies *copies,
                                 uint64_t *samples, struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < point->shard_count; i++) {
        struct bucket_list list;
        code = backup_read_list(options->source, &point->shards[i].list, &list, error);
        if (code != ERROR_NONE)
            break;
        code = block_copies_add(copies, &list, error);
        for (size_t k = 0; k < list.block_count; k++)
            *samples += list.blocks[k].summary.sample_count;
        bucket_list_clear(&list);
    }
    return code;
}

/* Lists come behind the blocks that they name, and whose bucket it is comes last. */
static enum error_code finish(const struct backup_options *options,
                              const struct backup_point *point, struct error *error)
{
    struct byte_buffer bytes = {0};
    struct bucket_claim claim = {.incarnation = point->incarnation};
    memcpy(claim.owner, point->owner, BUCKET_OWNER_BYTES);
    enum error_code code = backup_copy_named(options->source, options->target, point, error);
    bucket_claim_encode(&claim, &bytes);
    if (code == ERROR_NONE && bytes.failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "claim of a bucket");
    if (code == ERROR_NONE)
        code = object_store_put(options->target, NULL, TEXT(BUCKET_RESTORED_KEY), "", 0, error);
    if (code == ERROR_NONE)
        code = object_store_put(options->target, NULL, TEXT(BUCKET_CLUSTER_KEY), bytes.bytes,
                                bytes.size, error);
    byte_buffer_clear(&bytes);
    if (code == ERROR_NONE)
        code = object_store_remove(options->target, NULL, TEXT(BACKUP_RESTORING_KEY), error);
    return code;
}

enum error_code restore_run(const struct backup_options *options, int64_t time_ms,
                            struct backup_result *result_out, struct error *error)
{
    char text[BUCKET_KEY_MAX];
    struct backup_point point = {0};
    struct block_copies copies = {0};
    *result_out = (struct backup_result){0};
    enum error_code code = choose(options->source, &time_ms, error);
    if (code == ERROR_NONE)
        code = backup_point_read(options->source, time_ms, &point, error);
    if (code == ERROR_NONE)
        code = check_target(options->target, backup_point_key_format(time_ms, text), error);
    if (code == ERROR_NONE)
        code = add_lists(options, &point, &copies, &result_out->samples, error);
    if (code == ERROR_NONE)
        code = block_copies_look(&copies, options->target, error);
    if (code == ERROR_NONE)
        code = block_copies_run(&copies, options, &result_out->progress, error);
    if (code == ERROR_NONE)
        code = finish(options, &point, error);
    result_out->time_ms = time_ms;
    block_copies_clear(&copies);
    backup_point_clear(&point);
    return code;
}
