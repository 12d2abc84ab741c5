#!/usr/bin/env python3
"""One host, a few ticks, by both versions of remote write: every sample sent reads back.

Keeps the programs of the benchmark working; measures nothing.
    smoke.py GNOMON BENCHMARK_LOAD
"""
import os
import shutil
import signal
import sys
import tempfile

import run
import servers
import verify

SCALE = run.Scale(hosts=1, ticks=12, checked=500, rounds=0)
CONNECTIONS = 3


def check(folder, program, protocol):
    fleet = run.Fleet(program, os.path.join(folder, "requests"), SCALE, CONNECTIONS, protocol)
    server = servers.Gnomon(os.path.join(folder, "gnomon"))
    server.clear()
    try:
        server.start()
        server.wait_ready()
        sent = fleet.send(server)
        found = verify.compare(server, fleet.series(SCALE.checked))
    finally:
        server.end(signal.SIGTERM)
    acknowledged = sent["new"]["samples"] + sent["steady"]["samples"]
    print(f"remote write {protocol}.0: {acknowledged} acknowledged, {vars(found)}")
    whole = SCALE.ticks * fleet.figures["series"]
    return (acknowledged == found.checked == whole and
            not any((found.lost, found.wrong, found.inexact, found.doubled, found.invented)))


def main():
    servers.Gnomon.program, program = map(os.path.abspath, sys.argv[1:3])
    folder = tempfile.mkdtemp(prefix="gnomon-benchmark-smoke-")
    try:
        results = [check(folder, program, protocol) for protocol in (1, 2)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
