/* Decode a body with usual options. */
#ifndef TESTS_UNIT_WIRE_DECODE_BODY_H
#define TESTS_UNIT_WIRE_DECODE_BODY_H

#include "wire/remote_write.h"
#include "write_builder.h"

static inline enum error_code decode_bytes(enum write_version version,
                                           enum write_labels_trust trust, const uint8_t *bytes,
                                           size_t size, struct arena *arena,
                                           struct write_request *request)
{
    struct error error;
    struct write_decode_options options = {
        .version = version, .trust = trust, .series_limit = 100, .alias_seed = 7};
    return write_request_decode(&options, bytes, size, arena, request, &error);
}

static inline enum error_code decode(enum write_version version, const struct byte_buffer *body,
                                     struct arena *arena, struct write_request *request)
{
    return decode_bytes(version, WRITE_LABELS_CHECKED, body->bytes, body->size, arena, request);
}

#endif
