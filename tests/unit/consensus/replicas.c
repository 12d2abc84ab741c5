#include "replicas.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- The world of a replica ---------------------------------------------------------------- */

static struct replica *replica_of(struct consensus_world *world)
{
    return (struct replica *)((char *)world - offsetof(struct replica, world));
}

static void store_metadata(struct consensus_world *world, uint64_t term, uint64_t vote)
{
    (void)world, (void)term, (void)vote;
}

static void append(struct consensus_world *world, uint64_t first_index, size_t count)
{
    (void)first_index, (void)count;
    replica_of(world)->writes++;
}

static void truncate_log(struct consensus_world *world, uint64_t index)
{
    replica_of(world)->truncated_at = index;
}

static struct consensus_entry *copy_entries(const struct consensus_append *from, uint64_t *bytes)
{
    struct consensus_entry *entries = calloc(from->entry_count + 1, sizeof *entries);
    assert(entries != NULL);
    for (size_t i = 0; i < from->entry_count; i++) {
        entries[i] = from->entries[i];
        consensus_batch_ref(entries[i].batch);
        *bytes += entries[i].size_bytes;
    }
    return entries;
}

static void letter_clear(struct letter *letter)
{
    for (size_t i = 0; letter->entries != NULL && i < letter->message.append.entry_count; i++)
        consensus_batch_unref(letter->entries[i].batch);
    free(letter->entries);
}

static bool send_message(struct consensus_world *world, uint64_t node_id,
                         const struct consensus_message *message)
{
    struct replica *replica = replica_of(world);
    struct replicas *all = replica->all;
    if (replica->refuses_to_send)
        return false;
    assert(all->letter_count < QUEUE_MAX);
    struct letter *letter = &all->letters[all->letter_count++];
    *letter = (struct letter){
        .from = (size_t)(replica - all->items),
        .to = node_id - 1,
        .message = *message,
    };
    all->sent[message->type]++;
    if (message->type == CONSENSUS_APPEND) {
        letter->entries = copy_entries(&message->append, &all->bytes_sent[message->type]);
        letter->message.append.entries = letter->entries;
    } else if (message->type == CONSENSUS_INSTALL) {
        letter->membership = *message->install.membership;
    }
    return true;
}

static void entries_needed(struct consensus_world *world, uint64_t node_id, uint64_t first_index,
                           uint64_t end_index)
{
    struct replica *replica = replica_of(world);
    replica->reads_for = node_id;
    replica->read_first = first_index;
    replica->read_end = end_index;
}

static void snapshot_needed(struct consensus_world *world, uint64_t node_id)
{
    replica_of(world)->asked_for = node_id;
}

static void snapshot_offered(struct consensus_world *world, uint64_t from_node,
                             const struct consensus_install *install)
{
    (void)from_node;
    struct replica *replica = replica_of(world);
    replica->offered = install->index;
    if (consensus_install(replica->consensus, install))
        replica->writes++;
}

static const struct consensus_world_operations WORLD = {
    .store_metadata = store_metadata,
    .append = append,
    .truncate = truncate_log,
    .send = send_message,
    .entries_needed = entries_needed,
    .snapshot_needed = snapshot_needed,
    .snapshot_offered = snapshot_offered,
};

/* --- Life ---------------------------------------------------------------------------------- */

static struct membership members_of(size_t count, size_t standbys)
{
    struct membership membership = {.count = count};
    for (size_t i = 0; i < count; i++) {
        membership.members[i].node_id = i + 1;
        membership.members[i].role =
            i < count - standbys ? CONSENSUS_ROLE_VOTER : CONSENSUS_ROLE_STANDBY;
        snprintf(membership.members[i].address, sizeof membership.members[i].address, "node-%zu",
                 i + 1);
    }
    return membership;
}

static struct consensus_options options_of(struct replicas *replicas, size_t number)
{
    return (struct consensus_options){
        .node_id = number + 1,
        .world = &replicas->items[number].world,
        .random = &replicas->random.base,
        .heartbeat_ms = HEARTBEAT_MS,
        .election_ms = ELECTION_MS,
        .window_bytes = 10000,
        .message_bytes = 1000,
    };
}

