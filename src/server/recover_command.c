#include "recover_command.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "node_bucket.h"
#include "node_bucket_meta.h"
#include "recovered_directory.h"

static const char HELP[] =
    "gnomon cluster recover [--config FILE] [--NAME=VALUE ...] [--yes] [--force] [--download]\n"
    "\n"
    "Begins a cluster anew from its object store when all data directories are lost. On one node,\n"
    "which does not run and has an empty storage.directory, with the settings that it will serve\n"
    "with: it becomes the only member, and nodes with empty directories join it. The bucket "
    "becomes\n"
    "its own; what of the former cluster still runs uploads nothing from then on.\n"
    "\n"
    "  --yes       do not ask\n"
    "  --download  fetch all blocks now; without it they are read from the bucket, and come back "
    "to\n"
    "              the disk by and by as far as storage.local_retention has them there\n"
    "  --force     though the former cluster seems alive, blocks are missing, which are left out,\n"
    "              or the meta object is\n";

struct recovery {
    struct settings settings;
    struct object_store *store;
    struct recovered_directory *directory;
    struct revival_survey survey;
    bool is_agreed; /* --yes */
    bool is_forced; /* --force */
    enum revival_blocks blocks;
};

/* --- Settings --------------------------------------------------------------------------------- */

/* The options of the command itself leave the arguments; how many are left. */
static int take_options(struct recovery *recovery, int count, char **arguments)
{
    int left = 0;
    for (int i = 0; i < count; i++) {
        if (strcmp(arguments[i], "--yes") == 0)
            recovery->is_agreed = true;
        else if (strcmp(arguments[i], "--force") == 0)
            recovery->is_forced = true;
        else if (strcmp(arguments[i], "--download") == 0)
            recovery->blocks = REVIVAL_DOWNLOADS;
        else
            arguments[left++] = arguments[i];
    }
    return left;
}

static enum error_code open_store(const struct settings *settings, struct object_store **store_out,
                                  struct error *error)
{
    struct object_store_options options = node_bucket_options(settings);
    enum error_code code = object_store_create(&options, store_out, error);
    if (code == ERROR_NONE && *store_out == NULL)
        code = error_set(error, ERROR_INVALID,
                         "object_store.type is none: set the object store of the cluster");
    return code;
}

/* --- Whether it is to be done ----------------------------------------------------------------- */

static enum error_code check_something(const struct revival_survey *survey, struct error *error)
{
    for (size_t i = 0; i < survey->shard_count; i++)
        if (survey->shards[i].has_list)
            return ERROR_NONE;
    return error_set(error, ERROR_NOT_FOUND,
                     "no list of a shard is in this object store: there is nothing to recover");
}

/* Who leads puts its meta object every two minutes. */
static enum error_code check_silence(const struct recovery *recovery, struct error *error)
{
    if (recovery->is_forced || recovery->survey.newest_ms == INT64_MIN)
        return ERROR_NONE;
    int64_t age_ms = clock_now_ms(clock_system()) - recovery->survey.newest_ms;
    if (age_ms >= BUCKET_ALIVE_MS)
        return ERROR_NONE;
    return error_set(error, ERROR_CONFLICT,
                     "something was put into the object store %lld s ago: the cluster may be "
                     "alive; stop all of its nodes and wait until that is %d s ago, or use --force",
                     (long long)(age_ms / 1000), BUCKET_ALIVE_MS / 1000);
}

/* Another division than the one of before would look for series in the wrong shards. */
static enum error_code divide(struct recovery *recovery, struct error *error)
{
    if (!recovery->survey.has_meta && !recovery->is_forced)
        return error_set(error, ERROR_NOT_FOUND,
                         "there is no whole meta object: --force goes on without the settings of "
                         "tenants; cluster.shards and cluster.spread then have to be set as they "
                         "were when the cluster was founded");
    return revival_divide(&recovery->survey, (uint32_t)recovery->settings.cluster_shards, error);
}

