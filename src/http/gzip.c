#include "http/gzip.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum {
    LEVEL = 1, /* answers are made once and read once; higher levels cost 3-5 times as much */
    WINDOW_BITS = 31, /* 15, and 16 for a gzip header */
    MEMORY_LEVEL = 8,
    OUTPUT_BYTES = 16 * 1024, /* room made at a time */
};

struct gzip_encoder {
    z_stream stream;
};

struct gzip_encoder *gzip_encoder_create(void)
{
    struct gzip_encoder *encoder = calloc(1, sizeof *encoder);
    if (encoder == NULL)
        return NULL;
    if (deflateInit2(&encoder->stream, LEVEL, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        free(encoder);
        return NULL;
    }
    return encoder;
}

void gzip_encoder_destroy(struct gzip_encoder *encoder)
{
    if (encoder == NULL)
        return;
    deflateEnd(&encoder->stream);
    free(encoder);
}

void gzip_encode(struct gzip_encoder *encoder, struct text piece, enum gzip_flush flush,
                 struct byte_buffer *target)
{
    static const int FLUSH[] = {
        [GZIP_MORE] = Z_NO_FLUSH, [GZIP_FLUSH] = Z_SYNC_FLUSH, [GZIP_END] = Z_FINISH};
    z_stream *stream = &encoder->stream;
    assert(piece.size <= UINT_MAX);
    stream->next_in = (Bytef *)piece.data;
    stream->avail_in = (uInt)piece.size;
    do {
        if (!byte_buffer_reserve(target, OUTPUT_BYTES))
            return;
        stream->next_out = target->bytes + target->size;
        stream->avail_out = OUTPUT_BYTES;
        int status = deflate(stream, FLUSH[flush]);
        assert(status != Z_STREAM_ERROR); /* Z_BUF_ERROR: nothing to do, not an error */
        target->size += OUTPUT_BYTES - stream->avail_out;
    } while (stream->avail_out == 0);
    assert(stream->avail_in == 0);
    if (flush == GZIP_END)
        deflateReset(stream);
}

/* --- Accept-Encoding --------------------------------------------------------------------- */

/* Whether the parameters of a coding hold a weight of zero: "q=0", "q=0.000". */
static bool is_refused(struct text parameters)
{
    struct text parameter;
    while (parameters.size > 0) {
        text_split(parameters, ';', &parameter, &parameters);
        parameter = text_trim(parameter);
        if (parameter.size < 3 || (parameter.data[0] | 0x20) != 'q' || parameter.data[1] != '=')
            continue;
        double weight;
        struct text value = {.data = parameter.data + 2, .size = parameter.size - 2};
        return !text_to_double(value, &weight) || !(weight > 0);
    }
    return false;
}

bool gzip_is_accepted(struct text accept_encoding)
{
    bool any = false;
    while (accept_encoding.size > 0) {
        struct text element, coding, parameters;
        text_split(accept_encoding, ',', &element, &accept_encoding);
        text_split(element, ';', &coding, &parameters);
        coding = text_trim(coding);
        if (text_equal_ignoring_case(coding, TEXT("gzip")) ||
            text_equal_ignoring_case(coding, TEXT("x-gzip")))
            return !is_refused(parameters);
        if (text_equal(coding, TEXT("*")))
            any = !is_refused(parameters);
    }
    return any;
}
