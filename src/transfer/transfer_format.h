/*
 * transfer_format - the bytes of a request for a range of a file, and the head of its answer.
 *
 * Byte layout: docs/protocols/transfer.md. Pure.
 */
#ifndef TRANSFER_TRANSFER_FORMAT_H
#define TRANSFER_TRANSFER_FORMAT_H

#include "base/error.h"
#include "shard/file_fetcher.h"

enum {
    TRANSFER_VERSION = 1,
    RANGE_REQUEST_BYTES = 80,
    RANGE_HEAD_BYTES = 32,
    RANGE_BYTES_MAX = 1024 * 1024,
};

/* A file to the byte. */
struct file_identity {
    uint64_t size_bytes; /* > 0 */
    struct hash128 hash;
};

struct range_request {
    uint64_t group_id;
    struct shard_file file; /* but for its size */
    bool is_known;          /* only this file is wanted: the beginning is here */
    struct file_identity known;
    uint64_t offset_bytes;
    uint32_t size_bytes; /* 1 to RANGE_BYTES_MAX; the file may end before */
};

void range_request_encode(const struct range_request *request, uint8_t bytes[RANGE_REQUEST_BYTES]);

/* Errors: CORRUPT, UNSUPPORTED (another version). */
enum error_code range_request_decode(const uint8_t *bytes, size_t size,
                                     struct range_request *request_out, struct error *error);

/* Before the bytes of the range. */
void range_head_encode(const struct file_identity *file, uint8_t bytes[RANGE_HEAD_BYTES]);

/* Errors: CORRUPT, UNSUPPORTED. */
enum error_code range_head_decode(const uint8_t bytes[RANGE_HEAD_BYTES],
                                  struct file_identity *file_out, struct error *error);

#endif
