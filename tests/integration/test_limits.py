"""Limits answer with their status and words, hold against hostile clients, and harm nobody else."""
import http.client
import os
import random
import time

import harness
import remote_write as rw

HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS


class Limits(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.now_ms = int(time.time()) * 1000

    def begin(self, *settings):
        self.node = self.start_node("--telemetry.self_write=false", *settings)

    def write(self, body, expect=204, headers=None):
        answer = self.node.request("POST", "/api/v1/write", rw.snappy(body),
                                   headers or rw.HEADERS_1)
        self.assertEqual(answer.status, expect, answer.body)
        return answer

    def values(self, query, at_ms=None):
        result = self.node.query(query, time=(at_ms or self.now_ms) / 1000)["result"]
        return [one["value"][1] for one in result]

    def flush(self):
        self.assertEqual(self.node.request("POST", "/api/v1/admin/flush").status, 204)

    # --- Writing -----------------------------------------------------------------------------------

    def test_labels_have_limits_and_the_refusal_names_the_series(self):
        self.begin("--ingest.max_labels=4", "--ingest.max_label_bytes=100")
        many = [("__name__", "many")] + [(f"l{i}", "x") for i in range(4)]
        long = [("__name__", "long"), ("l", "x" * 100)]
        good = [("__name__", "good"), ("a", "1"), ("b", "1"), ("c", "1")]
        at = self.now_ms
        answer = self.write(rw.series_1(many, [(at, 1.0)]) + rw.series_1(long, [(at, 1.0)]) +
                            rw.series_1(good, [(at, 1.0)]), 400)
        self.assertIn(b"5 labels, more than 4", answer.body)
        self.assertIn(b"many", answer.body)
        self.assertEqual(self.values("count({__name__=~'.+'})"), ["1"])
        self.assertEqual(self.node.metric("gnomon_ingest_refused_total", reason="label_limit"), 2)
        self.assertIn("many", self.node.log_text())

    def test_the_future_has_a_window(self):
        self.begin("--ingest.future_window=5m")
        now_ms = int(time.time() * 1000)
        self.write(rw.series_1([("__name__", "near")], [(now_ms + 4 * 60000, 1.0)]))
        answer = self.write(rw.series_1([("__name__", "far")], [(now_ms + 7 * 60000, 1.0)]), 400)
        self.assertIn(b"out of bounds", answer.body)
        self.assertIn(b"far", answer.body)
        # One far sample does not take the others of its series with it.
        answer = self.write(rw.series_1([("__name__", "both")],
                                        [(now_ms, 1.0), (now_ms + DAY_MS, 2.0)]), 400)
        self.assertEqual(answer.headers["X-Prometheus-Remote-Write-Samples-Written"], "1")
        self.assertEqual(self.values("both", now_ms), ["1"])

    def test_what_is_older_than_the_retention_is_refused_and_deleted(self):
        self.begin("--storage.retention=2d", "--cluster.shards=1")
        now_ms = int(time.time() * 1000)
        self.write(rw.series_1([("__name__", "kept")], [(now_ms - DAY_MS, 1.0)]))
        answer = self.write(rw.series_1([("__name__", "old")], [(now_ms - 3 * DAY_MS, 1.0)]), 400)
        self.assertIn(b"out of bounds", answer.body)
        self.flush()
        self.node.terminate()
        # A shorter retention takes what is there.
        self.node = self.restart(self.node, "--telemetry.self_write=false",
                                 "--storage.retention=12h", "--storage.retention_grace=0")
        self.write(rw.series_1([("__name__", "young")], [(now_ms, 1.0)]))
        self.flush()  # a clock is believed when samples agree with it
        harness.wait_until(lambda: self.values("kept", now_ms - DAY_MS) == [],
                           "what is too old is gone", alive=self.node)
        self.assertEqual(self.values("young", now_ms), ["1"])

    def test_samples_from_the_future_delete_nothing(self):
        self.begin("--storage.retention=1d", "--ingest.future_window=30d", "--cluster.shards=1")
        now_ms = int(time.time() * 1000)
        self.write(rw.series_1([("__name__", "kept")], [(now_ms - DAY_MS // 2, 1.0)]))
        self.flush()
        self.write(rw.series_1([("__name__", "ahead")], [(now_ms + 20 * DAY_MS, 1.0)]))
        self.flush()
        time.sleep(2.5)  # it would go in the next second
        self.assertEqual(self.values("kept", now_ms - DAY_MS // 2), ["1"])
        self.write(rw.series_1([("__name__", "late")], [(now_ms - DAY_MS // 2, 1.0)]))

    def test_the_oldest_is_deleted_when_the_size_is_reached(self):
        self.begin("--storage.retention_size=64KiB", "--cluster.shards=1")
        now_ms = int(time.time() * 1000)
        generator = random.Random(3)
        # Of any age, together with the next: what is oldest is then no reason to wait for ever.
        self.write(rw.series_1([("__name__", "ancient")], [(1000, 1.0)]))
        for age_h in range(240, 0, -4):
            at = now_ms - age_h * HOUR_MS
            body = b"".join(rw.series_1([("__name__", "noise"), ("n", str(n))],
                                        [(at + i * 1000, generator.random()) for i in range(100)])
                            for n in range(20))
            self.write(body)
            self.flush()

        def small():
            return self.node.metric("gnomon_shard_block_bytes") + \
                self.node.metric("gnomon_shard_part_bytes") <= 64 << 10
        harness.wait_until(small, "the size is within its limit", alive=self.node)
        self.assertEqual(self.values("count(noise)", now_ms - 240 * HOUR_MS + 1000), [])
        self.assertEqual(self.values("count(noise)", now_ms - 40 * HOUR_MS + 1000), [])
        self.assertEqual(self.values("count(noise)", now_ms - 4 * HOUR_MS + 1000), ["20"])

    def test_hostile_bodies_are_refused_and_cost_nothing(self):
        self.begin("--ingest.max_request_bytes=1MiB", "--http.max_body=2MiB")
        before = self.node.metric("gnomon_process_resident_memory_bytes")

        def status(body, headers=rw.HEADERS_1):
            return self.node.request("POST", "/api/v1/write", body, headers).status
        self.assertEqual(status(rw.snappy(b"\x00" * (1 << 20))[:100]), 400)  # cut
        self.assertEqual(status(rw.varint(1 << 30) + b"\x00"), 413)  # claims a gigabyte
        self.assertEqual(status(rw.varint(1 << 40) + b"\x00"), 400)  # more than snappy has
        self.assertEqual(status(rw.varint(900 << 10) + b"\x00"), 400)
        # Small when sent, at the limit when decoded: copies of itself.
        copies = rw.varint(4 << 20) + b"\x00A" + b"\xfe\x01\x00" * (1 << 14)
        self.assertEqual(status(copies), 413)
        # Lengths that point outside, messages in messages, fields without end: in a series.
        for inner in (b"\x0a\xff\xff\xff\xff\x0f", b"\x12\x05\x0a\xff\xff\xff\x7f",
                      b"\x0a" * 10000, b"\xff" * 1000, b"\x12" * 5000):
            self.assertEqual(status(rw.snappy(rw.field_bytes(1, inner))), 400, inner[:10])
            self.assertEqual(status(rw.snappy(rw.field_bytes(5, inner)), rw.HEADERS_2), 400,
                             inner[:10])
        with self.assertRaises((ConnectionError, http.client.HTTPException, AssertionError)):
            self.assertNotEqual(status(b"x" * (3 << 20)), 413)  # refused before or while it is sent
        for _ in range(200):
            status(copies)
        grown = self.node.metric("gnomon_process_resident_memory_bytes") - before
        self.assertLess(grown, 256 << 20)
        self.write(rw.series_1([("__name__", "fine")], [(self.now_ms, 1.0)]))

    def test_by_default_32_MiB_of_decoded_body_are_taken_and_not_more(self):
        """Also when they do not compress: such a body is larger as it is sent."""
        self.begin()
        series = rw.series_1([("__name__", "largest")], [(self.now_ms, 1.0)])
        filler = os.urandom((32 << 20) - len(series) - 6)  # a field that nobody knows
        body = series + rw.field_bytes(99, filler)
        self.assertEqual(len(body), 32 << 20)
        self.write(body)
        self.write(body + rw.field_varint(98, 1), 413)
        self.assertEqual(self.values("largest"), ["1"])

    def test_by_default_10000_series_a_request_are_taken_and_not_more(self):
        self.begin()
        series = [rw.series_1([("__name__", "many"), ("n", str(n))], [(self.now_ms, 1.0)])
                  for n in range(10001)]
        self.write(b"".join(series), 413)
        self.assertEqual(self.values("count(many)"), [])
        self.write(b"".join(series[1:]))
        self.assertEqual(self.values("count(many)"), ["10000"])

    def test_a_request_of_many_megabytes_is_stored_whole(self):
        """More than one entry of the log holds: one long series, and ten thousand new ones."""
        self.begin()
        samples = [(self.now_ms - (400000 - i) * 10, float(i)) for i in range(400000)]
        answer = self.write(rw.series_1([("__name__", "long")], samples))
        self.assertEqual(answer.headers["X-Prometheus-Remote-Write-Samples-Written"], "400000")
        fat = "x" * 1500
        answer = self.write(b"".join(
            rw.series_1([("__name__", "fat"), ("text", f"{fat}{n}")], [(self.now_ms, 1.0)])
            for n in range(10000)))
        self.assertEqual(answer.headers["X-Prometheus-Remote-Write-Samples-Written"], "10000")

        def check():
            self.assertEqual(self.values("count_over_time(long[2h])"), ["400000"])
            self.assertEqual(self.values("sum_over_time(long[2h])"), [str(399999 * 200000)])
            self.assertEqual(self.values("count(fat)"), ["10000"])
        check()
        self.node.kill()
        self.node = self.restart(self.node)
        check()

    def test_known_series_are_stored_at_the_limit_of_series(self):
        """The limit is the node's, however series fall to shards."""
        self.begin("--ingest.max_series=40", "--cluster.shards=4")
        at = self.now_ms - 60000
        self.write(b"".join(rw.series_1([("__name__", "known"), ("n", str(n))], [(at, 1.0)])
                            for n in range(30)))
        answer = self.write(b"".join(
            rw.series_1([("__name__", "new"), ("n", str(n))], [(at, 1.0)]) for n in range(30)), 400)
        self.assertIn(b"limit of series", answer.body)
        self.assertAlmostEqual(self.node.metric("gnomon_shard_series"), 40, delta=4)
        self.assertEqual(self.node.metric("gnomon_ingest_refused_total", reason="series_limit"),
                         60 - self.node.metric("gnomon_shard_series"))
        self.node.kill()  # a restart counts what there is
        self.node = self.restart(self.node)
        self.write(rw.series_1([("__name__", "newer")], [(at, 1.0)]), 400)
        self.write(b"".join(rw.series_1([("__name__", "known"), ("n", str(n))], [(at + 1000, 2.0)])
                            for n in range(30)))
        self.assertEqual(self.values("sum(known)"), ["60"])


if __name__ == "__main__":
    harness.main()
