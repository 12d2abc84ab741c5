/*
 * password_queue - checks of passwords on workers, few at once, and what came out of them.
 *
 *   remembered -> answered at once
 *   being checked or waiting, for somebody with the same password -> one check answers all
 *   otherwise -> a check of its own waits, when there is room: in all, and for its address
 *
 * So a flood of wrong passwords costs what the checks at once cost, keeps out nobody who is
 * remembered, and from one address leaves room for others. What was right and what was wrong is
 * remembered apart, so that wrong ones push out no right one.
 *
 * Thread-safe. A check runs on behalf of the loop that began it.
 */
#ifndef ACCESS_PASSWORD_QUEUE_H
#define ACCESS_PASSWORD_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "digest.h"
#include "platform/scheduler.h"

struct password_queue;

enum {
    PASSWORD_CHECKS_WAITING_MAX = 32,
    PASSWORD_CHECKS_OF_ADDRESS_MAX = 8, /* waiting or being made */
};

enum password_verdict {
    PASSWORD_RIGHT,
    PASSWORD_WRONG,
    PASSWORD_UNKNOWN, /* look: nothing is remembered. ask: the waiter will be told */
    PASSWORD_BUSY,    /* no room, no memory, or stopped */
};

struct password_question {
    struct digest digest; /* of all that the verdict depends on */
    struct text password; /* without NUL */
    const char *hash;
    bool is_known;       /* false: nobody's; checked all the same, to take as long, and wrong */
    struct text address; /* of the client, without port */
};

/* In the caller's memory until `decided` runs, on `scheduler`, in a turn of its own. */
struct password_waiter {
    void (*decided)(struct password_waiter *waiter);
    struct scheduler *scheduler;
    enum password_verdict verdict; /* RIGHT, WRONG or BUSY */
    struct task task;              /* the queue's */
    struct password_waiter *next;  /* the queue's */
};

struct password_queue_statistics {
    uint64_t checks;
    uint64_t check_ns;
    uint64_t waiting; /* now; those being made not counted */
};

/* NULL: out of memory. */
struct password_queue *password_queue_create(size_t checks_max);

/* Nothing may wait. NULL is fine. */
void password_queue_destroy(struct password_queue *queue);

/* What is remembered. */
enum password_verdict password_queue_look(struct password_queue *queue,
                                          const struct digest *digest);

/* As look, and otherwise begin or join a check. From the loop of the waiter. */
enum password_verdict password_queue_ask(struct password_queue *queue,
                                         const struct password_question *question,
                                         struct password_waiter *waiter);

/* Who waits for a check that has not begun is told BUSY, and so is everybody from now on. */
void password_queue_stop(struct password_queue *queue);

void password_queue_statistics(struct password_queue *queue,
                               struct password_queue_statistics *statistics_out);

#endif
