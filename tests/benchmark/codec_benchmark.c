/*
 * codec_benchmark - bytes and nanoseconds per sample of the value codec, for kinds of series as
 * monitoring has them.
 *
 * usage: codec_benchmark [samples per chunk ...]   (default: 60 120 480)
 *
 * Each kind is 24 series of 1920 samples; "mixed" weighs the kinds as a scraped fleet does, two
 * thirds constant. Times are the best of several passes over all chunks.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/codec_path.h"
#include "codec/value_codec.h"
#include "model/sample.h"

enum { SERIES = 24, SAMPLES = 1920, PASSES = 5, BUCKETS = 12 };

/* --- Series ------------------------------------------------------------------------------- */

static uint64_t random_state = 88172645463325252;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static double random_unit(void)
{
    return (double)(random_next() >> 11) * 0x1p-53;
}

static double random_normal(void)
{
    return sqrt(-2 * log(random_unit() + 1e-300)) * cos(6.283185307179586 * random_unit());
}

static double random_poisson(double mean)
{
    if (mean > 50) {
        double value = floor(mean + sqrt(mean) * random_normal() + 0.5);
        return value < 0 ? 0 : value;
    }
    double limit = exp(-mean);
    double product = random_unit();
    double events = 0;
    for (; product > limit; events++)
        product *= random_unit();
    return events;
}

static double round_decimal(double value, int digits)
{
    char text[64];
    snprintf(text, sizeof text, "%.*f", digits, value);
    return strtod(text, NULL);
}

static void make_counter(double *values, unsigned series)
{
    double mean = exp(random_unit() * 9 - 1);
    double sum = floor(exp(random_unit() * 20));
    for (size_t i = 0; i < SAMPLES; i++)
        values[i] = sum += random_poisson(mean * (1 + .5 * sin((double)i * 6.28 / 5760 + series)));
}

static void make_cpu_seconds(double *values, unsigned series)
{
    (void)series;
    double sum = random_unit() * 1e6;
    double rate = random_unit() * 1.5;
    for (size_t i = 0; i < SAMPLES; i++) {
        sum += rate * 1.5 * (.7 + .6 * random_unit());
        values[i] = round_decimal(sum, 2);
    }
}

static void make_pages(double *values, unsigned series)
{
    (void)series;
    double size = exp(random_unit() * 6 + 15);
    for (size_t i = 0; i < SAMPLES; i++) {
        size += size * 0.002 * random_normal();
        size = size < 1e6 ? 1e6 : size;
        bool repeats = random_unit() < .3 && i > 0;
        values[i] = repeats ? values[i - 1] : floor(size / 4096) * 4096;
    }
}

static void make_temperature(double *values, unsigned series)
{
    (void)series;
    double level = 20 + random_unit() * 60;
    for (size_t i = 0; i < SAMPLES; i++) {
        level += .15 * random_normal() + (50 - level) * .002;
        values[i] = round_decimal(level, 1);
    }
}

static void make_ratio(double *values, unsigned series)
{
    (void)series;
    double level = 20 + random_unit() * 60;
    double whole = floor(exp(random_unit() * 6 + 15));
    for (size_t i = 0; i < SAMPLES; i++) {
        level = fmin(99, fmax(1, level + random_normal() * .5));
        values[i] = (floor(level * 1000) + 1) / (whole / 3);
    }
}

static void make_constant(double *values, unsigned series)
{
    (void)series;
    double value = floor(exp(random_unit() * 20));
    for (size_t i = 0; i < SAMPLES; i++)
        values[i] = value;
}

static void make_flag(double *values, unsigned series)
{
    (void)series;
    double flag = random_unit() < .9;
    for (size_t i = 0; i < SAMPLES; i++)
        values[i] = flag = random_unit() < .002 ? 1 - flag : flag;
}

/* The buckets of one histogram are neighbours; the first of them makes all. */
static void make_buckets(double *values, unsigned series)
{
    static double buckets[BUCKETS][SAMPLES];
    if (series % BUCKETS == 0) {
        double mean = exp(random_unit() * 7 - 1);
        double center = random_unit() * 6 + 2;
        double sums[BUCKETS];
        for (size_t bucket = 0; bucket < BUCKETS; bucket++)
            sums[bucket] = floor(random_unit() * 1e6) + (bucket > 0 ? sums[bucket - 1] : 0);
        for (size_t i = 0; i < SAMPLES; i++) {
            double events = random_poisson(mean * (1 + .3 * sin((double)i / 300)));
            for (; events > 0; events--) {
                double observed = center + 1.3 * random_normal();
                for (size_t bucket = 0; bucket < BUCKETS; bucket++)
                    sums[bucket] += observed <= (double)bucket || bucket == BUCKETS - 1;
            }
            for (size_t bucket = 0; bucket < BUCKETS; bucket++)
                buckets[bucket][i] = sums[bucket];
        }
    }
    memcpy(values, buckets[series % BUCKETS], sizeof buckets[0]);
}

