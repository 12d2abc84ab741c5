#include "consensus/membership.h"

#include <assert.h>
#include <string.h>

/* --- Looking ------------------------------------------------------------------------------- */

const struct consensus_member *membership_find(const struct membership *membership,
                                               uint64_t node_id)
{
    for (size_t i = 0; i < membership->count; i++)
        if (membership->members[i].node_id == node_id)
            return &membership->members[i];
    return NULL;
}

bool membership_has_voter(const struct membership *membership, uint64_t node_id)
{
    const struct consensus_member *member = membership_find(membership, node_id);
    return member != NULL && member->role == CONSENSUS_ROLE_VOTER;
}

size_t membership_voter_count(const struct membership *membership)
{
    size_t count = 0;
    for (size_t i = 0; i < membership->count; i++)
        count += membership->members[i].role == CONSENSUS_ROLE_VOTER;
    return count;
}

static const struct consensus_member *find_address(const struct membership *membership,
                                                   const char *address)
{
    for (size_t i = 0; i < membership->count; i++)
        if (strcmp(membership->members[i].address, address) == 0)
            return &membership->members[i];
    return NULL;
}

/* --- Changing ------------------------------------------------------------------------------ */

enum error_code membership_set(struct membership *membership, const struct consensus_member *member,
                               struct error *error)
{
    if (member->node_id == 0 || member->role > CONSENSUS_ROLE_SPARE || member->address[0] == '\0')
        return error_set(error, ERROR_INVALID, "members: id, role or address of member %llu",
                         (unsigned long long)member->node_id);
    const struct consensus_member *namesake = find_address(membership, member->address);
    if (namesake != NULL && namesake->node_id != member->node_id)
        return error_set(error, ERROR_INVALID, "members: address '%s' twice", member->address);
    struct consensus_member *known =
        (struct consensus_member *)membership_find(membership, member->node_id);
    if (known == NULL && membership->count == CONSENSUS_MEMBERS_MAX)
        return error_set(error, ERROR_INVALID, "members: more than %d", CONSENSUS_MEMBERS_MAX);
    if (known == NULL)
        known = &membership->members[membership->count++];
    *known = *member;
    return ERROR_NONE;
}

bool membership_remove(struct membership *membership, uint64_t node_id)
{
    const struct consensus_member *member = membership_find(membership, node_id);
    if (member == NULL)
        return false;
    size_t position = (size_t)(member - membership->members);
    membership->count--;
    memmove(&membership->members[position], &membership->members[position + 1],
            (membership->count - position) * sizeof *member);
    return true;
}

enum error_code membership_init(struct membership *membership,
                                const struct consensus_member *members, size_t count,
                                struct error *error)
{
    membership->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (membership_find(membership, members[i].node_id) != NULL)
            return error_set(error, ERROR_INVALID, "members: id %llu twice",
                             (unsigned long long)members[i].node_id);
        enum error_code code = membership_set(membership, &members[i], error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- Bytes --------------------------------------------------------------------------------- */

void membership_encode(const struct membership *membership, struct byte_buffer *buffer)
{
    assert(membership->count <= CONSENSUS_MEMBERS_MAX);
    byte_buffer_u8(buffer, (uint8_t)membership->count);
    for (size_t i = 0; i < membership->count; i++) {
        const struct consensus_member *member = &membership->members[i];
        size_t size_bytes = strlen(member->address);
        assert(size_bytes <= CONSENSUS_ADDRESS_BYTES_MAX);
        byte_buffer_u64(buffer, member->node_id);
        byte_buffer_u8(buffer, (uint8_t)member->role);
        byte_buffer_u8(buffer, (uint8_t)size_bytes);
        byte_buffer_append(buffer, member->address, size_bytes);
    }
}

enum error_code membership_decode(struct byte_reader *reader, struct membership *membership_out,
                                  struct error *error)
{
    struct consensus_member members[CONSENSUS_MEMBERS_MAX];
    uint8_t count = byte_reader_u8(reader);
    if (reader->failed || count > CONSENSUS_MEMBERS_MAX)
        return error_set(error, ERROR_CORRUPT, "members: count");
    for (uint8_t i = 0; i < count; i++) {
        uint64_t node_id = byte_reader_u64(reader);
        uint8_t role = byte_reader_u8(reader);
        uint8_t size_bytes = byte_reader_u8(reader);
        const uint8_t *address = byte_reader_take(reader, size_bytes);
        if (address == NULL || role > CONSENSUS_ROLE_SPARE || size_bytes == 0 ||
            memchr(address, '\0', size_bytes) != NULL)
            return error_set(error, ERROR_CORRUPT, "members: number %u", i);
        members[i] =
            (struct consensus_member){.node_id = node_id, .role = (enum consensus_role)role};
        memcpy(members[i].address, address, size_bytes);
    }
    struct membership membership;
    enum error_code code = membership_init(&membership, members, count, error);
    if (code != ERROR_NONE) {
        error->code = ERROR_CORRUPT; /* the same id or address twice, from outside */
        return ERROR_CORRUPT;
    }
    *membership_out = membership;
    return ERROR_NONE;
}
