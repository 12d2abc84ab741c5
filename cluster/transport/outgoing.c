#include "outgoing.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"

/* Bytes of a turn; CONTROL takes none. Appends first: what is not replicated is not acknowledged.
 */
static const int64_t TURN_BYTES[TRANSPORT_CLASSES] = {
    [TRANSPORT_APPEND] = 128 * 1024,
    [TRANSPORT_REQUEST] = 64 * 1024,
    [TRANSPORT_FILE] = 64 * 1024,
};

struct outgoing *outgoing_create(enum frame_type type, enum transport_class class,
                                 struct shared_bytes *bytes)
{
    struct outgoing *outgoing = calloc(1, sizeof *outgoing);
    if (outgoing == NULL)
        return NULL;
    outgoing->type = type;
    outgoing->class = class;
    if (bytes != NULL) {
        outgoing->bytes = shared_bytes_ref(bytes);
        outgoing->size = bytes->size;
    }
    return outgoing;
}

struct outgoing *outgoing_copy(enum frame_type type, enum transport_class class, const void *bytes,
                               size_t size)
{
    assert(size <= FRAME_PAYLOAD_BYTES_MAX);
    struct shared_bytes *copy = shared_bytes_copy(bytes, size);
    struct outgoing *outgoing = copy == NULL ? NULL : outgoing_create(type, class, copy);
    shared_bytes_unref(copy);
    return outgoing;
}

void outgoing_destroy(struct outgoing *outgoing)
{
    shared_bytes_unref(outgoing->bytes);
    free(outgoing);
}

void outgoing_push(struct outgoing_queues *queues, struct outgoing *outgoing)
{
    struct outgoing_queue *queue = &queues->classes[outgoing->class];
    outgoing->next = NULL;
    if (queue->first == NULL)
        queue->first = outgoing;
    else
        queue->last->next = outgoing;
    queue->last = outgoing;
}

void outgoing_remove(struct outgoing_queues *queues, struct outgoing *outgoing)
{
    struct outgoing_queue *queue = &queues->classes[outgoing->class];
    struct outgoing *before = NULL;
    for (struct outgoing *one = queue->first; one != outgoing; one = one->next) {
        assert(one != NULL);
        before = one;
    }
    if (before == NULL)
        queue->first = outgoing->next;
    else
        before->next = outgoing->next;
    if (queue->last == outgoing)
        queue->last = before;
    outgoing->next = NULL;
}

static enum transport_class after(enum transport_class class)
{
    return class + 1 == TRANSPORT_CLASSES ? TRANSPORT_CONTROL + 1 : class + 1;
}

struct outgoing *outgoing_next(struct outgoing_queues *queues)
{
    if (queues->classes[TRANSPORT_CONTROL].first != NULL)
        return queues->classes[TRANSPORT_CONTROL].first;
    if (queues->turn == TRANSPORT_CONTROL)
        queues->turn = after(queues->turn);
    /* Twice around: a class that is alone pays its debt with its next turn, which is larger than
     * any frame. */
    for (int i = 0; i < 2 * TRANSPORT_CLASSES; i++) {
        enum transport_class class = queues->turn;
        if (queues->classes[class].first == NULL)
            queues->deficits[class] = 0;
        else if (queues->deficits[class] > 0)
            return queues->classes[class].first;
        queues->turn = after(class);
        if (queues->classes[queues->turn].first != NULL)
            queues->deficits[queues->turn] += TURN_BYTES[queues->turn];
    }
    return NULL;
}

void outgoing_sent(struct outgoing_queues *queues, const struct outgoing *outgoing, size_t size)
{
    if (outgoing->class != TRANSPORT_CONTROL)
        queues->deficits[outgoing->class] -= (int64_t)size;
}

bool outgoing_is_empty(const struct outgoing_queues *queues)
{
    for (size_t i = 0; i < TRANSPORT_CLASSES; i++)
        if (queues->classes[i].first != NULL)
            return false;
    return true;
}

/* --- Accounts ------------------------------------------------------------------------------ */

static struct channel_account **bucket_of(struct channel_accounts *accounts,
                                          struct transport_channel channel)
{
    uint64_t hash = hash64(&channel.id, sizeof channel.id, channel.kind);
    return &accounts->buckets[hash % ACCOUNT_BUCKETS];
}

static struct channel_account *account_find(const struct channel_accounts *accounts,
                                            struct transport_channel channel)
{
    struct channel_account *account = *bucket_of((struct channel_accounts *)accounts, channel);
    while (account != NULL &&
           (account->channel.id != channel.id || account->channel.kind != channel.kind))
        account = account->next;
    return account;
}

uint64_t channel_bytes(const struct channel_accounts *accounts, struct transport_channel channel)
{
    const struct channel_account *account = account_find(accounts, channel);
    return account == NULL ? 0 : account->bytes;
}

struct channel_account *channel_charge(struct channel_accounts *accounts,
                                       struct transport_channel channel, uint64_t bytes)
{
    struct channel_account *account = account_find(accounts, channel);
    if (account == NULL) {
        struct channel_account **bucket = bucket_of(accounts, channel);
        account = calloc(1, sizeof *account);
        if (account == NULL)
            return NULL;
        account->channel = channel;
        account->next = *bucket;
        *bucket = account;
    }
    account->bytes += bytes;
    return account;
}

void channel_release(struct channel_accounts *accounts, struct channel_account *account,
                     uint64_t bytes)
{
    assert(account->bytes >= bytes);
    account->bytes -= bytes;
    if (account->bytes > 0)
        return;
    struct channel_account **link = bucket_of(accounts, account->channel);
    while (*link != account)
        link = &(*link)->next;
    *link = account->next;
    free(account);
}
