/*
 * settings_private - what the sources of settings and their values know of each other.
 *
 *   settings.c        the table, and the order of the sources
 *   settings_file.c   the YAML file
 *   settings_clusters.c  federation.clusters, a list
 *   settings_retention.c  storage.retention_rules, the other one
 *   settings_value.c  forms, ranges, and what "auto" stands for
 */
#ifndef SERVER_SETTINGS_PRIVATE_H
#define SERVER_SETTINGS_PRIVATE_H

#include "settings.h"

enum setting_type {
    TYPE_TEXT, /* of `minimum` to `maximum` bytes */
    TYPE_ADDRESS,
    TYPE_BOOL,
    TYPE_DURATION,
    TYPE_SIZE,
    TYPE_COUNT,
    TYPE_LEVEL,
    TYPE_FEATURES,
    TYPE_SECRET, /* a text that is not shown */
    TYPE_ROLES,
    TYPE_CHOICE /* an enum, by the places of its names */
};

enum { SETTING_CHOICES_MAX = 5 };

struct setting {
    const char *name;
    enum setting_type type;
    size_t offset;        /* in struct settings */
    const char *fallback; /* default; "auto" is computed */
    uint64_t minimum;     /* of numbers, in the unit of the value: ms, bytes */
    uint64_t maximum;
    const char *meaning;
    const char *const *choices; /* of TYPE_CHOICE: ends with NULL */
};

/* Of threads and of queries at once: within what the worker pool takes. */
enum { PROCESSORS_MAX = 250 };

/* Errors: INVALID (no such setting), OUT_OF_MEMORY. */
enum error_code settings_set(struct settings *settings, const char *name, const char *value,
                             struct error *error);

/* Set all that the file names. Errors: INVALID, NOT_FOUND, IO, OUT_OF_MEMORY. */
enum error_code settings_load_file(struct settings *settings, const char *path,
                                   struct error *error);

/* Check a value and store it in its field; texts are not copied. Errors: INVALID, saying what was
 * expected. */
enum error_code setting_parse(struct settings *settings, const struct setting *setting,
                              const char *value, struct error *error);

/* A text between double quotes of YAML, appended. */
void settings_append_quoted(struct byte_buffer *buffer, const char *text);

/* What "auto" stands for on this machine; for settings that have it as their default. */
void setting_automatic_value(const struct settings *settings, const char *name, char *target,
                             size_t size);

#endif
