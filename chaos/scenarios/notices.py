"""Proves that the tools work: the network delays and cuts as told, and the checker notices when a
sample is deleted, one altered, one invented, behind its back.
"""
import time

import cluster as nodes
import remote_write as rw
from checker import final, findings
from network import CLIENTS
from workload import history

LOAD_S = 5
DELAY_MS = 150
EXPECTED = {"lost", "altered", "invented"}


def delete(node, instance, timestamp_ms):
    selector = f'{history.METRIC}{{instance="{instance}"}}'
    answer = node.ask("/api/v1/admin/tsdb/delete_series", method="POST", timeout_s=30,
                      **{"match[]": selector, "start": f"{timestamp_ms / 1000:.3f}",
                         "end": f"{timestamp_ms / 1000:.3f}"})
    assert answer.status == 204, answer.body


def write(node, writer, series, timestamp_ms, value):
    labels = [("__name__", history.METRIC), ("instance", f"{writer.name}-{series}"),
              ("job", "chaos"), ("writer", writer.name)]
    answer = node.ask("/api/v1/write", method="POST", timeout_s=30, headers=rw.HEADERS_1,
                      body=rw.snappy(rw.series_1(labels, [(timestamp_ms, value)])))
    assert answer.status == 204, answer.body


class Lines:
    """Takes what is found and keeps it from the log of the run."""

    def write(self, text):
        pass

    def flush(self):
        pass


def seconds_of(node, timeout_s=5):
    """Of a request, None when nothing comes back."""
    began = time.monotonic()
    try:
        node.ask("/-/healthy", timeout_s=timeout_s)
    except nodes.Unreachable:
        return None
    return time.monotonic() - began


def check_network(run, cluster):
    network, node = cluster.network, cluster.nodes[0]
    directions = ((CLIENTS, node.name), (node.name, CLIENTS))
    for origin, target in directions:
        network.path(origin, target, delay_ms=DELAY_MS)
        # There and back: once for the connection, once for the answer; one of the two is slow.
        seconds = seconds_of(node)
        if seconds is None or seconds < 2 * DELAY_MS / 1000 * 0.9:
            run.findings.add("network", f"{DELAY_MS} ms from {origin} to {target} cost {seconds} s")
        network.heal()
        network.cut([origin], [target])
        if seconds_of(node, timeout_s=1) is not None:
            run.findings.add("network", f"{origin} reaches {target} though that is cut")
        network.heal()
        if seconds_of(node) is None:
            run.findings.add("network", f"{origin} does not reach {target} though that is healed")


def spoil(node, writer):
    first, second = writer.batches[0], writer.batches[1]
    unused_ms = first.timestamp_ms + 1
    assert unused_ms < second.timestamp_ms
    delete(node, f"{writer.name}-0", first.timestamp_ms)
    delete(node, f"{writer.name}-1", first.timestamp_ms)
    write(node, writer, 1, first.timestamp_ms, history.value_of(0, 1) + 1)
    write(node, writer, 2, unused_ms, 5.0)


def perform(run, cluster, stop_load):
    """Returns the number of samples compared."""
    time.sleep(LOAD_S)
    stop_load()
    check_network(run, cluster)
    found = findings.Findings(Lines())
    compared = final.check_node(cluster.nodes[0], run.history, found, "before")
    for line in found.lines():
        run.findings.add("too early", line)
    spoil(cluster.nodes[0], next(iter(run.history.writers.values())))
    for node in cluster.nodes:
        found = findings.Findings(Lines())
        final.check_node(node, run.history, found, "after")
        for kind in EXPECTED - set(found.kinds):
            run.findings.add("not noticed", f"{kind}, of {node.name}")
        for kind in set(found.kinds) - EXPECTED:
            run.findings.add("unexpected", f"{kind}, of {node.name}: {found.kinds[kind][0]}")
    return compared
