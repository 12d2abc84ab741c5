/* Bytes of snapshots, messages and members. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../cluster/group/members.h"
#include "../../../cluster/group/message.h"
#include "../../../cluster/group/snapshot_format.h"
#include "group/snapshot_export.h"
#include "group/transport.h"

/* --- Helpers ------------------------------------------------------------------------------- */

static struct raft_configuration three_members(void)
{
    struct consensus_member members[] = {
        {.node_id = 1, .role = CONSENSUS_ROLE_VOTER, .address = "a:1"},
        {.node_id = 7, .role = CONSENSUS_ROLE_STANDBY, .address = "b:1"},
        {.node_id = 9, .role = CONSENSUS_ROLE_SPARE, .address = "c:1"},
    };
    struct raft_configuration configuration;
    struct error error;
    assert_int_equal(members_to_configuration(members, 3, &configuration, &error), ERROR_NONE);
    return configuration;
}

static const struct snapshot_header SAMPLE = {
    .group_id = 42,
    .index = 1000,
    .term = 7,
    .configuration_index = 3,
    .position = {.applied_index = 990, .frozen_index = 500},
};

static void encode_sample(struct byte_buffer *buffer)
{
    struct raft_configuration configuration = three_members();
    snapshot_encode_head(&SAMPLE, &configuration, buffer);
    byte_buffer_append(buffer, "manifest", 8);
    snapshot_encode_end(buffer, 0);
    assert_false(buffer->failed);
    raft_configuration_close(&configuration);
}

/* --- Snapshots ----------------------------------------------------------------------------- */

static void assert_is_sample(const uint8_t *bytes, size_t size)
{
    struct snapshot_view view;
    struct error error;
    assert_int_equal(snapshot_decode(bytes, size, &view, &error), ERROR_NONE);
    assert_memory_equal(&view.header, &SAMPLE, sizeof SAMPLE);
    assert_int_equal(view.state_bytes, 8);
    assert_memory_equal(view.state, "manifest", 8);
    struct consensus_member members[CONSENSUS_MEMBERS_MAX];
    assert_int_equal(members_from_configuration(&view.configuration, members), 3);
    assert_int_equal(members[1].node_id, 7);
    assert_int_equal(members[1].role, CONSENSUS_ROLE_STANDBY);
    assert_string_equal(members[2].address, "c:1");
    raft_configuration_close(&view.configuration);
}

static void a_snapshot_decodes_to_what_was_encoded(void **state)
{
    (void)state;
    struct byte_buffer buffer = {0};
    encode_sample(&buffer);
    assert_is_sample(buffer.bytes, buffer.size);
    byte_buffer_clear(&buffer);
}

