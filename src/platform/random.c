#include "platform/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

/* --- xoshiro256** (Blackman, Vigna: Scrambled linear pseudorandom number generators) --------- */

static uint64_t rotate_left(uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

static uint64_t generator_next(struct random *self)
{
    uint64_t *state = ((struct random_generator *)self)->state;
    uint64_t result = rotate_left(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate_left(state[3], 45);
    return result;
}

/* The state is filled by splitmix64, as its authors advise: never all zero. */
void random_generator_init(struct random_generator *generator, uint64_t seed)
{
    generator->base.next = generator_next;
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        uint64_t mixed = seed;
        mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
        generator->state[i] = mixed ^ (mixed >> 31);
    }
}

/* --- The operating system's ----------------------------------------------------------------- */

static uint64_t operating_system_bits(void)
{
    uint64_t value;
    /* Up to 256 bytes are never cut short once the pool is ready. */
    while (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value)
        if (errno != EINTR)
            abort();
    return value;
}

/* One generator per thread, so that no lock is needed. */
static uint64_t system_next(struct random *self)
{
    (void)self;
    static _Thread_local struct random_generator generator;
    if (generator.base.next == NULL)
        random_generator_init(&generator, operating_system_bits());
    return generator_next(&generator.base);
}

static struct random system_random = {.next = system_next};

struct random *random_system(void)
{
    return &system_random;
}
