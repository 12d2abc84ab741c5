/* Files from node to node over a simulated network. Files of metadata are of any bytes here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "block/page_cache.h"
#include "shard/entry.h"
#include "simulated_environment.h"
#include "simulated_network.h"
#include "transfer/transfer.h"
#include "transfer_format.h"
#include "transport/transport.h"

enum { NODES = 3, GROUP = 7, FILE_INDEX = 42, RANGE_BYTES = 1000 };

struct node {
    size_t number;
    struct simulated_disk disk;
    struct random_generator random;
    struct environment environment;
    struct transport *transport;
    struct transfer *transfer;
    struct transfer_budget budget;
    struct page_cache *cache;
    struct shard *shard;
    bool closed;
};

struct world {
    struct simulated_environment *base;
    struct simulated_network network;
    struct node nodes[NODES];
};

/* --- Nodes ----------------------------------------------------------------------------------- */

static bool shard_asks(void *context, const uint8_t *entry, size_t size_bytes)
{
    (void)context;
    (void)entry;
    (void)size_bytes;
    return false;
}

static void shard_is_durable(void *context, uint64_t frozen_index)
{
    (void)context;
    (void)frozen_index;
}

static void on_closed(void *context)
{
    ((struct node *)context)->closed = true;
}

static void await_closed(struct world *world, struct node *node)
{
    assert_true(simulated_scheduler_run_until(&world->base->scheduler, &node->closed, 1000000));
    node->closed = false;
}

static void open_transfer(struct world *world, struct node *node, uint64_t incarnation)
{
    struct error error;
    char name[16], address[32];
    snprintf(name, sizeof name, "node-%zu", node->number + 1);
    const struct transport_options options = {
        .environment = &node->environment,
        .name = name,
        .listen_address = "x:1",
        .lane_count = 1,
        .incarnation = incarnation,
        .identity = {.cluster_id = {1}, .node_id = node->number + 1},
        .bulk_idle_ms = 1000,
    };
    assert_int_equal(transport_open(&options, &node->transport, &error), ERROR_NONE);
    const struct transfer_options transfer = {
        .environment = &node->environment,
        .transport = node->transport,
        .budget = &node->budget,
        .range_bytes = RANGE_BYTES,
        .timeout_ms = 2000,
    };
    assert_int_equal(transfer_create(&transfer, &node->transfer, &error), ERROR_NONE);
    for (size_t i = 0; i < NODES; i++) {
        struct transport_peer *peer;
        if (i == node->number)
            continue;
        snprintf(name, sizeof name, "node-%zu", i + 1);
        snprintf(address, sizeof address, "%s:1", name);
        assert_int_equal(transport_add_peer(node->transport, name, address, &peer, &error),
                         ERROR_NONE);
    }
    assert_int_equal(transfer_add_shard(node->transfer, GROUP, node->shard, &error), ERROR_NONE);
    (void)world;
}

static void close_transfer(struct world *world, struct node *node)
{
    transfer_remove_shard(node->transfer, GROUP);
    transport_close(node->transport, 0, on_closed, node);
    await_closed(world, node);
    transfer_close(node->transfer, on_closed, node);
    await_closed(world, node);
}

static void open_node(struct world *world, size_t number)
{
    struct node *node = &world->nodes[number];
    struct error error;
    char name[16];
    node->number = number;
    snprintf(name, sizeof name, "node-%zu", number + 1);
    (void)simulated_network_add(&world->network, name, 1);
    simulated_disk_init(&node->disk, &world->base->scheduler, number + 10);
    random_generator_init(&node->random, number + 20);
    node->environment = world->base->base;
    node->environment.disk = &node->disk.base;
    node->environment.random = &node->random.base;
    node->environment.network = simulated_network_lane(&world->network, number, 0);
    assert_int_equal(page_cache_create(1 << 20, &node->cache, &error), ERROR_NONE);
    const struct shard_options options = {
        .environment = &node->environment,
        .cache = node->cache,
        .directory = "shard",
        .hash_seed = 1,
        .proposer = {.propose = shard_asks, .durable = shard_is_durable},
    };
    assert_int_equal(shard_create(&options, &node->shard, &error), ERROR_NONE);
    assert_int_equal(disk_make_directory(&node->disk.base, "shard/incoming", &error), ERROR_NONE);
    open_transfer(world, node, 1);
}

