/*
 * An Accept header and a series of any names, in the form that the header asks for: the answer has
 * no line breaks but its own, and escaped names are plain.
 */
#include <stdlib.h>

#include "model/labels.h"
#include "wire/exposition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t lines_in(const struct byte_buffer *buffer)
{
    size_t lines = 0;
    for (size_t i = 0; i < buffer->size; i++)
        lines += buffer->bytes[i] == '\n';
    return lines;
}

/* Up to the next zero. */
static struct text take(struct text *rest)
{
    struct text head;
    text_split(*rest, '\0', &head, rest);
    return head;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rest = {(const char *)data, size};
    struct exposition exposition = {.form = exposition_negotiate(take(&rest))};
    if (exposition_content_type(exposition.form).size == 0)
        abort();
    struct arena *arena = arena_create(0);
    struct label array[] = {
        {LABEL_METRIC_NAME, take(&rest)}, {take(&rest), take(&rest)}, {take(&rest), rest}};
    size_t count = label_array_sort(array, 3);
    struct exposition_sample sample = {
        .labels = labels_build(arena, array, count),
        .default_label = TEXT("instance"),
        .timestamp_ms = -1,
        .value = (double)size,
    };
    struct byte_buffer answer = {0};
    bool told = exposition_append(&exposition, &sample, &answer);
    exposition_finish(&exposition, &answer);
    if (!told && answer.size > 0)
        abort();
    /* In UTF-8 a name may hold a line break, which Prometheus escapes. */
    if (told && exposition.form.format == EXPOSITION_TEXT && lines_in(&answer) != 2)
        abort();
    byte_buffer_clear(&answer);
    exposition_clear(&exposition);
    arena_destroy(arena);
    return 0;
}
