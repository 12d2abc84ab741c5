/*
 * outgoing - what waits to be sent on a connection: a queue a class, and whose turn it is.
 *
 * CONTROL goes first. The others take turns by bytes (deficit round robin); within a class, and so
 * within a channel, order is kept, but that answers to different requests take turns by the frame.
 */
#ifndef TRANSPORT_OUTGOING_H
#define TRANSPORT_OUTGOING_H

#include "frame.h"

struct channel_account;

/* One message, one request, one frame of the transport's own, or the turn of an answer. */
struct outgoing {
    struct outgoing *next;
    enum frame_type type;
    enum transport_class class;
    uint16_t kind;
    uint64_t id;
    struct shared_bytes *bytes; /* a reference; NULL: none */
    size_t position;            /* of head and bytes, already in frames */
    size_t size;                /* of both */
    uint8_t head_bytes;
    uint8_t head[REQUEST_HEAD_BYTES];
    struct channel_account *account;   /* NULL: charged to no channel */
    uint64_t charged_bytes;            /* to its class, and to the account; 0: not charged */
    struct transport_answer *answer;   /* whose turn it is; the item is part of it */
    struct transport_request *request; /* that waits for an answer to this */
};

struct outgoing_queue {
    struct outgoing *first, *last;
};

struct outgoing_queues {
    struct outgoing_queue classes[TRANSPORT_CLASSES];
    int64_t deficits[TRANSPORT_CLASSES];
    enum transport_class turn;
};

/* One with a reference to `bytes` (NULL: none) of its own; NULL when memory is out. */
struct outgoing *outgoing_create(enum frame_type type, enum transport_class class,
                                 struct shared_bytes *bytes);

/* The same with a copy of bytes that fit one frame. */
struct outgoing *outgoing_copy(enum frame_type type, enum transport_class class, const void *bytes,
                               size_t size);
void outgoing_destroy(struct outgoing *outgoing);

void outgoing_push(struct outgoing_queues *queues, struct outgoing *outgoing);

/* Take one out from wherever it is in its queue. */
void outgoing_remove(struct outgoing_queues *queues, struct outgoing *outgoing);

/* Who sends the next frame; it stays first in its queue. NULL: nobody. */
struct outgoing *outgoing_next(struct outgoing_queues *queues);

/* It sent `size` bytes. */
void outgoing_sent(struct outgoing_queues *queues, const struct outgoing *outgoing, size_t size);

bool outgoing_is_empty(const struct outgoing_queues *queues);

/* --- Accounts ------------------------------------------------------------------------------ */

enum { ACCOUNT_BUCKETS = 256 };

/* Bytes that one channel has in the queues of a peer. */
struct channel_account {
    struct channel_account *next;
    struct transport_channel channel;
    uint64_t bytes;
};

struct channel_accounts {
    struct channel_account *buckets[ACCOUNT_BUCKETS];
};

/* Bytes queued for a channel. */
uint64_t channel_bytes(const struct channel_accounts *accounts, struct transport_channel channel);

/* NULL when memory is out. */
struct channel_account *channel_charge(struct channel_accounts *accounts,
                                       struct transport_channel channel, uint64_t bytes);

/* At 0 the account is gone. */
void channel_release(struct channel_accounts *accounts, struct channel_account *account,
                     uint64_t bytes);

#endif
