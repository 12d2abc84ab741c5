/*
 * node_identity - who a data directory is: the random id that was made with it, and what the meta
 * group had stored of the cluster it belongs to.
 *
 * Files "node" (the id, as text) and "identity" (docs/formats/identity.md). Blocking.
 */
#ifndef SERVER_NODE_IDENTITY_H
#define SERVER_NODE_IDENTITY_H

#include "base/bytes.h"
#include "base/error.h"
#include "membership/cluster_state.h"

/* The id of the directory; made when there is none. Errors: CORRUPT, IO, NO_SPACE. */
enum error_code node_identity_directory(const char *directory,
                                        uint8_t id_out[CLUSTER_DIRECTORY_ID_BYTES],
                                        struct error *error);

/* What was stored, appended to `bytes`; nothing when there is nothing. Errors: IO, OUT_OF_MEMORY.
 */
enum error_code node_identity_read(const char *directory, struct byte_buffer *bytes,
                                   struct error *error);

/* Errors: IO, NO_SPACE. */
enum error_code node_identity_write(const char *directory, const uint8_t *bytes, size_t size_bytes,
                                    struct error *error);

/* The state of the cluster as it was known last: by it a node finds the others before the meta
 * group has a leader. NULL: none, or none that can be read. File "cluster". Errors: IO,
 * OUT_OF_MEMORY. */
enum error_code node_identity_recall(const char *directory, struct cluster_state **state_out,
                                     struct error *error);

/* Errors: IO, NO_SPACE. */
enum error_code node_identity_remember(const char *directory, const struct byte_buffer *state,
                                       struct error *error);

/* Whether the directory belongs to a cluster. Errors: IO. */
enum error_code node_identity_exists(const char *directory, bool *exists_out, struct error *error);

#endif
