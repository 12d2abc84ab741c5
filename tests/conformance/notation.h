/*
 * notation - series as Prometheus' .test files write them: a+bxn, _, stale, {{schema:0 ...}}.
 */
#ifndef CONFORMANCE_NOTATION_H
#define CONFORMANCE_NOTATION_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"
#include "model/labels.h"
#include "model/sample.h"

enum point_kind { POINT_MISSING, POINT_FLOAT, POINT_HISTOGRAM };

struct point {
    enum point_kind kind;
    double value;
    const struct histogram *histogram;
    bool has_reset_hint; /* written in the text */
};

enum notation_kind { NOTATION_VALUES, NOTATION_START_OFFSETS /* series@st: durations */ };

struct notation {
    enum notation_kind kind;
    struct labels labels;
    struct point *points; /* [point_count]; offsets are milliseconds */
    size_t point_count;
};

/* One line, "metric{a="b"} 1 2+3x4 _". Errors: INVALID. All in the arena. */
enum error_code notation_parse(struct text line, struct arena *arena, struct notation *notation_out,
                               struct error *error);

#endif
