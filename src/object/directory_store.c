#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory_file.h"
#include "directory_walk.h"
#include "object_metrics.h"
#include "platform/random.h"
#include "stores.h"

enum { COPY_BYTES = 1024 * 1024 };

/* --- Types --------------------------------------------------------------------------------- */

struct directory_store {
    struct object_store base;
    int root;
    struct clock *clock;
    struct random *random;
    struct object_metrics metrics;
};

/* One request, from its begin to its count. */
struct request {
    struct directory_store *store;
    enum object_operation operation;
    uint64_t begun_ns;
};

static struct directory_store *store_of(struct object_store *self)
{
    return (struct directory_store *)self;
}

static struct request request_begin(struct directory_store *store, enum object_operation operation)
{
    gauge_add(store->metrics.in_flight, 1);
    return (struct request){store, operation, clock_monotonic_ns(store->clock)};
}

static enum error_code request_end(const struct request *request, enum error_code code)
{
    struct directory_store *store = request->store;
    gauge_add(store->metrics.in_flight, -1);
    object_metrics_count(&store->metrics, request->operation, object_result_of(code),
                         clock_monotonic_ns(store->clock) - request->begun_ns);
    return code;
}

/* A key as a path below the root. Errors: INVALID. */
static enum error_code path_of(struct text key, char target[OBJECT_KEY_MAX + 1],
                               struct error *error)
{
    enum error_code code = object_key_check(key, error);
    if (code == ERROR_NONE)
        snprintf(target, OBJECT_KEY_MAX + 1, "%.*s", TEXT_ARGUMENTS(key));
    return code;
}

static enum error_code set_open_error(struct error *error, int reason, const char *path)
{
    if (reason == ENOENT || reason == ENOTDIR)
        return error_set(error, ERROR_NOT_FOUND, "there is no object '%s'", path);
    if (reason == EACCES || reason == EPERM)
        return error_set(error, ERROR_DENIED,
                         "object_store.directory: this user may not read '%s': mend its rights",
                         path);
    return error_set_errno(error, reason, "object '%s'", path);
}

/* --- Reading ------------------------------------------------------------------------------- */

static enum error_code read_range(struct directory_store *store, const struct object_call *call,
                                  int descriptor, struct object_read *read)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0)
        return error_set_errno(&read->error, errno, "its size");
    if (!S_ISREG(status.st_mode))
        return error_set(&read->error, ERROR_NOT_FOUND, "there is no object '%.*s'",
                         TEXT_ARGUMENTS(read->key));
    uint64_t size = (uint64_t)status.st_size;
    uint64_t offset = read->offset_bytes;
    if (read->place == OBJECT_READ_TAIL)
        offset = size > read->size_bytes ? size - read->size_bytes : 0;
    uint64_t wanted = offset >= size ? 0 : size - offset;
    if (wanted > read->size_bytes)
        wanted = read->size_bytes;
    size_t done = 0;
    while (done < wanted) {
        enum error_code code = object_call_check(call, store->clock, &read->error);
        if (code != ERROR_NONE)
            return code;
        size_t step = wanted - done > COPY_BYTES ? COPY_BYTES : (size_t)(wanted - done);
        ssize_t count = pread(descriptor, read->target + done, step, (off_t)(offset + done));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return error_set_errno(&read->error, errno, "object '%.*s'", TEXT_ARGUMENTS(read->key));
        if (count == 0)
            return error_set(&read->error, ERROR_CORRUPT, "object '%.*s' was cut",
                             TEXT_ARGUMENTS(read->key));
        done += (size_t)count;
    }
    counter_add(store->metrics.received_bytes, done);
    read->read_bytes = done;
    read->object_bytes = size;
    return ERROR_NONE;
}

