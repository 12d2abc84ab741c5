/* Any bytes as the message of a frame of remote read, and as a frame. */
#include <stdlib.h>

#include "wire/read_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static enum error_code see(void *context, const struct read_stream_series *series,
                           struct error *error)
{
    (void)context, (void)error;
    struct labels_cursor cursor = labels_begin(series->labels);
    struct label label;
    while (labels_next(&cursor, &label))
        if (label.name.size == 0 || label.value.size == 0)
            abort();
    for (size_t i = 0; i < series->samples.count; i++)
        if (series->samples.histograms[i] != NULL && !series->samples.has_histograms)
            abort();
    return ERROR_NONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct arena *arena = arena_create(256 * 1024 * 1024);
    struct read_frame frame = {.message = input, .message_size = size};
    struct error error;
    if (arena == NULL)
        abort();
    read_frame_visit(&frame, arena, see, NULL, &error);
    if (read_frame_decode(input, size, &frame, &error) == ERROR_NONE &&
        (frame.frame_size > size || frame.message_size > frame.frame_size))
        abort();
    arena_destroy(arena);
    return 0;
}
