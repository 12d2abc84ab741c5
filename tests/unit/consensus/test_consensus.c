/* What a replica does, call by call; that a cluster of them is safe is the simulation's to show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "replicas.c" /* only one file of a unit test is compiled */

static size_t led(struct replicas *replicas)
{
    for (int i = 0; i < 100 && replicas_leader(replicas) == SIZE_MAX; i++)
        replicas_run(replicas, HEARTBEAT_MS);
    size_t leader = replicas_leader(replicas);
    assert_int_not_equal(leader, SIZE_MAX);
    replicas_run(replicas, 2 * HEARTBEAT_MS);
    return leader;
}

/* --- Elections ----------------------------------------------------------------------------- */

static void a_single_voter_leads_at_once_in_a_new_term(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(1, 0);
    assert_int_equal(replicas_leader(replicas), 0);
    assert_int_equal(replicas_status(replicas, 0).term, 2);
    assert_int_equal(replicas_status(replicas, 0).commit_index, 1);
    replicas_deliver(replicas); /* its barrier is on the disk */
    assert_int_equal(replicas_status(replicas, 0).commit_index, 2);
    replicas_destroy(replicas);
}

static void one_of_three_is_elected_and_stays(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t leader = led(replicas);
    uint64_t term = replicas_status(replicas, leader).term;
    replicas_run(replicas, 20 * ELECTION_MS);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(replicas_status(replicas, i).term, term);
        assert_int_equal(replicas_status(replicas, i).leader_id, leader + 1);
    }
    replicas_destroy(replicas);
}

static void a_leader_alone_steps_down_and_comes_back_without_disturbing(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t former = led(replicas);
    replicas_isolate(replicas, former, true);
    replicas_run(replicas, 5 * ELECTION_MS);
    assert_int_not_equal(replicas_status(replicas, former).state, CONSENSUS_LEADER);
    size_t leader = replicas_leader(replicas);
    uint64_t term = replicas_status(replicas, leader).term;
    assert_int_not_equal(leader, former);
    replicas_isolate(replicas, former, false);
    replicas_run(replicas, 5 * ELECTION_MS);
    assert_int_equal(replicas_status(replicas, leader).term, term);
    assert_int_equal(replicas_status(replicas, former).leader_id, leader + 1);
    replicas_destroy(replicas);
}

static void a_standby_gets_the_log_and_never_stands(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 2);
    assert_int_equal(replicas_leader(replicas), 0);
    uint64_t index = replicas_propose(replicas, 0, 10);
    replicas_run(replicas, HEARTBEAT_MS);
    assert_int_equal(replicas_status(replicas, 2).commit_index, index);
    replicas_isolate(replicas, 0, true);
    replicas_run(replicas, 10 * ELECTION_MS);
    assert_int_equal(replicas_status(replicas, 1).state, CONSENSUS_FOLLOWER);
    assert_int_equal(replicas_status(replicas, 2).state, CONSENSUS_FOLLOWER);
    replicas_destroy(replicas);
}

static void leadership_goes_to_whom_it_is_handed(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t leader = led(replicas), heir = (leader + 1) % 3;
    struct error error;
    struct consensus *consensus = replicas->items[leader].consensus;
    assert_int_equal(consensus_transfer(consensus, leader + 1, &error), ERROR_INVALID);
    assert_int_equal(consensus_transfer(consensus, 9, &error), ERROR_INVALID);
    assert_int_equal(consensus_transfer(consensus, heir + 1, &error), ERROR_NONE);
    assert_int_equal(consensus_transfer(consensus, heir + 1, &error), ERROR_CONFLICT);
    assert_int_equal(replicas_propose(replicas, leader, 10), 0);
    replicas_deliver(replicas); /* at once, not after an election's time */
    assert_int_equal(replicas_leader(replicas), heir);
    replicas_destroy(replicas);
}

static void a_transfer_to_who_does_not_answer_ends_by_itself(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t leader = led(replicas), heir = (leader + 1) % 3;
    struct error error;
    replicas_isolate(replicas, heir, true);
    (void)replicas_propose(replicas, leader, 10); /* which the heir lacks */
    assert_int_equal(consensus_transfer(replicas->items[leader].consensus, heir + 1, &error),
                     ERROR_NONE);
    replicas_run(replicas, 2 * ELECTION_MS);
    assert_int_equal(replicas_leader(replicas), leader);
    assert_int_not_equal(replicas_propose(replicas, leader, 10), 0);
    replicas_destroy(replicas);
}

