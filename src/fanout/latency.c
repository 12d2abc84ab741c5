#include "latency.h"

enum { LATENCY_SEEN_MIN = 20, LATENCY_SEEN_MAX = 1000 };

static unsigned bucket_of(uint64_t duration_ns)
{
    if (duration_ns < 4)
        return 0;
    unsigned power = 63 - (unsigned)__builtin_clzll(duration_ns);
    unsigned bucket = 4 * power + (unsigned)(duration_ns >> (power - 2) & 3);
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* Behind the last value of a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    return (uint64_t)(5 + bucket % 4) << bucket / 4 >> 2;
}

void latency_add(struct latency *latency, uint64_t duration_ns)
{
    atomic_fetch_add_explicit(&latency->counts[bucket_of(duration_ns)], 1, memory_order_relaxed);
    uint32_t total = atomic_fetch_add_explicit(&latency->total, 1, memory_order_relaxed) + 1;
    if (total != LATENCY_SEEN_MAX)
        return;
    /* What is older counts half. */
    uint32_t kept = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        uint32_t count = atomic_load_explicit(&latency->counts[i], memory_order_relaxed);
        atomic_fetch_sub_explicit(&latency->counts[i], count - count / 2, memory_order_relaxed);
        kept += count / 2;
    }
    atomic_store_explicit(&latency->total, kept, memory_order_relaxed);
}

uint64_t latency_p95_ns(const struct latency *latency)
{
    uint64_t total = 0, sum = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        total += atomic_load_explicit(&latency->counts[i], memory_order_relaxed);
    if (total < LATENCY_SEEN_MIN)
        return 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        sum += atomic_load_explicit(&latency->counts[i], memory_order_relaxed);
        if (sum * 100 >= total * 95)
            return bucket_end(i);
    }
    return bucket_end(LATENCY_BUCKETS - 1);
}
