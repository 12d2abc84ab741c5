/*
 * Each rule of docs/decisions/0001-raft-filter-rules.md at work, and left out: the same situation
 * then goes through to libraft. Situations are made by hand in a live group of one voter; the
 * simulation meets them by chance.
 */
#include "whole_cluster.h"

#include "../../../cluster/group/group_private.h"
#include "../../../cluster/group/log_view.h"
#include "../../../cluster/group/members.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

/* Entry 1 is the membership, of term 1; a barrier and eight commands follow. */
enum { LAST_INDEX = 10 };

struct situation {
    struct cluster *cluster;
    struct group *group;
    struct raft saved;
};

static int make_situation(void **state)
{
    struct situation *situation = calloc(1, sizeof *situation);
    struct cluster_settings settings = {
        .seed = 3,
        .node_count = 2, /* the second is no member; messages to it have a way */
        .group_count = 1,
        .founder_count = 1,
    };
    situation->cluster = cluster_create(&settings);
    cluster_start(situation->cluster, 0);
    cluster_run_for(situation->cluster, 100);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(cluster_propose(situation->cluster, 0, 0, 8), ERROR_NONE);
    cluster_run_for(situation->cluster, 100);
    situation->group = situation->cluster->nodes[0].machines[0].group;
    assert_int_equal(log_view_last_index(&situation->group->raft), LAST_INDEX);
    situation->saved = situation->group->raft;
    *state = situation;
    return 0;
}

static int end_situation(void **state)
{
    struct situation *situation = *state;
    struct group *group = situation->group;
    group->raft = situation->saved;
    group->filter = (struct raft_filter){0};
    group->appends_in_flight = 0;
    group->install_in_flight = false;
    group->host->options.unsafe_disabled_rules = 0;
    cluster_destroy(situation->cluster);
    free(situation);
    return 0;
}

static void without(struct group *group, enum filter_rule rule)
{
    group->host->options.unsafe_disabled_rules = UINT32_C(1) << rule;
}

static void follow(struct group *group)
{
    group->raft.state = RAFT_FOLLOWER;
    group->raft.follower_state.current_leader.id = 0;
    group->raft.commit_index = 0;
}

static enum filter_verdict verdict(struct group *group, const struct raft_message *message)
{
    uint64_t cut_index = 0;
    return filter_receive(group, 2, message, &cut_index);
}

static struct raft_message success(const struct group *group, uint64_t last_index)
{
    struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES_RESULT};
    message.append_entries_result.term = group->raft.current_term;
    message.append_entries_result.last_log_index = last_index;
    return message;
}

/* --- The rules ----------------------------------------------------------------------------- */

static void rule_1_an_answer_covers_what_its_message_checked(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    struct raft_message asked = {.type = RAFT_IO_APPEND_ENTRIES};
    asked.append_entries.prev_log_index = 5;
    asked.append_entries.n_entries = 1;
    for (int on = 1; on >= 0; on--) {
        if (!on)
            without(group, RULE_ANSWER_ONLY_CHECKED);
        struct raft_message answer = success(group, 9);
        filter_answer_begin(group, &asked);
        assert_true(filter_send(group, &answer));
        filter_answer_end(group);
        assert_int_equal(answer.append_entries_result.last_log_index, on ? 6 : 9);
    }
}

static void rule_1_nobody_checked_more_than_was_sent(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    struct raft_message beyond = success(group, LAST_INDEX + 1);
    assert_int_equal(verdict(group, &beyond), FILTER_DROP);
    without(group, RULE_ANSWER_ONLY_CHECKED);
    assert_int_equal(verdict(group, &beyond), FILTER_DELIVER);
}

