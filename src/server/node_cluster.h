/*
 * node_cluster - what a node has beyond one that is alone: its place in the cluster, and the
 * network to the others.
 *
 *   node_cluster.c        opening, identity, what the meta group says
 *   node_peers.c          transports of the loops, peers by the state
 *   node_cluster_status.c the picture that operators get, and what they ask for
 *   cluster_json.c        that picture as JSON
 *   node_rescue.c         verifying, and recovering a quorum
 *   node_cluster_end.c    leaving: leaders handed over, meta group and network closed
 */
#ifndef SERVER_NODE_CLUSTER_H
#define SERVER_NODE_CLUSTER_H

#include <pthread.h>

#include "membership/cluster_board.h"
#include "meta/meta.h"
#include "platform/network_system.h"
#include "rescue/rescue.h"

#include "cluster_addresses.h"
#include "node_cluster_metrics.h"
#include "node_private.h"

enum { WAITING_FOR_BYTES = 200 };

struct node_cluster {
    struct node *node;
    struct cluster_addresses addresses;
    uint8_t directory_id[CLUSTER_DIRECTORY_ID_BYTES];
    struct byte_buffer stored; /* identity, as it was at the start */
    bool was_alone;            /* the directory holds shards of a node that was alone */
    struct cluster_board *board;
    struct network_lanes *lanes;
    struct tls_context *tls; /* NULL: plain */
    struct meta *meta;       /* loop 0's */
    struct rescue *rescue;   /* loop 0's; NULL once it is closed */
    uint64_t incarnation;
    struct transfer_budget transfer_budget;
    uint64_t opened_ms; /* monotonic */
    struct cluster_figures figures;

    /* Loop 0. */
    void (*meta_closed)(void *context);
    void *meta_closed_context;
    uint64_t node_id; /* 0: not known yet */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    struct job store;
    const uint8_t *store_bytes;
    size_t store_size;
    struct error store_error;
    struct job remember; /* the state, in a file */
    struct byte_buffer remembered;
    bool remembering;
    bool remember_again;
    /* Any thread. */
    _Atomic bool is_identified;
    _Atomic size_t loops_opened; /* whose replicas are */
    _Atomic bool was_ready;
    _Atomic int64_t agreed_ms;
    pthread_mutex_t mutex;
    char waiting_for[WAITING_FOR_BYTES]; /* under the mutex */
};

/* --- node_cluster.c -------------------------------------------------------------------------- */

/* Settings, identity and board; before storage is opened. Errors: INVALID, CORRUPT, IO. */
enum error_code node_cluster_prepare(struct node *node, struct error *error);

/* Who a node with these settings and this directory is to others. Errors: INVALID. */
enum error_code node_cluster_describe(const struct settings *settings, const char *advertise,
                                      const uint8_t directory_id[CLUSTER_DIRECTORY_ID_BYTES],
                                      struct cluster_node_identity *identity_out,
                                      struct cluster_node_traits *traits_out, struct error *error);

/* With journals and transports open: the meta group. Then the network may run. */
enum error_code node_cluster_open(struct node *node, struct error *error);

/* On loop 0, before it runs. */
void node_cluster_start(struct node *node);

/* Now and then, on loop 0: tell others what is waited for. */
void node_cluster_look(struct node *node);

/* All loops look at what is known of the cluster. Any thread. */
void node_cluster_follow(struct node *node);

/* Nothing of the recovered log is needed any more. On loop 0. */
bool node_cluster_is_replayed(const struct node *node);

/* As api_program's check_ready. */
enum error_code node_cluster_check_ready(struct node *node, struct error *error);

/* All loops stopped. */
void node_cluster_release(struct node *node);

/* --- node_peers.c ---------------------------------------------------------------------------- */

/* Network, transport and link of a loop. */
enum error_code node_peers_open(struct node_loop *loop, struct error *error);

/* On the loop: who this node is; its groups and replicas begin. */
enum error_code node_peers_identified(struct node_loop *loop, struct error *error);

/* On the loop: connect to the nodes of the newest state, and to no others. */
void node_peers_follow(struct node_loop *loop);

/* --- node_cluster_end.c: steps of the shutdown, each telling `done` on the loop ----------------
 */

void node_cluster_hand_over(struct node_loop *loop, void (*done)(void *context), void *context);
void node_cluster_close_meta(struct node *node, void (*done)(void *context), void *context);
void node_cluster_close_network(struct node_loop *loop, void (*done)(void *context), void *context);

#endif