static enum error_code check_whole(const struct recovery *recovery, struct error *error)
{
    struct revival_totals totals = revival_count(&recovery->survey);
    if (recovery->is_forced || totals.missing_blocks == 0)
        return ERROR_NONE;
    return error_set(error, ERROR_NOT_FOUND,
                     "%llu blocks with %llu samples are listed and not there: --force goes on "
                     "without them",
                     (unsigned long long)totals.missing_blocks,
                     (unsigned long long)totals.missing_samples);
}

static enum error_code ask(const struct recovery *recovery, struct error *error)
{
    char answer[16] = "";
    if (recovery->is_agreed)
        return ERROR_NONE;
    if (isatty(STDIN_FILENO)) {
        printf("Recover the cluster from this into '%s'? The bucket will be its own. [yes/no] ",
               recovery->settings.storage_directory);
        fflush(stdout);
        if (fgets(answer, sizeof answer, stdin) != NULL && strcmp(answer, "yes\n") == 0)
            return ERROR_NONE;
    }
    return error_set(error, ERROR_CANCELED, "nothing was done: --yes does it without asking");
}

/* --- The claim -------------------------------------------------------------------------------- */

enum { CLAIM_SETTLES_MS = 2500 };

static enum error_code put_claim(struct object_store *store, const struct bucket_claim *claim,
                                 struct error *error)
{
    struct byte_buffer bytes = {0};
    bucket_claim_encode(claim, &bytes);
    enum error_code code = bytes.failed ? error_set(error, ERROR_OUT_OF_MEMORY, "claim of a bucket")
                                        : object_store_put(store, NULL, TEXT(BUCKET_CLUSTER_KEY),
                                                           bytes.bytes, bytes.size, error);
    byte_buffer_clear(&bytes);
    return code;
}

/* Of two who claim at once the last one has it: both look after a while. */
static enum error_code check_claim(struct object_store *store, const struct bucket_claim *claim,
                                   struct error *error)
{
    struct timespec pause = {CLAIM_SETTLES_MS / 1000, CLAIM_SETTLES_MS % 1000 * 1000000L};
    struct byte_buffer bytes = {0};
    struct bucket_claim found;
    nanosleep(&pause, NULL);
    enum error_code code = object_store_read_whole(store, NULL, TEXT(BUCKET_CLUSTER_KEY),
                                                   BUCKET_CLAIM_BYTES_MAX, &bytes, error);
    if (code == ERROR_NONE)
        code = bucket_claim_decode(bytes.bytes, bytes.size, &found, error);
    if (code == ERROR_NONE && (memcmp(found.owner, claim->owner, sizeof found.owner) != 0 ||
                               found.incarnation != claim->incarnation))
        code =
            error_set(error, ERROR_CONFLICT, "somebody else has claimed the object store just now");
    byte_buffer_clear(&bytes);
    return code;
}

/* From then on nobody else writes there. */
static enum error_code claim_bucket(const struct recovery *recovery, struct error *error)
{
    const struct revival_survey *survey = &recovery->survey;
    struct bucket_claim claim = {.incarnation = survey->incarnation_max + 1};
    memcpy(claim.owner, recovered_directory_owner(recovery->directory), sizeof claim.owner);
    claim.was_recovered = survey->has_claim;
    memcpy(claim.former, survey->claim.owner, sizeof claim.former);
    if (survey->has_claim && memcmp(survey->claim.owner, claim.owner, sizeof claim.owner) == 0)
        return ERROR_NONE; /* by a recovery that was broken off */
    enum error_code code = put_claim(recovery->store, &claim, error);
    return code == ERROR_NONE ? check_claim(recovery->store, &claim, error) : code;
}

/* --- All -------------------------------------------------------------------------------------- */

