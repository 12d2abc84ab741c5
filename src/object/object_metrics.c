#include "object_metrics.h"

static const char *const OPERATION_NAMES[OBJECT_OPERATIONS] = {
    [OBJECT_OPERATION_GET] = "get",
    [OBJECT_OPERATION_HEAD] = "head",
    [OBJECT_OPERATION_PUT] = "put",
    [OBJECT_OPERATION_LIST] = "list",
    [OBJECT_OPERATION_DELETE] = "delete",
    [OBJECT_OPERATION_UPLOAD_CREATE] = "upload_create",
    [OBJECT_OPERATION_UPLOAD_PART] = "upload_part",
    [OBJECT_OPERATION_UPLOAD_COMPLETE] = "upload_complete",
    [OBJECT_OPERATION_UPLOAD_ABORT] = "upload_abort",
    [OBJECT_OPERATION_UPLOAD_LIST] = "upload_list",
};

static const char *const RESULT_NAMES[OBJECT_RESULTS] = {
    [OBJECT_RESULT_OK] = "ok",
    [OBJECT_RESULT_NOT_FOUND] = "not_found",
    [OBJECT_RESULT_DENIED] = "denied",
    [OBJECT_RESULT_THROTTLED] = "throttled",
    [OBJECT_RESULT_UNAVAILABLE] = "unavailable",
    [OBJECT_RESULT_CORRUPT] = "corrupt",
    [OBJECT_RESULT_CANCELED] = "canceled",
    [OBJECT_RESULT_OTHER] = "other",
};

static bool add_operation(struct object_metrics *metrics, struct metrics *registry,
                          enum object_operation operation)
{
    struct metric_label labels[] = {{"operation", OPERATION_NAMES[operation]}, {"result", NULL}};
    struct metric_options options = {"gnomon_object_requests_total",
                                     "Requests to the object store.", labels, 2};
    bool is_added = true;
    for (size_t result = 0; result < OBJECT_RESULTS; result++) {
        labels[1].value = RESULT_NAMES[result];
        metrics->requests[operation][result] = metrics_counter(registry, &options);
        is_added &= metrics->requests[operation][result] != NULL;
    }
    options = (struct metric_options){
        "gnomon_object_retries_total",
        "Requests to the object store that repeat one which failed, among all requests.", labels,
        1};
    metrics->retries[operation] = metrics_counter(registry, &options);
    options = (struct metric_options){"gnomon_object_request_seconds",
                                      "How long requests to the object store take.", labels, 1};
    metrics->seconds[operation] = metrics_distribution(registry, &options, METRICS_LATENCY_BOUNDS,
                                                       METRICS_LATENCY_BOUND_COUNT);
    return is_added && metrics->retries[operation] != NULL && metrics->seconds[operation] != NULL;
}

static struct counter *add_counter(struct metrics *registry, const char *name, const char *help)
{
    struct metric_options options = {name, help, NULL, 0};
    return metrics_counter(registry, &options);
}

enum error_code object_metrics_init(struct object_metrics *metrics, struct metrics *registry,
                                    struct error *error)
{
    *metrics = (struct object_metrics){0};
    if (registry == NULL)
        registry = metrics->own = metrics_create();
    if (registry == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "object store: metrics");
    bool is_added = true;
    for (size_t operation = 0; operation < OBJECT_OPERATIONS; operation++)
        is_added &= add_operation(metrics, registry, operation);
    metrics->retries_refused =
        add_counter(registry, "gnomon_object_retries_refused_total",
                    "Failed requests to the object store that were not repeated, because too many "
                    "failed lately.");
    metrics->received_bytes =
        add_counter(registry, "gnomon_object_received_bytes_total",
                    "Bytes of answers of the object store, those of failed requests included.");
    metrics->sent_bytes =
        add_counter(registry, "gnomon_object_sent_bytes_total",
                    "Bytes sent to the object store, those of failed requests included.");
    struct metric_options options = {"gnomon_object_requests_in_flight",
                                     "Requests to the object store that are under way.", NULL, 0};
    metrics->in_flight = metrics_gauge(registry, &options);
    if (is_added && metrics->retries_refused != NULL && metrics->received_bytes != NULL &&
        metrics->sent_bytes != NULL && metrics->in_flight != NULL)
        return ERROR_NONE;
    object_metrics_clear(metrics);
    return error_set(error, ERROR_OUT_OF_MEMORY, "object store: metrics");
}

void object_metrics_clear(struct object_metrics *metrics)
{
    metrics_destroy(metrics->own);
    *metrics = (struct object_metrics){0};
}

void object_metrics_count(struct object_metrics *metrics, enum object_operation operation,
                          enum object_result result, uint64_t duration_ns)
{
    counter_add(metrics->requests[operation][result], 1);
    distribution_observe(metrics->seconds[operation], (double)duration_ns / 1e9);
}

enum object_result object_result_of(enum error_code code)
{
    switch (code) {
    case ERROR_NONE:
        return OBJECT_RESULT_OK;
    case ERROR_NOT_FOUND:
        return OBJECT_RESULT_NOT_FOUND;
    case ERROR_DENIED:
        return OBJECT_RESULT_DENIED;
    case ERROR_UNAVAILABLE:
        return OBJECT_RESULT_UNAVAILABLE;
    case ERROR_CORRUPT:
        return OBJECT_RESULT_CORRUPT;
    case ERROR_TIMEOUT:
    case ERROR_CANCELED:
        return OBJECT_RESULT_CANCELED;
    default:
        return OBJECT_RESULT_OTHER;
    }
}
