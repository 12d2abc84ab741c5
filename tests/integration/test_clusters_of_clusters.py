"""Two clusters answer as one with all their data does, and one of them is missed without harm."""
import json
import math
import os
import signal
import time

import harness
import remote_write as rw
from certificates import make_certificate
from test_cluster import ClusterTest

SAMPLES = 60
STEP_MS = 15000
SERIES = 120

RANGE_QUERIES = [
    "load", "load{job='job-1'}", "load{cluster='b'}", "load{cluster!='b'}", "load{cluster=~'a|b'}",
    "load{cluster='a', instance=~'host-1.*'}", "sum(load)", "sum by (cluster) (load)",
    "sum by (job) (load)", "sum by (cluster, job) (load)", "sum without (instance) (load)",
    "sum without (cluster, instance) (load)", "avg(load)", "avg by (cluster) (load)",
    "min by (job) (load)", "max by (job) (load)", "count by (cluster) (load)",
    "count(load) by (job)", "group by (cluster) (load)", "stddev(load)", "stdvar by (job) (load)",
    "count_values by (cluster) ('v', load % 3)", "quantile(0.9, load)",
    "quantile by (cluster) (0.5, load)", "topk(3, load)", "bottomk by (cluster) (2, load)",
    "rate(work_total[2m])", "sum(rate(work_total[2m]))", "sum by (cluster) (rate(work_total[2m]))",
    "sum by (job) (increase(work_total[5m]))", "irate(work_total[1m])",
    "avg by (job) (irate(work_total[1m]))", "delta(load[2m])", "deriv(load[5m])",
    "sum(deriv(load[5m]))", "changes(load[5m])", "resets(work_total[5m])",
    "avg_over_time(load[3m])", "sum(avg_over_time(load[3m]))", "max_over_time(load[3m])",
    "min by (cluster) (min_over_time(load[3m]))", "stddev_over_time(load[3m])",
    "quantile_over_time(0.7, load[3m])", "last_over_time(load[3m])", "count_over_time(load[3m])",
    "present_over_time(load[3m])", "absent(load)", "absent(nothing)", "absent(load{cluster='c'})",
    "absent_over_time(load{job='none'}[1m])", "load + 1", "load > 100", "load > bool 100",
    "-load", "abs(load - 90)", "ceil(load / 7)", "clamp(load, 50, 100)", "ln(load)", "exp(load / 99)",
    "load * on (cluster, instance) work_total", "load - on (instance) load",
    "sum by (cluster) (load) / sum by (cluster) (rate(work_total[2m]))",
    "load / on (cluster) group_left () sum by (cluster) (load)",
    "load and on (instance) work_total", "load unless on (instance) load{job='job-1'}",
    "load{cluster='a'} or load{cluster='b'}", "load * ignoring (cluster) load",
    "label_replace(load, 'place', '$1-x', 'cluster', '(.*)')",
    "sum by (place) (label_replace(load, 'place', '$1', 'cluster', '(.*)'))",
    "label_join(load, 'both', '/', 'cluster', 'job')", "sum(load) by (instance) > 60",
    "histogram_quantile(0.9, sum by (le) (rate(took_bucket[5m])))",
    "histogram_quantile(0.9, sum by (cluster, le) (rate(took_bucket[5m])))",
    "histogram_quantile(0.5, rate(took_bucket[5m]))",
    "max_over_time(sum by (cluster) (rate(work_total[1m]))[5m:30s])",
    "avg_over_time(load[4m:1m])", "sum(sum_over_time(load[2m:30s]))", "load offset 1m",
    "sum by (cluster) (load offset 2m)", "sum(load @ start())", "load @ end()", "timestamp(load)",
    "sum(timestamp(load))", "scalar(sum(load))", "vector(scalar(sum(load)) + 1)", "time()",
    "sum(load) + time()", "sort(load)", "count(load > 100)", "sum({__name__=~'load|work_total'})",
    "count by (__name__) ({__name__=~'.+'})", "sum by (exported_job) (load)",
    "predict_linear(load[5m], 60)", "sum(predict_linear(load[5m], 60))",
    "max(load) - min(load)", "avg(load) by (cluster) > avg(load) by (cluster) - 1",
    "sum(count by (cluster, job) (load))", "max by (cluster) (idelta(load[1m]))",
    "topk by (cluster) (1, sum by (cluster, job) (load))", "sum(topk(5, load))",
    "count(count by (cluster) (load))", "round(load / 3, 0.5)", "day_of_week(load)", "sgn(load - 90)",
]