static int world_open(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    log_set_level(LOG_NOTHING);
    world->base = simulated_environment_create(5);
    simulated_network_init(&world->network, &world->base->scheduler, 6);
    for (size_t i = 0; i < NODES; i++)
        open_node(world, i);
    simulated_scheduler_run_for(&world->base->scheduler, UINT64_C(2000000000));
    *state = world;
    return 0;
}

static int world_close(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < NODES; i++) {
        struct node *node = &world->nodes[i];
        close_transfer(world, node);
        shard_close(node->shard, on_closed, node);
        await_closed(world, node);
        page_cache_destroy(node->cache);
    }
    while (simulated_scheduler_step(&world->base->scheduler))
        ;
    for (size_t i = 0; i < NODES; i++)
        simulated_disk_clear(&world->nodes[i].disk);
    simulated_network_clear(&world->network);
    simulated_environment_destroy(world->base);
    free(world);
    return 0;
}

/* --- Files ----------------------------------------------------------------------------------- */

static uint8_t byte_at(size_t i, unsigned version)
{
    return (uint8_t)(i * 7 + i / 251 + version);
}

static void put_file(struct node *node, size_t size, unsigned version)
{
    struct error error;
    struct file *file;
    uint8_t *bytes = malloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(i, version);
    char path[64];
    snprintf(path, sizeof path, "shard/metadata/%016llx-0.metadata",
             (unsigned long long)FILE_INDEX);
    assert_int_equal(disk_open(&node->disk.base, path, DISK_OPEN_REPLACE, &file, &error),
                     ERROR_NONE);
    assert_int_equal(disk_write_at(&node->disk.base, file, 0, bytes, size, &error), ERROR_NONE);
    disk_close(&node->disk.base, file);
    free(bytes);
}

static void assert_file(struct node *node, const char *path, size_t size, unsigned version)
{
    struct error error;
    struct file *file;
    uint64_t found;
    uint8_t *bytes = malloc(size);
    assert_int_equal(disk_open(&node->disk.base, path, DISK_OPEN_READ, &file, &error), ERROR_NONE);
    assert_int_equal(disk_size(&node->disk.base, file, &found, &error), ERROR_NONE);
    assert_int_equal(found, size);
    assert_int_equal(disk_read_at(&node->disk.base, file, 0, bytes, size, &error), ERROR_NONE);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(bytes[i], byte_at(i, version));
    disk_close(&node->disk.base, file);
    free(bytes);
}

/* --- Fetches --------------------------------------------------------------------------------- */

struct asked {
    struct file_fetch fetch; /* first */
    bool done;
    struct error error;
    uint64_t progress;
};

static void on_progress(struct file_fetch *fetch, uint64_t size_bytes)
{
    ((struct asked *)fetch)->progress += size_bytes;
}

static void on_done(struct file_fetch *fetch, const struct error *error)
{
    struct asked *asked = (struct asked *)fetch;
    assert_false(asked->done);
    asked->done = true;
    asked->error = *error;
}

/* Node 1 wants it of the others, in this order. */
static void ask_for(struct world *world, struct asked *asked, struct shard_file file,
                    uint64_t first, uint64_t second)
{
    struct file_fetcher *fetcher = transfer_fetcher(world->nodes[0].transfer);
    *asked = (struct asked){
        .fetch =
            {
                .group_id = GROUP,
                .file = file,
                .nodes = {first, second},
                .node_count = second == 0 ? 1 : 2,
                .directory = "shard/incoming",
                .progress = on_progress,
                .done = on_done,
            },
    };
    fetcher->operations->fetch(fetcher, &asked->fetch);
    assert_false(asked->done);
}

static void ask(struct world *world, struct asked *asked, uint64_t first, uint64_t second)
{
    struct shard_file file = {.kind = SHARD_FILE_METADATA, .index = FILE_INDEX};
    ask_for(world, asked, file, first, second);
}

