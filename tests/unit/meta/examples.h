/*
 * examples - one of each of what nodes say to each other, and their bytes.
 */
#ifndef TEST_META_EXAMPLES_H
#define TEST_META_EXAMPLES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "../../../cluster/meta/message.h"

static const uint8_t EXAMPLE_BYTES[] = {1, 1, 2, 3, 5, 8, 13};
static const uint8_t EXAMPLE_ACQUAINTANCES[] = {1, 'b', 3, 'b', ':', '1', 1, 'c', 2, 'c', ':'};

static inline struct cluster_add_node example_node(void)
{
    struct cluster_add_node node = {
        .identity = {.name = "node-a", .directory_id = {1, 2, 3}},
        .traits = {.address = "a:9010",
                   .zone = "x",
                   .roles = CLUSTER_ROLES_ALL,
                   .version_min = 1,
                   .version_max = 2},
    };
    return node;
}

static inline struct introduction example_introduction(void)
{
    return (struct introduction){
        .state = INTRODUCTION_MEMBER,
        .cluster_id = {7, 7},
        .node_id = 3,
        .candidate = {7, 7},
        .self = example_node(),
        .cluster_name = TEXT("east"),
        .shard_count = 32,
        .replication = 3,
        .spread = 4,
        .version = 1,
        .first_group = 1,
        .peers = TEXT("node-a\nnode-b\n"),
        .founding = {EXAMPLE_BYTES, sizeof EXAMPLE_BYTES},
        .acquaintances = {EXAMPLE_ACQUAINTANCES, sizeof EXAMPLE_ACQUAINTANCES},
    };
}

static inline struct stored_identity example_identity(void)
{
    return (struct stored_identity){
        .cluster_id = {9, 8, 7},
        .node_id = 300,
        .identity = example_node().identity,
        .founding = {EXAMPLE_BYTES, sizeof EXAMPLE_BYTES},
    };
}

static struct meta_shard_report example_shards[2] = {
    {.shard_id = 0,
     .leading_ms = 1234,
     .size_bytes = 5000000,
     .member_count = 3,
     .members = {{1, PLACEMENT_VOTER, 0},
                 {2, PLACEMENT_STANDBY, 70000},
                 {900, PLACEMENT_SPARE, 1}}},
    {.shard_id = 4095, .transferring = true},
};

static inline struct report example_report(void)
{
    return (struct report){
        .node_id = 2,
        .directory_id = {4, 5, 6},
        .clock_ms = INT64_C(1790000000123),
        .state_index = 77,
        .contents = {.stopping = true, .shards = example_shards, .shard_count = 2},
    };
}

static const uint64_t EXAMPLE_LEADERS[] = {2, 0, 300}, EXAMPLE_ALIVE[] = {1, 2, 300};

static inline struct report_answer example_answer(void)
{
    return (struct report_answer){
        .state_index = 78,
        .view = {.leader = 2,
                 .agreed_ms = INT64_C(1790000000100),
                 .shard_leaders = EXAMPLE_LEADERS,
                 .shard_count = 3,
                 .alive = EXAMPLE_ALIVE,
                 .alive_count = 3},
    };
}

static const struct placement_node_view EXAMPLE_VIEWS[] = {
    {.node_id = 1, .alive = true, .dead_since_ms = 5000},
    {.node_id = 7, .slow_disk = true, .dead_since_ms = 1},
};
static const struct meta_observed_node EXAMPLE_NODES[] = {
    {.heard_ms_ago = 20,
     .clock_ahead_ms = -40,
     .state_index = 5,
     .is_member = true,
     .role = PLACEMENT_VOTER},
    {.heard_ms_ago = UINT64_MAX, .stopping = true},
};
static const struct placement_shard_view EXAMPLE_SHARDS[] = {
    {.leader = 1,
     .leader_since_ms = -5,
     .size_bytes = 10,
     .member_count = 1,
     .members = {{1, PLACEMENT_VOTER, 0}}},
    {.leader = 0},
};

static inline struct meta_observation example_observation(void)
{
    return (struct meta_observation){
        .leader = 1,
        .agreed_ms = INT64_C(1790000000100),
        .placement = {.now_ms = 6000,
                      .nodes = EXAMPLE_VIEWS,
                      .node_count = 2,
                      .shards = EXAMPLE_SHARDS,
                      .shard_count = 2},
        .nodes = EXAMPLE_NODES,
    };
}

/* --- Bytes --------------------------------------------------------------------------------- */

enum example_kind {
    EXAMPLE_INTRODUCTION,
    EXAMPLE_QUESTION,
    EXAMPLE_JOIN,
    EXAMPLE_WELCOME,
    EXAMPLE_OUTCOME,
    EXAMPLE_COMMAND,
    EXAMPLE_REPORT,
    EXAMPLE_ANSWER,
    EXAMPLE_OBSERVATION,
    EXAMPLE_TRANSFER,
    EXAMPLES
};

