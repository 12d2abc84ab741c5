#include "fleet.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/bytes.h"

/* --- Kinds ---------------------------------------------------------------------------------- */

enum kind {
    KIND_COUNTER,  /* steps of 1 .. 2 * pace */
    KIND_SCALED,   /* a counter in hundredths: seconds of a processor */
    KIND_RARE,     /* most ticks add nothing */
    KIND_IDLE,     /* a counter that nearly never moves */
    KIND_SMOOTH,   /* memory in pages, within 2 % */
    KIND_NOISY,    /* whole numbers spread over a factor of three */
    KIND_LOAD,     /* noisy, in hundredths */
    KIND_FULL,     /* all 53 bits of the mantissa */
    KIND_SMALL,    /* 20 .. 127 */
    KIND_SLOW,     /* free space: a walk in pages */
    KIND_CONSTANT, /* any number */
    KIND_ONE,      /* constant 1: info metrics */
    KIND_FLAP,     /* 1, seldom 0 for two minutes */
    KIND_TIME,     /* the clock, in seconds */
    KIND_BUCKET,
    KIND_COUNT, /* of a histogram */
    KIND_SUM,   /* of a histogram */
};

/* --- Metrics -------------------------------------------------------------------------------- */

enum target { TARGET_NODE, TARGET_KUBELET, TARGET_POD, TARGET_APPLICATION };

enum { POD_COUNT = 8, BUCKET_COUNT = 11 };

static const char *const BUCKETS[BUCKET_COUNT] = {"0.005", "0.01", "0.025", "0.05", "0.1", "0.25",
                                                  "0.5",   "1",    "2.5",   "5",    "+Inf"};
static const double BUCKET_MIDDLE[BUCKET_COUNT] = {0.0025, 0.0075, 0.0175, 0.0375, 0.075, 0.175,
                                                   0.375,  0.75,   1.75,   3.75,   7.5};
static const char *const PROCESSORS[] = {"0", "1", "2", "3", "4", "5"};
static const char *const MODES[] = {"idle",    "iowait", "irq",    "nice",
                                    "softirq", "steal",  "system", "user"};
static const char *const DISKS[] = {"nvme0n1", "nvme1n1", "sda"};
static const char *const INTERFACES[] = {"bond0", "eth0", "eth1", "lo"};
static const char *const MOUNTS[] = {"/", "/boot", "/var/lib/containerd", "/var/lib/kubelet"};
static const char *const OPERATIONS[] = {"create_container", "list_podsandbox"};
static const char *const CODES[] = {"200", "201", "204"};
static const char *const FAILURES[] = {"404", "500", "503"};

/* A label whose values a metric takes in turn. */
struct dimension {
    const char *name; /* NULL: none */
    const char *const *values;
    uint16_t count;
};

#define DIMENSION(label, list)                                                                     \
    {                                                                                              \
        label, list, sizeof(list) / sizeof(list)[0]                                                \
    }

struct metric {
    const char *name;
    enum kind kind;
    struct dimension outer;
    struct dimension inner;
};

