"""The query API: statuses, envelope and shapes of answers, as Prometheus' clients expect them."""
import gzip
import json

import harness
from remote_write import HEADERS_1, series_1, snappy

START_S = 1_700_000_000


class QueryApi(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.node = self.start_node("--telemetry.self_write=false")
        body = b"".join(
            series_1([("__name__", "requests"), ("code", code), ("job", "web")],
                     [((START_S + 15 * i) * 1000, i * rate) for i in range(21)])
            for code, rate in (("200", 30.0), ("500", 3.0)))
        body += series_1([("__name__", "temperature"), ("room", "kitchen")], [(START_S * 1000, 21.5)])
        answer = self.node.request("POST", "/api/v1/write", snappy(body), HEADERS_1)
        self.assertEqual(answer.status, 204, answer.body)

    def tearDown(self):
        self.node.terminate()

    def test_wrong_requests_answer_with_the_status_and_kind_of_prometheus(self):
        window = {"start": START_S, "end": START_S + 60, "step": 15}
        cases = [
            (400, "bad_data", "query", {}),
            (400, "bad_data", "query", {"query": "up{"}),
            (400, "bad_data", "query", {"query": "up", "time": "yesterday"}),
            (400, "bad_data", "query", {"query": "up", "timeout": "long"}),
            (400, "bad_data", "query", {"query": "up", "limit": "-1"}),
            (400, "bad_data", "query", {"query": "unknown_function(up)"}),
            (400, "bad_data", "query_range", {"query": "up"}),
            (400, "bad_data", "query_range", {**window, "query": "up", "step": 0}),
            (400, "bad_data", "query_range", {**window, "query": "up", "step": -1}),
            (400, "bad_data", "query_range", {**window, "query": "up", "end": START_S - 1}),
            (400, "bad_data", "query_range", {**window, "query": "up", "end": START_S + 11002,
                                              "step": 1}),
            (400, "bad_data", "query_range", {**window, "query": "up[5m]"}),
            (422, "execution", "query", {"query": "requests * on (job) requests",
                                         "time": START_S + 60}),
            (400, "bad_data", "series", {}),
            (400, "bad_data", "series", {"match[]": "{"}),
            (400, "bad_data", "series", {"match[]": '{job=~".*"}'}),
            (400, "bad_data", "labels", {"start": "x"}),
            (400, "bad_data", "query_exemplars", {"query": "up{"}),
            (400, "bad_data", "query_exemplars", {"query": "up", "start": 10, "end": 5}),
            (400, "bad_data", "metadata", {"limit": "many"}),
            (400, "bad_data", "status/tsdb", {"limit": 0}),
            (400, "bad_data", "rules", {"type": "odd"}),
            (503, "timeout", "query", {"query": "up", "timeout": "0"}),
        ]
        for status, kind, path, parameters in cases:
            with self.subTest(path=path, parameters=parameters):
                answer = self.node.get("/api/v1/" + path, **parameters)
                envelope = answer.json()
                self.assertEqual((answer.status, envelope["status"], envelope["errorType"]),
                                 (status, "error", kind), envelope)
                self.assertTrue(envelope["error"])
                self.assertEqual(answer.headers["Content-Type"], "application/json")

    def test_what_is_not_there_is_an_envelope_too(self):
        answer = self.node.get("/api/v1/nothing")
        self.assertEqual((answer.status, answer.json()["errorType"]), (404, "not_found"))
        answer = self.node.request("DELETE", "/api/v1/query")
        self.assertEqual(answer.status, 405)
        self.assertIn("GET", answer.headers["Allow"])

    def test_each_type_of_result_has_its_shape(self):
        at = START_S + 60
        cases = {
            "1 + 1": ("scalar", [at, "2"]),
            '"text"': ("string", [at, "text"]),
            "vector(0/0)": ("vector", [{"metric": {}, "value": [at, "NaN"]}]),
            "vector(1/0)": ("vector", [{"metric": {}, "value": [at, "+Inf"]}]),
            "temperature": ("vector", [{"metric": {"__name__": "temperature", "room": "kitchen"},
                                        "value": [at, "21.5"]}]),
            "temperature[5m]": ("matrix", [
                {"metric": {"__name__": "temperature", "room": "kitchen"},
                 "values": [[START_S, "21.5"]]}]),
            'sum by (job) (rate(requests{code="200"}[1m]))': ("vector", [
                {"metric": {"job": "web"}, "value": [at, "1.9999999999999998"]}]), # as Prometheus
            "missing": ("vector", []),
        }
        for expression, (kind, result) in cases.items():
            with self.subTest(expression=expression):
                data = self.node.query(expression, time=at)
                self.assertEqual((data["resultType"], data["result"]), (kind, result))

    def test_a_range_query_has_a_value_for_each_step(self):
        data = self.node.get("/api/v1/query_range", query='requests{code="500"}', start=START_S,
                             end=START_S + 60, step="15s").data()
        self.assertEqual(data["resultType"], "matrix")
        self.assertEqual(data["result"][0]["values"],
                         [[START_S + 15 * i, str(3 * i)] for i in range(5)])

    def test_scalars_have_no_exponent_and_samples_do(self):
        self.assertEqual(self.node.query("1e21", time=1)["result"][1], "1" + "0" * 21)
        self.assertEqual(self.node.query("vector(1e21)", time=1)["result"][0]["value"][1], "1e+21")

    def test_a_form_asks_like_an_address(self):
        form = harness.query_string({"query": "temperature", "time": START_S})
        answer = self.node.request("POST", "/api/v1/query", form,
                                   {"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(answer.data()["result"][0]["value"], [START_S, "21.5"])

    def test_times_are_seconds_or_rfc_3339(self):
        for time_text in (str(START_S), f"{START_S}.000", "2023-11-14T22:13:20Z",
                          "2023-11-14T23:13:20+01:00"):
            result = self.node.query("temperature", time=time_text)["result"]
            self.assertEqual(result[0]["value"][0], START_S, time_text)

    def test_a_limit_shows_the_first_series_and_says_that_there_are_more(self):
        names = [f"{number * 7 % 23:02}" for number in range(23)]
        body = b"".join(series_1([("__name__", "many"), ("number", name)], [(START_S * 1000, 1.0)])
                        for name in names)
        answer = self.node.request("POST", "/api/v1/write", snappy(body), HEADERS_1)
        self.assertEqual(answer.status, 204, answer.body)
        for limit in (0, 1, 2, 3, 10, 22, 23, 24):
            answer = self.node.get("/api/v1/series", **{"match[]": "many"}, limit=limit,
                                   start=START_S, end=START_S).json()
            shown = sorted(names)[:limit] if limit > 0 else sorted(names)
            self.assertEqual([series["number"] for series in answer["data"]], shown)
            self.assertEqual("warnings" in answer, len(shown) < len(names))

    def test_series_labels_and_values_respect_selectors_and_time(self):
        everything = {"start": START_S - 60, "end": START_S + 600}
        later = {"start": START_S + 86400, "end": START_S + 90000}
        series = self.node.get("/api/v1/series", **{"match[]": ["temperature", '{code="200"}']},
                               **everything).data()
        self.assertEqual(sorted(one["__name__"] for one in series), ["requests", "temperature"])
        self.assertEqual(self.node.get("/api/v1/labels", **everything).data(),
                         ["__name__", "code", "job", "room"])
        self.assertEqual(self.node.get("/api/v1/labels", **{"match[]": "temperature"},
                                       **everything).data(), ["__name__", "room"])
        self.assertEqual(self.node.get("/api/v1/label/code/values", **everything).data(),
                         ["200", "500"])
        self.assertEqual(self.node.get("/api/v1/labels", **later).data(), [])
        self.assertEqual(self.node.get("/api/v1/series", **{"match[]": "requests"}, **later).data(),
                         [])
        backwards = {"start": START_S + 60, "end": START_S}
        for path in ("labels", "label/code/values", "series?match[]=requests&"):
            address = "/api/v1/" + path + ("" if "?" in path else "?")
            answer = self.node.request("GET", address + harness.query_string(backwards))
            self.assertEqual(answer.data(), [], path)

    def test_series_come_by_labels_and_once(self):
        found = self.node.get("/api/v1/series", **{"match[]": [
            "temperature", '{job="web"}', 'requests{code="200"}']}).data()
        self.assertEqual([(one["__name__"], one.get("code")) for one in found],
                         [("requests", "200"), ("requests", "500"), ("temperature", None)])

    def test_a_selector_of_everything_is_refused_in_the_words_of_prometheus(self):
        words = "match[] must contain at least one non-empty matcher"
        for path, error in (("labels", words), ("label/job/values", words),
                            ("series", f'invalid parameter "match[]": {words}')):
            answer = self.node.get("/api/v1/" + path, **{"match[]": '{job=~".*"}'})
            self.assertEqual((answer.status, answer.json()["error"]), (400, error))

    def test_exemplars_of_no_selector_are_no_content(self):
        self.assertEqual(self.node.get("/api/v1/query_exemplars", query="1").status, 204)

    def test_errors_name_whole_label_sets(self):
        labels = [("__name__", "wide"), ("job", "web")] + [
            (f"label_{n:02}", "value " * 5) for n in range(8)]
        body = b"".join(series_1(labels + [("zone", zone)], [(START_S * 1000, 1.0)])
                        for zone in "ab")
        answer = self.node.request("POST", "/api/v1/write", snappy(body), HEADERS_1)
        self.assertEqual(answer.status, 204, answer.body)
        error = self.node.get("/api/v1/query", query="wide == on (job) wide",
                              time=START_S).json()["error"]
        self.assertIn("on the right hand-side", error)
        self.assertTrue(error.endswith("matching labels must be unique on one side"), error)

    def test_the_latest_sample_is_found_in_whatever_file_it_lies(self):
        even = START_S // 7200 * 7200
        for at, value in ((even - 60, 1), (even + 60, 2), (even - 30, 3), (even + 30, 4)):
            body = series_1([("__name__", "moving")], [(at * 1000, value)])
            self.assertEqual(self.node.request("POST", "/api/v1/write", snappy(body),
                                               HEADERS_1).status, 204)
            self.assertEqual(self.node.request("POST", "/api/v1/admin/flush").status, 204)
            self.assertGreaterEqual(len(self.node.get("/api/v1/status/tsdb/blocks").data()["blocks"]),
                                    1)
        for at, value in ((even - 45, 1), (even - 1, 3), (even + 29, 3), (even + 59, 4),
                          (even + 60, 2), (even + 300, 2)):
            self.assertEqual(self.node.query("moving", time=at)["result"][0]["value"][1],
                             str(value), at - even)

    def test_a_limit_cuts_the_answer_and_warns(self):
        cut = self.node.get("/api/v1/labels", limit=2).json()
        self.assertEqual((cut["data"], cut["warnings"]),
                         (["__name__", "code"], ["results truncated due to limit"]))
        cut = self.node.get("/api/v1/query", query="requests", time=START_S, limit=1).json()
        self.assertEqual((len(cut["data"]["result"]), cut["warnings"]),
                         (1, ["results truncated due to limit"]))

    def test_statistics_come_when_asked_for(self):
        data = self.node.query("sum(requests)", time=START_S, stats="true")
        self.assertGreaterEqual(data["stats"]["samples"]["totalQueryableSamples"], 2)
        self.assertNotIn("stats", self.node.query("sum(requests)", time=START_S))

    def test_statistics_count_samples_as_prometheus_does(self):
        window = {"start": START_S + 60, "end": START_S + 300, "step": 15, "stats": "true"} # 17 steps
        for query, queried, read in (
                ("rate(requests[1m])", 2 * 17 * 4, 2 * (4 + 16)), # of a window one is new
                ("requests", 2 * 17, 2 * 17),
                ("rate(requests[1m] @ end())", 2 * 17 * 4, 2 * 4), # stands for all steps
                ("max_over_time(sum(requests)[1m:15s])", 17 * 4, 2 * 20)): # points, and their samples
            samples = self.node.get("/api/v1/query_range", query=query, **window) \
                .data()["stats"]["samples"]
            self.assertEqual((samples["totalQueryableSamples"], samples["samplesRead"]),
                             (queried, read), query)

    def test_statistics_count_what_each_step_looks_at(self):
        window = {"start": START_S + 60, "end": START_S + 300, "step": 60, "stats": "all"}
        times = [START_S + 60 * i for i in range(1, 6)]
        plain = self.node.get("/api/v1/query_range", query="requests", **window).data()["stats"]
        self.assertNotIn("totalQueryableSamplesPerStep", plain["samples"])
        self.node.terminate()
        self.node = self.restart(self.node, "--query.experimental=true")
        for query, queried, read in (
                ("requests", [2] * 5, [2] * 5),
                ("rate(requests[2m])", [10] + [16] * 4, [10] + [8] * 4),
                ("rate(requests[2m] @ end())", [16] * 5, [16, 0, 0, 0, 0]),
                ("temperature offset -1m", [1, 1, 1, 0, 0], [1, 1, 1, 0, 0]),
                ("max_over_time(sum(requests)[1m:15s])", [4] * 5, [8] * 5),
                ("max_over_time(sum(requests)[1m:15s] offset 1m)", [0] + [4] * 4, [0] + [8] * 4),
                ("max_over_time(sum(requests)[1m:15s] @ end())", [4] * 5, [8, 0, 0, 0, 0])):
            samples = self.node.get("/api/v1/query_range", query=query, **window) \
                .data()["stats"]["samples"]
            self.assertEqual(samples["totalQueryableSamplesPerStep"],
                             [list(pair) for pair in zip(times, queried)], query)
            self.assertEqual(samples["samplesReadPerStep"],
                             [list(pair) for pair in zip(times, read)], query)
            self.assertEqual((samples["totalQueryableSamples"], samples["samplesRead"]),
                             (sum(queried), sum(read)), query)
        samples = self.node.query("requests[1m]", time=START_S + 60, stats="all")["stats"]["samples"]
        self.assertEqual(samples["totalQueryableSamplesPerStep"], [[START_S + 60, 8]])

    def test_everything_is_there_again_below_prometheus(self):
        for path in ("query?query=1", "labels", "status/buildinfo", "metadata"):
            self.assertEqual(self.node.get("/prometheus/api/v1/" + path).status, 200, path)

    def test_the_status_pages_have_their_keys(self):
        keys = {
            "buildinfo": ["version", "revision", "branch", "buildUser", "buildDate", "goVersion"],
            "runtimeinfo": ["startTime", "CWD", "serverTime", "reloadConfigSuccess",
                            "timeSeriesCount", "storageRetention"],
            "flags": ["http.listen", "storage.directory"],
            "config": ["yaml"],
            "tsdb": ["headStats", "seriesCountByMetricName", "labelValueCountByLabelName",
                     "memoryInBytesByLabelName", "seriesCountByLabelValuePair"],
            "walreplay": ["min", "max", "current", "state"],
        }
        for name, wanted in keys.items():
            data = self.node.get("/api/v1/status/" + name).data()
            self.assertEqual([key for key in wanted if key not in data], [], name)
        tsdb = self.node.get("/api/v1/status/tsdb").data()
        self.assertEqual(self.node.get("/api/v1/status/tsdb").data(), tsdb) # kept for a moment
        self.assertEqual(tsdb["headStats"]["numSeries"], 3)
        self.assertEqual(tsdb["seriesCountByMetricName"][0], {"name": "requests", "value": 2})

    def test_what_grafana_asks_of_a_ruler_is_empty_and_not_missing(self):
        for path, key in (("rules", "groups"), ("alerts", "alerts")):
            self.assertEqual(self.node.get("/api/v1/" + path).data(), {key: []})

    def test_answers_are_compressed_when_the_client_can(self):
        address = "/api/v1/query_range?" + harness.query_string(
            {"query": "requests", "start": START_S, "end": START_S + 300, "step": 1})
        plain = self.node.request("GET", address)
        packed = self.node.request("GET", address, headers={"Accept-Encoding": "gzip"})
        self.assertEqual(packed.headers["Content-Encoding"], "gzip")
        self.assertEqual(json.loads(gzip.decompress(packed.body)), plain.json())
        self.assertLess(len(packed.body), len(plain.body))

    def test_browsers_of_other_sites_may_ask(self):
        answer = self.node.request("OPTIONS", "/api/v1/query", headers={"Origin": "http://a"})
        self.assertEqual((answer.status, answer.headers["Allow"]), (204, "GET, POST, OPTIONS"))
        self.assertEqual(self.node.request("OPTIONS", "/api/v1/unknown").status, 204)
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")

    def test_deleted_samples_are_not_read(self):
        address = "/api/v1/admin/tsdb/delete_series?" + harness.query_string(
            {"match[]": "requests", "start": START_S, "end": START_S + 150})
        self.assertEqual(self.node.request("POST", address).status, 204)
        counts = self.node.query("count_over_time(requests[10m])", time=START_S + 300)["result"]
        self.assertEqual([one["value"][1] for one in counts], ["10", "10"])
        self.assertEqual(self.node.request("POST", "/api/v1/admin/tsdb/clean_tombstones").status,
                         204)
        self.assertEqual(self.node.request("POST", "/api/v1/admin/flush").status, 204)
        counts = self.node.query("count_over_time(requests[10m])", time=START_S + 300)["result"]
        self.assertEqual([one["value"][1] for one in counts], ["10", "10"])

    def test_a_flush_changes_no_answer(self):
        def answers():
            return [self.node.query(text, time=START_S + 290)["result"] for text in (
                "requests[10m]", "rate(requests[5m])", "temperature", "sum(requests)")]
        before = answers()
        self.assertTrue(all(before))
        self.assertEqual(self.node.request("POST", "/api/v1/admin/flush").status, 204)
        self.assertEqual(answers(), before)
        self.assertGreater(self.node.metric("gnomon_shard_parts") +
                           self.node.metric("gnomon_shard_blocks"), 0)


class Disabled(harness.IntegrationTest):
    def test_admin_endpoints_can_be_turned_off(self):
        node = self.start_node("--http.admin=false")
        for path in ("flush", "tsdb/clean_tombstones", "tsdb/delete_series?match[]=up",
                     "tsdb/snapshot"):
            answer = node.request("POST", "/api/v1/admin/" + path)
            self.assertEqual((answer.status, answer.json()["errorType"], answer.json()["error"]),
                             (500, "unavailable", "admin APIs disabled"), path)
        node.terminate()


if __name__ == "__main__":
    harness.main()
