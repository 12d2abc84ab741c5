/* federation.clusters, a list. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings_clusters.h"

enum { NAME_BYTES_MAX = 63, SECRET_BYTES_MAX = 4096, LABELS_MAX = FEDERATION_LABELS_MAX };

/* --- Clusters -------------------------------------------------------------------------------- */

static void cluster_clear(struct settings_cluster *cluster)
{
    char *const texts[] = {cluster->name, cluster->url,  cluster->ca,       cluster->certificate,
                           cluster->key,  cluster->user, cluster->password, cluster->token};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(texts[i]);
    for (size_t i = 0; i < cluster->label_count; i++) {
        free(cluster->label_names[i]);
        free(cluster->label_values[i]);
    }
    free(cluster->label_names);
    free(cluster->label_values);
}

void settings_clusters_clear(struct settings *settings)
{
    for (size_t i = 0; i < settings->federation_cluster_count; i++)
        cluster_clear(&settings->federation_clusters[i]);
    free(settings->federation_clusters);
    settings->federation_clusters = NULL;
    settings->federation_cluster_count = 0;
}

/* --- Reading --------------------------------------------------------------------------------- */

struct list_walk {
    yaml_document_t *document;
    struct settings_cluster *cluster;
    struct error *error;
};

typedef enum error_code take_pair(struct list_walk *walk, const char *name, yaml_node_t *value);

