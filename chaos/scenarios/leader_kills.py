"""How long writes stop when the leader of most shards is killed: a measurement."""
import time

from report import text

SETTLE_S = 5
RESUME_DEADLINE_S = 60


def leader_of_most(cluster):
    """A node that leads, by what the cluster says; with one node, that one."""
    leaders = cluster.leaders()
    if not leaders:
        return None
    names = sorted(set(leaders.values()))
    return cluster.node(max(names, key=list(leaders.values()).count))


def wait_until_accepted(run, begun_after):
    end = time.monotonic() + RESUME_DEADLINE_S
    while time.monotonic() < end:
        seconds = run.writes.first_accepted(begun_after)
        if seconds is not None:
            return seconds
        time.sleep(0.02)
    return None


def measure(run, cluster, options):
    """Prints each and the distribution; returns seconds, None for one that never resumed."""
    times = []
    for number in range(options.count):
        time.sleep(SETTLE_S)
        node = leader_of_most(cluster)
        if node is None:
            run.findings.add("no leader", "the cluster names no leader of any shard")
            break
        led = list(cluster.leaders().values()).count(node.name)
        with cluster.mutex:
            killed_at = time.monotonic()
            node.kill()
        seconds = wait_until_accepted(run, killed_at)
        if seconds is None:
            run.findings.add("unavailable", f"no write in {RESUME_DEADLINE_S} s after {node.name}, "
                             f"leader of {led} shards, was killed")
        else:
            times.append(seconds)
            print(f"{number + 1:3}: {node.name}, leader of {led} shards: writes after "
                  f"{seconds:.3f} s", flush=True)
        with cluster.mutex:
            node.start()
        late = cluster.wait_ready()
        if late:
            run.findings.add("not ready", f"{', '.join(late)} after kill -9 and start")
            break
        cluster.wait_whole(60)
    if times:
        print("writes resume after: " + text.distribution(times, "s", 3), flush=True)
    return times
