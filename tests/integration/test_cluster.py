"""Three nodes are one: they form a cluster by themselves, take writes and queries anywhere, and go
on when any of them dies.
"""
import os
import signal
import subprocess
import time

import harness


class ClusterTest(harness.IntegrationTest):
    """A test with nodes n1, n2, ... that know each other."""

    def setUp(self):
        super().setUp()
        self.cluster_ports = {}
        self.http_ports = {}
        self.nodes = {}

    def port_of(self, ports, name):
        return ports.setdefault(name, harness.free_port())

    def settings_of(self, name, peers, *more):
        more = more or ("--cluster.shards=8",)
        entries = ",".join(f"{peer}=127.0.0.1:{self.port_of(self.cluster_ports, peer)}"
                           for peer in peers)
        return (f"--cluster.node={name}", f"--cluster.peers={entries}",
                f"--cluster.listen=127.0.0.1:{self.port_of(self.cluster_ports, name)}",
                f"--cluster.zone=zone-{name}",
                "--telemetry.self_write=false", *more)

    def launch(self, name, peers, *more):
        """A node of the cluster, which is not waited for; again: its restart."""
        folder = os.path.join(self.folder, name)
        os.makedirs(folder, exist_ok=True)
        node = self.start(harness.Node(folder, self.port_of(self.http_ports, name),
                                       self.settings_of(name, peers, *more)))
        self.nodes[name] = node
        return node

    def launch_all(self, names, *more):
        for name in names:
            self.port_of(self.cluster_ports, name)
        nodes = [self.launch(name, names, *more) for name in names]
        for node in nodes:
            node.wait_ready()
        return nodes

    def relaunch(self, name):
        """The node again, with the settings it had, after it has ended."""
        former = self.nodes[name]
        node = self.start(harness.Node(former.folder, former.port, former.settings))
        self.nodes[name] = node
        return node.wait_ready()

    def start_writer(self, urls, *arguments):
        state = os.path.join(self.folder, "writer.state")
        start_ms = int(time.time() - 30 * 86400) // 1000 * 1000 * 1000
        return self.start(harness.Program("writer", self.folder, [
            harness.WRITER, "send", *(f"--url={url}" for url in urls), f"--state={state}",
            f"--start-ms={start_ms}", "--seconds=300", *arguments]))

    def acknowledged(self):
        return sum(node.metric("gnomon_ingest_samples_total") for node in self.nodes.values()
                   if node.process.poll() is None)

    def wait_for_samples(self, count):
        before = self.acknowledged()
        harness.wait_until(lambda: self.acknowledged() >= before + count,
                           f"{count} more samples are stored")

    def end_writer(self, writer):
        writer.process.send_signal(signal.SIGTERM)
        self.assertEqual(writer.wait(), 0, writer.log_tail())

    def check_on(self, node):
        outcome = subprocess.run(
            [harness.WRITER, "check", f"--url={node.url()}", f"--state={self.folder}/writer.state"],
            capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        self.assertGreater(int(outcome.stdout.split()[0]), 0, outcome.stdout)

    def check_everywhere(self):
        for node in self.nodes.values():
            self.check_on(node)

    def cluster(self, node):
        return node.get("/api/v1/cluster").data()


class Forming(ClusterTest):
    def test_three_nodes_with_the_same_peers_form_a_cluster(self):
        nodes = self.launch_all(["n1", "n2", "n3"])
        pictures = [self.cluster(node) for node in nodes]
        self.assertEqual(len({picture["id"] for picture in pictures}), 1)
        for picture in pictures:
            self.assertEqual([node["name"] for node in picture["nodes"]], ["n1", "n2", "n3"])
            self.assertEqual(len(picture["shards"]), 8)
            for shard in picture["shards"]:
                self.assertEqual(len(shard["replicas"]), 3)

    def test_leaders_are_spread_evenly_when_nothing_happens(self):
        node = self.launch_all(["n1", "n2", "n3"])[0]

        def leaders():
            return sorted(entry.get("leaders", 0) for entry in self.cluster(node)["nodes"])
        harness.wait_until(lambda: leaders() == [2, 3, 3], "leaders are even")

    def test_a_node_alone_refuses_the_directory_of_a_cluster(self):
        node = self.launch_all(["n1"])[0]
        node.terminate()
        alone = self.start(harness.Node(node.folder, node.port))
        self.assertEqual(alone.wait(), 1)
        self.assertIn("belongs to a cluster", alone.log_text())


class Growing(ClusterTest):
    def start_first(self):
        """A node that was alone, with data, is started again as the first of a cluster."""
        folder = os.path.join(self.folder, "n1")
        os.makedirs(folder)
        alone = self.start(harness.Node(folder, self.port_of(self.http_ports, "n1"),
                                        ("--telemetry.self_write=false",))).wait_ready()
        writer = self.start_writer([alone.url()])
        harness.wait_until(lambda: alone.metric("gnomon_ingest_samples_total") >= 20000,
                           "a node alone has samples", alive=alone)
        self.end_writer(writer)
        alone.terminate()
        return self.launch("n1", []).wait_ready()

    def healthy(self, node):
        picture = self.cluster(node)
        return picture["observed"] and picture["progress"]["planned"] == 3 * len(picture["shards"]) \
            and picture["progress"]["done"] == picture["progress"]["planned"]

    def test_a_node_alone_grows_to_three_under_load(self):
        first = self.start_first()
        self.check_on(first)
        writer = self.start_writer([first.url()])
        for name in ("n2", "n3"):
            self.launch(name, ["n1"])
        harness.wait_until(lambda: self.healthy(first), "each shard has three replicas")
        self.wait_for_samples(5000)
        self.end_writer(writer)
        for node in self.nodes.values():
            node.wait_ready()
        self.check_everywhere()
        first.process.kill()
        first.wait()
        del self.nodes["n1"]
        self.check_everywhere()

    def test_a_fourth_node_takes_its_share_and_a_drained_one_may_go(self):
        self.launch_all(["n1", "n2", "n3"])
        writer = self.start_writer([self.nodes["n1"].url()])
        self.wait_for_samples(20000)
        self.assertEqual(self.nodes["n1"].request("POST", "/api/v1/admin/flush").status, 204)
        fourth = self.launch("n4", ["n2"]).wait_ready()

        def replicas_of(name):
            return next(entry["replicas"] for entry in self.cluster(fourth)["nodes"]
                        if entry["name"] == name)
        harness.wait_until(lambda: replicas_of("n4") >= 6 and self.healthy(fourth),
                           "the fourth node has its share")
        answer = self.nodes["n1"].request("POST", "/api/v1/admin/cluster/drain?node=n2")
        self.assertEqual(answer.status, 204, answer.body)
        harness.wait_until(lambda: replicas_of("n2") == 0 and self.healthy(fourth),
                           "the drained node is empty")
        self.end_writer(writer)
        self.nodes.pop("n2").terminate()
        answer = self.nodes["n1"].request("POST", "/api/v1/admin/cluster/remove?node=n2")
        self.assertEqual(answer.status, 204, answer.body)
        self.check_everywhere()


class Failing(ClusterTest):
    def test_writes_and_queries_go_on_at_the_others_when_a_node_is_killed(self):
        n1, n2, n3 = self.launch_all(["n1", "n2", "n3"])
        writer = self.start_writer([n1.url()])
        self.wait_for_samples(20000)
        n2.process.kill()
        n2.wait()
        self.wait_for_samples(20000)
        self.relaunch("n2")
        n3.process.kill()
        n3.wait()
        self.wait_for_samples(20000)
        self.relaunch("n3")
        self.end_writer(writer)
        self.check_everywhere()

    def test_a_rolling_restart_loses_nothing(self):
        n1, _, _ = self.launch_all(["n1", "n2", "n3"])
        writer = self.start_writer([n1.url()])
        self.wait_for_samples(10000)
        for name in ("n3", "n2"):
            self.assertLess(self.nodes[name].terminate(), 30)
            self.relaunch(name)
            self.wait_for_samples(10000)
        self.end_writer(writer)
        self.check_everywhere()

    def restart_at_once(self, names):
        for name in names:
            self.nodes[name].process.kill()
        for name in names:
            former = self.nodes[name]
            former.wait()
            self.nodes[name] = self.start(harness.Node(former.folder, former.port,
                                                       former.settings))
        for name in names:
            self.nodes[name].wait_ready()

    def test_a_node_that_missed_more_than_the_log_keeps_takes_over_files(self):
        n1, n2, n3 = self.launch_all(["n1", "n2", "n3"])
        writer = self.start_writer([n1.url()])
        self.wait_for_samples(20000)
        n3.process.kill()
        n3.wait()
        self.wait_for_samples(20000)
        self.end_writer(writer)
        for node in (n1, n2):  # what is frozen leaves the log,
            self.assertEqual(node.request("POST", "/api/v1/admin/flush").status, 204)
        self.restart_at_once(["n1", "n2"])  # and their memory
        n3 = self.relaunch("n3")
        harness.wait_until(
            lambda: n3.log_text().count("the state of another replica is taken over") >= 8,
            "all shards have taken over files")
        self.nodes["n1"].process.kill()  # its replicas are needed now
        self.nodes.pop("n1").wait()
        harness.wait_until(lambda: sum(entry.get("leaders", 0) for entry in
                                       self.cluster(n3)["nodes"] if entry["name"] != "n1") == 8,
                           "the others lead")
        self.check_everywhere()

    def test_all_nodes_killed_at_once_come_back_with_everything(self):
        nodes = self.launch_all(["n1", "n2", "n3"])
        writer = self.start_writer([nodes[0].url()])
        self.wait_for_samples(20000)
        for node in nodes:
            node.process.kill()
        for node in nodes:
            node.wait()
        self.end_writer(writer)
        for name in list(self.nodes):
            former = self.nodes[name]
            self.nodes[name] = self.start(harness.Node(former.folder, former.port,
                                                       former.settings))
        for node in self.nodes.values():
            node.wait_ready()
        self.check_everywhere()


if __name__ == "__main__":
    harness.main()
