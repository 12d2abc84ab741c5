/*
 * The node's own metrics written into itself, so that a fresh node has something to show: made
 * into a remote-write request and given to the write path like any other.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "wire/compression.h"

#include "node_private.h"

struct self_write {
    struct node *node;
    struct timer timer;
    struct ingest_request request;
    struct arena *arena;
    bool writing;
    bool is_described; /* type and help of all metrics were written since the start */
    void (*stopped)(void *context);
    void *stopped_context;
};

/* --- The request ------------------------------------------------------------------------------ */

struct body_builder {
    struct byte_buffer body;
    struct byte_buffer series;
    struct byte_buffer part;
    int64_t now_ms;
    struct text node_name;
    bool describes;
    const char *described; /* the family that was described last */
};

enum { FIELD_BYTES = 2, FIELD_VARINT = 0, FIELD_FIXED64 = 1 };

static void field(struct byte_buffer *buffer, unsigned number, unsigned type)
{
    byte_buffer_varint(buffer, number << 3 | type);
}

static void add_label(struct body_builder *builder, struct text name, struct text value)
{
    struct byte_buffer *part = &builder->part;
    byte_buffer_reset(part);
    field(part, 1, FIELD_BYTES);
    byte_buffer_text(part, name);
    field(part, 2, FIELD_BYTES);
    byte_buffer_text(part, value);
    field(&builder->series, 1, FIELD_BYTES);
    byte_buffer_text(&builder->series, (struct text){(char *)part->bytes, part->size});
}

static void add_description(struct body_builder *builder, const struct metric_sample *sample)
{
    static const uint64_t TYPES[] = {[METRIC_KIND_COUNTER] = METRIC_COUNTER,
                                     [METRIC_KIND_GAUGE] = METRIC_GAUGE,
                                     [METRIC_KIND_HISTOGRAM] = METRIC_HISTOGRAM};
    struct byte_buffer *part = &builder->part;
    byte_buffer_reset(part);
    field(part, 1, FIELD_VARINT);
    byte_buffer_varint(part, TYPES[sample->kind]);
    field(part, 2, FIELD_BYTES);
    byte_buffer_text(part, text_of(sample->family));
    field(part, 4, FIELD_BYTES);
    byte_buffer_text(part, text_of(sample->help));
    field(&builder->body, 3, FIELD_BYTES);
    byte_buffer_text(&builder->body, (struct text){(char *)part->bytes, part->size});
    builder->described = sample->family;
}

static void add_sample(void *context, const struct metric_sample *sample)
{
    struct body_builder *builder = context;
    struct byte_buffer *part = &builder->part;
    if (builder->describes &&
        (builder->described == NULL || strcmp(builder->described, sample->family) != 0))
        add_description(builder, sample);
    byte_buffer_reset(&builder->series);
    add_label(builder, LABEL_METRIC_NAME, text_of(sample->name));
    add_label(builder, TEXT("instance"), builder->node_name);
    add_label(builder, TEXT("job"), TEXT("gnomon"));
    for (size_t i = 0; i < sample->label_count; i++)
        add_label(builder, text_of(sample->labels[i].name), text_of(sample->labels[i].value));
    byte_buffer_reset(part);
    field(part, 1, FIELD_FIXED64);
    byte_buffer_u64(part, double_to_bits(sample->value));
    field(part, 2, FIELD_VARINT);
    byte_buffer_varint(part, (uint64_t)builder->now_ms);
    field(&builder->series, 2, FIELD_BYTES);
    byte_buffer_text(&builder->series, (struct text){(char *)part->bytes, part->size});
    field(&builder->body, 1, FIELD_BYTES);
    byte_buffer_text(&builder->body,
                     (struct text){(char *)builder->series.bytes, builder->series.size});
}

static bool build_body(struct self_write *self_write, uint8_t **compressed_out, size_t *size_out)
{
    struct node *node = self_write->node;
    struct body_builder builder = {.now_ms = clock_now_ms(clock_system()),
                                   .node_name = text_of(node->settings->cluster_node),
                                   .describes = !self_write->is_described};
    struct error error;
    metrics_visit(node->metrics, add_sample, &builder);
    bool built = !builder.body.failed && !builder.series.failed && !builder.part.failed &&
                 snappy_encode(builder.body.bytes, builder.body.size, self_write->arena,
                               compressed_out, size_out, &error) == ERROR_NONE;
    byte_buffer_clear(&builder.body);
    byte_buffer_clear(&builder.series);
    byte_buffer_clear(&builder.part);
    return built;
}

/* --- Writing it
 * ------------------------------------------------------------------------------------ */

static struct scheduler *loop_of(const struct self_write *self_write)
{
    return self_write->node->loops[0].environment.scheduler;
}

static void finish_stop(struct self_write *self_write)
{
    void (*stopped)(void *) = self_write->stopped;
    void *context = self_write->stopped_context;
    arena_destroy(self_write->arena);
    free(self_write);
    stopped(context);
}

static void written(struct ingest_request *request)
{
    struct self_write *self_write =
        (struct self_write *)((char *)request - offsetof(struct self_write, request));
    self_write->writing = false;
    atomic_fetch_add(&self_write->node->self_writes, 1);
    if (request->status == INGEST_STORED) {
        self_write->is_described = true;
    } else {
        atomic_fetch_add(&self_write->node->self_write_failures, 1);
        log_event(LOG_DEBUG, "server", "own metrics were not stored", "reason=\"%s\"",
                  request->message);
    }
    if (self_write->stopped != NULL)
        finish_stop(self_write);
}

static void write_now(struct timer *timer)
{
    struct self_write *self_write =
        (struct self_write *)((char *)timer - offsetof(struct self_write, timer));
    struct node *node = self_write->node;
    scheduler_timer_start(loop_of(self_write), timer,
                          (uint64_t)node->settings->telemetry_interval_ms);
    if (self_write->writing || node->recovery != NULL)
        return;
    uint8_t *body;
    size_t size;
    arena_reset(self_write->arena);
    if (!build_body(self_write, &body, &size))
        return;
    self_write->writing = true;
    self_write->request = (struct ingest_request){
        .version = WRITE_VERSION_1,
        .body = body,
        .body_size = size,
        .tenant = TEXT("anonymous"),
        .arena = self_write->arena,
        .done = written,
    };
    ingest_write(node->loops[0].ingest, &self_write->request);
}

enum error_code self_write_start(struct node *node, struct self_write **self_write_out,
                                 struct error *error)
{
    enum { FIRST_WRITE_MS = 200, ARENA_BYTES_MAX = 64 << 20 };
    struct self_write *self_write = calloc(1, sizeof *self_write);
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    if (self_write == NULL || arena == NULL) {
        free(self_write);
        arena_destroy(arena);
        return error_set(error, ERROR_OUT_OF_MEMORY, "self-write");
    }
    self_write->node = node;
    self_write->arena = arena;
    self_write->timer = (struct timer){.fire = write_now, .heap_index = TIMER_IDLE};
    scheduler_timer_start(loop_of(self_write), &self_write->timer, FIRST_WRITE_MS);
    *self_write_out = self_write;
    return ERROR_NONE;
}

void self_write_stop(struct self_write *self_write, void (*stopped)(void *context), void *context)
{
    self_write->stopped = stopped;
    self_write->stopped_context = context;
    scheduler_timer_stop(loop_of(self_write), &self_write->timer);
    if (!self_write->writing)
        finish_stop(self_write);
}
