#include "partial_answer.h"

#include <assert.h>
#include <stdlib.h>

/* --- Writing --------------------------------------------------------------------------------- */

size_t frame_head_encode(uint8_t target[FRAME_HEAD_BYTES_MAX], enum answer_frame kind,
                         size_t payload_size)
{
    target[0] = (uint8_t)kind;
    return (size_t)(varint_store(target + 1, payload_size) - target);
}

void frame_append(struct byte_buffer *buffer, enum answer_frame kind,
                  const struct byte_buffer *payload)
{
    uint8_t head[FRAME_HEAD_BYTES_MAX];
    byte_buffer_append(buffer, head, frame_head_encode(head, kind, payload->size));
    if (payload->size > 0)
        byte_buffer_append(buffer, payload->bytes, payload->size);
    buffer->failed |= payload->failed;
}

void answer_header_encode(const struct answer_header *header, struct byte_buffer *payload)
{
    byte_buffer_u8(payload, PROMQL_PARTIAL_VERSION);
    byte_buffer_u8(payload, (uint8_t)header->mode);
    byte_buffer_u8(payload, header->flags);
    byte_buffer_varint(payload, header->step_count);
}

void answer_annotations_encode(const struct promql_annotation *annotations, size_t count,
                               struct byte_buffer *payload)
{
    for (size_t i = 0; i < count; i++) {
        byte_buffer_u8(payload, annotations[i].kind == PROMQL_WARNING ? 0 : 1);
        byte_buffer_text(payload, annotations[i].message);
    }
}

void answer_statistics_encode(const struct promql_statistics *statistics,
                              struct byte_buffer *payload)
{
    byte_buffer_varint(payload, statistics->samples_queried);
    byte_buffer_varint(payload, statistics->samples_read);
    byte_buffer_varint(payload, statistics->samples_held_max);
    byte_buffer_varint(payload, statistics->series_selected);
    byte_buffer_varint(payload, statistics->step_count);
    for (size_t step = 0; step < statistics->step_count; step++) {
        byte_buffer_varint(payload, statistics->step_counts[step].samples_queried);
        byte_buffer_varint(payload, statistics->step_counts[step].samples_read);
    }
}

/* What may go wrong, by the number that the protocol gives it. */
static const enum error_code ERROR_NUMBERS[] = {
    [1] = ERROR_INVALID,       [2] = ERROR_CORRUPT,      [3] = ERROR_LIMIT,
    [4] = ERROR_OUT_OF_MEMORY, [5] = ERROR_IO,           [6] = ERROR_NOT_FOUND,
    [7] = ERROR_UNAVAILABLE,   [8] = ERROR_TIMEOUT,      [9] = ERROR_CANCELED,
    [10] = ERROR_CLOSED,       [11] = ERROR_UNSUPPORTED,
};

enum {
    ERROR_NUMBER_COUNT = sizeof ERROR_NUMBERS / sizeof ERROR_NUMBERS[0],
    ERROR_NUMBER_OTHER = 5,
};

void answer_error_encode(const struct error *failure, struct byte_buffer *payload)
{
    uint8_t number = ERROR_NUMBER_OTHER;
    for (uint8_t i = 1; i < ERROR_NUMBER_COUNT; i++)
        if (ERROR_NUMBERS[i] == failure->code)
            number = i;
    byte_buffer_u8(payload, number);
    byte_buffer_text(payload, text_of(failure->message));
}

/* --- Frames ---------------------------------------------------------------------------------- */

void answer_reader_init(struct answer_reader *reader, struct evaluation *evaluation,
                        struct promql_distribution *distribution, size_t place)
{
    *reader = (struct answer_reader){
        .evaluation = evaluation,
        .distribution = distribution,
        .place = place,
    };
}

void answer_reader_clear(struct answer_reader *reader)
{
    if (reader->capacity > 0)
        reader->evaluation->memory.account.release(&reader->evaluation->memory.account,
                                                   reader->capacity);
    free(reader->bytes);
    reader->bytes = NULL;
    reader->capacity = 0;
}

/* Room for `extra` more bytes behind what is there. */
static enum error_code reader_reserve(struct answer_reader *reader, size_t extra,
                                      struct error *error)
{
    struct arena_account *account = &reader->evaluation->memory.account;
    if (reader->first > 0) {
        memmove(reader->bytes, reader->bytes + reader->first, reader->end - reader->first);
        reader->end -= reader->first;
        reader->looked -= reader->first;
        reader->first = 0;
    }
    if (extra <= reader->capacity - reader->end)
        return ERROR_NONE;
    size_t capacity = reader->end + extra;
    if (capacity < 2 * reader->capacity)
        capacity = 2 * reader->capacity;
    if (!account->charge(account, capacity - reader->capacity))
        return evaluation_out_of_memory(reader->evaluation, error);
    uint8_t *bytes = realloc(reader->bytes, capacity);
    if (bytes == NULL) {
        account->release(account, capacity - reader->capacity);
        return evaluation_out_of_memory(reader->evaluation, error);
    }
    reader->bytes = bytes;
    reader->capacity = capacity;
    return ERROR_NONE;
}

