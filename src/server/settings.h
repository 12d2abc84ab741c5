/*
 * settings - the node's configuration: one dotted name per setting, in file, flag and environment.
 *
 * Later sources win: defaults, file (YAML, nested at the dots), GNOMON_... variables, flags. An
 * unknown name is an error with a suggestion; every value is checked when it is read.
 */
#ifndef SERVER_SETTINGS_H
#define SERVER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/log.h"
#include "federation/federation.h"
#include "object/object_store_options.h"
#include "platform/disk_uring.h"
#include "promql/parser.h"

enum { SETTINGS_MAX = 96 };

/* An entry of federation.clusters; NULL: not given. Owned. */
struct settings_cluster {
    char *name;
    char *url;
    char **label_names; /* [label_count], at least one */
    char **label_values;
    size_t label_count;
    char *ca, *certificate, *key; /* PEM files */
    char *user, *password, *token;
};

/* An entry of storage.retention_rules; NULL: not given. Owned. */
struct settings_retention_rule {
    char *tenant;
    char *matchers;
    char *retention;
};

struct retention_policy;

struct settings {
    const char *http_listen;
    bool http_admin;
    const char *http_tls_certificate; /* "": none */
    const char *http_tls_key;
    const char *http_tls_client_ca;
    const char *http_web_config; /* "": none */
    uint64_t http_connections_max;
    uint64_t http_body_bytes_max;
    int64_t http_idle_timeout_ms;

    const char *storage_directory;
    int64_t storage_retention_ms; /* 0: for ever */
    int64_t storage_retention_grace_ms;
    struct settings_retention_rule *retention_rules; /* [retention_rule_count] */
    size_t retention_rule_count;
    struct retention_policy *retention_policy; /* of these, a reference */
    uint64_t storage_retention_bytes;
    int64_t storage_local_retention_ms; /* 0: as long as the blocks */
    uint64_t storage_disk_alarm_percent;
    uint64_t storage_disk_limit_percent;
    uint64_t storage_cache_bytes;
    uint64_t storage_unfrozen_bytes;
    int64_t storage_freeze_interval_ms;
    int64_t storage_scrub_interval_ms; /* 0: never */
    uint64_t storage_scrub_rate;       /* bytes a second; 0: no limit */
    enum disk_engine storage_engine;

    enum object_store_type object_store_type;
    const char *object_store_directory; /* "": none */
    int64_t object_store_delete_grace_ms;
    int64_t object_store_sweep_age_ms;
    uint64_t object_store_cache_bytes; /* on the disk; 0: none */
    uint64_t object_store_cache_memory_bytes;
    struct s3_options s3; /* but for the counts, which are these: */
    uint64_t s3_parts_at_once;
    uint64_t s3_connections;
    uint64_t s3_attempts;

    const char *cluster_name;
    const char *cluster_node;
    const char *cluster_listen;    /* "": none */
    const char *cluster_advertise; /* "": see settings_cluster_address */
    const char *cluster_peers;     /* "": none */
    const char *cluster_zone;
    uint64_t cluster_shards;
    uint64_t cluster_spread;
    uint64_t cluster_replication;
    int64_t cluster_replace_after_ms;
    uint64_t cluster_copy_rate;          /* bytes a second; 0: no limit */
    const char *cluster_tls_certificate; /* "": none */
    const char *cluster_tls_key;
    const char *cluster_tls_ca;

    int64_t ingest_future_window_ms;
    uint64_t ingest_max_series;
    uint64_t ingest_max_labels;
    uint64_t ingest_max_label_bytes;
    uint64_t ingest_max_request_bytes;
    uint64_t ingest_max_request_series;
    uint64_t ingest_max_exemplars;
    uint64_t ingest_max_metadata;
    uint64_t ingest_tenant_rate;

    int64_t query_timeout_ms;
    int64_t query_slow_ms;
    uint64_t query_max_samples;
    uint64_t query_memory_bytes;
    uint64_t query_concurrency;
    int64_t query_lookback_ms;
    int64_t query_default_step_ms;
    enum promql_features query_features;

    enum federation_partial federation_partial;
    int64_t federation_timeout_ms;
    struct settings_cluster *federation_clusters; /* [federation_cluster_count] */
    size_t federation_cluster_count;

    uint32_t roles; /* CLUSTER_ROLE_* of membership/cluster_node.h */

    bool telemetry_self_write;
    int64_t telemetry_interval_ms;
    bool tenants_enabled;
    enum log_level log_level;
    uint64_t threads;

    /* What they were loaded from, for a reload; the caller's. */
    char *const *arguments; /* [argument_count] */
    int argument_count;

    /* As texts, for status/flags; [count], by name. Owned. */
    char *names[SETTINGS_MAX];
    char *values[SETTINGS_MAX];
    size_t count;
};

/*
 * From `arguments` [count] of the command line ("--name=value", "--name value", "--config FILE")
 * and the environment. Errors: INVALID (unknown name, bad value, the file), NOT_FOUND (the file),
 * OUT_OF_MEMORY.
 */
enum error_code settings_load(int count, char *const *arguments, struct settings *settings_out,
                              struct error *error);

void settings_clear(struct settings *settings);

/* Whether the node is one of a cluster, if only of one so far. */
static inline bool settings_are_clustered(const struct settings *settings)
{
    return settings->cluster_listen[0] != '\0' || settings->cluster_peers[0] != '\0';
}

/* The value of the `i`-th, or a placeholder when it is a secret. */
const char *settings_shown_value(const struct settings *settings, size_t i);

/* The effective settings as YAML, nested at the dots; secrets left out. */
void settings_print(const struct settings *settings, struct byte_buffer *buffer);

/* Every setting with default and meaning, for --help. */
void settings_describe(struct byte_buffer *buffer);

#endif
