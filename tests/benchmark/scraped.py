#!/usr/bin/env python3
"""Bytes a sample of what is really scraped, in the lasting form of each server.

    tests/benchmark/scraped.py [--minutes 30] [--interval 15] [--targets 10] [--build build/release]

Debian's prometheus scrapes itself and a node_exporter, the latter as so many targets, each at its
own moment, and writes what it scraped into Gnomon and VictoriaMetrics. At the end all three bring
their data into the form in which they stay (servers.py), and the sizes are divided by the samples
that each of them counts. The exporter shows one machine, so its targets move alike, but every
scrape of it is another. Real time passes: half an hour gives 120 samples a series; with a shorter
interval it gives more, of which more are equal to the one before where the machine is idle. What
each series costs once (labels, postings) weighs on a short run, so Gnomon's chunks of values and
times are told apart.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import run
import servers

class ScrapingPrometheus(servers.Prometheus):
    """Scrapes and writes on until `quiet`."""

    def __init__(self, folder, options, exporter_port, targets):
        super().__init__(folder)
        self.options, self.exporter_port, self.targets = options, exporter_port, targets
        self.quiet = False

    def settings(self):
        interval = f"{self.options.interval}s"
        lines = ["global:", f"  scrape_interval: {interval}", f"  scrape_timeout: {interval}"]
        if self.quiet:
            return lines
        lines += ["scrape_configs:", "  - job_name: prometheus", "    static_configs:",
                  f"      - targets: ['127.0.0.1:{self.port}']", "  - job_name: node",
                  "    static_configs:"]
        for number in range(self.options.targets):
            lines += [f"      - targets: ['127.0.0.1:{self.exporter_port}']",
                      f"        labels: {{instance: 'host-{number:03}:9100'}}"]
        lines.append("remote_write:")
        lines += [f"  - url: {server.url()}" for server in self.targets]
        return lines

    def command(self):
        command = super().command()
        with open(os.path.join(self.folder, "prometheus.yml"), "w", encoding="ascii") as file:
            file.write("\n".join(self.settings()) + "\n")
        return command


def start_exporter(folder):
    port = servers.free_port()
    with open(os.path.join(folder, "exporter.log"), "ab") as log:
        process = subprocess.Popen(["prometheus-node-exporter",
                                    f"--web.listen-address=127.0.0.1:{port}"],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   preexec_fn=servers.die_with_parent)
    return process, port


def number_of(server, query):
    result = server.data_of("/api/v1/query", {"query": query, "nocache": 1})["result"]
    return int(float(result[0]["value"][1])) if result else 0


def contents_of(server):
    """Series and samples, counted by the server itself, name by name: without it, equal labels
    would meet."""
    series = samples = 0
    for name in server.data_of("/api/v1/label/__name__/values", ()):
        counted = f'count_over_time({{__name__="{name}"}}[1d])'
        series += number_of(server, f"count({counted})")
        samples += number_of(server, f"sum({counted})")
    return series, samples


def chunk_bytes(server):
    """Values and times alone, in Gnomon's blocks; None for the others."""
    if not isinstance(server, servers.Gnomon):
        return None
    size = 0
    for parent, _, names in os.walk(os.path.join(server.data, "shards")):
        for name in names:
            if name.endswith(".block"):
                size += block_chunk_bytes(os.path.join(parent, name))
    return size


def block_chunk_bytes(path):
    report = subprocess.run([servers.Gnomon.program, "block", "inspect", path], check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    pages = re.findall(r"^(?:chunks|time columns) +\d+ +(\d+)", report, re.MULTILINE)
    if not pages:
        raise servers.ServerFailed(f"no chunks in {path}")
    return sum(map(int, pages))


def scrape(prometheus, options):
    end = time.monotonic() + options.minutes * 60
    while time.monotonic() < end:
        time.sleep(min(60, max(0, end - time.monotonic())))
        run.note(f"{max(0, end - time.monotonic()) / 60:.0f} min left")
        if prometheus.process.poll() is not None:
            raise servers.ServerFailed(f"prometheus ended, see {prometheus.folder}/log")
    prometheus.end(signal.SIGTERM)  # it waits until all is written to the others
    prometheus.quiet = True


def measure(server):
    if server.process is None:
        server.start()
    server.wait_ready()
    server.settle()
    series, samples = contents_of(server)
    size = server.compact()
    parts = servers.folder_parts(server.data)
    chunks = chunk_bytes(server)
    server.end(signal.SIGTERM)
    return {"series": series, "samples": samples, "size": size, "chunks": chunks, "parts": parts}


def print_table(outcomes):
    print("\n| server | series | samples | bytes / sample | of it chunks | bytes / series | "
          "folders (bytes / sample) |\n|---|---|---|---|---|---|---|")
    for name, outcome in outcomes.items():
        series, samples = outcome["series"], outcome["samples"]
        chunks = "-" if outcome["chunks"] is None else f"{outcome['chunks'] / samples:.3f}"
        parts = ", ".join(f"{part} {size / samples:.3f}" for part, size in outcome["parts"].items())
        print(f"| {name} | {series} | {samples} | {outcome['size'] / samples:.3f} | {chunks} | "
              f"{outcome['size'] / series:.0f} | {parts} |")


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--interval", type=int, default=15, help="seconds between scrapes")
    parser.add_argument("--targets", type=int, default=10, help="times the exporter is scraped")
    parser.add_argument("--build", default=os.path.join(run.ROOT, "build", "release"))
    parser.add_argument("--keep", action="store_true", help="leave the folder, and say its name")
    return parser.parse_args()


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    for needed in ("prometheus", "prometheus-node-exporter"):
        if shutil.which(needed) is None:
            sys.exit(f"{needed} is not installed (deploy/install-dependencies.sh --benchmarks)")
    servers.Gnomon.program = os.path.join(options.build, "gnomon")
    folder = tempfile.mkdtemp(prefix="gnomon-scraped-")
    stores = [servers.Gnomon(os.path.join(folder, "gnomon"))]
    if shutil.which("victoria-metrics"):
        stores.append(servers.VictoriaMetrics(os.path.join(folder, "victoria-metrics")))
    exporter, exporter_port = start_exporter(folder)
    prometheus = ScrapingPrometheus(os.path.join(folder, "prometheus"), options, exporter_port,
                                    stores)
    try:
        for server in stores:
            server.clear()
            server.start()
            server.wait_ready()
        prometheus.clear()
        prometheus.start()
        scrape(prometheus, options)
        print_table({server.name: measure(server) for server in (*stores, prometheus)})
    finally:
        for server in (prometheus, *stores):
            server.end(signal.SIGTERM)
        exporter.terminate()
        exporter.wait()
        if options.keep:
            run.note(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
