"""What a server tells of itself: features, its own metrics, its blocks; what a receiver has none of."""
import harness
from remote_write import HEADERS_1, series_1, snappy

START_S = 1_700_000_000


class StatusPages(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.node = self.start_node("--telemetry.self_write=false")

    def tearDown(self):
        self.node.terminate()

    def data(self, path, **parameters):
        answer = self.node.get("/api/v1/" + path, **parameters)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()["data"]

    def test_features_are_those_that_work(self):
        features = self.data("features")
        self.assertTrue(features["api"]["remote_write_receiver"])
        self.assertTrue(features["promql_functions"]["rate"])
        self.assertEqual((features["promql"]["fill"], features["promql_operators"]["limitk"],
                          features["promql_functions"]["info"]), (False, False, False))
        self.assertEqual(self.node.get("/api/v1/query", query="limitk(1, up)").status, 400)
        self.node.terminate()
        self.node = self.restart(self.node, "--query.experimental=true")
        features = self.data("features")
        self.assertEqual((features["promql"]["fill"], features["promql_operators"]["limitk"],
                          features["promql_functions"]["info"]), (True, True, True))
        self.assertEqual(self.node.get("/api/v1/query", query="limitk(1, up)").status, 200)

    def test_every_path_of_the_description_is_there(self):
        answer = self.node.get("/api/v1/openapi.yaml")
        self.assertEqual(answer.headers["Content-Type"], "application/yaml; charset=utf-8")
        lines = answer.body.decode().splitlines()
        self.assertEqual(lines[0], "openapi: 3.1.0")
        newer = self.node.get("/api/v1/openapi.yaml", openapi_version="3.2").body.decode().splitlines()
        self.assertEqual((newer[0], newer[1:]), ("openapi: 3.2.0", lines[1:]))
        operations, path = [], None
        for line in lines[lines.index("paths:") + 1:lines.index("components:")]:
            if line.startswith("  /"):
                path = line.strip()[:-1]
            elif line.strip() in ("get:", "post:", "put:", "delete:") and line.startswith("    "):
                operations.append((line.strip()[:-1].upper(), path))
        self.assertEqual(len(operations), len(set(operations)))
        for wanted in (("GET", "/query"), ("POST", "/query_range"), ("POST", "/write"), ("POST", "/read"),
                       ("GET", "/label/{name}/values"), ("DELETE", "/status/active_queries/{id}"),
                       ("PUT", "/admin/tsdb/snapshot"), ("GET", "/openapi.yaml")):
            self.assertIn(wanted, operations)
        for method, path in operations:
            if not path.startswith("/admin"):
                answer = self.node.request(method, "/api/v1" + path.replace("{name}", "job")
                                           .replace("{id}", "77"))
                self.assertNotIn(answer.status, (405, 500, 501), (method, path))
                self.assertTrue(answer.status != 404 or path.endswith("{id}"), (method, path))

    def test_own_metrics_are_families(self):
        self.data("features")
        families = {family["name"]: family for family in self.data("status/self_metrics")}
        exposed = {line.split()[2]: line.split()[3].upper()
                   for line in self.node.get("/metrics").body.decode().splitlines()
                   if line.startswith("# TYPE")}
        self.assertEqual({name: family["type"] for name, family in families.items()}, exposed)
        requests = families["gnomon_http_requests_total"]["metric"]
        good = [metric for metric in requests if metric["label"] == [{"name": "code", "value": "2xx"}]]
        self.assertGreaterEqual(good[0]["counter"]["value"], 1)
        seconds = families["gnomon_http_request_duration_seconds"]["metric"][0]["histogram"]
        self.assertLessEqual(int(seconds["bucket"][-1]["cumulativeCount"]), int(seconds["sampleCount"]))
        self.assertGreater(seconds["sampleSum"], 0)

        names = [family["name"] for family in
                 self.data("status/self_metrics", metric_name_pattern="gnomon_http_requests_t.*|x")]
        self.assertEqual(names, ["gnomon_http_requests_total"])
        self.assertEqual(self.data("status/self_metrics", metric_name_pattern="gnomon"), [])
        answer = self.node.get("/api/v1/status/self_metrics", metric_name_pattern="(")
        self.assertEqual((answer.status, answer.json()["errorType"]), (400, "bad_data"))

    def test_blocks_are_listed_when_there_are_any(self):
        self.assertEqual(self.data("status/tsdb/blocks"), {"blocks": []})
        body = series_1([("__name__", "a")], [((START_S + i) * 1000, i) for i in range(10)])
        self.assertEqual(self.node.request("POST", "/api/v1/write", snappy(body), HEADERS_1).status, 204)
        self.assertEqual(self.node.request("POST", "/api/v1/admin/flush").status, 204)
        blocks = self.data("status/tsdb/blocks")["blocks"]
        self.assertEqual([block["stats"] for block in blocks], [{"numSamples": 10, "numSeries": 1}])
        self.assertEqual(blocks[0]["minTime"], START_S * 1000)
        self.assertGreater(blocks[0]["maxTime"], (START_S + 9) * 1000)
        self.assertRegex(blocks[0]["ulid"], "^[0-7][0-9A-HJKMNP-TV-Z]{25}$")

    def test_there_are_no_scrape_pools_and_no_notifications(self):
        self.assertEqual(self.data("notifications"), [])
        self.assertEqual(self.node.get("/api/v1/notifications/live").status, 204)
        for path, parameters, reason in (
                ("scrape_pools/config", {}, "no scrapePool parameter provided"),
                ("scrape_pools/config", {"scrapePool": "a"}, 'scrape pool "a" not found'),
                ("targets/relabel_steps", {"labels": "{}"}, "no scrapePool parameter provided"),
                ("targets/relabel_steps", {"scrapePool": "a"}, "no labels parameter provided"),
                ("targets/relabel_steps", {"scrapePool": "a", "labels": "{}"},
                 'error retrieving scrape config: scrape pool "a" not found')):
            answer = self.node.get("/api/v1/" + path, **parameters)
            self.assertEqual((answer.status, answer.json()["error"]), (400, reason))


if __name__ == "__main__":
    harness.main()
