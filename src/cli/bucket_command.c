#include "cli/bucket_command.h"

#include "object/object_store_options.h"
#include "object/object_store_probe.h"
#include "platform/clock.h"

static const uint64_t PATIENCE_NS = 60ULL * 1000 * 1000 * 1000;

static void print_step(void *context, const char *step, uint64_t duration_ns,
                       const struct error *error)
{
    fprintf(context, "%-8s %-11s %8.1f ms\n", step,
            error->code == ERROR_NONE ? "ok" : error_code_name(error->code),
            (double)duration_ns / 1e6);
}

int bucket_check(const struct object_store_options *options, FILE *output)
{
    struct object_store *store;
    struct error error;
    if (object_store_create(options, &store, &error) != ERROR_NONE) {
        fprintf(output, "%s\n", error.message);
        return 1;
    }
    if (store == NULL) {
        fprintf(output, "object_store.type is none: there is nothing to check\n");
        return 1;
    }
    struct object_call call = {.deadline_ns = clock_monotonic_ns(options->clock) + PATIENCE_NS};
    struct object_store_probe_options probe = {.clock = options->clock,
                                               .random = options->random,
                                               .report = print_step,
                                               .context = output};
    enum error_code code = object_store_probe(store, &call, &probe, &error);
    if (code == ERROR_NONE)
        fprintf(output, "the object store works\n");
    else
        fprintf(output, "%s\n", error.message);
    object_store_destroy(store);
    return code == ERROR_NONE ? 0 : 1;
}
