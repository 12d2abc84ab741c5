/* A survey for people. */
#include <inttypes.h>
#include <time.h>

#include "revival/revival.h"

static void print_time(FILE *output, int64_t time_ms)
{
    char text[64] = "-";
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm calendar;
    if (time_ms != INT64_MIN && gmtime_r(&seconds, &calendar) != NULL)
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &calendar);
    fprintf(output, "%21s", text);
}

static void print_owner(const struct revival_survey *survey, FILE *output)
{
    char owner[2 * BUCKET_OWNER_BYTES + 1];
    if (!survey->has_claim) {
        fputs("the bucket belongs to nobody\n", output);
        return;
    }
    bucket_owner_format(survey->claim.owner, owner);
    fprintf(output, "cluster %s, incarnation %" PRIu64, owner, survey->claim.incarnation);
    if (survey->claim.was_recovered) {
        bucket_owner_format(survey->claim.former, owner);
        fprintf(output, ", recovered from %s", owner);
    }
    fputc('\n', output);
}

static void print_meta(const struct revival_survey *survey, FILE *output)
{
    if (survey->broken_metas > 0)
        fprintf(output, "%" PRIu64 " meta objects are damaged\n", survey->broken_metas);
    if (survey->has_meta)
        fprintf(output, "%u shards, replication %u, spread %u, %zu settings of tenants\n",
                survey->meta.slots.shard_count, survey->meta.replication, survey->meta.spread,
                survey->meta.setting_count);
    else
        fputs("there is no meta object: settings of tenants are not known\n", output);
}

static void print_shard(const struct revival_shard *shard, size_t shard_id, FILE *output)
{
    uint64_t bytes = 0, samples = 0;
    int64_t newest_ms = INT64_MIN;
    for (size_t i = 0; shard->has_list && i < shard->list.block_count; i++) {
        const struct bucket_listed *block = &shard->list.blocks[i];
        bytes += block->size_bytes;
        samples += block->summary.sample_count;
        if (block->summary.max_time_ms > newest_ms)
            newest_ms = block->summary.max_time_ms;
    }
    fprintf(output, "%5zu  %16" PRIx64 "-%-8" PRIx64 "  %6zu  %14" PRIu64 "  %14" PRIu64, shard_id,
            shard->list.key.incarnation, shard->list.key.index, shard->list.block_count, bytes,
            samples);
    print_time(output, newest_ms);
    if (!shard->has_list)
        fputs("  no list", output);
    if (shard->broken_lists > 0)
        fprintf(output, "  %" PRIu64 " newer lists are damaged", shard->broken_lists);
    if (shard->missing_count > 0)
        fprintf(output, "  %zu blocks are missing", shard->missing_count);
    fputc('\n', output);
}

void revival_print(const struct revival_survey *survey, FILE *output)
{
    struct revival_totals totals = revival_count(survey);
    print_owner(survey, output);
    print_meta(survey, output);
    if (survey->shard_count > 0)
        fputs("shard              newest list  blocks           bytes         samples      newest "
              "sample\n",
              output);
    for (size_t i = 0; i < survey->shard_count; i++)
        print_shard(&survey->shards[i], i, output);
    fprintf(output, "%" PRIu64 " blocks, %" PRIu64 " bytes, %" PRIu64 " samples, newest sample",
            totals.blocks, totals.bytes, totals.samples);
    print_time(output, totals.newest_sample_ms);
    fputc('\n', output);
    if (totals.missing_blocks > 0)
        fprintf(output, "missing: %" PRIu64 " blocks with %" PRIu64 " samples\n",
                totals.missing_blocks, totals.missing_samples);
}
