/*
 * node_client - requests of the command line to a node's HTTP API.
 *
 * Blocking; one thread.
 */
#ifndef CLI_NODE_CLIENT_H
#define CLI_NODE_CLIENT_H

#include <jansson.h>

#include "base/error.h"

/* Where and as whom. Strings outlive it. */
struct node_client {
    const char *url;   /* http://127.0.0.1:9009, without a path */
    const char *user;  /* NAME:PASSWORD; NULL: none */
    const char *token; /* bearer token; NULL: none */
    const char
        *ca_path; /* PEM file that the node's certificate is checked by; NULL: the system's */
    long timeout_seconds; /* > 0 */
    const char *tenant;   /* whose data; NULL: that of who asks */
};

/*
 * The value of "data" in the answer to GET url + path; a reference. Errors: UNAVAILABLE (not
 * reached, 5xx), INVALID (4xx, the answer), with what the node said; OUT_OF_MEMORY.
 */
enum error_code node_client_get(const struct node_client *client, const char *path,
                                json_t **data_out, struct error *error);

/* POST with a form ("node=n1&force=true", encoded; "": none). Errors: as before, and NOT_FOUND. */
enum error_code node_client_post(const struct node_client *client, const char *path,
                                 const char *form, struct error *error);

/* The same, with the value of "data" in the answer; a reference. */
enum error_code node_client_post_for(const struct node_client *client, const char *path,
                                     const char *form, json_t **data_out, struct error *error);

/* `text` as the value of a form. NULL when memory is out; to be freed. */
char *node_client_escape(const char *text);

#endif
