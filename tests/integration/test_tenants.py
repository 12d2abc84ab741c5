"""Tenants do not see each other, and many of them cost little."""
import os
import time
import unittest

import harness
import remote_write as rw


def resident_bytes(node):
    return node.metric("gnomon_process_resident_memory_bytes")


class Tenants(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.node = self.start_node("--tenants.enabled=true", "--telemetry.self_write=false")
        self.at = int(time.time()) * 1000 - 60000

    def ask(self, tenant, method, path, **parameters):
        return self.node.request(method, path + "?" + harness.query_string(parameters),
                                 headers={"X-Scope-OrgID": tenant})

    def write(self, tenant, body, headers=None):
        answer = self.node.request("POST", "/api/v1/push", rw.snappy(body),
                                   {**(headers or rw.HEADERS_1), "X-Scope-OrgID": tenant})
        self.assertEqual(answer.status, 204, answer.body)

    def value(self, tenant, query):
        result = self.ask(tenant, "GET", "/api/v1/query", query=query,
                          time=self.at / 1000).data()["result"]
        return [one["value"][1] for one in result]

    def test_nothing_of_a_tenant_is_seen_by_another(self):
        for number, tenant in enumerate(["red", "blue"]):
            request = rw.Request2()
            request.add([("__name__", "shared"), ("of", tenant)], [(self.at, float(number))],
                        exemplars=[([("trace_id", tenant)], self.at, 1.0)],
                        metadata=(rw.METRIC_GAUGE, f"Help of {tenant}.", ""))
            request.add([("__name__", f"only_{tenant}"), (f"label_{tenant}", "x")],
                        [(self.at, 1.0)])
            # The same labels in both.
            request.add([("__name__", "equal")], [(self.at, float(number))])
            self.write(tenant, request.bytes(), rw.HEADERS_2)

        def check():
            for number, tenant in enumerate(["red", "blue"]):
                self.assertEqual(self.value(tenant, "shared"), [str(number)])
                self.assertEqual(self.value(tenant, "equal"), [str(number)])
                self.assertEqual(self.value(tenant, "count({__name__=~'.+'})"), ["3"])
                self.assertEqual(self.ask(tenant, "GET", "/api/v1/labels").data(),
                                 ["__name__", f"label_{tenant}", "of"])
                self.assertEqual(
                    self.ask(tenant, "GET", "/api/v1/label/__name__/values").data(),
                    ["equal", f"only_{tenant}", "shared"])
                self.assertEqual(self.ask(tenant, "GET", "/api/v1/label/of/values").data(),
                                 [tenant])
                self.assertEqual(self.ask(tenant, "GET", "/api/v1/metadata").data(), {
                    "shared": [{"type": "gauge", "help": f"Help of {tenant}.", "unit": ""}]})
                exemplars = self.ask(tenant, "GET", "/api/v1/query_exemplars", query="shared",
                                     start=0, end=self.at / 1000 + 1).data()
                self.assertEqual([one["exemplars"][0]["labels"] for one in exemplars],
                                 [{"trace_id": tenant}])
            self.assertEqual(self.value("green", "{__name__=~'.+'}"), [])
            self.assertEqual(self.ask("green", "GET", "/api/v1/labels").data(), [])

        check()
        self.assertEqual(self.node.request("POST", "/api/v1/admin/flush",
                                           headers={"X-Scope-OrgID": "red"}).status, 204)
        check()
        self.node.kill()
        self.node = self.restart(self.node)
        check()

    ENDPOINTS = (
        ("/api/v1/query", {"query": "secret_red or vector(0)"}),
        ("/api/v1/query_range", {"query": "secret_red or vector(0)", "step": 15}),
        ("/api/v1/series", {"match[]": '{__name__!=""}'}),
        ("/api/v1/labels", {}),
        ("/api/v1/label/__name__/values", {}),
        ("/api/v1/label/rouge/values", {}),
        ("/api/v1/metadata", {}),
        ("/api/v1/query_exemplars", {"query": "secret_red"}),
        ("/api/v1/status/tsdb", {}),
        ("/prometheus/api/v1/series", {"match[]": '{__name__!=""}'}),
    )

    def test_every_endpoint_needs_a_tenant_and_shows_its_own_data_only(self):
        request = rw.Request2().add([("__name__", "secret_red"), ("rouge", "crimson")],
                                    [(self.at, 42.5)],
                                    exemplars=[([("trace_id", "scarlet")], self.at, 1.0)],
                                    metadata=(rw.METRIC_GAUGE, "Help of ruby.", ""))
        self.write("red", request.bytes(), rw.HEADERS_2)
        times = {"start": self.at / 1000 - 60, "end": self.at / 1000 + 60, "time": self.at / 1000}
        words = b"secret_red", b"rouge", b"crimson", b"scarlet", b"ruby", b"42.5"
        for path, parameters in self.ENDPOINTS:
            with self.subTest(path=path):
                asked = {**times, **parameters}
                own = self.ask("red", "GET", path, **asked)
                self.assertEqual(own.status, 200, own.body)
                self.assertTrue(any(word in own.body for word in words), own.body)
                # Right after: nothing of it may come from a cache.
                other = self.ask("blue", "GET", path, **asked)
                self.assertEqual(other.status, 200, other.body)
                self.assertEqual([word for word in words if word in other.body], [], other.body)
                nobody = self.node.get(path, **asked)
                self.assertEqual(nobody.status, 401)
                self.assertIn("X-Scope-OrgID", nobody.json()["error"])
        self.assertEqual(self.node.request("POST", "/api/v1/write", b"").status, 401)
        # What belongs to no tenant asks for none.
        for path in ("/-/healthy", "/-/ready", "/metrics", "/api/v1/status/buildinfo",
                     "/api/v1/status/config", "/api/v1/status/flags"):
            answer = self.node.get(path)
            self.assertEqual(answer.status, 200, path)
            self.assertNotIn(b"secret_red", answer.body)

    def test_without_tenants_the_header_changes_nothing(self):
        self.node.terminate()
        self.node = self.start_node("--telemetry.self_write=false")
        self.write("red", rw.series_1([("__name__", "common")], [(self.at, 1.0)]))
        for tenant in "red", "blue", "a/b":
            self.assertEqual(self.value(tenant, "common"), ["1"])
        self.assertEqual(len(self.node.query("common", time=self.at / 1000)["result"]), 1)

    def test_what_was_written_without_tenants_is_the_tenant_anonymous(self):
        self.node.terminate()
        self.node = self.start_node("--telemetry.self_write=false")
        self.write("", rw.series_1([("__name__", "earlier")], [(self.at, 1.0)]))
        self.node.terminate()
        self.node = self.restart(self.node, "--tenants.enabled=true",
                                 "--telemetry.self_write=false")
        self.assertEqual(self.value("anonymous", "earlier"), ["1"])
        self.assertEqual(self.value("red", "earlier"), [])

    def test_a_deletion_is_the_tenants_own(self):
        for tenant in "red", "blue":
            self.write(tenant, rw.series_1([("__name__", "equal")], [(self.at, 1.0)]))
        self.node.request("POST", "/api/v1/admin/flush", headers={"X-Scope-OrgID": "red"})
        self.assertEqual(self.ask("red", "POST", "/api/v1/admin/tsdb/delete_series",
                                  **{"match[]": "equal"}).status, 204)
        self.assertEqual(self.value("red", "equal"), [])
        self.assertEqual(self.value("blue", "equal"), ["1"])

    def test_names_of_tenants_are_checked(self):
        for tenant in "", ".", "..", "a/b", "a b", "x" * 151, "a|b":
            self.assertIn(self.ask(tenant, "GET", "/api/v1/labels").status, (400, 401), tenant)
        for tenant in "a", "A-1_b.c*'()!", "x" * 150:
            self.assertEqual(self.ask(tenant, "GET", "/api/v1/labels").status, 200, tenant)

    @unittest.skipIf(harness.SANITIZED, "measures the release build")
    def test_ten_thousand_tenants_cost_no_files_and_little_memory(self):
        before = resident_bytes(self.node)
        connection = harness.http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=60)
        started = time.monotonic()
        for number in range(10000):
            connection.request("POST", "/api/v1/push", rw.snappy(rw.series_1(
                [("__name__", "up"), ("number", str(number))], [(self.at, float(number))])),
                {**rw.HEADERS_1, "X-Scope-OrgID": f"tenant-{number}"})
            answer = connection.getresponse()
            answer.read()
            self.assertEqual(answer.status, 204)
        connection.close()
        written_s = time.monotonic() - started
        grown = resident_bytes(self.node) - before
        self.assertLess(grown, 100 << 20)
        for number in range(0, 10000, 997):
            self.assertEqual(self.value(f"tenant-{number}", "up"), [str(number)])
        self.assertLess(len(os.listdir(f"/proc/{self.node.process.pid}/fd")), 200)
        busy_s = self.node.metric("gnomon_process_cpu_seconds_total")
        time.sleep(2)
        busy_s = self.node.metric("gnomon_process_cpu_seconds_total") - busy_s
        self.assertLess(busy_s, 0.5, "10,000 tenants that do nothing")
        self.assertEqual(self.node.request("POST", "/api/v1/admin/flush", headers={
            "X-Scope-OrgID": "tenant-0"}).status, 204)
        files = sum(len(names) for _, _, names in os.walk(f"{self.folder}/data"))
        self.assertLess(files, 200)
        self.node.kill()
        started = time.monotonic()
        self.node = self.restart(self.node)
        print(f"10,000 tenants: written in {written_s:.1f} s, {grown / 2**20:.0f} MiB, "
              f"{files} files, ready again in {time.monotonic() - started:.2f} s", flush=True)
        for number in range(0, 10000, 997):
            self.assertEqual(self.value(f"tenant-{number}", "up"), [str(number)])


if __name__ == "__main__":
    harness.main()
