#include "shard/bucket_list.h"

#include <stdlib.h>

#include "bucket_envelope.h"
#include "bucket_list_write.h"

static const struct bucket_envelope ENVELOPE = {"GBKT", "list of a bucket"};

/* --- Writing --------------------------------------------------------------------------------- */

static void encode_block(struct byte_buffer *buffer, const struct bucket_object *object)
{
    byte_buffer_varint(buffer, object->shard_id);
    manifest_encode_block(buffer, &object->described);
    byte_buffer_varint(buffer, object->size_bytes);
    byte_buffer_u64(buffer, object->hash.low);
    byte_buffer_u64(buffer, object->hash.high);
}

static void encode_blocks(struct byte_buffer *buffer, const struct bucket *bucket)
{
    size_t count = 0;
    for (size_t i = 0; i < bucket->object_count; i++)
        count += bucket->objects[i].state == OBJECT_LISTED;
    byte_buffer_varint(buffer, count);
    for (size_t i = 0; i < bucket->object_count; i++)
        if (bucket->objects[i].state == OBJECT_LISTED)
            encode_block(buffer, &bucket->objects[i]);
}

static void encode_body(struct byte_buffer *buffer, const struct bucket_list_source *source)
{
    byte_buffer_varint(buffer, source->key.shard_id);
    byte_buffer_varint(buffer, source->key.incarnation);
    byte_buffer_varint(buffer, source->key.index);
    byte_buffer_zigzag(buffer, source->retention_cutoff_ms);
    retention_cut_encode(source->retention, buffer);
    slot_set_encode(source->slots, buffer);
    byte_buffer_varint(buffer, source->bucket->heir_count);
    for (size_t i = 0; i < source->bucket->heir_count; i++)
        byte_buffer_varint(buffer, source->bucket->heirs[i]);
    size_t tombstone_count = tombstones_count(source->tombstones);
    byte_buffer_varint(buffer, tombstone_count);
    for (size_t i = 0; i < tombstone_count; i++) {
        byte_buffer_varint(buffer, tombstones_at(source->tombstones, i)->index);
        tombstone_encode(buffer, tombstones_at(source->tombstones, i));
    }
    encode_blocks(buffer, source->bucket);
}

void bucket_list_encode(const struct bucket_list_source *source, struct byte_buffer *buffer)
{
    size_t begun = bucket_envelope_begin(&ENVELOPE, buffer);
    encode_body(buffer, source);
    bucket_envelope_end(buffer, begun);
}

/* --- Reading --------------------------------------------------------------------------------- */

int64_t bucket_list_kept_from(const struct bucket_list *list, struct text tenant,
                              struct labels labels)
{
    int64_t kept_ms = retention_cut_of(list->retention, tenant, labels);
    return kept_ms > list->retention_cutoff_ms ? kept_ms : list->retention_cutoff_ms;
}

bool bucket_list_retains_by_series(const struct bucket_list *list, int64_t from_ms)
{
    return retention_cut_reaches(list->retention, from_ms);
}

void bucket_list_clear(struct bucket_list *list)
{
    free(list->heirs);
    free(list->deletions);
    free(list->blocks);
    tombstones_unref(list->tombstones);
    if (list->retention != NULL)
        retention_cut_clear(list->retention);
    free(list->retention);
    *list = (struct bucket_list){0};
}

static enum error_code corrupt(struct error *error, const char *what)
{
    return error_set(error, ERROR_CORRUPT, "list of a bucket: %s", what);
}

static enum error_code no_room(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "list of a bucket");
}

static uint32_t decode_u32(struct byte_reader *reader)
{
    uint64_t number = byte_reader_varint(reader);
    if (number > UINT32_MAX)
        reader->failed = true;
    return (uint32_t)number;
}

/* A count of things of at least so many bytes each. */
static size_t decode_count(struct byte_reader *reader, size_t bytes_each)
{
    uint64_t count = byte_reader_varint(reader);
    if (count > byte_reader_left(reader) / bytes_each)
        reader->failed = true;
    return reader->failed ? 0 : (size_t)count;
}

static enum error_code decode_heirs(struct byte_reader *reader, struct bucket_list *list,
                                    struct error *error)
{
    size_t count = decode_count(reader, 1);
    list->heirs = calloc(count + 1, sizeof *list->heirs);
    if (list->heirs == NULL)
        return no_room(error);
    for (; list->heir_count < count; list->heir_count++)
        list->heirs[list->heir_count] = decode_u32(reader);
    return ERROR_NONE;
}

