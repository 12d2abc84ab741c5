#include "id_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- Pages ---------------------------------------------------------------------------------- */

static struct id_page *page_share(struct id_page *page)
{
    if (page != NULL)
        atomic_fetch_add_explicit(&page->references, 1, memory_order_relaxed);
    return page;
}

static void page_unref(struct id_page *page)
{
    if (page != NULL && atomic_fetch_sub_explicit(&page->references, 1, memory_order_acq_rel) == 1)
        free(page);
}

/* --- Sets under construction ----------------------------------------------------------------- */

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "set of series");
}

/* An own set with the first `page_count` pages of `previous`, all of them shared. */
static struct id_set *set_create(const struct id_set *previous, size_t page_count)
{
    struct id_set *set = calloc(1, sizeof *set + page_count * sizeof *set->pages);
    if (set == NULL)
        return NULL;
    atomic_init(&set->references, 1);
    set->page_count = page_count;
    for (size_t i = 0; previous != NULL && i < previous->page_count && i < page_count; i++)
        set->pages[i] = page_share(previous->pages[i]);
    return set;
}

/* A page that nobody else has, in the place of the one that is there. */
static struct id_page *own_page(struct id_set *set, size_t number)
{
    struct id_page *shared = set->pages[number];
    if (shared != NULL && atomic_load_explicit(&shared->references, memory_order_acquire) == 1)
        return shared;
    struct id_page *page = calloc(1, sizeof *page);
    if (page == NULL)
        return NULL;
    if (shared != NULL)
        memcpy(page->words, shared->words, sizeof page->words);
    atomic_init(&page->references, 1);
    page_unref(shared);
    set->pages[number] = page;
    return page;
}

static bool set_put(struct id_set *set, uint64_t id)
{
    struct id_page *page = own_page(set, (size_t)(id / ID_PAGE_BITS));
    if (page == NULL)
        return false;
    page->words[id % ID_PAGE_BITS / 64] |= UINT64_C(1) << id % 64;
    set->count++;
    return true;
}

/* --- Public --------------------------------------------------------------------------------- */

struct id_set *id_set_ref(struct id_set *set)
{
    if (set != NULL)
        atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

void id_set_unref(struct id_set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < set->page_count; i++)
        page_unref(set->pages[i]);
    free(set);
}

enum error_code id_set_add(const struct id_set *previous, const uint64_t *ids, size_t count,
                           struct id_set **set_out, struct error *error)
{
    size_t page_count = previous == NULL ? 0 : previous->page_count;
    if (count > 0 && ids[count - 1] / ID_PAGE_BITS >= page_count)
        page_count = (size_t)(ids[count - 1] / ID_PAGE_BITS) + 1;
    struct id_set *set = set_create(previous, page_count);
    if (set == NULL)
        return out_of_memory(error);
    set->count = id_set_count(previous);
    for (size_t i = 0; i < count; i++) {
        assert(i == 0 || ids[i] > ids[i - 1]);
        assert(!id_set_has(previous, ids[i]));
        if (!set_put(set, ids[i])) {
            id_set_unref(set);
            return out_of_memory(error);
        }
    }
    *set_out = set;
    return ERROR_NONE;
}

enum error_code id_set_below(struct id_set *set, uint64_t limit, struct id_set **set_out,
                             struct error *error)
{
    uint64_t count = id_set_count_between(set, 0, limit);
    if (count == id_set_count(set)) {
        *set_out = id_set_ref(set);
        return ERROR_NONE;
    }
    if (count == 0) {
        *set_out = NULL;
        return ERROR_NONE;
    }
    struct id_set *below = set_create(set, (size_t)((limit - 1) / ID_PAGE_BITS) + 1);
    if (below == NULL)
        return out_of_memory(error);
    below->count = count;
    size_t cut = (size_t)(limit / ID_PAGE_BITS);
    if (cut < below->page_count && below->pages[cut] != NULL) {
        struct id_page *page = own_page(below, cut);
        if (page == NULL) {
            id_set_unref(below);
            return out_of_memory(error);
        }
        for (uint64_t id = limit; id / ID_PAGE_BITS == cut; id++)
            page->words[id % ID_PAGE_BITS / 64] &= ~(UINT64_C(1) << id % 64);
    }
    *set_out = below;
    return ERROR_NONE;
}

/* The bits of the word that begins at `id` which are ids in [first, end). */
static uint64_t word_between(uint64_t word, uint64_t id, uint64_t first, uint64_t end)
{
    if (first > id)
        word &= first - id < 64 ? ~UINT64_C(0) << (first - id) : 0;
    if (end < id + 64)
        word &= end > id ? ~UINT64_C(0) >> (64 - (end - id)) : 0;
    return word;
}