static enum error_code decide(struct recovery *recovery, struct error *error)
{
    enum error_code code = revival_look(recovery->store, &recovery->survey, error);
    if (code != ERROR_NONE)
        return code;
    revival_print(&recovery->survey, stdout);
    fflush(stdout);
    code = check_something(&recovery->survey, error);
    if (code == ERROR_NONE)
        code = divide(recovery, error);
    if (code == ERROR_NONE)
        code = check_silence(recovery, error);
    if (code == ERROR_NONE)
        code = check_whole(recovery, error);
    return code == ERROR_NONE ? ask(recovery, error) : code;
}

/* With what is there once the former cluster writes no more. */
static enum error_code recover(struct recovery *recovery, struct error *error)
{
    enum error_code code = recovered_directory_begin(recovery->directory, error);
    if (code == ERROR_NONE)
        code = claim_bucket(recovery, error);
    revival_clear(&recovery->survey);
    if (code == ERROR_NONE)
        code = revival_look(recovery->store, &recovery->survey, error);
    if (code == ERROR_NONE)
        code = divide(recovery, error);
    if (code == ERROR_NONE)
        code = check_whole(recovery, error);
    return code == ERROR_NONE ? recovered_directory_fill(recovery->directory, &recovery->survey,
                                                         recovery->blocks, stdout, error)
                              : code;
}

static void tell_end(const struct recovery *recovery)
{
    struct revival_totals totals = revival_count(&recovery->survey);
    printf("%llu samples are recovered in '%s': run gnomon serve with these settings",
           (unsigned long long)totals.samples, recovery->settings.storage_directory);
    if (settings_are_clustered(&recovery->settings))
        printf("; nodes with empty directories join it by cluster.peers");
    else if (recovery->survey.meta.setting_count > 0)
        printf("; a node alone has no settings of tenants: %zu are left behind",
               recovery->survey.meta.setting_count);
    putchar('\n');
}

static bool asks_help(int count, char **arguments)
{
    for (int i = 0; i < count; i++)
        if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0)
            return true;
    return false;
}

int recover_command(int count, char **arguments)
{
    struct recovery recovery = {0};
    struct error error;
    if (asks_help(count, arguments)) {
        fputs(HELP, stdout);
        return 0;
    }
    count = take_options(&recovery, count, arguments);
    if (settings_load(count, arguments, &recovery.settings, &error) != ERROR_NONE) {
        fprintf(stderr, "gnomon: %s\n", error.message);
        return 1;
    }
    enum error_code code = open_store(&recovery.settings, &recovery.store, &error);
    if (code == ERROR_NONE)
        code = recovered_directory_open(&recovery.settings, &recovery.directory, &error);
    if (code == ERROR_NONE)
        code = decide(&recovery, &error);
    if (code == ERROR_NONE)
        code = recover(&recovery, &error);
    if (code == ERROR_NONE)
        tell_end(&recovery);
    else
        fprintf(stderr, "gnomon: %s\n", error.message);
    revival_clear(&recovery.survey);
    recovered_directory_close(recovery.directory);
    object_store_destroy(recovery.store);
    settings_clear(&recovery.settings);
    return code == ERROR_NONE ? 0 : 1;
}

int bucket_list_command(int count, char **arguments)
{
    struct settings settings;
    struct object_store *store = NULL;
    struct revival_survey survey = {0};
    struct error error;
    if (settings_load(count, arguments, &settings, &error) != ERROR_NONE) {
        fprintf(stderr, "gnomon: %s\n", error.message);
        return 1;
    }
    enum error_code code = open_store(&settings, &store, &error);
    if (code == ERROR_NONE)
        code = revival_look(store, &survey, &error);
    if (code == ERROR_NONE)
        revival_print(&survey, stdout);
    else
        fprintf(stderr, "gnomon: %s\n", error.message);
    bool is_whole = code == ERROR_NONE && revival_count(&survey).missing_blocks == 0;
    revival_clear(&survey);
    object_store_destroy(store);
    settings_clear(&settings);
    return is_whole ? 0 : 1;
}