static const struct metric NODE_METRICS[] = {
    {"up", KIND_FLAP, {0}, {0}},
    {"node_boot_time_seconds", KIND_CONSTANT, {0}, {0}},
    {"node_context_switches_total", KIND_COUNTER, {0}, {0}},
    {"node_cpu_scaling_frequency_hertz", KIND_NOISY, DIMENSION("cpu", PROCESSORS), {0}},
    {"node_cpu_seconds_total", KIND_SCALED, DIMENSION("cpu", PROCESSORS), DIMENSION("mode", MODES)},
    {"node_disk_flush_requests_total", KIND_RARE, DIMENSION("device", DISKS), {0}},
    {"node_disk_io_time_seconds_total", KIND_SCALED, DIMENSION("device", DISKS), {0}},
    {"node_disk_read_bytes_total", KIND_COUNTER, DIMENSION("device", DISKS), {0}},
    {"node_disk_read_time_seconds_total", KIND_SCALED, DIMENSION("device", DISKS), {0}},
    {"node_disk_write_time_seconds_total", KIND_SCALED, DIMENSION("device", DISKS), {0}},
    {"node_disk_written_bytes_total", KIND_COUNTER, DIMENSION("device", DISKS), {0}},
    {"node_edac_correctable_errors_total", KIND_IDLE, {0}, {0}},
    {"node_edac_uncorrectable_errors_total", KIND_IDLE, {0}, {0}},
    {"node_exporter_build_info", KIND_ONE, {0}, {0}},
    {"node_filesystem_avail_bytes", KIND_SLOW, DIMENSION("mountpoint", MOUNTS), {0}},
    {"node_filesystem_device_error", KIND_IDLE, DIMENSION("mountpoint", MOUNTS), {0}},
    {"node_filesystem_files", KIND_CONSTANT, DIMENSION("mountpoint", MOUNTS), {0}},
    {"node_filesystem_files_free", KIND_SLOW, DIMENSION("mountpoint", MOUNTS), {0}},
    {"node_filesystem_readonly", KIND_IDLE, DIMENSION("mountpoint", MOUNTS), {0}},
    {"node_filesystem_size_bytes", KIND_CONSTANT, DIMENSION("mountpoint", MOUNTS), {0}},
    {"node_forks_total", KIND_RARE, {0}, {0}},
    {"node_hwmon_fan_fault", KIND_IDLE, {0}, {0}},
    {"node_intr_total", KIND_COUNTER, {0}, {0}},
    {"node_load1", KIND_LOAD, {0}, {0}},
    {"node_load15", KIND_LOAD, {0}, {0}},
    {"node_load5", KIND_LOAD, {0}, {0}},
    {"node_memory_Active_anon_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_Active_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_Active_file_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_AnonPages_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_Buffers_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_Cached_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_Committed_AS_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_Dirty_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_Inactive_anon_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_Inactive_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_Inactive_file_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_KernelStack_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_Mapped_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_MemAvailable_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_MemFree_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_MemTotal_bytes", KIND_CONSTANT, {0}, {0}},
    {"node_memory_PageTables_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_SReclaimable_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_SUnreclaim_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_Shmem_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_Slab_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_memory_SwapTotal_bytes", KIND_CONSTANT, {0}, {0}},
    {"node_memory_Writeback_bytes", KIND_SMOOTH, {0}, {0}},
    {"node_netstat_TcpExt_ListenDrops", KIND_RARE, {0}, {0}},
    {"node_netstat_TcpExt_SyncookiesFailed", KIND_RARE, {0}, {0}},
    {"node_netstat_Tcp_InErrs", KIND_RARE, {0}, {0}},
    {"node_netstat_Tcp_RetransSegs", KIND_RARE, {0}, {0}},
    {"node_netstat_Udp_InErrors", KIND_RARE, {0}, {0}},
    {"node_network_mtu_bytes", KIND_CONSTANT, DIMENSION("device", INTERFACES), {0}},
    {"node_network_receive_bytes_total", KIND_COUNTER, DIMENSION("device", INTERFACES), {0}},
    {"node_network_receive_drop_total", KIND_RARE, DIMENSION("device", INTERFACES), {0}},
    {"node_network_receive_errs_total", KIND_RARE, DIMENSION("device", INTERFACES), {0}},
    {"node_network_receive_packets_total", KIND_COUNTER, DIMENSION("device", INTERFACES), {0}},
    {"node_network_transmit_bytes_total", KIND_COUNTER, DIMENSION("device", INTERFACES), {0}},
    {"node_network_transmit_drop_total", KIND_RARE, DIMENSION("device", INTERFACES), {0}},
    {"node_network_transmit_errs_total", KIND_RARE, DIMENSION("device", INTERFACES), {0}},
    {"node_network_transmit_packets_total", KIND_COUNTER, DIMENSION("device", INTERFACES), {0}},
    {"node_network_up", KIND_ONE, DIMENSION("device", INTERFACES), {0}},
    {"node_procs_running", KIND_NOISY, {0}, {0}},
    {"node_time_seconds", KIND_TIME, {0}, {0}},
    {"node_uname_info", KIND_ONE, {0}, {0}},
    {"node_vmstat_oom_kill", KIND_RARE, {0}, {0}},
    {"node_vmstat_pgfault", KIND_COUNTER, {0}, {0}},
    {"node_vmstat_pgmajfault", KIND_RARE, {0}, {0}},
    {"node_vmstat_pswpin", KIND_RARE, {0}, {0}},
    {"node_vmstat_pswpout", KIND_RARE, {0}, {0}},
};

