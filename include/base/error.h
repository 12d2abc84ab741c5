/*
 * error - what went wrong, in the caller's memory.
 *
 * Functions that can fail return an error_code and describe the failure in
 * their last argument, which is never NULL. Libraries return errors, programs
 * log them, once. An out parameter is written on success only.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>

enum error_code {
    ERROR_NONE = 0,
    ERROR_INVALID,       /* the caller's input is wrong; sending it again won't help */
    ERROR_CORRUPT,       /* stored or received bytes are not what was written */
    ERROR_LIMIT,         /* a configured limit was reached */
    ERROR_OUT_OF_MEMORY, /* an allocation or a memory budget failed */
    ERROR_IO,            /* the device or the operating system refused */
    ERROR_NO_SPACE,      /* the disk is full */
    ERROR_NOT_FOUND,
    ERROR_EXISTS,
    ERROR_CONFLICT,    /* contradicts what is stored */
    ERROR_UNAVAILABLE, /* not now: no leader, overload, shutting down; try again */
    ERROR_TIMEOUT,
    ERROR_CANCELED,
    ERROR_UNSUPPORTED, /* well formed, but of a kind or version this build does not know */
    ERROR_CLOSED,      /* the other side is gone */
    ERROR_WOULD_WAIT,  /* not without waiting: begin anew where that is allowed */
    ERROR_DENIED,      /* refused by another system until rights or settings are mended */
    ERROR_CODES
};

/* Room for two label sets, which errors of PromQL name. */
enum { ERROR_MESSAGE_MAX = 1024 };

struct error {
    enum error_code code;
    char message[ERROR_MESSAGE_MAX]; /* NUL-terminated, cut if longer */
};

/* "corrupt", "limit", ...: a stable word for logs and metric labels. */
const char *error_code_name(enum error_code code);

/* Fill `error`; returns `code`, so that `return error_set(...)` reads well. */
enum error_code error_set(struct error *error, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set, with the text of `errno_value` appended; ENOSPC and EDQUOT become
 * ERROR_NO_SPACE, ENOENT ERROR_NOT_FOUND, EEXIST ERROR_EXISTS, ENOMEM ERROR_OUT_OF_MEMORY, EMFILE
 * and ENFILE ERROR_LIMIT, everything else ERROR_IO. */
enum error_code error_set_errno(struct error *error, int errno_value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Put context in front of the message: "open 'x': " + what was there. Keeps the code. */
enum error_code error_wrap(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* No error, empty message. */
void error_clear(struct error *error);

#endif
