#include "shard_version.h"

#include <assert.h>

#include "base/log.h"
#include "base/state_version.h"

#include "shard_private.h"

static uint32_t known_max(const struct shard *shard)
{
    return shard->options.version_max == 0 ? STATE_VERSION_MAX : shard->options.version_max;
}

enum error_code shard_version_check(const struct shard *shard, uint64_t version,
                                    struct error *error)
{
    if (version < STATE_VERSION_FIRST)
        return error_set(error, ERROR_CORRUPT, "shard %u: state-machine version %llu",
                         shard->options.shard_id, (unsigned long long)version);
    if (version > known_max(shard))
        return error_set(error, ERROR_UNSUPPORTED,
                         "shard %u is of state-machine version %llu, this program knows versions "
                         "up to %u: run a release that knows version %llu; nothing was changed",
                         shard->options.shard_id, (unsigned long long)version, known_max(shard),
                         (unsigned long long)version);
    return ERROR_NONE;
}

/* The version that entries of a kind came with. */
static uint32_t version_of(enum entry_kind kind)
{
    switch (kind) {
    case ENTRY_WRITE:
    case ENTRY_FREEZE:
    case ENTRY_MERGE_START:
    case ENTRY_MERGE_DONE:
    case ENTRY_RETENTION:
    case ENTRY_DELETE_SERIES:
    case ENTRY_CLEAN_TOMBSTONES:
    case ENTRY_FORGET_SERIES:
    case ENTRY_FORGET_METADATA:
    case ENTRY_MERGE_GIVEN_UP:
    case ENTRY_STATE_VERSION:
        return STATE_VERSION_FIRST;
    case ENTRY_SPLIT:
        return STATE_VERSION_SPLITS;
    case ENTRY_UPLOADED:
    case ENTRY_PUBLISHED:
    case ENTRY_REMOVED:
    case ENTRY_RETENTION_POLICY:
        return STATE_VERSION_BUCKET;
    }
    return UINT32_MAX;
}

enum error_code shard_version_allows(const struct shard *shard, enum entry_kind kind,
                                     struct error *error)
{
    if (version_of(kind) <= shard->state_version)
        return ERROR_NONE;
    return error_set(error, ERROR_UNSUPPORTED,
                     "shard %u is of state-machine version %u, which has no entries of kind %d",
                     shard->options.shard_id, shard->state_version, (int)kind);
}

/* --- Rising ---------------------------------------------------------------------------------- */

enum error_code shard_apply_version(struct shard *shard, uint64_t index, struct byte_reader *body,
                                    struct error *error)
{
    uint64_t version = byte_reader_varint(body);
    shard->version_proposed = false;
    if (body->failed || byte_reader_left(body) > 0)
        return error_set(error, ERROR_CORRUPT, "state-machine version: cut, or stray bytes");
    enum error_code code = shard_version_check(shard, version, error);
    if (code != ERROR_NONE)
        return code;
    if (version <= shard->state_version)
        return ERROR_NONE; /* proposed twice by two leaders */
    if (shard->windows.table == NULL && version >= STATE_VERSION_WINDOWS) {
        /* All that was written before counts as changed now. */
        code = windows_init(&shard->windows, index, NULL, 0, error);
        if (code != ERROR_NONE)
            return code;
        windows_begin(&shard->windows, index);
        windows_end_before(&shard->windows, shard->retention_cutoff_ms);
    }
    if (shard->state_version < STATE_VERSION_BUCKET && version >= STATE_VERSION_BUCKET)
        bucket_change(&shard->bucket, index); /* there is to be a list of each shard */
    log_event(LOG_INFO, "shard", "a new state-machine version is in force",
              "shard=%u index=%llu version=%llu before=%u", shard->options.shard_id,
              (unsigned long long)index, (unsigned long long)version, shard->state_version);
    shard->state_version = (uint32_t)version;
    return ERROR_NONE;
}

void shard_want_version(struct shard *shard, uint32_t version)
{
    shard->version_wanted = version;
}

void shard_version_propose(struct shard *shard)
{
    uint32_t version = shard->version_wanted;
    if (version > known_max(shard))
        version = known_max(shard);
    if (shard->version_proposed || version <= shard->state_version)
        return;
    struct byte_buffer entry = {0};
    entry_encode_header(&entry, ENTRY_STATE_VERSION,
                        clock_now_ms(shard->options.environment->clock));
    byte_buffer_varint(&entry, version);
    shard->version_proposed = shard_propose(shard, &entry);
}

/* --- Versions of windows, for readers -------------------------------------------------------- */

void shard_show_windows(struct shard *shard)
{
    struct window_table *before = shard->shown_windows;
    if (before == shard->windows.table)
        return; /* readers see each change of it */
    pthread_mutex_lock(&shard->view_lock);
    shard->shown_windows = window_table_ref(shard->windows.table);
    pthread_mutex_unlock(&shard->view_lock);
    window_table_unref(before);
}

void shard_read_window_versions(struct shard *shard, int64_t first, size_t count,
                                uint64_t *versions_out)
{
    pthread_mutex_lock(&shard->view_lock);
    struct window_table *table = window_table_ref(shard->shown_windows);
    pthread_mutex_unlock(&shard->view_lock);
    for (size_t i = 0; i < count; i++)
        versions_out[i] = window_table_version(table, first + (int64_t)i);
    window_table_unref(table);
}
