#include "federation/selection.h"

#include <assert.h>

#include "selection_frame.h"

enum {
    SELECTION_VERSION = 1,
    MATCHERS_MAX = 1000,
};

/* Times are far from overflow whatever is added to them once. */
#define TIME_MIN_MS (INT64_MIN / 2)
#define TIME_MAX_MS (INT64_MAX / 2)

/* --- The question ---------------------------------------------------------------------------- */

void selection_encode(const struct selection *selection, struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, SELECTION_VERSION);
    byte_buffer_u8(buffer, (uint8_t)selection->kind);
    byte_buffer_text(buffer, selection->name);
    byte_buffer_text(buffer, (struct text){(const char *)selection->external_labels.bytes,
                                           selection->external_labels.size});
    byte_buffer_zigzag(buffer, selection->start_ms);
    byte_buffer_zigzag(buffer, selection->end_ms);
    byte_buffer_u8(buffer, (uint8_t)selection->need);
    byte_buffer_varint(buffer, selection->series_limit);
    byte_buffer_varint(buffer, selection->timeout_ms);
    byte_buffer_varint(buffer, selection->matcher_count);
    for (size_t i = 0; i < selection->matcher_count; i++) {
        byte_buffer_u8(buffer, (uint8_t)selection->matchers[i]->type);
        byte_buffer_text(buffer, selection->matchers[i]->name);
        byte_buffer_text(buffer, selection->matchers[i]->value);
    }
}

static enum error_code corrupt(struct error *error, const char *what)
{
    return error_set(error, ERROR_CORRUPT, "selection: %s", what);
}

static enum error_code decode_matchers(struct byte_reader *reader, struct arena *arena,
                                       struct selection *selection, struct error *error)
{
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count > MATCHERS_MAX)
        return corrupt(error, "the number of matchers");
    const struct matcher **matchers =
        arena_array(arena, (size_t)count + 1, sizeof(struct matcher *));
    if (matchers == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "selection");
    selection->matchers = matchers;
    for (size_t i = 0; i < count; i++) {
        uint8_t type = byte_reader_u8(reader);
        struct text name = byte_reader_text(reader);
        struct text value = byte_reader_text(reader);
        if (reader->failed || type > MATCHER_NOT_REGEX || name.size == 0)
            return corrupt(error, "a matcher");
        struct matcher *matcher;
        enum error_code code =
            matcher_create((enum matcher_type)type, name, value, &matcher, error);
        if (code != ERROR_NONE)
            return code;
        matchers[selection->matcher_count++] = matcher;
    }
    return ERROR_NONE;
}

static enum error_code decode(struct byte_reader *reader, struct arena *arena,
                              struct selection *selection, struct error *error)
{
    uint8_t version = byte_reader_u8(reader);
    uint8_t kind = byte_reader_u8(reader);
    if (!reader->failed &&
        (version != SELECTION_VERSION || kind < SELECTION_SERIES || kind > SELECTION_METADATA))
        return error_set(error, ERROR_UNSUPPORTED, "selection: version %u, kind %u", version, kind);
    selection->kind = (enum selection_kind)kind;
    selection->name = byte_reader_text(reader);
    struct text labels = byte_reader_text(reader);
    selection->start_ms = byte_reader_zigzag(reader);
    selection->end_ms = byte_reader_zigzag(reader);
    uint8_t need = byte_reader_u8(reader);
    selection->series_limit = byte_reader_varint(reader);
    selection->timeout_ms = byte_reader_varint(reader);
    if (reader->failed || need > SERIES_NEED_LABELS || selection->start_ms < TIME_MIN_MS ||
        selection->start_ms > TIME_MAX_MS || selection->end_ms < TIME_MIN_MS ||
        selection->end_ms > TIME_MAX_MS)
        return corrupt(error, "cut short, or its times make no sense");
    selection->need = (enum series_need)need;
    enum error_code code = ERROR_NONE;
    if (labels.size > 0)
        code = labels_decode((const uint8_t *)labels.data, labels.size, &selection->external_labels,
                             error);
    if (code == ERROR_NONE)
        code = decode_matchers(reader, arena, selection, error);
    if (code == ERROR_NONE && byte_reader_left(reader) > 0)
        code = corrupt(error, "bytes are left over");
    return code;
}

enum error_code selection_decode(const uint8_t *bytes, size_t size, struct arena *arena,
                                 struct selection *selection_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    struct selection selection = {0};
    enum error_code code = decode(&reader, arena, &selection, error);
    if (code == ERROR_NONE)
        *selection_out = selection;
    else
        selection_clear(&selection);
    return code;
}

void selection_clear(struct selection *selection)
{
    for (size_t i = 0; i < selection->matcher_count; i++)
        matcher_destroy((struct matcher *)selection->matchers[i]);
    selection->matcher_count = 0;
}

/* --- The answer ------------------------------------------------------------------------------ */

enum error_code selection_answer_open(const uint8_t *bytes, size_t size,
                                      struct selection_answer *answer_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    struct selection_answer answer = {0};
    for (;;) {
        const uint8_t *frame = reader.position;
        uint8_t type = byte_reader_u8(&reader);
        uint32_t payload_bytes = byte_reader_u32(&reader);
        const uint8_t *payload = byte_reader_take(&reader, payload_bytes);
        if (reader.failed)
            return corrupt(error, "the answer ended early");
        if (type == SELECTION_FRAME_DATA)
            continue;
        if (type != SELECTION_FRAME_END)
            return error_set(error, ERROR_UNSUPPORTED, "selection: frame %u", type);
        if (payload_bytes != 1 || byte_reader_left(&reader) > 0)
            return corrupt(error, "the end of the answer");
        answer.reader = byte_reader_over(bytes, (size_t)(frame - bytes));
        answer.is_truncated = (payload[0] & SELECTION_END_TRUNCATED) != 0;
        answer.is_damaged = (payload[0] & SELECTION_END_DAMAGED) != 0;
        *answer_out = answer;
        return ERROR_NONE;
    }
}

bool selection_answer_next(struct selection_answer *answer, const uint8_t **payload_out,
                           size_t *size_out)
{
    if (byte_reader_left(&answer->reader) == 0)
        return false;
    (void)byte_reader_u8(&answer->reader);
    *size_out = byte_reader_u32(&answer->reader);
    *payload_out = byte_reader_take(&answer->reader, *size_out);
    assert(!answer->reader.failed); /* was looked at when it was opened */
    return true;
}
