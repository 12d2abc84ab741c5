#include "bucket.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- In memory ------------------------------------------------------------------------------- */

void bucket_clear(struct bucket *bucket)
{
    free(bucket->heirs);
    free(bucket->objects);
    *bucket = (struct bucket){0};
}

static enum error_code no_room(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "what is in the bucket");
}

enum error_code bucket_copy(const struct bucket *bucket, struct bucket *copy_out,
                            struct error *error)
{
    struct bucket copy = *bucket;
    copy.heirs = malloc((bucket->heir_count + 1) * sizeof *copy.heirs);
    copy.objects = malloc((bucket->object_count + 1) * sizeof *copy.objects);
    if (copy.heirs == NULL || copy.objects == NULL) {
        bucket_clear(&copy);
        return no_room(error);
    }
    if (bucket->heir_count > 0)
        memcpy(copy.heirs, bucket->heirs, bucket->heir_count * sizeof *copy.heirs);
    if (bucket->object_count > 0)
        memcpy(copy.objects, bucket->objects, bucket->object_count * sizeof *copy.objects);
    *copy_out = copy;
    return ERROR_NONE;
}

const struct bucket_object *bucket_find_block(const struct bucket *bucket, struct block_name block)
{
    for (size_t i = 0; i < bucket->object_count; i++) {
        const struct bucket_object *object = &bucket->objects[i];
        if (object->state == OBJECT_LISTED && block_name_equal(object->stands_for, block) &&
            block_name_equal(block_name_of(&object->described), block))
            return object;
    }
    return NULL;
}

static enum error_code append(struct bucket *bucket, const struct bucket_object *object,
                              struct error *error)
{
    struct bucket_object *objects =
        realloc(bucket->objects, (bucket->object_count + 1) * sizeof *objects);
    if (objects == NULL)
        return no_room(error);
    bucket->objects = objects;
    objects[bucket->object_count++] = *object;
    return ERROR_NONE;
}

static void drop(struct bucket *bucket, size_t position)
{
    struct bucket_object *object = &bucket->objects[position];
    memmove(object, object + 1, (--bucket->object_count - position) * sizeof *object);
}

/* Whether the object lies under the key that the upload names. */
static bool has_key(const struct bucket_object *object, uint32_t shard_id,
                    const struct bucket_upload *upload)
{
    return object->shard_id == shard_id &&
           block_name_equal(block_name_of(&object->described), upload->block) &&
           hash128_equal(object->hash, upload->hash);
}

/* --- What entries do ------------------------------------------------------------------------- */

void bucket_change(struct bucket *bucket, uint64_t index)
{
    assert(index >= bucket->changed_index);
    bucket->changed_index = index;
}

/* It is listed no more; false when it left, being another shard's. */
static bool condemn(struct bucket *bucket, const struct bucket_news *news, size_t position)
{
    struct bucket_object *object = &bucket->objects[position];
    assert(object->state == OBJECT_LISTED);
    bucket_change(bucket, news->index);
    if (object->shard_id != news->shard_id) {
        drop(bucket, position);
        return false;
    }
    object->state = OBJECT_CONDEMNED;
    object->stands_for = (struct block_name){0};
    object->listed_index = 0;
    object->condemned_index = news->index;
    return true;
}

/* What stood for a block that is there itself now. */
static void condemn_deputies(struct bucket *bucket, const struct bucket_news *news,
                             struct block_name block)
{
    for (size_t i = bucket->object_count; i > 0; i--) {
        const struct bucket_object *object = &bucket->objects[i - 1];
        if (object->state == OBJECT_LISTED && block_name_equal(object->stands_for, block) &&
            !block_name_equal(block_name_of(&object->described), block))
            condemn(bucket, news, i - 1);
    }
}

