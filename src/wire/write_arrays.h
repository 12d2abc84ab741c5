/*
 * write_arrays - the growing arrays of a request while it is decoded. Private to wire.
 */
#ifndef WIRE_WRITE_ARRAYS_H
#define WIRE_WRITE_ARRAYS_H

#include "wire/remote_write.h"

#include "protobuf.h"
#include "symbol_alias.h"

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
    struct symbol_alias symbol_alias; /* 2.0, made with the first series */
    struct error *error;
};

/* A new zeroed element at the end, or NULL when memory is out. */
struct write_series *write_add_series(struct write_decoder *decoder);
struct write_sample *write_add_sample(struct write_decoder *decoder);
struct write_histogram *write_add_histogram(struct write_decoder *decoder);
struct write_exemplar *write_add_exemplar(struct write_decoder *decoder);
struct write_metadata *write_add_metadata(struct write_decoder *decoder);
struct text *write_add_symbol(struct write_decoder *decoder);

/*
 * More label fields (1.0) or packed references (2.0) of one label set; they live as long as the
 * request. Senders put those of a set next to each other, and then they are used in place;
 * otherwise (legal, never seen) they are copied together. False when memory is out.
 */
bool write_gather_labels(struct write_decoder *decoder, struct write_labels *labels,
                         const uint8_t *bytes, size_t size);

enum error_code write_malformed(struct write_decoder *decoder, const char *what);
enum error_code write_out_of_memory(struct write_decoder *decoder);

/* The histogram message is the same in both versions but for the start timestamp. */
enum error_code write_decode_histogram(struct write_decoder *decoder, struct byte_reader message,
                                       struct write_histogram *histogram);

enum error_code write_decode_version_1(struct write_decoder *decoder, struct byte_reader body);
enum error_code write_decode_version_2(struct write_decoder *decoder, struct byte_reader body);

#endif
