/*
 * cluster_rescue - `gnomon cluster verify` and `recover-quorum`: asked, followed, told.
 *
 * Each returns the exit code: 0 all is well, 1 something is wrong or was refused.
 */
#ifndef CLI_CLUSTER_RESCUE_H
#define CLI_CLUSTER_RESCUE_H

#include "cli/node_client.h"

enum cluster_printing { CLUSTER_PRINTS_TEXT, CLUSTER_PRINTS_JSON };

int cluster_verify(const struct node_client *client, enum cluster_printing printing);

enum cluster_consent { CLUSTER_ONLY_LOOKS, CLUSTER_RECOVERS };

int cluster_recover(const struct node_client *client, const char *shard,
                    enum cluster_consent consent);

#endif