static enum error_code await(struct world *world, struct asked *asked)
{
    assert_true(simulated_scheduler_run_until(&world->base->scheduler, &asked->done, 1000000));
    return asked->error.code;
}

static void await_bytes(struct world *world, struct asked *asked, uint64_t bytes)
{
    for (size_t i = 0; asked->progress < bytes; i++) {
        assert_true(i < 1000000 && !asked->done);
        assert_true(simulated_scheduler_step(&world->base->scheduler));
    }
}

static struct transfer_statistics statistics_of(struct node *node)
{
    struct transfer_statistics statistics;
    transfer_read_statistics(node->transfer, &statistics);
    return statistics;
}

/* --- Tests ----------------------------------------------------------------------------------- */

static void a_file_of_many_ranges_arrives_whole(void **state)
{
    struct world *world = *state;
    struct asked asked;
    put_file(&world->nodes[1], 10500, 0);
    ask(world, &asked, 2, 3);
    assert_int_equal(await(world, &asked), ERROR_NONE);
    assert_file(&world->nodes[0], asked.fetch.path, 10500, 0);
    assert_int_equal(asked.progress, 10500);
    assert_int_equal(statistics_of(&world->nodes[1]).ranges_served, 11);
    assert_int_equal(statistics_of(&world->nodes[0]).bytes_fetched, 10500);
    assert_int_equal(statistics_of(&world->nodes[0]).fetches_active, 0);
}

/* Of a shard that has frozen something, behind the index that is asked for. */
static void a_state_comes_as_if_it_were_a_file(void **state)
{
    enum { FREEZE_INDEX = 5 };
    struct world *world = *state;
    struct node *node = &world->nodes[1];
    struct shard_file file = {.kind = SHARD_FILE_STATE, .index = FREEZE_INDEX - 1};
    struct byte_buffer entry = {0}, manifest = {0};
    struct asked asked;
    struct error error;
    ask_for(world, &asked, file, 2, 0);
    assert_int_equal(await(world, &asked), ERROR_UNAVAILABLE);
    entry_encode_header(&entry, ENTRY_FREEZE, 1000);
    assert_int_equal(shard_apply(node->shard, FREEZE_INDEX, entry.bytes, entry.size, &error),
                     ERROR_NONE);
    byte_buffer_clear(&entry);
    simulated_scheduler_run_for(&world->base->scheduler, 1000000000);
    ask_for(world, &asked, file, 2, 0);
    assert_int_equal(await(world, &asked), ERROR_NONE);

    uint64_t index, size;
    struct disk *disk = &world->nodes[0].disk.base;
    struct file *arrived;
    assert_int_equal(shard_snapshot(node->shard, &manifest, &index, &error), ERROR_NONE);
    assert_int_equal(index, FREEZE_INDEX);
    assert_int_equal(disk_open(disk, asked.fetch.path, DISK_OPEN_READ, &arrived, &error),
                     ERROR_NONE);
    assert_int_equal(disk_size(disk, arrived, &size, &error), ERROR_NONE);
    assert_int_equal(size, manifest.size);
    uint8_t *bytes = malloc(size);
    assert_int_equal(disk_read_at(disk, arrived, 0, bytes, size, &error), ERROR_NONE);
    assert_memory_equal(bytes, manifest.bytes, size);
    disk_close(disk, arrived);
    byte_buffer_clear(&manifest);
    free(bytes);
    file.index = FREEZE_INDEX;
    ask_for(world, &asked, file, 2, 0);
    assert_int_equal(await(world, &asked), ERROR_UNAVAILABLE);
}

/* What is told to be here stays here, whatever happens then. */
static void an_arrived_file_survives_a_power_failure(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    struct asked asked;
    put_file(&world->nodes[1], 5000, 0);
    ask(world, &asked, 2, 0);
    assert_int_equal(await(world, &asked), ERROR_NONE);
    simulated_scheduler_run_for(&world->base->scheduler, 1000000);
    simulated_disk_crash(&node->disk, SIMULATED_POWER_FAILURE);
    simulated_disk_restart(&node->disk);
    assert_file(node, asked.fetch.path, 5000, 0);
}