static void rule_2_nothing_is_acknowledged_before_the_barrier_of_the_own_term(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    struct raft_message message = success(group, LAST_INDEX);
    group->filter.barrier_index = LAST_INDEX + 1; /* not stored yet */
    assert_int_equal(verdict(group, &message), FILTER_DROP);
    group->filter.barrier_index = 0; /* not even there */
    assert_int_equal(verdict(group, &message), FILTER_DROP);
    group->filter.barrier_index = LAST_INDEX;
    assert_int_equal(verdict(group, &message), FILTER_DELIVER);
    group->filter.barrier_index = LAST_INDEX + 1;
    without(group, RULE_OWN_TERM_FIRST);
    assert_int_equal(verdict(group, &message), FILTER_DELIVER);
}

static void rule_3_a_write_of_a_former_term_acknowledges_nothing(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    struct filter_append append = {.answers = true, .answer_limit = 9, .term = 1};
    assert_true(group->raft.current_term > 1);
    struct raft_message answer = success(group, 9);
    filter_append_begin(group, &append);
    assert_false(filter_send(group, &answer));
    filter_append_end(group);
    without(group, RULE_ANSWER_IN_SAME_TERM);
    filter_append_begin(group, &append);
    assert_true(filter_send(group, &answer));
    filter_append_end(group);
}

static void rule_4_there_is_one_vote_a_term(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    follow(group);
    group->raft.voted_for = 1;
    struct raft_message vote = {.type = RAFT_IO_REQUEST_VOTE};
    vote.request_vote.term = group->raft.current_term;
    vote.request_vote.candidate_id = 2;
    assert_int_equal(verdict(group, &vote), FILTER_DROP);
    vote.request_vote.pre_vote = true; /* binds nobody */
    assert_int_equal(verdict(group, &vote), FILTER_DELIVER);
    vote.request_vote.pre_vote = false;
    vote.request_vote.term++;
    assert_int_equal(verdict(group, &vote), FILTER_DELIVER);
    vote.request_vote.term--;
    without(group, RULE_ONE_VOTE);
    assert_int_equal(verdict(group, &vote), FILTER_DELIVER);
    vote.request_vote.candidate_id = 3; /* asks in the name of another */
    assert_int_equal(verdict(group, &vote), FILTER_DROP);
}

static void rule_5_nobody_stands_for_entries_that_are_not_durable(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    follow(group);
    struct raft_message now = {.type = RAFT_IO_TIMEOUT_NOW};
    assert_true(filter_tick_allowed(group));
    group->appends_in_flight = 1;
    assert_false(filter_tick_allowed(group));
    assert_int_equal(verdict(group, &now), FILTER_DROP);
    without(group, RULE_QUIET_WHILE_APPENDING);
    assert_true(filter_tick_allowed(group));
    assert_int_equal(verdict(group, &now), FILTER_DELIVER);
}

static void
rule_6_and_7_a_conflict_waits_and_a_membership_is_rolled_back_by_a_new_start(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    follow(group);
    struct raft_entry entry = {.term = 99, .type = RAFT_COMMAND};
    struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES};
    struct raft_append_entries *append = &message.append_entries;
    *append = (struct raft_append_entries){
        .term = group->raft.current_term,
        .prev_log_index = 4,
        .prev_log_term = log_view_term(&group->raft, 4),
        .entries = &entry,
        .n_entries = 1,
    };
    assert_int_equal(verdict(group, &message), FILTER_DELIVER);
    group->appends_in_flight = 1;
    assert_int_equal(verdict(group, &message), FILTER_DROP);
    without(group, RULE_TRUNCATE_DRAINED);
    assert_int_equal(verdict(group, &message), FILTER_DELIVER);

    /* The same at index 1, which is the membership. */
    group->host->options.unsafe_disabled_rules = 0;
    group->appends_in_flight = 0;
    append->prev_log_index = append->prev_log_term = 0;
    uint64_t cut_index = 0;
    assert_int_equal(filter_receive(group, 2, &message, &cut_index), FILTER_REOPEN);
    assert_int_equal(cut_index, 1);
    group->sends_in_flight++;
    assert_int_equal(verdict(group, &message), FILTER_DROP); /* not while a message is out */
    group->sends_in_flight--;
    without(group, RULE_REOPEN_ON_ROLLBACK);
    assert_int_equal(verdict(group, &message), FILTER_DELIVER);
}

