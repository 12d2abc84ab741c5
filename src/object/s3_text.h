/*
 * s3_text - the notations of S3: escaped URIs, hexadecimal and base64, points in time.
 */
#ifndef OBJECT_S3_TEXT_H
#define OBJECT_S3_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/text.h"

enum {
    S3_MD5_BYTES = 16,
    S3_SHA256_BYTES = 32,
    S3_SHA256_HEX_BYTES = 65, /* with the NUL */
    S3_MD5_HEX_BYTES = 33,
    S3_MD5_BASE64_BYTES = 25,
    S3_TIME_BYTES = 17, /* 20130524T000000Z */
};

enum s3_escape {
    S3_ESCAPE_PATH,  /* "/" stays */
    S3_ESCAPE_VALUE, /* of a query */
};

/* As Signature Version 4 wants it: all but A-Z a-z 0-9 - _ . ~ as %XX, in capitals. */
void s3_escape(struct byte_buffer *buffer, struct text text, enum s3_escape kind);

/* Undo that, and "+" is a space. Appends. False: "%" without two digits behind it. */
bool s3_unescape(struct byte_buffer *buffer, struct text text);

/* Text in an XML element. */
void s3_escape_xml(struct byte_buffer *buffer, struct text text);

/* `target` has 2 * size + 1 bytes. */
void s3_hex(const uint8_t *bytes, size_t size, char *target);

void s3_sha256(const void *bytes, size_t size, uint8_t digest[S3_SHA256_BYTES]);
void s3_md5(const void *bytes, size_t size, uint8_t digest[S3_MD5_BYTES]);

/* `target` has 4 * ((size + 2) / 3) + 1 bytes. */
void s3_base64(const uint8_t *bytes, size_t size, char *target);

/* "20130524T000000Z", of UTC. */
void s3_time_format(int64_t now_ms, char target[S3_TIME_BYTES]);

/* "2013-05-24T00:00:00[.000]Z". False: anything else. */
bool s3_time_parse(struct text text, int64_t *time_ms_out);

/* "Fri, 24 May 2013 00:00:00 GMT". */
bool s3_time_parse_http(struct text text, int64_t *time_ms_out);

#endif
