/*
 * Asks a store of objects for all that include/object/object_store.h promises.
 *
 *     object_contract directory
 *     object_contract s3            S3_ENDPOINT and others as tests/support/s3/with_server.py sets
 */
#include "contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/disk_uring.h"
#include "platform/random.h"

struct contract contract;

/* --- Tools --------------------------------------------------------------------------------- */

void must(enum error_code code, const struct error *error)
{
    if (code != ERROR_NONE)
        fail_msg("%s: %s", error_code_name(code), error->message);
}

struct object_store *store_with(const struct object_store_options *options)
{
    struct object_store *store = NULL;
    struct error error;
    must(object_store_create(options, &store, &error), &error);
    return store;
}

void put_text(const char *key, const char *text)
{
    struct error error;
    must(object_store_put(contract.store, NULL, text_of(key), text, strlen(text), &error), &error);
}

static bool remove_visit(void *context, const struct object_info *object)
{
    struct error error;
    must(object_store_remove(context, NULL, object->key, &error), &error);
    return true;
}

void remove_below(const char *prefix)
{
    struct object_range range = {.prefix = text_of(prefix)};
    struct error error;
    must(object_store_list(contract.store, NULL, &range, remove_visit, contract.store, &error),
         &error);
}

void fill_bytes(uint8_t *bytes, size_t size, uint64_t seed)
{
    struct random_generator generator;
    random_generator_init(&generator, seed);
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t value = random_next(&generator.base);
        size_t left = size - i < sizeof value ? size - i : sizeof value;
        memcpy(bytes + i, &value, left);
    }
}

struct counting {
    const char *operation;
    double total;
};

static void count_visit(void *context, const struct metric_sample *sample)
{
    struct counting *counting = context;
    if (strcmp(sample->family, "gnomon_object_requests_total") != 0)
        return;
    for (size_t i = 0; i < sample->label_count; i++)
        if (strcmp(sample->labels[i].name, "operation") == 0 &&
            strcmp(sample->labels[i].value, counting->operation) == 0)
            counting->total += sample->value;
}

uint64_t requests_of(const char *operation)
{
    struct counting counting = {operation, 0};
    metrics_visit(contract.metrics, count_visit, &counting);
    return (uint64_t)counting.total;
}

/* --- The store ----------------------------------------------------------------------------- */

static int64_t moved_now_ms(struct clock *self)
{
    return clock_now_ms(clock_system()) + ((struct moved_clock *)self)->ahead_ms;
}

static uint64_t moved_monotonic_ns(struct clock *self)
{
    (void)self;
    return clock_monotonic_ns(clock_system());
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL) {
        fprintf(stderr, "%s is not set\n", name);
        exit(2);
    }
    return value;
}

static void choose(const char *kind)
{
    struct object_store_options *options = &contract.options;
    *options = (struct object_store_options){.type = OBJECT_STORE_DIRECTORY,
                                             .directory = contract.scratch.path,
                                             .clock = &contract.clock.base,
                                             .random = random_system(),
                                             .metrics = contract.metrics};
    contract.is_s3 = strcmp(kind, "s3") == 0;
    if (!contract.is_s3)
        return;
    options->type = OBJECT_STORE_S3;
    options->s3 = (struct s3_options){.endpoint = variable("S3_ENDPOINT"),
                                      .bucket = variable("S3_BUCKET"),
                                      .region = variable("S3_REGION"),
                                      .access_key = variable("S3_ACCESS_KEY"),
                                      .secret_key = variable("S3_SECRET_KEY"),
                                      .prefix = "contract",
                                      .part_bytes = PART_BYTES,
                                      .page_entries = PAGE_ENTRIES};
    /* The keys that the other server takes have no colon. */
    contract.checks_region = strchr(options->s3.access_key, ':') != NULL;
}

int main(int argument_count, char **arguments)
{
    struct error error;
    if (argument_count != 2)
        return 2;
    scratch_directory_make(&contract.scratch);
    scratch_directory_make(&contract.files);
    contract.clock = (struct moved_clock){{moved_now_ms, moved_monotonic_ns}, 0};
    contract.metrics = metrics_create();
    choose(arguments[1]);
    if (disk_uring_create(contract.files.path, NULL, DISK_ENGINE_THREADS, &contract.disk, &error) !=
            ERROR_NONE ||
        object_store_create(&contract.options, &contract.store, &error) != ERROR_NONE) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    int failed = run_object_cases() + run_listing_cases() + run_file_cases() + run_refusal_cases();
    object_store_destroy(contract.store);
    disk_uring_destroy(contract.disk);
    metrics_destroy(contract.metrics);
    scratch_directory_remove(&contract.scratch);
    scratch_directory_remove(&contract.files);
    return failed == 0 ? 0 : 1;
}
