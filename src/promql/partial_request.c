#include <assert.h>

#include "base/limits.h"
#include "promql/distribution.h"
#include "promql/engine.h"

enum request_flags {
    REQUEST_EXPERIMENTAL = 1,
    REQUEST_COUNTS_STEPS = 2,
    REQUEST_SHORT = 4,
    REQUEST_LABELLED = 8,
    REQUEST_FLAGS_KNOWN = 15,
};

/* Times of requests are far from overflow whatever is added to them once. */
#define REQUEST_TIME_MAX_MS (INT64_MAX / 4)

void promql_partial_request_encode(const struct promql_partial_request *request,
                                   struct byte_buffer *buffer)
{
    byte_buffer_u8(buffer, PROMQL_PARTIAL_VERSION);
    byte_buffer_u8(buffer, (uint8_t)request->mode);
    unsigned flags = 0;
    flags |= request->features == PROMQL_EXPERIMENTAL ? REQUEST_EXPERIMENTAL : 0;
    flags |= request->counts_steps ? REQUEST_COUNTS_STEPS : 0;
    flags |= request->packing == PROMQL_PARTIAL_SHORT ? REQUEST_SHORT : 0;
    flags |= request->external_labels.size > 0 ? REQUEST_LABELLED : 0;
    byte_buffer_u8(buffer, (uint8_t)flags);
    byte_buffer_text(buffer, request->tenant);
    byte_buffer_text(buffer, request->expression);
    byte_buffer_varint(buffer, request->line);
    byte_buffer_varint(buffer, request->column);
    byte_buffer_zigzag(buffer, request->query_start_ms);
    byte_buffer_zigzag(buffer, request->query_end_ms);
    byte_buffer_zigzag(buffer, request->query_step_ms);
    byte_buffer_zigzag(buffer, request->start_ms);
    byte_buffer_zigzag(buffer, request->step_ms);
    byte_buffer_varint(buffer, request->step_count);
    byte_buffer_zigzag(buffer, request->lookback_ms);
    byte_buffer_zigzag(buffer, request->subquery_step_default_ms);
    byte_buffer_varint(buffer, request->samples_max);
    byte_buffer_varint(buffer, request->timeout_ms);
    byte_buffer_varint(buffer, request->sample_weight);
    byte_buffer_zigzag(buffer, request->sample_shift_ms);
    if (request->external_labels.size > 0)
        byte_buffer_text(buffer, (struct text){(const char *)request->external_labels.bytes,
                                               request->external_labels.size});
}

enum request_labels { REQUEST_HAS_NO_LABELS, REQUEST_HAS_LABELS };

static enum error_code head_decode(struct byte_reader *reader,
                                   struct promql_partial_request *request,
                                   enum request_labels *labels_out, struct error *error)
{
    uint8_t version = byte_reader_u8(reader);
    uint8_t mode = byte_reader_u8(reader);
    uint8_t flags = byte_reader_u8(reader);
    if (reader->failed)
        return error_set(error, ERROR_CORRUPT, "sub-query: cut short");
    if (version != PROMQL_PARTIAL_VERSION)
        return error_set(error, ERROR_UNSUPPORTED, "sub-query: version %d, not %d", version,
                         PROMQL_PARTIAL_VERSION);
    if (mode != PROMQL_PARTIAL_SERIES && mode != PROMQL_PARTIAL_GROUPS)
        return error_set(error, ERROR_UNSUPPORTED, "sub-query: unknown mode %d", mode);
    if ((flags & ~REQUEST_FLAGS_KNOWN) != 0)
        return error_set(error, ERROR_UNSUPPORTED, "sub-query: unknown flags %d", flags);
    request->mode = (enum promql_partial_mode)mode;
    request->features = flags & REQUEST_EXPERIMENTAL ? PROMQL_EXPERIMENTAL : PROMQL_STABLE;
    request->packing = flags & REQUEST_SHORT ? PROMQL_PARTIAL_SHORT : PROMQL_PARTIAL_FAST;
    request->counts_steps = (flags & REQUEST_COUNTS_STEPS) != 0;
    *labels_out = flags & REQUEST_LABELLED ? REQUEST_HAS_LABELS : REQUEST_HAS_NO_LABELS;
    return ERROR_NONE;
}

static bool time_is_sane(int64_t time_ms)
{
    return time_ms >= -REQUEST_TIME_MAX_MS && time_ms <= REQUEST_TIME_MAX_MS;
}