static const struct metric KUBELET_METRICS[] = {
    {"up", KIND_FLAP, {0}, {0}},
    {"kubelet_running_pods", KIND_CONSTANT, {0}, {0}},
    {"kubelet_runtime_operations_duration_seconds_sum",
     KIND_SUM,
     DIMENSION("operation_type", OPERATIONS),
     {0}},
};

static const struct metric POD_METRICS[] = {
    {"container_cpu_cfs_throttled_seconds_total", KIND_SCALED, {0}, {0}},
    {"container_cpu_usage_seconds_total", KIND_SCALED, {0}, {0}},
    {"container_fs_writes_bytes_total", KIND_COUNTER, {0}, {0}},
    {"container_memory_cache", KIND_SLOW, {0}, {0}},
    {"container_memory_rss", KIND_SMOOTH, {0}, {0}},
    {"container_memory_working_set_bytes", KIND_SMOOTH, {0}, {0}},
    {"container_network_receive_bytes_total", KIND_COUNTER, {0}, {0}},
    {"container_network_transmit_bytes_total", KIND_COUNTER, {0}, {0}},
    {"container_spec_memory_limit_bytes", KIND_CONSTANT, {0}, {0}},
    {"kube_pod_container_status_restarts_total", KIND_IDLE, {0}, {0}},
    {"kube_pod_info", KIND_ONE, {0}, {0}},
    {"kube_pod_status_ready", KIND_FLAP, {0}, {0}},
};

static const struct metric APPLICATION_METRICS[] = {
    {"up", KIND_FLAP, {0}, {0}},
    {"app_build_info", KIND_ONE, {0}, {0}},
    {"app_queue_wait_seconds", KIND_FULL, {0}, {0}},
    {"app_workers_busy", KIND_SMALL, {0}, {0}},
    {"go_goroutines", KIND_SMALL, {0}, {0}},
    {"go_memstats_heap_alloc_bytes", KIND_NOISY, {0}, {0}},
    {"http_request_duration_seconds_bucket", KIND_BUCKET, DIMENSION("le", BUCKETS), {0}},
    {"http_request_duration_seconds_count", KIND_COUNT, {0}, {0}},
    {"http_request_duration_seconds_sum", KIND_SUM, {0}, {0}},
    {"http_requests_total", KIND_COUNTER, DIMENSION("code", CODES), {0}},
    {"http_requests_total", KIND_RARE, DIMENSION("code", FAILURES), {0}},
    {"process_cpu_seconds_total", KIND_SCALED, {0}, {0}},
    {"process_resident_memory_bytes", KIND_SMOOTH, {0}, {0}},
};

#define COUNT_OF(list) (sizeof(list) / sizeof(list)[0])

/* --- Positions ------------------------------------------------------------------------------ */

enum {
    NODE_SERIES = 184,
    KUBELET_SERIES = 4,
    POD_SERIES = 12,
    APPLICATION_SERIES = 27,
    FIRST_POD = NODE_SERIES + KUBELET_SERIES,
};
_Static_assert(FIRST_POD + POD_COUNT * (POD_SERIES + APPLICATION_SERIES) == FLEET_HOST_SERIES,
               "a host is full");

/* Where a series stands on its host. */
struct place {
    const struct metric *metric;
    enum target target;
    uint64_t host;
    uint16_t pod; /* of TARGET_POD and TARGET_APPLICATION */
    uint16_t outer;
    uint16_t inner;
};

static uint16_t metric_series(const struct metric *metric)
{
    uint16_t outer = metric->outer.name == NULL ? 1 : metric->outer.count;
    uint16_t inner = metric->inner.name == NULL ? 1 : metric->inner.count;
    return (uint16_t)(outer * inner);
}

static void find_metric(const struct metric *metrics, size_t count, uint16_t position,
                        struct place *place)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t series = metric_series(&metrics[i]);
        if (position < series) {
            uint16_t inner = metrics[i].inner.name == NULL ? 1 : metrics[i].inner.count;
            place->metric = &metrics[i];
            place->outer = (uint16_t)(position / inner);
            place->inner = (uint16_t)(position % inner);
            return;
        }
        position = (uint16_t)(position - series);
    }
    assert(!"position outside of its target");
}

