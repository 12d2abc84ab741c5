"""What writes feel of replicas that move: a node is drained, and taken back, under load."""
import subprocess
import time

from report import text
from workload import bulk, requests

LOAD_S = 30
USUAL_S = 40
MOVE_DEADLINE_S = 600
TIMES_MAX = 2


def command(cluster, *words):
    node = cluster.nodes[0]
    return subprocess.run(
        [cluster.tools["gnomon"], "cluster", *words, f"--url={node.url()}"],
        capture_output=True, text=True, timeout=MOVE_DEADLINE_S, check=True).stdout


def latencies_ms(run, began, ended):
    return sorted((one.ended - one.began) * 1000 for one in run.writes.all
                  if one.outcome == requests.ACCEPTED and began <= one.began < ended)


def replicas_of(cluster, node):
    status = cluster.status()
    if status is None:
        return None
    return sum(one["node"] == node.name and one["role"] != "missing" for shard in status["shards"]
               for one in shard["replicas"])


def wait_for_replicas(run, cluster, node, is_enough):
    end = time.monotonic() + MOVE_DEADLINE_S
    while time.monotonic() < end:
        count = replicas_of(cluster, node)
        if count is not None and is_enough(count):
            return
        time.sleep(0.2)
    run.findings.add("moves", f"{node.name} has {replicas_of(cluster, node)} replicas after "
                     f"{MOVE_DEADLINE_S} s")


def show(run, words, began, ended, usual_p99):
    found = latencies_ms(run, began, ended)
    p99 = text.quantile(found, 0.99) if found else 0.0
    share = f", {p99 / usual_p99:.2f} of the usual" if usual_p99 else ""
    print(f"{words} ({ended - began:.0f} s): {text.distribution(found, 'ms', 1)}{share}", flush=True)
    if usual_p99 and p99 > TIMES_MAX * usual_p99:
        run.findings.add("slow", f"{words}: p99 {p99:.1f} ms, usual {usual_p99:.1f} ms")
    return p99


def measure(run, cluster, _):
    node = cluster.nodes[-1]
    load = bulk.Bulk(run, cluster, "before", cluster.nodes[:1], 8)
    time.sleep(LOAD_S)
    load.stop()
    cluster.wait_whole(120)
    began = time.monotonic()
    time.sleep(USUAL_S)
    usual = show(run, "no moves", began, time.monotonic(), None)
    for words, is_enough in ((("drain", node.name), lambda count: count == 0),
                             (("undrain", node.name), lambda count: count > 0)):
        began = time.monotonic()
        command(cluster, *words)
        wait_for_replicas(run, cluster, node, is_enough)
        cluster.wait_whole(MOVE_DEADLINE_S)
        show(run, " ".join(words), began, time.monotonic(), usual)
    for one in cluster.nodes:
        print(f"{one.name}: {load.check(one)} samples compared", flush=True)
