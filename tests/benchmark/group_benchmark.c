/*
 * group_benchmark - what three replicas commit a second: three nodes of one process, a loop each,
 * over loopback, plain and with mutual TLS, each with a journal in a directory of its own below
 * $TMPDIR or /tmp. Two seconds for each row. All share one disk and the processors.
 *
 *     group_benchmark [MILLISECONDS]
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
#include "group/group.h"
#include "group/link.h"
#include "journal/journal.h"
#include "platform/disk_uring.h"
#include "platform/loop.h"
#include "platform/network_system.h"
#include "platform/tls.h"
#include "platform/worker_pool.h"
#include "scratch_directory.h"
#include "transport/transport.h"

enum { NODES = 3, GROUPS_MAX = 256, DEPTH_MAX = 64, LATENCIES_MAX = 1 << 18 };

/* A state machine that wants nothing. */
struct machine {
    struct state_machine base;
    uint64_t applied_index;
    struct group *group;
    bool is_ready; /* leads */
};

struct node {
    char name[8];
    uint64_t id;
    struct scratch_directory directory;
    struct loop *loop;
    struct disk *disk;
    struct environment environment;
    struct network_lanes *lanes;
    struct transport *transport;
    struct group_link *link;
    struct journal *journal;
    struct group_host *host;
    struct machine machines[GROUPS_MAX];
    char address[64];
    unsigned closing;
};

static struct node nodes[NODES];
static struct worker_pool *workers;
static struct tls_context *tls;
static size_t group_count;
static uint64_t run_ms = 2000;
static sem_t closed;