static const char *scalar_of(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

/* Each name and value of a mapping. */
static enum error_code walk_mapping(struct list_walk *walk, yaml_node_t *node, const char *what,
                                    take_pair *take)
{
    if (node->type != YAML_MAPPING_NODE)
        return error_set(walk->error, ERROR_INVALID, "line %zu: %s has names and values",
                         node->start_mark.line + 1, what);
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *name = yaml_document_get_node(walk->document, pair->key);
        yaml_node_t *value = yaml_document_get_node(walk->document, pair->value);
        if (name == NULL || value == NULL || scalar_of(name) == NULL)
            return error_set(walk->error, ERROR_INVALID, "line %zu: a name of %s is no text",
                             node->start_mark.line + 1, what);
        enum error_code code = take(walk, scalar_of(name), value);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static enum error_code unknown(struct list_walk *walk, const char *name, const yaml_node_t *value)
{
    return error_set(walk->error, ERROR_INVALID,
                     "line %zu: 'federation.clusters' has no '%s' there, or it is there twice",
                     value->start_mark.line + 1, name);
}

/* A text that may be set once. */
static enum error_code take_text(struct list_walk *walk, char **target, const char *name,
                                 const yaml_node_t *value)
{
    const char *text = scalar_of(value);
    if (text == NULL || text[0] == '\0')
        return error_set(walk->error, ERROR_INVALID, "line %zu: '%s' must be a text",
                         value->start_mark.line + 1, name);
    if (*target != NULL)
        return unknown(walk, name, value);
    *target = strdup(text);
    return *target == NULL ? error_set(walk->error, ERROR_OUT_OF_MEMORY, "settings") : ERROR_NONE;
}

/* The first line of a file. */
static enum error_code take_secret(struct list_walk *walk, char **target, const char *name,
                                   const yaml_node_t *value)
{
    char *path = NULL;
    char secret[SECRET_BYTES_MAX];
    enum error_code code = take_text(walk, &path, name, value);
    if (code != ERROR_NONE)
        return code;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        code = error_set_errno(walk->error, errno, "%s '%s'", name, path);
    } else {
        if (fgets(secret, sizeof secret, file) == NULL)
            secret[0] = '\0';
        secret[strcspn(secret, "\r\n")] = '\0';
        fclose(file);
        if (secret[0] == '\0' || *target != NULL)
            code = error_set(walk->error, ERROR_INVALID, "%s '%s': %s", name, path,
                             *target != NULL ? "there are two secrets" : "it is empty");
    }
    free(path);
    if (code != ERROR_NONE)
        return code;
    *target = strdup(secret);
    return *target == NULL ? error_set(walk->error, ERROR_OUT_OF_MEMORY, "settings") : ERROR_NONE;
}

static bool label_name_is_valid(const char *name)
{
    return label_name_is_legacy(text_of(name)) && strncmp(name, "__", 2) != 0;
}

static enum error_code add_label(struct list_walk *walk, const char *name, const char *value)
{
    struct settings_cluster *cluster = walk->cluster;
    size_t count = cluster->label_count;
    if (cluster->label_names == NULL) {
        cluster->label_names = calloc(LABELS_MAX, sizeof *cluster->label_names);
        cluster->label_values = calloc(LABELS_MAX, sizeof *cluster->label_values);
    }
    if (cluster->label_names == NULL || cluster->label_values == NULL)
        return error_set(walk->error, ERROR_OUT_OF_MEMORY, "settings");
    if (count == LABELS_MAX)
        return error_set(walk->error, ERROR_INVALID,
                         "a cluster of 'federation.clusters' has more than %d labels", LABELS_MAX);
    cluster->label_names[count] = strdup(name);
    cluster->label_values[count] = strdup(value);
    cluster->label_count++;
    return cluster->label_names[count] == NULL || cluster->label_values[count] == NULL
               ? error_set(walk->error, ERROR_OUT_OF_MEMORY, "settings")
               : ERROR_NONE;
}

static enum error_code take_label(struct list_walk *walk, const char *name, yaml_node_t *value)
{
    const char *text = scalar_of(value);
    for (size_t i = 0; i < walk->cluster->label_count; i++)
        if (strcmp(walk->cluster->label_names[i], name) == 0)
            return unknown(walk, name, value);
    if (text == NULL || text[0] == '\0' || strlen(text) > 1024 || !label_name_is_valid(name))
        return error_set(walk->error, ERROR_INVALID,
                         "line %zu: '%s' of 'federation.clusters' is no external label",
                         value->start_mark.line + 1, name);
    return add_label(walk, name, text);
}

static enum error_code take_tls(struct list_walk *walk, const char *name, yaml_node_t *value)
{
    struct settings_cluster *cluster = walk->cluster;
    if (strcmp(name, "ca") == 0)
        return take_text(walk, &cluster->ca, name, value);
    if (strcmp(name, "certificate") == 0)
        return take_text(walk, &cluster->certificate, name, value);
    if (strcmp(name, "key") == 0)
        return take_text(walk, &cluster->key, name, value);
    return unknown(walk, name, value);
}

static enum error_code take_credentials(struct list_walk *walk, const char *name,
                                        yaml_node_t *value)
{
    struct settings_cluster *cluster = walk->cluster;
    if (strcmp(name, "user") == 0)
        return take_text(walk, &cluster->user, name, value);
    if (strcmp(name, "password") == 0)
        return take_text(walk, &cluster->password, name, value);
    if (strcmp(name, "password_file") == 0)
        return take_secret(walk, &cluster->password, name, value);
    if (strcmp(name, "token") == 0)
        return take_text(walk, &cluster->token, name, value);
    if (strcmp(name, "token_file") == 0)
        return take_secret(walk, &cluster->token, name, value);
    return unknown(walk, name, value);
}

static enum error_code take_cluster(struct list_walk *walk, const char *name, yaml_node_t *value)
{
    struct settings_cluster *cluster = walk->cluster;
    if (strcmp(name, "name") == 0)
        return take_text(walk, &cluster->name, name, value);
    if (strcmp(name, "url") == 0)
        return take_text(walk, &cluster->url, name, value);
    if (strcmp(name, "labels") == 0)
        return walk_mapping(walk, value, "'labels'", take_label);
    if (strcmp(name, "tls") == 0)
        return walk_mapping(walk, value, "'tls'", take_tls);
    if (strcmp(name, "credentials") == 0)
        return walk_mapping(walk, value, "'credentials'", take_credentials);
    return unknown(walk, name, value);
}

/* --- Judging --------------------------------------------------------------------------------- */

static enum error_code check(struct list_walk *walk, const struct settings *settings, size_t line)
{
    struct settings_cluster *cluster = walk->cluster;
    const char *what = NULL;
    if (cluster->name == NULL || cluster->url == NULL)
        what = "needs a name and a url";
    else if (strlen(cluster->name) > NAME_BYTES_MAX || strlen(cluster->url) > 1024)
        what = "has a name or url that is too long";
    else if (strncmp(cluster->url, "http://", 7) != 0 && strncmp(cluster->url, "https://", 8) != 0)
        what = "has a url that does not begin with http:// or https://";
    else if (strchr(cluster->url, '@') != NULL)
        what = "has a user in its url; 'credentials' takes it";
    else if ((cluster->certificate == NULL) != (cluster->key == NULL))
        what = "has a certificate without a key, or a key without a certificate";
    else if (cluster->token != NULL && cluster->user != NULL)
        what = "has both a user and a token";
    else if (cluster->password != NULL && cluster->user == NULL)
        what = "has a password without a user";
    for (size_t i = 0; what == NULL && i + 1 < settings->federation_cluster_count; i++)
        if (strcmp(settings->federation_clusters[i].name, cluster->name) == 0)
            what = "has the name of another one";
    if (what != NULL)
        return error_set(walk->error, ERROR_INVALID,
                         "line %zu: a cluster of 'federation.clusters' %s", line, what);
    return cluster->label_count == 0 ? add_label(walk, "cluster", cluster->name) : ERROR_NONE;
}

enum error_code settings_clusters_read(struct settings *settings, yaml_document_t *document,
                                       yaml_node_t *list, struct error *error)
{
    size_t count = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
    if (count > FEDERATION_CLUSTERS_MAX)
        return error_set(error, ERROR_INVALID, "'federation.clusters' has more than %d clusters",
                         FEDERATION_CLUSTERS_MAX);
    settings_clusters_clear(settings);
    settings->federation_clusters = calloc(count + 1, sizeof *settings->federation_clusters);
    if (settings->federation_clusters == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "settings");
    for (size_t i = 0; i < count; i++) {
        yaml_node_t *node = yaml_document_get_node(document, list->data.sequence.items.start[i]);
        struct list_walk walk = {document, &settings->federation_clusters[i], error};
        settings->federation_cluster_count++;
        enum error_code code = walk_mapping(&walk, node, "a cluster", take_cluster);
        if (code == ERROR_NONE)
            code = check(&walk, settings, node->start_mark.line + 1);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- Showing --------------------------------------------------------------------------------- */

static void append_text(struct byte_buffer *buffer, const char *text)
{
    byte_buffer_append(buffer, text, strlen(text));
}

static void append_pair(struct byte_buffer *buffer, const char *indent, const char *name,
                        const char *value)
{
    if (value == NULL)
        return;
    append_text(buffer, indent);
    append_text(buffer, name);
    append_text(buffer, ": ");
    settings_append_quoted(buffer, value);
    append_text(buffer, "\n");
}

void settings_clusters_print(const struct settings *settings, struct byte_buffer *buffer)
{
    if (settings->federation_cluster_count > 0)
        append_text(buffer, "  clusters:\n");
    for (size_t i = 0; i < settings->federation_cluster_count; i++) {
        const struct settings_cluster *cluster = &settings->federation_clusters[i];
        append_pair(buffer, "    - ", "name", cluster->name);
        append_pair(buffer, "      ", "url", cluster->url);
        append_text(buffer, "      labels:\n");
        for (size_t label = 0; label < cluster->label_count; label++)
            append_pair(buffer, "        ", cluster->label_names[label],
                        cluster->label_values[label]);
        if (cluster->ca != NULL || cluster->certificate != NULL)
            append_text(buffer, "      tls:\n");
        append_pair(buffer, "        ", "ca", cluster->ca);
        append_pair(buffer, "        ", "certificate", cluster->certificate);
        append_pair(buffer, "        ", "key", cluster->key);
        if (cluster->user != NULL || cluster->token != NULL)
            append_text(buffer, "      credentials:\n");
        append_pair(buffer, "        ", "user", cluster->user);
        append_pair(buffer, "        ", "password", cluster->password == NULL ? NULL : "<secret>");
        append_pair(buffer, "        ", "token", cluster->token == NULL ? NULL : "<secret>");
    }
}
