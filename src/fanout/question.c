#include "question.h"

#include "base/limits.h"
#include "membership/cluster_entry.h"

/* Beside the read: programs that do not know it refuse the question. */
enum { FLAG_WINDOWS = 0x80 };

/* --- Writing --------------------------------------------------------------------------------- */

static void encode_matchers(const struct question *question, struct byte_buffer *buffer)
{
    byte_buffer_varint(buffer, question->matcher_count);
    for (size_t i = 0; i < question->matcher_count; i++) {
        const struct matcher *matcher = question->matchers[i];
        byte_buffer_u8(buffer, (uint8_t)matcher->type);
        byte_buffer_text(buffer, matcher->name);
        byte_buffer_text(buffer, matcher->value);
    }
}

static bool has_splits(const struct question *question)
{
    for (size_t i = 0; i < question->shard_count; i++)
        if (question->shards[i].splits > 0)
            return true;
    return false;
}

void fanout_question_encode(const struct question *question, struct byte_buffer *buffer)
{
    bool with_splits = has_splits(question);
    byte_buffer_u8(buffer, with_splits ? QUESTION_VERSION : QUESTION_VERSION_WHOLE);
    byte_buffer_u8(buffer,
                   (uint8_t)(question->read | (question->wants_windows ? FLAG_WINDOWS : 0)));
    byte_buffer_varint(buffer, question->shard_count);
    uint32_t next = 0;
    for (size_t i = 0; i < question->shard_count; i++) {
        byte_buffer_varint(buffer, question->shards[i].shard_id - next);
        byte_buffer_varint(buffer, question->shards[i].least_index);
        if (with_splits)
            byte_buffer_varint(buffer, question->shards[i].splits);
        next = question->shards[i].shard_id + 1;
    }
    if (question->kind == QUESTION_PARTIAL) {
        byte_buffer_text(buffer, question->partial);
        return;
    }
    byte_buffer_text(buffer, question->tenant);
    byte_buffer_text(buffer, question->name);
    if (question->kind == QUESTION_METADATA)
        return;
    byte_buffer_zigzag(buffer, question->start_ms);
    byte_buffer_zigzag(buffer, question->end_ms);
    byte_buffer_u8(buffer, (uint8_t)question->need);
    byte_buffer_varint(buffer, question->series_limit);
    encode_matchers(question, buffer);
}

/* --- Reading --------------------------------------------------------------------------------- */

static enum error_code corrupt(struct error *error, const char *what)
{
    return error_set(error, ERROR_CORRUPT, "question: %s", what);
}

static enum error_code decode_shards(struct byte_reader *reader, unsigned version,
                                     struct arena *arena, struct question *question,
                                     struct error *error)
{
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count == 0 || count > CLUSTER_SHARDS_MAX)
        return corrupt(error, "the number of its shards");
    struct question_shard *shards = arena_array(arena, count, sizeof *shards);
    if (shards == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "question");
    uint64_t next = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t gap = byte_reader_varint(reader);
        shards[i].least_index = byte_reader_varint(reader);
        uint64_t splits = version == QUESTION_VERSION ? byte_reader_varint(reader) : 0;
        shards[i].splits = (uint32_t)splits;
        if (reader->failed || splits >= CLUSTER_SHARDS_MAX || gap >= CLUSTER_SHARDS_MAX ||
            next + gap >= CLUSTER_SHARDS_MAX)
            return corrupt(error, "a shard");
        shards[i].shard_id = (uint32_t)(next + gap);
        next = shards[i].shard_id + 1;
    }
    question->shards = shards;
    question->shard_count = (size_t)count;
    return ERROR_NONE;
}

static enum error_code decode_matchers(struct byte_reader *reader, struct arena *arena,
                                       struct question *question, struct error *error)
{
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count > byte_reader_left(reader) / 3)
        return corrupt(error, "the number of its matchers");
    if (count > QUESTION_MATCHERS_MAX)
        return error_set(error, ERROR_LIMIT, "question: %llu matchers", (unsigned long long)count);
    struct matcher **matchers = arena_array(arena, (size_t)count, sizeof *matchers);
    if (matchers == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "question");
    question->matchers = (const struct matcher *const *)matchers;
    for (size_t i = 0; i < count; i++) {
        unsigned type = byte_reader_u8(reader);
        struct text name = byte_reader_text(reader);
        struct text value = byte_reader_text(reader);
        if (reader->failed || type > MATCHER_NOT_REGEX || name.size > LABEL_SET_BYTES_MAX)
            return corrupt(error, "a matcher");
        enum error_code code =
            matcher_create((enum matcher_type)type, name, value, &matchers[i], error);
        if (code != ERROR_NONE)
            return code;
        question->matcher_count++;
    }
    return ERROR_NONE;
}

static enum error_code decode_subject(struct byte_reader *reader, struct arena *arena,
                                      struct question *question, struct error *error)
{
    if (question->kind == QUESTION_PARTIAL) {
        question->partial = byte_reader_text(reader);
        return reader->failed ? corrupt(error, "a sub-query") : ERROR_NONE;
    }
    question->tenant = byte_reader_text(reader);
    question->name = byte_reader_text(reader);
    if (reader->failed || question->tenant.size > TENANT_ID_BYTES_MAX ||
        question->name.size > LABEL_SET_BYTES_MAX)
        return corrupt(error, "a name");
    if (question->kind == QUESTION_METADATA)
        return ERROR_NONE;
    question->start_ms = byte_reader_zigzag(reader);
    question->end_ms = byte_reader_zigzag(reader);
    unsigned need = byte_reader_u8(reader);
    question->series_limit = byte_reader_varint(reader);
    if (reader->failed)
        return corrupt(error, "cut off");
    if (need > SERIES_NEED_LABELS)
        return error_set(error, ERROR_UNSUPPORTED, "question: a need of %u", need);
    question->need = (enum series_need)need;
    return decode_matchers(reader, arena, question, error);
}

enum error_code fanout_question_decode(const uint8_t *bytes, size_t size, enum question_kind kind,
                                       struct arena *arena, struct question *question_out,
                                       struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    unsigned version = byte_reader_u8(&reader);
    unsigned read = byte_reader_u8(&reader);
    if (reader.failed)
        return corrupt(error, "cut off");
    bool wants_windows = (read & FLAG_WINDOWS) != 0;
    read &= ~(unsigned)FLAG_WINDOWS;
    if (version < QUESTION_VERSION_WHOLE || version > QUESTION_VERSION || read >= FANOUT_READS)
        return error_set(error, ERROR_UNSUPPORTED, "question: version %u, read %u", version, read);
    struct question question = {
        .kind = kind, .read = (enum fanout_read)read, .wants_windows = wants_windows};
    enum error_code code = decode_shards(&reader, version, arena, &question, error);
    if (code != ERROR_NONE)
        return code;
    code = decode_subject(&reader, arena, &question, error);
    if (code == ERROR_NONE && byte_reader_left(&reader) > 0)
        code = corrupt(error, "bytes behind its end");
    if (code != ERROR_NONE) {
        fanout_question_clear(&question);
        return code;
    }
    *question_out = question;
    return ERROR_NONE;
}

void fanout_question_clear(struct question *question)
{
    for (size_t i = 0; i < question->matcher_count; i++)
        matcher_destroy((struct matcher *)question->matchers[i]);
    question->matcher_count = 0;
}
