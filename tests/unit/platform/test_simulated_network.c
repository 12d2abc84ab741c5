#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "simulated_network.h"

/* Two hosts, a stream between them, and what each end saw. */

enum { TOTAL = 200000 };

static struct simulated_clock clock_;
static struct simulated_scheduler scheduler;
static struct simulated_network network;

struct end {
    struct network_stream *stream;
    struct stream_write write;
    struct stream_vector vector;
    uint8_t got[TOTAL];
    size_t got_size;
    uint64_t last_ns;
    bool is_connected, is_ended, is_failed, is_closed, is_done;
    enum error_code code;
};

static struct end client, server;
static struct network_listener *listener;
static uint8_t bytes[TOTAL];

static void on_allocate(void *context, uint8_t **target_out, size_t *size_out)
{
    struct end *end = context;
    *target_out = end->got + end->got_size;
    *size_out = TOTAL - end->got_size;
}

static void on_received(void *context, size_t size)
{
    struct end *end = context;
    end->got_size += size;
    end->last_ns = clock_.now_ns;
}

static void on_ended(void *context)
{
    ((struct end *)context)->is_ended = true;
}

static void on_failed(void *context, const struct error *error)
{
    struct end *end = context;
    end->is_failed = true;
    end->code = error->code;
}

static void on_closed(void *context)
{
    ((struct end *)context)->is_closed = true;
}

static void on_connected(void *context)
{
    ((struct end *)context)->is_connected = true;
}

static const struct stream_events EVENTS = {
    .allocate = on_allocate,
    .received = on_received,
    .ended = on_ended,
    .failed = on_failed,
    .closed = on_closed,
    .connected = on_connected,
};

static void on_accepted(void *context, struct network_stream *stream)
{
    struct end *end = context;
    end->stream = stream;
    network_stream_begin(stream, &EVENTS, end);
}

static void on_written(struct stream_write *write, const struct error *error)
{
    struct end *end = (struct end *)((char *)write - offsetof(struct end, write));
    end->is_done = error->code == ERROR_NONE;
}

static void start(uint64_t seed)
{
    struct error error;
    memset(&client, 0, sizeof client);
    memset(&server, 0, sizeof server);
    simulated_clock_init(&clock_);
    simulated_scheduler_init(&scheduler, &clock_, seed);
    simulated_network_init(&network, &scheduler, seed + 1);
    simulated_network_add(&network, "a", 1);
    simulated_network_add(&network, "b", 2);
    struct network_listen_options options = {
        .address = "b:1", .accepted = on_accepted, .context = &server};
    assert_int_equal(
        network_listen(simulated_network_lane(&network, 1, 1), &options, &listener, &error),
        ERROR_NONE);
    for (size_t i = 0; i < TOTAL; i++)
        bytes[i] = (uint8_t)(i * i / 7);
}

static void go_on_for_ms(uint64_t duration_ms)
{
    simulated_scheduler_run_for(&scheduler, duration_ms * 1000000);
}

static void connect_to(const char *address, uint32_t lane)
{
    struct error error;
    struct network_target target = {.address = address, .lane = lane, .timeout_ms = 1000};
    assert_int_equal(
        network_connect(simulated_network_lane(&network, 0, 0), &target, &client.stream, &error),
        ERROR_NONE);
    network_stream_begin(client.stream, &EVENTS, &client);
    go_on_for_ms(20);
}

static void send_all(struct end *end)
{
    end->vector = (struct stream_vector){bytes, TOTAL};
    end->write =
        (struct stream_write){.vectors = &end->vector, .vector_count = 1, .done = on_written};
    network_stream_write(end->stream, &end->write);
}

static void finish(void)
{
    if (client.stream != NULL)
        network_stream_close(client.stream);
    if (server.stream != NULL)
        network_stream_close(server.stream);
    network_listener_close(simulated_network_lane(&network, 1, 1), listener);
    while (simulated_scheduler_step(&scheduler))
        ;
    assert_true(client.is_closed);
    assert_true(server.stream == NULL || server.is_closed);
    assert_int_equal(simulated_network_stream_count(&network), 0);
    simulated_network_clear(&network);
    simulated_scheduler_clear(&scheduler);
}

