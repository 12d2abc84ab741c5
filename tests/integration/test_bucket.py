"""Blocks are uploaded once, listed, merged and deleted in the bucket; kills, a store that is away
and a second cluster change nothing of that."""
import os
import shutil
import signal
import threading
import time

import bucket_reader
import harness
from bucket_places import place_of
from remote_write import HEADERS_1, series_1, snappy
from test_cluster import ClusterTest

WINDOW_S = 2 * 60 * 60
SHARDS = 2
VERSION = 3  # in which shards upload


class Samples:
    """Writes series of past windows, and knows how many samples there are."""

    def __init__(self):
        self.base_s = int(time.time()) // WINDOW_S * WINDOW_S - 400 * WINDOW_S
        self.count = 0

    def write(self, node, first_window, windows=1, series=40, per_window=60):
        for window in range(first_window, first_window + windows):
            start_s = self.base_s + window * WINDOW_S
            body = b""
            for number in range(series):
                labels = [("__name__", f"metric_{number}"), ("instance", f"host-{number % 16}"),
                          ("job", "bucket")]
                samples = [((start_s + i * WINDOW_S // per_window) * 1000, float(i * number))
                           for i in range(per_window)]
                body += series_1(labels, samples)
            answer = node.request("POST", "/api/v1/write", snappy(body), HEADERS_1)
            if answer.status != 204:
                raise AssertionError(f"{answer.status}: {answer.body!r}")
            self.count += series * per_window


class BucketTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.bucket = os.path.join(self.folder, "bucket")
        self.samples = Samples()

    def store_settings(self, grace="3s", sweep_age="20s"):
        return (*place_of(self.bucket).settings(),
                f"--object_store.delete_grace={grace}", f"--object_store.sweep_age={sweep_age}",
                "--telemetry.self_write=false", f"--cluster.shards={SHARDS}")

    def wait_for_version(self, nodes):
        harness.wait_until(
            lambda: all(node.metric("gnomon_shard_state_version") == VERSION * SHARDS
                        for node in nodes), "shards know uploads")

    def flush(self, node):
        answer = node.request("POST", "/api/v1/admin/flush")
        self.assertEqual(answer.status, 204, answer.body)

    def expect_listed(self, bucket=None):
        self.assertEqual(bucket_reader.listed_samples(bucket or self.bucket), self.samples.count)

    def wait_until_listed(self, what):
        def is_listed():
            try:
                return bucket_reader.listed_samples(self.bucket) == self.samples.count
            except (AssertionError, FileNotFoundError, ValueError):
                return False  # it is being changed
        harness.wait_until(is_listed, what, explain=lambda: "\n".join(
            program.log_tail() for program in self.programs))

    def wait_until_clean(self):
        harness.wait_until(lambda: not bucket_reader.strays(self.bucket),
                           "what nothing names is deleted",
                           explain=lambda: str(bucket_reader.strays(self.bucket)))


class Alone(BucketTest):
    def kill(self, node):
        node.process.kill()
        node.wait()
        return self.restart(node)

    def wait_for_owner(self, node, state):
        harness.wait_until(lambda: node.metric("gnomon_bucket_owner", state=state) == 1,
                           f"the bucket is seen as {state}")

    def test_blocks_are_there_once_through_merges_kills_and_a_store_that_is_away(self):
        node = self.start_node(*self.store_settings())
        self.wait_for_version([node])
        self.each_sample_is_listed_once(node)
        self.merged_blocks_are_deleted(node)
        node = self.kills_lose_and_leave_nothing(node)
        self.a_store_that_is_away_stops_nothing(node)
        self.another_node_is_refused()
        node.terminate()

    def each_sample_is_listed_once(self, node):
        self.samples.write(node, 0, windows=3)
        self.flush(node)
        self.expect_listed()
        before = bucket_reader.objects(self.bucket, "blocks")
        self.assertEqual(node.metric("gnomon_bucket_uploads_total"), len(before))
        self.assertEqual(node.metric("gnomon_bucket_upload_bytes_total"),
                         sum(size for size, _ in before.values()))
        lists = bucket_reader.objects(self.bucket, "manifests")
        for _ in range(3):
            self.flush(node)
        self.assertEqual(bucket_reader.objects(self.bucket, "blocks"), before)
        self.assertEqual(set(bucket_reader.objects(self.bucket, "manifests")) - set(lists), set())
        self.assertEqual(node.metric("gnomon_bucket_backlog_blocks"), 0)
        self.assertEqual(node.metric("gnomon_bucket_at_risk_seconds"), 0)

    def merged_blocks_are_deleted(self, node):
        """Samples between those that are there: overlays that are merged with their blocks."""
        before = set(bucket_reader.objects(self.bucket, "blocks"))
        self.samples.base_s += 1
        self.samples.write(node, 0, windows=3)
        self.flush(node)
        self.expect_listed()
        self.wait_until_clean()
        self.assertEqual(set(bucket_reader.objects(self.bucket, "blocks")) & before, set())
        harness.wait_until(lambda: node.metric("gnomon_bucket_removals_total") > 0,
                           "what was deleted is counted", alive=node)
        harness.wait_until(lambda: len(bucket_reader.objects(self.bucket, "manifests")) == SHARDS,
                           "lists of before are deleted")
        self.expect_listed()

    def kills_lose_and_leave_nothing(self, node):
        for round_number in range(4):
            self.samples.write(node, 10 + round_number * 20, windows=20)
            flush = threading.Thread(target=self.flush_and_ignore, args=(node,))
            flush.start()
            uploads = len(bucket_reader.objects(self.bucket, "blocks"))
            harness.wait_until(
                lambda n=uploads: len(bucket_reader.objects(self.bucket, "blocks")) > n,
                "uploads begin", alive=node)
            time.sleep(0.02 * round_number)
            node = self.kill(node)
            flush.join()
        self.wait_for_owner(node, "own")
        self.flush(node)
        self.expect_listed()
        self.wait_until_clean()
        self.expect_listed()
        return node

    def flush_and_ignore(self, node):
        try:
            node.request("POST", "/api/v1/admin/flush")
        except OSError:
            pass

    def a_store_that_is_away_stops_nothing(self, node):
        self.put_away()
        self.samples.write(node, 100, windows=3)
        answer = node.request("POST", "/api/v1/admin/flush")
        self.assertEqual(answer.status, 503, answer.body)
        self.assertIn(b"not all is in the bucket", answer.body)
        self.assertGreater(node.metric("gnomon_bucket_backlog_blocks"), 0)
        self.assertGreater(node.metric("gnomon_bucket_backlog_bytes"), 0)
        self.assertGreater(node.metric("gnomon_bucket_failures_total"), 0)
        self.samples.write(node, 104)
        found = node.query("count_over_time(metric_1[900h])")["result"]
        self.assertEqual(int(found[0]["value"][1]), self.samples.count // 40)
        self.bring_back()
        self.flush(node)
        self.expect_listed()
        harness.wait_until(lambda: node.metric("gnomon_bucket_backlog_blocks") == 0,
                           "it has caught up")

    def put_away(self):
        shards = os.path.join(self.bucket, "shards")
        os.rename(shards, os.path.join(self.bucket, "away"))
        with open(shards, "w", encoding="utf-8"):
            pass  # a file in its place: nothing can be made in there, not even by root

    def bring_back(self):
        shards = os.path.join(self.bucket, "shards")
        os.remove(shards)
        os.rename(os.path.join(self.bucket, "away"), shards)

    def another_node_is_refused(self):
        folder = os.path.join(self.folder, "other")
        os.makedirs(folder)
        before = bucket_reader.objects(self.bucket, "blocks")
        other = self.start(harness.Node(folder, harness.free_port(), self.store_settings()))
        other.wait_ready()
        self.wait_for_owner(other, "foreign")
        self.assertIn("the object store belongs to cluster", other.log_text())
        Samples().write(other, 0, windows=3)
        self.assertEqual(other.request("GET", "/-/ready").status, 200)
        self.wait_for_version([other])
        time.sleep(2)
        self.assertEqual(bucket_reader.objects(self.bucket, "blocks"), before)
        self.expect_listed()
        other.terminate()


class ThreeNodes(BucketTest):
    def upload_alone(self):
        """Bytes of the blocks that one node uploads."""
        folder = os.path.join(self.folder, "alone")
        os.makedirs(folder)
        bucket, self.bucket = self.bucket, os.path.join(self.folder, "bucket-alone")
        node = self.start(harness.Node(folder, harness.free_port(), self.store_settings()))
        node.wait_ready()
        self.wait_for_version([node])
        samples = Samples()
        samples.write(node, 0, windows=20)
        self.flush(node)
        self.assertEqual(bucket_reader.listed_samples(self.bucket), samples.count)
        size = sum(size for size, _ in bucket_reader.objects(self.bucket, "blocks").values())
        node.terminate()
        shutil.rmtree(self.bucket)
        self.bucket = bucket
        return size

    def test_each_block_is_uploaded_once_though_the_leader_dies(self):
        alone = self.upload_alone()
        nodes = self.launch_all(["n1", "n2", "n3"], *self.store_settings())
        self.wait_for_version(nodes)
        self.samples.write(nodes[0], 0, windows=20)
        self.flush(nodes[0])
        self.expect_listed()
        size = sum(size for size, _ in bucket_reader.objects(self.bucket, "blocks").values())
        self.assertLessEqual(size, alone * 1.1)

        # Whoever leads dies while it uploads; the others go on, twice.
        for round_number in range(2):
            living = [node for node in self.nodes.values() if node.process.poll() is None]
            leader = max(living, key=lambda node: node.metric("gnomon_bucket_uploads_total"))
            other = next(node for node in living if node is not leader)
            self.samples.write(other, 30 + round_number * 40, windows=40)
            before = len(bucket_reader.objects(self.bucket, "blocks"))
            flush = threading.Thread(target=self.flush_and_ignore, args=(other,))
            flush.start()
            harness.wait_until(
                lambda n=before: len(bucket_reader.objects(self.bucket, "blocks")) > n,
                "uploads begin", alive=other)
            leader.process.send_signal(signal.SIGKILL)
            leader.wait()
            flush.join()
            harness.wait_until(lambda node=other: self.flush_status(node) == 204,
                               "the others have uploaded all")
            self.expect_listed()
            self.relaunch(next(name for name, node in self.nodes.items() if node is leader))
        self.wait_until_clean()
        self.wait_until_listed("all is still listed")
        for node in self.nodes.values():
            self.assertEqual(node.metric("gnomon_bucket_owner", state="own"), 1)

    def flush_status(self, node):
        return node.request("POST", "/api/v1/admin/flush").status

    def flush_and_ignore(self, node):
        try:
            self.flush_status(node)
        except OSError:
            pass


if __name__ == "__main__":
    harness.main()
