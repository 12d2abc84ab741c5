/*
 * write_arrays - the growing arrays of a request while it is decoded. Private to wire.
 */
#ifndef WIRE_WRITE_ARRAYS_H
#define WIRE_WRITE_ARRAYS_H

#include "wire/remote_write.h"

#include "protobuf.h"

struct write_decoder {
    struct write_request request;
    struct arena *arena;
    const struct write_decode_options *options;
    size_t series_capacity;
    size_t sample_capacity;
    size_t histogram_capacity;
    size_t exemplar_capacity;
    size_t metadata_capacity;
    size_t symbol_capacity;
    size_t reference_capacity;
    struct error *error;
};

/* The references of a label set; NULL when there is none, maybe in the whole request. */
static inline const uint32_t *write_references(const struct write_request *request,
                                               const struct write_labels *labels)
{
    return labels->reference_count == 0 ? NULL : request->references + labels->reference_first;
}

/* A new zeroed element at the end, or NULL when memory is out. */
struct write_series *write_add_series(struct write_decoder *decoder);
struct write_sample *write_add_sample(struct write_decoder *decoder);
struct write_histogram *write_add_histogram(struct write_decoder *decoder);
struct write_exemplar *write_add_exemplar(struct write_decoder *decoder);
struct write_metadata *write_add_metadata(struct write_decoder *decoder);
struct text *write_add_symbol(struct write_decoder *decoder);
/* Room for `count` more references. */
bool write_reserve_references(struct write_decoder *decoder, size_t count);

enum error_code write_malformed(struct write_decoder *decoder, const char *what);
enum error_code write_out_of_memory(struct write_decoder *decoder);

/* The histogram message is the same in both versions but for the start timestamp. */
enum error_code write_decode_histogram(struct write_decoder *decoder, struct byte_reader message,
                                       struct write_histogram *histogram);

enum error_code write_decode_version_1(struct write_decoder *decoder, struct byte_reader body);
enum error_code write_decode_version_2(struct write_decoder *decoder, struct byte_reader body);

#endif
