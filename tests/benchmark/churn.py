#!/usr/bin/env python3
"""What series that come and go cost: memory of a fleet with and without churn, and of a restart.

A fleet of 200 k series is scraped for six hours; with churn, a fifth of its hosts is replaced by new
ones every hour. The server's wall clock is moved on (moved_clock.c), a quarter of an hour at a time:
it freezes, merges and forgets as it does in six hours, which pass in some minutes. The same run
without churn is the measure: peaks of resident memory, and that of a restart after kill -9, must
stay within 1.5 times of it, and a restart may not need more than the run before.

    tests/benchmark/churn.py [--hosts 400] [--hours 6] [--ticks 60] [--only churn]
                             GNOMON BENCHMARK_LOAD MOVED_CLOCK

--ticks are the scrapes an hour, a quarter of them at the begin of each quarter, 15 s apart (240: all
of it). --only runs one of the two, for a look at how it goes on.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import servers

sys.path.insert(1, os.path.join(os.path.dirname(__file__), "..", "support", "moved_clock"))
from moved_clock import MovedClock  # pylint: disable=wrong-import-position

COHORTS = 5
CONNECTIONS = 4
HOUR_MS = 3600 * 1000
QUARTERS = 4
QUARTER_MS = HOUR_MS // QUARTERS
BOUND = 1.5
FIGURES = ("peak of the run", "settled", "peak of a restart")


class Peak(threading.Thread):
    """The highest resident memory of a server while it runs."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.ended = threading.Event()
        self.bytes = 0
        self.bytes_lately = 0

    def run(self):
        while not self.ended.wait(0.05):
            try:
                resident = self.server.status_bytes("VmRSS")
            except (OSError, AttributeError):
                return
            self.bytes = max(self.bytes, resident)
            self.bytes_lately = max(self.bytes_lately, resident)

    def take_lately(self):
        """The highest since this was asked last."""
        lately, self.bytes_lately = self.bytes_lately, 0
        return lately

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


class GnomonOfAnotherTime(servers.Gnomon):
    """A node whose wall clock is moved."""

    def __init__(self, folder, clock):
        super().__init__(folder)
        self.clock = clock

    def command(self):
        moved = (f"{name}={value}" for name, value in self.clock.environment.items())
        return ["env", *moved, *super().command()]

    def metric(self, name):
        """The sum over all labels."""
        self.close_connection()  # idle for so long that the server may have closed it
        _, body = self.ask("/metrics")
        found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", body.decode(), re.MULTILINE)
        return sum(float(value) for value in found)


def first_host(cohort, hour, hosts, churns):
    """Cohort h % 5 is replaced at the start of hour h, but for the first."""
    replaced = (hour + COHORTS - cohort) // COHORTS if churns and hour >= cohort else 0
    if cohort == 0 and replaced > 0:
        replaced -= 1
    return cohort * hosts // COHORTS + replaced * hosts


