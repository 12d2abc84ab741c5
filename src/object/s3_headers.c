#include "s3_headers.h"

#include <string.h>

#include "s3_text.h"

enum { RETRY_AFTER_S_MAX = 3600 };

/* Visible ASCII that fits; else the target stays as it is. */
static void copy_value(struct text value, char *target, size_t target_bytes)
{
    if (value.size >= target_bytes)
        return;
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] <= 0x20 || value.data[i] >= 0x7f)
            return;
    memcpy(target, value.data, value.size);
    target[value.size] = '\0';
}

/* "bytes 0-99/1234"; for either side an asterisk where it is not known. */
static void take_range(struct s3_headers *headers, struct text value)
{
    struct text range, total, first, last;
    uint64_t first_byte, last_byte, total_bytes;
    if (!text_starts_with(value, TEXT("bytes ")))
        return;
    value = (struct text){value.data + 6, value.size - 6};
    if (!text_split(value, '/', &range, &total))
        return;
    bool has_total = text_to_uint64(total, &total_bytes);
    if (has_total) {
        headers->has_total = true;
        headers->total_bytes = total_bytes;
    }
    if (!text_split(range, '-', &first, &last) || !text_to_uint64(first, &first_byte) ||
        !text_to_uint64(last, &last_byte) || last_byte < first_byte ||
        (has_total && last_byte >= total_bytes))
        return;
    headers->has_range = true;
    headers->range_first = first_byte;
    headers->range_last = last_byte;
}

static void take_etag(struct s3_headers *headers, struct text value)
{
    if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"')
        value = (struct text){value.data + 1, value.size - 2};
    copy_value(value, headers->etag, sizeof headers->etag);
}

static void take_checksum(struct s3_headers *headers, struct text value)
{
    uint32_t checksum = 0;
    if (value.size != 8)
        return;
    for (size_t i = 0; i < value.size; i++) {
        char c = value.data[i];
        bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && (c < 'a' || c > 'f'))
            return;
        checksum = checksum << 4 | (uint32_t)(is_digit ? c - '0' : c - 'a' + 10);
    }
    headers->has_checksum = true;
    headers->checksum = checksum;
}

static void take_number(struct text name, struct text value, struct s3_headers *headers)
{
    uint64_t number;
    if (!text_to_uint64(value, &number))
        return;
    if (text_equal_ignoring_case(name, TEXT("Content-Length"))) {
        headers->has_size = true;
        headers->size_bytes = number;
    } else {
        headers->retry_after_s = number > RETRY_AFTER_S_MAX ? RETRY_AFTER_S_MAX : (uint32_t)number;
    }
}

void s3_headers_take(struct s3_headers *headers, struct text line)
{
    struct text name, value;
    if (text_starts_with(line, TEXT("HTTP/")))
        *headers = (struct s3_headers){0};
    if (!text_split(line, ':', &name, &value))
        return;
    value = text_trim(value);
    if (text_equal_ignoring_case(name, TEXT("Content-Length")) ||
        text_equal_ignoring_case(name, TEXT("Retry-After")))
        take_number(name, value, headers);
    else if (text_equal_ignoring_case(name, TEXT("Content-Range")))
        take_range(headers, value);
    else if (text_equal_ignoring_case(name, TEXT("ETag")))
        take_etag(headers, value);
    else if (text_equal_ignoring_case(name, TEXT("Last-Modified")))
        headers->has_modified = s3_time_parse_http(value, &headers->modified_ms);
    else if (text_equal_ignoring_case(name, TEXT("Date")))
        headers->has_date = s3_time_parse_http(value, &headers->date_ms);
    else if (text_equal_ignoring_case(name, TEXT(S3_CHECKSUM_HEADER)))
        take_checksum(headers, value);
    else if (text_equal_ignoring_case(name, TEXT("x-amz-bucket-region")))
        copy_value(value, headers->region, sizeof headers->region);
    else if (text_equal_ignoring_case(name, TEXT("x-amz-request-id")))
        copy_value(value, headers->request_id, sizeof headers->request_id);
    else if (text_equal_ignoring_case(name, TEXT("x-amz-server-side-encryption")))
        headers->has_opaque_etag |= !text_equal(value, TEXT("AES256"));
    else if (text_equal_ignoring_case(name,
                                      TEXT("x-amz-server-side-encryption-customer-algorithm")))
        headers->has_opaque_etag = true;
}
