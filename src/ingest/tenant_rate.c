#include "tenant_rate.h"

#include <stdlib.h>

#include "base/checksum.h"

enum { BUCKETS = 1024 };

struct tenant_bucket {
    double tokens;
    uint64_t filled_ns; /* 0: never used, that is full */
};

bool tenant_rate_init(struct tenant_rate *rate, uint64_t samples_per_second, uint64_t hash_seed)
{
    *rate = (struct tenant_rate){(double)samples_per_second, hash_seed, NULL};
    if (samples_per_second == 0)
        return true;
    rate->buckets = calloc(BUCKETS, sizeof *rate->buckets);
    return rate->buckets != NULL;
}

void tenant_rate_clear(struct tenant_rate *rate)
{
    free(rate->buckets);
    *rate = (struct tenant_rate){0};
}

static void fill(struct tenant_bucket *bucket, double samples_per_second, uint64_t now_ns)
{
    if (bucket->filled_ns == 0)
        bucket->tokens = samples_per_second;
    else if (now_ns > bucket->filled_ns)
        bucket->tokens += (double)(now_ns - bucket->filled_ns) / 1e9 * samples_per_second;
    if (bucket->tokens > samples_per_second)
        bucket->tokens = samples_per_second;
    bucket->filled_ns = now_ns;
}

bool tenant_rate_take(struct tenant_rate *rate, struct text tenant, size_t sample_count,
                      uint64_t now_ns)
{
    if (rate->buckets == NULL)
        return true;
    struct tenant_bucket *bucket =
        &rate->buckets[hash64(tenant.data, tenant.size, rate->hash_seed) % BUCKETS];
    fill(bucket, rate->samples_per_second, now_ns);
    if (bucket->tokens < rate->samples_per_second && bucket->tokens < (double)sample_count)
        return false;
    bucket->tokens -= (double)sample_count;
    return true;
}
