/*
 * random - random bits, a seam for the simulation. Not for secrets.
 */
#ifndef PLATFORM_RANDOM_H
#define PLATFORM_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t (*next)(struct random *self);
};

static inline uint64_t random_next(struct random *self)
{
    return self->next(self);
}

/* Uniform in [0, bound), bound > 0 (Lemire's multiplication; the bias is below 2^-32). */
static inline uint32_t random_below(struct random *self, uint32_t bound)
{
    return (uint32_t)(((random_next(self) >> 32) * bound) >> 32);
}

/* A generator of its own (xoshiro256**), deterministic from `seed`. Not thread-safe. */
struct random_generator {
    struct random base;
    uint64_t state[4];
};

void random_generator_init(struct random_generator *generator, uint64_t seed);

/* Seeded by the operating system; thread-safe. */
struct random *random_system(void);

#endif
