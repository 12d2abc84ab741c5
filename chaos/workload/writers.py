"""Sends samples as Prometheus does: in order, and again until they are taken."""
import random
import threading
import time

import cluster as nodes
import remote_write as rw
from workload import history, requests

TIMEOUT_S = 5 # of one attempt
PAUSE_S = 0.05 # before the next
GIVE_UP_S = 30 # then what was sent is neither here nor there
LATE_BY_MS = 3600 * 1000
LATE_BLOCK = 16 # batches among which a late writer's order is any


class Writer(threading.Thread):
    """One sender. `late` writes old samples, and not in their order."""

    def __init__(self, number, cluster, run, late=False):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.run_state = run
        self.late = late
        self.random = random.Random(f"{run.seed} writer {number}")
        label = f"w{number}"
        self.history = run.history.writer(label, run.series_count)
        self.home = number % len(cluster.nodes)
        self.at = self.home
        self.connections = [nodes.Connection(node.address, TIMEOUT_S) for node in cluster.nodes]
        # An instance each: they are spread over all shards, and a write needs all of them.
        self.labels = [rw.labels_1([("__name__", history.METRIC),
                                    ("instance", f"{label}-{i}"), ("job", "chaos"),
                                    ("writer", label)]) for i in range(run.series_count)]
        self.last_ms = 0
        self.late_ms = []
        self.late_next_ms = int(time.time() * 1000) - LATE_BY_MS

    def next_timestamp_ms(self):
        if not self.late:
            self.last_ms = max(self.last_ms + 1, int(time.time() * 1000))
            return self.last_ms
        if not self.late_ms:
            self.late_ms = [self.late_next_ms + i * 100 for i in range(LATE_BLOCK)]
            self.late_next_ms += LATE_BLOCK * 100
            self.random.shuffle(self.late_ms)
        return self.late_ms.pop()

    def body(self, batch):
        return rw.snappy(b"".join(
            rw.field_bytes(1, labels + rw.field_bytes(2, rw.field_double(
                1, history.value_of(batch.number, i)) + rw.field_varint(2, batch.timestamp_ms)))
            for i, labels in enumerate(self.labels)))

    def attempt(self, batch, body):
        """Returns whether the batch is done with."""
        node = self.cluster.nodes[self.at]
        began = time.monotonic()
        try:
            answer = self.connections[self.at].request("POST", "/api/v1/write", body,
                                                       rw.HEADERS_1)
        except nodes.Unreachable as error:
            self.run_state.writes.add(began, node.name, requests.UNREACHABLE, str(error))
            return False
        if answer.status // 100 == 2:
            self.history.acknowledged(batch, node.name, time.monotonic())
            self.run_state.writes.add(began, node.name, requests.ACCEPTED)
            return True
        self.run_state.writes.add(began, node.name, requests.UNAVAILABLE,
                                  f"{answer.status} {answer.body.decode(errors='replace')}")
        if answer.status != 503:
            self.run_state.findings.add("refused", f"{node.name} answers {answer.status} to a valid "
                                        f"write: {answer.body[:200]!r}")
            return answer.status == 400 # Prometheus drops it
        return False

    def deliver(self, batch):
        body = self.body(batch)
        end = time.monotonic() + GIVE_UP_S
        while not self.attempt(batch, body):
            if time.monotonic() > end or self.run_state.stopping.is_set():
                return
            self.at = self.random.randrange(len(self.cluster.nodes))
            self.run_state.stopping.wait(PAUSE_S)

    def run(self):
        while not self.run_state.stopping.is_set():
            began = time.monotonic()
            self.deliver(self.history.sent(self.next_timestamp_ms()))
            if self.at != self.home and self.random.random() < 0.05:
                self.at = self.home
            left_s = self.run_state.interval_s - (time.monotonic() - began)
            if left_s > 0:
                self.run_state.stopping.wait(left_s)
        for connection in self.connections:
            connection.close()
