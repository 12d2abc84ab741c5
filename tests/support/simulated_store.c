#include "simulated_store.h"

#include <stdlib.h>
#include <string.h>

#include "simulated_memory.h"

/* --- Objects --------------------------------------------------------------------------------- */

static struct simulated_store *store_of(struct object_store *self)
{
    return (struct simulated_store *)self; /* its first member */
}

static struct simulated_object *find(const struct simulated_store *store, struct text key)
{
    for (size_t i = 0; i < store->count; i++)
        if (text_equal(text_of(store->objects[i].key), key))
            return &store->objects[i];
    return NULL;
}

static bool is_there(const struct simulated_object *object)
{
    return object != NULL && object->gone_ns == UINT64_MAX;
}

const struct simulated_object *simulated_store_find(const struct simulated_store *store,
                                                    const char *key)
{
    const struct simulated_object *object = find(store, text_of(key));
    return is_there(object) ? object : NULL;
}

size_t simulated_store_count(const struct simulated_store *store, const char *prefix)
{
    size_t count = 0;
    for (size_t i = 0; i < store->count; i++)
        count += is_there(&store->objects[i]) &&
                 text_starts_with(text_of(store->objects[i].key), text_of(prefix));
    return count;
}

/* --- Faults ---------------------------------------------------------------------------------- */

static enum error_code unavailable(struct error *error, const char *when)
{
    return error_set(error, ERROR_UNAVAILABLE, "simulated store: failed %s", when);
}

/* At the beginning of each call. */
static enum error_code enter(struct simulated_store *store, const struct object_call *call,
                             struct error *error)
{
    store->calls++;
    if (call != NULL && call->canceled != NULL && atomic_load(call->canceled))
        return error_set(error, ERROR_CANCELED, "simulated store: canceled");
    if (store->is_down || random_below(&store->random.base, 1000) < store->fail_before_permille)
        return unavailable(error, "before");
    return ERROR_NONE;
}

static enum error_code leave(struct simulated_store *store, struct error *error)
{
    return random_below(&store->random.base, 1000) < store->fail_after_permille
               ? unavailable(error, "after")
               : ERROR_NONE;
}

/* --- Reading --------------------------------------------------------------------------------- */

static void read_one(struct simulated_store *store, const struct object_call *call,
                     struct object_read *read)
{
    error_clear(&read->error);
    if (enter(store, call, &read->error) != ERROR_NONE)
        return;
    const struct simulated_object *object = find(store, read->key);
    if (!is_there(object)) {
        error_set(&read->error, ERROR_NOT_FOUND, "simulated store: no such object");
        return;
    }
    size_t from = (size_t)read->offset_bytes;
    if (read->place == OBJECT_READ_TAIL)
        from = object->size_bytes > read->size_bytes ? object->size_bytes - read->size_bytes : 0;
    if (from > object->size_bytes)
        from = object->size_bytes;
    size_t left = object->size_bytes - from;
    read->read_bytes = left < read->size_bytes ? left : read->size_bytes;
    read->object_bytes = object->size_bytes;
    if (read->read_bytes > 0)
        memcpy(read->target, object->bytes + from, read->read_bytes);
}

static void store_read(struct object_store *self, const struct object_call *call,
                       struct object_read *reads, size_t count)
{
    for (size_t i = 0; i < count; i++)
        read_one(store_of(self), call, &reads[i]);
}

static enum error_code store_head(struct object_store *self, const struct object_call *call,
                                  struct text key, struct object_info *info_out,
                                  struct error *error)
{
    struct simulated_store *store = store_of(self);
    enum error_code code = enter(store, call, error);
    if (code != ERROR_NONE)
        return code;
    const struct simulated_object *object = find(store, key);
    if (!is_there(object))
        return error_set(error, ERROR_NOT_FOUND, "simulated store: no such object");
    *info_out =
        (struct object_info){.size_bytes = object->size_bytes, .modified_ms = object->put_ms};
    return ERROR_NONE;
}

/* --- Writing --------------------------------------------------------------------------------- */

static void keep(struct simulated_store *store, struct text key, const uint8_t *bytes, size_t size)
{
    struct simulated_object *object = find(store, key);
    if (object == NULL) {
        store->objects = simulated_grow(store->objects, store->count * sizeof *store->objects,
                                        (store->count + 1) * sizeof *store->objects);
        object = &store->objects[store->count++];
        *object = (struct simulated_object){.key = simulated_allocate(key.size + 1)};
        memcpy(object->key, key.data, key.size);
        object->key[key.size] = '\0';
        object->gone_ns = 0;
    } else if (object->size_bytes != size ||
               (size > 0 && memcmp(object->bytes, bytes, size) != 0)) {
        store->overwritten++;
    }
    store->puts++;
    object->put_count++;
    if (is_there(object) && object->size_bytes == size && memcmp(object->bytes, bytes, size) == 0)
        return;
    free(object->bytes);
    object->bytes = simulated_allocate(size + 1);
    memcpy(object->bytes, bytes, size);
    object->size_bytes = size;
    object->put_ms = clock_now_ms(store->clock);
    object->put_ns = clock_monotonic_ns(store->clock);
    object->gone_ns = UINT64_MAX;
}