/* --- Entries ------------------------------------------------------------------------------- */

static void an_entry_is_committed_by_two_disks_of_three(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t leader = led(replicas);
    for (size_t i = 0; i < 3; i++)
        replicas->items[i].has_slow_disk = true;
    uint64_t index = replicas_propose(replicas, leader, 10);
    replicas_deliver(replicas);
    assert_int_equal(replicas_status(replicas, leader).commit_index, index - 1);
    /* Those of the followers will do: the leader's own is only one of three. */
    replicas_finish_writes(replicas, (leader + 1) % 3);
    replicas_deliver(replicas);
    assert_int_equal(replicas_status(replicas, leader).commit_index, index - 1);
    replicas_finish_writes(replicas, (leader + 2) % 3);
    replicas_deliver(replicas);
    assert_int_equal(replicas_status(replicas, leader).commit_index, index);
    assert_int_equal(replicas_status(replicas, leader).stored_index, index - 1);
    replicas_destroy(replicas);
}

static void followers_hear_at_the_end_of_the_turn_what_is_committed(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t leader = led(replicas);
    uint64_t index = replicas_propose(replicas, leader, 10);
    replicas_deliver(replicas);
    consensus_flush(replicas->items[leader].consensus);
    replicas_deliver(replicas);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(replicas_status(replicas, i).commit_index, index);
    uint64_t sent = replicas->sent[CONSENSUS_APPEND];
    consensus_flush(replicas->items[leader].consensus);
    assert_int_equal(replicas->sent[CONSENSUS_APPEND], sent); /* once */
    replicas_destroy(replicas);
}

/* What was acknowledged may be more than a new leader knows to be committed: until it has committed
 * an entry of its own, nobody is current who has all that it tells. */
static void who_follows_a_new_leader_is_not_current_before_it_knows_what_is_committed(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t former = led(replicas);
    assert_true(replicas_status(replicas, (former + 1) % 3).told_is_new);
    uint64_t index = replicas_propose(replicas, former, 10);
    replicas_deliver(replicas);
    assert_int_equal(replicas_status(replicas, former).commit_index, index); /* acknowledged */
    replicas_isolate(replicas, former, true);
    for (size_t i = 0; i < 3; i++)
        replicas->items[i].has_slow_disk = i != former;
    replicas_run(replicas, 5 * ELECTION_MS);
    size_t leader = replicas_leader(replicas), follower = 3 - former - leader;
    assert_int_not_equal(leader, former);
    struct consensus_status status = replicas_status(replicas, follower);
    assert_int_equal(status.leader_id, leader + 1);
    assert_true(status.told_index < index);
    assert_false(status.told_is_new);
    assert_false(replicas_status(replicas, leader).told_is_new);
    for (size_t i = 0; i < 3; i++)
        replicas->items[i].has_slow_disk = false;
    replicas_run(replicas, 2 * HEARTBEAT_MS);
    status = replicas_status(replicas, follower);
    assert_true(status.told_is_new);
    assert_true(status.told_index > index);
    assert_true(replicas_status(replicas, leader).told_is_new);
    replicas_destroy(replicas);
}

static void a_peer_that_does_not_answer_costs_a_window(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t leader = led(replicas), silent = (leader + 1) % 3, other = (leader + 2) % 3;
    replicas->items[silent].has_slow_disk = true;
    uint64_t before = replicas->bytes_sent[CONSENSUS_APPEND], last = 0;
    for (int i = 0; i < 100; i++) {
        last = replicas_propose(replicas, leader, 900);
        replicas_deliver(replicas);
    }
    assert_int_equal(replicas_status(replicas, leader).commit_index, last);
    uint64_t bytes = replicas->bytes_sent[CONSENSUS_APPEND] - before;
    assert_in_range(bytes, 100 * 900, 100 * 900 + 11000);
    replicas_finish_writes(replicas, silent);
    replicas->items[silent].has_slow_disk = false;
    replicas_run(replicas, HEARTBEAT_MS);
    assert_int_equal(replicas_status(replicas, silent).commit_index, last);
    assert_int_equal(replicas_status(replicas, other).commit_index, last);
    replicas_destroy(replicas);
}

