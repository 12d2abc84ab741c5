/*
 * object_store - byte strings by name, far away or in a directory, behind one small face.
 *
 * An object is whole or not there: who reads sees all bytes of one put, never a part. Stores know
 * no conditions ("only if absent"): two puts of one key, and the last one wins. Who needs that to
 * be safe gives different contents different keys. A listing may lag behind (objects missing that
 * were put just now, objects named that are gone already); reads, sizes and puts do not.
 *
 * Every call blocks, is for workers, and may be made by any number of threads at once. A call ends
 * at its deadline and within some 20 ms of its cancellation; then nothing of the caller's memory is
 * used any more. What may help to be tried again is tried again inside, until the deadline or the
 * store's patience ends.
 *
 * Keys are 1 to OBJECT_KEY_MAX bytes of UTF-8 in segments, "/" between them; a segment has 1 to
 * OBJECT_KEY_SEGMENT_MAX bytes, is not "." or "..", does not begin with "~" (names of unfinished
 * uploads do), and has no control characters. A store holds "a" or "a/b", not both. Other keys,
 * which somebody else may have put, are refused by each call and passed over by listings.
 *
 * Errors of all calls:
 *   NOT_FOUND      no such object
 *   DENIED         the store refuses: keys, rights, region, bucket, clock. The message says what is
 *                  to be mended, and where. The same call may succeed once that is done.
 *   UNAVAILABLE    not now: not reached, overloaded, broken off again and again
 *   TIMEOUT        the deadline of the call
 *   CANCELED
 *   CORRUPT        bytes were changed on their way, again and again
 *   NO_SPACE       the store is full, or its quota is
 *   INVALID        the key, or sizes that no store takes
 *   IO, OUT_OF_MEMORY
 *
 * Production is object/object_store_options.h.
 */
#ifndef OBJECT_OBJECT_STORE_H
#define OBJECT_OBJECT_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "platform/disk.h"

enum { OBJECT_KEY_MAX = 900, OBJECT_KEY_SEGMENT_MAX = 200 };

/* How long a call may take. Zero-initialised, or NULL: as long as the store is patient, never
 * canceled. */
struct object_call {
    const atomic_bool *canceled; /* NULL: never */
    uint64_t deadline_ns;        /* of the monotonic clock; 0: none but the store's patience */
};

enum object_read_place {
    OBJECT_READ_AT,   /* from offset_bytes on */
    OBJECT_READ_TAIL, /* the last size_bytes, or all of an object that is shorter */
};

/* One range of one object. */
struct object_read {
    struct text key;
    enum object_read_place place;
    uint64_t offset_bytes; /* OBJECT_READ_AT; may lie behind the end */
    uint8_t *target;       /* [size_bytes]; undefined after an error */
    size_t size_bytes;     /* at least 1 */

    /* Written by the call. */
    struct error error;    /* .code is NONE on success */
    size_t read_bytes;     /* fewer than size_bytes only because the object ends */
    uint64_t object_bytes; /* of the whole object */
};

/* A file to be put. */
struct object_file {
    struct disk *disk; /* its blocking face is used, by one thread at a time */
    struct file *file; /* open, unchanged until the call returns */
    uint64_t size_bytes;
};

struct object_info {
    struct text key; /* as long as the visit; empty for object_store_head */
    uint64_t size_bytes;
    int64_t modified_ms; /* when it was put, by the store's clock, to the second or better */
};

struct object_range {
    struct text prefix;      /* of keys, byte for byte; empty: all */
    struct text start_after; /* only keys behind this one, in byte order; empty: from the first */
};

/* In byte order of keys, each once. Return false to stop. On the thread of the call. The store may
 * be used inside. */
typedef bool object_visit(void *context, const struct object_info *object);

struct object_store;

struct object_store_operations {
    void (*read)(struct object_store *self, const struct object_call *call,
                 struct object_read *reads, size_t count);
    enum error_code (*head)(struct object_store *self, const struct object_call *call,
                            struct text key, struct object_info *info_out, struct error *error);
    enum error_code (*put)(struct object_store *self, const struct object_call *call,
                           struct text key, const void *bytes, size_t size, struct error *error);
    enum error_code (*put_file)(struct object_store *self, const struct object_call *call,
                                struct text key, const struct object_file *file,
                                struct error *error);
    enum error_code (*abandon_put)(struct object_store *self, const struct object_call *call,
                                   struct text key, struct error *error);
    enum error_code (*sweep_puts)(struct object_store *self, const struct object_call *call,
                                  struct text prefix, int64_t begun_before_ms, size_t *count_out,
                                  struct error *error);
    enum error_code (*list)(struct object_store *self, const struct object_call *call,
                            const struct object_range *range, object_visit *visit, void *context,
                            struct error *error);
    enum error_code (*remove)(struct object_store *self, const struct object_call *call,
                              const struct text *keys, size_t count, struct error *error);
    void (*destroy)(struct object_store *self);
};