static enum error_code store_put(struct object_store *self, const struct object_call *call,
                                 struct text key, const void *bytes, size_t size,
                                 struct error *error)
{
    struct simulated_store *store = store_of(self);
    enum error_code code = enter(store, call, error);
    if (code != ERROR_NONE)
        return code;
    keep(store, key, bytes, size);
    return leave(store, error);
}

static enum error_code store_put_file(struct object_store *self, const struct object_call *call,
                                      struct text key, const struct object_file *file,
                                      struct error *error)
{
    struct simulated_store *store = store_of(self);
    enum error_code code = enter(store, call, error);
    if (code != ERROR_NONE)
        return code;
    uint8_t *bytes = simulated_allocate((size_t)file->size_bytes + 1);
    code = disk_read_at(file->disk, file->file, 0, bytes, (size_t)file->size_bytes, error);
    if (code == ERROR_NONE)
        keep(store, key, bytes, (size_t)file->size_bytes);
    free(bytes);
    return code == ERROR_NONE ? leave(store, error) : code;
}

static enum error_code store_abandon_put(struct object_store *self, const struct object_call *call,
                                         struct text key, struct error *error)
{
    (void)key; /* objects come whole */
    return enter(store_of(self), call, error);
}

static enum error_code store_sweep_puts(struct object_store *self, const struct object_call *call,
                                        struct text prefix, int64_t begun_before_ms,
                                        size_t *count_out, struct error *error)
{
    (void)prefix;
    (void)begun_before_ms;
    *count_out = 0;
    return enter(store_of(self), call, error);
}

/* --- Listing and removing -------------------------------------------------------------------- */

static int compare_objects(const void *left, const void *right)
{
    const struct simulated_object *const *a = left, *const *b = right;
    return strcmp((*a)->key, (*b)->key);
}

/* Whether a listing of this time shows the object. */
static bool was_there(const struct simulated_object *object, uint64_t at_ns)
{
    return object->put_ns <= at_ns && object->gone_ns > at_ns;
}

static enum error_code store_list(struct object_store *self, const struct object_call *call,
                                  const struct object_range *range, object_visit *visit,
                                  void *context, struct error *error)
{
    struct simulated_store *store = store_of(self);
    enum error_code code = enter(store, call, error);
    if (code != ERROR_NONE)
        return code;
    uint64_t now_ns = clock_monotonic_ns(store->clock), lag_ns = 0;
    if (store->listing_lag_ns > 0)
        lag_ns = random_next(&store->random.base) % store->listing_lag_ns;
    uint64_t at_ns = now_ns > lag_ns ? now_ns - lag_ns : 0;
    const struct simulated_object **found = simulated_allocate((store->count + 1) * sizeof *found);
    size_t count = 0;
    for (size_t i = 0; i < store->count; i++) {
        struct text key = text_of(store->objects[i].key);
        if (was_there(&store->objects[i], at_ns) && text_starts_with(key, range->prefix) &&
            (range->start_after.size == 0 || text_compare(key, range->start_after) > 0))
            found[count++] = &store->objects[i];
    }
    qsort(found, count, sizeof *found, compare_objects);
    for (size_t i = 0; i < count; i++) {
        struct object_info info = {text_of(found[i]->key), found[i]->size_bytes, found[i]->put_ms};
        if (!visit(context, &info))
            break;
    }
    free(found);
    return ERROR_NONE;
}

static enum error_code store_remove(struct object_store *self, const struct object_call *call,
                                    const struct text *keys, size_t count, struct error *error)
{
    struct simulated_store *store = store_of(self);
    enum error_code code = enter(store, call, error);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        struct simulated_object *object = find(store, keys[i]);
        if (is_there(object)) {
            object->gone_ns = clock_monotonic_ns(store->clock);
            store->removals++;
        }
        code = leave(store, error);
    }
    return code;
}

static void store_destroy(struct object_store *self)
{
    (void)self; /* whoever made it clears it */
}

static const struct object_store_operations OPERATIONS = {
    .read = store_read,
    .head = store_head,
    .put = store_put,
    .put_file = store_put_file,
    .abandon_put = store_abandon_put,
    .sweep_puts = store_sweep_puts,
    .list = store_list,
    .remove = store_remove,
    .destroy = store_destroy,
};

void simulated_store_init(struct simulated_store *store, struct clock *clock, uint64_t seed)
{
    *store = (struct simulated_store){.base = {&OPERATIONS}, .clock = clock};
    random_generator_init(&store->random, seed);
}

void simulated_store_clear(struct simulated_store *store)
{
    for (size_t i = 0; i < store->count; i++) {
        free(store->objects[i].key);
        free(store->objects[i].bytes);
    }
    free(store->objects);
    *store = (struct simulated_store){0};
}
