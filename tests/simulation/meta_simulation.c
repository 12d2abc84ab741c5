/*
 * meta_simulation - clusters form, change and fail, on simulated disks, network and time.
 *
 *     meta_simulation [--seeds=1-60] [--scenario=name] [--verbose]
 *
 * Every scenario with every seed; a failed one prints its seed.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "meta_world.h"

struct options {
    uint64_t first_seed, last_seed;
    const char *scenario; /* NULL: all */
    enum log_level level;
};

static bool read_seeds(struct options *options, struct text value)
{
    struct text first, last;
    if (!text_split(value, '-', &first, &last))
        last = first;
    return text_to_uint64(first, &options->first_seed) && text_to_uint64(last, &options->last_seed);
}

static bool read_option(struct options *options, const char *argument)
{
    struct text whole = text_of(argument), name, value;
    (void)text_split(whole, '=', &name, &value);
    if (text_equal(name, TEXT("--seeds")))
        return read_seeds(options, value);
    if (text_equal(name, TEXT("--scenario")))
        options->scenario = value.data;
    else if (text_equal(name, TEXT("--verbose")))
        options->level = LOG_DEBUG;
    else
        return false;
    return true;
}

static bool run(const struct scenario *scenario, uint64_t seed, struct world_counts *counts)
{
    jmp_buf on_failure;
    struct world *world = world_create(seed, counts);
    world->on_failure = &on_failure;
    if (setjmp(on_failure) != 0) {
        printf("failed: --scenario=%s --seeds=%llu\n", scenario->name, (unsigned long long)seed);
        return false; /* what is left of it is left */
    }
    scenario->run(world);
    world_destroy(world);
    return true;
}

/* The counts as one array, so that none is forgotten. */
enum { COUNTS = sizeof(struct world_counts) / sizeof(uint64_t) };

static const char *const NAMES[COUNTS] = {
    "clusters",  "joins",        "dismissals", "crashes",      "stops",    "partitions",
    "cuts",      "transfers",    "assigns",    "acknowledged", "timeouts", "store_failures",
    "takeovers", "observations", "commands",   "leaders",      "drains",
};

static bool print_counts(const struct world_counts *counts)
{
    const uint64_t *values = (const uint64_t *)counts;
    bool full = true;
    for (size_t i = 0; i < COUNTS; i++) {
        printf("%s=%llu%s", NAMES[i], (unsigned long long)values[i], i + 1 == COUNTS ? "\n" : " ");
        full = full && values[i] > 0;
    }
    return full;
}

int main(int count, char **arguments)
{
    struct options options = {.first_seed = 1, .last_seed = 60, .level = LOG_NOTHING};
    struct world_counts counts = {0};
    uint64_t runs = 0, failures = 0;
    for (int i = 1; i < count; i++)
        if (!read_option(&options, arguments[i])) {
            fprintf(stderr, "unknown option %s\n", arguments[i]);
            return 1;
        }
    log_set_level(options.level);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < SCENARIO_COUNT; i++) {
        if (options.scenario != NULL && strcmp(options.scenario, SCENARIOS[i].name) != 0)
            continue;
        for (uint64_t seed = options.first_seed; seed <= options.last_seed; seed++, runs++)
            failures += !run(&SCENARIOS[i], seed, &counts);
    }
    bool is_full = print_counts(&counts);
    printf("%llu of %llu runs failed\n", (unsigned long long)failures, (unsigned long long)runs);
    if (runs == 0 || (options.scenario == NULL && !is_full)) {
        printf("some things never happened\n");
        return 1;
    }
    return failures == 0 ? 0 : 2;
}
