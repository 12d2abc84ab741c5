/*
 * node_stream - bodies posted to a node one after the other on one connection, and answers taken as
 * they arrive.
 *
 * Blocking; one thread.
 */
#ifndef CLI_NODE_STREAM_H
#define CLI_NODE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "cli/node_client.h"

struct node_stream;

struct node_post {
    const char *path;
    const char *const *headers; /* [header_count], "Name: value" */
    size_t header_count;
    const uint8_t *body; /* [body_size] */
    size_t body_size;
    /* Takes the body of an answer with status 200 piece by piece; false: no more of it. NULL: it is
     * dropped. */
    bool (*take)(void *context, const uint8_t *bytes, size_t size);
    void *context;
};

struct node_outcome {
    long status;
    long retry_after_seconds; /* 0: the node names none */
    /* Remote write: what was stored; false: the node does not say. */
    bool has_written;
    uint64_t samples_written;
    uint64_t histograms_written;
    bool is_stopped;   /* `take` wanted no more */
    char message[512]; /* the start of another answer than 2xx, one line */
};

/* The client outlives it. Errors: OUT_OF_MEMORY. */
enum error_code node_stream_open(const struct node_client *client, struct node_stream **stream_out,
                                 struct error *error);
void node_stream_close(struct node_stream *stream);

/* Any status is an outcome. Errors: UNAVAILABLE (not reached, or the answer broke off), INVALID
 * (the URL), OUT_OF_MEMORY. */
enum error_code node_stream_post(struct node_stream *stream, const struct node_post *post,
                                 struct node_outcome *outcome_out, struct error *error);

/*
 * For how long a request is sent again while the node does not take it. Begin with the time that is
 * granted; every answer 2xx begins it anew.
 */
struct node_patience {
    int64_t granted_ms;
    int64_t waited_ms; /* since the last success */
    int64_t next_ms;   /* the next wait, if the node names none */
};

/* Wait before a request is sent again, as long as the node says; NULL: it was not reached. False:
 * the patience is used up, nothing was waited for. */
bool node_patience_wait(struct node_patience *patience, const struct node_outcome *outcome);
void node_patience_renew(struct node_patience *patience);

/* Whether a status tells to send again: 429 and 5xx. */
bool node_status_is_temporary(long status);

#endif
