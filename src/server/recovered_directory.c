#include "recovered_directory.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hosting/hosting.h"
#include "placement/formation.h"
#include "platform/data_directory.h"
#include "platform/disk_uring.h"

#include "node_cluster.h"
#include "node_identity.h"
#include "program_version.h"
#include "snapshot_journal.h"
#include "stored_file.h"
#include "topology.h"

enum { PATH_BYTES = 4096, SHARD_DIRECTORY_BYTES = 64, REMOVE_DESCRIPTORS = 16 };

static const char MARK[] = "recovering";
static const char MARK_TEXT[] = "A recovery is under way, or was broken off: begin it anew with\n"
                                "gnomon cluster recover, or empty the directory.\n";

/* What is there before anything is stored; the rest is data. */
static const char *const HARMLESS[] = {".", "..", "lost+found", "lock", "format", "node"};

struct recovered_directory {
    const struct settings *settings;
    const char *path;
    struct data_directory *locked;
    struct disk *disk;
    uint8_t id[CLUSTER_DIRECTORY_ID_BYTES];
    uint8_t owner[CLUSTER_ID_BYTES];

    /* Of one that will be of a cluster. */
    struct cluster_addresses addresses;
    struct cluster_founder founder;
};

/* --- Before and after ------------------------------------------------------------------------- */

static enum error_code path_of(const char *directory, const char *name, char path[PATH_BYTES],
                               struct error *error)
{
    int size = snprintf(path, PATH_BYTES, "%s/%s", directory, name);
    return size >= 0 && size < PATH_BYTES
               ? ERROR_NONE
               : error_set(error, ERROR_INVALID, "the path of the data directory is too long");
}

static bool is_marked(const char *directory)
{
    char path[PATH_BYTES];
    struct error error;
    return path_of(directory, MARK, path, &error) == ERROR_NONE && access(path, F_OK) == 0;
}

enum error_code recovered_directory_check(const char *path, struct error *error)
{
    return is_marked(path)
               ? error_set(error, ERROR_CONFLICT,
                           "the recovery of '%s' was broken off: run gnomon cluster recover again",
                           path)
               : ERROR_NONE;
}

