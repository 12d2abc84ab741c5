#include "simulated_nodes.h"

#include "base/bytes.h"

/* One-way messages: order, integrity, budgets, and that CONTROL is quick. */

enum { CHANNELS = 5, SIZE_MAX_SENT = 200000 };

static struct node *one, *other;

struct received {
    uint64_t next[TRANSPORT_CLASSES][CHANNELS]; /* numbers that may come */
    uint64_t count;
    uint64_t bytes;
    uint64_t control_delay_ns_max;
    unsigned control_count;
    bool takes_reference;
    struct shared_bytes *kept;
};

static struct received received;
static uint64_t numbers[TRANSPORT_CLASSES][CHANNELS];

/* A number, the time, and bytes that follow from both. */
static struct shared_bytes *message_make(uint64_t number, size_t size)
{
    struct shared_bytes *bytes = shared_bytes_create(size);
    store_u64(bytes->bytes, number);
    store_u64(bytes->bytes + 8, world_clock.now_ns);
    for (size_t i = 16; i < size; i++)
        bytes->bytes[i] = (uint8_t)(number + i * 7);
    return bytes;
}

static void on_message(void *context, const struct transport_message *message)
{
    (void)context;
    assert_true(message->size >= 16 && message->channel.id < CHANNELS);
    uint64_t number = load_u64(message->bytes);
    /* In order and at most once; what a lost connection had may be missing. */
    assert_true(number >= received.next[message->class][message->channel.id]);
    received.next[message->class][message->channel.id] = number + 1;
    for (size_t i = 16; i < message->size; i += 97)
        assert_int_equal(message->bytes[i], (uint8_t)(number + i * 7));
    received.count++;
    received.bytes += message->size;
    if (message->class == TRANSPORT_CONTROL) {
        uint64_t delay_ns = world_clock.now_ns - load_u64(message->bytes + 8);
        if (delay_ns > received.control_delay_ns_max)
            received.control_delay_ns_max = delay_ns;
        received.control_count++;
    }
    if (received.takes_reference && message->whole != NULL && received.kept == NULL)
        received.kept = shared_bytes_ref(message->whole);
}

static bool send_to(struct node *from, struct node *to, enum transport_class class,
                    uint64_t channel, size_t size)
{
    struct shared_bytes *bytes = message_make(numbers[class][channel]++, size);
    bool is_sent = transport_send(peer_of(from, 0, to), class,
                                  (struct transport_channel){.kind = 3, .id = channel}, bytes);
    shared_bytes_unref(bytes);
    return is_sent;
}

static void start(uint64_t seed)
{
    world_start(seed);
    memset(&received, 0, sizeof received);
    memset(numbers, 0, sizeof numbers);
    one = node_add("a", 1);
    other = node_add("b", 1);
}

static void begin(void)
{
    node_open(one);
    node_open(other);
    transport_on_message(other->transports[0], 3, on_message, NULL);
    node_knows(one, other);
    node_knows(other, one);
    run_ms(2000);
    assert_true(is_connected(one, 0, other));
}

static void messages_of_any_size_arrive_whole_and_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        start(seed);
        begin();
        struct random_generator random;
        random_generator_init(&random, seed);
        uint64_t sent = 0, bytes = 0;
        for (int i = 0; i < 60; i++) {
            enum transport_class class = random_below(&random.base, 3);
            size_t size = 16 + random_below(&random.base, SIZE_MAX_SENT);
            if (class == TRANSPORT_CONTROL)
                size = 16 + random_below(&random.base, TRANSPORT_FRAME_BYTES_MAX - 15);
            if (send_to(one, other, class, random_below(&random.base, CHANNELS), size)) {
                sent++;
                bytes += size;
            }
            run_ms(random_below(&random.base, 3));
        }
        run_ms(1000);
        assert_int_equal(received.count, sent);
        assert_int_equal(received.bytes, bytes);
        for (size_t i = 0; i < TRANSPORT_CLASSES; i++)
            assert_int_equal(statistics_of(one, other).queued_bytes[i], 0);
        world_end();
    }
}

static void a_whole_message_may_be_kept(void **state)
{
    (void)state;
    start(1);
    begin();
    received.takes_reference = true;
    assert_true(send_to(one, other, TRANSPORT_APPEND, 0, 150000));
    run_ms(100);
    world_end();
    assert_non_null(received.kept);
    assert_int_equal(received.kept->size, 150000);
    assert_int_equal(received.kept->bytes[149999], (uint8_t)(149999 * 7));
    shared_bytes_unref(received.kept);
}

