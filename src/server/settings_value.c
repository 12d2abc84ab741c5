#include <stdio.h>
#include <string.h>

#include "membership/cluster_node.h"

#include "machine.h"
#include "settings_private.h"

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

struct unit {
    const char *name;
    uint64_t size;
};

/* In the largest unit that leaves a whole number. */
static void format_with_unit(uint64_t number, const struct unit *units, char *target, size_t size)
{
    while (units->size > 1 && (number == 0 || number % units->size != 0))
        units++;
    snprintf(target, size, "%llu%s", (unsigned long long)(number / units->size), units->name);
}

/* As it may be written. */
static void format_number(enum setting_type type, uint64_t number, char *target, size_t size)
{
    static const struct unit DURATIONS[] = {
        {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    static const struct unit SIZES[] = {
        {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}};
    static const struct unit COUNTS[] = {{"", 1}};
    const struct unit *units = type == TYPE_DURATION ? DURATIONS
                               : type == TYPE_SIZE   ? SIZES
                                                     : COUNTS;
    format_with_unit(number, units, target, size);
}

static enum error_code check_range(const struct setting *setting, const char *value,
                                   uint64_t number, struct error *error)
{
    char minimum[32], maximum[32];
    if (number >= setting->minimum && number <= setting->maximum)
        return ERROR_NONE;
    format_number(setting->type, setting->minimum, minimum, sizeof minimum);
    format_number(setting->type, setting->maximum, maximum, sizeof maximum);
    if (setting->maximum == UINT64_MAX)
        return error_set(error, ERROR_INVALID, "setting '%s': '%s' is out of range (at least %s)",
                         setting->name, value, minimum);
    return error_set(error, ERROR_INVALID, "setting '%s': '%s' is out of range (%s to %s)",
                     setting->name, value, minimum, maximum);
}

static enum error_code check_text(const struct setting *setting, const char *value,
                                  struct error *error)
{
    size_t size = strlen(value);
    if (size < setting->minimum)
        return error_set(error, ERROR_INVALID, "setting '%s' must not be empty", setting->name);
    if (size > setting->maximum)
        return error_set(error, ERROR_INVALID, "setting '%s': %zu bytes, more than %llu",
                         setting->name, size, (unsigned long long)setting->maximum);
    return ERROR_NONE;
}

static bool is_address(const char *value)
{
    const char *colon = strrchr(value, ':');
    uint64_t port;
    return colon != NULL && text_to_uint64(text_of(colon + 1), &port) && port <= UINT16_MAX;
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

/* "none, directory or s3". */
static void list_choices(const struct setting *setting, char *target, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; setting->choices[i] != NULL && used < size; i++) {
        const char *between = i == 0 ? "" : setting->choices[i + 1] == NULL ? " or " : ", ";
        used += (size_t)snprintf(target + used, size - used, "%s%s", between, setting->choices[i]);
    }
}

static enum error_code parse_choice(const struct setting *setting, const char *value, void *field,
                                    struct error *error)
{
    char expected[200];
    for (int choice = 0; setting->choices[choice] != NULL; choice++) {
        if (strcmp(value, setting->choices[choice]) != 0)
            continue;
        memcpy(field, &choice, sizeof choice); /* enums are as large as int */
        return ERROR_NONE;
    }
    list_choices(setting, expected, sizeof expected);
    return bad_value(setting, value, expected, error);
}

/* "all", or names with commas between them, each once. */
static bool parse_roles(const char *value, uint32_t *roles_out)
{
    uint32_t roles = 0;
    if (strcmp(value, "all") == 0) {
        *roles_out = CLUSTER_ROLES_ALL;
        return true;
    }
    for (const char *at = value;; at++) {
        at += strspn(at, " ");
        size_t size = strcspn(at, ", ");
        uint32_t role = cluster_role_of((struct text){at, size});
        if (role == 0 || (roles & role) != 0)
            return false;
        roles |= role;
        at += size + strspn(at + size, " ");
        if (*at == '\0')
            break;
        if (*at != ',')
            return false;
    }
    *roles_out = roles;
    return true;
}

enum error_code setting_parse(struct settings *settings, const struct setting *setting,
                              const char *value, struct error *error)
{
    void *field = field_of(settings, setting);
    bool truth;
    switch (setting->type) {
    case TYPE_TEXT:
    case TYPE_SECRET:
        memcpy(field, &value, sizeof value);
        return check_text(setting, value, error);
    case TYPE_ADDRESS:
        memcpy(field, &value, sizeof value);
        if (!is_address(value))
            return bad_value(setting, value, "an address such as 127.0.0.1:9009 or :9009", error);
        return ERROR_NONE;
    case TYPE_CHOICE:
        return parse_choice(setting, value, field, error);
    case TYPE_BOOL:
        if (!parse_bool(value, &truth))
            return bad_value(setting, value, "true or false", error);
        memcpy(field, &truth, sizeof truth);
        return ERROR_NONE;
    case TYPE_ROLES:
        if (!parse_roles(value, &settings->roles))
            return bad_value(setting, value,
                             "all, or some of ingest, query, store and rules with commas between",
                             error);
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

/* --- Automatic ----------------------------------------------------------------------------------
 */

static bool is_loopback(const char *address)
{
    size_t digits = strspn(address, "0123456789."); /* else "127.example.org" would be one */
    return (strncmp(address, "127.", 4) == 0 && address[digits] == ':') ||
           strncmp(address, "[::1]:", 6) == 0 || strncmp(address, "localhost:", 10) == 0;
}

void setting_automatic_value(const struct settings *settings, const char *name, char *target,
                             size_t size)
{
    uint64_t memory = machine_memory_bytes();
    uint64_t value = 0;
    if (strcmp(name, "http.admin") == 0) {
        snprintf(target, size, "%s", is_loopback(settings->http_listen) ? "true" : "false");
        return;
    }
    if (strcmp(name, "cluster.shards") == 0)
        value = settings_are_clustered(settings) ? 32 : 4;
    else if (strcmp(name, "cluster.replication") == 0)
        value = settings_are_clustered(settings) ? 3 : 1;
    else if (strcmp(name, "storage.cache") == 0)
        value = memory / 16;
    else if (strcmp(name, "query.memory") == 0)
        value = memory / 4;
    else if (strcmp(name, "ingest.max_series") == 0)
        value = memory / 2 / 1024; /* about 1 KiB of a series in half of the memory */
    else
        value = machine_processors() < PROCESSORS_MAX ? machine_processors() : PROCESSORS_MAX;
    snprintf(target, size, "%llu", (unsigned long long)value);
}