static void what_gets_lost_is_sent_again(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t leader = led(replicas), deaf = (leader + 1) % 3;
    replicas->cut[leader][deaf] = true;
    uint64_t last = 0;
    for (int i = 0; i < 5; i++)
        last = replicas_propose(replicas, leader, 10);
    replicas_deliver(replicas);
    replicas->cut[leader][deaf] = false;
    assert_true(replicas_status(replicas, deaf).last_index < last);
    consensus_peer_lost(replicas->items[leader].consensus, deaf + 1);
    replicas_run(replicas, HEARTBEAT_MS);
    assert_int_equal(replicas_status(replicas, deaf).commit_index, last);

    /* Nobody noticed: there is no progress, or the next entry does not fit. */
    replicas->cut[leader][deaf] = true;
    (void)replicas_propose(replicas, leader, 10);
    replicas_deliver(replicas);
    replicas->cut[leader][deaf] = false;
    last = replicas_propose(replicas, leader, 10);
    replicas_run(replicas, HEARTBEAT_MS);
    assert_int_equal(replicas_status(replicas, deaf).commit_index, last);
    replicas_destroy(replicas);
}

static void what_only_a_former_leader_has_is_cut_off(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t former = led(replicas);
    replicas_isolate(replicas, former, true);
    uint64_t index = replicas_propose(replicas, former, 10);
    (void)replicas_propose(replicas, former, 10);
    replicas_run(replicas, 5 * ELECTION_MS);
    size_t leader = replicas_leader(replicas);
    assert_int_not_equal(leader, former);
    for (int i = 0; i < 3; i++)
        (void)replicas_propose(replicas, leader, 20);
    replicas_isolate(replicas, former, false);
    replicas_run(replicas, 2 * ELECTION_MS);
    assert_int_equal(replicas->items[former].truncated_at, index);
    assert_int_equal(replicas_status(replicas, former).commit_index,
                     replicas_status(replicas, leader).last_index);
    assert_int_equal(consensus_entry(replicas->items[former].consensus, index + 1)->size_bytes, 20);
    replicas_destroy(replicas);
}

/* --- Snapshots ----------------------------------------------------------------------------- */

static void a_peer_gets_a_snapshot_for_what_is_not_in_memory(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t leader = led(replicas), behind = (leader + 1) % 3;
    struct consensus *consensus = replicas->items[leader].consensus;
    replicas_isolate(replicas, behind, true);
    for (int i = 0; i < 20; i++)
        (void)replicas_propose(replicas, leader, 10);
    replicas_run(replicas, HEARTBEAT_MS);
    struct consensus_status status = replicas_status(replicas, leader);
    consensus_compact(consensus, status.commit_index);
    consensus_forget(consensus, status.commit_index);
    assert_int_equal(replicas_status(replicas, leader).base_index, status.commit_index);
    assert_int_equal(replicas_status(replicas, leader).log_bytes, 0);
    replicas_isolate(replicas, behind, false);
    replicas_run(replicas, 3 * ELECTION_MS);
    assert_int_equal(replicas->items[leader].asked_for, behind + 1);

    uint64_t membership_index;
    const struct membership *membership =
        consensus_membership_at(consensus, status.commit_index, &membership_index);
    struct consensus_install install = {
        .index = status.commit_index,
        .term = consensus_term_at(consensus, status.commit_index),
        .membership_index = membership_index,
        .membership = membership,
        .bytes = (const uint8_t *)"state",
        .size_bytes = 5,
    };
    consensus_send_snapshot(consensus, behind + 1, &install);
    uint64_t last = replicas_propose(replicas, leader, 10);
    replicas_run(replicas, 2 * HEARTBEAT_MS);
    assert_int_equal(replicas->items[behind].offered, status.commit_index);
    assert_int_equal(replicas_status(replicas, behind).base_index, status.commit_index);
    assert_int_equal(replicas_status(replicas, behind).commit_index, last);
    assert_int_equal(replicas_status(replicas, behind).stored_index, last);
    replicas_destroy(replicas);
}

