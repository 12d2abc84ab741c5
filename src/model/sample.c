#include "model/sample.h"

const char *metric_type_name(enum metric_type type)
{
    static const char *const NAMES[METRIC_TYPES] = {
        "unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset",
    };
    return type < METRIC_TYPES ? NAMES[type] : NAMES[METRIC_UNSPECIFIED];
}
