#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "machine.h"

/* --- Table ------------------------------------------------------------------------------------ */

enum setting_type {
    TYPE_TEXT,
    TYPE_BOOL,
    TYPE_DURATION,
    TYPE_SIZE,
    TYPE_COUNT,
    TYPE_LEVEL,
    TYPE_FEATURES,
    TYPE_CHOICE
};

struct setting {
    const char *name;
    enum setting_type type;
    size_t offset;        /* in struct settings */
    const char *fallback; /* default; "auto" is computed */
    uint64_t minimum;     /* of numbers, in the unit of the value (ms, bytes) */
    uint64_t maximum;
    const char *meaning;
};

#define SETTING(name, type, field, fallback, minimum, maximum, meaning)                            \
    {                                                                                              \
        name, type, offsetof(struct settings, field), fallback, minimum, maximum, meaning          \
    }

/* Of threads and of queries at once: within what the worker pool takes. */
enum { PROCESSORS_MAX = 250 };

#define DAY_MS (UINT64_C(24) * 3600 * 1000)
/* A thousand years: added to the time of day it stays a time. */
#define AGE_MS_MAX (365000 * DAY_MS)
#define ANY        UINT64_MAX

static const struct setting SETTINGS[] = {
    SETTING("http.listen", TYPE_TEXT, http_listen, "127.0.0.1:9009", 0, 0,
            "address of the API: Prometheus, remote write, admin"),
    SETTING("http.admin", TYPE_BOOL, http_admin, "auto", 0, 0,
            "admin endpoints; by default on when http.listen is loopback"),
    SETTING("http.tls.certificate", TYPE_TEXT, http_tls_certificate, "", 0, 0,
            "PEM file of the server's certificate; with http.tls.key turns TLS on"),
    SETTING("http.tls.key", TYPE_TEXT, http_tls_key, "", 0, 0, "PEM file of its key"),
    SETTING("http.tls.client_ca", TYPE_TEXT, http_tls_client_ca, "", 0, 0,
            "PEM file; clients must then show a certificate it signed"),
    SETTING("http.max_connections", TYPE_COUNT, http_connections_max, "4096", 1, 1000000,
            "connections open at once; beyond: 503"),
    SETTING("http.max_body", TYPE_SIZE, http_body_bytes_max, "32MiB", 1024, 1u << 30,
            "largest request body as sent; beyond: 413"),
    SETTING("http.idle_timeout", TYPE_DURATION, http_idle_timeout_ms, "2m", 1000, DAY_MS,
            "between requests of a connection"),
    SETTING("storage.directory", TYPE_TEXT, storage_directory, "./gnomon-data", 0, 0,
            "log, parts and blocks"),
    SETTING("storage.retention", TYPE_DURATION, storage_retention_ms, "0", 0, AGE_MS_MAX,
            "age at which samples are deleted; 0: never"),
    SETTING("storage.retention_size", TYPE_SIZE, storage_retention_bytes, "0", 0, ANY,
            "size of parts and blocks at which the oldest are deleted; 0: no limit"),
    SETTING("storage.cache", TYPE_SIZE, storage_cache_bytes, "auto", 1 << 20, ANY,
            "memory for pages of files; by default 1/16 of the memory"),
    SETTING("storage.unfrozen_log", TYPE_SIZE, storage_unfrozen_bytes, "144MiB", 1 << 20,
            UINT64_C(16) << 30, "log since the last freezes, down to half of it with few series"),
    SETTING("storage.freeze_interval", TYPE_DURATION, storage_freeze_interval_ms, "15m", 1000,
            DAY_MS, "longest time that samples stay in memory and log only"),
    SETTING("storage.engine", TYPE_CHOICE, storage_engine, "auto", 0, 0,
            "auto, io_uring or pwritev2"),
    SETTING("cluster.name", TYPE_TEXT, cluster_name, "gnomon", 0, 0, "name of this cluster"),
    SETTING("cluster.node", TYPE_TEXT, cluster_node, "node-1", 0, 0, "stable name of this node"),
    SETTING("cluster.shards", TYPE_COUNT, cluster_shards, "4", 1, 1024,
            "shards of a new data directory"),
    SETTING("cluster.spread", TYPE_COUNT, cluster_spread, "4", 1, 4096,
            "over how many slots one target is spread, for a new data directory"),
    SETTING("ingest.future_window", TYPE_DURATION, ingest_future_window_ms, "10m", 0, AGE_MS_MAX,
            "how far ahead of the clock a sample may be"),
    SETTING("ingest.max_series", TYPE_COUNT, ingest_max_series, "auto", 0, ANY,
            "series alive; beyond, new ones are refused; 0: no limit; by default by memory"),
    SETTING("ingest.max_labels", TYPE_COUNT, ingest_max_labels, "64", 1, 256, "labels of a series"),
    SETTING("ingest.max_label_bytes", TYPE_SIZE, ingest_max_label_bytes, "8KiB", 64, 65536,
            "bytes of names and values of a series"),
    SETTING("ingest.max_request_bytes", TYPE_SIZE, ingest_max_request_bytes, "32MiB", 1024,
            1u << 30, "largest remote-write body when decoded; beyond: 413"),
    SETTING("ingest.max_request_series", TYPE_COUNT, ingest_max_request_series, "10000", 1, ANY,
            "series of one remote-write request; beyond: 413"),
    SETTING("ingest.max_exemplars", TYPE_COUNT, ingest_max_exemplars, "100000", 0, 100000000,
            "exemplars kept in memory, of all shards together; the newest stay"),
    SETTING("ingest.max_metadata", TYPE_COUNT, ingest_max_metadata, "100000", 0, 10000000,
            "metrics with type, help and unit, of all shards together"),
    SETTING("ingest.tenant_rate", TYPE_COUNT, ingest_tenant_rate, "0", 0, ANY,
            "samples a second of each tenant and core; beyond: 429; 0: no limit"),
    SETTING("query.timeout", TYPE_DURATION, query_timeout_ms, "2m", 1, DAY_MS,
            "longest run of a query"),
    SETTING("query.max_samples", TYPE_COUNT, query_max_samples, "50000000", 1, ANY,
            "samples one query may hold at once"),
    SETTING("query.memory", TYPE_SIZE, query_memory_bytes, "auto", 1 << 20, ANY,
            "memory of all queries together; by default 1/4 of the memory"),
    SETTING("query.concurrency", TYPE_COUNT, query_concurrency, "auto", 1, PROCESSORS_MAX,
            "queries that run at once; by default the number of processors"),
    SETTING("query.lookback", TYPE_DURATION, query_lookback_ms, "5m", 1, DAY_MS,
            "how far back an instant selector looks"),
    SETTING("query.default_step", TYPE_DURATION, query_default_step_ms, "1m", 1, DAY_MS,
            "step of sub-queries that name none"),
    SETTING("query.experimental", TYPE_FEATURES, query_features, "false", 0, 0,
            "what Prometheus keeps behind its PromQL feature flags"),
    SETTING("telemetry.self_write", TYPE_BOOL, telemetry_self_write, "true", 0, 0,
            "write the node's own metrics into itself"),
    SETTING("telemetry.interval", TYPE_DURATION, telemetry_interval_ms, "15s", 100, DAY_MS,
            "how often"),
    SETTING("tenants.enabled", TYPE_BOOL, tenants_enabled, "false", 0, 0,
            "X-Scope-OrgID names the tenant and is required"),
    SETTING("log.level", TYPE_LEVEL, log_level, "info", 0, 0, "debug, info, warn or error"),
    SETTING("threads", TYPE_COUNT, threads, "auto", 1, PROCESSORS_MAX,
            "event loops; by default one per processor"),
};

