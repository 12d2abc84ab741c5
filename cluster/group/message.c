#include "message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "group/transport.h"

/* --- Format -------------------------------------------------------------------------------- */

enum {
    MESSAGE_VERSION = 1,
    ENTRY_HEADER_BYTES = 16,   /* term, size, kind */
    HEARTBEAT_BYTES = 16 + 40, /* an append without entries */
    FLAG_DISRUPT_LEADER = 1,
    FLAG_PRE_VOTE = 2,
    FLAG_GRANTED = 1,
};

static size_t padded(size_t size_bytes)
{
    return (size_bytes + 7) & ~(size_t)7;
}

/* --- Encoding ------------------------------------------------------------------------------ */

static void encode_append(const struct consensus_append *append, struct byte_buffer *buffer)
{
    assert(append->entry_count <= MESSAGE_ENTRIES_MAX);
    byte_buffer_u64(buffer, append->previous_index);
    byte_buffer_u64(buffer, append->previous_term);
    byte_buffer_u64(buffer, append->commit_index);
    byte_buffer_u64(buffer, append->round);
    byte_buffer_u32(buffer, (uint32_t)append->entry_count);
    byte_buffer_u32(buffer, 0);
    for (size_t i = 0; i < append->entry_count; i++) {
        const struct consensus_entry *entry = &append->entries[i];
        byte_buffer_u64(buffer, entry->term);
        byte_buffer_u32(buffer, entry->size_bytes);
        byte_buffer_u32(buffer, entry->kind);
    }
    for (size_t i = 0; i < append->entry_count; i++) {
        static const uint8_t zeroes[8];
        const struct consensus_entry *entry = &append->entries[i];
        byte_buffer_append(buffer, entry->bytes, entry->size_bytes);
        byte_buffer_append(buffer, zeroes, padded(entry->size_bytes) - entry->size_bytes);
    }
}

static void encode_install(const struct consensus_install *install, struct byte_buffer *buffer)
{
    byte_buffer_u64(buffer, install->index);
    byte_buffer_u64(buffer, install->term);
    byte_buffer_u64(buffer, install->membership_index);
    membership_encode(install->membership, buffer);
    byte_buffer_u64(buffer, install->size_bytes);
    byte_buffer_append(buffer, install->bytes, install->size_bytes);
}

void message_encode(const struct consensus_message *message, struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, MESSAGE_VERSION);
    byte_buffer_u8(buffer, (uint8_t)message->type);
    byte_buffer_u16(buffer, 0);
    byte_buffer_u32(buffer, 0);
    byte_buffer_u64(buffer, message->term);
    switch (message->type) {
    case CONSENSUS_APPEND:
        encode_append(&message->append, buffer);
        break;
    case CONSENSUS_APPEND_RESULT:
        byte_buffer_u64(buffer, message->append_result.round);
        byte_buffer_u64(buffer, message->append_result.matched_index);
        byte_buffer_u64(buffer, message->append_result.rejected_index);
        byte_buffer_u64(buffer, message->append_result.hint_index);
        break;
    case CONSENSUS_VOTE:
        byte_buffer_u64(buffer, message->vote.last_index);
        byte_buffer_u64(buffer, message->vote.last_term);
        byte_buffer_u64(buffer, (message->vote.disrupt ? FLAG_DISRUPT_LEADER : 0) |
                                    (message->vote.pre_vote ? FLAG_PRE_VOTE : 0));
        break;
    case CONSENSUS_VOTE_RESULT:
        byte_buffer_u64(buffer, (message->vote_result.granted ? FLAG_GRANTED : 0) |
                                    (message->vote_result.pre_vote ? FLAG_PRE_VOTE : 0));
        break;
    case CONSENSUS_INSTALL:
        encode_install(&message->install, buffer);
        break;
    case CONSENSUS_TIMEOUT_NOW:
        byte_buffer_u64(buffer, message->timeout_now.last_index);
        byte_buffer_u64(buffer, message->timeout_now.last_term);
        break;
    }
}

/* --- Decoding ------------------------------------------------------------------------------ */

static enum error_code malformed(struct error *error, const char *what)
{
    return error_set(error, ERROR_CORRUPT, "raft message: %s", what);
}

/* The headers of `count` entries were taken; the payloads follow at the reader. */
static enum error_code decode_entries(struct byte_reader *reader, const uint8_t *headers,
                                      uint32_t count, struct received_message *received,
                                      struct error *error)
{
    size_t total_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *header = headers + (size_t)i * ENTRY_HEADER_BYTES;
        uint32_t kind = load_u32(header + 12);
        if (load_u64(header) == 0 || kind < CONSENSUS_COMMAND || kind > CONSENSUS_MEMBERSHIP)
            return malformed(error, "entry of no kind");
        total_bytes += padded(load_u32(header + 8)); /* 65536 * 2^32 cannot overflow */
    }
    const uint8_t *payloads = byte_reader_take(reader, total_bytes);
    if (payloads == NULL)
        return malformed(error, "payloads cut off");
    received->entries = calloc(count, sizeof *received->entries);
    received->batch = consensus_batch_create(total_bytes);
    if (received->entries == NULL || received->batch == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "raft message");
    memcpy(received->batch->bytes, payloads, total_bytes);

    size_t offset = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *header = headers + (size_t)i * ENTRY_HEADER_BYTES;
        uint32_t size_bytes = load_u32(header + 8);
        received->entries[i] = (struct consensus_entry){
            .term = load_u64(header),
            .kind = (enum consensus_kind)load_u32(header + 12),
            .size_bytes = size_bytes,
            .bytes = size_bytes == 0 ? NULL : received->batch->bytes + offset,
            .batch = size_bytes == 0 ? NULL : received->batch,
        };
        offset += padded(size_bytes);
    }
    return ERROR_NONE;
}

