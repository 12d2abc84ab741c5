#include "telemetry/metrics.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Types -------------------------------------------------------------------------------- */

const double METRICS_LATENCY_BOUNDS[METRICS_LATENCY_BOUND_COUNT] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
};

struct metric {
    struct metric *next; /* of the same family */
    struct metric_label labels[METRIC_LABELS_MAX];
    size_t label_count;
    union {
        struct counter counter;
        struct gauge gauge;
        struct distribution distribution;
    } as;
};

struct family {
    struct family *next;
    char *name;
    char *help;
    enum metric_kind kind;
    struct metric *metrics;
    struct metric **last;
};

struct collector {
    struct collector *next;
    metric_collect *collect;
    void *context;
};

struct metrics {
    pthread_mutex_t lock; /* creation and looking; never updating */
    struct family *families;
    struct family **last_family;
    struct collector *collectors;
};

/* --- Creating ----------------------------------------------------------------------------- */

struct metrics *metrics_create(void)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics == NULL)
        return NULL;
    pthread_mutex_init(&metrics->lock, NULL);
    metrics->last_family = &metrics->families;
    return metrics;
}

static void metric_destroy(struct metric *metric)
{
    for (size_t i = 0; i < metric->label_count; i++) {
        free((char *)metric->labels[i].name);
        free((char *)metric->labels[i].value);
    }
    free(metric);
}

static void family_destroy(struct family *family)
{
    while (family->metrics != NULL) {
        struct metric *next = family->metrics->next;
        metric_destroy(family->metrics);
        family->metrics = next;
    }
    free(family->name);
    free(family->help);
    free(family);
}

