#include "object/object_store.h"

#include <assert.h>

#include "object/object_store_options.h"
#include "stores.h"

enum { FIRST_READ_BYTES = 64 * 1024 };

/* --- Keys ---------------------------------------------------------------------------------- */

/* What is wrong with a segment, or NULL. */
static const char *segment_fault(struct text segment)
{
    if (segment.size == 0)
        return "has an empty segment";
    if (segment.size > OBJECT_KEY_SEGMENT_MAX)
        return "has a segment of more than 200 bytes";
    if (text_equal(segment, TEXT(".")) || text_equal(segment, TEXT("..")))
        return "has a segment '.' or '..'";
    if (segment.data[0] == '~')
        return "has a segment that begins with '~'";
    return NULL;
}

static const char *key_fault(struct text key)
{
    if (key.size == 0)
        return "is empty";
    if (key.size > OBJECT_KEY_MAX)
        return "has more than 900 bytes";
    for (size_t i = 0; i < key.size; i++)
        if ((unsigned char)key.data[i] < 0x20 || key.data[i] == 0x7f)
            return "has a control character";
    if (!text_is_utf8(key))
        return "is not UTF-8";
    struct text rest = key, segment;
    const char *fault = NULL;
    bool more = true;
    while (more && fault == NULL) {
        more = text_split(rest, '/', &segment, &rest);
        fault = segment_fault(segment);
    }
    return fault;
}

bool object_key_is_valid(struct text key)
{
    return key_fault(key) == NULL;
}

enum error_code object_key_check(struct text key, struct error *error)
{
    const char *fault = key_fault(key);
    if (fault == NULL)
        return ERROR_NONE;
    int shown = key.size > 200 ? 200 : (int)key.size;
    return error_set(error, ERROR_INVALID, "object key '%.*s' %s", shown,
                     key.size == 0 ? "" : key.data, fault);
}

/* --- Reading ------------------------------------------------------------------------------- */

enum error_code object_store_read_whole(struct object_store *self, const struct object_call *call,
                                        struct text key, size_t limit_bytes,
                                        struct byte_buffer *buffer, struct error *error)
{
    size_t before = buffer->size;
    size_t room = FIRST_READ_BYTES;
    for (;;) {
        if (!byte_buffer_reserve(buffer, room))
            return error_set(error, ERROR_OUT_OF_MEMORY, "object of %zu bytes", room);
        struct object_read read = {
            .key = key, .target = buffer->bytes + before, .size_bytes = room};
        if (object_store_read(self, call, &read) != ERROR_NONE) {
            *error = read.error;
            return error->code;
        }
        if (read.object_bytes > limit_bytes)
            return error_set(error, ERROR_LIMIT, "object of %llu bytes, at most %zu are taken",
                             (unsigned long long)read.object_bytes, limit_bytes);
        if (read.read_bytes == read.object_bytes) {
            buffer->size = before + read.read_bytes;
            return ERROR_NONE;
        }
        /* Whole in one request: two halves could be of two objects. */
        room = (size_t)read.object_bytes;
    }
}

/* --- Life ---------------------------------------------------------------------------------- */

enum error_code object_store_create(const struct object_store_options *options,
                                    struct object_store **store_out, struct error *error)
{
    switch (options->type) {
    case OBJECT_STORE_NONE:
        *store_out = NULL;
        return ERROR_NONE;
    case OBJECT_STORE_DIRECTORY:
        return directory_store_create(options, store_out, error);
    case OBJECT_STORE_S3:
        return s3_store_create(options, store_out, error);
    }
    return error_set(error, ERROR_INVALID, "object_store.type: %d", (int)options->type);
}
