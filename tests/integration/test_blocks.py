"""Blocks of Prometheus in and out: what a real Prometheus has stored, imported and compared sample by
sample; and what is exported, read by promtool and served by a real Prometheus."""
import http.server
import json
import os
import re
import shutil
import struct
import subprocess
import threading
import time

import bucket_places  # noqa: F401  (finds s3_servers)
import harness
import prometheus_chunk
import remote_write as rw
import s3_servers
import test_remote_read as remote_read

STALE = remote_read.STALE
EVERYTHING = [(0, 10**15, [("__name__", "=~", ".+")])]


def decode_stream(body):
    """Labels of each series of a streamed remote read, and its samples."""
    series = {}
    while body:
        size, used = remote_read.varint_at(body, 0)
        for number, value in remote_read.fields(body[used + 4:used + 4 + size]):
            if number != 1:
                continue
            labels = json.dumps(remote_read.labels_of(value), sort_keys=True)
            for part, chunk in remote_read.fields(value):
                if part == 2:
                    chunk = dict(remote_read.fields(chunk))
                    series.setdefault(labels, []).extend(
                        plain(*sample) for sample in prometheus_chunk.decode(chunk[3], chunk[4]))
        body = body[used + 4 + size:]
    return {labels: sorted(samples) for labels, samples in series.items()}


def plain(at, sample):
    """Comparable by bits; without what belongs to a chunk: whether the counter was reset before."""
    if not isinstance(sample, prometheus_chunk.Histogram):
        return at, sample
    if sample.sum_bits == prometheus_chunk.STALE_BITS:
        return at, "stale"
    return at, repr((sample.reset == 3, sample.schema, sample.zero_threshold, sample.count,
                     sample.zero_count, sample.sum_bits, sample.positive_spans,
                     sample.negative_spans, sample.positive, sample.negative))


def floating(at, count, buckets, hint=0):
    """A histogram of floats, of positive and negative buckets."""
    spans = [rw.field_varint(1, rw.zigzag(offset)) + rw.field_varint(2, length)
             for offset, length in ((-2, 1), (3, len(buckets) - 1))]
    packed = struct.pack(f"<{len(buckets)}d", *buckets)
    return (rw.field_double(2, count) + rw.field_double(3, count * 1.5) +
            rw.field_varint(4, rw.zigzag(1)) + rw.field_double(5, 2.0 ** -128) +
            rw.field_double(7, 0.5) + b"".join(rw.field_bytes(8, span) for span in spans) +
            rw.field_bytes(10, packed) + b"".join(rw.field_bytes(11, span) for span in spans) +
            rw.field_bytes(13, packed) + rw.field_varint(14, hint) + rw.field_varint(15, at))


