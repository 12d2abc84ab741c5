/*
 * histogram_format - the codes of HISTOGRAM in docs/formats/chunk.md, for encoder and decoder.
 */
#ifndef CODEC_HISTOGRAM_FORMAT_H
#define CODEC_HISTOGRAM_FORMAT_H

enum {
    FAMILY_FLOAT = 0x01,
    FAMILY_THRESHOLD_SHIFT = 1, /* 2 bits: enum threshold_code */
    FAMILY_THRESHOLD_MASK = 0x06,
    FAMILY_BOUNDS = 0x08,
    FAMILY_UNKNOWN = 0xf0,
};

enum threshold_code { THRESHOLD_USUAL, THRESHOLD_ZERO, THRESHOLD_RAW, THRESHOLD_CODES };

/* What client libraries take unless told otherwise. */
#define USUAL_ZERO_THRESHOLD 0x1p-128

#endif
