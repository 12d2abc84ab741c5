#include "cli/cluster_command.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/node_client.h"

#include "cluster_rescue.h"
#include "cluster_status.h"
#include "cluster_version.h"

const char CLUSTER_COMMAND_USAGE[] =
    "gnomon cluster COMMAND [--url=http://127.0.0.1:9009] [--user=NAME:PASSWORD]\n"
    "               [--token-file=FILE] [--ca=FILE]\n"
    "\n"
    "  status [--json]          nodes, and the shards that are not as they shall be\n"
    "  drain NODE [--wait]      move its replicas and leaders to other nodes\n"
    "  undrain NODE             let it have replicas again\n"
    "  remove NODE [--force]    it has left for good: its replicas are made anew elsewhere.\n"
    "                           --force: although it is alive, or others have not its replicas "
    "yet\n"
    "  rebalance                even leaders and replicas now\n"
    "  replication NUMBER       how many replicas each shard shall have\n"
    "  version [--hold|--raise] the state-machine version in force, and what nodes know. It rises "
    "by\n"
    "                           itself when all nodes know the next one. --hold: not yet, so that\n"
    "                           the release before can still be run; --raise: now\n"
    "  split SHARD|--largest [--no-wait]\n"
    "                           the upper half of its slots becomes a new shard, when each of "
    "its\n"
    "                           replicas has all that it holds. --no-wait: now or not at all\n"
    "  verify [--json]          read all files of all replicas and compare them; 1: something is "
    "wrong\n"
    "  recover-quorum SHARD [--yes]\n"
    "                           a majority of its replicas is gone for good: what is left goes "
    "on.\n"
    "                           SHARD: a number, or meta. Without --yes: what that would lose\n"
    "  recover [--config FILE] [--NAME=VALUE ...]\n"
    "                           all disks are lost: begin anew from the object store, offline "
    "(--help)\n"
    "\n"
    "Any node of the cluster may be asked. Commands need http.admin on that node.\n";

enum {
    TIMEOUT_SECONDS = 30,
    TOKEN_BYTES_MAX = 4096,
    FORM_BYTES_MAX = 512,
    STATUS_BYTES_MAX = 512,
    POLL_SECONDS = 2,
    SPLIT_POLL_US = 200 * 1000
};

struct call {
    struct node_client client;
    char token[TOKEN_BYTES_MAX];
    const char *operand; /* of the command; NULL: none */
    bool as_json;
    bool waits;
    bool hurries;
    bool forced;
    bool confirmed;
    enum cluster_version_order version;
    bool largest;
};

/* --- Options --------------------------------------------------------------------------------- */

static int complain(const char *format, const char *what)
{
    fprintf(stderr, "gnomon cluster: ");
    fprintf(stderr, format, what);
    fprintf(stderr, "\n");
    return 2;
}

static bool read_token(struct call *call, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t size = fread(call->token, 1, sizeof call->token - 1, file);
    fclose(file);
    call->token[size] = '\0';
    call->token[strcspn(call->token, "\r\n")] = '\0';
    call->client.token = call->token;
    return size > 0;
}

/* Whether `argument` is --name=value. */
static bool takes(const char *argument, const char *name, const char **value_out)
{
    size_t size = strlen(name);
    if (strncmp(argument, name, size) != 0 || argument[size] != '=')
        return false;
    *value_out = argument + size + 1;
    return true;
}

