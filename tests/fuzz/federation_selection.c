/*
 * Bytes of another cluster: by the first byte a question, which must encode to what decodes to the
 * same, or an answer, whose payloads must lie within it.
 */
#include <stdlib.h>

#include "federation/selection.h"
#include "federation_private.h"
#include "promql/series_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void question(const uint8_t *bytes, size_t size, struct arena *arena)
{
    struct selection selection, again;
    struct error error;
    struct byte_buffer buffer = {0};
    if (selection_decode(bytes, size, arena, &selection, &error) != ERROR_NONE)
        return;
    selection_encode(&selection, &buffer);
    require(!buffer.failed);
    require(selection_decode(buffer.bytes, buffer.size, arena, &again, &error) == ERROR_NONE);
    require(again.kind == selection.kind && again.need == selection.need);
    require(text_equal(again.name, selection.name));
    require(labels_equal(again.external_labels, selection.external_labels));
    require(again.start_ms == selection.start_ms && again.end_ms == selection.end_ms);
    require(again.series_limit == selection.series_limit);
    require(again.matcher_count == selection.matcher_count);
    selection_clear(&selection);
    selection_clear(&again);
    byte_buffer_clear(&buffer);
}

static void answer(const uint8_t *bytes, size_t size, struct arena *arena)
{
    struct selection_answer read;
    struct error error;
    struct series_list list = {.arena = arena, .end_ms = INT64_MAX / 2};
    const uint8_t *payload;
    size_t payload_size;
    if (selection_answer_open(bytes, size, &read, &error) != ERROR_NONE)
        return;
    while (selection_answer_next(&read, &payload, &payload_size)) {
        require(payload >= bytes && payload_size <= size - (size_t)(payload - bytes));
        if (series_list_add(&list, payload, payload_size, &error) != ERROR_NONE)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1)
        return 0;
    struct arena *arena = arena_create(64 * 1024 * 1024);
    struct error error;
    if (bytes[0] % 3 == 0)
        question(bytes + 1, size - 1, arena);
    else if (bytes[0] % 3 == 1)
        answer(bytes + 1, size - 1, arena);
    else
        (void)federation_check_frames((struct text){(const char *)bytes + 1, size - 1}, &error);
    arena_destroy(arena);
    return 0;
}
