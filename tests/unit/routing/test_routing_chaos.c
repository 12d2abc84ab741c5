/*
 * Connections break, nodes are cut off and links stall while every node writes to every shard, each
 * write built anew until it is stored. In the end all of it is on all replicas, once.
 */
#include "routing_cluster.h"

enum { ROUNDS = 150, WRITERS = MEMBERS * CLUSTER_SHARDS };

/* One of a node, for a shard: a series set of its own, one write at a time. */
struct writer {
    struct member *member;
    uint32_t shard;
    unsigned number;
    struct written *written; /* NULL: none is under way */
    int64_t time_ms;
    unsigned stored;
    unsigned failed;
};

static struct writer writers[WRITERS];
static struct random_generator chance;

static uint32_t pick(uint32_t bound)
{
    return random_below(&chance.base, bound);
}

static void begin(struct writer *writer)
{
    writer->written = written_build_of(writer->number, NULL, writer->time_ms);
    written_send(writer->member, writer->shard, writer->written);
}

/* What failed is sent again, what is stored followed by the next if there is to be one. */
static void look(struct writer *writer, bool goes_on)
{
    if (writer->written != NULL && writer->written->done == 0)
        return;
    if (writer->written != NULL) {
        assert_int_equal(writer->written->done, 1);
        bool stored = writer->written->write.error.code == ERROR_NONE;
        const struct shard_write *write = &writer->written->write.write;
        assert_true(!stored || write->floats_written == WRITE_SERIES);
        assert_true(stored || writer->written->write.error.code == ERROR_UNAVAILABLE);
        written_free(writer->written);
        writer->written = NULL;
        writer->stored += stored;
        writer->failed += !stored;
        writer->time_ms += stored;
        if (stored && !goes_on)
            return;
    } else if (!goes_on)
        return;
    begin(writer);
}

static void disturb(void)
{
    struct member *member = &members[pick(MEMBERS)];
    size_t other = members[pick(MEMBERS)].node->host;
    switch (pick(8)) {
    case 0:
    case 1:
        if (other != member->node->host)
            simulated_network_cut(&wires, member->node->host, other);
        break;
    case 2:
        isolate(member, true);
        break;
    case 3:
        if (other != member->node->host)
            simulated_network_stall(&wires, member->node->host, other, true);
        break;
    default:
        for (size_t i = 0; i < MEMBERS; i++)
            isolate(&members[i], false);
    }
}

static bool are_idle(void)
{
    bool idle = true;
    for (size_t i = 0; i < WRITERS; i++)
        idle &= writers[i].written == NULL;
    return idle;
}

static void finish(void)
{
    for (size_t i = 0; i < MEMBERS; i++)
        isolate(&members[i], false);
    for (unsigned round = 0; !are_idle(); round++) {
        assert_true(round < 2000);
        run_ms(50);
        for (size_t i = 0; i < WRITERS; i++)
            look(&writers[i], false);
    }
    run_ms(10000);
}

static void check(unsigned *failed)
{
    unsigned stored[CLUSTER_SHARDS] = {0};
    for (size_t i = 0; i < WRITERS; i++) {
        stored[writers[i].shard] += writers[i].stored;
        *failed += writers[i].failed;
    }
    for (uint32_t shard = 0; shard < CLUSTER_SHARDS; shard++)
        for (size_t i = 0; i < MEMBERS; i++)
            if (members[i].replicas[shard] != NULL) {
                assert_int_equal(samples_of(&members[i], shard), stored[shard] * WRITE_SERIES);
                assert_int_equal(shard_series_count(replica_shard(members[i].replicas[shard])),
                                 MEMBERS * WRITE_SERIES);
            }
}

static void all_that_is_written_is_there_once(void **state)
{
    (void)state;
    unsigned failed = 0;
    uint64_t redirected = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        for (size_t i = 0; i < MEMBERS; i++)
            members[i].options.timeout_ms = 1000;
        cluster_open(seed);
        random_generator_init(&chance, seed);
        for (unsigned i = 0; i < WRITERS; i++) {
            writers[i] = (struct writer){.member = &members[i % MEMBERS],
                                         .shard = i / MEMBERS,
                                         .number = i,
                                         .time_ms = wall_ms()};
            begin(&writers[i]);
        }
        for (unsigned round = 0; round < ROUNDS; round++) {
            run_ms(20 + pick(400));
            for (size_t i = 0; i < WRITERS; i++)
                look(&writers[i], true);
            if (pick(3) == 0)
                disturb();
        }
        finish();
        check(&failed);
        for (size_t i = 0; i < MEMBERS; i++)
            redirected += statistics_of_member(&members[i]).redirected;
        cluster_close();
    }
    assert_true(failed > 1000 && redirected > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_written_is_there_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
