/* The schedules of all loops: from where they go on, how far they are. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checksum.h"
#include "base/log.h"

#include "metric_emit.h"
#include "node_private.h"
#include "stored_file.h"

enum { CONTENT_BYTES_MAX = 64, WRITE_AGAIN_MS = 10 * 60 * 1000 };

static const char FILE_NAME[] = "scrubbed";

/* --- What is kept ----------------------------------------------------------------------------- */

/* Up to which time, by the Unix epoch, all files were read whose moment had come. */
static size_t format_content(int64_t until_ms, char content[CONTENT_BYTES_MAX])
{
    int size = snprintf(content, CONTENT_BYTES_MAX, "until %" PRId64 "\n", until_ms);
    size += snprintf(content + size, CONTENT_BYTES_MAX - (size_t)size, "checksum %08x\n",
                     crc32c(0, content, (size_t)size));
    return (size_t)size;
}

/* The time that is kept; now when there is none, or none that can be: what was read is not known
 * then, and another interval has it all. */
static int64_t read_kept(const struct node *node)
{
    int64_t now_ms = clock_now_ms(clock_system()), until_ms = now_ms;
    struct byte_buffer content = {0};
    struct error error;
    char expected[CONTENT_BYTES_MAX];
    enum error_code code =
        stored_file_read(node->settings->storage_directory, FILE_NAME, &content, &error);
    byte_buffer_u8(&content, 0);
    if (code == ERROR_NONE &&
        (content.failed ||
         sscanf((const char *)content.bytes, "until %" SCNd64 "\n", &until_ms) != 1 ||
         format_content(until_ms, expected) != content.size - 1 ||
         memcmp(expected, content.bytes, content.size - 1) != 0)) {
        log_event(LOG_WARNING, "server", "when files were read again is not known", "file=%s",
                  FILE_NAME);
        until_ms = now_ms;
    }
    byte_buffer_clear(&content);
    return until_ms < now_ms && until_ms > 0 ? until_ms : now_ms;
}

static void write_run(struct job *job)
{
    struct node *node = (struct node *)((char *)job - offsetof(struct node, scrub_job));
    struct error error;
    char content[CONTENT_BYTES_MAX];
    size_t size = format_content(node->scrub_to_write_ms, content);
    if (stored_file_write(node->settings->storage_directory, FILE_NAME, content, size, &error) !=
        ERROR_NONE)
        log_event(LOG_WARNING, "server", "when files were read again is not written down",
                  "error=\"%s\"", error.message);
}

static void write_done(struct job *job)
{
    struct node *node = (struct node *)((char *)job - offsetof(struct node, scrub_job));
    node->scrub_written_ms = node->scrub_to_write_ms;
    node->scrub_is_written = false;
}

/* The loop that is behind the others. */
static int64_t done_until_ms(const struct node *node)
{
    int64_t least_ms = INT64_MAX;
    for (size_t i = 0; i < node->loop_count; i++) {
        int64_t until_ms = atomic_load(&node->loops[i].scrub.done_until_ms);
        if (until_ms < least_ms)
            least_ms = until_ms;
    }
    return least_ms;
}

void node_note_scrub(struct node *node)
{
    if (node->settings->storage_scrub_interval_ms == 0 || node->scrub_is_written)
        return;
    node->scrub_to_write_ms = done_until_ms(node);
    if (node->scrub_to_write_ms - node->scrub_written_ms < WRITE_AGAIN_MS)
        return;
    node->scrub_is_written = true;
    node->scrub_job = (struct job){.run = write_run, .done = write_done, .class = JOB_BACKGROUND};
    scheduler_submit(node->loops[0].environment.scheduler, &node->scrub_job);
}

/* --- Life ------------------------------------------------------------------------------------- */

static bool is_of_loop(void *context, uint32_t shard_id)
{
    const struct node_loop *loop = context;
    return hosting_loop_of(loop->node->hosting, shard_id) == loop->number;
}

void node_start_scrub(struct node *node)
{
    const struct settings *settings = node->settings;
    if (settings->storage_scrub_interval_ms == 0)
        return;
    int64_t from_ms = read_kept(node);
    uint64_t rate = settings->storage_scrub_rate;
    for (size_t i = 0; i < node->loop_count; i++) {
        struct node_loop *loop = &node->loops[i];
        struct scrub_schedule_options options = {
            .environment = &loop->environment,
            .table = node->replicas,
            .is_here = is_of_loop,
            .context = loop,
            .interval_ms = settings->storage_scrub_interval_ms,
            .from_ms = from_ms,
            .bytes_per_second = rate == 0 ? 0 : rate / node->loop_count + 1,
            .seed =
                hash64(settings->cluster_node, strlen(settings->cluster_node), HASH_SEED_STORED),
        };
        scrub_schedule_start(&loop->scrub, &options);
    }
}

/* --- Metrics ---------------------------------------------------------------------------------- */

static void collect(void *context, metric_visit *visit, void *visit_context)
{
    const struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    uint64_t files = 0, bytes = 0, damaged = 0;
    if (node->settings->storage_scrub_interval_ms == 0)
        return;
    for (size_t i = 0; i < node->loop_count; i++) {
        const struct scrub_schedule *schedule = &node->loops[i].scrub;
        files += atomic_load(&schedule->files);
        bytes += atomic_load(&schedule->bytes);
        damaged += atomic_load(&schedule->damaged);
    }
    int64_t behind_ms = clock_now_ms(clock_system()) - done_until_ms(node);
    metric_emit(&emitter, "gnomon_scrub_files_total", "Files read again by the schedule.",
                METRIC_KIND_COUNTER, NULL, 0, (double)files);
    metric_emit(&emitter, "gnomon_scrub_bytes_total", "Their size.", METRIC_KIND_COUNTER, NULL, 0,
                (double)bytes);
    metric_emit(&emitter, "gnomon_scrub_damaged_files_total",
                "Of them, files that were found damaged.", METRIC_KIND_COUNTER, NULL, 0,
                (double)damaged);
    metric_emit(&emitter, "gnomon_scrub_behind_seconds",
                "For how long the first file has been due that is not read yet.", METRIC_KIND_GAUGE,
                NULL, 0, behind_ms > 0 ? (double)behind_ms / 1000 : 0);
}

bool node_add_scrub_metrics(struct node *node)
{
    return metrics_add_collector(node->metrics, collect, node);
}
