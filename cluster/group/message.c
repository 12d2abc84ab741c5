#include "message.h"

#include <assert.h>
#include <string.h>

#include "group/group.h"
#include "group/transport.h"
#include "members.h"

/* --- Format -------------------------------------------------------------------------------- */

enum {
    MESSAGE_VERSION = 1,
    ENTRY_HEADER_BYTES = 16, /* term, size, type */
    FLAG_DISRUPT_LEADER = 1,
    FLAG_PRE_VOTE = 2,
};

static size_t padded(size_t size_bytes)
{
    return (size_bytes + 7) & ~(size_t)7;
}

/* --- Encoding ------------------------------------------------------------------------------ */

static void encode_append(const struct raft_append_entries *append, size_t first, size_t count,
                          struct byte_buffer *buffer)
{
    assert(first + count <= append->n_entries);
    uint64_t previous_index = append->prev_log_index + first;
    uint64_t last_index = previous_index + count;

    byte_buffer_u64(buffer, previous_index);
    byte_buffer_u64(buffer, first == 0 ? append->prev_log_term : append->entries[first - 1].term);
    /* A follower takes the commit index as valid for all that it was sent. */
    byte_buffer_u64(buffer,
                    append->leader_commit < last_index ? append->leader_commit : last_index);
    byte_buffer_u32(buffer, (uint32_t)count);
    byte_buffer_u32(buffer, 0);
    for (size_t i = first; i < first + count; i++) {
        const struct raft_entry *entry = &append->entries[i];
        byte_buffer_u64(buffer, entry->term);
        byte_buffer_u32(buffer, (uint32_t)entry->buf.len);
        byte_buffer_u32(buffer, entry->type);
    }
    for (size_t i = first; i < first + count; i++) {
        static const uint8_t zeroes[8];
        const struct raft_buffer *payload = &append->entries[i].buf;
        byte_buffer_append(buffer, payload->base, payload->len);
        byte_buffer_append(buffer, zeroes, padded(payload->len) - payload->len);
    }
}

static void encode_install(const struct raft_install_snapshot *install, struct byte_buffer *buffer)
{
    byte_buffer_u64(buffer, install->last_index);
    byte_buffer_u64(buffer, install->last_term);
    byte_buffer_u64(buffer, install->conf_index);
    members_encode(&install->conf, buffer);
    byte_buffer_u64(buffer, install->data.len);
    byte_buffer_append(buffer, install->data.base, install->data.len);
}

void message_encode(const struct raft_message *message, size_t first_entry, size_t entry_count,
                    struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, MESSAGE_VERSION);
    byte_buffer_u8(buffer, (uint8_t)message->type);
    byte_buffer_u16(buffer, 0);
    byte_buffer_u32(buffer, 0);

    switch (message->type) {
    case RAFT_IO_APPEND_ENTRIES:
        byte_buffer_u64(buffer, message->append_entries.term);
        encode_append(&message->append_entries, first_entry, entry_count, buffer);
        break;
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        byte_buffer_u64(buffer, message->append_entries_result.term);
        byte_buffer_u64(buffer, message->append_entries_result.rejected);
        byte_buffer_u64(buffer, message->append_entries_result.last_log_index);
        break;
    case RAFT_IO_REQUEST_VOTE: {
        const struct raft_request_vote *vote = &message->request_vote;
        byte_buffer_u64(buffer, vote->term);
        byte_buffer_u64(buffer, vote->candidate_id);
        byte_buffer_u64(buffer, vote->last_log_index);
        byte_buffer_u64(buffer, vote->last_log_term);
        byte_buffer_u64(buffer, (vote->disrupt_leader ? FLAG_DISRUPT_LEADER : 0) |
                                    (vote->pre_vote ? FLAG_PRE_VOTE : 0));
        break;
    }
    case RAFT_IO_REQUEST_VOTE_RESULT:
        byte_buffer_u64(buffer, message->request_vote_result.term);
        byte_buffer_u32(buffer, message->request_vote_result.vote_granted);
        byte_buffer_u32(buffer, message->request_vote_result.pre_vote);
        break;
    case RAFT_IO_INSTALL_SNAPSHOT:
        byte_buffer_u64(buffer, message->install_snapshot.term);
        encode_install(&message->install_snapshot, buffer);
        break;
    default:
        assert(message->type == RAFT_IO_TIMEOUT_NOW);
        byte_buffer_u64(buffer, message->timeout_now.term);
        byte_buffer_u64(buffer, message->timeout_now.last_log_index);
        byte_buffer_u64(buffer, message->timeout_now.last_log_term);
        break;
    }
}

