/* Remote write 1.0 bodies: decode, resolve every label, hash every alias. */
#include "wire/remote_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena *arena = arena_create(64 << 20);
    struct write_request request;
    struct error error;
    if (write_request_decode(WRITE_VERSION_1, bytes, size, 10000, arena, &request, &error) ==
            ERROR_NONE &&
        write_request_hash_symbols(&request, 1, arena, &error) == ERROR_NONE) {
        for (size_t i = 0; i < request.series_count; i++) {
            struct label *labels;
            size_t count;
            write_labels_alias(&request, &request.series[i].labels, 1);
            (void)write_labels_decode(&request, &request.series[i].labels, arena, &labels, &count,
                                      &error); /* any answer, as long as it is one */
        }
        for (size_t i = 0; i < request.histogram_count; i++)
            (void)histogram_validate(&request.histograms[i].histogram, &error);
    }
    arena_destroy(arena);
    return 0;
}