static enum error_code answer_corrupt(struct error *error)
{
    return error_set(error, ERROR_CORRUPT, "the answer to a sub-query makes no sense");
}

struct frame_head {
    enum answer_frame kind;
    struct byte_reader payload;
    bool is_there; /* all of it */
};

/* The frame at an offset. Errors: CORRUPT. */
static enum error_code frame_look(const struct answer_reader *reader, size_t offset,
                                  struct frame_head *head_out, struct error *error)
{
    size_t available = reader->end - offset;
    *head_out = (struct frame_head){0};
    if (available == 0)
        return ERROR_NONE;
    struct byte_reader bytes = byte_reader_over(reader->bytes + offset, available);
    uint8_t kind = byte_reader_u8(&bytes);
    uint64_t size = byte_reader_varint(&bytes);
    bool has_head = !bytes.failed;
    if (kind < FRAME_HEADER || kind > FRAME_END || (has_head && size > FRAME_BYTES_MAX) ||
        (!has_head && available >= FRAME_HEAD_BYTES_MAX))
        return answer_corrupt(error);
    if (!has_head || size > byte_reader_left(&bytes))
        return ERROR_NONE;
    *head_out = (struct frame_head){
        .kind = (enum answer_frame)kind,
        .payload = byte_reader_over(bytes.position, (size_t)size),
        .is_there = true,
    };
    return ERROR_NONE;
}

/* Find out whether the last frame is there. What makes no sense shows when it is taken. */
static void reader_look_ahead(struct answer_reader *reader)
{
    struct frame_head head;
    struct error ignored;
    while (frame_look(reader, reader->looked, &head, &ignored) == ERROR_NONE && head.is_there) {
        reader->looked = (size_t)(head.payload.end - reader->bytes);
        reader->is_whole |= head.kind == FRAME_END || head.kind == FRAME_ERROR;
    }
}

enum error_code answer_read_more(struct answer_reader *reader, struct error *error)
{
    const uint8_t *bytes = NULL;
    size_t size = 0;
    enum error_code code = evaluation_check(reader->evaluation, error);
    if (code == ERROR_NONE)
        code = reader->distribution->operations->read(reader->distribution, reader->place, &bytes,
                                                      &size, error);
    if (code != ERROR_NONE)
        return code;
    if (size == 0)
        return error_set(error, ERROR_UNAVAILABLE, "the answer to a sub-query ended early");
    code = reader_reserve(reader, size, error);
    if (code != ERROR_NONE)
        return code;
    memcpy(reader->bytes + reader->end, bytes, size);
    reader->end += size;
    reader_look_ahead(reader);
    return ERROR_NONE;
}

enum error_code answer_next_frame(struct answer_reader *reader, bool *is_there_out,
                                  enum answer_frame *kind_out, struct byte_reader *payload_out,
                                  struct error *error)
{
    struct frame_head head;
    enum error_code code = frame_look(reader, reader->first, &head, error);
    *is_there_out = code == ERROR_NONE && head.is_there;
    if (!*is_there_out)
        return code;
    *kind_out = head.kind;
    *payload_out = head.payload;
    reader->first = (size_t)(head.payload.end - reader->bytes);
    return ERROR_NONE;
}

enum error_code answer_read_frame(struct answer_reader *reader, enum answer_frame *kind_out,
                                  struct byte_reader *payload_out, struct error *error)
{
    bool is_there = false;
    enum error_code code = answer_next_frame(reader, &is_there, kind_out, payload_out, error);
    while (code == ERROR_NONE && !is_there) {
        code = answer_read_more(reader, error);
        if (code == ERROR_NONE)
            code = answer_next_frame(reader, &is_there, kind_out, payload_out, error);
    }
    return code;
}

/* --- What frames say ------------------------------------------------------------------------- */

