"""All nodes are ended and started one after the other while they are written and asked: no request
fails and no answer is wrong.

A client of this test does what every HTTP client in front of several nodes does, and no more: who
refuses the connection is passed over, and a kept connection that ends before the first byte of an
answer is made anew. Any answer but the right one is a failure.
"""
import http.client
import json
import threading
import time

import harness
import remote_write as rw
from test_cluster import ClusterTest

WRITERS, READERS = 3, 3
SERIES = 60  # of each writer, on all shards
BETWEEN_S = 1.0
DELAY_MAX_S = 15  # of a request, sanitizers included


class Client:
    """Requests to the nodes by turns, over connections that are kept; for one thread."""

    def __init__(self, nodes, first):
        self.nodes = nodes
        self.next = first
        self.connections = {}

    def attempt(self, node, method, path, body, headers):
        """None: nobody took it."""
        connection = self.connections.get(node.port)
        is_kept = connection is not None
        try:
            if not is_kept:
                connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
                connection.connect()
        except ConnectionRefusedError:
            return None
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            connection.close()
            self.connections.pop(node.port, None)
            if not is_kept:
                raise
            return self.attempt(node, method, path, body, headers)
        content = response.read()
        if response.will_close:
            connection.close()
            self.connections.pop(node.port, None)
        else:
            self.connections[node.port] = connection
        return harness.Answer(response.status, response.headers, content)

    def request(self, method, path, body=None, headers=None):
        for _ in range(3 * len(self.nodes)):
            node = self.nodes[self.next % len(self.nodes)]
            self.next += 1
            answer = self.attempt(node, method, path, body, headers or {})
            if answer is not None:
                return node, answer
        raise AssertionError("no node takes connections")

    def close(self):
        for connection in self.connections.values():
            connection.close()


class Load:
    """Threads until they are stopped, and what went wrong in them."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.stopping = threading.Event()
        self.failures = []
        self.counts = {"write": 0, "query": 0}
        self.slowest_s = {"write": 0.0, "query": 0.0}
        self.written = [0] * WRITERS  # ticks that are acknowledged
        self.start_ms = (int(time.time()) - 86400) * 1000
        self.threads = [threading.Thread(target=self.run, args=(self.write, i))
                        for i in range(WRITERS)]
        self.threads += [threading.Thread(target=self.run, args=(self.query, i))
                         for i in range(READERS)]
        for thread in self.threads:
            thread.start()

    def run(self, step, number):
        client = Client(self.nodes, number)
        try:
            while not self.stopping.is_set() and not self.failures:
                kind = step.__name__
                began = time.monotonic()
                step(client, number)
                self.slowest_s[kind] = max(self.slowest_s[kind], time.monotonic() - began)
                self.counts[kind] += 1
        except Exception as error:  # whatever it is, the test is to tell it
            self.failures.append(f"{step.__name__} {number}: {type(error).__name__}: {error}")
        finally:
            client.close()

    def write(self, client, number):
        tick = self.written[number]
        body = b"".join(rw.series_1([("__name__", "rolled"), ("instance", f"{number}-{i}"),
                                     ("job", "rolling"), ("writer", str(number))],
                                    [(self.start_ms + tick * 1000, tick * 1000.0 + i)])
                        for i in range(SERIES))
        node, answer = client.request("POST", "/api/v1/write", rw.snappy(body), rw.HEADERS_1)
        assert answer.status == 204, f"{node.port} answers {answer.status}: {answer.body}"
        self.written[number] = tick + 1

    def query(self, client, _):
        """What was acknowledged to anybody a while ago, at a time when it had been."""
        number = client.next % WRITERS
        tick = self.written[number] - 1
        if tick < 0:
            time.sleep(0.01)
            return
        path = (f"/api/v1/query?query=sum(rolled%7Bwriter%3D%22{number}%22%7D)"
                f"&time={self.start_ms // 1000 + tick}")
        node, answer = client.request("GET", path, headers={"X-Read-Consistency": "strong"})
        assert answer.status == 200, f"{node.port} answers {answer.status}: {answer.body}"
        document = json.loads(answer.body)
        assert "warnings" not in document, document
        expected = SERIES * tick * 1000 + SERIES * (SERIES - 1) // 2
        found = [float(one["value"][1]) for one in document["data"]["result"]]
        assert found == [expected], f"{node.port}, tick {tick}: {found} instead of {expected}"

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


class RollingRestart(ClusterTest):
    def test_no_request_fails_and_no_answer_is_wrong(self):
        names = ["n1", "n2", "n3"]
        nodes = self.launch_all(names)
        load = Load(nodes)  # the ports stay
        try:
            for name in names * 2:
                time.sleep(BETWEEN_S)
                seconds = self.nodes[name].terminate()
                self.assertLess(seconds, 30)
                self.relaunch(name)
                self.assertEqual(load.failures, [])
        finally:
            load.stop()
        self.assertEqual(load.failures, [])
        self.assertGreater(min(load.counts.values()), 100, load.counts)
        self.assertLess(max(load.slowest_s.values()), DELAY_MAX_S, load.slowest_s)
        print(f"{load.counts['write']} writes, slowest {load.slowest_s['write']:.2f} s; "
              f"{load.counts['query']} queries, slowest {load.slowest_s['query']:.2f} s", flush=True)


if __name__ == "__main__":
    harness.main()
