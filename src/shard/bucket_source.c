#include "shard/bucket_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "object/object_store.h"

struct object_source {
    struct page_source base;
    struct object_store *store;
    struct text key;
    char key_bytes[OBJECT_KEY_MAX];
};

static enum error_code object_source_read(struct page_source *self, uint64_t offset_bytes,
                                          uint8_t *target, size_t size_bytes, struct error *error)
{
    struct object_source *source = (struct object_source *)self;
    if (size_bytes == 0)
        return ERROR_NONE;
    struct object_read read = {.key = source->key,
                               .place = OBJECT_READ_AT,
                               .offset_bytes = offset_bytes,
                               .target = target,
                               .size_bytes = size_bytes};
    if (object_store_read(source->store, NULL, &read) != ERROR_NONE) {
        *error = read.error;
        error_wrap(error, "read object '%s'", self->name);
        return error->code;
    }
    if (read.read_bytes < size_bytes || read.object_bytes != self->size_bytes)
        return error_set(error, ERROR_CORRUPT, "object '%s' has %llu bytes, and should have %llu",
                         self->name, (unsigned long long)read.object_bytes,
                         (unsigned long long)self->size_bytes);
    return ERROR_NONE;
}

static void object_source_close(struct page_source *self)
{
    free(self);
}

static const struct page_source_operations OBJECT_SOURCE_OPERATIONS = {
    .read = object_source_read,
    .close = object_source_close,
};

enum error_code bucket_source_open(const struct bucket_source_options *options,
                                   struct page_source **source_out, struct error *error)
{
    enum error_code code = object_key_check(options->key, error);
    if (code != ERROR_NONE)
        return code;
    struct object_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "source of an object");
    source->base.operations = &OBJECT_SOURCE_OPERATIONS;
    source->base.size_bytes = options->size_bytes;
    snprintf(source->base.name, sizeof source->base.name, "%.*s", (int)options->key.size,
             options->key.data);
    memcpy(source->key_bytes, options->key.data, options->key.size);
    source->key = (struct text){source->key_bytes, options->key.size};
    source->store = options->store;
    *source_out = &source->base;
    return ERROR_NONE;
}
