"""A real Prometheus scrapes itself and a node_exporter and writes into Gnomon; both are then asked
the same questions.
"""
import json
import os
import shutil
import subprocess
import time

import harness

QUERIES = (
    "up",
    "count by (job) ({__name__=~\".+\"})",
    "process_resident_memory_bytes",
    "node_memory_MemTotal_bytes",
    "sum by (mode) (rate(node_cpu_seconds_total[10s]))",
    "rate(prometheus_tsdb_head_samples_appended_total[10s])",
    "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[10s])))",
    "topk(5, node_cpu_seconds_total)",
    "go_goroutines / on (job, instance) group_left process_open_fds",
    "max_over_time(go_goroutines[10s]) - min_over_time(go_goroutines[10s])",
    "label_replace(up, \"host\", \"$1\", \"instance\", \"(.*):.*\")",
    "avg_over_time(sum(go_goroutines)[10s:2s])",
    "node_uname_info unless up",
    "quantile without (cpu) (0.5, node_cpu_seconds_total)",
)


class Prometheus(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        for program in ("prometheus", "prometheus-node-exporter", "promtool"):
            self.assertIsNotNone(shutil.which(program), f"{program} is not installed")
        self.node = self.start_node("--telemetry.self_write=false")
        self.exporter_port, self.prometheus_port = harness.free_port(), harness.free_port()
        self.exporter = self.start(harness.Program("node_exporter", self.folder, [
            "prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{self.exporter_port}"]))
        configuration = {
            "global": {"scrape_interval": "1s", "external_labels": {}},
            "scrape_configs": [
                {"job_name": "prometheus",
                 "static_configs": [{"targets": [f"127.0.0.1:{self.prometheus_port}"]}]},
                {"job_name": "node",
                 "static_configs": [{"targets": [f"127.0.0.1:{self.exporter_port}"]}]}],
            "remote_write": [{"url": self.node.url() + "/api/v1/write",
                              "queue_config": {"batch_send_deadline": "200ms"},
                              "metadata_config": {"send_interval": "1s"}}],
        }
        path = os.path.join(self.folder, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(configuration, file) # YAML takes it
        self.prometheus = self.start(harness.Program("prometheus", self.folder, [
            "prometheus", f"--config.file={path}", f"--storage.tsdb.path={self.folder}/prometheus",
            f"--web.listen-address=127.0.0.1:{self.prometheus_port}"]))
        harness.wait_until(lambda: self.has_scrapes(2), "Prometheus has written",
                           alive=self.prometheus)

    def tearDown(self):
        self.node.terminate()

    def has_scrapes(self, wanted):
        """Of each of the two targets, a second apart."""
        counts = self.node.query("count_over_time(up[1m])")["result"]
        return len(counts) == 2 and all(float(one["value"][1]) >= wanted for one in counts)

    def ask_prometheus(self, path, **parameters):
        return harness.request(self.prometheus_port, "GET",
                               f"/api/v1/{path}?" + harness.query_string(parameters)).data()

    def ask_node(self, path, **parameters):
        return self.node.get("/api/v1/" + path, **parameters).data()

    def settled_time(self):
        """A time in the past, up to which Gnomon has everything.

        No scrape lies a multiple of 0.5 s before it: Prometheus 2 took the left end of a range for
        a part of the range, 3 and Gnomon do not.
        """
        scrapes = {round(float(one["value"][1]) * 1000) % 500
                   for one in self.node.query("timestamp(up)")["result"]}
        at_ms = int(time.time() * 1000) - 2000
        while at_ms % 500 in scrapes | {0}:
            at_ms -= 1
        at = at_ms / 1000
        harness.wait_until(
            lambda: self.node.query("min(timestamp(up))", time=at + 2)["result"] and float(
                self.node.query("min(timestamp(up))", time=at + 2)["result"][0]["value"][1]) > at + 1,
            "newer scrapes have arrived", alive=self.prometheus)
        return at

    def assert_same_numbers(self, left, right, where):
        left_value, right_value = float(left), float(right)
        if left_value != right_value and not (left_value != left_value and
                                              right_value != right_value):
            # Sums may be made in another order.
            self.assertAlmostEqual(left_value, right_value,
                                   delta=1e-9 * max(abs(left_value), abs(right_value)), msg=where)

    def assert_same_result(self, ours, theirs, where):
        self.assertEqual(ours["resultType"], theirs["resultType"], where)

        def by_labels(data):
            return {tuple(sorted(one["metric"].items())): one.get("values") or [one["value"]]
                    for one in data["result"]}

        ours, theirs = by_labels(ours), by_labels(theirs)
        self.assertEqual(set(ours), set(theirs), where)
        for labels, points in theirs.items():
            self.assertEqual([point[0] for point in ours[labels]], [point[0] for point in points],
                             f"{where} {labels}")
            for our_point, their_point in zip(ours[labels], points):
                self.assert_same_numbers(our_point[1], their_point[1], f"{where} {labels}")

    def test_prometheus_and_gnomon_answer_the_same(self):
        # Ranges of 10 s, asked for 8 s: none reaches back to where series begin, which Prometheus 2
        # extrapolates in another way.
        harness.wait_until(lambda: self.has_scrapes(23), "ranges are filled",
                           alive=self.prometheus)
        at = self.settled_time()
        for query in QUERIES:
            with self.subTest(query=query):
                theirs = self.ask_prometheus("query", query=query, time=at)
                self.assertTrue(theirs["result"] or "unless" in query, query)
                self.assert_same_result(self.ask_node("query", query=query, time=at), theirs, query)
                window = {"query": query, "start": round(at - 8, 3), "end": at, "step": "0.5"}
                self.assert_same_result(self.ask_node("query_range", **window),
                                        self.ask_prometheus("query_range", **window), query)
        window = {"start": round(at - 8, 3), "end": at}
        self.assertEqual(self.ask_node("labels", **window), self.ask_prometheus("labels", **window))
        self.assertEqual(self.ask_node("label/__name__/values", **window),
                         self.ask_prometheus("label/__name__/values", **window))
        selected = {"match[]": '{job="node"}', **window}
        self.assertEqual(sorted(map(str, map(sorted, map(dict.items, self.ask_node("series", **selected))))),
                         sorted(map(str, map(sorted, map(dict.items, self.ask_prometheus("series", **selected))))))
        harness.wait_until(lambda: "node_cpu_seconds_total" in self.ask_node("metadata"),
                           "metadata has arrived", alive=self.prometheus)
        metadata = self.ask_node("metadata")["node_cpu_seconds_total"]
        self.assertEqual(metadata,
                         self.ask_prometheus("metadata")["node_cpu_seconds_total"])

    def test_promtool_reads(self):
        cases = (
            (["query", "instant", self.node.url(), "up"], "up{"),
            (["query", "range", self.node.url(), "up"], "up{"),
            (["query", "series", "--match=up", self.node.url()], "__name__=\"up\""),
            (["query", "labels", self.node.url(), "job"], "prometheus"),
        )
        for arguments, words in cases:
            outcome = subprocess.run(["promtool", *arguments], capture_output=True, text=True,
                                     timeout=60, check=False)
            self.assertEqual(outcome.returncode, 0, (arguments, outcome.stderr))
            self.assertIn(words, outcome.stdout, arguments)

    def test_prometheus_goes_on_writing_after_kill_9(self):
        at = self.settled_time()
        self.node.kill()
        self.node = self.restart(self.node)
        harness.wait_until(
            lambda: self.node.query("min(timestamp(up))")["result"] and float(
                self.node.query("min(timestamp(up))")["result"][0]["value"][1]) > at + 5,
            "newer scrapes have arrived", alive=self.prometheus)
        window = {"query": "up[1m]", "time": round(at + 4, 3)}
        self.assert_same_result(self.ask_node("query", **window),
                                self.ask_prometheus("query", **window), "up[1m]")


if __name__ == "__main__":
    harness.main()
