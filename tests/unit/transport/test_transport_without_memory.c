#include "simulated_nodes.h"

#include "allocation_faults.h"

/* Whichever allocation fails, nothing is leaked, requests end once, and the nodes meet again. */

static unsigned ended, received;
static struct transport_request request;

static void on_message(void *context, const struct transport_message *message)
{
    (void)context;
    (void)message;
    received++;
}

static void serve(void *context, struct transport_answer *answer,
                  const struct transport_question *question)
{
    (void)context;
    struct shared_bytes *bytes = shared_bytes_copy(question->body, question->size);
    if (bytes != NULL)
        transport_answer_write(answer, bytes);
    shared_bytes_unref(bytes);
    transport_answer_end(answer, NULL);
}

static void on_done(struct transport_request *over, const struct error *error)
{
    (void)over;
    (void)error;
    ended++;
}

static void never(struct timer *timer)
{
    (void)timer;
}

static void work(struct node *one, struct node *other)
{
    struct transport_peer *peer = transport_find_name(one->transports[0], text_of(other->name));
    struct shared_bytes *bytes = shared_bytes_create(100000);
    if (bytes == NULL)
        return;
    transport_send(peer, TRANSPORT_APPEND, (struct transport_channel){.kind = 1, .id = 2}, bytes);
    request = (struct transport_request){
        .kind = 1, .class = TRANSPORT_FILE, .body = bytes, .timeout_ms = 500, .done = on_done};
    ended = 0;
    transport_ask(peer, &request);
    shared_bytes_unref(bytes);
    run_ms(1000);
    assert_int_equal(ended, 1);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    unsigned injected = 0;
    bool goes_on = true;
    for (size_t number = 1; goes_on; number++) {
        struct node *one, *other;
        world_start(number);
        /* The timers of the world itself are in a heap that must not fail. */
        static struct timer timers[256];
        for (size_t i = 0; i < 256; i++) {
            timers[i] = (struct timer){.fire = never, .heap_index = TIMER_IDLE};
            scheduler_timer_start(&world.base, &timers[i], 1000);
        }
        for (size_t i = 0; i < 256; i++)
            scheduler_timer_stop(&world.base, &timers[i]);
        pair_open(&one, &other);
        transport_on_message(other->transports[0], 1, on_message, NULL);
        transport_on_request(other->transports[0], 1, serve, NULL);
        received = 0;
        allocation_faults_arm(number);
        run_ms(1500);
        work(one, other);
        goes_on = allocation_faults_disarm();
        injected += goes_on;
        run_ms(10000);
        assert_true(is_connected(one, 0, other) && is_connected(other, 0, one));
        work(one, other);
        assert_true(received >= 1);
        world_end();
    }
    assert_true(injected > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
