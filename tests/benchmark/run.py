#!/usr/bin/env python3
"""Measures Gnomon against Debian's prometheus and victoria-metrics on this machine.

    tests/benchmark/run.py [--scale small] [--columns uring,pwritev2,prometheus,victoria-metrics]

Each server gets the same samples of the same made-up fleet (fleet.h), one server at a time, and one
table of figures and ratios is printed for each scale; then all are asked the same queries by turns.
Nothing is installed: a peer that is missing is left out, which is said (see
deploy/install-dependencies.sh --benchmarks). Every server is ended by this program.

CPU seconds are what to compare first: wall-clock figures move with what else the machine does.
"""
import argparse
import collections
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import queries
import servers
import verify

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Hosts, ticks, checked series, query rounds (0: none).
Scale = collections.namedtuple("Scale", "hosts ticks checked rounds")
SCALES = {
    "tiny": Scale(hosts=1, ticks=20, checked=500, rounds=2),
    "small": Scale(hosts=40, ticks=240, checked=300, rounds=15),
    "history": Scale(hosts=4, ticks=5760, checked=300, rounds=15), # a day
    "medium": Scale(hosts=400, ticks=240, checked=200, rounds=7),
    "large": Scale(hosts=2000, ticks=40, checked=300, rounds=5),
}
INTERVAL_S = 15
GOLDEN_RATIO = (1 + 5 ** 0.5) / 2
RIGHT_ANSWER_DEADLINE_S = 120
LOST_DEADLINE_S = 15  # for a right answer from who may have lost everything

LOWER, HIGHER, NONE = "lower", "higher", "none"
# Title, key, digits, which is better.
FIGURES = [
    ("ingest, M samples/s, all", "ingest_rate", 3, HIGHER),
    ("- new series (first tick), M series/s", "new_rate", 3, HIGHER),
    ("- steady (known series), M samples/s", "steady_rate", 3, HIGHER),
    ("CPU s / 1M new series", "new_cpu", 2, LOWER),
    ("CPU s / 1M samples, steady", "steady_cpu", 3, LOWER),
    ("CPU s / 1M samples (until idle)", "idle_cpu", 3, LOWER),
    ("request latency p50 ms", "latency_p50_ms", 2, LOWER),
    ("request latency p99 ms", "latency_p99_ms", 2, LOWER),
    ("request latency max ms", "latency_ms_max", 0, LOWER),
    ("requests sent again (503, 429)", "retries", 0, NONE),
    ("last ack -> all visible, s", "visible_s", 3, LOWER),
    ("RSS bytes / series", "rss", 0, LOWER),
    ("anonymous RSS bytes / series", "anonymous", 0, LOWER),
    ("peak RSS bytes / series", "peak", 0, LOWER),
    ("disk bytes / sample (after SIGTERM)", "disk", 2, LOWER),
    ("disk bytes / sample (flushed, compacted form)", "compact_disk", 2, LOWER),
    ("files on disk", "files", 0, LOWER),
    ("bytes written to disk / sample", "written", 2, LOWER),
    ("stop (SIGTERM), s", "stop_s", 3, LOWER),
    ("restart to right answer, s", "restart_s", 3, LOWER),
    ("restart CPU s", "restart_cpu", 2, LOWER),
    ("RSS after restart, bytes / series", "restart_rss", 0, LOWER),
    ("kill -9 after last ack: restart to right answer, s", "crash_s", 3, LOWER),
    ("kill -9 after last ack: samples lost %", "crash_lost", 3, NONE),
    ("verify: lost / wrong / doubled / inexact of checked", "verify", None, NONE),
]


# --- Samples -------------------------------------------------------------------------------------

class Fleet:
    """The prepared requests of a scale, and what single series must hold."""

    def __init__(self, program, path, scale, connections, protocol):
        self.program, self.path, self.scale = program, path, scale
        start_s = int(time.time()) // INTERVAL_S * INTERVAL_S - scale.ticks * INTERVAL_S
        self.end_s = start_s + scale.ticks * INTERVAL_S
        self.figures = json.loads(self.call("prepare", scale.hosts, scale.ticks, start_s * 1000,
                                            connections, protocol))

    def call(self, command, *arguments):
        outcome = subprocess.run([self.program, command, self.path, *map(str, arguments)],
                                 stdout=subprocess.PIPE, check=True, text=True,
                                 preexec_fn=servers.die_with_parent)
        return outcome.stdout

    def floor(self):
        """CPU seconds for a million samples that only decoding takes."""
        return json.loads(self.call("floor"))

    def send(self, server):
        return json.loads(self.call("send", server.url(), server.process.pid))

    def series(self, count):
        """`count` series spread over the fleet and over what hosts have, with labels and values."""
        total = self.figures["series"]
        if count >= total:
            chosen = range(total)
        else: # a low-discrepancy sequence; equal steps would meet few of a host's 500 series
            chosen = sorted({int(i * GOLDEN_RATIO % 1 * total) for i in range(1, count + 1)})
        return [json.loads(line) for line in self.call("values", *chosen).splitlines()]


# --- One column ----------------------------------------------------------------------------------

