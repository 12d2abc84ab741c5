"""Nodes that are there for writes or for queries only."""
import subprocess
import time

import harness
import remote_write as rw
from test_cluster import ClusterTest

SERIES = 50
REFUSED_QUERIES = ("/api/v1/query?query=1", "/prometheus/api/v1/query_range?query=1&start=0&end=1&step=1",
                   "/api/v1/series?match[]=up", "/api/v1/labels", "/api/v1/label/job/values",
                   "/api/v1/metadata", "/api/v1/query_exemplars?query=up", "/federate?match[]=up",
                   "/prometheus/federate?match[]=up", "/api/v1/search/metric_names?search[]=a")


class Roles(ClusterTest):
    def setUp(self):
        super().setUp()
        self.now_ms = int(time.time() * 1000)
        self.roles = {"n1": "ingest", "n2": "ingest, query", "n3": "all", "n4": "query"}
        for name in self.roles:
            self.port_of(self.cluster_ports, name)
        for name in self.roles:
            self.launch_with(name, self.roles[name])
        for node in self.nodes.values():
            node.wait_ready()

    def launch_with(self, name, roles):
        return self.launch(name, list(self.roles), "--cluster.shards=4", f"--roles={roles}")

    def write(self, node):
        body = rw.snappy(b"".join(
            rw.series_1([("__name__", "load"), ("instance", f"host-{i}")], [(self.now_ms, float(i))])
            for i in range(SERIES)))
        return node.request("POST", "/api/v1/write", body, rw.HEADERS_1)

    def count(self, node):
        result = node.query("count(load)", time=self.now_ms / 1000)["result"]
        return int(result[0]["value"][1]) if result else 0

    def described(self, name):
        picture = self.cluster(self.nodes["n1"])
        return next(entry for entry in picture["nodes"] if entry["name"] == name)

    def is_settled(self):
        picture = self.cluster(self.nodes["n1"])
        progress = picture.get("progress", {})
        return picture["observed"] and all(shard.get("settled") for shard in picture["shards"]) and \
            progress["done"] == progress["planned"]

    def test_each_node_does_what_it_is_there_for(self):
        self.assertEqual({name: self.described(name)["roles"] for name in self.roles},
                         {"n1": ["ingest"], "n2": ["ingest", "query"],
                          "n3": ["ingest", "query", "store", "rules"], "n4": ["query"]})
        for name in ("n1", "n2", "n3"):
            answer = self.write(self.nodes[name])
            self.assertEqual(answer.status, 204, answer.body)
        for path in ("/api/v1/write", "/api/v1/push", "/prometheus/api/v1/write"):
            answer = self.nodes["n4"].request("POST", path, b"", rw.HEADERS_1)
            self.assertEqual((answer.status, answer.json()["errorType"]), (503, "unavailable"))
            self.assertIn("role ingest", answer.json()["error"])
        for name in ("n2", "n3", "n4"):
            self.assertEqual(self.count(self.nodes[name]), SERIES)
        for path in REFUSED_QUERIES:
            answer = self.nodes["n1"].request("GET", path)
            self.assertEqual((answer.status, answer.json()["errorType"]), (404, "not_found"), path)
            self.assertIn("role query", answer.json()["error"])
        for node in self.nodes.values(): # what any node answers
            self.assertEqual(node.get("/api/v1/status/buildinfo").status, 200)
            self.assertEqual(node.get("/metrics").status, 200)
        self.assertEqual(self.described("n4")["replicas"], 0)
        self.assertEqual({self.described(name)["replicas"] for name in ("n1", "n2", "n3")}, {4})
        self.assertEqual(self.nodes["n4"].metric("gnomon_hosting_replicas"), 0)
        printed = self.status()
        self.assertIn("only ingest, query", printed)
        self.assertRegex(printed, r"n4 .*only query")

    def status(self):
        return subprocess.run([harness.BINARY, "cluster", "status",
                               f"--url={self.nodes['n3'].url()}"], capture_output=True, text=True,
                              timeout=60, check=True).stdout

    def test_replicas_leave_a_node_that_does_not_ingest_any_more(self):
        """And come to one that does from now on."""
        answer = self.write(self.nodes["n1"])
        self.assertEqual(answer.status, 204, answer.body)
        for name, roles in (("n4", "all"), ("n2", "query")):
            self.nodes[name].terminate()
            self.launch_with(name, roles).wait_ready()
        harness.wait_until(lambda: self.described("n2")["replicas"] == 0 and
                           self.described("n4")["replicas"] == 4 and self.is_settled(),
                           "the replicas have moved", explain=self.status)
        harness.wait_until(lambda: self.nodes["n2"].metric("gnomon_hosting_replicas") == 0,
                           "the former ones are removed")
        for name in ("n2", "n3", "n4"):
            self.assertEqual(self.count(self.nodes[name]), SERIES)
        self.assertEqual(self.write(self.nodes["n2"]).status, 503)
        self.assertEqual(self.write(self.nodes["n4"]).status, 204)


class Alone(ClusterTest):
    def test_a_node_alone_shows_its_roles(self):
        node = self.start(harness.Node(self.folder, harness.free_port(), ("--roles=ingest,rules",)))
        node.wait_ready()
        self.assertEqual(self.cluster(node)["roles"], ["ingest", "rules"])
        self.assertEqual(node.get("/api/v1/query", query="1").status, 404)

    def test_a_node_alone_needs_to_ingest(self):
        node = self.start(harness.Node(self.folder, harness.free_port(), ("--roles=query",)))
        self.assertEqual(node.wait(), 1)
        self.assertIn("a node alone needs the role ingest", node.log_text())


if __name__ == "__main__":
    harness.main()