static int read_options(int count, char **arguments, struct call *call)
{
    const char *value;
    *call = (struct call){
        .client = {.url = "http://127.0.0.1:9009", .timeout_seconds = TIMEOUT_SECONDS}};
    for (int i = 0; i < count; i++) {
        if (takes(arguments[i], "--url", &call->client.url) ||
            takes(arguments[i], "--user", &call->client.user) ||
            takes(arguments[i], "--ca", &call->client.ca_path))
            continue;
        if (takes(arguments[i], "--token-file", &value)) {
            if (!read_token(call, value))
                return complain("no token in '%s'", value);
        } else if (strcmp(arguments[i], "--json") == 0)
            call->as_json = true;
        else if (strcmp(arguments[i], "--wait") == 0)
            call->waits = true;
        else if (strcmp(arguments[i], "--no-wait") == 0)
            call->hurries = true;
        else if (strcmp(arguments[i], "--force") == 0)
            call->forced = true;
        else if (strcmp(arguments[i], "--hold") == 0)
            call->version = CLUSTER_VERSION_HOLD;
        else if (strcmp(arguments[i], "--raise") == 0)
            call->version = CLUSTER_VERSION_RAISE;
        else if (strcmp(arguments[i], "--largest") == 0)
            call->largest = true;
        else if (strcmp(arguments[i], "--yes") == 0)
            call->confirmed = true;
        else if (arguments[i][0] == '-')
            return complain("no such option: '%s'", arguments[i]);
        else if (call->operand != NULL)
            return complain("what is '%s' for?", arguments[i]);
        else
            call->operand = arguments[i];
    }
    return 0;
}

/* --- Commands -------------------------------------------------------------------------------- */

static int fail(const struct error *error)
{
    fprintf(stderr, "gnomon cluster: %s\n", error->message);
    return 1;
}

static int status(struct call *call)
{
    json_t *cluster;
    struct error error;
    if (node_client_get(&call->client, "/api/v1/cluster", &cluster, &error) != ERROR_NONE)
        return fail(&error);
    if (call->as_json) {
        json_dumpf(cluster, stdout, JSON_INDENT(2));
        printf("\n");
    } else {
        cluster_status_print(cluster, stdout);
    }
    json_decref(cluster);
    return 0;
}

/* Until nothing of the node is left to be moved. */
static int wait_for_drain(struct call *call)
{
    for (;;) {
        json_t *cluster;
        struct error error;
        if (node_client_get(&call->client, "/api/v1/cluster", &cluster, &error) != ERROR_NONE)
            return fail(&error);
        bool goes_on = cluster_status_drain(cluster, call->operand, stdout);
        fflush(stdout);
        json_decref(cluster);
        if (!goes_on)
            return 0;
        sleep(POLL_SECONDS);
    }
}

/* The shards that there are; negative when that is not to be learnt. */
static long long count_shards(struct call *call)
{
    json_t *cluster;
    struct error error;
    if (node_client_get(&call->client, "/api/v1/cluster", &cluster, &error) != ERROR_NONE)
        return -fail(&error);
    long long count = (long long)json_array_size(json_object_get(cluster, "shards"));
    json_decref(cluster);
    return count;
}

/* Until the shard `child` has a leader. */
static int wait_for_split(struct call *call, long long child)
{
    enum cluster_split_progress progress = CLUSTER_SPLIT_UNKNOWN;
    while (progress != CLUSTER_SPLIT_LED) {
        json_t *cluster;
        struct error error;
        if (node_client_get(&call->client, "/api/v1/cluster", &cluster, &error) != ERROR_NONE)
            return fail(&error);
        progress = cluster_status_split(cluster, child, progress, stdout);
        fflush(stdout);
        json_decref(cluster);
        if (progress != CLUSTER_SPLIT_LED)
            usleep(SPLIT_POLL_US);
    }
    return 0;
}

/* What a split waits for: true when there is something, told when it is new. */
static bool awaits_shard(struct call *call, char told[STATUS_BYTES_MAX])
{
    char text[STATUS_BYTES_MAX] = "";
    json_t *cluster;
    struct error ignored; /* then it is not known */
    if (node_client_get(&call->client, "/api/v1/cluster", &cluster, &ignored) != ERROR_NONE)
        return false;
    bool awaits = cluster_status_awaits(cluster, call->operand, text, sizeof text);
    json_decref(cluster);
    if (awaits && strcmp(text, told) != 0) {
        printf("%s\n", text);
        fflush(stdout);
        memcpy(told, text, sizeof text);
    }
    return awaits;
}

/* Asked until the shard is whole. Between a refusal and the look it may have become so.
 * `child_out`: the number of the new shard; negative when that is not to be learnt, which is told.
 */