static enum error_code check_empty(const char *path, struct error *error)
{
    DIR *directory = is_marked(path) ? NULL : opendir(path);
    enum error_code code = ERROR_NONE;
    if (directory == NULL) /* there is none, or it is known */
        return ERROR_NONE;
    for (struct dirent *entry; code == ERROR_NONE && (entry = readdir(directory)) != NULL;) {
        bool is_harmless = false;
        for (size_t i = 0; i < sizeof HARMLESS / sizeof HARMLESS[0]; i++)
            is_harmless |= strcmp(entry->d_name, HARMLESS[i]) == 0;
        if (!is_harmless)
            code = error_set(error, ERROR_CONFLICT,
                             "'%s' is not empty ('%s' is there): a cluster is recovered into an "
                             "empty storage.directory",
                             path, entry->d_name);
    }
    closedir(directory);
    return code;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static enum error_code remove_all(const char *directory, const char *name, struct error *error)
{
    char path[PATH_BYTES];
    enum error_code code = path_of(directory, name, path, error);
    if (code == ERROR_NONE &&
        nftw(path, remove_entry, REMOVE_DESCRIPTORS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 &&
        errno != ENOENT)
        code = error_set_errno(error, errno, "remove '%s'", path);
    return code;
}

enum error_code recovered_directory_begin(struct recovered_directory *directory,
                                          struct error *error)
{
    static const char *const LEFT[] = {"shards", "journal", "topology", "identity", "cluster"};
    enum error_code code =
        stored_file_write(directory->path, MARK, MARK_TEXT, sizeof MARK_TEXT - 1, error);
    for (size_t i = 0; code == ERROR_NONE && i < sizeof LEFT / sizeof LEFT[0]; i++)
        code = remove_all(directory->path, LEFT[i], error);
    return code;
}

/* --- Who it will be --------------------------------------------------------------------------- */

/* A cluster of one; its id does not depend on how it is divided. */
static enum error_code found(const struct recovered_directory *directory,
                             const struct formation_options *options, struct arena *arena,
                             struct cluster_entry *entry_out, struct error *error)
{
    return formation_found(&directory->founder, 1, options, arena, entry_out, error);
}

static struct formation_options formation_of(const struct settings *settings)
{
    return (struct formation_options){
        .name = settings->cluster_name,
        .shard_count = 1,
        .replication = (uint32_t)settings->cluster_replication,
        .version = PROGRAM_STATE_VERSION_MAX,
        .spread = (uint32_t)settings->cluster_spread,
        .first_group = hosting_group_of(0),
    };
}

static enum error_code describe_founder(struct recovered_directory *directory, struct error *error)
{
    struct formation_options options = formation_of(directory->settings);
    struct cluster_entry entry;
    struct arena *arena = NULL;
    enum error_code code =
        cluster_addresses_read(directory->settings, &directory->addresses, error);
    if (code == ERROR_NONE)
        code = node_cluster_describe(directory->settings, directory->addresses.advertise,
                                     directory->id, &directory->founder.identity,
                                     &directory->founder.traits, error);
    if (code == ERROR_NONE && (arena = arena_create(0)) == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "founding");
    if (code == ERROR_NONE)
        code = found(directory, &options, arena, &entry, error);
    if (code == ERROR_NONE)
        memcpy(directory->owner, entry.found.cluster_id, sizeof directory->owner);
    arena_destroy(arena);
    return code;
}

enum error_code recovered_directory_open(const struct settings *settings,
                                         struct recovered_directory **directory_out,
                                         struct error *error)
{
    struct recovered_directory *directory = calloc(1, sizeof *directory);
    if (directory == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "data directory");
    directory->settings = settings;
    directory->path = settings->storage_directory;
    enum error_code code = check_empty(directory->path, error);
    if (code == ERROR_NONE)
        code = data_directory_open(directory->path, DATA_FORMAT_VERSION, &directory->locked, error);
    if (code == ERROR_NONE)
        code = disk_uring_create(directory->path, NULL, DISK_ENGINE_BEST, &directory->disk, error);
    if (code == ERROR_NONE)
        code = node_identity_directory(directory->path, directory->id, error);
    if (code == ERROR_NONE && settings_are_clustered(settings))
        code = describe_founder(directory, error);
    else if (code == ERROR_NONE)
        memcpy(directory->owner, directory->id, sizeof directory->owner);
    if (code != ERROR_NONE) {
        recovered_directory_close(directory);
        return code;
    }
    *directory_out = directory;
    return ERROR_NONE;
}

void recovered_directory_close(struct recovered_directory *directory)
{
    if (directory == NULL)
        return;
    cluster_addresses_clear(&directory->addresses);
    disk_uring_destroy(directory->disk);
    data_directory_close(directory->locked);
    free(directory);
}

const uint8_t *recovered_directory_owner(const struct recovered_directory *directory)
{
    return directory->owner;
}

/* --- The cluster ------------------------------------------------------------------------------ */

/* Apply an entry to the state; indexes rise. */
static enum error_code apply(struct cluster_state *state, const struct cluster_entry *entry,
                             uint64_t index, struct error *error)
{
    struct byte_buffer bytes = {0};
    struct cluster_outcome outcome;
    enum error_code code = cluster_entry_encode(entry, &bytes, error);
    if (code == ERROR_NONE)
        code = cluster_state_apply(state, index, bytes.bytes, bytes.size, &outcome, error);
    if (code == ERROR_NONE && outcome.refusal != CLUSTER_ACCEPTED)
        code = error_set(error, ERROR_INVALID, "state of the cluster: %s",
                         cluster_refusal_text(outcome.refusal));
    byte_buffer_clear(&bytes);
    return code;
}

static enum error_code apply_settings(struct cluster_state *state, const struct bucket_meta *meta,
                                      uint64_t *index, struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < meta->setting_count; i++) {
        const struct bucket_meta_setting *setting = &meta->settings[i];
        struct cluster_entry entry = {
            .kind = CLUSTER_SET_TENANT,
            .set_tenant = {setting->tenant, setting->key, setting->value},
        };
        code = apply(state, &entry, ++*index, error);
    }
    return code;
}

static enum error_code write_identity(const struct recovered_directory *directory,
                                      const struct cluster_entry *entry, struct error *error)
{
    struct byte_buffer founding = {0}, bytes = {0};
    struct meta_founder founder = {.identity = directory->founder.identity};
    enum error_code code = cluster_entry_encode(entry, &founding, error);
    if (code == ERROR_NONE) {
        memcpy(founder.cluster_id, entry->found.cluster_id, sizeof founder.cluster_id);
        founder.founding = founding.bytes;
        founder.founding_bytes = founding.size;
        meta_founder_encode(&founder, &bytes);
        code = bytes.failed ? error_set(error, ERROR_OUT_OF_MEMORY, "identity")
                            : node_identity_write(directory->path, bytes.bytes, bytes.size, error);
    }
    byte_buffer_clear(&founding);
    byte_buffer_clear(&bytes);
    return code;
}

/* The state of the meta group as the record of its log: slots, shards and settings of before, this
 * node as the only one. */
static enum error_code found_cluster(const struct recovered_directory *directory,
                                     const struct revival_survey *survey,
                                     const struct topology *topology,
                                     struct snapshot_record *record_out, struct error *error)
{
    struct formation_options options = formation_of(directory->settings);
    struct cluster_state *state = NULL;
    struct cluster_entry entry;
    uint64_t index = 1;
    options.shard_count = topology->slots.shard_count;
    options.slots = topology->slots.shards;
    options.spread = topology->spread;
    if (survey->has_meta && survey->meta.key.index > 0) /* not of a node alone */
        options.replication = survey->meta.replication;
    struct arena *arena = arena_create(0);
    enum error_code code = arena == NULL ? error_set(error, ERROR_OUT_OF_MEMORY, "founding")
                                         : found(directory, &options, arena, &entry, error);
    if (code == ERROR_NONE)
        code = cluster_state_create(PROGRAM_STATE_VERSION_MAX, &state, error);
    if (code == ERROR_NONE)
        code = apply(state, &entry, index, error);
    if (code == ERROR_NONE)
        code = apply_settings(state, &survey->meta, &index, error);
    if (code == ERROR_NONE)
        code = write_identity(directory, &entry, error);
    if (code == ERROR_NONE) {
        record_out->export = (struct group_export){META_GROUP_ID, index, &NODE_FOUNDER, 1};
        cluster_state_encode(state, &record_out->state);
    }
    cluster_state_destroy(state);
    arena_destroy(arena);
    return code;
}

/* --- Filling ---------------------------------------------------------------------------------- */

static void divide(const struct recovered_directory *directory, const struct revival_survey *survey,
                   struct topology *topology)
{
    uint32_t spread =
        survey->has_meta ? survey->meta.spread : (uint32_t)directory->settings->cluster_spread;
    topology_init(topology, (uint32_t)survey->shard_count, spread);
    for (size_t slot = 0; slot < SLOT_COUNT; slot++)
        topology->slots.shards[slot] = (uint16_t)survey->shard_of[slot];
}

static enum error_code make_shards(const struct recovered_directory *directory,
                                   const struct revival_survey *survey, enum revival_blocks blocks,
                                   struct snapshot_record *records, size_t *count, FILE *output,
                                   struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (uint32_t shard = 0; code == ERROR_NONE && shard < survey->shard_count; shard++) {
        char path[SHARD_DIRECTORY_BYTES];
        struct snapshot_record *record = &records[*count];
        uint64_t index;
        snprintf(path, sizeof path, "shards/%04u", shard);
        code = revival_make_shard(survey, shard, blocks, directory->disk, path, &record->state,
                                  &index, error);
        if (code != ERROR_NONE || index == 0)
            continue; /* nothing is known of it: the group begins anew */
        record->export = (struct group_export){hosting_group_of(shard), index, &NODE_FOUNDER, 1};
        ++*count;
        fprintf(output, "shard %u: %zu blocks\n", shard,
                survey->shards[survey->shards[shard].source].list.block_count);
        fflush(output);
    }
    return code;
}

static enum error_code write_records(const struct recovered_directory *directory,
                                     const struct revival_survey *survey,
                                     const struct topology *topology,
                                     struct snapshot_record *records, size_t count,
                                     struct error *error)
{
    struct topology stored;
    enum error_code code = ERROR_NONE;
    if (settings_are_clustered(directory->settings))
        code = found_cluster(directory, survey, topology, &records[count++], error);
    else
        code = topology_open(directory->path, topology, &stored, error);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++)
        if (records[i].state.failed)
            code = error_set(error, ERROR_OUT_OF_MEMORY, "states of shards");
    return code == ERROR_NONE ? snapshot_journal_write(directory->path, records, count, error)
                              : code;
}