static enum error_code read_one(struct directory_store *store, const struct object_call *call,
                                struct object_read *read)
{
    char path[OBJECT_KEY_MAX + 1];
    error_clear(&read->error);
    enum error_code code = path_of(read->key, path, &read->error);
    if (code == ERROR_NONE)
        code = object_call_check(call, store->clock, &read->error);
    if (code != ERROR_NONE)
        return code;
    int descriptor = openat(store->root, path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return set_open_error(&read->error, errno, path);
    code = read_range(store, call, descriptor, read);
    close(descriptor);
    return code;
}

static void directory_store_read(struct object_store *self, const struct object_call *call,
                                 struct object_read *reads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct request request = request_begin(store_of(self), OBJECT_OPERATION_GET);
        request_end(&request, read_one(store_of(self), call, &reads[i]));
    }
}

static int64_t modified_ms(const struct stat *status)
{
    return (int64_t)status->st_mtim.tv_sec * 1000 + status->st_mtim.tv_nsec / 1000000;
}

static enum error_code head(struct directory_store *store, struct text key,
                            struct object_info *info_out, struct error *error)
{
    char path[OBJECT_KEY_MAX + 1];
    struct stat status;
    enum error_code code = path_of(key, path, error);
    if (code != ERROR_NONE)
        return code;
    if (fstatat(store->root, path, &status, 0) != 0)
        return set_open_error(error, errno, path);
    if (!S_ISREG(status.st_mode))
        return set_open_error(error, ENOENT, path);
    *info_out = (struct object_info){.size_bytes = (uint64_t)status.st_size,
                                     .modified_ms = modified_ms(&status)};
    return ERROR_NONE;
}

static enum error_code directory_store_head(struct object_store *self,
                                            const struct object_call *call, struct text key,
                                            struct object_info *info_out, struct error *error)
{
    struct request request = request_begin(store_of(self), OBJECT_OPERATION_HEAD);
    enum error_code code = object_call_check(call, store_of(self)->clock, error);
    if (code == ERROR_NONE)
        code = head(store_of(self), key, info_out, error);
    return request_end(&request, code);
}

/* --- Writing ------------------------------------------------------------------------------- */

static enum error_code open_for(struct directory_store *store, struct text key,
                                struct unfinished *file, struct error *error)
{
    file->descriptor = -1;
    enum error_code code = object_key_check(key, error);
    if (code != ERROR_NONE)
        return code;
    return unfinished_open(file, store->root, key, random_next(store->random), error);
}

static enum error_code directory_store_put(struct object_store *self,
                                           const struct object_call *call, struct text key,
                                           const void *bytes, size_t size, struct error *error)
{
    struct directory_store *store = store_of(self);
    struct request request = request_begin(store, OBJECT_OPERATION_PUT);
    struct unfinished file = {.descriptor = -1};
    enum error_code code = object_call_check(call, store->clock, error);
    if (code == ERROR_NONE)
        code = open_for(store, key, &file, error);
    if (code == ERROR_NONE)
        code = unfinished_write(&file, bytes, size, error);
    if (code == ERROR_NONE)
        code = unfinished_finish(&file, error);
    if (code == ERROR_NONE)
        counter_add(store->metrics.sent_bytes, size);
    unfinished_close(&file);
    return request_end(&request, code);
}

static enum error_code copy_file(struct directory_store *store, const struct object_call *call,
                                 const struct object_file *source, struct unfinished *target,
                                 struct error *error)
{
    uint8_t *bytes = malloc(COPY_BYTES);
    if (bytes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "copy of a file");
    enum error_code code = ERROR_NONE;
    for (uint64_t done = 0; done < source->size_bytes && code == ERROR_NONE;) {
        uint64_t left = source->size_bytes - done;
        size_t step = left > COPY_BYTES ? COPY_BYTES : (size_t)left;
        code = object_call_check(call, store->clock, error);
        if (code == ERROR_NONE)
            code = disk_read_at(source->disk, source->file, done, bytes, step, error);
        if (code == ERROR_NONE)
            code = unfinished_write(target, bytes, step, error);
        done += step;
    }
    free(bytes);
    return code;
}

