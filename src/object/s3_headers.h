/*
 * s3_headers - what is read of the headers of an answer.
 */
#ifndef OBJECT_S3_HEADERS_H
#define OBJECT_S3_HEADERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

enum { S3_ETAG_BYTES_MAX = 72, S3_REGION_BYTES_MAX = 64, S3_REQUEST_ID_BYTES_MAX = 128 };

/* Our own header of an object: the checksum of its bytes. */
#define S3_CHECKSUM_HEADER "x-amz-meta-crc32c"

struct s3_headers {
    bool has_size; /* Content-Length */
    uint64_t size_bytes;
    bool has_range; /* Content-Range of a part that was sent */
    uint64_t range_first;
    uint64_t range_last;
    bool has_total; /* of the object, by Content-Range */
    uint64_t total_bytes;
    bool has_modified; /* Last-Modified */
    int64_t modified_ms;
    bool has_date; /* Date: the server's clock */
    int64_t date_ms;
    bool has_checksum; /* S3_CHECKSUM_HEADER */
    uint32_t checksum;
    bool has_opaque_etag; /* encrypted so that the ETag says nothing of the bytes */
    uint32_t retry_after_s;
    char etag[S3_ETAG_BYTES_MAX];     /* without quotes; "" when there is none, or a strange one */
    char region[S3_REGION_BYTES_MAX]; /* of the bucket */
    char request_id[S3_REQUEST_ID_BYTES_MAX];
};

/* One line, "Name: value" with or without its line end; what is not known is passed over. A status
 * line begins anew. */
void s3_headers_take(struct s3_headers *headers, struct text line);

#endif
