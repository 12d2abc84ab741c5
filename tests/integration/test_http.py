"""HTTP as a raw socket sees it: framing, limits, slow clients, and the end of a node."""
import gzip
import resource
import select
import signal
import socket
import threading
import time

import harness
import remote_write as rw
from raw_client import Closed, RawClient, ask

HOST = b"Host: x\r\n"


def get(path, *headers, version=b"1.1"):
    return b"GET " + path + b" HTTP/" + version + b"\r\n" + HOST + \
        b"".join(header + b"\r\n" for header in headers) + b"\r\n"


def post(path, body, *headers, length=True):
    if length:
        headers += (b"Content-Length: %d" % len(body),)
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + \
        b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


def chunk(content, extension=b""):
    return b"%x%s\r\n%s\r\n" % (len(content), extension, content)


HEALTHY = get(b"/-/healthy")
QUERY = get(b"/api/v1/query?query=1")
WRITE = b"/api/v1/write"
CHUNKED = b"Transfer-Encoding: chunked"


class Http(harness.IntegrationTest):
    """One node, whose limits are small where a test wants to reach them quickly."""

    def setUp(self):
        super().setUp()
        self.now_ms = int(time.time() * 1000)
        self.body = rw.snappy(rw.series_1([("__name__", "sent")], [(self.now_ms, 1.0)]))

    def begin(self, *settings):
        self.node = self.start_node("--telemetry.self_write=false", *settings)
        return self.node.port

    def connect(self):
        client = RawClient(self.node.port)
        self.addCleanup(client.close)
        return client

    def ask(self, data, method="GET"):
        return ask(self.node.port, data, method)

    # --- Order ---------------------------------------------------------------------------------------

    def test_pipelined_requests_are_answered_in_order_also_around_errors(self):
        self.begin()
        client = self.connect().send(
            QUERY + get(b"/nowhere") + post(WRITE, self.body) + post(WRITE, b"abc") +
            b"HEAD /-/healthy HTTP/1.1\r\n" + HOST + b"\r\n" +
            b"DELETE /api/v1/query HTTP/1.1\r\n" + HOST + b"\r\n" + QUERY)
        statuses = [client.answer(method).status
                    for method in ("GET", "GET", "POST", "POST", "HEAD", "DELETE", "GET")]
        self.assertEqual(statuses, [200, 404, 204, 400, 200, 405, 200])
        # One that can't be understood ends it: what follows it may be anything.
        client.send(QUERY + b"rubbish\r\n\r\n" + QUERY)
        self.assertEqual([client.answer().status for _ in range(2)], [200, 400])
        self.assertTrue(client.is_closed())

    def test_a_connection_is_kept_as_its_client_speaks(self):
        self.begin()
        for data, is_closed in (
                (HEALTHY, False),
                (get(b"/-/healthy", b"Connection: close"), True),
                (get(b"/-/healthy", version=b"1.0"), True),
                (get(b"/-/healthy", b"Connection: keep-alive", version=b"1.0"), False)):
            answer, closes = self.ask(data)
            self.assertEqual((answer.status, closes), (200, is_closed), data)

    # --- Bodies --------------------------------------------------------------------------------------

    def test_chunked_bodies_are_taken_however_they_are_cut(self):
        self.begin()
        pieces = [self.body[:1], self.body[1:9], self.body[9:]]
        whole = post(WRITE, b"".join(chunk(piece, b";name=value") for piece in pieces) +
                     b"0\r\nX-Checksum: 1\r\nAnother: 2\r\n\r\n", CHUNKED, length=False)
        client = self.connect().send(whole + QUERY)
        self.assertEqual([client.answer().status for _ in range(2)], [204, 200])
        client.send_in_pieces(whole[i:i + 1] for i in range(len(whole)))
        self.assertEqual(client.answer().status, 204)
        self.assertEqual(client.send(QUERY).answer().status, 200)

    def test_chunks_of_a_wrong_size_are_refused_and_the_connection_ends(self):
        self.begin()
        for content in (b"zz\r\nabc\r\n0\r\n\r\n", b"ffffffffffffffffff\r\nabc", b"-1\r\n\r\n",
                        b"3\r\nabcd\r\n0\r\n\r\n"):
            answer, closes = self.ask(post(WRITE, content, CHUNKED, length=False))
            self.assertEqual((answer.status, closes), (400, True), content)

    def test_a_body_without_one_clear_length_is_refused(self):
        """Else a proxy before us would see other requests than we do."""
        self.begin()
        length = b"Content-Length: %d" % len(self.body)
        for status, headers, body in (
                (400, [length, length], self.body),
                (400, [length, b"Content-Length: 1"], self.body),
                (400, [b"Content-Length: 5, 5"], b"12345"),
                (400, [b"Content-Length: -1"], b""),
                (400, [b"Content-Length: +5"], b"12345"),
                (400, [b"Content-Length: 0x5"], b"12345"),
                (400, [b"Content-Length: 99999999999999999999999"], b""),
                (400, [length, CHUNKED], chunk(self.body) + b"0\r\n\r\n"),
                (400, [CHUNKED, length], chunk(self.body) + b"0\r\n\r\n"),
                (400, [CHUNKED, CHUNKED], chunk(self.body) + b"0\r\n\r\n"),
                (501, [b"Transfer-Encoding: gzip, chunked"], chunk(self.body) + b"0\r\n\r\n"),
                (501, [b"Transfer-Encoding: gzip"], self.body),
                (400, [b"Transfer-Encoding : chunked"], chunk(self.body) + b"0\r\n\r\n")):
            with self.subTest(headers=headers):
                answer, closes = self.ask(post(WRITE, body, *headers, length=False))
                self.assertEqual((answer.status, closes), (status, True), answer.body)

    def test_a_client_that_asks_first_is_answered_before_its_body(self):
        self.begin("--http.max_body=1MiB")
        expect = b"Expect: 100-continue"
        client = self.connect().send(post(WRITE, b"", expect, b"Content-Length: %d" %
                                          len(self.body), length=False))
        self.assertEqual(client.answer().status, 100)
        self.assertEqual(client.send(self.body).answer().status, 204)
        for status, length, headers in ((413, 2 << 20, (expect,)),
                                        (415, 5, (expect, b"Content-Type: text/plain")),
                                        (417, 5, (b"Expect: 200-maybe",))):
            client = self.connect().send(post(WRITE, b"", *headers,
                                              b"Content-Length: %d" % length, length=False))
            self.assertEqual(client.answer().status, status)
            self.assertTrue(client.is_closed())
        # One that speaks 1.0 would take "100" for the answer.
        client = self.connect().send(
            b"POST " + WRITE + b" HTTP/1.0\r\n" + expect + b"\r\nContent-Length: %d\r\n\r\n" %
            len(self.body) + self.body)
        self.assertEqual(client.answer().status, 204)

    def test_a_body_over_its_limit_is_413_however_it_comes(self):
        self.begin("--http.max_body=64KiB")
        answer, _ = self.ask(post(WRITE, b"", b"Content-Length: 65537", length=False))
        self.assertEqual(answer.status, 413)
        client = self.connect().send(post(WRITE, chunk(b"x" * 60000), CHUNKED, length=False))
        self.assertEqual(client.send(chunk(b"x" * 60000)).answer().status, 413)
        harness.wait_until(lambda: self.node.metric("gnomon_http_body_bytes") == 0,
                           "what came of the bodies is let go", alive=self.node)

    def test_a_form_is_read_from_a_body(self):
        self.begin()
        form = (b"Content-Type: application/x-www-form-urlencoded; charset=utf-8",)
        answer, _ = self.ask(post(b"/api/v1/query?query=2", b"query=1%2B1&time=5", *form))
        self.assertEqual((answer.status, b'[5,"2"]' in answer.body), (200, True), answer.body)

    # --- Heads ---------------------------------------------------------------------------------------

    def test_heads_have_limits(self):
        self.begin()
        for status, data in (
                (431, get(b"/-/healthy", b"A: " + b"x" * 70000)),
                (431, get(b"/-/healthy", *(b"A%d: x" % i for i in range(200)))),
                (414, get(b"/-/healthy?" + b"x" * 70000)),
                (200, get(b"/-/healthy?" + b"x" * 60000, b"A: " + b"x" * 60000))):
            answer, closes = self.ask(data)
            self.assertEqual((answer.status, closes), (status, status != 200))

    def test_malformed_heads_are_400(self):
        self.begin()
        for data in (b"GET /-/healthy HTTP/1.1\r\n\r\n",
                     b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                     b"GET /-/healthy HTTP/1.1\r\nHost : x\r\n\r\n",
                     b"GET -/healthy HTTP/1.1\r\n" + HOST + b"\r\n",
                     b"BREW /-/healthy HTTP/1.1\r\n" + HOST + b"\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40 + b"\r\n\r\n",
                     get(b"/api/v1/label/%zz/values"), get(b"/api/v1/query?query=%zz"),
                     get(b"/api/v1/query?query=1%2"), get(b"/api/v1/query?query=1%00")):
            answer, _ = self.ask(data)
            self.assertEqual(answer.status, 400, data)
            self.assertIn(b'"error"', answer.body)

    def test_only_versions_1_0_and_1_1_are_spoken(self):
        self.begin()
        for data in (get(b"/-/healthy", version=b"2.0"), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            answer, closes = self.ask(data)
            self.assertEqual((answer.status, closes), (505, True))

    def test_targets_may_name_their_host_or_the_whole_server(self):
        self.begin()
        for status, data in (
                (200, b"GET http://elsewhere:1/-/healthy HTTP/1.1\r\n" + HOST + b"\r\n"),
                (404, b"GET http://elsewhere:1 HTTP/1.1\r\n" + HOST + b"\r\n"),
                (204, b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
                (204, b"OPTIONS /api/v1/query HTTP/1.1\r\n" + HOST + b"\r\n"),
                (405, b"CONNECT elsewhere:80 HTTP/1.1\r\n" + HOST + b"\r\n"),
                (200, b"\r\n" + HEALTHY)):
            self.assertEqual(self.ask(data)[0].status, status, data)

    def test_HEAD_answers_as_GET_without_its_body(self):
        self.begin()
        for path in b"/-/healthy", b"/-/ready":
            head = b"HEAD " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n"
            client = self.connect().send(head + get(path))
            first, second = client.answer("HEAD"), client.answer()
            self.assertEqual((first.status, first.headers["content-length"]),
                             (second.status, second.headers["content-length"]))
        answer, _ = self.ask(b"HEAD /api/v1/query HTTP/1.1\r\n" + HOST + b"\r\n", "HEAD")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, POST, OPTIONS"))

    def test_answers_are_compressed_for_those_who_accept_it(self):
        self.begin()
        plain, _ = self.ask(get(b"/metrics"))
        for accepted, is_packed in (
                (b"gzip", True), (b"br, GZIP", True), (b"*", True), (b"gzip;q=0.5, identity", True),
                (b"identity;q=0, gzip", True), (b"gzip;q=0", False), (b"gzip;q=0.000", False),
                (b"*;q=0", False), (b"identity", False), (b"br", False)):
            answer, _ = self.ask(get(b"/metrics", b"Accept-Encoding: " + accepted))
            self.assertEqual(answer.headers.get("content-encoding") == "gzip", is_packed, accepted)
            self.assertEqual(answer.headers["vary"], "Accept-Encoding")
            text = gzip.decompress(answer.body) if is_packed else answer.body
            self.assertEqual(text[:200], plain.body[:200])

    # --- Time ----------------------------------------------------------------------------------------

    def test_slow_and_idle_clients_are_let_go_and_harm_nobody(self):
        self.begin("--http.idle_timeout=1s")
        idle = self.connect()
        served = self.connect().send(HEALTHY)
        self.assertEqual(served.answer().status, 200)
        slow = [self.connect() for _ in range(50)]
        for client in slow:
            client.send(b"GET /-/healthy HTTP/1.1\r\nHos")
        for client in idle, served:
            self.assertTrue(client.is_closed(10))
        self.assertEqual(self.node.metric("gnomon_http_idle_timeouts_total"), 2)
        # Byte after byte does not win time.
        end = time.monotonic() + 30
        while not select.select([slow[0].socket], [], [], 0.2)[0]:
            self.assertLess(time.monotonic(), end)
            slow[0].send(b"t")
            self.assertEqual(self.node.get("/-/healthy").status, 200)
        for client in slow:
            self.assertEqual(client.answer().status, 408)
            self.assertTrue(client.is_closed())
        self.assertEqual(self.node.metric("gnomon_http_head_timeouts_total"), 50)

    def test_readers_that_do_not_read_hold_no_worker_and_a_bounded_memory(self):
        self.begin("--query.memory=128MiB")
        self.fill_for_large_answers()
        before = self.node.metric("gnomon_process_resident_memory_bytes")
        path = b"/api/v1/query_range?query=wide&step=1&start=%d&end=%d" % (
            self.now_ms // 1000 - 5000, self.now_ms // 1000)
        readers = [self.connect() for _ in range(20)]
        for client in readers:
            client.send(get(path))
        harness.wait_until(lambda: self.node.metric("gnomon_query_memory_bytes") > 64 << 20 and
                           self.node.metric("gnomon_query_running") == 0,
                           "the queries have run", alive=self.node)
        grown = self.node.metric("gnomon_process_resident_memory_bytes") - before
        self.assertTrue(harness.SANITIZED or grown < 256 << 20, grown)
        self.assertEqual(self.node.query("1 + 1")["result"][1], "2")
        for client in readers:
            client.close()
        harness.wait_until(lambda: self.node.metric("gnomon_query_memory_bytes") == 0,
                           "the memory of answers that nobody reads is free", alive=self.node)

    def fill_for_large_answers(self):
        for start in range(0, 200, 50):
            body = b"".join(rw.series_1(
                [("__name__", "wide"), ("n", str(n))],
                [(self.now_ms - (499 - i) * 10000, n + i / 7) for i in range(500)])
                for n in range(start, start + 50))
            self.assertEqual(self.node.request("POST", "/api/v1/write", rw.snappy(body),
                                               rw.HEADERS_1).status, 204)

    # --- Connections ---------------------------------------------------------------------------------

    def test_connections_beyond_the_limit_are_told_to_come_back(self):
        self.begin("--http.max_connections=20")
        clients = []
        harness.wait_until(lambda: self.admitted(clients) == 20, "the connections before are gone",
                           alive=self.node)
        refused = self.connect()
        answer = refused.answer()
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))
        self.assertTrue(refused.is_closed())
        for client in clients:
            self.assertEqual(client.send(HEALTHY).answer().status, 200)
            client.close()
        harness.wait_until(lambda: self.can_connect(), "there is room again", 10)
        self.assertGreater(self.node.metric("gnomon_http_connections_refused_total"), 0)

    def test_a_thousand_idle_connections_cost_little(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.begin()
        before = self.node.metric("gnomon_process_resident_memory_bytes")
        clients = [self.connect() for _ in range(1000)]
        for client in clients:
            client.send(HEALTHY)
        for client in clients:
            self.assertEqual(client.answer().status, 200)
        self.assertGreaterEqual(self.node.metric("gnomon_http_connections"), 1000)
        grown = self.node.metric("gnomon_process_resident_memory_bytes") - before
        self.assertTrue(harness.SANITIZED or grown < 32 << 20, grown)

    def admitted(self, clients):
        client = self.connect()
        try:
            if client.send(HEALTHY).answer().status == 200:
                clients.append(client)
        except (OSError, Closed):
            pass
        return len(clients)

    def can_connect(self):
        try:
            return ask(self.node.port, HEALTHY)[0].status == 200
        except (OSError, Closed):
            return False

    # --- The end -------------------------------------------------------------------------------------

    def test_SIGTERM_answers_what_has_begun_and_takes_nothing_new(self):
        port = self.begin()
        half = self.connect().send(post(WRITE, self.body[:10], b"Content-Length: %d" %
                                        len(self.body), length=False))
        idle = self.connect().send(HEALTHY)
        self.assertEqual(idle.answer().status, 200)
        asking = self.connect().send(b"GET /-/ready HTTP/1.1\r\n")
        harness.wait_until(lambda: self.node.metric("gnomon_http_body_bytes") > 0,
                           "the body has begun", alive=self.node)
        self.node.process.send_signal(signal.SIGTERM)
        self.assertTrue(idle.is_closed())
        answer = asking.send(HOST + b"\r\n").answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (503, "close"))
        answer = half.send(self.body[10:]).answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (204, "close"))
        self.assertEqual(self.node.wait(30), 0)
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        self.node = self.restart(self.node)
        self.assertEqual(self.node.query("sent", time=self.now_ms / 1000)["result"][0]["value"][1],
                         "1")

    def test_SIGTERM_does_not_wait_for_ever(self):
        self.begin()
        stuck = self.connect().send(b"POST /api/v1/write HTTP/1.1\r\n" + HOST +
                                    b"Content-Length: 10\r\n\r\n")
        running = threading.Thread(target=self.node.terminate)
        started = time.monotonic()
        running.start()
        running.join(30)
        self.assertLess(time.monotonic() - started, 30)
        self.assertEqual(self.node.process.poll(), 0)
        stuck.close()


if __name__ == "__main__":
    harness.main()
