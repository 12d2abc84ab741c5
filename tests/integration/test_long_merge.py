"""A merge that takes long: it ends with the node, and what it left is done again or cleared away."""
import glob
import os
import threading
import time

import harness
from remote_write import HEADERS_1, series_1, snappy

WINDOW_S = 60 * 60 * 60  # so far apart that none shares the longest block with another
WINDOWS = 1500  # a file each


class LongMerge(harness.IntegrationTest):
    def files(self, pattern):
        return glob.glob(f"{self.folder}/data/shards/*/blocks/{pattern}")

    def write_a_sample_to_each_window(self, node):
        end_s = int(time.time()) // WINDOW_S * WINDOW_S
        samples = [((end_s - (WINDOWS - i) * WINDOW_S) * 1000, float(i)) for i in range(WINDOWS)]
        body = snappy(series_1([("__name__", "sparse")], samples))
        answer = node.request("POST", "/api/v1/write", body, HEADERS_1)
        self.assertEqual(answer.status, 204, answer.body)

    def samples(self, node):
        result = node.query(f"count_over_time(sparse[{WINDOWS * WINDOW_S + 1}s])",
                            time=time.time() // WINDOW_S * WINDOW_S)["result"]
        return int(result[0]["value"][1]) if result else 0

    def flush_in_the_background(self, node):
        """It is not answered any more, or with 503: the node ends first."""
        statuses = []

        def flush():
            try:
                statuses.append(node.request("POST", "/api/v1/admin/flush").status)
            except OSError:
                statuses.append(503)

        thread = threading.Thread(target=flush)
        thread.start()
        return thread, statuses

    def test_SIGTERM_in_the_middle_of_it_leaves_no_half_file(self):
        node = self.start_node("--telemetry.self_write=false")
        self.write_a_sample_to_each_window(node)
        thread, statuses = self.flush_in_the_background(node)
        harness.wait_until(lambda: len(self.files("*.block")) > 20, "blocks are written",
                           alive=node)
        self.assertEqual(node.metric("gnomon_shard_merges_running"), 1)
        took_s = node.terminate()
        thread.join()
        written = len(self.files("*.block"))
        self.assertEqual(statuses, [503])
        self.assertLess(took_s, 10)
        self.assertLess(written, WINDOWS, "the merge was over before")
        self.assertEqual(self.files("*.new"), [])

        # What a crash would have left: cleared away at the start.
        shard = os.path.dirname(self.files("*.block")[0])
        leftovers = [f"{shard}/00000000000000ff-3.block.new", f"{shard}/0000000000000001-9.block"]
        for leftover in leftovers:
            with open(leftover, "wb") as file:
                file.write(b"half of a block")
        node = self.restart(node)
        self.assertEqual([path for path in leftovers if os.path.exists(path)], [])
        self.assertEqual(self.samples(node), WINDOWS)

        # The merge is done again, from its beginning.
        self.assertEqual(node.request("POST", "/api/v1/admin/flush").status, 204)
        self.assertEqual(node.metric("gnomon_shard_merges_waiting"), 0)
        self.assertEqual(node.metric("gnomon_shard_merges_running"), 0)
        self.assertEqual(node.metric("gnomon_shard_merge_failures_total"), 0)
        self.assertEqual(node.metric("gnomon_shard_samples_merged_total"), WINDOWS)
        self.assertEqual(len(self.files("*.block")), WINDOWS)
        self.assertEqual(self.samples(node), WINDOWS)
        node.terminate()


if __name__ == "__main__":
    harness.main()
