"""A shard becomes two while it is written and read: no write and no query fails, nothing is lost,
doubled or missing, on any node, also when a node dies in between."""
import subprocess
import threading
import time

import harness
import remote_write as rw
from test_cluster import ClusterTest

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SERIES = 300
SAMPLES = 20


class Load:
    """Writes and queries over and over, on threads of their own, until `stop`."""

    def __init__(self, test, nodes):
        self.test = test
        self.nodes = nodes
        self.failures = []
        self.write_ms = []
        self.read_ms = []
        self.stopped = threading.Event()
        self.threads = []
        for node in nodes:
            for run in (self.write, self.read):
                thread = threading.Thread(target=self.run, args=(run, node))
                thread.start()
                self.threads.append(thread)

    def run(self, what, node):
        number = 0
        while not self.stopped.is_set():
            number += 1
            try:
                what(node, number)
            except OSError as error:
                if node.process.poll() is None and not getattr(node, "dies", False):
                    self.failures.append(f"{node.name}: {error!r}")
            except AssertionError as error:
                self.failures.append(f"{node.name}: {error}")

    def write(self, node, number):
        """Series that are known, and one that is new."""
        now_ms = int(time.time() * 1000)
        body = b"".join(rw.series_1([("__name__", "live"), ("by", node.name_of_folder()),
                                     ("instance", f"host-{i}")], [(now_ms, float(number))])
                        for i in range(64))
        body += rw.series_1([("__name__", "fresh"), ("by", node.name_of_folder()),
                             ("instance", f"new-{number}")], [(now_ms, 1.0)])
        began = time.monotonic()
        answer = node.request("POST", "/api/v1/write", rw.snappy(body), rw.HEADERS_1)
        self.write_ms.append((time.monotonic() - began) * 1000)
        self.test.assertEqual(answer.status, 204, answer.body)
        time.sleep(0.005)

    def read(self, node, number):
        at = self.test.end_ms / 1000
        queries = [("count(load)", SERIES), ("sum(count_over_time(load[1h]))", SERIES * SAMPLES),
                   ("sum(load) - sum(load offset 15s)", SERIES),
                   ("count(rate(load[5m]))", SERIES)]
        expression, expected = queries[number % len(queries)]
        began = time.monotonic()
        answer = node.get("/api/v1/query", query=expression, time=at)
        self.read_ms.append((time.monotonic() - began) * 1000)
        self.test.assertEqual(answer.status, 200, answer.body)
        result = answer.data()["result"]
        value = float(result[0]["value"][1]) if result else 0
        self.test.assertEqual(value, expected, f"{expression} on {node.name}")
        if number % 8 == 0:
            series = node.get("/api/v1/series", **{"match[]": "load"}).data()
            self.test.assertEqual(len(series), SERIES)

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        self.test.assertEqual(self.failures[:5], [])


