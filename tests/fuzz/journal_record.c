/*
 * Recovery over hostile bytes: the input is the content of one segment. With an odd first byte its
 * checksums are made right first, so that what lies behind them is reached.
 */
#include <stdlib.h>
#include <string.h>

#include "../../cluster/journal/group_index.h"
#include "../../cluster/journal/scan.h"
#include "base/bytes.h"
#include "base/checksum.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Make headers and records check where they are whole; lengths stay hostile. */
static void checksums_repair(uint8_t *content, size_t size)
{
    store_u32(content + 60, crc32c(0, content, 60));
    uint64_t salt = load_u64(content + 40);
    for (size_t block = SEGMENT_DATA_OFFSET; block + BATCH_HEADER_BYTES <= size;
         block += BLOCK_BYTES) {
        uint8_t *batch = content + block;
        memcpy(batch, "GJBT", 4);
        store_u32(batch + 4, crc32c(0, batch + 8, BATCH_HEADER_BYTES - 8) ^ (uint32_t)salt);
        size_t position = BATCH_HEADER_BYTES;
        struct record record;
        size_t taken;
        while ((taken = record_view(batch + position, size - block - position, &record)) > 0 &&
               position < load_u32(batch + 44)) {
            store_u32(batch + position, crc32c(0, batch + position + 4,
                                               RECORD_HEADER_BYTES - 4 + record.payload_bytes) ^
                                            (uint32_t)salt);
            position += taken;
        }
    }
}

struct replay {
    struct group_index index;
    struct segment segment;
    uint64_t generation;
};

static enum error_code replay_record(void *context, const struct record *record, uint64_t offset,
                                     struct error *error)
{
    struct replay *replay = context;
    struct location location = {&replay->segment, (uint32_t)(offset / 8), record->payload_bytes};
    enum error_code code =
        group_index_apply(&replay->index, record, location, replay->generation, error);
    const struct group_state *state = group_index_find(&replay->index, record->group);
    if (state != NULL && (state->first_index > state->next_index || state->first_index == 0))
        abort();
    return code == ERROR_OUT_OF_MEMORY ? code : ERROR_NONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1 + SEGMENT_DATA_OFFSET)
        return 0;
    size_t content_size = size - 1;
    uint8_t *content = malloc(content_size);
    memcpy(content, bytes + 1, content_size);
    if (bytes[0] & 1)
        checksums_repair(content, content_size);
    struct segment_scan scan;
    struct error error;
    if (scan_segment(content, content_size, &scan, &error) == ERROR_NONE) {
        struct replay replay = {.generation = scan.header.generation};
        for (size_t i = 0; i < scan.count; i++)
            if (scan_records(&scan, &scan.batches[i], replay_record, &replay, &error) != ERROR_NONE)
                break;
        group_index_clear(&replay.index);
        segment_scan_clear(&scan);
    }
    free(content);
    return 0;
}
