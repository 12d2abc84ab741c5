/* gnomon: the command line. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access/web_config.h"
#include "base/log.h"
#include "cli/block_command.h"
#include "cli/bucket_command.h"
#include "cli/cluster_command.h"
#include "cli/tenant_command.h"
#include "platform/tls.h"

#include "backup_command.h"
#include "commands.h"
#include "node.h"
#include "node_bucket.h"
#include "node_private.h"
#include "recover_command.h"

/*
 * What jemalloc reads when it starts (jemalloc(3), TUNING): give freed pages back within a second,
 * from a thread of its own. By default they stay ten seconds, and for as long as nobody allocates:
 * those of a freeze would count as resident until the next one.
 */
extern const char *malloc_conf;
const char *malloc_conf = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0";

static const char USAGE[] =
    "gnomon - clustered, Prometheus-compatible metrics storage\n"
    "\n"
    "  gnomon serve [--config FILE] [--NAME=VALUE ...]   run a node\n"
    "  gnomon check config [FILE] [--NAME=VALUE ...]\n"
    "                                                    check settings and print them\n"
    "  gnomon check web-config FILE                      check a file for http.web_config\n"
    "  gnomon bucket check [FILE] [--NAME=VALUE ...]     try the object store of the settings\n"
    "  gnomon bucket list [--config FILE] [--NAME=VALUE ...]\n"
    "                                                    what shards have in the object store\n"
    "  gnomon cluster recover [--config FILE] [--NAME=VALUE ...]\n"
    "                                                    begin anew from the object store "
    "(--help)\n"
    "  gnomon cluster status|drain|remove|...            look at a cluster, change it (--help)\n"
    "  gnomon tenant delete|status NAME                  delete a tenant, see how far it is "
    "(--help)\n"
    "  gnomon backup --to=...|list --from=...            copy the object store elsewhere (--help)\n"
    "  gnomon restore --from=...                         and back (--help)\n"
    "  gnomon block inspect FILE                         what a part, segment or block holds\n"
    "  gnomon block verify FILE                          read all of it, check every checksum\n"
    "  gnomon block import FOLDER... --to=URL            blocks of Prometheus into a node "
    "(--help)\n"
    "  gnomon block export --from=URL --out=FOLDER       a node's samples as such blocks (--help)\n"
    "  gnomon version\n"
    "\n"
    "`gnomon serve --help` lists all settings. Each is also the variable GNOMON_NAME with dots as\n"
    "underscores, and a name in the YAML file of --config, nested at the dots.\n";

static bool is_help(int count, char **arguments)
{
    bool asks = false;
    for (int i = 0; i < count; i++)
        asks |= strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0;
    return asks;
}

static int settings_help(const char *command)
{
    struct byte_buffer buffer = {0};
    settings_describe(&buffer);
    printf("gnomon %s [--config FILE] [--NAME=VALUE ...]\n\n%.*s", command, (int)buffer.size,
           (const char *)buffer.bytes);
    byte_buffer_clear(&buffer);
    return 0;
}

static int fail(const struct error *error)
{
    fprintf(stderr, "gnomon: %s\n", error->message);
    return 1;
}

static int serve(int count, char **arguments)
{
    struct settings settings;
    struct node *node;
    struct error error;
    if (is_help(count, arguments))
        return settings_help("serve");
    if (settings_load(count, arguments, &settings, &error) != ERROR_NONE)
        return fail(&error);
    if (node_open(&settings, &node, &error) != ERROR_NONE) {
        fail(&error);
        /* Threads of a half-opened node may still run: leave without taking it apart. */
        fflush(NULL);
        _Exit(1);
    }
    node_run(node);
    settings_clear(&settings);
    return 0;
}

/* A file may stand alone here, as promtool and others take it. */
static enum error_code load_checked(int count, char **arguments, struct settings *settings_out,
                                    struct error *error)
{
    char **all = calloc((size_t)count + 2, sizeof *all);
    bool is_file = count > 0 && arguments[0][0] != '-';
    char flag[] = "--config";
    if (all == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "settings");
    if (is_file)
        all[0] = flag;
    for (int i = 0; i < count; i++)
        all[i + is_file] = arguments[i];
    enum error_code code = settings_load(count + is_file, all, settings_out, error);
    free(all);
    return code;
}

