/*
 * The answer of another node: frames, cut in two where the first byte says, and the records in
 * them. What is read must be safe to use: ascending timestamps in the range, canonical labels,
 * histograms that can be copied.
 */
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "promql/record_format.h"
#include "promql/series_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { START_MS = -1000000, END_MS = 1000000000 };

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_columns(const struct sample_columns *columns, struct arena *arena)
{
    for (size_t i = 0; i < columns->count; i++) {
        require(columns->timestamps_ms[i] >= START_MS && columns->timestamps_ms[i] <= END_MS);
        require(i == 0 || columns->timestamps_ms[i - 1] < columns->timestamps_ms[i]);
        volatile double value = columns->values[i];
        (void)value;
        struct histogram copy;
        if (columns->histograms != NULL && columns->histograms[i] != NULL &&
            histogram_copy(arena, columns->histograms[i], &copy))
            require(histogram_equal(columns->histograms[i], &copy));
    }
}

static void read_list(const struct series_list *list, struct arena *arena)
{
    struct answer_decoder *decoder;
    struct error error;
    if (answer_decoder_create(&decoder, &error) != ERROR_NONE)
        return;
    for (size_t i = 0; i < list->count; i++) {
        struct sample_columns columns;
        struct labels labels = list->entries[i].labels;
        require(labels_decode(labels.bytes, labels.size, &labels, &error) == ERROR_NONE);
        if (list->need != SERIES_NEED_LABELS &&
            answer_decoder_read(decoder, list, i, &columns, &error) == ERROR_NONE)
            check_columns(&columns, arena);
    }
    answer_decoder_destroy(decoder);
}

static void read_records(const struct frame *frame, struct arena *arena)
{
    struct byte_reader reader = byte_reader_over(frame->payload, frame->size);
    struct text text;
    while (record_read_text(&reader, &text))
        require(text.size <= frame->size);
    reader = byte_reader_over(frame->payload, frame->size);
    struct metric_metadata metadata;
    while (record_read_metadata(&reader, &text, &metadata))
        require(metadata.type < METRIC_TYPES);
    reader = byte_reader_over(frame->payload, frame->size);
    struct series_exemplars series;
    struct error error;
    while (byte_reader_left(&reader) > 0 &&
           record_read_exemplars(&reader, arena, &series, &error) == ERROR_NONE)
        require(series.count <= frame->size);
}

/* What is understood can be written again and means the same. */
static bool take_windows(const struct frame *frame, struct arena *arena)
{
    struct told_windows told, again;
    struct byte_buffer buffer = {0};
    struct error error;
    uint32_t shard_id, same_id;
    enum error_code code =
        told_windows_decode(frame->payload, frame->size, arena, &shard_id, &told, &error);
    if (code != ERROR_NONE)
        return false;
    told_windows_encode(&buffer, shard_id, &told);
    code = told_windows_decode(buffer.bytes, buffer.size, arena, &same_id, &again, &error);
    byte_buffer_clear(&buffer);
    if (code == ERROR_OUT_OF_MEMORY)
        return false;
    require(code == ERROR_NONE && same_id == shard_id && again.is_known == told.is_known &&
            again.count == told.count && again.first == told.first);
    require(memcmp(again.versions, told.versions, told.count * sizeof *told.versions) == 0);
    return true;
}

static bool take_frame(const struct frame *frame, struct series_list *lists, struct arena *arena)
{
    struct error error;
    struct frame_shard shard;
    struct frame_shard_end end;
    switch (frame->type) {
    case FRAME_SHARD:
        return frame_shard_decode(frame->payload, frame->size, &shard, &error) == ERROR_NONE;
    case FRAME_SHARD_END:
        return frame_shard_end_decode(frame->payload, frame->size, &end, &error) == ERROR_NONE;
    case FRAME_ALIVE:
        return frame->size == 0;
    case FRAME_WINDOWS:
        return take_windows(frame, arena);
    case FRAME_DATA:
        break;
    }
    read_records(frame, arena);
    for (int i = 0; i < 2; i++)
        if (series_list_add(&lists[i], frame->payload, frame->size, &error) != ERROR_NONE)
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1)
        return 0;
    struct arena *arena = arena_create(64 * 1024 * 1024);
    struct series_list lists[] = {
        {.arena = arena, .need = SERIES_NEED_ALL, .start_ms = START_MS, .end_ms = END_MS},
        {.arena = arena, .need = SERIES_NEED_LABELS},
    };
    struct frame_reader reader = {0};
    size_t cut = 1 + bytes[0] % size;
    bool goes_on = true;
    for (size_t at = 1; goes_on && at < size;) {
        struct frame frame;
        struct error error;
        size_t taken;
        bool is_complete;
        size_t end = at < cut ? cut : size;
        goes_on = frame_reader_feed(&reader, arena, bytes + at, end - at, &taken, &frame,
                                    &is_complete, &error) == ERROR_NONE;
        if (goes_on && is_complete)
            goes_on = take_frame(&frame, lists, arena);
        at += goes_on ? taken : 0;
    }
    read_list(&lists[0], arena);
    read_list(&lists[1], arena);
    arena_destroy(arena);
    return 0;
}