static void a_broken_connection_costs_no_range_twice(void **state)
{
    struct world *world = *state;
    struct asked asked;
    put_file(&world->nodes[1], 30000, 0);
    ask(world, &asked, 2, 0);
    for (uint64_t bytes = 5000; bytes <= 25000; bytes += 10000) {
        await_bytes(world, &asked, bytes);
        simulated_network_cut(&world->network, 0, 1);
    }
    assert_int_equal(await(world, &asked), ERROR_NONE);
    assert_file(&world->nodes[0], asked.fetch.path, 30000, 0);
    assert_int_equal(statistics_of(&world->nodes[0]).bytes_fetched, 30000);
    assert_true(statistics_of(&world->nodes[0]).ranges_failed > 0);
}

static void another_life_goes_on_where_the_last_one_ended(void **state)
{
    struct world *world = *state;
    struct node *node = &world->nodes[0];
    struct file_fetcher *fetcher = transfer_fetcher(node->transfer);
    struct asked asked;
    put_file(&world->nodes[1], 20000, 0);
    ask(world, &asked, 2, 0);
    await_bytes(world, &asked, 8000);
    fetcher->operations->cancel(fetcher, &asked.fetch);
    assert_false(asked.done);
    assert_int_equal(await(world, &asked), ERROR_CANCELED);
    uint64_t before = statistics_of(node).bytes_fetched;
    close_transfer(world, node);
    open_transfer(world, node, 2);
    simulated_scheduler_run_for(&world->base->scheduler, UINT64_C(2000000000));
    ask(world, &asked, 2, 0);
    assert_int_equal(await(world, &asked), ERROR_NONE);
    assert_file(node, asked.fetch.path, 20000, 0);
    assert_int_equal(asked.progress, 20000);
    assert_int_equal(statistics_of(node).files_resumed, 1);
    assert_int_equal(statistics_of(node).bytes_fetched, 20000 - before);
}

static void who_has_it_is_found(void **state)
{
    struct world *world = *state;
    struct asked asked;
    put_file(&world->nodes[2], 3000, 0);
    ask(world, &asked, 2, 3);
    assert_int_equal(await(world, &asked), ERROR_NONE);
    assert_file(&world->nodes[0], asked.fetch.path, 3000, 0);
}

/* Half of one file and half of another are no file. */
static void a_file_that_differs_is_begun_anew(void **state)
{
    struct world *world = *state;
    struct asked asked;
    put_file(&world->nodes[1], 20000, 0);
    put_file(&world->nodes[2], 20000, 1);
    ask(world, &asked, 2, 3);
    await_bytes(world, &asked, 8000);
    put_file(&world->nodes[1], 20000, 2); /* no longer the one that it began with */
    assert_int_equal(await(world, &asked), ERROR_NONE);
    unsigned version = statistics_of(&world->nodes[2]).ranges_served > 0 ? 1 : 2;
    assert_file(&world->nodes[0], asked.fetch.path, 20000, version);
}

static void what_nobody_has_is_not_found(void **state)
{
    struct world *world = *state;
    struct asked asked;
    ask(world, &asked, 2, 3);
    assert_int_equal(await(world, &asked), ERROR_NOT_FOUND);
    put_file(&world->nodes[1], 100, 0);
    ask(world, &asked, 9, 0); /* nobody knows that node */
    assert_int_equal(await(world, &asked), ERROR_UNAVAILABLE);
}

static void no_more_comes_than_the_budget_allows(void **state)
{
    struct world *world = *state;
    struct asked asked;
    put_file(&world->nodes[1], 10000, 0);
    world->nodes[0].budget.bytes_per_second = 2000;
    uint64_t start_ms = clock_monotonic_ms(world->base->base.clock);
    ask(world, &asked, 2, 0);
    assert_int_equal(await(world, &asked), ERROR_NONE);
    uint64_t taken_ms = clock_monotonic_ms(world->base->base.clock) - start_ms;
    assert_in_range(taken_ms, 4000, 6000); /* the first range comes at once */
}

