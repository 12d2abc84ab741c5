#include "object/object_store_probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "platform/clock.h"
#include "platform/random.h"

enum { PROBE_BYTES = 1000, RANGE_BYTES = 100, KEY_BYTES_MAX = 40 };

struct probe {
    struct object_store *store;
    const struct object_call *call;
    char key[KEY_BYTES_MAX];
    uint8_t bytes[PROBE_BYTES];
};

static struct text key_of(const struct probe *probe)
{
    return text_of(probe->key);
}

static enum error_code set_wrong(struct error *error, const char *what)
{
    return error_set(error, ERROR_CORRUPT, "the object store answers %s", what);
}

/* --- Steps --------------------------------------------------------------------------------- */

static enum error_code probe_put(struct probe *probe, struct error *error)
{
    return object_store_put(probe->store, probe->call, key_of(probe), probe->bytes, PROBE_BYTES,
                            error);
}

static enum error_code probe_head(struct probe *probe, struct error *error)
{
    struct object_info info;
    enum error_code code =
        object_store_head(probe->store, probe->call, key_of(probe), &info, error);
    return code == ERROR_NONE && info.size_bytes != PROBE_BYTES
               ? set_wrong(error, "another length than was put")
               : code;
}

static enum error_code probe_read(struct probe *probe, struct error *error)
{
    struct byte_buffer buffer = {0};
    enum error_code code = object_store_read_whole(probe->store, probe->call, key_of(probe),
                                                   PROBE_BYTES, &buffer, error);
    if (code == ERROR_NONE &&
        (buffer.size != PROBE_BYTES || memcmp(buffer.bytes, probe->bytes, PROBE_BYTES) != 0))
        code = set_wrong(error, "other bytes than were put");
    byte_buffer_clear(&buffer);
    return code;
}

static enum error_code probe_ranges(struct probe *probe, struct error *error)
{
    uint8_t targets[2][RANGE_BYTES];
    const size_t offsets[2] = {PROBE_BYTES / 2, PROBE_BYTES - RANGE_BYTES};
    struct object_read reads[2] = {
        {.key = key_of(probe),
         .offset_bytes = offsets[0],
         .target = targets[0],
         .size_bytes = RANGE_BYTES},
        {.key = key_of(probe),
         .place = OBJECT_READ_TAIL,
         .target = targets[1],
         .size_bytes = RANGE_BYTES},
    };
    object_store_read_many(probe->store, probe->call, reads, 2);
    for (size_t i = 0; i < 2; i++) {
        if (reads[i].error.code != ERROR_NONE) {
            *error = reads[i].error;
            return error->code;
        }
        if (reads[i].read_bytes != RANGE_BYTES || reads[i].object_bytes != PROBE_BYTES ||
            memcmp(targets[i], probe->bytes + offsets[i], RANGE_BYTES) != 0)
            return set_wrong(error, "another range than was asked for");
    }
    return ERROR_NONE;
}

struct search {
    struct text key;
    bool is_found;
};

static bool search_visit(void *context, const struct object_info *object)
{
    struct search *search = context;
    search->is_found |= text_equal(object->key, search->key) && object->size_bytes == PROBE_BYTES;
    return !search->is_found;
}

static enum error_code probe_list(struct probe *probe, struct error *error)
{
    struct search search = {.key = key_of(probe)};
    struct object_range range = {.prefix = search.key};
    enum error_code code =
        object_store_list(probe->store, probe->call, &range, search_visit, &search, error);
    return code == ERROR_NONE && !search.is_found
               ? set_wrong(error, "a list without the object that was put")
               : code;
}

static enum error_code probe_remove(struct probe *probe, struct error *error)
{
    struct object_info info;
    enum error_code code = object_store_remove(probe->store, probe->call, key_of(probe), error);
    if (code != ERROR_NONE)
        return code;
    code = object_store_head(probe->store, probe->call, key_of(probe), &info, error);
    if (code == ERROR_NOT_FOUND)
        return ERROR_NONE;
    return code == ERROR_NONE ? set_wrong(error, "the head of an object that was removed") : code;
}

/* Of the probe's own folder, from before there was anything: it aborts none. */
static enum error_code probe_uploads(struct probe *probe, struct error *error)
{
    size_t count;
    return object_store_sweep_puts(probe->store, probe->call, TEXT("probe/"), 0, &count, error);
}

/* --- The probe ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum error_code (*run)(struct probe *probe, struct error *error);
} STEPS[] = {
    {"put", probe_put},         {"head", probe_head}, {"read", probe_read},
    {"ranges", probe_ranges},   {"list", probe_list}, {"remove", probe_remove},
    {"uploads", probe_uploads},
};

enum error_code object_store_probe(struct object_store *store, const struct object_call *call,
                                   const struct object_store_probe_options *options,
                                   struct error *error)
{
    struct probe probe = {.store = store, .call = call};
    enum error_code code = ERROR_NONE;
    snprintf(probe.key, sizeof probe.key, "probe/%016" PRIx64, random_next(options->random));
    for (size_t i = 0; i < PROBE_BYTES; i++)
        probe.bytes[i] = (uint8_t)random_next(options->random);
    error_clear(error);
    for (size_t i = 0; i < sizeof STEPS / sizeof *STEPS && code == ERROR_NONE; i++) {
        uint64_t begin_ns = clock_monotonic_ns(options->clock);
        code = STEPS[i].run(&probe, error);
        if (code == ERROR_NONE)
            error_clear(error); /* of what was rightly not found */
        options->report(options->context, STEPS[i].name,
                        clock_monotonic_ns(options->clock) - begin_ns, error);
    }
    struct error ignored;
    if (code != ERROR_NONE)
        (void)object_store_remove(store, call, key_of(&probe), &ignored);
    return code;
}
