#include "backup_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backup/backup.h"
#include "backup/backup_point.h"
#include "cli/node_client.h"
#include "object/object_store_options.h"
#include "platform/clock.h"

#include "node_bucket.h"
#include "settings.h"

enum {
    PROGRESS_MS = 2000,
    FLUSH_TIMEOUT_S = 600,
    COPIES_AT_ONCE = 4,
    COPIES_MAX = 64,
    STORE_FILE_MAX = 3000,
    TIME_CHARACTERS = 40,
};

static const char USAGE[] =
    "gnomon backup [--config FILE] [--NAME=VALUE ...] --to=FILE|--to-directory=FOLDER\n"
    "              [--keep=N] [--flush=URL] [--copies=4] [--scratch=FOLDER]\n"
    "gnomon backup list --from=FILE|--from-directory=FOLDER\n"
    "gnomon restore [--config FILE] [--NAME=VALUE ...] --from=FILE|--from-directory=FOLDER\n"
    "               [--at=ID] [--copies=4] [--scratch=FOLDER]\n"
    "\n"
    "Copies what a cluster has in the object store of the settings (object_store.*) to another\n"
    "store, and back. Blocks that are there already are not copied again, so each backup costs\n"
    "what is new; what is interrupted is simply run again.\n"
    "\n"
    "  --to, --from           a settings file whose object_store.* is the store of the backups\n"
    "  --to-directory, --from-directory\n"
    "                         a folder as that store\n"
    "  --keep=N               the newest N backups stay, and what they need; without it all do\n"
    "  --flush=URL            ask this node first to upload all that it and the others have\n"
    "  --at=ID                which backup, as 'gnomon backup list' shows it; by default the "
    "newest\n"
    "  --copies=N             blocks that are copied at once\n"
    "  --scratch=FOLDER       for blocks on their way; by default TMPDIR, or /tmp\n"
    "\n"
    "A restore fills an object store that is empty. Then `gnomon cluster recover` makes a cluster\n"
    "of it, of any number of nodes.\n";

struct backup_arguments {
    char **rest; /* [rest_count], owned: of the settings */
    int rest_count;
    const char *store_file;      /* --to, --from */
    const char *store_directory; /* --to-directory, --from-directory */
    const char *flush_url;
    const char *scratch;
    uint64_t keep;
    uint64_t copies;
    uint64_t at_ms; /* UINT64_MAX: the newest */
    bool wants_help;
};

static int fail(const struct error *error)
{
    fprintf(stderr, "gnomon: %s\n", error->message);
    return 1;
}

/* --- Arguments ---------------------------------------------------------------------------------
 */

static bool take_text(const char *argument, const char *name, const char **value_out)
{
    size_t size = strlen(name);
    if (strncmp(argument, name, size) != 0 || argument[size] != '=')
        return false;
    *value_out = argument + size + 1;
    return true;
}

static bool take_number(const char *argument, const char *name, uint64_t minimum, uint64_t maximum,
                        uint64_t *value_out, struct error *error)
{
    const char *text;
    uint64_t value;
    if (!take_text(argument, name, &text))
        return false;
    if (!text_to_uint64(text_of(text), &value) || value < minimum || value > maximum)
        error_set(error, ERROR_INVALID, "%s: '%s' is not a number from %" PRIu64 " to %" PRIu64,
                  name, text, minimum, maximum);
    *value_out = value;
    return true;
}

/* `word`: "to" or "from". */
static bool take_store(const char *argument, const char *word, struct backup_arguments *taken)
{
    char name[40];
    snprintf(name, sizeof name, "--%s", word);
    if (take_text(argument, name, &taken->store_file))
        return true;
    snprintf(name, sizeof name, "--%s-directory", word);
    return take_text(argument, name, &taken->store_directory);
}

static enum error_code take_arguments(int count, char **arguments, const char *word,
                                      struct backup_arguments *taken_out, struct error *error)
{
    struct backup_arguments *taken = taken_out;
    *taken = (struct backup_arguments){.copies = COPIES_AT_ONCE, .at_ms = UINT64_MAX};
    error_clear(error);
    taken->rest = calloc((size_t)count + 1, sizeof *taken->rest);
    if (taken->rest == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "arguments");
    for (int i = 0; i < count && error->code == ERROR_NONE; i++) {
        const char *argument = arguments[i];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0)
            taken->wants_help = true;
        else if (!take_store(argument, word, taken) &&
                 !take_text(argument, "--flush", &taken->flush_url) &&
                 !take_text(argument, "--scratch", &taken->scratch) &&
                 !take_number(argument, "--keep", 1, UINT32_MAX, &taken->keep, error) &&
                 !take_number(argument, "--copies", 1, COPIES_MAX, &taken->copies, error) &&
                 !take_number(argument, "--at", 0, INT64_MAX, &taken->at_ms, error))
            taken->rest[taken->rest_count++] = arguments[i];
    }
    if (error->code == ERROR_NONE && !taken->wants_help &&
        (taken->store_file == NULL) == (taken->store_directory == NULL))
        error_set(error, ERROR_INVALID,
                  "say where backups are: --%s=FILE of settings, or --%s-directory=FOLDER", word,
                  word);
    if (taken->scratch == NULL)
        taken->scratch = getenv("TMPDIR");
    if (taken->scratch == NULL)
        taken->scratch = "/tmp";
    return error->code;
}

