/*
 * journal_run - one seed of the journal simulation: lanes, what their groups must be, what
 * happened.
 */
#ifndef TESTS_JOURNAL_RUN_H
#define TESTS_JOURNAL_RUN_H

#include "journal_model.h"
#include "simulated_environment.h"

enum { GROUPS = 12, LANES = 4 };

/* What is left out on purpose, and must be noticed. */
enum breakage {
    BREAK_NOTHING,
    BREAK_SYNC,     /* nothing is synced */
    BREAK_JOURNAL,  /* the journal writes without syncing */
    BREAK_HEADERS,  /* segments get their name before their header is durable */
    BREAK_NAMES,    /* names in directories are not synced */
    BREAK_RECOVERY, /* what a killed process left in the page cache counts, durable or not */
    BREAKAGES
};

struct counts {
    uint64_t operations, acknowledged, lives, clean_ends, recoveries, failed_recoveries;
    uint64_t rot_detected, rot_harmless, fatal_errors, space_low, interrupted_openings;
    uint64_t torn_tails, copied_records, recycled_segments, stalls, trims, interrupted_ends;
};

struct run {
    struct simulated_environment *environment;
    struct random_generator random;
    uint64_t seed;
    enum breakage breakage;
    struct model_group groups[GROUPS];
    struct journal *journals[LANES];
    bool closed[LANES];
    size_t lane_count;
    struct journal_recovery *recovery;
    bool fatal;
    uint8_t *payload;
    struct counts counts;
    char failure[400]; /* "" while all is well */
};
static inline uint32_t below(struct run *run, uint32_t bound)
{
    return random_below(&run->random.base, bound);
}

static inline bool chance(struct run *run, uint32_t percent)
{
    return below(run, 100) < percent;
}

/* A random operation on a random group, unless the journal has no room for it. */
void journal_operate(struct run *run);

/* As after a freeze: little is needed any more, and the log becomes small. */
void journal_trim_something(struct run *run);

#endif
