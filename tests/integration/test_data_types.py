"""What is sent is what is answered: every type of data, in memory, in parts, in blocks, and after
both kinds of restart."""
import random
import struct
import time

import harness
import remote_write as rw

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def double(pattern):
    return struct.unpack("<d", struct.pack("<Q", pattern))[0]


# Values that codecs like to get wrong.
AWKWARD = [0.0, -0.0, 1.0, -1.0, 0.1, 1 / 3, 5e-324, -5e-324, 2.2250738585072014e-308,
           1.7976931348623157e308, -1.7976931348623157e308, float("inf"), float("-inf"),
           9007199254740993.0, 123456789.123456789, 1e-7, 1e21, 1e22, double(0x7FEFFFFFFFFFFFFE),
           double(0x3FF0000000000001)]


def name_of(labels):
    return [(name, labels[name]) for name in sorted(labels)]


def series(**labels):
    labels["__name__"] = labels.pop("metric")
    return name_of(labels)


def text_of_value(value):
    return {"+Inf": float("inf"), "-Inf": float("-inf"), "NaN": float("nan")}.get(value) \
        if value in ("+Inf", "-Inf", "NaN") else float(value)


class DataTypes(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.node = self.start_node("--telemetry.self_write=false", "--cluster.shards=3")
        self.now_ms = int(time.time()) * 1000

    # --- Writing -----------------------------------------------------------------------------------

    def write(self, body, headers=None, expect=204):
        answer = self.node.request("POST", "/api/v1/write", rw.snappy(body),
                                   headers or rw.HEADERS_1)
        self.assertEqual(answer.status, expect, answer.body)
        return answer

    def write_2(self, request, expect=204):
        return self.write(request.bytes(), rw.HEADERS_2, expect)

    # --- Reading -----------------------------------------------------------------------------------

    def raw(self, selector, start_ms, end_ms):
        """Samples of one series: {timestamp_ms: value}, all of the range."""
        range_s = (end_ms - start_ms) // 1000 + 1
        result = self.node.query(f"{selector}[{range_s}s]", time=end_ms / 1000)["result"]
        self.assertLessEqual(len(result), 1, result)
        return {} if not result else {round(at * 1000): text_of_value(value)
                                      for at, value in result[0].get("values", [])}

    def flush(self):
        self.assertEqual(self.node.request("POST", "/api/v1/admin/flush").status, 204)

    # --- Tests -------------------------------------------------------------------------------------

    def test_data_is_the_same_in_memory_in_files_and_after_restarts(self):
        """Each case writes and returns its check, which holds in every state of the data."""
        cases = [name for name in dir(self) if name.startswith("case_")]
        self.in_every_state({name: getattr(self, name)() for name in cases})

    def in_every_state(self, checks):
        def check_all(state):
            for name, check in checks.items():
                with self.subTest(case=name, state=state):
                    check()

        check_all("in memory")
        self.node.kill()
        self.node = self.restart(self.node)
        check_all("after kill -9")
        self.node.terminate()
        self.node = self.restart(self.node)
        check_all("after SIGTERM")
        self.flush()
        check_all("after a flush")
        self.node.kill()
        self.node = self.restart(self.node)
        check_all("in blocks, after kill -9")

    def test_deleted_samples_do_not_come_back(self):
        at = self.now_ms - HOUR_MS
        samples = [(at + i * 15000, float(i)) for i in range(40)]
        for job in "a", "b":
            self.write(rw.series_1(series(metric="kept", job=job), samples))
        self.write(rw.series_1(series(metric="gone", job="a"), samples))
        self.flush()
        self.write(rw.series_1(series(metric="gone", job="b"), samples))
        self.assertEqual(self.node.request(
            "POST", "/api/v1/admin/tsdb/delete_series?" +
            harness.query_string({"match[]": ["gone", 'kept{job="b"}'],
                                  "start": samples[10][0] / 1000,
                                  "end": samples[19][0] / 1000})).status, 204)
        left = dict(samples[:10] + samples[20:])

        def check():
            self.assertEqual(self.raw('gone{job="a"}', at - 1, self.now_ms), left)
            self.assertEqual(self.raw('gone{job="b"}', at - 1, self.now_ms), left)
            self.assertEqual(self.raw('kept{job="a"}', at - 1, self.now_ms), dict(samples))
            self.assertEqual(self.raw('kept{job="b"}', at - 1, self.now_ms), left)
        self.in_every_state({"deleted": check})
        self.assertEqual(
            self.node.request("POST", "/api/v1/admin/tsdb/clean_tombstones").status, 204)
        check()
        # The same samples may be written again.
        self.write(rw.series_1(series(metric="gone", job="a"), samples[10:20]))
        self.assertEqual(self.raw('gone{job="a"}', at - 1, self.now_ms), dict(samples))

    # --- Cases -------------------------------------------------------------------------------------

    def case_floats_come_back_bit_for_bit(self):
        start = self.now_ms - 2 * HOUR_MS
        expected = {start + i * 15000: value for i, value in enumerate(AWKWARD)}
        self.write(rw.series_1(series(metric="awkward", job="a"), expected.items()))
        # Timestamps that no rhythm explains.
        generator = random.Random(7)
        odd = {start + generator.randrange(HOUR_MS): generator.uniform(-1e6, 1e6)
               for _ in range(300)}
        for at in list(odd)[::3]:  # shuffled, in several requests
            self.write(rw.series_1(series(metric="odd"), [(at, odd[at])]))
        self.write(rw.series_1(series(metric="odd"), odd.items()))

        def check():
            found = self.raw("awkward", start - 1, self.now_ms)
            self.assertEqual({at: bits(value) for at, value in expected.items()},
                             {at: bits(value) for at, value in found.items()})
            found = self.raw("odd", start - 1, self.now_ms)
            self.assertEqual({at: bits(value) for at, value in odd.items()},
                             {at: bits(value) for at, value in found.items()})
        return check

    def case_stale_markers_end_series_and_other_nans_do_not(self):
        at = self.now_ms - HOUR_MS
        self.write(rw.series_1(series(metric="ended"), [(at, 1.0), (at + 15000, rw.STALE_MARKER)]) +
                   rw.series_1(series(metric="not_a_number"),
                               [(at, 1.0), (at + 15000, double(0x7FF8000000000001)),
                                (at + 30000, double(0xFFF8DEADBEEF0001))]))

        def check():
            later = (at + 20000) / 1000
            self.assertEqual(self.node.query("ended", time=later)["result"], [])
            before = self.node.query("ended", time=(at + 14000) / 1000)["result"]
            self.assertEqual(before[0]["value"][1], "1")
            self.assertEqual(self.raw("ended", at - 1, at + 60000), {at: 1.0})
            result = self.node.query("not_a_number", time=later)["result"]
            self.assertEqual(result[0]["value"][1], "NaN")
            counted = self.node.query("count_over_time(not_a_number[10m])",
                                      time=(at + 60000) / 1000)["result"]
            self.assertEqual(counted[0]["value"][1], "3")
        return check

    def case_samples_of_any_age_and_order_are_stored(self):
        ages = [0, 1000, HOUR_MS, 3 * HOUR_MS, DAY_MS, 40 * DAY_MS, 700 * DAY_MS,
                self.now_ms - 1, self.now_ms]
        generator = random.Random(11)
        expected = {}
        for _ in range(3):
            generator.shuffle(ages)
            for age in ages:
                at = self.now_ms - age
                expected[at] = float(at % 1000003)
                self.write(rw.series_1(series(metric="any_age"), [(at, expected[at])]))

        def check():
            self.assertEqual(self.raw("any_age", -1, self.now_ms), expected)
            for at, value in expected.items():
                result = self.node.query("any_age", time=at / 1000)["result"]
                self.assertEqual(float(result[0]["value"][1]), value)
        return check

    def case_duplicates_are_stored_once_and_conflicts_are_decided(self):
        newest = self.now_ms - 60000
        older = newest - 60000
        body = rw.series_1(series(metric="repeated"), [(older, 1.0), (newest, 2.0)])
        self.write(body)
        self.write(body)  # a retried request
        answer = self.write(rw.series_1(series(metric="repeated"), [(newest, 3.0)]), expect=400)
        self.assertIn(b"repeated", answer.body)
        self.assertEqual(answer.headers["X-Prometheus-Remote-Write-Samples-Written"], "0")
        # An older one is decided by the order of the bits, whichever came first.
        self.write(rw.series_1(series(metric="repeated"), [(older, 0.5)]))
        self.write(rw.series_1(series(metric="smaller_first"), [(older, 0.5), (newest, 2.0)]))
        self.write(rw.series_1(series(metric="smaller_first"), [(older, 1.0)]))
        decided = set()

        def check():
            for metric in "repeated", "smaller_first":
                found = self.raw(metric, older - 1, self.now_ms)
                self.assertEqual(sorted(found), [older, newest])
                self.assertEqual(found[newest], 2.0)
                decided.add(found[older])
            self.assertEqual(len(decided), 1, decided)
            counted = self.node.query("count_over_time(repeated[10m])",
                                      time=newest / 1000)["result"]
            self.assertEqual(counted[0]["value"][1], "2")
        return check

    def case_a_bad_part_of_a_request_is_refused_alone(self):
        at = self.now_ms - 60000
        body = (rw.series_1(series(metric="good"), [(at, 1.0)]) +
                rw.series_1([("job", "nameless")], [(at, 1.0)]) +
                rw.series_1(series(metric="twice") + [("__name__", "again")], [(at, 1.0)]) +
                rw.series_1(series(metric="far"), [(self.now_ms + 3600_000, 1.0)]) +
                rw.series_1(series(metric="empty_is_fine"), []) +
                rw.series_1(series(metric="good_too"), [(at, 1.0), (at + 1, 2.0)]))
        answer = self.write(body, expect=400)
        self.assertIn(b"nameless", answer.body)
        self.assertEqual(answer.headers["X-Prometheus-Remote-Write-Samples-Written"], "3")

        def check():
            found = self.node.get("/api/v1/series", **{
                "match[]": ['{__name__=~"good.*"}', '{job="nameless"}',
                            '{__name__=~"twice|again|far|empty_is_fine"}']}).data()
            self.assertEqual(found, [{"__name__": "good"}, {"__name__": "good_too"}])
        return check

    def case_native_histograms_come_back(self):
        at = self.now_ms - 60000
        integer = rw.histogram(at, 12, 18.4, [2, 3, 5], zero_count=2)
        span = rw.field_varint(1, rw.zigzag(0)) + rw.field_varint(2, 3)
        custom = (rw.field_varint(1, 6) + rw.field_double(3, 5.5) +
                  rw.field_varint(4, rw.zigzag(-53)) + rw.field_bytes(11, span) +
                  rw.field_bytes(12, b"".join(rw.varint(rw.zigzag(d)) for d in (1, 1, 1))) +
                  rw.field_varint(15, at) +
                  rw.field_bytes(16, struct.pack("<2d", 0.5, 2.5)))
        floating = (rw.field_double(2, 4.5) + rw.field_double(3, -7.25) +
                    rw.field_varint(4, rw.zigzag(1)) + rw.field_double(5, 0.001) +
                    rw.field_double(7, 0.5) +
                    rw.field_bytes(8, rw.field_varint(1, rw.zigzag(-2)) + rw.field_varint(2, 2)) +
                    rw.field_bytes(10, struct.pack("<2d", 1.5, 2.5)) + rw.field_varint(15, at))
        request = rw.Request2()
        request.add(series(metric="integers"), [], [integer])
        request.add(series(metric="customs"), [], [custom])
        request.add(series(metric="floats"), [], [floating])
        answer = self.write_2(request)
        self.assertEqual(answer.headers["X-Prometheus-Remote-Write-Histograms-Written"], "3")
        self.write(rw.series_1(series(metric="integers_1"), [], [integer]))
        self.write_2(request)  # again: stored already

        def check():
            for metric in "integers", "integers_1":
                result = self.node.query(metric, time=(at + 1000) / 1000)["result"][0]
                self.assertNotIn("value", result)
                self.assertEqual(result["histogram"][1], {
                    "count": "12", "sum": "18.4",
                    "buckets": [[3, "-0.001", "0.001", "2"], [0, "1", "2", "2"],
                                [0, "2", "4", "3"], [0, "4", "8", "5"]]})
            result = self.node.query("customs", time=(at + 1000) / 1000)["result"][0]
            self.assertEqual(result["histogram"][1], {
                "count": "6", "sum": "5.5",
                "buckets": [[3, "-Inf", "0.5", "1"], [0, "0.5", "2.5", "2"],
                            [0, "2.5", "+Inf", "3"]]})
            result = self.node.query("floats[5m]", time=(at + 1000) / 1000)["result"][0]
            self.assertEqual(len(result["histograms"]), 1)
            found = result["histograms"][0][1]
            self.assertEqual((found["count"], found["sum"]), ("4.5", "-7.25"))
            self.assertEqual([bucket[3] for bucket in found["buckets"]], ["2.5", "1.5", "0.5"])
            self.assertEqual(found["buckets"][0][0], 1)  # negative: closed on the left
            counted = self.node.query("histogram_count(floats)", time=(at + 1) / 1000)
            self.assertEqual(counted["result"][0]["value"][1], "4.5")
        return check

    def case_wrong_histograms_are_refused(self):
        at = self.now_ms - 60000
        too_few = rw.histogram(at, 3, 1.0, [2, 3, 5])
        request = rw.Request2()
        request.add(series(metric="beside_a_wrong_one"), [(at, 1.0)])
        request.add(series(metric="too_few"), [], [too_few])
        answer = self.write_2(request, expect=400)
        self.assertIn(b"too_few", answer.body)
        self.assertEqual(answer.headers["X-Prometheus-Remote-Write-Samples-Written"], "1")
        self.assertEqual(answer.headers["X-Prometheus-Remote-Write-Histograms-Written"], "0")

        def check():
            found = self.node.query('{__name__=~"too_few|beside_a_wrong_one"}', time=at / 1000)
            self.assertEqual([one["metric"]["__name__"] for one in found["result"]],
                             ["beside_a_wrong_one"])
        return check

    def case_exemplars_and_metadata_survive(self):
        at = self.now_ms - 60000
        request = rw.Request2()
        request.add(series(metric="requests_total", job="a"), [(at, 5.0)],
                    exemplars=[([("trace_id", "abc")], at, 0.25)],
                    metadata=(rw.METRIC_COUNTER, "Requests taken.", "requests"))
        answer = self.write_2(request)
        self.assertEqual(answer.headers["X-Prometheus-Remote-Write-Exemplars-Written"], "1")
        self.write(rw.series_1(series(metric="one_total"), [(at, 1.0)],
                               exemplars=[([("trace_id", "def")], at, 1.5)]) +
                   rw.metadata_1("one_total", rw.METRIC_COUNTER, "Ones.", ""))

        def check():
            found = self.node.get("/api/v1/query_exemplars", query="requests_total",
                                  start=(at - 1000) / 1000, end=(at + 1000) / 1000).data()
            self.assertEqual(found, [{
                "seriesLabels": {"__name__": "requests_total", "job": "a"},
                "exemplars": [{"labels": {"trace_id": "abc"}, "value": "0.25",
                               "timestamp": at / 1000}]}])
            found = self.node.get("/api/v1/query_exemplars", query="one_total + requests_total",
                                  start=(at - 1000) / 1000, end=(at + 1000) / 1000).data()
            self.assertEqual(len(found), 2)
            self.assertEqual(self.node.get("/api/v1/query_exemplars", query="one_total",
                                           start=0, end=1).data(), [])
            self.assertEqual(self.node.get("/api/v1/metadata").data(), {
                "requests_total": [{"type": "counter", "help": "Requests taken.",
                                    "unit": "requests"}],
                "one_total": [{"type": "counter", "help": "Ones.", "unit": ""}]})
        return check

    def case_start_timestamps_are_taken(self):
        at = self.now_ms - 60000
        request = rw.Request2()
        request.add(series(metric="started_total"), [(at, 5.0), (at + 15000, 6.0)],
                    start_ms=at - 5000)
        self.write_2(request)
        self.write_2(request)

        def check():
            self.assertEqual(self.raw("started_total", at - 1, self.now_ms),
                             {at: 5.0, at + 15000: 6.0})
        return check

    def case_names_may_be_any_text(self):
        at = self.now_ms - 60000
        labels = name_of({"__name__": "größe.in metern", "a.b": "x\ny\"\\", "空": "値"})
        self.write(rw.series_1(labels, [(at, 1.0)]))

        def check():
            found = self.node.get("/api/v1/series",
                                  **{"match[]": '{"größe.in metern"}'}).data()
            self.assertEqual(found, [dict(labels)])
            for name in "a.b", "U__a_2e_b":
                self.assertEqual(self.node.get(f"/api/v1/label/{name}/values").data(),
                                 ["x\ny\"\\"])
        return check


if __name__ == "__main__":
    harness.main()