static enum error_code ask_split(struct call *call, const char *form, long long *child_out,
                                 struct error *error)
{
    char told[STATUS_BYTES_MAX] = "";
    bool was_whole = false;
    for (;;) {
        *child_out = count_shards(call); /* shards are numbered */
        if (*child_out < 0)
            return ERROR_NONE;
        enum error_code code =
            node_client_post(&call->client, "/api/v1/admin/cluster/split", form, error);
        if (code != ERROR_INVALID || call->hurries)
            return code;
        bool awaits = awaits_shard(call, told);
        if (!awaits && was_whole)
            return code;
        was_whole = !awaits;
        if (awaits)
            sleep(POLL_SECONDS);
    }
}

static int split(struct call *call)
{
    char form[FORM_BYTES_MAX];
    struct error error;
    if (call->largest == (call->operand != NULL))
        return complain("'%s' of which shard? A number, or --largest", "split");
    char *escaped = node_client_escape(call->largest ? "largest" : call->operand);
    snprintf(form, sizeof form, "shard=%s", escaped == NULL ? "" : escaped);
    free(escaped);
    long long child;
    if (ask_split(call, form, &child, &error) != ERROR_NONE)
        return fail(&error);
    return child < 0 ? 1 : wait_for_split(call, child);
}

struct command {
    const char *name;
    const char *path;
    const char *parameter; /* that the operand is; NULL: it has none */
};

static const struct command COMMANDS[] = {
    {"drain", "/api/v1/admin/cluster/drain", "node"},
    {"undrain", "/api/v1/admin/cluster/undrain", "node"},
    {"remove", "/api/v1/admin/cluster/remove", "node"},
    {"rebalance", "/api/v1/admin/cluster/rebalance", NULL},
    {"replication", "/api/v1/admin/cluster/replication", "number"},
};

static int order(const struct command *command, struct call *call)
{
    char form[FORM_BYTES_MAX] = "";
    struct error error;
    if ((command->parameter == NULL) != (call->operand == NULL))
        return complain(command->parameter == NULL ? "'%s' takes no name" : "'%s' of which node?",
                        command->name);
    if (call->operand != NULL) {
        char *escaped = node_client_escape(call->operand);
        snprintf(form, sizeof form, "%s=%s%s", command->parameter, escaped == NULL ? "" : escaped,
                 call->forced ? "&force=true" : "");
        free(escaped);
    }
    if (node_client_post(&call->client, command->path, form, &error) != ERROR_NONE)
        return fail(&error);
    return call->waits ? wait_for_drain(call) : 0;
}

static bool asks_for_help(int count, char **arguments)
{
    bool asks = count > 0 && strcmp(arguments[0], "help") == 0;
    for (int i = 0; i < count; i++)
        asks |= strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0;
    return asks;
}

int cluster_command(int count, char **arguments)
{
    struct call call;
    if (count == 0 || asks_for_help(count, arguments)) {
        fputs(CLUSTER_COMMAND_USAGE, count == 0 ? stderr : stdout);
        return count == 0 ? 2 : 0;
    }
    int code = read_options(count - 1, arguments + 1, &call);
    if (code != 0)
        return code;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (strcmp(arguments[0], "status") == 0)
        return call.operand == NULL ? status(&call) : complain("'%s'?", call.operand);
    if (strcmp(arguments[0], "version") == 0)
        return call.operand == NULL ? cluster_version(&call.client, call.version)
                                    : complain("'%s'?", call.operand);
    if (strcmp(arguments[0], "verify") == 0)
        return call.operand == NULL
                   ? cluster_verify(&call.client,
                                    call.as_json ? CLUSTER_PRINTS_JSON : CLUSTER_PRINTS_TEXT)
                   : complain("'%s'?", call.operand);
    if (strcmp(arguments[0], "recover-quorum") == 0)
        return call.operand != NULL
                   ? cluster_recover(&call.client, call.operand,
                                     call.confirmed ? CLUSTER_RECOVERS : CLUSTER_ONLY_LOOKS)
                   : complain("'%s' of which shard?", arguments[0]);
    if (strcmp(arguments[0], "split") == 0)
        return split(&call);
    for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++)
        if (strcmp(arguments[0], COMMANDS[i].name) == 0)
            return order(&COMMANDS[i], &call);
    complain("no such command: '%s'", arguments[0]);
    fputs(CLUSTER_COMMAND_USAGE, stderr);
    return 2;
}
