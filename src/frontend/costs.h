/*
 * costs - which queries are short, as their last run tells. Private to frontend.
 *
 * A table of fixed size where the newer of two with the same place stays. Any thread.
 */
#ifndef FRONTEND_COSTS_H
#define FRONTEND_COSTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "frontend/frontend.h"

enum {
    COST_PLACES = 4096,
    COST_SHORT_US = 400,
    /* After a run on a loop that was not short, so many on workers. */
    COST_RUNS_AWAY = 15,
};

/* Zero-initialise. */
struct costs {
    _Atomic uint64_t places[COST_PLACES]; /* | hash, 44 bits | runs away, 4 | microseconds, 16 | */
};

/* The same for what is asked again and again at other times. */
uint64_t cost_key(const struct frontend_subject *subject);

/* A run took so long, on a loop or on a worker. */
void costs_note(struct costs *costs, uint64_t key, uint64_t took_us, bool on_loop);

/* False when nothing is known. */
bool costs_is_short(struct costs *costs, uint64_t key);

#endif
