/* A Raft message from another node: what decodes is sane, and encodes to something that decodes
 * to the same. */
#include <stdlib.h>
#include <string.h>

#include "../../cluster/group/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct raft_message message, again;
    struct error error;
    if (message_decode(bytes, size, &message, &error) != ERROR_NONE)
        return 0;
    size_t entries = message.type == RAFT_IO_APPEND_ENTRIES ? message.append_entries.n_entries : 0;
    struct byte_buffer buffer = {0};
    message_encode(&message, 0, entries, &buffer);
    if (buffer.failed || message_decode(buffer.bytes, buffer.size, &again, &error) != ERROR_NONE ||
        again.type != message.type)
        abort();
    /* Padding may differ; what is read may not. */
    if (message.type == RAFT_IO_APPEND_ENTRIES)
        for (size_t i = 0; i < entries; i++) {
            const struct raft_entry *left = &message.append_entries.entries[i];
            const struct raft_entry *right = &again.append_entries.entries[i];
            if (left->term != right->term || left->type != right->type ||
                left->buf.len != right->buf.len ||
                (left->buf.len > 0 && memcmp(left->buf.base, right->buf.base, left->buf.len) != 0))
                abort();
        }
    message_clear(&message);
    message_clear(&again);
    byte_buffer_clear(&buffer);
    return 0;
}
