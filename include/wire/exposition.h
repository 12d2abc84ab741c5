/*
 * exposition - samples as a scraper reads them: Prometheus' text format 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats) and the delimited Protobuf messages of
 * client_model (metrics.proto).
 *
 * Samples are appended one by one, those of a metric name after each other, with their own
 * timestamps. Floats have no type ("untyped"); native histograms are told only by Protobuf, but for
 * those of custom buckets, which become classic ones. Memory running out is the buffer's `failed`.
 */
#ifndef WIRE_EXPOSITION_H
#define WIRE_EXPOSITION_H

#include "base/bytes.h"
#include "base/text.h"
#include "model/labels.h"
#include "model/sample.h"

enum exposition_format { EXPOSITION_TEXT, EXPOSITION_PROTOBUF };

/* What names become that are not plain identifiers. */
enum exposition_escaping {
    EXPOSITION_UNDERSCORES, /* a_b for a.b */
    EXPOSITION_DOTS,        /* a_dot_b */
    EXPOSITION_VALUES,      /* U__a_2e_b */
    EXPOSITION_UTF8,        /* as they are, in quotes */
    EXPOSITION_ESCAPINGS
};

struct exposition_form {
    enum exposition_format format;
    enum exposition_escaping escaping;
};

/* What an Accept header wants most of what we have; text with underscores when nothing fits. */
struct exposition_form exposition_negotiate(struct text accept);

/* The Content-Type, a constant. */
struct text exposition_content_type(struct exposition_form form);

struct exposition_sample {
    struct labels labels; /* with the metric's name */
    /* Added behind them, even with an empty value, when the labels have no such name. */
    struct text default_label;
    int64_t timestamp_ms;
    double value;
    const struct histogram *histogram; /* NULL: the value */
};

/* Start with zeroes and the form; clear at the end. */
struct exposition {
    struct exposition_form form;
    /* Of the sample before. */
    struct byte_buffer name; /* of its metric, as it is */
    int kind;
    struct byte_buffer family; /* Protobuf: metrics that wait to be written */
    struct byte_buffer scratch[3];
};

/* Append to `target`. False: the sample has no name, or the format cannot tell it; nothing is
 * written then. */
bool exposition_append(struct exposition *exposition, const struct exposition_sample *sample,
                       struct byte_buffer *target);

/* What waits is written: after the last sample. */
void exposition_finish(struct exposition *exposition, struct byte_buffer *target);

void exposition_clear(struct exposition *exposition);

#endif
