/* Answers of another node to a write of some samples and series: whatever it says, numbers are
 * those of the asker, and counts fit. */
#include <stdlib.h>
#include <string.h>

#include "write_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { FLOATS_MAX = 15, HISTOGRAMS_MAX = 3, SERIES_MAX = 3 };

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void take(const uint8_t *bytes, size_t size, struct shard_write *write)
{
    struct answer_head head;
    struct error error;
    if (answer_head_decode(bytes, size, &head, &error) != ERROR_NONE || head.kind != ANSWER_DONE ||
        write_answer_decode(bytes, size, write, &error) != ERROR_NONE)
        return;
    require(size <= write_answer_bytes_max(write));
    require(write->floats_written <= write->float_count);
    require(write->stale_count <= write->float_count + write->histogram_count);
    require(write->refusal_count <= SHARD_REFUSALS_KEPT);
    for (size_t i = 0; i < write->stale_count; i++)
        require(write->stale_origins[i] >= 100 && write->stale_origins[i] < 200);
    for (size_t i = 0; i < write->refusal_count; i++)
        require(write->refusals[i].origin >= 100 && write->refusals[i].origin < 200 &&
                shard_refusal_reason_name(write->refusals[i].reason) != NULL);
}

/* The first byte: how much was asked. */
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_bytes)
{
    if (input_bytes < 1)
        return 0;
    size_t size = input_bytes - 1;
    uint8_t *bytes = malloc(size + (size == 0));
    memcpy(bytes, input + 1, size);
    uint32_t origins[FLOATS_MAX], histogram_origins[HISTOGRAMS_MAX];
    struct shard_new_series series[SERIES_MAX] = {0};
    struct shard_write write = {
        .new_series = series,
        .new_series_count = input[0] >> 6 & 3,
        .origins = origins,
        .float_count = input[0] & 15,
        .histogram_origins = histogram_origins,
        .histogram_count = input[0] >> 4 & 3,
    };
    for (uint32_t i = 0; i < FLOATS_MAX; i++)
        origins[i] = 100 + i;
    for (uint32_t i = 0; i < HISTOGRAMS_MAX; i++)
        histogram_origins[i] = 150 + i;
    size_t samples = write.float_count + write.histogram_count;
    write.stale_origins = malloc((samples + 1) * sizeof *write.stale_origins);
    take(bytes, size, &write);
    struct shard_tenant_state state;
    struct error error;
    if (tenant_answer_decode(bytes, size, &state, &error) == ERROR_NONE) {
        struct shared_bytes *again = tenant_answer_encode(&state);
        require(again->size == size && memcmp(again->bytes + 16, bytes + 16, size - 16) == 0);
        shared_bytes_unref(again);
    }
    free(write.stale_origins);
    free(bytes);
    return 0;
}