enum { SETTING_COUNT = sizeof SETTINGS / sizeof SETTINGS[0] };
_Static_assert((int)SETTING_COUNT <= (int)SETTINGS_MAX, "room for all");

/* --- Names ------------------------------------------------------------------------------------ */

/* Levenshtein's distance, for suggestions; names are short. */
static size_t distance(const char *left, const char *right)
{
    enum { NAME_MAX_SIZE = 64 };
    size_t row[NAME_MAX_SIZE + 1];
    size_t left_size = strlen(left), right_size = strlen(right);
    if (left_size > NAME_MAX_SIZE || right_size > NAME_MAX_SIZE)
        return SIZE_MAX;
    for (size_t j = 0; j <= right_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= left_size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= right_size; j++) {
            size_t above = row[j];
            size_t best = diagonal + (left[i - 1] != right[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[right_size];
}

static size_t find_setting(const char *name)
{
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (strcmp(SETTINGS[i].name, name) == 0)
            return i;
    return SETTING_COUNT;
}

static enum error_code unknown_setting(const char *name, struct error *error)
{
    size_t best = 0, best_distance = SIZE_MAX;
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        size_t found = distance(SETTINGS[i].name, name);
        if (found < best_distance) {
            best_distance = found;
            best = i;
        }
    }
    if (best_distance <= 4)
        return error_set(error, ERROR_INVALID, "unknown setting '%s'; did you mean '%s'?", name,
                         SETTINGS[best].name);
    return error_set(error, ERROR_INVALID, "unknown setting '%s'; `gnomon serve --help` lists all",
                     name);
}

static enum error_code set_value(struct settings *settings, const char *name, const char *value,
                                 struct error *error)
{
    size_t position = find_setting(name);
    if (position == SETTING_COUNT)
        return unknown_setting(name, error);
    char *copy = strdup(value);
    if (copy == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "settings");
    free(settings->values[position]);
    settings->values[position] = copy;
    return ERROR_NONE;
}

/* --- Values ----------------------------------------------------------------------------------- */

static void *field_of(struct settings *settings, const struct setting *setting)
{
    return (char *)settings + setting->offset;
}

static enum error_code bad_value(const struct setting *setting, const char *value,
                                 const char *expected, struct error *error)
{
    return error_set(error, ERROR_INVALID, "setting '%s': '%s' is not %s", setting->name, value,
                     expected);
}

static enum error_code check_range(const struct setting *setting, const char *value,
                                   uint64_t number, struct error *error)
{
    if (number >= setting->minimum && number <= setting->maximum)
        return ERROR_NONE;
    return error_set(error, ERROR_INVALID, "setting '%s': '%s' is out of range (%llu to %llu)",
                     setting->name, value, (unsigned long long)setting->minimum,
                     (unsigned long long)setting->maximum);
}

static bool parse_bool(const char *value, bool *out)
{
    *out = strcmp(value, "true") == 0;
    return *out || strcmp(value, "false") == 0;
}

static enum error_code parse_number(const struct setting *setting, const char *value, void *field,
                                    struct error *error)
{
    uint64_t number;
    int64_t duration_ms;
    if (setting->type == TYPE_DURATION) {
        if (text_to_duration_ms(text_of(value), &duration_ms, error) != ERROR_NONE)
            return bad_value(setting, value, "a duration such as 15d, 5m or 30s", error);
        memcpy(field, &duration_ms, sizeof duration_ms);
        return check_range(setting, value, (uint64_t)duration_ms, error);
    }
    if (setting->type == TYPE_SIZE) {
        if (text_to_size_bytes(text_of(value), &number, error) != ERROR_NONE)
            return bad_value(setting, value, "a size such as 512MiB or 8KiB", error);
    } else if (!text_to_uint64(text_of(value), &number)) {
        return bad_value(setting, value, "a number", error);
    }
    memcpy(field, &number, sizeof number);
    return check_range(setting, value, number, error);
}

static enum error_code parse_value(struct settings *settings, const struct setting *setting,
                                   const char *value, struct error *error)
{
    void *field = field_of(settings, setting);
    bool truth;
    switch (setting->type) {
    case TYPE_TEXT:
        memcpy(field, &value, sizeof value);
        return ERROR_NONE;
    case TYPE_CHOICE:
        memcpy(field, &value, sizeof value);
        if (strcmp(value, "auto") != 0 && strcmp(value, "io_uring") != 0 &&
            strcmp(value, "pwritev2") != 0)
            return bad_value(setting, value, "auto, io_uring or pwritev2", error);
        return ERROR_NONE;
    case TYPE_BOOL:
        if (!parse_bool(value, &truth))
            return bad_value(setting, value, "true or false", error);
        memcpy(field, &truth, sizeof truth);
        return ERROR_NONE;
    case TYPE_FEATURES:
        if (!parse_bool(value, &truth))
            return bad_value(setting, value, "true or false", error);
        settings->query_features = truth ? PROMQL_EXPERIMENTAL : PROMQL_STABLE;
        return ERROR_NONE;
    case TYPE_LEVEL:
        if (!log_level_from_text(text_of(value), &settings->log_level))
            return bad_value(setting, value, "debug, info, warn or error", error);
        return ERROR_NONE;
    default:
        return parse_number(setting, value, field, error);
    }
}

/* What "auto" stands for. */
static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]", 5) == 0 ||
           strncmp(address, "localhost:", 10) == 0;
}

