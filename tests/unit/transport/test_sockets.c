#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "credentials.h"
#include "platform/loop.h"
#include "platform/network_system.h"
#include "platform/tls.h"
#include "transport/transport.h"

/* Nodes with loops of their own on real sockets, plain and with mutual TLS. */

enum { NODE_LANES_MAX = 3 };

struct node;

struct lane {
    struct node *node;
    uint32_t number;
    struct loop *loop;
    struct environment environment;
    struct transport *transport;
};

struct node {
    char name[16];
    char address[64];
    uint32_t lane_count;
    struct lane lanes[NODE_LANES_MAX];
    struct network_lanes *network_lanes;
    struct tls_context *tls;
    uint8_t cluster;
    _Atomic int connected, disconnected;
    _Atomic int on_wrong_loop;
};

static struct node one, other;
static sem_t closed, done;

/* --- Nodes --------------------------------------------------------------------------------- */

static void on_connected(void *context, struct transport_peer *peer)
{
    struct lane *lane = context;
    (void)peer;
    lane->node->on_wrong_loop += !scheduler_on_loop(loop_scheduler(lane->loop));
    lane->node->connected++;
}

static void on_disconnected(void *context, struct transport_peer *peer)
{
    (void)peer;
    ((struct lane *)context)->node->disconnected++;
}

static const struct transport_events EVENTS = {
    .connected = on_connected,
    .disconnected = on_disconnected,
};

static void serve(void *context, struct transport_answer *answer,
                  const struct transport_question *question)
{
    (void)context;
    struct shared_bytes *bytes = shared_bytes_copy(question->body, question->size);
    transport_answer_write(answer, bytes);
    shared_bytes_unref(bytes);
    transport_answer_end(answer, NULL);
}

static void on_network_closed(void *context)
{
    (void)context;
    sem_post(&closed);
}

static void lane_open(void *argument)
{
    struct lane *lane = argument;
    struct node *node = lane->node;
    struct error error;
    struct network_system_options network = {.lanes = node->network_lanes,
                                             .lane = lane->number,
                                             .tls = node->tls,
                                             .closed = on_network_closed};
    lane->environment = (struct environment){
        .scheduler = loop_scheduler(lane->loop),
        .clock = clock_system(),
        .random = random_system(),
    };
    assert_int_equal(network_system_open(lane->loop, &network, &lane->environment.network, &error),
                     ERROR_NONE);
    struct transport_options options = {
        .environment = &lane->environment,
        .name = node->name,
        .listen_address = lane->number == 0 ? "127.0.0.1:0" : node->address,
        .lane = lane->number,
        .lane_count = node->lane_count,
        .incarnation = 1,
        .events = &EVENTS,
        .context = lane,
    };
    memset(options.identity.cluster_id, node->cluster, sizeof options.identity.cluster_id);
    assert_int_equal(transport_open(&options, &lane->transport, &error), ERROR_NONE);
    transport_on_request(lane->transport, 1, serve, lane);
    if (lane->number == 0)
        snprintf(node->address, sizeof node->address, "127.0.0.1:%u",
                 transport_port(lane->transport));
}

static void node_open(struct node *node, const char *name, uint32_t lane_count)
{
    struct error error;
    snprintf(node->name, sizeof node->name, "%s", name);
    node->lane_count = lane_count;
    node->network_lanes = network_lanes_create(lane_count);
    for (uint32_t i = 0; i < lane_count; i++) {
        struct lane *lane = &node->lanes[i];
        *lane = (struct lane){.node = node, .number = i};
        assert_int_equal(loop_create(&(struct loop_options){0}, &lane->loop, &error), ERROR_NONE);
        assert_int_equal(loop_start(lane->loop, &error), ERROR_NONE);
        loop_call(lane->loop, lane_open, lane);
    }
}

static void on_transport_closed(void *context)
{
    struct lane *lane = context;
    network_system_close(lane->environment.network);
}

static void lane_close(void *argument)
{
    struct lane *lane = argument;
    transport_close(lane->transport, 1000, on_transport_closed, lane);
}

static void node_close(struct node *node)
{
    for (uint32_t i = 0; i < node->lane_count; i++)
        loop_call(node->lanes[i].loop, lane_close, &node->lanes[i]);
    for (uint32_t i = 0; i < node->lane_count; i++)
        sem_wait(&closed);
    for (uint32_t i = 0; i < node->lane_count; i++) {
        loop_stop(node->lanes[i].loop);
        loop_join(node->lanes[i].loop);
        loop_destroy(node->lanes[i].loop);
    }
    network_lanes_destroy(node->network_lanes);
    tls_context_destroy(node->tls);
    assert_int_equal(node->on_wrong_loop, 0);
}