struct told {
    struct raft_io_send send;
    int status;
    bool called;
};

static void note_told(struct raft_io_send *send, int status)
{
    struct told *told = (struct told *)send;
    told->called = true;
    told->status = status;
}

static void rule_8_9_and_11_what_fails_is_told_by_callback_only(void **state)
{
    struct situation *situation = *state;
    struct group *group = situation->group;
    struct told told = {0};
    struct raft_message message = success(group, 1);
    message.server_id = 5; /* nobody is there */
    assert_int_equal(group->io.send(&group->io, &told.send, &message, note_told), 0);
    assert_false(told.called);
    cluster_run_for(situation->cluster, 1);
    assert_true(told.called);
    assert_int_equal(told.status, RAFT_NOCONNECTION);
    /* TimeoutNow has no callback, and its request may be gone. */
    message.type = RAFT_IO_TIMEOUT_NOW;
    assert_int_equal(group->io.send(&group->io, NULL, &message, NULL), 0);
}

static void rule_10_a_snapshot_is_installed_with_nothing_else_going_on(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    follow(group);
    struct raft_message install = {.type = RAFT_IO_INSTALL_SNAPSHOT};
    install.install_snapshot.term = group->raft.current_term;
    install.install_snapshot.last_index = 8;
    install.install_snapshot.last_term = log_view_term(&group->raft, 8);
    assert_int_equal(verdict(group, &install), FILTER_DELIVER);
    group->appends_in_flight = 1;
    assert_int_equal(verdict(group, &install), FILTER_PARK);
    group->appends_in_flight = 0;

    /* What is here at its index is of a later term: not committed, and not the same. */
    install.install_snapshot.last_term--;
    uint64_t cut_index = 0;
    assert_int_equal(filter_receive(group, 2, &install, &cut_index), FILTER_REOPEN);
    assert_int_equal(cut_index, 8);

    group->install_in_flight = true;
    struct raft_message vote = {.type = RAFT_IO_REQUEST_VOTE};
    vote.request_vote.candidate_id = 2;
    vote.request_vote.term = group->raft.current_term + 1;
    struct raft_message append = {.type = RAFT_IO_APPEND_ENTRIES};
    append.append_entries.term = group->raft.current_term;
    assert_false(filter_tick_allowed(group));
    assert_int_equal(verdict(group, &vote), FILTER_DROP);
    assert_int_equal(verdict(group, &append), FILTER_DROP);
    assert_int_equal(verdict(group, &install), FILTER_PARK);
    without(group, RULE_INSTALL_ALONE);
    assert_true(filter_tick_allowed(group));
    assert_int_equal(verdict(group, &vote), FILTER_DELIVER);
    assert_int_equal(verdict(group, &append), FILTER_DELIVER);
    assert_int_equal(verdict(group, &install), FILTER_DELIVER);
}

static void rule_10_a_change_that_the_snapshot_replaced_is_forgotten(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    group->raft.configuration_uncommitted_index = LAST_INDEX + 5;
    without(group, RULE_INSTALL_ALONE);
    filter_install_began(group);
    assert_int_equal(group->raft.configuration_uncommitted_index, LAST_INDEX + 5);
    group->host->options.unsafe_disabled_rules = 0;
    filter_install_began(group);
    assert_int_equal(group->raft.configuration_uncommitted_index, 0);
}

static void rule_13_no_message_leaves_before_term_and_vote_are_durable(void **state)
{
    struct situation *situation = *state;
    struct group *group = situation->group;
    struct raft_message message = success(group, 1);
    message.server_id = 2;
    uint64_t before = situation->cluster->counts.messages;
    group_store_metadata(group, group->raft.current_term, 1);
    assert_true(outbox_send(group, &message));
    assert_int_equal(situation->cluster->counts.messages, before);
    cluster_run_for(situation->cluster, 10);
    assert_int_equal(situation->cluster->counts.messages, before + 1);

    without(group, RULE_HOLD_UNTIL_DURABLE);
    group_store_metadata(group, group->raft.current_term, 1);
    assert_true(outbox_send(group, &message));
    assert_int_equal(situation->cluster->counts.messages, before + 2);
}

