/*
 * gate - lets requests pass whose client may ask, by a user's password or a bearer token.
 *
 * The guard (http/server.h) of the servers of all loops. What it goes by is a web_config, replaced
 * as a whole while requests come; requests that have passed go on. Without users and tokens
 * everybody passes.
 *
 * A password is checked by bcrypt on a worker, while its request is held; what came out is
 * remembered, so that each client costs one check. Few checks run at once and few wait: beyond
 * that, whoever is not remembered gets 503 with Retry-After, and everybody else passes as before.
 */
#ifndef ACCESS_GATE_H
#define ACCESS_GATE_H

#include <stddef.h>

#include "access/web_config.h"
#include "base/error.h"
#include "http/server.h"
#include "telemetry/metrics.h"

struct gate;

struct gate_options {
    struct metrics *metrics;
    const char *const *open_routes; /* [open_route_count] patterns that ask for nothing; static */
    size_t open_route_count;
    size_t checks_max; /* of passwords at once; in [1, GATE_CHECKS_MAX] */
};

enum { GATE_CHECKS_MAX = 8 };

/* Everybody passes until gate_replace. Errors: OUT_OF_MEMORY, IO (no random bits). */
enum error_code gate_create(const struct gate_options *options, struct gate **gate_out,
                            struct error *error);

/* After the servers are closed. NULL is fine. */
void gate_destroy(struct gate *gate);

/* Takes over `config`, on success only; NULL: everybody passes. Any thread. Errors:
 * OUT_OF_MEMORY. */
enum error_code gate_replace(struct gate *gate, struct web_config *config, struct error *error);

/* The node ends: what waits for a check of its password is answered 503 now. Any thread. */
void gate_stop(struct gate *gate);

struct http_guard gate_guard(struct gate *gate);

#endif
