/* Replicas of this node that are asked whether they still lead, by a thread that waits. */
#include <stdlib.h>

#include "exchange_private.h"

/* The wait may end before the answer comes: both hold it, and it holds the replica. */
struct confirmation {
    struct fanout_confirm confirm; /* first */
    struct fanout_replicas *replicas;
    struct fanout_replica replica;
    struct inbox *inbox;
    _Atomic int references;
    _Atomic int outcome; /* enum error_code; -1: not yet */
};

static void confirmation_unref(struct confirmation *confirmation)
{
    if (atomic_fetch_sub(&confirmation->references, 1) > 1)
        return;
    inbox_unref(confirmation->inbox);
    free(confirmation);
}

static void on_confirmed(struct fanout_confirm *confirm, const struct error *error)
{
    struct confirmation *confirmation = (struct confirmation *)confirm;
    confirmation->replicas->operations->release(confirmation->replicas, &confirmation->replica);
    atomic_store(&confirmation->outcome, (int)error->code);
    inbox_call(confirmation->inbox);
    confirmation_unref(confirmation);
}

static struct confirmation *confirmation_create(struct exchange *exchange, uint32_t shard_id)
{
    struct fanout_replicas *replicas = exchange->fanout->options.replicas;
    struct confirmation *confirmation = calloc(1, sizeof *confirmation);
    if (confirmation == NULL)
        return NULL;
    *confirmation = (struct confirmation){
        .confirm.done = on_confirmed,
        .replicas = replicas,
        .inbox = inbox_create(),
        .references = 2,
        .outcome = -1,
    };
    if (confirmation->inbox != NULL &&
        replicas->operations->hold(replicas, shard_id, &confirmation->replica))
        return confirmation;
    inbox_unref(confirmation->inbox);
    free(confirmation);
    return NULL;
}

enum error_code exchange_confirm(struct exchange *exchange, const struct fanout_replica *replica,
                                 struct error *error)
{
    struct fanout_replicas *replicas = exchange->fanout->options.replicas;
    struct confirmation *confirmation = confirmation_create(exchange, replica->shard_id);
    if (confirmation == NULL)
        return error_set(error, ERROR_UNAVAILABLE, "the replica here goes away");
    replicas->operations->confirm(replicas, &confirmation->replica, &confirmation->confirm);
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && atomic_load(&confirmation->outcome) < 0) {
        code = exchange_check(exchange, error);
        if (code == ERROR_NONE)
            inbox_wait(confirmation->inbox,
                       exchange_wait_ns(exchange, fanout_now_ns(exchange->fanout)));
    }
    if (code == ERROR_NONE && atomic_load(&confirmation->outcome) != ERROR_NONE)
        code = error_set(error, ERROR_UNAVAILABLE, "the replica here does not lead");
    confirmation_unref(confirmation);
    return code;
}