static void a_peer_gets_from_the_disk_what_is_not_in_memory(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t leader = led(replicas), behind = (leader + 1) % 3;
    struct consensus *consensus = replicas->items[leader].consensus;
    replicas_isolate(replicas, behind, true);
    uint64_t first = replicas_propose(replicas, leader, 10);
    uint64_t term = replicas_status(replicas, leader).term;
    for (int i = 0; i < 20; i++)
        (void)replicas_propose(replicas, leader, 10);
    replicas_run(replicas, HEARTBEAT_MS);
    uint64_t base = replicas_status(replicas, leader).commit_index - 5;
    consensus_compact(consensus, base);
    replicas_isolate(replicas, behind, false);
    replicas_run(replicas, 3 * ELECTION_MS);
    assert_int_equal(replicas->items[leader].asked_for, 0);
    assert_int_equal(replicas->items[leader].reads_for, behind + 1);
    assert_int_equal(replicas->items[leader].read_first, first);
    assert_int_equal(replicas->items[leader].read_end, base + 1);

    /* The disk gives as many at once as it likes. */
    static const uint8_t BYTES[10] = "yyyyyyyyyy";
    struct consensus_entry entries[8];
    for (size_t i = 0; i < 8; i++)
        entries[i] = (struct consensus_entry){
            .term = term, .kind = CONSENSUS_COMMAND, .size_bytes = 10, .bytes = BYTES};
    for (uint64_t index = first; index <= base; index += 8) {
        size_t count = base + 1 - index < 8 ? (size_t)(base + 1 - index) : 8;
        assert_int_equal(replicas->items[leader].read_first, index);
        consensus_send_stored(consensus, behind + 1, index, entries, count);
        replicas_deliver(replicas);
    }
    replicas_run(replicas, HEARTBEAT_MS);
    assert_int_equal(replicas_status(replicas, behind).commit_index,
                     replicas_status(replicas, leader).commit_index);

    /* What is gone from the disk comes as a snapshot. */
    replicas_isolate(replicas, behind, true);
    for (int i = 0; i < 10; i++)
        (void)replicas_propose(replicas, leader, 10);
    replicas_run(replicas, HEARTBEAT_MS);
    consensus_compact(consensus, replicas_status(replicas, leader).commit_index);
    replicas_isolate(replicas, behind, false);
    replicas_run(replicas, 3 * ELECTION_MS);
    consensus_send_stored(consensus, behind + 1, replicas->items[leader].read_first, NULL, 0);
    assert_int_equal(replicas->items[leader].asked_for, behind + 1);
    replicas_destroy(replicas);
}

/* --- Members and reads --------------------------------------------------------------------- */

static void a_change_counts_from_the_moment_it_is_in_the_log(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t leader = led(replicas), gone = (leader + 1) % 3;
    struct consensus *consensus = replicas->items[leader].consensus;
    struct membership membership = *consensus_membership(consensus);
    struct error error;
    uint64_t index;
    assert_true(membership_remove(&membership, gone + 1));
    assert_int_equal(consensus_change(consensus, &membership, &index, &error), ERROR_NONE);
    assert_int_equal(consensus_membership(consensus)->count, 2);
    assert_int_equal(consensus_change(consensus, &membership, &index, &error), ERROR_CONFLICT);
    replicas_run(replicas, HEARTBEAT_MS);
    assert_int_equal(replicas_status(replicas, leader).commit_index, index);
    /* Both are needed now. */
    replicas_isolate(replicas, 3 - leader - gone, true);
    uint64_t next = replicas_propose(replicas, leader, 10);
    replicas_run(replicas, HEARTBEAT_MS);
    assert_int_equal(replicas_status(replicas, leader).commit_index, next - 1);
    replicas_destroy(replicas);
}

/* One replica missed what the two others committed; one of these loses its log and is asked for its
 * vote. The number of the one that then leads; SIZE_MAX: none. */
