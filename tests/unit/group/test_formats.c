/* Bytes of snapshots, messages and members. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../cluster/group/message.h"
#include "../../../cluster/group/snapshot_format.h"
#include "group/snapshot_export.h"
#include "group/transport.h"

/* --- Helpers ------------------------------------------------------------------------------- */

static struct membership three_members(void)
{
    struct consensus_member members[] = {
        {.node_id = 1, .role = CONSENSUS_ROLE_VOTER, .address = "a:1"},
        {.node_id = 7, .role = CONSENSUS_ROLE_STANDBY, .address = "b:1"},
        {.node_id = 9, .role = CONSENSUS_ROLE_SPARE, .address = "c:1"},
    };
    struct membership membership;
    struct error error;
    assert_int_equal(membership_init(&membership, members, 3, &error), ERROR_NONE);
    return membership;
}

static const struct snapshot_header SAMPLE = {
    .group_id = 42,
    .index = 1000,
    .term = 7,
    .membership_index = 3,
    .position = {.applied_index = 990, .frozen_index = 500},
};

static void encode_sample(struct byte_buffer *buffer)
{
    struct membership membership = three_members();
    snapshot_encode_head(&SAMPLE, &membership, NULL, buffer);
    byte_buffer_append(buffer, "manifest", 8);
    snapshot_encode_end(buffer, 0);
    assert_false(buffer->failed);
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
    assert_int_equal(view.membership.count, 3);
    assert_int_equal(view.membership.members[1].node_id, 7);
    assert_int_equal(view.membership.members[1].role, CONSENSUS_ROLE_STANDBY);
    assert_string_equal(view.membership.members[2].address, "c:1");
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

/* What was at the frozen index goes with the second version. */
static void a_snapshot_tells_of_its_frozen_index(void **state)
{
    (void)state;
    struct membership membership = three_members(), before = three_members();
    struct snapshot_header header = SAMPLE;
    struct byte_buffer buffer = {0};
    struct snapshot_view view;
    struct error error;
    header.frozen_term = 5;
    header.frozen_membership_index = 2;
    before.count = 1;
    snapshot_encode_head(&header, &membership, &before, &buffer);
    byte_buffer_append(&buffer, "manifest", 8);
    snapshot_encode_end(&buffer, 0);
    assert_int_equal(load_u32(buffer.bytes + 4), 2);
    assert_int_equal(snapshot_decode(buffer.bytes, buffer.size, &view, &error), ERROR_NONE);
    assert_memory_equal(&view.header, &header, sizeof header);
    assert_int_equal(view.membership.count, 3);
    assert_int_equal(view.frozen_membership.count, 1);
    assert_int_equal(view.state_bytes, 8);
    for (size_t size = 0; size < buffer.size; size++)
        assert_int_equal(snapshot_decode(buffer.bytes, size, &view, &error), ERROR_CORRUPT);
    byte_buffer_clear(&buffer);
}

/* A good checksum does not prove a sane writer. */
static void an_impossible_frozen_index_is_refused(void **state)
{
    (void)state;
    static const struct snapshot_header SANE = {
        .group_id = 42,
        .index = 1000,
        .term = 7,
        .membership_index = 3,
        .position = {.applied_index = 990, .frozen_index = 500},
        .frozen_term = 5,
        .frozen_membership_index = 2,
    };
    struct snapshot_header headers[] = {SANE, SANE, SANE};
    headers[0].frozen_term = 8;               /* later than that of the index */
    headers[1].frozen_membership_index = 501; /* from behind the frozen index */
    headers[2].frozen_membership_index = 4;   /* newer than the newest */
    struct membership membership = three_members();
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        struct byte_buffer buffer = {0};
        struct snapshot_view view;
        struct error error;
        snapshot_encode_head(&headers[i], &membership, &membership, &buffer);
        snapshot_encode_end(&buffer, 0);
        assert_int_equal(snapshot_decode(buffer.bytes, buffer.size, &view, &error), ERROR_CORRUPT);
        byte_buffer_clear(&buffer);
    }
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
    assert_int_equal(view.membership.count, 1);
    assert_int_equal(view.membership.members[0].node_id, 5);
    byte_buffer_clear(&buffer);
}

static void a_newer_version_is_told_apart_from_damage(void **state)
{
    (void)state;
    struct byte_buffer buffer = {0};
    struct snapshot_view view;
    struct error error;
    encode_sample(&buffer);
    store_u32(buffer.bytes + 4, 3);
    assert_int_equal(snapshot_decode(buffer.bytes, buffer.size, &view, &error), ERROR_UNSUPPORTED);
    byte_buffer_clear(&buffer);
}