static enum error_code decode_append(struct byte_reader *reader, struct received_message *received,
                                     struct error *error)
{
    struct consensus_append *append = &received->message.append;
    append->previous_index = byte_reader_u64(reader);
    append->previous_term = byte_reader_u64(reader);
    append->commit_index = byte_reader_u64(reader);
    append->round = byte_reader_u64(reader);
    uint32_t count = byte_reader_u32(reader);
    byte_reader_u32(reader);
    if (reader->failed || count > MESSAGE_ENTRIES_MAX)
        return malformed(error, "entries");
    if (append->previous_index > UINT64_MAX / 2 ||
        (append->previous_index == 0) != (append->previous_term == 0))
        return malformed(error, "previous entry");
    const uint8_t *headers = byte_reader_take(reader, (size_t)count * ENTRY_HEADER_BYTES);
    if (headers == NULL)
        return malformed(error, "entries cut off");
    if (count == 0)
        return ERROR_NONE;
    enum error_code code = decode_entries(reader, headers, count, received, error);
    append->entries = received->entries;
    append->entry_count = count;
    return code;
}

static enum error_code decode_install(struct byte_reader *reader, struct received_message *received,
                                      struct error *error)
{
    struct consensus_install *install = &received->message.install;
    install->index = byte_reader_u64(reader);
    install->term = byte_reader_u64(reader);
    install->membership_index = byte_reader_u64(reader);
    enum error_code code = membership_decode(reader, &received->membership, error);
    if (code != ERROR_NONE)
        return code;
    install->membership = &received->membership;
    uint64_t size_bytes = byte_reader_u64(reader);
    install->bytes = size_bytes > SIZE_MAX ? NULL : byte_reader_take(reader, size_bytes);
    install->size_bytes = size_bytes;
    if (install->bytes == NULL || reader->failed || size_bytes == 0 || install->index == 0 ||
        install->index > UINT64_MAX / 2 || install->term == 0 ||
        install->membership_index > install->index)
        return malformed(error, "snapshot");
    return ERROR_NONE;
}

static enum error_code decode_flags(struct byte_reader *reader, uint64_t known, uint64_t *flags_out,
                                    struct error *error)
{
    *flags_out = byte_reader_u64(reader);
    return (*flags_out & ~known) == 0 ? ERROR_NONE : malformed(error, "flags");
}

static enum error_code decode_body(struct byte_reader *reader, struct received_message *received,
                                   struct error *error)
{
    struct consensus_message *message = &received->message;
    enum error_code code = ERROR_NONE;
    uint64_t flags;
    switch (message->type) {
    case CONSENSUS_APPEND:
        return decode_append(reader, received, error);
    case CONSENSUS_APPEND_RESULT:
        message->append_result.round = byte_reader_u64(reader);
        message->append_result.matched_index = byte_reader_u64(reader);
        message->append_result.rejected_index = byte_reader_u64(reader);
        message->append_result.hint_index = byte_reader_u64(reader);
        return ERROR_NONE;
    case CONSENSUS_VOTE:
        message->vote.last_index = byte_reader_u64(reader);
        message->vote.last_term = byte_reader_u64(reader);
        code = decode_flags(reader, FLAG_DISRUPT_LEADER | FLAG_PRE_VOTE, &flags, error);
        message->vote.disrupt = flags & FLAG_DISRUPT_LEADER;
        message->vote.pre_vote = flags & FLAG_PRE_VOTE;
        return code;
    case CONSENSUS_VOTE_RESULT:
        code = decode_flags(reader, FLAG_GRANTED | FLAG_PRE_VOTE, &flags, error);
        message->vote_result.granted = flags & FLAG_GRANTED;
        message->vote_result.pre_vote = flags & FLAG_PRE_VOTE;
        return code;
    case CONSENSUS_INSTALL:
        return decode_install(reader, received, error);
    case CONSENSUS_TIMEOUT_NOW:
        message->timeout_now.last_index = byte_reader_u64(reader);
        message->timeout_now.last_term = byte_reader_u64(reader);
        return ERROR_NONE;
    default:
        return malformed(error, "unknown type");
    }
}

enum error_code message_decode(const uint8_t *bytes, size_t size_bytes,
                               struct received_message *received_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size_bytes);
    memset(received_out, 0, sizeof *received_out);
    uint8_t version = byte_reader_u8(&reader);
    received_out->message.type = byte_reader_u8(&reader);
    uint16_t reserved = byte_reader_u16(&reader);
    uint32_t reserved_too = byte_reader_u32(&reader);
    if (reader.failed || size_bytes > GROUP_MESSAGE_BYTES_MAX)
        return malformed(error, "size");
    if (version != MESSAGE_VERSION || reserved != 0 || reserved_too != 0)
        return error_set(error, ERROR_UNSUPPORTED, "raft message: version %u", version);

    received_out->message.term = byte_reader_u64(&reader);
    enum error_code code = decode_body(&reader, received_out, error);
    if (code == ERROR_NONE && (reader.failed || byte_reader_left(&reader) != 0))
        code = malformed(error, "stray or missing bytes");
    if (code == ERROR_NONE && received_out->message.term > UINT64_MAX / 2)
        code = malformed(error, "term");
    if (code != ERROR_NONE)
        received_message_clear(received_out);
    return code;
}

bool message_is_bulky(const uint8_t *bytes, size_t size_bytes)
{
    return size_bytes > HEARTBEAT_BYTES &&
           (bytes[1] == CONSENSUS_APPEND || bytes[1] == CONSENSUS_INSTALL);
}

void received_message_clear(struct received_message *received)
{
    consensus_batch_unref(received->batch);
    free(received->entries);
    received->batch = NULL;
    received->entries = NULL;
}
