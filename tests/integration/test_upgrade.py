"""Nodes are replaced one by one by the next release, under load, and go back as long as they may:
nothing is lost, no query is wrong, and a release that does not know the version in force says so.
"""
import os
import subprocess
import time

import harness
from test_cluster import ClusterTest

NEXT = os.environ.get("GNOMON_NEXT_BINARY", "")
SHARDS = 8
KNOWN, NEXT_KNOWN = 3, 4  # state-machine versions


def files_of(folder):
    """What lies in a data directory: names, sizes and contents."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


class Upgrading(ClusterTest):
    def setUp(self):
        super().setUp()
        self.began = 0
        self.assertTrue(NEXT, "GNOMON_NEXT_BINARY names no program; run by ctest")

    def command(self, node, *arguments, code=0):
        outcome = subprocess.run(
            [harness.BINARY, "cluster", *arguments, f"--url={node.url()}"],
            capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(outcome.returncode, code, outcome.stdout + outcome.stderr)
        return outcome.stdout + outcome.stderr

    def start_again(self, name, binary):
        former = self.nodes[name]
        node = self.start(harness.Node(former.folder, former.port, former.settings, binary=binary))
        self.nodes[name] = node
        return node

    def replace(self, name, binary, by_kill=False):
        """The node by another program, on its directory."""
        former = self.nodes[name]
        if by_kill:
            former.process.kill()
            former.wait()
        else:
            former.terminate()
        self.start_again(name, binary).wait_ready()
        self.wait_for_samples(3000)

    def flush(self, name):
        """Manifests are written; tried again while a leader is on its way."""
        harness.wait_until(
            lambda: self.nodes[name].request("POST", "/api/v1/admin/flush").status == 204,
            "all is flushed")

    def version(self):
        return {node.get("/api/v1/cluster").data()["version"] for node in self.nodes.values()}

    def wait_for_version(self, version):
        harness.wait_until(lambda: self.version() == {version}, f"version {version} is in force",
                           explain=lambda: f"it is {self.version()}")
        harness.wait_until(
            lambda: all(node.metric("gnomon_shard_state_version") == version * SHARDS
                        for node in self.nodes.values()), "all shards have it")

    def check_counts(self):
        """A window long over has the same samples wherever it is asked."""
        query = 'sum(count_over_time({job=~".+"}[1m]))'
        answers = [node.query(query, time=self.began + 10)["result"]
                   for node in self.nodes.values()]
        self.assertTrue(answers[0])
        self.assertEqual([answer[0]["value"][1] for answer in answers],
                         [answers[0][0]["value"][1]] * len(answers))

    def test_nodes_are_replaced_one_by_one_under_load_and_may_go_back_until_the_last(self):
        n1, n2, n3 = self.launch_all(["n1", "n2", "n3"])
        self.wait_for_version(KNOWN)  # at once: the cluster is new
        self.began = int(time.time() - 30 * 86400) // 1000 * 1000  # as the writer does
        writer = self.start_writer([node.url() for node in (n1, n2, n3)])
        self.wait_for_samples(10000)

        self.replace("n3", NEXT)
        self.replace("n2", NEXT, by_kill=True)
        self.check_counts()
        self.assertEqual(self.version(), {KNOWN})
        self.assertIn(f"state-machine version {KNOWN} is in force",
                      self.command(self.nodes["n2"], "version"))
        self.assertIn(f"node n1 knows state-machine versions up to {KNOWN}",
                      self.command(self.nodes["n2"], "version", "--raise", code=1))

        self.replace("n2", harness.BINARY)  # back
        self.flush("n2")
        self.replace("n2", NEXT)
        self.replace("n1", NEXT, by_kill=True)
        self.nodes["n3"].process.kill()  # and once more, in the middle of whatever comes now
        self.nodes["n3"].wait()
        self.start_again("n3", NEXT).wait_ready()
        self.wait_for_version(NEXT_KNOWN)  # by itself
        self.wait_for_samples(3000)
        self.flush("n1")
        self.check_counts()
        self.refuse_the_former_release("n2")
        self.wait_for_samples(3000)
        self.end_writer(writer)
        self.check_everywhere()

    def refuse_the_former_release(self, name):
        folder = os.path.join(self.nodes[name].folder, "data")
        self.nodes[name].terminate()
        before = files_of(folder)
        refused = self.start_again(name, harness.BINARY)
        self.assertNotEqual(refused.wait(), 0)
        self.assertIn(f"run a release that knows version {NEXT_KNOWN}", refused.log_text())
        self.assertEqual(files_of(folder), before)
        self.start_again(name, NEXT).wait_ready()

    def test_a_held_version_rises_when_it_is_raised(self):
        (n1,) = self.launch_all(["n1"])
        self.wait_for_version(KNOWN)
        self.command(n1, "version", "--hold")
        self.assertIn(f"held at {KNOWN}", self.command(n1, "version"))
        n1.terminate()
        n1 = self.start_again("n1", NEXT).wait_ready()
        self.assertEqual(n1.get("/api/v1/cluster").data()["versionHeld"], KNOWN)
        self.assertEqual(n1.metric("gnomon_cluster_state_version_known"), NEXT_KNOWN)
        n1.terminate()
        n1 = self.start_again("n1", harness.BINARY).wait_ready()  # back, as it is held
        n1.terminate()
        n1 = self.start_again("n1", NEXT).wait_ready()
        self.command(n1, "version", "--raise")
        self.wait_for_version(NEXT_KNOWN)
        self.assertEqual(n1.get("/api/v1/cluster").data()["versionHeld"], 0)

    def test_a_new_node_that_does_not_know_the_version_in_force_is_not_let_in(self):
        self.port_of(self.cluster_ports, "n1")
        folder = os.path.join(self.folder, "n1")
        os.makedirs(folder)
        n1 = self.start(harness.Node(folder, self.port_of(self.http_ports, "n1"),
                                     self.settings_of("n1", ["n1"]), binary=NEXT)).wait_ready()
        self.nodes["n1"] = n1
        self.wait_for_version(NEXT_KNOWN)
        n2 = self.launch("n2", ["n1"])
        self.assertNotEqual(n2.wait(), 0)
        self.assertIn(f"node n2 knows versions 1 to {KNOWN}: run a release that knows version "
                      f"{NEXT_KNOWN}", n2.log_text())


class Alone(harness.IntegrationTest):
    def start_on(self, former, binary):
        return self.start(harness.Node(former.folder, former.port, former.settings, binary=binary))

    def test_a_node_alone_goes_back_at_first_and_later_says_that_it_can_not(self):
        node = self.start_node("--telemetry.self_write=false", "--cluster.shards=2")
        harness.wait_until(lambda: node.metric("gnomon_shard_state_version") == 2 * KNOWN,
                           "a new directory gets the newest version", alive=node)
        node.terminate()
        node = self.start_on(node, NEXT).wait_ready()
        self.assertEqual(node.metric("gnomon_shard_state_version"), 2 * KNOWN)
        node.terminate()
        node = self.start_on(node, harness.BINARY).wait_ready()
        node.terminate()
        node = self.start_on(node, NEXT).wait_ready()
        harness.wait_until(lambda: node.metric("gnomon_shard_state_version") == 2 * NEXT_KNOWN,
                           "the version rises", alive=node)
        node.terminate()
        refused = self.start_on(node, harness.BINARY)
        self.assertNotEqual(refused.wait(), 0)
        self.assertIn(f"run a release that knows version {NEXT_KNOWN}", refused.log_text())
        self.start_on(node, NEXT).wait_ready()


if __name__ == "__main__":
    harness.main()