static void what_is_sent_twice_is_not_copied(void **state)
{
    (void)state;
    start(1);
    begin();
    struct shared_bytes *bytes = message_make(0, 1000000);
    struct transport_channel channel = {.kind = 3, .id = 1};
    assert_true(transport_send(peer_of(one, 0, other), TRANSPORT_APPEND, channel, bytes));
    assert_true(transport_send(peer_of(one, 0, other), TRANSPORT_REQUEST,
                               (struct transport_channel){.kind = 3, .id = 2}, bytes));
    assert_int_equal(bytes->references, 3);
    run_ms(1000);
    assert_int_equal(bytes->references, 1);
    assert_int_equal(received.count, 2);
    shared_bytes_unref(bytes);
    world_end();
}

static void nothing_is_sent_where_nobody_is(void **state)
{
    (void)state;
    start(1);
    node_open(one);
    node_open(other);
    node_knows(one, other);
    assert_false(send_to(one, other, TRANSPORT_APPEND, 0, 100));
    assert_int_equal(statistics_of(one, other).dropped_messages[TRANSPORT_DROP_DISCONNECTED], 1);
    world_end();
}

static void kinds_that_nobody_takes_are_counted(void **state)
{
    (void)state;
    start(1);
    begin();
    struct shared_bytes *bytes = message_make(0, 20);
    assert_true(transport_send(peer_of(one, 0, other), TRANSPORT_APPEND,
                               (struct transport_channel){.kind = 9}, bytes));
    shared_bytes_unref(bytes);
    run_ms(100);
    assert_int_equal(statistics_of(other, one).dropped_messages[TRANSPORT_DROP_UNKNOWN_KIND], 1);
    assert_true(is_connected(one, 0, other));
    world_end();
}

/* --- Budgets ------------------------------------------------------------------------------- */

static void a_slow_peer_costs_its_budget(void **state)
{
    (void)state;
    enum { BUDGET = 1000000, OF_CHANNEL = 300000 };
    start(1);
    one->options.queued_bytes_max[TRANSPORT_APPEND] = BUDGET;
    one->options.channel_bytes_max = OF_CHANNEL;
    begin();
    wires.links[one->host][other->host].bytes_per_s = 100000;
    unsigned refused = 0;
    for (int i = 0; i < 200; i++) {
        refused += !send_to(one, other, TRANSPORT_APPEND, 1, 50000);
        assert_true(statistics_of(one, other).queued_bytes[TRANSPORT_APPEND] <= OF_CHANNEL);
        run_ms(1);
    }
    assert_true(refused > 150);
    for (int i = 0; i < 200; i++) {
        send_to(one, other, TRANSPORT_APPEND, 2 + i % 3, 20000);
        send_to(one, other, TRANSPORT_APPEND, 0, 20000);
        assert_true(statistics_of(one, other).queued_bytes[TRANSPORT_APPEND] <= BUDGET);
    }
    assert_true(statistics_of(one, other).queued_bytes[TRANSPORT_APPEND] > BUDGET / 2);
    assert_true(statistics_of(one, other).dropped_messages[TRANSPORT_DROP_BUDGET] > 200);
    assert_int_equal(one->drained, 0);
    run_ms(15000);
    assert_int_equal(one->drained, 1); /* it may go on */
    assert_int_equal(statistics_of(one, other).queued_bytes[TRANSPORT_APPEND], 0);
    world_end();
}

static void an_empty_queue_takes_any_message(void **state)
{
    (void)state;
    start(1);
    one->options.channel_bytes_max = 1000;
    one->options.queued_bytes_max[TRANSPORT_APPEND] = 1000;
    begin();
    assert_true(send_to(one, other, TRANSPORT_APPEND, 1, 100000));
    assert_false(send_to(one, other, TRANSPORT_APPEND, 1, 100));
    run_ms(100);
    assert_true(send_to(one, other, TRANSPORT_APPEND, 1, 100));
    run_ms(100);
    assert_int_equal(received.count, 2);
    world_end();
}

static void what_is_queued_is_lost_with_the_connection(void **state)
{
    (void)state;
    start(1);
    begin();
    wires.links[one->host][other->host].bytes_per_s = 100000;
    for (int i = 0; i < 20; i++)
        assert_true(send_to(one, other, TRANSPORT_APPEND, 1, 50000));
    run_ms(100);
    simulated_network_cut(&wires, one->host, other->host);
    run_ms(5);
    assert_int_equal(statistics_of(one, other).queued_bytes[TRANSPORT_APPEND], 0);
    assert_true(statistics_of(one, other).dropped_messages[TRANSPORT_DROP_LOST] > 10);
    world_end();
}