enum error_code bucket_add(struct bucket *bucket, const struct bucket_news *news,
                           const struct bucket_upload *upload, const struct manifest_block *block,
                           struct error *error)
{
    for (size_t i = 0; i < bucket->object_count; i++)
        if (has_key(&bucket->objects[i], news->shard_id, upload))
            return ERROR_NONE; /* said twice by two leaders */
    struct bucket_object object = {
        .shard_id = news->shard_id,
        .described = {.index = upload->block.index, .number = upload->block.number},
        .size_bytes = upload->size_bytes,
        .hash = upload->hash,
        .state = OBJECT_LISTED,
        .stands_for = upload->block,
        .listed_index = news->index,
    };
    bool is_listed = block != NULL && bucket_find_block(bucket, upload->block) == NULL;
    if (is_listed) {
        object.described = *block;
    } else { /* no list ever named it */
        object.state = OBJECT_RELEASED;
        object.stands_for = (struct block_name){0};
        object.listed_index = 0;
        object.condemned_index = news->index;
        object.released_ms = news->stamp_ms;
    }
    enum error_code code = append(bucket, &object, error);
    if (code != ERROR_NONE || !is_listed)
        return code;
    condemn_deputies(bucket, news, upload->block);
    bucket_change(bucket, news->index);
    return ERROR_NONE;
}

void bucket_leave(struct bucket *bucket, const struct bucket_news *news, struct block_name block,
                  const struct manifest_block *successor)
{
    for (size_t i = bucket->object_count; i > 0; i--) {
        struct bucket_object *object = &bucket->objects[i - 1];
        if (object->state != OBJECT_LISTED || !block_name_equal(object->stands_for, block))
            continue;
        if (successor != NULL)
            object->stands_for = block_name_of(successor);
        else
            condemn(bucket, news, i - 1);
    }
}

static bool is_newer(struct bucket_list_name name, struct bucket_list_name than)
{
    return name.incarnation != than.incarnation ? name.incarnation > than.incarnation
                                                : name.index > than.index;
}

void bucket_publish(struct bucket *bucket, const struct bucket_news *news,
                    struct bucket_list_name published)
{
    assert(published.index < news->index);
    if (!is_newer(published, bucket->published))
        return;
    bucket->published = published;
    bucket->published_ms = news->stamp_ms;
    for (size_t i = 0; i < bucket->object_count; i++) {
        struct bucket_object *object = &bucket->objects[i];
        if (object->state != OBJECT_CONDEMNED || object->condemned_index > published.index)
            continue;
        object->state = OBJECT_RELEASED;
        object->released_ms = news->stamp_ms;
    }
}

void bucket_remove(struct bucket *bucket, const struct bucket_upload *removed)
{
    for (size_t i = bucket->object_count; i > 0; i--) {
        const struct bucket_object *object = &bucket->objects[i - 1];
        if (object->state == OBJECT_RELEASED && has_key(object, object->shard_id, removed))
            drop(bucket, i - 1);
    }
}

enum error_code bucket_split(struct bucket *bucket, uint64_t index, uint32_t child_id,
                             struct error *error)
{
    uint32_t *heirs = realloc(bucket->heirs, (bucket->heir_count + 1) * sizeof *heirs);
    if (heirs == NULL)
        return no_room(error);
    bucket->heirs = heirs;
    heirs[bucket->heir_count++] = child_id;
    bucket_change(bucket, index);
    return ERROR_NONE;
}

enum error_code bucket_inherit(const struct bucket *parent, struct bucket *child_out,
                               struct error *error)
{
    struct bucket child;
    enum error_code code = bucket_copy(parent, &child, error);
    if (code != ERROR_NONE)
        return code;
    child.published = (struct bucket_list_name){0};
    child.published_ms = 0;
    child.heir_count = 0;
    for (size_t i = child.object_count; i > 0; i--)
        if (child.objects[i - 1].state != OBJECT_LISTED)
            drop(&child, i - 1);
    *child_out = child;
    return ERROR_NONE;
}

/* --- Bytes ----------------------------------------------------------------------------------- */

static void encode_object(struct byte_buffer *buffer, const struct bucket_object *object)
{
    byte_buffer_varint(buffer, object->shard_id);
    manifest_encode_block(buffer, &object->described);
    byte_buffer_varint(buffer, object->size_bytes);
    byte_buffer_u64(buffer, object->hash.low);
    byte_buffer_u64(buffer, object->hash.high);
    byte_buffer_u8(buffer, (uint8_t)object->state);
    if (object->state == OBJECT_LISTED) {
        byte_buffer_varint(buffer, object->stands_for.index);
        byte_buffer_varint(buffer, object->stands_for.number);
        byte_buffer_varint(buffer, object->listed_index);
        return;
    }
    byte_buffer_varint(buffer, object->condemned_index);
    if (object->state == OBJECT_RELEASED)
        byte_buffer_zigzag(buffer, object->released_ms);
}