static enum error_code complete(const struct recovered_directory *directory, struct error *error)
{
    enum error_code code = disk_sync_directory(directory->disk, "shards", error);
    if (code == ERROR_NONE)
        code = disk_sync_directory(directory->disk, "", error);
    if (code == ERROR_NONE)
        code = disk_remove(directory->disk, MARK, error);
    return code == ERROR_NONE ? disk_sync_directory(directory->disk, "", error) : code;
}

enum error_code recovered_directory_fill(struct recovered_directory *directory,
                                         const struct revival_survey *survey,
                                         enum revival_blocks blocks, FILE *output,
                                         struct error *error)
{
    struct topology topology;
    size_t count = 0;
    struct snapshot_record *records = calloc(survey->shard_count + 1, sizeof *records);
    if (records == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "shards");
    divide(directory, survey, &topology);
    enum error_code code = disk_make_directory(directory->disk, "shards", error);
    if (code == ERROR_NONE)
        code = make_shards(directory, survey, blocks, records, &count, output, error);
    if (code == ERROR_NONE)
        code = write_records(directory, survey, &topology, records, count, error);
    if (code == ERROR_NONE)
        code = complete(directory, error);
    for (size_t i = 0; i <= survey->shard_count; i++)
        byte_buffer_clear(&records[i].state);
    free(records);
    return code;
}
