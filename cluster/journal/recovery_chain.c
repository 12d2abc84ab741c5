#include "recovery_parts.h"

#include <stdlib.h>

/* --- Where each lane ends -------------------------------------------------------------------- */

struct listing {
    struct journal_recovery *recovery;
    const struct found *source;
};

static enum error_code listing_take(void *context, const struct record *record, uint64_t offset,
                                    struct error *error)
{
    (void)offset;
    (void)error;
    struct listing *listing = context;
    const struct found *source = listing->source;
    if (record->type != RECORD_SEGMENTS)
        return ERROR_NONE;
    for (uint32_t at = 0; at + SEGMENT_ITEM_BYTES <= record->payload_bytes;
         at += SEGMENT_ITEM_BYTES) {
        struct segment_item item = segment_item_decode(record->payload + at);
        struct found key = {.lane = item.lane, .sequence = item.sequence};
        key.scan.header.generation = item.generation;
        struct found *found =
            bsearch(&key, listing->recovery->found, listing->recovery->found_count,
                    sizeof *listing->recovery->found, found_compare);
        uint64_t generation = source->scan.header.generation;
        if (found == NULL || found->discarded || found->error.code != ERROR_NONE)
            continue;
        found->spoken_of_by = source;
        if (found->listed &&
            (found->listed_generation > generation ||
             (found->listed_generation == generation && found->listed_sequence > source->sequence)))
            continue;
        found->listed = true;
        found->listed_generation = generation;
        found->listed_sequence = source->sequence;
        found->listed_by_own_generation = generation == item.generation;
        found->listed_last_batch = item.last_batch;
    }
    return ERROR_NONE;
}

/* A checkpoint lists every older segment that is still needed, so the others are not: their
 * removal was under way. */
static void unlisted_discard(struct journal_recovery *recovery, const struct found *source)
{
    for (size_t i = 0; i < recovery->found_count; i++) {
        struct found *found = &recovery->found[i];
        uint64_t generation = found->scan.header.generation;
        bool older = generation < source->scan.header.generation ||
                     (generation == source->scan.header.generation && found->lane == source->lane &&
                      found->sequence < source->sequence);
        if (older && found->error.code == ERROR_NONE && found->spoken_of_by != source)
            found->discarded = true;
    }
}

static void listings_collect(struct journal_recovery *recovery)
{
    for (size_t i = 0; i < recovery->found_count; i++) {
        struct found *found = &recovery->found[i];
        struct listing listing = {.recovery = recovery, .source = found};
        struct error never;
        if (found->scan.count == 0 || !(found->scan.batches[0].header.flags & BATCH_CHECKPOINT))
            continue;
        (void)scan_records(&found->scan, &found->scan.batches[0], listing_take, &listing, &never);
        unlisted_discard(recovery, found);
    }
}

static uint64_t minimum(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

/* One chain: found[first, end), all of one lane and generation. */
static void chain_decide(struct journal_recovery *recovery, size_t first, size_t end)
{
    uint64_t durable_max = 0;
    for (size_t i = first; i < end; i++)
        if (!recovery->found[i].discarded && recovery->found[i].scan.durable_max > durable_max)
            durable_max = recovery->found[i].scan.durable_max;

    uint64_t last = 0; /* batch accepted so far */
    bool torn = false, damaged = false, settled = false;
    for (size_t i = first; i < end; i++) {
        struct found *found = &recovery->found[i];
        const struct segment_scan *scan = &found->scan;
        found->discarded = found->discarded || torn;
        if (found->discarded)
            continue;
        uint64_t found_last = scan->count == 0 ? 0 : scan->batches[scan->count - 1].header.sequence;
        uint64_t found_first = scan->count == 0 ? 0 : scan->batches[0].header.sequence;
        uint64_t must = 0;
        if (found->listed)
            must = found->listed_by_own_generation ? minimum(found->listed_last_batch, durable_max)
                                                   : found->listed_last_batch;
        settled = settled || (found->listed && !found->listed_by_own_generation);
        const char *problem = NULL;
        /* A segment whose first batch is torn ends where the one before it does. */
        if ((found_last > last ? found_last : last) < must)
            problem = "acknowledged batches do not check";
        else if (!found->listed && scan->stranded_count > 0 &&
                 scan->stranded_durable_max > (found_last > last ? found_last : last))
            problem = "a batch does not check but later ones do";
        else if (scan->count > 0 && found_first <= last)
            problem = "batches come twice";
        if (problem != NULL) {
            damage_add(recovery, found, scan->end_offset, problem);
            found->damaged = true;
            damaged = true;
        }
        found->accepted_last_batch = found_last;
        if (found->listed && found_last > found->listed_last_batch)
            found->accepted_last_batch = found->listed_last_batch;
        if (!damaged && found->listed && found_last < found->listed_last_batch)
            torn = true; /* the checkpoint that lists it was in flight with what is missing */
        else if (!damaged && scan->stranded_count > 0 && !found->listed)
            torn = true;
        recovery->summary.torn_tails += torn;
        if (found->accepted_last_batch > last)
            last = found->accepted_last_batch;
    }
    if (!damaged && !settled && durable_max > last) {
        /* The segment in use is never removed, so what it called durable must be here; unless an
         * earlier recovery has seen and reported it. */
        damage_add(recovery, &recovery->found[end - 1], 0, "acknowledged batches are missing");
        damaged = true;
    }
    for (size_t i = first; i < end; i++) {
        struct found *found = &recovery->found[i];
        found->damaged = found->damaged || damaged;
        /* Prepared and never used, or used by nothing that counts. */
        if (!damaged && found->accepted_last_batch == 0)
            found->discarded = true;
    }
}

void recovery_decide(struct journal_recovery *recovery)
{
    listings_collect(recovery);
    size_t first = 0;
    while (first < recovery->found_count) {
        struct found *head = &recovery->found[first];
        if (head->discarded || head->error.code != ERROR_NONE) {
            if (head->error.code != ERROR_NONE)
                damage_add(recovery, head, 0, head->error.message);
            first++;
            continue;
        }
        size_t end = first + 1;
        while (end < recovery->found_count && recovery->found[end].lane == head->lane &&
               recovery->found[end].scan.header.generation == head->scan.header.generation)
            end++;
        chain_decide(recovery, first, end);
        first = end;
    }
    /* A segment without a header may be of any generation of its lane. */
    for (size_t i = 0; i < recovery->found_count; i++)
        for (size_t j = 0; recovery->found[i].error.code != ERROR_NONE && j < recovery->found_count;
             j++)
            if (recovery->found[j].lane == recovery->found[i].lane)
                recovery->found[j].damaged = true;
}