static enum error_code directory_store_put_file(struct object_store *self,
                                                const struct object_call *call, struct text key,
                                                const struct object_file *source,
                                                struct error *error)
{
    struct directory_store *store = store_of(self);
    struct request request = request_begin(store, OBJECT_OPERATION_PUT);
    struct unfinished file = {.descriptor = -1};
    enum error_code code = open_for(store, key, &file, error);
    if (code == ERROR_NONE)
        code = copy_file(store, call, source, &file, error);
    if (code == ERROR_NONE)
        code = unfinished_finish(&file, error);
    if (code == ERROR_NONE)
        counter_add(store->metrics.sent_bytes, source->size_bytes);
    unfinished_close(&file);
    return request_end(&request, code);
}

/* --- Unfinished puts ----------------------------------------------------------------------- */

struct sweep {
    struct directory_store *store;
    const struct object_call *call;
    struct text key; /* only of this one; empty: of all */
    int64_t begun_before_ms;
    size_t count;
    struct error *error;
    enum error_code code;
};

static bool sweep_visit(void *context, const char *path, struct text key, const struct stat *status)
{
    struct sweep *sweep = context;
    if (sweep->key.size > 0 && !text_equal(sweep->key, key))
        return true;
    if (modified_ms(status) >= sweep->begun_before_ms)
        return true;
    struct request request = request_begin(sweep->store, OBJECT_OPERATION_UPLOAD_ABORT);
    sweep->code = object_call_check(sweep->call, sweep->store->clock, sweep->error);
    if (sweep->code == ERROR_NONE)
        sweep->code = directory_remove(sweep->store->root, path, sweep->error);
    request_end(&request, sweep->code);
    sweep->count += sweep->code == ERROR_NONE;
    return sweep->code == ERROR_NONE;
}

static enum error_code sweep_run(struct sweep *sweep, struct text prefix)
{
    struct directory_walk walk = {.root = sweep->store->root,
                                  .kind = DIRECTORY_WALK_UNFINISHED,
                                  .prefix = prefix,
                                  .visit = sweep_visit,
                                  .context = sweep};
    struct request request = request_begin(sweep->store, OBJECT_OPERATION_UPLOAD_LIST);
    enum error_code code = directory_walk(&walk, sweep->error);
    request_end(&request, code);
    return code == ERROR_NONE ? sweep->code : code;
}

static enum error_code directory_store_abandon_put(struct object_store *self,
                                                   const struct object_call *call, struct text key,
                                                   struct error *error)
{
    struct sweep sweep = {.store = store_of(self),
                          .call = call,
                          .key = key,
                          .begun_before_ms = INT64_MAX,
                          .error = error};
    enum error_code code = object_key_check(key, error);
    return code == ERROR_NONE ? sweep_run(&sweep, key) : code;
}

static enum error_code directory_store_sweep_puts(struct object_store *self,
                                                  const struct object_call *call,
                                                  struct text prefix, int64_t begun_before_ms,
                                                  size_t *count_out, struct error *error)
{
    struct sweep sweep = {
        .store = store_of(self), .call = call, .begun_before_ms = begun_before_ms, .error = error};
    enum error_code code = sweep_run(&sweep, prefix);
    *count_out = sweep.count;
    return code;
}

/* --- Listing and removing ------------------------------------------------------------------ */

struct listing {
    struct directory_store *store;
    const struct object_call *call;
    object_visit *visit;
    void *context;
    struct error *error;
    enum error_code code;
};

static bool list_visit(void *context, const char *path, struct text key, const struct stat *status)
{
    struct listing *listing = context;
    struct object_info info = {
        .key = key, .size_bytes = (uint64_t)status->st_size, .modified_ms = modified_ms(status)};
    (void)path;
    listing->code = object_call_check(listing->call, listing->store->clock, listing->error);
    return listing->code == ERROR_NONE && listing->visit(listing->context, &info);
}