static void rule_14_a_single_voter_leads_in_a_new_term(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    uint64_t term = group->raft.current_term;
    without(group, RULE_NEW_TERM_ALONE);
    assert_false(filter_leader_without_election(group));
    assert_int_equal(group->raft.current_term, term);
    group->host->options.unsafe_disabled_rules = 0;
    assert_true(filter_leader_without_election(group));
    assert_int_equal(group->raft.current_term, term + 1);
    assert_int_equal(group->metadata_in_flight, 1); /* and is on its way to the disk */
}

static void rule_15_and_18_a_pre_vote_is_no_vote_and_brings_a_higher_term(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    uint64_t term = group->raft.current_term;
    group->raft.state = RAFT_CANDIDATE;
    group->raft.candidate_state.in_pre_vote = false;
    struct raft_message message = {.type = RAFT_IO_REQUEST_VOTE_RESULT};
    struct raft_request_vote_result *result = &message.request_vote_result;
    *result = (struct raft_request_vote_result){
        .term = term,
        .vote_granted = true,
        .pre_vote = raft_tribool_true,
    };
    assert_int_equal(verdict(group, &message), FILTER_DROP);
    result->pre_vote = raft_tribool_false;
    assert_int_equal(verdict(group, &message), FILTER_DELIVER);
    result->pre_vote = raft_tribool_true;
    without(group, RULE_VOTE_OF_ITS_PHASE);
    assert_int_equal(verdict(group, &message), FILTER_DELIVER);

    group->raft.candidate_state.in_pre_vote = true;
    result->vote_granted = false;
    result->term = term + 1; /* what was asked for */
    assert_int_equal(verdict(group, &message), FILTER_DELIVER);
    assert_int_equal(group->raft.current_term, term);
    result->term = term + 7;
    without(group, RULE_PRE_VOTE_LEARNS);
    assert_int_equal(verdict(group, &message), FILTER_DELIVER);
    assert_int_equal(group->raft.current_term, term);
    group->host->options.unsafe_disabled_rules = 0;
    assert_int_equal(verdict(group, &message), FILTER_DROP);
    assert_int_equal(group->raft.current_term, term + 7);
    assert_int_equal(group->raft.voted_for, 0);
}

static struct raft_append_entries entries_from(const struct group *group, uint64_t first,
                                               unsigned count)
{
    struct raft_append_entries append = {
        .term = group->raft.current_term,
        .prev_log_index = first - 1,
        .prev_log_term = log_view_term(&group->raft, first - 1),
        .entries = raft_calloc(count, sizeof *append.entries),
        .n_entries = count,
    };
    void *batch = raft_malloc(8);
    for (unsigned i = 0; i < count; i++)
        append.entries[i] = (struct raft_entry){
            .term = log_view_term(&group->raft, first + i),
            .type = RAFT_COMMAND,
            .batch = batch,
        };
    return append;
}

static void entries_free(struct raft_append_entries *append)
{
    if (append->entries != NULL)
        raft_free(append->entries[0].batch);
    raft_free(append->entries);
}

static void rule_16_entries_of_the_own_snapshot_are_cut_off(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    group->raft.log.snapshot.last_index = 6;
    group->raft.log.snapshot.last_term = 2;

    struct raft_append_entries append = entries_from(group, 1, 8);
    without(group, RULE_CUT_WHAT_IS_KNOWN);
    filter_cut_known_entries(group, &append);
    assert_int_equal(append.n_entries, 8);
    group->host->options.unsafe_disabled_rules = 0;
    filter_cut_known_entries(group, &append);
    assert_int_equal(append.prev_log_index, 6);
    assert_int_equal(append.prev_log_term, 2);
    assert_int_equal(append.n_entries, 2);
    entries_free(&append);

    append = entries_from(group, 2, 3); /* nothing of it is new */
    filter_cut_known_entries(group, &append);
    assert_int_equal(append.prev_log_index, 6);
    assert_int_equal(append.n_entries, 0);
    assert_null(append.entries);

    append = entries_from(group, 9, 2); /* nothing of it is old */
    filter_cut_known_entries(group, &append);
    assert_int_equal(append.prev_log_index, 8);
    assert_int_equal(append.n_entries, 2);
    entries_free(&append);
}

