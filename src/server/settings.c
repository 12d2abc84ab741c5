#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "membership/cluster_node.h"

#include "settings_clusters.h"
#include "settings_retention.h"

/* --- Table ------------------------------------------------------------------------------------ */

#define SETTING(name, type, field, fallback, minimum, maximum, meaning)                            \
    {                                                                                              \
        name, type, offsetof(struct settings, field), fallback, minimum, maximum, meaning, NULL    \
    }

/* `field` is an enum; the names of its values, in their order. */
#define CHOICE(name, field, fallback, meaning, ...)                                                \
    {                                                                                              \
        name, TYPE_CHOICE, offsetof(struct settings, field), fallback, 0, 0, meaning,              \
            (const char *const[SETTING_CHOICES_MAX + 1])                                           \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

#define HOUR_MS (UINT64_C(3600) * 1000)
#define DAY_MS  (UINT64_C(24) * 3600 * 1000)
/* A thousand years: added to the time of day it stays a time. */
#define AGE_MS_MAX (365000 * DAY_MS)
#define ANY        UINT64_MAX

enum {
    PATH_BYTES_MAX = 3000,
    NODE_NAME_BYTES_MAX = 63,
    PEER_ADDRESS_BYTES_MAX = 255,
    PEERS_BYTES_MAX = 100000,
};

static const struct setting SETTINGS[] = {
    SETTING("http.listen", TYPE_ADDRESS, http_listen, "127.0.0.1:9009", 0, 0,
            "address of the API: Prometheus, remote write, admin"),
    SETTING("http.admin", TYPE_BOOL, http_admin, "auto", 0, 0,
            "admin endpoints; by default on when http.listen is loopback"),
    SETTING("http.tls.certificate", TYPE_TEXT, http_tls_certificate, "", 0, PATH_BYTES_MAX,
            "PEM file of the server's certificate; with http.tls.key turns TLS on"),
    SETTING("http.tls.key", TYPE_TEXT, http_tls_key, "", 0, PATH_BYTES_MAX, "PEM file of its key"),
    SETTING("http.tls.client_ca", TYPE_TEXT, http_tls_client_ca, "", 0, PATH_BYTES_MAX,
            "PEM file; clients must then show a certificate it signed"),
    SETTING("http.web_config", TYPE_TEXT, http_web_config, "", 0, PATH_BYTES_MAX,
            "YAML file of users, tokens, TLS and headers, as Prometheus has it"),
    SETTING("http.max_connections", TYPE_COUNT, http_connections_max, "4096", 1, 1000000,
            "connections open at once; beyond: 503"),
    SETTING("http.max_body", TYPE_SIZE, http_body_bytes_max, "40MiB", 1024, 1u << 30,
            "largest request body as sent; beyond: 413"),
    SETTING("http.idle_timeout", TYPE_DURATION, http_idle_timeout_ms, "2m", 1000, DAY_MS,
            "between requests of a connection"),
    SETTING("storage.directory", TYPE_TEXT, storage_directory, "./gnomon-data", 1, PATH_BYTES_MAX,
            "log, parts and blocks"),
    SETTING("storage.retention", TYPE_DURATION, storage_retention_ms, "0", 0, AGE_MS_MAX,
            "age at which samples are deleted; 0: never; storage.retention_rules are in the file "
            "only"),
    SETTING("storage.retention_grace", TYPE_DURATION, storage_retention_grace_ms, "1d", 0,
            AGE_MS_MAX, "after which a shorter retention deletes what was kept by the former"),
    SETTING("storage.retention_size", TYPE_SIZE, storage_retention_bytes, "0", 0, ANY,
            "size of parts and blocks at which the oldest are deleted; 0: no limit"),
    SETTING("storage.local_retention", TYPE_DURATION, storage_local_retention_ms, "0s", 0,
            AGE_MS_MAX, "age at which uploaded blocks leave the local disk; 0s: never"),
    SETTING("storage.disk_alarm", TYPE_COUNT, storage_disk_alarm_percent, "90", 1, 100,
            "percent of the disk in use at which an alarm is raised"),
    SETTING("storage.disk_limit", TYPE_COUNT, storage_disk_limit_percent, "95", 1, 100,
            "percent of the disk in use at which writes are refused"),
    SETTING("storage.cache", TYPE_SIZE, storage_cache_bytes, "auto", 1 << 20, ANY,
            "memory for pages of files; by default 1/16 of the memory"),
    SETTING("storage.unfrozen_log", TYPE_SIZE, storage_unfrozen_bytes, "80MiB", 1 << 20,
            UINT64_C(16) << 30, "log since the last freezes, down to half of it with few series"),
    SETTING("storage.freeze_interval", TYPE_DURATION, storage_freeze_interval_ms, "15m", 1000,
            DAY_MS, "longest time that samples stay in memory and log only"),
    SETTING("storage.scrub_interval", TYPE_DURATION, storage_scrub_interval_ms, "7d", 0, AGE_MS_MAX,
            "every file is read again once in this time, to find what rots; 0: never"),
    SETTING("storage.scrub_rate", TYPE_SIZE, storage_scrub_rate, "64MiB", 0, ANY,
            "bytes a second that are read for that, and by gnomon cluster verify; 0: no limit"),
    CHOICE("storage.engine", storage_engine, "auto", "auto, io_uring or pwritev2", "auto",
           "io_uring", "pwritev2"),
    CHOICE("object_store.type", object_store_type, "none",
           "where blocks are uploaded: none, directory or s3", "none", "directory", "s3"),
    SETTING("object_store.directory", TYPE_TEXT, object_store_directory, "", 0, PATH_BYTES_MAX,
            "of type directory: made when it is missing"),
    SETTING("object_store.delete_grace", TYPE_DURATION, object_store_delete_grace_ms, "1h", 0,
            AGE_MS_MAX, "how long merged blocks stay there for queries under way"),
    SETTING("object_store.sweep_age", TYPE_DURATION, object_store_sweep_age_ms, "1d", 1000,
            AGE_MS_MAX, "age at which objects that nothing names are deleted; above any upload"),
    SETTING("object_store.cache", TYPE_SIZE, object_store_cache_bytes, "10GiB", 0, ANY,
            "disk for what is read of blocks there, while a tenth of it is free; 0: memory only"),
    SETTING("object_store.cache_memory", TYPE_SIZE, object_store_cache_memory_bytes, "64MiB",
            1 << 20, ANY, "memory for what was read there last"),
    SETTING("object_store.s3.endpoint", TYPE_TEXT, s3.endpoint, "", 0, PATH_BYTES_MAX,
            "http[s]://host[:port]; by default AWS, of the region"),
    SETTING("object_store.s3.bucket", TYPE_TEXT, s3.bucket, "", 0, PATH_BYTES_MAX, "its name"),
    SETTING("object_store.s3.prefix", TYPE_TEXT, s3.prefix, "", 0, PATH_BYTES_MAX,
            "before all keys"),
    SETTING("object_store.s3.region", TYPE_TEXT, s3.region, "", 0, PATH_BYTES_MAX,
            "by default AWS_REGION, or us-east-1"),
    CHOICE("object_store.s3.path_style", s3.addressing, "auto",
           "true: endpoint/bucket/key, false: bucket.endpoint/key", "auto", "true", "false"),
    SETTING("object_store.s3.access_key", TYPE_SECRET, s3.access_key, "", 0, PATH_BYTES_MAX,
            "by default AWS_ACCESS_KEY_ID, and where else keys may be"),
    SETTING("object_store.s3.secret_key", TYPE_SECRET, s3.secret_key, "", 0, PATH_BYTES_MAX,
            "never shown"),
    SETTING("object_store.s3.session_token", TYPE_SECRET, s3.session_token, "", 0, PATH_BYTES_MAX,
            "of temporary keys; never shown"),
    SETTING("object_store.s3.access_key_file", TYPE_TEXT, s3.access_key_file, "", 0, PATH_BYTES_MAX,
            "file of the access key"),
    SETTING("object_store.s3.secret_key_file", TYPE_TEXT, s3.secret_key_file, "", 0, PATH_BYTES_MAX,
            "file of the secret key"),
    SETTING("object_store.s3.credentials_file", TYPE_TEXT, s3.credentials_file, "", 0,
            PATH_BYTES_MAX, "file in the form of ~/.aws/credentials"),
    SETTING("object_store.s3.profile", TYPE_TEXT, s3.profile, "", 0, PATH_BYTES_MAX,
            "section of such a file; by default AWS_PROFILE, or default"),
    SETTING("object_store.s3.ca_file", TYPE_TEXT, s3.ca_file, "", 0, PATH_BYTES_MAX,
            "PEM file of certificates that are trusted instead of the system's"),
    CHOICE("object_store.s3.encryption", s3.encryption, "none",
           "at rest, by the store: none, AES256, aws:kms or customer", "none", "AES256", "aws:kms",
           "customer"),
    SETTING("object_store.s3.encryption_key", TYPE_SECRET, s3.encryption_key, "", 0, PATH_BYTES_MAX,
            "aws:kms: id of the key, else the bucket's; customer: base64 of 32 bytes"),
    SETTING("object_store.s3.encryption_key_file", TYPE_TEXT, s3.encryption_key_file, "", 0,
            PATH_BYTES_MAX, "file of that key"),
    CHOICE("object_store.s3.etag", s3.etag, "md5",
           "opaque for a store whose ETags are not MD5s: broken uploads begin anew", "md5",
           "opaque"),
    SETTING("object_store.s3.part_size", TYPE_SIZE, s3.part_bytes, "16MiB", 5 << 20, 512 << 20,
            "larger files are sent in parts of this size"),
    SETTING("object_store.s3.parts_at_once", TYPE_COUNT, s3_parts_at_once, "4", 1, 32,
            "of one file; so many are in memory"),
    SETTING("object_store.s3.connections", TYPE_COUNT, s3_connections, "64", 1, 1024,
            "requests at once; others wait"),
    SETTING("object_store.s3.connect_timeout", TYPE_DURATION, s3.connect_timeout_ms, "3s", 1,
            HOUR_MS, "for a connection, TLS included"),
    SETTING("object_store.s3.stall_timeout", TYPE_DURATION, s3.stall_timeout_ms, "10s", 1, HOUR_MS,
            "an attempt that moves no byte for so long is broken off"),
    SETTING("object_store.s3.attempts", TYPE_COUNT, s3_attempts, "6", 1, 20,
            "of one request, the first included"),
    SETTING("object_store.s3.backoff", TYPE_DURATION, s3.backoff_ms, "100ms", 1, HOUR_MS,
            "before the second attempt, doubled for each further, half of it random"),
    SETTING("object_store.s3.backoff_max", TYPE_DURATION, s3.backoff_ms_max, "5s", 1, HOUR_MS,
            "the longest of these"),
    SETTING("cluster.name", TYPE_TEXT, cluster_name, "gnomon", 1, NODE_NAME_BYTES_MAX,
            "name of this cluster"),
    SETTING("cluster.node", TYPE_TEXT, cluster_node, "node-1", 1, NODE_NAME_BYTES_MAX,
            "stable name of this node"),
    SETTING("cluster.listen", TYPE_TEXT, cluster_listen, "", 0, PEER_ADDRESS_BYTES_MAX,
            "address for other nodes; with cluster.peers or alone it makes the node one of a "
            "cluster"),
    SETTING("cluster.advertise", TYPE_TEXT, cluster_advertise, "", 0, PEER_ADDRESS_BYTES_MAX,
            "where others find it; by default its own entry in cluster.peers, or cluster.listen"),
    SETTING("cluster.peers", TYPE_TEXT, cluster_peers, "", 0, PEERS_BYTES_MAX,
            "name=host:port,... of the first nodes; one that comes later names any of them"),
    SETTING("cluster.zone", TYPE_TEXT, cluster_zone, "", 0, NODE_NAME_BYTES_MAX,
            "replicas of a shard are spread over zones"),
    SETTING("cluster.shards", TYPE_COUNT, cluster_shards, "auto", 1, 4096,
            "shards at creation; by default 4 of a node alone, 32 of a cluster"),
    SETTING("cluster.spread", TYPE_COUNT, cluster_spread, "4", 1, 4096,
            "over how many slots one target is spread, at creation"),
    SETTING("cluster.replication", TYPE_COUNT, cluster_replication, "auto", 1, 7,
            "replicas of a shard, at creation; by default 1 of a node alone, 3 of a cluster"),
    SETTING("cluster.replace_after", TYPE_DURATION, cluster_replace_after_ms, "30m", 1000,
            AGE_MS_MAX, "the replicas of a node that is dead for so long are made anew on others"),
    SETTING("cluster.copy_rate", TYPE_SIZE, cluster_copy_rate, "64MiB", 0, ANY,
            "bytes a second that new or lagging replicas fetch from others; 0: no limit"),
    SETTING("cluster.tls.certificate", TYPE_TEXT, cluster_tls_certificate, "", 0, PATH_BYTES_MAX,
            "PEM file of the certificate that this node shows to others"),
    SETTING("cluster.tls.key", TYPE_TEXT, cluster_tls_key, "", 0, PATH_BYTES_MAX,
            "PEM file of its key"),
    SETTING("cluster.tls.ca", TYPE_TEXT, cluster_tls_ca, "", 0, PATH_BYTES_MAX,
            "PEM file; other nodes must show a certificate that it signed"),
    SETTING("roles", TYPE_ROLES, roles, "all", 0, 0,
            "all, or some of ingest, query, store and rules, with commas between them"),
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
    SETTING("query.slow", TYPE_DURATION, query_slow_ms, "10s", 0, DAY_MS,
            "a query that runs as long is logged; 0: none is"),
    SETTING("query.lookback", TYPE_DURATION, query_lookback_ms, "5m", 1, DAY_MS,
            "how far back an instant selector looks"),
    SETTING("query.default_step", TYPE_DURATION, query_default_step_ms, "1m", 1, DAY_MS,
            "step of sub-queries that name none"),
    SETTING("query.experimental", TYPE_FEATURES, query_features, "false", 0, 0,
            "what Prometheus keeps behind its PromQL feature flags"),
    CHOICE("federation.partial_response", federation_partial, "warn",
           "warn: answer without clusters that do not; abort: with an error", "warn", "abort"),
    SETTING("federation.timeout", TYPE_DURATION, federation_timeout_ms, "30s", 1, DAY_MS,
            "longest wait for another cluster; federation.clusters is in the file only"),
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

enum error_code settings_set(struct settings *settings, const char *name, const char *value,
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

static enum error_code parse_all(struct settings *settings, struct error *error)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];
        if (strcmp(settings->values[i], "auto") == 0 && strcmp(setting->fallback, "auto") == 0 &&
            setting->type != TYPE_CHOICE) {
            char computed[32];
            setting_automatic_value(settings, setting->name, computed, sizeof computed);
            enum error_code code = settings_set(settings, setting->name, computed, error);
            if (code != ERROR_NONE)
                return code;
        }
        enum error_code code = setting_parse(settings, setting, settings->values[i], error);
        if (code != ERROR_NONE)
            return code;
    }
    if ((settings->roles & CLUSTER_ROLE_INGEST) == 0 && !settings_are_clustered(settings))
        return error_set(error, ERROR_INVALID,
                         "setting 'roles': a node alone needs the role ingest, as nobody else has "
                         "its shards");
    bool has_certificate = settings->cluster_tls_certificate[0] != '\0';
    if (has_certificate != (settings->cluster_tls_key[0] != '\0') ||
        has_certificate != (settings->cluster_tls_ca[0] != '\0'))
        return error_set(error, ERROR_INVALID,
                         "cluster.tls.certificate, cluster.tls.key and cluster.tls.ca go together");
    if (settings->object_store_type == OBJECT_STORE_DIRECTORY &&
        settings->object_store_directory[0] == '\0')
        return error_set(error, ERROR_INVALID,
                         "object_store.type directory needs object_store.directory");
    if (settings->object_store_type == OBJECT_STORE_S3 && settings->s3.bucket[0] == '\0')
        return error_set(error, ERROR_INVALID, "object_store.type s3 needs object_store.s3.bucket");
    if ((settings->http_tls_certificate[0] == '\0') != (settings->http_tls_key[0] == '\0'))
        return error_set(error, ERROR_INVALID, "http.tls.certificate and http.tls.key go together");
    if (settings->http_tls_client_ca[0] != '\0' && settings->http_tls_certificate[0] == '\0')
        return error_set(error, ERROR_INVALID,
                         "http.tls.client_ca needs http.tls.certificate and http.tls.key: without "
                         "TLS no client is asked for a certificate");
    return ERROR_NONE;
}

