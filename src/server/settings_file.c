#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "settings_clusters.h"
#include "settings_retention.h"

struct yaml_walk {
    struct settings *settings;
    yaml_document_t *document;
    struct error *error;
};

/* Whether a pair before `end` has this name. Of two values one would be lost without a word. */
static bool is_repeated(yaml_document_t *document, const yaml_node_pair_t *first,
                        const yaml_node_pair_t *end, const yaml_node_t *name)
{
    for (const yaml_node_pair_t *pair = first; pair < end; pair++) {
        const yaml_node_t *other = yaml_document_get_node(document, pair->key);
        if (strcmp((const char *)other->data.scalar.value, (const char *)name->data.scalar.value) ==
            0)
            return true;
    }
    return false;
}

static enum error_code walk_node(struct yaml_walk *walk, yaml_node_t *node, const char *prefix)
{
    if (node->type == YAML_SCALAR_NODE)
        return settings_set(walk->settings, prefix, (const char *)node->data.scalar.value,
                            walk->error);
    if (node->type == YAML_SEQUENCE_NODE && strcmp(prefix, "federation.clusters") == 0)
        return settings_clusters_read(walk->settings, walk->document, node, walk->error);
    if (node->type == YAML_SEQUENCE_NODE && strcmp(prefix, "storage.retention_rules") == 0)
        return settings_retention_read(walk->settings, walk->document, node, walk->error);
    if (node->type != YAML_MAPPING_NODE)
        return error_set(walk->error, ERROR_INVALID,
                         "'%s' is a list, which only federation.clusters and "
                         "storage.retention_rules are",
                         prefix);
    yaml_node_pair_t *first = node->data.mapping.pairs.start;
    for (yaml_node_pair_t *pair = first; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *name = yaml_document_get_node(walk->document, pair->key);
        yaml_node_t *value = yaml_document_get_node(walk->document, pair->value);
        char path[128];
        if (name == NULL || value == NULL || name->type != YAML_SCALAR_NODE)
            return error_set(walk->error, ERROR_INVALID, "below '%s': a name that is no text",
                             prefix);
        int size = snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] == '\0' ? "" : ".",
                            (const char *)name->data.scalar.value);
        if (size < 0 || (size_t)size >= sizeof path)
            return error_set(walk->error, ERROR_INVALID, "below '%s': a name too long", prefix);
        if (is_repeated(walk->document, first, pair, name))
            return error_set(walk->error, ERROR_INVALID, "line %zu: '%s' is there twice",
                             name->start_mark.line + 1, path);
        enum error_code code = walk_node(walk, value, path);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

enum error_code settings_load_file(struct settings *settings, const char *path, struct error *error)
{
    yaml_parser_t parser;
    yaml_document_t document;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set_errno(error, errno, "open the settings file '%s'", path);
    enum error_code code = ERROR_NONE;
    if (!yaml_parser_initialize(&parser)) {
        fclose(file);
        return error_set(error, ERROR_OUT_OF_MEMORY, "settings file");
    }
    yaml_parser_set_input_file(&parser, file);
    if (!yaml_parser_load(&parser, &document)) {
        if (ferror(file))
            code = error_set_errno(error, errno, "read the settings file '%s'", path);
        else
            code = error_set(error, ERROR_INVALID, "%s:%zu:%zu: %s", path,
                             parser.problem_mark.line + 1, parser.problem_mark.column + 1,
                             parser.problem == NULL ? "not YAML" : parser.problem);
    } else {
        struct yaml_walk walk = {settings, &document, error};
        yaml_node_t *root = yaml_document_get_root_node(&document);
        if (root != NULL && root->type == YAML_MAPPING_NODE)
            code = walk_node(&walk, root, "");
        else if (root != NULL)
            code = error_set(error, ERROR_INVALID, "settings are names and values");
        if (code != ERROR_NONE)
            error_wrap(error, "%s", path);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    fclose(file);
    return code;
}
