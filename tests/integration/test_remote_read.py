"""Remote read: a real Prometheus evaluates over what it reads from Gnomon, as a stream of chunks and
as samples; and what the two answers look like."""
import json
import os
import shutil
import struct
import time

import harness
import prometheus_chunk
import remote_write as rw

HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
           "X-Prometheus-Remote-Read-Version": "0.1.0"}
SAMPLES, CHUNKS = 0, 1
STALE_BITS = 0x7ff0000000000002
STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]


def read_request(queries, accepted=()):
    """Queries are (start, end, [(name, type, value)])."""
    body = b""
    for start_ms, end_ms, matchers in queries:
        body += rw.field_bytes(1, rw.field_varint(1, start_ms) + rw.field_varint(2, end_ms) + b"".join(
            rw.field_bytes(3, rw.field_varint(1, "= != =~ !~".split().index(kind)) +
                           rw.field_bytes(2, name) + rw.field_bytes(3, value))
            for name, kind, value in matchers))
    return body + (rw.field_bytes(2, b"".join(rw.varint(one) for one in accepted)) if accepted else b"")


def varint_at(data, at):
    """The number at a place, and the place behind it."""
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(message):
    """(number, value) of a message; embedded ones are bytes."""
    at = 0
    while at < len(message):
        tag, at = varint_at(message, at)
        if tag & 7 == 0:
            value, at = varint_at(message, at)
            yield tag >> 3, value
        elif tag & 7 == 1:
            at += 8
            yield tag >> 3, struct.unpack("<d", message[at - 8:at])[0]
        else:
            size, at = varint_at(message, at)
            at += size
            yield tag >> 3, message[at - size:at]


def unsnappy(data):
    """The block format, all of it."""
    size, at = varint_at(data, 0)
    out = bytearray()
    while at < len(data):
        tag, at = data[at], at + 1
        if tag & 3 == 0:
            length = (tag >> 2) + 1
            if length > 60:
                extra = length - 60
                length, at = int.from_bytes(data[at:at + extra], "little") + 1, at + extra
            out += data[at:at + length]
            at += length
            continue
        if tag & 3 == 1:
            length, offset, at = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[at], at + 1
        else:
            width = 2 if tag & 3 == 2 else 4
            length, offset = (tag >> 2) + 1, int.from_bytes(data[at:at + width], "little")
            at += width
        for _ in range(length):
            out.append(out[-offset])
    assert len(out) == size
    return bytes(out)


def histogram_of(message):
    """(timestamp, Histogram) of types.proto's."""
    one = {"spans": {8: [], 11: []}, "buckets": {9: [], 10: [], 12: [], 13: []}, 16: []}
    for number, value in fields(message):
        if number in (8, 11):
            span = dict(fields(value))
            one["spans"][number].append((unzigzag(span[1]), span[2]))
        elif number in (9, 12):
            running = 0
            for step in packed_varints(value):
                running += unzigzag(step)
                one["buckets"][number].append(running)
        elif number in (10, 13):
            one["buckets"][number] = list(struct.unpack(f"<{len(value) // 8}d", value))
        elif number == 16:
            one[16] = list(struct.unpack(f"<{len(value) // 8}d", value))
        else:
            one[number] = value
    return one[15], prometheus_chunk.Histogram(
        one[14], unzigzag(one[4]), one[5], one.get(1, one.get(2)), one.get(6, one.get(7)),
        struct.unpack("<Q", struct.pack("<d", one[3]))[0], one["spans"][11], one["spans"][8],
        one["buckets"][12] + one["buckets"][13], one["buckets"][9] + one["buckets"][10], one[16])


def unzigzag(value):
    return value >> 1 ^ -(value & 1)


def packed_varints(data):
    at = 0
    while at < len(data):
        value, at = varint_at(data, at)
        yield value


def labels_of(series):
    return {pair[1].decode(): pair[2].decode()
            for pair in (dict(fields(value)) for number, value in fields(series) if number == 1)}


