#include "promql/value_type.h"

#include <assert.h>

const char *value_type_description(enum value_type type)
{
    static const char *const DESCRIPTIONS[VALUE_TYPES] = {
        [VALUE_NONE] = "none",
        [VALUE_SCALAR] = "scalar",
        [VALUE_VECTOR] = "instant vector",
        [VALUE_MATRIX] = "range vector",
        [VALUE_STRING] = "string",
    };
    assert(type < VALUE_TYPES);
    return DESCRIPTIONS[type];
}

const char *value_type_name(enum value_type type)
{
    static const char *const NAMES[VALUE_TYPES] = {
        [VALUE_NONE] = "none",     [VALUE_SCALAR] = "scalar", [VALUE_VECTOR] = "vector",
        [VALUE_MATRIX] = "matrix", [VALUE_STRING] = "string",
    };
    assert(type < VALUE_TYPES);
    return NAMES[type];
}
