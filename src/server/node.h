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

/* Certificate, key and trust as the settings name them; *tls_out is NULL without TLS. Errors: as
 * tls_context_create. */
enum error_code node_open_tls(const struct settings *settings, struct tls_context **tls_out,
                              struct error *error);

/* `settings` outlives the node. Blocking. Errors: any, with what to do. */
enum error_code node_open(const struct settings *settings, struct node **node_out,
                          struct error *error);

/* Serve until told to stop; closes and releases the node. */
void node_run(struct node *node);

#endif
