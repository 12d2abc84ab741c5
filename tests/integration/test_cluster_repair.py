"""What an operator does about replicas that are damaged, and about groups that lost their majority."""
import json
import os
import shutil
import signal
import subprocess
import time

import harness
from test_cluster import ClusterTest


class RepairTest(ClusterTest):
    def command(self, node, *arguments, code=0):
        outcome = subprocess.run([harness.BINARY, "cluster", *arguments, f"--url={node.url()}"],
                                 capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(outcome.returncode, code, outcome.stdout + outcome.stderr)
        return outcome.stdout + outcome.stderr

    def write_some(self, node):
        writer = self.start_writer([node.url()])
        self.wait_for_samples(20000)
        self.end_writer(writer)

    def flush(self, node):
        self.assertEqual(node.request("POST", "/api/v1/admin/flush").status, 204)

    def blocks(self, name):
        found = []
        for folder, _, files in os.walk(os.path.join(self.nodes[name].folder)):
            found += [os.path.join(folder, file) for file in files if file.endswith(".block")]
        return sorted(found)


class Verifying(RepairTest):
    def test_a_flipped_byte_is_named_and_replaced_from_another_node(self):
        nodes = self.launch_all(["n1", "n2", "n3"])
        self.write_some(nodes[0])
        self.flush(nodes[0])
        harness.wait_until(lambda: all(self.blocks(name) for name in self.nodes),
                           "all nodes have blocks")
        sound = json.loads(self.command(nodes[1], "verify", "--json"))
        self.assertEqual(sound["state"], "done")
        self.assertEqual(len(sound["found"]), 8)
        for shard in sound["found"]:
            self.assertEqual(len(shard["replicas"]), 3)
            self.assertEqual(len({replica["files"] for replica in shard["replicas"]}), 1)
        self.assertGreater(sound["files"], 0)

        path = self.blocks("n2")[0]
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 3)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0x10]))
        damaged = self.command(nodes[2], "verify", code=1)
        self.assertIn(" on n2: block ", damaged)
        self.assertIn("is damaged", damaged)
        self.assertNotIn(" on n1", damaged)

        def is_sound():
            return subprocess.run(
                [harness.BINARY, "cluster", "verify", f"--url={nodes[0].url()}"],
                capture_output=True, timeout=300, check=False).returncode == 0
        harness.wait_until(is_sound, "the block is replaced")
        self.check_everywhere()

    def test_a_node_that_is_down_is_named(self):
        nodes = self.launch_all(["n1", "n2", "n3"])
        self.write_some(nodes[0])
        nodes[1].process.kill()
        nodes[1].wait()
        told = self.command(nodes[0], "verify", code=1)
        self.assertIn(" on n2 could not be read", told)
        self.assertNotIn(" on n3", told)