struct replicas *replicas_create(size_t count, size_t standbys)
{
    struct replicas *replicas = calloc(1, sizeof *replicas);
    assert(replicas != NULL && count <= REPLICAS_MAX);
    random_generator_init(&replicas->random, 7);
    replicas->count = count;
    replicas->now_ms = 1000;
    struct membership membership = members_of(count, standbys);
    for (size_t i = 0; i < count; i++) {
        struct replica *replica = &replicas->items[i];
        replica->world.operations = &WORLD;
        replica->all = replicas;
        struct consensus_options options = options_of(replicas, i);
        /* As if all had the same snapshot of entry 1. */
        struct consensus_stored stored = {
            .term = 1,
            .snapshot_index = 1,
            .snapshot_term = 1,
            .membership_index = 1,
            .membership = &membership,
        };
        struct error error;
        enum error_code code = consensus_create(&options, &stored, &replica->consensus, &error);
        assert(code == ERROR_NONE);
        (void)code;
        consensus_start(replica->consensus, replicas->now_ms);
    }
    return replicas;
}

void replicas_destroy(struct replicas *replicas)
{
    for (size_t i = 0; i < replicas->letter_count; i++)
        letter_clear(&replicas->letters[i]);
    for (size_t i = 0; i < replicas->count; i++)
        consensus_destroy(replicas->items[i].consensus);
    free(replicas);
}

void replicas_make_anew(struct replicas *replicas, size_t number,
                        const struct consensus_promise *promise)
{
    struct replica *replica = &replicas->items[number];
    struct consensus_options options = options_of(replicas, number);
    struct consensus_stored stored = {.promise = *promise};
    struct error error;
    consensus_destroy(replica->consensus);
    enum error_code code = consensus_create(&options, &stored, &replica->consensus, &error);
    assert(code == ERROR_NONE);
    (void)code;
    consensus_start(replica->consensus, replicas->now_ms);
}

/* --- Time ---------------------------------------------------------------------------------- */

void replicas_finish_writes(struct replicas *replicas, size_t number)
{
    struct replica *replica = &replicas->items[number];
    while (replica->writes > 0) {
        replica->writes--;
        consensus_written(replica->consensus);
    }
}

static void finish_quick_writes(struct replicas *replicas)
{
    for (size_t i = 0; i < replicas->count; i++)
        if (!replicas->items[i].has_slow_disk)
            replicas_finish_writes(replicas, i);
}

void replicas_deliver(struct replicas *replicas)
{
    finish_quick_writes(replicas);
    while (replicas->letter_count > 0) {
        struct letter letter = replicas->letters[0];
        replicas->letter_count--;
        memmove(replicas->letters, replicas->letters + 1, replicas->letter_count * sizeof letter);
        if (letter.message.type == CONSENSUS_INSTALL)
            letter.message.install.membership = &letter.membership;
        if (!replicas->cut[letter.from][letter.to])
            consensus_receive(replicas->items[letter.to].consensus, replicas->now_ms,
                              letter.from + 1, &letter.message);
        letter_clear(&letter);
        finish_quick_writes(replicas);
    }
}

void replicas_run(struct replicas *replicas, uint64_t milliseconds)
{
    replicas_deliver(replicas);
    for (uint64_t passed = 0; passed < milliseconds; passed += HEARTBEAT_MS) {
        replicas->now_ms += HEARTBEAT_MS;
        for (size_t i = 0; i < replicas->count; i++)
            consensus_tick(replicas->items[i].consensus, replicas->now_ms);
        replicas_deliver(replicas);
        for (size_t i = 0; i < replicas->count; i++)
            consensus_flush(replicas->items[i].consensus);
        replicas_deliver(replicas);
    }
}

/* --- State --------------------------------------------------------------------------------- */

void replicas_isolate(struct replicas *replicas, size_t number, bool is_cut)
{
    for (size_t i = 0; i < replicas->count; i++)
        replicas->cut[number][i] = replicas->cut[i][number] = is_cut && i != number;
}

struct consensus_status replicas_status(const struct replicas *replicas, size_t number)
{
    struct consensus_status status;
    consensus_status(replicas->items[number].consensus, &status);
    return status;
}

size_t replicas_leader(const struct replicas *replicas)
{
    size_t leader = SIZE_MAX;
    uint64_t term = 0;
    for (size_t i = 0; i < replicas->count; i++) {
        struct consensus_status status = replicas_status(replicas, i);
        if (status.state == CONSENSUS_LEADER && status.term > term) {
            term = status.term;
            leader = i;
        }
    }
    return leader;
}

uint64_t replicas_propose(struct replicas *replicas, size_t number, size_t size_bytes)
{
    struct consensus_batch *batch = consensus_batch_create(size_bytes);
    assert(batch != NULL);
    memset(batch->bytes, 'x', size_bytes);
    uint64_t index = consensus_propose(replicas->items[number].consensus, CONSENSUS_COMMAND, batch,
                                       batch->bytes, size_bytes);
    consensus_batch_unref(batch);
    return index;
}
