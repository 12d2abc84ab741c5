#include <assert.h>
#include <stdlib.h>

#include "../support/series_memory.c"
#include "promql/engine.h"

/*
 * The first byte chooses a query and whether there are one or two places; the rest are their
 * answers, half of it each, in pieces of a few bytes. Whatever they say, the query is answered or
 * refused within its limits.
 */

enum { MEMORY_MAX = 8 * 1024 * 1024, SAMPLES_MAX = 200 * 1000 };

enum { TWO_PLACES = 128 };

struct answer {
    struct promql_distribution distribution;
    const uint8_t *bytes[2];
    size_t size[2];
    size_t read[2];
    size_t turn;
};

static struct answer answer;

static enum error_code answer_read(struct promql_distribution *self, size_t place,
                                   const uint8_t **bytes_out, size_t *size_out, struct error *error)
{
    (void)self, (void)error;
    enum { PIECE_MAX = 37 };
    size_t left = answer.size[place] - answer.read[place];
    *bytes_out = answer.bytes[place] + answer.read[place];
    *size_out = left < PIECE_MAX ? left : PIECE_MAX;
    answer.read[place] += *size_out;
    return ERROR_NONE;
}

static size_t answer_await(struct promql_distribution *self, const bool *unfinished)
{
    while (!unfinished[++answer.turn % self->place_count])
        continue;
    return answer.turn % self->place_count;
}

static void answer_close(struct promql_distribution *self)
{
    (void)self;
}

static const struct promql_distribution_operations DISTRIBUTION_OPERATIONS = {
    .read = answer_read,
    .await = answer_await,
    .close = answer_close,
};

static enum error_code begin(struct promql_distributor *self,
                             const struct promql_partial_request *request,
                             struct promql_distribution **distribution_out, struct error *error)
{
    (void)self, (void)request, (void)error;
    answer.distribution.operations = &DISTRIBUTION_OPERATIONS;
    *distribution_out = &answer.distribution;
    return ERROR_NONE;
}

static const struct promql_distributor_operations DISTRIBUTOR_OPERATIONS = {.begin = begin};

static const char *const QUERIES[] = {
    "a",
    "sum by (l) (a)",
    "avg(h)",
    "stddev without (l) (a)",
    "topk(2, a)",
    "absent(a)",
    "count_values(\"v\", a)",
    "histogram_quantile(0.9, sum(rate(h[1m])))",
    "max(a)",
    "limitk(1, h)",
};

static void evaluate(const char *query, int64_t step_ms)
{
    static struct series_memory *memory;
    static struct promql_distributor distributor = {&DISTRIBUTOR_OPERATIONS};
    if (memory == NULL)
        memory = series_memory_create();
    struct promql_execution_options options = {
        .query = text_of(query),
        .start_ms = 60000,
        .end_ms = step_ms == 0 ? 60000 : 155000,
        .step_ms = step_ms,
        .features = PROMQL_EXPERIMENTAL,
        .counts_steps = true,
        .source = series_memory_source(memory),
        .distributor = &distributor,
        .clock = clock_system(),
        .memory_max_bytes = MEMORY_MAX,
        .samples_max = SAMPLES_MAX,
    };
    struct promql_execution *execution = NULL;
    struct error error;
    answer.read[0] = answer.read[1] = answer.turn = 0;
    enum error_code code = promql_execution_create(&options, &execution, &error);
    assert(code == ERROR_NONE);
    code = promql_execution_run(execution, &error);
    assert(code != ERROR_NONE || answer.read[0] > 0);
    promql_execution_destroy(execution);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 65536)
        return 0;
    const char *query = QUERIES[data[0] % TWO_PLACES % (sizeof QUERIES / sizeof QUERIES[0])];
    answer.distribution.place_count = data[0] < TWO_PLACES ? 1 : 2;
    answer.bytes[0] = data + 1;
    answer.size[0] = (size - 1) / answer.distribution.place_count;
    answer.bytes[1] = data + 1 + answer.size[0];
    answer.size[1] = size - 1 - answer.size[0];
    evaluate(query, 0);
    evaluate(query, 5000); /* steps enough for packing */
    return 0;
}
