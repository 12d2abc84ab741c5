/* Members of a group. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "consensus/membership.h"

static const struct consensus_member MEMBERS[] = {
    {.node_id = 1, .role = CONSENSUS_ROLE_VOTER, .address = "a:1"},
    {.node_id = 7, .role = CONSENSUS_ROLE_STANDBY, .address = "b:1"},
    {.node_id = 9, .role = CONSENSUS_ROLE_SPARE, .address = "c:1"},
};

static struct membership three_members(void)
{
    struct membership membership;
    struct error error;
    assert_int_equal(membership_init(&membership, MEMBERS, 3, &error), ERROR_NONE);
    return membership;
}

static void members_are_found_changed_and_removed(void **state)
{
    (void)state;
    struct membership membership = three_members();
    struct error error;
    assert_true(membership_has_voter(&membership, 1));
    assert_false(membership_has_voter(&membership, 7));
    assert_null(membership_find(&membership, 8));
    struct consensus_member promoted = MEMBERS[1];
    promoted.role = CONSENSUS_ROLE_VOTER;
    assert_int_equal(membership_set(&membership, &promoted, &error), ERROR_NONE);
    assert_int_equal(membership_voter_count(&membership), 2);
    assert_true(membership_remove(&membership, 1));
    assert_false(membership_remove(&membership, 1));
    assert_int_equal(membership.count, 2);
    assert_int_equal(membership.members[1].node_id, 9);
}

static void the_same_id_or_address_twice_is_refused(void **state)
{
    (void)state;
    struct consensus_member members[CONSENSUS_MEMBERS_MAX + 1];
    struct membership membership;
    struct error error;
    memset(members, 0, sizeof members);
    for (size_t i = 0; i <= CONSENSUS_MEMBERS_MAX; i++) {
        members[i].node_id = i + 1;
        members[i].address[0] = (char)('a' + i);
    }
    assert_int_equal(membership_init(&membership, members, CONSENSUS_MEMBERS_MAX, &error),
                     ERROR_NONE);
    assert_int_equal(membership_init(&membership, members, CONSENSUS_MEMBERS_MAX + 1, &error),
                     ERROR_INVALID);
    members[1].address[0] = 'a';
    assert_int_equal(membership_init(&membership, members, 2, &error), ERROR_INVALID);
    members[1].address[0] = 'b';
    members[1].node_id = 1;
    assert_int_equal(membership_init(&membership, members, 2, &error), ERROR_INVALID);
    members[1].node_id = 0;
    assert_int_equal(membership_init(&membership, members, 2, &error), ERROR_INVALID);
}

static void bytes_hold_all_and_no_cut_is_read(void **state)
{
    (void)state;
    struct membership membership = three_members(), decoded;
    struct byte_buffer buffer = {0};
    struct error error;
    membership_encode(&membership, &buffer);
    for (size_t size = 0; size <= buffer.size; size++) {
        struct byte_reader reader = byte_reader_over(buffer.bytes, size);
        assert_int_equal(membership_decode(&reader, &decoded, &error),
                         size == buffer.size ? ERROR_NONE : ERROR_CORRUPT);
    }
    assert_int_equal(decoded.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(decoded.members[i].node_id, MEMBERS[i].node_id);
        assert_int_equal(decoded.members[i].role, MEMBERS[i].role);
        assert_string_equal(decoded.members[i].address, MEMBERS[i].address);
    }
    byte_buffer_clear(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found_changed_and_removed),
        cmocka_unit_test(the_same_id_or_address_twice_is_refused),
        cmocka_unit_test(bytes_hold_all_and_no_cut_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
