#include "partial_run.h"

/* The answer says it, and it would be the same elsewhere. */
static bool is_of_the_query(enum error_code code)
{
    return code == ERROR_NONE || code == ERROR_INVALID || code == ERROR_LIMIT ||
           code == ERROR_TIMEOUT || code == ERROR_CONFLICT;
}

enum error_code partial_run(const struct partial_run *run, struct promql_partial_sink *sink,
                            struct error *error)
{
    const struct fanout_options *options = &run->fanout->options;
    struct promql_partial_environment environment = {
        .source = run->source,
        .pool = options->pool,
        .clock = options->clock,
        .memory_max_bytes = options->query_memory_max_bytes,
        .samples_max = options->samples_max,
        .deadline_ns = run->deadline_ns,
        .canceled = run->canceled,
        .memory = run->memory,
    };
    enum error_code code = promql_partial_run(run->request, &environment, sink, error);
    if (is_of_the_query(code))
        return ERROR_NONE;
    if (code == ERROR_OUT_OF_MEMORY)
        error->code = code = ERROR_UNAVAILABLE;
    return code;
}
