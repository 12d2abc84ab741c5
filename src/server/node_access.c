/* Who may use the API, and how it is encrypted: from the settings, or from http.web_config. */
#include <stdlib.h>
#include <string.h>

#include "access/web_config.h"
#include "base/log.h"

#include "node_cluster.h"
#include "node_private.h"

/* --- Loading ------------------------------------------------------------------------------------
 */

static enum error_code check_tenants(const struct settings *settings,
                                     const struct web_config *config, struct error *error)
{
    for (size_t i = 0; i < config->token_count; i++) {
        const struct web_token *token = &config->tokens[i];
        if (token->tenant.size > 0 && !settings->tenants_enabled)
            return error_set(error, ERROR_INVALID,
                             "%s: bearer_tokens: '%.*s' has a tenant, which needs tenants.enabled",
                             settings->http_web_config, TEXT_ARGUMENTS(token->name));
    }
    return ERROR_NONE;
}

enum error_code node_load_web_config(const struct settings *settings,
                                     struct web_config **config_out, struct error *error)
{
    struct web_config *config;
    *config_out = NULL;
    if (settings->http_web_config[0] == '\0')
        return ERROR_NONE;
    enum error_code code = web_config_load(settings->http_web_config, &config, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "http.web_config");
    code = check_tenants(settings, config, error);
    if (code == ERROR_NONE && config->certificate_path != NULL &&
        settings->http_tls_certificate[0] != '\0')
        code = error_set(error, ERROR_INVALID,
                         "http.tls.certificate and tls_server_config of %s: only one of them",
                         settings->http_web_config);
    if (code != ERROR_NONE) {
        web_config_destroy(config);
        return code;
    }
    *config_out = config;
    return ERROR_NONE;
}

enum error_code node_open_tls(const struct settings *settings, const struct web_config *config,
                              struct tls_context **tls_out, struct error *error)
{
    const char *client_ca = settings->http_tls_client_ca;
    struct tls_options options = {
        .certificate_path = settings->http_tls_certificate,
        .key_path = settings->http_tls_key,
        .client_ca_path = client_ca[0] == '\0' ? NULL : client_ca,
    };
    if (config != NULL && config->certificate_path != NULL)
        options = (struct tls_options){
            .certificate_path = config->certificate_path,
            .key_path = config->key_path,
            .client_ca_path = config->client_ca_path,
        };
    *tls_out = NULL;
    if (options.certificate_path[0] == '\0')
        return ERROR_NONE;
    return tls_context_create(&options, tls_out, error);
}

/* --- Opening
 * -------------------------------------------------------------------------------------- */

static bool copy_path(char **target, const char *path)
{
    *target = path == NULL ? NULL : strdup(path);
    return path == NULL || *target != NULL;
}

static bool keep_tls_paths(struct node *node, const struct web_config *config)
{
    return config == NULL || (copy_path(&node->tls_paths[0], config->certificate_path) &&
                              copy_path(&node->tls_paths[1], config->key_path) &&
                              copy_path(&node->tls_paths[2], config->client_ca_path));
}

static size_t checks_max(const struct settings *settings)
{
    size_t checks = settings->query_concurrency / 4;
    return checks < 1 ? 1 : checks > GATE_CHECKS_MAX ? GATE_CHECKS_MAX : checks;
}

enum error_code node_open_access(struct node *node, struct error *error)
{
    /* What a kubelet asks, which has no secrets to show. */
    static const char *const OPEN_ROUTES[] = {"/-/healthy", "/-/ready"};
    struct gate_options options = {
        .metrics = node->metrics,
        .open_routes = OPEN_ROUTES,
        .open_route_count = sizeof OPEN_ROUTES / sizeof OPEN_ROUTES[0],
        .checks_max = checks_max(node->settings),
    };
    struct web_config *config;
    pthread_mutex_init(&node->reload_mutex, NULL);
    enum error_code code = gate_create(&options, &node->gate, error);
    if (code == ERROR_NONE)
        code = node_load_web_config(node->settings, &config, error);
    if (code != ERROR_NONE)
        return code;
    code = node_open_tls(node->settings, config, &node->tls, error);
    if (code == ERROR_NONE && !keep_tls_paths(node, config))
        code = error_set(error, ERROR_OUT_OF_MEMORY, "web config");
    if (code == ERROR_NONE)
        code = gate_replace(node->gate, config, error);
    if (code != ERROR_NONE)
        web_config_destroy(config);
    return code;
}

void node_close_access(struct node *node)
{
    gate_destroy(node->gate);
    tls_context_destroy(node->tls);
    for (size_t i = 0; i < sizeof node->tls_paths / sizeof node->tls_paths[0]; i++)
        free(node->tls_paths[i]);
    pthread_mutex_destroy(&node->reload_mutex);
}

/* --- Reloading
 * ------------------------------------------------------------------------------------ */

static bool is_same_path(const char *left, const char *right)
{
    return left == NULL || right == NULL ? left == right : strcmp(left, right) == 0;
}

/* Listeners keep their TLS as long as they live; what is in its files may change. */
static enum error_code check_same_tls(const struct node *node, const struct web_config *config,
                                      struct error *error)
{
    if (config == NULL || (is_same_path(node->tls_paths[0], config->certificate_path) &&
                           is_same_path(node->tls_paths[1], config->key_path) &&
                           is_same_path(node->tls_paths[2], config->client_ca_path)))
        return ERROR_NONE;
    return error_set(error, ERROR_INVALID,
                     "%s: other files in tls_server_config need a restart; what the files hold "
                     "does not",
                     node->settings->http_web_config);
}

/* Everything is read and checked before anything is changed. */
static enum error_code reload(struct node *node, struct error *error)
{
    struct web_config *config;
    enum error_code code = node_load_web_config(node->settings, &config, error);
    if (code != ERROR_NONE)
        return code;
    code = check_same_tls(node, config, error);
    if (code == ERROR_NONE && node->tls != NULL)
        code = tls_context_reload(node->tls, error);
    if (code == ERROR_NONE && node->cluster != NULL && node->cluster->tls != NULL)
        code = tls_context_reload(node->cluster->tls, error);
    size_t users = config == NULL ? 0 : config->user_count;
    size_t tokens = config == NULL ? 0 : config->token_count;
    if (code == ERROR_NONE)
        code = node_reload_retention(node, error);
    if (code == ERROR_NONE)
        code = gate_replace(node->gate, config, error);
    if (code != ERROR_NONE) {
        web_config_destroy(config);
        return code;
    }
    log_event(LOG_INFO, "server", "reloaded", "tls=%s users=%zu tokens=%zu",
              node->tls != NULL ? "true" : "false", users, tokens);
    return ERROR_NONE;
}

enum error_code node_reload(struct node *node, struct error *error)
{
    pthread_mutex_lock(&node->reload_mutex); /* of two at once the later file must win */
    enum error_code code = reload(node, error);
    pthread_mutex_unlock(&node->reload_mutex);
    return code;
}
