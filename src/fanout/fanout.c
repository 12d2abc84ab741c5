#include "fanout_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    TIMEOUT_MS = 120 * 1000,
    PATIENCE_MS = 3000,
    HEDGE_MS_MIN = 50,
    HEDGE_MS_MAX = 150,
    SLOW_MS = 5000,
    WINDOW_BYTES = 1024 * 1024,
    SERVING_MAX = 256,
    NS_PER_MS = 1000 * 1000,
    /* Thousandths. */
    HEDGES_ALLOWED_MAX = 20 * 1000,
    HEDGES_ALLOWED_MORE = 100,
};

/* --- Life ------------------------------------------------------------------------------------ */

static void set_defaults(struct fanout_options *options)
{
    if (options->timeout_ms == 0)
        options->timeout_ms = TIMEOUT_MS;
    if (options->patience_ms == 0)
        options->patience_ms = PATIENCE_MS;
    if (options->hedge_ms_min == 0)
        options->hedge_ms_min = HEDGE_MS_MIN;
    if (options->hedge_ms_max == 0)
        options->hedge_ms_max = HEDGE_MS_MAX;
    if (options->slow_ms == 0)
        options->slow_ms = SLOW_MS;
    if (options->window_bytes == 0)
        options->window_bytes = WINDOW_BYTES;
    if (options->serving_max == 0)
        options->serving_max = SERVING_MAX;
}

enum error_code fanout_create(const struct fanout_options *options, struct fanout **fanout_out,
                              struct error *error)
{
    struct fanout *fanout = calloc(1, sizeof *fanout);
    struct fanout_loop *loops = calloc(options->loop_count + 1, sizeof *loops);
    if (fanout == NULL || loops == NULL) {
        free(fanout);
        free(loops);
        return error_set(error, ERROR_OUT_OF_MEMORY, "fanout");
    }
    fanout->options = *options;
    set_defaults(&fanout->options);
    fanout->loops = loops;
    fanout->hedges_allowed = HEDGES_ALLOWED_MAX;
    for (size_t i = 0; i < options->loop_count; i++)
        loops[i].fanout = fanout;
    for (int read = 0; read < FANOUT_READS; read++) {
        (void)fanout_source_init(&fanout->sources[read], fanout, (enum fanout_read)read, NULL);
        fanout->metadata[read] = (struct fanout_metadata_source){
            .base.operations = &FANOUT_METADATA_OPERATIONS, .fanout = fanout, .read = read};
    }
    *fanout_out = fanout;
    return ERROR_NONE;
}

void fanout_destroy(struct fanout *fanout)
{
    if (fanout == NULL)
        return;
    assert(atomic_load(&fanout->calls) == 0 && atomic_load(&fanout->serving) == 0);
    free(fanout->loops);
    free(fanout);
}

void fanout_set_memory(struct fanout *fanout, struct arena_account *memory)
{
    fanout->memory = memory;
}

void fanout_set_node(struct fanout *fanout, uint64_t node_id)
{
    atomic_store(&fanout->node_id, node_id);
}

/* --- Loops ----------------------------------------------------------------------------------- */

void fanout_attach(struct fanout *fanout, size_t number, struct scheduler *scheduler,
                   struct transport *transport)
{
    assert(number < fanout->options.loop_count);
    struct fanout_loop *loop = &fanout->loops[number];
    loop->scheduler = scheduler;
    loop->transport = transport;
    fanout_serve_attach(loop);
    atomic_store(&loop->is_attached, true);
}

void fanout_detach(struct fanout *fanout, size_t number)
{
    assert(number < fanout->options.loop_count);
    struct fanout_loop *loop = &fanout->loops[number];
    atomic_store(&loop->is_attached, false);
    loop->transport = NULL;
}

struct fanout_loop *fanout_next_loop(struct fanout *fanout)
{
    size_t count = fanout->options.loop_count;
    size_t first = count == 0 ? 0 : atomic_fetch_add(&fanout->next_loop, 1);
    for (size_t i = 0; i < count; i++) {
        struct fanout_loop *loop = &fanout->loops[(first + i) % count];
        if (atomic_load(&loop->is_attached))
            return loop;
    }
    return NULL;
}

/* --- How nodes have behaved ------------------------------------------------------------------ */

void fanout_avoid(struct fanout *fanout, uint64_t node_id, uint64_t for_ms)
{
    atomic_store_explicit(&fanout_health(fanout, node_id)->avoid_until_ns,
                          fanout_now_ns(fanout) + for_ms * NS_PER_MS, memory_order_relaxed);
}

bool fanout_is_avoided(struct fanout *fanout, uint64_t node_id, uint64_t now_ns)
{
    return atomic_load_explicit(&fanout_health(fanout, node_id)->avoid_until_ns,
                                memory_order_relaxed) > now_ns;
}

void fanout_allow_hedge(struct fanout *fanout)
{
    if (atomic_load_explicit(&fanout->hedges_allowed, memory_order_relaxed) < HEDGES_ALLOWED_MAX)
        atomic_fetch_add_explicit(&fanout->hedges_allowed, HEDGES_ALLOWED_MORE,
                                  memory_order_relaxed);
}

uint64_t fanout_hedge_ns(struct fanout *fanout)
{
    uint64_t least_ns = fanout->options.hedge_ms_min * NS_PER_MS;
    uint64_t most_ns = fanout->options.hedge_ms_max * NS_PER_MS;
    uint64_t usual_ns = 2 * latency_p95_ns(&fanout->first_bytes);
    if (usual_ns < least_ns)
        usual_ns = least_ns;
    return usual_ns < most_ns ? usual_ns : most_ns;
}

/* --- Asking and looking ---------------------------------------------------------------------- */

struct series_source *fanout_source(struct fanout *fanout, enum fanout_read read)
{
    assert(read < FANOUT_READS);
    return &fanout->sources[read].base;
}

struct series_source *fanout_source_init(struct fanout_source *source, struct fanout *fanout,
                                         enum fanout_read read, struct fanout_windows *windows)
{
    *source = (struct fanout_source){
        .base.operations = &FANOUT_SOURCE_OPERATIONS,
        .fanout = fanout,
        .read = read,
        .windows = windows,
    };
    return &source->base;
}

struct metadata_source *fanout_metadata(struct fanout *fanout, enum fanout_read read)
{
    assert(read < FANOUT_READS);
    return &fanout->metadata[read].base;
}

void fanout_statistics(struct fanout *fanout, struct fanout_statistics *statistics_out)
{
    const struct fanout_counters *counters = &fanout->counters;
    *statistics_out = (struct fanout_statistics){
        .asked = counters->asked,
        .hedged = counters->hedged,
        .retried = counters->retried,
        .redirected = counters->redirected,
        .failed = counters->failed,
        .received_bytes = counters->received_bytes,
        .unavailable = counters->unavailable,
        .served = counters->served,
        .refused = counters->refused,
        .serving = fanout->serving,
        .sent_bytes = counters->sent_bytes,
        .first_byte_ns_p95 = latency_p95_ns(&fanout->first_bytes),
    };
}