class RemoteRead(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.node = self.start_node("--telemetry.self_write=false")
        self.now_ms = int(time.time()) * 1000
        self.start_ms = self.now_ms - 3600_000

    def tearDown(self):
        self.node.terminate()

    def write(self, *series):
        answer = self.node.request("POST", "/api/v1/write", rw.snappy(b"".join(series)), rw.HEADERS_1)
        self.assertEqual(answer.status, 204, answer.body)

    def read(self, queries, accepted=(), status=200):
        answer = self.node.request("POST", "/api/v1/read",
                                   rw.snappy(read_request(queries, accepted)), HEADERS)
        self.assertEqual(answer.status, status, answer.body)
        return answer

    def write_floats(self):
        at = self.start_ms
        self.write(
            rw.series_1([("__name__", "a"), ("n", "1")], [(at + 1000 * i, i * 0.5) for i in range(300)]),
            rw.series_1([("__name__", "a"), ("n", "2")], [(at, 1.0), (at + 7, STALE), (at + 1500, 2.0)]),
            rw.series_1([("__name__", "b")], [(at + 500, float("-inf"))]))

    def test_samples_are_one_message_in_the_order_of_the_queries(self):
        self.write_floats()
        at = self.start_ms
        answer = self.read([(at, at + 1500, [("__name__", "=~", "a|b"), ("n", "!=", "1")]),
                            (at, at, [("__name__", "=", "nothing")]),
                            (at + 298000, at + 10**9, [("n", "=", "1")])], [SAMPLES])
        self.assertEqual((answer.headers["Content-Type"], answer.headers["Content-Encoding"]),
                         ("application/x-protobuf", "snappy"))
        results = [value for _, value in fields(unsnappy(answer.body))]
        found = []
        for result in results:
            found.append([(labels_of(series), [(dict(fields(value))[2], dict(fields(value))[1])
                                               for number, value in fields(series) if number == 2])
                          for _, series in fields(result)])
        self.assertEqual(repr(found), repr([
            [({"__name__": "a", "n": "2"}, [(at, 1.0), (at + 7, STALE), (at + 1500, 2.0)]),
             ({"__name__": "b"}, [(at + 500, float("-inf"))])],
            [],
            [({"__name__": "a", "n": "1"}, [(at + 298000, 149.0), (at + 299000, 149.5)])]]))
        self.assertIn(struct.pack("<d", STALE), unsnappy(answer.body))

    def test_chunks_are_frames_with_checksums(self):
        self.write_floats()
        at = self.start_ms
        answer = self.read([(at, at + 10**6, [("n", "=", "2")]), (at, at + 10**6, [("n", "=", "1")])],
                           [CHUNKS, SAMPLES])
        self.assertEqual(answer.headers["Content-Type"],
                         "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
        self.assertNotIn("Content-Encoding", answer.headers)
        frames = list(self.frames(answer.body))
        self.assertEqual([frame.get(2, 0) for frame in frames], [0, 1])
        self.assertEqual([labels_of(frame[1])["n"] for frame in frames], ["2", "1"])
        chunks = [[dict(fields(value)) for number, value in fields(frame[1]) if number == 2]
                  for frame in frames]
        self.assertEqual([[(chunk[1], chunk[2], chunk[3]) for chunk in one] for one in chunks],
                         [[(at, at + 1500, 1)],
                          [(at, at + 119000, 1), (at + 120000, at + 239000, 1),
                           (at + 240000, at + 299000, 1)]])
        decoded = [sample for chunk in chunks[1] for sample in prometheus_chunk.decode(chunk[3], chunk[4])]
        self.assertEqual([(when, prometheus_chunk.as_float(bits)) for when, bits in decoded],
                         [(at + 1000 * i, i * 0.5) for i in range(300)])
        self.assertEqual([bits for _, bits in prometheus_chunk.decode(1, chunks[0][0][4])][1], STALE_BITS)

    def test_wrong_requests_are_told_as_text(self):
        for body, words in ((b"\xff\xff\xff\xff\xff", b"snappy"), (rw.snappy(b"\x0a\x05abc"), b"not a"),
                            (rw.snappy(read_request([(0, 1, [("a", "=~", "(")])])), b"regexp"),
                            (rw.snappy(read_request([], [7])), b"response types"),
                            (rw.snappy(rw.field_bytes(1, rw.field_bytes(3, rw.field_varint(1, 9)))),
                             b"matcher type")):
            answer = self.node.request("POST", "/api/v1/read", body, HEADERS)
            self.assertEqual((answer.status, answer.headers["Content-Type"]),
                             (400, "text/plain; charset=utf-8"), answer.body)
            self.assertIn(words, answer.body)
        self.assertEqual(self.node.request("GET", "/api/v1/read").status, 405)
        self.assertEqual(unsnappy(self.read([]).body), b"")
        self.assertEqual(unsnappy(self.read([(0, 10**15, [])]).body), b"\x0a\x00") # asks for nothing

    def test_limits_hold(self):
        self.write_floats()
        self.node.terminate()
        self.node = self.restart(self.node, "--telemetry.self_write=false", "--query.max_samples=100")
        answer = self.read([(0, 10**15, [("n", "=", "1")])], [SAMPLES], status=400)
        self.assertEqual(answer.body, b"exceeded sample limit (100)\n")
        self.read([(0, 10**15, [("n", "=", "2")])], [SAMPLES])

    def histograms(self):
        """Counters that grow, change their buckets and are reset; gauges; floats; custom bounds."""
        def floating(at, count, buckets, schema=1, hint=0, bounds=()):
            span = rw.field_varint(1, 0) + rw.field_varint(2, len(buckets))
            return (rw.field_double(2, count) + rw.field_double(3, count * 1.5) +
                    rw.field_varint(4, rw.zigzag(schema)) +
                    (rw.field_double(5, 2.0 ** -128) + rw.field_double(7, 0.5) if schema != -53 else b"") +
                    rw.field_bytes(11, span) +
                    rw.field_bytes(13, struct.pack(f"<{len(buckets)}d", *buckets)) +
                    rw.field_varint(14, hint) + rw.field_varint(15, at) +
                    (rw.field_bytes(16, struct.pack(f"<{len(bounds)}d", *bounds)) if bounds else b""))

        def times(count):
            return [self.start_ms + 15000 * i for i in range(count)]

        grow = [rw.histogram(at, 10 * i + 3, 1.25 * i, [4 * i + 1, 3 * i, 2 * i + 1], schema=2,
                             zero_count=i + 1) for i, at in enumerate(times(200))]
        reset = [rw.histogram(at, sum(buckets) + 1, 0.1 * i, buckets, zero_count=1)
                 for i, at in enumerate(times(200))
                 for buckets in [[5 * (i % 70) + 1, 4 * (i % 70)] + ([i % 70] if i % 70 > 20 else [])]]
        gauge = [floating(at, 9.5, [1.5, 2 + (i % 5), 0.25 * i], hint=3) for i, at in enumerate(times(150))]
        floats = [floating(at, 9.5 * i + 1, [1.5 * i, 2.0 * i]) for i, at in enumerate(times(150))]
        customs = [floating(at, 3.0 * i + 3, [1.0 * i, 2.0 * i, 3], schema=-53, bounds=(0.5, 2.5, 1e9))
                   for i, at in enumerate(times(130))]
        return {"grow": grow, "reset": reset, "gauge": gauge, "floats": floats, "customs": customs,
                "ends": grow[:5] + [rw.field_double(3, STALE) + rw.field_varint(15, self.start_ms + 75000)]}

    def write_histograms(self):
        kinds = self.histograms()
        self.write(*[rw.series_1([("__name__", name)], [], samples) for name, samples in kinds.items()])
        return kinds

    def frames(self, body):
        """The messages of a stream, their checksums checked."""
        while body:
            size, used = varint_at(body, 0)
            message = body[used + 4:used + 4 + size]
            self.assertEqual(int.from_bytes(body[used:used + 4], "big"), crc32c(message))
            yield dict(fields(message))
            body = body[used + 4 + size:]

    def test_histograms_are_the_same_as_chunks_and_as_samples(self):
        kinds = self.write_histograms()
        everything = [(0, 10**15, [("__name__", "=~", "|".join(kinds))])]
        chunked, chunk_counts = {}, {}
        for frame in self.frames(self.read(everything, [CHUNKS]).body):
            name = labels_of(frame[1])["__name__"]
            for number, value in fields(frame[1]):
                if number == 2:
                    chunk = dict(fields(value))
                    samples = prometheus_chunk.decode(chunk[3], chunk[4])
                    self.assertEqual((samples[0][0], samples[-1][0]), (chunk[1], chunk[2]))
                    chunked.setdefault(name, []).extend(samples)
                    chunk_counts[name] = chunk_counts.get(name, 0) + 1
                    for (_, before), (_, after) in zip(samples, samples[1:]):
                        self.assertTrue(after.reset == 3 or (before.count <= after.count and all(
                            one <= other for one, other in zip(before.positive, after.positive))))
        message = unsnappy(self.read(everything, [SAMPLES]).body)
        listed = {labels_of(series)["__name__"]: [histogram_of(value) for number, value in fields(series)
                                                  if number == 4]
                  for _, result in fields(message) for _, series in fields(result)}
        self.assertEqual(sorted(listed), sorted(kinds))
        for name, samples in kinds.items():
            self.assertEqual(len(listed[name]), len(samples), name)
            for (at, left), (other_at, right) in zip(listed[name], chunked[name]):
                right.reset = left.reset # each sample's there, the chunk's here
                if left.sum_bits == STALE_BITS:
                    left = prometheus_chunk.Histogram(left.reset, 0, 0.0, 0, 0, STALE_BITS, [], [], [],
                                                      [], [])
                self.assertEqual((at, left), (other_at, right), name)
        # 200 in two; resets at 70 and 140, more buckets from 21 of each; alone when it ends.
        self.assertEqual(chunk_counts, {"grow": 2, "reset": 6, "gauge": 2, "floats": 2, "customs": 2,
                                        "ends": 2})

    def start_prometheus(self, name, *flags):
        port, folder = harness.free_port(), f"{self.folder}/{name}"
        os.makedirs(folder)
        with open(folder + "/prometheus.yml", "w", encoding="utf-8") as file:
            json.dump({"remote_read": [{"url": self.node.url() + "/api/v1/read", "read_recent": True}]},
                      file) # YAML takes it
        prometheus = self.start(harness.Program(name, self.folder, [
            "prometheus", f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}", *flags]))

        def is_ready():
            try:
                return harness.request(port, "GET", "/-/ready").status == 200
            except OSError:
                return False

        harness.wait_until(is_ready, name + " is ready", alive=prometheus)
        return port

    def test_a_real_prometheus_evaluates_over_what_it_reads(self):
        self.assertIsNotNone(shutil.which("prometheus"), "prometheus is not installed")
        self.write_floats()
        port = self.start_prometheus("prometheus")
        queries = ["a", "rate(a{n='1'}[2m])", "count_over_time({__name__=~'a|b'}[5m])", "b",
                   "avg_over_time(a{n='1'}[90s] offset 1m)"]
        window = {"start": self.start_ms / 1000 + 1.25, "end": self.now_ms / 1000, "step": 61}
        for query in queries:
            ours = self.node.get("/api/v1/query_range", query=query, **window).data()["result"]
            theirs = harness.request(port, "GET", "/api/v1/query_range?" + harness.query_string(
                {"query": query, **window})).data()["result"]
            self.assertEqual(values(theirs), values(ours), query)
            self.assertTrue(ours or query == "b", query)


def values(result):
    """Rounded, since sums have an order."""
    return {json.dumps(one["metric"], sort_keys=True): [(at, float(f"{float(value):.10g}"))
                                                        for at, value in one["values"]]
            for one in result}


def crc32c(data):
    checksum = 0xffffffff
    for byte in data:
        checksum ^= byte
        for _ in range(8):
            checksum = checksum >> 1 ^ (0x82f63b78 if checksum & 1 else 0)
    return checksum ^ 0xffffffff


if __name__ == "__main__":
    harness.main()
