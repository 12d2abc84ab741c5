#include "windows.h"

#include <pthread.h>
#include <stdlib.h>

#include "membership/cluster_entry.h"

/* --- What was read --------------------------------------------------------------------------- */

void read_span_init(struct read_span *span)
{
    atomic_init(&span->start_ms, INT64_MAX);
    atomic_init(&span->end_ms, INT64_MIN);
}

void read_span_note(struct read_span *span, int64_t start_ms, int64_t end_ms)
{
    int64_t known = atomic_load_explicit(&span->start_ms, memory_order_relaxed);
    while (start_ms < known && !atomic_compare_exchange_weak(&span->start_ms, &known, start_ms))
        ;
    known = atomic_load_explicit(&span->end_ms, memory_order_relaxed);
    while (end_ms > known && !atomic_compare_exchange_weak(&span->end_ms, &known, end_ms))
        ;
}

/* --- What is told of a shard ----------------------------------------------------------------- */

struct told_windows told_windows_of(struct fanout_replicas *replicas,
                                    const struct fanout_replica *replica, uint64_t applied_index,
                                    const struct read_span *span, struct arena *arena)
{
    int64_t start_ms = atomic_load(&span->start_ms), end_ms = atomic_load(&span->end_ms);
    if (end_ms < start_ms)
        return (struct told_windows){.is_known = true};
    int64_t first = shard_window_of(start_ms);
    uint64_t beyond = (uint64_t)shard_window_of(end_ms) - (uint64_t)first;
    if (beyond >= FANOUT_WINDOWS_MAX)
        return (struct told_windows){0};
    size_t count = (size_t)beyond + 1;
    uint64_t *versions = arena_array(arena, count, sizeof *versions);
    if (versions == NULL)
        return (struct told_windows){0};
    replicas->operations->window_versions(replicas, replica, first, count, versions);
    for (size_t i = 0; i < count; i++)
        if (versions[i] > applied_index) /* it was changed meanwhile */
            versions[i] = SHARD_WINDOW_UNVERSIONED;
    return (struct told_windows){true, first, count, versions};
}

/* In the bytes: 0 is no version, as there is no entry 0. */
static uint64_t flip(uint64_t version)
{
    return version + 1;
}
_Static_assert(SHARD_WINDOW_UNVERSIONED + 1 == 0, "no version is 0 in the bytes");

void told_windows_encode(struct byte_buffer *buffer, uint32_t shard_id,
                         const struct told_windows *told)
{
    byte_buffer_varint(buffer, shard_id);
    byte_buffer_u8(buffer, told->is_known);
    if (!told->is_known)
        return;
    byte_buffer_zigzag(buffer, told->first);
    byte_buffer_varint(buffer, told->count);
    for (size_t i = 0; i < told->count;) {
        size_t end = i + 1;
        while (end < told->count && told->versions[end] == told->versions[i])
            end++;
        byte_buffer_varint(buffer, end - i);
        byte_buffer_varint(buffer, flip(told->versions[i]));
        i = end;
    }
}

static enum error_code corrupt(struct error *error)
{
    return error_set(error, ERROR_CORRUPT, "answer: versions of windows");
}

enum error_code told_windows_decode(const uint8_t *bytes, size_t size, struct arena *arena,
                                    uint32_t *shard_id_out, struct told_windows *told_out,
                                    struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, size);
    struct told_windows told = {0};
    uint64_t shard_id = byte_reader_varint(&reader);
    uint8_t is_known = byte_reader_u8(&reader);
    told.is_known = is_known == 1;
    told.first = is_known ? byte_reader_zigzag(&reader) : 0;
    uint64_t count = is_known ? byte_reader_varint(&reader) : 0;
    if (reader.failed || shard_id >= CLUSTER_SHARDS_MAX || is_known > 1 ||
        count > FANOUT_WINDOWS_MAX || told.first < shard_window_of(INT64_MIN) ||
        told.first > shard_window_of(INT64_MAX))
        return corrupt(error);
    uint64_t *versions = arena_array(arena, (size_t)count, sizeof *versions);
    if (versions == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
    while (told.count < count) {
        uint64_t length = byte_reader_varint(&reader);
        uint64_t version = byte_reader_varint(&reader) - 1;
        if (reader.failed || length == 0 || length > count - told.count)
            return corrupt(error);
        while (length-- > 0)
            versions[told.count++] = version;
    }
    if (byte_reader_left(&reader) > 0)
        return corrupt(error);
    told.versions = versions;
    *shard_id_out = (uint32_t)shard_id;
    *told_out = told;
    return ERROR_NONE;
}

/* --- Collecting ------------------------------------------------------------------------------ */

struct fanout_windows {
    pthread_mutex_t mutex;
    struct fanout_window *list; /* [count] */
    size_t count;
    size_t capacity;
    bool is_incomplete;
};

enum error_code fanout_windows_create(struct fanout_windows **windows_out, struct error *error)
{
    struct fanout_windows *windows = calloc(1, sizeof *windows);
    if (windows == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "versions of windows");
    pthread_mutex_init(&windows->mutex, NULL);
    *windows_out = windows;
    return ERROR_NONE;
}

void fanout_windows_destroy(struct fanout_windows *windows)
{
    if (windows == NULL)
        return;
    pthread_mutex_destroy(&windows->mutex);
    free(windows->list);
    free(windows);
}

static bool reserve(struct fanout_windows *windows, size_t more)
{
    if (more <= windows->capacity - windows->count)
        return true;
    size_t capacity = 2 * windows->capacity + more;
    struct fanout_window *grown = realloc(windows->list, capacity * sizeof *grown);
    if (grown == NULL)
        return false;
    windows->list = grown;
    windows->capacity = capacity;
    return true;
}

void fanout_windows_add(struct fanout_windows *windows, uint32_t shard_id,
                        const struct told_windows *told)
{
    if (windows == NULL)
        return;
    pthread_mutex_lock(&windows->mutex);
    if (!told->is_known || !reserve(windows, told->count))
        windows->is_incomplete = true;
    else
        for (size_t i = 0; i < told->count; i++)
            windows->list[windows->count++] =
                (struct fanout_window){shard_id, told->first + (int64_t)i, told->versions[i]};
    pthread_mutex_unlock(&windows->mutex);
}

bool fanout_windows_is_complete(const struct fanout_windows *windows)
{
    return !windows->is_incomplete;
}

static int by_window(const void *left, const void *right)
{
    const struct fanout_window *one = left, *other = right;
    if (one->shard_id != other->shard_id)
        return one->shard_id < other->shard_id ? -1 : 1;
    return one->window < other->window ? -1 : one->window > other->window;
}

/* A window that was read twice, and had changed in between, has no version. */
const struct fanout_window *fanout_windows_list(struct fanout_windows *windows, size_t *count_out)
{
    pthread_mutex_lock(&windows->mutex);
    size_t kept = 0;
    if (windows->count > 0)
        qsort(windows->list, windows->count, sizeof *windows->list, by_window);
    for (size_t i = 0; i < windows->count; i++) {
        struct fanout_window *next = &windows->list[i];
        struct fanout_window *last = kept == 0 ? NULL : &windows->list[kept - 1];
        if (last == NULL || by_window(last, next) != 0)
            windows->list[kept++] = *next;
        else if (last->version != next->version)
            last->version = SHARD_WINDOW_UNVERSIONED;
    }
    windows->count = kept;
    pthread_mutex_unlock(&windows->mutex);
    *count_out = kept;
    return windows->list;
}