class Blocks(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        for program in ("prometheus", "promtool"):
            self.assertIsNotNone(shutil.which(program), f"{program} is not installed")
        self.now_ms = int(time.time()) * 1000
        self.start_ms = (self.now_ms - 5 * 3600_000) // 15000 * 15000 + 7

    # --- Programs ---------------------------------------------------------------------------------

    def start_prometheus(self, name):
        """A Prometheus that takes remote write, on a folder of that name. Returns its port."""
        port, folder = harness.free_port(), f"{self.folder}/{name}"
        os.makedirs(folder, exist_ok=True)
        with open(folder + ".yml", "w", encoding="utf-8") as file:
            json.dump({"global": {}}, file) # YAML takes it
        prometheus = self.start(harness.Program(name + ".prometheus", self.folder, [
            "prometheus", f"--config.file={folder}.yml", f"--storage.tsdb.path={folder}",
            f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver",
            "--web.enable-admin-api", "--storage.tsdb.retention.time=1000d",
            "--enable-feature=native-histograms"]))

        def is_ready():
            try:
                return harness.request(port, "GET", "/-/ready").status == 200
            except OSError:
                return False

        harness.wait_until(is_ready, name + " is ready", alive=prometheus)
        return port

    def run_block(self, *arguments, status=0):
        """`gnomon block …`; returns what it printed, both ways."""
        done = subprocess.run([harness.BINARY, "block", *arguments], capture_output=True, text=True,
                              timeout=harness.DEADLINE_S, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def promtool(self, *arguments):
        done = subprocess.run(["promtool", "tsdb", *arguments], capture_output=True, text=True,
                              timeout=harness.DEADLINE_S, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def read(self, port, queries=None, headers=None):
        body = rw.snappy(remote_read.read_request(queries or EVERYTHING, [remote_read.CHUNKS]))
        answer = harness.request(port, "POST", "/api/v1/read", body,
                                 {**remote_read.HEADERS, **(headers or {})})
        self.assertEqual(answer.status, 200, answer.body[:500])
        return decode_stream(answer.body)

    def assert_same(self, left, right):
        self.assertEqual(sorted(left), sorted(right))
        for labels, samples in left.items():
            self.assertEqual(samples, right[labels], labels)

    # --- Samples ----------------------------------------------------------------------------------

    def times(self, count, step_ms=15000):
        return [self.start_ms + step_ms * i for i in range(count)]

    def histograms(self):
        """Counters that grow, fall and change their buckets; floats."""
        grow = [rw.histogram(at, 10 * i + 3, 1.25 * i, [4 * i + 1, 3 * i, 2 * i + 1], schema=2,
                             zero_count=i + 1) for i, at in enumerate(self.times(400))]
        reset = [rw.histogram(at, sum(buckets) + 1, 0.1 * i, buckets, zero_count=1)
                 for i, at in enumerate(self.times(300))
                 for buckets in [[5 * (i % 70) + 1, 4 * (i % 70)] + ([i % 70] if i % 70 > 20 else [])]]
        floats = [floating(at, 19.5 * i + 9, [1.5 * i, 2.0 * i, 1.0 + i]) for i, at in
                  enumerate(self.times(300))]
        return {"grow": grow, "reset": reset, "floats": floats}

    def series(self):
        """A body of remote write 1.0: over four hours, two windows at least."""
        body = b""
        for i in range(60):
            count = 1000 if i < 5 else 100
            samples = [(at + i, (i + 1) * 0.1 * n if i % 3 else float(n // 10))
                       for n, at in enumerate(self.times(count))]
            if i == 1:
                samples[500] = (samples[500][0], STALE)
            if i == 2:
                samples = samples[:200] + samples[700:] # a gap of two hours
            labels = [("__name__", "floats_total" if i % 2 else "level"), ("instance", f"host-{i}"),
                      ("job", "node"), ("path", "/ü" if i == 4 else "/a \"b\"\\c")]
            body += rw.series_1(labels, samples)
        for name, samples in self.histograms().items():
            body += rw.series_1([("__name__", f"{name}_histogram"), ("job", "node")], [], samples)
        return body

    def more_histograms(self):
        """Of which Prometheus 2.42 makes no block, but reads it: gauges, and one that ends."""
        ends = self.histograms()["grow"][:50]
        ends.append(rw.field_double(3, STALE) + rw.field_varint(15, self.start_ms + 50 * 15000))
        gauge = [floating(at, 200.5, [1.5, 2 + (i % 5), 0.25 * i], hint=3)
                 for i, at in enumerate(self.times(200))]
        return (rw.series_1([("__name__", "ends_histogram"), ("job", "node")], [], ends) +
                rw.series_1([("__name__", "gauge_histogram"), ("job", "node")], [], gauge))

    def write(self, port, body, headers=None):
        answer = harness.request(port, "POST", "/api/v1/write", rw.snappy(body),
                                 {**rw.HEADERS_1, **(headers or {})})
        self.assertIn(answer.status, (200, 204), answer.body)

    def make_snapshot(self, port, name):
        """The head of a Prometheus as blocks. Returns their folder."""
        answer = harness.request(port, "POST", "/api/v1/admin/tsdb/snapshot")
        folder = f"{self.folder}/{name}/snapshots/{answer.data()['name']}"
        self.assertTrue(os.listdir(folder))
        return folder

    def make_blocks(self):
        """Blocks of a real Prometheus, and what it says is in them."""
        port = self.start_prometheus("origin")
        self.write(port, self.series())
        return self.make_snapshot(port, "origin"), self.read(port)

    # --- In ---------------------------------------------------------------------------------------

    def test_blocks_of_a_real_prometheus_are_imported(self):
        blocks, expected = self.make_blocks()
        self.assertEqual(len(expected), 63)
        node = self.start_node("--telemetry.self_write=false")
        said = self.run_block("import", blocks, "--dry-run")
        total = sum(len(samples) for samples in expected.values())
        self.assertRegex(said, rf"checked \d+ series in \d+ blocks, {total} samples")
        self.assertEqual(self.read(node.port), {})
        said = self.run_block("import", blocks, "--to", node.url())
        self.assertRegex(said, rf"imported \d+ series in \d+ blocks, {total} samples")
        self.assert_same(expected, self.read(node.port))
        # What is noted as done is left out.
        done = [f"--done={self.folder}/done", f"--to={node.url()}"]
        self.run_block("import", blocks, *done)
        said = self.run_block("import", blocks, *done)
        self.assertEqual(said.count("it was done before"), len(os.listdir(blocks)))
        self.assertIn("imported 0 series in 0 blocks, 0 samples", said)
        # Twice is once; and after a flush, which merges what is the same.
        self.run_block("import", blocks, f"--to={node.url()}")
        self.assertEqual(node.request("POST", "/api/v1/admin/flush").status, 204)
        self.run_block("import", blocks, f"--to={node.url()}")
        self.assert_same(expected, self.read(node.port))
        node.terminate()

    def test_deleted_samples_and_others_than_wanted_are_left_out(self):
        blocks, _ = self.make_blocks()
        shutil.copytree(blocks, f"{self.folder}/copy")
        port = self.start_prometheus("copy")
        start, end = self.start_ms // 1000 + 1000, self.start_ms // 1000 + 4000
        for selector in ('floats_total{instance="host-1"}', "grow_histogram", "level"):
            answer = harness.request(
                port, "POST", "/api/v1/admin/tsdb/delete_series?" + harness.query_string(
                    {"match[]": selector, "start": start, "end": end}))
            self.assertEqual(answer.status, 204, answer.body)
        expected = self.read(port)
        self.programs[-1].process.terminate() # the folder is whole when it has ended
        self.programs[-1].wait()
        node = self.start_node("--telemetry.self_write=false")
        self.run_block("import", f"{self.folder}/copy", "--to", node.url())
        self.assert_same(expected, self.read(node.port))
        node.terminate()

        selectors = ['level{instance=~"host-.*2"}', "reset_histogram"]
        start_ms, end_ms = self.start_ms + 100_000, self.start_ms + 2_000_000
        second = self.start(harness.Node(self.make_folder("second"), harness.free_port(),
                                         ["--telemetry.self_write=false"])).wait_ready()
        self.run_block("import", blocks, "--to", second.url(),
                       *[f"--match={selector}" for selector in selectors],
                       "--start", str(start_ms / 1000), "--end", str(end_ms / 1000))
        wanted = {labels: [sample for sample in samples if start_ms <= sample[0] <= end_ms]
                  for labels, samples in self.expected_of(blocks).items()
                  if re.search(r'host-\d*2"', labels) and '"level"' in labels
                  or "reset_histogram" in labels}
        self.assert_same(wanted, self.read(second.port))
        second.terminate()

    def expected_of(self, blocks):
        """What a Prometheus that starts on a copy of the blocks says."""
        shutil.copytree(blocks, f"{self.folder}/served")
        return self.read(self.start_prometheus("served"))

    def make_bucket(self):
        """As Mimir has it, of two tenants; the names of all blocks, the first marked for deletion."""
        with open(f"{self.folder}/metrics.txt", "w", encoding="utf-8") as file:
            file.write("# TYPE requests counter\n")
            for i in range(600): # three days: blocks of two hours
                at = self.now_ms / 1000 - 432 * (600 - i)
                file.write(f'requests_total{{code="200"}} {i} {at:.3f}\n')
            file.write("# EOF\n")
        made = f"{self.folder}/made"
        self.promtool("create-blocks-from", "openmetrics", f"{self.folder}/metrics.txt", made)
        names = sorted(os.listdir(made))
        self.assertGreater(len(names), 30)
        for tenant, ulids in (("red", names[::2]), ("blue", names[1::2])):
            for ulid in ulids:
                path = f"{self.folder}/bucket/{tenant}/{ulid}"
                shutil.copytree(f"{made}/{ulid}", path)
                with open(path + "/meta.json", encoding="utf-8") as file:
                    meta = json.load(file)
                meta["thanos"] = {"labels": {"region": "eu", "__org_id__": tenant},
                                  "downsample": {"resolution": 0}, "source": "test"}
                with open(path + "/meta.json", "w", encoding="utf-8") as file:
                    json.dump(meta, file)
        with open(f"{self.folder}/bucket/red/{names[0]}/deletion-mark.json", "w",
                  encoding="utf-8") as file:
            json.dump({"version": 1}, file)
        return made, names

    def check_tenants(self, port, made, names):
        """Both tenants have all but what was marked."""
        found = {tenant: self.read(port, headers={"X-Scope-OrgID": tenant})
                 for tenant in ("red", "blue")}
        for tenant, series in found.items():
            self.assertEqual([json.loads(labels) for labels in series],
                             [{"__name__": "requests_total", "code": "200", "region": "eu"}], tenant)
        with open(f"{made}/{names[0]}/meta.json", encoding="utf-8") as file:
            marked = json.load(file)["stats"]["numSamples"]
        total = sum(len(samples) for series in found.values() for samples in series.values())
        self.assertEqual(total, 600 - marked)

    def test_openmetrics_and_layouts_of_buckets_are_imported(self):
        made, names = self.make_bucket()
        node = self.start_node("--telemetry.self_write=false", "--tenants.enabled=true")
        said = self.run_block("import", f"{self.folder}/bucket", "--to", node.url())
        self.assertIn("marked for deletion", said)
        self.check_tenants(node.port, made, names)
        self.assertIn("--tenant", self.run_block("import", made, "--to", node.url(), status=1))
        self.run_block("import", made, "--to", node.url(), "--tenant", "green")
        samples = list(self.read(node.port, headers={"X-Scope-OrgID": "green"}).values())[0]
        self.assertEqual([prometheus_chunk.as_float(bits) for _, bits in samples],
                         [float(i) for i in range(600)])
        node.terminate()

    def test_a_bucket_is_imported_where_it_lies(self):
        made, names = self.make_bucket()
        settings = f"{self.folder}/store.yaml"
        with open(settings, "w", encoding="utf-8") as file:
            file.write(f"object_store:\n  type: directory\n  directory: {self.folder}/bucket\n")
        node = self.start_node("--telemetry.self_write=false", "--tenants.enabled=true")
        said = self.run_block("import", "--store", settings, "--to", node.url())
        self.assertIn("marked for deletion", said)
        self.check_tenants(node.port, made, names)
        node.terminate()

        with s3_servers.CephServer() as server:
            for key, path in self.files_of(f"{self.folder}/bucket"):
                with open(path, "rb") as file:
                    status, answer = s3_servers.signed_request(
                        server, "PUT", f"/{server.bucket}/metrics/{key}", body=file.read())
                self.assertEqual(status, 200, answer)
            with open(settings, "w", encoding="utf-8") as file:
                json.dump({"object_store": {"type": "s3", "s3": {
                    "endpoint": server.endpoint, "bucket": server.bucket, "prefix": "metrics",
                    "access_key": server.access_key, "secret_key": server.secret_key}}}, file)
            os.makedirs(f"{self.folder}/second")
            second = self.start(harness.Node(
                f"{self.folder}/second", harness.free_port(),
                ("--telemetry.self_write=false", "--tenants.enabled=true"))).wait_ready()
            self.run_block("import", f"--store={settings}", "--to", second.url())
            self.check_tenants(second.port, made, names)
            second.terminate()
        self.assertIn("import", self.run_block("import", f"--store={settings}", "--dry-run",
                                               status=1))

    @staticmethod
    def files_of(root):
        """Keys and paths."""
        for folder, _, names in os.walk(root):
            for name in names:
                path = os.path.join(folder, name)
                yield os.path.relpath(path, root), path

    def test_an_import_waits_for_the_node(self):
        """It is told to come again, then there is nobody, then there is a node."""
        blocks, expected = self.make_blocks()
        port, outcome, refused = harness.free_port(), [], []

        class Busy(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                refused.append(self.headers["Content-Type"])
                self.send_response(503 if len(refused) == 1 else 429)
                self.send_header("Retry-After", "1")
                self.end_headers()

            def log_message(self, format, *arguments):
                pass

        with http.server.HTTPServer(("127.0.0.1", port), Busy) as busy:
            thread = threading.Thread(target=lambda: outcome.append(
                self.run_block("import", blocks, f"--to=http://127.0.0.1:{port}")))
            thread.start()
            busy.handle_request()
            busy.handle_request()
        self.assertEqual(len(refused), 2)
        node = self.start_node("--telemetry.self_write=false", port=port)
        thread.join()
        self.assertEqual(len(outcome), 1)
        self.assert_same(expected, self.read(node.port))
        node.terminate()
        said = self.run_block("import", blocks, f"--to=http://127.0.0.1:{port}", "--retry-for=1s",
                              status=1)
        self.assertIn("gnomon block import: block", said)

    def test_refused_samples_are_counted_and_named(self):
        blocks, _ = self.make_blocks()
        node = self.start_node("--telemetry.self_write=false", "--ingest.max_labels=3")
        done = f"--done={self.folder}/done"
        said = self.run_block("import", blocks, "--to", node.url(), done, status=1)
        self.assertNotIn("done before", self.run_block("import", blocks, "--to", node.url(), done,
                                                       status=1)) # it may be taken another time
        self.assertRegex(said, r"\d+ samples were refused: .*labels")
        self.assertRegex(said, r"imported \d+ series .*; \d+ samples refused")
        self.assertEqual(len(self.read(node.port)), 3) # the histograms
        node.terminate()

    def test_damage_is_named_and_nothing_is_made_up(self):
        blocks, _ = self.make_blocks()
        block = max((f"{blocks}/{name}" for name in os.listdir(blocks)),
                    key=lambda path: os.path.getsize(path + "/chunks/000001"))
        for name, message in (("chunks/000001", "checksum of the chunk is wrong"),
                              ("index", "is wrong")):
            damaged = f"{self.folder}/damaged-{os.path.basename(name)}"
            shutil.copytree(block, damaged)
            with open(f"{damaged}/{name}", "r+b") as file:
                file.seek(100)
                byte = file.read(1)[0]
                file.seek(100)
                file.write(bytes([byte ^ 1]))
            said = self.run_block("import", damaged, "--dry-run", status=1)
            self.assertRegex(said, rf"{name} at \d+: .*{message}")
        os.remove(f"{block}/index")
        self.assertIn("index", self.run_block("import", block, "--dry-run", status=1))
        self.assertIn("there is no block in it",
                      self.run_block("import", self.make_folder("empty"), "--dry-run", status=1))

    def test_wrong_use_is_told(self):
        self.assertIn("--match", self.run_block("import", "--help"))
        self.assertIn("--window", self.run_block("export", "--help"))
        for arguments in (["import", "--dry-run"], ["import", "x"], ["import", "x", "--window=2h"],
                          ["import", "x", "--to"], ["import", "x", "--dry-run", "--start=yesterday"],
                          ["import", "x", "--dry-run", "--match={"],
                          ["export", "--out=x"], ["export", "--from=http://x", "--out=x", "y"],
                          ["export", "--from=http://x", "--out=x", "--window=3h"],
                          ["export", "--from=http://x", "--out=x", "--start=5", "--end=4"]):
            self.run_block(*arguments, status=2)

    # --- Out --------------------------------------------------------------------------------------

    def test_exported_blocks_are_read_by_promtool_and_served_by_prometheus(self):
        node = self.start_node("--telemetry.self_write=false")
        self.write(node.port, self.series() + self.more_histograms())
        out = f"{self.folder}/out"
        said = self.run_block("export", "--from", node.url(), "--out", out)
        expected = self.read(node.port)
        self.assertEqual(len(expected), 65)
        total = sum(len(samples) for samples in expected.values())
        self.assertIn(f"exported {total} samples", said)
        names = os.listdir(out)
        self.assertGreaterEqual(len(names), 3)
        listed = self.promtool("list", out)
        for name in names:
            self.assertIn(name, listed)
            with open(f"{out}/{name}/meta.json", encoding="utf-8") as file:
                meta = json.load(file)
            self.assertIn(meta["maxTime"] // 7200_000 - meta["minTime"] // 7200_000, (0, 1))
            self.assertIn(f"\nSeries: {meta['stats']['numSeries']}\n",
                          self.promtool("analyze", out, name))
        self.assert_dumped(out, expected)
        # Again: only the window that is not over is another one now.
        said = self.run_block("export", "--from", node.url(), "--out", out, "--end",
                              str(self.start_ms / 1000 + 3 * 3600))
        self.assertIn("has a block already", said)

        served = f"{self.folder}/prometheus"
        shutil.copytree(out, served)
        port = self.start_prometheus("prometheus")
        self.assert_same(expected, self.read(port))
        # And what Prometheus has of it goes back in.
        second = self.start(harness.Node(self.make_folder("second"), harness.free_port(),
                                         ["--telemetry.self_write=false"])).wait_ready()
        self.run_block("import", out, "--to", second.url())
        self.assert_same(expected, self.read(second.port))
        second.terminate()
        node.terminate()

    def make_folder(self, name):
        os.makedirs(f"{self.folder}/{name}")
        return f"{self.folder}/{name}"

    def assert_dumped(self, out, expected):
        """Floats as promtool prints them: the fewest digits. It wants a folder of Prometheus."""
        shutil.copytree(out, f"{self.folder}/dumped")
        out = self.make_folder("dumped/wal") and f"{self.folder}/dumped"
        dumped = {}
        for line in self.promtool("dump", "--match={job='node',__name__!~'.*_histogram'}", out).splitlines():
            match = re.fullmatch(r"(\{.*\}) (\S+) (-?\d+)", line)
            self.assertIsNotNone(match, line)
            dumped.setdefault(re.search(r'instance="(.*?)"', match[1])[1], []).append(
                (int(match[3]), match[2]))
        floats = {json.loads(labels)["instance"]: samples for labels, samples in expected.items()
                  if "instance" in labels}
        self.assertEqual(sorted(dumped), sorted(floats))
        for instance, samples in floats.items():
            self.assertEqual([at for at, _ in dumped[instance]], [at for at, _ in samples])
            for (_, text), (_, bits) in zip(dumped[instance], samples):
                self.assertTrue(text == "NaN" if bits == prometheus_chunk.STALE_BITS
                                else float(text) == prometheus_chunk.as_float(bits), (text, bits))

    def test_an_answer_that_breaks_off_is_asked_for_again(self):
        """Between the two stands one who ends the first answer in the middle, and refuses once."""
        node = self.start_node("--telemetry.self_write=false")
        self.write(node.port, self.series())
        reads = []

        class Between(http.server.BaseHTTPRequestHandler):
            def pass_on(self, method, body):
                answer = node.request(method, self.path, body, dict(self.headers))
                if method == "POST":
                    reads.append(len(answer.body))
                self.send_response(503 if len(reads) == 2 and method == "POST" else answer.status)
                self.send_header("Retry-After", "1")
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body[:len(answer.body) // 2] if len(reads) == 1 and
                                 method == "POST" else answer.body)

            def do_GET(self):
                self.pass_on("GET", None)

            def do_POST(self):
                self.pass_on("POST", self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, format, *arguments):
                pass

        out = f"{self.folder}/out"
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Between) as between:
            thread = threading.Thread(target=between.serve_forever)
            thread.start()
            try:
                said = self.run_block("export", f"--from=http://127.0.0.1:{between.server_port}",
                                      f"--out={out}")
            finally:
                between.shutdown()
                thread.join()
        names = os.listdir(out)
        self.assertGreaterEqual(len(reads), len(names) + 2)
        self.assertEqual([name for name in names if "." in name], []) # nothing half-made
        total = sum(len(samples) for samples in self.read(node.port).values())
        self.assertIn(f"exported {total} samples in {len(names)} blocks", said)
        node.terminate()

    def test_only_what_is_selected_is_exported(self):
        node = self.start_node("--telemetry.self_write=false", "--tenants.enabled=true")
        self.write(node.port, self.series(), {"X-Scope-OrgID": "red"})
        out = f"{self.folder}/out"
        start_ms, end_ms = self.start_ms + 600_000, self.start_ms + 7_000_000
        said = self.run_block("export", "--from", node.url(), "--out", out, "--tenant=red",
                              "--match=level", '--match={instance=~"host-1."}',
                              "--match=grow_histogram", f"--start={start_ms / 1000}",
                              f"--end={end_ms / 1000}", "--window=4h")
        self.assertRegex(said, r"exported [1-9]\d* samples in [12] blocks")
        everything = self.read(node.port, headers={"X-Scope-OrgID": "red"})
        expected = {labels: [sample for sample in samples if start_ms <= sample[0] <= end_ms]
                    for labels, samples in everything.items()
                    if '"level"' in labels or re.search(r'"host-1."', labels) or "grow" in labels}
        os.rename(out, f"{self.folder}/prometheus")
        self.assert_same(expected, self.read(self.start_prometheus("prometheus")))
        said = self.run_block("export", "--from", node.url(), "--out", out, "--tenant=blue")
        self.assertIn("exported 0 samples in 0 blocks", said)
        node.terminate()
        self.run_block("export", "--from", node.url(), "--out", out, "--retry-for=1s", status=1)


if __name__ == "__main__":
    harness.main()
