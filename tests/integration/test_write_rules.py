"""The rules of the remote-write specifications, 1.0 and 2.0, one by one."""
import struct
import time

import harness
import remote_write as rw

NAN = float("nan")
INT64_MAX = (1 << 63) - 1
SNAPPY_FRAMED = b"\xff\x06\x00\x00sNaPpY"


def named(name, **labels):
    return [("__name__", name)] + sorted(labels.items())


def double(pattern):
    return struct.unpack("<d", struct.pack("<Q", pattern))[0]


def span(offset, length):
    return rw.field_varint(1, rw.zigzag(offset)) + rw.field_varint(2, length)


def deltas(*numbers):
    return b"".join(rw.varint(rw.zigzag(number)) for number in numbers)


def doubles(*numbers):
    return struct.pack(f"<{len(numbers)}d", *numbers)


class WriteRules(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.now_ms = int(time.time() * 1000)

    def begin(self, *settings):
        self.node = self.start_node("--telemetry.self_write=false", *settings)

    def send(self, body, headers, **more):
        return self.node.request("POST", "/api/v1/write", body, {**headers, **more})

    def check(self, answer, status, written, words=()):
        self.assertEqual(answer.status, status, answer.body)
        found = tuple(int(answer.headers[f"X-Prometheus-Remote-Write-{kind}-Written"])
                      for kind in ("Samples", "Histograms", "Exemplars"))
        self.assertEqual(found, written, answer.body)
        self.assertEqual(answer.body == b"", status == 204)
        for word in words:
            self.assertIn(word, answer.body.decode())

    def write_1(self, body, status, written, *words):
        self.check(self.send(rw.snappy(body), rw.HEADERS_1), status, written, words)

    def write_2(self, request, status, written, *words):
        self.check(self.send(rw.snappy(request.bytes()), rw.HEADERS_2), status, written, words)

    def names(self, selector):
        found = self.node.get("/api/v1/series", **{"match[]": selector}).data()
        return sorted(one["__name__"] for one in found)

    def values(self, expression, at_ms=None):
        result = self.node.query(expression, time=(at_ms or self.now_ms) / 1000)["result"]
        return [one["value"][1] for one in result]

    # --- Negotiation ---------------------------------------------------------------------------------

    def test_types_and_encodings_are_read_as_HTTP_reads_them(self):
        self.begin()
        one = rw.snappy(rw.series_1(named("kind"), [(self.now_ms, 1.0)]))
        two = rw.snappy(rw.Request2().add(named("kind"), [(self.now_ms, 1.0)]).bytes())
        kind_2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
        version = "X-Prometheus-Remote-Write-Version"
        for body, headers in (
                (one, {"Content-Type": "Application/X-Protobuf", "Content-Encoding": "Snappy"}),
                (one, {"Content-Type": "application/x-protobuf; charset=utf-8"}),
                (one, {"Content-Type": "application/x-protobuf", version: "9.9.9"}),
                (one, {"Content-Type": "application/x-protobuf", version: "2.0.0"}),
                (two, {"Content-Type": kind_2}),
                (two, {"Content-Type": kind_2, version: "0.1.0"}),
                (two, {"Content-Type": kind_2 + " ; charset=utf-8"}),
                (two, {"Content-Type":
                       "application/x-protobuf; PROTO=\"io.prometheus.write.v2.Request\""})):
            with self.subTest(headers=headers):
                self.check(self.send(body, headers), 204, (1, 0, 0))
        for headers, word in (
                ({"Content-Type": "text/plain"}, "application/x-protobuf"),
                ({"Content-Type": "application/x-protobuf2"}, "application/x-protobuf"),
                ({"Content-Type": "application/json"}, "application/x-protobuf"),
                ({"Content-Type": "application/x-protobuf;proto=other.Request"},
                 "io.prometheus.write.v2.Request"),
                ({"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}, "snappy"),
                ({"Content-Encoding": "identity"}, "snappy"),
                ({"Content-Encoding": "snappy, gzip"}, "snappy")):
            with self.subTest(headers=headers):
                self.check(self.send(one, headers), 415, (0, 0, 0), [word])

    def test_bodies_that_are_not_what_they_say_are_400_and_store_nothing(self):
        self.begin()
        one = rw.series_1(named("wrong_kind"), [(self.now_ms, 1.0)])
        two = rw.Request2().add(named("wrong_kind"), [(self.now_ms, 1.0)]).bytes()
        not_empty = rw.field_bytes(4, "first") + rw.field_bytes(5, b"")
        for what, body, headers in (
                ("2.0 sent as 1.0", rw.snappy(two), rw.HEADERS_1),
                ("1.0 sent as 2.0", rw.snappy(one), rw.HEADERS_2),
                ("framed", SNAPPY_FRAMED + rw.snappy(one), rw.HEADERS_1),
                ("not compressed", one, rw.HEADERS_1),
                ("no bytes", b"", rw.HEADERS_1),
                ("no bytes", b"", rw.HEADERS_2),
                ("trailing bytes", rw.snappy(one) + b"\x00", rw.HEADERS_1),
                ("shorter than it says", rw.varint(len(one) + 1) + rw.snappy(one)[1:],
                 rw.HEADERS_1),
                ("first symbol not empty", rw.snappy(not_empty), rw.HEADERS_2)):
            with self.subTest(what=what):
                answer = self.send(body, headers)
                self.check(answer, 400, (0, 0, 0))
        self.assertEqual(self.names('{__name__="wrong_kind"}'), [])

    def test_an_empty_message_is_success(self):
        self.begin()
        for headers in rw.HEADERS_1, rw.HEADERS_2:
            self.check(self.send(rw.snappy(b""), headers), 204, (0, 0, 0))

    def test_unknown_fields_are_passed_over(self):
        """A later version of the protocol may have more of them."""
        self.begin()
        later = rw.field_varint(99, 1) + rw.field_bytes(98, b"x") + rw.field_double(97, 1.0)
        one = rw.series_1(named("later"), [(self.now_ms, 1.0)])
        self.write_1(later + one + later, 204, (1, 0, 0))

    # --- Labels --------------------------------------------------------------------------------------

    def test_labels_are_sorted_and_those_without_a_value_left_out(self):
        self.begin()
        self.write_1(rw.series_1([("b", "2"), ("__name__", "sorted"), ("empty", ""), ("a", "1")],
                                 [(self.now_ms, 1.0)]), 204, (1, 0, 0))
        self.write_2(rw.Request2().add([("__name__", "sorted"), ("b", "2"), ("a", "1")],
                                       [(self.now_ms - 1, 1.0)]), 204, (1, 0, 0))
        found = self.node.get("/api/v1/series", **{"match[]": "sorted"}).data()
        self.assertEqual(found, [{"__name__": "sorted", "a": "1", "b": "2"}])

    def test_wrong_labels_are_refused_alone_and_named(self):
        self.begin()
        at = [(self.now_ms, 1.0)]
        good = rw.series_1(named("good"), at)
        for labels, word in (
                ([("job", "nameless")], "nameless"),
                ([("__name__", ""), ("job", "empty_name")], "empty_name"),
                ([("__name__", "twice"), ("a", "1"), ("a", "1")], "twice"),
                ([("__name__", "twice_empty"), ("a", ""), ("a", "1")], "twice_empty"),
                ([("__name__", "no_label_name"), ("", "x")], "no_label_name"),
                ([("__name__", b"broken_\xff")], "UTF-8"),
                ([("__name__", "broken_value"), ("a", b"\xc3\x28")], "broken_value"),
                ([("__name__", "broken_name"), (b"\xed\xa0\x80", "surrogate")], "broken_name"),
                ([("__name__", "too_many")] + [(f"l{i:03}", "x") for i in range(64)], "too_many"),
                ([("__name__", "too_long"), ("a", "x" * 9000)], "too_long"),
                ([], "missing metric name")):
            with self.subTest(word=word):
                self.write_1(good + rw.series_1(labels, at), 400, (1, 0, 0), word)
                request = rw.Request2().add(named("good"), at)
                if not any(isinstance(text, bytes) for pair in labels for text in pair):
                    self.write_2(request.add(labels, at), 400, (1, 0, 0), word)
        self.assertEqual(self.names('{__name__!=""}'), ["good"])
        exactly = [("__name__", "exactly")] + [(f"l{i:03}", "x") for i in range(63)]
        self.write_1(rw.series_1(exactly, at), 204, (1, 0, 0))

    def test_references_outside_the_symbols_refuse_their_series_alone(self):
        self.begin()
        at = [(self.now_ms, 1.0)]
        for what, add in (
                ("label", lambda r: r.add_raw(rw.varint(1) + rw.varint(999), at)),
                ("huge", lambda r: r.add_raw(rw.varint(1) + rw.varint(1 << 40), at)),
                ("odd", lambda r: r.add_raw(rw.varint(1), at)),
                ("help", lambda r: r.add_raw(r.references(named("help")), at,
                                             metadata=(rw.METRIC_GAUGE, 999, 0))),
                ("unit", lambda r: r.add_raw(r.references(named("unit")), at,
                                             metadata=(rw.METRIC_GAUGE, 0, 999))),
                ("exemplar", lambda r: r.add_raw(r.references(named("exemplar")), at, exemplars=[
                    (rw.varint(999) + rw.varint(1), self.now_ms, 1.0)])),
                ("no samples", lambda r: r.add(named("no_samples"), [])),
                ("exemplars only", lambda r: r.add(named("exemplars_only"), [], exemplars=[
                    ([("trace", "1")], self.now_ms, 1.0)]))):
            with self.subTest(what=what):
                self.write_2(add(rw.Request2().add(named("sound"), at)), 400, (1, 0, 0))
        self.assertEqual(self.names('{__name__!=""}'), ["sound"])

    # --- Samples -------------------------------------------------------------------------------------

    def test_timestamps_outside_are_refused_alone(self):
        self.begin()
        limits = [-1, -INT64_MAX - 1, INT64_MAX, self.now_ms + 11 * 60000]
        for number, at in enumerate(limits):
            with self.subTest(timestamp=at):
                self.write_1(rw.series_1(named("outside", n=str(number)),
                                         [(self.now_ms, 1.0), (at, 2.0)]),
                             400, (1, 0, 0), "out of bounds", "outside", str(at))
                self.write_2(rw.Request2().add(named("outside_2", n=str(number)),
                                               [(self.now_ms, 1.0), (at, 2.0)]),
                             400, (1, 0, 0), "out of bounds", "outside_2")
        for number, at in enumerate([0, 1, self.now_ms + 9 * 60000]):
            self.write_1(rw.series_1(named("inside", n=str(number)), [(at, 2.0)]), 204, (1, 0, 0))
            self.assertEqual(self.values(f'inside{{n="{number}"}}', max(at, 1)), ["2"])

    def test_samples_of_one_series_may_repeat_and_conflict_inside_a_request(self):
        self.begin()
        at = self.now_ms
        self.write_1(rw.series_1(named("repeated"), [(at, 1.0), (at, 1.0)]) +
                     rw.series_1(named("repeated"), [(at, 1.0)]), 204, (3, 0, 0))
        self.assertEqual(self.values("count_over_time(repeated[5m])"), ["1"])
        # NaNs of the same bits are equal.
        for _ in range(2):
            self.write_1(rw.series_1(named("not_a_number"), [(at, double(0x7FF8000000000001))]),
                         204, (1, 0, 0))
        self.write_1(rw.series_1(named("not_a_number"), [(at, double(0x7FF8000000000002))]), 400,
                     (0, 0, 0), "duplicate", "not_a_number")
        self.write_1(rw.series_1(named("zero"), [(at, 0.0)]), 204, (1, 0, 0))
        self.write_1(rw.series_1(named("zero"), [(at, -0.0)]), 400, (0, 0, 0), "zero")

    def test_an_unsorted_series_is_stored_whole(self):
        self.begin()
        times = [self.now_ms - offset for offset in (5000, 1000, 9000, 0, 7000)]
        self.write_1(rw.series_1(named("unsorted"), [(at, float(at % 1000)) for at in times]),
                     204, (5, 0, 0))
        found = self.node.query("unsorted[1m]", time=self.now_ms / 1000)["result"][0]["values"]
        self.assertEqual([round(at * 1000) for at, _ in found], sorted(times))

    def test_floats_and_histograms_may_share_a_series(self):
        self.begin()
        request = rw.Request2().add(named("both"), [(self.now_ms - 1000, 1.0)],
                                    [rw.histogram(self.now_ms, 6, 12.5, [1, 2, 3])])
        self.write_2(request, 204, (1, 1, 0))
        found = self.node.query("both[1m]", time=self.now_ms / 1000)["result"][0]
        self.assertEqual((len(found["values"]), len(found["histograms"])), (1, 1))

    def test_start_timestamps_must_be_before_their_sample_to_count(self):
        self.begin()
        for start in self.now_ms - 1, self.now_ms, self.now_ms + 1, -1, INT64_MAX:
            self.write_2(rw.Request2().add(named("started", s=str(start)), [(self.now_ms, 1.0)],
                                           start_ms=start), 204, (1, 0, 0))

    # --- Histograms ----------------------------------------------------------------------------------

    def histogram(self, *fields):
        return b"".join(fields) + rw.field_varint(15, self.now_ms)

    def test_the_field_that_is_present_says_integer_or_float(self):
        self.begin()
        integer = self.histogram(rw.field_varint(1, 3), rw.field_double(3, 1.0),
                                 rw.field_bytes(11, span(0, 2)), rw.field_bytes(12, deltas(1, 1)))
        floating = self.histogram(rw.field_double(2, 3.5), rw.field_double(3, 1.0),
                                  rw.field_bytes(11, span(0, 2)),
                                  rw.field_bytes(13, doubles(1.0, 2.5)))
        zero_float = self.histogram(rw.field_double(2, 0.0), rw.field_double(3, 0.0))
        empty = self.histogram()
        # Sums of floats are not exact, so that theirs are not compared.
        below = self.histogram(rw.field_double(2, 1.0), rw.field_bytes(11, span(0, 2)),
                               rw.field_bytes(13, doubles(1.0, 1.0)))
        for name, encoded, count in (("integer", integer, "3"), ("floating", floating, "3.5"),
                                     ("zero_float", zero_float, "0"), ("empty", empty, "0"),
                                     ("count_below_floats", below, "1")):
            with self.subTest(name=name):
                self.write_1(rw.series_1(named(name + "_1"), [], [encoded]), 204, (0, 1, 0))
                self.write_2(rw.Request2().add(named(name + "_2"), [], [encoded]), 204, (0, 1, 0))
                for version in "_1", "_2":
                    found = self.node.query(name + version, time=self.now_ms / 1000)["result"]
                    self.assertEqual(found[0]["histogram"][1]["count"], count)

    def test_wrong_histograms_are_refused_alone_and_named(self):
        self.begin()
        some = rw.field_bytes(11, span(0, 2))
        schema_custom = rw.field_varint(4, rw.zigzag(-53))
        for what, encoded in (
                ("count_below", self.histogram(rw.field_varint(1, 2), some,
                                               rw.field_bytes(12, deltas(1, 1)))),
                ("count_above", self.histogram(rw.field_varint(1, 9), some,
                                               rw.field_bytes(12, deltas(1, 1)))),
                ("negative_bucket", self.histogram(rw.field_varint(1, 1), some,
                                                   rw.field_bytes(12, deltas(2, -3)))),
                ("few_buckets", self.histogram(rw.field_varint(1, 1), some,
                                               rw.field_bytes(12, deltas(1)))),
                ("many_buckets", self.histogram(rw.field_varint(1, 3), some,
                                                rw.field_bytes(12, deltas(1, 0, 0)))),
                ("schema", self.histogram(rw.field_varint(1, 3), rw.field_varint(4, rw.zigzag(60)),
                                          some, rw.field_bytes(12, deltas(1, 1)))),
                ("negative_span", self.histogram(
                    rw.field_varint(1, 2), rw.field_bytes(11, span(0, 1)),
                    rw.field_bytes(11, span(-5, 1)), rw.field_bytes(12, deltas(1, 0)))),
                ("span_overflow", self.histogram(
                    rw.field_varint(1, 1), rw.field_bytes(11, span(0, 0xFFFFFFFF)),
                    rw.field_bytes(12, deltas(1)))),
                ("float_negative", self.histogram(rw.field_double(2, 1.0), some,
                                                  rw.field_bytes(13, doubles(2.0, -1.0)))),
                ("float_count_negative", self.histogram(rw.field_double(2, -1.0))),
                ("float_mixed", self.histogram(rw.field_double(2, 3.0), some,
                                               rw.field_bytes(12, deltas(1, 1)))),
                ("bounds_unsorted", self.histogram(
                    rw.field_varint(1, 3), schema_custom, some, rw.field_bytes(12, deltas(1, 1)),
                    rw.field_bytes(16, doubles(2.0, 1.0)))),
                ("bounds_nan", self.histogram(
                    rw.field_varint(1, 3), schema_custom, some, rw.field_bytes(12, deltas(1, 1)),
                    rw.field_bytes(16, doubles(1.0, NAN)))),
                ("bounds_few", self.histogram(
                    rw.field_varint(1, 4), schema_custom, rw.field_bytes(11, span(0, 4)),
                    rw.field_bytes(12, deltas(1, 0, 0, 0)), rw.field_bytes(16, doubles(1.0)))),
                ("custom_negative", self.histogram(
                    rw.field_varint(1, 1), schema_custom, rw.field_bytes(8, span(0, 1)),
                    rw.field_bytes(9, deltas(1)), rw.field_bytes(16, doubles(1.0)))),
                ("custom_zero", self.histogram(
                    rw.field_varint(1, 1), schema_custom, rw.field_varint(6, 1),
                    rw.field_bytes(16, doubles(1.0)))),
                ("exponential_bounds", self.histogram(
                    rw.field_varint(1, 3), some, rw.field_bytes(12, deltas(1, 1)),
                    rw.field_bytes(16, doubles(1.0))))):
            with self.subTest(what=what):
                name = "wrong_" + what
                self.write_1(rw.series_1(named("right"), [(self.now_ms, 1.0)]) +
                             rw.series_1(named(name), [], [encoded]), 400, (1, 0, 0), name)
                self.write_2(rw.Request2().add(named("right"), [(self.now_ms, 1.0)])
                             .add(named(name), [], [encoded]), 400, (1, 0, 0), name)
        self.assertEqual(self.names('{__name__=~"wrong.*"}'), [])
        # With a sum that is no number observations are in no bucket.
        nan_sum = self.histogram(rw.field_varint(1, 9), rw.field_double(3, NAN), some,
                                 rw.field_bytes(12, deltas(1, 1)))
        self.write_1(rw.series_1(named("observed_nan"), [], [nan_sum]), 204, (0, 1, 0))

    def test_a_stale_marker_ends_a_series_of_histograms(self):
        self.begin()
        self.write_1(rw.series_1(named("ending"), [], [rw.histogram(self.now_ms - 2000, 6, 12.5,
                                                                    [1, 2, 3])]), 204, (0, 1, 0))
        stale = rw.field_double(3, rw.STALE_MARKER) + rw.field_varint(15, self.now_ms - 1000)
        self.write_1(rw.series_1(named("ending"), [], [stale]), 204, (0, 1, 0))
        self.assertEqual(self.node.query("ending", time=self.now_ms / 1000)["result"], [])
        self.assertEqual(len(self.node.query("ending", time=self.now_ms / 1000 - 1.5)["result"]), 1)

    # --- Exemplars and metadata ----------------------------------------------------------------------

    def exemplars(self, selector):
        found = self.node.get("/api/v1/query_exemplars", query=selector,
                              start=self.now_ms / 1000 - 3600, end=self.now_ms / 1000 + 3600).data()
        return [one for series in found for one in series["exemplars"]]

    def test_exemplars_that_are_wrong_are_left_out_and_fail_nothing(self):
        self.begin()
        at = self.now_ms
        exemplars = [([("trace", "good")], at, 1.0), ([("trace", "x" * 200)], at + 1, 1.0),
                     ([("a", "1"), ("a", "2")], at + 2, 1.0), ([("", "1")], at + 3, 1.0),
                     ([("trace", b"\xff")], at + 4, 1.0), ([], at + 5, 2.0)]
        self.write_1(rw.series_1(named("traced"), [(at, 1.0)], (), exemplars), 204, (1, 0, 2))
        self.assertEqual([one["labels"] for one in self.exemplars("traced")],
                         [{"trace": "good"}, {}])

    def test_of_exemplars_the_newest_stay(self):
        self.begin("--ingest.max_exemplars=100", "--cluster.shards=1")
        for first in range(0, 500, 100):
            exemplars = [([("n", str(n))], self.now_ms - 500000 + n * 1000, float(n))
                         for n in range(first, first + 100)]
            request = rw.Request2().add(named("many"), [(self.now_ms - 500000 + first, 1.0)],
                                        exemplars=exemplars)
            self.assertEqual(self.send(rw.snappy(request.bytes()), rw.HEADERS_2).status, 204)
        found = [float(one["value"]) for one in self.exemplars("many")]
        self.assertLessEqual(len(found), 100)
        self.assertEqual(found[-1], 499.0)
        self.assertEqual(self.node.metric("gnomon_shard_exemplars_dropped_total"), 400)

    def test_metadata_has_a_limit_and_fails_nothing(self):
        self.begin("--ingest.max_metadata=50", "--cluster.shards=1")
        for first in range(0, 500, 100):
            body = b"".join(rw.metadata_1(f"described_{n}", rw.METRIC_COUNTER, "Help.", "")
                            for n in range(first, first + 100))
            self.write_1(body, 204, (0, 0, 0))
        self.assertLessEqual(len(self.node.get("/api/v1/metadata").data()), 50)
        self.assertGreater(len(self.node.get("/api/v1/metadata").data()), 0)
        self.assertEqual(self.node.metric("gnomon_shard_metadata_refused_total"), 450)
        self.assertEqual(self.node.metric("gnomon_settings_limit", setting="ingest.max_metadata"), 50)

    def test_metadata_of_strange_types_and_lengths_is_taken(self):
        self.begin()
        self.write_1(rw.metadata_1("strange", 77, "h" * 10000, "u") +
                     rw.metadata_1("", 1, "nameless", "") +
                     rw.metadata_1(b"\xff", 1, "broken", ""), 204, (0, 0, 0))
        found = self.node.get("/api/v1/metadata").data()
        self.assertEqual(sorted(found), ["strange"])
        self.assertEqual(found["strange"][0]["type"], "unknown")

    # --- Limits of requests --------------------------------------------------------------------------

    def test_statuses_that_tell_to_wait_say_how_long_and_count_nothing(self):
        self.begin("--ingest.tenant_rate=5", "--ingest.max_request_series=100",
                   "--ingest.max_request_bytes=64KiB")
        many = b"".join(rw.series_1(named("many", n=str(n)), [(self.now_ms, 1.0)])
                        for n in range(101))
        self.write_1(many, 413, (0, 0, 0), "100")
        self.check(self.send(rw.snappy(b"\x00" * 70000), rw.HEADERS_1), 413, (0, 0, 0), ["65536"])
        for number in range(30):
            body = rw.snappy(rw.series_1(named("fast"), [(self.now_ms - 5 + i, number)
                                                        for i in range(5)]))
            answer = self.send(body, rw.HEADERS_1)
            if answer.status == 429:
                break
        self.check(answer, 429, (0, 0, 0), ["5 samples a second"])
        self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)

    def test_refusals_are_counted_by_reason_and_logged_within_limits(self):
        self.begin()
        bad = rw.snappy(rw.series_1([("__name__", "logged"), ("a", "1"), ("a", "2")],
                                    [(self.now_ms, 1.0)]))
        for _ in range(200):
            self.assertEqual(self.send(bad, rw.HEADERS_1).status, 400)
        self.send(bad, {"Content-Type": "text/plain"})
        lines = [line for line in self.node.log_text().split("\n") if "refused" in line]
        self.assertTrue(any("logged" in line and "duplicate label" in line for line in lines))
        self.assertTrue(any("content type" in line for line in lines))
        self.assertLess(len(lines), 40)
        self.assertEqual(self.node.metric("gnomon_ingest_refused_total", reason="labels"), 200)


if __name__ == "__main__":
    harness.main()
