/* federation.clusters: read from the file, checked, shown without secrets. */
#ifndef SERVER_SETTINGS_CLUSTERS_H
#define SERVER_SETTINGS_CLUSTERS_H

#include <yaml.h>

#include "federation/federation.h"
#include "settings_private.h"

/* A list of the YAML file replaces what there was. Errors: INVALID, NOT_FOUND and IO (files of
 * secrets), OUT_OF_MEMORY. */
enum error_code settings_clusters_read(struct settings *settings, yaml_document_t *document,
                                       yaml_node_t *list, struct error *error);

void settings_clusters_clear(struct settings *settings);

/* Below "federation:", indented. */
void settings_clusters_print(const struct settings *settings, struct byte_buffer *buffer);

#endif
