"""The queries, their timing by turns on all servers, and the comparison of their answers."""
import json
import math
import statistics

import asking

TOLERANCE = 1e-9
HOUR_S = 3600

# Names as in the tables; {host} is one instance of node_exporter, {pod} one pod.
INSTANT = {
    "i01_one_series": 'node_load1{instance="%(host)s"}',
    "i02_metric_all_hosts": "node_load1",
    "i03_regex_not_regex":
        'container_memory_rss{namespace=~"catalog|check.*",pod!~"(api|worker)-.*"}',
    "i04_count_by_name": 'count by (__name__) ({__name__!=""})',
    "i05_cardinality_all": 'count({__name__!=""})',
    "i06_topk_cpu_pods": "topk(10, sum by (namespace, pod)"
                         " (rate(container_cpu_usage_seconds_total[5m])))",
    "i07_group_left": "sum by (cluster, node) (container_memory_working_set_bytes"
                      " * on (namespace, pod) group_left () kube_pod_info)",
    "i08_subquery": "max_over_time(sum(rate(node_network_receive_bytes_total[5m]))[30m:1m])",
    "i09_absent": 'absent(node_load1{instance="no-such-host"})',
    "i10_max_over_time_1h": "max_over_time(node_load1[1h])",
    "i11_increase_1h": "sum by (code) (increase(http_requests_total[1h]))",
    "i12_quantile_over_many": "quantile(0.95, container_memory_working_set_bytes)",
    "i13_predict_linear": 'predict_linear(node_filesystem_avail_bytes{mountpoint="/"}[1h], 14400)',
    "i14_raw_1h": 'node_cpu_seconds_total{instance="%(host)s"}[1h]',
    "i15_down_or_zero": "up == 0 or kube_pod_status_ready == 0",
}

# Expression, how far back it starts, step in seconds.
RANGE = {
    "r01_gauge_1h_15s": ('node_load1{instance="%(host)s"}', HOUR_S, 15),
    "r02_host_rate_1h_15s":
        ('rate(node_network_receive_bytes_total{instance="%(host)s"}[5m])', HOUR_S, 15),
    "r03_cpu_by_mode_1h":
        ('sum by (mode) (rate(node_cpu_seconds_total{instance="%(host)s"}[5m]))', HOUR_S, 60),
    "r04_req_by_cluster_1h": ("sum by (cluster) (rate(http_requests_total[5m]))", HOUR_S, 60),
    "r05_p99_all_1h": ("histogram_quantile(0.99, sum by (le)"
                       " (rate(http_request_duration_seconds_bucket[5m])))", HOUR_S, 60),
    "r06_p95_cluster_1h_30s":
        ("histogram_quantile(0.95, sum by (le, service) (rate("
         'http_request_duration_seconds_bucket{cluster="prod-eu-1"}[5m])))', HOUR_S, 30),
    "r07_quantile_hosts_1h": ("quantile(0.9, node_load1)", HOUR_S, 60),
    "r08_5xx_ratio_1h": ('sum by (namespace) (rate(http_requests_total{code=~"5.."}[5m]))'
                         " / sum by (namespace) (rate(http_requests_total[5m]))", HOUR_S, 60),
    "r09_cpu_busy_hosts_1h":
        ('1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))', HOUR_S, 60),
    "r10_disk_ratio_6h_5m":
        ("node_filesystem_avail_bytes / node_filesystem_size_bytes", 6 * HOUR_S, 300),
    "r11_avg_over_time_6h": ("avg_over_time(node_load1[10m])", 6 * HOUR_S, 300),
    "r12_mem_ns_24h_5m":
        ("sum by (namespace) (container_memory_working_set_bytes)", 24 * HOUR_S, 300),
    "r13_topk_range_1h": ("topk(5, node_load1)", HOUR_S, 60),
    "r14_stddev_max_1h":
        ("max by (cluster) (stddev by (cluster, namespace) (container_memory_rss))", HOUR_S, 60),
    "r15_sum_all_rx_24h_5m": ("sum(rate(node_network_receive_bytes_total[5m]))", 24 * HOUR_S, 300),
}