/* --- Stores ------------------------------------------------------------------------------------
 */

static enum error_code create_store(const struct settings *settings, const char *what,
                                    struct object_store **store_out, struct error *error)
{
    struct object_store_options options = node_bucket_options(settings);
    enum error_code code = object_store_create(&options, store_out, error);
    if (code == ERROR_NONE && *store_out == NULL)
        code = error_set(error, ERROR_INVALID, "object_store.type is none in the settings of %s",
                         what);
    return code;
}

static enum error_code load_settings(int count, char **arguments, const char *what,
                                     struct object_store **store_out, struct error *error)
{
    struct settings settings;
    enum error_code code = settings_load(count, arguments, &settings, error);
    if (code != ERROR_NONE)
        return code;
    code = create_store(&settings, what, store_out, error);
    settings_clear(&settings);
    return code;
}

static enum error_code open_backups(const struct backup_arguments *taken,
                                    struct object_store **store_out, struct error *error)
{
    struct object_store_options options = {.type = OBJECT_STORE_DIRECTORY,
                                           .directory = taken->store_directory,
                                           .clock = clock_system(),
                                           .random = random_system()};
    char flag[STORE_FILE_MAX];
    char *arguments[] = {flag};
    if (taken->store_directory != NULL)
        return object_store_create(&options, store_out, error);
    if ((size_t)snprintf(flag, sizeof flag, "--config=%s", taken->store_file) >= sizeof flag)
        return error_set(error, ERROR_INVALID, "the name of the settings file is too long");
    return load_settings(1, arguments, "the backups", store_out, error);
}

/* --- Telling -----------------------------------------------------------------------------------
 */

struct telling {
    const char *command;
    uint64_t shown_ms;
    uint64_t started_ms;
};

static void show_progress(void *context, const struct backup_progress *progress)
{
    struct telling *telling = context;
    uint64_t now_ms = clock_monotonic_ms(clock_system());
    bool is_over = progress->done_blocks == progress->blocks;
    if (!is_over && telling->shown_ms != 0 && now_ms - telling->shown_ms < PROGRESS_MS)
        return;
    telling->shown_ms = now_ms;
    double seconds = (double)(now_ms - telling->started_ms + 1) / 1000;
    fprintf(stderr, "%s: %" PRIu64 " of %" PRIu64 " blocks, %.1f of %.1f MiB, %.1f MiB/s\n",
            telling->command, progress->done_blocks, progress->blocks,
            (double)progress->done_bytes / 1048576, (double)progress->bytes / 1048576,
            (double)progress->copied_bytes / 1048576 / seconds);
}

static const char *format_time(int64_t time_ms, char text[TIME_CHARACTERS])
{
    struct tm calendar;
    time_t seconds = (time_t)(time_ms / 1000);
    if (gmtime_r(&seconds, &calendar) == NULL ||
        strftime(text, TIME_CHARACTERS, "%Y-%m-%dT%H:%M:%SZ", &calendar) == 0)
        snprintf(text, TIME_CHARACTERS, "-");
    return text;
}

static void print_result(const char *what, const struct backup_result *result)
{
    char text[TIME_CHARACTERS];
    const struct backup_progress *progress = &result->progress;
    printf("%s %" PRId64 " (%s): %" PRIu64 " samples in %" PRIu64 " blocks of %.1f MiB, of which "
           "%" PRIu64 " of %.1f MiB were copied\n",
           what, result->time_ms, format_time(result->time_ms, text), result->samples,
           progress->blocks, (double)progress->bytes / 1048576, progress->copied_blocks,
           (double)progress->copied_bytes / 1048576);
    if (result->removed_points > 0)
        printf("removed %" PRIu64 " older backups and %" PRIu64 " objects that only they had\n",
               result->removed_points, result->removed_objects);
}

/* --- Commands ----------------------------------------------------------------------------------
 */

static enum error_code flush(const char *url, struct error *error)
{
    struct node_client client = {.url = url, .timeout_seconds = FLUSH_TIMEOUT_S};
    enum error_code code = node_client_post(&client, "/api/v1/admin/flush", "", error);
    return code == ERROR_NONE ? code : error_wrap(error, "--flush");
}

enum direction { TO_BACKUPS, FROM_BACKUPS };

