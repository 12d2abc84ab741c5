#include "group_network.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../../cluster/group/message.h"
#include "group_checker.h"

/* --- Letters ------------------------------------------------------------------------------- */

struct letter {
    struct cluster *cluster;
    struct letter *next; /* while it is held back */
    size_t from, to;
    uint64_t group_id;
    uint8_t *bytes;
    size_t size_bytes;
};

static struct letter *letter_create(struct cluster *cluster, size_t from, size_t to,
                                    uint64_t group_id, const uint8_t *bytes, size_t size_bytes)
{
    struct letter *letter = malloc(sizeof *letter);
    assert(letter != NULL);
    *letter = (struct letter){
        .cluster = cluster,
        .from = from,
        .to = to,
        .group_id = group_id,
        .bytes = malloc(size_bytes),
        .size_bytes = size_bytes,
    };
    assert(letter->bytes != NULL);
    memcpy(letter->bytes, bytes, size_bytes);
    return letter;
}

static void letter_destroy(struct letter *letter)
{
    free(letter->bytes);
    free(letter);
}

static void letter_read(const struct letter *letter, struct received_message *message_out)
{
    struct error error;
    if (message_decode(letter->bytes, letter->size_bytes, message_out, &error) != ERROR_NONE)
        cluster_fail(letter->cluster, "node %zu sent: %s", letter->from + 1, error.message);
}

/* --- Post ---------------------------------------------------------------------------------- */

static void deliver(void *argument)
{
    struct letter *letter = argument;
    struct cluster *cluster = letter->cluster;
    struct cluster_node *node = &cluster->nodes[letter->to];
    if (node->alive && !cluster->cut[letter->from][letter->to]) {
        struct received_message message;
        letter_read(letter, &message);
        checker_received(cluster, letter->from, letter->group_id - 1, &message.message, letter->to);
        received_message_clear(&message);
        group_host_receive(node->host, letter->group_id, letter->from + 1, letter->bytes,
                           letter->size_bytes);
    }
    letter_destroy(letter);
}

static void post(struct letter *letter)
{
    struct cluster *cluster = letter->cluster;
    uint64_t delay_ns =
        cluster->slow_ms[letter->from] * 1000000 + random_below(&cluster->random.base, 200000);
    if (cluster->delay_ms_max > 0 && random_below(&cluster->random.base, 4) == 0) {
        cluster->counts.reordered++;
        delay_ns += 1000000 *
                    (uint64_t)random_below(&cluster->random.base, (uint32_t)cluster->delay_ms_max);
    }
    simulated_scheduler_after(&cluster->world->scheduler, delay_ns, deliver, letter);
}

/* Whether it is held back; takes it then. */
static bool hold(struct letter *letter, const struct consensus_message *message)
{
    struct cluster *cluster = letter->cluster;
    if (cluster->holds == NULL || !cluster->holds(cluster, letter->from, letter->to, message))
        return false;
    letter->next = cluster->held;
    cluster->held = letter;
    return true;
}

static bool letter_send(struct group_transport *self, uint64_t group_id, uint64_t node_id,
                        uint8_t *bytes, size_t size_bytes)
{
    struct cluster_node *node = ((struct cluster_transport *)self)->node;
    struct cluster *cluster = node->cluster;
    size_t from = node->id - 1, to = node_id - 1;
    bool reachable = node->alive && to < cluster->settings.node_count && !cluster->cut[from][to];
    cluster->counts.messages++;
    struct letter *letter = letter_create(cluster, from, to, group_id, bytes, size_bytes);
    struct received_message message;
    letter_read(letter, &message);
    if (node->alive)
        checker_sent(cluster, from, group_id - 1, &message.message, to);
    if (!reachable) {
        letter_destroy(letter);
    } else if (random_below(&cluster->random.base, 1000) < cluster->loss_per_thousand) {
        cluster->counts.lost++;
        letter_destroy(letter);
    } else if (!hold(letter, &message.message)) {
        post(letter);
        if (random_below(&cluster->random.base, 1000) < cluster->duplicate_per_thousand) {
            cluster->counts.duplicated++;
            post(letter_create(cluster, from, to, group_id, bytes, size_bytes));
        }
    }
    received_message_clear(&message);
    free(bytes);
    return reachable;
}

const struct group_transport_operations NETWORK_OPERATIONS = {.send = letter_send};

/* --- Held back ----------------------------------------------------------------------------- */

void cluster_release_letters(struct cluster *cluster, size_t from)
{
    struct letter *oldest_first = NULL;
    for (struct letter **place = &cluster->held; *place != NULL;) {
        struct letter *letter = *place;
        if (letter->from != from) {
            place = &letter->next;
            continue;
        }
        *place = letter->next;
        letter->next = oldest_first;
        oldest_first = letter;
    }
    while (oldest_first != NULL) {
        struct letter *letter = oldest_first;
        oldest_first = letter->next;
        post(letter);
    }
}

void cluster_drop_letters(struct cluster *cluster)
{
    while (cluster->held != NULL) {
        struct letter *letter = cluster->held;
        cluster->held = letter->next;
        letter_destroy(letter);
    }
}