static void automatic_value(const struct settings *settings, const char *name, char *target,
                            size_t size)
{
    uint64_t memory = machine_memory_bytes();
    uint64_t value = 0;
    if (strcmp(name, "http.admin") == 0) {
        snprintf(target, size, "%s", is_loopback(settings->http_listen) ? "true" : "false");
        return;
    }
    if (strcmp(name, "storage.cache") == 0)
        value = memory / 16;
    else if (strcmp(name, "query.memory") == 0)
        value = memory / 4;
    else if (strcmp(name, "ingest.max_series") == 0)
        value = memory / 2 / 1024; /* about 1 KiB of a series in half of the memory */
    else
        value = machine_processors() < PROCESSORS_MAX ? machine_processors() : PROCESSORS_MAX;
    snprintf(target, size, "%llu", (unsigned long long)value);
}

static enum error_code parse_all(struct settings *settings, struct error *error)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];
        if (strcmp(settings->values[i], "auto") == 0 && setting->type != TYPE_CHOICE) {
            char computed[32];
            automatic_value(settings, setting->name, computed, sizeof computed);
            enum error_code code = set_value(settings, setting->name, computed, error);
            if (code != ERROR_NONE)
                return code;
        }
        enum error_code code = parse_value(settings, setting, settings->values[i], error);
        if (code != ERROR_NONE)
            return code;
    }
    if ((settings->http_tls_certificate[0] == '\0') != (settings->http_tls_key[0] == '\0'))
        return error_set(error, ERROR_INVALID, "http.tls.certificate and http.tls.key go together");
    return ERROR_NONE;
}