static enum error_code directory_store_list(struct object_store *self,
                                            const struct object_call *call,
                                            const struct object_range *range, object_visit *visit,
                                            void *context, struct error *error)
{
    struct directory_store *store = store_of(self);
    struct request request = request_begin(store, OBJECT_OPERATION_LIST);
    struct listing listing = {store, call, visit, context, error, ERROR_NONE};
    struct directory_walk walk = {.root = store->root,
                                  .kind = DIRECTORY_WALK_OBJECTS,
                                  .prefix = range->prefix,
                                  .start_after = range->start_after,
                                  .visit = list_visit,
                                  .context = &listing};
    enum error_code code = object_call_check(call, store->clock, error);
    if (code == ERROR_NONE)
        code = directory_walk(&walk, error);
    return request_end(&request, code == ERROR_NONE ? listing.code : code);
}

static enum error_code directory_store_remove(struct object_store *self,
                                              const struct object_call *call,
                                              const struct text *keys, size_t count,
                                              struct error *error)
{
    struct directory_store *store = store_of(self);
    for (size_t i = 0; i < count; i++) {
        char path[OBJECT_KEY_MAX + 1];
        struct request request = request_begin(store, OBJECT_OPERATION_DELETE);
        enum error_code code = object_call_check(call, store->clock, error);
        if (code == ERROR_NONE)
            code = path_of(keys[i], path, error);
        if (code == ERROR_NONE)
            code = directory_remove(store->root, path, error);
        if (request_end(&request, code) != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- Life ---------------------------------------------------------------------------------- */

static void directory_store_destroy(struct object_store *self)
{
    struct directory_store *store = store_of(self);
    if (store->root >= 0)
        close(store->root);
    object_metrics_clear(&store->metrics);
    free(store);
}

static const struct object_store_operations OPERATIONS = {
    .read = directory_store_read,
    .head = directory_store_head,
    .put = directory_store_put,
    .put_file = directory_store_put_file,
    .abandon_put = directory_store_abandon_put,
    .sweep_puts = directory_store_sweep_puts,
    .list = directory_store_list,
    .remove = directory_store_remove,
    .destroy = directory_store_destroy,
};

/* Makes a folder, and its name durable in the one above. What is there already, or cannot be made,
 * is found by who opens it. */
static void make_durable(const char *path, const char *above)
{
    if (mkdir(path, 0777) != 0)
        return;
    int descriptor = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return;
    fsync(descriptor);
    close(descriptor);
}

/* With missing parents. */
static void make_root(const char *path)
{
    char folder[4096], above[4096];
    snprintf(above, sizeof above, "%s", path[0] == '/' ? "/" : ".");
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        make_durable(folder, above);
        memcpy(above, folder, sizeof above);
    }
    make_durable(path, above);
}

static enum error_code open_root(struct directory_store *store, const char *path,
                                 struct error *error)
{
    make_root(path);
    store->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return store->root >= 0 ? ERROR_NONE
                            : error_set_errno(error, errno, "object_store.directory '%s'", path);
}

enum error_code directory_store_create(const struct object_store_options *options,
                                       struct object_store **store_out, struct error *error)
{
    if (options->directory == NULL || options->directory[0] == '\0')
        return error_set(error, ERROR_INVALID, "object_store.directory is not set");
    struct directory_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "object store");
    store->base.operations = &OPERATIONS;
    store->root = -1;
    store->clock = options->clock;
    store->random = options->random;
    enum error_code code = object_metrics_init(&store->metrics, options->metrics, error);
    if (code == ERROR_NONE)
        code = open_root(store, options->directory, error);
    if (code != ERROR_NONE) {
        directory_store_destroy(&store->base);
        return code;
    }
    *store_out = &store->base;
    return ERROR_NONE;
}