/* What an engine asks for at all; what it may ask for is checked as in every query. */
static bool times_are_sane(const struct promql_partial_request *request)
{
    int64_t range_ms;
    int64_t last_ms;
    return time_is_sane(request->query_start_ms) && time_is_sane(request->query_end_ms) &&
           request->query_step_ms >= 0 && request->query_end_ms >= request->query_start_ms &&
           time_is_sane(request->start_ms) && request->step_ms > 0 &&
           !__builtin_mul_overflow((int64_t)request->step_count, request->step_ms, &range_ms) &&
           !__builtin_add_overflow(request->start_ms, range_ms, &last_ms) &&
           time_is_sane(last_ms) && request->lookback_ms > 0 &&
           time_is_sane(request->lookback_ms) && request->subquery_step_default_ms > 0 &&
           (request->sample_shift_ms == INT64_MIN || time_is_sane(request->sample_shift_ms));
}

/* How many steps the query has. */
static uint64_t query_steps(const struct promql_partial_request *request)
{
    int64_t step_ms = request->query_step_ms > 0 ? request->query_step_ms : 1;
    return (uint64_t)(request->query_end_ms - request->query_start_ms) / (uint64_t)step_ms + 1;
}

/* Samples that are counted by step are those of steps of the query; one step stands for so many. */
static bool weight_is_sane(const struct promql_partial_request *request)
{
    return request->sample_weight == 0 ||
           request->step_count <= query_steps(request) / request->sample_weight;
}

static enum error_code labels_read(struct byte_reader *reader, struct labels *labels_out,
                                   struct error *error)
{
    struct text bytes = byte_reader_text(reader);
    if (reader->failed || bytes.size == 0)
        return error_set(error, ERROR_CORRUPT, "sub-query: external labels");
    return labels_decode((const uint8_t *)bytes.data, bytes.size, labels_out, error);
}

enum error_code promql_partial_request_decode(const uint8_t *bytes, size_t size,
                                              struct promql_partial_request *request_out,
                                              struct error *error)
{
    assert(bytes != NULL || size == 0);
    assert(request_out != NULL);

    struct promql_partial_request request = {0};
    struct byte_reader reader = byte_reader_over(bytes, size);
    enum request_labels labels;
    enum error_code code = head_decode(&reader, &request, &labels, error);
    if (code != ERROR_NONE)
        return code;
    request.tenant = byte_reader_text(&reader);
    request.expression = byte_reader_text(&reader);
    uint64_t line = byte_reader_varint(&reader);
    uint64_t column = byte_reader_varint(&reader);
    request.query_start_ms = byte_reader_zigzag(&reader);
    request.query_end_ms = byte_reader_zigzag(&reader);
    request.query_step_ms = byte_reader_zigzag(&reader);
    request.start_ms = byte_reader_zigzag(&reader);
    request.step_ms = byte_reader_zigzag(&reader);
    request.step_count = byte_reader_varint(&reader);
    request.lookback_ms = byte_reader_zigzag(&reader);
    request.subquery_step_default_ms = byte_reader_zigzag(&reader);
    request.samples_max = byte_reader_varint(&reader);
    request.timeout_ms = byte_reader_varint(&reader);
    request.sample_weight = byte_reader_varint(&reader);
    request.sample_shift_ms = byte_reader_zigzag(&reader);
    if (labels == REQUEST_HAS_LABELS)
        code = labels_read(&reader, &request.external_labels, error);
    if (code != ERROR_NONE)
        return code;
    if (reader.failed || byte_reader_left(&reader) > 0)
        return error_set(error, ERROR_CORRUPT, "sub-query: %s",
                         reader.failed ? "cut short" : "bytes are left over");
    if (request.tenant.size > TENANT_ID_BYTES_MAX ||
        request.expression.size > PROMQL_TEXT_BYTES_MAX)
        return error_set(error, ERROR_LIMIT, "sub-query: tenant or expression too long");
    if (request.step_count == 0 || request.step_count > PROMQL_STEPS_MAX)
        return error_set(error, ERROR_LIMIT, "sub-query: %llu steps, at most %d",
                         (unsigned long long)request.step_count, PROMQL_STEPS_MAX);
    if (line == 0 || column == 0 || line > PROMQL_TEXT_BYTES_MAX + 1 ||
        column > PROMQL_TEXT_BYTES_MAX + 1)
        return error_set(error, ERROR_CORRUPT, "sub-query: its place in the query makes no sense");
    if (!times_are_sane(&request) || query_steps(&request) > PROMQL_STEPS_MAX ||
        !weight_is_sane(&request))
        return error_set(error, ERROR_CORRUPT, "sub-query: its times make no sense");
    request.line = (uint32_t)line;
    request.column = (uint32_t)column;
    *request_out = request;
    return ERROR_NONE;
}