METADATA = {
    "m01_label_values": ("/api/v1/label/instance/values", None),
    "m02_metric_names": ("/api/v1/label/__name__/values", None),
    "m03_labels": ("/api/v1/labels", None),
    "m04_series_one_metric": ("/api/v1/series", "node_load1"),
    "m05_series_one_pod": ("/api/v1/series", '{pod="%(pod)s"}'),
}


def requests_at(end_s, names):
    """Path and parameters of each query, as of `end_s`; `names` fills in {host} and {pod}."""
    requests = {}
    for name, expression in INSTANT.items():
        requests[name] = ("/api/v1/query",
                          {"query": expression % names, "time": end_s, "nocache": 1})
    for name, (expression, back_s, step_s) in RANGE.items():
        requests[name] = ("/api/v1/query_range",
                          {"query": expression % names, "start": end_s - back_s, "end": end_s,
                           "step": step_s, "nocache": 1})
    for name, (path, match) in METADATA.items():
        parameters = {"start": end_s - HOUR_S, "end": end_s}
        if match is not None:
            parameters["match[]"] = match % names
        requests[name] = (path, parameters)
    return requests


# --- Answers -----------------------------------------------------------------------------------

def identity(labels, without_name):
    return tuple(sorted((name, value) for name, value in labels.items()
                        if not (without_name and name == "__name__")))


def points_of(data, without_name):
    """{labels: {timestamp: value}} of a vector, matrix or scalar."""
    if data["resultType"] == "scalar":
        return {(): {data["result"][0]: float(data["result"][1])}}
    points = {}
    for series in data["result"]:
        values = series["values"] if "values" in series else [series["value"]]
        points[identity(series["metric"], without_name)] = {
            timestamp: float(value) for timestamp, value in values}
    return points


def distance(left, right):
    if left == right or (math.isnan(left) and math.isnan(right)):
        return 0.0
    if not (math.isfinite(left) and math.isfinite(right)):
        return math.inf
    return abs(left - right) / max(abs(left), abs(right))


def compare_points(left, right):
    missing = len(left.keys() - right.keys())
    extra = len(right.keys() - left.keys())
    absent = differ = count = 0
    most = 0.0
    for labels in left.keys() & right.keys():
        absent += len(left[labels].keys() ^ right[labels].keys())
        for timestamp in left[labels].keys() & right[labels].keys():
            count += 1
            apart = distance(left[labels][timestamp], right[labels][timestamp])
            differ += apart > TOLERANCE
            most = max(most, apart)
    if missing == extra == absent == differ == 0:
        return "same"
    return (f"series -{missing}/+{extra}, points {absent} absent, {differ}/{count} differ, "
            f"max {most:.1e}")


def compare(reference, body):
    """'same', or what differs between the bodies of two answers."""
    left, right = json.loads(reference)["data"], json.loads(body)["data"]
    if isinstance(left, list):
        def keys(data):
            return sorted(json.dumps(entry, sort_keys=True) for entry in data or [])
        missing = set(keys(left)) - set(keys(right))
        extra = set(keys(right)) - set(keys(left))
        return "same" if keys(left) == keys(right) else f"entries -{len(missing)}/+{len(extra)}"
    outcome = compare_points(points_of(left, False), points_of(right, False))
    if outcome != "same" and \
            compare_points(points_of(left, True), points_of(right, True)) == "same":
        return "same (but for __name__)"
    return outcome


# --- Timing ------------------------------------------------------------------------------------

class Timing:
    """What one query cost on one server."""

    def __init__(self):
        self.cold_ms = math.nan  # the first time since the restart
        self.latencies_ms = []
        self.cpu_ms = []
        self.peak_bytes = 0
        self.body = None
        self.failure = None

    def p50(self):
        return statistics.median(self.latencies_ms) if self.latencies_ms else math.nan

    def p95(self):
        ordered = sorted(self.latencies_ms)
        return ordered[math.ceil(len(ordered) * 0.95) - 1] if ordered else math.nan

    def cpu(self):
        return statistics.mean(self.cpu_ms) if self.cpu_ms else math.nan