/* One of the two, with a scratch folder of its own, so that two runs do not meet. */
static enum error_code copy(enum direction direction, const struct backup_arguments *taken,
                            struct object_store *own, struct object_store *backups,
                            struct backup_result *result, struct error *error)
{
    char scratch[STORE_FILE_MAX];
    bool is_backup = direction == TO_BACKUPS;
    struct telling telling = {is_backup ? "gnomon backup" : "gnomon restore", 0,
                              clock_monotonic_ms(clock_system())};
    struct backup_options options = {.source = is_backup ? own : backups,
                                     .target = is_backup ? backups : own,
                                     .scratch = scratch,
                                     .copies_at_once = (uint32_t)taken->copies,
                                     .report = show_progress,
                                     .context = &telling};
    if ((size_t)snprintf(scratch, sizeof scratch, "%s/gnomon-backup-XXXXXX", taken->scratch) >=
            sizeof scratch ||
        mkdtemp(scratch) == NULL)
        return error_set(error, ERROR_IO,
                         "no folder can be made in '%s': name another one by --scratch",
                         taken->scratch);
    enum error_code code = ERROR_NONE;
    if (taken->flush_url != NULL)
        code = flush(taken->flush_url, error);
    if (code == ERROR_NONE && is_backup)
        code = backup_run(&options, clock_now_ms(clock_system()), (uint32_t)taken->keep, result,
                          error);
    else if (code == ERROR_NONE)
        code = restore_run(&options, taken->at_ms == UINT64_MAX ? INT64_MAX : (int64_t)taken->at_ms,
                           result, error);
    rmdir(scratch);
    return code;
}

static int run(int count, char **arguments, enum direction direction)
{
    struct backup_arguments taken;
    struct object_store *own = NULL, *backups = NULL;
    struct backup_result result;
    struct error error;
    bool is_backup = direction == TO_BACKUPS;
    enum error_code code =
        take_arguments(count, arguments, is_backup ? "to" : "from", &taken, &error);
    if (code == ERROR_NONE && taken.wants_help) {
        fputs(USAGE, stdout);
        free(taken.rest);
        return 0;
    }
    if (code == ERROR_NONE)
        code = load_settings(taken.rest_count, taken.rest, "the cluster", &own, &error);
    if (code == ERROR_NONE)
        code = open_backups(&taken, &backups, &error);
    if (code == ERROR_NONE)
        code = copy(direction, &taken, own, backups, &result, &error);
    object_store_destroy(own);
    object_store_destroy(backups);
    free(taken.rest);
    if (code != ERROR_NONE)
        return fail(&error);
    print_result(is_backup ? "backup" : "restored", &result);
    if (!is_backup)
        printf("`gnomon cluster recover` with these settings makes a cluster of it\n");
    return 0;
}

int backup_command(int count, char **arguments)
{
    return run(count, arguments, TO_BACKUPS);
}

int restore_command(int count, char **arguments)
{
    return run(count, arguments, FROM_BACKUPS);
}

static enum error_code print_points(struct object_store *store, struct error *error)
{
    int64_t *times;
    size_t times_count;
    enum error_code code = backup_points_list(store, &times, &times_count, error);
    if (code != ERROR_NONE)
        return code;
    printf("%-14s %-21s %8s %12s %16s\n", "ID", "TIME", "BLOCKS", "MIB", "SAMPLES");
    for (size_t i = 0; i < times_count; i++) {
        char text[TIME_CHARACTERS];
        struct backup_point point;
        struct error damage;
        format_time(times[i], text);
        if (backup_point_read(store, times[i], &point, &damage) != ERROR_NONE) {
            printf("%-14" PRId64 " %-21s %s\n", times[i], text, damage.message);
            continue;
        }
        printf("%-14" PRId64 " %-21s %8" PRIu64 " %12.1f %16" PRIu64 "\n", times[i], text,
               point.blocks, (double)point.bytes / 1048576, point.samples);
        backup_point_clear(&point);
    }
    free(times);
    return ERROR_NONE;
}

int backup_list_command(int count, char **arguments)
{
    struct backup_arguments taken;
    struct object_store *backups = NULL;
    struct error error;
    enum error_code code = take_arguments(count, arguments, "from", &taken, &error);
    if (code == ERROR_NONE && taken.wants_help) {
        fputs(USAGE, stdout);
        free(taken.rest);
        return 0;
    }
    if (code == ERROR_NONE && taken.rest_count > 0)
        code = error_set(&error, ERROR_INVALID, "backup list does not take '%s'", taken.rest[0]);
    if (code == ERROR_NONE)
        code = open_backups(&taken, &backups, &error);
    if (code == ERROR_NONE)
        code = print_points(backups, &error);
    object_store_destroy(backups);
    free(taken.rest);
    return code == ERROR_NONE ? 0 : fail(&error);
}
