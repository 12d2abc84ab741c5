#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const CODE_NAMES[ERROR_CODES] = {
    [ERROR_NONE] = "none",
    [ERROR_INVALID] = "invalid",
    [ERROR_CORRUPT] = "corrupt",
    [ERROR_LIMIT] = "limit",
    [ERROR_OUT_OF_MEMORY] = "out_of_memory",
    [ERROR_IO] = "io",
    [ERROR_NO_SPACE] = "no_space",
    [ERROR_NOT_FOUND] = "not_found",
    [ERROR_EXISTS] = "exists",
    [ERROR_CONFLICT] = "conflict",
    [ERROR_UNAVAILABLE] = "unavailable",
    [ERROR_TIMEOUT] = "timeout",
    [ERROR_CANCELED] = "canceled",
    [ERROR_UNSUPPORTED] = "unsupported",
    [ERROR_CLOSED] = "closed",
    [ERROR_WOULD_WAIT] = "would_wait",
    [ERROR_DENIED] = "denied",
};

static enum error_code code_of_errno(int errno_value)
{
    switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
        return ERROR_NO_SPACE;
    case ENOENT:
        return ERROR_NOT_FOUND;
    case EEXIST:
        return ERROR_EXISTS;
    case ENOMEM:
        return ERROR_OUT_OF_MEMORY;
    case EMFILE:
    case ENFILE:
        return ERROR_LIMIT; /* of open files: it says nothing of this one */
    default:
        return ERROR_IO;
    }
}

const char *error_code_name(enum error_code code)
{
    assert(code < ERROR_CODES);
    return CODE_NAMES[code];
}

enum error_code error_set(struct error *error, enum error_code code, const char *format, ...)
{
    assert(error != NULL && code != ERROR_NONE);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    error->code = code;
    return code;
}

enum error_code error_set_errno(struct error *error, int errno_value, const char *format, ...)
{
    assert(error != NULL && errno_value > 0);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof error->message)
        snprintf(error->message + length, sizeof error->message - (size_t)length, ": %s",
                 strerror(errno_value));
    error->code = code_of_errno(errno_value);
    return error->code;
}

enum error_code error_wrap(struct error *error, const char *format, ...)
{
    assert(error != NULL && error->code != ERROR_NONE);
    char inner[ERROR_MESSAGE_MAX];
    memcpy(inner, error->message, sizeof inner);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof error->message)
        snprintf(error->message + length, sizeof error->message - (size_t)length, ": %s", inner);
    return error->code;
}

void error_clear(struct error *error)
{
    error->code = ERROR_NONE;
    error->message[0] = '\0';
}