static size_t elected_by_one_without_log(bool keeps_promise)
{
    struct replicas *replicas = replicas_create(3, 0);
    replicas_run(replicas, 5000);
    size_t leader = replicas_leader(replicas);
    size_t behind = (leader + 1) % 3, forgetful = (leader + 2) % 3;
    replicas_isolate(replicas, behind, true);
    assert_int_not_equal(replicas_propose(replicas, leader, 10), 0);
    replicas_run(replicas, 1000);
    struct consensus_promise promise = consensus_promise(replicas->items[forgetful].consensus);
    assert_int_equal(promise.last_index, replicas_status(replicas, leader).last_index);
    if (!keeps_promise)
        promise = (struct consensus_promise){0};
    replicas_make_anew(replicas, forgetful, &promise);
    replicas_isolate(replicas, behind, false);
    replicas_isolate(replicas, leader, true);
    replicas_run(replicas, 20000);
    size_t elected = replicas_leader(replicas);
    elected = elected == leader || elected == SIZE_MAX ? SIZE_MAX : elected;
    assert_true(elected == SIZE_MAX || elected == behind);
    /* With the third one there is a log that has everything. */
    replicas_isolate(replicas, leader, false);
    replicas_run(replicas, 20000);
    assert_int_not_equal(replicas_leader(replicas), SIZE_MAX);
    replicas_destroy(replicas);
    return elected;
}

static void who_was_deleted_votes_as_if_it_had_its_log(void **state)
{
    (void)state;
    assert_int_not_equal(elected_by_one_without_log(false), SIZE_MAX);
    assert_int_equal(elected_by_one_without_log(true), SIZE_MAX);
}

static void a_read_is_confirmed_by_a_round_that_a_majority_answered(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t leader = led(replicas);
    struct consensus *consensus = replicas->items[leader].consensus;
    struct error error;
    uint64_t round, index;
    assert_int_equal(consensus_read_begin(consensus, &round, &index, &error), ERROR_NONE);
    assert_int_equal(index, replicas_status(replicas, leader).commit_index);
    assert_true(consensus_read_round(consensus) < round);
    replicas_deliver(replicas);
    assert_int_equal(consensus_read_round(consensus), round);

    replicas_isolate(replicas, leader, true);
    assert_int_equal(consensus_read_begin(consensus, &round, &index, &error), ERROR_NONE);
    replicas_run(replicas, HEARTBEAT_MS);
    assert_true(consensus_read_round(consensus) < round);
    assert_int_equal(
        consensus_read_begin(replicas->items[(leader + 1) % 3].consensus, &round, &index, &error),
        ERROR_UNAVAILABLE);
    replicas_destroy(replicas);
}

/* --- The past ------------------------------------------------------------------------------ */

static void note_nothing(struct consensus_world *self, uint64_t term, uint64_t vote)
{
    (void)self;
    (void)term;
    (void)vote;
}

/* After a start behind a snapshot at 100: entries from 51 on are on the disk. */
static void what_the_disk_has_before_the_base_is_known_once_it_was_seen(void **state)
{
    (void)state;
    static const struct consensus_world_operations NOTHING = {.store_metadata = note_nothing};
    static struct consensus_world world = {.operations = &NOTHING};
    struct random_generator random;
    random_generator_init(&random, 1);
    struct membership members = {.count = 2, .members = {{.node_id = 1}, {.node_id = 2}}};
    const struct consensus_options options = {
        .node_id = 1,
        .world = &world,
        .random = &random.base,
        .heartbeat_ms = HEARTBEAT_MS,
        .election_ms = ELECTION_MS,
    };
    const struct consensus_stored stored = {
        .term = 7,
        .snapshot_index = 100,
        .snapshot_term = 6,
        .membership_index = 80,
        .membership = &members,
    };
    struct consensus *consensus;
    struct error error;
    assert_int_equal(consensus_create(&options, &stored, &consensus, &error), ERROR_NONE);
    assert_int_equal(consensus_term_at(consensus, 100), 6);
    assert_int_equal(consensus_term_at(consensus, 99), 0);

    const struct consensus_term terms[] = {{50, 3}, {60, 6}};
    struct consensus_members *before = calloc(2, sizeof *before);
    before[0] = (struct consensus_members){.index = 10, .membership = {.count = 1}};
    before[1] = (struct consensus_members){.index = 80, .membership = members};
    const struct consensus_past past = {
        .index = 50,
        .terms = terms,
        .term_count = 2,
        .memberships = before,
        .membership_count = 2,
    };
    uint64_t index;
    consensus_recall(consensus, &past);
    free(before);
    assert_int_equal(consensus_term_at(consensus, 49), 0);
    assert_int_equal(consensus_term_at(consensus, 50), 3);
    assert_int_equal(consensus_term_at(consensus, 59), 3);
    assert_int_equal(consensus_term_at(consensus, 99), 6);
    assert_int_equal(consensus_membership_at(consensus, 50, &index)->count, 1);
    assert_int_equal(index, 10);
    assert_int_equal(consensus_membership_at(consensus, 85, &index)->count, 2);
    assert_int_equal(index, 80);

    consensus_forget(consensus, 70); /* a later freeze */
    assert_int_equal(consensus_term_at(consensus, 69), 0);
    assert_int_equal(consensus_term_at(consensus, 70), 6);
    assert_int_equal(consensus_membership_at(consensus, 75, &index)->count, 1);
    consensus_forget(consensus, 90);
    assert_int_equal(consensus_membership_at(consensus, 95, &index)->count, 2);
    consensus_destroy(consensus);
}