void metrics_destroy(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    while (metrics->families != NULL) {
        struct family *next = metrics->families->next;
        family_destroy(metrics->families);
        metrics->families = next;
    }
    while (metrics->collectors != NULL) {
        struct collector *next = metrics->collectors->next;
        free(metrics->collectors);
        metrics->collectors = next;
    }
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

static struct family *family_find_or_add(struct metrics *metrics,
                                         const struct metric_options *options,
                                         enum metric_kind kind)
{
    for (struct family *family = metrics->families; family != NULL; family = family->next) {
        if (strcmp(family->name, options->name) == 0) {
            assert(family->kind == kind);
            return family;
        }
    }
    struct family *family = calloc(1, sizeof *family);
    if (family == NULL)
        return NULL;
    family->kind = kind;
    family->name = strdup(options->name);
    family->help = strdup(options->help);
    family->last = &family->metrics;
    if (family->name == NULL || family->help == NULL) {
        family_destroy(family);
        return NULL;
    }
    *metrics->last_family = family;
    metrics->last_family = &family->next;
    return family;
}

static bool labels_are(const struct metric *metric, const struct metric_options *options)
{
    if (metric->label_count != options->label_count)
        return false;
    for (size_t i = 0; i < options->label_count; i++)
        if (strcmp(metric->labels[i].name, options->labels[i].name) != 0 ||
            strcmp(metric->labels[i].value, options->labels[i].value) != 0)
            return false;
    return true;
}

static struct metric *metric_add(struct family *family, const struct metric_options *options)
{
    struct metric *metric = calloc(1, sizeof *metric);
    if (metric == NULL)
        return NULL;
    for (size_t i = 0; i < options->label_count; i++) {
        struct metric_label *label = &metric->labels[i];
        label->name = strdup(options->labels[i].name);
        label->value = strdup(options->labels[i].value);
        metric->label_count = i + 1;
        if (label->name == NULL || label->value == NULL) {
            metric_destroy(metric);
            return NULL;
        }
    }
    *family->last = metric;
    family->last = &metric->next;
    return metric;
}

/* The lock is held. */
static struct metric *find_or_add(struct metrics *metrics, const struct metric_options *options,
                                  enum metric_kind kind)
{
    assert(options->label_count <= METRIC_LABELS_MAX);
    struct family *family = family_find_or_add(metrics, options, kind);
    struct metric *metric = NULL;
    if (family != NULL) {
        metric = family->metrics;
        while (metric != NULL && !labels_are(metric, options))
            metric = metric->next;
        if (metric == NULL)
            metric = metric_add(family, options);
    }
    return metric;
}

static struct metric *metric_find_or_add(struct metrics *metrics,
                                         const struct metric_options *options,
                                         enum metric_kind kind)
{
    pthread_mutex_lock(&metrics->lock);
    struct metric *metric = find_or_add(metrics, options, kind);
    pthread_mutex_unlock(&metrics->lock);
    return metric;
}

struct counter *metrics_counter(struct metrics *metrics, const struct metric_options *options)
{
    struct metric *metric = metric_find_or_add(metrics, options, METRIC_KIND_COUNTER);
    return metric == NULL ? NULL : &metric->as.counter;
}

struct gauge *metrics_gauge(struct metrics *metrics, const struct metric_options *options)
{
    struct metric *metric = metric_find_or_add(metrics, options, METRIC_KIND_GAUGE);
    return metric == NULL ? NULL : &metric->as.gauge;
}

struct distribution *metrics_distribution(struct metrics *metrics,
                                          const struct metric_options *options,
                                          const double *bounds, size_t bound_count)
{
    assert(bound_count <= DISTRIBUTION_BOUNDS_MAX);
    pthread_mutex_lock(&metrics->lock);
    struct metric *metric = find_or_add(metrics, options, METRIC_KIND_HISTOGRAM);
    /* One that is there already may be observed at this moment. */
    if (metric != NULL && metric->as.distribution.bound_count == 0) {
        memcpy(metric->as.distribution.bounds, bounds, bound_count * sizeof *bounds);
        metric->as.distribution.bound_count = bound_count;
    }
    pthread_mutex_unlock(&metrics->lock);
    return metric == NULL ? NULL : &metric->as.distribution;
}

bool metrics_add_collector(struct metrics *metrics, metric_collect *collect, void *context)
{
    struct collector *collector = malloc(sizeof *collector);
    if (collector == NULL)
        return false;
    pthread_mutex_lock(&metrics->lock);
    *collector = (struct collector){metrics->collectors, collect, context};
    metrics->collectors = collector;
    pthread_mutex_unlock(&metrics->lock);
    return true;
}

void distribution_observe(struct distribution *distribution, double value)
{
    size_t bucket = 0;
    while (bucket < distribution->bound_count && !(value <= distribution->bounds[bucket]))
        bucket++;
    atomic_fetch_add_explicit(&distribution->counts[bucket], 1, memory_order_relaxed);
    if (value > 0)
        atomic_fetch_add_explicit(&distribution->sum_nanos, (uint64_t)(value * 1e9),
                                  memory_order_relaxed);
}

/* --- Looking ------------------------------------------------------------------------------ */

static void visit_distribution(const struct family *family, struct metric *metric,
                               metric_visit *visit, void *context)
{
    struct distribution *distribution = &metric->as.distribution;
    char name[256];
    char bound[32];
    struct metric_label labels[METRIC_LABELS_MAX + 1];
    memcpy(labels, metric->labels, metric->label_count * sizeof *labels);
    labels[metric->label_count] = (struct metric_label){"le", bound};
    struct metric_sample sample = {.family = family->name,
                                   .help = family->help,
                                   .kind = family->kind,
                                   .name = name,
                                   .labels = labels,
                                   .label_count = metric->label_count + 1};
    uint64_t count = 0;
    snprintf(name, sizeof name, "%s_bucket", family->name);
    for (size_t i = 0; i <= distribution->bound_count; i++) {
        count += atomic_load_explicit(&distribution->counts[i], memory_order_relaxed);
        if (i < distribution->bound_count)
            snprintf(bound, sizeof bound, "%g", distribution->bounds[i]);
        else
            snprintf(bound, sizeof bound, "+Inf");
        sample.value = (double)count;
        visit(context, &sample);
    }
    sample.label_count = metric->label_count;
    snprintf(name, sizeof name, "%s_sum", family->name);
    sample.value =
        (double)atomic_load_explicit(&distribution->sum_nanos, memory_order_relaxed) / 1e9;
    visit(context, &sample);
    snprintf(name, sizeof name, "%s_count", family->name);
    sample.value = (double)count;
    visit(context, &sample);
}

static void visit_metric(const struct family *family, struct metric *metric, metric_visit *visit,
                         void *context)
{
    if (family->kind == METRIC_KIND_HISTOGRAM) {
        visit_distribution(family, metric, visit, context);
        return;
    }
    double value = family->kind == METRIC_KIND_COUNTER ? (double)counter_value(&metric->as.counter)
                                                       : (double)gauge_value(&metric->as.gauge);
    struct metric_sample sample = {.family = family->name,
                                   .help = family->help,
                                   .kind = family->kind,
                                   .name = family->name,
                                   .labels = metric->labels,
                                   .label_count = metric->label_count,
                                   .value = value};
    visit(context, &sample);
}

void metrics_visit(struct metrics *metrics, metric_visit *visit, void *context)
{
    pthread_mutex_lock(&metrics->lock);
    for (struct family *family = metrics->families; family != NULL; family = family->next)
        for (struct metric *metric = family->metrics; metric != NULL; metric = metric->next)
            visit_metric(family, metric, visit, context);
    for (struct collector *collector = metrics->collectors; collector != NULL;
         collector = collector->next)
        collector->collect(collector->context, visit, context);
    pthread_mutex_unlock(&metrics->lock);
}

/* --- Text exposition ---------------------------------------------------------------------- */

struct exposition {
    struct byte_buffer *buffer;
    char family[256]; /* of the sample before */
};

static void append_string(struct byte_buffer *buffer, const char *string)
{
    byte_buffer_append(buffer, string, strlen(string));
}

static void append_escaped(struct byte_buffer *buffer, const char *string)
{
    for (; *string != '\0'; string++) {
        if (*string == '\\' || *string == '"')
            byte_buffer_u8(buffer, '\\');
        if (*string == '\n')
            append_string(buffer, "\\n");
        else
            byte_buffer_u8(buffer, (uint8_t)*string);
    }
}

static void append_value(struct byte_buffer *buffer, double value)
{
    char text[40];
    if (isinf(value))
        snprintf(text, sizeof text, value > 0 ? "+Inf" : "-Inf");
    else if (isnan(value))
        snprintf(text, sizeof text, "NaN");
    else
        snprintf(text, sizeof text, "%.17g", value);
    append_string(buffer, text);
}

static void expose_header(struct exposition *exposition, const struct metric_sample *sample)
{
    static const char *const KINDS[] = {"counter", "gauge", "histogram"};
    struct byte_buffer *buffer = exposition->buffer;
    append_string(buffer, "# HELP ");
    append_string(buffer, sample->family);
    append_string(buffer, " ");
    append_string(buffer, sample->help);
    append_string(buffer, "\n# TYPE ");
    append_string(buffer, sample->family);
    append_string(buffer, " ");
    append_string(buffer, KINDS[sample->kind]);
    append_string(buffer, "\n");
    snprintf(exposition->family, sizeof exposition->family, "%s", sample->family);
}

static void expose_sample(void *context, const struct metric_sample *sample)
{
    struct exposition *exposition = context;
    struct byte_buffer *buffer = exposition->buffer;
    if (strcmp(exposition->family, sample->family) != 0)
        expose_header(exposition, sample);
    append_string(buffer, sample->name);
    for (size_t i = 0; i < sample->label_count; i++) {
        append_string(buffer, i == 0 ? "{" : ",");
        append_string(buffer, sample->labels[i].name);
        append_string(buffer, "=\"");
        append_escaped(buffer, sample->labels[i].value);
        append_string(buffer, "\"");
    }
    append_string(buffer, sample->label_count > 0 ? "} " : " ");
    append_value(buffer, sample->value);
    append_string(buffer, "\n");
}

void metrics_expose(struct metrics *metrics, struct byte_buffer *buffer)
{
    struct exposition exposition = {.buffer = buffer};
    metrics_visit(metrics, expose_sample, &exposition);
}