static int check_config(int count, char **arguments)
{
    struct settings settings;
    struct error error;
    struct byte_buffer buffer = {0};
    struct web_config *config;
    struct tls_context *tls;
    if (is_help(count, arguments))
        return settings_help("check config");
    if (load_checked(count, arguments, &settings, &error) != ERROR_NONE ||
        node_load_web_config(&settings, &config, &error) != ERROR_NONE ||
        node_open_tls(&settings, config, &tls, &error) != ERROR_NONE)
        return fail(&error);
    tls_context_destroy(tls);
    web_config_destroy(config);
    settings_print(&settings, &buffer);
    printf("%.*s", (int)buffer.size, (const char *)buffer.bytes);
    byte_buffer_clear(&buffer);
    settings_clear(&settings);
    return 0;
}

static int check_bucket(int count, char **arguments)
{
    struct settings settings;
    struct error error;
    if (is_help(count, arguments))
        return settings_help("bucket check");
    if (load_checked(count, arguments, &settings, &error) != ERROR_NONE)
        return fail(&error);
    struct object_store_options options = node_bucket_options(&settings);
    int status = bucket_check(&options, stdout);
    settings_clear(&settings);
    return status;
}

/* The store of a settings file. */
static enum error_code open_store(const char *settings_path, struct object_store **store_out,
                                  struct error *error)
{
    struct settings settings;
    char flag[] = "--config", path[PATH_MAX];
    char *arguments[] = {flag, path};
    if ((size_t)snprintf(path, sizeof path, "%s", settings_path) >= sizeof path)
        return error_set(error, ERROR_INVALID, "the name of the settings file is too long");
    enum error_code code = settings_load(2, arguments, &settings, error);
    if (code != ERROR_NONE)
        return code;
    struct object_store_options options = node_bucket_options(&settings);
    code = object_store_create(&options, store_out, error);
    settings_clear(&settings);
    if (code == ERROR_NONE && *store_out == NULL)
        code = error_set(error, ERROR_INVALID, "object_store.type is none in '%s'", settings_path);
    return code;
}

static bool is_command(int count, char **arguments, const char *first, const char *second)
{
    return count > 1 + (second != NULL) && strcmp(arguments[1], first) == 0 &&
           (second == NULL || strcmp(arguments[2], second) == 0);
}

int main(int count, char **arguments)
{
    if (is_command(count, arguments, "serve", NULL))
        return serve(count - 2, arguments + 2);
    if (is_command(count, arguments, "check", "config"))
        return check_config(count - 3, arguments + 3);
    if (is_command(count, arguments, "bucket", "check"))
        return check_bucket(count - 3, arguments + 3);
    if (is_command(count, arguments, "bucket", "list"))
        return is_help(count - 3, arguments + 3) ? settings_help("bucket list")
                                                 : bucket_list_command(count - 3, arguments + 3);
    if (is_command(count, arguments, "cluster", "recover"))
        return recover_command(count - 3, arguments + 3);
    if (is_command(count, arguments, "backup", "list"))
        return backup_list_command(count - 3, arguments + 3);
    if (is_command(count, arguments, "backup", NULL))
        return backup_command(count - 2, arguments + 2);
    if (is_command(count, arguments, "restore", NULL))
        return restore_command(count - 2, arguments + 2);
    if (is_command(count, arguments, "cluster", NULL))
        return cluster_command(count - 2, arguments + 2);
    if (is_command(count, arguments, "tenant", NULL))
        return tenant_command(count - 2, arguments + 2);
    if (is_command(count, arguments, "block", "import"))
        return block_import_command(count - 3, arguments + 3, open_store);
    if (is_command(count, arguments, "block", "export"))
        return block_export_command(count - 3, arguments + 3);
    bool asked = is_help(count - 1, arguments + 1) || is_command(count, arguments, "help", NULL);
    if (asked) {
        fputs(USAGE, stdout);
        return 0;
    }
    if (is_command(count, arguments, "check", "web-config") && count == 4)
        return command_check_web_config(arguments[3]);
    if (is_command(count, arguments, "block", "inspect") && count == 4)
        return command_block_inspect(arguments[3]);
    if (is_command(count, arguments, "block", "verify") && count == 4)
        return command_block_verify(arguments[3]);
    if (is_command(count, arguments, "version", NULL) ||
        is_command(count, arguments, "--version", NULL)) {
        printf("gnomon %s\n", GNOMON_VERSION);
        return 0;
    }
    if (count > 1)
        fprintf(stderr, "gnomon: no such command, or arguments it does not take: %s\n\n",
                arguments[1]);
    fputs(USAGE, stderr);
    return 2;
}
