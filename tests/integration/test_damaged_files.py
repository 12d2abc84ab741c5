"""Every kind of file of a data directory, damaged in every way: what can go on goes on, what cannot
ends with the name of the file, and nothing is silently missing.
"""
import glob
import os
import re
import shutil
import subprocess
import tempfile
import time

import harness
import remote_write as rw

HOUR_MS = 3600 * 1000
SERIES = 300
# Metric -> samples that the data directory has of it, and where.
STORED = {"in_blocks": SERIES * 60 * 2, "in_parts": SERIES * 60, "in_log": SERIES * 20}
SETTINGS = ("--telemetry.self_write=false", "--cluster.shards=1", "--threads=1")
LOG_LINES_MAX = 60


def flip(path, place):
    size = os.path.getsize(path)
    offset = {"begin": 24, "middle": size // 2, "end": size - 30}[place]
    with open(path, "r+b") as file:
        file.seek(max(offset, 0))
        byte = file.read(1)
        file.seek(max(offset, 0))
        file.write(bytes([byte[0] ^ 0x41]))


def become_directory(path):
    os.remove(path)
    os.mkdir(path)


FAULTS = {
    "flipped at the begin": lambda path: flip(path, "begin"),
    "flipped in the middle": lambda path: flip(path, "middle"),
    "flipped at the end": lambda path: flip(path, "end"),
    "truncated": lambda path: os.truncate(path, os.path.getsize(path) * 2 // 3),
    "empty": lambda path: os.truncate(path, 0),
    "missing": os.remove,
    "a directory": become_directory,
}


def series(name, start_ms, count, step_ms=15000):
    return rw.snappy(b"".join(
        rw.series_1([("__name__", name), ("i", f"{i:04}"), ("job", f"job-{i % 5}")],
                    [(start_ms + k * step_ms, i + k * 0.37) for k in range(count)])
        for i in range(SERIES)))


def batch_starts(segment):
    """Where the batches of a log segment stand, from block to block behind its header."""
    return [at for at in range(8192, len(segment), 4096) if segment[at:at + 4] == b"GJBT"]


class DamagedFiles(harness.IntegrationTest):
    @classmethod
    def setUpClass(cls):
        """One data directory with files of every kind, killed while samples were in the log only."""
        cls.now_ms = int(time.time()) * 1000
        cls.template = tempfile.mkdtemp(prefix="gnomon-template-")
        cls.addClassCleanup(shutil.rmtree, cls.template, ignore_errors=True)
        for step in (cls.fill_blocks, cls.fill_parts, cls.fill_log):
            node = harness.Node(cls.template, harness.free_port(), SETTINGS)
            try:
                step(node.wait_ready())
            finally:
                node.kill()

    @classmethod
    def post(cls, node, body):
        answer = node.request("POST", "/api/v1/write", body, rw.HEADERS_1)
        assert answer.status == 204, answer.body

    @classmethod
    def fill_blocks(cls, node):
        for hours in (30, 10):
            cls.post(node, series("in_blocks", cls.now_ms - hours * HOUR_MS, 60))
            assert node.request("POST", "/api/v1/admin/flush").status == 204
        node.terminate()

    @classmethod
    def fill_parts(cls, node):
        cls.post(node, series("in_parts", cls.now_ms - HOUR_MS // 2, 60))
        metadata = rw.field_varint(1, 2) + rw.field_bytes(2, "in_parts") + rw.field_bytes(4, "Help.")
        cls.post(node, rw.snappy(rw.field_bytes(3, metadata)))
        node.terminate()

    @classmethod
    def fill_log(cls, node):
        for k in range(20):
            cls.post(node, series("in_log", cls.now_ms - 300 * 1000 + k * 1000, 1))

    # --- Cases ---------------------------------------------------------------------------------------

    def make_case(self, pattern, fault):
        """A copy of the data with the first file of the pattern damaged; returns its path."""
        data = os.path.join(self.folder, "data")
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(os.path.join(self.template, "data"), data)
        path = sorted(glob.glob(os.path.join(data, pattern)))[0]
        fault(path)
        return path

    def open_node(self, *more):
        log = os.path.join(self.folder, "gnomon.log")
        if os.path.exists(log):
            os.remove(log)
        return self.start(harness.Node(self.folder, harness.free_port(), SETTINGS + more))

    def expect_refused_start(self, path, *words):
        node = self.open_node()
        self.assertEqual(node.wait(), 1, node.log_tail())
        self.assertIn(os.path.basename(path), node.log_text())
        for word in words:
            self.assertRegex(node.log_text(), word)

    def ask(self, node, metric):
        return node.get("/api/v1/query", query=f"sum(count_over_time({metric}[3d]))",
                        time=(self.now_ms + HOUR_MS) / 1000)

    def expect_right_or_named(self, node, path):
        """No hole: each metric is answered as a whole, or the file is named; how many are whole."""
        whole = 0
        for metric, count in STORED.items():
            answer = self.ask(node, metric)
            if answer.status == 200:
                self.assertEqual(int(answer.data()["result"][0]["value"][1]), count, metric)
                whole += 1
            else:
                self.assertEqual(answer.status, 500, answer.body)
                self.assertIn(os.path.basename(path), answer.json()["error"])
        return whole

    def write_more(self, node, metric):
        """New series: they are looked up in every segment."""
        body = rw.snappy(rw.series_1([("__name__", metric)], [(int(time.time() * 1000), 1.0)]))
        return node.request("POST", "/api/v1/write", body, rw.HEADERS_1)

    def expect_end(self, node):
        self.assertLess(node.terminate(), 10)
        self.assertLess(node.log_text().count("\n"), LOG_LINES_MAX)

    def live_on(self, path):
        """What a node does with damaged parts and blocks; returns its log."""
        node = self.open_node().wait_ready()
        self.assertGreaterEqual(self.expect_right_or_named(node, path), 0)
        self.assertEqual(self.write_more(node, "written_after").status, 204)
        self.assertEqual(node.request("POST", "/api/v1/admin/flush").status, 204)
        self.expect_right_or_named(node, path)
        self.assertEqual(len(node.query("written_after")["result"]) +
                         len(node.query("up")["result"]), 1)
        merged = node.metric("gnomon_shard_merges_total") > 0
        self.assertTrue(merged or node.metric("gnomon_shard_parts") == 0)
        damaged = node.metric("gnomon_shard_damaged_files")
        self.expect_end(node)
        # It is no other after another start, which replays what this one did.
        node = self.open_node().wait_ready()
        self.expect_right_or_named(node, path)
        self.expect_end(node)
        return damaged

    def check_tools(self, path, command):
        outcome = subprocess.run([harness.BINARY, "block", command, path], capture_output=True,
                                 text=True, timeout=harness.DEADLINE_S, check=False)
        self.assertIn(outcome.returncode, (0, 1), (path, outcome.stderr))
        if outcome.returncode == 1:
            self.assertIn(path, outcome.stderr)
        return outcome.returncode

    # --- Tests ---------------------------------------------------------------------------------------

    def test_a_node_goes_on_beside_a_damaged_part(self):
        for name, fault in FAULTS.items():
            with self.subTest(name):
                path = self.make_case("shards/*/parts/*.part", fault)
                self.assertEqual(self.live_on(path), 1) # the flush found it, if not the start

    def test_a_node_goes_on_beside_a_damaged_block(self):
        for name, fault in FAULTS.items():
            with self.subTest(name):
                path = self.make_case("shards/*/blocks/*.block", fault)
                is_open = name in ("flipped at the begin", "flipped in the middle")
                self.assertEqual(self.live_on(path), 0 if is_open else 1)

    def test_a_block_that_is_put_back_is_read_again(self):
        path = self.make_case("shards/*/blocks/*.block", lambda path: os.rename(path, path + ".away"))
        node = self.open_node().wait_ready()
        self.assertEqual(self.ask(node, "in_blocks").status, 500)
        os.rename(path + ".away", path)
        harness.wait_until(lambda: node.metric("gnomon_shard_damaged_files") == 0,
                           "the block is taken", alive=node)
        self.assertEqual(self.expect_right_or_named(node, path), len(STORED))
        self.expect_end(node)

    def test_a_snapshot_is_made_without_a_file_that_is_missing(self):
        path = self.make_case("shards/*/blocks/*.block", FAULTS["missing"])
        node = self.open_node().wait_ready()
        answer = node.request("POST", "/api/v1/admin/tsdb/snapshot")
        self.assertEqual(answer.status, 200, answer.body)
        copy = os.path.join(self.folder, "data", "snapshots", answer.data()["name"])
        self.expect_end(node)
        os.rename(copy, os.path.join(self.folder, "copy"))
        shutil.rmtree(os.path.join(self.folder, "data"))
        os.rename(os.path.join(self.folder, "copy"), os.path.join(self.folder, "data"))
        node = self.open_node().wait_ready()
        self.assertEqual(node.metric("gnomon_shard_damaged_files"), 1)
        self.expect_right_or_named(node, path)
        self.expect_end(node)

    def test_a_failed_query_is_counted_and_told_in_the_log(self):
        path = self.make_case("shards/*/blocks/*.block", FAULTS["flipped in the middle"])
        node = self.open_node().wait_ready()
        for _ in range(20):
            self.assertEqual(self.ask(node, "in_blocks").status, 500)
        self.assertEqual(node.metric("gnomon_query_failed_total", reason="unreadable"), 20)
        told = re.findall("a query failed, since data can't be read.*", node.log_text())
        self.assertIn(os.path.basename(path), told[0])
        self.assertLess(len(told), 5)
        self.expect_end(node)

    def test_rot_is_found_though_nobody_asks(self):
        path = self.make_case("shards/*/blocks/*.block", lambda path: None)
        node = self.open_node("--storage.scrub_interval=3s").wait_ready()
        stored = sum(len(glob.glob(os.path.join(self.folder, "data/shards/*", pattern)))
                     for pattern in ("parts/*.part", "blocks/*.block", "series/*.segment"))
        began = time.monotonic()
        harness.wait_until(lambda: node.metric("gnomon_scrub_files_total") >= 3 * stored,
                           "all files were read again, and again", alive=node)
        self.assertGreater(time.monotonic() - began, 3)
        self.assertGreater(node.metric("gnomon_scrub_bytes_total"), os.path.getsize(path))
        self.assertLess(node.metric("gnomon_scrub_behind_seconds"), 30)
        self.assertEqual(node.metric("gnomon_scrub_damaged_files_total"), 0)
        FAULTS["flipped in the middle"](path)
        harness.wait_until(lambda: node.metric("gnomon_shard_damaged_files") == 1,
                           "the damage is found", alive=node)
        harness.wait_until(lambda: node.metric("gnomon_scrub_damaged_files_total") >= 1,
                           "and counted", alive=node)
        self.assertIn(os.path.basename(path), node.log_text())
        self.expect_end(node)
        # How far it was is kept; what can't be read of it harms nothing.
        kept = os.path.join(self.folder, "data/scrubbed")
        harness.wait_until(lambda: os.path.exists(kept), "it is written down")
        with open(kept, encoding="ascii") as file:
            self.assertAlmostEqual(int(file.readline().split()[1]) / 1000, time.time(), delta=600)
        flip(kept, "begin")
        node = self.open_node("--storage.scrub_interval=0").wait_ready()
        with self.assertRaises(AssertionError):
            node.metric("gnomon_scrub_files_total")
        self.expect_end(node)
        node = self.open_node().wait_ready()
        self.assertIn("file=scrubbed", node.log_text())
        self.assertLess(node.metric("gnomon_scrub_behind_seconds"), 60)
        self.expect_end(node)

    def test_a_damaged_series_segment_refuses_what_it_must(self):
        for name, fault in FAULTS.items():
            with self.subTest(name):
                path = self.make_case("shards/*/series/*.segment", fault)
                if name not in ("flipped at the begin", "flipped in the middle"):
                    self.expect_refused_start(path)
                    continue
                node = self.open_node()
                node.wait_ready()
                self.expect_right_or_named(node, path)
                answer = self.write_more(node, "written_after")
                self.assertIn(answer.status, (204, 503))
                if answer.status == 503:
                    self.assertIn(os.path.basename(path), answer.body.decode())
                self.expect_right_or_named(node, path)
                self.expect_end(node)

    def test_damaged_metadata_comes_back_with_senders(self):
        for name, fault in FAULTS.items():
            if name == "a directory":
                continue
            with self.subTest(name):
                path = self.make_case("shards/*/metadata/*.metadata", fault)
                node = self.open_node().wait_ready()
                self.assertIn(os.path.basename(path), node.log_text())
                answer = node.get("/api/v1/metadata").json()
                self.assertEqual(answer["data"], {})
                self.assertIn("metadata is damaged", answer["warnings"][0])
                self.assertEqual(self.expect_right_or_named(node, path), len(STORED))
                metadata = rw.field_varint(1, 2) + rw.field_bytes(2, "again") + rw.field_bytes(4, "H")
                self.post(node, rw.snappy(rw.field_bytes(3, metadata)))
                self.assertIn("again", node.get("/api/v1/metadata").data())
                self.expect_end(node)
                node = self.open_node().wait_ready()
                self.assertNotIn("warnings", node.get("/api/v1/metadata").json())
                self.expect_end(node)

    def test_a_directory_without_its_stamps_is_refused(self):
        for file in ("format", "topology"):
            for name, fault in FAULTS.items():
                with self.subTest(f"{file} {name}"):
                    if file == "format" and name == "flipped at the begin":
                        continue # it is shorter
                    self.expect_refused_start(self.make_case(file, fault))

    def test_a_later_format_is_refused(self):
        def write_later(path):
            with open(path, "w", encoding="ascii") as file:
                file.write("gnomon 999\n")
        self.expect_refused_start(self.make_case("format", write_later), "999", "later version")

    def test_the_lock_holds_nothing(self):
        for name, fault in FAULTS.items():
            with self.subTest(name):
                path = self.make_case("lock", fault) if name in ("missing", "empty") else None
                if path is None:
                    continue
                node = self.open_node().wait_ready()
                self.assertEqual(self.expect_right_or_named(node, path), len(STORED))
                self.expect_end(node)

    def test_a_log_with_damage_in_its_middle_is_refused(self):
        """All batches but the last are acknowledged."""
        def flip_second_batch(path):
            with open(path, "r+b") as file:
                content = file.read()
                begins = batch_starts(content)
                file.seek(begins[1] + 100)
                byte = file.read(1)
                file.seek(begins[1] + 100)
                file.write(bytes([byte[0] ^ 1]))
        segments = self.segments_by_batches()
        pattern = os.path.relpath(segments[-1], os.path.join(self.template, "data"))
        path = self.make_case(pattern, flip_second_batch)
        self.expect_refused_start(path, "the log is damaged", "restore")

    def test_a_log_without_its_last_batch_begins_with_those_before(self):
        """A tear: the last write had not been acknowledged when the power went."""
        def cut(path):
            with open(path, "r+b") as file:
                content = file.read()
                begins = batch_starts(content)
                file.seek(begins[-1] + 100)
                byte = file.read(1)
                file.seek(begins[-1] + 100)
                file.write(bytes([byte[0] ^ 1]))
        pattern = os.path.relpath(self.segments_by_batches()[-1],
                                  os.path.join(self.template, "data"))
        self.make_case(pattern, cut)
        node = self.open_node().wait_ready()
        stored = {metric: int(self.ask(node, metric).data()["result"][0]["value"][1])
                  for metric in STORED}
        self.assertEqual(stored.pop("in_log") // SERIES, 19)
        self.assertIn("torn_tails=1", node.log_text())
        self.expect_end(node)

    def segments_by_batches(self):
        """Those with the most written batches last."""
        def batches(path):
            with open(path, "rb") as file:
                content = file.read()
            return sum(content[at:at + 4] == b"GJBT" for at in range(8192, len(content), 4096))
        return sorted(glob.glob(os.path.join(self.template, "data/journal/*/*.segment")), key=batches)

    def test_tools_tell_what_is_wrong_with_a_file(self):
        for pattern in ("parts/*.part", "series/*.segment", "blocks/*.block", "metadata/*.metadata"):
            path = self.make_case(f"shards/*/{pattern}", lambda path: None)
            for command in ("verify", "inspect"):
                self.assertEqual(self.check_tools(path, command), 0)
            for name, fault in FAULTS.items():
                with self.subTest(f"{pattern} {name}"):
                    path = self.make_case(f"shards/*/{pattern}", fault)
                    self.assertEqual(self.check_tools(path, "verify"), 1)
                    self.check_tools(path, "inspect")


if __name__ == "__main__":
    harness.main()