/* Written by the first version: later ones must read it for ever. */
static void the_stored_sample_still_decodes(void **state)
{
    (void)state;
    uint8_t bytes[512];
    FILE *file = fopen("samples/snapshot-1.bin", "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_is_sample(bytes, size);
    struct byte_buffer buffer = {0};
    encode_sample(&buffer);
    assert_int_equal(buffer.size, size);
    assert_memory_equal(buffer.bytes, bytes, size);
    byte_buffer_clear(&buffer);
}

static void no_torn_or_altered_snapshot_is_read(void **state)
{
    (void)state;
    struct byte_buffer buffer = {0};
    struct snapshot_view view;
    struct error error;
    encode_sample(&buffer);
    for (size_t size = 0; size < buffer.size; size++)
        assert_int_equal(snapshot_decode(buffer.bytes, size, &view, &error), ERROR_CORRUPT);
    for (size_t bit = 0; bit < buffer.size * 8; bit++) {
        buffer.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(snapshot_decode(buffer.bytes, buffer.size, &view, &error), ERROR_NONE);
        buffer.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    byte_buffer_clear(&buffer);
}

static void an_exported_snapshot_needs_no_log(void **state)
{
    (void)state;
    static const struct consensus_member FOUNDER = {
        .node_id = 5, .role = CONSENSUS_ROLE_VOTER, .address = "e:1"};
    const struct group_export export = {.group_id = 9, .index = 77, .members = &FOUNDER, 1};
    struct byte_buffer buffer = {0};
    struct snapshot_view view;
    struct error error;
    assert_int_equal(
        group_snapshot_export(&export, (const uint8_t *)"manifest", 8, &buffer, &error),
        ERROR_NONE);
    assert_int_equal(snapshot_decode(buffer.bytes, buffer.size, &view, &error), ERROR_NONE);
    assert_int_equal(view.header.group_id, 9);
    assert_int_equal(view.header.index, 77);
    assert_int_equal(view.header.position.applied_index, 77);
    assert_int_equal(view.header.position.frozen_index, 77);
    assert_int_equal(view.state_bytes, 8);
    assert_memory_equal(view.state, "manifest", 8);
    struct consensus_member members[CONSENSUS_MEMBERS_MAX];
    assert_int_equal(members_from_configuration(&view.configuration, members), 1);
    assert_int_equal(members[0].node_id, 5);
    raft_configuration_close(&view.configuration);
    byte_buffer_clear(&buffer);
}

static void a_newer_version_is_told_apart_from_damage(void **state)
{
    (void)state;
    struct byte_buffer buffer = {0};
    struct snapshot_view view;
    struct error error;
    encode_sample(&buffer);
    store_u32(buffer.bytes + 4, 2);
    assert_int_equal(snapshot_decode(buffer.bytes, buffer.size, &view, &error), ERROR_UNSUPPORTED);
    byte_buffer_clear(&buffer);
}

/* --- Members ------------------------------------------------------------------------------- */

static void members_of_an_entry_are_those_that_libraft_encoded(void **state)
{
    (void)state;
    struct raft_configuration configuration = three_members(), decoded;
    struct raft_buffer buffer;
    struct error error;
    assert_int_equal(raft_configuration_encode(&configuration, &buffer), 0);
    assert_int_equal(members_decode_entry(&buffer, &decoded, &error), ERROR_NONE);
    assert_int_equal(decoded.n, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(decoded.servers[i].id, configuration.servers[i].id);
        assert_int_equal(decoded.servers[i].role, configuration.servers[i].role);
        assert_string_equal(decoded.servers[i].address, configuration.servers[i].address);
    }
    raft_configuration_close(&decoded);
    size_t whole = buffer.len;
    for (buffer.len = 0; buffer.len < 9 + 3 * 13; buffer.len++)
        assert_int_equal(members_decode_entry(&buffer, &decoded, &error), ERROR_CORRUPT);
    buffer.len = whole;
    raft_free(buffer.base);
    raft_configuration_close(&configuration);
}

static void members_with_the_same_id_or_address_are_refused(void **state)
{
    (void)state;
    struct consensus_member members[] = {
        {.node_id = 1, .role = CONSENSUS_ROLE_VOTER, .address = "a"},
        {.node_id = 2, .role = CONSENSUS_ROLE_VOTER, .address = "a"},
    };
    struct raft_configuration configuration;
    struct error error;
    assert_int_equal(members_to_configuration(members, 2, &configuration, &error), ERROR_INVALID);
    members[1].address[0] = 'b';
    members[1].node_id = 1;
    assert_int_equal(members_to_configuration(members, 2, &configuration, &error), ERROR_INVALID);
    assert_int_equal(
        members_to_configuration(members, CONSENSUS_MEMBERS_MAX + 1, &configuration, &error),
        ERROR_INVALID);
}

/* --- Messages ------------------------------------------------------------------------------ */

enum { ENTRIES = 5 };

static struct raft_append_entries sample_append(struct raft_entry *entries, uint8_t *payload)
{
    for (unsigned i = 0; i < ENTRIES; i++)
        entries[i] = (struct raft_entry){
            .term = 3 + i / 2,
            .type = RAFT_COMMAND,
            .buf = {.base = payload, .len = 100 + i},
        };
    return (struct raft_append_entries){
        .term = 9,
        .prev_log_index = 20,
        .prev_log_term = 2,
        .leader_commit = 23,
        .entries = entries,
        .n_entries = ENTRIES,
    };
}

static void a_run_of_entries_is_a_message_of_its_own(void **state)
{
    (void)state;
    uint8_t payload[128];
    struct raft_entry entries[ENTRIES];
    memset(payload, 7, sizeof payload);
    struct raft_message message = {.type = RAFT_IO_APPEND_ENTRIES}, decoded;
    message.append_entries = sample_append(entries, payload);
    assert_int_equal(message_run_of_entries(&message.append_entries, 0, 250), 2);
    assert_int_equal(message_run_of_entries(&message.append_entries, 4, 250), 1);
    assert_int_equal(message_run_of_entries(&message.append_entries, 0, 1), 1);

    struct byte_buffer buffer = {0};
    struct error error;
    message_encode(&message, 0, 2, &buffer);
    assert_int_equal(message_decode(buffer.bytes, buffer.size, &decoded, &error), ERROR_NONE);
    assert_int_equal(decoded.append_entries.prev_log_index, 20);
    assert_int_equal(decoded.append_entries.prev_log_term, 2);
    assert_int_equal(decoded.append_entries.leader_commit, 22); /* not beyond this run */
    assert_int_equal(decoded.append_entries.n_entries, 2);
    message_clear(&decoded);

    byte_buffer_reset(&buffer);
    message_encode(&message, 2, 3, &buffer);
    assert_int_equal(message_decode(buffer.bytes, buffer.size, &decoded, &error), ERROR_NONE);
    assert_int_equal(decoded.append_entries.term, 9);
    assert_int_equal(decoded.append_entries.prev_log_index, 22);
    assert_int_equal(decoded.append_entries.prev_log_term, 3);
    assert_int_equal(decoded.append_entries.leader_commit, 23);
    assert_int_equal(decoded.append_entries.entries[2].buf.len, 104);
    assert_memory_equal(decoded.append_entries.entries[2].buf.base, payload, 104);
    message_clear(&decoded);
    byte_buffer_clear(&buffer);
}

static void no_cut_message_is_read(void **state)
{
    (void)state;
    uint8_t payload[128] = {1};
    struct raft_entry entries[ENTRIES];
    struct raft_message messages[6] = {0}, decoded;
    for (unsigned short i = 0; i < 6; i++)
        messages[i].type = i + 1;
    messages[0].append_entries = sample_append(entries, payload);
    messages[4].install_snapshot = (struct raft_install_snapshot){
        .term = 9,
        .last_index = 10,
        .last_term = 8,
        .conf = three_members(),
        .conf_index = 2,
        .data = {.base = payload, .len = sizeof payload},
    };
    for (size_t i = 0; i < 6; i++) {
        struct byte_buffer buffer = {0};
        struct error error;
        message_encode(&messages[i], 0, i == 0 ? ENTRIES : 0, &buffer);
        assert_int_equal(message_decode(buffer.bytes, buffer.size, &decoded, &error), ERROR_NONE);
        assert_int_equal(decoded.type, i + 1);
        message_clear(&decoded);
        for (size_t size = 0; size < buffer.size; size++)
            assert_int_equal(message_decode(buffer.bytes, size, &decoded, &error), ERROR_CORRUPT);
        byte_buffer_u8(&buffer, 0);
        assert_int_equal(message_decode(buffer.bytes, buffer.size, &decoded, &error),
                         ERROR_CORRUPT);
        buffer.bytes[0] = 2;
        assert_int_equal(message_decode(buffer.bytes, buffer.size, &decoded, &error),
                         ERROR_UNSUPPORTED);
        byte_buffer_clear(&buffer);
    }
    raft_configuration_close(&messages[4].install_snapshot.conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_decodes_to_what_was_encoded),
        cmocka_unit_test(the_stored_sample_still_decodes),
        cmocka_unit_test(no_torn_or_altered_snapshot_is_read),
        cmocka_unit_test(an_exported_snapshot_needs_no_log),
        cmocka_unit_test(a_newer_version_is_told_apart_from_damage),
        cmocka_unit_test(members_of_an_entry_are_those_that_libraft_encoded),
        cmocka_unit_test(members_with_the_same_id_or_address_are_refused),
        cmocka_unit_test(a_run_of_entries_is_a_message_of_its_own),
        cmocka_unit_test(no_cut_message_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
