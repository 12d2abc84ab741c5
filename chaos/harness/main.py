"""The program behind chaos/run.sh."""
import argparse
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CHAOS = os.path.dirname(HERE)
ROOT = os.path.dirname(CHAOS)
sys.path[1:1] = [CHAOS, os.path.join(ROOT, "tests", "integration"),
                 os.path.join(ROOT, "tests", "support", "moved_clock")]

import cluster as clusters # noqa: E402
import director as directors # noqa: E402
import disks # noqa: E402
import isolation # noqa: E402
import network as networks # noqa: E402
from checker import final, findings # noqa: E402
from report import report # noqa: E402
from scenarios import catalog, leader_kills, moves, notices, overload # noqa: E402
from workload import history, readers, requests, writers # noqa: E402

NOTICES = "notices"
MEASUREMENTS = {
    "leader-kills": (leader_kills.measure, "how long writes stop when a leader is killed"),
    "moves": (moves.measure, "what writes feel of replicas that move; five nodes"),
    "overload": (overload.measure, "memory under three times the load, with a slow follower"),
}
# A cluster of which a minority is hurt takes writes again within this.
UNAVAILABLE_LIMIT_S = 30
JOIN_S = 60


class Run:
    """What writers, readers, faults and checks share."""

    def __init__(self, seed, folder, series_count, interval_s):
        self.seed = seed
        self.series_count = series_count # of each writer
        self.interval_s = interval_s # between batches of a writer
        self.began = time.monotonic()
        self.stopping = threading.Event()
        self.history = history.History(os.path.join(folder, "history"))
        self.writes = requests.Requests()
        self.queries = requests.Requests()
        self.findings = findings.Findings(open(os.path.join(folder, "findings"), "w",
                                               encoding="utf-8"))

    def at(self, moment):
        """Seconds since the run began."""
        return moment - self.began


def parse(arguments):
    parser = argparse.ArgumentParser(prog="chaos/run.sh", description=__doc__)
    parser.add_argument("scenario", help="`list`, or one of the list")
    parser.add_argument("--nodes", type=int, choices=(1, 3, 5), default=3)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--duration", type=float, help="seconds of faults")
    parser.add_argument("--count", type=int, default=20, help="kills of leader-kills")
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--series", type=int, help="of each writer")
    parser.add_argument("--interval", type=float, help="seconds between batches of a writer")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting of all nodes")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--keep", action="store_true", help="keep logs and data of a good run")
    return parser.parse_args(arguments)


def list_scenarios():
    for name, scenario in catalog.SCENARIOS.items():
        print(f"{name:16} {scenario.duration_s:4} s  {scenario.description}")
    for name, (_, description) in MEASUREMENTS.items():
        print(f"{name:16}         {description}")
    print(f"{NOTICES:16}         no faults: proves that the checker notices what is wrong")


def find_tools(build):
    tools = {"gnomon": "gnomon", "switch": "chaos/chaos_switch", "slow_disk": "chaos/libslow_disk.so",
             "moved_clock": "tests/support/moved_clock/libmoved_clock.so",
             "writer": "tests/integration/integration_writer"}
    tools = {name: os.path.abspath(os.path.join(build, path)) for name, path in tools.items()}
    for path in tools.values():
        if not os.path.exists(path):
            print(f"chaos: {path} is missing; build it first", file=sys.stderr)
            sys.exit(2)
    return tools


def start_load(run, cluster, options):
    threads = [writers.Writer(i, cluster, run, late=i == options.writers - 1)
               for i in range(options.writers)]
    threads += [readers.Reader(i, cluster, run) for i in range(options.readers)]
    for thread in threads:
        thread.start()
    return threads


def stop_load(run, threads):
    run.stopping.set()
    for thread in threads:
        thread.join(JOIN_S)
        if thread.is_alive():
            run.findings.add("harness", f"{thread} does not end")


def check_all(run, cluster, when):
    """Everything from every node, all of them well."""
    late = cluster.wait_ready()
    if late:
        run.findings.add("not ready", f"{when}: {', '.join(late)}")
    return sum(final.check_node(node, run.history, run.findings, when)
               for node in cluster.nodes if node.name not in late)


