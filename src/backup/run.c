/* A backup: from the bucket of a cluster to a store of backups. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "revival/revival.h"

#include "backup_parts.h"

enum {
    LOOKS_MAX = 5, /* lists of which a block was merged away meanwhile are looked for anew */
    /* A cluster that has just begun to upload puts its meta object within seconds. */
    META_WAITS_MAX = 30,
};
static const struct timespec META_WAIT = {.tv_sec = 1};

static bool is_owner(const struct backup_point *point, const struct bucket_claim *claim)
{
    return memcmp(point->owner, claim->owner, BUCKET_OWNER_BYTES) == 0 ||
           (claim->was_recovered && memcmp(point->owner, claim->former, BUCKET_OWNER_BYTES) == 0);
}

/* The newest point tells whose backups these are. One that is damaged tells nothing. */
static enum error_code check_owner(struct object_store *target, const struct bucket_claim *claim,
                                   int64_t now_ms, struct error *error)
{
    int64_t *times;
    size_t count;
    enum error_code code = backup_points_list(target, &times, &count, error);
    if (code != ERROR_NONE)
        return code;
    if (count > 0 && times[count - 1] >= now_ms) {
        code = error_set(error, ERROR_CONFLICT,
                         "the target has a backup of a later time than now: set the clock");
    } else if (count > 0) {
        struct backup_point point;
        struct error ignored;
        if (backup_point_read(target, times[count - 1], &point, &ignored) == ERROR_NONE) {
            if (!is_owner(&point, claim))
                code = error_set(error, ERROR_CONFLICT,
                                 "the target has backups of another cluster: give each cluster a "
                                 "store, directory or prefix of its own");
            backup_point_clear(&point);
        }
    }
    free(times);
    return code;
}

static enum error_code check_stores(const struct backup_options *options,
                                    const struct revival_survey *survey, int64_t now_ms,
                                    struct error *error)
{
    bool is_bucket;
    if (!survey->has_claim || survey->shard_count == 0)
        return error_set(error, ERROR_NOT_FOUND,
                         "nothing was uploaded to the object store: there is nothing to copy");
    enum error_code code =
        backup_has_object(options->target, TEXT(BUCKET_CLUSTER_KEY), &is_bucket, error);
    if (code == ERROR_NONE && is_bucket)
        code = error_set(error, ERROR_CONFLICT,
                         "the target is the bucket of a cluster, not a place for backups");
    return code == ERROR_NONE ? check_owner(options->target, &survey->claim, now_ms, error) : code;
}

/* --- What is named -----------------------------------------------------------------------------
 */

static enum error_code describe(const struct revival_survey *survey, struct backup_point *point,
                                struct block_copies *copies, struct error *error)
{
    memcpy(point->owner, survey->claim.owner, BUCKET_OWNER_BYTES);
    point->incarnation = survey->claim.incarnation;
    point->has_meta = survey->has_meta;
    if (survey->has_meta)
        point->meta = survey->meta.key;
    point->shards = calloc(survey->shard_count, sizeof *point->shards);
    if (point->shards == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "point of a backup");
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < survey->shard_count; i++) {
        const struct revival_shard *shard = &survey->shards[i];
        if (!shard->has_list)
            continue;
        point->shards[point->shard_count++] =
            (struct backup_shard){shard->list.key, shard->has_metadata, shard->metadata};
        for (size_t k = 0; k < shard->list.block_count; k++)
            point->samples += shard->list.blocks[k].summary.sample_count;
        code = block_copies_add(copies, &shard->list, error);
    }
    return code;
}

/* NOT_FOUND: something was deleted meanwhile, and newer lists do without it. */
static enum error_code copy_all(const struct backup_options *options,
                                const struct revival_survey *survey, struct backup_point *point,
                                struct backup_progress *progress, struct error *error)
{
    struct block_copies copies = {0};
    enum error_code code = describe(survey, point, &copies, error);
    if (code == ERROR_NONE)
        code = backup_copy_named(options->source, options->target, point, error);
    if (code == ERROR_NONE)
        code = block_copies_look(&copies, options->target, error);
    if (code == ERROR_NONE)
        code = block_copies_run(&copies, options, progress, error);
    point->blocks = progress->blocks;
    point->bytes = progress->bytes;
    block_copies_clear(&copies);
    return code;
}

static enum error_code put_point(const struct backup_options *options,
                                 const struct backup_point *point, struct error *error)
{
    char text[BUCKET_KEY_MAX];
    struct byte_buffer bytes = {0};
    backup_point_encode(point, &bytes);
    enum error_code code =
        bytes.failed
            ? error_set(error, ERROR_OUT_OF_MEMORY, "point of a backup")
            : object_store_put(options->target, NULL, backup_point_key_format(point->time_ms, text),
                               bytes.bytes, bytes.size, error);
    byte_buffer_clear(&bytes);
    return code;
}

/* --- Public ------------------------------------------------------------------------------------
 */

static enum error_code look(const struct backup_options *options, struct revival_survey *survey,
                            struct error *error)
{
    for (int i = 0;; i++) {
        enum error_code code = revival_look(options->source, survey, error);
        if (code != ERROR_NONE || survey->has_meta || survey->shard_count == 0 ||
            i == META_WAITS_MAX)
            return code;
        revival_clear(survey);
        nanosleep(&META_WAIT, NULL);
    }
}

static enum error_code look_and_copy(const struct backup_options *options, int64_t now_ms,
                                     struct backup_result *result, struct error *error)
{
    struct revival_survey survey;
    struct backup_point point = {.time_ms = now_ms};
    enum error_code code = look(options, &survey, error);
    if (code != ERROR_NONE)
        return code;
    code = check_stores(options, &survey, now_ms, error);
    if (code == ERROR_NONE) {
        code = copy_all(options, &survey, &point, &result->progress, error);
        if (code == ERROR_NOT_FOUND) /* of the objects, not of the cluster */
            error->code = code = ERROR_UNAVAILABLE;
    }
    if (code == ERROR_NONE)
        code = put_point(options, &point, error);
    result->samples = point.samples;
    backup_point_clear(&point);
    revival_clear(&survey);
    return code;
}

enum error_code backup_run(const struct backup_options *options, int64_t now_ms, uint32_t keep,
                           struct backup_result *result_out, struct error *error)
{
    enum error_code code = ERROR_UNAVAILABLE;
    *result_out = (struct backup_result){.time_ms = now_ms};
    for (int i = 0; code == ERROR_UNAVAILABLE && i < LOOKS_MAX; i++)
        code = look_and_copy(options, now_ms, result_out, error);
    if (code == ERROR_NONE && keep > 0)
        code = backup_prune(options->target, keep, result_out, error);
    return code;
}