class Splitting(ClusterTest):
    def setUp(self):
        super().setUp()
        nodes = self.launch_all(["n1", "n2", "n3"], "--cluster.shards=2")
        self.refuse_before_all_know_how(nodes[0])
        self.end_ms = int(time.time() * 1000) // 15000 * 15000
        body = b"".join(
            rw.series_1([("__name__", "load"), ("instance", f"host-{i}")],
                        [(self.end_ms - (SAMPLES - 1 - tick) * 15000, float(i + tick))
                         for tick in range(SAMPLES)]) for i in range(SERIES))
        answer = self.nodes["n1"].request("POST", "/api/v1/write", rw.snappy(body), rw.HEADERS_1)
        self.assertEqual(answer.status, 204, answer.body)
        for node in self.nodes.values():
            harness.wait_until(lambda node=node: self.count(node) == SERIES, "all is visible")

    def refuse_before_all_know_how(self, node):
        answer = node.request("POST", "/api/v1/admin/cluster/split", b"shard=0", FORM)
        self.assertEqual(answer.status, 400, answer.body)
        self.assertIn("from version 2 on", answer.body.decode())
        subprocess.run([harness.BINARY, "cluster", "version", "--raise", f"--url={node.url()}"],
                       check=True, timeout=60, stdout=subprocess.DEVNULL)
        harness.wait_until(lambda: self.cluster(node)["version"] == 2, "version 2 is in force")

    def refuse_without_all(self, node):
        """Who is away would have a vote in what is split off, and nothing else."""
        harness.wait_until(lambda: not all(one["alive"] for one in self.cluster(node)["nodes"]),
                           "it is known that a node is away")
        answer = node.request("POST", "/api/v1/admin/cluster/split", b"shard=largest", FORM)
        self.assertEqual(answer.status, 400, answer.body)

    def count(self, node):
        result = node.query("count(load)", time=self.end_ms / 1000)["result"]
        return float(result[0]["value"][1]) if result else 0

    def split(self, node, which):
        outcome = subprocess.run([harness.BINARY, "cluster", "split", which, f"--url={node.url()}"],
                                 capture_output=True, text=True, timeout=90, check=False)
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        return outcome.stdout

    def shards(self, node):
        return self.cluster(node)["shards"]

    def test_shards_are_split_under_load(self):
        writer = self.start_writer([node.url() for node in self.nodes.values()])
        self.wait_for_samples(20000)
        load = Load(self, list(self.nodes.values()))
        time.sleep(2)
        printed = self.split(self.nodes["n1"], "0")
        self.assertIn("shard 2: led by", printed)
        time.sleep(2)
        self.split(self.nodes["n2"], "--largest")
        time.sleep(2)
        self.split(self.nodes["n3"], "2")
        time.sleep(3)
        load.stop()
        self.end_writer(writer)
        self.assertEqual([shard.get("parent") for shard in self.shards(self.nodes["n2"])],
                         [None, None, 0, 1, 2])
        self.check_everywhere()
        writes, reads = sorted(load.write_ms), sorted(load.read_ms)
        print(f"writes {len(writes)} p50 {writes[len(writes) // 2]:.0f} ms "
              f"p99 {writes[len(writes) * 99 // 100]:.0f} ms max {writes[-1]:.0f} ms; "
              f"reads {len(reads)} p99 {reads[len(reads) * 99 // 100]:.0f} ms "
              f"max {reads[-1]:.0f} ms")
        for name in list(self.nodes):
            self.nodes[name].kill()
            self.relaunch(name)
        self.check_everywhere()
        for node in self.nodes.values():
            self.assertEqual(self.count(node), SERIES)


    def test_a_node_that_dies_in_the_middle_of_a_split_loses_nothing(self):
        alive = [self.nodes["n1"], self.nodes["n2"]]
        writer = self.start_writer([node.url() for node in alive])
        self.wait_for_samples(10000)
        load = Load(self, alive)
        time.sleep(1)
        for round_, delay_s in enumerate([0.0, 0.1, 0.3]):
            node = self.nodes["n3"]
            answer = alive[round_ % 2].request("POST", "/api/v1/admin/cluster/split",
                                               b"shard=largest", FORM)
            self.assertEqual(answer.status, 204, answer.body)
            time.sleep(delay_s)
            node.kill()
            child = 2 + round_
            harness.wait_until(
                lambda child=child: len(self.shards(alive[0])) > child and
                self.shards(alive[0])[child]["leader"], f"shard {child} is led by who is left")
            self.refuse_without_all(alive[0])
            self.relaunch("n3")
            harness.wait_until(lambda: all(
                one["alive"] for one in self.cluster(alive[1])["nodes"]) and all(
                shard.get("settled") and replica.get("bytesBehind", 1 << 30) < 1 << 20
                for shard in self.shards(alive[1]) for replica in shard["replicas"]),
                "the node that died has caught up")
        load.stop()
        self.end_writer(writer)
        self.check_everywhere()
        for node in self.nodes.values():
            self.assertEqual(self.count(node), SERIES)
        # What the replicas have is the same, file by file.
        outcome = subprocess.run([harness.BINARY, "cluster", "verify",
                                  f"--url={alive[0].url()}"], capture_output=True, text=True,
                                 timeout=90, check=False)
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)


class OneNode(ClusterTest):
    def test_a_cluster_of_one_node_splits_too(self):
        node = self.launch_all(["n1"], "--cluster.shards=1")[0]
        subprocess.run([harness.BINARY, "cluster", "version", "--raise", f"--url={node.url()}"],
                       check=True, timeout=60, stdout=subprocess.DEVNULL)
        harness.wait_until(lambda: self.cluster(node)["version"] == 2, "version 2 is in force")
        writer = self.start_writer([node.url()])
        self.wait_for_samples(10000)
        for count in range(2, 5):
            answer = node.request("POST", "/api/v1/admin/cluster/split", b"shard=largest", FORM)
            self.assertEqual(answer.status, 204, answer.body)
            harness.wait_until(lambda count=count: [
                shard["leader"] for shard in self.cluster(node)["shards"]] == ["n1"] * count,
                "what was split off is led")
        answer = node.request("POST", "/api/v1/admin/cluster/split", b"shard=9", FORM)
        self.assertEqual(answer.status, 404, answer.body)
        answer = node.request("POST", "/api/v1/admin/tsdb/snapshot")
        self.assertEqual(answer.status, 400, answer.body)
        self.wait_for_samples(10000)
        self.end_writer(writer)
        self.check_on(node)
        node.kill()
        self.relaunch("n1")
        self.check_everywhere()


if __name__ == "__main__":
    harness.main()
