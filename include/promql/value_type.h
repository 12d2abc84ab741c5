/*
 * value_type - the four types of a PromQL value.
 */
#ifndef PROMQL_VALUE_TYPE_H
#define PROMQL_VALUE_TYPE_H

enum value_type {
    VALUE_NONE,   /* no value, no argument */
    VALUE_SCALAR, /* one number per step */
    VALUE_VECTOR, /* an instant vector: a sample per series and step */
    VALUE_MATRIX, /* a range vector: the samples of a window per series and step */
    VALUE_STRING,
    VALUE_TYPES
};

/* "none", "scalar", "instant vector", "range vector", "string": the words of error messages. */
const char *value_type_description(enum value_type type);

/* "none", "scalar", "vector", "matrix", "string": the words of the HTTP API (resultType). */
const char *value_type_name(enum value_type type);

#endif
