/*
 * log - structured logging of the program: one line an event, logfmt.
 *
 *   log_event(LOG_WARNING, "http", "connection refused", "reason=%s open=%zu", ...)
 *
 * prints `ts=2026-11-20T10:00:00.123Z level=warn module=http msg="connection refused"
 * reason=... open=...` to standard error in one write. Thread-safe. Values that may hold spaces
 * or come from outside go through log_quote.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR, LOG_NOTHING /* to be set only */ };

/* Process-wide; INFO until set. */
void log_set_level(enum log_level level);
bool log_level_from_text(struct text name, enum log_level *level_out);

void log_event(enum log_level level, const char *module, const char *message,
               const char *fields_format, ...) __attribute__((format(printf, 4, 5)));

/* `value` in quotes, with quotes, backslashes and control characters escaped, cut to fit. Returns
 * `target`. */
const char *log_quote(char *target, size_t target_bytes, struct text value);

/*
 * At most `burst` events in `interval_ms`, then silence until the interval is over; the next one
 * allowed tells how many were suppressed. Zero-initialise but for the two settings. Thread-safe.
 */
struct log_limit {
    int64_t interval_ms;
    uint32_t burst;
    _Atomic int64_t window_start_ms;
    _Atomic uint32_t used;
    _Atomic uint64_t suppressed;
};

/* True when the event may be logged; *suppressed_out is the number of events kept back before. */
bool log_limit_allow(struct log_limit *limit, int64_t now_ms, uint64_t *suppressed_out);

#endif
