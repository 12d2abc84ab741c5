#include "s3_text.h"

#include <stdio.h>
#include <time.h>

#include <openssl/evp.h>

/* --- Escapes ------------------------------------------------------------------------------- */

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

void s3_escape(struct byte_buffer *buffer, struct text text, enum s3_escape kind)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (is_unreserved(c) || (c == '/' && kind == S3_ESCAPE_PATH)) {
            byte_buffer_u8(buffer, (uint8_t)c);
            continue;
        }
        char escaped[3] = {'%', digits[(uint8_t)c >> 4], digits[(uint8_t)c & 15]};
        byte_buffer_append(buffer, escaped, sizeof escaped);
    }
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool s3_unescape(struct byte_buffer *buffer, struct text text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = text.size - i > 2 ? digit_value(text.data[i + 1]) : -1;
            int low = text.size - i > 2 ? digit_value(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        byte_buffer_u8(buffer, (uint8_t)c);
    }
    return true;
}

void s3_escape_xml(struct byte_buffer *buffer, struct text text)
{
    for (size_t i = 0; i < text.size; i++) {
        struct text written = {text.data + i, 1};
        if (text.data[i] == '&')
            written = TEXT("&amp;");
        else if (text.data[i] == '<')
            written = TEXT("&lt;");
        else if (text.data[i] == '>')
            written = TEXT("&gt;");
        byte_buffer_append(buffer, written.data, written.size);
    }
}

/* --- Digests ------------------------------------------------------------------------------- */

void s3_hex(const uint8_t *bytes, size_t size, char *target)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        target[2 * i] = digits[bytes[i] >> 4];
        target[2 * i + 1] = digits[bytes[i] & 15];
    }
    target[2 * size] = '\0';
}

void s3_sha256(const void *bytes, size_t size, uint8_t digest[S3_SHA256_BYTES])
{
    /* Fails only without memory, and a wrong digest is refused by the server. */
    if (EVP_Digest(bytes, size, digest, NULL, EVP_sha256(), NULL) != 1)
        memset(digest, 0, S3_SHA256_BYTES);
}

void s3_md5(const void *bytes, size_t size, uint8_t digest[S3_MD5_BYTES])
{
    if (EVP_Digest(bytes, size, digest, NULL, EVP_md5(), NULL) != 1)
        memset(digest, 0, S3_MD5_BYTES);
}

void s3_base64(const uint8_t *bytes, size_t size, char *target)
{
    EVP_EncodeBlock((unsigned char *)target, bytes, (int)size);
}

/* --- Time ---------------------------------------------------------------------------------- */

void s3_time_format(int64_t now_ms, char target[S3_TIME_BYTES])
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm fields;
    if (gmtime_r(&seconds, &fields) == NULL || fields.tm_year < -1900 || fields.tm_year > 8099 ||
        strftime(target, S3_TIME_BYTES, "%Y%m%dT%H%M%SZ", &fields) != S3_TIME_BYTES - 1)
        memcpy(target, "19700101T000000Z", S3_TIME_BYTES);
}

/* Digits of `pattern` ("0000-00-00T00:00:00") are taken as numbers, other bytes must be equal. */
static bool scan_time(const char *text, struct tm *fields_out)
{
    static const char pattern[] = "0000-00-00T00:00:00";
    int numbers[6] = {0};
    size_t number = 0;
    for (size_t i = 0; pattern[i] != '\0'; i++) {
        if (pattern[i] != '0') {
            if (text[i] != pattern[i])
                return false;
            number++;
            continue;
        }
        if (text[i] < '0' || text[i] > '9')
            return false;
        numbers[number] = numbers[number] * 10 + (text[i] - '0');
    }
    *fields_out = (struct tm){.tm_year = numbers[0] - 1900,
                              .tm_mon = numbers[1] - 1,
                              .tm_mday = numbers[2],
                              .tm_hour = numbers[3],
                              .tm_min = numbers[4],
                              .tm_sec = numbers[5]};
    return numbers[1] >= 1 && numbers[1] <= 12 && numbers[2] >= 1 && numbers[2] <= 31 &&
           numbers[3] <= 23 && numbers[4] <= 59 && numbers[5] <= 60;
}

bool s3_time_parse(struct text text, int64_t *time_ms_out)
{
    enum { SECONDS_BYTES = 19 };
    struct tm fields;
    if (text.size <= SECONDS_BYTES || text.data[text.size - 1] != 'Z' ||
        !scan_time(text.data, &fields))
        return false;
    int64_t milliseconds = 0;
    struct text rest = {text.data + SECONDS_BYTES, text.size - SECONDS_BYTES - 1};
    if (rest.size > 0 && (rest.data[0] != '.' || rest.size == 1))
        return false;
    int64_t scale = 100;
    for (size_t i = 1; i < rest.size; i++, scale /= 10) {
        if (rest.data[i] < '0' || rest.data[i] > '9')
            return false;
        milliseconds += (rest.data[i] - '0') * scale;
    }
    *time_ms_out = (int64_t)timegm(&fields) * 1000 + milliseconds;
    return true;
}

bool s3_time_parse_http(struct text text, int64_t *time_ms_out)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char copy[40], month[4];
    int day, year, hour, minute, second, consumed = 0;
    if (text.size >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    if (sscanf(copy, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &day, month, &year, &hour,
               &minute, &second, &consumed) != 6 ||
        (size_t)consumed != text.size || strlen(month) != 3)
        return false;
    const char *found = strstr(months, month);
    if (found == NULL || (found - months) % 3 != 0 || day < 1 || day > 31 || year < 1970 ||
        hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    struct tm fields = {.tm_year = year - 1900,
                        .tm_mon = (int)(found - months) / 3,
                        .tm_mday = day,
                        .tm_hour = hour,
                        .tm_min = minute,
                        .tm_sec = second};
    *time_ms_out = (int64_t)timegm(&fields) * 1000;
    return true;
}
