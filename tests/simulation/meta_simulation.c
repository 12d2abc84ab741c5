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
#include "simulated_seeds.h"

struct options {
    struct seed_range seeds;
    const char *scenario; /* NULL: all */
    enum log_level level;
};

static bool read_option(struct options *options, const char *argument)
{
    struct text whole = text_of(argument), name, value;
    (void)text_split(whole, '=', &name, &value);
    if (text_equal(name, TEXT("--seeds")))
        return seed_range_read(value, &options->seeds);
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

int main(int count, char **arguments)
{
    struct options options = {.seeds = {1, 60}, .level = LOG_NOTHING};
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
        for (uint64_t seed = options.seeds.first; seed <= options.seeds.last; seed++, runs++)
            failures += !run(&SCENARIOS[i], seed, &counts);
    }
    bool is_full = seed_counts_print(&counts, NAMES, COUNTS);
    printf("%llu of %llu runs failed\n", (unsigned long long)failures, (unsigned long long)runs);
    if (runs == 0 || (options.scenario == NULL && !is_full)) {
        printf("some things never happened\n");
        return 1;
    }
    return failures == 0 ? 0 : 2;
}
