"""Limits of queries: each refuses with its status and words, is counted, and leaves nothing behind."""
import socket
import time

import harness
import remote_write as rw

SERIES, SAMPLES = 500, 300
# Some seconds of work, made of very many steps over few series.
HEAVY = "sum(max_over_time(sum_over_time(filled[5m])[5m:1s])) + sum(stddev_over_time(filled[5m]))"
RANGE = "/api/v1/query_range?"


class QueryLimits(harness.IntegrationTest):
    def begin(self, *settings, series=SERIES):
        self.node = self.start_node("--telemetry.self_write=false", *settings)
        self.now_ms = int(time.time()) * 1000
        for first in range(0, series, 250):
            body = b"".join(
                rw.series_1([("__name__", "filled"), ("n", str(n))],
                            [(self.now_ms - (SAMPLES - i) * 1000, float(n + i)) for i in range(SAMPLES)])
                for n in range(first, min(first + 250, series)))
            answer = self.node.request("POST", "/api/v1/write", rw.snappy(body), rw.HEADERS_1)
            self.assertEqual(answer.status, 204, answer.body)

    def get(self, query, **parameters):
        return self.node.get("/api/v1/query", query=query, time=self.now_ms / 1000, **parameters)

    def heavy(self, **parameters):
        return RANGE + harness.query_string({
            "query": HEAVY, "start": self.now_ms / 1000 - SAMPLES, "end": self.now_ms / 1000,
            "step": "0.03", **parameters})

    def failed(self, reason):
        return self.node.metric("gnomon_query_failed_total", reason=reason)

    def until(self, condition, what):
        harness.wait_until(condition, what, alive=self.node)

    def steady_memory(self):
        """Of queries, in bytes; 0 while it changes: who grows last is refused."""
        before = self.node.metric("gnomon_query_memory_bytes")
        time.sleep(0.3)
        return before if self.node.metric("gnomon_query_memory_bytes") == before else 0

    def ask_and_leave_open(self, address):
        """A client that has asked and reads nothing."""
        client = socket.create_connection(("127.0.0.1", self.node.port))
        self.addCleanup(client.close)
        client.sendall(f"GET {address} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return client

    def assert_refused(self, answer, status, kind, words):
        self.assertEqual((answer.status, answer.json()["errorType"]), (status, kind), answer.body)
        self.assertIn(words, answer.json()["error"])

    def assert_nothing_is_left(self):
        self.until(lambda: self.node.metric("gnomon_query_running") == 0 and
                   self.node.metric("gnomon_query_waiting") == 0 and
                   self.node.metric("gnomon_query_memory_bytes") == 0, "no query is under way")
        self.assertEqual(self.get("vector(1)").status, 200)

    # --- Samples, memory ---------------------------------------------------------------------------

    def test_a_query_that_holds_too_many_samples_is_422(self):
        self.begin("--query.max_samples=10000", series=40)
        self.assert_refused(self.get("filled[5m]"), 422, "execution", "query processing would load "
                            "too many samples into memory in query execution")
        self.assertEqual(self.failed("limit"), 1)
        self.assertEqual(self.get("sum(sum_over_time(filled[5m]))").status, 200)
        self.assert_nothing_is_left()

    def test_a_query_that_needs_all_memory_for_itself_is_422(self):
        self.begin("--query.memory=1MiB")
        self.assert_refused(self.get("filled[5m]"), 422, "execution",
                            "query processing would use too much memory")
        self.assertEqual((self.failed("limit"), self.failed("unavailable")), (1, 0))
        self.assertEqual(self.node.metric("gnomon_query_memory_limit_bytes"), 1 << 20)
        self.assertEqual(self.get("count(filled)").status, 200)
        self.assert_nothing_is_left()

    def test_a_look_up_that_needs_all_memory_for_itself_is_422(self):
        self.begin("--query.memory=1MiB", series=0)
        pad = "p" * 400
        for first in range(0, 10000, 1000):
            self.assertEqual(self.node.request("POST", "/api/v1/write", rw.snappy(b"".join(
                rw.series_1([("__name__", "wide"), ("n", f"{n:05}"), ("pad", pad)],
                            [(self.now_ms, 1.0)]) for n in range(first, first + 1000))),
                rw.HEADERS_1).status, 204)
        addresses = ["/api/v1/series?match[]=wide", "/api/v1/label/n/values"]
        for address in addresses:
            self.assert_refused(self.node.request("GET", address), 422, "execution",
                                "query processing would use too much memory")
        self.assertEqual((self.failed("limit"), self.failed("unavailable")), (len(addresses), 0))
        self.assertEqual(len(self.node.get("/api/v1/series", **{"match[]": 'wide{n=~"0001."}'})
                             .data()), 10)
        self.assert_nothing_is_left()

    def test_a_query_without_memory_beside_others_is_503(self):
        """The others' memory is a large answer that its client does not read."""
        self.begin("--query.memory=32MiB")
        large = RANGE + harness.query_string({
            "query": 'filled{n=~"1.*"}', "start": self.now_ms / 1000 - SAMPLES,
            "end": self.now_ms / 1000, "step": "0.05"})
        self.assertEqual(self.node.request("GET", large).status, 200)
        slow = self.ask_and_leave_open(large)
        self.until(lambda: self.steady_memory() > 20 << 20, "an answer waits for its client")
        self.assert_refused(self.node.request("GET", large), 503, "unavailable",
                            "other queries hold the memory")
        self.assertEqual((self.failed("limit"), self.failed("unavailable")), (0, 1))
        slow.close()
        self.until(lambda: self.node.metric("gnomon_query_memory_bytes") == 0, "it is given back")
        self.assertEqual(self.node.request("GET", large).status, 200)
        self.assert_nothing_is_left()

    def test_a_long_list_is_sent_as_the_client_takes_it_and_then_forgotten(self):
        self.begin(series=0)
        pad = "p" * 400
        for first in range(0, 20000, 2000):
            body = b"".join(rw.series_1([("__name__", "long"), ("n", f"{n:05}"), ("pad", pad)],
                                        [(self.now_ms, 1.0)]) for n in range(first, first + 2000))
            self.assertEqual(self.node.request("POST", "/api/v1/write", rw.snappy(body),
                                               rw.HEADERS_1).status, 204)
        address = "/api/v1/series?" + harness.query_string({"match[]": "long"})
        slow = self.ask_and_leave_open(address)
        self.until(lambda: self.node.metric("gnomon_query_memory_bytes") > 100000 and
                   self.node.metric("gnomon_query_running") == 0, "the answer waits for its client")
        answer = self.node.request("GET", address)
        self.assertEqual([one["n"] for one in answer.data()], [f"{n:05}" for n in range(20000)])
        self.assertNotIn("warnings", answer.json())
        cut = self.node.request("GET", address + "&limit=19999").json()
        self.assertEqual((len(cut["data"]), cut["warnings"]),
                         (19999, ["results truncated due to limit"]))
        names = self.node.get("/api/v1/label/n/values").data()
        self.assertEqual(names, [f"{n:05}" for n in range(20000)])
        slow.close()
        self.assert_nothing_is_left()

    # --- Time --------------------------------------------------------------------------------------

    def test_a_query_over_its_time_is_503(self):
        self.begin()
        started = time.monotonic()
        self.assert_refused(self.node.request("GET", self.heavy(timeout="100ms")), 503, "timeout",
                            "query timed out in") # where it is then
        self.assertLess(time.monotonic() - started, 10)
        self.assertEqual(self.failed("timeout"), 1)
        self.assert_nothing_is_left()

    def test_the_longest_time_is_a_setting(self):
        self.begin("--query.timeout=20ms")
        self.assert_refused(self.node.request("GET", self.heavy(timeout="1h")), 503, "timeout",
                            "query timed out")
        self.assert_nothing_is_left()

    # --- The queue ---------------------------------------------------------------------------------

    def occupy(self):
        """Take the only place."""
        self.begin("--query.concurrency=1")
        client = self.ask_and_leave_open(self.heavy())
        self.until(lambda: self.node.metric("gnomon_query_running") == 1, "a query runs")
        return client

    def test_a_query_that_waits_too_long_is_503_where_it_waits(self):
        client = self.occupy()
        answer = self.get("vector(1)", timeout="50ms")
        self.assert_refused(answer, 503, "timeout", "query timed out in query queue")
        self.assertEqual(self.node.metric("gnomon_query_running"), 1, "the heavy query was too light")
        self.assertEqual(self.failed("timeout"), 1)
        self.assertGreater(self.node.metric("gnomon_query_wait_seconds_total"), 0.04)
        client.close()
        self.assert_nothing_is_left()

    def test_a_client_that_leaves_the_queue_makes_room(self):
        client = self.occupy()
        address = "/api/v1/query?query=vector(1)"
        series = "/api/v1/series?" + harness.query_string({"match[]": "filled"})
        waiting = [self.ask_and_leave_open(address), self.ask_and_leave_open(series)]
        self.until(lambda: self.node.metric("gnomon_query_waiting") == 2, "two wait")
        for one in waiting:
            one.close()
        self.until(lambda: self.node.metric("gnomon_query_waiting") == 0, "they are gone")
        self.assertEqual(self.node.metric("gnomon_query_running"), 1, "the heavy query was too light")
        self.assertEqual(self.failed("canceled"), 2)
        client.close()
        self.assert_nothing_is_left()
        self.assertEqual(self.failed("canceled"), 3)

    # --- Queries under way -------------------------------------------------------------------------

    def active(self, **headers):
        answer = self.node.request("GET", "/api/v1/status/active_queries", headers=headers)
        return answer.data()["queries"]

    def test_queries_under_way_are_seen_and_can_be_killed(self):
        self.occupy()
        waiting = self.ask_and_leave_open("/api/v1/series?" + harness.query_string(
            {"match[]": "filled", "start": 5}))
        # A job that has a place runs when a worker is there.
        self.until(lambda: [one["state"] for one in self.active()] == ["running", "waiting"],
                   "one runs, one waits")
        heavy, series = self.active()
        self.assertEqual((heavy["kind"], heavy["state"], heavy["query"], heavy["tenant"]),
                         ("query_range", "running", HEAVY, "anonymous"))
        self.assertEqual((heavy["start"], heavy["step"]), (self.now_ms / 1000 - SAMPLES, 0.03))
        self.assertGreater(heavy["ranSeconds"], 0)
        self.assertGreater(heavy["memoryBytes"], 0) # from its creation on
        self.assertLess(abs(heavy["receivedAt"] - time.time()), 60)
        self.assertEqual((series["kind"], series["state"], series["query"], series["start"]),
                         ("series", "waiting", "filled", 5))
        self.assertNotIn("end", series)

        path = "/api/v1/status/active_queries/"
        self.assertEqual(self.node.request("DELETE", path + "x").status, 400)
        self.assertEqual(self.node.request("DELETE", path + "999999").status, 404)
        self.assertEqual(self.node.request("DELETE", path + str(series["id"])).status, 204)
        answer = waiting.recv(65536)
        self.assertIn(b"499", answer.split(b"\r\n")[0])
        self.assertIn(b"query was killed", answer)
        self.assertEqual(len(self.active()), 1)
        self.assertEqual(self.node.request("DELETE", path + str(heavy["id"])).status, 204)
        self.until(lambda: self.active() == [], "the heavy one is gone")
        self.assertEqual(self.node.metric("gnomon_query_killed_total"), 2)
        self.assert_nothing_is_left()

    def test_a_slow_query_is_logged(self):
        self.begin("--query.slow=1ms")
        self.node.request("GET", self.heavy(timeout="300ms"))
        self.assertEqual(self.node.metric("gnomon_query_slow_total"), 1)
        line = [line for line in self.node.log_text().splitlines() if "a query was slow" in line][0]
        self.assertIn("kind=query_range tenant=anonymous query=\"sum(max_over_time(", line)
        self.assertIn("outcome=\"query timed out", line)

    def test_a_tenant_sees_and_kills_its_own_queries(self):
        self.begin("--tenants.enabled=true", "--query.concurrency=1", series=0)
        address = RANGE + harness.query_string({
            "query": "quantile_over_time(0.5, vector(time())[1m:1ms])", "start": 0, "end": 3000,
            "step": 1})
        for tenant in ("a", "b"):
            client = socket.create_connection(("127.0.0.1", self.node.port))
            self.addCleanup(client.close)
            client.sendall(f"GET {address} HTTP/1.1\r\nHost: x\r\nX-Scope-OrgID: {tenant}\r\n\r\n".encode())
            self.until(lambda: any(one["tenant"] == tenant for one in self.active()), tenant + " asks")
        own = self.active(**{"X-Scope-OrgID": "b"})
        self.assertEqual([one["tenant"] for one in own], ["b"])
        path = "/api/v1/status/active_queries/" + str(own[0]["id"])
        self.assertEqual(self.node.request("DELETE", path, headers={"X-Scope-OrgID": "a"}).status, 404)
        self.assertEqual(self.node.request("DELETE", path, headers={"X-Scope-OrgID": "b"}).status, 204)
        self.until(lambda: [one["tenant"] for one in self.active()] == ["a"], "b's is gone")

    def test_a_query_whose_client_leaves_ends(self):
        self.begin("--query.concurrency=2")
        clients = [self.ask_and_leave_open(self.heavy()) for _ in range(5)]
        self.until(lambda: self.node.metric("gnomon_query_running") == 2 and
                   self.node.metric("gnomon_query_waiting") == 3, "two run, three wait")
        for client in clients:
            client.close()
        self.assert_nothing_is_left()
        self.assertEqual(self.failed("canceled"), 5)


if __name__ == "__main__":
    harness.main()