static void rule_17_whoever_is_asked_votes(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    follow(group);
    group->raft.voted_for = 0;
    group->raft.configuration.servers[0].role = RAFT_STANDBY; /* as far as it knows */
    struct raft_message asked = {.type = RAFT_IO_REQUEST_VOTE};
    asked.request_vote = (struct raft_request_vote){
        .term = group->raft.current_term,
        .candidate_id = 2,
        .last_log_index = LAST_INDEX,
        .last_log_term = group->raft.current_term,
    };
    struct raft_message refusal = {.type = RAFT_IO_REQUEST_VOTE_RESULT};
    refusal.request_vote_result.term = group->raft.current_term;

    without(group, RULE_VOTE_WITHOUT_VOTE);
    struct raft_message answer = refusal;
    filter_answer_begin(group, &asked);
    assert_true(filter_send(group, &answer));
    assert_false(answer.request_vote_result.vote_granted);

    group->host->options.unsafe_disabled_rules = 0;
    asked.request_vote.last_log_index--; /* a shorter log gets none */
    answer = refusal;
    assert_true(filter_send(group, &answer));
    assert_false(answer.request_vote_result.vote_granted);

    asked.request_vote.last_log_index++;
    assert_true(filter_send(group, &answer));
    filter_answer_end(group);
    assert_true(answer.request_vote_result.vote_granted);
    assert_int_equal(group->raft.voted_for, 2);
    assert_int_equal(group->metadata_in_flight, 1); /* and the answer waits for it */

    asked.request_vote.candidate_id = 3; /* one vote a term */
    answer = refusal;
    filter_answer_begin(group, &asked);
    assert_true(filter_send(group, &answer));
    filter_answer_end(group);
    assert_false(answer.request_vote_result.vote_granted);
    group->raft.configuration.servers[0].role = RAFT_VOTER;
}

static void rule_17_who_has_no_vote_forgets_a_silent_leader(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    struct raft *raft = &group->raft;
    follow(group);
    raft->follower_state.current_leader.id = 2;
    raft->configuration.servers[0].role = RAFT_STANDBY;
    raft->election_timer_start = group->io.time(&group->io);
    filter_forget_silent_leader(group);
    assert_int_equal(raft->follower_state.current_leader.id, 2); /* heard just now */

    raft->election_timer_start -= raft->election_timeout;
    without(group, RULE_VOTE_WITHOUT_VOTE);
    filter_forget_silent_leader(group);
    assert_int_equal(raft->follower_state.current_leader.id, 2);

    group->host->options.unsafe_disabled_rules = 0;
    raft->configuration.servers[0].role = RAFT_VOTER; /* stands for election itself */
    filter_forget_silent_leader(group);
    assert_int_equal(raft->follower_state.current_leader.id, 2);
    raft->configuration.servers[0].role = RAFT_STANDBY;
    filter_forget_silent_leader(group);
    assert_int_equal(raft->follower_state.current_leader.id, 0);
    raft->configuration.servers[0].role = RAFT_VOTER;
}