uint64_t id_set_count_between(const struct id_set *set, uint64_t first, uint64_t end)
{
    uint64_t count = 0;
    if (set == NULL || first >= end)
        return 0;
    for (uint64_t page = first / ID_PAGE_BITS; page < set->page_count && page * ID_PAGE_BITS < end;
         page++)
        for (size_t i = 0; set->pages[page] != NULL && i < ID_PAGE_WORDS; i++)
            count += (uint64_t)__builtin_popcountll(
                word_between(set->pages[page]->words[i], page * ID_PAGE_BITS + i * 64, first, end));
    return count;
}

/* --- Bytes ---------------------------------------------------------------------------------- */

/* The first id from `id` on that is in the set (or is not, as wanted); `limit` when there is none.
 */
static uint64_t next_that(const struct id_set *set, uint64_t id, uint64_t limit, bool is_in)
{
    while (id < limit) {
        const struct id_page *page = set->pages[id / ID_PAGE_BITS];
        if (page == NULL) {
            if (!is_in)
                return id;
            id = (id / ID_PAGE_BITS + 1) * ID_PAGE_BITS;
            continue;
        }
        uint64_t word = page->words[id % ID_PAGE_BITS / 64];
        uint64_t bits = (is_in ? word : ~word) >> id % 64;
        if (bits != 0)
            return id + (uint64_t)__builtin_ctzll(bits);
        id = (id / 64 + 1) * 64;
    }
    return limit;
}

void id_set_encode(const struct id_set *set, struct byte_buffer *buffer)
{
    uint64_t limit = set == NULL ? 0 : set->page_count * (uint64_t)ID_PAGE_BITS;
    struct byte_buffer runs = {0};
    uint64_t run_count = 0, end = 0;
    for (uint64_t first = 0; id_set_count(set) > 0; run_count++) {
        first = next_that(set, end, limit, true);
        if (first == limit)
            break;
        byte_buffer_varint(&runs, first - end);
        end = next_that(set, first, limit, false);
        byte_buffer_varint(&runs, end - first);
    }
    byte_buffer_varint(buffer, run_count);
    byte_buffer_append(buffer, runs.bytes, runs.size);
    buffer->failed |= runs.failed;
    byte_buffer_clear(&runs);
}

struct id_run {
    uint64_t first;
    uint64_t end;
};

/* The run behind the one that ended at `end`; false when there is none such. */
static bool read_run(struct byte_reader *reader, uint64_t end, uint64_t limit,
                     struct id_run *run_out)
{
    uint64_t gap = byte_reader_varint(reader);
    uint64_t length = byte_reader_varint(reader);
    if (reader->failed || (gap == 0 && end > 0) || length == 0 || gap >= limit - end ||
        length > limit - end - gap)
        return false;
    *run_out = (struct id_run){.first = end + gap, .end = end + gap + length};
    return true;
}

/* Look through the runs before memory is taken for them. */
static enum error_code check_runs(struct byte_reader reader, uint64_t run_count, uint64_t limit,
                                  uint64_t *end_out, struct error *error)
{
    struct id_run run = {0};
    uint64_t count = 0;
    for (uint64_t i = 0; i < run_count; i++) {
        if (!read_run(&reader, run.end, limit, &run))
            return error_set(error, ERROR_CORRUPT, "set of series: run %llu",
                             (unsigned long long)i);
        count += run.end - run.first;
    }
    if (run.end > ID_SET_ID_LIMIT || count > ID_SET_COUNT_MAX)
        return error_set(error, ERROR_LIMIT, "set of series: %llu of them up to %llu",
                         (unsigned long long)count, (unsigned long long)run.end);
    *end_out = run.end;
    return ERROR_NONE;
}

enum error_code id_set_decode(struct byte_reader *reader, uint64_t limit, struct id_set **set_out,
                              struct error *error)
{
    uint64_t run_count = byte_reader_varint(reader), end;
    if (reader->failed || run_count > byte_reader_left(reader))
        return error_set(error, ERROR_CORRUPT, "set of series: cut");
    if (run_count == 0) {
        *set_out = NULL;
        return ERROR_NONE;
    }
    enum error_code code = check_runs(*reader, run_count, limit, &end, error);
    if (code != ERROR_NONE)
        return code;
    struct id_set *set = set_create(NULL, (size_t)((end - 1) / ID_PAGE_BITS) + 1);
    bool complete = set != NULL;
    struct id_run run = {0};
    for (uint64_t i = 0; complete && i < run_count && read_run(reader, run.end, limit, &run); i++)
        for (uint64_t id = run.first; complete && id < run.end; id++)
            complete = set_put(set, id);
    if (!complete) {
        id_set_unref(set);
        return out_of_memory(error);
    }
    *set_out = set;
    return ERROR_NONE;
}
