#include "transfer/transfer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "transfer_private.h"

enum { FETCHES_MAX = 2, SERVES_MAX = 4, TIMEOUT_MS = 30000 };

/* --- Budget ----------------------------------------------------------------------------------- */

uint64_t transfer_budget_take(struct transfer_budget *budget, uint64_t size_bytes, uint64_t now_ns)
{
    if (budget == NULL || budget->bytes_per_second == 0)
        return 0;
    uint64_t rate = budget->bytes_per_second;
    uint64_t taken_ns =
        size_bytes / rate * UINT64_C(1000000000) + size_bytes % rate * UINT64_C(1000000000) / rate;
    uint64_t free_ns = atomic_load_explicit(&budget->free_ns, memory_order_relaxed);
    uint64_t begin_ns;
    do {
        begin_ns = free_ns > now_ns ? free_ns : now_ns;
    } while (!atomic_compare_exchange_weak_explicit(&budget->free_ns, &free_ns, begin_ns + taken_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
    return (begin_ns - now_ns + 999999) / 1000000;
}

/* --- Shards that are served ------------------------------------------------------------------- */

struct shard *transfer_find_shard(const struct transfer *transfer, uint64_t group_id)
{
    for (size_t i = 0; i < transfer->shard_count; i++)
        if (transfer->shards[i].group_id == group_id)
            return transfer->shards[i].shard;
    return NULL;
}

enum error_code transfer_add_shard(struct transfer *transfer, uint64_t group_id,
                                   struct shard *shard, struct error *error)
{
    assert(transfer_find_shard(transfer, group_id) == NULL);
    struct served_shard *shards =
        realloc(transfer->shards, (transfer->shard_count + 1) * sizeof *shards);
    if (shards == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "transfer: list of shards");
    transfer->shards = shards;
    shards[transfer->shard_count++] = (struct served_shard){group_id, shard};
    return ERROR_NONE;
}

void transfer_remove_shard(struct transfer *transfer, uint64_t group_id)
{
    for (size_t i = 0; i < transfer->shard_count; i++)
        if (transfer->shards[i].group_id == group_id) {
            transfer->shards[i] = transfer->shards[--transfer->shard_count];
            return;
        }
}

/* --- Life ------------------------------------------------------------------------------------- */

enum error_code transfer_create(const struct transfer_options *options,
                                struct transfer **transfer_out, struct error *error)
{
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "transfer");
    transfer->fetcher.operations = &TRANSFER_FETCHER;
    transfer->options = *options;
    if (transfer->options.fetches_max == 0)
        transfer->options.fetches_max = FETCHES_MAX;
    if (transfer->options.serves_max == 0)
        transfer->options.serves_max = SERVES_MAX;
    if (transfer->options.timeout_ms == 0)
        transfer->options.timeout_ms = TIMEOUT_MS;
    if (transfer->options.range_bytes == 0 || transfer->options.range_bytes > RANGE_BYTES_MAX)
        transfer->options.range_bytes = RANGE_BYTES_MAX;
    transfer->fetches_end = &transfer->fetches;
    transport_on_request(options->transport, TRANSFER_REQUEST_KIND, transfer_serve, transfer);
    *transfer_out = transfer;
    return ERROR_NONE;
}

static void close_finish(struct task *task)
{
    struct transfer *transfer =
        (struct transfer *)((char *)task - offsetof(struct transfer, close_task));
    void (*closed)(void *) = transfer->closed;
    void *context = transfer->closed_context;
    free(transfer->shards);
    free(transfer);
    closed(context);
}

static void close_when_idle(struct transfer *transfer)
{
    if (transfer->closed == NULL || transfer->serves_running > 0)
        return;
    transfer->close_task.run = close_finish;
    scheduler_defer(transfer->options.environment->scheduler, &transfer->close_task);
}

void transfer_serve_ended(struct transfer *transfer)
{
    transfer->serves_running--;
    close_when_idle(transfer);
}

void transfer_close(struct transfer *transfer, void (*closed)(void *context), void *context)
{
    assert(transfer->fetches == NULL && transfer->closed == NULL);
    transfer->closed = closed;
    transfer->closed_context = context;
    close_when_idle(transfer);
}

struct file_fetcher *transfer_fetcher(struct transfer *transfer)
{
    return &transfer->fetcher;
}

void transfer_read_statistics(const struct transfer *transfer,
                              struct transfer_statistics *statistics_out)
{
    *statistics_out = transfer->statistics;
}
