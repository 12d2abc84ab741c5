#include "costs.h"

#include <string.h>

#include "base/checksum.h"

enum { COST_BITS = 16, COST_MAX_US = (1 << COST_BITS) - 1, RUNS_BITS = 4, RUNS_MAX = 15 };

struct cost {
    uint64_t runs_away;
    uint64_t took_us;
};

uint64_t cost_key(const struct frontend_subject *subject)
{
    const char *kind = subject->kind == NULL ? "" : subject->kind;
    const uint64_t parts[] = {
        hash64(kind, strlen(kind), 0),
        hash64(subject->tenant.data, subject->tenant.size, 0),
        hash64(subject->text.data, subject->text.size, 0),
        hash64(subject->label.data, subject->label.size, 0),
        (uint64_t)subject->end_ms - (uint64_t)subject->start_ms,
        (uint64_t)subject->step_ms,
    };
    return hash64(parts, sizeof parts, 0);
}

static uint64_t tag_of(uint64_t key)
{
    return key >> (COST_BITS + RUNS_BITS);
}

/* By bits that are not in the tag. */
static _Atomic uint64_t *place_of(struct costs *costs, uint64_t key)
{
    return &costs->places[key % COST_PLACES];
}

static bool find(struct costs *costs, uint64_t key, struct cost *cost_out)
{
    uint64_t place = atomic_load_explicit(place_of(costs, key), memory_order_relaxed);
    cost_out->runs_away = place >> COST_BITS & RUNS_MAX;
    cost_out->took_us = place & COST_MAX_US;
    return place != 0 && tag_of(place) == tag_of(key);
}

void costs_note(struct costs *costs, uint64_t key, uint64_t took_us, bool on_loop)
{
    struct cost cost;
    if (!find(costs, key, &cost))
        cost.runs_away = 0;
    if (on_loop && took_us > COST_SHORT_US)
        cost.runs_away = COST_RUNS_AWAY;
    else if (cost.runs_away > 0)
        cost.runs_away--;
    cost.took_us = took_us < COST_MAX_US ? took_us : COST_MAX_US;
    uint64_t place =
        tag_of(key) << (COST_BITS + RUNS_BITS) | cost.runs_away << COST_BITS | cost.took_us;
    /* Of two at once either may stay. */
    atomic_store_explicit(place_of(costs, key), place, memory_order_relaxed);
}

bool costs_is_short(struct costs *costs, uint64_t key)
{
    struct cost cost;
    return find(costs, key, &cost) && cost.runs_away == 0 && cost.took_us <= COST_SHORT_US;
}