def check_gaps(run, cluster, director):
    director.find_gaps()
    for one in director.happened:
        if one.gap_s > UNAVAILABLE_LIMIT_S and len(cluster.nodes) > 1:
            run.findings.add("unavailable", f"no write for {one.gap_s:.1f} s around {one.name} at "
                             f"{run.at(one.began):.1f} s ({one.words})")


def perform(run, cluster, options, scenario, director):
    """Returns the number of samples compared."""
    cluster.start()
    late = cluster.wait_ready()
    if late:
        run.findings.add("not ready", f"{', '.join(late)} never became ready after the start")
        return 0
    run.began = time.monotonic()
    print(f"{len(cluster.nodes)} nodes are ready", flush=True)
    threads = start_load(run, cluster, options)
    try:
        if options.scenario == NOTICES:
            return notices.perform(run, cluster, lambda: stop_load(run, threads))
        if options.scenario in MEASUREMENTS:
            measure, _ = MEASUREMENTS[options.scenario]
            measure(run, cluster, options)
        else:
            director.direct(options.duration or scenario.duration_s)
            cluster.heal()
            time.sleep(directors.TAIL_S)
    finally:
        stop_load(run, threads)
    cluster.heal()
    if options.writers > 0 and run.history.counts()[1] == 0:
        run.findings.add("idle", "no write was ever acknowledged")
    check_gaps(run, cluster, director)
    print("checking what every node has", flush=True)
    compared = check_all(run, cluster, "after the faults")
    # What was only ever in memory does not come back.
    for node in cluster.nodes:
        node.kill()
    cluster.start()
    compared += check_all(run, cluster, "after all nodes were killed")
    for node in cluster.nodes:
        status, seconds = node.terminate()
        if status != 0:
            run.findings.add("bad end", f"{node.name}: {status} after {seconds:.1f} s of SIGTERM")
    return compared


def execute(options):
    measuring = options.scenario in MEASUREMENTS
    scenario = catalog.SCENARIOS.get(options.scenario, catalog.Scenario("", ()))
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    print(f"{options.scenario}: {options.nodes} nodes, seed {seed}", flush=True)
    tools = find_tools(options.build)
    # Nodes have folders of their own to be in.
    folder = os.path.join(os.path.abspath(options.build), "chaos-runs",
                          f"{options.scenario}-{options.nodes}-{seed}")
    disks.remove(folder)
    os.makedirs(folder)
    run = Run(seed, folder, options.series or (128 if measuring else 64),
              options.interval or (0.05 if measuring else 0.1))
    names = [f"node-{i + 1}" for i in range(options.nodes)]
    network = networks.Network(tools["switch"], names, seed)
    kinds = directors.load(scenario, options.nodes)
    if scenario.faults and not kinds:
        isolation.skip("these faults need more than one node")
    cluster = clusters.Cluster(folder, names, network, tools, clusters.Options(
        any(kind.needs_small_disks for kind in kinds.values()),
        options.scenario == "overload" or
        any(kind.needs_slow_disks for kind in kinds.values()),
        any(kind.needs_moved_clocks for kind in kinds.values()),
        dict(one.split("=", 1) for one in options.set)))
    director = directors.Director(run, cluster, scenario, kinds)
    compared = 0
    try:
        compared = perform(run, cluster, options, scenario, director)
        for text in cluster.deaths:
            run.findings.add("died", text)
        report.print_report(run, cluster, director.happened, compared)
    finally:
        cluster.end()
        run.history.close()
    if run.findings:
        print(f"logs, history and data: {folder}", flush=True)
        return 1
    if not options.keep:
        disks.remove(folder)
    return 0


def main():
    options = parse(sys.argv[1:])
    if options.scenario == "list":
        list_scenarios()
        return 0
    if options.scenario not in (*catalog.SCENARIOS, *MEASUREMENTS, NOTICES):
        print(f"chaos: no scenario '{options.scenario}'; `chaos/run.sh list` has them",
              file=sys.stderr)
        return 2
    isolation.enter()
    return execute(options)


if __name__ == "__main__":
    sys.exit(main())