void bucket_encode(const struct bucket *bucket, struct byte_buffer *buffer)
{
    byte_buffer_varint(buffer, bucket->changed_index);
    byte_buffer_varint(buffer, bucket->published.incarnation);
    byte_buffer_varint(buffer, bucket->published.index);
    byte_buffer_zigzag(buffer, bucket->published_ms);
    byte_buffer_varint(buffer, bucket->heir_count);
    for (size_t i = 0; i < bucket->heir_count; i++)
        byte_buffer_varint(buffer, bucket->heirs[i]);
    byte_buffer_varint(buffer, bucket->object_count);
    for (size_t i = 0; i < bucket->object_count; i++)
        encode_object(buffer, &bucket->objects[i]);
}

static uint32_t decode_u32(struct byte_reader *reader)
{
    uint64_t number = byte_reader_varint(reader);
    if (number > UINT32_MAX)
        reader->failed = true;
    return (uint32_t)number;
}

static enum error_code decode_object(struct byte_reader *reader, uint64_t frozen_index,
                                     struct bucket_object *object_out, struct error *error)
{
    struct bucket_object object = {.shard_id = decode_u32(reader)};
    object.described = manifest_decode_block(reader);
    object.size_bytes = byte_reader_varint(reader);
    object.hash.low = byte_reader_u64(reader);
    object.hash.high = byte_reader_u64(reader);
    uint8_t state = byte_reader_u8(reader);
    if (state == OBJECT_LISTED) {
        object.stands_for.index = byte_reader_varint(reader);
        object.stands_for.number = decode_u32(reader);
        object.listed_index = byte_reader_varint(reader);
    } else {
        object.condemned_index = byte_reader_varint(reader);
    }
    if (state == OBJECT_RELEASED)
        object.released_ms = byte_reader_zigzag(reader);
    if (reader->failed || state > OBJECT_RELEASED || object.described.index > frozen_index ||
        object.condemned_index > frozen_index || object.stands_for.index > frozen_index ||
        object.listed_index > frozen_index)
        return error_set(error, ERROR_CORRUPT, "an object of the bucket");
    object.state = (enum bucket_object_state)state;
    *object_out = object;
    return ERROR_NONE;
}

static enum error_code decode_heirs(struct byte_reader *reader, struct bucket *bucket,
                                    struct error *error)
{
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count > byte_reader_left(reader))
        return error_set(error, ERROR_CORRUPT, "heirs of the bucket");
    bucket->heirs = calloc(count + 1, sizeof *bucket->heirs);
    if (bucket->heirs == NULL)
        return no_room(error);
    for (; bucket->heir_count < count; bucket->heir_count++)
        bucket->heirs[bucket->heir_count] = decode_u32(reader);
    return ERROR_NONE;
}

/* Arrays grow with what was read: a count alone asks for no memory. */
static enum error_code decode_objects(struct byte_reader *reader, uint64_t frozen_index,
                                      struct bucket *bucket, struct error *error)
{
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count > byte_reader_left(reader))
        return error_set(error, ERROR_CORRUPT, "objects of the bucket");
    enum error_code code = ERROR_NONE;
    for (uint64_t i = 0; code == ERROR_NONE && i < count; i++) {
        struct bucket_object object;
        code = decode_object(reader, frozen_index, &object, error);
        if (code == ERROR_NONE)
            code = append(bucket, &object, error);
    }
    return code;
}

enum error_code bucket_decode(struct byte_reader *reader, uint64_t frozen_index,
                              struct bucket *bucket_out, struct error *error)
{
    struct bucket bucket = {.changed_index = byte_reader_varint(reader)};
    bucket.published.incarnation = byte_reader_varint(reader);
    bucket.published.index = byte_reader_varint(reader);
    bucket.published_ms = byte_reader_zigzag(reader);
    enum error_code code = decode_heirs(reader, &bucket, error);
    if (code == ERROR_NONE)
        code = decode_objects(reader, frozen_index, &bucket, error);
    if (code == ERROR_NONE && (reader->failed || bucket.changed_index > frozen_index ||
                               bucket.published.index > frozen_index))
        code = error_set(error, ERROR_CORRUPT, "what is in the bucket: cut, or out of order");
    if (code != ERROR_NONE) {
        bucket_clear(&bucket);
        return code;
    }
    *bucket_out = bucket;
    return ERROR_NONE;
}
