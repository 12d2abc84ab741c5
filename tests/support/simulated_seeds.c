#include "simulated_seeds.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

bool seed_range_read(struct text text, struct seed_range *range_out)
{
    struct text first, last;
    if (!text_split(text, '-', &first, &last))
        first = last = text;
    return text_to_uint64(first, &range_out->first) && text_to_uint64(last, &range_out->last);
}

static char seed_text[40];
static volatile sig_atomic_t seed_text_size;

static void name_seed(int signal)
{
    (void)signal;
    (void)!write(STDERR_FILENO, seed_text, (size_t)seed_text_size); /* nobody else could be told */
}

void seed_begin(uint64_t seed)
{
    seed_text_size =
        snprintf(seed_text, sizeof seed_text, "in seed %llu\n", (unsigned long long)seed);
    struct sigaction action = {.sa_handler = name_seed};
    (void)sigaction(SIGABRT, &action, NULL); /* at worst the seed is not named */
}

void seed_counts_add(void *sum, const void *counts, size_t count)
{
    uint64_t *into = sum;
    const uint64_t *from = counts;
    for (size_t i = 0; i < count; i++)
        into[i] += from[i];
}

bool seed_counts_print(const void *counts, const char *const *names, size_t count)
{
    const uint64_t *values = counts;
    bool is_full = true;
    for (size_t i = 0; i < count; i++) {
        printf("%s=%llu ", names[i], (unsigned long long)values[i]);
        is_full &= values[i] != 0;
    }
    printf("\n");
    return is_full;
}
