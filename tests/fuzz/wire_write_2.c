/* Remote write 2.0 bodies: decode, resolve every label. */
#include "wire/remote_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena *arena = arena_create(64 << 20);
    struct write_request request;
    struct error error;
    struct write_decode_options options = {
        .version = WRITE_VERSION_2, .series_limit = 10000, .alias_seed = 1};
    if (write_request_decode(&options, bytes, size, arena, &request, &error) == ERROR_NONE) {
        for (size_t i = 0; i < request.series_count; i++) {
            struct label labels[LABELS_PER_SERIES_MAX];
            size_t count;
            (void)write_labels_decode(&request, &request.series[i].labels, labels, &count,
                                      &error); /* any answer, as long as it is one */
        }
        for (size_t i = 0; i < request.histogram_count; i++)
            (void)histogram_validate(&request.histograms[i].histogram, &error);
    }
    arena_destroy(arena);
    return 0;
}
