/*
 * web_config - the file that says who may use the HTTP API, and how it is encrypted.
 *
 * YAML with the keys of Prometheus' web configuration (exporter-toolkit), and `bearer_tokens`,
 * which is ours; docs/operations/web-config.md has them all. A key that is not known, or that
 * Prometheus knows and this program does not do, is an error that names it. Values of secrets are
 * in no error message.
 *
 * Immutable once loaded; any thread.
 */
#ifndef ACCESS_WEB_CONFIG_H
#define ACCESS_WEB_CONFIG_H

#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "http/header.h"

enum {
    WEB_CONFIG_BYTES_MAX = 1024 * 1024,
    WEB_CONFIG_USERS_MAX = 1000,
    WEB_CONFIG_TOKENS_MAX = 1000,
    WEB_CONFIG_HEADERS_MAX = 5,
    /* A token is as strong as it is long: guessing one costs no bcrypt. */
    WEB_TOKEN_BYTES_MIN = 16,
    WEB_TOKEN_BYTES_MAX = 1024,
    WEB_USER_BYTES_MAX = 256,
};

struct web_user {
    struct text name;
    const char *hash; /* as crypt(3) takes it: "$2y$10$..." */
};

struct web_token {
    struct text name; /* for people; unique */
    struct text secret;
    struct text tenant; /* empty: any */
};

struct web_config {
    struct arena *arena; /* of everything below */
    /* NULL: none. Relative ones are seen from the folder of the file. */
    const char *certificate_path;
    const char *key_path;
    const char *client_ca_path;
    struct web_user *users; /* [user_count] */
    size_t user_count;
    struct web_token *tokens; /* [token_count] */
    size_t token_count;
    struct http_header headers[WEB_CONFIG_HEADERS_MAX]; /* for every answer */
    size_t header_count;
};

/* Read the file and those with tokens that it names. Errors, with the file's name: NOT_FOUND, IO,
 * INVALID, LIMIT, OUT_OF_MEMORY. */
enum error_code web_config_load(const char *path, struct web_config **config_out,
                                struct error *error);

/* As web_config_load, of a text; `folder` is where relative paths begin. */
enum error_code web_config_parse(struct text yaml, const char *folder,
                                 struct web_config **config_out, struct error *error);

/* Wipes the secrets. NULL is fine. */
void web_config_destroy(struct web_config *config);

#endif
