"""Files of uploaded blocks leave the disk; every sample is read back from the bucket, through restarts,
kills, damage and a store that is away."""
import glob
import os
import shutil
import time

import harness
import test_bucket
from remote_write import HEADERS_1, series_1, snappy

EVERYTHING = '{job="bucket"}[900h]'


class LocalRetention(test_bucket.BucketTest):
    def block_files(self, node):
        return glob.glob(os.path.join(node.folder, "**", "blocks", "*.block"), recursive=True)

    def everything(self, node):
        series = node.query(EVERYTHING)["result"]
        return {(one["metric"]["__name__"], one["metric"]["instance"]): one["values"]
                for one in series}

    def wait_until_only_in_bucket(self, node):
        harness.wait_until(lambda: not self.block_files(node), "the files of blocks are gone",
                           alive=node, explain=lambda: str(self.block_files(node)))
        self.assertGreater(node.metric("gnomon_shard_absent_blocks"), 0)
        self.assertEqual(node.metric("gnomon_shard_block_bytes"), 0)
        self.assertEqual(node.metric("gnomon_shard_absent_blocks"),
                         node.metric("gnomon_shard_blocks"))

    def write_recent(self, node):
        body = b""
        for number in range(40):
            labels = [("__name__", f"metric_{number}"), ("instance", f"host-{number % 16}"),
                      ("job", "bucket")]
            body += series_1(labels, [(int(time.time()) * 1000, 1.0)])
        answer = node.request("POST", "/api/v1/write", snappy(body), HEADERS_1)
        self.assertEqual(answer.status, 204, answer.body)

    def kill(self, node):
        node.process.kill()
        node.wait()
        return self.restart(node)

    def test_every_sample_is_read_back_whatever_happens(self):
        node = self.start_node(*self.store_settings(), "--storage.local_retention=1s")
        self.wait_for_version([node])
        for window in range(0, 120, 24):  # they lie so far apart that they stay blocks of two hours
            self.samples.write(node, window)
        before = self.everything(node)
        self.assertEqual(sum(len(values) for values in before.values()), self.samples.count)
        self.flush(node)
        self.wait_until_only_in_bucket(node)
        self.assertEqual(self.everything(node), before)
        node = self.restarts_and_kills(node, before)
        node = self.a_store_that_is_away(node, before)
        self.late_samples_enter(node)
        node.terminate()

    def restarts_and_kills(self, node, before):
        node.terminate()
        node = self.restart(node)
        self.assertEqual(self.everything(node), before)
        for _ in range(3):
            node = self.kill(node)
            self.assertEqual(self.everything(node), before)
            self.assertEqual(node.metric("gnomon_shard_damaged_files"), 0)
        self.wait_until_only_in_bucket(node)
        return node

    def a_store_that_is_away(self, node, before):
        shards, away = os.path.join(self.bucket, "shards"), os.path.join(self.bucket, "away")
        os.rename(shards, away)
        with open(shards, "w", encoding="utf-8"):
            pass  # a file in its place: nothing can be read in there
        node = self.kill(node)
        self.write_recent(node)
        self.expect_recent(node)
        self.expect_failure(node)
        os.remove(shards)
        self.expect_failure(node)  # there, but empty
        self.expect_recent(node)
        shutil.rmtree(shards, ignore_errors=True)
        os.rename(away, shards)
        after = self.everything(node)
        self.assertEqual({name: values[:-1] for name, values in after.items()}, before)
        return node

    def expect_recent(self, node):
        found = node.query('count(last_over_time({job="bucket"}[1h]))')["result"]
        self.assertEqual(int(found[0]["value"][1]), 40)

    def expect_failure(self, node):
        """Never a part of the answer, and the block is named."""
        answer = node.get("/api/v1/query", query=EVERYTHING)
        self.assertEqual(answer.status, 503, answer.body)
        self.assertRegex(answer.body, rb"shards/[0-9a-f]{8}/blocks/[0-9a-f]{16}-")

    def late_samples_enter(self, node):
        before = sum(len(values) for values in self.everything(node).values())
        self.samples.base_s += 1
        self.samples.write(node, 0)
        self.flush(node)
        after = sum(len(values) for values in self.everything(node).values())
        self.assertEqual(after, before + 40 * 60)


if __name__ == "__main__":
    harness.main()
