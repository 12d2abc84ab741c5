/* Entries of the meta group: what is understood is applied to a cluster, and whatever it does there
 * leaves a state that can be stored and read. The input is a log: u16 size, entry, ... */
#include <stdlib.h>
#include <string.h>

#include "membership/cluster_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What is decoded encodes to bytes that decode. */
static void check_round_trip(const uint8_t *bytes, size_t size)
{
    struct arena *arena = arena_create(0);
    struct cluster_entry entry;
    struct byte_buffer buffer = {0};
    struct error error;
    if (arena == NULL)
        return;
    if (cluster_entry_decode(bytes, size, arena, &entry, &error) == ERROR_NONE) {
        if (cluster_entry_encode(&entry, &buffer, &error) != ERROR_NONE)
            abort();
        if (cluster_entry_decode(buffer.bytes, buffer.size, arena, &entry, &error) != ERROR_NONE)
            abort();
    }
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
}

static void check_state(const struct cluster_state *state)
{
    struct byte_buffer buffer = {0};
    struct cluster_state *again;
    struct error error;
    cluster_state_encode(state, &buffer);
    if (cluster_state_decode(buffer.bytes, buffer.size, CLUSTER_VERSION_MAX, &again, &error) !=
        ERROR_NONE)
        abort();
    cluster_state_destroy(again);
    byte_buffer_clear(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    struct cluster_state *state;
    struct cluster_outcome outcome;
    struct error error;
    if (cluster_state_create(CLUSTER_VERSION_MAX, &state, &error) != ERROR_NONE)
        return 0;
    for (uint64_t index = 1; byte_reader_left(&reader) > 2; index++) {
        uint16_t entry_bytes = byte_reader_u16(&reader);
        const uint8_t *entry = byte_reader_take(&reader, entry_bytes);
        if (entry == NULL)
            break;
        check_round_trip(entry, entry_bytes);
        if (cluster_state_apply(state, index, entry, entry_bytes, &outcome, &error) == ERROR_NONE &&
            outcome.changed)
            check_state(state);
    }
    cluster_state_destroy(state);
    return 0;
}
