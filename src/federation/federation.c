#include "federation_private.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NS_PER_MS = 1000 * 1000 };

static const char *const PATHS[REMOTE_PATHS] = {
    [REMOTE_SUB_QUERY] = "/api/v1/internal/sub-query",
    [REMOTE_SELECT] = "/api/v1/internal/select",
};

/* --- Life ------------------------------------------------------------------------------------ */

static void remote_clear(struct remote *remote)
{
    const struct target *target = &remote->target;
    char *const texts[] = {
        remote->name,     target->url,  target->ca_path,  target->certificate_path,
        target->key_path, target->user, target->password, target->token};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(texts[i]);
}

/* False when memory is out. */
static bool copy(char **target, const char *source)
{
    if (source == NULL || source[0] == '\0')
        return true;
    *target = strdup(source);
    return *target != NULL;
}

static enum error_code remote_init(struct remote *remote, struct arena *arena,
                                   const struct federation_cluster *cluster, struct error *error)
{
    struct target *target = &remote->target;
    struct label *labels = arena_array(arena, cluster->label_count + 1, sizeof *labels);
    if (labels == NULL || !copy(&remote->name, cluster->name) ||
        !copy(&target->url, cluster->url) || !copy(&target->ca_path, cluster->ca_path) ||
        !copy(&target->certificate_path, cluster->certificate_path) ||
        !copy(&target->key_path, cluster->key_path) || !copy(&target->user, cluster->user) ||
        !copy(&target->password, cluster->password) || !copy(&target->token, cluster->token))
        return error_set(error, ERROR_OUT_OF_MEMORY, "federation");
    for (size_t end = target->url == NULL ? 0 : strlen(target->url);
         end > 0 && target->url[end - 1] == '/'; end--)
        target->url[end - 1] = '\0';
    for (size_t i = 0; i < cluster->label_count; i++)
        labels[i] = cluster->labels[i];
    remote->labels = labels_build(arena, labels, cluster->label_count);
    return remote->labels.bytes == NULL && cluster->label_count > 0
               ? error_set(error, ERROR_OUT_OF_MEMORY, "federation")
               : ERROR_NONE;
}

static enum error_code open(struct federation *federation, const struct federation_options *options,
                            struct error *error)
{
    struct label own = {TEXT("cluster"), text_of(options->name)};
    federation->arena = arena_create(0);
    federation->remotes = calloc(options->cluster_count + 1, sizeof *federation->remotes);
    if (federation->arena == NULL || federation->remotes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "federation");
    federation->own_labels = labels_build(federation->arena, &own, 1);
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < options->cluster_count; i++)
        code =
            remote_init(&federation->remotes[i], federation->arena, &options->clusters[i], error);
    if (code == ERROR_NONE)
        code = transfers_create(options->clock, &federation->transfers, error);
    return code;
}

enum error_code federation_create(const struct federation_options *options,
                                  struct federation **federation_out, struct error *error)
{
    struct federation *federation = calloc(1, sizeof *federation);
    if (federation == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(federation);
        return error_set(error, ERROR_OUT_OF_MEMORY, "federation");
    }
    federation->options = *options;
    enum error_code code = open(federation, options, error);
    if (code != ERROR_NONE) {
        federation_destroy(federation);
        return code;
    }
    federation->options.clusters = NULL;
    *federation_out = federation;
    return ERROR_NONE;
}

void federation_destroy(struct federation *federation)
{
    if (federation == NULL)
        return;
    transfers_destroy(federation->transfers);
    for (size_t i = 0; federation->remotes != NULL && i < federation->options.cluster_count; i++)
        remote_clear(&federation->remotes[i]);
    free(federation->remotes);
    arena_destroy(federation->arena);
    free(federation);
    curl_global_cleanup();
}

/* --- Asking ---------------------------------------------------------------------------------- */

uint64_t federation_timeout_ms(const struct federation *federation, uint64_t deadline_ns)
{
    uint64_t timeout_ms = federation->options.timeout_ms;
    if (deadline_ns == 0)
        return timeout_ms;
    uint64_t now_ns = clock_monotonic_ns(federation->options.clock);
    uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns) / NS_PER_MS : 0;
    /* Who waits in vain has time left to answer without. */
    left_ms -= left_ms / 8;
    if (left_ms < timeout_ms)
        timeout_ms = left_ms;
    return timeout_ms == 0 ? 1 : timeout_ms;
}