static void fetches_beyond_the_limit_wait_for_their_turn(void **state)
{
    struct world *world = *state;
    struct file_fetcher *fetcher = transfer_fetcher(world->nodes[0].transfer);
    struct asked asked[4];
    put_file(&world->nodes[1], 5000, 0);
    for (size_t i = 0; i < 4; i++) {
        ask(world, &asked[i], 2, 0);
        if (i > 0)
            asked[i].fetch.file.index = FILE_INDEX + i; /* not there */
    }
    assert_int_equal(statistics_of(&world->nodes[0]).fetches_active, 2);
    assert_int_equal(statistics_of(&world->nodes[0]).fetches_waiting, 2);
    fetcher->operations->cancel(fetcher, &asked[3].fetch); /* while it waits */
    assert_int_equal(await(world, &asked[3]), ERROR_CANCELED);
    assert_int_equal(await(world, &asked[0]), ERROR_NONE);
    assert_int_equal(await(world, &asked[1]), ERROR_NOT_FOUND);
    assert_int_equal(await(world, &asked[2]), ERROR_NOT_FOUND);
    assert_int_equal(statistics_of(&world->nodes[0]).fetches_waiting, 0);
}

struct garbage {
    struct transport_request request;
    bool done;
    enum error_code code;
};

static void garbage_piece(struct transport_request *request, const uint8_t *bytes, size_t size)
{
    (void)bytes;
    transport_consume(request, size);
}

static void garbage_done(struct transport_request *request, const struct error *error)
{
    struct garbage *garbage = (struct garbage *)request;
    garbage->done = true;
    garbage->code = error->code;
}

static void garbage_is_refused(void **state)
{
    struct world *world = *state;
    uint8_t bytes[RANGE_REQUEST_BYTES] = {TRANSFER_VERSION};
    struct shared_bytes *body = shared_bytes_copy(bytes, sizeof bytes);
    struct garbage garbage = {
        .request =
            {
                .kind = TRANSFER_REQUEST_KIND,
                .class = TRANSPORT_FILE,
                .body = body,
                .timeout_ms = 5000,
                .piece = garbage_piece,
                .done = garbage_done,
            },
    };
    transport_ask(transport_find_node(world->nodes[0].transport, 2), &garbage.request);
    assert_true(simulated_scheduler_run_until(&world->base->scheduler, &garbage.done, 1000000));
    assert_int_equal(garbage.code, ERROR_CORRUPT);
    assert_int_equal(statistics_of(&world->nodes[1]).ranges_refused, 1);
    shared_bytes_unref(body);
}

static void the_budget_is_shared(void **state)
{
    struct transfer_budget budget = {.bytes_per_second = 1000};
    (void)state;
    assert_int_equal(transfer_budget_take(&budget, 500, 0), 0);
    assert_int_equal(transfer_budget_take(&budget, 500, 0), 500);
    assert_int_equal(transfer_budget_take(&budget, 1000, 1000000000), 0);
    assert_int_equal(transfer_budget_take(&budget, 1, 1500000000), 500);
    assert_int_equal(transfer_budget_take(&budget, 1, UINT64_C(9000000000)), 0);
    assert_int_equal(transfer_budget_take(NULL, 1 << 30, 0), 0);
}

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_file_of_many_ranges_arrives_whole),
        WORLD_TEST(a_state_comes_as_if_it_were_a_file),
        WORLD_TEST(an_arrived_file_survives_a_power_failure),
        WORLD_TEST(a_broken_connection_costs_no_range_twice),
        WORLD_TEST(another_life_goes_on_where_the_last_one_ended),
        WORLD_TEST(who_has_it_is_found),
        WORLD_TEST(a_file_that_differs_is_begun_anew),
        WORLD_TEST(what_nobody_has_is_not_found),
        WORLD_TEST(no_more_comes_than_the_budget_allows),
        WORLD_TEST(fetches_beyond_the_limit_wait_for_their_turn),
        WORLD_TEST(garbage_is_refused),
        cmocka_unit_test(the_budget_is_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
