/* storage.retention_rules: read from the file, checked, shown; and the policy that they make with
 * storage.retention. */
#ifndef SERVER_SETTINGS_RETENTION_H
#define SERVER_SETTINGS_RETENTION_H

#include <yaml.h>

#include "settings_private.h"

/* A list of the YAML file replaces what there was. Errors: INVALID, OUT_OF_MEMORY. */
enum error_code settings_retention_read(struct settings *settings, yaml_document_t *document,
                                        yaml_node_t *list, struct error *error);

/* Once storage.retention is known. Errors: INVALID, saying what of which rule; OUT_OF_MEMORY. */
enum error_code settings_retention_make(struct settings *settings, struct error *error);

void settings_retention_clear(struct settings *settings);

/* Below "storage:", indented. */
void settings_retention_print(const struct settings *settings, struct byte_buffer *buffer);

#endif
