#!/usr/bin/env python3
"""What series that come and go cost: memory of a fleet with and without churn, and of a restart.

A fleet of 200 k series is scraped for six hours; with churn, a fifth of its hosts is replaced by new
ones every hour. The hours lie behind us and are sent one after the other. The same run without
churn is the measure: peaks of resident memory, and that of a restart after kill -9, must stay within
1.5 times of it, and a restart may not need more than the run before.

    tests/benchmark/churn.py [--hosts 400] [--hours 6] [--ticks 60] GNOMON BENCHMARK_LOAD

--ticks are the scrapes an hour, 15 s apart from its beginning (240: all of it).
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import servers

COHORTS = 5
CONNECTIONS = 4
HOUR_MS = 3600 * 1000
BOUND = 1.5


class Peak(threading.Thread):
    """The highest resident memory of a server while it runs."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.ended = threading.Event()
        self.bytes = 0

    def run(self):
        while not self.ended.wait(0.05):
            try:
                self.bytes = max(self.bytes, self.server.status_bytes("VmRSS"))
            except (OSError, AttributeError):
                return

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


def first_host(cohort, hour, hosts, churns):
    """Cohort h % 5 is replaced at the start of hour h, but for the first."""
    replaced = (hour + COHORTS - cohort) // COHORTS if churns and hour >= cohort else 0
    if cohort == 0 and replaced > 0:
        replaced -= 1
    return cohort * hosts // COHORTS + replaced * hosts


def send_hour(options, server, folder, hour, start_ms, churns):
    requests = os.path.join(folder, "requests")
    for cohort in range(COHORTS):
        subprocess.run([options.load, "prepare", requests, str(options.hosts // COHORTS),
                        str(options.ticks), str(start_ms + hour * HOUR_MS), str(CONNECTIONS), "1",
                        str(first_host(cohort, hour, options.hosts, churns))],
                       check=True, stdout=subprocess.DEVNULL)
        subprocess.run([options.load, "send", requests, server.url(), str(server.process.pid)],
                       check=True, stdout=subprocess.DEVNULL)
    os.remove(requests)


def restart_after_kill(server):
    server.end(signal.SIGKILL)
    server.start()
    with Peak(server) as peak:
        server.wait_ready()
        server.settle()
    return peak.bytes


def measure(options, folder, churns):
    server = servers.Gnomon(os.path.join(folder, "gnomon"))
    server.clear()
    figures = {}
    start_ms = (int(time.time() * 1000) // HOUR_MS - options.hours - 1) * HOUR_MS
    try:
        server.start()
        server.wait_ready()
        with Peak(server) as peak:
            for hour in range(options.hours):
                send_hour(options, server, folder, hour, start_ms, churns)
                print(f"  hour {hour + 1} of {options.hours}: resident "
                      f"{server.status_bytes('VmRSS') / 1e6:.0f} MB", flush=True)
        figures["peak of the run"] = peak.bytes
        server.settle()
        figures["settled"] = server.status_bytes("VmRSS")
        figures["peak of a restart"] = restart_after_kill(server)
        figures["series"] = int(server.data_of("/api/v1/status/tsdb", ())["headStats"]["numSeries"])
    finally:
        server.end(signal.SIGTERM)
        server.clear()
    return figures


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--hosts", type=int, default=400, help="of 500 series each")
    parser.add_argument("--hours", type=int, default=6)
    parser.add_argument("--ticks", type=int, default=60, help="scrapes an hour")
    parser.add_argument("gnomon")
    parser.add_argument("load")
    options = parser.parse_args()
    options.load = os.path.abspath(options.load)
    servers.Gnomon.program = os.path.abspath(options.gnomon)
    return options


def main():
    options = parse()
    folder = tempfile.mkdtemp(prefix="gnomon-churn-")
    try:
        print("without churn", flush=True)
        still = measure(options, folder, churns=False)
        print("with churn", flush=True)
        churning = measure(options, folder, churns=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\n| | without churn | with churn | ratio |\n|---|---|---|---|")
    for name in ("peak of the run", "settled", "peak of a restart"):
        print(f"| {name}, MB | {still[name] / 1e6:.0f} | {churning[name] / 1e6:.0f} | "
              f"{churning[name] / still[name]:.2f} |")
    print(f"| series the node knows | {still['series']} | {churning['series']} | "
          f"{churning['series'] / max(still['series'], 1):.2f} |")
    holds = all(churning[name] <= BOUND * still[name]
                for name in ("peak of the run", "settled", "peak of a restart"))
    restarts = all(run["peak of a restart"] <= run["peak of the run"] for run in (still, churning))
    print(f"\nwithin {BOUND} times: {holds}; no restart needs more than its run: {restarts}")
    return 0 if holds and restarts else 1


if __name__ == "__main__":
    sys.exit(main())