enum error_code federation_ask(struct federation_read *read, size_t cluster, enum remote_path path,
                               struct byte_buffer *body, uint64_t deadline_ns,
                               struct transfer **transfer_out, struct error *error)
{
    struct federation *federation = read->federation;
    struct remote *remote = &federation->remotes[cluster];
    struct transfer_options options = {
        .target = &remote->target,
        .path = PATHS[path],
        .tenant = read->tenant,
        .timeout_ms = federation_timeout_ms(federation, deadline_ns),
        .memory = federation->options.memory,
        .bytes_total = &remote->received_bytes[path],
    };
    atomic_fetch_add_explicit(&remote->asked, 1, memory_order_relaxed);
    return transfer_begin(federation->transfers, &options, body, transfer_out, error);
}

enum error_code federation_judge(struct federation_read *read, size_t cluster, char *warning,
                                 size_t warning_bytes, struct error *error)
{
    struct remote *remote = &read->federation->remotes[cluster];
    if (error->code == ERROR_CANCELED || error->code == ERROR_TIMEOUT)
        return error->code;
    atomic_fetch_add_explicit(&remote->failed, 1, memory_order_relaxed);
    error_wrap(error, "cluster \"%s\"", remote->name);
    if (read->partial == FEDERATION_ABORT) {
        if (error->code != ERROR_LIMIT)
            error->code = ERROR_UNAVAILABLE;
        return error->code;
    }
    snprintf(warning, warning_bytes, "the answer is without %.400s", error->message);
    error_clear(error);
    return ERROR_NONE;
}

/* --- Reads ----------------------------------------------------------------------------------- */

void federation_read_init(struct federation_read *read)
{
    pthread_mutex_init(&read->lock, NULL);
    read->warnings = NULL;
    read->all.base.operations = &FEDERATION_SOURCE_OPERATIONS;
    read->all.read = read;
    read->all_metadata.base.operations = &FEDERATION_METADATA_OPERATIONS;
    read->all_metadata.read = read;
    read->all_distributor.base.operations = &FEDERATION_DISTRIBUTOR_OPERATIONS;
    read->all_distributor.read = read;
}

void federation_read_clear(struct federation_read *read)
{
    while (read->warnings != NULL) {
        struct federation_warning *next = read->warnings->next;
        free(read->warnings);
        read->warnings = next;
    }
    pthread_mutex_destroy(&read->lock);
}

void federation_note(struct federation_read *read, size_t cluster, const char *warning)
{
    pthread_mutex_lock(&read->lock);
    struct federation_warning **end = &read->warnings;
    while (*end != NULL && (*end)->cluster != cluster)
        end = &(*end)->next;
    if (*end == NULL) {
        *end = calloc(1, sizeof **end);
        if (*end != NULL) {
            (*end)->cluster = cluster;
            snprintf((*end)->message, sizeof(*end)->message, "%s", warning);
        }
    }
    pthread_mutex_unlock(&read->lock);
}

bool federation_next_warning(struct federation_read *read, struct federation_warning **position,
                             struct text *warning_out)
{
    *position = *position == NULL ? read->warnings : (*position)->next;
    if (*position == NULL)
        return false;
    *warning_out = text_of((*position)->message);
    return true;
}

struct labels federation_own_labels(const struct federation *federation)
{
    return federation->own_labels;
}

/* --- Looking --------------------------------------------------------------------------------- */

size_t federation_cluster_count(const struct federation *federation)
{
    return federation->options.cluster_count;
}

void federation_statistics(const struct federation *federation, size_t cluster,
                           struct federation_statistics *statistics_out)
{
    const struct remote *remote = &federation->remotes[cluster];
    *statistics_out = (struct federation_statistics){
        .name = remote->name,
        .asked = remote->asked,
        .pruned = remote->pruned,
        .failed = remote->failed,
        .is_silent =
            target_silent_ms(&remote->target, clock_monotonic_ms(federation->options.clock)) > 0,
        .received_bytes_sub_query = remote->received_bytes[REMOTE_SUB_QUERY],
        .received_bytes_select = remote->received_bytes[REMOTE_SELECT],
    };
}
