/*
 * replicas - a few replicas of one group in one hand: their messages wait in a queue until they are
 * delivered, their writes until they are finished.
 */
#ifndef UNIT_CONSENSUS_REPLICAS_H
#define UNIT_CONSENSUS_REPLICAS_H

#include "consensus/consensus.h"
#include "platform/random.h"

enum { REPLICAS_MAX = 5, QUEUE_MAX = 4096, HEARTBEAT_MS = 100, ELECTION_MS = 1000 };

struct replica {
    struct consensus_world world;
    struct replicas *all;
    struct consensus *consensus;
    size_t writes;         /* begun and not finished */
    bool has_slow_disk;    /* they wait for finish_writes */
    uint64_t truncated_at; /* last */
    uint64_t reads_for;    /* node that needs entries from the disk; 0: none */
    uint64_t read_first, read_end;
    uint64_t asked_for; /* node that needs a snapshot; 0: none */
    uint64_t offered;   /* index of the snapshot that a leader sent; 0: none */
    bool refuses_to_send;
};

struct letter {
    size_t from, to; /* numbers of replicas, from 0; node ids are one more */
    struct consensus_message message;
    struct consensus_entry *entries;
    struct membership membership;
};

struct replicas {
    struct random_generator random;
    uint64_t now_ms;
    size_t count;
    struct replica items[REPLICAS_MAX];
    bool cut[REPLICAS_MAX][REPLICAS_MAX];
    struct letter letters[QUEUE_MAX];
    size_t letter_count;
    uint64_t sent[8];       /* by type of message */
    uint64_t bytes_sent[8]; /* of entries */
};

/* All but the last `standbys` have a vote. */
struct replicas *replicas_create(size_t count, size_t standbys);
void replicas_destroy(struct replicas *replicas);

/* Let time pass, with all messages and writes of quick disks. */
void replicas_run(struct replicas *replicas, uint64_t milliseconds);

/* Deliver what is in the queue, and what that brings about. */
void replicas_deliver(struct replicas *replicas);

void replicas_finish_writes(struct replicas *replicas, size_t number);

/* It is deleted, and made anew with nothing but a promise. */
void replicas_make_anew(struct replicas *replicas, size_t number,
                        const struct consensus_promise *promise);

/* Nobody hears it, it hears nobody; or all is well again. */
void replicas_isolate(struct replicas *replicas, size_t number, bool is_cut);

/* The leader of the newest term; SIZE_MAX: none. */
size_t replicas_leader(const struct replicas *replicas);

struct consensus_status replicas_status(const struct replicas *replicas, size_t number);

/* One command of so many bytes; its index, or 0. */
uint64_t replicas_propose(struct replicas *replicas, size_t number, size_t size_bytes);

#endif
