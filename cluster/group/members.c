#include "members.h"

#include <assert.h>
#include <string.h>

static const int raft_roles[] = {
    [GROUP_ROLE_STANDBY] = RAFT_STANDBY,
    [GROUP_ROLE_VOTER] = RAFT_VOTER,
    [GROUP_ROLE_SPARE] = RAFT_SPARE,
};

int members_role_to_raft(enum group_role role)
{
    assert(role <= GROUP_ROLE_SPARE);
    return raft_roles[role];
}

static enum group_role role_from_raft(int role)
{
    return role == RAFT_VOTER     ? GROUP_ROLE_VOTER
           : role == RAFT_STANDBY ? GROUP_ROLE_STANDBY
                                  : GROUP_ROLE_SPARE;
}

void members_encode(const struct raft_configuration *configuration, struct byte_buffer *buffer)
{
    assert(configuration->n <= GROUP_MEMBERS_MAX);
    byte_buffer_u8(buffer, (uint8_t)configuration->n);
    for (unsigned i = 0; i < configuration->n; i++) {
        const struct raft_server *server = &configuration->servers[i];
        size_t size_bytes = strlen(server->address);
        assert(size_bytes <= GROUP_ADDRESS_BYTES_MAX);
        byte_buffer_u64(buffer, server->id);
        byte_buffer_u8(buffer, (uint8_t)role_from_raft(server->role));
        byte_buffer_u8(buffer, (uint8_t)size_bytes);
        byte_buffer_append(buffer, server->address, size_bytes);
    }
}

enum error_code members_to_configuration(const struct group_member *members, size_t count,
                                         struct raft_configuration *configuration_out,
                                         struct error *error)
{
    struct raft_configuration configuration;
    raft_configuration_init(&configuration);
    if (count > GROUP_MEMBERS_MAX)
        return error_set(error, ERROR_INVALID, "members: %zu, at most %d", count,
                         GROUP_MEMBERS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (members[i].node_id == 0 || members[i].role > GROUP_ROLE_SPARE ||
            members[i].address[0] == '\0') {
            raft_configuration_close(&configuration);
            return error_set(error, ERROR_INVALID, "members: number %zu", i);
        }
        int result = raft_configuration_add(&configuration, members[i].node_id, members[i].address,
                                            raft_roles[members[i].role]);
        if (result != 0) {
            raft_configuration_close(&configuration);
            return error_set(error, result == RAFT_NOMEM ? ERROR_OUT_OF_MEMORY : ERROR_INVALID,
                             "members: number %zu: %s", i, raft_strerror(result));
        }
    }
    *configuration_out = configuration;
    return ERROR_NONE;
}

enum error_code members_decode(struct byte_reader *reader,
                               struct raft_configuration *configuration_out, struct error *error)
{
    struct group_member members[GROUP_MEMBERS_MAX];
    uint8_t count = byte_reader_u8(reader);
    if (reader->failed || count > GROUP_MEMBERS_MAX)
        return error_set(error, ERROR_CORRUPT, "members: count");
    for (uint8_t i = 0; i < count; i++) {
        uint64_t node_id = byte_reader_u64(reader);
        uint8_t role = byte_reader_u8(reader);
        uint8_t size_bytes = byte_reader_u8(reader);
        const uint8_t *address = byte_reader_take(reader, size_bytes);
        if (address == NULL || node_id == 0 || role > GROUP_ROLE_SPARE || size_bytes == 0 ||
            memchr(address, '\0', size_bytes) != NULL)
            return error_set(error, ERROR_CORRUPT, "members: number %u", i);
        members[i] = (struct group_member){.node_id = node_id, .role = (enum group_role)role};
        memcpy(members[i].address, address, size_bytes);
    }
    enum error_code code = members_to_configuration(members, count, configuration_out, error);
    if (code == ERROR_INVALID) /* the same id or address twice, from outside */
        error->code = code = ERROR_CORRUPT;
    return code;
}

enum error_code members_decode_entry(const struct raft_buffer *buffer,
                                     struct raft_configuration *configuration_out,
                                     struct error *error)
{
    struct byte_reader reader = byte_reader_over(buffer->base, buffer->len);
    struct raft_configuration configuration;
    raft_configuration_init(&configuration);
    uint8_t version = byte_reader_u8(&reader);
    uint64_t count = byte_reader_u64(&reader);
    if (reader.failed || version != 1)
        return error_set(error, ERROR_CORRUPT, "members: entry of version %u", version);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t node_id = byte_reader_u64(&reader);
        const char *address = (const char *)reader.position;
        const uint8_t *end = memchr(reader.position, '\0', byte_reader_left(&reader));
        int result = RAFT_MALFORMED;
        if (end != NULL) {
            byte_reader_take(&reader, (size_t)(end + 1 - reader.position));
            uint8_t role = byte_reader_u8(&reader);
            if (!reader.failed && role <= RAFT_SPARE)
                result = raft_configuration_add(&configuration, node_id, address, role);
        }
        if (result != 0) {
            raft_configuration_close(&configuration);
            return error_set(error, ERROR_CORRUPT, "members: entry, number %llu: %s",
                             (unsigned long long)i, raft_strerror(result));
        }
    }
    *configuration_out = configuration;
    return ERROR_NONE;
}

size_t members_from_configuration(const struct raft_configuration *configuration,
                                  struct group_member *members_out)
{
    size_t count = configuration->n < GROUP_MEMBERS_MAX ? configuration->n : GROUP_MEMBERS_MAX;
    for (size_t i = 0; i < count; i++) {
        const struct raft_server *server = &configuration->servers[i];
        members_out[i] = (struct group_member){
            .node_id = server->id,
            .role = role_from_raft(server->role),
        };
        size_t size_bytes = strnlen(server->address, GROUP_ADDRESS_BYTES_MAX);
        memcpy(members_out[i].address, server->address, size_bytes);
    }
    return count;
}