static void rule_19_a_voter_learns_of_its_demotion_when_it_is_committed(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    follow(group);
    struct raft_configuration demoted;
    raft_configuration_init(&demoted);
    assert_int_equal(raft_configuration_add(&demoted, 1, "node-1", RAFT_SPARE), 0);
    struct raft_append_entries append = entries_from(group, LAST_INDEX + 1, 3);
    append.entries[1].type = RAFT_CHANGE;
    assert_int_equal(raft_configuration_encode(&demoted, &append.entries[1].buf), 0);

    append.leader_commit = LAST_INDEX + 2; /* committed */
    filter_cut_own_demotion(group, &append);
    assert_int_equal(append.n_entries, 3);
    append.leader_commit = LAST_INDEX + 1;
    without(group, RULE_DEMOTED_WHEN_COMMITTED);
    filter_cut_own_demotion(group, &append);
    assert_int_equal(append.n_entries, 3);
    group->host->options.unsafe_disabled_rules = 0;
    filter_cut_own_demotion(group, &append);
    assert_int_equal(append.n_entries, 1);

    raft_free(append.entries[1].buf.base);
    entries_free(&append);
    raft_configuration_close(&demoted);
}

/* A leader that restarted knows less of what is committed than its followers. */
static void rule_19_a_demotion_that_is_here_already_is_acknowledged(void **state)
{
    struct group *group = ((struct situation *)*state)->group;
    follow(group);
    struct raft_configuration demoted;
    raft_configuration_init(&demoted);
    assert_int_equal(raft_configuration_add(&demoted, 1, "node-1", RAFT_SPARE), 0);
    struct raft_append_entries append = entries_from(group, LAST_INDEX, 2);
    append.entries[0].type = RAFT_CHANGE;
    assert_int_equal(raft_configuration_encode(&demoted, &append.entries[0].buf), 0);

    filter_cut_own_demotion(group, &append); /* in the log, whatever the leader has committed */
    assert_int_equal(append.n_entries, 2);
    append.entries[0].term++;
    group->raft.commit_index = LAST_INDEX; /* committed here, and in a snapshot perhaps */
    filter_cut_own_demotion(group, &append);
    assert_int_equal(append.n_entries, 2);
    group->raft.commit_index = LAST_INDEX - 1;
    void *change = append.entries[0].buf.base;
    filter_cut_own_demotion(group, &append); /* another one */
    assert_int_equal(append.n_entries, 0);

    raft_free(change);
    raft_configuration_close(&demoted);
}

int main(void)
{
#define RULE_TEST(name) cmocka_unit_test_setup_teardown(name, make_situation, end_situation)
    const struct CMUnitTest tests[] = {
        RULE_TEST(rule_1_an_answer_covers_what_its_message_checked),
        RULE_TEST(rule_1_nobody_checked_more_than_was_sent),
        RULE_TEST(rule_2_nothing_is_acknowledged_before_the_barrier_of_the_own_term),
        RULE_TEST(rule_3_a_write_of_a_former_term_acknowledges_nothing),
        RULE_TEST(rule_4_there_is_one_vote_a_term),
        RULE_TEST(rule_5_nobody_stands_for_entries_that_are_not_durable),
        RULE_TEST(rule_6_and_7_a_conflict_waits_and_a_membership_is_rolled_back_by_a_new_start),
        RULE_TEST(rule_8_9_and_11_what_fails_is_told_by_callback_only),
        RULE_TEST(rule_10_a_snapshot_is_installed_with_nothing_else_going_on),
        RULE_TEST(rule_10_a_change_that_the_snapshot_replaced_is_forgotten),
        RULE_TEST(rule_13_no_message_leaves_before_term_and_vote_are_durable),
        RULE_TEST(rule_14_a_single_voter_leads_in_a_new_term),
        RULE_TEST(rule_15_and_18_a_pre_vote_is_no_vote_and_brings_a_higher_term),
        RULE_TEST(rule_16_entries_of_the_own_snapshot_are_cut_off),
        RULE_TEST(rule_17_whoever_is_asked_votes),
        RULE_TEST(rule_17_who_has_no_vote_forgets_a_silent_leader),
        RULE_TEST(rule_19_a_voter_learns_of_its_demotion_when_it_is_committed),
        RULE_TEST(rule_19_a_demotion_that_is_here_already_is_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
