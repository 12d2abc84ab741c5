"""search/...: names and values that fit what somebody types, in lines of JSON."""
import json
import time

import harness
import remote_write as rw

METRICS = ("go_gc_duration_seconds", "http_request_duration_seconds_bucket", "http_requests_total",
           "node_cpu_seconds_total", "up", "Ünï_requests")


class Search(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.node = self.start_node("--telemetry.self_write=false")
        now_ms = int(time.time() * 1000)
        body = b"".join(
            rw.series_1([("__name__", name), ("instance", f"host{number}"), ("job", name.split("_")[0])],
                        [(now_ms - 1000, 1.0)]) for number, name in enumerate(METRICS))
        body += rw.series_1([("__name__", "old")], [(now_ms - 7200_000, 1.0)])
        body += rw.metadata_1("http_requests_total", 1, "Requests.", "")
        answer = self.node.request("POST", "/api/v1/write", rw.snappy(body), rw.HEADERS_1)
        self.assertEqual(answer.status, 204, answer.body)

    def tearDown(self):
        self.node.terminate()

    def search(self, what, *terms, **parameters):
        """(batches of results, has_more)"""
        if terms:
            parameters["search[]"] = terms
        answer = self.node.get("/api/v1/search/" + what, **parameters)
        self.assertEqual((answer.status, answer.headers["Content-Type"]),
                         (200, "application/x-ndjson; charset=utf-8"), answer.body)
        *batches, trailer = [json.loads(line) for line in answer.body.decode().splitlines()]
        self.assertEqual((trailer.pop("status"), list(trailer)), ("success", ["has_more"]))
        return [batch["results"] for batch in batches], trailer["has_more"]

    def names(self, *terms, what="metric_names", key="name", **parameters):
        batches, _ = self.search(what, *terms, **parameters)
        return [result[key] for batch in batches for result in batch]

    def scores(self, *terms, **parameters):
        batches, _ = self.search("metric_names", *terms, include_score="true", sort_by="score",
                                 **parameters)
        return [(result["name"], round(result["score"], 9)) for batch in batches for result in batch]

    def test_names_that_contain_the_characters_in_order(self):
        self.assertEqual(self.names("htotal"), ["http_requests_total"])
        self.assertEqual(self.names("requests", fuzz_threshold="90"),
                         ["http_requests_total", "Ünï_requests"])
        self.assertEqual(self.names(), sorted(METRICS))
        self.assertEqual(self.names("up", "cpu"), ["node_cpu_seconds_total", "up"])
        self.assertEqual(self.names("UP"), [])
        self.assertEqual(self.names("UP", case_sensitive="false"), ["up"])
        self.assertEqual(self.names("üNÏ", case_sensitive="false"), ["Ünï_requests"])
        self.assertEqual(self.names("nothing like it"), [])

    def test_the_best_comes_first(self):
        self.assertEqual(self.scores("http", "total"),
                         [("http_request_duration_seconds_bucket", 1), ("http_requests_total", 1),
                          ("node_cpu_seconds_total", 0.968121818)])
        self.assertEqual(self.scores("requests", fuzz_threshold="90"),
                         [("Ünï_requests", 0.993796875), ("http_requests_total", 0.992427632)])
        self.assertEqual(self.scores("total", fuzz_alg="jarowinkler"),
                         [("http_requests_total", 0.1), ("node_cpu_seconds_total", 0.1)])
        self.assertEqual(self.scores("http_request_totals", fuzz_alg="jarowinkler", fuzz_threshold="80"),
                         [("http_requests_total", 0.963157895), ("http_request_duration_seconds_bucket", 0.855744754)])

    def test_order_limit_and_batches(self):
        self.assertEqual(self.names(sort_by="alpha", sort_dir="dsc", limit=2), sorted(METRICS)[:-3:-1])
        batches, has_more = self.search("metric_names", batch_size=4)
        self.assertEqual(([len(batch) for batch in batches], has_more), ([4, 2], False))
        batches, has_more = self.search("metric_names", limit=4, batch_size=2)
        self.assertEqual(([len(batch) for batch in batches], has_more), ([2, 2], True))
        self.assertEqual(self.search("metric_names", "nothing like it"), ([[]], False))

    def test_label_names_and_values(self):
        self.assertEqual(self.names(what="label_names"), ["__name__", "instance", "job"])
        self.assertEqual(self.names("inst", what="label_names"), ["instance"])
        self.assertEqual(self.names("host", what="label_values", key="value", label="instance",
                                    **{"match[]": ['{job="http"}', "up"]}), ["host1", "host2", "host4"])
        self.assertEqual(self.names(start=0, **{"match[]": "old"}), ["old"]) # not within the hour

    def test_metadata_is_told_when_asked_for(self):
        batches, _ = self.search("metric_names", "http_requests", "up", include_metadata="true",
                                 fuzz_threshold="90")
        self.assertEqual(batches, [[{"name": "http_requests_total", "type": "counter", "help": "Requests."},
                                    {"name": "up"}]])

    def test_wrong_parameters_are_bad_data(self):
        for what, parameters in (
                ("label_values", {}), ("metric_names", {"limit": 10001}), ("metric_names", {"limit": 0}),
                ("label_names", {"batch_size": "x"}), ("label_names", {"sort_by": "size"}),
                ("label_names", {"sort_dir": "asc"}), ("label_names", {"sort_by": "score"}),
                ("label_names", {"fuzz_threshold": 101}), ("label_names", {"fuzz_alg": "best"}),
                ("label_names", {"case_sensitive": "maybe"}), ("label_names", {"search[]": ["a"] * 33}),
                ("label_names", {"match[]": "{}"}), ("label_names", {"start": 2, "end": 1})):
            answer = self.node.get("/api/v1/search/" + what, **parameters)
            self.assertEqual((answer.status, answer.json()["errorType"]), (400, "bad_data"), parameters)


if __name__ == "__main__":
    harness.main()
