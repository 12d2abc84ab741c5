#include "bucket_metadata.h"

#include "bucket_envelope.h"

static const struct bucket_envelope ENVELOPE = {"GBMD", "metadata of a bucket"};

void bucket_metadata_encode(struct metadata_store *store, struct byte_buffer *buffer)
{
    size_t begun = bucket_envelope_begin(&ENVELOPE, buffer);
    metadata_store_encode(store, buffer);
    bucket_envelope_end(buffer, begun);
}

enum error_code bucket_metadata_decode(const uint8_t *bytes, size_t size_bytes,
                                       struct metadata_store *store, struct error *error)
{
    struct byte_reader body;
    enum error_code code = bucket_envelope_open(&ENVELOPE, bytes, size_bytes, &body, error);
    return code == ERROR_NONE ? metadata_store_decode(store, &body, error) : code;
}