def send_quarter(options, server, folder, quarter, start_ms, churns):
    requests = os.path.join(folder, "requests")
    for cohort in range(COHORTS):
        host = first_host(cohort, quarter // QUARTERS, options.hosts, churns)
        subprocess.run([options.load, "prepare", requests, str(options.hosts // COHORTS),
                        str(options.ticks // QUARTERS), str(start_ms + quarter * QUARTER_MS),
                        str(CONNECTIONS), "1", str(host)],
                       check=True, stdout=subprocess.DEVNULL)
        subprocess.run([options.load, "send", requests, server.url(), str(server.process.pid)],
                       check=True, stdout=subprocess.DEVNULL)
    os.remove(requests)


def tell_hour(server, peak, hour, hours):
    def megabytes(name):
        return f"{server.metric(name) / 1e6:.0f}"

    print(f"  hour {hour} of {hours}: peak {peak.take_lately() / 1e6:.0f} MB, "
          f"then {server.status_bytes('VmRSS') / 1e6:.0f} MB "
          f"(heads {megabytes('gnomon_shard_head_bytes')}, "
          f"registries {megabytes('gnomon_shard_registry_bytes')}, "
          f"aliases {megabytes('gnomon_ingest_alias_bytes')}, "
          f"log {megabytes('gnomon_group_log_bytes')}, "
          f"page cache {megabytes('gnomon_page_cache_bytes')}); "
          f"{server.metric('gnomon_shard_series'):.0f} series known, "
          f"{server.metric('gnomon_shard_series_forgotten_total'):.0f} forgotten, "
          f"{server.metric('gnomon_shard_dead_series'):.0f} dead in "
          f"{server.metric('gnomon_shard_series_segments'):.0f} segments", flush=True)


def live(options, server, folder, start_ms, churns):
    """All hours; returns the peak."""
    with Peak(server) as peak:
        for quarter in range(options.hours * QUARTERS):
            server.clock.set(start_ms + (quarter + 1) * QUARTER_MS)
            send_quarter(options, server, folder, quarter, start_ms, churns)
            time.sleep(2)  # its upkeep comes every second
            server.settle()
            if (quarter + 1) % QUARTERS == 0:
                tell_hour(server, peak, (quarter + 1) // QUARTERS, options.hours)
    return peak.bytes


def restart_after_kill(server):
    server.end(signal.SIGKILL)
    server.start()
    with Peak(server) as peak:
        server.wait_ready()
        server.settle()
    return peak.bytes


def measure(options, folder, churns):
    clock = MovedClock(options.clock, os.path.join(folder, "clock"))
    server = GnomonOfAnotherTime(os.path.join(folder, "gnomon"), clock)
    server.clear()
    figures = {}
    start_ms = (int(time.time() * 1000) // HOUR_MS - options.hours - 1) * HOUR_MS
    try:
        clock.set(start_ms)
        server.start()
        server.wait_ready()
        figures["peak of the run"] = live(options, server, folder, start_ms, churns)
        server.settle()
        figures["settled"] = server.status_bytes("VmRSS")
        figures["series"] = server.metric("gnomon_shard_series")
        figures["peak of a restart"] = restart_after_kill(server)
    finally:
        server.end(signal.SIGTERM)
        server.clear()
    return figures


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--hosts", type=int, default=400, help="of 500 series each")
    parser.add_argument("--hours", type=int, default=6)
    parser.add_argument("--ticks", type=int, default=60, help="scrapes an hour")
    parser.add_argument("--only", choices=("still", "churn"), help="one of the two runs")
    parser.add_argument("gnomon")
    parser.add_argument("load")
    parser.add_argument("clock", help="libmoved_clock.so")
    options = parser.parse_args()
    options.load = os.path.abspath(options.load)
    options.clock = os.path.abspath(options.clock)
    servers.Gnomon.program = os.path.abspath(options.gnomon)
    return options


def show(still, churning):
    print("\n| | without churn | with churn | ratio |\n|---|---|---|---|")
    for name in FIGURES:
        print(f"| {name}, MB | {still[name] / 1e6:.0f} | {churning[name] / 1e6:.0f} | "
              f"{churning[name] / still[name]:.2f} |")
    print(f"| series the node knows | {still['series']:.0f} | {churning['series']:.0f} | "
          f"{churning['series'] / max(still['series'], 1):.2f} |")
    holds = all(churning[name] <= BOUND * still[name] for name in FIGURES)
    restarts = all(run["peak of a restart"] <= run["peak of the run"] for run in (still, churning))
    print(f"\nwithin {BOUND} times: {holds}; no restart needs more than its run: {restarts}")
    return 0 if holds and restarts else 1


def main():
    options = parse()
    folder = tempfile.mkdtemp(prefix="gnomon-churn-")
    runs = {}
    try:
        for name, churns in (("still", False), ("churn", True)):
            if options.only in (None, name):
                print(f"{name}:", flush=True)
                runs[name] = measure(options, folder, churns)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.only is not None:
        print({name: round(value / 1e6) for name, value in runs[options.only].items()
               if name in FIGURES})
        return 0
    return show(runs["still"], runs["churn"])


if __name__ == "__main__":
    sys.exit(main())