size_t message_run_of_entries(const struct raft_append_entries *append, size_t first_entry,
                              size_t bytes_max)
{
    size_t count = 0, bytes = 0;
    while (first_entry + count < append->n_entries && count < MESSAGE_ENTRIES_MAX) {
        bytes += ENTRY_HEADER_BYTES + padded(append->entries[first_entry + count].buf.len);
        if (count > 0 && bytes > bytes_max)
            break;
        count++;
    }
    return count;
}

/* --- Decoding ------------------------------------------------------------------------------ */

static enum error_code malformed(struct error *error, const char *what)
{
    return error_set(error, ERROR_CORRUPT, "raft message: %s", what);
}

/* The headers of `count` entries were taken; the payloads follow at the reader. */
static enum error_code decode_entries(struct byte_reader *reader, const uint8_t *headers,
                                      uint32_t count, struct raft_append_entries *append,
                                      struct error *error)
{
    size_t total_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *header = headers + (size_t)i * ENTRY_HEADER_BYTES;
        uint32_t type = load_u32(header + 12);
        if (load_u64(header) == 0 || type < RAFT_COMMAND || type > RAFT_CHANGE)
            return malformed(error, "entry of no kind");
        total_bytes += padded(load_u32(header + 8)); /* 65536 * 2^32 cannot overflow */
    }
    const uint8_t *payloads = byte_reader_take(reader, total_bytes);
    if (payloads == NULL)
        return malformed(error, "payloads cut off");

    struct raft_entry *entries = raft_calloc(count, sizeof *entries);
    uint8_t *batch = raft_malloc(total_bytes == 0 ? 8 : total_bytes);
    if (entries == NULL || batch == NULL) {
        raft_free(entries);
        raft_free(batch);
        return error_set(error, ERROR_OUT_OF_MEMORY, "raft message");
    }
    memcpy(batch, payloads, total_bytes);

    size_t offset = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *header = headers + (size_t)i * ENTRY_HEADER_BYTES;
        entries[i] = (struct raft_entry){
            .term = load_u64(header),
            .type = (unsigned short)load_u32(header + 12),
            .buf = {.base = batch + offset, .len = load_u32(header + 8)},
            .batch = batch,
        };
        offset += padded(entries[i].buf.len);
    }
    append->entries = entries;
    append->n_entries = count;
    return ERROR_NONE;
}

static enum error_code decode_append(struct byte_reader *reader, struct raft_append_entries *append,
                                     struct error *error)
{
    append->prev_log_index = byte_reader_u64(reader);
    append->prev_log_term = byte_reader_u64(reader);
    append->leader_commit = byte_reader_u64(reader);
    uint32_t count = byte_reader_u32(reader);
    byte_reader_u32(reader);
    if (reader->failed || count > MESSAGE_ENTRIES_MAX)
        return malformed(error, "entries");
    if (append->prev_log_index > UINT64_MAX / 2 ||
        (append->prev_log_index == 0) != (append->prev_log_term == 0))
        return malformed(error, "previous entry");
    if (append->leader_commit > append->prev_log_index + count)
        return malformed(error, "commit index beyond the entries");
    const uint8_t *headers = byte_reader_take(reader, (size_t)count * ENTRY_HEADER_BYTES);
    if (headers == NULL)
        return malformed(error, "entries cut off");
    append->entries = NULL;
    append->n_entries = 0;
    return count == 0 ? ERROR_NONE : decode_entries(reader, headers, count, append, error);
}

static enum error_code decode_install(struct byte_reader *reader,
                                      struct raft_install_snapshot *install, struct error *error)
{
    install->last_index = byte_reader_u64(reader);
    install->last_term = byte_reader_u64(reader);
    install->conf_index = byte_reader_u64(reader);
    enum error_code code = members_decode(reader, &install->conf, error);
    if (code != ERROR_NONE)
        return code;