static void make_latency_sum(double *values, unsigned series)
{
    (void)series;
    double mean = fmin(40, exp(random_unit() * 9 - 1));
    double sum = random_unit() * 1000;
    for (size_t i = 0; i < SAMPLES; i++) {
        for (double events = random_poisson(mean); events > 0; events--)
            sum += floor(exp(random_normal() + 14)) / 1e9;
        values[i] = sum;
    }
}

static void make_latency(double *values, unsigned series)
{
    (void)series;
    for (size_t i = 0; i < SAMPLES; i++)
        values[i] = round_decimal(exp(random_normal() * .5 + 3), 3);
}

static void make_float(double *values, unsigned series)
{
    (void)series;
    double level = 20 + random_unit() * 60;
    for (size_t i = 0; i < SAMPLES; i++) {
        level += random_normal();
        values[i] = level * 1.0000001 / 3;
    }
}

static const struct kind {
    const char *name;
    void (*make)(double *values, unsigned series);
    unsigned mixed; /* series of 100 in the mix */
} KINDS[] = {
    {"counter, integer", make_counter, 8},
    {"cpu seconds, 2 decimals", make_cpu_seconds, 4},
    {"bytes, multiples of 4096", make_pages, 4},
    {"temperature, 1 decimal", make_temperature, 1},
    {"ratio, 15 digits", make_ratio, 0},
    {"constant", make_constant, 66},
    {"flag", make_flag, 4},
    {"histogram buckets", make_buckets, 9},
    {"latency sum", make_latency_sum, 2},
    {"latency, 3 decimals", make_latency, 1},
    {"float, full precision", make_float, 1},
};

enum { KIND_COUNT = sizeof KINDS / sizeof *KINDS };

/* --- Measuring ---------------------------------------------------------------------------- */

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

struct measurement {
    double bytes;
    double encode_ns;
    double decode_ns;
};

static struct codec_scratch scratch;

static struct measurement measure(const double *values, size_t count, size_t chunk)
{
    size_t chunks = count / chunk;
    uint8_t *bytes = malloc(chunks * value_codec_size_max(chunk));
    size_t *offsets = calloc(chunks + 1, sizeof *offsets);
    double *decoded = malloc(chunk * sizeof *decoded);
    struct measurement best = {.encode_ns = INFINITY, .decode_ns = INFINITY};
    if (bytes == NULL || offsets == NULL || decoded == NULL)
        exit(1);

    for (int pass = 0; pass < PASSES; pass++) {
        double start = now_ns();
        for (size_t i = 0; i < chunks; i++)
            offsets[i + 1] = offsets[i] + value_codec_encode(values + i * chunk, chunk, &scratch,
                                                             bytes + offsets[i]);
        double middle = now_ns();
        for (size_t i = 0; i < chunks; i++) {
            struct error error;
            if (value_codec_decode(bytes + offsets[i], offsets[i + 1] - offsets[i], chunk, &scratch,
                                   decoded, &error) != ERROR_NONE)
                exit(1);
        }
        double end = now_ns();
        best.encode_ns = fmin(best.encode_ns, (middle - start) / (double)(chunks * chunk));
        best.decode_ns = fmin(best.decode_ns, (end - middle) / (double)(chunks * chunk));
    }
    best.bytes = (double)offsets[chunks] / (double)(chunks * chunk);
    free(bytes);
    free(offsets);
    free(decoded);
    return best;
}

int main(int argument_count, char **arguments)
{
    static double values[KIND_COUNT][SERIES][SAMPLES];
    for (size_t kind = 0; kind < KIND_COUNT; kind++)
        for (unsigned series = 0; series < SERIES; series++)
            KINDS[kind].make(values[kind][series], series);

    const char *defaults[] = {"60", "120", "480"};
    size_t chunk_sizes = argument_count > 1 ? (size_t)argument_count - 1 : 3;
    for (size_t i = 0; i < chunk_sizes; i++) {
        long chunk = strtol(argument_count > 1 ? arguments[i + 1] : defaults[i], NULL, 10);
        if (chunk < 1 || chunk > CHUNK_SAMPLES_MAX)
            return 1;
        for (enum codec_path path = 0; path < CODEC_PATHS; path++) {
            if (!codec_path_is_available(path))
                continue;
            codec_path_select(path);
            printf("%ld samples a chunk, path %s\n%-26s %9s %9s %9s\n", chunk,
                   codec_path_name(path), "", "bytes", "encode ns", "decode ns");
            struct measurement mixed = {0};
            for (size_t kind = 0; kind < KIND_COUNT; kind++) {
                struct measurement one = measure(values[kind][0], SERIES * SAMPLES, (size_t)chunk);
                double share = KINDS[kind].mixed / 100.0;
                mixed.bytes += share * one.bytes;
                mixed.encode_ns += share * one.encode_ns;
                mixed.decode_ns += share * one.decode_ns;
                printf("%-26s %9.4f %9.2f %9.2f\n", KINDS[kind].name, one.bytes, one.encode_ns,
                       one.decode_ns);
            }
            printf("%-26s %9.4f %9.2f %9.2f\n", "mixed", mixed.bytes, mixed.encode_ns,
                   mixed.decode_ns);
        }
    }
    return 0;
}
