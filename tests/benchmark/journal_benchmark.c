/*
 * journal_benchmark - durable bytes and batches a second by engine and depth, and how fast a
 * journal is recovered. A second for each row, in a directory of its own below $TMPDIR or /tmp.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "journal/journal.h"
#include "platform/disk_uring.h"
#include "platform/loop.h"
#include "platform/worker_pool.h"
#include "scratch_directory.h"

enum { GROUPS = 8, DEPTH_MAX = 64, KEPT_BYTES = 16 * 1024 * 1024 };

static const uint64_t RUN_NS = 1000000000;

struct bench {
    struct scratch_directory directory;
    struct worker_pool *workers;
    struct loop *loop;
    struct disk *disk;
    struct environment environment;
    struct journal *journal;
    uint8_t *payload;
    uint32_t payload_bytes;
    bool keep_everything;
    uint64_t next[GROUPS];
    uint64_t turn, in_flight, finished, end_ns;
};

struct request {
    struct journal_request base;
    struct bench *bench;
};

/* Of all threads: what a busy machine does not blur. */
static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void check(enum error_code code, const struct error *error)
{
    if (code != ERROR_NONE) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
}

static void on_fatal(void *context, const struct error *error)
{
    (void)context;
    check(error->code, error);
}

static void on_closed(void *context)
{
    loop_stop(((struct bench *)context)->loop);
}

static void submit(struct request *request)
{
    struct bench *bench = request->bench;
    uint64_t group = bench->turn++ % GROUPS;
    uint64_t index = bench->next[group]++;
    struct journal_entry entry = {.index = index,
                                  .term = 1,
                                  .payload = bench->payload,
                                  .payload_bytes = bench->payload_bytes};
    bench->in_flight++;
    journal_append(bench->journal, group, &entry, 1, &request->base);
    uint64_t kept = KEPT_BYTES / GROUPS / bench->payload_bytes;
    if (!bench->keep_everything && index > kept && index % 16 == 0)
        journal_set_low_water(bench->journal, group, index - kept, NULL);
}

static void on_durable(struct journal_request *base)
{
    struct request *request = (struct request *)base;
    struct bench *bench = request->bench;
    bench->in_flight--;
    bench->finished++;
    if (clock_monotonic_ns(clock_system()) < bench->end_ns)
        submit(request);
    else if (bench->in_flight == 0)
        loop_stop(bench->loop);
}

static void journal_start(struct bench *bench)
{
    struct error error;
    struct journal_recovery *recovery = NULL;
    struct journal_recovery_options options = {.directory = "journal", .pool = bench->workers};
    check(journal_recover(bench->disk, &options, &recovery, &error), &error);
    struct journal_options journal = {.directory = "journal"};
    struct journal_events events = {.context = bench, .fatal = on_fatal};
    check(journal_open(&bench->environment, &journal, &events, recovery, NULL, 0, &bench->journal,
                       &error),
          &error);
    journal_recovery_close(recovery);
}

static void bench_begin(struct bench *bench, enum disk_engine engine)
{
    struct error error;
    scratch_directory_make(&bench->directory);
    check(worker_pool_create(&(struct worker_pool_options){0}, &bench->workers, &error), &error);
    check(loop_create(&(struct loop_options){.workers = bench->workers}, &bench->loop, &error),
          &error);
    check(disk_uring_create(bench->directory.path, bench->loop, engine, &bench->disk, &error),
          &error);
    bench->environment = (struct environment){.scheduler = loop_scheduler(bench->loop),
                                              .disk = bench->disk,
                                              .clock = clock_system(),
                                              .random = random_system()};
    for (size_t i = 0; i < GROUPS; i++)
        bench->next[i] = 1;
    journal_start(bench);
}

static void bench_end(struct bench *bench)
{
    disk_uring_destroy(bench->disk);
    worker_pool_destroy(bench->workers);
    loop_destroy(bench->loop);
    scratch_directory_remove(&bench->directory);
}

