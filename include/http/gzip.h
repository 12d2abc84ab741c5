/*
 * gzip - compress answers (RFC 1952, by zlib), whole or in pieces. Any thread, one at a time.
 */
#ifndef HTTP_GZIP_H
#define HTTP_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/text.h"

struct gzip_encoder;

struct gzip_encoder *gzip_encoder_create(void); /* NULL: out of memory */
void gzip_encoder_destroy(struct gzip_encoder *encoder);

enum gzip_flush {
    GZIP_MORE,  /* output may be kept back */
    GZIP_FLUSH, /* everything so far can be decoded */
    GZIP_END,   /* the last piece; the encoder starts a new stream afterwards */
};

/* Append to `target` what `piece` compresses to; target->failed when memory is out. */
void gzip_encode(struct gzip_encoder *encoder, struct text piece, enum gzip_flush flush,
                 struct byte_buffer *target);

/* Whether an Accept-Encoding header allows gzip (RFC 9110 12.5.3: weights, "*"). */
bool gzip_is_accepted(struct text accept_encoding);

#endif
