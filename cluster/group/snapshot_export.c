#include "group/snapshot_export.h"

#include <assert.h>

#include "snapshot_format.h"

enum error_code group_snapshot_export(const struct group_export *export, const uint8_t *state,
                                      size_t state_bytes, struct byte_buffer *buffer,
                                      struct error *error)
{
    assert(export->group_id != 0 && export->index != 0 && buffer->size == 0);

    struct membership membership;
    enum error_code code =
        membership_init(&membership, export->members, export->member_count, error);
    if (code != ERROR_NONE)
        return code;
    struct snapshot_header header = {
        .group_id = export->group_id,
        .index = export->index,
        .term = GROUP_EXPORT_TERM,
        .membership_index = 1, /* as of a group that is new */
        .position = {.applied_index = export->index, .frozen_index = export->index},
    };
    snapshot_encode_head(&header, &membership, NULL, buffer);
    byte_buffer_append(buffer, state, state_bytes);
    snapshot_encode_end(buffer, 0);
    if (buffer->failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "snapshot of a group");
    if (buffer->size > JOURNAL_PAYLOAD_BYTES_MAX)
        return error_set(error, ERROR_LIMIT, "a snapshot of %zu bytes is too large for the log",
                         buffer->size);
    return ERROR_NONE;
}

void group_export_store(struct journal *journal, const struct group_export *export,
                        const struct byte_buffer *bytes, struct journal_request *request)
{
    struct journal_snapshot record = {
        .index = export->index,
        .term = GROUP_EXPORT_TERM,
        .mode = JOURNAL_SNAPSHOT_INSTALLED,
        .version = 1,
        .payload = bytes->bytes,
        .payload_bytes = (uint32_t)bytes->size,
    };
    journal_set_metadata(journal, export->group_id, GROUP_EXPORT_TERM, 0, NULL);
    journal_set_snapshot(journal, export->group_id, &record, request);
}
