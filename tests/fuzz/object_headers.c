/* Header lines of a store's answer, one after the other, and the notations of their values. */
#include <stdlib.h>
#include <string.h>

#include "s3_headers.h"
#include "s3_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* What is escaped is unescaped to the same. */
static void check_escape(struct text text)
{
    struct byte_buffer escaped = {0}, again = {0};
    s3_escape(&escaped, text, S3_ESCAPE_VALUE);
    require(s3_unescape(&again, (struct text){(const char *)escaped.bytes, escaped.size}));
    require(again.size == text.size &&
            (text.size == 0 || memcmp(again.bytes, text.data, text.size) == 0));
    byte_buffer_reset(&again);
    s3_unescape(&again, text);
    require(again.size <= text.size);
    byte_buffer_clear(&escaped);
    byte_buffer_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct s3_headers headers = {0};
    struct text rest = {(const char *)bytes, size}, line;
    int64_t time_ms;
    bool more = true;
    while (more) {
        more = text_split(rest, '\n', &line, &rest);
        s3_headers_take(&headers, line);
        require(!headers.has_range || headers.range_first <= headers.range_last);
        require(memchr(headers.etag, '\0', sizeof headers.etag) != NULL);
        require(memchr(headers.region, '\0', sizeof headers.region) != NULL);
        s3_time_parse(line, &time_ms);
        s3_time_parse_http(line, &time_ms);
        check_escape(line);
    }
    return 0;
}
