"""Three times what the cluster takes, for minutes, with a follower whose disk is slow: a measurement
of memory, which must not grow, and a proof that nothing acknowledged is lost.
"""
import re
import time

from workload import bulk

WARM_S = 20
CONNECTIONS = 8 # as many as it takes to be busy
TIMES = 3
SLOW_DISK_MS = 50
SETTLE_S = 60 # heads, caches and buffers of each connection have their size then
GROWTH_MAX = 1.15
METRIC = re.compile(r"^gnomon_ingest_samples_total (\S+)$", re.M)


def memory_mb(node):
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def accepted(cluster):
    total = 0
    for node in cluster.nodes:
        found = METRIC.search(node.ask("/metrics", timeout_s=30).body.decode())
        total += float(found.group(1)) if found else 0
    return total


def rate_of(cluster, seconds):
    before, began = accepted(cluster), time.monotonic()
    time.sleep(seconds)
    return (accepted(cluster) - before) / (time.monotonic() - began)


def watch(cluster, seconds):
    """The highest memory of each node in each minute, in MB."""
    minutes = []
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        minute = int((time.monotonic() - began) // 60)
        if minute == len(minutes):
            minutes.append([0.0] * len(cluster.nodes))
        for i, node in enumerate(cluster.nodes):
            minutes[minute][i] = max(minutes[minute][i], memory_mb(node))
        time.sleep(0.5)
    return minutes


def judge(run, cluster, minutes):
    for i, node in enumerate(cluster.nodes):
        figures = [minute[i] for minute in minutes]
        print(f"{node.name}: " + " ".join(f"{figure:.0f}" for figure in figures) +
              " MB at most in each minute", flush=True)
        if len(figures) > 1 and figures[-1] > GROWTH_MAX * figures[0]:
            run.findings.add("memory", f"{node.name} grows: {figures[0]:.0f} MB in the first minute, "
                             f"{figures[-1]:.0f} in the last")


def measure(run, cluster, options):
    slow = cluster.nodes[-1]
    cluster.wait_whole(60)
    usual = bulk.Bulk(run, cluster, "usual", cluster.nodes[:1], CONNECTIONS)
    time.sleep(WARM_S / 2)
    capacity = rate_of(cluster, WARM_S)
    slow.disk_delay.set(SLOW_DISK_MS)
    more = bulk.Bulk(run, cluster, "more", cluster.nodes, TIMES * CONNECTIONS, CONNECTIONS)
    print(f"{capacity / 1e6:.2f} M samples/s by {CONNECTIONS} connections; now {SLOW_DISK_MS} ms "
          f"before each write of {slow.name}, and {len(cluster.nodes)} times {TIMES * CONNECTIONS} "
          "connections more", flush=True)
    time.sleep(SETTLE_S)
    before, began = accepted(cluster), time.monotonic()
    minutes = watch(cluster, options.duration or 300)
    rate = (accepted(cluster) - before) / (time.monotonic() - began)
    print(f"{rate / 1e6:.2f} M samples/s were accepted meanwhile", flush=True)
    judge(run, cluster, minutes)
    for load in (usual, more):
        load.stop()
    slow.disk_delay.set(0)
    cluster.wait_whole(120)
    # All of it takes as long as the load did.
    for node, loads in ((cluster.nodes[0], (usual,)), (slow, (usual, more))):
        print(f"comparing what {node.name} has", flush=True)
        compared = sum(load.check(node) for load in loads)
        print(f"{node.name}: {compared} samples compared", flush=True)
