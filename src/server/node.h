/*
 * node - one process of Gnomon: everything wired together.
 *
 *   node_open   data directory, recovery, loops, shards, servers
 *   node_run    until SIGTERM; drains; returns when everything is closed
 */
#ifndef SERVER_NODE_H
#define SERVER_NODE_H

#include "base/error.h"

#include "settings.h"

struct node;
struct tls_context;
struct web_config;

/* http.web_config, checked against the other settings; *config_out is NULL without one. Errors: as
 * web_config_load. */
enum error_code node_load_web_config(const struct settings *settings,
                                     struct web_config **config_out, struct error *error);

/* Certificate, key and trust as the settings or the web config (NULL: none) name them; *tls_out is
 * NULL without TLS. Errors: as tls_context_create. */
enum error_code node_open_tls(const struct settings *settings, const struct web_config *config,
                              struct tls_context **tls_out, struct error *error);

/* `settings` outlives the node. Blocking. Errors: any, with what to do. */
enum error_code node_open(const struct settings *settings, struct node **node_out,
                          struct error *error);

/* Serve until told to stop; closes and releases the node. */
void node_run(struct node *node);

#endif