static struct place find_place(const struct fleet *fleet, uint64_t series)
{
    assert(series < fleet_series_count(fleet));
    struct place place = {.host = fleet->first_host + series / FLEET_HOST_SERIES};
    uint16_t position = (uint16_t)(series % FLEET_HOST_SERIES);
    if (position < NODE_SERIES) {
        place.target = TARGET_NODE;
        find_metric(NODE_METRICS, COUNT_OF(NODE_METRICS), position, &place);
        return place;
    }
    if (position < FIRST_POD) {
        place.target = TARGET_KUBELET;
        find_metric(KUBELET_METRICS, COUNT_OF(KUBELET_METRICS), (uint16_t)(position - NODE_SERIES),
                    &place);
        return place;
    }
    position = (uint16_t)(position - FIRST_POD);
    place.pod = (uint16_t)(position / (POD_SERIES + APPLICATION_SERIES));
    position = (uint16_t)(position % (POD_SERIES + APPLICATION_SERIES));
    if (position < POD_SERIES) {
        place.target = TARGET_POD;
        find_metric(POD_METRICS, COUNT_OF(POD_METRICS), position, &place);
    } else {
        place.target = TARGET_APPLICATION;
        find_metric(APPLICATION_METRICS, COUNT_OF(APPLICATION_METRICS),
                    (uint16_t)(position - POD_SERIES), &place);
    }
    return place;
}

/* --- Labels --------------------------------------------------------------------------------- */

static const char *const CLUSTERS[] = {"prod-eu-1", "prod-eu-2", "prod-us-1", "prod-us-2",
                                       "stage-1"};
static const char *const NAMESPACES[] = {"accounts", "billing",  "catalog",   "checkout",
                                         "identity", "insights", "inventory", "messaging",
                                         "payments", "search",   "shipping",  "storefront"};
static const char *const SERVICES[] = {"api", "cache-proxy", "frontend", "scheduler", "worker"};

