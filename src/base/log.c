#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 4096 };

static const char *const LEVEL_NAMES[] = {"debug", "info", "warn", "error"};
static _Atomic int level_least = LOG_INFO;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&level_least, (int)level, memory_order_relaxed);
}

bool log_level_from_text(struct text name, enum log_level *level_out)
{
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        if (text_equal(name, text_of(LEVEL_NAMES[level]))) {
            *level_out = (enum log_level)level;
            return true;
        }
    }
    return false;
}

/* What vsnprintf wanted to write, cut to what fitted. */
static size_t written(int length, size_t room)
{
    if (length < 0)
        return 0;
    return (size_t)length < room ? (size_t)length : room - 1;
}

void log_event(enum log_level level, const char *module, const char *message,
               const char *fields_format, ...)
{
    if ((int)level < atomic_load_explicit(&level_least, memory_order_relaxed))
        return;
    char line[LINE_BYTES_MAX];
    struct timespec now;
    struct tm calendar;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &calendar);
    size_t used = strftime(line, sizeof line, "ts=%Y-%m-%dT%H:%M:%S", &calendar);
    used +=
        written(snprintf(line + used, sizeof line - used, ".%03ldZ level=%s module=%s msg=\"%s\" ",
                         now.tv_nsec / 1000000, LEVEL_NAMES[level], module, message),
                sizeof line - used);
    va_list arguments;
    va_start(arguments, fields_format);
    used += written(vsnprintf(line + used, sizeof line - used, fields_format, arguments),
                    sizeof line - used);
    va_end(arguments);
    while (used > 0 && line[used - 1] == ' ')
        used--;
    line[used < sizeof line ? used : sizeof line - 1] = '\n';
    ssize_t result = write(STDERR_FILENO, line, used + 1);
    (void)result; /* nowhere is left to report to */
}

const char *log_quote(char *target, size_t target_bytes, struct text value)
{
    static const char HEX[] = "0123456789abcdef";
    size_t used = 0;
    if (target_bytes < 8)
        return "\"\"";
    target[used++] = '"';
    for (size_t i = 0; i < value.size; i++) {
        unsigned char byte = (unsigned char)value.data[i];
        if (used + 7 > target_bytes) {
            memcpy(target + used, "...", 3);
            used += 3;
            break;
        }
        if (byte == '"' || byte == '\\') {
            target[used++] = '\\';
            target[used++] = (char)byte;
        } else if (byte < 0x20 || byte == 0x7f) {
            target[used++] = '\\';
            target[used++] = 'x';
            target[used++] = HEX[byte >> 4];
            target[used++] = HEX[byte & 15];
        } else {
            target[used++] = (char)byte;
        }
    }
    target[used++] = '"';
    target[used] = '\0';
    return target;
}

bool log_limit_allow(struct log_limit *limit, int64_t now_ms, uint64_t *suppressed_out)
{
    int64_t start = atomic_load_explicit(&limit->window_start_ms, memory_order_relaxed);
    if (start == 0 || now_ms - start >= limit->interval_ms || now_ms < start) {
        if (atomic_compare_exchange_strong(&limit->window_start_ms, &start, now_ms))
            atomic_store_explicit(&limit->used, 0, memory_order_relaxed);
    }
    if (atomic_fetch_add_explicit(&limit->used, 1, memory_order_relaxed) >= limit->burst) {
        atomic_fetch_add_explicit(&limit->suppressed, 1, memory_order_relaxed);
        return false;
    }
    *suppressed_out = atomic_exchange_explicit(&limit->suppressed, 0, memory_order_relaxed);
    return true;
}
