/*
 * transport_benchmark - messages and bytes a second between two nodes on loopback, a loop each, and
 * the processor time they take, plain and with mutual TLS. Two seconds for each row.
 */
#include <assert.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "credentials.h"
#include "platform/loop.h"
#include "platform/network_system.h"
#include "platform/tls.h"
#include "transport/transport.h"

enum { RUN_MS = 2000, KIND = 1 };

struct node {
    const char *name;
    struct loop *loop;
    struct environment environment;
    struct network_lanes *lanes;
    struct transport *transport;
    struct tls_context *tls;
    char address[64];
};

static struct node from = {.name = "from"}, to = {.name = "to"};
static struct transport_peer *target; /* of `from` */
static struct shared_bytes *payload;
static sem_t ready, closed;
static _Atomic uint64_t received, received_bytes;
static _Atomic bool is_sending;

/* Of all threads: what a busy machine does not blur. */
static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double wall_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- Messages ------------------------------------------------------------------------------ */

static void send_many(void *argument)
{
    (void)argument;
    uint64_t channel = 0;
    while (is_sending &&
           transport_send(target, TRANSPORT_APPEND,
                          (struct transport_channel){.kind = KIND, .id = channel % 16}, payload))
        channel++;
}

static void on_drained(void *context, struct transport_peer *peer, enum transport_class class)
{
    (void)context;
    (void)peer;
    (void)class;
    send_many(NULL);
}

static void on_message(void *context, const struct transport_message *message)
{
    (void)context;
    atomic_fetch_add_explicit(&received, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&received_bytes, message->size, memory_order_relaxed);
}

/* --- Nodes --------------------------------------------------------------------------------- */

static void on_connected(void *context, struct transport_peer *peer)
{
    if (context == &from) {
        target = peer;
        sem_post(&ready);
    }
}

static const struct transport_events EVENTS = {.connected = on_connected, .drained = on_drained};

static void on_network_closed(void *context)
{
    (void)context;
    sem_post(&closed);
}

static void open_on_loop(void *argument)
{
    struct node *node = argument;
    struct error error;
    struct network_system_options network = {
        .lanes = node->lanes, .tls = node->tls, .closed = on_network_closed};
    node->environment = (struct environment){
        .scheduler = loop_scheduler(node->loop),
        .clock = clock_system(),
        .random = random_system(),
    };
    enum error_code code =
        network_system_open(node->loop, &network, &node->environment.network, &error);
    assert(code == ERROR_NONE);
    struct transport_options options = {
        .environment = &node->environment,
        .name = node->name,
        .listen_address = "127.0.0.1:0",
        .lane_count = 1,
        .incarnation = 1,
        .channel_bytes_max = 16 * 1024 * 1024,
        .events = &EVENTS,
        .context = node,
    };
    code = transport_open(&options, &node->transport, &error);
    assert(code == ERROR_NONE);
    transport_on_message(node->transport, KIND, on_message, node);
    snprintf(node->address, sizeof node->address, "127.0.0.1:%u", transport_port(node->transport));
}

static void introduce(void *argument)
{
    struct node *node = argument;
    struct node *other = node == &from ? &to : &from;
    struct transport_peer *peer;
    struct error error;
    enum error_code code =
        transport_add_peer(node->transport, other->name, other->address, &peer, &error);
    assert(code == ERROR_NONE);
}

static void on_transport_closed(void *context)
{
    network_system_close(((struct node *)context)->environment.network);
}

static void close_on_loop(void *argument)
{
    struct node *node = argument;
    transport_close(node->transport, 0, on_transport_closed, node);
}

static void node_open(struct node *node, const struct credentials *credentials)
{
    struct error error;
    enum error_code code = ERROR_NONE;
    node->tls = NULL;
    if (credentials != NULL) {
        struct tls_options options = {
            .certificate_path = credentials->certificate_path,
            .key_path = credentials->key_path,
            .client_ca_path = credentials->certificate_path,
        };
        code = tls_context_create(&options, &node->tls, &error);
        assert(code == ERROR_NONE);
    }
    node->lanes = network_lanes_create(1);
    code = loop_create(&(struct loop_options){.name = node->name}, &node->loop, &error);
    assert(code == ERROR_NONE);
    code = loop_start(node->loop, &error);
    assert(code == ERROR_NONE);
    loop_call(node->loop, open_on_loop, node);
}

static void node_close(struct node *node)
{
    loop_call(node->loop, close_on_loop, node);
    sem_wait(&closed);
    loop_stop(node->loop);
    loop_join(node->loop);
    loop_destroy(node->loop);
    network_lanes_destroy(node->lanes);
    tls_context_destroy(node->tls);
}

/* --- Rows ---------------------------------------------------------------------------------- */

static void measure(const char *protocol, size_t size)
{
    payload = shared_bytes_create(size);
    memset(payload->bytes, 'x', size);
    is_sending = true;
    loop_call(from.loop, send_many, NULL);
    usleep(RUN_MS * 1000 / 10); /* under way */
    double cpu = cpu_seconds(), wall = wall_seconds();
    uint64_t count = received, bytes = received_bytes;
    usleep(RUN_MS * 1000);
    cpu = cpu_seconds() - cpu;
    wall = wall_seconds() - wall;
    count = received - count;
    bytes = received_bytes - bytes;
    is_sending = false;
    double gigabytes = (double)bytes / 1e9;
    printf("%-6s %8zu  %9.0f MB/s  %9.0f messages/s  %6.2f CPU s/GB  %6.2f us CPU a message\n",
           protocol, size, gigabytes * 1000 / wall, (double)count / wall, cpu / gigabytes,
           cpu / (double)count * 1e6);
    for (uint64_t before = UINT64_MAX; before != received; usleep(50000))
        before = received; /* the queue runs dry */
    shared_bytes_unref(payload);
}

int main(void)
{
    static const size_t SIZES[] = {100, 4096, 65536, 262144, 1048576};
    struct credentials credentials;
    credentials_create(&credentials, "node", 3600);
    sem_init(&ready, 0, 0);
    sem_init(&closed, 0, 0);
    for (int is_encrypted = 0; is_encrypted < 2; is_encrypted++) {
        node_open(&from, is_encrypted ? &credentials : NULL);
        node_open(&to, is_encrypted ? &credentials : NULL);
        loop_call(from.loop, introduce, &from);
        loop_call(to.loop, introduce, &to);
        sem_wait(&ready);
        for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++)
            measure(is_encrypted ? "tls" : "plain", SIZES[i]);
        node_close(&from);
        node_close(&to);
    }
    credentials_remove(&credentials);
    return 0;
}