def time_once(server, asker, path, parameters, timing):
    """Latency; the rest is noted in `timing`."""
    resident = server.status_bytes("VmRSS")
    server.forget_peak()
    cpu = server.cpu_seconds()
    latency_ms, status, body = asker.ask(path, parameters)
    if status != 200:
        timing.failure = f"{status}: {body[:120]!r}"
        return math.nan
    timing.cpu_ms.append((server.cpu_seconds() - cpu) * 1000)
    timing.peak_bytes = max(timing.peak_bytes, server.status_bytes("VmHWM") - resident)
    timing.body = body
    return latency_ms


def run(servers, end_s, names, rounds):
    """{query: {server name: Timing}}; the first round is the cold one."""
    requests = requests_at(end_s, names)
    timings = {query: {server.name: Timing() for server in servers} for query in requests}
    askers = {server.name: asking.Asker(server.port) for server in servers}
    for turn in range(rounds + 1):
        for query, (path, parameters) in requests.items():
            for server in servers:
                timing = timings[query][server.name]
                latency_ms = time_once(server, askers[server.name], path, parameters, timing)
                if turn > 0:
                    timing.latencies_ms.append(latency_ms)
                    continue
                timing.cold_ms = latency_ms
                timing.cpu_ms.clear()
                timing.peak_bytes = 0
    for asker in askers.values():
        asker.close()
    return timings


def number(value):
    return "-" if math.isnan(value) else f"{value:.2f}"


def geometric_mean(values):
    values = [value for value in values if value > 0 and math.isfinite(value)]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


COLUMNS = {
    "p50": lambda timing: timing.p50(),
    "p95": lambda timing: timing.p95(),
    "cold": lambda timing: timing.cold_ms,
    "cpu": lambda timing: timing.cpu(),
    "peak MB": lambda timing: timing.peak_bytes / 1e6,
}
COMPARED = ("p50", "cold", "cpu")


def ratio_to_best(by_server, first, peers, column):
    best = min((COLUMNS[column](by_server[peer]) for peer in peers), default=math.nan)
    return COLUMNS[column](by_server[first]) / best


def print_table(timings, servers, peers):
    """One line a query, in ms; the ratios are of the first server to the better peer."""
    names = [server.name for server in servers]
    columns = " | ".join(COLUMNS)
    print("| query | " + " | ".join(f"{name} {columns}" for name in names) + " | " +
          " | ".join(f"{column} ratio" for column in COMPARED) + " | answer |")
    print("|---" * (len(COLUMNS) * len(names) + len(COMPARED) + 2) + "|")
    ratios = {column: [] for column in COMPARED}
    for query, by_server in timings.items():
        cells = [f"{value(by_server[name]):.2f}" for name in names for value in COLUMNS.values()]
        for column in COMPARED:
            ratios[column].append(ratio_to_best(by_server, names[0], peers, column))
            cells.append(number(ratios[column][-1]))
        print(f"| {query} | " + " | ".join(cells) + f" | {describe_answers(by_server, names)} |")
    means = []
    for name in names:
        for column, value in COLUMNS.items():
            mean = geometric_mean([value(by_server[name]) for by_server in timings.values()])
            means.append(f"{mean:.2f}" if column in COMPARED else "")
    means += [f"**{number(geometric_mean(ratios[column]))}**" for column in COMPARED]
    print("| **geometric mean** | " + " | ".join(means) + " | |")


def describe_answers(by_server, names):
    """Against Prometheus where it takes part, else against the first column."""
    reference = "prometheus" if "prometheus" in names else names[0]
    notes = []
    for name in names:
        timing = by_server[name]
        if timing.failure is not None:
            notes.append(f"{name} FAILED {timing.failure}")
        elif name != reference and by_server[reference].body is not None:
            outcome = compare(by_server[reference].body, timing.body)
            if outcome != "same":
                notes.append(f"{name}: {outcome}")
    return "; ".join(notes) or "same"
