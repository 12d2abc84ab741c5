"""Running a node: health, readiness, settings, reload, its own metrics, the end."""
import glob
import os
import random
import resource
import signal
import subprocess
import threading
import time

import harness
from remote_write import (HEADERS_1, HEADERS_2, METRIC_COUNTER, Request2, histogram, series_1,
                          snappy)


def run(*arguments, **options):
    return subprocess.run([harness.BINARY, *arguments], capture_output=True, text=True,
                          timeout=harness.DEADLINE_S, check=False, **options)


class Operation(harness.IntegrationTest):
    def test_a_fresh_node_is_healthy_and_ready(self):
        node = self.start_node()
        for path in ("/-/healthy", "/-/ready"):
            for method in ("GET", "HEAD"):
                answer = node.request(method, path)
                self.assertEqual(answer.status, 200, (method, path))
                self.assertEqual(answer.body == b"", method == "HEAD")
        node.terminate()

    def test_a_fresh_node_has_its_own_metrics_to_query(self):
        node = self.start_node("--telemetry.interval=200ms")
        harness.wait_until(lambda: node.query("gnomon_build_info")["result"],
                           "the node has written its metrics", alive=node)
        names = node.get("/api/v1/label/__name__/values").data()
        self.assertEqual([name for name in names if not name.startswith("gnomon_")], [])
        described = [line.split(" ", 3)[2] for line in node.get("/metrics").body.decode().split("\n")
                     if line.startswith("# HELP ")]
        metadata = node.get("/api/v1/metadata").data()
        self.assertEqual(sorted(metadata), sorted(described))
        self.assertEqual(metadata["gnomon_ingest_requests_total"][0]["type"], "counter")
        node.terminate()

    def test_promtool_finds_nothing_wrong_with_the_metrics(self):
        node = self.start_node()
        outcome = subprocess.run(["promtool", "check", "metrics"], input=node.get("/metrics").body,
                                 capture_output=True, timeout=60, check=False)
        self.assertEqual((outcome.returncode, outcome.stderr.decode()), (0, ""))
        node.terminate()

    def test_the_data_directory_is_locked(self):
        node = self.start_node()
        second = run("serve", f"--http.listen=127.0.0.1:{harness.free_port()}",
                     f"--storage.directory={self.folder}/data")
        self.assertEqual(second.returncode, 1)
        self.assertIn("data", second.stderr)
        self.assertEqual(node.get("/-/ready").status, 200)
        node.terminate()

    def test_without_file_descriptors_a_node_waits_and_goes_on(self):
        # The thread sanitizer can't look names up without descriptors, so that what is suppressed
        # by name (tests/tsan.suppressions) is reported.
        self.node_environment = {
            "TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "") + ":report_bugs=0"}
        node = self.start_node("--telemetry.self_write=false", "--cluster.shards=2")
        start_ms = int(time.time() * 1000) - 7200 * 1000

        def write(number):
            body = snappy(series_1([("__name__", "kept")], [(start_ms + number, 1.0)]))
            return node.request("POST", "/api/v1/write", body, HEADERS_1).status

        def flush():
            try:
                return harness.request(node.port, "POST", "/api/v1/admin/flush", deadline_s=2).status
            except TimeoutError:
                return "waits"

        self.assertEqual(write(0), 204)
        limit = resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE)
        open_now = len(os.listdir(f"/proc/{node.process.pid}/fd"))
        # Room for a connection or two and for none of the files of a flush.
        resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, (open_now + 1, limit[1]))
        self.assertEqual(flush(), "waits")
        self.assertIn("Too many open files", node.log_text())
        resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, limit)
        harness.wait_until(lambda: flush() == 204, "the flush is done", alive=node)
        self.assertEqual(write(1), 204)
        self.assertEqual(node.query("count_over_time(kept[1d])")["result"][0]["value"][1], "2")
        self.assertEqual(node.metric("gnomon_shard_damaged_files"), 0)
        node.terminate()

    def test_a_port_in_use_is_an_error_that_names_it(self):
        node = self.start_node()
        second = run("serve", f"--http.listen=127.0.0.1:{node.port}",
                     f"--storage.directory={self.folder}/other")
        self.assertEqual(second.returncode, 1)
        self.assertIn(str(node.port), second.stderr)
        node.terminate()

    def test_reload_is_answered_and_SIGHUP_does_not_end_the_node(self):
        node = self.start_node()
        self.assertEqual(node.request("POST", "/-/reload").status, 200)
        self.assertEqual(node.get("/-/reload").status, 405)
        node.process.send_signal(signal.SIGHUP)
        self.assertEqual(node.query("1")["result"][1], "1")
        node.terminate()

    def test_a_flush_with_nothing_new_is_quick_and_204(self):
        node = self.start_node("--telemetry.self_write=false")
        for _ in range(2):
            self.assertEqual(node.request("POST", "/api/v1/admin/flush").status, 204)
        node.terminate()

    def test_an_answered_flush_leaves_no_file_behind(self):
        node = self.start_node("--telemetry.self_write=false")
        for round_number in range(3):
            start_ms = int(time.time() * 1000) - 3600 * 1000 * (4 - round_number)
            body = snappy(b"".join(
                series_1([("__name__", "flushed"), ("i", str(i))],
                         [(start_ms + k * 1000, float(k)) for k in range(30)])
                for i in range(200)))
            self.assertEqual(node.request("POST", "/api/v1/write", body, HEADERS_1).status, 204)
            self.assertEqual(node.request("POST", "/api/v1/admin/flush").status, 204)
            parts = glob.glob(os.path.join(self.folder, "data", "shards", "*", "parts", "*"))
            self.assertEqual(parts, [])
        blocks = node.metric("gnomon_shard_blocks")
        node.terminate()
        files = glob.glob(os.path.join(self.folder, "data", "shards", "*", "blocks", "*"))
        self.assertEqual(len(files), blocks)

    def test_flushes_queries_and_writes_go_on_together(self):
        node = self.start_node("--telemetry.interval=100ms")
        statuses = {"write": set(), "query": set(), "flush": set()}
        end = time.monotonic() + 5

        def write(number):
            time_ms = int(time.time() * 1000)
            while time.monotonic() < end:
                time_ms += 1
                body = snappy(b"".join(
                    series_1([("__name__", "busy"), ("i", str(i)), ("writer", str(number))],
                             [(time_ms, float(i))]) for i in range(50)))
                statuses["write"].add(node.request("POST", "/api/v1/write", body, HEADERS_1).status)

        def ask():
            while time.monotonic() < end:
                for text in ("sum by (writer) (rate(busy[1m]))", "count({__name__=~\"gnomon.*\"})",
                             "topk(3, busy)"):
                    statuses["query"].add(node.get("/api/v1/query", query=text).status)
                statuses["query"].add(node.get("/api/v1/status/tsdb").status)
                statuses["query"].add(node.get("/metrics").status)

        def flush():
            while time.monotonic() < end:
                statuses["flush"].add(node.request("POST", "/api/v1/admin/flush").status)

        threads = [threading.Thread(target=write, args=(i,)) for i in range(2)]
        threads += [threading.Thread(target=ask) for _ in range(2)]
        threads += [threading.Thread(target=flush)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(statuses, {"write": {204}, "query": {200}, "flush": {204}})
        self.assertLess(node.terminate(), 30)

    def test_data_opens_with_another_number_of_threads(self):
        node = self.start_node("--threads=2", "--telemetry.self_write=false")
        now_ms = int(time.time() * 1000)
        body = snappy(b"".join(series_1([("__name__", "kept"), ("i", str(i)), ("job", str(i))],
                                        [(now_ms, float(i))]) for i in range(100)))
        self.assertEqual(node.request("POST", "/api/v1/write", body, HEADERS_1).status, 204)
        for threads in ("1", "3", "2"):
            node.kill()
            node = self.restart(node, f"--threads={threads}", "--telemetry.self_write=false")
            result = node.query("count(kept)", time=now_ms / 1000)["result"]
            self.assertEqual(result[0]["value"][1], "100", threads)
        node.terminate()

    def test_both_engines_of_the_disk_keep_what_was_written(self):
        now_ms = int(time.time() * 1000)
        node = self.start_node("--storage.engine=pwritev2", "--telemetry.self_write=false")
        body = snappy(series_1([("__name__", "kept")], [(now_ms, 1.0)]))
        self.assertEqual(node.request("POST", "/api/v1/write", body, HEADERS_1).status, 204)
        node.kill()
        node = self.restart(node, "--storage.engine=auto", "--telemetry.self_write=false")
        self.assertEqual(len(node.query("kept", time=now_ms / 1000)["result"]), 1)
        node.terminate()

    def files_of_every_kind(self):
        """Of a node that has ended: blocks, parts, series segments, metadata."""
        node = self.start_node("--telemetry.self_write=false", "--cluster.shards=1")
        now_ms = int(time.time() * 1000)
        for number in range(2):
            request = Request2()
            for series in range(20):
                labels = [("__name__", f"kept_{number}"), ("n", str(series))]
                request.add(labels, [(now_ms - 300000 + i * 1000, i / 7) for i in range(200)],
                            [histogram(now_ms - 60000, 6, 12.5, [1, 2, 3])],
                            [([("trace", "abc")], now_ms - 60000, 1.0)],
                            (METRIC_COUNTER, "Help.", "bytes"), now_ms - 400000)
            self.assertEqual(node.request("POST", "/api/v1/write", snappy(request.bytes()),
                                          HEADERS_2).status, 204)
            if number == 0:
                self.assertEqual(node.request("POST", "/api/v1/admin/flush").status, 204)
        node.terminate()  # freezes the second request: a part
        files = [os.path.join(folder, name)
                 for folder, _, names in os.walk(os.path.join(self.folder, "data", "shards"))
                 for name in names]
        self.assertEqual({path.rpartition(".")[2] for path in files},
                         {"block", "part", "segment", "metadata"})
        return files

    def test_files_of_a_node_pass_their_verification(self):
        for path in self.files_of_every_kind():
            verified = run("block", "verify", path)
            self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
            self.assertIn("sound", verified.stdout)
            inspected = run("block", "inspect", path)
            self.assertEqual(inspected.returncode, 0, path)
            self.assertIn("kind: ", inspected.stdout)

    def test_damaged_files_are_found_out(self):
        copy = os.path.join(self.folder, "copy")
        generator = random.Random(5)
        for path in self.files_of_every_kind():
            with open(path, "rb") as file:
                content = file.read()
            name = copy + "." + path.rpartition(".")[2]
            damaged = [b"", content[:1], content[:-1], content[:len(content) // 2],
                       content + b"\x00", bytes(len(content))]
            for place in [0, len(content) - 1] + generator.sample(range(len(content)), 12):
                damaged.append(content[:place] + bytes([content[place] ^ 1 << place % 8]) +
                               content[place + 1:])
            for number, wrong in enumerate(damaged):
                with open(name, "wb") as file:
                    file.write(wrong)
                verified = run("block", "verify", name)
                self.assertEqual((verified.returncode, verified.stdout), (1, ""), (path, number))
                self.assertIn(name, verified.stderr)
                self.assertIn(run("block", "inspect", name).returncode, (0, 1), (path, number))
        for path in os.path.join(self.folder, "nowhere"), self.folder:
            self.assertEqual(run("block", "verify", path).returncode, 1)

    def test_what_is_no_data_directory_is_left_alone(self):
        foreign = os.path.join(self.folder, "foreign")
        os.mkdir(foreign)
        with open(os.path.join(foreign, "letter"), "w", encoding="utf-8") as file:
            file.write("dear")
        newer = os.path.join(self.folder, "newer")
        os.mkdir(newer)
        with open(os.path.join(newer, "format"), "w", encoding="utf-8") as file:
            file.write("gnomon 999\n")
        for path, words in ((foreign, "not a data directory"), (newer, "format"),
                            (os.path.join(foreign, "letter"), "Not a directory")):
            outcome = run("serve", f"--http.listen=127.0.0.1:{harness.free_port()}",
                          f"--storage.directory={path}")
            self.assertEqual(outcome.returncode, 1)
            self.assertIn(words, outcome.stderr)
        self.assertEqual(set(os.listdir(foreign)) - {"lock"}, {"letter"})
        self.assertEqual(set(os.listdir(newer)) - {"lock"}, {"format"})


class Settings(harness.IntegrationTest):
    def test_every_command_tells_what_it_takes(self):
        for words in ("", "serve", "check config", "check", "check web-config", "block",
                      "block inspect", "bucket check", "cluster", "cluster drain", "cluster split"):
            shown = subprocess.run([harness.BINARY, *words.split(), "--help"],
                                   capture_output=True, text=True, timeout=30, check=False)
            self.assertEqual((shown.returncode, shown.stderr), (0, ""), words)
            self.assertIn("gnomon " + words.split(" ")[0], shown.stdout, words)

    def test_a_file_is_checked_with_and_without_its_flag(self):
        path = os.path.join(self.folder, "gnomon.yaml")
        for written, status, words in (("http:\n  listen: 127.0.0.1:1234\n", 0, "127.0.0.1:1234"),
                                       ("http:\n  lisen: 127.0.0.1:1234\n", 1, "http.listen")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(written)
            for arguments in ([path], ["--config", path], [path, "--threads=1"]):
                outcome = run("check", "config", *arguments)
                self.assertEqual(outcome.returncode, status, arguments)
                self.assertIn(words, outcome.stdout + outcome.stderr)

    def test_the_object_store_of_the_settings_is_tried(self):
        folder = os.path.join(self.folder, "bucket")
        store = ("--object_store.type=directory", f"--object_store.directory={folder}")
        for arguments, status, words in (
                (store, 0, "the object store works"), ((), 1, "object_store.type is none"),
                (("--object_store.type=directory",), 1, "object_store.directory")):
            outcome = run("bucket", "check", *arguments)
            self.assertEqual(outcome.returncode, status, outcome.stdout + outcome.stderr)
            self.assertIn(words, outcome.stdout + outcome.stderr)

    def test_wrong_settings_are_errors_that_help(self):
        cases = [
            (["--storage.retntion=1d"], "did you mean 'storage.retention'"),
            (["--storage.retention=long"], "storage.retention"),
            (["--query.concurrency=0"], "out of range"),
            (["--telemetry.self_write=maybe"], "true or false"),
            (["--config", os.path.join(self.folder, "missing.yaml")], "missing.yaml"),
            (["--config", self.folder], "Is a directory"),
            (["--config"], "has no value"),
            (["surplus"], "surplus"),
            (["--http.listen=here"], "127.0.0.1:9009"),
            (["--http.max_body=10"], "1KiB to 1GiB"),
            (["--http.max_connections=auto"], "not a number"),
            (["--http.tls.certificate=x.pem"], "http.tls.key"),
            (["--http.tls.certificate=x.pem", "--http.tls.key=x.key"], "x.pem"),
            (["--http.tls.client_ca=x.pem"], "http.tls.certificate"),
            (["--storage.directory="], "empty"),
            (["--storage.engine=mmap"], "io_uring"),
            (["--log.level=loud"], "debug, info"),
        ]
        for arguments, words in cases:
            with self.subTest(arguments=arguments):
                outcome = run("check", "config", *arguments)
                self.assertEqual(outcome.returncode, 1)
                self.assertIn(words, outcome.stderr)

    def test_wrong_files_and_variables_are_errors_that_help(self):
        path = os.path.join(self.folder, "gnomon.yaml")
        for content, words in (
                ("storage:\n  retntion: 1d\n", "did you mean 'storage.retention'"),
                ("storage:\n  retention: [1d]\n", "a list"),
                ("storage: 5\n", "unknown setting 'storage'"),
                ("storage:\n  retention: 1d\n  retention: 2d\n", "line 3"),
                ("storage:\n\tretention: 1d\n", "gnomon.yaml:2"),
                ("a: &a [*a]\n", "a list"),
                ("- 1\n", "names and values")):
            with self.subTest(content=content):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(content)
                outcome = run("check", "config", "--config", path)
                self.assertEqual(outcome.returncode, 1, outcome.stdout)
                self.assertIn(words, outcome.stderr)
        outcome = run("check", "config", env={**os.environ, "GNOMON_QUERY_TIMEOT": "1m"})
        self.assertEqual(outcome.returncode, 1)
        self.assertIn("GNOMON_QUERY_TIMEOUT", outcome.stderr)

    def test_what_a_node_shows_is_what_check_prints(self):
        arguments = [f"--storage.directory={self.folder}/data", "--query.timeout=77s",
                     f"--http.listen=127.0.0.1:{harness.free_port()}"]
        printed = run("check", "config", *arguments).stdout
        node = self.start_node(*arguments, port=int(arguments[2].rpartition(":")[2]))
        self.assertEqual(node.get("/api/v1/status/config").data()["yaml"], printed)
        flags = node.get("/api/v1/status/flags").data()
        self.assertEqual(flags["query.timeout"], "77s")
        section, shown = "", {}
        for line in printed.splitlines():
            name, _, value = line.strip().partition(":")
            if not value:
                section = name
            else:
                shown[f"{section}.{name}" if line.startswith(" ") else name] = value.strip(' "')
        self.assertEqual(flags, shown)

    def test_commands_that_are_wrong_say_how_they_are_used(self):
        for arguments in ([], ["sreve"], ["block"], ["block", "verify"], ["check"]):
            outcome = run(*arguments)
            self.assertEqual(outcome.returncode, 2, arguments)
            self.assertIn("gnomon serve", outcome.stderr)
            self.assertEqual(outcome.stdout, "")
        for arguments in (["--help"], ["serve", "--help"], ["check", "config", "--help"]):
            outcome = run(*arguments)
            self.assertEqual((outcome.returncode, outcome.stderr), (0, ""), arguments)
        self.assertIn("gnomon 0.", run("version").stdout)

    def test_file_environment_and_flag_are_read_in_this_order(self):
        path = os.path.join(self.folder, "gnomon.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("storage:\n  retention: 1d\nquery:\n  timeout: 1m\n  lookback: 1m\n")
        environment = {**os.environ, "GNOMON_QUERY_TIMEOUT": "2m", "GNOMON_QUERY_LOOKBACK": "2m"}
        outcome = run("check", "config", "--config", path, "--query.lookback=3m", env=environment)
        self.assertEqual(outcome.returncode, 0, outcome.stderr)
        for line in ('retention: "1d"', 'timeout: "2m"', 'lookback: "3m"'):
            self.assertIn(line, outcome.stdout)

    def test_what_check_prints_is_a_file_that_it_takes(self):
        path = os.path.join(self.folder, "gnomon.yaml")
        first = run("check", "config", "--ingest.future_window=1h")
        with open(path, "w", encoding="utf-8") as file:
            file.write(first.stdout)
        second = run("check", "config", "--config", path)
        self.assertEqual((second.returncode, second.stdout), (0, first.stdout), second.stderr)


if __name__ == "__main__":
    harness.main()