static double run(struct bench *bench, uint32_t payload_bytes, size_t depth, uint64_t run_ns)
{
    struct request requests[DEPTH_MAX];
    bench->payload_bytes = payload_bytes;
    bench->finished = 0;
    uint64_t start_ns = clock_monotonic_ns(clock_system());
    bench->end_ns = start_ns + run_ns;
    for (size_t i = 0; i < depth; i++) {
        requests[i] = (struct request){.base.done = on_durable, .bench = bench};
        submit(&requests[i]);
    }
    loop_run(bench->loop);
    return (double)(clock_monotonic_ns(clock_system()) - start_ns) / 1e9;
}

static void throughput(const char *name, enum disk_engine engine)
{
    static const struct {
        uint32_t payload_bytes;
        size_t depth;
    } ROWS[] = {{65536, 1}, {65536, 4}, {65536, 16}, {65536, 64}, {262144, 16}, {4096, 64}};
    struct bench bench = {.payload = calloc(1, 262144)};
    bench_begin(&bench, engine);
    run(&bench, 65536, 16, RUN_NS); /* segments grow */
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct journal_statistics before, after;
        journal_get_statistics(bench.journal, &before);
        double cpu = cpu_seconds();
        double seconds = run(&bench, ROWS[i].payload_bytes, ROWS[i].depth, RUN_NS);
        journal_get_statistics(bench.journal, &after);
        double batches = (double)(after.batches - before.batches);
        printf("%-8s %7u x %-3zu %8.0f MB/s %8.0f entries/s %7.0f batches/s %6.0f us a batch, "
               "%4.2f CPU s a GB, %llu stalls\n",
               name, ROWS[i].payload_bytes, ROWS[i].depth,
               (double)bench.finished * ROWS[i].payload_bytes / seconds / 1e6,
               (double)bench.finished / seconds, batches / seconds,
               (double)(after.write_latency_us_sum - before.write_latency_us_sum) / batches,
               (cpu_seconds() - cpu) * 1e9 / ((double)bench.finished * ROWS[i].payload_bytes),
               (unsigned long long)(after.stalls - before.stalls));
    }
    journal_close(bench.journal, on_closed, &bench);
    loop_run(bench.loop);
    bench_end(&bench);
    free(bench.payload);
}

static void recovery(uint32_t payload_bytes)
{
    enum { TARGET_BYTES = 256 * 1024 * 1024 };
    struct bench bench = {.payload = calloc(1, payload_bytes), .keep_everything = true};
    bench_begin(&bench, DISK_ENGINE_BEST);
    while ((bench.turn + 64) * (payload_bytes + 48) < TARGET_BYTES)
        run(&bench, payload_bytes, 64, RUN_NS / 20);
    journal_close(bench.journal, on_closed, &bench);
    loop_run(bench.loop);
    for (int threads = 0; threads < 2; threads++) {
        struct journal_recovery *recovery = NULL;
        struct journal_recovery_options options = {.directory = "journal",
                                                   .pool = threads ? bench.workers : NULL};
        struct error error;
        double cpu = cpu_seconds();
        uint64_t start_ns = clock_monotonic_ns(clock_system());
        check(journal_recover(bench.disk, &options, &recovery, &error), &error);
        double seconds = (double)(clock_monotonic_ns(clock_system()) - start_ns) / 1e9;
        struct journal_recovery_summary summary = journal_recovery_summary(recovery);
        printf("recovery of %u-byte entries, %s: %.0f MB in %llu segments, %llu records: %.3f s, "
               "%.3f CPU s\n",
               payload_bytes, threads ? "workers" : "one thread", (double)summary.bytes_read / 1e6,
               (unsigned long long)summary.segments, (unsigned long long)summary.records, seconds,
               cpu_seconds() - cpu);
        journal_recovery_close(recovery);
    }
    bench_end(&bench);
    free(bench.payload);
}

int main(void)
{
    throughput("io_uring", DISK_ENGINE_URING);
    throughput("threads", DISK_ENGINE_THREADS);
    recovery(65536);
    recovery(1024);
    return 0;
}
