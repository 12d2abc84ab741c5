/* Any bytes as the meta.json of a block. */
#include <stdlib.h>

#include "tsdb/tsdb_meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct arena *arena = arena_create(64 * 1024 * 1024);
    struct tsdb_meta meta, again;
    struct error error;
    struct byte_buffer json = {0};
    if (arena == NULL)
        abort();
    if (tsdb_meta_decode(input, size, arena, &meta, &error) == ERROR_NONE) {
        struct labels labels;
        if (!tsdb_ulid_is(meta.ulid))
            abort();
        /* Labels of any length come in; those that are stored are checked where they are. */
        if (meta.external_labels.size > 0)
            labels_decode(meta.external_labels.bytes, meta.external_labels.size, &labels, &error);
        tsdb_meta_encode(&meta, &json);
        if (tsdb_meta_decode(json.bytes, json.size, arena, &again, &error) != ERROR_NONE ||
            again.start_ms != meta.start_ms || again.end_ms != meta.end_ms)
            abort();
    }
    byte_buffer_clear(&json);
    arena_destroy(arena);
    return 0;
}