static enum error_code decode_tombstones(struct byte_reader *reader, struct bucket_list *list,
                                         struct error *error)
{
    size_t count = decode_count(reader, 6);
    enum error_code code = tombstones_decode_indexed(reader, count, &list->tombstones, error);
    if (code != ERROR_NONE)
        return code;
    list->deletions = calloc(count + 1, sizeof *list->deletions);
    if (list->deletions == NULL)
        return no_room(error);
    for (; list->deletion_count < count; list->deletion_count++) {
        const struct tombstone *tombstone = tombstones_at(list->tombstones, list->deletion_count);
        list->deletions[list->deletion_count] = (struct bucket_deletion){
            .index = tombstone->index,
            .tenant = tombstone->tenant,
            .start_ms = tombstone->start_ms,
            .end_ms = tombstone->end_ms,
            .matchers = (const struct matcher *const *)tombstone->matchers,
            .matcher_count = tombstone->matcher_count,
        };
    }
    return ERROR_NONE;
}

enum { LISTED_BYTES_MIN = 1 + 5 + 21 + 1 + 16 };

static enum error_code decode_blocks(struct byte_reader *reader, struct bucket_list *list,
                                     struct error *error)
{
    size_t count = decode_count(reader, LISTED_BYTES_MIN);
    list->blocks = calloc(count + 1, sizeof *list->blocks);
    if (list->blocks == NULL)
        return no_room(error);
    for (; list->block_count < count; list->block_count++) {
        uint32_t shard_id = decode_u32(reader);
        struct manifest_block block = manifest_decode_block(reader);
        struct bucket_listed listed = {
            .key = {.shard_id = shard_id, .index = block.index, .number = block.number},
            .size_bytes = byte_reader_varint(reader),
            .window_start_ms = block.window_start_ms,
            .window_end_ms = block.window_end_ms,
            .stamp_ms = block.stamp_ms,
            .summary = block.summary,
        };
        listed.key.hash.low = byte_reader_u64(reader);
        listed.key.hash.high = byte_reader_u64(reader);
        if (reader->failed || block.window_end_ms <= block.window_start_ms)
            return corrupt(error, "a block");
        list->blocks[list->block_count] = listed;
    }
    return ERROR_NONE;
}

static enum error_code decode_retention(struct byte_reader *reader, struct bucket_list *list,
                                        struct error *error)
{
    struct retention_cut cut;
    enum error_code code = retention_cut_decode(reader, &cut, error);
    if (code != ERROR_NONE)
        return code;
    list->retention = malloc(sizeof *list->retention);
    if (list->retention == NULL) {
        retention_cut_clear(&cut);
        return no_room(error);
    }
    *list->retention = cut;
    return ERROR_NONE;
}

static enum error_code decode_body(struct byte_reader *reader, struct bucket_list *list,
                                   struct error *error)
{
    list->key.shard_id = decode_u32(reader);
    list->key.incarnation = byte_reader_varint(reader);
    list->key.index = byte_reader_varint(reader);
    list->retention_cutoff_ms = byte_reader_zigzag(reader);
    if (reader->failed)
        return corrupt(error, "its name");
    enum error_code code = decode_retention(reader, list, error);
    if (code == ERROR_NONE)
        code = slot_set_decode(reader, &list->slots, error);
    if (code == ERROR_NONE)
        code = decode_heirs(reader, list, error);
    if (code == ERROR_NONE)
        code = decode_tombstones(reader, list, error);
    if (code == ERROR_NONE)
        code = decode_blocks(reader, list, error);
    if (code == ERROR_NONE && (reader->failed || byte_reader_left(reader) > 0))
        code = corrupt(error, "its length");
    return code;
}

enum error_code bucket_list_decode(const uint8_t *bytes, size_t size_bytes,
                                   struct bucket_list *list_out, struct error *error)
{
    struct byte_reader reader;
    struct bucket_list list = {0};
    enum error_code code = bucket_envelope_open(&ENVELOPE, bytes, size_bytes, &reader, error);
    if (code == ERROR_NONE)
        code = decode_body(&reader, &list, error);
    if (code != ERROR_NONE) {
        bucket_list_clear(&list);
        return code;
    }
    *list_out = list;
    return ERROR_NONE;
}
