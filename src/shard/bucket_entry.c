#include "bucket_entry.h"

#include <assert.h>
#include <stdlib.h>

#include "shard/entry.h"

#include "shard_private.h"

/* --- Bytes ----------------------------------------------------------------------------------- */

static void encode_name(struct byte_buffer *entry, const struct bucket_upload *upload)
{
    byte_buffer_varint(entry, upload->block.index);
    byte_buffer_varint(entry, upload->block.number);
    byte_buffer_u64(entry, upload->hash.low);
    byte_buffer_u64(entry, upload->hash.high);
}

void bucket_encode_uploaded(struct byte_buffer *entry, int64_t stamp_ms,
                            const struct bucket_upload *uploads, size_t count)
{
    assert(count <= BUCKET_ENTRY_OBJECTS_MAX);
    entry_encode_header(entry, ENTRY_UPLOADED, stamp_ms);
    byte_buffer_varint(entry, count);
    for (size_t i = 0; i < count; i++) {
        encode_name(entry, &uploads[i]);
        byte_buffer_varint(entry, uploads[i].size_bytes);
    }
}

void bucket_encode_published(struct byte_buffer *entry, int64_t stamp_ms,
                             struct bucket_list_name published)
{
    entry_encode_header(entry, ENTRY_PUBLISHED, stamp_ms);
    byte_buffer_varint(entry, published.incarnation);
    byte_buffer_varint(entry, published.index);
}

void bucket_encode_removed(struct byte_buffer *entry, int64_t stamp_ms,
                           const struct bucket_upload *removed, size_t count)
{
    assert(count <= BUCKET_ENTRY_OBJECTS_MAX);
    entry_encode_header(entry, ENTRY_REMOVED, stamp_ms);
    byte_buffer_varint(entry, count);
    for (size_t i = 0; i < count; i++)
        encode_name(entry, &removed[i]);
}

static struct bucket_upload decode_name(struct byte_reader *body)
{
    struct bucket_upload upload = {.block.index = byte_reader_varint(body)};
    uint64_t number = byte_reader_varint(body);
    upload.hash.low = byte_reader_u64(body);
    upload.hash.high = byte_reader_u64(body);
    body->failed |= number > UINT32_MAX;
    upload.block.number = (uint32_t)number;
    return upload;
}

enum object_fields { NAME_ALONE, NAME_AND_SIZE };

static enum error_code decode_objects(struct byte_reader *body, enum object_fields fields,
                                      struct bucket_upload **objects_out, size_t *count_out,
                                      struct error *error)
{
    uint64_t count = byte_reader_varint(body);
    if (body->failed || count == 0 || count > BUCKET_ENTRY_OBJECTS_MAX)
        return error_set(error, ERROR_CORRUPT, "the number of objects");
    struct bucket_upload *objects = calloc((size_t)count, sizeof *objects);
    if (objects == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "objects of an entry");
    for (uint64_t i = 0; i < count; i++) {
        objects[i] = decode_name(body);
        if (fields == NAME_AND_SIZE)
            objects[i].size_bytes = byte_reader_varint(body);
    }
    if (body->failed || byte_reader_left(body) > 0) {
        free(objects);
        return error_set(error, ERROR_CORRUPT, "objects: cut, or stray bytes");
    }
    *objects_out = objects;
    *count_out = (size_t)count;
    return ERROR_NONE;
}

enum error_code bucket_decode_uploaded(struct byte_reader *body, uint64_t index,
                                       struct bucket_upload **uploads_out, size_t *count_out,
                                       struct error *error)
{
    struct bucket_upload *uploads;
    size_t count;
    enum error_code code = decode_objects(body, NAME_AND_SIZE, &uploads, &count, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "uploaded");
    for (size_t i = 0; i < count; i++)
        if (uploads[i].block.index >= index) {
            free(uploads);
            return error_set(error, ERROR_CORRUPT, "uploaded: object %zu is of the future", i);
        }
    *uploads_out = uploads;
    *count_out = count;
    return ERROR_NONE;
}

enum error_code bucket_decode_removed(struct byte_reader *body, struct bucket_upload **removed_out,
                                      size_t *count_out, struct error *error)
{
    enum error_code code = decode_objects(body, NAME_ALONE, removed_out, count_out, error);
    return code == ERROR_NONE ? code : error_wrap(error, "removed");
}

enum error_code bucket_decode_published(struct byte_reader *body, uint64_t index,
                                        struct bucket_list_name *published_out, struct error *error)
{
    struct bucket_list_name published = {.incarnation = byte_reader_varint(body)};
    published.index = byte_reader_varint(body);
    if (body->failed || byte_reader_left(body) > 0 || published.index >= index)
        return error_set(error, ERROR_CORRUPT, "published: cut, or of the future");
    *published_out = published;
    return ERROR_NONE;
}

/* --- Applying -------------------------------------------------------------------------------- */

struct bucket_news bucket_news_of(const struct shard *shard, uint64_t index)
{
    return (struct bucket_news){
        .shard_id = shard->options.shard_id, .index = index, .stamp_ms = shard->stamp_ms};
}

static const struct manifest_block *find_block(const struct shard *shard, struct block_name name)
{
    for (size_t i = 0; i < shard->block_count; i++)
        if (block_name_equal(block_name_of(&shard->blocks[i].described), name))
            return &shard->blocks[i].described;
    return NULL;
}

enum error_code shard_apply_uploaded(struct shard *shard, uint64_t index, struct byte_reader *body,
                                     struct error *error)
{
    const struct bucket_news news = bucket_news_of(shard, index);
    struct bucket_upload *uploads;
    size_t count;
    enum error_code code = bucket_decode_uploaded(body, index, &uploads, &count, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++)
        code = bucket_add(&shard->bucket, &news, &uploads[i], find_block(shard, uploads[i].block),
                          error);
    free(uploads);
    return code;
}

enum error_code shard_apply_published(struct shard *shard, uint64_t index, struct byte_reader *body,
                                      struct error *error)
{
    const struct bucket_news news = bucket_news_of(shard, index);
    struct bucket_list_name published;
    enum error_code code = bucket_decode_published(body, index, &published, error);
    if (code == ERROR_NONE)
        bucket_publish(&shard->bucket, &news, published);
    return code;
}

enum error_code shard_apply_removed(struct shard *shard, struct byte_reader *body,
                                    struct error *error)
{
    struct bucket_upload *removed;
    size_t count;
    enum error_code code = bucket_decode_removed(body, &removed, &count, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; i < count; i++)
        bucket_remove(&shard->bucket, &removed[i]);
    free(removed);
    return ERROR_NONE;
}