static uint64_t mix(uint64_t value)
{
    /* Steele, Lea, Flood: "Fast splittable pseudorandom number generators", the finalizer. */
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static void add_label(struct fleet_labels *labels, const char *name, struct text value)
{
    assert(labels->count < FLEET_LABELS_MAX);
    size_t at = labels->count++;
    while (at > 0 && text_compare(labels->labels[at - 1].name, text_of(name)) > 0) {
        labels->labels[at] = labels->labels[at - 1];
        at--;
    }
    labels->labels[at] = (struct label){.name = text_of(name), .value = value};
}

__attribute__((format(printf, 3, 4))) static void
add_label_format(struct fleet_labels *labels, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *start = labels->memory + labels->memory_used;
    size_t room = sizeof labels->memory - labels->memory_used;
    int written = vsnprintf(start, room, format, arguments);
    va_end(arguments);
    assert(written >= 0 && (size_t)written < room);
    labels->memory_used += (size_t)written;
    add_label(labels, name, (struct text){.data = start, .size = (size_t)written});
}

static uint64_t pod_key(const struct place *place)
{
    return mix(place->host * POD_COUNT + place->pod);
}

static void describe_pod(const struct place *place, struct fleet_labels *labels)
{
    uint64_t key = pod_key(place);
    const char *service = SERVICES[key % COUNT_OF(SERVICES)];
    add_label(labels, "namespace", text_of(NAMESPACES[key / 8 % COUNT_OF(NAMESPACES)]));
    add_label_format(labels, "pod", "%s-%08x-%05x", service, (uint32_t)(key >> 32) / 7 * 7,
                     (uint32_t)(key & 0xfffff));
    if (place->target == TARGET_APPLICATION) {
        add_label(labels, "service", text_of(service));
        add_label_format(labels, "instance", "10.%u.%u.%u:8080", (unsigned)(place->host >> 8 & 255),
                         (unsigned)(place->host & 255), place->pod + 2u);
    } else {
        add_label(labels, "container", text_of(service));
        add_label_format(labels, "node", "node-%05llu", (unsigned long long)place->host);
    }
}

void fleet_describe(const struct fleet *fleet, uint64_t series, struct fleet_labels *labels_out)
{
    static const char *const JOBS[] = {[TARGET_NODE] = "node-exporter",
                                       [TARGET_KUBELET] = "kubelet",
                                       [TARGET_POD] = "kubernetes-cadvisor",
                                       [TARGET_APPLICATION] = "kubernetes-pods"};
    struct place place = find_place(fleet, series);
    struct fleet_labels *labels = labels_out;
    labels->count = 0;
    labels->memory_used = 0;
    add_label(labels, "__name__", text_of(place.metric->name));
    add_label(labels, "cluster", text_of(CLUSTERS[place.host % COUNT_OF(CLUSTERS)]));
    add_label(labels, "job", text_of(JOBS[place.target]));
    if (place.target == TARGET_POD || place.target == TARGET_APPLICATION)
        describe_pod(&place, labels);
    if (place.target != TARGET_APPLICATION)
        add_label_format(labels, "instance", "node-%05llu:%u", (unsigned long long)place.host,
                         place.target == TARGET_NODE ? 9100u : 10250u);
    const struct metric *metric = place.metric;
    if (metric->outer.name != NULL)
        add_label(labels, metric->outer.name, text_of(metric->outer.values[place.outer]));
    if (metric->inner.name != NULL)
        add_label(labels, metric->inner.name, text_of(metric->inner.values[place.inner]));
}

/* --- Times ---------------------------------------------------------------------------------- */

static uint64_t target_key(const struct place *place)
{
    uint64_t number = place->host << 8 | (uint64_t)place->target << 4 | place->pod;
    return mix(number + (UINT64_C(1) << 40));
}

int64_t fleet_timestamp_ms(const struct fleet *fleet, uint64_t series, uint64_t tick)
{
    struct place place = find_place(fleet, series);
    int64_t phase_ms = (int64_t)(target_key(&place) % FLEET_INTERVAL_MS);
    return fleet->start_ms + phase_ms + (int64_t)tick * FLEET_INTERVAL_MS;
}

/* --- Values --------------------------------------------------------------------------------- */

/*
 * Counters have been running for a while: near zero, Prometheus 2 and 3 extrapolate rates in
 * different ways.
 */
enum { HISTOGRAM_AGE_TICKS = 500 };

/* Requests by bucket, a hump around 0.05 s. */
static const uint8_t BUCKET_SHARE[BUCKET_COUNT] = {2, 6, 14, 16, 14, 9, 5, 3, 2, 1, 1};

/* 2^low .. 2^high, each power of two as often. */
static int64_t spread(uint64_t key, unsigned low, unsigned high)
{
    uint64_t base = UINT64_C(1) << (low + key % (high - low));
    return (int64_t)(base + (mix(key) & (base - 1)));
}

void fleet_cursor_open(struct fleet_cursor *cursor, const struct fleet *fleet, uint64_t series)
{
    struct place place = find_place(fleet, series);
    enum kind kind = place.metric->kind;
    bool is_histogram = kind == KIND_BUCKET || kind == KIND_COUNT || kind == KIND_SUM;
    uint64_t key = is_histogram ? target_key(&place) : mix(series + (UINT64_C(1) << 50));
    *cursor = (struct fleet_cursor){.key = key,
                                    .kind = (uint16_t)kind,
                                    .bucket = kind == KIND_BUCKET ? place.outer
                                                                  : (uint16_t)(BUCKET_COUNT - 1)};
    switch (kind) {
    case KIND_COUNTER:
        cursor->pace = spread(key, 11, 19);
        cursor->level = (int64_t)(mix(key + 1) >> 28);
        break;
    case KIND_SCALED:
        cursor->pace = spread(key, 7, 11);
        cursor->level = (int64_t)(mix(key + 1) >> 40);
        break;
    case KIND_SMOOTH:
        cursor->pace = spread(key, 15, 19);
        break;
    case KIND_NOISY:
        cursor->pace = spread(key, 21, 23);
        break;
    case KIND_LOAD:
        cursor->pace = spread(key, 5, 10);
        break;
    case KIND_SLOW:
        cursor->pace = 1 << 13;
        cursor->level = INT64_C(1) << 24;
        break;
    case KIND_CONSTANT:
        cursor->level = spread(key, 10, 38);
        break;
    case KIND_RARE:
        cursor->level = spread(key, 12, 20);
        break;
    case KIND_BUCKET:
    case KIND_COUNT:
    case KIND_SUM:
        cursor->pace = spread(key, 6, 12);
        for (unsigned i = 0; i <= cursor->bucket; i++)
            cursor->level += cursor->pace * BUCKET_SHARE[i] * HISTOGRAM_AGE_TICKS;
        cursor->total = (double)cursor->level / 16;
        if (kind == KIND_SUM && place.metric->outer.name != NULL)
            cursor->key = mix(key + place.outer + 1); /* two sums of one target */
        break;
    default:
        break;
    }
}

/* Requests of this tick that fall into buckets up to `bucket`, and the seconds they took. */
static int64_t observe(const struct fleet_cursor *cursor, double *seconds_out)
{
    int64_t requests = 0;
    double seconds = 0;
    for (unsigned i = 0; i <= cursor->bucket; i++) {
        uint64_t random = mix(cursor->key ^ (cursor->tick << 4 | i) * UINT64_C(0x2545f4914f6cdd1d));
        int64_t found = (int64_t)((random >> 40) %
                                  (uint64_t)(cursor->pace * BUCKET_SHARE[i] / 8 + 2)); /* 0 too */
        requests += found;
        double jitter = 0.75 + (double)(random & 0xffffffff) / 8589934592.0;
        seconds += (double)found * BUCKET_MIDDLE[i] * jitter;
    }
    *seconds_out = seconds;
    return requests;
}

static double histogram_next(struct fleet_cursor *cursor)
{
    double seconds;
    cursor->level += observe(cursor, &seconds);
    cursor->total += seconds;
    return cursor->kind == KIND_SUM ? cursor->total : (double)cursor->level;
}

static double value_next(struct fleet_cursor *cursor, const struct fleet *fleet, uint64_t series)
{
    uint64_t random = mix(cursor->key ^ cursor->tick * UINT64_C(0x2545f4914f6cdd1d));
    uint64_t pace = (uint64_t)cursor->pace;
    switch ((enum kind)cursor->kind) {
    case KIND_COUNTER:
        cursor->level += 1 + (int64_t)(random % (2 * pace));
        return (double)cursor->level;
    case KIND_SCALED:
        cursor->level += 1 + (int64_t)(random % (2 * pace));
        return (double)cursor->level / 100;
    case KIND_RARE:
        if (random % 4 == 0)
            cursor->level += 1 + (int64_t)(random >> 8 & 7);
        return (double)cursor->level;
    case KIND_IDLE:
        cursor->level += random % 4096 == 0;
        return (double)cursor->level;
    case KIND_SMOOTH:
        return (double)((pace - pace / 100 + random % (pace / 50)) * 4096);
    case KIND_NOISY:
        return (double)(pace / 2 + random % pace);
    case KIND_LOAD:
        return (double)(pace / 2 + random % pace) / 100;
    case KIND_FULL:
        return (double)(random >> 11) * 0x1p-53;
    case KIND_SMALL:
        return (double)(20 + random % 108);
    case KIND_SLOW:
        cursor->level += (int64_t)(random % (2 * pace)) - cursor->pace;
        return (double)(cursor->level * 4096);
    case KIND_CONSTANT:
        return (double)cursor->level;
    case KIND_ONE:
        return 1;
    case KIND_FLAP:
        return mix(cursor->key ^ cursor->tick / 8) % 512 == 0 ? 0 : 1;
    case KIND_TIME:
        return (double)(fleet_timestamp_ms(fleet, series, cursor->tick) + (int64_t)(random % 64)) /
               1000;
    case KIND_BUCKET:
    case KIND_COUNT:
    case KIND_SUM:
        return histogram_next(cursor);
    }
    return 0;
}

double fleet_cursor_next(struct fleet_cursor *cursor, const struct fleet *fleet, uint64_t series)
{
    double value = value_next(cursor, fleet, series);
    cursor->tick++;
    return value;
}
