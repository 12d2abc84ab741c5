/* What this node leads, for the leader of the meta group. */
#include <stdlib.h>
#include <string.h>

#include "hosting_private.h"

enum {
    SLOW_WRITE_US = 2 * 1000 * 1000,
    /* A disk that was slow once is not trusted at once. */
    SLOW_FOR_MS = 30 * 1000,
};

static void note_disk(struct hosting_loop *loop)
{
    struct journal_statistics statistics;
    if (loop->journal_lost)
        return;
    journal_get_statistics(loop->options.journal, &statistics);
    if (statistics.write_age_us >= SLOW_WRITE_US)
        loop->slow_until_ms = loop_now_ms(loop) + SLOW_FOR_MS;
}

/* Room for one more; false when memory is out: the shard is then not told of, this time. */
static bool reserve(struct meta_shard_report **reports, size_t *capacity, size_t count)
{
    if (count < *capacity)
        return true;
    size_t wanted = *capacity == 0 ? 16 : 2 * *capacity;
    struct meta_shard_report *grown = realloc(*reports, wanted * sizeof *grown);
    if (grown == NULL)
        return false;
    *reports = grown;
    *capacity = wanted;
    return true;
}

void residents_report(struct hosting_loop *loop)
{
    if (loop->hosting->options.board == NULL)
        return;
    note_disk(loop);
    uint64_t now_ms = loop_now_ms(loop);
    pthread_mutex_lock(&loop->hosting->mutex);
    loop->slow_disk = now_ms < loop->slow_until_ms;
    loop->report_count = 0;
    for (struct resident *resident = loop->residents; resident != NULL; resident = resident->next) {
        if (resident->led_since_ms == 0 || resident->state != RESIDENT_RUNNING ||
            !reserve(&loop->reports, &loop->report_capacity, loop->report_count))
            continue;
        struct placement_shard_view view;
        resident_observe(resident, &view);
        struct meta_shard_report *report = &loop->reports[loop->report_count++];
        *report = (struct meta_shard_report){
            .shard_id = resident->shard_id,
            .leading_ms = now_ms - resident->led_since_ms,
            .transferring = view.transferring,
            .size_bytes = view.size_bytes,
            .member_count = view.member_count,
        };
        memcpy(report->members, view.members, sizeof report->members);
    }
    pthread_mutex_unlock(&loop->hosting->mutex);
}

void hosting_report(struct hosting *hosting, struct meta_report *report_out)
{
    size_t count = 0;
    *report_out = (struct meta_report){0};
    pthread_mutex_lock(&hosting->mutex);
    for (size_t i = 0; i < hosting->loop_count; i++) {
        const struct hosting_loop *loop = &hosting->loops[i];
        report_out->slow_disk |= loop->slow_disk;
        report_out->stopping |= loop->handing_over || loop->closing;
        for (size_t k = 0; k < loop->report_count; k++)
            if (reserve(&hosting->gathered, &hosting->gathered_capacity, count))
                hosting->gathered[count++] = loop->reports[k];
    }
    pthread_mutex_unlock(&hosting->mutex);
    report_out->shards = hosting->gathered;
    report_out->shard_count = count;
}
