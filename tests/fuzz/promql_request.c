#include <assert.h>
#include <stdlib.h>

#include "../support/series_memory.c"
#include "promql/engine.h"
#include "promql/partial.h"

/*
 * A request from another node: what decodes encodes to something that decodes to the same, and is
 * answered or refused within the limits of the place.
 */

enum { MEMORY_MAX = 8 * 1024 * 1024, SAMPLES_MAX = 100 * 1000 };

static struct series_memory *memory;

static void memory_fill(void)
{
    memory = series_memory_create();
    struct arena *arena = arena_create(0);
    for (int number = 0; number < 4; number++) {
        struct label array[] = {{LABEL_METRIC_NAME, number < 2 ? TEXT("a") : TEXT("h")},
                                {TEXT("l"), number % 2 == 0 ? TEXT("x") : TEXT("y")}};
        struct labels labels = labels_build(arena, array, 2);
        for (int i = 0; i < 20; i++) {
            struct histogram_span span = {0, 1};
            union histogram_number bucket = {.real = i};
            struct histogram histogram = {
                .kind = HISTOGRAM_FLOAT,
                .count.real = i,
                .positive_span_count = 1,
                .positive_bucket_count = 1,
                .positive_spans = &span,
                .positive_buckets = &bucket,
            };
            series_memory_add(
                memory, labels,
                (struct memory_sample){(int64_t)i * 10000, i, number < 2 ? NULL : &histogram, 0});
        }
    }
    arena_destroy(arena);
}

static enum error_code swallow(struct promql_partial_sink *self, const uint8_t *bytes, size_t size,
                               struct error *error)
{
    (void)self, (void)error;
    assert(bytes != NULL && size > 0);
    return ERROR_NONE;
}

static void compare(const struct promql_partial_request *request)
{
    struct byte_buffer buffer = {0};
    struct promql_partial_request again;
    struct error error;
    promql_partial_request_encode(request, &buffer);
    if (buffer.failed ||
        promql_partial_request_decode(buffer.bytes, buffer.size, &again, &error) != ERROR_NONE ||
        !text_equal(again.expression, request->expression) ||
        again.step_count != request->step_count || again.start_ms != request->start_ms ||
        again.sample_shift_ms != request->sample_shift_ms)
        abort();
    byte_buffer_clear(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (memory == NULL)
        memory_fill();
    struct promql_partial_request request;
    struct error error;
    if (size > 4096 || promql_partial_request_decode(data, size, &request, &error) != ERROR_NONE)
        return 0;
    compare(&request);
    struct promql_partial_environment environment = {
        .source = series_memory_source(memory),
        .clock = clock_system(),
        .memory_max_bytes = MEMORY_MAX,
        .samples_max = SAMPLES_MAX,
    };
    environment.deadline_ns = clock_monotonic_ns(environment.clock) + UINT64_C(500000000);
    struct promql_partial_sink sink = {.write = swallow};
    (void)promql_partial_run(&request, &environment, &sink, &error);
    return 0;
}
