"""All disks are lost: a cluster begins anew from its bucket with every sample that was uploaded, and
what is left of the former one writes nothing there any more."""
import os
import shutil
import subprocess
import time

import bucket_reader
import harness
import remote_write as rw
from test_bucket import BucketTest, SHARDS

DELETED = "metric_7"


class RecoveryTest(BucketTest):
    def setUp(self):
        super().setUp()
        # What is listed stays while recoveries are tried again and again.
        self.store = self.store_settings(grace="60s", sweep_age="600s")

    def run_command(self, words, node, *options):
        return subprocess.run(
            [harness.BINARY, *words, f"--storage.directory={node.folder}/data", *node.settings,
             *options],
            capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)

    def recover(self, node, *options):
        outcome = self.run_command(("cluster", "recover"), node, *options)
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        return outcome.stdout

    def expect_refusal(self, node, reason, *options):
        outcome = self.run_command(("cluster", "recover"), node, *options)
        self.assertEqual(outcome.returncode, 1, outcome.stdout)
        self.assertIn(reason, outcome.stderr)

    def wait_for_meta_object(self, containing=b""):
        folder = os.path.join(self.bucket, "meta")

        def is_there():
            names = os.listdir(folder) if os.path.isdir(folder) else []
            names = sorted(name for name in names if not name.startswith("~"))  # unfinished
            if not names:
                return False
            with open(os.path.join(folder, names[-1]), "rb") as file:
                return containing in file.read()
        harness.wait_until(is_there, "the meta object is in the bucket")

    def run_cluster_command(self, node, *words):
        outcome = subprocess.run([harness.BINARY, "cluster", *words, f"--url={node.url()}"],
                                 capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        return outcome.stdout

    def wait_for_owner(self, node, state):
        harness.wait_until(lambda: node.metric("gnomon_bucket_owner", state=state) == 1,
                           f"the bucket is seen as {state}", alive=node, explain=node.log_tail)

    def write(self, node, state, first_thread=0):
        before = node.metric("gnomon_ingest_samples_total")
        writer = self.start_writer([node.url()], f"--state={self.folder}/{state}.state",
                                   f"--first-thread={first_thread}")
        harness.wait_until(lambda: node.metric("gnomon_ingest_samples_total") >= before + 40000,
                           "the writer has written", alive=node)
        self.end_writer(writer)

    def check(self, node, state):
        outcome = subprocess.run(
            [harness.WRITER, "check", f"--url={node.url()}", f"--state={self.folder}/{state}.state"],
            capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        self.assertGreater(int(outcome.stdout.split()[0]), 0, outcome.stdout)

    def lose(self, nodes, keep=None):
        """All at once, and their directories; `keep` is where the first one's goes."""
        for node in nodes:
            node.process.kill()
        for node in nodes:
            node.wait()
        if keep is not None:
            shutil.move(os.path.join(nodes[0].folder, "data"), keep)
        for node in nodes:
            shutil.rmtree(os.path.join(node.folder, "data"), ignore_errors=True)

    def incarnations(self):
        return {content.incarnation for content in bucket_reader.newest_lists(self.bucket).values()}

    def expect_former_one_writes_nothing(self, kept, settings):
        folder = os.path.join(self.folder, "former")
        os.makedirs(folder)
        shutil.move(kept, os.path.join(folder, "data"))
        before = {kind: set(bucket_reader.objects(self.bucket, kind))
                  for kind in ("blocks", "manifests")}
        former = self.start(harness.Node(folder, harness.free_port(), settings))

        def is_told():
            return "recovered elsewhere" in former.log_text()
        harness.wait_until(is_told, "it is told", alive=former)
        self.wait_for_owner(former, "foreign")
        time.sleep(3)
        for kind, names in before.items():
            self.assertEqual(set(bucket_reader.objects(self.bucket, kind)), names)
        former.kill()


class Alone(RecoveryTest):
    def load(self, node):
        """Samples of which some are deleted, and metadata."""
        self.write(node, "before")
        self.samples.write(node, 0, windows=3)
        metadata = rw.metadata_1("metric_1", rw.METRIC_GAUGE, "How much.", "units")
        answer = node.request("POST", "/api/v1/write", rw.snappy(metadata), rw.HEADERS_1)
        self.assertEqual(answer.status, 204, answer.body)
        self.flush(node)
        answer = node.request("POST", f"/api/v1/admin/tsdb/delete_series?match[]={DELETED}")
        self.assertEqual(answer.status, 204, answer.body)
        self.flush(node)

    def count_of(self, node, metric):
        found = node.query(f"count_over_time({metric}[900h])")["result"]
        return sum(int(series["value"][1]) for series in found)

    def expect_all(self, node):
        self.check(node, "before")
        self.assertEqual(self.count_of(node, "metric_1"), 180)
        self.assertEqual(self.count_of(node, DELETED), 0)
        self.assertEqual(node.get("/api/v1/metadata").data()["metric_1"][0]["help"], "How much.")

    def test_a_node_alone_comes_back_with_what_was_uploaded(self):
        node = self.start_node(*self.store)
        self.load(node)
        self.expect_all(node)
        self.wait_for_meta_object()
        kept = os.path.join(self.folder, "kept")
        self.expect_refusal(node, "is not empty", "--yes", "--force")
        self.lose([node], keep=kept)

        self.expect_refusal(node, "the cluster may be alive", "--yes")
        self.expect_refusal(node, "nothing was done", "--force")
        self.recover_though_it_is_broken_off(node)
        self.expect_refusal(node, "is not empty", "--yes", "--force")
        node = self.restart(node)
        self.expect_all(node)
        self.goes_on(node)
        self.expect_former_one_writes_nothing(kept, self.store)

    def recover_though_it_is_broken_off(self, node):
        """Whatever one that was killed has left, the next one gets along with it."""
        mark = os.path.join(node.folder, "data", "recovering")
        arguments = [harness.BINARY, "cluster", "recover",
                     f"--storage.directory={node.folder}/data", *node.settings, "--yes", "--force"]
        log = os.path.join(self.folder, "recover.log")
        stages = [lambda: os.path.exists(mark),
                  lambda: os.path.isdir(os.path.join(node.folder, "data", "shards", "0000")),
                  lambda: os.path.isdir(os.path.join(node.folder, "data", "journal"))]
        for is_reached in stages:
            with open(log, "ab") as output:
                command = subprocess.Popen(arguments, stdout=output, stderr=output)
            while not is_reached() and command.poll() is None:
                pass
            command.kill()
            command.wait()
            if not os.path.exists(mark):
                return  # it was quicker
            refused = self.start(harness.Node(node.folder, node.port, node.settings))
            self.assertEqual(refused.wait(), 1)
            self.assertIn("was broken off", refused.log_text())
        self.recover(node, "--yes", "--force")

    def goes_on(self, node):
        self.write(node, "after", first_thread=100)
        self.flush(node)
        self.assertEqual(self.incarnations(), {2})
        self.check(node, "after")
        listed = bucket_reader.listed_samples(self.bucket)
        node = self.restart_killed(node)
        self.expect_all(node)
        self.check(node, "after")
        self.flush(node)
        self.assertEqual(bucket_reader.listed_samples(self.bucket), listed)
        outcome = self.run_command(("bucket", "list"), node)
        self.assertEqual(outcome.returncode, 0, outcome.stdout + outcome.stderr)
        self.assertIn("incarnation 2, recovered from", outcome.stdout)
        self.assertIn(f" {listed} samples", outcome.stdout)
        node.terminate()

    def restart_killed(self, node):
        node.process.kill()
        node.wait()
        return self.restart(node)


class ThreeNodes(RecoveryTest):
    def test_three_nodes_come_back_from_what_one_of_them_recovers(self):
        names = ["n1", "n2", "n3"]
        nodes = self.launch_all(names, *self.store)
        self.wait_for_version(nodes)
        self.write(nodes[0], "before")
        self.samples.write(nodes[0], 0, windows=20)
        self.flush(nodes[0])
        self.run_cluster_command(nodes[0], "version", "--hold")
        self.wait_for_meta_object(containing=b"version.most")
        listed = bucket_reader.listed_samples(self.bucket)
        kept = os.path.join(self.folder, "kept")
        self.lose(nodes, keep=kept)

        output = self.recover(nodes[0], "--yes", "--force", "--download")
        self.assertIn(f"{listed} samples are recovered", output)
        nodes = self.launch_all(names, *self.store)
        harness.wait_until(lambda: self.is_spread(nodes[0]), "each shard has three replicas",
                           explain=nodes[0].log_tail)
        for node in nodes:
            node.wait_ready()
            self.check(node, "before")
        self.assertIn("held at 3", self.run_cluster_command(nodes[1], "version"))
        self.write(nodes[1], "after", first_thread=100)
        self.flush(nodes[2])
        self.assertEqual(self.incarnations(), {2})
        nodes[0].process.kill()
        nodes[0].wait()
        for node in nodes[1:]:
            self.check(node, "before")
            self.check(node, "after")
        self.lose(nodes[1:])
        self.expect_all_from_one_node(nodes[0])

    def is_spread(self, node):
        picture = self.cluster(node)
        return picture["observed"] and picture["progress"]["planned"] == 3 * SHARDS and \
            picture["progress"]["done"] == picture["progress"]["planned"]

    def expect_all_from_one_node(self, former):
        """Another number of nodes, none of them a cluster."""
        folder = os.path.join(self.folder, "single")
        os.makedirs(folder)
        listed = bucket_reader.listed_samples(self.bucket)
        port = harness.free_port()
        former.folder, former.settings = folder, self.store
        self.recover(former, "--yes", "--force")
        single = self.start(harness.Node(folder, port, self.store)).wait_ready()
        self.check(single, "before")
        self.check(single, "after")
        self.wait_for_owner(single, "own")
        self.flush(single)
        self.assertEqual(self.incarnations(), {3})
        self.assertEqual(bucket_reader.listed_samples(self.bucket), listed)
        # It grows into a cluster, to which its bucket passes.
        single.terminate()
        self.http_ports["n9"] = port
        shutil.move(folder, os.path.join(self.folder, "n9"))
        grown = self.launch("n9", [], *self.store).wait_ready()
        self.wait_for_owner(grown, "own")
        self.check(grown, "before")
        grown.terminate()


if __name__ == "__main__":
    harness.main()