def note(message):
    print(f"[{time.strftime('%H:%M:%S')}] {message}", file=sys.stderr, flush=True)


def wait_right(server, probes, deadline_s=RIGHT_ANSWER_DEADLINE_S):
    """Seconds until the newest sample of every probe is what was sent."""
    return server.wait_until(lambda: all(verify.newest_is_right(server, probe)
                                         for probe in probes), deadline_s, "right answers", 0.002)


def ingest(server, fleet, figures):
    million_series = fleet.figures["series"] / 1e6
    million_samples = fleet.figures["samples"] / 1e6
    server.clear()
    server.start()
    server.wait_ready()
    server.settle()
    before = server.cpu_seconds()
    sent = fleet.send(server)
    acknowledged = time.monotonic()
    new, steady = sent["new"], sent["steady"]
    wait_right(server, fleet.series(16))
    figures["visible_s"] = time.monotonic() - acknowledged
    server.settle()
    figures.update(
        ingest_rate=million_samples / (new["seconds"] + steady["seconds"]),
        new_rate=million_series / new["seconds"],
        steady_rate=steady["samples"] / 1e6 / steady["seconds"],
        new_cpu=new["cpu_seconds"] / million_series,
        steady_cpu=steady["cpu_seconds"] / steady["samples"] * 1e6,
        idle_cpu=(server.cpu_seconds() - before) / million_samples,
        retries=new["retries"] + steady["retries"],
        rss=server.status_bytes("VmRSS") / million_series / 1e6,
        anonymous=server.status_bytes("RssAnon") / million_series / 1e6,
        peak=server.status_bytes("VmHWM") / million_series / 1e6)
    for key in ("latency_p50_ms", "latency_p99_ms", "latency_ms_max"):
        figures[key] = steady[key]


def stop_and_restart(server, fleet, figures):
    samples = fleet.figures["samples"]
    probes = fleet.series(8)
    server.end_counting_writes(signal.SIGTERM, figures)
    figures["written"] = figures.pop("written_bytes") / samples
    size, figures["files"] = servers.folder_size(server.data)
    figures["disk"] = size / samples
    figures["disk_parts"] = servers.folder_parts(server.data)
    started = time.monotonic()
    server.start()
    wait_right(server, probes)
    figures["restart_s"] = time.monotonic() - started
    figures["restart_cpu"] = server.cpu_seconds()
    server.settle()
    figures["restart_rss"] = server.status_bytes("VmRSS") / fleet.figures["series"]


def check(server, fleet, figures):
    found = verify.compare(server, fleet.series(fleet.scale.checked))
    figures["verify"] = (f"{found.lost} / {found.wrong} / {found.doubled} / {found.inexact} "
                         f"of {found.checked}")


def crash(server, fleet, figures):
    """Kill right behind the last acknowledgement, and see what is still there."""
    probes = fleet.series(8)
    server.clear()
    server.start()
    server.wait_ready()
    fleet.send(server)
    server.end(signal.SIGKILL)
    started = time.monotonic()
    server.start()
    try:
        may_lose = isinstance(server, servers.VictoriaMetrics)
        wait_right(server, probes, LOST_DEADLINE_S if may_lose else RIGHT_ANSWER_DEADLINE_S)
        figures["crash_s"] = time.monotonic() - started
    except servers.ServerFailed as failure:
        note(str(failure))
    found = verify.compare(server, fleet.series(fleet.scale.checked))
    figures["crash_lost"] = 100 * found.lost / found.checked


def measure(server, fleet, phases):
    figures = {}
    try:
        if "crash" in phases:
            note(f"{server.name}: crash")
            crash(server, fleet, figures)
        note(f"{server.name}: ingest")
        ingest(server, fleet, figures)
        note(f"{server.name}: restart")
        stop_and_restart(server, fleet, figures)
        note(f"{server.name}: verify, compact")
        check(server, fleet, figures)
        figures["compact_disk"] = server.compact() / fleet.figures["samples"]
        figures["compact_parts"] = servers.folder_parts(server.data)
    except (servers.ServerFailed, subprocess.CalledProcessError) as failure:
        note(f"{server.name} FAILED: {failure}")
    finally:
        server.end(signal.SIGTERM)
    return figures


# --- Tables --------------------------------------------------------------------------------------

def cell(value, digits):
    if value is None:
        return "-"
    return str(value) if digits is None else f"{value:.{digits}f}"


def ratio_cell(value, values, better):
    values = [other for other in values if other is not None]
    if value is None or better == NONE or not values:
        return "-"
    best = min(values) if better == LOWER else max(values)
    if best == 0:
        return "1.00" if value == 0 else "-"
    return f"{value / best:.2f}"