class Recovering(RepairTest):
    def lose(self, *names):
        """Gone for good, with their directories."""
        for name in names:
            self.nodes[name].process.kill()
        for name in names:
            node = self.nodes.pop(name)
            node.wait()
            for entry in os.scandir(node.folder):
                if entry.is_dir():
                    shutil.rmtree(entry.path)  # the log of the process stays

    def recover(self, node, shard):
        deadline = time.time() + 60
        while True:
            outcome = subprocess.run(
                [harness.BINARY, "cluster", "recover-quorum", shard, "--yes",
                 f"--url={node.url()}"], capture_output=True, text=True, timeout=60, check=False)
            if outcome.returncode == 0:
                return outcome.stdout
            # A leader that is alone gives up after seconds only.
            self.assertIn("has a leader", outcome.stderr)
            self.assertLess(time.time(), deadline, outcome.stderr)
            time.sleep(0.5)

    def test_it_is_refused_while_a_majority_is_there(self):
        nodes = self.launch_all(["n1", "n2", "n3"])
        for shard in ("0", "meta"):
            self.assertIn("has a leader", self.command(nodes[0], "recover-quorum", shard, code=1))
            self.command(nodes[0], "recover-quorum", shard, "--yes", code=1)
        self.command(nodes[0], "recover-quorum", "8", "--yes", code=1)
        self.command(nodes[0], "recover-quorum", "none", "--yes", code=1)

    def test_a_node_that_is_left_of_three_goes_on_with_what_it_has(self):
        nodes = self.launch_all(["n1", "n2", "n3"])
        last = nodes[2]
        # What a node has acknowledged it has applied itself.
        writer = self.start_writer([last.url()])
        self.wait_for_samples(20000)
        self.lose("n1", "n2")
        harness.wait_until(
            lambda: "Nothing was changed" in subprocess.run(
                [harness.BINARY, "cluster", "recover-quorum", "meta", f"--url={last.url()}"],
                capture_output=True, text=True, timeout=60, check=False).stdout,
            "the meta group can be recovered")
        self.assertIn("n3 leads meta now", self.recover(last, "meta"))
        for shard in range(8):
            self.assertIn("n1 n2", self.recover(last, str(shard)))
        self.wait_for_samples(5000)
        self.end_writer(writer)
        self.check_on(last)
        # What was forced is in the log: it holds over a restart.
        last.process.kill()
        last.wait()
        last = self.relaunch("n3")
        self.check_on(last)
        # New nodes of the same names are the new replicas.
        for name in ("n1", "n2"):
            self.launch(name, ["n1", "n2", "n3"])
        harness.wait_until(lambda: all(
            shard.get("settled") and len(shard["replicas"]) == 3
            for shard in self.cluster(last)["shards"]), "all replicas are made anew", 120)
        for node in self.nodes.values():
            node.wait_ready()
        self.check_everywhere()


    def test_nodes_that_come_back_all_the_same_take_the_recovered_log(self):
        nodes = self.launch_all(["n1", "n2", "n3"])
        last = nodes[2]
        writer = self.start_writer([last.url()])
        self.wait_for_samples(20000)
        # They alone have some more.
        last.process.send_signal(signal.SIGSTOP)
        lost = self.start(harness.Program("lost", self.folder, [
            harness.WRITER, "send", f"--url={nodes[0].url()}", f"--state={self.folder}/lost.state",
            "--start-ms=1600000000000", "--seconds=300"]))
        harness.wait_until(
            lambda: nodes[0].metric("gnomon_ingest_samples_total") >= 3000, "they have more")
        lost.process.kill()
        lost.wait()
        for name in ("n1", "n2"):
            self.nodes[name].process.kill()
            self.nodes[name].wait()
        last.process.send_signal(signal.SIGCONT)
        self.recover(last, "meta")
        for shard in range(8):
            self.recover(last, str(shard))
        self.wait_for_samples(5000)
        for name in ("n1", "n2"):
            self.relaunch(name)
        self.wait_for_samples(5000)
        self.end_writer(writer)
        harness.wait_until(lambda: all(
            shard.get("settled") and len(shard["replicas"]) == 3
            for shard in self.cluster(last)["shards"]), "all replicas are members again", 120)
        self.check_on(last)
        self.check_everywhere()


    def test_a_majority_that_went_on_by_itself_gives_way_when_it_hears_of_the_recovered_one(self):
        nodes = self.launch_all(["n1", "n2", "n3"])
        last = nodes[2]
        writer = self.start_writer([last.url()])
        self.wait_for_samples(20000)
        for name in ("n1", "n2"):
            self.nodes[name].process.kill()
            self.nodes[name].wait()
        self.recover(last, "meta")
        for shard in range(8):
            self.recover(last, str(shard))
        self.wait_for_samples(5000)
        # Without a way to the recovered one they are a majority, by what they know.
        last.process.send_signal(signal.SIGSTOP)
        former = [self.nodes.pop(name) for name in ("n1", "n2")]
        former = [self.start(harness.Node(node.folder, node.port, node.settings))
                  for node in former]
        for node in former:
            node.wait_ready()
        last.process.send_signal(signal.SIGCONT)
        for node in former:
            self.assertEqual(node.wait(), 1)
            self.assertIn("recovered without this node", node.log_text())
        self.wait_for_samples(5000)
        for name, node in zip(("n1", "n2"), former):
            shutil.rmtree(os.path.join(node.folder, "data"))
            self.nodes[name] = self.start(harness.Node(node.folder, node.port, node.settings))
        self.end_writer(writer)
        harness.wait_until(lambda: all(
            shard.get("settled") and len(shard["replicas"]) == 3
            for shard in self.cluster(last)["shards"]), "all replicas are made anew", 120)
        for node in self.nodes.values():
            node.wait_ready()
        self.check_everywhere()


if __name__ == "__main__":
    harness.main()
