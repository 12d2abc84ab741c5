/*
 * s3_fixture - a store on S3 whose server does as the test says.
 */
#ifndef S3_FIXTURE_H
#define S3_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "object/object_store.h"
#include "object/object_store_options.h"
#include "platform/clock.h"
#include "platform/random.h"
#include "scripted_server.h"
#include "telemetry/metrics.h"

enum { ATTEMPTS = 4, STALL_MS = 30 * 1000 };

/* The machine's clocks, ahead by what a test did not want to wait. */
struct moved_clock {
    struct clock base;
    int64_t ahead_ms;
};

struct fixture {
    struct moved_clock clock;
    struct scripted_server *server;
    struct metrics *metrics;
    struct object_store_options options;
    struct object_store *store;
};

#define REFUSAL(code, more)                                                                        \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" code                               \
    "</Code><Message>so it is</Message>" more "</Error>"

#define PLAY(fixture, ...)                                                                         \
    do {                                                                                           \
        static const struct scripted_answer answers[] = {__VA_ARGS__};                             \
        scripted_server_play((fixture)->server, answers, sizeof answers / sizeof *answers);        \
    } while (0)

static inline int64_t moved_now_ms(struct clock *self)
{
    return clock_now_ms(clock_system()) + ((struct moved_clock *)self)->ahead_ms;
}

static inline uint64_t moved_monotonic_ns(struct clock *self)
{
    return clock_monotonic_ns(clock_system()) +
           (uint64_t)((struct moved_clock *)self)->ahead_ms * 1000 * 1000;
}

static inline int fixture_open(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->clock = (struct moved_clock){{moved_now_ms, moved_monotonic_ns}, 0};
    fixture->server = scripted_server_create();
    fixture->metrics = metrics_create();
    fixture->options = (struct object_store_options){
        .type = OBJECT_STORE_S3,
        .s3 = {.endpoint = scripted_server_url(fixture->server),
               .bucket = "blocks",
               .region = "eu-west-9",
               .access_key = "ACCESS",
               .secret_key = "SECRET",
               .part_bytes = 5 * 1024 * 1024,
               .attempts = ATTEMPTS,
               .backoff_ms = 1,
               .backoff_ms_max = 4,
               .connect_timeout_ms = 20 * 1000,
               .stall_timeout_ms = STALL_MS},
        .clock = &fixture->clock.base,
        .random = random_system(),
        .metrics = fixture->metrics,
    };
    *state = fixture;
    return 0;
}

/* With the options as they are now. */
static inline struct object_store *fixture_store(struct fixture *fixture)
{
    struct error error;
    if (fixture->store == NULL &&
        object_store_create(&fixture->options, &fixture->store, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    return fixture->store;
}

static inline int fixture_close(void **state)
{
    struct fixture *fixture = *state;
    object_store_destroy(fixture->store);
    scripted_server_destroy(fixture->server);
    metrics_destroy(fixture->metrics);
    free(fixture);
    return 0;
}

struct fixture_sum {
    const char *family;
    const char *label; /* a value that some label has; NULL: any */
    double total;
};

static inline void fixture_sum_visit(void *context, const struct metric_sample *sample)
{
    struct fixture_sum *sum = context;
    bool is_wanted = sum->label == NULL;
    for (size_t i = 0; i < sample->label_count; i++)
        is_wanted |= sum->label != NULL && strcmp(sample->labels[i].value, sum->label) == 0;
    if (is_wanted && strcmp(sample->family, sum->family) == 0)
        sum->total += sample->value;
}

static inline uint64_t metric_of(struct fixture *fixture, const char *family, const char *label)
{
    struct fixture_sum sum = {family, label, 0};
    metrics_visit(fixture->metrics, fixture_sum_visit, &sum);
    return (uint64_t)sum.total;
}

/* The first bytes of an object, as many as fit. */
static inline struct object_read read_some(struct fixture *fixture, const struct object_call *call,
                                           void *target, size_t size)
{
    struct object_read read = {.key = TEXT("some/key"), .target = target, .size_bytes = size};
    object_store_read(fixture_store(fixture), call, &read);
    return read;
}

static inline void expect_error(enum error_code code, enum error_code expected,
                                const struct error *error, const char *part)
{
    if (code != expected || strstr(error->message, part) == NULL)
        fail_msg("%s: %s", error_code_name(code), code == ERROR_NONE ? "" : error->message);
}

#endif
