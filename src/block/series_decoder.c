#include "block/encoded_series.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "chunk_decoder.h"

struct series_decoder {
    struct chunk_decoder chunks;
};

enum error_code series_decoder_create(struct series_decoder **decoder_out, struct error *error)
{
    struct series_decoder *decoder = calloc(1, sizeof *decoder);
    if (decoder == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "decode series");
    enum error_code code = chunk_decoder_init(&decoder->chunks, error);
    if (code != ERROR_NONE) {
        series_decoder_destroy(decoder);
        return code;
    }
    *decoder_out = decoder;
    return ERROR_NONE;
}

void series_decoder_destroy(struct series_decoder *decoder)
{
    if (decoder == NULL)
        return;
    chunk_decoder_clear(&decoder->chunks);
    free(decoder);
}

enum error_code series_decoder_read(struct series_decoder *decoder,
                                    const struct encoded_series *encoded, int64_t start_ms,
                                    int64_t end_ms, struct sample_columns *columns_out,
                                    struct error *error)
{
    struct chunk_decoder *chunks = &decoder->chunks;
    chunk_decoder_begin(chunks);
    enum error_code code = chunk_decoder_reserve(chunks, encoded->sample_count, error);
    if (code != ERROR_NONE)
        return code;
    if (encoded->sample_count > 0)
        memcpy(chunks->timestamps_ms, encoded->timestamps_ms,
               encoded->sample_count * sizeof(int64_t));
    for (size_t i = 0; i < encoded->chunk_count; i++) {
        const struct encoded_chunk *chunk = &encoded->chunks[i];
        if (chunk->sample_count == 0 || chunk->sample_count > CHUNK_SAMPLES_MAX ||
            chunk->sample_count > encoded->sample_count - chunks->count)
            return error_set(error, ERROR_INVALID, "chunk of %u samples", chunk->sample_count);
        code = chunk_decoder_add(chunks, chunk, error);
        if (code != ERROR_NONE)
            return code;
    }
    if (chunks->count != encoded->sample_count)
        return error_set(error, ERROR_INVALID, "fewer samples in chunks than timestamps");
    size_t first;
    *columns_out = chunk_decoder_columns(chunks, start_ms, end_ms, &first);
    return ERROR_NONE;
}