/* --- Messages ------------------------------------------------------------------------------ */

enum { ENTRIES = 5 };

static struct consensus_append sample_append(struct consensus_entry *entries,
                                             const uint8_t *payload)
{
    for (uint32_t i = 0; i < ENTRIES; i++)
        entries[i] = (struct consensus_entry){
            .term = 3 + i / 2,
            .kind = i == 4 ? CONSENSUS_BARRIER : CONSENSUS_COMMAND,
            .size_bytes = i == 4 ? 0 : 100 + i,
            .bytes = i == 4 ? NULL : payload,
        };
    return (struct consensus_append){
        .previous_index = 20,
        .previous_term = 2,
        .commit_index = 23,
        .round = 77,
        .entries = entries,
        .entry_count = ENTRIES,
    };
}

static void entries_arrive_as_they_were_sent(void **state)
{
    (void)state;
    uint8_t payload[128];
    struct consensus_entry entries[ENTRIES];
    memset(payload, 7, sizeof payload);
    struct consensus_message message = {.type = CONSENSUS_APPEND, .term = 9};
    message.append = sample_append(entries, payload);
    struct byte_buffer buffer = {0};
    struct received_message received;
    struct error error;
    message_encode(&message, &buffer);
    assert_int_equal(message_decode(buffer.bytes, buffer.size, &received, &error), ERROR_NONE);
    const struct consensus_append *append = &received.message.append;
    assert_int_equal(received.message.term, 9);
    assert_int_equal(append->previous_index, 20);
    assert_int_equal(append->previous_term, 2);
    assert_int_equal(append->commit_index, 23);
    assert_int_equal(append->round, 77);
    assert_int_equal(append->entry_count, ENTRIES);
    for (size_t i = 0; i < ENTRIES; i++) {
        assert_int_equal(append->entries[i].term, entries[i].term);
        assert_int_equal(append->entries[i].kind, entries[i].kind);
        assert_int_equal(append->entries[i].size_bytes, entries[i].size_bytes);
        if (entries[i].size_bytes > 0)
            assert_memory_equal(append->entries[i].bytes, payload, entries[i].size_bytes);
    }
    received_message_clear(&received);
    byte_buffer_clear(&buffer);
}

static void no_cut_message_is_read(void **state)
{
    (void)state;
    uint8_t payload[128] = {1};
    struct consensus_entry entries[ENTRIES];
    struct membership membership = three_members();
    struct consensus_message messages[6] = {0};
    for (size_t i = 0; i < 6; i++)
        messages[i] = (struct consensus_message){.type = i + 1, .term = 9};
    messages[0].append = sample_append(entries, payload);
    messages[4].install = (struct consensus_install){
        .index = 10,
        .term = 8,
        .membership_index = 2,
        .membership = &membership,
        .bytes = payload,
        .size_bytes = sizeof payload,
    };
    for (size_t i = 0; i < 6; i++) {
        struct byte_buffer buffer = {0};
        struct received_message received;
        struct error error;
        message_encode(&messages[i], &buffer);
        assert_int_equal(message_decode(buffer.bytes, buffer.size, &received, &error), ERROR_NONE);
        assert_int_equal(received.message.type, i + 1);
        received_message_clear(&received);
        for (size_t size = 0; size < buffer.size; size++)
            assert_int_equal(message_decode(buffer.bytes, size, &received, &error), ERROR_CORRUPT);
        byte_buffer_u8(&buffer, 0);
        assert_int_equal(message_decode(buffer.bytes, buffer.size, &received, &error),
                         ERROR_CORRUPT);
        buffer.bytes[0] = 2;
        assert_int_equal(message_decode(buffer.bytes, buffer.size, &received, &error),
                         ERROR_UNSUPPORTED);
        byte_buffer_clear(&buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_decodes_to_what_was_encoded),
        cmocka_unit_test(the_stored_sample_still_decodes),
        cmocka_unit_test(no_torn_or_altered_snapshot_is_read),
        cmocka_unit_test(a_snapshot_tells_of_its_frozen_index),
        cmocka_unit_test(an_impossible_frozen_index_is_refused),
        cmocka_unit_test(an_exported_snapshot_needs_no_log),
        cmocka_unit_test(a_newer_version_is_told_apart_from_damage),
        cmocka_unit_test(entries_arrive_as_they_were_sent),
        cmocka_unit_test(no_cut_message_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
