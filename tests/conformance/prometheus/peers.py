"""Starts Debian's prometheus and a Gnomon with the same samples, and asks both."""
import http.client
import json
import os
import shutil

import data # also makes the modules of tests/integration known
import harness
from remote_write import HEADERS_1, snappy

CONFIGURATION = {
    "global": {"scrape_interval": "1h"},
    "storage": {"tsdb": {"out_of_order_time_window": "100d"}, "exemplars": {"max_exemplars": 10000}},
}


class Peer:
    """One of the two; keeps its connection."""

    def __init__(self, name, port):
        self.name = name
        self.port = port
        self.connection = None

    def request(self, method, path, body=None, headers=None):
        for last in (False, True):
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                self.connection.request(method, path, body, headers or {})
                response = self.connection.getresponse()
                return harness.Answer(response.status, response.headers, response.read())
            except (http.client.HTTPException, OSError):
                self.connection.close()
                self.connection = None
                if last:
                    raise
        raise AssertionError("unreachable")

    def close(self):
        if self.connection is not None:
            self.connection.close()

    def get(self, path, **parameters):
        """`match` stands for match[]."""
        if "match" in parameters:
            parameters["match[]"] = parameters.pop("match")
        return self.request("GET", "/api/v1/" + path + (
            "?" + harness.query_string(parameters) if parameters else ""))

    def post(self, path, **parameters):
        return self.request("POST", "/api/v1/" + path, harness.query_string(parameters),
                            {"Content-Type": "application/x-www-form-urlencoded"})

    def write(self, series):
        """Some series a request, so that none is too large."""
        for begin in range(0, len(series), 20):
            body = snappy(b"".join(one.encode() for one in series[begin:begin + 20]))
            answer = self.request("POST", "/api/v1/write", body, HEADERS_1)
            if answer.status // 100 != 2:
                raise AssertionError(f"{self.name}: {answer.status} {answer.body!r}")


class PeersTest(harness.IntegrationTest):
    """`self.ours` and `self.theirs`, one pair for all tests of a class."""

    gnomon_settings = ("--telemetry.self_write=false",)
    prometheus_settings = ("--web.enable-admin-api",)

    def start_prometheus(self):
        self.assertIsNotNone(shutil.which("prometheus"), "prometheus is not installed")
        port = harness.free_port()
        path = os.path.join(self.folder, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(CONFIGURATION, file) # YAML takes it
        program = self.start(harness.Program("prometheus", self.folder, [
            "prometheus", f"--config.file={path}", f"--storage.tsdb.path={self.folder}/prometheus",
            f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver",
            "--enable-feature=exemplar-storage,native-histograms",
            "--storage.tsdb.retention.time=100y", *self.prometheus_settings]))
        harness.wait_until(lambda: is_ready(port), "Prometheus is ready", alive=program)
        return Peer("prometheus", port)

    def start_peers(self, series):
        self.node = self.start_node(*self.gnomon_settings)
        self.ours = Peer("gnomon", self.node.port)
        self.theirs = self.start_prometheus()
        for peer in (self.ours, self.theirs):
            self.addCleanup(peer.close)
            peer.write(series)


def is_ready(port):
    try:
        return harness.request(port, "GET", "/-/ready").status == 200
    except OSError:
        return False


__all__ = ["data", "Peer", "PeersTest"]