enum error_code answer_header_decode(struct byte_reader payload, struct answer_header *header_out,
                                     struct error *error)
{
    uint8_t version = byte_reader_u8(&payload);
    if (!payload.failed && version != PROMQL_PARTIAL_VERSION)
        return error_set(error, ERROR_UNSUPPORTED, "sub-query: an answer of version %d, not %d",
                         version, PROMQL_PARTIAL_VERSION);
    uint8_t mode = byte_reader_u8(&payload);
    struct answer_header header = {.flags = byte_reader_u8(&payload)};
    header.step_count = byte_reader_varint(&payload);
    if (payload.failed || byte_reader_left(&payload) > 0 ||
        (mode != PROMQL_PARTIAL_SERIES && mode != PROMQL_PARTIAL_GROUPS) ||
        (header.flags & ~ANSWER_FLAGS_KNOWN) != 0)
        return answer_corrupt(error);
    header.mode = (enum promql_partial_mode)mode;
    *header_out = header;
    return ERROR_NONE;
}

enum error_code answer_annotations_decode(struct byte_reader payload, struct evaluation *evaluation,
                                          struct error *error)
{
    while (byte_reader_left(&payload) > 0) {
        uint8_t kind = byte_reader_u8(&payload);
        struct text message = byte_reader_text(&payload);
        if (payload.failed || kind > 1 || message.size > ANSWER_MESSAGE_BYTES_MAX)
            return answer_corrupt(error);
        evaluation_annotate_text(evaluation, kind == 0 ? PROMQL_WARNING : PROMQL_INFO, message);
    }
    return ERROR_NONE;
}

static enum error_code step_counts_decode(struct byte_reader *payload,
                                          struct evaluation *evaluation, struct error *error)
{
    uint64_t count = byte_reader_varint(payload);
    struct lane *lane = &evaluation->lanes[0];
    if (payload->failed || (count != 0 && count != evaluation_step_count(evaluation)))
        return answer_corrupt(error);
    for (size_t step = 0; step < count && !payload->failed; step++) {
        uint64_t queried = byte_reader_varint(payload);
        uint64_t read = byte_reader_varint(payload);
        if (lane->step_counts == NULL)
            continue;
        lane->step_counts[step].queried += queried;
        lane->step_counts[step].read += read;
    }
    return ERROR_NONE;
}

enum error_code answer_statistics_decode(struct byte_reader payload, struct evaluation *evaluation,
                                         struct error *error)
{
    uint64_t queried = byte_reader_varint(&payload);
    uint64_t read = byte_reader_varint(&payload);
    uint64_t held_max = byte_reader_varint(&payload);
    uint64_t selected = byte_reader_varint(&payload);
    enum error_code code = step_counts_decode(&payload, evaluation, error);
    if (code != ERROR_NONE)
        return code;
    if (payload.failed || byte_reader_left(&payload) > 0)
        return answer_corrupt(error);
    struct lane *lane = &evaluation->lanes[0];
    lane->counted.queried += queried;
    lane->counted.read += read;
    evaluation->series_selected += selected;
    evaluation->samples_held_elsewhere += held_max;
    return ERROR_NONE;
}

enum error_code answer_error_decode(struct byte_reader payload, struct error *error)
{
    uint8_t number = byte_reader_u8(&payload);
    struct text message = byte_reader_text(&payload);
    if (payload.failed || byte_reader_left(&payload) > 0)
        return answer_corrupt(error);
    enum error_code code = ERROR_UNAVAILABLE; /* a number from the future */
    if (number > 0 && number < ERROR_NUMBER_COUNT)
        code = ERROR_NUMBERS[number];
    return error_set(error, code, "%.*s", TEXT_ARGUMENTS(message));
}

void promql_partial_answer_without(const struct promql_partial_request *request,
                                   struct text warning, struct byte_buffer *buffer)
{
    struct byte_buffer payload = {0};
    struct byte_buffer message = {0};
    struct answer_header header = {
        .mode = request->mode,
        .flags = ANSWER_UNIQUE_WITHOUT_NAME | ANSWER_LEFT_OUT,
        .step_count = request->step_count,
    };
    answer_header_encode(&header, &payload);
    frame_append(buffer, FRAME_HEADER, &payload);
    byte_buffer_reset(&payload);
    static const struct text PREFIX = {"PromQL warning: ", sizeof "PromQL warning: " - 1};
    byte_buffer_append(&message, PREFIX.data, PREFIX.size);
    size_t room = ANSWER_MESSAGE_BYTES_MAX - PREFIX.size;
    byte_buffer_append(&message, warning.data, warning.size < room ? warning.size : room);
    struct promql_annotation annotation = {PROMQL_WARNING,
                                           {(const char *)message.bytes, message.size}};
    answer_annotations_encode(&annotation, 1, &payload);
    frame_append(buffer, FRAME_ANNOTATIONS, &payload);
    byte_buffer_reset(&payload);
    byte_buffer_varint(&payload, 0);
    frame_append(buffer, FRAME_END, &payload);
    buffer->failed |= message.failed;
    byte_buffer_clear(&message);
    byte_buffer_clear(&payload);
}