static inline void example_encode(enum example_kind kind, struct byte_buffer *buffer)
{
    struct bytes some = {EXAMPLE_BYTES, sizeof EXAMPLE_BYTES};
    struct introduction introduction = example_introduction();
    struct question question = {.operation = OPERATION_REPORT, .hops = 1, .body = some};
    struct join join = {.node_id = 5, .cluster_id = {1}, .self = example_node()};
    struct welcome welcome = {.cluster_id = {1}, .node_id = 5, .state = some};
    struct cluster_outcome outcome = {CLUSTER_REFUSED_STALE, false, 0};
    struct meta_command command = {
        .kind = META_REMOVE_NODE, .node_name = "node-a", .force = META_FORCED};
    struct report report = example_report();
    struct report_answer answer = example_answer();
    struct meta_observation observation = example_observation();
    struct transfer transfer = {.shard_id = 6, .to_node = 7};
    uint8_t transfer_bytes[TRANSFER_BYTES];
    switch (kind) {
    case EXAMPLE_INTRODUCTION:
        introduction_encode(&introduction, buffer);
        return;
    case EXAMPLE_QUESTION:
        meta_question_encode(&question, buffer);
        return;
    case EXAMPLE_JOIN:
        join_encode(&join, buffer);
        return;
    case EXAMPLE_WELCOME:
        welcome_encode(&welcome, buffer);
        return;
    case EXAMPLE_OUTCOME:
        outcome_encode(&outcome, buffer);
        return;
    case EXAMPLE_COMMAND:
        command_encode(&command, buffer);
        return;
    case EXAMPLE_REPORT:
        report_encode(&report, buffer);
        return;
    case EXAMPLE_ANSWER:
        report_answer_encode(&answer, buffer);
        return;
    case EXAMPLE_OBSERVATION:
        observation_encode(&observation, some, buffer);
        return;
    case EXAMPLE_TRANSFER:
        transfer_encode(&transfer, transfer_bytes);
        byte_buffer_append(buffer, transfer_bytes, sizeof transfer_bytes);
        return;
    case EXAMPLES:
        break;
    }
}

/* Decode bytes of this kind and, if they are well formed, encode what they say. */
static inline enum error_code example_again(enum example_kind kind, struct bytes bytes,
                                            struct arena *arena, struct byte_buffer *again,
                                            struct error *error)
{
    enum error_code code = ERROR_NONE;
    struct introduction introduction;
    struct question question;
    struct join join;
    struct welcome welcome;
    struct cluster_outcome outcome;
    struct meta_command command;
    struct report report;
    struct report_answer answer;
    struct meta_observation observation;
    struct transfer transfer;
    struct bytes state;
    uint8_t transfer_bytes[TRANSFER_BYTES];
    switch (kind) {
    case EXAMPLE_INTRODUCTION:
        code = introduction_decode(bytes.data, bytes.size, &introduction, error);
        if (code == ERROR_NONE)
            introduction_encode(&introduction, again);
        break;
    case EXAMPLE_QUESTION:
        code = meta_question_decode(bytes.data, bytes.size, &question, error);
        if (code == ERROR_NONE)
            meta_question_encode(&question, again);
        break;
    case EXAMPLE_JOIN:
        code = join_decode(bytes, &join, error);
        if (code == ERROR_NONE)
            join_encode(&join, again);
        break;
    case EXAMPLE_WELCOME:
        code = welcome_decode(bytes, &welcome, error);
        if (code == ERROR_NONE)
            welcome_encode(&welcome, again);
        break;
    case EXAMPLE_OUTCOME:
        code = outcome_decode(bytes, &outcome, error);
        if (code == ERROR_NONE)
            outcome_encode(&outcome, again);
        break;
    case EXAMPLE_COMMAND:
        code = command_decode(bytes, &command, error);
        if (code == ERROR_NONE)
            command_encode(&command, again);
        break;
    case EXAMPLE_REPORT:
        code = report_decode(bytes, arena, &report, error);
        if (code == ERROR_NONE)
            report_encode(&report, again);
        break;
    case EXAMPLE_ANSWER:
        code = report_answer_decode(bytes, arena, &answer, error);
        if (code == ERROR_NONE)
            report_answer_encode(&answer, again);
        break;
    case EXAMPLE_OBSERVATION:
        code = observation_decode(bytes, arena, &observation, &state, error);
        if (code == ERROR_NONE)
            observation_encode(&observation, state, again);
        break;
    case EXAMPLE_TRANSFER:
        code = transfer_decode(bytes.data, bytes.size, &transfer, error);
        if (code != ERROR_NONE)
            break;
        transfer_encode(&transfer, transfer_bytes);
        byte_buffer_append(again, transfer_bytes, sizeof transfer_bytes);
        break;
    case EXAMPLES:
        break;
    }
    return code;
}

#endif
