#include "cluster_version.h"

#include <stdio.h>

static const char *text_in(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "-" : text;
}

static long long number_in(json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

static void print_versions(json_t *cluster)
{
    long long held = number_in(cluster, "versionHeld");
    size_t i;
    json_t *node;
    printf("state-machine version %lld is in force", number_in(cluster, "version"));
    if (held > 0)
        printf("; held at %lld until it is raised", held);
    printf("\n");
    json_array_foreach(json_object_get(cluster, "nodes"), i, node)
        printf("%-16s %-9s knows %lld to %lld\n", text_in(node, "name"), text_in(node, "state"),
               number_in(node, "versionMin"), number_in(node, "versionMax"));
}

int cluster_version(const struct node_client *client, enum cluster_version_order order)
{
    static const char *const PATHS[] = {
        [CLUSTER_VERSION_HOLD] = "/api/v1/admin/cluster/hold-version",
        [CLUSTER_VERSION_RAISE] = "/api/v1/admin/cluster/raise-version",
    };
    struct error error = {0};
    json_t *cluster = NULL;
    enum error_code code = order == CLUSTER_VERSION_SHOW
                               ? node_client_get(client, "/api/v1/cluster", &cluster, &error)
                               : node_client_post(client, PATHS[order], "", &error);
    if (code != ERROR_NONE) {
        fprintf(stderr, "gnomon cluster: %s\n", error.message);
        return 1;
    }
    if (cluster != NULL)
        print_versions(cluster);
    json_decref(cluster);
    return 0;
}
