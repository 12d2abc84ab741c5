"""Queries reach all shards of a cluster from any of its nodes, also while one of them stands still."""
import signal
import time

import harness
import remote_write as rw
from test_cluster import ClusterTest

SERIES = 200
SAMPLES = 20


class Queries(ClusterTest):
    def setUp(self):
        super().setUp()
        self.launch_all(["n1", "n2", "n3"])
        self.end_ms = int(time.time() * 1000) // 15000 * 15000
        self.write("n1", range(SAMPLES))
        rest = [self.nodes["n2"], self.nodes["n3"]]
        for node in rest: # what another node acknowledged is there within moments
            harness.wait_until(lambda: self.number(node, "count(load)") == SERIES, "all is visible")

    def body(self, ticks):
        body = b"".join(
            rw.series_1([("__name__", "load"), ("instance", f"host-{i}"), ("job", f"job-{i % 3}")],
                        [(self.end_ms - (SAMPLES - tick) * 15000, float(i + tick))
                         for tick in ticks]) for i in range(SERIES))
        return body + rw.metadata_1("load", rw.METRIC_GAUGE, "How much.", "units")

    def write(self, name, ticks):
        answer = self.nodes[name].request("POST", "/api/v1/write", rw.snappy(self.body(ticks)),
                                          rw.HEADERS_1)
        self.assertEqual(answer.status, 204, answer.body)

    def number(self, node, expression, **parameters):
        result = node.query(expression, **parameters)["result"]
        return float(result[0]["value"][1]) if result else 0

    def test_every_node_gives_the_same_answers(self):
        at = (self.end_ms - 15000) / 1000
        queries = ["sum by (job) (load)", "load{instance=~'host-1.*'}", "topk(3, load)",
                   "sum(rate(load[2m]))", "quantile(0.9, load)", "load - on (instance) load"]
        for query in queries:
            answers = []
            for node in self.nodes.values():
                result = node.query(query, time=at)["result"]
                answers.append(sorted((sorted(one["metric"].items()), float(one["value"][1]))
                                      for one in result))
            self.assertTrue(answers[0], query)
            for answer in answers[1:]:
                self.assertEqual([one[0] for one in answer], [one[0] for one in answers[0]], query)
                for one, other in zip(answer, answers[0]):
                    self.assertAlmostEqual(one[1], other[1], 9, query)

    def test_names_values_series_and_metadata_are_those_of_all_shards(self):
        for node in self.nodes.values():
            self.assertEqual(node.get("/api/v1/labels").data(), ["__name__", "instance", "job"])
            self.assertEqual(len(node.get("/api/v1/label/instance/values").data()), SERIES)
            series = node.get("/api/v1/series", **{"match[]": "load"}).data()
            self.assertEqual(len(series), SERIES)
            self.assertEqual(node.get("/api/v1/metadata").data()["load"],
                             [{"type": "gauge", "help": "How much.", "unit": "units"}])

    def test_what_a_node_acknowledged_it_shows_at_once(self):
        for i in range(20):
            node = self.nodes[f"n{i % 3 + 1}"]
            body = b"".join(rw.series_1([("__name__", "fresh"), ("round", str(i)), ("n", str(n))],
                                        [(self.end_ms, 1.0)]) for n in range(30))
            answer = node.request("POST", "/api/v1/write", rw.snappy(body), rw.HEADERS_1)
            self.assertEqual(answer.status, 204, answer.body)
            self.assertEqual(self.number(node, f"count(fresh{{round='{i}'}})"), 30)

    def test_strong_reads_see_what_another_node_acknowledged(self):
        for i in range(20):
            writer, reader = (self.nodes[f"n{(i + k) % 3 + 1}"] for k in range(2))
            body = b"".join(rw.series_1([("__name__", "strong"), ("round", str(i)), ("n", str(n))],
                                        [(self.end_ms, 1.0)]) for n in range(30))
            answer = writer.request("POST", "/api/v1/write", rw.snappy(body), rw.HEADERS_1)
            self.assertEqual(answer.status, 204, answer.body)
            path = "/api/v1/query?" + harness.query_string({"query": f"count(strong{{round='{i}'}})"})
            answer = reader.request("GET", path, headers={"X-Read-Consistency": "strong"})
            self.assertEqual(answer.data()["result"][0]["value"][1], "30")

    def latencies(self, node, seconds):
        """Of queries one after the other, in order of length; every answer is right."""
        at, times = (self.end_ms - 15000) / 1000, []
        expected = sum(i + SAMPLES - 1 for i in range(SERIES))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            self.assertEqual(self.number(node, "sum(load)", time=at), expected)
            times.append(time.monotonic() - began)
        return sorted(times)

    def test_a_node_that_stands_still_delays_queries_by_a_moment(self):
        node = self.nodes["n1"]
        usual = self.latencies(node, 3)
        self.nodes["n3"].process.send_signal(signal.SIGSTOP)
        try:
            paused = self.latencies(node, 8)
        finally:
            self.nodes["n3"].process.send_signal(signal.SIGCONT)
        usual_p99, paused_p99 = (times[len(times) * 99 // 100] for times in (usual, paused))
        print(f"p99 {usual_p99 * 1000:.1f} ms, with a node that stands still "
              f"{paused_p99 * 1000:.1f} ms (slowest {paused[-1] * 1000:.1f} of {len(paused)})")
        self.assertLess(paused_p99, usual_p99 + 0.2)


if __name__ == "__main__":
    harness.main()