/* --- Members by force ---------------------------------------------------------------------- */

/* The last of three alone, which lacks `lost` entries that the others have committed. */
static struct replicas *bereaved(uint64_t lost)
{
    struct replicas *replicas = replicas_create(3, 0);
    (void)led(replicas);
    while (replicas_leader(replicas) == 2) {
        struct error error;
        (void)consensus_transfer(replicas->items[2].consensus, 1, &error);
        replicas_run(replicas, ELECTION_MS);
    }
    (void)replicas_propose(replicas, replicas_leader(replicas), 10);
    replicas_run(replicas, 5 * HEARTBEAT_MS);
    replicas_isolate(replicas, 2, true);
    for (uint64_t i = 0; i < lost; i++)
        (void)replicas_propose(replicas, replicas_leader(replicas), 10);
    replicas_run(replicas, 3 * ELECTION_MS);
    return replicas;
}

static enum error_code force(struct replicas *replicas, size_t number)
{
    struct consensus *consensus = replicas->items[number].consensus;
    const struct consensus_member *member =
        membership_find(consensus_membership(consensus), number + 1);
    struct error error;
    uint64_t index = 0;
    enum error_code code =
        consensus_force_membership(consensus, replicas->now_ms, 0, member, &index, &error);
    assert_true((index != 0) == (code == ERROR_NONE));
    return code;
}

static void nobody_is_forced_who_hears_a_leader_or_is_one(void **state)
{
    (void)state;
    struct replicas *replicas = replicas_create(3, 0);
    size_t leader = led(replicas);
    assert_int_equal(force(replicas, leader), ERROR_CONFLICT);
    assert_int_equal(force(replicas, (leader + 1) % 3), ERROR_CONFLICT);
    replicas_destroy(replicas);
}

static void who_is_forced_leads_alone_and_commits_what_it_has(void **state)
{
    (void)state;
    struct replicas *replicas = bereaved(0);
    uint64_t last_index = replicas_status(replicas, 2).last_index;
    assert_int_equal(force(replicas, 2), ERROR_NONE);
    replicas_deliver(replicas);
    struct consensus_status status = replicas_status(replicas, 2);
    assert_int_equal(status.state, CONSENSUS_LEADER);
    assert_int_equal(consensus_era(status.term), 1);
    assert_int_equal(status.last_index, last_index + 1);
    assert_int_equal(status.commit_index, last_index + 1);
    assert_int_equal(consensus_membership(replicas->items[2].consensus)->count, 1);
    assert_int_equal(force(replicas, 2), ERROR_CONFLICT); /* once is enough */
    replicas_destroy(replicas);
}

static void those_of_before_do_not_lead_once_they_hear_of_it(void **state)
{
    (void)state;
    struct replicas *replicas = bereaved(3);
    assert_int_equal(force(replicas, 2), ERROR_NONE);
    replicas_deliver(replicas);
    uint64_t term = replicas_status(replicas, 2).term;
    replicas_isolate(replicas, 2, false);
    replicas_run(replicas, 20 * ELECTION_MS);
    assert_int_equal(replicas_leader(replicas), 2);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(replicas_status(replicas, i).term, term);
        assert_int_equal(replicas_status(replicas, i).state == CONSENSUS_LEADER, i == 2);
    }
    replicas_destroy(replicas);
}