static void check(enum error_code code, const struct error *error)
{
    if (code != ERROR_NONE) {
        fprintf(stderr, "group_benchmark: %s\n", error->message);
        exit(1);
    }
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- Machine ------------------------------------------------------------------------------- */

static void machine_apply(struct state_machine *self, const struct group_entry *entry)
{
    ((struct machine *)self)->applied_index = entry->index;
}

static uint64_t machine_applied_index(struct state_machine *self)
{
    return ((struct machine *)self)->applied_index;
}

static enum error_code machine_snapshot(struct state_machine *self, struct byte_buffer *bytes,
                                        struct state_machine_position *position_out,
                                        struct error *error)
{
    uint64_t index = ((struct machine *)self)->applied_index;
    (void)error;
    byte_buffer_u64(bytes, index);
    *position_out = (struct state_machine_position){.applied_index = index, .frozen_index = index};
    return ERROR_NONE;
}

static void machine_stored(struct state_machine *self,
                           const struct state_machine_position *position)
{
    (void)self, (void)position;
}

static enum error_code machine_restore(struct state_machine *self, const uint8_t *bytes,
                                       size_t size_bytes,
                                       const struct state_machine_position *position,
                                       struct error *error)
{
    (void)bytes, (void)size_bytes, (void)error;
    ((struct machine *)self)->applied_index = position->applied_index;
    return ERROR_NONE;
}

static void machine_started(struct state_machine *self, uint64_t term)
{
    (void)term;
    ((struct machine *)self)->is_ready = true;
}

static void machine_stopped(struct state_machine *self, uint64_t term)
{
    (void)term;
    ((struct machine *)self)->is_ready = false;
}

static const struct state_machine_operations MACHINE = {
    .apply = machine_apply,
    .applied_index = machine_applied_index,
    .snapshot = machine_snapshot,
    .snapshot_for_peer = machine_snapshot,
    .snapshot_stored = machine_stored,
    .restore = machine_restore,
    .leader_started = machine_started,
    .leader_stopped = machine_stopped,
};

/* --- Nodes --------------------------------------------------------------------------------- */

static void on_disconnected(void *context, struct transport_peer *peer)
{
    group_link_disconnected(((struct node *)context)->link, peer);
}

static void on_drained(void *context, struct transport_peer *peer, enum transport_class class)
{
    (void)class;
    group_link_drained(((struct node *)context)->link, peer);
}

static const struct transport_events EVENTS = {
    .disconnected = on_disconnected,
    .drained = on_drained,
};

static void on_fatal(void *context, const struct error *error)
{
    (void)context;
    check(error->code, error);
}

static void on_network_closed(void *context)
{
    (void)context;
    sem_post(&closed);
}

static void open_network(struct node *node)
{
    struct error error;
    struct network_system_options network = {
        .lanes = node->lanes, .tls = tls, .closed = on_network_closed};
    check(network_system_open(node->loop, &network, &node->environment.network, &error), &error);
    struct transport_options options = {
        .environment = &node->environment,
        .name = node->name,
        .listen_address = "127.0.0.1:0",
        .lane_count = 1,
        .incarnation = 1,
        .identity = {.cluster_id = {1}, .node_id = node->id},
        .channel_bytes_max = 16 * 1024 * 1024,
        .events = &EVENTS,
        .context = node,
    };
    check(transport_open(&options, &node->transport, &error), &error);
    check(group_link_create(node->transport, &node->link, &error), &error);
    snprintf(node->address, sizeof node->address, "127.0.0.1:%u", transport_port(node->transport));
}

static void open_journal(struct node *node)
{
    struct error error;
    struct journal_recovery *recovery;
    struct journal_recovery_options recover = {.directory = "journal"};
    check(
        disk_uring_create(node->directory.path, node->loop, DISK_ENGINE_BEST, &node->disk, &error),
        &error);
    node->environment.disk = node->disk;
    check(journal_recover(node->disk, &recover, &recovery, &error), &error);
    struct journal_options options = {.directory = "journal"};
    struct journal_events events = {.fatal = on_fatal};
    check(journal_open(&node->environment, &options, &events, recovery, NULL, 0, &node->journal,
                       &error),
          &error);
    journal_recovery_close(recovery);
}

static void open_on_loop(void *argument)
{
    struct node *node = argument;
    node->environment = (struct environment){
        .scheduler = loop_scheduler(node->loop),
        .clock = clock_system(),
        .random = random_system(),
    };
    open_network(node);
    open_journal(node);
}

static void start_groups(struct node *node)
{
    struct consensus_member founders[NODES] = {0};
    struct error error;
    for (size_t i = 0; i < NODES; i++) {
        founders[i].node_id = i + 1;
        founders[i].role = CONSENSUS_ROLE_VOTER;
        snprintf(founders[i].address, sizeof founders[i].address, "%s", nodes[i].name);
    }
    for (size_t g = 0; g < group_count; g++) {
        struct machine *machine = &node->machines[g];
        *machine = (struct machine){.base.operations = &MACHINE};
        struct group_options options = {
            .group_id = g + 1, .founders = founders, .founder_count = NODES};
        check(group_create(node->host, &options, &machine->base, &machine->group, &error), &error);
        check(group_start(machine->group, &error), &error);
    }
}

static void take_part(void *argument)
{
    struct node *node = argument;
    struct error error;
    for (size_t i = 0; i < NODES; i++) {
        struct transport_peer *peer;
        if (&nodes[i] != node)
            check(
                transport_add_peer(node->transport, nodes[i].name, nodes[i].address, &peer, &error),
                &error);
    }
    struct group_host_options options = {
        .environment = &node->environment,
        .journal = node->journal,
        .transport = group_link_transport(node->link),
        .node_id = node->id,
        .in_flight_bytes_max = 64 * 1024 * 1024,
    };
    check(group_host_create(&options, &node->host, &error), &error);
    group_link_deliver_to(node->link, node->host);
    start_groups(node);
}

static void nodes_open(void)
{
    struct error error;
    for (size_t i = 0; i < NODES; i++) {
        struct node *node = &nodes[i];
        *node = (struct node){.id = i + 1};
        snprintf(node->name, sizeof node->name, "n%zu", i + 1);
        scratch_directory_make(&node->directory);
        node->lanes = network_lanes_create(1);
        struct loop_options options = {.name = node->name, .workers = workers};
        check(loop_create(&options, &node->loop, &error), &error);
        check(loop_start(node->loop, &error), &error);
        loop_call(node->loop, open_on_loop, node);
    }
    for (size_t i = 0; i < NODES; i++)
        loop_call(nodes[i].loop, take_part, &nodes[i]);
}

static void on_transport_closed(void *context)
{
    struct node *node = context;
    group_link_destroy(node->link);
    network_system_close(node->environment.network);
}

static void on_journal_closed(void *context)
{
    struct node *node = context;
    transport_close(node->transport, 0, on_transport_closed, node);
}

static void on_group_closed(void *context)
{
    struct node *node = context;
    if (--node->closing > 0)
        return;
    group_host_destroy(node->host);
    journal_close(node->journal, on_journal_closed, node);
}

static void close_on_loop(void *argument)
{
    struct node *node = argument;
    group_link_deliver_to(node->link, NULL);
    node->closing = (unsigned)group_count;
    for (size_t g = 0; g < group_count; g++)
        group_close(node->machines[g].group, on_group_closed, node);
}

static void nodes_close(void)
{
    for (size_t i = 0; i < NODES; i++)
        loop_call(nodes[i].loop, close_on_loop, &nodes[i]);
    for (size_t i = 0; i < NODES; i++)
        sem_wait(&closed);
    for (size_t i = 0; i < NODES; i++) {
        loop_stop(nodes[i].loop);
        loop_join(nodes[i].loop);
        disk_uring_destroy(nodes[i].disk);
        loop_destroy(nodes[i].loop);
        network_lanes_destroy(nodes[i].lanes);
        scratch_directory_remove(&nodes[i].directory);
    }
}

/* --- Proposals ----------------------------------------------------------------------------- */

struct proposal {
    struct group_request base;
    struct machine *machine;
    uint64_t begun_ns;
};

static struct proposal proposals[GROUPS_MAX][DEPTH_MAX];
static size_t payload_bytes, depth;
static _Atomic bool is_running;
static _Atomic uint64_t committed, failed, out;
static _Atomic uint32_t latency_count;
static uint32_t latencies_us[LATENCIES_MAX];

static void propose(struct proposal *proposal)
{
    struct error error;
    uint8_t *payload = group_payload_create(payload_bytes);
    assert(payload != NULL);
    memset(payload, 'x', payload_bytes);
    proposal->begun_ns = clock_monotonic_ns(clock_system());
    atomic_fetch_add(&out, 1);
    if (group_propose(proposal->machine->group, &proposal->base, payload, &error) == ERROR_NONE)
        return;
    group_payload_destroy(payload);
    atomic_fetch_sub(&out, 1);
    atomic_fetch_add(&failed, 1);
}

static void on_done(struct group_request *request, enum group_outcome outcome)
{
    struct proposal *proposal = (struct proposal *)request;
    uint64_t took_ns = clock_monotonic_ns(clock_system()) - proposal->begun_ns;
    atomic_fetch_sub(&out, 1);
    atomic_fetch_add(outcome == GROUP_OUTCOME_COMMITTED ? &committed : &failed, 1);
    uint32_t position = atomic_fetch_add(&latency_count, 1);
    if (position < LATENCIES_MAX)
        latencies_us[position] = (uint32_t)(took_ns / 1000);
    if (is_running)
        propose(proposal);
}

static void begin_where_it_leads(void *argument)
{
    struct node *node = argument;
    for (size_t g = 0; g < group_count; g++)
        for (size_t i = 0; node->machines[g].is_ready && i < depth; i++) {
            proposals[g][i] =
                (struct proposal){.base.done = on_done, .machine = &node->machines[g]};
            propose(&proposals[g][i]);
        }
}

static void count_leaders(void *argument)
{
    struct {
        struct node *node;
        size_t count;
    } *counted = argument;
    for (size_t g = 0; g < group_count; g++)
        counted->count += counted->node->machines[g].is_ready;
}

static size_t leaders(void)
{
    size_t count = 0;
    for (size_t i = 0; i < NODES; i++) {
        struct {
            struct node *node;
            size_t count;
        } counted = {.node = &nodes[i]};
        loop_call(nodes[i].loop, count_leaders, &counted);
        count += counted.count;
    }
    return count;
}

static int by_number(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static void measure(size_t size, size_t how_deep)
{
    payload_bytes = size;
    depth = how_deep;
    is_running = true;
    for (size_t i = 0; i < NODES; i++)
        loop_call(nodes[i].loop, begin_where_it_leads, &nodes[i]);
    usleep(200 * 1000); /* under way */
    uint64_t before = committed;
    latency_count = 0;
    double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);
    usleep((useconds_t)run_ms * 1000);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    uint64_t count = committed - before;
    is_running = false;
    while (out > 0)
        usleep(1000);
    uint32_t taken = latency_count < LATENCIES_MAX ? latency_count : LATENCIES_MAX;
    qsort(latencies_us, taken, sizeof latencies_us[0], by_number);
    double gigabytes = (double)count * (double)size / 1e9;
    printf("| %s | %zu | %zu | %zu | %.0f | %.0f | %.2f | %.2f | %.2f |\n",
           tls == NULL ? "plain" : "tls", group_count, size / 1024, how_deep,
           gigabytes * 1000 / wall, (double)count / wall,
           taken == 0 ? 0 : latencies_us[taken / 2] / 1e3,
           taken == 0 ? 0 : latencies_us[taken - 1 - taken / 100] / 1e3,
           gigabytes > 0 ? cpu / gigabytes : 0);
    fflush(stdout);
}

static void measure_groups(size_t groups, const size_t *sizes, const size_t *depths, size_t rows)
{
    group_count = groups;
    nodes_open();
    for (int i = 0; i < 300 && leaders() < group_count; i++)
        usleep(100 * 1000);
    for (size_t i = 0; i < rows; i++)
        measure(sizes[i], depths[i]);
    nodes_close();
}

/* What groups cost that nobody asks for anything. */
static void measure_idle(size_t groups)
{
    group_count = groups;
    nodes_open();
    for (int i = 0; i < 300 && leaders() < group_count; i++)
        usleep(100 * 1000);
    usleep(1000 * 1000);
    double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);
    usleep((useconds_t)run_ms * 1000);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    printf("| %zu | %.2f |\n", groups, cpu / wall * 1000 / NODES);
    fflush(stdout);
    nodes_close();
}

