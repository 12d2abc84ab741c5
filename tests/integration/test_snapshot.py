"""POST /api/v1/admin/tsdb/snapshot: a data directory made of links, on which a node can be started."""
import os
import shutil

import harness
from remote_write import HEADERS_1, series_1, snappy

START_S = 1_700_000_000
NAME = r"^\d{8}T\d{6}Z-[0-9a-f]{16}$"
SERIES = 40
QUERIES = ('{__name__=~"first|second"}[2h]', "count by (shard) (first)", "sum(second)",
           "count({__name__=~'.+'})")


class Snapshot(harness.IntegrationTest):
    def write(self, node, name, begin, end):
        body = b"".join(series_1([("__name__", name), ("number", str(number)), ("shard", str(number % 5))],
                                 [((START_S + 15 * i) * 1000, number + i / 7)
                                  for i in range(begin, end)])
                        for number in range(SERIES))
        answer = node.request("POST", "/api/v1/write", snappy(body), HEADERS_1)
        self.assertEqual(answer.status, 204, answer.body)

    def setUp(self):
        super().setUp()
        self.node = self.start_node("--telemetry.self_write=false")
        self.write(self.node, "first", 0, 100)
        self.assertEqual(self.node.request("POST", "/api/v1/admin/flush").status, 204)
        self.write(self.node, "second", 0, 200)

    def answers(self, node):
        return [node.query(text, time=START_S + 3000)["result"] for text in QUERIES]

    def snapshot(self, parameters="", method="POST"):
        address = "/api/v1/admin/tsdb/snapshot" + parameters
        data = self.node.request(method, address).data()
        self.assertEqual(list(data), ["name"])
        self.assertRegex(data["name"], NAME)
        return os.path.join(self.folder, "data", "snapshots", data["name"])

    def start_on(self, directory):
        node = harness.Node(self.folder, harness.free_port(),
                            [f"--storage.directory={directory}", "--telemetry.self_write=false"])
        return self.start(node).wait_ready()

    def test_a_node_on_a_snapshot_answers_as_the_first_did_then(self):
        before = self.answers(self.node)
        directory = self.snapshot()
        self.write(self.node, "first", 100, 120)
        self.assertNotEqual(self.answers(self.node), before)
        copy = self.start_on(directory)
        self.assertEqual(self.answers(copy), before)
        # It is a node like any other: it takes writes, and starts again.
        self.write(copy, "first", 100, 120)
        after = self.answers(copy)
        self.assertEqual(after, self.answers(self.node))
        copy.kill()
        self.assertEqual(self.answers(self.start_on(directory)), after)

    def test_a_snapshot_outlives_what_is_deleted_after_it(self):
        before = self.answers(self.node)
        directory = self.snapshot(method="PUT")
        deletion = "/api/v1/admin/tsdb/delete_series?" + harness.query_string(
            {"match[]": '{__name__=~".+"}'})
        self.assertEqual(self.node.request("POST", deletion).status, 204)
        self.assertEqual(self.node.request("POST", "/api/v1/admin/tsdb/clean_tombstones").status, 204)
        self.assertEqual(self.node.query(QUERIES[0], time=START_S + 3000)["result"], [])
        self.node.terminate()
        self.assertEqual(self.answers(self.start_on(directory)), before)

    def test_what_is_only_in_memory_can_be_left_out(self):
        copy = self.start_on(self.snapshot("?skip_head=true"))
        self.assertEqual(len(copy.query("first[2h]", time=START_S + 3000)["result"]), SERIES)
        self.assertEqual(copy.query("second[2h]", time=START_S + 3000)["result"], [])

    def test_files_are_linked_and_not_copied(self):
        directory = self.snapshot()
        stored = [os.path.join(folder, name) for folder, _, names in os.walk(directory)
                  for name in names if "/shards/" in folder and name.endswith((".part", ".block", ".segment"))]
        self.assertTrue(stored)
        self.assertTrue(all(os.stat(path).st_nlink > 1 for path in stored), stored)

    def test_what_a_crash_has_left_of_one_is_removed_at_the_next_start(self):
        whole = self.snapshot()
        unfinished = whole[:-3] + "000.new"
        self.node.kill()
        shutil.copytree(whole, unfinished)
        self.restart(self.node)
        self.assertEqual((os.path.exists(whole), os.path.exists(unfinished)), (True, False))

    def test_an_empty_node_has_a_snapshot_too(self):
        self.node = self.start_node_in("empty")
        copy = self.start_on(self.snapshot_of_empty("?skip_head=1"))
        self.write(copy, "first", 0, 2)
        self.assertEqual(len(copy.query("first", time=START_S + 15)["result"]), SERIES)

    def start_node_in(self, name):
        directory = os.path.join(self.folder, name)
        return self.start_on(directory)

    def snapshot_of_empty(self, parameters):
        data = self.node.request("POST", "/api/v1/admin/tsdb/snapshot" + parameters).data()
        return os.path.join(self.folder, "empty", "snapshots", data["name"])

    def test_a_wrong_parameter_is_named_as_prometheus_does(self):
        answer = self.node.request("POST", "/api/v1/admin/tsdb/snapshot?skip_head=maybe")
        self.assertEqual((answer.status, answer.json()["errorType"]), (400, "bad_data"))
        self.assertIn('unable to parse boolean', answer.json()["error"])


if __name__ == "__main__":
    harness.main()
