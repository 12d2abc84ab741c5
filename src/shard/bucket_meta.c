#include "shard/bucket_meta.h"

#include <stdlib.h>

#include "bucket_envelope.h"

static const struct bucket_envelope ENVELOPE = {"GBMT", "meta object of a bucket"};
enum { SETTING_BYTES_MIN = 6 };

/* --- Writing --------------------------------------------------------------------------------- */

static void encode_slots(const struct slot_map *slots, struct byte_buffer *buffer)
{
    byte_buffer_varint(buffer, slots->shard_count);
    for (uint32_t first = 0, behind; first < SLOT_COUNT; first = behind) {
        behind = first + 1;
        while (behind < SLOT_COUNT && slots->shards[behind] == slots->shards[first])
            behind++;
        byte_buffer_varint(buffer, behind - first);
        byte_buffer_varint(buffer, slots->shards[first]);
    }
}

static void encode_parents(const struct bucket_meta *meta, struct byte_buffer *buffer)
{
    for (uint32_t i = 0; i < meta->slots.shard_count; i++)
        byte_buffer_varint(
            buffer, meta->parents[i] == BUCKET_META_NO_PARENT ? 0 : UINT64_C(1) + meta->parents[i]);
}

static void encode_body(const struct bucket_meta *meta, struct byte_buffer *buffer)
{
    byte_buffer_varint(buffer, meta->key.incarnation);
    byte_buffer_varint(buffer, meta->key.index);
    byte_buffer_varint(buffer, meta->replication);
    byte_buffer_varint(buffer, meta->spread);
    encode_slots(&meta->slots, buffer);
    encode_parents(meta, buffer);
    byte_buffer_varint(buffer, meta->setting_count);
    for (size_t i = 0; i < meta->setting_count; i++) {
        byte_buffer_text(buffer, meta->settings[i].tenant);
        byte_buffer_text(buffer, meta->settings[i].key);
        byte_buffer_text(buffer, meta->settings[i].value);
    }
}

void bucket_meta_encode(const struct bucket_meta *meta, struct byte_buffer *buffer)
{
    size_t begun = bucket_envelope_begin(&ENVELOPE, buffer);
    encode_body(meta, buffer);
    bucket_envelope_end(buffer, begun);
}

/* --- Reading --------------------------------------------------------------------------------- */

static enum error_code corrupt(struct error *error, const char *what)
{
    return error_set(error, ERROR_CORRUPT, "meta object of a bucket: %s", what);
}

/* A number from 1 to `most`. */
static uint32_t decode_number(struct byte_reader *reader, uint32_t most)
{
    uint64_t number = byte_reader_varint(reader);
    if (number == 0 || number > most)
        reader->failed = true;
    return (uint32_t)number;
}

static enum error_code decode_slots(struct byte_reader *reader, struct slot_map *slots,
                                    struct error *error)
{
    struct slot_set having = {0}; /* shards that have a slot */
    slots->shard_count = decode_number(reader, SLOT_COUNT);
    for (uint32_t covered = 0; !reader->failed && covered < SLOT_COUNT;) {
        uint32_t length = decode_number(reader, SLOT_COUNT - covered);
        uint64_t shard = byte_reader_varint(reader);
        if (reader->failed || shard >= slots->shard_count)
            return corrupt(error, "its slots");
        slot_set_add(&having, (uint32_t)shard, 1);
        for (uint32_t i = 0; i < length; i++)
            slots->shards[covered++] = (uint16_t)shard;
    }
    return reader->failed || slot_set_count(&having) != slots->shard_count
               ? corrupt(error, "its slots")
               : ERROR_NONE;
}

static enum error_code decode_parents(struct byte_reader *reader, struct bucket_meta *meta,
                                      struct error *error)
{
    for (uint32_t i = 0; i < meta->slots.shard_count; i++) {
        uint64_t parent = byte_reader_varint(reader);
        if (reader->failed || parent > i)
            return corrupt(error, "a parent");
        meta->parents[i] = parent == 0 ? BUCKET_META_NO_PARENT : (uint16_t)(parent - 1);
    }
    return ERROR_NONE;
}

static enum error_code decode_settings(struct byte_reader *reader, struct bucket_meta *meta,
                                       struct error *error)
{
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count > byte_reader_left(reader) / SETTING_BYTES_MIN)
        return corrupt(error, "its settings");
    meta->settings = calloc(count + 1, sizeof *meta->settings);
    if (meta->settings == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "meta object of a bucket");
    for (; meta->setting_count < count; meta->setting_count++) {
        struct bucket_meta_setting *setting = &meta->settings[meta->setting_count];
        setting->tenant = byte_reader_text(reader);
        setting->key = byte_reader_text(reader);
        setting->value = byte_reader_text(reader);
        if (reader->failed || setting->tenant.size == 0 || setting->key.size == 0 ||
            setting->value.size == 0)
            return corrupt(error, "a setting");
    }
    return ERROR_NONE;
}

static enum error_code decode_body(struct byte_reader *reader, struct bucket_meta *meta,
                                   struct error *error)
{
    meta->key.incarnation = byte_reader_varint(reader);
    meta->key.index = byte_reader_varint(reader);
    meta->replication = decode_number(reader, BUCKET_META_REPLICATION_MAX);
    meta->spread = decode_number(reader, SLOT_COUNT);
    if (reader->failed)
        return corrupt(error, "its numbers");
    enum error_code code = decode_slots(reader, &meta->slots, error);
    if (code == ERROR_NONE)
        code = decode_parents(reader, meta, error);
    if (code == ERROR_NONE)
        code = decode_settings(reader, meta, error);
    if (code == ERROR_NONE && byte_reader_left(reader) > 0)
        code = corrupt(error, "its length");
    return code;
}

enum error_code bucket_meta_decode(const uint8_t *bytes, size_t size_bytes,
                                   struct bucket_meta *meta_out, struct error *error)
{
    struct byte_reader reader;
    struct bucket_meta meta = {0};
    enum error_code code = bucket_envelope_open(&ENVELOPE, bytes, size_bytes, &reader, error);
    if (code == ERROR_NONE)
        code = decode_body(&reader, &meta, error);
    if (code != ERROR_NONE) {
        bucket_meta_clear(&meta);
        return code;
    }
    *meta_out = meta;
    return ERROR_NONE;
}

void bucket_meta_clear(struct bucket_meta *meta)
{
    free(meta->settings);
    *meta = (struct bucket_meta){0};
}
