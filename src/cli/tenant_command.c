#include "cli/tenant_command.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/node_client.h"

#include "block_options.h"

static const char USAGE[] =
    "gnomon tenant COMMAND NAME [--url=http://127.0.0.1:9009] [--user=NAME:PASSWORD]\n"
    "              [--token-file=FILE] [--ca=FILE]\n"
    "\n"
    "  delete NAME --yes [--wait]   delete everything that the tenant has so far, everywhere. "
    "What\n"
    "                               is written behind it stays\n"
    "  status NAME [--json]         how far that is\n"
    "\n"
    "Any node of the cluster may be asked. Commands need http.admin on that node.\n";

enum { TIMEOUT_SECONDS = 30, TOKEN_BYTES_MAX = 4096, PATH_BYTES_MAX = 1024, POLL_SECONDS = 1 };

struct call {
    struct node_client client;
    char token[TOKEN_BYTES_MAX];
    const char *tenant;
    bool as_json;
    bool waits;
    bool confirmed;
};

/* --- Options --------------------------------------------------------------------------------- */

static int complain(const char *format, const char *what)
{
    fprintf(stderr, "gnomon tenant: ");
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
    return call->token[0] != '\0';
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
    const char *path = NULL;
    *call = (struct call){
        .client = {.url = "http://127.0.0.1:9009", .timeout_seconds = TIMEOUT_SECONDS}};
    for (int i = 0; i < count; i++) {
        if (takes(arguments[i], "--url", &call->client.url) ||
            takes(arguments[i], "--user", &call->client.user) ||
            takes(arguments[i], "--ca", &call->client.ca_path) ||
            takes(arguments[i], "--token-file", &path))
            continue;
        if (strcmp(arguments[i], "--json") == 0)
            call->as_json = true;
        else if (strcmp(arguments[i], "--wait") == 0)
            call->waits = true;
        else if (strcmp(arguments[i], "--yes") == 0)
            call->confirmed = true;
        else if (arguments[i][0] == '-')
            return complain("no such option: '%s'", arguments[i]);
        else if (call->tenant != NULL)
            return complain("what is '%s' for?", arguments[i]);
        else
            call->tenant = arguments[i];
    }
    if (path != NULL && !read_token(call, path))
        return complain("no token in '%s'", path);
    return call->tenant == NULL ? complain("%s of the tenant is missing", "the name") : 0;
}

/* --- Commands -------------------------------------------------------------------------------- */

static int fail(const struct error *error)
{
    fprintf(stderr, "gnomon tenant: %s\n", error->message);
    return 1;
}

/* "tenant=NAME" behind `before`; false when it is too long. */
static bool name_tenant(const struct call *call, const char *before, char text[PATH_BYTES_MAX])
{
    char *escaped = node_client_escape(call->tenant);
    int size =
        snprintf(text, PATH_BYTES_MAX, "%stenant=%s", before, escaped == NULL ? "" : escaped);
    free(escaped);
    return size > 0 && size < PATH_BYTES_MAX;
}

static long long number_in(json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

static void print_state(json_t *state, bool is_deleting)
{
    char bytes[BLOCK_NUMBER_CHARACTERS], object_bytes[BLOCK_NUMBER_CHARACTERS];
    if (!is_deleting) {
        printf("nothing is being deleted; %lld blocks have something of the tenant\n",
               number_in(state, "blocks"));
        return;
    }
    block_size_format((uint64_t)number_in(state, "bytesLeft"), bytes);
    block_size_format((uint64_t)number_in(state, "objectBytesLeft"), object_bytes);
    printf("deleting: %lld files of %s to be written without it, %lld objects of %s of the bucket "
           "to be replaced or deleted\n",
           number_in(state, "filesLeft"), bytes, number_in(state, "objectsLeft"), object_bytes);
}

/* Whether it is being deleted; negative when that is not to be learnt. */
static int look(struct call *call)
{
    char path[PATH_BYTES_MAX];
    json_t *state;
    struct error error;
    if (!name_tenant(call, "/api/v1/admin/tenant/status?", path))
        return -complain("the name '%s' is too long", call->tenant);
    if (node_client_get(&call->client, path, &state, &error) != ERROR_NONE)
        return -fail(&error);
    const char *name = json_string_value(json_object_get(state, "state"));
    bool is_deleting = name != NULL && strcmp(name, "deleting") == 0;
    if (call->as_json) {
        json_dumpf(state, stdout, JSON_INDENT(2));
        printf("\n");
    } else {
        print_state(state, is_deleting);
    }
    fflush(stdout);
    json_decref(state);
    return is_deleting;
}

static int status(struct call *call)
{
    int found = look(call);
    return found < 0 ? -found : 0;
}

static int delete_tenant(struct call *call)
{
    char form[PATH_BYTES_MAX];
    struct error error;
    if (!call->confirmed)
        return complain("'%s' loses all of its samples: say --yes", call->tenant);
    if (!name_tenant(call, "", form))
        return complain("the name '%s' is too long", call->tenant);
    if (node_client_post(&call->client, "/api/v1/admin/tenant/delete", form, &error) != ERROR_NONE)
        return fail(&error);
    int found = look(call);
    while (call->waits && found > 0) {
        sleep(POLL_SECONDS);
        found = look(call);
    }
    return found < 0 ? -found : 0;
}

int tenant_command(int count, char **arguments)
{
    struct call call;
    for (int i = 0; i < count; i++)
        if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0) {
            fputs(USAGE, stdout);
            return 0;
        }
    if (count == 0) {
        fputs(USAGE, stderr);
        return 2;
    }
    int code = read_options(count - 1, arguments + 1, &call);
    if (code != 0)
        return code;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (strcmp(arguments[0], "delete") == 0)
        return delete_tenant(&call);
    if (strcmp(arguments[0], "status") == 0)
        return status(&call);
    complain("no such command: '%s'", arguments[0]);
    fputs(USAGE, stderr);
    return 2;
}