/* --- CONTROL ------------------------------------------------------------------------------- */

static void control_waits_behind_256_kib_at_most(void **state)
{
    (void)state;
    enum { SPEED = 1000000 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        start(seed);
        one->options.channel_bytes_max = 16 * 1024 * 1024;
        begin();
        wires.links[one->host][other->host].bytes_per_s = SPEED;
        for (int i = 0; i < 10; i++) /* queues that stay full */
            for (uint64_t channel = 0; channel < CHANNELS; channel++) {
                send_to(one, other, TRANSPORT_APPEND, channel, 200000);
                send_to(one, other, TRANSPORT_REQUEST, channel, 200000);
            }
        for (int i = 0; i < 50; i++) {
            assert_true(send_to(one, other, TRANSPORT_CONTROL, 0, 100));
            run_ms(20);
        }
        assert_true(statistics_of(one, other).queued_bytes[TRANSPORT_APPEND] > 1000000);
        assert_true(received.control_count >= 30);
        /* The time that 256 KiB take, and some for the way. */
        assert_true(received.control_delay_ns_max < UINT64_C(1000000000) * 256 * 1024 / SPEED);
        world_end();
    }
}

static void classes_take_turns(void **state)
{
    (void)state;
    start(2);
    one->options.channel_bytes_max = 16 * 1024 * 1024;
    begin();
    wires.links[one->host][other->host].bytes_per_s = 1000000;
    for (int i = 0; i < 10; i++) {
        send_to(one, other, TRANSPORT_APPEND, 1, 400000);
        send_to(one, other, TRANSPORT_REQUEST, 1, 400000);
    }
    run_ms(3000);
    struct transport_peer_statistics statistics = statistics_of(other, one);
    uint64_t appended = statistics.received_bytes[TRANSPORT_APPEND];
    uint64_t requested = statistics.received_bytes[TRANSPORT_REQUEST];
    assert_true(appended > requested * 3 / 2 && appended < requested * 3); /* two to one */
    world_end();
}

/* --- Faults -------------------------------------------------------------------------------- */

static void faults_change_neither_order_nor_bytes(void **state)
{
    (void)state;
    uint64_t lost = 0, arrived = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        start(seed);
        begin();
        struct random_generator random;
        random_generator_init(&random, seed);
        wires.links[one->host][other->host].bytes_per_s = seed % 4 == 0 ? 2000000 : 0;
        uint64_t sent = 0;
        for (int i = 0; i < 300; i++) {
            enum transport_class class = random_below(&random.base, 3);
            size_t size = 16 + random_below(&random.base, i % 10 == 0 ? 100000 : 3000);
            if (class == TRANSPORT_CONTROL && size > TRANSPORT_FRAME_BYTES_MAX)
                size = TRANSPORT_FRAME_BYTES_MAX;
            sent += send_to(one, other, class, random_below(&random.base, CHANNELS), size);
            switch (random_below(&random.base, 100)) {
            case 0:
                simulated_network_cut(&wires, one->host, other->host);
                break;
            case 1:
            case 2:
                simulated_network_stall(&wires, one->host, other->host, true);
                break;
            case 3:
                simulated_network_partition(&wires, one->host, other->host, true);
                break;
            case 4:
            case 5:
            case 6:
                simulated_network_partition(&wires, one->host, other->host, false);
                break;
            }
            run_ms(random_below(&random.base, 60));
        }
        simulated_network_partition(&wires, one->host, other->host, false);
        run_ms(20000);
        assert_true(is_connected(one, 0, other) && is_connected(other, 0, one));
        assert_true(received.count <= sent);
        assert_true(send_to(one, other, TRANSPORT_CONTROL, 0, 20));
        uint64_t before = received.count;
        run_ms(1000);
        assert_int_equal(received.count, before + 1);
        lost += sent - before;
        arrived += before;
        world_end();
    }
    assert_true(lost > 0 && arrived > lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_any_size_arrive_whole_and_in_order),
        cmocka_unit_test(a_whole_message_may_be_kept),
        cmocka_unit_test(what_is_sent_twice_is_not_copied),
        cmocka_unit_test(nothing_is_sent_where_nobody_is),
        cmocka_unit_test(kinds_that_nobody_takes_are_counted),
        cmocka_unit_test(a_slow_peer_costs_its_budget),
        cmocka_unit_test(an_empty_queue_takes_any_message),
        cmocka_unit_test(what_is_queued_is_lost_with_the_connection),
        cmocka_unit_test(control_waits_behind_256_kib_at_most),
        cmocka_unit_test(classes_take_turns),
        cmocka_unit_test(faults_change_neither_order_nor_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