struct knowing {
    struct lane *lane;
    struct node *of;
};

static void lane_know(void *argument)
{
    struct knowing *knowing = argument;
    struct transport_peer *peer;
    struct error error;
    assert_int_equal(transport_add_peer(knowing->lane->transport, knowing->of->name,
                                        knowing->of->address, &peer, &error),
                     ERROR_NONE);
}

static void node_knows(struct node *node, struct node *of)
{
    for (uint32_t i = 0; i < node->lane_count; i++) {
        struct knowing knowing = {&node->lanes[i], of};
        loop_call(node->lanes[i].loop, lane_know, &knowing);
    }
}

static void introduce(void)
{
    node_knows(&one, &other);
    node_knows(&other, &one);
}

/* Poll: connections come when they come. */
static bool wait_for(_Atomic int *value, int wanted, int patience_ms)
{
    for (int waited_ms = 0; waited_ms < patience_ms; waited_ms += 10) {
        if (*value >= wanted)
            return true;
        usleep(10000);
    }
    return *value >= wanted;
}

/* --- Asking -------------------------------------------------------------------------------- */

struct asking {
    struct lane *lane;
    struct transport_request request;
    uint64_t bytes;
    struct error error;
};

static void on_piece(struct transport_request *request, const uint8_t *bytes, size_t size)
{
    struct asking *asking = (struct asking *)((char *)request - offsetof(struct asking, request));
    (void)bytes;
    asking->bytes += size;
    transport_consume(request, size);
}

static void on_done(struct transport_request *request, const struct error *error)
{
    struct asking *asking = (struct asking *)((char *)request - offsetof(struct asking, request));
    asking->error = *error;
    sem_post(&done);
}

static void ask_run(void *argument)
{
    struct asking *asking = argument;
    struct shared_bytes *body = shared_bytes_create(1000000);
    memset(body->bytes, 'b', body->size);
    asking->request.kind = 1;
    asking->request.timeout_ms = 10000;
    asking->request.body = body;
    asking->request.piece = on_piece;
    asking->request.done = on_done;
    transport_ask(transport_find_name(asking->lane->transport, text_of(other.name)),
                  &asking->request);
    shared_bytes_unref(body);
}

/* Ask over one lane; what came of it stands in the asking. */
static void ask(struct asking *asking, struct lane *lane, enum transport_class class)
{
    *asking = (struct asking){.lane = lane, .request.class = class};
    loop_call(lane->loop, ask_run, asking);
    sem_wait(&done);
}

static void exchange(enum transport_class class)
{
    for (uint32_t i = 0; i < one.lane_count; i++) {
        struct asking asking;
        ask(&asking, &one.lanes[i], class);
        assert_string_equal(asking.error.message, "");
        assert_int_equal(asking.error.code, ERROR_NONE);
        assert_int_equal(asking.bytes, 1000000);
    }
}

/*
 * As `exchange`, by nodes that both dial: of two connections one gives way, and what was asked over
 * it is lost and asked again, as every caller does.
 */
static void exchange_through_replacements(enum transport_class class)
{
    for (uint32_t i = 0; i < one.lane_count; i++) {
        struct asking asking;
        for (int attempt = 0; attempt < 100; attempt++) {
            ask(&asking, &one.lanes[i], class);
            if (asking.error.code == ERROR_NONE)
                break;
            usleep(20000);
        }
        assert_string_equal(asking.error.message, "");
        assert_int_equal(asking.bytes, 1000000);
    }
}

static void start(uint32_t one_lanes, uint32_t other_lanes)
{
    sem_init(&closed, 0, 0);
    sem_init(&done, 0, 0);
    node_open(&one, "one", one_lanes);
    node_open(&other, "other", other_lanes);
}

static void finish(void)
{
    node_close(&one);
    node_close(&other);
}

static void forget(void)
{
    memset(&one, 0, sizeof one);
    memset(&other, 0, sizeof other);
}

/* --- Plain --------------------------------------------------------------------------------- */