int main(int count, char **arguments)
{
    static const size_t SIZES[] = {65536, 65536, 65536, 262144, 262144, 262144, 1 << 20, 1 << 20};
    static const size_t DEPTHS[] = {1, 4, 16, 1, 4, 16, 1, 4};
    static const size_t SMALL[] = {4096, 65536}, SMALL_DEPTHS[] = {4, 1};
    struct credentials credentials;
    struct error error;
    if (count > 1)
        run_ms = strtoull(arguments[1], NULL, 10);
    credentials_create(&credentials, "node", 3600);
    sem_init(&closed, 0, 0);
    check(worker_pool_create(&(struct worker_pool_options){.worker_count = 3}, &workers, &error),
          &error);
    puts("| | groups | KiB | depth | MB/s | entries/s | p50 ms | p99 ms | CPU s/GB |");
    puts("|---|---|---|---|---|---|---|---|---|");
    for (int is_encrypted = 0; is_encrypted < 2; is_encrypted++) {
        struct tls_options options = {
            .certificate_path = credentials.certificate_path,
            .key_path = credentials.key_path,
            .client_ca_path = credentials.certificate_path,
        };
        if (is_encrypted)
            check(tls_context_create(&options, &tls, &error), &error);
        measure_groups(1, SIZES, DEPTHS, sizeof SIZES / sizeof SIZES[0]);
        measure_groups(32, SMALL, SMALL_DEPTHS, 2);
    }
    tls_context_destroy(tls);
    tls = NULL;
    puts("\n| idle groups | CPU ms a second, each node |\n|---|---|");
    static const size_t IDLE[] = {1, 16, 64, 256};
    for (size_t i = 0; i < sizeof IDLE / sizeof IDLE[0]; i++)
        measure_idle(IDLE[i]);
    worker_pool_destroy(workers);
    credentials_remove(&credentials);
    return failed > 0;
}
