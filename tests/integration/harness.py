"""Starts and ends the programs of an integration test, and talks HTTP to them.

Everything is on loopback ports that were free, in a scratch folder that is removed when the test
has passed. A program that a test leaves behind is ended by the test's clean-up.
"""
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.parse

BINARY = os.environ.get("GNOMON_BINARY", "")
WRITER = os.environ.get("GNOMON_WRITER", "")

# Memory and speed are those of a release only.
SANITIZED = "release" not in BINARY

# Sanitized builds on a busy machine are slow; only a test that fails waits this long.
DEADLINE_S = 90


# Below what the kernel gives to outgoing connections: the port of a node that is down for a
# moment must still be its own when it returns.
PORTS = range(15000, 32768)
_ports_given = set()


def free_port():
    """A port that nobody listened on a moment ago; no two calls return the same."""
    while True:
        port = random.choice(PORTS)
        if port in _ports_given:
            continue
        _ports_given.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until(condition, what, deadline_s=DEADLINE_S, alive=None, explain=None):
    """Returns the first true value of `condition()`; `alive` is a Program that must keep running,
    `explain()` a text for who waited in vain."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if alive is not None and alive.process.poll() is not None:
            raise AssertionError(f"{alive.name} ended with {alive.process.returncode} while "
                                 f"waiting until {what}\n{alive.log_tail()}")
        if time.monotonic() > end:
            reason = f"; {explain()}" if explain is not None else ""
            raise AssertionError(f"not in {deadline_s} s: {what}{reason}")
        time.sleep(0.02)


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    def data(self):
        """The data of a Prometheus envelope that says success."""
        envelope = self.json()
        if self.status != 200 or envelope.get("status") != "success":
            raise AssertionError(f"{self.status}: {self.body[:2000]!r}")
        return envelope["data"]


class Program:
    """A process of the test, its output in a log file."""

    def __init__(self, name, folder, arguments, environment=None):
        self.name = name
        self.log_path = os.path.join(folder, name + ".log")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(arguments, cwd=folder, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log,
                                            env={**os.environ, **(environment or {})})

    def log_text(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def log_tail(self):
        return "\n".join(self.log_text().split("\n")[-60:])

    def wait(self, deadline_s=DEADLINE_S):
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired as expired:
            raise AssertionError(f"{self.name} still runs after {deadline_s} s\n"
                                 f"{self.log_tail()}") from expired

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def request(port, method, path, body=None, headers=None, deadline_s=DEADLINE_S):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=deadline_s)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def query_string(parameters):
    return urllib.parse.urlencode(parameters, doseq=True)


class Node(Program):
    """A gnomon; a second Node on the same folder and port is its restart."""

    def __init__(self, folder, port, settings=(), environment=None, binary=None):
        self.port = port
        self.folder = folder
        self.settings = tuple(settings)
        self.started = time.monotonic()
        super().__init__("gnomon", folder,
                         [binary or BINARY, "serve", f"--http.listen=127.0.0.1:{port}",
                          f"--storage.directory={folder}/data", *self.settings], environment)

    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def request(self, method, path, body=None, headers=None):
        return request(self.port, method, path, body, headers)

    def get(self, path, **parameters):
        return self.request("GET", path + ("?" + query_string(parameters) if parameters else ""))

    def is_ready(self):
        try:
            return self.get("/-/ready").status == 200
        except OSError:
            return False

    def wait_ready(self):
        wait_until(self.is_ready, "the node is ready", alive=self,
                   explain=lambda: f"{self.name_of_folder()} says {self.get('/-/ready').body}")
        return self

    def name_of_folder(self):
        return os.path.basename(self.folder)

    def query(self, expression, **parameters):
        return self.get("/api/v1/query", query=expression, **parameters).data()

    def metric(self, name, **labels):
        """The sum of a metric's series on /metrics that have these labels."""
        total, found = 0.0, False
        for line in self.get("/metrics").body.decode().split("\n"):
            if line.startswith("#") or not line.startswith(name):
                continue
            series, _, value = line.rpartition(" ")
            if series.split("{")[0] != name or \
                    any(f'{key}="{wanted}"' not in series for key, wanted in labels.items()):
                continue
            total, found = total + float(value), True
        if not found:
            raise AssertionError(f"no metric {name} {labels}")
        return total

    def terminate(self):
        """SIGTERM; returns how long the end took, in seconds."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.wait()
        if status != 0:
            raise AssertionError(f"gnomon ended with {status}\n{self.log_tail()}")
        return time.monotonic() - started


class IntegrationTest(unittest.TestCase):
    """A test with a scratch folder and programs that end with it."""

    node_environment = None  # of nodes that are started, besides that of the test

    def setUp(self):
        self.assertTrue(BINARY, "GNOMON_BINARY names no program; run by ctest")
        self.folder = tempfile.mkdtemp(prefix="gnomon-integration-")
        self.programs = []
        self.addCleanup(self.end_programs)

    def start(self, program):
        self.programs.append(program)
        return program

    def start_node(self, *settings, port=None):
        node = self.start(Node(self.folder, port or free_port(), settings,
                               self.node_environment))
        return node.wait_ready()

    def restart(self, node, *settings):
        """The same node again, after it has ended."""
        return self.start_node(*(settings or node.settings), port=node.port)

    def end_programs(self):
        failed = self.has_failed()
        for program in reversed(self.programs):
            if failed:
                print(f"--- the end of {program.log_path}:\n{program.log_tail()}", flush=True)
            program.kill()
        if failed:
            print(f"--- kept: {self.folder}", flush=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def has_failed(self):
        # What unittest knows about this test so far.
        result = self._outcome.result
        return any(case is self for case, _ in result.failures + result.errors) or \
            not self._outcome.success


def main():
    unittest.main(verbosity=2)
