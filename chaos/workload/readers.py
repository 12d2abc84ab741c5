"""Asks while faults happen: an answer has everything that was acknowledged before the question, and
nothing that was never sent."""
import random
import threading
import time

import cluster as nodes
from checker import answers
from workload import requests

TIMEOUT_S = 10
INTERVAL_S = 0.25
# Any replica may answer that heard of its leader in the last 5 s.
SETTLED_S = 10
RANGES_S = (15, 20, 30, 60)


class Reader(threading.Thread):
    """Three kinds of questions, and of each two forms.

    own      asked of the node that acknowledged: its own acknowledgements are there at once
    strong   X-Read-Consistency: strong: all acknowledgements, whoever gave them
    settled  asked of any node: what was acknowledged SETTLED_S ago
    """

    def __init__(self, number, cluster, run):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.run_state = run
        self.random = random.Random(f"{run.seed} reader {number}")
        self.connections = [nodes.Connection(node.address, TIMEOUT_S) for node in cluster.nodes]

    def known(self, kind, node, batches, now):
        """Those of `batches` that the answer must have."""
        if kind == "own":
            return [one for one in batches if one.acknowledged_by == node.name]
        limit = now - (SETTLED_S if kind == "settled" else 0)
        return [one for one in batches
                if one.acknowledged_at is not None and one.acknowledged_at < limit]

    def ask(self):
        history = self.random.choice(list(self.run_state.history.writers.values()))
        span = history.span_ms()
        if span is None:
            return
        at = self.random.randrange(len(self.cluster.nodes))
        node = self.cluster.nodes[at]
        kind = self.random.choice(("own", "strong", "settled"))
        range_ms = self.random.choice(RANGES_S) * 1000
        time_ms = self.random.choice((span[1], self.random.randint(*span)))
        began = time.monotonic()
        expected = self.known(kind, node, history.between(time_ms - range_ms, time_ms), began)
        form = self.random.choice((answers.Samples, answers.Counts))
        question = form(history, time_ms, range_ms)
        headers = {"X-Read-Consistency": "strong"} if kind == "strong" else {}
        try:
            answer = self.connections[at].request("GET", question.path(), None, headers)
        except nodes.Unreachable as error:
            self.run_state.queries.add(began, node.name, requests.UNREACHABLE, str(error))
            return
        if answer.status != 200:
            self.run_state.queries.add(began, node.name, requests.UNAVAILABLE,
                                       f"{answer.status} {answer.body.decode(errors='replace')}")
            if answer.status not in (500, 503, 504):
                self.run_state.findings.add("query refused", f"{node.name}: {answer.status} to "
                                            f"{question.text}: {answer.body[:200]!r}")
            return
        self.run_state.queries.add(began, node.name, requests.ACCEPTED)
        sent = history.between(time_ms - range_ms, time_ms)
        for fault, text in question.check(answer.json(), expected, sent):
            self.run_state.findings.add(fault, f"{kind} query of {node.name} at "
                                        f"{self.run_state.at(began):.2f} s, {question.text} at "
                                        f"{time_ms}: {text}")

    def run(self):
        while not self.run_state.stopping.wait(INTERVAL_S):
            self.ask()
        for connection in self.connections:
            connection.close()