static void add_standby(struct replicas *replicas, size_t leader, size_t number)
{
    struct consensus *consensus = replicas->items[leader].consensus;
    struct membership membership = *consensus_membership(consensus);
    struct error error;
    uint64_t index;
    struct consensus_member member = {.node_id = number + 1, .role = CONSENSUS_ROLE_STANDBY};
    snprintf(member.address, sizeof member.address, "node-%zu", number + 1);
    assert_int_equal(membership_set(&membership, &member, &error), ERROR_NONE);
    assert_int_equal(consensus_change(consensus, &membership, &index, &error), ERROR_NONE);
    replicas_run(replicas, 5 * HEARTBEAT_MS);
}

static void who_has_committed_more_is_superseded_and_acknowledges_nothing(void **state)
{
    (void)state;
    struct replicas *replicas = bereaved(3);
    assert_int_equal(force(replicas, 2), ERROR_NONE);
    replicas_isolate(replicas, 2, false);
    replicas_run(replicas, 2 * ELECTION_MS);
    add_standby(replicas, 2, 0);
    assert_int_equal(consensus_failure(replicas->items[0].consensus)->code, ERROR_CONFLICT);
    struct consensus_peer peer;
    assert_true(consensus_peer(replicas->items[2].consensus, 1, &peer));
    assert_int_equal(peer.matched_index, 0);
    replicas_destroy(replicas);
}

static void who_has_nothing_else_goes_on_with_its_log(void **state)
{
    (void)state;
    struct replicas *replicas = bereaved(0);
    replicas_isolate(replicas, 0, true);
    replicas_isolate(replicas, 1, true);
    replicas_run(replicas, 3 * ELECTION_MS);
    assert_int_equal(force(replicas, 2), ERROR_NONE);
    replicas_isolate(replicas, 2, false);
    /* The leader of before has entries of its own only where a majority took them. */
    replicas_run(replicas, 2 * ELECTION_MS);
    add_standby(replicas, 2, 1);
    assert_int_equal(consensus_failure(replicas->items[1].consensus)->code, ERROR_NONE);
    uint64_t index = replicas_propose(replicas, 2, 10);
    replicas_run(replicas, 5 * HEARTBEAT_MS);
    assert_int_equal(replicas_status(replicas, 1).commit_index, index);
    replicas_destroy(replicas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_disk_has_before_the_base_is_known_once_it_was_seen),
        cmocka_unit_test(a_single_voter_leads_at_once_in_a_new_term),
        cmocka_unit_test(one_of_three_is_elected_and_stays),
        cmocka_unit_test(a_leader_alone_steps_down_and_comes_back_without_disturbing),
        cmocka_unit_test(a_standby_gets_the_log_and_never_stands),
        cmocka_unit_test(leadership_goes_to_whom_it_is_handed),
        cmocka_unit_test(a_transfer_to_who_does_not_answer_ends_by_itself),
        cmocka_unit_test(an_entry_is_committed_by_two_disks_of_three),
        cmocka_unit_test(followers_hear_at_the_end_of_the_turn_what_is_committed),
        cmocka_unit_test(who_follows_a_new_leader_is_not_current_before_it_knows_what_is_committed),
        cmocka_unit_test(a_peer_that_does_not_answer_costs_a_window),
        cmocka_unit_test(what_gets_lost_is_sent_again),
        cmocka_unit_test(what_only_a_former_leader_has_is_cut_off),
        cmocka_unit_test(a_peer_gets_a_snapshot_for_what_is_not_in_memory),
        cmocka_unit_test(a_peer_gets_from_the_disk_what_is_not_in_memory),
        cmocka_unit_test(a_change_counts_from_the_moment_it_is_in_the_log),
        cmocka_unit_test(who_was_deleted_votes_as_if_it_had_its_log),
        cmocka_unit_test(a_read_is_confirmed_by_a_round_that_a_majority_answered),
        cmocka_unit_test(nobody_is_forced_who_hears_a_leader_or_is_one),
        cmocka_unit_test(who_is_forced_leads_alone_and_commits_what_it_has),
        cmocka_unit_test(those_of_before_do_not_lead_once_they_hear_of_it),
        cmocka_unit_test(who_has_committed_more_is_superseded_and_acknowledges_nothing),
        cmocka_unit_test(who_has_nothing_else_goes_on_with_its_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