/* --- Environment and flags -------------------------------------------------------------------- */

/* GNOMON_STORAGE_RETENTION_SIZE is storage.retention_size. */
static void variable_name(const char *name, char *target, size_t size)
{
    size_t used = (size_t)snprintf(target, size, "GNOMON_");
    for (; *name != '\0' && used + 1 < size; name++)
        target[used++] = *name == '.' ? '_' : (char)toupper((unsigned char)*name);
    target[used] = '\0';
}

/*
 * A mistyped variable must not be passed over like one that is meant for others: Kubernetes, for
 * one, sets GNOMON_PORT and more of that kind beside a service of our name.
 */
static enum error_code check_variable(const char *variable, struct error *error)
{
    enum { DISTANCE_OF_A_SLIP = 2 };
    char given[128], known[128];
    size_t size = strcspn(variable, "=");
    if (strncmp(variable, "GNOMON_", 7) != 0 || size >= sizeof given)
        return ERROR_NONE;
    memcpy(given, variable, size);
    given[size] = '\0';
    const char *meant = NULL;
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        variable_name(SETTINGS[i].name, known, sizeof known);
        size_t found = distance(known, given);
        if (found == 0)
            return ERROR_NONE;
        if (found <= DISTANCE_OF_A_SLIP)
            meant = SETTINGS[i].name;
    }
    if (meant == NULL)
        return ERROR_NONE;
    variable_name(meant, known, sizeof known);
    return error_set(error, ERROR_INVALID, "unknown variable '%s'; did you mean '%s'?", given,
                     known);
}