static void bytes_arrive_whole_and_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 20; seed++) {
        start(seed);
        connect_to("b:7", 3); /* lane 3 of two is lane 1 */
        assert_true(client.is_connected);
        send_all(&client);
        send_all(&server);
        go_on_for_ms(1000);
        assert_int_equal(server.got_size, TOTAL);
        assert_memory_equal(server.got, bytes, TOTAL);
        assert_memory_equal(client.got, bytes, TOTAL);
        assert_true(client.is_done);
        finish();
    }
}

static void a_slow_link_takes_its_time_and_holds_writes_back(void **state)
{
    (void)state;
    start(1);
    network.links[0][1].bytes_per_s = 100000;
    connect_to("b:1", 1);
    send_all(&client);
    uint64_t begin_ns = clock_.now_ns;
    go_on_for_ms(100);
    assert_false(client.is_done);
    assert_true(network_stream_queued_bytes(client.stream) >= TOTAL - 64 * 1024 - server.got_size);
    assert_true(server.got_size <= (clock_.now_ns - begin_ns) / 10000);
    go_on_for_ms(3000);
    assert_int_equal(server.got_size, TOTAL);
    assert_true(server.last_ns - begin_ns > UINT64_C(1700000000));
    finish();
}

static void a_stall_one_way_holds_what_goes_that_way(void **state)
{
    (void)state;
    start(2);
    connect_to("b:1", 1);
    simulated_network_stall(&network, 0, 1, true);
    send_all(&client);
    send_all(&server);
    go_on_for_ms(2000);
    assert_int_equal(server.got_size, 0);
    assert_int_equal(client.got_size, TOTAL);
    simulated_network_stall(&network, 0, 1, false);
    go_on_for_ms(100);
    assert_int_equal(server.got_size, TOTAL);
    finish();
}

static void nobody_connects_through_a_partition(void **state)
{
    (void)state;
    start(3);
    simulated_network_partition(&network, 0, 1, true);
    connect_to("b:1", 1);
    go_on_for_ms(2000);
    assert_true(client.is_failed);
    assert_int_equal(client.code, ERROR_TIMEOUT);
    finish();
}

static void who_is_not_there_refuses(void **state)
{
    (void)state;
    start(4);
    connect_to("b:1", 0); /* nobody listens for that lane */
    assert_int_equal(client.code, ERROR_IO);
    finish();
    start(5);
    connect_to("c:1", 0);
    assert_int_equal(client.code, ERROR_NOT_FOUND);
    finish();
}

static void a_cut_reaches_both_ends(void **state)
{
    (void)state;
    start(6);
    connect_to("b:1", 1);
    simulated_network_cut(&network, 1, 0);
    go_on_for_ms(10);
    assert_true(client.is_failed && server.is_failed);
    finish();
}

static void what_was_taken_arrives_before_the_end(void **state)
{
    (void)state;
    start(7);
    connect_to("b:1", 1);
    client.vector = (struct stream_vector){bytes, 5000};
    client.write =
        (struct stream_write){.vectors = &client.vector, .vector_count = 1, .done = on_written};
    network_stream_write(client.stream, &client.write);
    while (!client.is_done)
        simulated_scheduler_step(&scheduler);
    network_stream_close(client.stream);
    client.stream = NULL;
    go_on_for_ms(10);
    assert_int_equal(server.got_size, 5000);
    assert_true(server.is_ended);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_whole_and_in_order),
        cmocka_unit_test(a_slow_link_takes_its_time_and_holds_writes_back),
        cmocka_unit_test(a_stall_one_way_holds_what_goes_that_way),
        cmocka_unit_test(nobody_connects_through_a_partition),
        cmocka_unit_test(who_is_not_there_refuses),
        cmocka_unit_test(a_cut_reaches_both_ends),
        cmocka_unit_test(what_was_taken_arrives_before_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