def near(left, right):
    return left == right or (math.isnan(left) and math.isnan(right)) or \
        abs(left - right) <= 1e-12 * max(abs(left), abs(right), 1)


class ClustersTest(harness.IntegrationTest):
    def start_cluster(self, name, *settings, clusters=None):
        folder = os.path.join(self.folder, name)
        os.makedirs(folder, exist_ok=True)
        if clusters is not None:
            path = os.path.join(folder, "settings.yaml")
            with open(path, "w", encoding="utf-8") as file: # YAML takes JSON
                json.dump({"federation": {"clusters": clusters}}, file)
            settings = (f"--config={path}", *settings)
        node = harness.Node(folder, harness.free_port(),
                            (f"--cluster.name={name}", "--telemetry.self_write=false", *settings))
        return self.start(node).wait_ready()

    def write(self, node, body):
        answer = node.request("POST", "/api/v1/write", rw.snappy(body), rw.HEADERS_1)
        self.assertEqual(answer.status, 204, answer.body)


class Answers(ClustersTest):
    def setUp(self):
        super().setUp()
        self.end_ms = int(time.time() * 1000) // STEP_MS * STEP_MS - STEP_MS
        self.b = self.start_cluster("b")
        self.a = self.start_cluster("a", clusters=[{"name": "b", "url": self.b.url()}])
        self.whole = self.start_cluster("whole")
        for name, node in (("a", self.a), ("b", self.b)):
            self.write(node, self.body(name, False))
            self.write(self.whole, self.body(name, True))

    def series(self, name, labels, values, cluster):
        pairs = [("__name__", name), *labels] + ([("cluster", cluster)] if cluster else [])
        start_ms = self.end_ms - (SAMPLES - 1) * STEP_MS
        return rw.series_1(sorted(pairs), [(start_ms + i * STEP_MS, value)
                                           for i, value in enumerate(values)])

    def body(self, cluster, is_labelled):
        label, body = cluster if is_labelled else "", b""
        for i in range(SERIES):
            if (i % 3 == 0) != (cluster == "b"):
                continue
            labels = [("instance", f"host-{i}"), ("job", f"job-{i % 5}")]
            body += self.series("load", labels, [50 + i + 3 * math.sin(k / 5 + i)
                                                 for k in range(SAMPLES)], label)
            body += self.series("work_total", labels, [float((k * (i + 1)) % 997 + 1)
                                                       for k in range(SAMPLES)], label)
            for number, bound in enumerate(("0.1", "1", "+Inf")):
                body += self.series("took_bucket", labels + [("le", bound)],
                                    [float(k * (i % 7 + 1) * (number + 1)) for k in range(SAMPLES)],
                                    label)
        body += rw.metadata_1(f"known_in_{cluster}", rw.METRIC_GAUGE, f"Of {cluster}.", "")
        return body

    def compare(self, query, one, other):
        self.assertEqual(one["resultType"], other["resultType"], query)
        if one["resultType"] in ("scalar", "string"):
            self.assertTrue(near(float(one["result"][1]), float(other["result"][1])), query)
            return 1
        found, expected = ({tuple(sorted(series["metric"].items())):
                            series.get("values") or [series["value"]]
                            for series in data["result"]} for data in (one, other))
        self.assertEqual(sorted(found), sorted(expected), query)
        for labels, points in expected.items():
            self.assertEqual([p[0] for p in found[labels]], [p[0] for p in points], query)
            for left, right in zip(found[labels], points):
                self.assertTrue(near(float(left[1]), float(right[1])),
                                f"{query} {labels}: {left} {right}")
        return len(expected)

    def test_a_hundred_queries_are_answered_as_by_one_server(self):
        self.assertGreaterEqual(len(set(RANGE_QUERIES)), 100)
        times = {"start": (self.end_ms - 40 * STEP_MS) / 1000, "end": self.end_ms / 1000,
                 "step": 30}
        found = 0
        for query in RANGE_QUERIES:
            instant = [node.query(query, time=self.end_ms / 1000) for node in (self.a, self.whole)]
            found += self.compare(query, *instant)
            answers = [node.get("/api/v1/query_range", query=query, **times)
                       for node in (self.a, self.whole)]
            self.assertNotIn("without", str(answers[0].json().get("warnings")), query)
            found += self.compare(query, *(answer.data() for answer in answers))
        self.assertGreater(found, 5000)
        self.assertEqual(self.a.metric("gnomon_federation_failed_total", remote="b"), 0)
        self.assertGreater(self.a.metric("gnomon_federation_pruned_total", remote="b"), 0)
        for node in (self.a, self.b):
            node.terminate()

    def test_names_values_series_and_metadata_are_those_of_both(self):
        for path, parameters in (("/api/v1/labels", {}), ("/api/v1/labels", {"match[]": "{cluster='b'}"}),
                                 ("/api/v1/label/cluster/values", {}),
                                 ("/api/v1/label/instance/values", {"match[]": "{cluster='b'}"}),
                                 ("/api/v1/label/instance/values", {}),
                                 ("/api/v1/series", {"match[]": "load"}),
                                 ("/api/v1/series", {"match[]": "{cluster='b', job='job-1'}"})):
            one, other = (node.get(path, **parameters).data() for node in (self.a, self.whole))
            key = (lambda item: sorted(item.items())) if path.endswith("series") else str
            self.assertEqual(sorted(one, key=key), sorted(other, key=key), (path, parameters))
        metadata = self.a.get("/api/v1/metadata").data()
        for name in "ab":
            self.assertEqual([entry["help"] for entry in metadata[f"known_in_{name}"]],
                             [f"Of {name}."])

    def test_a_missing_cluster_is_a_warning_or_an_error_as_asked(self):
        self.b.kill()
        for query, count in (("sum by (cluster) (load)", 1), ("load", SERIES - SERIES // 3),
                             ("quantile(0.5, load)", 1), ("load - on (instance) load", 80)):
            answer = self.a.get("/api/v1/query", query=query, time=self.end_ms / 1000)
            self.assertEqual(len(answer.data()["result"]), count, query)
            self.assertIn('cluster "b"', str(answer.json().get("warnings")), query)
            answer = self.a.get("/api/v1/query", query=query, time=self.end_ms / 1000,
                                partial_response="false")
            self.assertEqual(answer.status, 503, answer.body)
            self.assertIn('cluster \\"b\\"', answer.body.decode(), query)
        answer = self.a.get("/api/v1/label/instance/values")
        self.assertIn('cluster "b"', str(answer.json()["warnings"]))
        self.assertEqual(len(answer.data()), SERIES - SERIES // 3)
        self.assertEqual(self.a.get("/api/v1/labels", partial_response="false").status, 503)
        self.assertEqual(self.a.get("/api/v1/labels", partial_response="perhaps").status, 400)
        pruned = self.a.get("/api/v1/query", query="sum(load{cluster='a'})",
                            time=self.end_ms / 1000, partial_response="false")
        self.assertNotIn("warnings", pruned.json())
        self.assertGreater(self.a.metric("gnomon_federation_failed_total", remote="b"), 0)
        self.a.terminate()

    def test_a_cluster_that_stands_still_is_waited_for_as_long_as_the_settings_say(self):
        c = self.start_cluster("c", "--federation.timeout=700ms", "--query.timeout=20s",
                               clusters=[{"name": "b", "url": self.b.url()}])
        self.b.process.send_signal(signal.SIGSTOP)
        try:
            for query in ("sum(load)", "quantile(0.5, load)"):
                began = time.monotonic()
                answer = c.get("/api/v1/query", query=query, time=self.end_ms / 1000)
                self.assertIn('cluster "b"', str(answer.json().get("warnings")), query)
                self.assertLess(time.monotonic() - began, 10)
                answer = c.get("/api/v1/query", query=query, partial_response="false")
                self.assertEqual(answer.status, 503, answer.body)
        finally:
            self.b.process.send_signal(signal.SIGCONT)
        harness.wait_until(lambda: "warnings" not in c.get("/api/v1/query", query="sum(load)").json(),
                           "the cluster is asked again")

    def test_a_cluster_that_stands_still_is_left_out_after_a_moment_and_then_at_once(self):
        c = self.start_cluster("c", "--federation.timeout=60s", "--query.timeout=100s",
                               clusters=[{"name": "b", "url": self.b.url()}])
        self.b.process.send_signal(signal.SIGSTOP)
        try:
            seconds = []
            for query in ("sum(load)", "quantile(0.5, load)", "load", "count(load)"):
                began = time.monotonic()
                answer = c.get("/api/v1/query", query=query, time=self.end_ms / 1000)
                seconds.append(time.monotonic() - began)
                self.assertIn('cluster "b"', str(answer.json().get("warnings")), query)
            self.assertEqual(c.metric("gnomon_federation_silent", remote="b"), 1)
            self.assertLess(seconds[0], 20)
            self.assertLess(max(seconds[1:]), 2, seconds)
        finally:
            self.b.process.send_signal(signal.SIGCONT)
        harness.wait_until(lambda: "warnings" not in c.get("/api/v1/query", query="sum(load)").json(),
                           "the cluster is asked again")
        self.assertEqual(c.metric("gnomon_federation_silent", remote="b"), 0)

    def test_two_clusters_that_name_each_other_do_not_go_in_circles(self):
        c = self.start_cluster("c", clusters=[{"name": "a", "url": self.a.url()}])
        count = c.query("count by (cluster) (load)", time=self.end_ms / 1000)["result"]
        self.assertEqual([series["metric"] for series in count], [{"cluster": "a"}])

    def test_labels_of_the_cluster_win_and_others_are_renamed(self):
        d = self.start_cluster("d", clusters=[{"name": "whole", "url": self.whole.url(),
                                               "labels": {"cluster": "w", "job": "all"}}])
        at = self.end_ms / 1000
        result = d.query("count by (cluster, job, exported_cluster) (load)", time=at)["result"]
        self.assertEqual(sorted((s["metric"]["cluster"], s["metric"]["job"],
                                 s["metric"]["exported_cluster"], s["value"][1]) for s in result),
                         [("w", "all", "a", "80"), ("w", "all", "b", "40")])
        result = d.query("count(load{exported_job='job-1', exported_cluster='b'})", time=at)["result"]
        self.assertEqual(result[0]["value"][1], "8")
        values = d.get("/api/v1/label/exported_job/values").data()
        self.assertEqual(values, [f"job-{i}" for i in range(5)])
        self.assertEqual(d.get("/api/v1/label/job/values").data(), ["all"])


class ManyNodes(ClusterTest, ClustersTest):
    """A cluster of three nodes is asked by another one, through any of them."""

    def test_a_cluster_of_nodes_answers_as_a_whole(self):
        names = ["n1", "n2", "n3"]
        self.launch_all(names, "--cluster.name=many")
        end_ms = int(time.time() * 1000) // STEP_MS * STEP_MS
        self.write(self.nodes["n1"], b"".join(
            rw.series_1([("__name__", "load"), ("instance", f"host-{i}"), ("job", f"job-{i % 3}")],
                        [(end_ms - (20 - k) * STEP_MS, 0.1 * i + k) for k in range(20)])
            for i in range(200)))
        at = (end_ms - STEP_MS) / 1000
        for node in self.nodes.values():
            harness.wait_until(lambda: node.query("count(load)", time=at)["result"][:1] and
                               node.query("count(load)", time=at)["result"][0]["value"][1] == "200",
                               "all is visible")
        for name in names:
            a = self.start_cluster(f"a-{name}",
                                   clusters=[{"name": "many", "url": self.nodes[name].url()}])
            for query in ("sum by (job) (load)", "sum(rate(load[2m]))", "topk(3, load)", "load",
                          "quantile(0.9, load)", "load - on (instance) load", "avg(load)",
                          "stddev by (job) (load)", "absent(load{job='none'})", "absent(load)"):
                found = a.query(query, time=at)["result"]
                for series in found:
                    series["metric"].pop("cluster", None)
                expected = self.nodes["n1"].query(query, time=at)["result"]
                self.assertEqual(len(found), len(expected), query)
                for one, other in zip(*(sorted(result, key=lambda s: sorted(s["metric"].items()))
                                        for result in (found, expected))):
                    self.assertEqual(one["metric"], other["metric"], query)
                    self.assertTrue(near(float(one["value"][1]), float(other["value"][1])), query)
            self.assertEqual(len(a.get("/api/v1/label/instance/values").data()), 200)


class Bytes(ClustersTest):
    COUNT = 100000 if not harness.SANITIZED else 10000

    def test_sums_move_less_than_a_hundredth_of_the_series(self):
        b = self.start_cluster("b", "--ingest.max_series=0")
        a = self.start_cluster("a", clusters=[{"name": "b", "url": b.url()}])
        now_ms = int(time.time() * 1000) // STEP_MS * STEP_MS
        for first in range(0, self.COUNT, 5000):
            self.write(b, b"".join(
                rw.series_1([("__name__", "load"), ("instance", f"host-{i}"), ("job", f"job-{i % 10}")],
                            [(now_ms - 15000 * k, float(i % 997 + k)) for k in (3, 2, 1)])
                for i in range(first, first + 5000)))
        name, at = "gnomon_federation_sub_query_received_bytes_total", (now_ms - 15000) / 1000
        sums = a.query("sum by (job) (load)", time=at)["result"]
        self.assertEqual(len(sums), 10)
        sum_bytes = a.metric(name, remote="b")
        self.assertEqual(len(a.query("load", time=at)["result"]), self.COUNT)
        series_bytes = a.metric(name, remote="b") - sum_bytes
        print(f"sum by (job): {sum_bytes:.0f} bytes, the {self.COUNT} series: {series_bytes:.0f}")
        self.assertGreater(sum_bytes, 0)
        self.assertLess(sum_bytes, series_bytes / 100)


class Settings(ClustersTest):
    def test_a_cluster_is_asked_with_what_it_wants_to_know(self):
        token, web = (os.path.join(self.folder, name) for name in ("token", "web.yaml"))
        with open(token, "w", encoding="utf-8") as file:
            file.write("0123456789-0123456789-right\n")
        with open(web, "w", encoding="utf-8") as file:
            json.dump({"bearer_tokens": [{"name": "a", "token": "0123456789-0123456789-right"}]}, file)
        certificate, key = make_certificate(self.folder, "server")
        folder = os.path.join(self.folder, "b")
        os.makedirs(folder)
        port = harness.free_port()
        b = self.start(harness.Node(folder, port, [
            f"--http.web_config={web}", f"--http.tls.certificate={certificate}",
            f"--http.tls.key={key}", "--cluster.name=b"]))
        remote = {"name": "b", "url": f"https://127.0.0.1:{port}", "tls": {"ca": certificate}}
        a = self.start_cluster("a", clusters=[{**remote, "credentials": {"token_file": token}}])
        harness.wait_until(lambda: a.query("count(gnomon_build_info{cluster='b'})")["result"],
                           "the cluster answers", alive=b)
        for name, clusters, expected in (
                ("c", [remote], "401"),
                ("d", [{**remote, "tls": {}, "credentials": {"token_file": token}}], "certificate")):
            node = self.start_cluster(name, clusters=clusters)
            answer = node.get("/api/v1/query", query="count(gnomon_build_info)")
            self.assertIn(expected, str(answer.json().get("warnings")))

    def test_secrets_are_not_shown(self):
        secret = os.path.join(self.folder, "secret")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("hush-hush\n")
        a = self.start_cluster("a", clusters=[
            {"name": "b", "url": "http://127.0.0.1:1", "labels": {"cluster": "b", "zone": "x"},
             "credentials": {"user": "u", "password_file": secret}}])
        text = a.get("/api/v1/status/config").data()["yaml"]
        self.assertIn('name: "b"', text)
        self.assertIn('zone: "x"', text)
        self.assertNotIn("hush", text)


if __name__ == "__main__":
    harness.main()