struct object_store {
    const struct object_store_operations *operations;
};

/* --- Keys ---------------------------------------------------------------------------------- */

bool object_key_is_valid(struct text key);

/* Errors: INVALID, with the reason. */
enum error_code object_key_check(struct text key, struct error *error);

/* --- Reading ------------------------------------------------------------------------------- */

/* All at once, as far as the store has connections; the call ends when each has its result. */
static inline void object_store_read_many(struct object_store *self, const struct object_call *call,
                                          struct object_read *reads, size_t count)
{
    self->operations->read(self, call, reads, count);
}

static inline enum error_code object_store_read(struct object_store *self,
                                                const struct object_call *call,
                                                struct object_read *read)
{
    self->operations->read(self, call, read, 1);
    return read->error.code;
}

/* The whole object, appended to `buffer`. Errors: also LIMIT (it is larger than `limit_bytes`). */
enum error_code object_store_read_whole(struct object_store *self, const struct object_call *call,
                                        struct text key, size_t limit_bytes,
                                        struct byte_buffer *buffer, struct error *error);

/* Whether it is there, and how large. */
static inline enum error_code object_store_head(struct object_store *self,
                                                const struct object_call *call, struct text key,
                                                struct object_info *info_out, struct error *error)
{
    return self->operations->head(self, call, key, info_out, error);
}

/* --- Writing ------------------------------------------------------------------------------- */

/* Success means: durable, and its bytes are those given. After an error it may be there all the
 * same. For what is small: it is sent in one piece. */
static inline enum error_code object_store_put(struct object_store *self,
                                               const struct object_call *call, struct text key,
                                               const void *bytes, size_t size, struct error *error)
{
    return self->operations->put(self, call, key, bytes, size, error);
}

/*
 * Likewise the bytes of a file, in parts when it is large. After an error or a crash, put the file
 * again: the parts of an earlier call with this key, by whatever process, are compared with the
 * file and not sent again where they are equal. An object that is there already with the same
 * bytes is success, and so is another caller who puts the same bytes at the same time.
 */
static inline enum error_code object_store_put_file(struct object_store *self,
                                                    const struct object_call *call, struct text key,
                                                    const struct object_file *file,
                                                    struct error *error)
{
    return self->operations->put_file(self, call, key, file, error);
}

/* Drop what arrived of puts of this key that did not end. Nothing there is success. */
static inline enum error_code object_store_abandon_put(struct object_store *self,
                                                       const struct object_call *call,
                                                       struct text key, struct error *error)
{
    return self->operations->abandon_put(self, call, key, error);
}

/* Drop what arrived of puts below `prefix` that did not end and began before this time: nobody
 * may go on with them. *count_out counts them, also after an error. */
static inline enum error_code object_store_sweep_puts(struct object_store *self,
                                                      const struct object_call *call,
                                                      struct text prefix, int64_t begun_before_ms,
                                                      size_t *count_out, struct error *error)
{
    return self->operations->sweep_puts(self, call, prefix, begun_before_ms, count_out, error);
}

/* --- Listing and removing ------------------------------------------------------------------ */

static inline enum error_code object_store_list(struct object_store *self,
                                                const struct object_call *call,
                                                const struct object_range *range,
                                                object_visit *visit, void *context,
                                                struct error *error)
{
    return self->operations->list(self, call, range, visit, context, error);
}

/* Success means: none of them is there. After an error some may be gone. */
static inline enum error_code object_store_remove_many(struct object_store *self,
                                                       const struct object_call *call,
                                                       const struct text *keys, size_t count,
                                                       struct error *error)
{
    return self->operations->remove(self, call, keys, count, error);
}

static inline enum error_code object_store_remove(struct object_store *self,
                                                  const struct object_call *call, struct text key,
                                                  struct error *error)
{
    return self->operations->remove(self, call, &key, 1, error);
}

/* No call may be under way. NULL is fine. */
static inline void object_store_destroy(struct object_store *self)
{
    if (self != NULL)
        self->operations->destroy(self);
}

#endif
