"""The remote-write receiver: what it takes, what it refuses, and with which status and counts."""
import math
import struct
import time

import harness
from remote_write import (HEADERS_1, HEADERS_2, METRIC_COUNTER, STALE_MARKER, TYPE_1, Request2,
                          histogram, metadata_1, series_1, snappy, varint)

COUNTS = ("Samples", "Histograms", "Exemplars")


def named(name, **labels):
    return [("__name__", name)] + sorted(labels.items())


def request_2(*args, **options):
    return Request2().add(*args, **options).bytes()


class RemoteWrite(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.node = self.start_node("--telemetry.self_write=false")
        self.now_ms = int(time.time() * 1000)

    def tearDown(self):
        self.node.terminate()

    def write(self, body, headers, compressed=True, path="/api/v1/write", **more):
        return self.node.request("POST", path, snappy(body) if compressed else body,
                                 {**headers, **more})

    def written(self, answer):
        return tuple(int(answer.headers[f"X-Prometheus-Remote-Write-{name}-Written"])
                     for name in COUNTS)

    def values(self, expression):
        result = self.node.query(expression, time=self.now_ms / 1000)["result"]
        return {tuple(sorted(one["metric"].items())): one["value"][1] for one in result}

    # --- Negotiation ---------------------------------------------------------------------------

    def test_the_kind_of_a_body_is_told_by_its_headers(self):
        one = series_1(named("negotiated"), [(self.now_ms, 1.0)])
        two = request_2(named("negotiated"), [(self.now_ms, 1.0)])
        cases = [
            (204, one, HEADERS_1),
            (204, two, HEADERS_2),
            (204, one, {}), # none at all: 1.0 and snappy
            (204, one, {"Content-Type": TYPE_1}),
            (204, one, {"Content-Type": TYPE_1 + ";proto=prometheus.WriteRequest"}),
            (204, two, {"Content-Type":
                        'application/x-protobuf; proto="io.prometheus.write.v2.Request"'}),
            (415, one, {"Content-Type": "application/json"}),
            (415, one, {"Content-Type": TYPE_1 + ";proto=io.prometheus.write.v3.Request"}),
            (415, one, {"Content-Type": TYPE_1, "Content-Encoding": "gzip"}),
            (415, one, {"Content-Type": TYPE_1, "Content-Encoding": "zstd"}),
        ]
        for status, body, headers in cases:
            with self.subTest(headers=headers, status=status):
                answer = self.write(body, headers)
                self.assertEqual(answer.status, status, answer.body)
                self.assertEqual(self.written(answer),
                                 (1, 0, 0) if status == 204 else (0, 0, 0))

    def test_both_paths_are_served_also_below_prometheus(self):
        body = series_1(named("paths"), [(self.now_ms, 1.0)])
        for path in ("/api/v1/write", "/api/v1/push", "/prometheus/api/v1/write"):
            self.assertEqual(self.write(body, HEADERS_1, path=path).status, 204, path)

    def test_other_methods_are_not_allowed(self):
        for method in ("GET", "PUT", "DELETE"):
            answer = self.node.request(method, "/api/v1/write", b"" if method == "PUT" else None)
            self.assertEqual(answer.status, 405, method)
            self.assertIn("POST", answer.headers["Allow"])

    # --- Malformed ---------------------------------------------------------------------------

    def test_a_body_that_cannot_be_decoded_is_400(self):
        whole = snappy(series_1(named("broken"), [(self.now_ms, 1.0)]))
        wrong_wire = snappy(b"\x0f\x01")
        for what, body in (("cut", whole[:-5]), ("no snappy", b"\xff" * 20), ("empty", b""),
                           ("no protobuf", wrong_wire)):
            for headers in (HEADERS_1, HEADERS_2):
                with self.subTest(what=what, headers=headers["Content-Type"]):
                    answer = self.write(body, headers, compressed=False)
                    self.assertEqual(answer.status, 400, answer.body)
                    self.assertEqual(self.written(answer), (0, 0, 0))
                    self.assertTrue(answer.body)

    def test_a_body_that_claims_to_be_too_large_is_413(self):
        bomb = varint(1 << 31) + b"\xfe" * 64
        self.assertEqual(self.write(bomb, HEADERS_1, compressed=False).status, 413)

    # --- Partial writes ------------------------------------------------------------------------

    def test_what_is_valid_is_stored_and_what_is_not_is_400(self):
        good = series_1(named("partial", which="good"), [(self.now_ms, 1.0)])
        now = self.now_ms
        bad = [
            ("missing metric name", series_1([("job", "x")], [(now, 1.0)])),
            ("duplicate label", series_1(named("bad") + [("a", "1"), ("a", "2")], [(now, 1.0)])),
            ("without a name", series_1(named("bad") + [("", "1")], [(now, 1.0)])),
            ("not UTF-8", series_1([("__name__", b"bad"), ("a", b"\xff")], [(now, 1.0)])),
            ("labels", series_1(named("bad", **{f"l{i}": "x" for i in range(100)}), [(now, 1.0)])),
            ("bad", series_1(named("bad", future="1"), [(now + 3600_000, 1.0)])),
        ]
        for reason, series in bad:
            with self.subTest(reason=reason):
                answer = self.write(good + series, HEADERS_1)
                self.assertEqual(answer.status, 400, answer.body)
                self.assertEqual(self.written(answer), (1, 0, 0))
                self.assertIn(reason, answer.body.decode())
        self.assertEqual(list(self.values("partial").values()), ["1"])
        self.assertEqual(self.values('{__name__=~"bad.*"}'), {})

    def test_a_2_0_series_that_is_wrong_is_refused_alone(self):
        request = Request2()
        request.add(named("alone"), [(self.now_ms, 5.0)])
        request.add(named("alone_without_samples"), [])
        request.add(named("alone_with_exemplars"), [], exemplars=[([("t", "1")], self.now_ms, 1.0)])
        request.add_raw(varint(1) + varint(999), [(self.now_ms, 1.0)])
        request.add_raw(varint(1), [(self.now_ms, 1.0)])
        request.add_raw(request.references(named("alone_help")), [(self.now_ms, 1.0)],
                        metadata=(METRIC_COUNTER, 999, 0))
        answer = self.write(request.bytes(), HEADERS_2)
        self.assertEqual(answer.status, 400, answer.body)
        self.assertEqual(self.written(answer), (1, 0, 0))
        self.assertEqual(list(self.values('{__name__=~"alone.*"}').values()), ["5"])

    def test_a_1_0_series_without_samples_is_ignored(self):
        answer = self.write(series_1(named("nothing"), []), HEADERS_1)
        self.assertEqual((answer.status, self.written(answer)), (204, (0, 0, 0)))

    # --- Duplicates and order --------------------------------------------------------------------

    def test_the_same_again_is_success_and_another_value_is_400(self):
        first = series_1(named("again"), [(self.now_ms, 1.0)])
        other = series_1(named("again"), [(self.now_ms, 2.0)])
        self.assertEqual(self.write(first, HEADERS_1).status, 204)
        self.assertEqual(self.write(first, HEADERS_1).status, 204)
        answer = self.write(other, HEADERS_1)
        self.assertEqual((answer.status, self.written(answer)), (400, (0, 0, 0)), answer.body)
        self.assertIn("again", answer.body.decode())
        self.assertEqual(list(self.values("again").values()), ["1"])
        counted = self.node.query("count_over_time(again[1h])", time=self.now_ms / 1000)
        self.assertEqual(counted["result"][0]["value"][1], "1")

    def test_samples_of_any_age_and_order_are_stored(self):
        year_ms = 365 * 86400_000
        times = [self.now_ms, self.now_ms - year_ms, self.now_ms - 1000,
                 self.now_ms - 10 * year_ms, 86400_000]
        for time_ms in times:
            answer = self.write(series_1(named("old"), [(time_ms, time_ms / 1000)]), HEADERS_1)
            self.assertEqual(answer.status, 204, answer.body)
        for time_ms in times:
            result = self.node.query("old", time=time_ms / 1000)["result"]
            self.assertEqual(float(result[0]["value"][1]), time_ms / 1000)

    # --- What is kept ------------------------------------------------------------------------------

    def test_values_are_kept_bit_for_bit(self):
        values = [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, 1 / 3]
        samples = [(self.now_ms - 1000 * i, value) for i, value in enumerate(values)]
        self.assertEqual(self.write(request_2(named("bits"), samples[::-1]), HEADERS_2).status, 204)
        answer = self.node.query("bits[1m]", time=self.now_ms / 1000)["result"][0]["values"]
        read = [struct.pack("<d", float(value)) for _, value in answer]
        self.assertEqual(read, [struct.pack("<d", value) for _, value in samples[::-1]])

    def test_a_stale_marker_ends_a_series(self):
        self.write(series_1(named("stale"), [(self.now_ms - 2000, 1.0)]), HEADERS_1)
        self.assertEqual(list(self.values("stale").values()), ["1"])
        self.write(series_1(named("stale"), [(self.now_ms - 1000, STALE_MARKER)]), HEADERS_1)
        self.assertEqual(self.values("stale"), {})

    def test_histograms_are_kept_in_both_versions(self):
        encoded = histogram(self.now_ms, 6, 12.5, [1, 2, 3])
        for name, body, headers in (
                ("histogram_1", series_1(named("histogram_1"), [], [encoded]), HEADERS_1),
                ("histogram_2", request_2(named("histogram_2"), [], [encoded]), HEADERS_2)):
            answer = self.write(body, headers)
            self.assertEqual((answer.status, self.written(answer)), (204, (0, 1, 0)), answer.body)
            read = self.node.query(name, time=self.now_ms / 1000)["result"][0]["histogram"][1]
            self.assertEqual((read["count"], read["sum"]), ("6", "12.5"))
            self.assertEqual(read["buckets"],
                             [[0, "1", "2", "1"], [0, "2", "4", "2"], [0, "4", "8", "3"]])

    def test_a_histogram_whose_count_is_below_its_buckets_is_refused(self):
        wrong = histogram(self.now_ms, 5, 12.5, [1, 2, 3])
        for body, headers in ((series_1(named("wrong"), [], [wrong]), HEADERS_1),
                              (request_2(named("wrong"), [], [wrong]), HEADERS_2)):
            answer = self.write(body, headers)
            self.assertEqual((answer.status, self.written(answer)), (400, (0, 0, 0)), answer.body)

    def test_exemplars_are_kept(self):
        exemplar = [([("trace_id", "abc")], self.now_ms, 0.5)]
        for name, body, headers in (
                ("traced_1", series_1(named("traced_1"), [(self.now_ms, 1.0)], [], exemplar),
                 HEADERS_1),
                ("traced_2", request_2(named("traced_2"), [(self.now_ms, 1.0)],
                                       exemplars=exemplar), HEADERS_2)):
            answer = self.write(body, headers)
            self.assertEqual((answer.status, self.written(answer)), (204, (1, 0, 1)), answer.body)
            read = self.node.get("/api/v1/query_exemplars", query=name,
                                 start=self.now_ms / 1000 - 60,
                                 end=self.now_ms / 1000 + 60).data()
            self.assertEqual(read[0]["seriesLabels"]["__name__"], name)
            self.assertEqual(read[0]["exemplars"][0]["labels"], {"trace_id": "abc"})
            self.assertEqual(read[0]["exemplars"][0]["value"], "0.5")

    def test_metadata_is_kept_in_both_versions(self):
        one = metadata_1("described_1", METRIC_COUNTER, "All of it.", "bytes")
        two = request_2(named("described_2"), [(self.now_ms, 1.0)],
                        metadata=(METRIC_COUNTER, "All of it.", "bytes"))
        self.assertEqual(self.write(one, HEADERS_1).status, 204)
        self.assertEqual(self.write(two, HEADERS_2).status, 204)
        data = self.node.get("/api/v1/metadata").data()
        for name in ("described_1", "described_2"):
            self.assertEqual(data[name],
                             [{"type": "counter", "help": "All of it.", "unit": "bytes"}])

    def test_all_of_it_survives_a_restart(self):
        self.write(metadata_1("lasting", METRIC_COUNTER, "Stays.", ""), HEADERS_1)
        self.write(request_2(named("lasting"), [(self.now_ms, 7.0)],
                             exemplars=[([("trace_id", "abc")], self.now_ms, 0.5)]), HEADERS_2)
        for end in (harness.Node.terminate, harness.Node.kill):
            end(self.node)
            self.node = self.restart(self.node)
            self.assertEqual(list(self.values("lasting").values()), ["7"])
            self.assertEqual(self.node.get("/api/v1/metadata").data()["lasting"][0]["help"],
                             "Stays.")
            exemplars = self.node.get("/api/v1/query_exemplars", query="lasting",
                                      start=self.now_ms / 1000 - 60,
                                      end=self.now_ms / 1000 + 60).data()
            self.assertEqual(len(exemplars), 1)


class Tenants(harness.IntegrationTest):
    def test_tenants_see_their_own_series_only(self):
        node = self.start_node("--tenants.enabled=true")
        now_ms = int(time.time() * 1000)
        for tenant, value in (("blue", 1.0), ("green", 2.0)):
            body = snappy(series_1(named("shared"), [(now_ms, value)]))
            answer = node.request("POST", "/api/v1/write", body,
                                  {**HEADERS_1, "X-Scope-OrgID": tenant})
            self.assertEqual(answer.status, 204, answer.body)
        for tenant, value in (("blue", "1"), ("green", "2")):
            answer = node.request("GET", "/api/v1/query?" + harness.query_string(
                {"query": "shared", "time": now_ms / 1000}), headers={"X-Scope-OrgID": tenant})
            self.assertEqual([one["value"][1] for one in answer.data()["result"]], [value])
        node.terminate()

    def test_a_request_without_a_tenant_is_refused_when_tenants_are_on(self):
        node = self.start_node("--tenants.enabled=true")
        body = snappy(series_1(named("shared"), [(int(time.time() * 1000), 1.0)]))
        self.assertEqual(node.request("POST", "/api/v1/write", body, HEADERS_1).status, 401)
        self.assertEqual(node.get("/api/v1/query", query="1").status, 401)
        self.assertEqual(node.request("POST", "/api/v1/write", body,
                                      {**HEADERS_1, "X-Scope-OrgID": "a/b"}).status, 400)
        node.terminate()


class Limits(harness.IntegrationTest):
    def test_a_request_with_too_many_series_is_413(self):
        node = self.start_node("--ingest.max_request_series=10")
        now_ms = int(time.time() * 1000)
        body = b"".join(series_1(named("many", i=str(i)), [(now_ms, 1.0)]) for i in range(11))
        self.assertEqual(node.request("POST", "/api/v1/write", snappy(body), HEADERS_1).status, 413)
        node.terminate()

    def test_a_tenant_over_its_rate_is_429_with_retry_after(self):
        node = self.start_node("--ingest.tenant_rate=10", "--telemetry.self_write=false")
        now_ms = int(time.time() * 1000)
        samples = [(now_ms - 1000 * i, 1.0) for i in range(200, 0, -1)]
        body = snappy(series_1(named("fast"), samples))
        answers = [node.request("POST", "/api/v1/write", body, HEADERS_1) for _ in range(20)]
        limited = [answer for answer in answers if answer.status == 429]
        self.assertTrue(limited, [answer.status for answer in answers])
        self.assertGreaterEqual(int(limited[0].headers["Retry-After"]), 1)
        node.terminate()

    def test_new_series_beyond_the_limit_are_refused_and_known_ones_stored(self):
        node = self.start_node("--ingest.max_series=40", "--telemetry.self_write=false")
        now_ms = int(time.time() * 1000)

        def write(count, time_ms):
            body = b"".join(series_1(named("grown", i=str(i)), [(time_ms, 1.0)])
                            for i in range(count))
            return node.request("POST", "/api/v1/write", snappy(body), HEADERS_1)

        self.assertEqual(write(10, now_ms - 2000).status, 204)
        self.assertEqual(write(500, now_ms - 1000).status, 400)
        answer = write(10, now_ms)
        self.assertEqual(answer.status, 204, answer.body)
        self.assertLess(node.metric("gnomon_shard_series"), 60)
        node.terminate()


if __name__ == "__main__":
    harness.main()
