/* A Raft message from another node: what decodes is sane, and encodes to something that decodes
 * to the same. */
#include <stdlib.h>
#include <string.h>

#include "../../cluster/group/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Padding may differ; what is read may not. */
static void compare_entries(const struct consensus_append *left,
                            const struct consensus_append *right)
{
    if (left->entry_count != right->entry_count)
        abort();
    for (size_t i = 0; i < left->entry_count; i++) {
        const struct consensus_entry *one = &left->entries[i], *other = &right->entries[i];
        if (one->term != other->term || one->kind != other->kind ||
            one->size_bytes != other->size_bytes ||
            (one->size_bytes > 0 && memcmp(one->bytes, other->bytes, one->size_bytes) != 0))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct received_message received, again;
    struct error error;
    if (message_decode(bytes, size, &received, &error) != ERROR_NONE)
        return 0;
    struct byte_buffer buffer = {0};
    message_encode(&received.message, &buffer);
    if (buffer.failed || message_decode(buffer.bytes, buffer.size, &again, &error) != ERROR_NONE ||
        again.message.type != received.message.type || again.message.term != received.message.term)
        abort();
    if (received.message.type == CONSENSUS_APPEND)
        compare_entries(&received.message.append, &again.message.append);
    received_message_clear(&received);
    received_message_clear(&again);
    byte_buffer_clear(&buffer);
    return 0;
}