static void lanes_meet_and_exchange(void **state)
{
    (void)state;
    static const uint32_t COUNTS[][2] = {{1, 1}, {3, 3}, {3, 2}, {2, 3}};
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        forget();
        start(COUNTS[i][0], COUNTS[i][1]);
        introduce();
        assert_true(wait_for(&one.connected, (int)COUNTS[i][0], 10000));
        assert_true(wait_for(&other.connected, (int)COUNTS[i][1], 10000));
        exchange(TRANSPORT_REQUEST);
        exchange(TRANSPORT_FILE);
        finish();
    }
}

static void nodes_of_two_clusters_do_not_meet(void **state)
{
    (void)state;
    forget();
    one.cluster = 1;
    other.cluster = 2;
    start(2, 2);
    introduce();
    assert_false(wait_for(&one.connected, 1, 700));
    assert_int_equal(other.connected, 0);
    finish();
}

/* --- TLS ----------------------------------------------------------------------------------- */

static struct credentials authority, stranger, of_one, of_other;

static struct tls_context *tls_of(const struct credentials *own, const struct credentials *trusted)
{
    struct tls_context *context;
    struct error error;
    struct tls_options options = {
        .certificate_path = own->certificate_path,
        .key_path = own->key_path,
        .client_ca_path = trusted->certificate_path,
    };
    assert_int_equal(tls_context_create(&options, &context, &error), ERROR_NONE);
    return context;
}

static int create_credentials(void **state)
{
    (void)state;
    log_set_level(LOG_NOTHING);
    credentials_create(&authority, "authority", 3600);
    credentials_create(&stranger, "stranger", 3600);
    credentials_create_signed(&of_one, "one", 3600, &authority);
    credentials_create_signed(&of_other, "other", 3600, &authority);
    return 0;
}

static int remove_credentials(void **state)
{
    (void)state;
    credentials_remove(&authority);
    credentials_remove(&stranger);
    credentials_remove(&of_one);
    credentials_remove(&of_other);
    return 0;
}

static void lanes_meet_and_exchange_encrypted(void **state)
{
    (void)state;
    forget();
    one.tls = tls_of(&of_one, &authority);
    other.tls = tls_of(&of_other, &authority);
    start(3, 2);
    introduce();
    assert_true(wait_for(&one.connected, 3, 10000) && wait_for(&other.connected, 2, 10000));
    exchange(TRANSPORT_REQUEST);
    exchange(TRANSPORT_FILE);
    finish();
}

static void a_certificate_of_another_authority_is_refused(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++) {
        forget();
        one.tls = tls_of(who == 0 ? &stranger : &of_one, &authority);
        other.tls = tls_of(who == 1 ? &stranger : &of_other, &authority);
        start(1, 1);
        introduce();
        assert_false(wait_for(&one.connected, 1, 1500));
        assert_int_equal(other.connected, 0);
        finish();
    }
}

static void plain_and_encrypted_do_not_meet(void **state)
{
    (void)state;
    forget();
    one.tls = tls_of(&of_one, &authority);
    start(1, 1);
    introduce();
    assert_false(wait_for(&one.connected, 1, 1500));
    finish();
}

static void a_reload_lets_a_refused_node_in(void **state)
{
    (void)state;
    struct credentials renewed;
    struct error error;
    credentials_create(&renewed, "self-made", 3600);
    forget();
    one.tls = tls_of(&renewed, &authority);
    other.tls = tls_of(&of_other, &authority);
    start(2, 2);
    introduce();
    assert_false(wait_for(&one.connected, 1, 500));
    /* The same files with what the authority signed. */
    char command[600];
    snprintf(command, sizeof command, "cp %s %s && cp %s %s", of_one.certificate_path,
             renewed.certificate_path, of_one.key_path, renewed.key_path);
    assert_int_equal(system(command), 0);
    assert_int_equal(tls_context_reload(one.tls, &error), ERROR_NONE);
    assert_true(wait_for(&one.connected, 2, 10000) && wait_for(&other.connected, 2, 10000));
    exchange_through_replacements(TRANSPORT_REQUEST);
    finish();
    credentials_remove(&renewed);
}

int main(void)
{
    alarm(120); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_meet_and_exchange),
        cmocka_unit_test(nodes_of_two_clusters_do_not_meet),
        cmocka_unit_test(lanes_meet_and_exchange_encrypted),
        cmocka_unit_test(a_certificate_of_another_authority_is_refused),
        cmocka_unit_test(plain_and_encrypted_do_not_meet),
        cmocka_unit_test(a_reload_lets_a_refused_node_in),
    };
    return cmocka_run_group_tests(tests, create_credentials, remove_credentials);
}