/* --- File ------------------------------------------------------------------------------------- */

struct yaml_walk {
    struct settings *settings;
    yaml_document_t *document;
    struct error *error;
};

static enum error_code walk_node(struct yaml_walk *walk, yaml_node_t *node, const char *prefix)
{
    if (node->type == YAML_SCALAR_NODE)
        return set_value(walk->settings, prefix, (const char *)node->data.scalar.value,
                         walk->error);
    if (node->type != YAML_MAPPING_NODE)
        return error_set(walk->error, ERROR_INVALID, "'%s' is a list, which no setting takes",
                         prefix);
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
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
        enum error_code code = walk_node(walk, value, path);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static enum error_code load_file(struct settings *settings, const char *path, struct error *error)
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
        code = error_set(error, ERROR_INVALID, "%s:%zu:%zu: %s", path, parser.problem_mark.line + 1,
                         parser.problem_mark.column + 1,
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

/* --- Environment and flags
 * ------------------------------------------------------------------------ */

/* GNOMON_STORAGE_RETENTION_SIZE is storage.retention_size. */
static void variable_name(const char *name, char *target, size_t size)
{
    size_t used = (size_t)snprintf(target, size, "GNOMON_");
    for (; *name != '\0' && used + 1 < size; name++)
        target[used++] = *name == '.' ? '_' : (char)toupper((unsigned char)*name);
    target[used] = '\0';
}

static enum error_code load_environment(struct settings *settings, struct error *error)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        char name[128];
        variable_name(SETTINGS[i].name, name, sizeof name);
        const char *value = getenv(name);
        enum error_code code =
            value == NULL ? ERROR_NONE : set_value(settings, SETTINGS[i].name, value, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* One "--name=value" or "--name value"; *used_out is how many arguments it takes. */
static enum error_code split_flag(int count, char *const *arguments, char *name, size_t name_size,
                                  const char **value_out, int *used_out, struct error *error)
{
    const char *flag = arguments[0];
    if (strncmp(flag, "--", 2) != 0)
        return error_set(error, ERROR_INVALID, "'%s' is no setting; they look like --name=value",
                         flag);
    const char *equals = strchr(flag, '=');
    size_t size = equals == NULL ? strlen(flag + 2) : (size_t)(equals - flag - 2);
    if (size >= name_size)
        size = name_size - 1;
    memcpy(name, flag + 2, size);
    name[size] = '\0';
    *used_out = equals == NULL ? 2 : 1;
    if (equals == NULL && count < 2)
        return error_set(error, ERROR_INVALID, "setting '%s' has no value", name);
    *value_out = equals == NULL ? arguments[1] : equals + 1;
    return ERROR_NONE;
}

static enum error_code load_flags(struct settings *settings, int count, char *const *arguments,
                                  bool config_only, struct error *error)
{
    for (int i = 0; i < count;) {
        char name[128];
        const char *value = NULL;
        int used = 1;
        enum error_code code =
            split_flag(count - i, arguments + i, name, sizeof name, &value, &used, error);
        if (code != ERROR_NONE)
            return code;
        bool is_config = strcmp(name, "config") == 0;
        if (is_config && config_only)
            code = load_file(settings, value, error);
        else if (!is_config && !config_only)
            code = set_value(settings, name, value, error);
        if (code != ERROR_NONE)
            return code;
        i += used;
    }
    return ERROR_NONE;
}

/* --- Public
 * ----------------------------------------------------------------------------------------- */

enum error_code settings_load(int count, char *const *arguments, struct settings *settings_out,
                              struct error *error)
{
    struct settings settings = {.count = SETTING_COUNT};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < SETTING_COUNT; i++) {
        settings.names[i] = strdup(SETTINGS[i].name);
        if (settings.names[i] == NULL)
            code = error_set(error, ERROR_OUT_OF_MEMORY, "settings");
        else
            code = set_value(&settings, SETTINGS[i].name, SETTINGS[i].fallback, error);
    }
    if (code == ERROR_NONE)
        code = load_flags(&settings, count, arguments, true, error);
    if (code == ERROR_NONE)
        code = load_environment(&settings, error);
    if (code == ERROR_NONE)
        code = load_flags(&settings, count, arguments, false, error);
    if (code == ERROR_NONE)
        code = parse_all(&settings, error);
    if (code != ERROR_NONE) {
        settings_clear(&settings);
        return code;
    }
    *settings_out = settings;
    return ERROR_NONE;
}

void settings_clear(struct settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        free(settings->names[i]);
        free(settings->values[i]);
    }
    *settings = (struct settings){0};
}

static void append_text(struct byte_buffer *buffer, const char *text)
{
    byte_buffer_append(buffer, text, strlen(text));
}

/* Between double quotes of YAML. */
static void append_quoted(struct byte_buffer *buffer, const char *text)
{
    append_text(buffer, "\"");
    for (; *text != '\0'; text++) {
        char escaped[8];
        if (*text == '"' || *text == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            snprintf(escaped, sizeof escaped, "\\x%02x", (unsigned)*text);
        else
            snprintf(escaped, sizeof escaped, "%c", *text);
        append_text(buffer, escaped);
    }
    append_text(buffer, "\"");
}

void settings_print(const struct settings *settings, struct byte_buffer *buffer)
{
    const char *section = "";
    size_t section_size = 0;
    for (size_t i = 0; i < settings->count; i++) {
        const char *name = settings->names[i];
        const char *dot = strchr(name, '.');
        size_t size = dot == NULL ? 0 : (size_t)(dot - name);
        if (size != section_size || strncmp(section, name, size) != 0) {
            section = name;
            section_size = size;
            if (size > 0) {
                byte_buffer_append(buffer, name, size);
                append_text(buffer, ":\n");
            }
        }
        append_text(buffer, size > 0 ? "  " : "");
        append_text(buffer, size > 0 ? dot + 1 : name);
        append_text(buffer, ": ");
        append_quoted(buffer, settings->values[i]);
        append_text(buffer, "\n");
    }
}

void settings_describe(struct byte_buffer *buffer)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        char line[256];
        snprintf(line, sizeof line, "  --%-26s %s\n  %-28s (default: %s)\n", SETTINGS[i].name,
                 SETTINGS[i].meaning, "",
                 SETTINGS[i].fallback[0] == '\0' ? "none" : SETTINGS[i].fallback);
        append_text(buffer, line);
    }
}
