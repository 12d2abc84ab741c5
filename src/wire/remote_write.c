#include "wire/remote_write.h"

#include <assert.h>

#include "base/limits.h"
#include "write_arrays.h"

/* --- Arrays that grow ------------------------------------------------------------------------- */

enum {
    ARRAY_CAPACITY_FIRST = 64,
    /* Of a series with one sample. */
    SERIES_BYTES_USUAL_1 = 160,
    SERIES_BYTES_USUAL_2 = 40,
};

/* Room for one more element of `*array`; false when memory is out. */
static bool reserve_one(struct arena *arena, void *array, size_t count, size_t *capacity,
                        size_t element_bytes)
{
    if (count < *capacity)
        return true;
    void *old;
    memcpy(&old, array, sizeof old);
    size_t wanted = *capacity == 0 ? ARRAY_CAPACITY_FIRST : *capacity * 2;
    void *grown = arena_grow(arena, old, count, wanted, element_bytes);
    if (grown == NULL)
        return false;
    memcpy(array, &grown, sizeof grown);
    *capacity = wanted;
    return true;
}

struct write_series *write_add_series(struct write_decoder *decoder)
{
    struct write_request *request = &decoder->request;
    if (!reserve_one(decoder->arena, &request->series, request->series_count,
                     &decoder->series_capacity, sizeof *request->series))
        return NULL;
    return &request->series[request->series_count++];
}

struct write_sample *write_add_sample(struct write_decoder *decoder)
{
    struct write_request *request = &decoder->request;
    if (!reserve_one(decoder->arena, &request->samples, request->sample_count,
                     &decoder->sample_capacity, sizeof *request->samples))
        return NULL;
    struct write_sample *sample = &request->samples[request->sample_count++];
    *sample = (struct write_sample){0};
    return sample;
}

struct write_histogram *write_add_histogram(struct write_decoder *decoder)
{
    struct write_request *request = &decoder->request;
    if (!reserve_one(decoder->arena, &request->histograms, request->histogram_count,
                     &decoder->histogram_capacity, sizeof *request->histograms))
        return NULL;
    return &request->histograms[request->histogram_count++];
}

struct write_exemplar *write_add_exemplar(struct write_decoder *decoder)
{
    struct write_request *request = &decoder->request;
    if (!reserve_one(decoder->arena, &request->exemplars, request->exemplar_count,
                     &decoder->exemplar_capacity, sizeof *request->exemplars))
        return NULL;
    return &request->exemplars[request->exemplar_count++];
}

struct write_metadata *write_add_metadata(struct write_decoder *decoder)
{
    struct write_request *request = &decoder->request;
    if (!reserve_one(decoder->arena, &request->metadata, request->metadata_count,
                     &decoder->metadata_capacity, sizeof *request->metadata))
        return NULL;
    return &request->metadata[request->metadata_count++];
}

struct text *write_add_symbol(struct write_decoder *decoder)
{
    struct write_request *request = &decoder->request;
    if (!reserve_one(decoder->arena, &request->symbols, request->symbol_count,
                     &decoder->symbol_capacity, sizeof *request->symbols))
        return NULL;
    return &request->symbols[request->symbol_count++];
}

bool write_gather_labels(struct write_decoder *decoder, struct write_labels *labels,
                         const uint8_t *bytes, size_t size)
{
    if (labels->size == 0) {
        labels->fields = bytes;
    } else if (labels->fields + labels->size != bytes) {
        uint8_t *together = arena_grow(decoder->arena, (uint8_t *)labels->fields, labels->size,
                                       labels->size + size, 1);
        if (together == NULL)
            return false;
        memcpy(together + labels->size, bytes, size);
        labels->fields = together;
    }
    labels->size += (uint32_t)size;
    return true;
}

enum error_code write_malformed(struct write_decoder *decoder, const char *what)
{
    return error_set(decoder->error, ERROR_INVALID, "malformed protobuf message: %s", what);
}

enum error_code write_out_of_memory(struct write_decoder *decoder)
{
    return error_set(decoder->error, ERROR_OUT_OF_MEMORY,
                     "remote write: the request needs more memory than it may take");
}

/* Room for the usual number of series and samples of a body of this size, so that the arrays need
 * not grow. It is not zeroed: every element is written whole. */
static bool expect_series(struct write_decoder *decoder, size_t body_size)
{
    struct write_request *request = &decoder->request;
    size_t usual_bytes =
        request->version == WRITE_VERSION_1 ? SERIES_BYTES_USUAL_1 : SERIES_BYTES_USUAL_2;
    size_t count = body_size / usual_bytes + ARRAY_CAPACITY_FIRST;
    if (count > decoder->options->series_limit)
        count = decoder->options->series_limit;
    if (count < ARRAY_CAPACITY_FIRST)
        count = ARRAY_CAPACITY_FIRST;
    request->series = arena_allocate(decoder->arena, count * sizeof *request->series);
    request->samples = arena_allocate(decoder->arena, count * sizeof *request->samples);
    decoder->series_capacity = decoder->sample_capacity = count;
    return request->series != NULL && request->samples != NULL;
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code write_request_decode(const struct write_decode_options *options,
                                     const uint8_t *body, size_t body_size, struct arena *arena,
                                     struct write_request *request_out, struct error *error)
{
    assert(arena != NULL && request_out != NULL && (body != NULL || body_size == 0));
    struct write_decoder decoder = {
        .request.version = options->version,
        .options = options,
        .arena = arena,
        .error = error,
    };
    struct byte_reader reader = byte_reader_over(body, body_size);
    if (!expect_series(&decoder, body_size))
        return write_out_of_memory(&decoder);
    enum error_code code = options->version == WRITE_VERSION_1
                               ? write_decode_version_1(&decoder, reader)
                               : write_decode_version_2(&decoder, reader);
    if (code == ERROR_NONE)
        *request_out = decoder.request;
    return code;
}
