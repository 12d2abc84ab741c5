/* Remote write 1.0 bodies: decode, resolve every label; and labels taken on trust are what a look
 * at them finds. */
#include <assert.h>
#include <string.h>

#include "wire/remote_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static enum error_code decode(enum write_labels_trust trust, const uint8_t *bytes, size_t size,
                              struct arena *arena, struct write_request *request)
{
    struct error error;
    struct write_decode_options options = {
        .version = WRITE_VERSION_1, .trust = trust, .series_limit = 10000, .alias_seed = 1};
    return write_request_decode(&options, bytes, size, arena, request, &error);
}

static bool all_whole(const struct write_request *request)
{
    for (size_t i = 0; i < request->series_count; i++)
        if (request->series[i].labels_unseen && !write_labels_are_whole(&request->series[i].labels))
            return false;
    return true;
}

static void assert_equal(const struct write_request *left, const struct write_request *right)
{
    assert(left->series_count == right->series_count);
    assert(left->sample_count == right->sample_count);
    assert(left->histogram_count == right->histogram_count);
    assert(left->exemplar_count == right->exemplar_count);
    for (size_t i = 0; i < left->series_count; i++) {
        const struct write_series *a = &left->series[i], *b = &right->series[i];
        assert(hash128_equal(a->alias, b->alias));
        assert(a->labels.size == b->labels.size);
        assert(a->sample_first == b->sample_first && a->sample_count == b->sample_count);
    }
    for (size_t i = 0; i < left->sample_count; i++) {
        const struct write_sample *a = &left->samples[i], *b = &right->samples[i];
        assert(a->timestamp_ms == b->timestamp_ms);
        assert(memcmp(&a->value, &b->value, sizeof a->value) == 0);
        assert(a->start_timestamp_ms == 0 && b->start_timestamp_ms == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct arena *arena = arena_create(64 << 20);
    struct write_request request, trusted;
    enum error_code code = decode(WRITE_LABELS_CHECKED, bytes, size, arena, &request);
    if (decode(WRITE_LABELS_TRUSTED, bytes, size, arena, &trusted) == ERROR_NONE &&
        all_whole(&trusted)) {
        assert(code == ERROR_NONE);
        assert_equal(&request, &trusted);
    }
    for (size_t i = 0; code == ERROR_NONE && i < request.series_count; i++) {
        struct label labels[LABELS_PER_SERIES_MAX];
        size_t count;
        struct error error;
        assert(!request.series[i].labels_unseen);
        (void)write_labels_decode(&request, &request.series[i].labels, labels, &count,
                                  &error); /* any answer, as long as it is one */
    }
    for (size_t i = 0; code == ERROR_NONE && i < request.histogram_count; i++) {
        struct error error;
        (void)histogram_validate(&request.histograms[i].histogram, &error);
    }
    arena_destroy(arena);
    return 0;
}