static enum error_code load_environment(struct settings *settings, struct error *error)
{
    enum error_code code = ERROR_NONE;
    for (char **variable = environ; code == ERROR_NONE && *variable != NULL; variable++)
        code = check_variable(*variable, error);
    for (size_t i = 0; code == ERROR_NONE && i < SETTING_COUNT; i++) {
        char name[128];
        variable_name(SETTINGS[i].name, name, sizeof name);
        const char *value = getenv(name);
        if (value != NULL)
            code = settings_set(settings, SETTINGS[i].name, value, error);
    }
    return code;
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
            code = settings_load_file(settings, value, error);
        else if (!is_config && !config_only)
            code = settings_set(settings, name, value, error);
        if (code != ERROR_NONE)
            return code;
        i += used;
    }
    return ERROR_NONE;
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code settings_load(int count, char *const *arguments, struct settings *settings_out,
                              struct error *error)
{
    struct settings settings = {
        .count = SETTING_COUNT, .arguments = arguments, .argument_count = count};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < SETTING_COUNT; i++) {
        settings.names[i] = strdup(SETTINGS[i].name);
        if (settings.names[i] == NULL)
            code = error_set(error, ERROR_OUT_OF_MEMORY, "settings");
        else
            code = settings_set(&settings, SETTINGS[i].name, SETTINGS[i].fallback, error);
    }
    if (code == ERROR_NONE)
        code = load_flags(&settings, count, arguments, true, error);
    if (code == ERROR_NONE)
        code = load_environment(&settings, error);
    if (code == ERROR_NONE)
        code = load_flags(&settings, count, arguments, false, error);
    if (code == ERROR_NONE)
        code = parse_all(&settings, error);
    if (code == ERROR_NONE)
        code = settings_retention_make(&settings, error);
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
    settings_clusters_clear(settings);
    settings_retention_clear(settings);
    *settings = (struct settings){0};
}

static void append_text(struct byte_buffer *buffer, const char *text)
{
    byte_buffer_append(buffer, text, strlen(text));
}

void settings_append_quoted(struct byte_buffer *buffer, const char *text)
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

const char *settings_shown_value(const struct settings *settings, size_t i)
{
    bool is_shown = SETTINGS[i].type != TYPE_SECRET || settings->values[i][0] == '\0';
    return is_shown ? settings->values[i] : "<secret>";
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
        settings_append_quoted(buffer, settings_shown_value(settings, i));
        append_text(buffer, "\n");
        if (strcmp(name, "federation.timeout") == 0)
            settings_clusters_print(settings, buffer);
        if (strcmp(name, "storage.retention_size") == 0)
            settings_retention_print(settings, buffer);
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