def print_figures(name, fleet, results):
    figures = fleet.figures
    print(f"\n### {name}: {figures['series']} series x {fleet.scale.ticks} ticks = "
          f"{figures['samples']} samples, {figures['requests']} requests of <= 2000, "
          f"{figures['wire_bytes_per_sample']:.1f} B/sample on the wire\n")
    floor = figures["floor"]
    print(f"Decode floor, CPU s / 1M samples: decompress {floor['decompress']:.3f}, + walk "
          f"{floor['walk']:.3f}, + hash {floor['hash']:.3f}\n")
    columns = list(results)
    print("| figure | " + " | ".join(columns) + " | " +
          " | ".join(f"{column} / best" for column in columns) + " |")
    print("|---" * (2 * len(columns) + 1) + "|")
    for title, key, digits, better in FIGURES:
        values = [results[column].get(key) for column in columns]
        if all(value is None for value in values):
            continue
        print(f"| {title} | " + " | ".join(cell(value, digits) for value in values) + " | " +
              " | ".join(ratio_cell(value, values, better) for value in values) + " |")
    print()
    for column in columns:
        for when, key in (("after SIGTERM", "disk_parts"), ("compacted", "compact_parts")):
            parts = results[column].get(key, {})
            print(f"- {column}: MB on disk {when}: " +
                  ", ".join(f"{part} {size / 1e6:.1f}" for part, size in parts.items()))
    sys.stdout.flush()


def run_queries(name, fleet, columns, rounds):
    """All servers at once on the data they hold."""
    try:
        for server in columns:
            server.start()
        for server in columns:
            server.wait_ready()
            server.settle()
        host, pod = verify.example_names(fleet.series(50))
        note(f"queries, {rounds} rounds")
        timings = queries.run(columns, fleet.end_s, {"host": host, "pod": pod}, rounds)
    finally:
        for server in columns:
            server.end(signal.SIGTERM)
    peers = [server.name for server in columns if server.name in servers.PEERS]
    print(f"\nQueries, {name} (ms; ratios of {columns[0].name} to the better peer):\n")
    queries.print_table(timings, columns, peers)
    sys.stdout.flush()
    return {query: {column: {"p50_ms": timing.p50(), "p95_ms": timing.p95(),
                             "cold_ms": timing.cold_ms, "cpu_ms": timing.cpu(),
                             "peak_bytes": timing.peak_bytes}
                    for column, timing in by_server.items()}
            for query, by_server in timings.items()}


# --- Everything ----------------------------------------------------------------------------------

def choose_columns(names):
    chosen = []
    for name in names:
        if name not in servers.KINDS:
            sys.exit(f"no column '{name}'; there are {', '.join(servers.KINDS)}")
        if name in servers.PEERS and shutil.which(name) is None:
            note(f"{name} is not installed and left out "
                 "(deploy/install-dependencies.sh --benchmarks)")
            continue
        chosen.append(name)
    return chosen


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="small", help="some of " + ", ".join(SCALES))
    parser.add_argument("--columns", default=",".join(servers.KINDS))
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"),
                        help="where gnomon and its tests were built")
    parser.add_argument("--protocol", type=int, choices=(1, 2), default=1,
                        help="of remote write; the peers know 1 only")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--ticks", type=int, help="instead of the scale's")
    parser.add_argument("--skip", default="", help="some of crash, queries")
    parser.add_argument("--folder", help="for data; a temporary one by default")
    parser.add_argument("--output", help="file for all figures as JSON")
    return parser.parse_args()


def run_scale(name, arguments, folder, program, column_names):
    scale = SCALES[name]
    if arguments.ticks:
        scale = scale._replace(ticks=arguments.ticks)
    phases = {"crash", "queries"} - set(arguments.skip.split(","))
    note(f"{name}: making the requests")
    fleet = Fleet(program, os.path.join(folder, "requests"), scale, arguments.connections,
                  arguments.protocol)
    fleet.figures["floor"] = fleet.floor()
    columns = [servers.KINDS[column](os.path.join(folder, column)) for column in column_names]
    try:
        results = {server.name: measure(server, fleet, phases) for server in columns}
        print_figures(name, fleet, results)
        outcome = {"fleet": fleet.figures, "figures": results}
        if "queries" in phases and scale.rounds > 0:
            outcome["queries"] = run_queries(name, fleet, columns, scale.rounds)
        return outcome
    finally:
        for server in columns:
            server.clear()
        os.unlink(fleet.path)


def main():
    arguments = read_arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    servers.Gnomon.program = os.path.join(arguments.build, "gnomon")
    program = os.path.join(arguments.build, "tests", "benchmark", "benchmark_load")
    for needed in (servers.Gnomon.program, program):
        if not os.access(needed, os.X_OK):
            sys.exit(f"{needed} is not built: cmake --preset release && "
                     "cmake --build --preset release")
    column_names = choose_columns(arguments.columns.split(","))
    folder = tempfile.mkdtemp(prefix="gnomon-benchmark-", dir=arguments.folder)
    outcomes = {}
    try:
        for name in arguments.scale.split(","):
            if name not in SCALES:
                sys.exit(f"no scale '{name}'; there are {', '.join(SCALES)}")
            outcomes[name] = run_scale(name, arguments, folder, program, column_names)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if arguments.output:
            with open(arguments.output, "w", encoding="ascii") as file:
                json.dump(outcomes, file, indent=1, default=lambda value: None)
    failed = any(math.isnan(figures.get("steady_cpu", math.nan))
                 for outcome in outcomes.values() for figures in outcome["figures"].values())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