    uint64_t size_bytes = byte_reader_u64(reader);
    const uint8_t *data = size_bytes > SIZE_MAX ? NULL : byte_reader_take(reader, size_bytes);
    if (data == NULL || reader->failed || size_bytes == 0 || install->last_index == 0 ||
        install->last_index > UINT64_MAX / 2 || install->conf_index > install->last_index) {
        raft_configuration_close(&install->conf);
        return malformed(error, "snapshot");
    }
    install->data.base = raft_malloc(size_bytes);
    if (install->data.base == NULL) {
        raft_configuration_close(&install->conf);
        return error_set(error, ERROR_OUT_OF_MEMORY, "raft message");
    }
    memcpy(install->data.base, data, size_bytes);
    install->data.len = size_bytes;
    return ERROR_NONE;
}

static enum error_code decode_body(struct byte_reader *reader, struct raft_message *message,
                                   struct error *error)
{
    uint64_t term = byte_reader_u64(reader);
    switch (message->type) {
    case RAFT_IO_APPEND_ENTRIES:
        message->append_entries.term = term;
        return decode_append(reader, &message->append_entries, error);
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        message->append_entries_result.term = term;
        message->append_entries_result.rejected = byte_reader_u64(reader);
        message->append_entries_result.last_log_index = byte_reader_u64(reader);
        return ERROR_NONE;
    case RAFT_IO_REQUEST_VOTE: {
        struct raft_request_vote *vote = &message->request_vote;
        vote->term = term;
        vote->candidate_id = byte_reader_u64(reader);
        vote->last_log_index = byte_reader_u64(reader);
        vote->last_log_term = byte_reader_u64(reader);
        uint64_t flags = byte_reader_u64(reader);
        vote->disrupt_leader = flags & FLAG_DISRUPT_LEADER;
        vote->pre_vote = flags & FLAG_PRE_VOTE;
        if (flags > (FLAG_DISRUPT_LEADER | FLAG_PRE_VOTE))
            return malformed(error, "vote flags");
        return ERROR_NONE;
    }
    case RAFT_IO_REQUEST_VOTE_RESULT: {
        message->request_vote_result.term = term;
        uint32_t granted = byte_reader_u32(reader);
        uint32_t pre_vote = byte_reader_u32(reader);
        if (granted > 1 || pre_vote > raft_tribool_false)
            return malformed(error, "vote");
        message->request_vote_result.vote_granted = granted;
        message->request_vote_result.pre_vote = (raft_tribool)pre_vote;
        return ERROR_NONE;
    }
    case RAFT_IO_INSTALL_SNAPSHOT:
        message->install_snapshot.term = term;
        return decode_install(reader, &message->install_snapshot, error);
    case RAFT_IO_TIMEOUT_NOW:
        message->timeout_now.term = term;
        message->timeout_now.last_log_index = byte_reader_u64(reader);
        message->timeout_now.last_log_term = byte_reader_u64(reader);
        return ERROR_NONE;
    default:
        return malformed(error, "unknown type");
    }
}

enum error_code message_decode(const uint8_t *bytes, size_t size_bytes,
                               struct raft_message *message_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size_bytes);
    struct raft_message message;
    memset(&message, 0, sizeof message);

    uint8_t version = byte_reader_u8(&reader);
    message.type = byte_reader_u8(&reader);
    uint16_t reserved = byte_reader_u16(&reader);
    uint32_t reserved_too = byte_reader_u32(&reader);
    if (reader.failed || size_bytes > GROUP_MESSAGE_BYTES_MAX)
        return malformed(error, "size");
    if (version != MESSAGE_VERSION || reserved != 0 || reserved_too != 0)
        return error_set(error, ERROR_UNSUPPORTED, "raft message: version %u", version);

    enum error_code code = decode_body(&reader, &message, error);
    if (code != ERROR_NONE)
        return code;
    if (reader.failed || byte_reader_left(&reader) != 0) {
        message_clear(&message);
        return malformed(error, "stray or missing bytes");
    }
    *message_out = message;
    return ERROR_NONE;
}

void message_clear(struct raft_message *message)
{
    if (message->type == RAFT_IO_APPEND_ENTRIES && message->append_entries.n_entries > 0) {
        raft_free(message->append_entries.entries[0].batch);
        raft_free(message->append_entries.entries);
    }
    if (message->type == RAFT_IO_INSTALL_SNAPSHOT) {
        raft_configuration_close(&message->install_snapshot.conf);
        raft_free(message->install_snapshot.data.base);
    }
}
